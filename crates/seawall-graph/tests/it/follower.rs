//! The follower in front of a real leader and store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seawall_graph::Config;
use seawall_graph::call::{AssocType, Command, Data, Done, Home, Key, Refusal, Time, Version, Write};
use seawall_graph::edges::{EdgeRef, Edges};
use seawall_graph::follower::{Answer, Follower, Part, View};
use seawall_graph::id::Id;
use seawall_graph::leader::Upstream;
use seawall_graph::limits::{HEAD_FIRST, HEAD_MAX, TICKET_KEYS_MAX};
use seawall_graph::message::Changeset;
use seawall_graph::metrics::Metrics;
use seawall_graph::ticket::Ticket;
use seawall_net::host::Host;
use seawall_policy::deadline::Deadline;
use seawall_policy::{Clock, Mono, Rng, Wall};
use seawall_store::Sql;

use crate::making::{
    BLOCKS, FOLLOWED_BY, FOLLOWS, FRIEND, Leads, PATIENCE, USER, config, database, eventually, host, metric,
    sabotage, user,
};

/// A follower with a host of its own, so that it can stop hearing news by itself.
pub(crate) struct Follows {
    pub(crate) follower: Arc<Follower>,
    pub(crate) host: Host,
    clock: Arc<dyn Clock>,
}

impl Follows {
    /// Hears the news.
    pub(crate) fn new(upstream: &Upstream) -> Follows {
        let follows = Follows::deaf(upstream, false, host());
        follows.listen(upstream);
        follows
    }

    /// Hears nothing but what it writes.
    pub(crate) fn deaf(upstream: &Upstream, drops: bool, host: Host) -> Follows {
        let (metrics, clock) = (Metrics::new(&host.metrics), host.clock.clone());
        let config = config(upstream.shards());
        let follower = Follower::new(&config, upstream.clone(), clock.clone(), metrics, drops);
        Follows { follower, host, clock }
    }

    /// From now on, and with nothing in memory.
    pub(crate) fn listen(&self, upstream: &Upstream) {
        for shard in 0..upstream.shards() {
            let tasks = self.host.tasks.clone();
            self.host.tasks.vital("graph-follow", self.follower.clone().follow(shard, tasks));
        }
    }

    pub(crate) fn view<'a>(&self, ticket: Option<&'a Ticket>) -> View<'a> {
        View { ticket, critical: false, deadline: Deadline::after(self.clock.now(), PATIENCE) }
    }

    pub(crate) async fn write(&self, write: Write) -> Changeset {
        let deadline = self.view(None).deadline;
        self.follower.write(Command { write, key: None }, deadline).await.unwrap()
    }

    async fn add_user(&self, name: &str) -> Id {
        match self.write(new_user(name, Home::Anywhere)).await.done {
            Done::ObjectAdded(id) => id,
            other => panic!("{other:?}"),
        }
    }

    async fn name(&self, id: Id, ticket: Option<&Ticket>) -> (Version, Option<Data>) {
        let answer = self.follower.object(id, &self.view(ticket)).await.unwrap();
        assert!(!answer.is_stale);
        (answer.value.version, answer.value.object.map(|(_, data)| data))
    }

    async fn count(&self, id1: Id, atype: AssocType, ticket: Option<&Ticket>) -> u64 {
        self.follower.count(id1, atype, &self.view(ticket)).await.unwrap().value
    }
}

fn new_user(name: &str, home: Home) -> Write {
    Write::ObjectAdd { otype: USER, data: user(&[("name", name)]), home }
}

fn renamed(id: Id, name: &str) -> Write {
    Write::ObjectUpdate { id, set: user(&[("name", name)]), unset: vec![], if_version: None }
}

fn link(id1: Id, atype: AssocType, id2: Id, time: u32) -> Write {
    Write::AssocAdd { id1, atype, id2, time: Time(time), data: Data::default() }
}

fn ends(part: &Part) -> Vec<u64> {
    part.iter().map(|edge| edge.id2.get()).collect()
}

async fn leads(shards: u32, data: &Path) -> Leads {
    Leads::new(shards, data).await
}

