//! The graph as anybody would write it down who had no disk, no clients and no time to save: every key with all the
//! states it ever had. What the tests beside this file read must be one of them, and not one that is too old.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use seawall_graph::Config;
use seawall_graph::call::{AssocType, Data, Done, Key, ObjectType, Time, Version, Write};
use seawall_graph::follower::View;
use seawall_graph::id::Id;
use seawall_graph::leader::Upstream;
use seawall_graph::message::{Change, Changeset};
use seawall_graph::metrics::Metrics;
use seawall_graph::schema::Schema;
use seawall_graph::service::{Parts, Service};
use seawall_graph::ticket::Ticket;
use seawall_net::host::Host;
use seawall_policy::deadline::Deadline;
use seawall_store::Files;

use crate::follower::Follows;
use crate::making::{PATIENCE, config, eventually, files, host};

/// What keeps the rows. Another engine is one more of these.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Engine {
    Sqlite,
}

impl Engine {
    pub(crate) const ALL: [Engine; 1] = [Engine::Sqlite];

    fn files(self, data: &Path, host: &Host) -> Files {
        match self {
            Engine::Sqlite => files(data, host),
        }
    }
}

/// A leader, a follower that hears all news, and one that hears them only when it is told to.
pub(crate) struct Graph {
    pub(crate) upstream: Upstream,
    pub(crate) follows: [Follows; 2],
    services: [Arc<Service>; 2],
    is_awake: AtomicBool,
    host: Host,
}

impl Graph {
    /// Memory so small that much of it is forgotten all the time.
    fn config(shards: u32) -> Config {
        Config { leader_cache: 1 << 20, follower_cache: 1 << 20, ..config(shards) }
    }

    pub(crate) async fn start(engine: Engine, data: &Path, shards: u32) -> Graph {
        let host = host();
        let config = Graph::config(shards);
        let upstream = seawall_graph::lead(&config, &host, engine.files(data, &host)).await.unwrap();
        let follows = [Follows::new(&upstream), Follows::deaf(&upstream, false, self::host())];
        let services = follows.each_ref().map(|follows| {
            Service::new(Parts {
                follower: follows.follower.clone(),
                upstream: upstream.clone(),
                clock: host.clock.clone(),
                metrics: Metrics::new(&host.metrics),
            })
        });
        Graph { upstream, follows, services, is_awake: AtomicBool::new(false), host }
    }

    /// As an operator would end it: the next one may lead at once.
    pub(crate) async fn stop(self) {
        for host in [&self.follows[0].host, &self.follows[1].host, &self.host] {
            host.tasks.stop(Duration::ZERO);
        }
        eventually("the end of leading", async || self.upstream.check().is_err()).await;
    }

    /// The one that heard nothing hears again, beginning with nothing in memory.
    pub(crate) fn wake(&self) {
        if !self.is_awake.swap(true, Ordering::Relaxed) {
            self.follows[1].listen(&self.upstream);
        }
    }

    pub(crate) fn service(&self, at: usize) -> &Service {
        &self.services[at]
    }

    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.host.clock.now(), PATIENCE)
    }

    pub(crate) fn view<'a>(&self, ticket: Option<&'a Ticket>, critical: bool) -> View<'a> {
        View { ticket, critical, deadline: self.deadline() }
    }

    pub(crate) fn wall(&self) -> seawall_policy::Wall {
        self.host.clock.wall()
    }
}

/// A list as it was: newest first.
pub(crate) type List = Vec<(Time, Id, Data)>;

/// Every state of every key, by version; version 0 is before anything happened.
pub(crate) struct Model {
    schema: Schema,
    objects: BTreeMap<Id, Vec<Option<(ObjectType, Data)>>>,
    lists: BTreeMap<(Id, AssocType), Vec<List>>,
}

impl Model {
    pub(crate) fn new() -> Model {
        Model { schema: Schema::built_in(), objects: BTreeMap::new(), lists: BTreeMap::new() }
    }

    /// All states of an object; the last one is true now.
    pub(crate) fn object(&self, id: Id) -> &[Option<(ObjectType, Data)>] {
        self.objects.get(&id).map_or(&[None], |states| states)
    }

    /// All states of a list; the last one is true now.
    pub(crate) fn list(&self, id1: Id, atype: AssocType) -> &[List] {
        const NEVER: &[List] = &[Vec::new()];
        self.lists.get(&(id1, atype)).map_or(NEVER, |states| states)
    }

    pub(crate) fn version(&self, key: Key) -> Version {
        let states = match key {
            Key::Object(id) => self.object(id).len(),
            Key::List(id1, atype) => self.list(id1, atype).len(),
        };
        Version(states as u64 - 1)
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        let objects = self.objects.keys().map(|id| Key::Object(*id));
        objects.chain(self.lists.keys().map(|(id1, atype)| Key::List(*id1, *atype))).collect()
    }

