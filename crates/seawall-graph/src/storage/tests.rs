//! What only the inside can show: a write that stops between its steps, and the plans of the statements.

use seawall_net::clock::SystemClock;
use seawall_store::{Files, Options, Plants};
use tempfile::TempDir;

use super::*;
use crate::call::Done;
use crate::id::LogicalShard;
use crate::message::Changeset;
use crate::message::Head;

const A: AssocType = AssocType(1);
const B: AssocType = AssocType(2);
const C: AssocType = AssocType(3);
const D: AssocType = AssocType(4);

struct Disk {
    storage: Storage,
    epochs: Vec<Epoch>,
    set: ShardSet,
    _data: TempDir,
}

impl Disk {
    async fn new(shards: u32) -> Disk {
        let data = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let options = Options {
            data: data.path().to_owned(),
            clock: clock.clone(),
            seed: 1,
            plants: Plants::default(),
        };
        let set = Files::new(options).open(SET, shards, SCHEMA).unwrap();
        let storage = Storage::new(set.clone(), clock);
        let epochs = storage.claim().await.unwrap();
        Disk { storage, epochs, set, _data: data }
    }

    /// The n-th id on a database.
    fn id(&self, shard: u32, n: u64) -> Id {
        let lives_there = |id: &Id| self.storage.shard_of(*id) == shard;
        (0..u16::MAX).map(|s| Id::new(LogicalShard(s), n)).find(lives_there).unwrap()
    }

    fn later(&self) -> Deadline {
        Deadline::after(self.storage.clock.now(), Duration::from_secs(60))
    }

    async fn write(&self, planned: &Planned, key: Option<Idempotency>) -> Changeset {
        self.storage.write(&self.epochs, planned, key, self.later()).await.unwrap()
    }

    /// The first steps of a write, as far as a process got that was killed then.
    async fn begin(&self, planned: &Planned, key: Option<Idempotency>, steps: u8) -> Intent {
        let pair = self.storage.pair(planned).unwrap();
        let found = match *planned {
            Planned::AssocChangeType { id1, from, id2, .. } => {
                self.storage.edge(plan::Slot { id1, atype: from, id2 }).await.unwrap().unwrap()
            }
            _ => (Time(0), Data::default()),
        };
        let intent = self.storage.intent(pair, planned, found, key);
        self.storage.intend(&self.epochs, &intent, self.later()).await.unwrap();
        if steps > 1 {
            self.storage.high_step(&self.epochs, &intent).await.unwrap();
        }
        if steps > 2 {
            self.storage.low_step(&self.epochs, &intent).await.unwrap();
        }
        intent
    }

    async fn head(&self, id1: Id, atype: AssocType) -> Head {
        let head = self.storage.head(id1, atype, 100).await.unwrap().0;
        assert_eq!(head.count, head.edges.len() as u64, "the count of {id1} {atype:?} is that of its edges");
        head
    }

    /// Both sides of an edge are there, or neither; the same time and data. Says which time.
    async fn time(&self, id1: Id, atype: AssocType, id2: Id, inverse: AssocType) -> Option<u32> {
        let (out, back) = (self.head(id1, atype).await, self.head(id2, inverse).await);
        let (out, back) = (out.edges.find(id2), back.edges.find(id1));
        assert_eq!(out.map(|e| (e.time, e.data)), back.map(|e| (e.time, e.data)), "both sides are the same");
        out.map(|edge| edge.time.0)
    }

    async fn intents(&self) -> usize {
        let mut n = 0;
        for shard in 0..self.storage.shards() {
            n += self.storage.intents(shard, Wall(i64::MAX), 100).await.unwrap().len();
        }
        n
    }
}

fn key(n: u8) -> Option<Idempotency> {
    Some(Idempotency { key: [n; 16], fingerprint: n.into() })
}

fn add(id1: Id, id2: Id, time: u32) -> Planned {
    let data = Data::from(time.to_le_bytes().to_vec());
    Planned::AssocAdd { id1, atype: A, id2, time: Time(time), data, inverse: Some(B) }
}

/// The same edge, written from its other end.
fn add_back(id1: Id, id2: Id, time: u32) -> Planned {
    let data = Data::from(time.to_le_bytes().to_vec());
    Planned::AssocAdd { id1, atype: B, id2, time: Time(time), data, inverse: Some(A) }
}

