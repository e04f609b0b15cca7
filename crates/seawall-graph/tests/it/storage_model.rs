//! Random writes against a plain model in memory, on one database and on three; and a mirror that knows only the
//! news must come to the same.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use seawall_graph::call::{AssocType, Data, Done, Time};
use seawall_graph::edges::Edges;
use seawall_graph::id::Id;
use seawall_graph::message::Change;
use seawall_graph::storage::Planned;

use crate::storage::{Disk, FRIEND, LIKED_BY, LIKES, LOVED_BY, LOVES, READ, add, delete, inverse, retype};

const TYPES: [AssocType; 6] = [LIKES, LIKED_BY, LOVES, LOVED_BY, FRIEND, READ];
/// Ids in play: few, so that edges meet.
const IDS: usize = 5;

type Edge = (Id, AssocType, Id);

#[derive(Debug, Clone)]
enum Step {
    Add(usize, usize, usize, u32),
    Delete(usize, usize, usize),
    Retype(usize, usize, usize, usize),
}

/// What must be true, kept the slow way.
#[derive(Default)]
struct Model {
    edges: BTreeMap<Edge, (Time, Data)>,
    versions: HashMap<(Id, AssocType), u64>,
}

impl Model {
    fn sides((id1, atype, id2): Edge) -> Vec<Edge> {
        let mut sides = vec![(id1, atype, id2)];
        sides.extend(inverse(atype).map(|atype| (id2, atype, id1)).filter(|side| *side != sides[0]));
        sides
    }

    fn put(&mut self, edge: Edge, what: &(Time, Data)) {
        *self.versions.entry((edge.0, edge.1)).or_default() += 1;
        self.edges.insert(edge, what.clone());
    }

    fn cut(&mut self, edge: Edge) {
        if let Some(version) = self.versions.get_mut(&(edge.0, edge.1)) {
            *version += 1;
        }
        self.edges.remove(&edge);
    }

    fn apply(&mut self, planned: &Planned) -> Done {
        match planned {
            Planned::AssocAdd { id1, atype, id2, time, data, .. } => {
                let edge = (*id1, *atype, *id2);
                let is_new = !self.edges.contains_key(&edge);
                Self::sides(edge).into_iter().for_each(|side| self.put(side, &(*time, data.clone())));
                Done::AssocAdded(is_new)
            }
            Planned::AssocDelete { id1, atype, id2, .. } => {
                let edge = (*id1, *atype, *id2);
                let was = self.edges.contains_key(&edge);
                Self::sides(edge).into_iter().for_each(|side| self.cut(side));
                Done::AssocDeleted(was)
            }
            Planned::AssocChangeType { id1, from, id2, to, .. } => {
                let Some(what) = self.edges.get(&(*id1, *from, *id2)).cloned() else {
                    return Done::AssocChanged(false);
                };
                if from == to {
                    return Done::AssocChanged(true);
                }
                let new = Self::sides((*id1, *to, *id2));
                for old in Self::sides((*id1, *from, *id2)) {
                    if !new.contains(&old) {
                        self.cut(old);
                    }
                }
                new.into_iter().for_each(|side| self.put(side, &what));
                Done::AssocChanged(true)
            }
            _ => unreachable!("only associations here"),
        }
    }

    fn list(&self, id1: Id, atype: AssocType) -> Vec<(Time, Id, Data)> {
        let own = self.edges.iter().filter(|(edge, _)| (edge.0, edge.1) == (id1, atype));
        let mut list: Vec<_> = own.map(|(edge, (time, data))| (*time, edge.2, data.clone())).collect();
        list.sort_by_key(|(time, id2, _)| std::cmp::Reverse((*time, *id2)));
        list
    }
}

/// A cache that knows only what it is told.
#[derive(Default)]
struct Mirror(HashMap<(Id, AssocType), (u64, u64, Edges)>);

impl Mirror {
    fn hear(&mut self, change: &Change) {
        let Change::Edge { id1, atype, version, count, id2, now } = change else {
            panic!("first answers tell of edges: {change:?}");
        };
        let list = self.0.entry((*id1, *atype)).or_default();
        assert_eq!(version.0, list.0 + 1, "each change of a list is told once, in order");
        let edges = match now {
            Some((time, data)) => {
                list.2.with(seawall_graph::edges::EdgeRef { id2: *id2, time: *time, data: data.bytes() })
            }
            None => list.2.without(*id2),
        };
        *list = (version.0, *count, edges);
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (ids, types) = (0..IDS, 0..TYPES.len());
    let edge = (ids.clone(), types.clone(), ids);
    let step = prop_oneof![
        4 => (edge.clone(), 0..6_u32).prop_map(|((a, t, b), time)| Step::Add(a, t, b, time)),
        2 => edge.clone().prop_map(|(a, t, b)| Step::Delete(a, t, b)),
        2 => (edge, types).prop_map(|((a, t, b), to)| Step::Retype(a, t, b, to)),
    ];
    proptest::collection::vec(step, 1..40)
}

async fn run(shards: u32, steps: &[Step]) {
    let disk = Disk::new(shards).await;
    let ids: Vec<Id> = (0..IDS).map(|n| disk.id(n as u32 % shards, 1 + n as u64)).collect();
    let mut model = Model::default();
    let mut told = Mirror::default();
    for step in steps {
        let planned = match *step {
            Step::Add(a, t, b, time) => add(ids[a], TYPES[t], ids[b], time),
            Step::Delete(a, t, b) => delete(ids[a], TYPES[t], ids[b]),
            Step::Retype(a, t, b, to) => retype(ids[a], TYPES[t], ids[b], TYPES[to]),
        };
        let wanted = model.apply(&planned);
        let set = disk.write(planned.clone()).await;
        assert_eq!(set.done, wanted, "{planned:?}");
        set.changes.iter().for_each(|changed| told.hear(&changed.change));
    }
    let mut mirror = Mirror::default();
    for shard in 0..shards {
        for (_, change) in disk.news(shard).await {
            mirror.hear(&change);
        }
    }
    for id in &ids {
        for atype in TYPES {
            let head = disk.head(*id, atype).await;
            let wanted = model.list(*id, atype);
            let found: Vec<_> = head.edges.iter().map(|e| (e.time, e.id2, e.to_edge().data)).collect();
            assert_eq!(found, wanted, "{id} {atype:?}");
            assert_eq!(head.count, wanted.len() as u64, "the count of {id} {atype:?}");
            let version = model.versions.get(&(*id, atype)).copied().unwrap_or(0);
            assert_eq!(head.version.0, version, "the version of {id} {atype:?}");
            let wanted = (version, head.count, head.edges);
            for cache in [&told, &mirror] {
                assert_eq!(cache.0.get(&(*id, atype)).cloned().unwrap_or_default(), wanted);
            }
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    // Each write is an fsync, and a store is opened for each case.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_writes_on_one_database_are_what_a_plain_model_says(steps in steps()) {
        runtime().block_on(run(1, &steps));
    }

    #[test]
    fn any_writes_across_three_databases_are_what_a_plain_model_says(steps in steps()) {
        runtime().block_on(run(3, &steps));
    }
}
