//! The two epochs, and the one place a shard's order of commits comes from.
//!
//! `UPDATE sw_shard … WHERE epoch = e` is fence, sequence and commit order in one statement: it runs
//! first in every transaction, so whoever holds the row decides who comes next, and a writer of an
//! older reign finds no row. The owner's epoch is checked per batch in the same transaction: a lease
//! alone only says who should write, the epoch in the data decides whose write lands.

use rusqlite::{Connection, OptionalExtension, params};

use crate::types::{Epoch, Expect, Op, Owned, Position, Sql};
use crate::value::Value;

/// Takes `n` positions for a writer of `epoch`. The inner error is the epoch that may write.
pub(crate) fn advance(connection: &Connection, epoch: Epoch, n: u64) -> rusqlite::Result<Result<u64, Epoch>> {
    let taken = connection
        .prepare_cached("UPDATE sw_shard SET seq = seq + $1 WHERE epoch = $2 RETURNING seq")?
        .query_row(params![n as i64, epoch.to_sql()], |row| row.get::<_, i64>(0))
        .optional()?;
    match taken {
        Some(seq) => Ok(Ok(seq as u64)),
        None => shard_epoch(connection).map(Err),
    }
}

/// The epoch that may write to this shard.
pub(crate) fn shard_epoch(connection: &Connection) -> rusqlite::Result<Epoch> {
    connection
        .prepare_cached("SELECT epoch FROM sw_shard")?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(|epoch| Epoch(epoch as u64))
}

/// Whether the owner still speaks for its scope. The error is the epoch that does; 0 if nobody has
/// ever claimed it.
pub(crate) fn check_owner(connection: &Connection, owned: &Owned) -> rusqlite::Result<Result<(), Epoch>> {
    let current = connection
        .prepare_cached("SELECT epoch FROM sw_owner WHERE scope = $1")?
        .query_row([&owned.scope], |row| row.get::<_, i64>(0))
        .optional()?
        .map(|epoch| Epoch(epoch as u64));
    Ok(match current {
        Some(epoch) if epoch == owned.epoch => Ok(()),
        other => Err(other.unwrap_or_default()),
    })
}

const CLAIM: Sql = Sql {
    name: "claim an owner's scope",
    text: "INSERT INTO sw_owner (scope, epoch) VALUES ($1, 1)
           ON CONFLICT (scope) DO UPDATE SET epoch = sw_owner.epoch + 1 RETURNING epoch",
};

/// Takes a scope over: returns its next epoch.
pub(crate) fn claim(scope: &str) -> Op {
    op(&CLAIM, vec![scope.into()])
}

const FENCE: Sql = Sql {
    name: "fence an owner",
    text: "INSERT INTO sw_owner (scope, epoch) VALUES ($1, $2)
           ON CONFLICT (scope) DO UPDATE SET epoch = $2 WHERE sw_owner.epoch <= $2 RETURNING epoch",
};

/// Raises an owner's epoch, never lowers it: touches no row where a higher one stands.
pub(crate) fn fence_owner(scope: &str, to: Epoch) -> Op {
    op(&FENCE, vec![scope.into(), to.to_sql().into()])
}

/// An owner's epoch; no row if nobody has ever claimed the scope.
pub(crate) const OWNER: Sql =
    Sql { name: "an owner's epoch", text: "SELECT epoch FROM sw_owner WHERE scope = $1" };

/// Raises the shard's epoch, never lowers it. A transaction of its own, because a batch that shares one
/// with it would be committed after the fence it did not pass. The inner error is a higher epoch.
pub(crate) fn fence_shard(connection: &Connection, to: Epoch) -> rusqlite::Result<Result<Position, Epoch>> {
    let raised = connection
        .prepare_cached("UPDATE sw_shard SET epoch = $1 WHERE epoch <= $1 RETURNING seq")?
        .query_row([to.to_sql()], |row| row.get::<_, i64>(0))
        .optional()?;
    match raised {
        Some(seq) => Ok(Ok(Position(seq as u64))),
        None => shard_epoch(connection).map(Err),
    }
}

fn op(sql: &'static Sql, args: Vec<Value>) -> Op {
    Op { sql, args, expect: Expect::Rows(1) }
}
