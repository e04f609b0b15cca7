//! The graph as rows. The only folder that knows tables, statements and events.
//!
//! `tables` are the rows, `plan` makes a write's statements (pure), `write` does it on one database, `across` on two,
//! `read` asks, `news` is what followers hear, `reign` who leads and by which schema.
//!
//! Every write is made in the name of whoever leads ([`OWNER_SCOPE`]): the store refuses it once another does.

mod across;
mod news;
mod plan;
mod read;
mod reign;
mod rows;
mod tables;
#[cfg(test)]
mod tests;
mod trouble;
mod write;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use seawall_policy::deadline::Deadline;
use seawall_policy::{Clock, Wall};
use seawall_store::{
    Batch, Epoch, Event, Fresh, Freshness, Idem, Op, Owned, Position, ReadError, Rows, Shard, ShardSet, Sql,
    Value, Written,
};
use tokio::sync::watch;
use tokio::time::timeout;

pub use reign::Lease;
pub use tables::{OWNER_SCOPE, SCHEMA, SET};
pub use trouble::{Failed, Trouble};

use crate::call::{AssocType, Data, Idempotency, ObjectType, Time, Version};
use crate::id::{Id, LogicalShard};
use crate::message::Change;
use trouble::{Committed, Stop};

/// How long a read may take before the store counts as failing. A point read takes microseconds; beyond a second an
/// old answer from memory serves better.
const READ_PATIENCE: Duration = Duration::from_secs(1);
/// How long a batch may take. Leaves time, of the five seconds a request has, to settle what became of it.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);

/// A write with everything storage needs to know besides: decided by the leader.
#[derive(Debug, Clone, PartialEq)]
pub enum Planned {
    /// A new object.
    ObjectAdd {
        /// Its id, chosen by the leader. With an idempotency key it lives in [`birthplace`], unless the client says
        /// where.
        id: Id,
        /// Its type.
        otype: ObjectType,
        /// Its fields.
        data: Data,
    },
    /// The whole new data of an object, if it still has this type and version.
    ObjectReplace {
        /// Which.
        id: Id,
        /// The type it must have.
        otype: ObjectType,
        /// All its fields.
        data: Data,
        /// The version it must have; `None`: any.
        if_version: Option<Version>,
    },
    /// An object is gone.
    ObjectDelete {
        /// Which.
        id: Id,
    },
    /// An association and its inverse are there.
    AssocAdd {
        /// One end.
        id1: Id,
        /// Its type.
        atype: AssocType,
        /// The other end.
        id2: Id,
        /// What both lists are sorted by.
        time: Time,
        /// Its fields, on both sides.
        data: Data,
        /// The type of the other direction, if it has one.
        inverse: Option<AssocType>,
    },
    /// An association and its inverse are gone.
    AssocDelete {
        /// One end.
        id1: Id,
        /// Its type.
        atype: AssocType,
        /// The other end.
        id2: Id,
        /// The type of the other direction, if it has one.
        inverse: Option<AssocType>,
    },
    /// An association and its inverse get other types.
    AssocChangeType {
        /// One end.
        id1: Id,
        /// Its type until now.
        from: AssocType,
        /// The other end.
        id2: Id,
        /// Its type from now on.
        to: AssocType,
        /// The inverse of `from`, if it has one.
        inverse_from: Option<AssocType>,
        /// The inverse of `to`, if it has one.
        inverse_to: Option<AssocType>,
    },
}

/// News of one database.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// What happened, in the order of commits.
    Changes {
        /// Each with its place.
        changes: Vec<(Position, Change)>,
        /// Everything up to here is in it: where to go on from. Not every position is one of a change.
        up_to: Position,
    },
    /// Some are gone: forget everything of this database.
    Missed {
        /// Where to go on from.
        now: Position,
    },
}

/// Two ids whose associations are on two databases, the lower one first. Writes of one pair are done one after the
/// other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    low: Id,
    high: Id,
}

/// A write between two databases that was begun and perhaps left behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// The database it is written down on.
    pub shard: u32,
    /// What is to be done.
    pub planned: Planned,
    /// Its own; the keys of its steps are made of it, so that each happens once whoever completes it.
    pub number: [u8; 16],
    /// When it was begun.
    pub at: Wall,
    fingerprint: u64,
    /// Of a change of type: the association as it was found.
    found: (Time, Data),
}

/// The databases.
#[derive(Clone)]
pub struct Storage {
    set: ShardSet,
    clock: Arc<dyn Clock>,
    /// Writes between databases that came without a key, so that each gets one of its own.
    drawn: Arc<AtomicU64>,
}

/// Where an object with an idempotency key is born that may live anywhere. The key decides, so that a second try is
/// asked on the database that knows of the first.
#[must_use]
pub fn birthplace(key: &Idempotency) -> LogicalShard {
    LogicalShard(u16::from_be_bytes([key.key[0], key.key[1]]))
}

impl Pair {
    fn of(a: Id, b: Id) -> Pair {
        Pair { low: a.min(b), high: a.max(b) }
    }
}

impl Intent {
    /// Whose it is.
    #[must_use]
    pub fn pair(&self) -> Pair {
        let (a, b) = self.planned.ends();
        Pair::of(a, b)
    }

    fn key(&self) -> Idempotency {
        Idempotency { key: self.number, fingerprint: self.fingerprint }
    }
}

impl Planned {
    /// The id it is asked of: what a refusal names.
    #[must_use]
    pub fn id(&self) -> Id {
        self.ends().0
    }

