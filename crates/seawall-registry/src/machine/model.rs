//! What the registry knows: nodes, services, checks, keys.
//!
//! Records are shared, not copied: a reader takes references under a short lock and writes its JSON after
//! letting go of it, so a list of ten thousand instances being encoded delays no registration.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A record that readers may keep while the machine moves on.
#[derive(Debug, PartialEq, Eq)]
pub struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    /// A record from now on never changed, only replaced.
    pub fn new(record: T) -> Shared<T> {
        Shared(Arc::new(record))
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        Shared(self.0.clone())
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Shared<T>, D::Error> {
        T::deserialize(from).map(Shared::new)
    }
}

/// How a check last turned out. The order is the order of severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Fit for traffic.
    Passing,
    /// Answers, with a worry; `?passing` leaves it out, DNS will not.
    Warning,
    /// Not to be used.
    Critical,
}

impl Status {
    /// The word used in every answer.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Passing => "passing",
            Status::Warning => "warning",
            Status::Critical => "critical",
        }
    }

    /// The status a word names, in lower case as Consul wants it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Status> {
        [Status::Passing, Status::Warning, Status::Critical].into_iter().find(|s| s.as_str() == word)
    }
}

/// A machine (or what stands for one) on which services run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name, unique in the datacenter.
    pub name: String,
    /// A UUID, or empty when whoever registered the node gave none.
    pub id: String,
    /// Used for services that name no address of their own.
    pub address: String,
    /// The datacenter it was registered in.
    pub datacenter: String,
    /// Addresses by name (`lan`, `wan`, …).
    pub tagged: BTreeMap<String, String>,
    /// Whatever its owner wants to say of it.
    pub meta: BTreeMap<String, String>,
    /// Index of the command that created it.
    pub created: u64,
    /// Index of the command that last changed it.
    pub modified: u64,
}

/// An address with its port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Host name or IP address.
    pub address: String,
    /// Port; 0 where none was given.
    pub port: u16,
}

/// How much traffic an instance wants, by its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// While every check passes.
    pub passing: u32,
    /// While a check warns.
    pub warning: u32,
}

/// One instance of a service on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Unique on its node.
    pub id: String,
    /// What clients look up.
    pub name: String,
    /// Words to select instances by.
    pub tags: Vec<String>,
    /// Empty means: the node's.
    pub address: String,
    /// Port; 0 where none was given.
    pub port: u16,
    /// A Unix socket instead of address and port.
    pub socket_path: String,
    /// Whatever its owner wants to say of it.
    pub meta: BTreeMap<String, String>,
    /// Further addresses by name (`lan_ipv4`, …).
    pub tagged: BTreeMap<String, Address>,
    /// Its share of the traffic.
    pub weights: Weights,
    /// Whether tags may be changed in the catalogue behind the owner's back.
    pub enable_tag_override: bool,
    /// Consul's service kind; empty for an ordinary service.
    pub kind: String,
    /// Index of the command that created it.
    pub created: u64,
    /// Index of the command that last changed it.
    pub modified: u64,
}

/// One health check, of a service or (with an empty `service_id`) of a whole node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The node it belongs to.
    pub node: String,
    /// Unique on its node.
    pub id: String,
    /// For people.
    pub name: String,
    /// How it last turned out.
    pub status: Status,
    /// For people.
    pub notes: String,
    /// What the last report said.
    pub output: String,
    /// The service it judges, or empty.
    pub service_id: String,
    /// That service's name.
    pub service_name: String,
    /// That service's tags.
    pub service_tags: Vec<String>,
    /// `ttl`, `maintenance`, or what an outside checker called it.
    pub kind: String,
    /// Milliseconds within which its owner must report, if it is a TTL check.
    pub ttl_ms: Option<u64>,
    /// Milliseconds of being critical after which its service is deregistered.
    pub deregister_after_ms: Option<u64>,
    /// An outside checker's instructions, kept as they came.
    pub definition: serde_json::Value,
    /// Index of the command that created it.
    pub created: u64,
    /// Index of the command that last changed it.
    pub modified: u64,
}

/// A key's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Any bytes.
    #[serde(with = "base64_bytes")]
    pub value: Vec<u8>,
    /// A number that means something to the client only.
    pub flags: u64,
    /// Index of the command that created it.
    pub created: u64,
    /// Index of the command that last changed it; what `cas` compares.
    pub modified: u64,
}

/// Bytes inside JSON: a third longer, where a list of numbers would be four times as long.
pub(super) mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}