    /// What a write of edges that was not refused does, and what is answered. (What objects become, the answer says.)
    pub(crate) fn write(&mut self, write: &Write) -> Done {
        match write {
            Write::AssocAdd { id1, atype, id2, time, data } => {
                let was = self.edge(*id1, *atype, *id2).is_some();
                for (id1, atype, id2) in self.sides(*id1, *atype, *id2) {
                    self.put(id1, atype, id2, *time, data);
                }
                Done::AssocAdded(!was)
            }
            Write::AssocDelete { id1, atype, id2 } => {
                let was = self.edge(*id1, *atype, *id2).is_some();
                for (id1, atype, id2) in self.sides(*id1, *atype, *id2) {
                    self.cut(id1, atype, id2);
                }
                Done::AssocDeleted(was)
            }
            Write::AssocChangeType { id1, from, id2, to } => {
                let Some((time, data)) = self.edge(*id1, *from, *id2) else {
                    return Done::AssocChanged(false);
                };
                let new = self.sides(*id1, *to, *id2);
                for (id1, atype, id2) in self.sides(*id1, *from, *id2) {
                    if !new.contains(&(id1, atype, id2)) {
                        self.cut(id1, atype, id2);
                    }
                }
                for (id1, atype, id2) in new {
                    self.put(id1, atype, id2, time, &data);
                }
                Done::AssocChanged(true)
            }
            Write::ObjectAdd { .. } | Write::ObjectUpdate { .. } | Write::ObjectDelete { .. } => {
                unreachable!("objects are set")
            }
        }
    }

    /// The next state of an object.
    pub(crate) fn set(&mut self, id: Id, state: Option<(ObjectType, Data)>) -> Version {
        let states = self.objects.entry(id).or_insert_with(|| vec![None]);
        states.push(state);
        Version(states.len() as u64 - 1)
    }

    /// The next state of a key, as a changeset has it. Nothing if it does not say.
    pub(crate) fn hear(&mut self, change: &Change) -> Option<()> {
        match change {
            Change::Object { id, now, .. } => _ = self.set(*id, now.as_ref()?.object.clone()),
            Change::Edge { id1, atype, id2, now, .. } => match now {
                Some((time, data)) => self.put(*id1, *atype, *id2, *time, data),
                None => {
                    self.lists.entry((*id1, *atype)).or_insert_with(|| vec![Vec::new()]);
                    self.cut(*id1, *atype, *id2);
                }
            },
            Change::List { .. } => return None,
        }
        Some(())
    }

    /// What a changeset tells must be where the keys stand.
    pub(crate) fn check(&self, set: &Changeset) {
        for changed in &set.changes {
            let key = changed.change.key();
            let is_last = set
                .changes
                .iter()
                .filter(|other| other.change.key() == key)
                .all(|other| other.change.version() <= changed.change.version());
            if is_last {
                assert_eq!(changed.change.version(), self.version(key), "{key:?} in {set:?}");
            }
        }
    }

    /// An association and its inverse, once where they are the same.
    fn sides(&self, id1: Id, atype: AssocType, id2: Id) -> Vec<(Id, AssocType, Id)> {
        let mut sides = vec![(id1, atype, id2)];
        sides.extend(self.schema.inverse(atype).map(|atype| (id2, atype, id1)));
        sides.dedup();
        sides
    }

    fn edge(&self, id1: Id, atype: AssocType, id2: Id) -> Option<(Time, Data)> {
        let list = self.list(id1, atype).last().unwrap();
        list.iter().find(|edge| edge.1 == id2).map(|edge| (edge.0, edge.2.clone()))
    }

    fn put(&mut self, id1: Id, atype: AssocType, id2: Id, time: Time, data: &Data) {
        let states = self.lists.entry((id1, atype)).or_insert_with(|| vec![Vec::new()]);
        let mut list = states.last().unwrap().clone();
        list.retain(|edge| edge.1 != id2);
        list.push((time, id2, data.clone()));
        list.sort_by_key(|edge| std::cmp::Reverse((edge.0, edge.1)));
        states.push(list);
    }

    fn cut(&mut self, id1: Id, atype: AssocType, id2: Id) {
        if let Some(states) = self.lists.get_mut(&(id1, atype)) {
            let mut list = states.last().unwrap().clone();
            list.retain(|edge| edge.1 != id2);
            states.push(list);
        }
    }
}

/// The versions a client must not be told anything older than: what it wrote.
#[derive(Default, Clone)]
pub(crate) struct Client {
    pub(crate) ticket: Ticket,
    pub(crate) wrote: BTreeMap<Key, u64>,
}

impl Client {
    pub(crate) fn note(&mut self, set: &Changeset) {
        for changed in &set.changes {
            let version = self.wrote.entry(changed.change.key()).or_default();
            *version = changed.change.version().0.max(*version);
        }
    }

    pub(crate) fn floor(&self, key: Key) -> usize {
        self.wrote.get(&key).map_or(0, |version| *version as usize)
    }
}

/// Seeds of a test: a few, or one that failed before (`SEAWALL_MODEL_SEED`).
pub(crate) fn seeds(count: u64) -> Vec<u64> {
    let named = std::env::var("SEAWALL_MODEL_SEED").ok().map(|seed| seed.parse().expect("a number"));
    named.map_or_else(|| (1..=count).collect(), |seed: u64| vec![seed])
}
