//! The registry's operations, without HTTP and without SQL.
//!
//! Consul's agents each keep the services registered with them, and a client that registers with one and
//! heartbeats to another is told "unknown check". Here there is no agent: what is registered "with the agent"
//! belongs to the registry's own node and every registry node answers for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use seawall_net::host::Host;
use seawall_net::tasks::Tasks;
use seawall_policy::inflight::Full;
use seawall_policy::{Clock, Mono, Rng};

use crate::leases::{Beat, REAP_EVERY, TICK};
use crate::machine::catalog::InstanceView;
use crate::machine::{
    Check, CheckSpec, Command, NodeSpec, Registration, Reply, Service, ServiceSpec, Shared, Status, Topic,
    Weights,
};
use crate::metrics::Metrics;
use crate::read::{Read, View, look};
use crate::state::State;
use crate::storage::{Log, Refused};

/// The name and id under which the registry lists itself.
pub const OWN_SERVICE: &str = "consul";
/// The check of the registry's own node; clients that guard a session name it.
pub const OWN_CHECK: &str = "serfHealth";
/// A wait grows by at most its sixteenth (Consul's jitter).
const JITTER: u32 = 16;
/// Checks there may be for each instance there may be; most have one.
const CHECKS_PER_INSTANCE: usize = 4;
/// Bytes of memory a key takes besides itself and its value: without counting them, millions of empty values would
/// pass for nothing.
const KEY_COST: u64 = 128;
/// Consul's words for a maintenance mode that came without any.
const MAINTENANCE_REASON: &str =
    "Maintenance mode is enabled for this service, but no reason was provided. This is a default message.";

/// Who this registry is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Node name.
    pub node: String,
    /// Node UUID.
    pub id: String,
    /// Datacenter name.
    pub datacenter: String,
    /// The address told to clients of services that name none.
    pub address: String,
    /// The HTTP port.
    pub port: u16,
}

/// How much may be registered; one more is refused in words.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Service instances, and nodes, and a few times as many checks.
    pub instances_max: usize,
    /// Bytes of keys with their values and what keeping them costs.
    pub kv_bytes_max: u64,
}

/// Why an operation was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// There is no service with this id.
    NoService(String),
    /// There is no check with this id.
    NoCheck(String),
    /// The check is not one that its owner reports on.
    NotTtl(String),
    /// A check names a service that is not registered.
    Orphan(String),
    /// It is the registry's own entry.
    Own,
    /// A bound is reached.
    Full(String),
    /// The log did not take the change.
    Refused(Refused),
}

impl From<Refused> for Denied {
    fn from(refused: Refused) -> Denied {
        Denied::Refused(refused)
    }
}

/// The registry.
pub struct Registry {
    state: Arc<State>,
    log: Log,
    bounds: Bounds,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    rng: Mutex<Rng>,
    /// Who this registry is.
    pub me: Identity,
    /// What it counts.
    pub metrics: Metrics,
}

impl Registry {
    /// A registry over a state and the log that drives it.
    #[must_use]
    pub fn new(
        (state, log): (Arc<State>, Log),
        me: Identity,
        bounds: Bounds,
        host: &Host,
        metrics: Metrics,
    ) -> Arc<Registry> {
        let (clock, tasks) = (host.clock.clone(), host.tasks.clone());
        let rng = Mutex::new(Rng::new(host.seed));
        Arc::new(Registry { state, log, bounds, clock, tasks, rng, me, metrics })
    }

