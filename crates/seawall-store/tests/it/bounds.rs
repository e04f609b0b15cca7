//! Every bound turns a caller away in words, and nobody else.

use std::time::Duration;

use seawall_policy::{Clock, Mono};
use seawall_store::{Freshness, Position, ReadError, Sql, Value, Why, Written, limits};

use crate::support::{Engine, HK, Held, INSERT, ITEMS, all, at, batch, count, insert, op, telling};

const BUSY: Written = Written::Rejected(Why::Busy);
const TOO_LARGE: Written = Written::Rejected(Why::TooLarge);

#[tokio::test]
async fn a_batch_that_is_late_is_never_started() {
    let e = Engine::new(1);
    assert_eq!(e.shard().write(insert(1), Mono(0)).await, BUSY);
    // Late only once it waits: the lock is held beyond its deadline.
    let held = Held::new(e.data());
    let soon = e.clock.now() + Duration::from_millis(20);
    let (late, patient, ()) = tokio::join!(e.shard().write(insert(2), soon), e.write(insert(3)), async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        held.release();
    });
    assert_eq!(late, BUSY);
    at(&patient);
    assert_eq!(e.items().await, [3]);
    assert!(e.files.metrics().lock_waits.get() > 0);
}

#[tokio::test]
async fn a_withdrawn_batch_is_not_started() {
    let e = Engine::new(1);
    let held = Held::new(e.data());
    let withdrawn = tokio::time::timeout(Duration::from_millis(20), e.write(insert(1))).await;
    assert!(withdrawn.is_err());
    held.release();
    at(&e.write(insert(2)).await);
    assert_eq!(e.items().await, [2]);
}

#[tokio::test]
async fn a_full_queue_says_busy_at_once() {
    let e = Engine::new(1);
    let held = Held::new(e.data());
    let in_hand_and_queued = limits::GROUP_BATCHES_MAX + limits::WRITE_QUEUE_MAX;
    let writes = all((0..in_hand_and_queued + 50).map(|_| e.write(batch(vec![count()]))));
    let (done, ()) = tokio::join!(writes, async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        held.release();
    });
    let busy = done.iter().filter(|w| **w == BUSY).count();
    // The writer has taken at most a group of them into its hand.
    assert!((50..=50 + limits::GROUP_BATCHES_MAX).contains(&busy), "{busy}");
    assert!(done.iter().all(|w| *w == BUSY || matches!(w, Written::Committed { .. })));
    at(&e.write(insert(1)).await);
}

#[tokio::test]
async fn a_queue_of_large_batches_is_bounded_by_bytes() {
    let e = Engine::new(1);
    let held = Held::new(e.data());
    let large = |id: i64| {
        let body = "x".repeat(limits::BATCH_BYTES_MAX - 100);
        batch(vec![op(&INSERT, vec![HK.into(), id.into(), body.into()])])
    };
    let writes = all((0..40).map(|id| e.write(large(id))));
    let (done, ()) = tokio::join!(writes, async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        held.release();
    });
    let busy = done.iter().filter(|w| **w == BUSY).count();
    assert!((6..=8).contains(&busy), "32 MiB wait and one is in hand; {busy} of 40 were turned away");
}

#[tokio::test]
async fn a_batch_too_large_is_refused_before_it_queues() {
    let e = Engine::new(1);
    let ops = |n| batch((0..n).map(|_| count()).collect());
    assert_eq!(e.write(ops(limits::BATCH_OPS_MAX + 1)).await, TOO_LARGE);
    at(&e.write(ops(limits::BATCH_OPS_MAX)).await);
    let body = "x".repeat(limits::BATCH_BYTES_MAX);
    assert_eq!(
        e.write(batch(vec![op(&INSERT, vec![HK.into(), Value::Int(1), body.into()])])).await,
        TOO_LARGE
    );
    let mut loud = telling(insert(1), &["t"]);
    loud.tell[0].body = vec![0; limits::EVENT_BYTES_MAX];
    assert_eq!(e.write(loud).await, TOO_LARGE);
    let many = vec!["t"; limits::BATCH_EVENTS_MAX + 1];
    assert_eq!(e.write(telling(insert(1), &many)).await, TOO_LARGE);
    assert_eq!(e.items().await.len(), 0);
}

#[tokio::test]
async fn a_hash_key_of_another_shard_is_refused() {
    let e = Engine::new(2);
    let refused = e.set.get(1).write(insert(1), e.later()).await;
    let why = format!("hash key {HK} belongs to another shard than test-1");
    assert_eq!(refused, Written::Rejected(Why::Invalid(why)));
}

