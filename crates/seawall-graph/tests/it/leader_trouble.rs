//! A database that fails: what is still answered, what is refused, that the others never notice, and that it comes
//! back.

use std::path::Path;
use std::time::Duration;

use seawall_graph::Config;
use seawall_graph::call::{Data, Done, Home, Key, Refusal, Time, Version, Write};
use seawall_graph::id::Id;
use seawall_graph::leader::Filled;
use seawall_graph::message::{Fill, Points};
use seawall_policy::breaker::{self, Open};
use seawall_store::{Epoch, Scope, Sql, Written};
use tempfile::tempdir;

use crate::making::{FOLLOWED_BY, FOLLOWS, Leads, config, database, eventually, key, sabotage, user};

const NO_OBJECTS: Sql =
    Sql { name: "lose the objects", text: "ALTER TABLE graph_objects RENAME COLUMN version TO lost" };
const OBJECTS: Sql =
    Sql { name: "have objects again", text: "ALTER TABLE graph_objects RENAME COLUMN lost TO version" };
/// What a full disk does to writes of associations.
const FULL: Sql = Sql {
    name: "refuse edges",
    text: "CREATE TRIGGER full BEFORE INSERT ON graph_assocs BEGIN SELECT RAISE(ABORT, 'full'); END",
};
const ROOM: Sql = Sql { name: "take edges again", text: "DROP TRIGGER full" };

/// Breakers that come back soon.
fn quick(shards: u32) -> Config {
    let open = Open { for_: Duration::from_millis(300), growth: 1.0, max: Duration::from_millis(300) };
    let store_breaker = breaker::Policy { open, ..breaker::Policy::s1_feed() };
    Config { store_breaker, leader_ttl: Duration::from_millis(1), ..config(shards) }
}

fn about(id: Id) -> Write {
    Write::ObjectUpdate { id, set: user(&[("about", "x")]), unset: Vec::new(), if_version: None }
}

async fn open_reads(l: &Leads, shard: u32) {
    eventually("an open breaker", async || {
        drop(l.try_fill(Key::Object(l.id(shard, 999_999)), true).await);
        l.upstream.shard_reports()[shard as usize].reads == "open"
    })
    .await;
}

fn says(l: &Leads) -> String {
    l.upstream.state().borrow().to_string()
}

#[tokio::test]
async fn a_shard_that_cannot_be_read_answers_from_memory_and_the_others_never_notice() {
    let data = tempdir().unwrap();
    let l = Leads::with(&quick(2), data.path()).await;
    let (well, ill) = (l.id(0, 1), l.id(1, 1));
    for id in [well, ill] {
        l.add_user("ann", Home::Exactly(id)).await;
        l.object(id).await;
    }
    let unseen = l.add_user("ben", Home::Exactly(l.id(1, 2))).await;
    sabotage(&database(data.path(), 2, 1), &NO_OBJECTS).await;
    // Past its time and not to be had anew: what memory has is better than nothing, and said to be old.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let Filled { state, is_stale } = l.try_fill(Key::Object(ill), false).await.unwrap();
    assert!(is_stale && state.version() == Version(1));
    assert!(!l.try_fill(Key::Object(well), false).await.unwrap().is_stale);
    // A client that knows of a younger one is not given an older one.
    let younger = Fill { key: Key::Object(ill), edges: 0, at_least: Version(2), critical: false };
    let refused = l.upstream.fill(younger, l.deadline()).await.unwrap_err();
    assert!(matches!(refused, Refusal::Unavailable { shard: 1, .. }), "{refused:?}");

    open_reads(&l, 1).await;
    for critical in [Key::Object(ill), Key::Object(unseen)] {
        let refused = l.try_fill(critical, true).await.unwrap_err();
        assert!(matches!(refused, Refusal::Unavailable { shard: 1, retry_ms: 1.. }), "{refused:?}");
    }
    let points = Points { id1: ill, atype: FOLLOWS, id2s: vec![well] };
    assert!(matches!(
        l.upstream.points(points, l.deadline()).await,
        Err(Refusal::Unavailable { shard: 1, .. })
    ));
    // What cannot be read is not written either: the two sides of an association, or one of them.
    for write in [about(ill), Write::ObjectDelete { id: unseen }] {
        let refused = l.try_write(write, None).await.unwrap_err();
        assert!(matches!(refused, Refusal::ReadOnly { shard: 1, retry_ms: 1.. }), "{refused:?}");
    }
    let between = l.try_link(well, FOLLOWS, ill, 1).await.unwrap_err();
    assert!(matches!(between, Refusal::ReadOnly { shard: 1, .. }), "{between:?}");
    assert!(says(&l).contains("no writes (shard 1)"), "{}", says(&l));
    assert_eq!(l.write(about(well)).await, Done::ObjectUpdated(Version(2)));
    assert!(l.link(well, FOLLOWS, l.id(0, 7), 1).await);

    // A new object that may live anywhere lives where it can.
    for _ in 0..8 {
        let born = l.add_user("cat", Home::Anywhere).await;
        assert_eq!(l.upstream.shard_of(born), 0);
    }

    sabotage(&database(data.path(), 2, 1), &OBJECTS).await;
    // Nobody asks for anything: the leader looks by itself.
    eventually("well again", async || says(&l) == "ready").await;
    assert_eq!(l.object(unseen).await.version, Version(1));
    assert_eq!(l.write(about(ill)).await, Done::ObjectUpdated(Version(2)));
    l.stop().await;
}

