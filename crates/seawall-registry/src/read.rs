//! What can be asked about the catalogue and the keys, and what the answer is made of.
//!
//! A [`Read`] is a value: two clients that ask the same hold equal ones, which is how they come to share one
//! evaluated answer. [`look`] gathers references under the caller's lock and copies no record.

use std::collections::{BTreeMap, BTreeSet};

use crate::machine::catalog::InstanceView;
use crate::machine::{Check, Entry, Machine, Node, Service, Shared, Status, Topic};

/// Pairs a node's meta data must contain, all of them.
pub type NodeMeta = Vec<(String, String)>;

/// A question about the state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Read {
    /// All nodes.
    Nodes(NodeMeta),
    /// All service names with their tags.
    Services(NodeMeta),
    /// A service's instances as flat records.
    CatalogService(Instances),
    /// A node with its services.
    CatalogNode(String),
    /// A service's instances with nodes and checks.
    HealthService(Instances),
    /// The checks of a service's instances.
    ServiceChecks(String, NodeMeta),
    /// The checks of a node and what runs on it.
    NodeChecks(String),
    /// Checks anywhere, all or in one status.
    ChecksIn(Option<Status>, NodeMeta),
    /// One key.
    Key(String),
    /// All keys with a prefix, with values.
    Tree(String),
    /// The names of all keys with a prefix, cut after the first separator behind it.
    Keys(String, String),
}

/// Which instances of which service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Instances {
    /// The service.
    pub name: String,
    /// Tags an instance must carry, all of them.
    pub tags: Vec<String>,
    /// Only those all of whose checks pass.
    pub passing: bool,
    /// What their nodes must say of themselves.
    pub node_meta: NodeMeta,
}

/// What an answer is made of.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the content of the reads it is named after")]
pub enum View {
    Nodes(Vec<Shared<Node>>),
    Names(BTreeMap<String, BTreeSet<String>>),
    CatalogService(Vec<InstanceView>),
    CatalogNode(Option<(Shared<Node>, Vec<Shared<Service>>)>),
    HealthService(Vec<InstanceView>),
    Checks(Vec<Shared<Check>>),
    Entries(Vec<(String, Shared<Entry>)>),
    /// With the prefix asked for.
    Keys(String, Vec<String>),
}

impl Read {
    /// What its answer depends on.
    #[must_use]
    pub fn topic(&self) -> Topic {
        match self {
            Read::Nodes(_) => Topic::Nodes,
            Read::Services(meta) if meta.is_empty() => Topic::Services,
            Read::Services(_) => Topic::Instances,
            Read::CatalogService(i) | Read::HealthService(i) => Topic::Service(i.name.clone()),
            Read::ServiceChecks(name, _) => Topic::Service(name.clone()),
            Read::CatalogNode(name) | Read::NodeChecks(name) => Topic::Node(name.clone()),
            Read::ChecksIn(..) => Topic::Checks,
            Read::Key(key) => Topic::Key(key.clone()),
            Read::Tree(prefix) | Read::Keys(prefix, _) => Topic::Prefix(prefix.clone()),
        }
    }
}

/// The answer's content as of now.
#[must_use]
pub fn look(m: &Machine, read: &Read) -> View {
    match read {
        Read::Nodes(meta) => View::Nodes(m.nodes().filter(|node| says(node, meta)).cloned().collect()),
        Read::Services(meta) if meta.is_empty() => {
            View::Names(m.names().map(|(name, tags)| (name.clone(), tags.cloned().collect())).collect())
        }
        Read::Services(meta) => View::Names(names_on(m, meta)),
        Read::CatalogService(instances) => View::CatalogService(select(m, instances)),
        Read::CatalogNode(name) => {
            View::CatalogNode(m.node(name).map(|node| (node.clone(), m.services_on(name).cloned().collect())))
        }
        Read::HealthService(instances) => View::HealthService(select(m, instances)),
        Read::ServiceChecks(name, meta) => {
            let instances = m.instances_of(name).filter(|i| says(&i.node, meta));
            View::Checks(instances.flat_map(|i| i.checks).filter(|c| !c.service_id.is_empty()).collect())
        }
        Read::NodeChecks(name) => View::Checks(m.checks_on(name).cloned().collect()),
        Read::ChecksIn(status, meta) => {
            let fits = |check: &&Shared<Check>| {
                status.is_none_or(|status| check.status == status)
                    && (meta.is_empty() || m.node(&check.node).is_some_and(|node| says(node, meta)))
            };
            View::Checks(m.checks().filter(fits).cloned().collect())
        }
        Read::Key(key) => View::Entries(m.key(key).map(|entry| (key.clone(), entry)).into_iter().collect()),
        Read::Tree(prefix) => {
            View::Entries(m.keys(prefix).map(|(key, entry)| (key.clone(), entry.clone())).collect())
        }
        Read::Keys(prefix, separator) => View::Keys(prefix.clone(), key_names(m, prefix, separator)),
    }
}

/// Status of a service as one word for all its checks: the worst.
#[must_use]
pub fn worst<'a>(checks: impl IntoIterator<Item = &'a Shared<Check>>) -> Status {
    checks.into_iter().map(|check| check.status).max().unwrap_or(Status::Passing)
}

fn says(node: &Node, meta: &NodeMeta) -> bool {
    meta.iter().all(|(key, value)| node.meta.get(key) == Some(value))
}

fn select(m: &Machine, wanted: &Instances) -> Vec<InstanceView> {
    let fits = |i: &InstanceView| {
        wanted.tags.iter().all(|tag| i.service.tags.contains(tag))
            && (!wanted.passing || worst(&i.checks) == Status::Passing)
            && says(&i.node, &wanted.node_meta)
    };
    m.instances_of(&wanted.name).filter(fits).collect()
}

fn names_on(m: &Machine, meta: &NodeMeta) -> BTreeMap<String, BTreeSet<String>> {
    let mut names = BTreeMap::<String, BTreeSet<String>>::new();
    for node in m.nodes().filter(|node| says(node, meta)) {
        for service in m.services_on(&node.name) {
            names.entry(service.name.clone()).or_default().extend(service.tags.iter().cloned());
        }
    }
    names
}

fn key_names(m: &Machine, prefix: &str, separator: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (key, _) in m.keys(prefix) {
        let cut = (!separator.is_empty()).then(|| key[prefix.len()..].find(separator)).flatten();
        let name = cut.map_or(key.as_str(), |at| &key[..prefix.len() + at + separator.len()]);
        // Keys come in order, so equal beginnings are neighbours.
        if names.last().is_none_or(|last| last != name) {
            names.push(name.to_owned());
        }
    }
    names
}
