//! Nodes, the services on them, and the checks of both.
//!
//! Everything hangs on its node, as in Consul; a second map from service name to instances answers the
//! question asked a thousand times as often. Each instance lists its own checks: where many services share
//! one node, gathering an instance's checks must not walk all of the node's.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::command::{CheckSpec, NodeSpec, Registration, Reply, ServiceSpec};
use super::model::{Check, Node, Service, Shared, Status};
use super::{Effects, Machine, Touch};

/// A node with what runs on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Placed {
    pub(super) node: Shared<Node>,
    pub(super) index: u64,
    services: BTreeMap<String, Instance>,
    checks: BTreeMap<String, Shared<Check>>,
    /// Ids of the checks that judge the node itself.
    own: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Instance {
    service: Shared<Service>,
    checks: BTreeSet<String>,
}

/// A service name: where it runs, and which tags its instances carry how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) index: u64,
    /// Node and service id.
    members: BTreeSet<(String, String)>,
    tags: BTreeMap<String, u32>,
}

/// One instance with what decides over its use.
#[derive(Debug, Clone)]
pub struct InstanceView {
    /// Where it runs.
    pub node: Shared<Node>,
    /// The instance.
    pub service: Shared<Service>,
    /// The node's checks, then its own.
    pub checks: Vec<Shared<Check>>,
}

/// Reading.
impl Machine {
    /// All nodes, by name.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Shared<Node>> {
        self.nodes.values().map(|placed| &placed.node)
    }

    /// One node.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Shared<Node>> {
        self.nodes.get(name).map(|placed| &placed.node)
    }

    /// The services of a node, by id.
    pub fn services_on(&self, node: &str) -> impl Iterator<Item = &Shared<Service>> {
        self.nodes.get(node).into_iter().flat_map(|placed| placed.services.values().map(|i| &i.service))
    }

    /// One service of a node.
    #[must_use]
    pub fn service(&self, node: &str, id: &str) -> Option<&Shared<Service>> {
        Some(&self.nodes.get(node)?.services.get(id)?.service)
    }

    /// The checks of a node and of the services on it, by id.
    pub fn checks_on(&self, node: &str) -> impl Iterator<Item = &Shared<Check>> {
        self.nodes.get(node).into_iter().flat_map(|placed| placed.checks.values())
    }

    /// One check.
    #[must_use]
    pub fn check(&self, node: &str, id: &str) -> Option<&Shared<Check>> {
        self.nodes.get(node)?.checks.get(id)
    }

    /// Every check there is, by node and id.
    pub fn checks(&self) -> impl Iterator<Item = &Shared<Check>> {
        self.nodes.values().flat_map(|placed| placed.checks.values())
    }

    /// The service names with their tags.
    pub fn names(&self) -> impl Iterator<Item = (&String, impl Iterator<Item = &String>)> {
        self.names.iter().map(|(name, named)| (name, named.tags.keys()))
    }

    /// The instances of a service, by node and id.
    pub fn instances_of(&self, name: &str) -> impl Iterator<Item = InstanceView> {
        let members = self.names.get(name).into_iter().flat_map(|named| &named.members);
        members.filter_map(|(node, id)| self.instance(node, id))
    }

    /// One instance with its node and checks.
    #[must_use]
    pub fn instance(&self, node: &str, id: &str) -> Option<InstanceView> {
        let placed = self.nodes.get(node)?;
        let instance = placed.services.get(id)?;
        let checks = placed.own.iter().chain(&instance.checks);
        Some(InstanceView {
            node: placed.node.clone(),
            service: instance.service.clone(),
            checks: checks.filter_map(|check| placed.checks.get(check)).cloned().collect(),
        })
    }
}

