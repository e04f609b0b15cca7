//! What can be asked of a graph, after names have become numbers and before anything is looked up.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::id::Id;

/// The number of an object type in the schema. Never used for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectType(pub u16);

/// The number of an association type in the schema. Never used for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AssocType(pub u16);

/// What a list is sorted by: usually seconds since 1970 at which the association was made, but the application's to
/// choose (32 bits, as TAO has it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub u32);

/// How often an object or a list was changed. Rises by one with each change; 0 never was anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

/// Fields, encoded as the schema says ([`crate::schema`]).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Data(Bytes);

/// An object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Its name.
    pub id: Id,
    /// What kind of thing it is.
    pub otype: ObjectType,
    /// How often it was changed.
    pub version: Version,
    /// What is known of it.
    pub data: Data,
}

/// An association, seen from its list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// The other end.
    pub id2: Id,
    /// What the list is sorted by.
    pub time: Time,
    /// What is known of it.
    pub data: Data,
}

/// What is cached, versioned and told about: an object, or all associations of one type from one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// An object.
    Object(Id),
    /// A list.
    List(Id, AssocType),
}

/// Where a new object is to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Home {
    /// Wherever chance says.
    Anywhere,
    /// In the shard of this id, so that what belongs together is read together.
    Near(Id),
    /// With this id, as it had elsewhere. Refused if the id was ever used here.
    Exactly(Id),
}

/// A change asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Write {
    /// A new object.
    ObjectAdd {
        /// Its type.
        otype: ObjectType,
        /// Its fields.
        data: Data,
        /// Where.
        home: Home,
    },
    /// Some fields of an object.
    ObjectUpdate {
        /// Which.
        id: Id,
        /// Fields that get a value.
        set: Data,
        /// Numbers of fields that lose theirs.
        unset: Vec<u8>,
        /// Only if it has this version.
        if_version: Option<Version>,
    },
    /// An object is gone. Its associations stay (as in TAO): whoever follows one finds nobody.
    ObjectDelete {
        /// Which.
        id: Id,
    },
    /// An association is there, with this time and these fields, whatever was there before; and its inverse, where the
    /// schema names one.
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
    },
    /// An association and its inverse are gone.
    AssocDelete {
        /// One end.
        id1: Id,
        /// Its type.
        atype: AssocType,
        /// The other end.
        id2: Id,
    },
    /// An association becomes one of another type, and its inverse that type's. An association of the new type that was
    /// there is overwritten.
    AssocChangeType {
        /// One end.
        id1: Id,
        /// Its type until now.
        from: AssocType,
        /// The other end.
        id2: Id,
        /// Its type from now on.
        to: AssocType,
    },
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Done {
    /// An object was made.
    ObjectAdded(Id),
    /// An object has this version now.
    ObjectUpdated(Version),
    /// Whether there was such an object.
    ObjectDeleted(bool),
    /// Whether the association is new, and not an old one overwritten.
    AssocAdded(bool),
    /// Whether there was such an association.
    AssocDeleted(bool),
    /// Whether there was such an association.
    AssocChanged(bool),
}

/// Makes repeating a write harmless for 24 h: the same key is answered with the first answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// A hash of what the client sent as its key.
    pub key: [u8; 16],
    /// A hash of what it asked for.
    pub fingerprint: u64,
}

/// A change, as it goes from follower to leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What to do.
    pub write: Write,
    /// The client's key, if it gave one.
    pub key: Option<Idempotency>,
}

/// Why something was not done, or not answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// What was asked for makes no sense; the words say what and where.
    #[error("{0}")]
    Invalid(String),
    /// There is no such object.
    #[error("there is no object {0}")]
    NoObject(Id),
    /// The object has another type than fields or caller assume.
    #[error("object {0} is of another type")]
    OtherType(Id),
    /// The object was changed meanwhile.
    #[error("object {id} has version {}", current.0)]
    Changed {
        /// Which.
        id: Id,
        /// The version it has.
        current: Version,
    },
    /// The id was used before, here.
    #[error("the id {0} was used before")]
    Used(Id),
    /// The idempotency key belongs to another request.
    #[error("the idempotency key was used before, for another request")]
    KeyReused,
    /// The id lives on a shard that is not led here.
    #[error("object {0} lives on a shard that is not led here")]
    Elsewhere(Id),
    /// The shard takes no writes at the moment: level 3 of degradation, a full disk.
    #[error("shard {shard} takes no writes at the moment; reads go on")]
    ReadOnly {
        /// Which database.
        shard: u32,
        /// When it may be worth another try, in milliseconds.
        retry_ms: u64,
    },
    /// Neither memory nor the shard can answer.
    #[error("shard {shard} does not answer at the moment")]
    Unavailable {
        /// Which database.
        shard: u32,
        /// When it may be worth another try, in milliseconds.
        retry_ms: u64,
    },
    /// Too much to do.
    #[error("too much to do; try again shortly")]
    Busy,
    /// The caller's deadline passed first; a write was not begun.
    #[error("the deadline passed before it could be done")]
    Late,
    /// Perhaps done. Asking again with the same idempotency key tells.
    #[error("it is not known whether this was done; ask again with the same idempotency key")]
    Unknown,
    /// Another process leads this graph; this one waits for its turn.
    #[error("another process leads this graph; this one takes over when that one ends")]
    Standby,
    /// The engine failed, or we asked for something impossible.
    #[error("the store failed: {0}")]
    Broken(String),
}

impl Key {
    /// Whose it is.
    #[must_use]
    pub fn id(self) -> Id {
        match self {
            Key::Object(id) | Key::List(id, _) => id,
        }
    }

    /// The same in every process and version: tickets carry it.
    #[must_use]
    pub fn hash(self) -> u64 {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.id().get().to_le_bytes());
        match self {
            Key::Object(_) => xxh3_64(&bytes[..8]),
            Key::List(_, atype) => {
                bytes[8..].copy_from_slice(&atype.0.to_le_bytes());
                xxh3_64(&bytes)
            }
        }
    }
}

impl Version {
    /// The one after it.
    #[must_use]
    pub fn next(self) -> Version {
        Version(self.0 + 1)
    }
}

impl Data {
    /// The encoded fields.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Data {
        Data(bytes.into())
    }
}

impl From<Bytes> for Data {
    fn from(bytes: Bytes) -> Data {
        Data(bytes)
    }
}

impl Refusal {
    /// What programs tell it by; the same over RESP and HTTP.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Invalid(_) => "invalid",
            Refusal::NoObject(_) => "no_object",
            Refusal::OtherType(_) => "other_type",
            Refusal::Changed { .. } => "changed",
            Refusal::Used(_) => "id_used",
            Refusal::KeyReused => "idempotency_key_reused",
            Refusal::Elsewhere(_) => "elsewhere",
            Refusal::ReadOnly { .. } => "read_only",
            Refusal::Unavailable { .. } => "unavailable",
            Refusal::Busy => "overloaded",
            Refusal::Late => "deadline_exceeded",
            Refusal::Unknown => "unknown_outcome",
            Refusal::Standby => "standby",
            Refusal::Broken(_) => "store_failed",
        }
    }
}