    /// The ids whose rows it may change; the same one twice if there is only one.
    fn ends(&self) -> (Id, Id) {
        match *self {
            Planned::ObjectAdd { id, .. }
            | Planned::ObjectReplace { id, .. }
            | Planned::ObjectDelete { id } => (id, id),
            Planned::AssocAdd { id1, id2, inverse, .. } | Planned::AssocDelete { id1, id2, inverse, .. } => {
                (id1, if inverse.is_some() { id2 } else { id1 })
            }
            Planned::AssocChangeType { id1, id2, inverse_from, inverse_to, .. } => {
                (id1, if inverse_from.or(inverse_to).is_some() { id2 } else { id1 })
            }
        }
    }
}

impl Storage {
    /// On a set that is open.
    #[must_use]
    pub fn new(set: ShardSet, clock: Arc<dyn Clock>) -> Storage {
        Storage { set, clock, drawn: Arc::default() }
    }

    /// How many databases there are.
    #[must_use]
    pub fn shards(&self) -> u32 {
        self.set.len()
    }

    /// The database an id lives on.
    #[must_use]
    pub fn shard_of(&self, id: Id) -> u32 {
        self.set.index_of(id.hk())
    }

    /// The databases a write is about: a second one only where its two sides lie apart.
    #[must_use]
    pub fn shards_of(&self, planned: &Planned) -> (u32, Option<u32>) {
        let (a, b) = planned.ends();
        let (first, second) = (self.shard_of(a), self.shard_of(b));
        (first, Some(second).filter(|second| *second != first))
    }

    /// The pair whose writes must wait for each other, if this one needs two databases. Whoever leads does one write
    /// or repair of a pair at a time.
    #[must_use]
    pub fn pair(&self, planned: &Planned) -> Option<Pair> {
        let (a, b) = planned.ends();
        (self.shard_of(a) != self.shard_of(b)).then(|| Pair::of(a, b))
    }

    /// Wakes when something was committed on a database, by this process or another. The value is the newest position
    /// known.
    #[must_use]
    pub fn changed(&self, shard: u32) -> watch::Receiver<Position> {
        self.set.get(shard).changed()
    }

    fn of(&self, id: Id) -> &Shard {
        self.set.of(id.hk())
    }

    /// A deadline for what is not asked for by a client, and for what was begun and must be finished.
    fn soon(&self) -> Deadline {
        Deadline::after(self.clock.now(), WRITE_PATIENCE)
    }

    async fn read(&self, shard: &Shard, sql: &'static Sql, args: Vec<Value>) -> Result<Fresh<Rows>, Trouble> {
        Ok(self.ask(shard, sql, args).await?)
    }

    async fn ask(
        &self,
        shard: &Shard,
        sql: &'static Sql,
        args: Vec<Value>,
    ) -> Result<Fresh<Rows>, ReadError> {
        let reading = shard.read(Freshness::Primary, sql, args);
        timeout(READ_PATIENCE, reading).await.unwrap_or(Err(ReadError::Deadline))
    }

    /// Hands a batch over, and if its fate is unknown hands the same over once more to learn it, time permitting.
    /// Only what may be repeated is: with a key, or where `is_once` because a second time would be a conflict. Also
    /// says whether it was.
    async fn commit(
        &self,
        shard: &Shard,
        deadline: Deadline,
        is_once: bool,
        mut make: impl FnMut() -> Batch,
    ) -> (Result<Committed, Stop>, bool) {
        let batch = make();
        let may_repeat = is_once || batch.key.is_some();
        let once = self.try_commit(shard, deadline, batch).await;
        let is_unknown = matches!(once, Err(Stop::Trouble(Trouble::Unknown)));
        if !is_unknown || !may_repeat || deadline.is_past(self.clock.now()) {
            return (once, false);
        }
        let again = match self.try_commit(shard, deadline, make()).await {
            // These have seen what the first try did. All others leave its fate as unknown as it was.
            known @ (Ok(_) | Err(Stop::Conflict | Stop::Trouble(Trouble::KeyReused))) => known,
            Err(_) => Err(Stop::Trouble(Trouble::Unknown)),
        };
        (again, true)
    }

    async fn try_commit(&self, shard: &Shard, deadline: Deadline, batch: Batch) -> Result<Committed, Stop> {
        if deadline.is_past(self.clock.now()) {
            return Err(Stop::Trouble(Trouble::Late));
        }
        let writing = shard.write(batch, deadline.at);
        // Giving up waiting does not undo it: that is exactly what unknown means.
        match Committed::of(timeout(WRITE_PATIENCE, writing).await.unwrap_or(Written::Unknown)) {
            Err(Stop::Trouble(Trouble::Busy)) if deadline.is_past(self.clock.now()) => {
                Err(Stop::Trouble(Trouble::Late))
            }
            other => other,
        }
    }
}

/// A batch in the name of who leads.
fn batch(
    epochs: &[Epoch],
    shard: &Shard,
    hk: i64,
    key: Option<Idempotency>,
    ops: Vec<Op>,
    tell: Vec<Event>,
) -> Batch {
    let epoch = epochs.get(shard.index() as usize).copied().unwrap_or_default();
    let owned = Some(Owned { scope: OWNER_SCOPE.to_owned(), epoch });
    let key = key.map(|key| Idem { hk, key: key.key, fingerprint: key.fingerprint });
    Batch { hk, key, owned, ops, tell }
}