    /// Lists the registry itself, as Consul lists its servers.
    ///
    /// # Errors
    /// When the log does not take it.
    pub async fn announce(&self) -> Result<(), Denied> {
        let me = &self.me;
        let addresses =
            ["lan", "lan_ipv4", "wan", "wan_ipv4"].map(|name| (name.to_owned(), me.address.clone()));
        let node = NodeSpec {
            name: me.node.clone(),
            id: me.id.clone(),
            address: me.address.clone(),
            datacenter: me.datacenter.clone(),
            tagged: addresses.into(),
            meta: [("seawall-version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())].into(),
        };
        let service = ServiceSpec {
            id: OWN_SERVICE.into(),
            name: OWN_SERVICE.into(),
            tags: Vec::new(),
            address: String::new(),
            port: me.port,
            socket_path: String::new(),
            meta: Default::default(),
            tagged: Default::default(),
            weights: Weights { passing: 1, warning: 1 },
            enable_tag_override: false,
            kind: String::new(),
        };
        let alive = CheckSpec {
            id: OWN_CHECK.into(),
            name: "Serf Health Status".into(),
            status: Status::Passing,
            notes: String::new(),
            output: "Agent alive and reachable".into(),
            service_id: String::new(),
            kind: String::new(),
            ttl_ms: None,
            deregister_after_ms: None,
            definition: serde_json::json!({}),
            keep: false,
        };
        let registration = Registration {
            node,
            skip_node_update: false,
            service: Some(service),
            checks: vec![alive],
            replace_checks: false,
        };
        self.propose(Command::Register(Box::new(registration))).await.map(drop)
    }

    /// Registers a service with the registry's own node.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn register_service(
        &self,
        service: ServiceSpec,
        checks: Vec<CheckSpec>,
        replace_checks: bool,
    ) -> Result<(), Denied> {
        if service.id == OWN_SERVICE {
            return Err(Denied::Own);
        }
        self.register(self.here(Some(service), checks, replace_checks)).await
    }

    /// Registers a check with the registry's own node.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn register_check(&self, check: CheckSpec) -> Result<(), Denied> {
        if check.id == OWN_CHECK {
            return Err(Denied::Own);
        }
        self.register(self.here(None, vec![check], false)).await
    }