#[tokio::test]
async fn what_was_written_here_is_read_here_at_once() {
    let data = tempfile::tempdir().unwrap();
    let leads = leads(2, data.path()).await;
    // Deaf: only its own changesets can have told it.
    let follows = Follows::deaf(&leads.upstream, false, host());
    let (a, b) = (leads.id(0, 1), leads.id(1, 2));
    follows.write(new_user("Ada", Home::Exactly(a))).await;
    assert_eq!(follows.name(a, None).await, (Version(1), Some(user(&[("name", "Ada")]))));
    follows.write(renamed(a, "Ada L.")).await;
    let view = follows.view(None);
    let now = follows.follower.object_now(a, &view).unwrap();
    assert_eq!(now.object, Some((USER, user(&[("name", "Ada L.")]))));
    assert_eq!(follows.count(a, FRIEND, None).await, 0);
    assert_eq!(follows.count(b, FRIEND, None).await, 0);
    follows.write(link(a, FRIEND, b, 10)).await;
    assert_eq!(follows.follower.count_now(a, FRIEND, &view), Some(1));
    assert_eq!(
        follows.follower.count_now(b, FRIEND, &view),
        Some(1),
        "the other direction, in the other database"
    );
    let part = follows.follower.range_now(b, FRIEND, 0, 10, &view).unwrap();
    assert_eq!(ends(&part), [a.get()]);
    follows.write(Write::AssocDelete { id1: b, atype: FRIEND, id2: a }).await;
    assert_eq!(follows.follower.count_now(a, FRIEND, &view), Some(0));
    follows.write(Write::ObjectDelete { id: a }).await;
    assert_eq!(follows.follower.object_now(a, &view).unwrap().object, None);
    assert_eq!(follows.follower.cached_version(Key::Object(a)), Some(Version(3)));
    let usage = follows.follower.usage();
    assert_eq!((usage.misses, usage.items), (3, 3), "one question for each key");
}

#[tokio::test]
async fn what_others_write_is_heard_and_a_ticket_does_not_wait_for_it() {
    let data = tempfile::tempdir().unwrap();
    let leads = leads(2, data.path()).await;
    let (here, there) = (Follows::new(&leads.upstream), Follows::deaf(&leads.upstream, false, host()));
    let a = there.add_user("Ada").await;
    let b = there.add_user("Bob").await;
    for follows in [&here, &there] {
        assert_eq!(follows.name(a, None).await.0, Version(1));
        assert_eq!(follows.count(a, FOLLOWS, None).await, 0);
        assert_eq!(follows.count(b, FOLLOWED_BY, None).await, 0);
    }
    // Through the leader, as if by a third.
    let mut ticket = Ticket::default();
    let wall = here.clock.wall();
    ticket.note(&leads.try_write(renamed(a, "Ada L."), None).await.unwrap(), wall);
    ticket.note(&leads.try_write(link(a, FOLLOWS, b, 5), None).await.unwrap(), wall);
    eventually("the news", async || {
        here.follower.cached_version(Key::List(b, FOLLOWED_BY)) == Some(Version(1))
            && here.follower.cached_version(Key::Object(a)).is_none()
    })
    .await;
    assert_eq!(here.name(a, None).await.0, Version(2));
    assert_eq!(here.follower.count_now(a, FOLLOWS, &here.view(None)), Some(1), "refilled, not asked for");
    // Who hears nothing says what it knows, but not to who knows better.
    assert_eq!(there.name(a, None).await.0, Version(1));
    assert_eq!(there.count(b, FOLLOWED_BY, None).await, 0);
    let sent = Ticket::parse(&ticket.text()).unwrap();
    let view = there.view(Some(&sent));
    assert_eq!(there.follower.object_now(a, &view), None);
    assert_eq!(there.follower.count_now(b, FOLLOWED_BY, &view), None);
    assert_eq!(there.count(b, FOLLOWED_BY, Some(&sent)).await, 1);
    assert_eq!(there.name(a, Some(&sent)).await.0, Version(2));
    assert_eq!(there.name(a, None).await.0, Version(2), "and remembers it");
    let critical = View { critical: true, ..there.view(None) };
    assert_eq!(there.follower.count_now(a, FOLLOWS, &critical), None);
    assert_eq!(there.count(a, FOLLOWS, None).await, 0);
    assert_eq!(there.follower.count(a, FOLLOWS, &critical).await.unwrap().value, 1);
    assert_eq!(there.count(a, FOLLOWS, None).await, 1, "what the source said replaces what is older");
    let at = here.follower.applied(0);
    eventually("the note of the place", async || {
        leads.upstream.cursor(0, "follower-local").await.unwrap().is_some_and(|noted| noted <= at)
    })
    .await;
}

