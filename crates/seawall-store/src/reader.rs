//! The reader threads of a shard: one connection each, one short read transaction per question.
//!
//! The transaction is what makes an answer and its position belong together. Its length is bounded by
//! the clock, looked at from inside SQLite, so that no forgotten index holds a reader, or the
//! write-ahead file behind it, for long.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use seawall_policy::{Mono, Rng};
use tokio::sync::oneshot;

use crate::changes::{self, ChangesError};
use crate::limits;
use crate::queue::Taken;
use crate::shard::Core;
use crate::sql::sqlite::{self, Failure, Room};
use crate::types::{Event, Fresh, Position, Sql};
use crate::value::{Rows, Value};
use crate::writer::lock_pause;

/// How long a reader waits for a question before it waits again: closing wakes it.
const IDLE: Duration = Duration::from_secs(3600);

/// How long a reader leaves asks for a position that is not committed yet before it looks again.
const BEHIND_PAUSE: Duration = Duration::from_millis(1);

/// Why a read gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Too many reads are waiting.
    #[error("the shard is busy")]
    Busy,
    /// It took longer than [`limits::READ_TIME_MAX`], or the position waited for did not come.
    #[error("the read took longer than {:?}", limits::READ_TIME_MAX)]
    Deadline,
    /// More than [`limits::ROWS_MAX`] rows or [`limits::ROWS_BYTES_MAX`] bytes: ask with a LIMIT.
    #[error("the answer has more than {} rows or {} bytes", limits::ROWS_MAX, limits::ROWS_BYTES_MAX)]
    TooMany,
    /// The statement cannot work: unknown table, wrong arguments, or it writes.
    #[error("{0}")]
    Invalid(String),
    /// The engine failed: disk or file.
    #[error("the engine failed: {0}")]
    Engine(String),
    /// The store is closing, or its thread failed; ask again.
    #[error("the reader ended before it answered")]
    Lost,
}

/// A question and where the answer goes.
pub(crate) struct Ask {
    deadline: Mono,
    what: What,
}

enum What {
    Rows {
        at_least: Position,
        sql: &'static Sql,
        args: Vec<Value>,
        reply: oneshot::Sender<Result<Fresh<Rows>, ReadError>>,
    },
    Changes {
        from: Position,
        max: usize,
        reply: oneshot::Sender<Result<Vec<(Position, Event)>, ChangesError>>,
    },
}

impl Ask {
    pub(crate) fn rows(
        at_least: Position,
        sql: &'static Sql,
        args: Vec<Value>,
        deadline: Mono,
        reply: oneshot::Sender<Result<Fresh<Rows>, ReadError>>,
    ) -> Ask {
        Ask { deadline, what: What::Rows { at_least, sql, args, reply } }
    }

    pub(crate) fn changes(
        from: Position,
        max: usize,
        deadline: Mono,
        reply: oneshot::Sender<Result<Vec<(Position, Event)>, ChangesError>>,
    ) -> Ask {
        Ask { deadline, what: What::Changes { from, max, reply } }
    }

    /// Nobody works for a caller who has left.
    fn is_abandoned(&self) -> bool {
        match &self.what {
            What::Rows { reply, .. } => reply.is_closed(),
            What::Changes { reply, .. } => reply.is_closed(),
        }
    }

    fn refuse(self, error: ReadError) {
        // A caller who left meanwhile needs no answer.
        match self.what {
            What::Rows { reply, .. } => drop(reply.send(Err(error))),
            What::Changes { reply, .. } => drop(reply.send(Err(error.into()))),
        }
    }
}

pub(crate) struct Reader {
    core: Arc<Core>,
    connection: Connection,
    /// When the running read must stop, for the look at the clock from inside SQLite.
    stop_at: Arc<AtomicU64>,
    rng: Rng,
    /// What waits for a position that is not committed yet, kept aside so that no other read waits with
    /// it. At most [`limits::READ_QUEUE_MAX`].
    behind: Vec<(Position, Ask)>,
    /// When to look again whether it is.
    look_at: Mono,
}

impl Reader {
    pub(crate) fn open(core: &Arc<Core>, index: usize) -> rusqlite::Result<Reader> {
        let mut connection = sqlite::connect(&core.path, false)?;
        sqlite::configure_reader(&connection)?;
        let stop_at = Arc::new(AtomicU64::new(u64::MAX));
        let (clock, limit) = (core.clock.clone(), stop_at.clone());
        let is_over = move || clock.now().0 >= limit.load(Ordering::Relaxed);
        connection.progress_handler(limits::READ_STEPS, Some(is_over))?;
        let rng = Rng::new(core.seed ^ (index as u64 + 1));
        let (core, behind) = (core.clone(), Vec::new());
        Ok(Reader { core, connection, stop_at, rng, behind, look_at: Mono(0) })
    }