fn delete(id1: Id, id2: Id) -> Planned {
    Planned::AssocDelete { id1, atype: A, id2, inverse: Some(B) }
}

fn retype(id1: Id, id2: Id) -> Planned {
    Planned::AssocChangeType { id1, from: A, id2, to: C, inverse_from: Some(B), inverse_to: Some(D) }
}

/// The lower id on either database, and the write from either end.
fn ends(disk: &Disk) -> [(Id, Id); 2] {
    let (x, y) = (disk.id(0, 1), disk.id(1, 1));
    [(x, y), (y, x)]
}

#[tokio::test]
async fn a_second_try_completes_what_a_crash_left_and_answers_as_the_first_would_have() {
    for steps in 1..=3 {
        for other_way in [0, 1] {
            let disk = Disk::new(2).await;
            let (id1, id2) = ends(&disk)[other_way];
            disk.begin(&add(id1, id2, 7), key(1), steps).await;
            // The clock went on, and the client had left the time to us.
            let again = disk.write(&add(id1, id2, 8), key(1)).await;
            assert_eq!((again.done, again.again), (Done::AssocAdded(true), true), "{steps} steps");
            assert_eq!(again.changes.len(), 2);
            assert_eq!(disk.time(id1, A, id2, B).await, Some(7), "what was written down counts");
            assert_eq!((disk.head(id1, A).await.version, disk.intents().await), (Version(1), 0));
            let third = disk.write(&add(id1, id2, 9), key(1)).await;
            assert_eq!((third.done, third.again), (Done::AssocAdded(true), true));
            assert_eq!(disk.head(id1, A).await.version, Version(1), "each step happened once");
        }
    }
}

#[tokio::test]
async fn the_repair_scan_completes_every_kind_of_write_once() {
    for steps in 1..=3 {
        for other_way in [0, 1] {
            for what in 0..3 {
                let disk = Disk::new(2).await;
                let (id1, id2) = ends(&disk)[other_way];
                disk.write(&add(id1, id2, 5), None).await;
                let planned = [add(id1, id2, 6), delete(id1, id2), retype(id1, id2)][what].clone();
                disk.begin(&planned, None, steps).await;
                let mut found = Vec::new();
                for shard in 0..2 {
                    found.extend(disk.storage.intents(shard, Wall(i64::MAX), 100).await.unwrap());
                }
                assert_eq!(found.len(), usize::from(steps < 3));
                for intent in &found {
                    assert_eq!(intent.planned, planned, "it reads as it was written");
                    for _ in 0..2 {
                        disk.storage.repair(&disk.epochs, intent, disk.later()).await.unwrap();
                    }
                }
                assert_eq!(disk.intents().await, 0);
                let (old, new) = (disk.time(id1, A, id2, B).await, disk.time(id1, C, id2, D).await);
                assert_eq!((old, new), [(Some(6), None), (None, None), (None, Some(5))][what]);
                assert_eq!(disk.head(id1, A).await.version, Version(2));
                assert_eq!(disk.head(id2, B).await.version, Version(2));
            }
        }
    }
}

#[tokio::test]
async fn an_intent_younger_than_asked_for_is_left_alone() {
    let disk = Disk::new(2).await;
    let (id1, id2) = ends(&disk)[0];
    let intent = disk.begin(&add(id1, id2, 5), None, 1).await;
    let before = |ms| Wall(intent.at.0 + ms);
    let found = async |at, max| disk.storage.intents(intent.shard, at, max).await.unwrap().len();
    assert_eq!((found(before(0), 9).await, found(before(1), 9).await, found(before(1), 0).await), (0, 1, 0));
}

/// Whatever comes next for the same two ids, from whichever end, finds both sides the same.
#[tokio::test]
async fn the_next_write_of_the_pair_first_completes_what_was_left() {
    for steps in 1..=2 {
        for other_way in [0, 1] {
            for next in 0..4 {
                let disk = Disk::new(2).await;
                let (id1, id2) = ends(&disk)[other_way];
                disk.begin(&add(id1, id2, 5), key(1), steps).await;
                let (planned, done, times) = match next {
                    0 => (add(id1, id2, 6), Done::AssocAdded(false), (Some(6), None)),
                    1 => (add_back(id2, id1, 6), Done::AssocAdded(false), (Some(6), None)),
                    2 => (delete(id1, id2), Done::AssocDeleted(true), (None, None)),
                    _ => (retype(id1, id2), Done::AssocChanged(true), (None, Some(5))),
                };
                assert_eq!(disk.write(&planned, None).await.done, done, "{steps} steps, then {next}");
                let found = (disk.time(id1, A, id2, B).await, disk.time(id1, C, id2, D).await);
                assert_eq!((found, disk.intents().await), (times, 0));
                // The client of the first comes back at last, and changes nothing any more.
                let late = disk.write(&add(id1, id2, 5), key(1)).await;
                assert_eq!((late.done, late.again), (Done::AssocAdded(true), true));
                assert_eq!(disk.time(id1, A, id2, B).await, times.0);
            }
        }
    }
}