#[tokio::test]
async fn a_long_ticket_asks_the_source_until_the_news_are_heard() {
    let data = tempfile::tempdir().unwrap();
    let leads = leads(1, data.path()).await;
    let deaf = Follows::deaf(&leads.upstream, false, host());
    let a = deaf.add_user("Ada").await;
    assert_eq!(deaf.name(a, None).await.0, Version(1));
    let mut ticket = Ticket::default();
    let mut wall = deaf.clock.wall();
    ticket.note(&leads.try_write(renamed(a, "Ada L."), None).await.unwrap(), wall);
    for n in 0..TICKET_KEYS_MAX {
        wall.0 += 1;
        ticket.note(
            &leads.try_write(new_user(&n.to_string(), Home::Near(a)), None).await.unwrap(),
            Wall(wall.0 + 999),
        );
    }
    assert_eq!(ticket.version(Key::Object(a), wall), Version(0), "given up");
    assert_eq!(deaf.follower.object_now(a, &deaf.view(Some(&ticket))), None);
    assert_eq!(deaf.name(a, None).await.0, Version(1));
    assert_eq!(deaf.name(a, Some(&ticket)).await.0, Version(2));
    assert!(deaf.follower.lag(0) > Duration::ZERO);
    deaf.listen(&leads.upstream);
    eventually("the news", async || deaf.follower.applied(0) >= ticket.position(0, wall)).await;
    eventually("all news", async || deaf.follower.lag(0) == Duration::ZERO).await;
    assert_eq!(deaf.name(a, Some(&ticket)).await.0, Version(2));
    assert!(deaf.follower.object_now(a, &deaf.view(Some(&ticket))).is_some(), "memory will do again");
}

#[tokio::test]
async fn a_forged_ticket_gets_what_there_is() {
    let data = tempfile::tempdir().unwrap();
    let leads = leads(1, data.path()).await;
    let follows = Follows::new(&leads.upstream);
    let a = follows.add_user("Ada").await;
    let mut set = follows.write(renamed(a, "Ada L.")).await;
    for changed in &mut set.changes {
        changed.at.0 += 1_000_000;
        if let seawall_graph::message::Change::Object { version, .. } = &mut changed.change {
            version.0 += 1_000_000;
        }
    }
    let mut ticket = Ticket::default();
    for _ in 0..3 {
        ticket.note(&set, follows.clock.wall());
        assert_eq!(follows.name(a, Some(&ticket)).await.0, Version(2));
    }
}

