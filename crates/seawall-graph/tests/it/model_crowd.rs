//! Many clients at once on few keys, some of which leave in the middle of a write. What happened is taken from the news
//! afterwards; then every answer somebody got must have been true at some moment, and not before what they wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use seawall_graph::call::{AssocType, Data, Done, Home, Key, Refusal, Time, Version, Write};
use seawall_graph::id::{Id, LogicalShard};
use seawall_graph::message::{Change, Changeset, ObjectState};
use seawall_graph::storage::News;
use seawall_policy::Rng;
use seawall_store::Position;

use crate::making::{BLOCKS, FRIEND, USER, eventually, user};
use crate::model::{Client, Engine, Graph, List, Model, seeds};

const CLIENTS: usize = 8;
const OPS: usize = 60;
const IDS: u64 = 5;
/// The seed whose clients leave any write.
const LEAVES_ALL: u64 = 3;
const TYPES: [AssocType; 3] = [FRIEND, BLOCKS, AssocType(21)];

/// What somebody was told, with a ticket of what it wrote before.
enum Told {
    Object { id: Id, floor: u64, state: ObjectState },
    List { id1: Id, atype: AssocType, floor: usize, list: List },
    Count { id1: Id, atype: AssocType, floor: usize, count: u64 },
}

struct One<'a> {
    graph: &'a Graph,
    ids: &'a [Id],
    rng: Rng,
    /// Also writes between two databases.
    leaves_all: bool,
    client: Client,
    sets: Vec<Changeset>,
    told: Vec<Told>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_told_nothing_older_than_what_each_wrote() {
    for engine in Engine::ALL {
        for seed in seeds(4) {
            println!("{engine:?}, SEAWALL_MODEL_SEED={seed}");
            run(engine, seed).await;
        }
    }
}

async fn run(engine: Engine, seed: u64) {
    let shards = 4;
    let data = tempfile::tempdir().unwrap();
    let graph = Graph::start(engine, data.path(), shards).await;
    if seed.is_multiple_of(2) {
        graph.wake();
    }
    let mut rng = Rng::new(seed);
    let ids = (0..IDS).map(|n| Id::new(LogicalShard(rng.next_u64() as u16), n + 1)).collect::<Vec<_>>();
    let crowd = (0..CLIENTS as u64).map(|n| {
        let (graph, ids) = (&graph, &ids[..]);
        let rng = Rng::new(seed * 1000 + n);
        let leaves_all = seed == LEAVES_ALL;
        let client = Client::default();
        let mut one = One { graph, ids, rng, leaves_all, client, sets: Vec::new(), told: Vec::new() };
        async move {
            for _ in 0..OPS {
                one.step().await;
            }
            (one.sets, one.told)
        }
    });
    let (sets, told): (Vec<_>, Vec<_>) = join_all(crowd).await.into_iter().unzip();
    let sets = sets.concat();
    // Who left may have left a write behind that is still under way, or half done.
    eventually("the last write's other half", async || is_even(&history(&graph, &sets).await.0, &ids)).await;
    let (model, versions) = history(&graph, &sets).await;
    told.iter().flatten().for_each(|told| check(told, &model, &versions));
    agree(&graph, &model, &ids).await;
    graph.stop().await;
}

impl One<'_> {
    fn below(&mut self, bound: usize) -> usize {
        (self.rng.next_u64() % bound as u64) as usize
    }

    fn id(&mut self) -> Id {
        let n = self.below(self.ids.len());
        self.ids[n]
    }

    async fn step(&mut self) {
        let (at, id1, id2) = (self.below(2), self.id(), self.id());
        let n = self.below(TYPES.len());
        let atype = TYPES[n];
        let write = match self.below(12) {
            0 => Write::ObjectAdd { otype: USER, data: self.fields(), home: Home::Exactly(id1) },
            1 | 2 => Write::ObjectUpdate { id: id1, set: self.fields(), unset: vec![], if_version: None },
            3 | 4 => {
                let time = Time(self.below(20) as u32);
                Write::AssocAdd { id1, atype, id2, time, data: Data::default() }
            }
            5 => Write::AssocDelete { id1, atype, id2 },
            6 => Write::AssocChangeType { id1, from: FRIEND, id2, to: BLOCKS },
            _ => return self.read(at, id1, atype).await,
        };
        // Between two databases whoever leaves leaves the rest to the repair scan, which comes after ten seconds: one
        // seed waits for that.
        let shards = [id1, id2].map(|id| self.graph.upstream.shard_of(id));
        let leaves = self.below(6) == 0 && (shards[0] == shards[1] || self.leaves_all);
        let patience = Duration::from_micros(if leaves { self.rng.next_u64() % 5000 } else { 30_000_000 });
        let deadline = self.graph.deadline();
        let writing = self.graph.service(at).write(write, None, &mut self.client.ticket, deadline);
        match tokio::time::timeout(patience, writing).await {
            Ok(Ok(set)) => {
                self.client.note(&set);
                self.sets.push(set);
            }
            Ok(Err(Refusal::Used(_) | Refusal::NoObject(_))) => {}
            Ok(Err(refusal)) => panic!("{refusal:?}"),
            Err(_) => assert!(leaves),
        }
    }

    fn fields(&mut self) -> Data {
        let name = self.rng.next_u64().to_string();
        user(&[("name", &name)])
    }

    async fn read(&mut self, at: usize, id: Id, atype: AssocType) {
        let what = self.below(3);
        let view = self.graph.view(Some(&self.client.ticket), false);
        let follower = &self.graph.follows[at].follower;
        let floor = self.client.floor(Key::List(id, atype));
        let told = match what {
            0 => {
                let state = follower.object(id, &view).await.unwrap().value;
                Told::Object { id, floor: self.client.floor(Key::Object(id)) as u64, state }
            }
            1 => {
                let part = follower.range(id, atype, 0, 1000, &view).await.unwrap().value;
                let list = part.iter().map(|e| (e.time, e.id2, Data::from(e.data.to_vec()))).collect();
                Told::List { id1: id, atype, floor, list }
            }
            _ => {
                let count = follower.count(id, atype, &view).await.unwrap().value;
                Told::Count { id1: id, atype, floor, count }
            }
        };
        self.told.push(told);
    }
}