/// Changing.
impl Machine {
    pub(super) fn register(&mut self, index: u64, r: &Registration, fx: &mut Effects) -> Reply {
        let node = &r.node.name;
        // Asked before anything changes: a registration happens as a whole or not at all.
        let lost = r.checks.iter().find(|check| {
            let named = r.service.as_ref().is_some_and(|service| service.id == check.service_id);
            !check.service_id.is_empty() && !named && self.service(node, &check.service_id).is_none()
        });
        if let Some(check) = lost {
            return Reply::NoService(check.service_id.clone());
        }
        self.put_node(index, &r.node, r.skip_node_update, fx);
        if let Some(service) = &r.service {
            self.put_service(index, node, service, fx);
            if r.replace_checks {
                let named: BTreeSet<&str> = r.checks.iter().map(|check| check.id.as_str()).collect();
                let old = self.nodes[node].services[&service.id].checks.clone();
                for id in old.iter().filter(|id| !named.contains(id.as_str())) {
                    self.remove_check(index, node, id, fx);
                }
            }
        }
        for check in &r.checks {
            self.put_check(index, node, check, fx);
        }
        Reply::Done
    }

    pub(super) fn deregister_node(&mut self, index: u64, node: &str, fx: &mut Effects) -> Reply {
        let Some(placed) = self.nodes.get(node) else { return Reply::NoNode };
        let services: Vec<String> = placed.services.keys().cloned().collect();
        let checks: Vec<String> = placed.own.iter().cloned().collect();
        for id in &services {
            self.deregister_service(index, node, id, fx);
        }
        for id in &checks {
            self.remove_check(index, node, id, fx);
        }
        self.nodes.remove(node);
        self.nodes_gone.bury(node, index);
        self.touch_node(index, node, fx);
        self.touch_nodes(index, fx);
        Reply::Done
    }

    pub(super) fn deregister_service(&mut self, index: u64, node: &str, id: &str, fx: &mut Effects) -> Reply {
        let Some(placed) = self.nodes.get_mut(node) else { return Reply::NoNode };
        let Some(instance) = placed.services.get(id) else { return Reply::NoService(id.to_owned()) };
        let checks = instance.checks.clone();
        for check in &checks {
            self.remove_check(index, node, check, fx);
        }
        if let Some(instance) = self.nodes.get_mut(node).and_then(|placed| placed.services.remove(id)) {
            self.instances -= 1;
            self.detach(index, node, &instance.service, fx);
            self.touch_node(index, node, fx);
            self.touch_instances(index, fx);
        }
        Reply::Done
    }

    pub(super) fn deregister_check(&mut self, index: u64, node: &str, id: &str, fx: &mut Effects) -> Reply {
        if self.check(node, id).is_none() {
            return Reply::NoCheck;
        }
        self.remove_check(index, node, id, fx);
        Reply::Done
    }

    pub(super) fn report(
        &mut self,
        index: u64,
        (node, id): (&str, &str),
        status: Status,
        output: &str,
        fx: &mut Effects,
    ) -> Reply {
        let Some(old) = self.check(node, id) else { return Reply::NoCheck };
        let check = Check { status, output: output.to_owned(), ..Check::clone(old) };
        self.set_check(index, check, fx);
        Reply::Done
    }

    fn put_node(&mut self, index: u64, spec: &NodeSpec, skip: bool, fx: &mut Effects) {
        let old = self.nodes.get(&spec.name).map(|placed| placed.node.clone());
        let mut node = Node {
            name: spec.name.clone(),
            id: spec.id.clone(),
            address: spec.address.clone(),
            datacenter: spec.datacenter.clone(),
            tagged: spec.tagged.clone(),
            meta: spec.meta.clone(),
            created: index,
            modified: index,
        };
        let Some(old) = old else {
            self.nodes_gone.open(&node.name);
            let name = node.name.clone();
            let placed = Placed {
                node: Shared::new(node),
                index,
                services: BTreeMap::new(),
                checks: BTreeMap::new(),
                own: BTreeSet::new(),
            };
            self.nodes.insert(name.clone(), placed);
            self.touch_node(index, &name, fx);
            self.touch_nodes(index, fx);
            return;
        };
        if node.id.is_empty() {
            node.id.clone_from(&old.id);
        }
        (node.created, node.modified) = (old.created, old.modified);
        if skip || node == *old {
            return;
        }
        node.modified = index;
        let name = node.name.clone();
        if let Some(placed) = self.nodes.get_mut(&name) {
            placed.node = Shared::new(node);
        }
        self.touch_node(index, &name, fx);
        self.touch_nodes(index, fx);
        self.touch_services_on(index, &name, fx);
    }

