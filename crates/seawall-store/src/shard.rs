//! A shard as its users see it: write, read, follow, fence.
//!
//! A [`Shard`] is a cheap handle that carries the shard's epoch as it was when the set was opened. Every
//! write is made in that epoch's name, so a handle that outlived a fence stays fenced, whatever else in
//! this process was opened since.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use seawall_policy::{Clock, Mono};
use tokio::sync::{oneshot, watch};

use crate::changes::ChangesError;
use crate::limits;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::reader::{Ask, ReadError};
use crate::sql::fence;
use crate::types::{Batch, Epoch, Event, Expect, Fresh, Freshness, Op, Position, Scope, Sql, Why, Written};
use crate::value::{Rows, Value};
use crate::writer::{Job, Work};

/// What the handles and the threads of one file share.
pub(crate) struct Core {
    pub(crate) path: PathBuf,
    /// For logs: `links-0`.
    pub(crate) name: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) seed: u64,
    pub(crate) ack_before_commit: bool,
    pub(crate) metrics: Metrics,
    pub(crate) writes: Queue<Job>,
    pub(crate) reads: Queue<Ask>,
    /// The newest position this process knows to be committed.
    pub(crate) newest: watch::Sender<Position>,
    /// The shard's epoch when the set was last opened here; what housekeeping works in.
    pub(crate) epoch: AtomicU64,
    /// The epoch that fences us, once it was logged; whether a failure was. One line per change.
    pub(crate) fenced_by: AtomicU64,
    pub(crate) is_failing: AtomicBool,
    pub(crate) closed: AtomicBool,
}

impl Core {
    /// A position was committed, here or elsewhere.
    pub(crate) fn moved_to(&self, position: Position) {
        self.newest.send_if_modified(|newest| {
            let is_newer = position > *newest;
            if is_newer {
                *newest = position;
            }
            is_newer
        });
    }

    /// Writes fail; logged when they begin to.
    pub(crate) fn failed(&self, error: &rusqlite::Error) {
        if !self.is_failing.swap(true, Ordering::AcqRel) {
            tracing::error!(shard = self.name, %error, "writes fail and are refused, reads go on; each write tries anew");
        }
    }

    /// A write worked.
    pub(crate) fn recovered(&self) {
        if self.is_failing.swap(false, Ordering::AcqRel) {
            tracing::info!(shard = self.name, "writes work again");
        }
    }
}

/// An open file with its threads. Ends them when the last handle goes.
pub(crate) struct Opened {
    pub(crate) core: Arc<Core>,
    pub(crate) watcher: std::thread::Thread,
    /// The writer's is the last.
    pub(crate) threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Opened {
    /// Waits for what is queued, each bounded by its deadline, so that a file is closed when its owner is
    /// gone. The writer goes last and alone: of two connections that close at once, each takes the other
    /// for one that stays, and neither takes the write-ahead file away.
    fn drop(&mut self) {
        let mut threads = std::mem::take(self.threads.get_mut().unwrap_or_else(PoisonError::into_inner));
        let writer = threads.pop();
        self.core.closed.store(true, Ordering::Release);
        self.core.reads.close();
        self.watcher.unpark();
        self.join(threads);
        self.core.writes.close();
        self.join(writer);
    }
}

impl Opened {
    fn join(&self, threads: impl IntoIterator<Item = JoinHandle<()>>) {
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!(shard = self.core.name, "a store thread had panicked");
            }
        }
    }
}

/// One shard of a set. Clones are handles to the same file and threads.
#[derive(Clone)]
pub struct Shard {
    pub(crate) opened: Arc<Opened>,
    pub(crate) epoch: Epoch,
    pub(crate) index: u32,
    /// The hash keys that live here, both ends included.
    pub(crate) bounds: (i64, i64),
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").field("name", &self.core().name).field("epoch", &self.epoch).finish()
    }
}

