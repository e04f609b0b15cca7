//! One operation after the other, of several clients at two followers of which one hears nothing for long, with the
//! whole graph started anew in between. After each operation the model says what the answer may be.

use std::path::Path;

use seawall_graph::call::{AssocType, Data, Done, Home, Key, Refusal, Time, Version, Write};
use seawall_graph::id::{Id, LogicalShard};
use seawall_graph::schema::encode_text;
use seawall_graph::service::{Place, Service};
use seawall_graph::ticket::Ticket;
use seawall_policy::Rng;

use crate::making::{USER, eventually, user};
use crate::model::{Client, Engine, Graph, List, Model, seeds};

/// Types of the built-in schema, with and without inverse, and one that is its own.
const FOLLOWS: AssocType = AssocType(1);
const TYPES: [AssocType; 7] =
    [FOLLOWS, AssocType(2), AssocType(3), AssocType(20), AssocType(21), AssocType(23), AssocType(24)];
/// Types whose data can be read as the other's.
const RETYPES: [(AssocType, AssocType); 4] = [
    (AssocType(23), AssocType(3)),
    (AssocType(20), AssocType(21)),
    (AssocType(3), AssocType(20)),
    (AssocType(21), AssocType(23)),
];
const STEPS: usize = 400;
const CLIENTS: usize = 3;
const IDS: u64 = 12;
/// Longer than the head that is fetched at first, so that memory holds a part only.
const HUB_LEN: u64 = 140;

struct World {
    graph: Graph,
    model: Model,
    clients: Vec<Client>,
    ids: Vec<Id>,
    rng: Rng,
    keys_used: u64,
}

#[tokio::test]
async fn every_answer_is_one_the_model_allows() {
    for engine in Engine::ALL {
        for shards in [1, 4] {
            for seed in seeds(3) {
                println!("{engine:?}, {shards} databases, SEAWALL_MODEL_SEED={seed}");
                run(engine, shards, seed).await;
            }
        }
    }
}

async fn run(engine: Engine, shards: u32, seed: u64) {
    let data = tempfile::tempdir().unwrap();
    let graph = Graph::start(engine, data.path(), shards).await;
    let mut rng = Rng::new(seed);
    let ids = (0..IDS).map(|n| Id::new(LogicalShard(rng.next_u64() as u16), n + 1)).collect();
    let clients = vec![Client::default(); CLIENTS];
    let mut world = World { graph, model: Model::new(), clients, ids, rng, keys_used: 0 };
    for n in 0..HUB_LEN {
        let id2 = Id::new(LogicalShard(n as u16), 1000 + n);
        let time = Time(world.below(50) as u32);
        let write = Write::AssocAdd { id1: world.ids[0], atype: TYPES[3], id2, time, data: Data::default() };
        world.edges(0, 0, write, false).await;
    }
    for _ in 0..STEPS {
        world = world.step(engine, data.path(), shards).await;
    }
    world.settle().await;
    world.graph.stop().await;
}

impl World {
    fn below(&mut self, bound: usize) -> usize {
        (self.rng.next_u64() % bound as u64) as usize
    }

    fn id(&mut self) -> Id {
        let n = self.below(self.ids.len());
        self.ids[n]
    }

    /// Mostly ids at hand, sometimes one of the long list.
    fn end(&mut self) -> Id {
        if self.below(4) == 0 {
            let n = self.below(HUB_LEN as usize) as u64;
            return Id::new(LogicalShard(n as u16), 1000 + n);
        }
        self.id()
    }

    async fn step(mut self, engine: Engine, data: &Path, shards: u32) -> World {
        let (client, at) = (self.below(CLIENTS), self.below(2));
        match self.below(100) {
            0..12 => self.add_object(client, at).await,
            12..22 => self.update_object(client, at).await,
            22..26 => self.delete_object(client, at).await,
            26..50 => {
                let (write, is_repeated) = self.write_of_edges();
                self.edges(client, at, write, is_repeated).await;
            }
            50..64 => self.read_objects(client, at).await,
            64..94 => self.read_list(client, at).await,
            94..97 => {
                // Two browser tabs: one hears of the other's ticket, as text.
                let other = self.clients[self.rng.next_u64() as usize % CLIENTS].clone();
                let wall = self.graph.wall();
                let sent = Ticket::parse(&other.ticket.text()).unwrap();
                let mine = &mut self.clients[client];
                mine.ticket.merge(&sent, wall);
                for (key, version) in other.wrote {
                    let known = mine.wrote.entry(key).or_default();
                    *known = version.max(*known);
                }
            }
            97..99 => self.graph.wake(),
            _ => {
                self.graph.stop().await;
                self.graph = Graph::start(engine, data, shards).await;
            }
        }
        self
    }

