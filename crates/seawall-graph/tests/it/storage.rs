//! The rows: objects, associations, lists, keys, news, and the rows of who leads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seawall_graph::call::{AssocType, Data, Done, Idempotency, ObjectType, Time, Version};
use seawall_graph::id::{Id, LogicalShard};
use seawall_graph::limits::{EDGE_DATA_MAX, OBJECT_DATA_MAX, RANGE_MAX};
use seawall_graph::message::{Change, Changeset, Head, ObjectState, Points, Range};
use seawall_graph::storage::{Failed, Lease, News, Planned, SCHEMA, SET, Storage, Trouble, birthplace};
use seawall_net::clock::SystemClock;
use seawall_policy::deadline::Deadline;
use seawall_policy::{Clock, Mono, Wall};
use seawall_store::{Epoch, Files, Options, Plants, Position};
use tempfile::TempDir;

/// Runs like a clock; its wall can be turned forward.
struct Hand {
    clock: SystemClock,
    skipped_ms: AtomicU64,
}

impl Clock for Hand {
    fn now(&self) -> Mono {
        self.clock.now()
    }

    fn wall(&self) -> Wall {
        Wall(self.clock.wall().0 + self.skipped_ms.load(Ordering::SeqCst) as i64)
    }
}

/// A store in a folder of its own, and who leads it.
pub(crate) struct Disk {
    pub(crate) storage: Storage,
    pub(crate) epochs: Vec<Epoch>,
    clock: Arc<Hand>,
    shards: u32,
    data: TempDir,
}

pub(crate) const USER: ObjectType = ObjectType(1);
/// Of these two each is the other's inverse; so are the next two; the one after them is its own; the last has none.
pub(crate) const LIKES: AssocType = AssocType(1);
pub(crate) const LIKED_BY: AssocType = AssocType(2);
pub(crate) const LOVES: AssocType = AssocType(3);
pub(crate) const LOVED_BY: AssocType = AssocType(4);
pub(crate) const FRIEND: AssocType = AssocType(5);
pub(crate) const READ: AssocType = AssocType(6);

pub(crate) fn inverse(atype: AssocType) -> Option<AssocType> {
    match atype {
        LIKES => Some(LIKED_BY),
        LIKED_BY => Some(LIKES),
        LOVES => Some(LOVED_BY),
        LOVED_BY => Some(LOVES),
        FRIEND => Some(FRIEND),
        _ => None,
    }
}

impl Disk {
    pub(crate) async fn new(shards: u32) -> Disk {
        let data = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand { clock: SystemClock::new(), skipped_ms: AtomicU64::new(0) });
        let storage = open(&data, shards, &clock);
        let epochs = storage.claim().await.unwrap();
        Disk { storage, epochs, clock, shards, data }
    }

    /// The n-th id on a database.
    pub(crate) fn id(&self, shard: u32, n: u64) -> Id {
        let lives_there = |id: &Id| self.storage.shard_of(*id) == shard;
        (0..u16::MAX).map(|s| Id::new(LogicalShard(s), n)).find(lives_there).unwrap()
    }

    fn later(&self) -> Deadline {
        Deadline::after(self.clock.now(), Duration::from_secs(60))
    }

    pub(crate) async fn try_write(
        &self,
        planned: &Planned,
        key: Option<Idempotency>,
    ) -> Result<Changeset, Trouble> {
        let written = self.storage.write(&self.epochs, planned, key, self.later()).await;
        written.map_err(|failed| failed.trouble)
    }

    pub(crate) async fn write(&self, planned: Planned) -> Changeset {
        self.try_write(&planned, None).await.unwrap()
    }

    async fn done(&self, planned: Planned) -> Done {
        self.write(planned).await.done
    }

    async fn object(&self, id: Id) -> ObjectState {
        self.storage.object(id).await.unwrap().0
    }

    pub(crate) async fn head(&self, id1: Id, atype: AssocType) -> Head {
        self.storage.head(id1, atype, 1000).await.unwrap().0
    }

    /// Version, count, and (id2, time) of all edges.
    async fn list(&self, id1: Id, atype: AssocType) -> (u64, u64, Vec<(Id, u32)>) {
        let head = self.head(id1, atype).await;
        (head.version.0, head.count, head.edges.iter().map(|e| (e.id2, e.time.0)).collect())
    }

    pub(crate) async fn news(&self, shard: u32) -> Vec<(Position, Change)> {
        match self.storage.news(shard, Position(0), 1000).await.unwrap() {
            News::Changes { changes, .. } => changes,
            News::Missed { .. } => panic!("nothing was trimmed"),
        }
    }
}