impl Shard {
    /// Does the batch or does nothing of it; the answer comes after the disk has it.
    ///
    /// A batch that was not started before `deadline` is rejected as busy. Once started it is not
    /// abandoned, so the answer may come later than the deadline. Dropping the future before then
    /// withdraws a batch that has not been started.
    pub async fn write(&self, batch: Batch, deadline: Mono) -> Written {
        if let Some(why) = self.refuse(&batch) {
            self.core().metrics.rejected.inc();
            return Written::Rejected(why);
        }
        self.submit(Work::Batch { batch, moves: true }, deadline).await
    }

    fn refuse(&self, batch: &Batch) -> Option<Why> {
        let (low, high) = self.bounds;
        let keys = [Some(batch.hk), batch.key.as_ref().map(|k| k.hk)];
        if let Some(stray) = keys.into_iter().flatten().find(|hk| !(low..=high).contains(hk)) {
            let name = &self.core().name;
            return Some(Why::Invalid(format!("hash key {stray} belongs to another shard than {name}")));
        }
        if batch.tell.iter().any(|event| event.numbers.is_some_and(|op| op >= batch.ops.len())) {
            return Some(Why::Invalid(
                "an event tells the numbers of a statement that is not there".to_owned(),
            ));
        }
        batch.is_too_large().then_some(Why::TooLarge)
    }

    async fn submit(&self, work: Work, deadline: Mono) -> Written {
        let (reply, answer) = oneshot::channel();
        let bytes = work.size();
        let job = Job { work, epoch: self.epoch, deadline, reply };
        if self.core().writes.push(job, bytes).is_err() {
            self.core().metrics.rejected.inc();
            return Written::Rejected(Why::Busy);
        }
        // The writer answers everything it takes; it drops a job only if it panicked in the middle.
        answer.await.unwrap_or(Written::Unknown)
    }

    /// Runs one reading statement. Bounded by [`limits::READ_TIME_MAX`] and [`limits::ROWS_MAX`].
    ///
    /// On SQLite every reader sees every commit, so only `AtLeast` can wait, and only for a position
    /// that is not committed yet.
    pub async fn read(
        &self,
        freshness: Freshness,
        sql: &'static Sql,
        args: Vec<Value>,
    ) -> Result<Fresh<Rows>, ReadError> {
        let at_least = match freshness {
            Freshness::AtLeast(position) => position,
            Freshness::Primary | Freshness::Within(_) | Freshness::Any => Position(0),
        };
        let (reply, answer) = oneshot::channel();
        self.ask(Ask::rows(at_least, sql, args, self.read_deadline(), reply))?;
        answer.await.unwrap_or(Err(ReadError::Lost))
    }

