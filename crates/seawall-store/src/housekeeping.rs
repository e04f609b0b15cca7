//! Deleting what has outlived its use, a bounded number of rows at a time, between two groups.
//!
//! Ages are judged by the wall clock, as written into the rows. Events are deleted only from the front,
//! so that `trimmed` says exactly what is missing; a wall clock that stepped back makes some wait longer.

use rusqlite::{Connection, OptionalExtension, params};
use seawall_policy::Wall;

use crate::limits;
use crate::types::Epoch;

/// One step; gives the number of rows deleted. Takes the write lock only if there is something to do,
/// and once: another process may as well do it.
pub(crate) fn step(connection: &Connection, epoch: Epoch, wall: Wall) -> rusqlite::Result<usize> {
    let due = Due::at(wall);
    if !is_needed(connection, &due)? {
        return Ok(0);
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let done = delete(connection, epoch, &due).and_then(|rows| {
        connection.execute_batch("COMMIT")?;
        Ok(rows)
    });
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    done
}

/// What was written before these moments may go.
struct Due {
    keys: i64,
    passed_events: i64,
    any_events: i64,
}

impl Due {
    fn at(wall: Wall) -> Due {
        let before = |kept: std::time::Duration| wall.0.saturating_sub(kept.as_millis() as i64);
        Due {
            keys: before(limits::IDEMPOTENCY_KEPT),
            passed_events: before(limits::LOG_KEPT_MIN),
            any_events: before(limits::LOG_KEPT_MAX),
        }
    }
}

fn is_needed(connection: &Connection, due: &Due) -> rusqlite::Result<bool> {
    Ok(last_due_event(connection, due)?.is_some()
        || connection.prepare_cached("SELECT 1 FROM sw_idem WHERE at < $1 LIMIT 1")?.exists([due.keys])?)
}

/// The end of the run of events, from the front, that may all go.
fn last_due_event(connection: &Connection, due: &Due) -> rusqlite::Result<Option<i64>> {
    let passed: i64 = connection
        .prepare_cached("SELECT min(seq) FROM sw_cursor")?
        .query_row([], |row| row.get::<_, Option<i64>>(0))?
        .unwrap_or(i64::MAX);
    let mut first = connection.prepare_cached("SELECT seq, at FROM sw_log ORDER BY seq LIMIT $1")?;
    let mut rows = first.query([limits::HOUSEKEEPING_ROWS_MAX as i64])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let (seq, at): (i64, i64) = (row.get(0)?, row.get(1)?);
        if at >= due.any_events && (at >= due.passed_events || seq > passed) {
            break;
        }
        last = Some(seq);
    }
    Ok(last)
}

fn delete(connection: &Connection, epoch: Epoch, due: &Due) -> rusqlite::Result<usize> {
    let last = last_due_event(connection, due)?;
    // Also the fence: a shard that is somebody else's now is not ours to tidy.
    let ours = connection
        .prepare_cached("UPDATE sw_shard SET trimmed = CASE WHEN trimmed < $1 THEN $1 ELSE trimmed END WHERE epoch = $2 RETURNING one")?
        .query_row(params![last.unwrap_or(0), epoch.to_sql()], |_| Ok(()))
        .optional()?;
    if ours.is_none() {
        return Ok(0);
    }
    let events =
        connection.prepare_cached("DELETE FROM sw_log WHERE seq <= $1")?.execute([last.unwrap_or(0)])?;
    let keys = connection
        .prepare_cached(
            "DELETE FROM sw_idem WHERE (hk, key) IN
                (SELECT hk, key FROM sw_idem WHERE at < $1 ORDER BY at LIMIT $2)",
        )?
        .execute(params![due.keys, limits::HOUSEKEEPING_ROWS_MAX as i64])?;
    Ok(events + keys)
}