    pub(crate) fn run(mut self) {
        loop {
            let patience = if self.behind.is_empty() { IDLE } else { BEHIND_PAUSE };
            match self.core.reads.take(1, usize::MAX, patience) {
                Taken::Items(asks) => self.answer_all(asks),
                Taken::Nothing => {}
                // Whoever still waits for a position hears that its answer is lost.
                Taken::Closed => return,
            }
            if !self.behind.is_empty() && self.core.clock.now() >= self.look_at {
                let asks = self.caught_up();
                self.answer_all(asks);
                self.look_at = self.core.clock.now() + BEHIND_PAUSE;
            }
        }
    }

    /// Takes out what need not wait any longer: its position is committed, or nobody waits for it. One look
    /// serves all of them.
    fn caught_up(&mut self) -> Vec<Ask> {
        let now = self.core.clock.now();
        self.stop_at.store(u64::MAX, Ordering::Relaxed);
        let look = self.transaction(now + BEHIND_PAUSE, |connection| Ok(changes::newest(connection)?));
        // Where the file cannot be read, only deadlines end the wait.
        let newest = look.unwrap_or_default();
        let is_over =
            |at_least: Position, ask: &Ask| at_least <= newest || now >= ask.deadline || ask.is_abandoned();
        self.behind.extract_if(.., |(at_least, ask)| is_over(*at_least, ask)).map(|(_, ask)| ask).collect()
    }

    /// A panic loses the question in hand, and nothing else.
    fn answer_all(&mut self, asks: Vec<Ask>) {
        let round = AssertUnwindSafe(|| asks.into_iter().for_each(|ask| self.answer(ask)));
        if catch_unwind(round).is_err() {
            tracing::error!(shard = self.core.name, "a reader panicked; it goes on with the next question");
        }
    }

    fn answer(&mut self, ask: Ask) {
        if ask.is_abandoned() {
            return;
        }
        self.stop_at.store(ask.deadline.0, Ordering::Relaxed);
        let is_ok = match ask.what {
            What::Rows { at_least, sql, args, reply } => {
                let found = self.rows(ask.deadline, sql, &args);
                if matches!(&found, Ok(fresh) if fresh.at < at_least) {
                    return self.wait(at_least, Ask::rows(at_least, sql, args, ask.deadline, reply));
                }
                let is_ok = found.is_ok();
                // Whoever stopped waiting needs no answer; the same below.
                let _ = reply.send(found);
                is_ok
            }
            What::Changes { from, max, reply } => {
                let found = self.transaction(ask.deadline, |c| changes::after(c, from, max));
                let found = found.unwrap_or_else(|error| Err(error.into()));
                let is_ok = found.is_ok();
                let _ = reply.send(found);
                is_ok
            }
        };
        let metrics = &self.core.metrics;
        if is_ok {
            metrics.reads.inc()
        } else {
            metrics.read_failures.inc()
        };
    }

    fn rows(&mut self, deadline: Mono, sql: &Sql, args: &[Value]) -> Result<Fresh<Rows>, ReadError> {
        self.transaction(deadline, |connection| {
            let at = changes::newest(connection)?;
            let rows = sqlite::query(connection, sql, args, &mut Room::new())?;
            Ok(Fresh { rows, at })
        })
    }

    /// Asks again later: the position is one that somebody is still committing.
    fn wait(&mut self, at_least: Position, ask: Ask) {
        if self.core.clock.now() >= ask.deadline {
            return ask.refuse(ReadError::Deadline);
        }
        if self.behind.len() >= limits::READ_QUEUE_MAX {
            return ask.refuse(ReadError::Busy);
        }
        self.behind.push((at_least, ask));
    }

    fn transaction<T>(
        &mut self,
        deadline: Mono,
        mut work: impl FnMut(&Connection) -> Result<T, Failure>,
    ) -> Result<T, ReadError> {
        loop {
            if self.core.clock.now() >= deadline {
                return Err(ReadError::Deadline);
            }
            match snapshot(&self.connection, &mut work) {
                Ok(done) => return Ok(done),
                Err(Failure::Engine(error)) if sqlite::is_busy(&error) => {
                    std::thread::sleep(lock_pause(&mut self.rng));
                }
                Err(failure) => return Err(self.explain(failure)),
            }
        }
    }

    fn explain(&self, failure: Failure) -> ReadError {
        match failure {
            Failure::TooMany => ReadError::TooMany,
            Failure::Invalid(what) => ReadError::Invalid(what),
            Failure::Conflict => ReadError::Invalid("a read met a uniqueness rule".to_owned()),
            Failure::Engine(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                ReadError::Deadline
            }
            Failure::Engine(error) => {
                tracing::error!(shard = self.core.name, %error, "a read failed; the next one tries again");
                ReadError::Engine(error.to_string())
            }
        }
    }
}

fn snapshot<T>(
    connection: &Connection,
    work: &mut impl FnMut(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if !connection.is_autocommit() {
        // Left open by a panic, or by a ROLLBACK that was stopped at its deadline.
        connection.prepare_cached("ROLLBACK")?.execute([])?;
    }
    connection.prepare_cached("BEGIN")?.execute([])?;
    let done = work(connection);
    // Nothing was written; ending the snapshot cannot change the answer.
    connection.prepare_cached("ROLLBACK")?.execute([])?;
    done
}
