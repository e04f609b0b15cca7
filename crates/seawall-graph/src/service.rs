//! The operations, as the APIs call them: checked against schema and limits, tickets kept.

use std::sync::Arc;

use seawall_policy::Clock;
use seawall_policy::deadline::Deadline;
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_128};

use crate::call::{AssocType, Command, Data, Home, Idempotency, Key, ObjectType, Refusal, Version, Write};
use crate::follower::Follower;
use crate::leader::Upstream;
use crate::limits::{KEY_LEN_MAX, OBJECT_DATA_MAX};
use crate::message::Changeset;
use crate::metrics::Metrics;
use crate::schema::{self, AssocKind, ObjectKind, Schema};
use crate::ticket::Ticket;

/// Whom to ask for a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The follower's memory.
    Follower,
    /// The leader's memory.
    Leader,
    /// The store.
    Source,
}

/// What a service is made of.
pub struct Parts {
    /// Where calls enter.
    pub follower: Arc<Follower>,
    /// How it and we reach the leader.
    pub upstream: Upstream,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Metrics,
}

/// The operations of the graph.
pub struct Service(Parts);

impl Service {
    /// Over these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Service> {
        Arc::new(Service(parts))
    }

    /// The schema that holds.
    #[must_use]
    pub fn schema(&self) -> Arc<Schema> {
        self.0.upstream.schema()
    }

    /// Replaces the schema unless something would be lost.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with everything that would be lost; else as [`Service::write`].
    pub async fn schema_put(&self, new: Schema, deadline: Deadline) -> Result<(), Refusal> {
        self.0.upstream.schema_put(new, deadline).await
    }

    /// Where reads enter.
    #[must_use]
    pub fn follower(&self) -> &Follower {
        &self.0.follower
    }

    /// The leader, for what is no read or write of a client: versions, news, exports.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.0.upstream
    }

    /// What time it is.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Checks the write against schema and limits, does it and notes it in the ticket.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for what makes no sense, before anything is done; after [`Refusal::Unknown`] only asking
    /// again with the same idempotency key tells; else any [`Refusal`].
    pub async fn write(
        &self,
        write: Write,
        key: Option<Idempotency>,
        ticket: &mut Ticket,
        deadline: Deadline,
    ) -> Result<Changeset, Refusal> {
        check(&self.schema(), &write).map_err(Refusal::Invalid)?;
        let set = self.0.follower.write(Command { write, key }, deadline).await?;
        ticket.note(&set, self.0.clock.wall());
        Ok(set)
    }

    /// A client's idempotency key (1 to [`KEY_LEN_MAX`] bytes) for this write. The time of an association does not
    /// count: who leaves it out gets another one with each try.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for an empty or too long key.
    pub fn idempotency(key: &[u8], write: &Write) -> Result<Idempotency, Refusal> {
        if key.is_empty() || key.len() > KEY_LEN_MAX {
            let words = format!("an idempotency key has 1 to {KEY_LEN_MAX} bytes, not {}", key.len());
            return Err(Refusal::Invalid(words));
        }
        Ok(Idempotency { key: xxh3_128(key).to_be_bytes(), fingerprint: fingerprint(write) })
    }

    /// The version of a key at one place. `None`: nothing is known there (a memory that does not hold the key).
    ///
    /// # Errors
    /// The source cannot be asked.
    pub async fn version(
        &self,
        place: Place,
        key: Key,
        deadline: Deadline,
    ) -> Result<Option<Version>, Refusal> {
        match place {
            Place::Follower => Ok(self.0.follower.cached_version(key)),
            Place::Leader => Ok(self.0.upstream.cached_version(key)),
            Place::Source => self.0.upstream.source_version(key, deadline).await.map(Some),
        }
    }
}

/// What can be told without asking the store. Updates are checked by who merges them.
fn check(schema: &Schema, write: &Write) -> Result<(), String> {
    match write {
        Write::ObjectAdd { otype, data, .. } => {
            let kind = object_kind(schema, *otype)?;
            schema::check_complete(&kind.fields, data)?;
            schema::check_size(kind.data_max, data)
        }
        Write::ObjectUpdate { set, .. } => schema::check_size(OBJECT_DATA_MAX as u32, set),
        Write::ObjectDelete { .. } => Ok(()),
        Write::AssocAdd { atype, data, .. } => {
            let kind = assoc_kind(schema, *atype)?;
            schema::check_complete(&kind.fields, data)?;
            schema::check_size(kind.data_max, data)
        }
        Write::AssocDelete { atype, .. } => assoc_kind(schema, *atype).map(|_| ()),
        Write::AssocChangeType { from, to, .. } => {
            let (from, to) = (assoc_kind(schema, *from)?, assoc_kind(schema, *to)?);
            if from.atype == to.atype {
                return Err(format!("the association is of the type `{}` already", from.name));
            }
            from.can_become(to)
        }
    }
}