    async fn write(&mut self, client: usize, at: usize, write: Write) -> Result<Done, Refusal> {
        let deadline = self.graph.deadline();
        let ticket = &mut self.clients[client].ticket;
        let set = self.graph.service(at).write(write, None, ticket, deadline).await?;
        assert!(!set.again);
        self.clients[client].note(&set);
        Ok(set.done)
    }

    async fn add_object(&mut self, client: usize, at: usize) {
        let known = self.id();
        let home = match self.below(4) {
            0 => Home::Anywhere,
            1 => Home::Near(known),
            _ => Home::Exactly(known),
        };
        let data = self.fields();
        let write = Write::ObjectAdd { otype: USER, data: data.clone(), home };
        match self.write(client, at, write).await {
            Err(Refusal::Used(id)) => {
                assert_eq!(home, Home::Exactly(id));
                assert!(self.model.object(id).len() > 1, "{id} was never used");
            }
            Ok(Done::ObjectAdded(id)) => {
                match home {
                    Home::Exactly(wanted) => assert_eq!(id, wanted),
                    Home::Near(near) => assert_eq!(id.shard(), near.shard()),
                    Home::Anywhere => {}
                }
                assert_eq!(self.model.set(id, Some((USER, data))), Version(1), "an id is used once");
                if self.ids.len() < 2 * IDS as usize {
                    self.ids.push(id);
                }
            }
            other => panic!("{other:?}"),
        }
    }

    async fn update_object(&mut self, client: usize, at: usize) {
        let id = self.id();
        let current = self.model.version(Key::Object(id));
        let if_version = match self.below(3) {
            0 => Some(current),
            1 if current.0 > 0 && self.below(2) == 0 => Some(Version(current.0 - 1)),
            _ => None,
        };
        let data = self.fields();
        let write = Write::ObjectUpdate { id, set: data.clone(), unset: vec![], if_version };
        let exists = self.model.object(id).last().unwrap().is_some();
        match self.write(client, at, write).await {
            Err(Refusal::NoObject(refused)) => assert!(refused == id && !exists),
            Err(Refusal::Changed { id: refused, current: told }) => {
                assert_eq!((refused, told), (id, current));
                assert_ne!(if_version, Some(current));
            }
            Ok(Done::ObjectUpdated(version)) => {
                assert!(exists && if_version.is_none_or(|wanted| wanted == current));
                assert_eq!(self.model.set(id, Some((USER, data))), version);
            }
            other => panic!("{other:?}"),
        }
    }

    async fn delete_object(&mut self, client: usize, at: usize) {
        let id = self.id();
        let exists = self.model.object(id).last().unwrap().is_some();
        let done = self.write(client, at, Write::ObjectDelete { id }).await;
        assert_eq!(done, Ok(Done::ObjectDeleted(exists)));
        if exists {
            self.model.set(id, None);
        }
    }

    /// All required fields, and always the same ones: an update then says all there is.
    fn fields(&mut self) -> Data {
        let about = "x".repeat(self.below(400));
        let name = self.below(1000).to_string();
        user(&[("name", &name), ("about", &about)])
    }

    fn write_of_edges(&mut self) -> (Write, bool) {
        let (id1, id2) = if self.below(3) == 0 { (self.ids[0], self.end()) } else { (self.id(), self.end()) };
        let n = self.below(TYPES.len());
        let atype = if id1 == self.ids[0] && self.below(2) == 0 { TYPES[3] } else { TYPES[n] };
        let write = match self.below(6) {
            0..3 => {
                let time = Time(self.below(60) as u32);
                Write::AssocAdd { id1, atype, id2, time, data: self.edge_fields(atype) }
            }
            3..5 => Write::AssocDelete { id1, atype, id2 },
            _ => {
                let (from, to) = RETYPES[self.below(RETYPES.len())];
                Write::AssocChangeType { id1, from, id2, to }
            }
        };
        (write, self.below(5) == 0)
    }

    fn edge_fields(&mut self, atype: AssocType) -> Data {
        let schema = self.graph.service(0).schema();
        let notify: &[u8] = if self.below(2) == 0 { b"true" } else { b"false" };
        let kind = schema.assoc_kind(atype).unwrap();
        let given: &[(&[u8], &[u8])] = if atype.0 <= FOLLOWS.0 + 1 { &[(b"notify", notify)] } else { &[] };
        encode_text(&kind.fields, given).unwrap()
    }

    /// A write of edges, and perhaps the same once more with the same idempotency key at the other follower.
    async fn edges(&mut self, client: usize, at: usize, write: Write, is_repeated: bool) {
        let wanted = self.model.write(&write);
        let key = is_repeated.then(|| {
            self.keys_used += 1;
            Service::idempotency(&self.keys_used.to_le_bytes(), &write).unwrap()
        });
        for round in 0..=u8::from(is_repeated) {
            let at = (at + usize::from(round)) % 2;
            let deadline = self.graph.deadline();
            let ticket = &mut self.clients[client].ticket;
            let set = self.graph.service(at).write(write.clone(), key, ticket, deadline).await.unwrap();
            assert_eq!((set.done, set.again), (wanted, round == 1), "{write:?}");
            self.model.check(&set);
            self.clients[client].note(&set);
        }
    }