    /// Registers anything on any node.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn register(&self, mut registration: Registration) -> Result<(), Denied> {
        if registration.node.name == self.me.node {
            // The node itself describes only what is there.
            registration.skip_node_update = true;
            let names_own = registration.service.as_ref().is_some_and(|service| service.id == OWN_SERVICE);
            if names_own || registration.checks.iter().any(|check| check.id == OWN_CHECK) {
                return Err(Denied::Own);
            }
        }
        self.check_room(&registration)?;
        match self.propose(Command::Register(Box::new(registration))).await? {
            Reply::NoService(id) => Err(Denied::Orphan(id)),
            _ => Ok(()),
        }
    }

    /// Deregisters a service of the registry's own node.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn deregister_service(&self, id: &str) -> Result<(), Denied> {
        if id == OWN_SERVICE {
            return Err(Denied::NoService(id.to_owned()));
        }
        let command = Command::DeregisterService { node: self.me.node.clone(), id: id.to_owned() };
        match self.propose(command).await? {
            Reply::Done => Ok(()),
            _ => Err(Denied::NoService(id.to_owned())),
        }
    }

    /// Deregisters a check of the registry's own node.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn deregister_check(&self, id: &str) -> Result<(), Denied> {
        if id == OWN_CHECK {
            return Err(Denied::NoCheck(id.to_owned()));
        }
        let command = Command::DeregisterCheck { node: self.me.node.clone(), id: id.to_owned() };
        match self.propose(command).await? {
            Reply::Done => Ok(()),
            _ => Err(Denied::NoCheck(id.to_owned())),
        }
    }

    /// Deregisters a node, a service or a check anywhere; what is not there is gone already.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn deregister(&self, command: Command) -> Result<(), Denied> {
        let me = self.me.node.as_str();
        let is_own = match &command {
            Command::DeregisterNode { node } => node == me,
            Command::DeregisterService { node, id } => node == me && id == OWN_SERVICE,
            Command::DeregisterCheck { node, id } => node == me && id == OWN_CHECK,
            _ => false,
        };
        if is_own {
            return Err(Denied::Own);
        }
        self.propose(command).await.map(drop)
    }

    /// Switches a service's maintenance mode, which is a critical check of its own.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn maintain(&self, service: &str, enable: bool, reason: &str) -> Result<(), Denied> {
        if service == OWN_SERVICE || self.agent_service(service).is_none() {
            return Err(Denied::NoService(service.to_owned()));
        }
        let id = format!("_service_maintenance:{service}");
        if !enable {
            return match self.deregister_check(&id).await {
                Err(Denied::NoCheck(_)) => Ok(()),
                other => other,
            };
        }
        let check = CheckSpec {
            id,
            name: "Service Maintenance Mode".into(),
            status: Status::Critical,
            notes: if reason.is_empty() { MAINTENANCE_REASON.into() } else { reason.into() },
            output: String::new(),
            service_id: service.to_owned(),
            kind: "maintenance".into(),
            ttl_ms: None,
            deregister_after_ms: None,
            definition: serde_json::json!({}),
            keep: false,
        };
        self.register_check(check).await
    }

    /// Takes the report of a check's owner: a heartbeat.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn report(&self, id: &str, status: Status, output: String) -> Result<(), Denied> {
        let node = &self.me.node;
        let pending = {
            // Held across the decision and its place in the log, so that an expiry decided at the same
            // moment is ordered either before this report or not at all.
            let mut leases = self.state.leases();
            let machine = self.state.machine();
            let Some(check) = machine.check(node, id).filter(|_| id != OWN_CHECK) else {
                return Err(Denied::NoCheck(id.to_owned()));
            };
            if check.ttl_ms.is_none() {
                return Err(Denied::NotTtl(id.to_owned()));
            }
            match leases.beat(check, status, &output, self.clock.now()) {
                Beat::Renewed => {
                    self.metrics.heartbeats.inc();
                    return Ok(());
                }
                Beat::Report => self.log.submit(Command::Report {
                    node: node.clone(),
                    id: id.to_owned(),
                    status,
                    output,
                })?,
            }
        };
        match pending.done().await? {
            Reply::NoCheck => Err(Denied::NoCheck(id.to_owned())),
            _ => Ok(()),
        }
    }

    /// Writes a key. False when the `cas` index did not match.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn put(
        &self,
        key: String,
        value: Vec<u8>,
        flags: u64,
        cas: Option<u64>,
    ) -> Result<bool, Denied> {
        if !self.has_room(&key, value.len()) {
            let max = self.bounds.kv_bytes_max;
            return Err(Denied::Full(format!("keys and values may take {max} bytes; delete some first")));
        }
        Ok(self.propose(Command::Put { key, value, flags, cas }).await? == Reply::Done)
    }

    /// Deletes a key. False when the `cas` index did not match.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn delete(&self, key: String, cas: Option<u64>) -> Result<bool, Denied> {
        Ok(self.propose(Command::Delete { key, cas }).await? == Reply::Done)
    }

    /// Deletes all keys with a prefix.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn delete_tree(&self, prefix: String) -> Result<(), Denied> {
        self.propose(Command::DeleteTree { prefix }).await.map(drop)
    }

    /// The services registered with the registry's own node, itself left out.
    #[must_use]
    pub fn agent_services(&self) -> Vec<Shared<Service>> {
        let machine = self.state.machine();
        machine.services_on(&self.me.node).filter(|s| s.id != OWN_SERVICE).cloned().collect()
    }

    /// One of them, with what judges it.
    #[must_use]
    pub fn agent_service(&self, id: &str) -> Option<InstanceView> {
        let mut instance = self.state.machine().instance(&self.me.node, id)?;
        instance.checks.retain(|check| check.id != OWN_CHECK);
        (id != OWN_SERVICE).then_some(instance)
    }

    /// The checks registered with the registry's own node, its own left out.
    #[must_use]
    pub fn agent_checks(&self) -> Vec<Shared<Check>> {
        let machine = self.state.machine();
        machine.checks_on(&self.me.node).filter(|c| c.id != OWN_CHECK).cloned().collect()
    }

    /// The index of what `topic` names, and the highest there is.
    #[must_use]
    pub fn index_of(&self, topic: &Topic) -> (u64, u64) {
        let machine = self.state.machine();
        (machine.index_of(topic), machine.index())
    }

    /// The content of an answer with its index, both of the same moment.
    #[must_use]
    pub fn look(&self, read: &Read) -> (u64, View) {
        let machine = self.state.machine();
        (machine.index_of(&read.topic()), look(&machine, read))
    }

    /// Waits while `still` holds, until `patience` is over or the registry stops.
    ///
    /// # Errors
    /// [`Full`] when too many wait already.
    pub async fn wait_while(
        &self,
        topic: &Topic,
        patience: Duration,
        still: impl Fn() -> bool,
    ) -> Result<(), Full> {
        let refused = |_: &Full| {
            self.metrics.watchers_refused.inc();
        };
        let mut watcher = self.state.hub.listen(topic).inspect_err(refused)?;
        let mut time = std::pin::pin!(self.tasks.sleep(patience));
        while still() {
            tokio::select! {
                () = watcher.woken() => {}
                _ = &mut time => break,
            }
        }
        Ok(())
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Mono {
        self.clock.now()
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.tasks.is_stopping()
    }

    /// A wait with up to a sixteenth more, so that clients who came together do not come back together.
    #[must_use]
    pub fn jittered(&self, wait: Duration) -> Duration {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        wait + (wait / JITTER).mul_f64(rng.unit())
    }

    /// Turns checks critical whose time ran out, and reaps what stayed critical. Runs until a stop.
    pub async fn keep_time(self: Arc<Self>) {
        let mut reap_at = self.clock.now() + REAP_EVERY;
        while self.tasks.sleep(TICK).await {
            self.expire();
            self.metrics.watchers.set(self.state.hub.waiting() as i64);
            if self.clock.now() >= reap_at {
                reap_at = self.clock.now() + REAP_EVERY;
                self.reap();
            }
        }
    }

    fn expire(&self) {
        let now = self.clock.now();
        let mut leases = self.state.leases();
        let due = {
            let machine = self.state.machine();
            self.metrics.instances.set(machine.instances() as i64);
            leases.due(&machine, now)
        };
        for command in due {
            // Its place in the order is all we need: what does not get to the disk is due again.
            match self.log.submit(command.clone()) {
                Ok(pending) => {
                    self.metrics.expired.inc();
                    drop(pending);
                }
                Err(_) => leases.postpone(command, now),
            }
        }
    }

    /// Asks for it and does not wait: a disk that is slow must not stop the clock, which would take that for a
    /// pause of its own and let nobody expire.
    fn reap(&self) {
        let overdue = {
            let leases = self.state.leases();
            leases.reap(&self.state.machine(), self.clock.now())
        };
        let submit = |command: Command| Some((command.clone(), self.log.submit(command).ok()?));
        let asked: Vec<_> = overdue.into_iter().map_while(submit).collect();
        let reaped = self.metrics.reaped.clone();
        self.tasks.vital("registry reaping", async move {
            for (command, pending) in asked {
                // Any other answer: it recovered, or will be overdue at the next look as well.
                if let Ok(Reply::Done) = pending.done().await {
                    reaped.inc();
                    tracing::info!(?command, "service deregistered after being critical too long");
                }
            }
        });
    }

    fn here(
        &self,
        service: Option<ServiceSpec>,
        checks: Vec<CheckSpec>,
        replace_checks: bool,
    ) -> Registration {
        let node = NodeSpec {
            name: self.me.node.clone(),
            id: self.me.id.clone(),
            address: self.me.address.clone(),
            datacenter: self.me.datacenter.clone(),
            tagged: Default::default(),
            meta: Default::default(),
        };
        Registration { node, skip_node_update: true, service, checks, replace_checks }
    }

    /// Whether a value of `len` bytes fits under `key`. One that is no longer than what is there always does.
    fn has_room(&self, key: &str, len: usize) -> bool {
        let machine = self.state.machine();
        let old = machine.key(key);
        if old.as_ref().is_some_and(|old| len <= old.value.len()) {
            return true;
        }
        let (keys, bytes) = machine.kv_size();
        let taken = bytes + keys as u64 * KEY_COST;
        let more = match old {
            Some(old) => (len - old.value.len()) as u64,
            None => (key.len() + len) as u64 + KEY_COST,
        };
        taken + more <= self.bounds.kv_bytes_max
    }

    /// Refuses what would be one too many; what exists already may always be changed.
    fn check_room(&self, registration: &Registration) -> Result<(), Denied> {
        let (machine, max) = (self.state.machine(), self.bounds.instances_max);
        let node = &registration.node.name;
        let full = |what: &str, max: usize| {
            Err(Denied::Full(format!("the registry holds {max} {what} and takes no more")))
        };
        if machine.node(node).is_none() && machine.nodes().len() >= max {
            return full("nodes", max);
        }
        let is_new = |service: &ServiceSpec| machine.service(node, &service.id).is_none();
        if registration.service.as_ref().is_some_and(is_new) && machine.instances() >= max {
            return full("instances", max);
        }
        let new = registration.checks.iter().filter(|check| machine.check(node, &check.id).is_none()).count();
        let checks_max = max.saturating_mul(CHECKS_PER_INSTANCE);
        if new > 0 && machine.checks_count() + new > checks_max {
            return full("checks", checks_max);
        }
        Ok(())
    }

    async fn propose(&self, command: Command) -> Result<Reply, Denied> {
        let start = self.clock.now();
        let reply = self.log.propose(command).await?;
        self.metrics.propose_seconds.observe(self.clock.now().since(start).as_secs_f64());
        Ok(reply)
    }
}