fn object_kind(schema: &Schema, otype: ObjectType) -> Result<&ObjectKind, String> {
    schema.object_kind(otype).ok_or_else(|| format!("the schema has no object type {}", otype.0))
}

fn assoc_kind(schema: &Schema, atype: AssocType) -> Result<&AssocKind, String> {
    schema.assoc_kind(atype).ok_or_else(|| format!("the schema has no association type {}", atype.0))
}

/// The same for the same write, in every process and version: it is kept with the answer for 24 h.
fn fingerprint(write: &Write) -> u64 {
    let data = |data: &Data| xxh3_64(data.bytes());
    let (what, numbers) = match write {
        Write::ObjectAdd { otype, data: fields, home } => {
            let (how, id) = match home {
                Home::Anywhere => (0, 0),
                Home::Near(id) => (1, id.get()),
                Home::Exactly(id) => (2, id.get()),
            };
            (0, [u64::from(otype.0), data(fields), how, id])
        }
        Write::ObjectUpdate { id, set, unset, if_version } => {
            let version = if_version.map_or(u64::MAX, |version| version.0);
            (1, [id.get(), data(set), xxh3_64(unset), version])
        }
        Write::ObjectDelete { id } => (2, [id.get(), 0, 0, 0]),
        Write::AssocAdd { id1, atype, id2, time: _, data: fields } => {
            (3, [id1.get(), u64::from(atype.0), id2.get(), data(fields)])
        }
        Write::AssocDelete { id1, atype, id2 } => (4, [id1.get(), u64::from(atype.0), id2.get(), 0]),
        Write::AssocChangeType { id1, from, id2, to } => {
            (5, [id1.get(), u64::from(from.0), id2.get(), u64::from(to.0)])
        }
    };
    let mut hash = Xxh3::with_seed(what);
    for number in numbers {
        hash.update(&number.to_le_bytes());
    }
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Time;
    use crate::id::Id;

    fn id(number: u64) -> Id {
        Id::try_from(number).unwrap()
    }

    fn likes(id1: u64, time: u32, data: &[u8]) -> Write {
        let data = Data::from(data.to_vec());
        Write::AssocAdd { id1: id(id1), atype: AssocType(5), id2: id(9), time: Time(time), data }
    }

    #[test]
    fn a_repeat_is_known_by_key_and_by_what_it_asks_for() {
        let of = |key: &[u8], write: &Write| Service::idempotency(key, write).unwrap();
        let first = of(b"k1", &likes(1, 10, b"x"));
        assert_eq!(of(b"k1", &likes(1, 11, b"x")), first, "the time may be the server's");
        assert_eq!(of(b"k1", &likes(1, 10, b"y")).key, first.key);
        assert_ne!(of(b"k1", &likes(1, 10, b"y")).fingerprint, first.fingerprint);
        assert_ne!(of(b"k1", &likes(2, 10, b"x")).fingerprint, first.fingerprint);
        assert_ne!(of(b"k2", &likes(1, 10, b"x")).key, first.key);
        // Kept for a day, across versions of this program.
        assert_eq!(first.fingerprint, PINNED);
        assert!(Service::idempotency(b"", &likes(1, 10, b"x")).is_err());
        assert!(Service::idempotency(&[7; KEY_LEN_MAX + 1], &likes(1, 10, b"x")).is_err());
    }

    /// Of `likes(1, _, b"x")`.
    const PINNED: u64 = 6_320_647_725_432_680_521;

    #[test]
    fn what_makes_no_sense_is_refused_with_words() {
        let schema = Schema::built_in();
        let says = |write: &Write| check(&schema, write).unwrap_err();
        let nothing = Data::default();
        let unknown =
            Write::ObjectAdd { otype: ObjectType(999), data: nothing.clone(), home: Home::Anywhere };
        assert_eq!(says(&unknown), "the schema has no object type 999");
        let unknown = Write::AssocDelete { id1: id(1), atype: AssocType(999), id2: id(2) };
        assert_eq!(says(&unknown), "the schema has no association type 999");
        let friend = schema.assoc("friend").unwrap();
        let large = Data::from(vec![0; friend.data_max as usize + 1]);
        let large =
            Write::AssocAdd { id1: id(1), atype: friend.atype, id2: id(2), time: Time(1), data: large };
        assert!(says(&large).contains("bytes"), "{}", says(&large));
        let same = Write::AssocChangeType { id1: id(1), from: friend.atype, id2: id(2), to: friend.atype };
        assert_eq!(says(&same), "the association is of the type `friend` already");
        let large = Data::from(vec![0; OBJECT_DATA_MAX + 1]);
        let large = Write::ObjectUpdate { id: id(1), set: large, unset: vec![], if_version: None };
        assert!(says(&large).contains("bytes"));
    }
}