    fn put_service(&mut self, index: u64, node: &str, spec: &ServiceSpec, fx: &mut Effects) {
        let old = self.service(node, &spec.id).cloned();
        let mut service = Service {
            id: spec.id.clone(),
            name: spec.name.clone(),
            tags: spec.tags.clone(),
            address: spec.address.clone(),
            port: spec.port,
            socket_path: spec.socket_path.clone(),
            meta: spec.meta.clone(),
            tagged: spec.tagged.clone(),
            weights: spec.weights,
            enable_tag_override: spec.enable_tag_override,
            kind: spec.kind.clone(),
            created: old.as_ref().map_or(index, |old| old.created),
            modified: old.as_ref().map_or(index, |old| old.modified),
        };
        if old.as_ref().is_some_and(|old| **old == service) {
            return;
        }
        service.modified = index;
        let service = Shared::new(service);
        let Some(placed) = self.nodes.get_mut(node) else { return };
        let checks = placed.services.remove(&spec.id).map(|old| old.checks).unwrap_or_default();
        let instance = Instance { service: service.clone(), checks: checks.clone() };
        placed.services.insert(spec.id.clone(), instance);
        match &old {
            None => {
                self.instances += 1;
                self.attach(index, node, &service, fx);
            }
            Some(old) if old.name == service.name => self.retag(index, node, old, &service, fx),
            Some(old) => {
                self.detach(index, node, old, fx);
                self.attach(index, node, &service, fx);
            }
        }
        self.touch_node(index, node, fx);
        self.touch_instances(index, fx);
        // Checks repeat their service's name and tags.
        for id in &checks {
            if let Some(old) = self.check(node, id) {
                let check = Check::clone(old);
                self.set_check(index, check, fx);
            }
        }
    }

    fn put_check(&mut self, index: u64, node: &str, spec: &CheckSpec, fx: &mut Effects) {
        let old = self.check(node, &spec.id).cloned();
        let kept = old.as_ref().filter(|_| spec.keep);
        let check = Check {
            node: node.to_owned(),
            id: spec.id.clone(),
            name: spec.name.clone(),
            status: kept.map_or(spec.status, |old| old.status),
            notes: spec.notes.clone(),
            output: kept.map_or_else(|| spec.output.clone(), |old| old.output.clone()),
            service_id: spec.service_id.clone(),
            service_name: String::new(),
            service_tags: Vec::new(),
            kind: spec.kind.clone(),
            ttl_ms: spec.ttl_ms,
            deregister_after_ms: spec.deregister_after_ms,
            definition: spec.definition.clone(),
            created: 0,
            modified: 0,
        };
        if old.is_some_and(|old| old.service_id != check.service_id) {
            self.remove_check(index, node, &spec.id, fx);
        }
        self.set_check(index, check, fx);
    }

    /// Stores a check if it differs from what is there, with its service's present name and tags.
    fn set_check(&mut self, index: u64, mut check: Check, fx: &mut Effects) {
        let (node, id) = (check.node.clone(), check.id.clone());
        fx.checks.insert((node.clone(), id.clone()));
        let Some(placed) = self.nodes.get_mut(&node) else { return };
        if let Some(instance) = placed.services.get_mut(&check.service_id) {
            check.service_name.clone_from(&instance.service.name);
            check.service_tags.clone_from(&instance.service.tags);
            instance.checks.insert(id.clone());
        } else {
            placed.own.insert(id.clone());
        }
        let old = placed.checks.get(&id);
        (check.created, check.modified) = old.map_or((index, index), |old| (old.created, old.modified));
        if old.is_some_and(|old| **old == check) {
            return;
        }
        check.modified = index;
        let check = Shared::new(check);
        if placed.checks.insert(id, check.clone()).is_none() {
            self.checks_count += 1;
        }
        self.touch_check(index, &check, fx);
    }