const MANY: Sql = Sql {
    name: "many",
    text: "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n LIMIT $1",
};
const ENDLESS: Sql = Sql {
    name: "endless",
    text: "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
};
const DELETE: Sql = Sql { name: "delete", text: "DELETE FROM item" };

#[tokio::test]
async fn a_read_gives_at_most_so_many_rows() {
    let e = Engine::new(1);
    let ask = |n: usize| e.shard().read(Freshness::Any, &MANY, vec![Value::Int(n as i64)]);
    assert_eq!(ask(limits::ROWS_MAX).await.unwrap().rows.len(), limits::ROWS_MAX);
    assert_eq!(ask(limits::ROWS_MAX + 1).await, Err(ReadError::TooMany));
}

#[tokio::test]
async fn a_read_that_takes_too_long_is_stopped() {
    let e = Engine::new(1);
    let turn = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        e.clock.skip(limits::READ_TIME_MAX);
    };
    let both = all((0..limits::READERS).map(|_| e.shard().read(Freshness::Any, &ENDLESS, vec![])));
    let (stopped, ()) = tokio::join!(both, turn);
    assert!(stopped.iter().all(|s| *s == Err(ReadError::Deadline)), "{stopped:?}");
    // Its readers answer the next ones.
    assert_eq!(e.shard().read(Freshness::Any, &ITEMS, vec![]).await.unwrap().rows.len(), 0);
}

#[tokio::test]
async fn a_read_cannot_write() {
    let e = Engine::new(1);
    at(&e.write(insert(1)).await);
    let refused = e.shard().read(Freshness::Primary, &DELETE, vec![]).await;
    assert_eq!(refused, Err(ReadError::Invalid("statement delete: a read must not write".to_owned())));
    assert_eq!(e.items().await, [1]);
}

#[tokio::test]
async fn too_many_reads_say_busy() {
    let e = Engine::new(1);
    let turn = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        e.clock.skip(limits::READ_TIME_MAX);
    };
    let asked = limits::READ_QUEUE_MAX + limits::READERS + 10;
    let (done, ()) =
        tokio::join!(all((0..asked).map(|_| e.shard().read(Freshness::Any, &ENDLESS, vec![]))), turn);
    let busy = done.iter().filter(|d| **d == Err(ReadError::Busy)).count();
    assert!((10..=10 + limits::READERS).contains(&busy), "{busy}");
}

#[tokio::test]
async fn reads_do_not_wait_behind_those_whose_position_never_comes() {
    let e = Engine::new(1);
    let never = |_| e.shard().read(Freshness::AtLeast(Position(u64::MAX)), &ITEMS, vec![]);
    // With a sleep of a millisecond for each that waits, a round of them would take a quarter of a second.
    let waiting = all((0..500).map(never));
    let others = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let begun = e.clock.now();
        for _ in 0..20 {
            e.items().await;
        }
        let took = e.clock.now().since(begun);
        e.clock.skip(limits::READ_TIME_MAX);
        took
    };
    let (waited, took) = tokio::join!(waiting, others);
    assert!(took < Duration::from_secs(2), "twenty reads took {took:?}");
    assert!(waited.iter().all(|w| *w == Err(ReadError::Deadline)), "{waited:?}");
}

#[tokio::test]
async fn a_read_gets_the_position_it_waits_for() {
    let e = Engine::new(1);
    let next = Position(at(&e.write(insert(1)).await).0 + 1);
    let read = e.shard().read(Freshness::AtLeast(next), &ITEMS, vec![]);
    let (found, ()) = tokio::join!(read, async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(at(&e.write(insert(2)).await), next);
    });
    let found = found.unwrap();
    assert_eq!((found.rows.len(), found.at), (2, next));
}

#[tokio::test]
async fn old_rows_go_quickly_although_nobody_writes() {
    const BATCHES: i64 = 30;
    let e = Engine::new(1);
    let topics = vec!["t"; 1000];
    for id in 0..BATCHES {
        at(&e.write(telling(insert(id), &topics)).await);
    }
    e.clock.skip(limits::LOG_KEPT_MIN + Duration::from_secs(1));
    let expired = || e.files.metrics().expired_rows.get();
    // One step a second would take fifteen.
    let begun = e.clock.now();
    while expired() < 1000 * BATCHES as u64 {
        assert!(e.clock.now().since(begun) < Duration::from_secs(10), "only {} are gone", expired());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(e.items().await.len() as i64, BATCHES);
}
