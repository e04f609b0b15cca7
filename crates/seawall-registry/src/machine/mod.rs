//! The registry's state: a machine that turns commands into nodes, services, checks and keys.
//!
//! ## What it promises
//!
//! The same commands at the same indexes give the same state, byte for byte ([`Machine::fingerprint`]), and
//! that is all there is to it: no clock, no randomness, no I/O. Who puts the commands in order is not its
//! business (see [`storage`](crate::storage)).
//!
//! ## Indexes
//!
//! Consul's oldest complaint is that any write wakes every watcher. Here each thing one can ask for has an
//! index of its own, named by a [`Topic`]: the last command that changed the answer. The rule that makes
//! watching safe is one sentence, and a property test holds it: *when an answer changes, its topic's index
//! grows*. The reverse may fail now and then (see `graves`): a watcher may wake for nothing, never sleep
//! through something.
//!
//! ## What is absent
//!
//! Heartbeats. A hundred thousand instances reporting every ten seconds would be ten thousand commands a
//! second that change nothing; deadlines are kept in memory beside the machine, and only the moment a check
//! turns becomes a command.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub mod catalog;
pub mod command;
pub mod graves;
mod kv;
pub mod model;

pub use command::{CheckSpec, Command, NodeSpec, Registration, Reply, ServiceSpec};
pub use model::{Address, Check, Entry, Node, Service, Shared, Status, Weights};

use catalog::{Named, Placed};
use graves::Graves;
use kv::Kv;

/// The index of an empty registry: a client that was told 0 would not wait.
pub const INDEX_EMPTY: u64 = 1;

/// Everything the registry knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    index: u64,
    nodes: BTreeMap<String, Placed>,
    names: BTreeMap<String, Named>,
    kv: Kv,
    nodes_gone: Graves,
    names_gone: Graves,
    /// Last change of any node.
    nodes_index: u64,
    /// Last change of the set of service names and their tags.
    services_index: u64,
    /// Last change of any node or instance.
    instances_index: u64,
    /// Last change of any check.
    checks_index: u64,
    instances: usize,
    checks_count: usize,
}

/// Something a client can ask for and wait on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The list of nodes.
    Nodes,
    /// One node with everything on it.
    Node(String),
    /// Service names with their tags.
    Services,
    /// Every node and instance.
    Instances,
    /// The instances of one service, their nodes and checks.
    Service(String),
    /// Every check.
    Checks,
    /// One key.
    Key(String),
    /// All keys with a prefix.
    Prefix(String),
}

/// What a command changed, in the terms watchers wait in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "documented at Topic")]
pub enum Touch {
    Nodes,
    Node(String),
    Services,
    Instances,
    Service(String),
    Checks,
    Key(String),
}

/// What must follow a command outside the machine: watchers to wake, deadlines to set.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// What changed.
    pub touched: BTreeSet<Touch>,
    /// Checks registered, reported on or removed, by node and id.
    pub checks: BTreeSet<(String, String)>,
}

impl Effects {
    fn touch(&mut self, touch: Touch) {
        self.touched.insert(touch);
    }

    /// Adds the effects of a later command.
    pub fn merge(&mut self, later: Effects) {
        self.touched.extend(later.touched);
        self.checks.extend(later.checks);
    }
}

impl Default for Machine {
    fn default() -> Machine {
        Machine::new()
    }
}

impl Machine {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Machine {
        Machine {
            index: INDEX_EMPTY,
            nodes: BTreeMap::new(),
            names: BTreeMap::new(),
            kv: Kv::new(),
            nodes_gone: Graves::new(),
            names_gone: Graves::new(),
            nodes_index: INDEX_EMPTY,
            services_index: INDEX_EMPTY,
            instances_index: INDEX_EMPTY,
            checks_index: INDEX_EMPTY,
            instances: 0,
            checks_count: 0,
        }
    }

    /// Applies the command at `index` of the log, which must be later than every one before.
    ///
    /// # Panics
    /// When `index` was already applied: the log is broken, and going on would spread it.
    pub fn apply(&mut self, index: u64, command: &Command) -> (Reply, Effects) {
        assert!(index > self.index, "command {index} after {}: the log must be in order", self.index);
        self.index = index;
        let mut fx = Effects::default();
        let reply = match command {
            Command::Register(registration) => self.register(index, registration, &mut fx),
            Command::DeregisterNode { node } => self.deregister_node(index, node, &mut fx),
            Command::DeregisterService { node, id } => self.deregister_service(index, node, id, &mut fx),
            Command::DeregisterCheck { node, id } => self.deregister_check(index, node, id, &mut fx),
            Command::Report { node, id, status, output } => {
                self.report(index, (node, id), *status, output, &mut fx)
            }
            Command::Reap { node, service, check, modified } => {
                let still = self.check(node, check).is_some_and(|c| {
                    c.modified == *modified && c.status == Status::Critical && c.service_id == *service
                });
                if still { self.deregister_service(index, node, service, &mut fx) } else { Reply::Differs }
            }
            Command::Put { key, value, flags, cas } => {
                self.kv.put(index, (key, value, *flags), *cas, &mut fx)
            }
            Command::Delete { key, cas } => self.kv.delete(index, key, *cas, &mut fx),
            Command::DeleteTree { prefix } => self.kv.delete_tree(index, prefix, &mut fx),
        };
        (reply, fx)
    }

    /// The last command applied.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The last command that changed what `topic` names.
    #[must_use]
    pub fn index_of(&self, topic: &Topic) -> u64 {
        match topic {
            Topic::Nodes => self.nodes_index,
            Topic::Node(name) => {
                self.nodes.get(name).map_or_else(|| self.nodes_gone.index(name), |placed| placed.index)
            }
            Topic::Services => self.services_index,
            Topic::Instances => self.instances_index,
            Topic::Service(name) => {
                self.names.get(name).map_or_else(|| self.names_gone.index(name), |named| named.index)
            }
            Topic::Checks => self.checks_index,
            Topic::Key(key) => self.kv.index(key),
            Topic::Prefix(prefix) => self.kv.index_under(prefix),
        }
    }

    /// Hash of the whole state: equal on every replica that has applied the same commands.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        // Every map is ordered, so the text is one and the same; writing into memory cannot fail.
        xxhash_rust::xxh3::xxh3_64(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// Service instances there are.
    #[must_use]
    pub fn instances(&self) -> usize {
        self.instances
    }

    /// Checks there are.
    #[must_use]
    pub fn checks_count(&self) -> usize {
        self.checks_count
    }

    /// Keys there are, and the bytes they take with their values.
    #[must_use]
    pub fn kv_size(&self) -> (usize, u64) {
        (self.kv.len(), self.kv.bytes())
    }

    /// One key.
    #[must_use]
    pub fn key(&self, key: &str) -> Option<Shared<Entry>> {
        self.kv.get(key).cloned()
    }

    /// All keys with a prefix, in order.
    pub fn keys<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a String, &'a Shared<Entry>)> {
        self.kv.under(prefix)
    }
}

#[cfg(test)]
pub(crate) mod tests;