    /// What was told after `from`, in the order of commits, at most `max` events (and at most
    /// [`limits::ROWS_MAX`] or [`limits::ROWS_BYTES_MAX`]). Go on from the position of the last one.
    pub async fn changes(&self, from: Position, max: usize) -> Result<Vec<(Position, Event)>, ChangesError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Ask::changes(from, max, self.read_deadline(), reply))?;
        answer.await.unwrap_or(Err(ReadError::Lost.into()))
    }

    /// Wakes when something was committed, by this process at once, by another one within
    /// [`limits::WATCH_EVERY`]. The value is the newest position known; it may skip some.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<Position> {
        let receiver = self.core().newest.subscribe();
        self.opened.watcher.unpark();
        receiver
    }

    /// Raises an epoch to `to`, so that writers of lower ones are fenced from now on. Rejected as fenced
    /// where a higher one stands; raising to the same one again is fine.
    ///
    /// After a fence of the shard this handle is fenced too: whoever is to go on writing opens the set
    /// again.
    pub async fn fence(&self, scope: Scope, to: Epoch) -> Written {
        let deadline = self.control_deadline();
        let scope = match scope {
            Scope::Shard => return self.submit(Work::FenceShard(to), deadline).await,
            Scope::Owner(scope) => scope,
        };
        let written = self.own(fence::fence_owner(&scope, to)).await;
        if !matches!(written, Written::Rejected(Why::Conflict { .. })) {
            return written;
        }
        // Epochs only rise, so what stands there now is at least what stood in the way.
        match self.read(Freshness::Primary, &fence::OWNER, vec![scope.into()]).await {
            Ok(found) => {
                let current = found.rows.first().and_then(|row| row.int(0).ok()).unwrap_or(0);
                Written::Rejected(Why::Fenced { current: Epoch(current as u64) })
            }
            Err(_) => Written::Rejected(Why::Busy),
        }
    }

    /// Takes `scope` over: its epoch rises by one, and whoever held it is fenced. Not told apart from a
    /// lost answer: claiming again raises it again, which harms nobody.
    pub async fn claim(&self, scope: &str) -> Result<Epoch, ClaimError> {
        match self.own(fence::claim(scope)).await {
            Written::Committed { rows, .. } => {
                let epoch = rows.first().and_then(|rows| rows.first()?.int(0).ok());
                Ok(Epoch(epoch.expect("the statement returns one epoch") as u64))
            }
            Written::Rejected(why) => Err(ClaimError::Rejected(why)),
            Written::Unknown => Err(ClaimError::Unknown),
        }
    }

    /// Remembers under `name` how far a follower has got, and keeps what comes after for it: as long as
    /// it has not passed them, events stay up to [`limits::LOG_KEPT_MAX`].
    pub async fn cursor_save(&self, name: &str, position: Position) -> Written {
        const SAVE: Sql = Sql {
            name: "save a cursor",
            text: "INSERT INTO sw_cursor (name, seq) VALUES ($1, $2)
                   ON CONFLICT (name) DO UPDATE SET seq = $2",
        };
        let args = vec![name.into(), position.to_sql().into()];
        self.own(Op { sql: &SAVE, args, expect: Expect::Rows(1) }).await
    }

    /// Where [`Shard::cursor_save`] left `name`; `None` if it never did.
    pub async fn cursor(&self, name: &str) -> Result<Option<Position>, ReadError> {
        const LOAD: Sql = Sql { name: "load a cursor", text: "SELECT seq FROM sw_cursor WHERE name = $1" };
        let found = self.read(Freshness::Primary, &LOAD, vec![name.into()]).await?;
        Ok(found.rows.first().and_then(|row| row.int(0).ok()).map(|seq| Position(seq as u64)))
    }

    /// The smallest hash key that lives here: for rows that belong to the shard as a whole, such as a
    /// counter its blocks are taken from.
    #[must_use]
    pub fn hk_min(&self) -> i64 {
        self.bounds.0
    }

    /// Which shard of its set this is, from 0.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The epoch this handle writes in.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// A statement on our own tables: takes no position, because followers have nothing to follow.
    async fn own(&self, op: Op) -> Written {
        let batch = Batch { hk: self.hk_min(), key: None, owned: None, ops: vec![op], tell: Vec::new() };
        self.submit(Work::Batch { batch, moves: false }, self.control_deadline()).await
    }

    fn ask(&self, ask: Ask) -> Result<(), ReadError> {
        self.core().reads.push(ask, 0).map_err(|_| ReadError::Busy)
    }

    fn core(&self) -> &Core {
        &self.opened.core
    }

    fn read_deadline(&self) -> Mono {
        self.core().clock.now() + limits::READ_TIME_MAX
    }

    fn control_deadline(&self) -> Mono {
        self.core().clock.now() + limits::CONTROL_TIME_MAX
    }
}

/// Why a scope could not be claimed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Not claimed.
    #[error("the claim was rejected: {0}")]
    Rejected(Why),
    /// Perhaps claimed; claim again.
    #[error("the disk failed while the claim was committed; claim again")]
    Unknown,
}
