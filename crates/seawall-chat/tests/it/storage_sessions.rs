//! Session records: one gateway has a session, whoever else wants it.

use std::time::Duration;

use seawall_chat::id::Id;
use seawall_chat::storage::SessionRecord;
use seawall_policy::{Clock, Wall};

use crate::storage::Disk;

pub(crate) fn record(id: &str, gateway: &str, generation: u64) -> SessionRecord {
    SessionRecord {
        id: id.to_owned(),
        user: Id(3),
        token_hash: [7; 32],
        gateway: gateway.to_owned(),
        generation,
        created: Wall(1_800_000_000_000),
    }
}

#[tokio::test]
async fn a_session_is_put_found_taken_and_deleted() {
    let disk = Disk::new(3);
    let storage = &disk.storage;
    assert_eq!(storage.session("s").await.unwrap(), None);
    storage.session_put(&record("s", "a", 0)).await.unwrap();
    storage.session_put(&record("s", "a", 4)).await.unwrap();
    assert_eq!(disk.elsewhere().session("s").await.unwrap(), Some(record("s", "a", 4)));

    assert!(!storage.session_take("s", ("a", 3), "b").await.unwrap());
    assert!(!storage.session_take("s", ("b", 4), "b").await.unwrap());
    assert!(!storage.session_take("t", ("a", 4), "b").await.unwrap());
    assert!(storage.session_take("s", ("a", 4), "b").await.unwrap());
    assert_eq!(storage.session("s").await.unwrap(), Some(record("s", "b", 5)));
    // Asking again for what one has done is still true, as after an unknown answer.
    assert!(storage.session_take("s", ("a", 4), "b").await.unwrap());
    assert_eq!(storage.session("s").await.unwrap(), Some(record("s", "b", 5)));

    storage.session_delete("s").await.unwrap();
    storage.session_delete("s").await.unwrap();
    assert_eq!(storage.session("s").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_processes_that_take_a_session_one_has_it() {
    let disk = Disk::new(1);
    let (one, other) = (disk.storage.clone(), disk.elsewhere());
    for round in 0..60 {
        let id = format!("session {round}");
        one.session_put(&record(&id, "old", 7)).await.unwrap();
        let (a, b) = tokio::join!(
            one.session_take(&id, ("old", 7), "left"),
            other.session_take(&id, ("old", 7), "right")
        );
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(a != b, "round {round}: left {a}, right {b}");
        let winner = if a { "left" } else { "right" };
        assert_eq!(one.session(&id).await.unwrap(), Some(record(&id, winner, 8)));
    }
}

#[tokio::test]
async fn records_nobody_has_seen_for_long_are_swept_in_steps() {
    let disk = Disk::new(2);
    let storage = &disk.storage;
    for i in 0..1300 {
        storage.session_put(&record(&format!("dead {i}"), "dead", 0)).await.unwrap();
    }
    storage.session_put(&record("alive", "b", 0)).await.unwrap();
    disk.clock.skip(Duration::from_secs(7200));
    storage.sessions_seen("b").await.unwrap();
    storage.session_put(&record("new", "c", 0)).await.unwrap();

    let hour_ago = Wall(disk.clock.wall().0 - 3_600_000);
    let (mut steps, mut swept) = (0, 0);
    loop {
        let step = storage.sessions_sweep(hour_ago).await.unwrap();
        assert!(step <= 1000, "a bounded step of each shard, not {step}");
        if step == 0 {
            break;
        }
        (steps, swept) = (steps + 1, swept + step);
    }
    assert_eq!(swept, 1300);
    assert!(steps >= 2);
    assert!(storage.session("alive").await.unwrap().is_some());
    assert!(storage.session("new").await.unwrap().is_some());
    assert_eq!(storage.session("dead 5").await.unwrap(), None);
}
