//! Why the store did not do it.

use seawall_store::{ClaimError, Mismatch, Position, ReadError, Rows, Why, Written};

use crate::refusal::Refusal;

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Too much to do, or it took too long. Nothing was written.
    #[error("the store is busy")]
    Busy,
    /// It takes no writes: the disk is full.
    #[error("the store takes no writes")]
    ReadOnly,
    /// Another process speaks for this now.
    #[error("another process owns this now")]
    Fenced,
    /// A statement met another state than it expects.
    #[error("statement {op} met another state than it expects")]
    Conflict {
        /// Which one, from 0.
        op: usize,
    },
    /// The idempotency key belongs to another request.
    #[error("the key was used for another request")]
    KeyReused,
    /// Perhaps done; only writing again with the same key will tell.
    #[error("it is not known whether the store did this")]
    Unknown,
    /// The engine failed, or we asked for something impossible; for the log.
    #[error("{0}")]
    Failed(String),
}

/// Why there are no changes to give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangesTrouble {
    /// Some are gone: whatever was derived from them is to be made anew.
    #[error("changes are kept from position {} on", oldest.0)]
    TooOld {
        /// The oldest position that can be gone on from.
        oldest: Position,
    },
    /// The read failed.
    #[error(transparent)]
    Read(#[from] Trouble),
}

/// A batch that is on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// Its place in the order of commits.
    pub at: Position,
    /// What each statement returned.
    pub rows: Vec<Rows>,
    /// Whether an earlier try with the same key had done it.
    pub again: bool,
}

impl Committed {
    /// Tells a batch that is on disk from every other.
    ///
    /// # Errors
    /// It was rejected, or its fate is not known.
    pub fn of(written: Written) -> Result<Committed, Trouble> {
        match written {
            Written::Committed { at, rows, again } => Ok(Committed { at, rows, again }),
            Written::Rejected(why) => Err(why.into()),
            Written::Unknown => Err(Trouble::Unknown),
        }
    }
}

impl From<Why> for Trouble {
    fn from(why: Why) -> Trouble {
        match why {
            Why::Conflict { op } => Trouble::Conflict { op },
            Why::KeyReused => Trouble::KeyReused,
            Why::Fenced { .. } => Trouble::Fenced,
            Why::ReadOnly => Trouble::ReadOnly,
            Why::Busy => Trouble::Busy,
            Why::TooLarge | Why::Invalid(_) => Trouble::Failed(why.to_string()),
        }
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Trouble {
        match error {
            ReadError::Busy | ReadError::Deadline => Trouble::Busy,
            ReadError::TooMany | ReadError::Invalid(_) | ReadError::Engine(_) | ReadError::Lost => {
                Trouble::Failed(error.to_string())
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
        Trouble::Failed(mismatch.to_string())
    }
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Refusal {
        match trouble {
            Trouble::Busy | Trouble::ReadOnly | Trouble::Fenced => Refusal::Overloaded,
            Trouble::Unknown => Refusal::Unknown,
            Trouble::Conflict { .. } | Trouble::KeyReused | Trouble::Failed(_) => {
                tracing::error!(%trouble, "the store did not do what was asked");
                Refusal::Internal
            }
        }
    }
}
