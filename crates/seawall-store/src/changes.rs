//! Following a shard: what was told, and when to look.
//!
//! Own commits wake followers at once. Another process's commits are noticed by `PRAGMA data_version`,
//! which reads one counter in shared memory; the thread that asks it sleeps while nobody watches.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;

use crate::limits;
use crate::reader::ReadError;
use crate::shard::Core;
use crate::sql::sqlite::{self, Failure};
use crate::types::{Event, Position};

/// Why there are no changes to give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangesError {
    /// Some events after the position asked for are deleted: rebuild what was derived from them, then
    /// go on from a position read before the rebuild.
    #[error("changes are kept from position {} on", oldest.0)]
    TooOld {
        /// The oldest position that can be gone on from.
        oldest: Position,
    },
    /// The read itself failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The newest committed position, as of the running snapshot.
pub(crate) fn newest(connection: &Connection) -> rusqlite::Result<Position> {
    connection
        .prepare_cached("SELECT seq FROM sw_shard")?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(|seq| Position(seq as u64))
}

/// The events after `from`.
pub(crate) fn after(
    connection: &Connection,
    from: Position,
    max: usize,
) -> Result<Result<Vec<(Position, Event)>, ChangesError>, Failure> {
    let trimmed: i64 =
        connection.prepare_cached("SELECT trimmed FROM sw_shard")?.query_row([], |row| row.get(0))?;
    let oldest = Position(trimmed as u64);
    if from < oldest {
        return Ok(Err(ChangesError::TooOld { oldest }));
    }
    let mut statement = connection
        .prepare_cached("SELECT seq, topic, key, body FROM sw_log WHERE seq > $1 ORDER BY seq LIMIT $2")?;
    let mut rows = statement.query([from.to_sql(), max.min(limits::ROWS_MAX) as i64])?;
    let mut events = Vec::new();
    let mut room = limits::ROWS_BYTES_MAX;
    while let Some(row) = rows.next()? {
        let event = Event { topic: row.get(1)?, key: row.get(2)?, body: row.get(3)?, numbers: None };
        // One event is far smaller than the room, so there is always at least one.
        let Some(left) = room.checked_sub(event.size()) else { break };
        room = left;
        events.push((Position(row.get::<_, i64>(0)? as u64), event));
    }
    Ok(Ok(events))
}

/// Looks for other processes' commits while somebody watches.
pub(crate) struct Watcher {
    core: Arc<Core>,
    connection: Connection,
}

impl Watcher {
    pub(crate) fn open(core: &Arc<Core>) -> rusqlite::Result<Watcher> {
        let connection = sqlite::connect(&core.path, false)?;
        sqlite::configure_reader(&connection)?;
        Ok(Watcher { core: core.clone(), connection })
    }

    pub(crate) fn run(self) {
        let mut seen = None;
        while !self.core.closed.load(Ordering::Acquire) {
            if self.core.newest.receiver_count() == 0 {
                std::thread::park();
                continue;
            }
            match self.look(seen) {
                Ok(version) => seen = Some(version),
                // Not worth more: the next look is 20 ms away, and reads report a failing file.
                Err(error) => tracing::debug!(shard = self.core.name, %error, "could not look for changes"),
            }
            std::thread::park_timeout(limits::WATCH_EVERY);
        }
    }

    fn look(&self, seen: Option<i64>) -> rusqlite::Result<i64> {
        let version =
            self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if seen != Some(version) {
            self.core.moved_to(newest(&self.connection)?);
        }
        Ok(version)
    }
}