#[tokio::test]
async fn every_part_of_a_long_list_is_what_the_list_says() {
    let data = tempfile::tempdir().unwrap();
    let leads = leads(1, data.path()).await;
    let follows = Follows::new(&leads.upstream);
    let a = leads.id(0, 1);
    let mut rng = Rng::new(11);
    let mut all = std::collections::BTreeMap::new();
    for n in 0..3 * u64::from(HEAD_FIRST) {
        let (id2, time) = (leads.id(0, 100 + n), (rng.next_u64() % 200) as u32);
        all.insert(id2, time);
        leads.link(a, BLOCKS, id2, time).await;
    }
    let mut list = all.iter().map(|(id2, time)| (*time, id2.get())).collect::<Vec<_>>();
    list.sort_unstable_by(|a, b| b.cmp(a));
    let count = list.len();
    let view = follows.view(None);
    let follower = &follows.follower;
    let below = |bound: u64, rng: &mut Rng| (rng.next_u64() % bound) as u32;
    for round in 0..150 {
        let (pos, limit) = (below(count as u64 + 20, &mut rng), below(50, &mut rng));
        let pos = if round % 10 == 9 { HEAD_MAX - 10 } else { pos };
        let wanted = list.iter().skip(pos as usize).take(limit as usize).map(|e| e.1).collect::<Vec<_>>();
        let Answer { value, .. } = follower.range(a, BLOCKS, pos, limit, &view).await.unwrap();
        assert_eq!(ends(&value), wanted, "{limit} after {pos}");

        let (high, low) = (below(210, &mut rng), below(210, &mut rng));
        let within = |e: &&(u32, u64)| (low..=high).contains(&e.0);
        let wanted = list.iter().filter(within).take(limit as usize).map(|e| e.1).collect::<Vec<_>>();
        let part = follower.time_range(a, BLOCKS, Time(high), Time(low), limit, &view).await.unwrap();
        assert_eq!(ends(&part.value), wanted, "{limit} from {low} to {high}");

        let some =
            (0..1 + below(12, &mut rng)).map(|_| leads.id(0, 90 + rng.next_u64() % 420)).collect::<Vec<_>>();
        let points = follower.points(a, BLOCKS, &some, Time(high.max(low)), Time(low), &view).await.unwrap();
        let within = |e: &&(u32, u64)| (low..=high.max(low)).contains(&e.0);
        let picked = |e: &&(u32, u64)| some.iter().any(|id| id.get() == e.1);
        let wanted = list.iter().filter(within).filter(picked).map(|e| e.1).collect::<Vec<_>>();
        assert_eq!(ends(&points.value), wanted);
        if round % 50 == 49 {
            // Forgotten by a change nobody said the content of, so that all begins with a short head again.
            follows.write(Write::AssocDelete { id1: a, atype: BLOCKS, id2: leads.id(0, 1) }).await;
        }
    }
    assert_eq!(follows.count(a, BLOCKS, None).await, count as u64);
}

#[tokio::test]
async fn many_objects_come_in_the_order_asked_for() {
    let data = tempfile::tempdir().unwrap();
    let leads = leads(3, data.path()).await;
    let follows = Follows::new(&leads.upstream);
    let mut ids = Vec::new();
    for n in 0..100 {
        ids.push(if n % 7 == 3 {
            leads.id(n % 3, 1_000 + u64::from(n))
        } else {
            follows.add_user(&n.to_string()).await
        });
    }
    ids.push(ids[4]);
    for _ in 0..2 {
        let states = follows.follower.objects(&ids, &follows.view(None)).await.unwrap().value;
        for (n, state) in states.iter().enumerate() {
            let name = if n == 100 { 4 } else { n };
            let wanted = (n % 7 != 3 || n == 100).then(|| (USER, user(&[("name", &name.to_string())])));
            assert_eq!(state.object, wanted, "{n}");
        }
    }
    assert_eq!(follows.follower.usage().misses, 100, "each was asked for once");
}

#[tokio::test]
async fn a_hit_allocates_nothing() {
    let data = tempfile::tempdir().unwrap();
    let leads = leads(1, data.path()).await;
    let follows = Follows::deaf(&leads.upstream, false, host());
    let (a, b) = (follows.add_user("Ada").await, follows.add_user("Bob").await);
    let mut ticket = Ticket::default();
    ticket.note(&follows.write(link(a, FRIEND, b, 3)).await, follows.clock.wall());
    let view = follows.view(Some(&ticket));
    follows.follower.object(a, &view).await.unwrap();
    follows.follower.range(a, FRIEND, 0, 10, &view).await.unwrap();
    let mut found = 0;
    let info = allocation_counter::measure(|| {
        found += usize::from(follows.follower.object_now(a, &view).is_some());
        found += usize::from(follows.follower.count_now(a, FRIEND, &view).is_some());
        found += usize::from(follows.follower.range_now(a, FRIEND, 0, 10, &view).is_some());
    });
    assert_eq!((found, info.count_total), (3, 0));
}

/// The host's clock, and some time more.
struct Ahead {
    clock: Arc<dyn Clock>,
    by_ms: AtomicU64,
}

impl Clock for Ahead {
    fn now(&self) -> Mono {
        self.clock.now() + Duration::from_millis(self.by_ms.load(Ordering::Relaxed))
    }

    fn wall(&self) -> Wall {
        self.clock.wall()
    }
}

