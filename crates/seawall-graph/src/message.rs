//! What a follower and its leader say to each other. Everything here serialises: in one process the messages are handed
//! over as they are and share their bytes, between machines they will be sent.
//!
//! A follower asks for what it does not have ([`Fill`], [`Range`], [`Points`]), passes writes on
//! ([`Command`](crate::call::Command)) and gets the [`Changeset`] they led to. What others changed it hears from the
//! change stream of each database ([`Changed`]).

use seawall_store::Position;
use serde::{Deserialize, Serialize};

use crate::call::{AssocType, Data, Done, Key, ObjectType, Time, Version};
use crate::edges::Edges;
use crate::id::Id;

/// What an object is, or that it is not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ObjectState {
    /// 0 where there never was one.
    pub version: Version,
    /// Nothing where there never was one, or is none any more.
    pub object: Option<(ObjectType, Data)>,
}

/// The newest part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Head {
    /// 0 where nothing was ever added.
    pub version: Version,
    /// Associations in the whole list.
    pub count: u64,
    /// The newest of them.
    pub edges: Edges,
}

impl Head {
    /// Whether there is nothing in the list besides what is here.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.edges.len() as u64 >= self.count
    }
}

/// What a key stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Of [`Key::Object`].
    Object(ObjectState),
    /// Of [`Key::List`].
    List(Head),
}

impl State {
    /// Its version.
    #[must_use]
    pub fn version(&self) -> Version {
        match self {
            State::Object(object) => object.version,
            State::List(head) => head.version,
        }
    }
}

/// Asks for a key's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// Of what.
    pub key: Key,
    /// Of a list, how many of the newest edges at least, if there are so many.
    pub edges: u32,
    /// Older than this is of no use to the asker.
    pub at_least: Version,
    /// The source itself must be asked: a critical read.
    pub critical: bool,
}

/// Asks the source for a part of a list beyond any head: never kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Whose list.
    pub id1: Id,
    /// Which.
    pub atype: AssocType,
    /// Nothing newer than this.
    pub high: Time,
    /// Nothing older than this.
    pub low: Time,
    /// How many of these to leave out first.
    pub skip: u32,
    /// At most so many. Bounded by the type's cap.
    pub limit: u32,
}

/// Asks the source for single associations of a long list: never kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Points {
    /// Whose list.
    pub id1: Id,
    /// Which.
    pub atype: AssocType,
    /// To whom. At most [`crate::limits::POINTS_MAX`].
    pub id2s: Vec<Id>,
}

/// One thing that happened, in the order of commits of its database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// An object was made, changed or deleted.
    Object {
        /// Which.
        id: Id,
        /// The version it has since.
        version: Version,
        /// What it is now. News do not say (an object is invalidated); the answer to its writer does.
        now: Option<ObjectState>,
    },
    /// One association of a list was added, overwritten or deleted.
    Edge {
        /// Whose list.
        id1: Id,
        /// Which.
        atype: AssocType,
        /// The version the list has since.
        version: Version,
        /// How long it is since.
        count: u64,
        /// To whom.
        id2: Id,
        /// What it is now; nothing if it is gone.
        now: Option<(Time, Data)>,
    },
    /// Something else happened to a list: what is older is of no use.
    List {
        /// Whose list.
        id1: Id,
        /// Which.
        atype: AssocType,
        /// The version it has since.
        version: Version,
    },
}

impl Change {
    /// To what.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Change::Object { id, .. } => Key::Object(*id),
            Change::Edge { id1, atype, .. } | Change::List { id1, atype, .. } => Key::List(*id1, *atype),
        }
    }

    /// The version it led to.
    #[must_use]
    pub fn version(&self) -> Version {
        match self {
            Change::Object { version, .. } | Change::Edge { version, .. } | Change::List { version, .. } => {
                *version
            }
        }
    }
}

/// A change and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// In which database.
    pub shard: u32,
    /// At which place of its order.
    pub at: Position,
    /// What happened.
    pub change: Change,
}

/// What a write led to: the follower it came through applies this before it answers, so that its client reads what it
/// wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changeset {
    /// What to answer.
    pub done: Done,
    /// What happened to which key. Empty where nothing did.
    pub changes: Vec<Changed>,
    /// An earlier request with the same idempotency key had done it.
    pub again: bool,
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::edges::EdgeRef;

    #[test]
    fn messages_survive_being_sent() {
        let id = Id::try_from(77_u64).unwrap();
        let edges = Edges::of([EdgeRef { id2: id, time: Time(5), data: b"x" }]);
        let head = Head { version: Version(3), count: 9, edges };
        assert!(!head.is_whole());
        let state = State::List(head);
        let sent = serde_json::to_vec(&state).unwrap();
        assert_eq!(serde_json::from_slice::<State>(&sent).unwrap(), state);
        let data = Data::from(Bytes::from_static(b"abc"));
        let change = Change::Edge {
            id1: id,
            atype: AssocType(2),
            version: Version(4),
            count: 10,
            id2: id,
            now: Some((Time(1), data)),
        };
        let changed = Changed { shard: 1, at: Position(9), change };
        let set = Changeset { done: Done::AssocAdded(true), changes: vec![changed], again: false };
        let sent = serde_json::to_vec(&set).unwrap();
        assert_eq!(serde_json::from_slice::<Changeset>(&sent).unwrap(), set);
    }
}