fn open(data: &TempDir, shards: u32, clock: &Arc<Hand>) -> Storage {
    let clock: Arc<dyn Clock> = clock.clone();
    let options =
        Options { data: data.path().to_owned(), clock: clock.clone(), seed: 1, plants: Plants::default() };
    Storage::new(Files::new(options).open(SET, shards, SCHEMA).unwrap(), clock)
}

pub(crate) fn data(text: &str) -> Data {
    Data::from(text.as_bytes().to_vec())
}

fn key(n: u8, fingerprint: u64) -> Option<Idempotency> {
    Some(Idempotency { key: [n; 16], fingerprint })
}

fn object(id: Id, text: &str) -> Planned {
    Planned::ObjectAdd { id, otype: USER, data: data(text) }
}

fn replace(id: Id, text: &str, if_version: Option<u64>) -> Planned {
    let if_version = if_version.map(Version);
    Planned::ObjectReplace { id, otype: USER, data: data(text), if_version }
}

pub(crate) fn add(id1: Id, atype: AssocType, id2: Id, time: u32) -> Planned {
    let data = Data::from(time.to_le_bytes().to_vec());
    Planned::AssocAdd { id1, atype, id2, time: Time(time), data, inverse: inverse(atype) }
}

pub(crate) fn delete(id1: Id, atype: AssocType, id2: Id) -> Planned {
    Planned::AssocDelete { id1, atype, id2, inverse: inverse(atype) }
}

pub(crate) fn retype(id1: Id, from: AssocType, id2: Id, to: AssocType) -> Planned {
    Planned::AssocChangeType { id1, from, id2, to, inverse_from: inverse(from), inverse_to: inverse(to) }
}

/// Two ids, on one database or on two.
async fn both() -> [(Disk, Id, Id); 2] {
    let (one, two) = (Disk::new(1).await, Disk::new(2).await);
    let ends = [(one.id(0, 1), one.id(0, 2)), (two.id(0, 1), two.id(1, 1))];
    [(one, ends[0].0, ends[0].1), (two, ends[1].0, ends[1].1)]
}