#[tokio::test]
async fn a_shard_that_takes_no_writes_is_read_as_ever_and_the_others_are_written() {
    let data = tempdir().unwrap();
    let l = Leads::with(&quick(2), data.path()).await;
    let (well, ill) = (l.id(0, 1), l.id(1, 1));
    sabotage(&database(data.path(), 2, 1), &FULL).await;
    for n in 0..5 {
        let refused = l.try_link(ill, FOLLOWS, l.id(1, 5), n).await.unwrap_err();
        assert!(!matches!(refused, Refusal::Standby), "{refused:?}");
    }
    let refused = l.try_link(ill, FOLLOWS, l.id(1, 5), 9).await.unwrap_err();
    assert!(matches!(refused, Refusal::ReadOnly { shard: 1, retry_ms: 1.. }), "{refused:?}");
    assert_eq!(says(&l), "degraded: no writes (shard 1)");
    let report = &l.upstream.shard_reports()[1];
    assert_eq!((report.reads, report.writes), ("closed", "open"));
    assert!(l.ends(ill, FOLLOWS).await.is_empty());
    assert!(l.link(well, FOLLOWS, l.id(0, 5), 1).await);
    sabotage(&database(data.path(), 2, 1), &ROOM).await;
    eventually("writes again", async || l.try_link(ill, FOLLOWS, l.id(1, 5), 1).await.is_ok()).await;
    eventually("closed again", async || {
        l.link(ill, FOLLOWS, l.id(1, 6), 1).await;
        says(&l) == "ready"
    })
    .await;
    l.stop().await;
}

/// Whatever has an idempotency key fails in the middle of its transaction.
const NO_KEYS: Sql = Sql { name: "lose the keys", text: "ALTER TABLE sw_idem RENAME COLUMN answer TO lost" };
const KEYS: Sql = Sql { name: "have keys again", text: "ALTER TABLE sw_idem RENAME COLUMN lost TO answer" };

/// A write between two databases, of which the second fails after the first has written the intent down.
async fn interrupt(l: &Leads, data: &Path) -> (Id, Id, Write) {
    let (one, other) = (l.id(0, 1), l.id(1, 1));
    // The intent lies with the lower id; the other side is written first.
    let (a, b) = (one.min(other), one.max(other));
    let second = database(data, 2, l.upstream.shard_of(b));
    sabotage(&second, &NO_KEYS).await;
    let write = Write::AssocAdd { id1: a, atype: FOLLOWS, id2: b, time: Time(5), data: Data::default() };
    assert_eq!(l.try_write(write.clone(), Some(key(9))).await, Err(Refusal::Unknown));
    assert!(l.ends(a, FOLLOWS).await.is_empty());
    sabotage(&second, &KEYS).await;
    (a, b, write)
}

#[tokio::test]
async fn a_write_that_was_interrupted_between_two_databases_is_completed_by_the_next_leader() {
    let data = tempdir().unwrap();
    let l = Leads::new(2, data.path()).await;
    let (a, b, write) = interrupt(&l, data.path()).await;
    l.stop().await;
    let l = Leads::new(2, data.path()).await;
    eventually("the repair", async || l.metric("seawall_graph_links_repaired_total") == 1).await;
    assert_eq!((l.ends(a, FOLLOWS).await, l.ends(b, FOLLOWED_BY).await), (vec![b], vec![a]));
    // Whoever asks again with the key hears that it was done, and it is not done twice.
    let again = l.try_write(write, Some(key(9))).await.unwrap();
    assert_eq!((again.again, again.done), (true, Done::AssocAdded(true)));
    assert_eq!(l.head(a, FOLLOWS).await.version, Version(1));
    l.stop().await;
}

#[tokio::test]
async fn a_write_that_was_interrupted_is_completed_by_whoever_writes_the_pair_next() {
    let data = tempdir().unwrap();
    let l = Leads::new(2, data.path()).await;
    let (a, b, _) = interrupt(&l, data.path()).await;
    assert!(!l.link(a, FOLLOWS, b, 6).await, "it is there already: the abandoned one was first");
    assert_eq!((l.ends(a, FOLLOWS).await, l.ends(b, FOLLOWED_BY).await), (vec![b], vec![a]));
    assert_eq!(l.head(a, FOLLOWS).await.version, Version(2));
    l.stop().await;
}

#[tokio::test]
async fn a_shard_that_another_database_has_replaced_takes_no_writes_here() {
    let data = tempdir().unwrap();
    let l = Leads::with(&quick(1), data.path()).await;
    let ann = l.add_user("ann", Home::Anywhere).await;
    let fenced = database(data.path(), 1, 0).fence(Scope::Shard, Epoch(9)).await;
    assert!(matches!(fenced, Written::Committed { .. }), "{fenced:?}");
    assert_eq!(l.try_write(about(ann), None).await, Err(Refusal::Standby));
    l.host.tasks.stop(Duration::ZERO);
}