#[tokio::test]
async fn a_change_of_type_that_broke_off_is_answered_as_it_would_have_been() {
    for steps in 1..=3 {
        for other_way in [0, 1] {
            let disk = Disk::new(2).await;
            let (id1, id2) = ends(&disk)[other_way];
            disk.write(&add(id1, id2, 5), None).await;
            disk.begin(&retype(id1, id2), key(1), steps).await;
            for _ in 0..2 {
                let again = disk.write(&retype(id1, id2), key(1)).await;
                assert_eq!((again.done, again.again), (Done::AssocChanged(true), true), "{steps} steps");
                assert_eq!(again.changes.len(), 4);
            }
            assert_eq!(disk.time(id1, C, id2, D).await, Some(5));
            assert_eq!(disk.time(id1, A, id2, B).await, None);
            assert_eq!((disk.head(id1, C).await.version, disk.intents().await), (Version(1), 0));
        }
    }
}

#[tokio::test]
async fn a_step_that_cannot_be_taken_leaves_the_write_unknown_and_its_intent_in_place() {
    let disk = Disk::new(2).await;
    let (id1, id2) = ends(&disk)[0];
    let pair = Pair::of(id1, id2);
    let mut epochs = disk.epochs.clone();
    epochs[disk.storage.shard_of(pair.high) as usize] = Epoch(99);
    let written = disk.storage.write(&epochs, &add(id1, id2, 5), key(1), disk.later()).await;
    let high = disk.storage.shard_of(pair.high);
    assert_eq!(written, Err(Failed { shard: high, trouble: Trouble::Unknown }));
    assert_eq!(disk.intents().await, 1);
    // Where it is the first step that is refused, nothing is begun.
    let low = disk.storage.shard_of(pair.low);
    let mut epochs = disk.epochs.clone();
    epochs[low as usize] = Epoch(99);
    let written = disk.storage.write(&epochs, &add(id1, disk.id(1, 2), 5), key(2), disk.later()).await;
    assert_eq!(written, Err(Failed { shard: low, trouble: Trouble::Fenced }));
    assert_eq!(disk.intents().await, 1);
    assert_eq!(disk.write(&add(id1, id2, 5), key(1)).await.done, Done::AssocAdded(true));
    assert_eq!(disk.time(id1, A, id2, B).await, Some(5));
}

#[tokio::test]
async fn what_an_intents_row_holds_is_looked_at_before_it_is_believed() {
    const SPOIL: Sql = Sql { name: "spoil", text: "UPDATE graph_intents SET what = $1, id2 = $2" };
    for (what, id2) in [(9, None), (1, Some(-5_i64)), (1, Some(12))] {
        let disk = Disk::new(2).await;
        let (x, y) = ends(&disk)[0];
        let intent = disk.begin(&add(x, y, 5), None, 1).await;
        let args = vec![Value::Int(what), Value::Int(id2.unwrap_or(y.to_sql()))];
        let shard = disk.set.get(intent.shard);
        let spoil = batch(&disk.epochs, shard, shard.hk_min(), None, vec![rows::one(&SPOIL, args)], vec![]);
        disk.storage.commit(shard, disk.later(), false, || spoil.clone()).await.0.unwrap();
        let found = disk.storage.intents(intent.shard, Wall(i64::MAX), 9).await;
        assert!(matches!(found, Err(Trouble::Broken(_))), "{found:?}");
    }
}

