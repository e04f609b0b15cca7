//! What a caller hands to the store and what it gets back. A write is data, never a closure: it can be
//! queued, grouped with others, sent to another engine, and tried again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::value::{Rows, Value};

/// A statement. Kept as a constant beside the code that owns the table; `name` appears in errors and
/// logs, `text` is written in the portable subset with `$1..$n` placeholders.
#[derive(Debug)]
pub struct Sql {
    /// What errors and logs call it.
    pub name: &'static str,
    /// One statement. The same placeholder may appear more than once.
    pub text: &'static str,
}

/// How many rows a statement must touch, so that a condition in its WHERE clause decides the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Any number.
    Any,
    /// Exactly this many: rows returned where the statement returns rows, else rows changed. A broken
    /// expectation undoes the whole batch and is answered [`Why::Conflict`].
    Rows(u64),
}

/// One statement of a batch with its arguments.
#[derive(Debug, Clone)]
pub struct Op {
    /// Which statement.
    pub sql: &'static Sql,
    /// `$1..$n`, in order.
    pub args: Vec<Value>,
    /// What must be true of its effect.
    pub expect: Expect,
}

/// Makes a retry harmless: a batch with a key that was committed before is answered with what was
/// answered then. Remembered for [`limits::IDEMPOTENCY_KEPT`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idem {
    /// The hash key the request routes by, so that the retry meets the same shard.
    pub hk: i64,
    /// The caller's key.
    pub key: [u8; 16],
    /// A hash of what was asked for. The same key with another fingerprint is [`Why::KeyReused`].
    pub fingerprint: u64,
}

/// Who may speak for something: the batch commits only while `scope` is held with `epoch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// What is owned: a guild, a range of the graph.
    pub scope: String,
    /// The epoch the owner claimed it with.
    pub epoch: Epoch,
}

/// Something the shard's followers are to hear of, in the order of commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What kind of news.
    pub topic: String,
    /// About what.
    pub key: Vec<u8>,
    /// The news itself, as topic and reader agreed.
    pub body: Vec<u8>,
    /// A statement of the batch whose first returned row is told as well: its integers follow the body, 8 bytes
    /// each, little-endian. It is how a count or a version that only the database knows gets into the news in the
    /// order of commits. Nothing follows where the statement returned no row.
    pub numbers: Option<usize>,
}

/// Statements that happen together or not at all, on one shard.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Any hash key of the shard; usually the one the rows start with.
    pub hk: i64,
    /// Makes a retry harmless. A batch without one must not be repeated after [`Written::Unknown`],
    /// unless repeating it is harmless by itself.
    pub key: Option<Idem>,
    /// The owner's epoch, where the data has an owner.
    pub owned: Option<Owned>,
    /// What to do, in order. At most [`limits::BATCH_OPS_MAX`].
    pub ops: Vec<Op>,
    /// What to tell. At most [`limits::BATCH_EVENTS_MAX`].
    pub tell: Vec<Event>,
}

impl Batch {
    /// Bytes of arguments and events, as the limits count them.
    #[must_use]
    pub fn size(&self) -> usize {
        let args = self.ops.iter().flat_map(|op| &op.args).map(Value::size).sum::<usize>();
        args + self.tell.iter().map(Event::size).sum::<usize>()
    }

    /// Whether any bound is passed.
    pub(crate) fn is_too_large(&self) -> bool {
        self.ops.len() > limits::BATCH_OPS_MAX
            || self.tell.len() > limits::BATCH_EVENTS_MAX
            || self.tell.iter().any(|e| e.size() > limits::EVENT_BYTES_MAX)
            || self.size() > limits::BATCH_BYTES_MAX
    }
}

impl Event {
    /// News without numbers from the database.
    #[must_use]
    pub fn new(topic: &str, key: &[u8], body: Vec<u8>) -> Event {
        Event { topic: topic.to_owned(), key: key.to_vec(), body, numbers: None }
    }

    /// Bytes of topic, key and body.
    #[must_use]
    pub fn size(&self) -> usize {
        self.topic.len() + self.key.len() + self.body.len()
    }
}

/// A place in a shard's order of commits. Every event has its own, so that a reader which stopped
/// between two events of one batch goes on between them; a batch's own is that of its last event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// As a column holds it. No shard gets as far as the ceiling; a caller's number may.
    pub(crate) fn to_sql(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

/// Which reign a writer belongs to. Only ever rises; an older one is fenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// As a column holds it; the ceiling as for positions.
    pub(crate) fn to_sql(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

/// What a fence is put up around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The whole shard: which database is the truth (failover, split, move).
    Shard,
    /// One owned thing in it: who speaks for a guild or a range of the graph.
    Owner(String),
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a write that is not known to be committed must not be acknowledged"]
pub enum Written {
    /// On disk, together with everything committed before it.
    Committed {
        /// Its place in the order of commits.
        at: Position,
        /// What each statement returned, in order; empty for one that returns no rows.
        rows: Vec<Rows>,
        /// True if an earlier try with the same key had done it; `at` and `rows` are from then.
        again: bool,
    },
    /// Not done by this try, and never will be. It says nothing of an earlier try that was
    /// [`Written::Unknown`], except for [`Why::KeyReused`] and, of a batch that works only once,
    /// [`Why::Conflict`]: those two have seen what is on disk.
    Rejected(Why),
    /// Perhaps done: the disk failed in the middle of a commit. Settled by writing again with the
    /// same key.
    Unknown,
}

/// Why a batch was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// A statement broke its expectation or a uniqueness rule.
    #[error("statement {op} met another state than it expects")]
    Conflict {
        /// Which one, from 0.
        op: usize,
    },
    /// The idempotency key belongs to a different request.
    #[error("the idempotency key was used before, for another request")]
    KeyReused,
    /// Somebody with a higher epoch has taken over.
    #[error("fenced: epoch {} is current", current.0)]
    Fenced {
        /// The epoch that may write; 0 where nobody has claimed the scope.
        current: Epoch,
    },
    /// The engine takes no writes just now: disk full, or opened read-only.
    #[error("the shard takes no writes at the moment")]
    ReadOnly,
    /// The queue was full, or the deadline passed before the batch was started.
    #[error("the shard is busy")]
    Busy,
    /// The batch passes one of the [`limits`].
    #[error("the batch is larger than a shard takes at once")]
    TooLarge,
    /// The batch cannot work anywhere: a wrong statement, wrong arguments, or another shard's key.
    #[error("{0}")]
    Invalid(String),
}

/// How old an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Everything committed before the read began.
    Primary,
    /// At least everything up to a position: a caller reads its own writes.
    AtLeast(Position),
    /// At most this far behind.
    Within(Duration),
    /// Whatever is nearest.
    Any,
}

/// An answer and how fresh it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Fresh<T> {
    /// The answer.
    pub rows: T,
    /// Every commit up to here is in it.
    pub at: Position,
}