#[tokio::test]
async fn an_objects_version_rises_with_each_change_and_its_id_is_never_used_again() {
    let disk = Disk::new(2).await;
    let id = disk.id(1, 1);
    assert_eq!(disk.object(id).await, ObjectState::default());
    let made = disk.write(object(id, "one")).await;
    assert_eq!((made.done, made.again), (Done::ObjectAdded(id), false));
    let now =
        |version, text: &str| ObjectState { version: Version(version), object: Some((USER, data(text))) };
    let told = |version, now| Change::Object { id, version: Version(version), now };
    assert_eq!(made.changes[0].change, told(1, Some(now(1, "one"))));
    assert_eq!(disk.done(replace(id, "two", Some(1))).await, Done::ObjectUpdated(Version(2)));
    assert_eq!(disk.done(replace(id, "three", None)).await, Done::ObjectUpdated(Version(3)));
    assert_eq!(disk.object(id).await, now(3, "three"));
    let gone = disk.write(Planned::ObjectDelete { id }).await;
    assert_eq!(gone.done, Done::ObjectDeleted(true));
    let nobody = ObjectState { version: Version(4), object: None };
    assert_eq!(gone.changes[0].change, told(4, Some(nobody.clone())));
    assert_eq!(disk.object(id).await, nobody);
    let again = disk.write(Planned::ObjectDelete { id }).await;
    assert_eq!((again.done, again.changes), (Done::ObjectDeleted(false), vec![]));
    assert_eq!(disk.try_write(&object(id, "x"), None).await, Err(Trouble::Used));
    let news = disk.news(1).await;
    assert_eq!(news.iter().map(|n| n.1.version().0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(news[0], (made.changes[0].at, told(1, None)), "news invalidate");
    assert_eq!(disk.news(0).await, vec![]);
}

#[tokio::test]
async fn an_update_that_meets_another_object_than_expected_says_which() {
    let disk = Disk::new(1).await;
    let (id, other) = (disk.id(0, 1), disk.id(0, 2));
    disk.write(object(id, "one")).await;
    let current = Version(1);
    for (planned, trouble) in [
        (replace(id, "x", Some(2)), Trouble::Changed { current }),
        (replace(id, "x", Some(0)), Trouble::Changed { current }),
        (replace(id, "x", Some(u64::MAX)), Trouble::Changed { current }),
        (replace(other, "x", None), Trouble::NoObject),
        (
            Planned::ObjectReplace { id, otype: ObjectType(2), data: data("x"), if_version: None },
            Trouble::OtherType,
        ),
    ] {
        assert_eq!(disk.try_write(&planned, None).await, Err(trouble), "{planned:?}");
    }
    disk.write(Planned::ObjectDelete { id }).await;
    assert_eq!(disk.try_write(&replace(id, "x", None), None).await, Err(Trouble::NoObject));
    assert_eq!(disk.object(id).await.version, Version(2));
}

#[tokio::test]
async fn an_edge_and_its_inverse_come_and_go_together_and_are_counted() {
    for (disk, a, b) in both().await {
        let set = disk.write(add(a, LIKES, b, 10)).await;
        assert_eq!(set.done, Done::AssocAdded(true));
        assert_eq!(disk.list(a, LIKES).await, (1, 1, vec![(b, 10)]));
        assert_eq!(disk.list(b, LIKED_BY).await, (1, 1, vec![(a, 10)]));
        assert_eq!(disk.head(a, LIKES).await.edges.get(0).unwrap().data, 10_u32.to_le_bytes());
        assert_eq!(disk.list(a, LIKED_BY).await, (0, 0, vec![]), "there never was such a list");
        // From the other end it is the same edge.
        assert_eq!(disk.done(add(b, LIKED_BY, a, 20)).await, Done::AssocAdded(false));
        assert_eq!(disk.list(a, LIKES).await, (2, 1, vec![(b, 20)]));
        assert_eq!(disk.list(b, LIKED_BY).await, (2, 1, vec![(a, 20)]));
        assert_eq!(disk.done(delete(a, LIKES, b)).await, Done::AssocDeleted(true));
        assert_eq!(disk.list(a, LIKES).await, (3, 0, vec![]));
        assert_eq!(disk.list(b, LIKED_BY).await, (3, 0, vec![]));
        // In a list that is there it counts as a change; where there never was one nothing happens.
        assert_eq!(disk.done(delete(a, LIKES, b)).await, Done::AssocDeleted(false));
        assert_eq!(disk.list(a, LIKES).await, (4, 0, vec![]));
        let nothing = disk.write(delete(a, LOVES, b)).await;
        assert_eq!((nothing.done, nothing.changes), (Done::AssocDeleted(false), vec![]));
        assert_eq!(disk.list(a, LOVES).await, (0, 0, vec![]));
    }
}

#[tokio::test]
async fn an_edge_of_a_type_without_inverse_is_in_one_list() {
    for (disk, a, b) in both().await {
        assert_eq!(disk.storage.pair(&add(a, READ, b, 1)), None);
        assert_eq!(disk.write(add(a, READ, b, 1)).await.changes.len(), 1);
        assert_eq!(disk.list(a, READ).await, (1, 1, vec![(b, 1)]));
        assert_eq!(disk.done(delete(a, READ, b)).await, Done::AssocDeleted(true));
        assert_eq!(disk.list(a, READ).await, (2, 0, vec![]));
    }
}

#[tokio::test]
async fn an_edge_that_is_its_own_inverse_is_written_once() {
    for (disk, a, b) in both().await {
        let set = disk.write(add(a, FRIEND, a, 5)).await;
        assert_eq!((set.done, set.changes.len()), (Done::AssocAdded(true), 1));
        assert_eq!(disk.list(a, FRIEND).await, (1, 1, vec![(a, 5)]));
        disk.write(add(a, FRIEND, b, 6)).await;
        assert_eq!(disk.list(a, FRIEND).await, (2, 2, vec![(b, 6), (a, 5)]));
        assert_eq!(disk.list(b, FRIEND).await, (1, 1, vec![(a, 6)]));
        assert_eq!(disk.done(delete(a, FRIEND, a)).await, Done::AssocDeleted(true));
        assert_eq!(disk.list(a, FRIEND).await, (3, 1, vec![(b, 6)]));
        // To itself, with another type the other way round.
        disk.write(add(a, LIKES, a, 7)).await;
        assert_eq!(
            (disk.list(a, LIKES).await, disk.list(a, LIKED_BY).await),
            ((1, 1, vec![(a, 7)]), (1, 1, vec![(a, 7)]))
        );
    }
}

#[tokio::test]
async fn a_change_of_type_moves_both_sides_and_overwrites_what_is_there() {
    for (disk, a, b) in both().await {
        assert_eq!(disk.done(retype(a, LIKES, b, LOVES)).await, Done::AssocChanged(false));
        assert_eq!(disk.list(a, LOVES).await, (0, 0, vec![]));
        disk.write(add(a, LIKES, b, 10)).await;
        disk.write(add(a, LOVES, b, 99)).await;
        let set = disk.write(retype(a, LIKES, b, LOVES)).await;
        assert_eq!((set.done, set.changes.len()), (Done::AssocChanged(true), 4));
        assert_eq!(disk.list(a, LIKES).await, (2, 0, vec![]));
        assert_eq!(disk.list(b, LIKED_BY).await, (2, 0, vec![]));
        assert_eq!(disk.list(a, LOVES).await, (2, 1, vec![(b, 10)]));
        assert_eq!(disk.list(b, LOVED_BY).await, (2, 1, vec![(a, 10)]));
        assert_eq!(disk.head(b, LOVED_BY).await.edges.get(0).unwrap().data, 10_u32.to_le_bytes());
        // To a type without inverse, and back to one that has one.
        assert_eq!(disk.done(retype(a, LOVES, b, READ)).await, Done::AssocChanged(true));
        assert_eq!(
            (disk.list(a, READ).await, disk.list(b, LOVED_BY).await),
            ((1, 1, vec![(b, 10)]), (3, 0, vec![]))
        );
        assert_eq!(disk.done(retype(a, READ, b, LIKES)).await, Done::AssocChanged(true));
        assert_eq!(disk.list(b, LIKED_BY).await, (3, 1, vec![(a, 10)]));
        // From the other end, and to what it is already.
        assert_eq!(disk.done(retype(b, LIKED_BY, a, LOVED_BY)).await, Done::AssocChanged(true));
        assert_eq!(disk.list(a, LOVES).await, (4, 1, vec![(b, 10)]));
        let same = disk.write(retype(a, LOVES, b, LOVES)).await;
        assert_eq!((same.done, same.changes), (Done::AssocChanged(true), vec![]));
        assert_eq!(disk.done(retype(a, LIKES, b, LIKES)).await, Done::AssocChanged(false));
        // To the type of its own inverse: the two sides change places.
        disk.write(add(a, LIKES, b, 30)).await;
        assert_eq!(disk.done(retype(a, LIKES, b, LIKED_BY)).await, Done::AssocChanged(true));
        assert_eq!((disk.list(a, LIKED_BY).await.1, disk.list(b, LIKES).await.2), (1, vec![(a, 30)]));
        assert_eq!((disk.list(a, LIKES).await.1, disk.list(b, LIKED_BY).await.1), (0, 0));
    }
}

#[tokio::test]
async fn an_edge_to_itself_that_becomes_its_own_inverse_stays() {
    let disk = Disk::new(1).await;
    let a = disk.id(0, 1);
    disk.write(add(a, LIKES, a, 7)).await;
    assert_eq!(disk.done(retype(a, LIKES, a, LIKED_BY)).await, Done::AssocChanged(true));
    for atype in [LIKES, LIKED_BY] {
        assert_eq!(disk.list(a, atype).await, (2, 1, vec![(a, 7)]));
    }
    assert_eq!(disk.done(retype(a, LIKES, a, FRIEND)).await, Done::AssocChanged(true));
    assert_eq!(disk.list(a, FRIEND).await, (1, 1, vec![(a, 7)]));
    assert_eq!((disk.list(a, LIKES).await.1, disk.list(a, LIKED_BY).await.1), (0, 0));
}

#[tokio::test]
async fn the_same_key_twice_is_the_same_answer() {
    for (disk, a, b) in both().await {
        let writes = [
            object(a, "one"),
            replace(a, "two", Some(1)),
            add(a, LIKES, b, 10),
            add(a, LOVES, b, 20),
            retype(a, LIKES, b, LOVES),
            retype(a, LIKES, b, LOVES),
            delete(a, LOVES, b),
            delete(a, LOVES, b),
            Planned::ObjectDelete { id: a },
        ];
        let mut first = Vec::new();
        for (n, planned) in (1..).zip(&writes) {
            let set = disk.try_write(planned, key(n, 1)).await.unwrap();
            assert!(!set.again, "{planned:?}");
            first.push(set);
        }
        let before = disk.list(a, LOVES).await;
        for (n, (planned, first)) in (1..).zip(writes.iter().zip(&first)) {
            for _ in 0..2 {
                let set = disk.try_write(planned, key(n, 1)).await.unwrap();
                assert_eq!((&set.done, set.again), (&first.done, true), "{planned:?}");
                let versions = |set: &Changeset| {
                    let mut all: Vec<_> = set
                        .changes
                        .iter()
                        .map(|c| (c.shard, c.at, c.change.key(), c.change.version()))
                        .collect();
                    all.sort_unstable_by_key(|c| (c.0, c.1));
                    all
                };
                assert_eq!(versions(&set), versions(first), "where and as what it was committed");
            }
            let other = disk.try_write(planned, key(n, 2)).await;
            assert_eq!(other, Err(Trouble::KeyReused), "{planned:?}");
        }
        assert_eq!(disk.list(a, LOVES).await, before, "nothing was done twice");
    }
}

/// What was answered as "there is none" stays that answer, though there is one now.
#[tokio::test]
async fn a_change_of_type_of_nothing_is_remembered_too() {
    for (disk, a, b) in both().await {
        let change = retype(a, LIKES, b, LOVES);
        let none = disk.try_write(&change, key(1, 1)).await.unwrap();
        assert_eq!((none.done, none.again), (Done::AssocChanged(false), false));
        disk.write(add(a, LIKES, b, 10)).await;
        let again = disk.try_write(&change, key(1, 1)).await.unwrap();
        assert_eq!((again.done, again.again), (Done::AssocChanged(false), true));
        assert_eq!(disk.list(a, LIKES).await.1, 1);
    }
}

/// The second request draws another id in the same logical shard; what counts is the first one's.
#[tokio::test]
async fn an_object_with_a_key_is_made_once_wherever_it_may_live() {
    let disk = Disk::new(2).await;
    let idem = key(9, 1).unwrap();
    let (first, second) = (Id::new(birthplace(&idem), 5), Id::new(birthplace(&idem), 6));
    assert_eq!(disk.try_write(&object(first, "x"), Some(idem)).await.unwrap().done, Done::ObjectAdded(first));
    let again = disk.try_write(&object(second, "x"), Some(idem)).await.unwrap();
    assert_eq!((again.done, again.again), (Done::ObjectAdded(first), true));
    let change = Change::Object { id: first, version: Version(1), now: None };
    assert_eq!(again.changes[0].change, change);
    assert_eq!(disk.object(second).await, ObjectState::default());
}

#[tokio::test]
async fn lists_are_newest_first_and_read_in_parts() {
    let disk = Disk::new(1).await;
    let a = disk.id(0, 1);
    let ends: Vec<Id> = (2..42).map(|n| disk.id(0, n)).collect();
    for (n, end) in (0..).zip(&ends) {
        // Pairs of the same time: of these the greater id is first.
        disk.write(add(a, READ, *end, 100 + n / 2)).await;
    }
    let mut wanted: Vec<(u32, Id)> = (0..).zip(&ends).map(|(n, end)| (100 + n / 2, *end)).collect();
    wanted.sort_unstable();
    wanted.reverse();
    let (head, at) = disk.storage.head(a, READ, 7).await.unwrap();
    assert_eq!((head.version, head.count, head.edges.len()), (Version(40), 40, 7));
    assert_eq!(at, disk.storage.position(0).await.unwrap());
    let times =
        |edges: &seawall_graph::edges::Edges| edges.iter().map(|e| (e.time.0, e.id2)).collect::<Vec<_>>();
    assert_eq!(times(&head.edges), wanted[..7]);
    assert_eq!(disk.storage.head(a, READ, 0).await.unwrap().0.count, 40, "a count needs no edges");
    let range = async |high, low, skip, limit| {
        let (high, low) = (Time(high), Time(low));
        times(&disk.storage.range(&Range { id1: a, atype: READ, high, low, skip, limit }).await.unwrap())
    };
    assert_eq!(range(u32::MAX, 0, 0, u32::MAX).await, wanted);
    assert_eq!(range(u32::MAX, 0, 30, 5).await, wanted[30..35]);
    assert_eq!(range(u32::MAX, 0, u32::MAX, 5).await, []);
    let some: Vec<_> = wanted.iter().copied().filter(|e| (103..=110).contains(&e.0)).collect();
    assert_eq!(range(110, 103, 0, 100).await, some);
    assert_eq!(range(103, 110, 0, 100).await, []);
    // Twenty of those there are, one twice, and one there is not: in the order of the list.
    let mut id2s = ends[..20].to_vec();
    id2s.extend([ends[3], disk.id(0, 99)]);
    let found = disk.storage.points(&Points { id1: a, atype: READ, id2s }).await.unwrap();
    let some: Vec<_> = wanted.iter().copied().filter(|e| ends[..20].contains(&e.1)).collect();
    assert_eq!(times(&found), some);
    let none = Points { id1: a, atype: READ, id2s: vec![] };
    assert!(disk.storage.points(&none).await.unwrap().is_empty());
    let many = (2..5000).map(|n| disk.id(0, n)).collect();
    let found = disk.storage.points(&Points { id1: a, atype: READ, id2s: many }).await.unwrap();
    assert_eq!(found.len(), 40, "of the first thousand");
}

/// The most that may be in one list's head is what the store gives in one answer.
#[tokio::test]
async fn the_longest_head_with_the_largest_data_fits_one_answer() {
    let disk = Disk::new(1).await;
    let a = disk.id(0, 1);
    let data = Data::from(vec![7; EDGE_DATA_MAX]);
    let writes = (1..=u64::from(RANGE_MAX) + 5).map(|n| Planned::AssocAdd {
        id1: a,
        atype: READ,
        id2: Id::new(a.shard(), n + 1),
        time: Time(1),
        data: data.clone(),
        inverse: None,
    });
    let writes: Vec<Planned> = writes.collect();
    for some in writes.chunks(256) {
        futures_util::future::join_all(some.iter().map(|planned| disk.write(planned.clone()))).await;
    }
    let head = disk.storage.head(a, READ, u32::MAX).await.unwrap().0;
    assert_eq!((head.count, head.edges.len()), (u64::from(RANGE_MAX) + 5, RANGE_MAX as usize));
    assert_eq!(disk.storage.page_assocs(0, None, 100_000).await.unwrap().len(), RANGE_MAX as usize + 5);
}

#[tokio::test]
async fn the_largest_object_is_written_and_pages_of_them_are_cut_to_what_fits() {
    let disk = Disk::new(1).await;
    let large = "x".repeat(OBJECT_DATA_MAX);
    for n in 1..=40 {
        disk.write(object(disk.id(0, n), &large)).await;
    }
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let page = disk.storage.page_objects(0, after, 1000).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        seen.extend(page.iter().map(|o| (o.id, o.version.0, o.data.bytes().len())));
    }
    let wanted: Vec<_> = (1..=40).map(|n| (disk.id(0, n), 1, OBJECT_DATA_MAX)).collect();
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn pages_give_everything_once_in_the_order_of_rows() {
    let disk = Disk::new(3).await;
    let ids: Vec<Id> = (1..=60).map(|n| Id::new(LogicalShard((n % 20) * 3000), u64::from(n))).collect();
    for (n, id) in ids.iter().enumerate() {
        disk.write(object(*id, "x")).await;
        disk.write(add(*id, LIKES, ids[(n + 7) % 60], 1)).await;
    }
    disk.write(Planned::ObjectDelete { id: ids[5] }).await;
    let (mut objects, mut assocs) = (Vec::new(), Vec::new());
    for shard in 0..3 {
        let mut after = None;
        loop {
            let page = disk.storage.page_objects(shard, after, 7).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            objects.extend(page.into_iter().map(|o| o.id));
        }
        let mut after = None;
        loop {
            let page = disk.storage.page_assocs(shard, after, 7).await.unwrap();
            let Some((id1, atype, edge)) = page.last() else { break };
            after = Some((*id1, *atype, edge.id2));
            assocs.extend(page.into_iter().map(|(id1, atype, edge)| (id1, atype, edge.id2)));
        }
    }
    let mut wanted: Vec<Id> = ids.iter().copied().filter(|id| *id != ids[5]).collect();
    wanted.sort_unstable();
    objects.sort_unstable();
    assert_eq!(objects, wanted);
    let pairs = (0..60).map(|n| (ids[n], ids[(n + 7) % 60]));
    let mut wanted: Vec<_> = pairs.flat_map(|(a, b)| [(a, LIKES, b), (b, LIKED_BY, a)]).collect();
    wanted.sort_unstable();
    assocs.sort_unstable();
    assert_eq!(assocs, wanted);
}

#[tokio::test]
async fn whoever_does_not_lead_any_more_writes_nothing() {
    for (disk, a, b) in both().await {
        disk.write(add(a, LIKES, b, 1)).await;
        let new = disk.storage.claim().await.unwrap();
        for planned in [object(a, "x"), add(a, LIKES, b, 2), delete(a, LIKES, b), add(a, READ, b, 3)] {
            assert_eq!(disk.try_write(&planned, None).await, Err(Trouble::Fenced), "{planned:?}");
        }
        let put = disk.storage.schema_put(&disk.epochs, 0, "x", disk.later()).await;
        assert_eq!(put, Err(Failed { shard: 0, trouble: Trouble::Fenced }));
        assert_eq!(disk.list(a, LIKES).await, (1, 1, vec![(b, 1)]));
        let by_new = disk.storage.write(&new, &add(a, LIKES, b, 2), None, disk.later()).await.unwrap();
        assert_eq!(by_new.done, Done::AssocAdded(false));
        let nobody = disk.storage.write(&[], &add(a, LIKES, b, 2), None, disk.later()).await;
        assert_eq!(nobody.unwrap_err().trouble, Trouble::Fenced, "a missing epoch is nobody's");
    }
}

#[tokio::test]
async fn a_write_past_its_deadline_is_not_begun() {
    for (disk, a, b) in both().await {
        let past = Deadline { at: Mono(0) };
        for planned in [object(a, "x"), add(a, LIKES, b, 2), delete(a, LIKES, b)] {
            let written = disk.storage.write(&disk.epochs, &planned, None, past).await;
            assert_eq!(written.unwrap_err().trouble, Trouble::Late, "{planned:?}");
        }
        assert_eq!((disk.list(a, LIKES).await.0, disk.object(a).await), (0, ObjectState::default()));
    }
}

#[tokio::test]
async fn news_go_on_past_what_is_no_news() {
    let disk = Disk::new(1).await;
    let (a, b) = (disk.id(0, 1), disk.id(0, 2));
    let news = async |from, max| match disk.storage.news(0, from, max).await.unwrap() {
        News::Changes { changes, up_to } => (changes.len(), up_to),
        News::Missed { .. } => panic!("nothing was trimmed"),
    };
    // A delete in a list that never was is told of, and says nothing; the lease is not even told of.
    disk.write(delete(a, READ, b)).await;
    let lease = Lease { holder: "x".to_owned(), address: String::new(), renewed_at: Wall(1) };
    assert!(disk.storage.lease_take(&lease, None).await.unwrap());
    let now = disk.storage.position(0).await.unwrap();
    assert_eq!(news(Position(0), 10).await, (0, now));
    assert_eq!(news(now, 10).await, (0, now));
    for time in 0..5 {
        disk.write(add(a, LIKES, b, time)).await;
    }
    let (n, mut at) = news(now, 4).await;
    assert_eq!((n, at), (4, Position(now.0 + 4)));
    let mut rest = 0;
    while at < disk.storage.position(0).await.unwrap() {
        let (n, next) = news(at, 4).await;
        assert!(next > at, "it always goes on");
        (rest, at) = (rest + n, next);
    }
    assert_eq!(rest, 6);
}

#[tokio::test]
async fn whoever_was_away_too_long_is_told_that_it_missed_something() {
    let disk = Disk::new(1).await;
    let (a, b) = (disk.id(0, 1), disk.id(0, 2));
    disk.write(add(a, LIKES, b, 1)).await;
    disk.storage.cursor_save(0, "follower-x", Position(1)).await.unwrap();
    assert_eq!(disk.storage.cursor(0, "follower-x").await.unwrap(), Some(Position(1)));
    assert_eq!(disk.storage.cursor(0, "follower-y").await.unwrap(), None);
    // Eight days: longer than anything is kept for a follower. The store looks once a second.
    disk.clock.skipped_ms.fetch_add(8 * 24 * 3600 * 1000, Ordering::SeqCst);
    for time in 2..1000 {
        disk.write(add(a, LIKES, b, time)).await;
        if let News::Missed { now } = disk.storage.news(0, Position(1), 10).await.unwrap() {
            assert_eq!(now, disk.storage.position(0).await.unwrap());
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("old news were never trimmed");
}

#[tokio::test]
async fn the_schema_is_changed_only_by_who_has_seen_what_stands_there() {
    let disk = Disk::new(2).await;
    assert_eq!(disk.storage.schema().await.unwrap(), None);
    let put =
        async |seen, text| disk.storage.schema_put(&disk.epochs, seen, text, disk.later()).await.unwrap();
    assert!(!put(1, "too early").await);
    assert!(put(0, "one").await);
    assert!(!put(0, "also one").await);
    assert!(put(1, "two").await);
    assert!(!put(1, "two").await);
    assert_eq!(disk.storage.schema().await.unwrap(), Some((2, "two".to_owned())));
    let elsewhere = open(&disk.data, disk.shards, &disk.clock);
    assert_eq!(elsewhere.schema().await.unwrap(), Some((2, "two".to_owned())));
}

#[tokio::test]
async fn the_lease_is_taken_only_from_who_was_seen_to_have_it() {
    let disk = Disk::new(2).await;
    let lease = |holder: &str, ms| Lease {
        holder: holder.to_owned(),
        address: "127.0.0.1:6380".to_owned(),
        renewed_at: Wall(ms),
    };
    let (ann, later, bob) = (lease("ann", 1), lease("ann", 2), lease("bob", 3));
    let take = async |new, seen| disk.storage.lease_take(new, seen).await.unwrap();
    assert_eq!(disk.storage.lease().await.unwrap(), None);
    assert!(take(&ann, None).await);
    assert!(!take(&bob, None).await);
    assert!(take(&later, Some(&ann)).await);
    assert!(!take(&bob, Some(&ann)).await, "it was renewed meanwhile");
    assert!(take(&bob, Some(&later)).await);
    assert_eq!(disk.storage.lease().await.unwrap(), Some(bob.clone()));
    disk.storage.lease_release("ann").await.unwrap();
    assert_eq!(disk.storage.lease().await.unwrap(), Some(bob));
    disk.storage.lease_release("bob").await.unwrap();
    assert_eq!(disk.storage.lease().await.unwrap(), None);
}

#[tokio::test]
async fn what_is_written_is_there_when_the_files_are_opened_again() {
    for (disk, a, b) in both().await {
        disk.write(object(a, "x")).await;
        disk.write(add(a, LIKES, b, 1)).await;
        let again = open(&disk.data, disk.shards, &disk.clock);
        assert_eq!(again.object(a).await.unwrap().0.version, Version(1));
        assert_eq!(again.head(b, LIKED_BY, 9).await.unwrap().0.count, 1);
    }
}
