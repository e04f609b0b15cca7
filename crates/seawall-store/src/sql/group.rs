//! One batch inside a group's transaction.
//!
//! A SAVEPOINT around each batch undoes a broken one alone. Order: the idempotency key first, because a
//! retry of something that is done deserves its answer even if its owner has been fenced since; then the
//! owner's epoch; then the statements; then what to tell. Nothing here is answered: that is the
//! writer's, after COMMIT.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension, params};
use seawall_policy::Wall;

use super::{codec, fence, sqlite};
use crate::types::{Batch, Event, Expect, Idem, Position, Why, Written};
use crate::value::{Rows, Value};

/// Why the whole transaction cannot go on.
#[derive(Debug)]
pub(crate) struct Broken(pub(crate) rusqlite::Error);

impl From<rusqlite::Error> for Broken {
    fn from(error: rusqlite::Error) -> Broken {
        Broken(error)
    }
}

/// How one batch failed: by itself, or taking the transaction with it.
enum Stop {
    Why(Why),
    Broken(Broken),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Stop {
        Stop::Broken(Broken(error))
    }
}

impl From<Why> for Stop {
    fn from(why: Why) -> Stop {
        Stop::Why(why)
    }
}

/// Applies a batch. Its events take the positions after `before`, which the group has already reserved.
pub(crate) fn apply(
    connection: &Connection,
    batch: &Batch,
    before: Position,
    at: Position,
    wall: Wall,
) -> Result<Written, Broken> {
    if let Some(idem) = &batch.key
        && let Some(answer) = known(connection, idem)?
    {
        return Ok(answer);
    }
    connection.prepare_cached("SAVEPOINT batch")?.execute([])?;
    match attempt(connection, batch, before, at, wall) {
        Ok(rows) => {
            connection.prepare_cached("RELEASE batch")?.execute([])?;
            Ok(Written::Committed { at, rows, again: false })
        }
        Err(Stop::Why(why)) => {
            connection.prepare_cached("ROLLBACK TO batch")?.execute([])?;
            connection.prepare_cached("RELEASE batch")?.execute([])?;
            Ok(Written::Rejected(why))
        }
        Err(Stop::Broken(broken)) => Err(broken),
    }
}

fn attempt(
    connection: &Connection,
    batch: &Batch,
    before: Position,
    at: Position,
    wall: Wall,
) -> Result<Vec<Rows>, Stop> {
    if let Some(owned) = &batch.owned
        && let Err(current) = fence::check_owner(connection, owned)?
    {
        return Err(Why::Fenced { current }.into());
    }
    let mut room = sqlite::Room::new();
    let mut answer = Vec::with_capacity(batch.ops.len());
    for (index, op) in batch.ops.iter().enumerate() {
        let (rows, touched) = match sqlite::run(connection, op.sql, &op.args, &mut room) {
            Ok(done) => done,
            Err(sqlite::Failure::Conflict) => return Err(Why::Conflict { op: index }.into()),
            Err(sqlite::Failure::TooMany) => return Err(Why::TooLarge.into()),
            Err(sqlite::Failure::Invalid(what)) => return Err(Why::Invalid(what).into()),
            Err(sqlite::Failure::Engine(error)) => return Err(error.into()),
        };
        if matches!(op.expect, Expect::Rows(n) if n != touched) {
            return Err(Why::Conflict { op: index }.into());
        }
        answer.push(rows);
    }
    tell(connection, batch, &answer, before, wall)?;
    if let Some(idem) = &batch.key {
        remember(connection, idem, at, &answer, wall)?;
    }
    Ok(answer)
}

fn tell(
    connection: &Connection,
    batch: &Batch,
    answer: &[Rows],
    before: Position,
    wall: Wall,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO sw_log (seq, hk, at, topic, key, body) VALUES ($1, $2, $3, $4, $5, $6)",
    )?;
    for (seq, event) in (before.0 + 1..).zip(&batch.tell) {
        let body = numbered(event, answer);
        insert.execute(params![seq as i64, batch.hk, wall.0, event.topic, event.key, body])?;
    }
    Ok(())
}

/// The body of an event with the numbers it asked for.
fn numbered<'a>(event: &'a Event, answer: &[Rows]) -> Cow<'a, [u8]> {
    let Some(row) = event.numbers.and_then(|op| answer.get(op)?.first()) else {
        return Cow::Borrowed(&event.body);
    };
    let mut body = event.body.clone();
    for value in row.values() {
        if let Value::Int(number) = value {
            body.extend_from_slice(&number.to_le_bytes());
        }
    }
    Cow::Owned(body)
}

/// The answer of an earlier try, if there was one.
fn known(connection: &Connection, idem: &Idem) -> rusqlite::Result<Option<Written>> {
    let found = connection
        .prepare_cached("SELECT fingerprint, seq, answer FROM sw_idem WHERE hk = $1 AND key = $2")?
        .query_row(params![idem.hk, idem.key.as_slice()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?))
        })
        .optional()?;
    Ok(found.map(|(fingerprint, seq, answer)| {
        if fingerprint as u64 != idem.fingerprint {
            return Written::Rejected(Why::KeyReused);
        }
        match codec::decode(&answer) {
            Some(rows) => Written::Committed { at: Position(seq as u64), rows, again: true },
            None => Written::Rejected(Why::Invalid("the stored answer cannot be read".to_owned())),
        }
    }))
}

fn remember(
    connection: &Connection,
    idem: &Idem,
    at: Position,
    answer: &[Rows],
    wall: Wall,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO sw_idem (hk, key, fingerprint, seq, answer, at) VALUES ($1, $2, $3, $4, $5, $6)",
        )?
        .execute(params![
            idem.hk,
            idem.key.as_slice(),
            idem.fingerprint as i64,
            at.to_sql(),
            codec::encode(answer),
            wall.0
        ])
        .map(drop)
}
