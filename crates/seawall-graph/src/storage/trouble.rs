//! Why the store did not do it.

use seawall_store::{ClaimError, Mismatch, Position, ReadError, Rows, Why, Written};

use crate::call::Version;
use crate::id::NoId;

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// There is no such object.
    #[error("there is no such object")]
    NoObject,
    /// The object is of another type.
    #[error("the object is of another type")]
    OtherType,
    /// The object was changed meanwhile.
    #[error("the object has version {}", current.0)]
    Changed {
        /// The version it has.
        current: Version,
    },
    /// The id of a new object was used before.
    #[error("the id was used before")]
    Used,
    /// The idempotency key belongs to another request.
    #[error("the key was used for another request")]
    KeyReused,
    /// Another process leads now.
    #[error("another process leads now")]
    Fenced,
    /// Too much to do. A write was not begun.
    #[error("the store is busy")]
    Busy,
    /// It takes no writes: the disk is full.
    #[error("the store takes no writes")]
    ReadOnly,
    /// Perhaps done, or begun and certain to be done by the repair scan. Writing again with the same key tells.
    #[error("it is not known whether the store did this")]
    Unknown,
    /// A read took too long, or the caller's deadline passed before a write was begun.
    #[error("it took too long")]
    Late,
    /// The engine failed, or we asked for something impossible; for the log.
    #[error("{0}")]
    Broken(String),
}

/// Why a write was not done, and on which database: it is the one that may be failing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("database {shard}")]
pub struct Failed {
    /// The database that did not do it.
    pub shard: u32,
    /// Why.
    #[source]
    pub trouble: Trouble,
}

/// How a batch ended that was not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// A statement met another state than it expects; what that means only its maker knows.
    Conflict,
    /// Anything else.
    Trouble(Trouble),
}

/// A batch that is on disk.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Committed {
    /// The place of its last event in the order of commits.
    pub(super) at: Position,
    /// What each statement returned.
    pub(super) rows: Vec<Rows>,
    /// Whether an earlier try with the same key had done it.
    pub(super) again: bool,
}

impl Committed {
    pub(super) fn of(written: Written) -> Result<Committed, Stop> {
        match written {
            Written::Committed { at, rows, again } => Ok(Committed { at, rows, again }),
            Written::Unknown => Err(Stop::Trouble(Trouble::Unknown)),
            Written::Rejected(why) => Err(match why {
                Why::Conflict { .. } => Stop::Conflict,
                other => Stop::Trouble(other.into()),
            }),
        }
    }
}

impl Failed {
    pub(super) fn on<T: Into<Trouble>>(shard: u32) -> impl Fn(T) -> Failed {
        move |trouble| Failed { shard, trouble: trouble.into() }
    }
}

impl From<Stop> for Trouble {
    /// For batches that expect nothing of what they meet.
    fn from(stop: Stop) -> Trouble {
        match stop {
            Stop::Conflict => Trouble::Broken("a statement met another state than it expects".to_owned()),
            Stop::Trouble(trouble) => trouble,
        }
    }
}

impl From<Why> for Trouble {
    fn from(why: Why) -> Trouble {
        match why {
            Why::KeyReused => Trouble::KeyReused,
            Why::Fenced { .. } => Trouble::Fenced,
            Why::ReadOnly => Trouble::ReadOnly,
            Why::Busy => Trouble::Busy,
            Why::Conflict { .. } | Why::TooLarge | Why::Invalid(_) => Trouble::Broken(why.to_string()),
        }
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Trouble {
        match error {
            ReadError::Busy => Trouble::Busy,
            ReadError::Deadline => Trouble::Late,
            ReadError::TooMany | ReadError::Invalid(_) | ReadError::Engine(_) | ReadError::Lost => {
                Trouble::Broken(error.to_string())
            }
        }
    }
}

impl From<ClaimError> for Trouble {
    fn from(error: ClaimError) -> Trouble {
        match error {
            ClaimError::Rejected(why) => why.into(),
            ClaimError::Unknown => Trouble::Unknown,
        }
    }
}

impl From<Mismatch> for Trouble {
    fn from(mismatch: Mismatch) -> Trouble {
        Trouble::Broken(mismatch.to_string())
    }
}

impl From<NoId> for Trouble {
    fn from(_: NoId) -> Trouble {
        Trouble::Broken("a row holds a number that is no id".to_owned())
    }
}
