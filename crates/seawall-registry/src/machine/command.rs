//! Everything that can change the registry, as data.
//!
//! A command carries whatever its effect depends on: ids, defaults, decisions made from a clock. Applying the
//! same commands in the same order therefore gives the same state on every machine and in every year, which is
//! what lets a log replace locks between nodes. These types are written to disk: fields may be added with a
//! default, never renamed; see `storage` for the format's version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::model::{Address, Status, Weights, base64_bytes};

/// One change, in the order of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// A node, perhaps with a service and checks, all or nothing.
    Register(Box<Registration>),
    /// A node with everything on it.
    DeregisterNode {
        /// Its name.
        node: String,
    },
    /// A service with its checks.
    DeregisterService {
        /// Where it runs.
        node: String,
        /// Its id there.
        id: String,
    },
    /// A single check.
    DeregisterCheck {
        /// Where it runs.
        node: String,
        /// Its id there.
        id: String,
    },
    /// A check turned out differently.
    Report {
        /// Where it runs.
        node: String,
        /// Its id there.
        id: String,
        /// How it turned out.
        status: Status,
        /// What there is to say.
        output: String,
    },
    /// A service whose check stayed critical too long is deregistered, unless it recovered in the meantime.
    Reap {
        /// Where it runs.
        node: String,
        /// The service.
        service: String,
        /// The check that stayed critical.
        check: String,
        /// The check's `modified` when this was decided: another one means that it recovered since.
        modified: u64,
    },
    /// A key is written.
    Put {
        /// Which.
        key: String,
        /// Any bytes.
        #[serde(with = "base64_bytes")]
        value: Vec<u8>,
        /// The client's number.
        flags: u64,
        /// Only if the key's `modified` is this; 0: only if there is no such key.
        cas: Option<u64>,
    },
    /// A key is deleted.
    Delete {
        /// Which.
        key: String,
        /// Only if the key's `modified` is this.
        cas: Option<u64>,
    },
    /// All keys with a prefix are deleted.
    DeleteTree {
        /// The prefix; empty means all keys.
        prefix: String,
    },
}

/// What [`Command::Register`] registers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    /// The node to create or update.
    pub node: NodeSpec,
    /// Leave an existing node as it is.
    pub skip_node_update: bool,
    /// The service to create or replace.
    pub service: Option<ServiceSpec>,
    /// Checks to create or replace.
    pub checks: Vec<CheckSpec>,
    /// Delete the service's checks that are not among `checks`.
    pub replace_checks: bool,
}

/// A node as its owner describes it; the fields are those of [`Node`](super::Node).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented at Node")]
pub struct NodeSpec {
    pub name: String,
    pub id: String,
    pub address: String,
    pub datacenter: String,
    pub tagged: BTreeMap<String, String>,
    pub meta: BTreeMap<String, String>,
}

/// A service as its owner describes it; the fields are those of [`Service`](super::Service).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented at Service")]
pub struct ServiceSpec {
    pub id: String,
    pub name: String,
    pub tags: Vec<String>,
    pub address: String,
    pub port: u16,
    pub socket_path: String,
    pub meta: BTreeMap<String, String>,
    pub tagged: BTreeMap<String, Address>,
    pub weights: Weights,
    pub enable_tag_override: bool,
    pub kind: String,
}

/// A check as its owner describes it; most fields are those of [`Check`](super::Check).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented at Check")]
pub struct CheckSpec {
    pub id: String,
    pub name: String,
    pub status: Status,
    pub notes: String,
    pub output: String,
    pub service_id: String,
    pub kind: String,
    pub ttl_ms: Option<u64>,
    pub deregister_after_ms: Option<u64>,
    pub definition: serde_json::Value,
    /// An existing check keeps its status and output: registering a service again says nothing of its health.
    pub keep: bool,
}

/// What a command led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It was done (or there was nothing left to do).
    Done,
    /// The condition of a `cas` did not hold; nothing changed.
    Differs,
    /// There is no such node.
    NoNode,
    /// There is no such service on the node; the id is named because a registration may mention several.
    NoService(String),
    /// There is no such check on the node.
    NoCheck,
}
