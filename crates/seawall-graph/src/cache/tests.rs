//! What memory promises, against a model and against the allocator.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use proptest::prelude::*;
use tokio::sync::oneshot;

use super::entry::SLOT;
use super::*;
use crate::call::{Data, ObjectType, Refusal, Time};
use crate::edges::{EdgeRef, Edges};
use crate::leader::Filled;

const NOW: Mono = Mono(5_000_000_000);
const TTL: Duration = Duration::from_secs(60);
const LIST: AssocType = AssocType(3);

fn id(number: u64) -> Id {
    Id::try_from(number).unwrap()
}

fn object(version: u64, bytes: usize) -> State {
    let data = Data::from(vec![version as u8; bytes]);
    State::Object(ObjectState { version: Version(version), object: Some((ObjectType(1), data)) })
}

/// Edges (time, id2), newest first.
fn head(version: u64, count: u64, edges: &[(u32, u64)]) -> Head {
    let edges = edges.iter().map(|(time, id2)| EdgeRef { id2: id(*id2), time: Time(*time), data: b"" });
    Head { version: Version(version), count, edges: Edges::of(edges) }
}

fn edge(version: u64, count: u64, id2: u64, time: Option<u32>) -> Change {
    let now = time.map(|time| (Time(time), Data::default()));
    Change::Edge { id1: id(1), atype: LIST, version: Version(version), count, id2: id(id2), now }
}

fn updated(version: u64, now: Option<ObjectState>) -> Change {
    Change::Object { id: id(1), version: Version(version), now }
}

fn filled(state: State) -> Result<Filled, Refusal> {
    Ok(Filled { state, is_stale: false })
}