    fn remove_check(&mut self, index: u64, node: &str, id: &str, fx: &mut Effects) {
        let Some(placed) = self.nodes.get_mut(node) else { return };
        let Some(check) = placed.checks.remove(id) else { return };
        self.checks_count -= 1;
        placed.own.remove(id);
        if let Some(instance) = placed.services.get_mut(&check.service_id) {
            instance.checks.remove(id);
        }
        fx.checks.insert((node.to_owned(), id.to_owned()));
        self.touch_check(index, &check, fx);
    }

    fn attach(&mut self, index: u64, node: &str, service: &Service, fx: &mut Effects) {
        self.names_gone.open(&service.name);
        let known = self.names.contains_key(&service.name);
        let empty = || Named { index, members: BTreeSet::new(), tags: BTreeMap::new() };
        let named = self.names.entry(service.name.clone()).or_insert_with(empty);
        named.members.insert((node.to_owned(), service.id.clone()));
        let mut changed = !known;
        for tag in &service.tags {
            let count = named.tags.entry(tag.clone()).or_insert(0);
            changed |= *count == 0;
            *count += 1;
        }
        self.touch_name(index, &service.name, changed, fx);
    }

    fn detach(&mut self, index: u64, node: &str, service: &Service, fx: &mut Effects) {
        let Some(named) = self.names.get_mut(&service.name) else { return };
        named.members.remove(&(node.to_owned(), service.id.clone()));
        let mut changed = untag(&mut named.tags, &service.tags);
        if named.members.is_empty() {
            self.names.remove(&service.name);
            self.names_gone.bury(&service.name, index);
            changed = true;
        }
        self.touch_name(index, &service.name, changed, fx);
    }

    /// A service that keeps its name: what both have in common was never gone.
    fn retag(&mut self, index: u64, node: &str, old: &Service, new: &Service, fx: &mut Effects) {
        self.attach(index, node, new, fx);
        if let Some(named) = self.names.get_mut(&new.name) {
            let changed = untag(&mut named.tags, &old.tags);
            self.touch_name(index, &new.name, changed, fx);
        }
    }

    fn touch_nodes(&mut self, index: u64, fx: &mut Effects) {
        self.nodes_index = index;
        fx.touch(Touch::Nodes);
        self.touch_instances(index, fx);
        // Lists of checks can be narrowed by what their nodes say of themselves.
        self.checks_index = index;
        fx.touch(Touch::Checks);
    }

    fn touch_instances(&mut self, index: u64, fx: &mut Effects) {
        self.instances_index = index;
        fx.touch(Touch::Instances);
    }

    fn touch_node(&mut self, index: u64, node: &str, fx: &mut Effects) {
        if let Some(placed) = self.nodes.get_mut(node) {
            placed.index = index;
        }
        fx.touch(Touch::Node(node.to_owned()));
    }

    fn touch_name(&mut self, index: u64, name: &str, list_changed: bool, fx: &mut Effects) {
        if let Some(named) = self.names.get_mut(name) {
            named.index = index;
        }
        fx.touch(Touch::Service(name.to_owned()));
        if list_changed {
            self.services_index = index;
            fx.touch(Touch::Services);
        }
    }

    /// What judges or describes a node concerns every service on it.
    fn touch_services_on(&mut self, index: u64, node: &str, fx: &mut Effects) {
        let names: BTreeSet<String> = self.services_on(node).map(|service| service.name.clone()).collect();
        for name in &names {
            self.touch_name(index, name, false, fx);
        }
    }

    fn touch_check(&mut self, index: u64, check: &Check, fx: &mut Effects) {
        self.checks_index = index;
        fx.touch(Touch::Checks);
        self.touch_node(index, &check.node, fx);
        if check.service_id.is_empty() {
            self.touch_services_on(index, &check.node, fx);
        } else {
            self.touch_name(index, &check.service_name, false, fx);
        }
    }
}

/// Takes one of each tag away; true when a tag is carried by nobody any more.
fn untag(counts: &mut BTreeMap<String, u32>, tags: &[String]) -> bool {
    let mut changed = false;
    for tag in tags {
        if let Some(count) = counts.get_mut(tag) {
            *count -= 1;
            if *count == 0 {
                counts.remove(tag);
                changed = true;
            }
        }
    }
    changed
}
