//! Keeping bytes: shards of SQL with group commit, epochs and a change stream.
//!
//! A system describes a write as data (a [`Batch`] of prepared statements, never a closure), names the
//! shard by a hash key, and gets one of three answers: [`Written::Committed`], [`Written::Rejected`] or
//! [`Written::Unknown`]. There is no fourth, and no acknowledgement before the disk has it.
//!
//! ## Where to start reading
//!
//! [`Shard::write`] puts a batch on a bounded queue; `writer` takes a group of them through one
//! transaction; `sql::group` is that transaction, statement by statement; `reader` answers reads;
//! `changes` wakes whoever follows the change stream; `files` opens the files, once per process.
//!
//! ## What is absent
//!
//! No tokio runtime: threads are the standard library's, and answers travel through channels that work
//! on any runtime, so a system may end and start again while its files stay open. No clock and no
//! randomness but the ones in [`Options`]. No retry of a caller's write: an `Unknown` is settled by the
//! caller writing again with the same key.

mod changes;
mod files;
mod housekeeping;
pub mod limits;
mod metrics;
mod queue;
mod reader;
mod shard;
mod sql;
mod types;
mod value;
mod writer;

pub use changes::ChangesError;
pub use files::{Files, Migration, OpenError, Options, Plants, ShardSet};
pub use metrics::Metrics;
pub use reader::ReadError;
pub use shard::{ClaimError, Shard};
pub use types::{
    Batch, Epoch, Event, Expect, Fresh, Freshness, Idem, Op, Owned, Position, Scope, Sql, Why, Written,
};
pub use value::{Mismatch, Row, Rows, Value};

pub use seawall_policy::placement::hash::hk;