/// Lets a future go on that must not wait for anything outside.
fn poll<T>(future: &mut Pin<Box<dyn Future<Output = T> + '_>>) -> Option<T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

fn bring_in(cache: &Cache, key: Key, state: &State) {
    let mut fetch: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(cache.fetch(key, Need::default(), NOW, async |_| filled(state.clone())));
    assert!(poll(&mut fetch).unwrap().is_ok());
}

fn with_head(head: Head) -> Cache {
    let cache = Cache::new(1 << 20, TTL);
    bring_in(&cache, Key::List(id(1), LIST), &State::List(head));
    cache
}

fn kept(cache: &Cache) -> Head {
    match cache.head(id(1), LIST, 0, Version(0), NOW) {
        Found::Fresh(head) => head,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_next_change_is_applied_an_old_one_ignored_and_a_gap_drops() {
    let cache = with_head(head(4, 2, &[(9, 2), (5, 3)]));
    assert_eq!(cache.apply(&edge(4, 7, 9, Some(50))), Applied::Old);
    assert_eq!(cache.apply(&edge(5, 3, 4, Some(7))), Applied::Updated);
    assert_eq!(kept(&cache), head(5, 3, &[(9, 2), (7, 4), (5, 3)]));
    assert_eq!(cache.apply(&edge(6, 2, 2, None)), Applied::Updated);
    assert_eq!(kept(&cache), head(6, 2, &[(7, 4), (5, 3)]));
    assert_eq!(cache.apply(&edge(8, 4, 5, Some(1))), Applied::Dropped { gap: true });
    assert_eq!(cache.apply(&edge(9, 4, 5, Some(1))), Applied::Unknown);
}

#[test]
fn a_cut_head_counts_what_it_does_not_hold() {
    let cache = with_head(head(4, 10, &[(9, 2), (5, 3)]));
    // Behind the last one kept: who knows among whom.
    assert_eq!(cache.apply(&edge(5, 11, 7, Some(4))), Applied::Updated);
    assert_eq!(kept(&cache), head(5, 11, &[(9, 2), (5, 3)]));
    // One that is kept moves behind: it goes, and is counted on.
    assert_eq!(cache.apply(&edge(6, 11, 2, Some(1))), Applied::Updated);
    assert_eq!(kept(&cache), head(6, 11, &[(5, 3)]));
    assert_eq!(cache.head(id(1), LIST, 2, Version(0), NOW), Found::Absent, "two were asked for");
    // The last one itself moves behind its own place: nothing is known any more but the count.
    assert_eq!(cache.apply(&edge(7, 11, 3, Some(4))), Applied::Updated);
    assert_eq!(kept(&cache), head(7, 11, &[]));
    assert_eq!(cache.count(id(1), LIST, Version(7), NOW), Found::Fresh(11));
    assert_eq!(cache.apply(&edge(8, 12, 30, Some(100))), Applied::Updated);
    assert_eq!(kept(&cache), head(8, 12, &[]), "a head without edges cannot tell what is newest");
}

#[test]
fn a_cut_head_does_not_grow_beyond_what_was_asked_for() {
    let edges = (1..=200).rev().map(|n| (n, u64::from(n) + 10)).collect::<Vec<_>>();
    let cache = with_head(head(1, 1000, &edges));
    for n in 0..50 {
        assert_eq!(cache.apply(&edge(2 + n, 1001 + n, 500 + n, Some(300 + n as u32))), Applied::Updated);
    }
    assert_eq!(kept(&cache).edges.len(), 200);
}

#[test]
fn numbers_that_do_not_fit_together_drop_the_list() {
    let cache = with_head(head(4, 2, &[(9, 2), (5, 3)]));
    assert_eq!(cache.apply(&edge(5, 9, 4, Some(7))), Applied::Dropped { gap: false });
}

#[test]
fn a_list_that_never_was_becomes_one() {
    let cache = with_head(Head::default());
    assert_eq!(cache.head(id(1), LIST, 100, Version(0), NOW), Found::Fresh(Head::default()));
    assert_eq!(cache.apply(&edge(1, 1, 4, Some(7))), Applied::Updated);
    assert_eq!(kept(&cache), head(1, 1, &[(7, 4)]));
    let moved = Change::List { id1: id(1), atype: LIST, version: Version(2) };
    assert_eq!(cache.apply(&moved), Applied::Dropped { gap: false });
}

#[test]
fn an_object_is_invalidated_by_news_and_replaced_by_its_writer() {
    let cache = Cache::new(1 << 20, TTL);
    bring_in(&cache, Key::Object(id(1)), &object(4, 10));
    let State::Object(state) = object(7, 3) else { unreachable!() };
    assert_eq!(
        cache.apply(&updated(7, Some(state.clone()))),
        Applied::Updated,
        "a whole state fills any gap"
    );
    assert_eq!(cache.object(id(1), Version(7), NOW), Found::Fresh(state));
    assert_eq!(cache.apply(&updated(7, None)), Applied::Old);
    assert_eq!(cache.apply(&updated(8, None)), Applied::Dropped { gap: false });
    assert_eq!(cache.apply(&updated(9, None)), Applied::Unknown);
    assert_eq!(cache.object(id(1), Version(0), NOW), Found::Absent);
}

#[test]
fn what_is_too_old_or_older_than_asked_for_is_stale() {
    let cache = Cache::new(1 << 20, TTL);
    bring_in(&cache, Key::Object(id(1)), &object(4, 10));
    let at = |seconds, version| cache.object(id(1), Version(version), NOW + Duration::from_secs(seconds));
    assert!(matches!(at(59, 4), Found::Fresh(_)));
    assert!(matches!(at(60, 4), Found::Stale(_)));
    assert!(matches!(at(0, 5), Found::Stale(_)));
    // What is too old yields to whatever the source says, even after a restore to an earlier state.
    let later = NOW + Duration::from_secs(60);
    let mut fetch: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(cache.fetch(Key::Object(id(1)), Need::default(), later, async |_| filled(object(2, 1))));
    assert_eq!(poll(&mut fetch).unwrap().unwrap().state, object(2, 1));
    assert_eq!(cache.version(Key::Object(id(1))), Some(Version(2)));
}

#[test]
fn a_critical_answer_replaces_but_brings_nothing_in() {
    let cache = Cache::new(1 << 20, TTL);
    let key = Key::Object(id(1));
    cache.put(key, &object(4, 10), NOW);
    assert_eq!(cache.version(key), None);
    bring_in(&cache, key, &object(4, 10));
    cache.put(key, &object(6, 10), NOW);
    cache.put(key, &object(5, 10), NOW);
    assert_eq!(cache.version(key), Some(Version(6)));
}

#[test]
fn all_who_want_the_same_ask_once_and_who_leaves_hands_over() {
    let cache = Cache::new(1 << 20, TTL);
    let key = Key::Object(id(1));
    let asked = RefCell::new(Vec::new());
    let (land, landing) = oneshot::channel::<()>();
    let landing = RefCell::new(Some(landing));
    let ask = async |need: Need| {
        asked.borrow_mut().push(need);
        let landing = landing.borrow_mut().take();
        if let Some(landing) = landing {
            landing.await.unwrap();
        }
        filled(object(3, 5))
    };
    let mut first: Pin<Box<dyn Future<Output = _>>> = Box::pin(cache.fetch(key, Need::default(), NOW, ask));
    let mut rest = (0..5)
        .map(|n| {
            let need = Need { edges: 0, at_least: Version(n % 2) };
            Box::pin(cache.fetch(key, need, NOW, ask)) as Pin<Box<dyn Future<Output = _>>>
        })
        .collect::<Vec<_>>();
    assert!(poll(&mut first).is_none());
    assert!(rest.iter_mut().all(|one| poll(one).is_none()));
    assert_eq!(asked.borrow().len(), 1);
    drop(first);
    // One of them was told to ask, and leaves before it does.
    drop(rest.pop());
    let mut answers = 0;
    // Whoever asks now is not the first in the row: the others go on in a second round.
    for _ in 0..2 {
        rest.retain_mut(|one| {
            let Some(answer) = poll(one) else { return true };
            assert_eq!(answer, filled(object(3, 5)));
            answers += 1;
            false
        });
    }
    assert_eq!(answers, 4);
    assert_eq!(*asked.borrow(), [Need::default(), Need { edges: 0, at_least: Version(1) }]);
    drop(land);
}

#[test]
fn who_needs_more_than_was_asked_for_asks_again() {
    let cache = Cache::new(1 << 20, TTL);
    let key = Key::List(id(1), LIST);
    let (land, landing) = oneshot::channel::<()>();
    let few = Need { edges: 1, at_least: Version(0) };
    let many = Need { edges: 2, at_least: Version(0) };
    let short = State::List(head(3, 9, &[(8, 8)]));
    let long = State::List(head(3, 9, &[(8, 8), (7, 7)]));
    let landing = RefCell::new(Some(landing));
    let mut first: Pin<Box<dyn Future<Output = _>>> = Box::pin(cache.fetch(key, few, NOW, async |_| {
        let landing = landing.borrow_mut().take();
        landing.unwrap().await.unwrap();
        filled(short.clone())
    }));
    let mut second: Pin<Box<dyn Future<Output = _>>> = Box::pin(cache.fetch(key, many, NOW, async |need| {
        assert_eq!(need.edges, 2);
        filled(long.clone())
    }));
    assert!(poll(&mut first).is_none());
    assert!(poll(&mut second).is_none());
    land.send(()).unwrap();
    assert_eq!(poll(&mut first).unwrap(), filled(short.clone()));
    assert_eq!(poll(&mut second).unwrap(), filled(long.clone()));
    assert_eq!(kept(&cache).edges.len(), 2);
}

#[test]
fn a_refusal_is_everybodys_but_patience_is_ones_own() {
    let cache = Cache::new(1 << 20, TTL);
    let key = Key::Object(id(1));
    let run = |first_says: Refusal| {
        let (land, landing) = oneshot::channel::<()>();
        let landing = RefCell::new(Some(landing));
        let ask = async |_| {
            let landing = landing.borrow_mut().take();
            let Some(landing) = landing else { return Err(Refusal::Busy) };
            landing.await.unwrap();
            Err(first_says.clone())
        };
        let mut first: Pin<Box<dyn Future<Output = _>>> =
            Box::pin(cache.fetch(key, Need::default(), NOW, ask));
        let mut second: Pin<Box<dyn Future<Output = _>>> =
            Box::pin(cache.fetch(key, Need::default(), NOW, ask));
        assert!(poll(&mut first).is_none() && poll(&mut second).is_none());
        land.send(()).unwrap();
        (poll(&mut first).unwrap().unwrap_err(), poll(&mut second).unwrap().unwrap_err())
    };
    let down = Refusal::Unavailable { shard: 0, retry_ms: 5 };
    assert_eq!(run(down.clone()), (down.clone(), down));
    assert_eq!(run(Refusal::Late), (Refusal::Late, Refusal::Busy));
}

#[test]
fn a_stale_answer_is_told_and_not_kept_and_a_changing_key_is_given_up() {
    let cache = Cache::new(1 << 20, TTL);
    let key = Key::Object(id(1));
    let stale = Filled { state: object(3, 5), is_stale: true };
    let mut fetch: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(cache.fetch(key, Need::default(), NOW, async |_| Ok(stale.clone())));
    assert_eq!(poll(&mut fetch).unwrap().unwrap(), stale);
    assert_eq!(cache.version(key), None);
    let asked = RefCell::new(0);
    let mut fetch: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(cache.fetch(key, Need::default(), NOW, async |_| {
            *asked.borrow_mut() += 1;
            cache.apply(&updated(100 + *asked.borrow(), None));
            filled(object(3, 5))
        }));
    assert_eq!(poll(&mut fetch).unwrap().unwrap_err(), Refusal::Busy);
    assert_eq!(*asked.borrow(), u64::from(crate::limits::FILL_TRIES_MAX));
}

#[test]
fn fetch_can_be_awaited_by_a_task_that_moves_between_threads() {
    fn moves<T: Send>(value: T) -> T {
        value
    }
    let cache = std::sync::Arc::new(Cache::new(1 << 20, TTL));
    let state = object(1, 1);
    drop(moves(async move {
        let ask = |_| async {
            tokio::task::yield_now().await;
            filled(state.clone())
        };
        cache.fetch(Key::Object(id(1)), Need::default(), NOW, ask).await
    }));
}

// The budget, by the allocator.

/// What the allocator handed out for a cache filled with so many items, without its own overhead.
fn fill(budget: u64, items: u64, state: impl Fn(u64) -> (Key, State)) -> (Cache, u64) {
    let mut cache = None;
    let info = allocation_counter::measure(|| {
        let new = Cache::new(budget, TTL);
        for n in 0..items {
            let (key, state) = state(n);
            bring_in(&new, key, &state);
        }
        cache = Some(new);
    });
    (cache.unwrap(), info.bytes_current as u64)
}

fn spread(n: u64) -> Id {
    id(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1 | 1)
}

#[test]
fn what_is_counted_stays_within_the_budget_whatever_is_kept() {
    type Make = fn(u64) -> (Key, State);
    let kinds: [(&str, u64, Make); 5] = [
        ("objects of 150 bytes", 290, |n| (Key::Object(spread(n)), object(1, 150))),
        ("objects that are not", 120, |n| (Key::Object(spread(n)), State::Object(ObjectState::default()))),
        ("counts only", 120, |n| (Key::List(spread(n), LIST), State::List(head(5, 90_000, &[])))),
        ("lists of 4 edges", 210, |n| {
            (
                Key::List(spread(n), LIST),
                State::List(head(4, 4, &[(4, n + 1), (3, n + 2), (2, n + 3), (1, n + 4)])),
            )
        }),
        ("objects of 1 to 3,000 bytes", 2000, |n| {
            (Key::Object(spread(n)), object(1, 1 + (n as usize * 37) % 3000))
        }),
    ];
    for (what, item_max, make) in kinds {
        let budget = 16 << 20;
        let (cache, allocated) = fill(budget, 16 << 20 >> 6, make);
        let usage = cache.usage();
        let each = usage.bytes / usage.items;
        println!(
            "{what}: {each} bytes each, {} held, {} of {budget} bytes used, {allocated} asked for",
            usage.items, usage.bytes
        );
        assert!(usage.evicted > 0, "{what}: it must have been full");
        assert!(usage.bytes <= budget, "{what}: {} bytes", usage.bytes);
        assert!(usage.bytes >= budget / 10 * 8, "{what}: only {} bytes used", usage.bytes);
        assert!(each <= item_max, "{what}: {each} bytes each");
        // The slab doubles as vectors do: its spare room is asked for, and not counted.
        let spare_max = 2 * SLOT * usage.items;
        assert!(allocated <= budget + spare_max, "{what}: {allocated} bytes asked for");
    }
}

#[test]
fn small_items_that_gave_way_to_large_ones_give_back_their_slots() {
    let budget = 8 << 20;
    let (cache, _) = fill(budget, 400_000, |n| {
        let key = Key::Object(spread(n));
        if n < 300_000 { (key, State::Object(ObjectState::default())) } else { (key, object(1, 1000)) }
    });
    let usage = cache.usage();
    assert!(usage.bytes <= budget && usage.items > budget / 1300, "{usage:?}");
}

#[test]
fn a_long_list_does_not_push_out_everything() {
    let cache = Cache::new(1 << 20, TTL);
    for n in 0..1000 {
        bring_in(&cache, Key::Object(spread(n)), &object(1, 150));
    }
    let edges = (1..=6000).rev().map(|n| EdgeRef { id2: id(n + 10), time: Time(n as u32), data: &[7; 24] });
    let key = Key::List(id(1), LIST);
    let whole = State::List(Head { version: Version(7), count: 6000, edges: Edges::of(edges) });
    let mut fetch: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(
            cache
                .fetch(key, Need { edges: 6000, at_least: Version(0) }, NOW, async |_| filled(whole.clone())),
        );
    assert_eq!(poll(&mut fetch).unwrap(), filled(whole.clone()), "whoever asked gets all of it");
    let kept = kept(&cache);
    assert!((1000..6000).contains(&kept.edges.len()) && kept.count == 6000, "{}", kept.edges.len());
    assert!(cache.usage().items > 900);
}

// Against a model.

#[derive(Debug, Clone)]
enum Op {
    /// Something changes at the source.
    Write {
        key: usize,
        id2: u64,
        time: Option<u32>,
    },
    /// One of the changes so far is told, again or before others.
    Tell {
        change: usize,
    },
    /// Somebody asks; whoever asks the source sees it as it is now.
    Ask {
        key: usize,
        edges: u32,
    },
    /// An answer under way arrives.
    Land {
        which: usize,
    },
    /// Whoever asks leaves.
    Leave {
        which: usize,
    },
    /// A critical read asks the source now, and its answer comes some operations later.
    Critical {
        key: usize,
    },
    CriticalLands {
        which: usize,
    },
    /// Others come in and push out what they do.
    Crowd {
        seed: u64,
    },
    Forget {
        key: usize,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let key = 0..3_usize;
    let op = prop_oneof![
        4 => (key.clone(), 1..8_u64, proptest::option::of(0..6_u32))
            .prop_map(|(key, id2, time)| Op::Write { key, id2, time }),
        5 => any::<usize>().prop_map(|change| Op::Tell { change }),
        4 => (key.clone(), 0..6_u32).prop_map(|(key, edges)| Op::Ask { key, edges }),
        4 => any::<usize>().prop_map(|which| Op::Land { which }),
        1 => any::<usize>().prop_map(|which| Op::Leave { which }),
        1 => key.clone().prop_map(|key| Op::Critical { key }),
        1 => any::<usize>().prop_map(|which| Op::CriticalLands { which }),
        1 => any::<u64>().prop_map(|seed| Op::Crowd { seed }),
        1 => key.prop_map(|key| Op::Forget { key }),
    ];
    proptest::collection::vec(op, 1..120)
}

fn key_of(number: usize) -> Key {
    [Key::Object(id(1)), Key::List(id(1), LIST), Key::List(id(1), AssocType(4))][number]
}

/// The source: what is true.
#[derive(Default)]
struct Source {
    objects: BTreeMap<usize, ObjectState>,
    lists: BTreeMap<usize, (Version, BTreeSet<(u32, u64)>)>,
    log: Vec<Change>,
}

impl Source {
    fn state(&self, key: usize, edges: u32) -> State {
        match key_of(key) {
            Key::Object(_) => State::Object(self.objects.get(&key).cloned().unwrap_or_default()),
            Key::List(..) => {
                let Some((version, list)) = self.lists.get(&key) else { return State::List(Head::default()) };
                let newest = list.iter().rev().take(edges as usize);
                let newest =
                    newest.map(|(time, id2)| EdgeRef { id2: id(*id2), time: Time(*time), data: b"x" });
                State::List(Head { version: *version, count: list.len() as u64, edges: Edges::of(newest) })
            }
        }
    }

    fn write(&mut self, key: usize, id2: u64, time: Option<u32>) {
        match key_of(key) {
            Key::Object(id) => {
                let state = self.objects.entry(key).or_default();
                state.version = state.version.next();
                state.object = time.map(|time| (ObjectType(1), vec![time as u8; id2 as usize * 30].into()));
                let now = id2.is_multiple_of(2).then(|| state.clone());
                self.log.push(Change::Object { id, version: state.version, now });
            }
            Key::List(id1, atype) => {
                let (version, list) = self.lists.entry(key).or_default();
                *version = version.next();
                list.retain(|place| place.1 != id2);
                if let Some(time) = time {
                    list.insert((time, id2));
                }
                let now = time.map(|time| (Time(time), Data::from(b"x".to_vec())));
                let (version, count) = (*version, list.len() as u64);
                self.log.push(if id2 == 7 {
                    Change::List { id1, atype, version }
                } else {
                    Change::Edge { id1, atype, version, count, id2: id(id2), now }
                });
            }
        }
    }
}

type Fetch<'a> = Pin<Box<dyn Future<Output = Result<Filled, Refusal>> + 'a>>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Answers that were asked for earlier, changes told early, late, twice and in any order, evictions, critical reads,
    /// clients that leave: nobody is told something older than what memory was told before it asked, and once all
    /// changes were told, memory has what is true or nothing.
    #[test]
    fn memory_is_never_older_than_what_it_was_told(ops in ops()) {
        let cache = Cache::new(6 << 10, TTL);
        let source = RefCell::new(Source::default());
        let told = RefCell::new([Version::default(); 3]);
        let landings: Rc<RefCell<Vec<oneshot::Sender<()>>>> = Rc::default();
        let mut fetches: Vec<(usize, Version, Fetch<'_>)> = Vec::new();
        let mut criticals: Vec<(usize, State)> = Vec::new();
        let tell = |change: &Change| {
            cache.apply(change);
            let key = (0..3).position(|key| key_of(key) == change.key()).unwrap();
            let told = &mut told.borrow_mut()[key];
            *told = (*told).max(change.version());
        };
        let advance = |fetches: &mut Vec<(usize, Version, Fetch<'_>)>| -> Result<(), TestCaseError> {
            // Those who wait for one another go on in any order: as many rounds as there are.
            for _ in 0..=fetches.len() {
                let mut rest = Vec::new();
                for (key, floor, mut fetch) in fetches.drain(..) {
                    match poll(&mut fetch) {
                        None => rest.push((key, floor, fetch)),
                        Some(Ok(filled)) => prop_assert!(filled.state.version() >= floor, "{key}: {filled:?} < {floor:?}"),
                        Some(Err(refusal)) => prop_assert_eq!(refusal, Refusal::Busy),
                    }
                }
                *fetches = rest;
            }
            Ok(())
        };
        for op in ops {
            match op {
                Op::Write { key, id2, time } => source.borrow_mut().write(key, id2, time),
                Op::Tell { change } => {
                    let source = source.borrow();
                    if !source.log.is_empty() {
                        tell(&source.log[change % source.log.len()]);
                    }
                }
                Op::Ask { key, edges } => {
                    let (source, landings) = (&source, landings.clone());
                    let ask = move |need: Need| {
                        let state = source.borrow().state(key, need.edges);
                        let (land, landing) = oneshot::channel();
                        landings.borrow_mut().push(land);
                        async move {
                            landing.await.ok();
                            filled(state)
                        }
                    };
                    let need = Need { edges, at_least: Version(0) };
                    let floor = told.borrow()[key];
                    fetches.push((key, floor, Box::pin(cache.fetch(key_of(key), need, NOW, ask))));
                }
                Op::Land { which } => {
                    let mut landings = landings.borrow_mut();
                    if !landings.is_empty() {
                        let which = which % landings.len();
                        landings.swap_remove(which).send(()).ok();
                    }
                }
                Op::Leave { which } => {
                    if !fetches.is_empty() {
                        let which = which % fetches.len();
                        drop(fetches.swap_remove(which));
                    }
                }
                Op::Critical { key } => criticals.push((key, source.borrow().state(key, 4))),
                Op::CriticalLands { which } => {
                    if !criticals.is_empty() {
                        let which = which % criticals.len();
                        let (key, state) = criticals.swap_remove(which);
                        cache.put(key_of(key), &state, NOW);
                    }
                }
                Op::Crowd { seed } => {
                    for n in 0..20 {
                        bring_in(&cache, Key::Object(spread(seed % 1000 + n + 1000)), &object(1, 200));
                    }
                }
                Op::Forget { key } => _ = cache.forget(|one| one == key_of(key)),
            }
            advance(&mut fetches)?;
        }
        for change in &source.borrow().log {
            tell(change);
        }
        while !landings.borrow().is_empty() {
            for land in landings.borrow_mut().drain(..) {
                land.send(()).ok();
            }
            advance(&mut fetches)?;
        }
        prop_assert!(fetches.is_empty(), "{} wait for nobody", fetches.len());
        for key in 0..3 {
            let cached = match key_of(key) {
                Key::Object(id) => match cache.object(id, Version(0), NOW) {
                    Found::Absent => continue,
                    Found::Fresh(state) | Found::Stale(state) => State::Object(state),
                },
                Key::List(id, atype) => match cache.head(id, atype, 0, Version(0), NOW) {
                    Found::Absent => continue,
                    Found::Fresh(head) | Found::Stale(head) => State::List(head),
                },
            };
            let edges = match &cached {
                State::List(head) => head.edges.len() as u32,
                State::Object(_) => 0,
            };
            prop_assert_eq!(cached, source.borrow().state(key, edges));
        }
    }
}