    async fn read_objects(&mut self, client: usize, at: usize) {
        let ids = (0..1 + self.below(5)).map(|_| self.id()).collect::<Vec<_>>();
        let critical = self.below(8) == 0;
        let has_ticket = self.below(4) != 0;
        let client = &self.clients[client];
        let view = self.graph.view(has_ticket.then_some(&client.ticket), critical);
        let answer = self.graph.follows[at].follower.objects(&ids, &view).await.unwrap();
        assert!(!answer.is_stale);
        for (id, state) in ids.iter().zip(answer.value) {
            let states = self.model.object(*id);
            let version = state.version.0 as usize;
            assert_eq!(states.get(version), Some(&state.object), "{id} as of version {version}");
            let floor = if critical { states.len() - 1 } else { client.floor(Key::Object(*id)) };
            assert!(version >= floor || !(has_ticket || critical), "{id}: {version} is older than {floor}");
        }
    }

    async fn read_list(&mut self, client: usize, at: usize) {
        let id1 = if self.below(3) == 0 { self.ids[0] } else { self.id() };
        let n = self.below(TYPES.len());
        let atype = if id1 == self.ids[0] { TYPES[3] } else { TYPES[n] };
        let (pos, limit) = (self.below(20) as u32, self.below(160) as u32);
        let (high, low) = (Time(self.below(60) as u32), Time(self.below(60) as u32));
        let some = (0..1 + self.below(6)).map(|_| self.end()).collect::<Vec<_>>();
        let (what, critical, has_ticket) = (self.below(4), self.below(8) == 0, self.below(4) != 0);
        let client = &self.clients[client];
        let view = self.graph.view(has_ticket.then_some(&client.ticket), critical);
        let follower = &self.graph.follows[at].follower;
        let (answer, is_stale) = if what == 0 {
            let answer = follower.count(id1, atype, &view).await.unwrap();
            (Err(answer.value), answer.is_stale)
        } else {
            let part = match what {
                1 => follower.range(id1, atype, pos, limit, &view).await,
                2 => follower.time_range(id1, atype, high, low, limit, &view).await,
                _ => follower.points(id1, atype, &some, high, low, &view).await,
            };
            let part = part.unwrap();
            let edges = part.value.iter().map(|edge| (edge.time, edge.id2, Data::from(edge.data.to_vec())));
            (Ok(edges.collect::<List>()), part.is_stale)
        };
        assert!(!is_stale);
        let within = |edge: &&(Time, Id, Data)| (low..=high).contains(&edge.0);
        let wanted = |list: &List| match what {
            0 => Err(list.len() as u64),
            1 => Ok(list.iter().skip(pos as usize).take(limit as usize).cloned().collect()),
            2 => Ok(list.iter().filter(within).take(limit as usize).cloned().collect()),
            _ => Ok(list
                .iter()
                .filter(within)
                .filter(|edge| some.contains(&edge.1))
                .cloned()
                .collect::<List>()),
        };
        let states = self.model.list(id1, atype);
        let floor = match (critical, has_ticket) {
            (true, _) => states.len() - 1,
            (false, true) => client.floor(Key::List(id1, atype)),
            (false, false) => 0,
        };
        let is_allowed = states[floor..].iter().any(|list| wanted(list) == answer);
        assert!(is_allowed, "({id1}, {}) at {at}, version {floor} or later: {answer:?}", atype.0);
    }

    /// When everybody has heard everything, all of it is what the model says, and no memory holds anything else.
    async fn settle(&self) {
        let graph = &self.graph;
        graph.wake();
        for key in self.model.keys() {
            let version = self.model.version(key);
            let at = async |place| graph.service(1).version(place, key, graph.deadline()).await.unwrap();
            assert_eq!(at(Place::Source).await, Some(version), "{key:?}");
            assert!(at(Place::Leader).await.is_none_or(|known| known == version), "{key:?} at the leader");
            for follows in &graph.follows {
                eventually("the last news", async || {
                    follows.follower.cached_version(key).is_none_or(|known| known == version)
                })
                .await;
                let view = graph.view(None, false);
                match key {
                    Key::Object(id) => {
                        let answer = follows.follower.object(id, &view).await.unwrap();
                        assert_eq!(Some(&answer.value.object), self.model.object(id).last(), "{id}");
                    }
                    Key::List(id1, atype) => {
                        let answer = follows.follower.range(id1, atype, 0, 1000, &view).await.unwrap();
                        let edges = answer.value.iter().map(|e| (e.time, e.id2, Data::from(e.data.to_vec())));
                        assert_eq!(Some(&edges.collect::<List>()), self.model.list(id1, atype).last());
                    }
                }
            }
        }
    }
}