/// The leader does its work in tasks.
#[tokio::test]
async fn what_is_waited_for_can_be_waited_for_on_any_thread() {
    fn is_send(_: impl Send) {}
    let disk = Disk::new(2).await;
    let (id1, id2) = ends(&disk)[0];
    let planned = add(id1, id2, 5);
    is_send(disk.storage.write(&disk.epochs, &planned, None, disk.later()));
    let intent = disk.begin(&planned, None, 1).await;
    is_send(disk.storage.repair(&disk.epochs, &intent, disk.later()));
    is_send(disk.storage.schema_put(&disk.epochs, 0, "", disk.later()));
}

/// The engine itself says that no statement walks a table or sorts.
#[tokio::test]
async fn every_statement_uses_its_index() {
    let disk = Disk::new(1).await;
    let point = |table: &str| format!("SEARCH {table} USING INDEX sqlite_autoindex_{table}_1");
    let covering = |table: &str| format!("SEARCH {table} USING COVERING INDEX sqlite_autoindex_{table}_1");
    let (objects, assocs, lists) = (point("graph_objects"), point("graph_assocs"), point("graph_lists"));
    let intents = point("graph_intents");
    let counted = covering("graph_assocs");
    type Steps<'a> = Vec<(&'a str, &'a str)>;
    let cases: Vec<(&'static Sql, usize, Steps<'_>)> = vec![
        (&read::OBJECT, 2, vec![(&objects, "(hk=? AND id=?)")]),
        (&read::RANGE, 7, vec![("SEARCH graph_assocs USING INDEX graph_assocs_time", "time>? AND time<?")]),
        (&read::POINTS, 19, vec![(&assocs, "id2=?")]),
        (&read::EDGE, 4, vec![(&assocs, "id2=?")]),
        (&read::PAGE_OBJECTS, 3, vec![(&objects, "(hk,id)>(?,?)")]),
        (&read::PAGE_ASSOCS, 5, vec![(&assocs, "(hk,id1,atype,id2)>(?,?,?,?)")]),
        (&read::NOTHING, 1, vec![("SEARCH graph_leader USING INTEGER PRIMARY KEY", "")]),
        (&plan::LIST_PUT, 4, vec![("SCALAR SUBQUERY", ""), (&counted, "id2=?")]),
        (&plan::EDGE_PUT, 6, vec![]),
        (
            &plan::LIST_CUT,
            4,
            vec![("MATERIALIZE gone", ""), (&counted, "id2=?"), (&lists, "atype=?"), ("SCAN gone", "")],
        ),
        (&plan::EDGE_CUT, 4, vec![(&assocs, "id2=?")]),
        (&plan::EDGE_IS, 6, vec![("SEARCH graph_assocs USING INDEX graph_assocs_time", "time=? AND id2=?")]),
        (&write::OBJECT_ADD, 4, vec![]),
        (&write::OBJECT_REPLACE, 5, vec![(&objects, "(hk=? AND id=?)")]),
        (&write::OBJECT_DELETE, 2, vec![(&objects, "(hk=? AND id=?)")]),
        (&across::INTENT_ADD, 15, vec![]),
        (&across::INTENT_END, 4, vec![(&intents, "high=?")]),
        (&across::INTENT, 3, vec![(&intents, "high=?")]),
        (&across::INTENTS, 3, vec![(&intents, "hk>?")]),
        (
            &read::HEAD,
            4,
            vec![
                ("SEARCH l USING INDEX sqlite_autoindex_graph_lists_1", "atype=?"),
                ("SEARCH e USING INDEX graph_assocs_time", "LEFT-JOIN"),
            ],
        ),
    ];
    for (sql, args, wanted) in cases {
        let text: &'static str = format!("EXPLAIN QUERY PLAN {}", sql.text).leak();
        let explain: &'static Sql = Box::leak(Box::new(Sql { name: sql.name, text }));
        let shard = disk.set.get(0);
        // As a write, because a read must not even explain one.
        let op = rows::any(explain, vec![Value::Int(1); args]);
        let explain = batch(&disk.epochs, shard, shard.hk_min(), None, vec![op], Vec::new());
        let explained = disk.storage.commit(shard, disk.later(), false, || explain.clone()).await.0.unwrap();
        let found = &explained.rows[0];
        let found: Vec<&str> = found.iter().map(|row| row.text(3).unwrap()).collect();
        assert_eq!(found.len(), wanted.len(), "{}: {found:#?}", sql.name);
        for (step, (start, part)) in found.iter().zip(wanted) {
            assert!(step.starts_with(start) && step.contains(part), "{}: {found:#?}", sql.name);
        }
    }
}