#[tokio::test]
async fn while_a_shard_cannot_be_asked_memory_answers_and_says_so() {
    const LOST: Sql =
        Sql { name: "lose the objects", text: "ALTER TABLE graph_objects RENAME COLUMN version TO lost" };
    const FOUND: Sql =
        Sql { name: "have objects again", text: "ALTER TABLE graph_objects RENAME COLUMN lost TO version" };
    let data = tempfile::tempdir().unwrap();
    let small = Config { leader_cache: 1 << 20, ..config(1) };
    let leads = Leads::with(&small, data.path()).await;
    let ahead = Arc::new(Ahead { clock: leads.host.clock.clone(), by_ms: AtomicU64::new(0) });
    let follows = Follows::deaf(&leads.upstream, false, Host { clock: ahead.clone(), ..host() });
    let a = follows.add_user("Ada").await;
    assert_eq!(follows.name(a, None).await.0, Version(1));
    let mut ticket = Ticket::default();
    ticket.note(&leads.try_write(renamed(a, "Ada L."), None).await.unwrap(), follows.clock.wall());
    // So many others, asked for so often, that the leader forgets.
    let large = user(&[("name", "x"), ("about", &"x".repeat(2000)), ("picture", &"x".repeat(2000))]);
    let crowd = futures_util::future::join_all((0..400).map(|_| async {
        let add = Write::ObjectAdd { otype: USER, data: large.clone(), home: Home::Anywhere };
        let Done::ObjectAdded(id) = leads.write(add).await else { panic!("no id") };
        id
    }));
    let crowd = crowd.await;
    for _ in 0..10 {
        for id in &crowd {
            leads.object(*id).await;
        }
    }
    assert_eq!(leads.upstream.cached_version(Key::Object(a)), None);
    let store = database(data.path(), 1, 0);
    sabotage(&store, &LOST).await;
    ahead.by_ms.store(61_000, Ordering::Relaxed);
    let critical = View { critical: true, ..follows.view(None) };
    assert!(matches!(follows.follower.object(a, &critical).await, Err(Refusal::Unavailable { .. })));
    let unknown = leads.id(0, 77);
    assert!(matches!(
        follows.follower.object(unknown, &follows.view(None)).await,
        Err(Refusal::Unavailable { .. })
    ));
    let count = || metric(&follows.host, "seawall_graph_stale_answers_total");
    let before = count();
    let answer = follows.follower.object(a, &follows.view(None)).await.unwrap();
    assert_eq!((answer.value.version, answer.is_stale, count()), (Version(1), true, before + 1));
    let knows_better = follows.follower.object(a, &follows.view(Some(&ticket))).await;
    assert!(matches!(knows_better, Err(Refusal::Unavailable { .. })), "{knows_better:?}");
    sabotage(&store, &FOUND).await;
    eventually("the breaker's next try", async || {
        follows.follower.object(a, &follows.view(Some(&ticket))).await.is_ok_and(|answer| !answer.is_stale)
    })
    .await;
}

#[tokio::test]
async fn dropped_invalidations_leave_versions_that_an_audit_can_see() {
    let data = tempfile::tempdir().unwrap();
    let leads = leads(1, data.path()).await;
    let broken = Follows::deaf(&leads.upstream, true, host());
    broken.listen(&leads.upstream);
    let mut behind = 0;
    for n in 0..40 {
        let a = broken.add_user(&n.to_string()).await;
        broken.name(a, None).await;
        broken.write(renamed(a, "somebody else")).await;
        broken.write(renamed(a, "and again")).await;
        let source = leads.upstream.source_version(Key::Object(a), broken.view(None).deadline).await.unwrap();
        assert_eq!(source, Version(3));
        behind += u32::from(broken.follower.cached_version(Key::Object(a)) == Some(Version(1)));
    }
    assert!((3..=20).contains(&behind), "{behind} of 40");
}

#[test]
fn a_part_knows_its_edges() {
    let id = |n: u64| Id::try_from(n).unwrap();
    let edges = Edges::of((1..=5).rev().map(|n| EdgeRef { id2: id(n), time: Time(n as u32), data: b"" }));
    let part = Part { edges, first: 1, len: 3 };
    assert_eq!(ends(&part), [4, 3, 2]);
}