/// All that happened to lists, as the news have it, and which state each version of an object was said to be.
async fn history(graph: &Graph, sets: &[Changeset]) -> (Model, BTreeMap<(Id, Version), ObjectState>) {
    let mut model = Model::new();
    let mut edges = BTreeMap::new();
    let mut objects: BTreeMap<Id, Version> = BTreeMap::new();
    for shard in 0..graph.upstream.shards() {
        let mut from = Position(0);
        loop {
            let News::Changes { changes, up_to } = graph.upstream.news(shard, from, 1000).await.unwrap()
            else {
                panic!("nothing was trimmed");
            };
            for (_, change) in changes {
                match &change {
                    Change::Object { id, version, .. } => {
                        let last = objects.insert(*id, *version).unwrap_or_default();
                        assert_eq!(*version, last.next(), "each version of {id} is told once, in order");
                    }
                    _ => {
                        model.hear(&change).expect("news say what became of an edge");
                        assert_eq!(model.version(change.key()), change.version(), "{change:?}");
                        edges.insert((change.key(), change.version()), change);
                    }
                }
            }
            if up_to == from {
                break;
            }
            from = up_to;
        }
    }
    let mut versions = BTreeMap::new();
    for set in sets {
        for changed in &set.changes {
            match &changed.change {
                Change::Object { id, version, now } => {
                    let state = now.clone().expect("a writer is told what it wrote");
                    assert!(objects[id] >= *version, "acknowledged and in the news");
                    assert_eq!(
                        versions.insert((*id, *version), state),
                        None,
                        "one writer made version {version:?}"
                    );
                }
                change => {
                    assert_eq!(edges.get(&(change.key(), change.version())), Some(change), "acknowledged")
                }
            }
        }
        assert!(set.changes.is_empty() || !matches!(set.done, Done::AssocChanged(false)));
    }
    (model, versions)
}

fn check(told: &Told, model: &Model, versions: &BTreeMap<(Id, Version), ObjectState>) {
    match told {
        Told::Object { id, floor, state } => {
            assert!(state.version.0 >= *floor, "{id}: {state:?} is older than {floor}");
            if let Some(known) = versions.get(&(*id, state.version)) {
                assert_eq!(known, state, "{id}");
            }
        }
        Told::List { id1, atype, floor, list } => {
            let states = &model.list(*id1, *atype)[*floor..];
            assert!(states.contains(list), "({id1}, {}) from {floor} on was never {list:?}", atype.0);
        }
        Told::Count { id1, atype, floor, count } => {
            let mut states = model.list(*id1, *atype)[*floor..].iter();
            assert!(states.any(|list| list.len() as u64 == *count), "({id1}, {}): {count}", atype.0);
        }
    }
}

/// Whether every association has its other direction.
fn is_even(model: &Model, ids: &[Id]) -> bool {
    let newest = |id: Id| model.list(id, FRIEND).last().unwrap();
    ids.iter().all(|id1| {
        let has_back = |(time, id2, _): &(Time, Id, Data)| {
            newest(*id2).iter().any(|edge| (edge.0, edge.1) == (*time, *id1))
        };
        newest(*id1).iter().all(has_back)
    })
}

/// In the end all say the same.
async fn agree(graph: &Graph, model: &Model, ids: &[Id]) {
    graph.wake();
    let critical = graph.view(None, true);
    for id1 in ids {
        for atype in TYPES {
            let truth = model.list(*id1, atype).last().unwrap();
            for follows in &graph.follows {
                let count = follows.follower.count(*id1, atype, &critical).await.unwrap().value;
                assert_eq!(count, truth.len() as u64);
                let part = follows.follower.range(*id1, atype, 0, 1000, &critical).await.unwrap().value;
                let list =
                    part.iter().map(|e| (e.time, e.id2, Data::from(e.data.to_vec()))).collect::<List>();
                assert_eq!(&list, truth, "({id1}, {})", atype.0);
                let key = Key::List(*id1, atype);
                eventually("the last news", async || {
                    follows.follower.cached_version(key).is_none_or(|known| known == model.version(key))
                })
                .await;
            }
        }
    }
    let held = ids.iter().map(|id| Key::Object(*id)).collect::<BTreeSet<_>>();
    for key in held {
        let source = graph.upstream.source_version(key, graph.deadline()).await.unwrap();
        for follows in &graph.follows {
            eventually("the last news", async || {
                follows.follower.cached_version(key).is_none_or(|known| known == source)
            })
            .await;
        }
    }
}
