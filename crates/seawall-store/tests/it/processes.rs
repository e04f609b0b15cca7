//! Several processes on one file, a kill -9 in the middle of writing, and a disk that fails.
//!
//! A child is this test binary again, told by an environment variable what to do; it says on its
//! standard output what was acknowledged. The parent kills, reads what was said before, and compares.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use seawall_policy::{Clock, Mono, Rng};
use seawall_store::{Batch, Freshness, Plants, Position, Shard, Written};

use crate::support::{
    Engine, HK, INSERT, ITEMS, TABLES, TestClock, all, at, batch, count, counted, files, insert, items,
    keyed, op, telling,
};

/// Writers inside one child, so that it has several batches in flight when it dies.
const LANES: i64 = 8;

/// Writes per lane of a child that may finish.
const FINISH: i64 = 150;

/// What one lane writes as its `i`th: an item, an event, and one more on the counter, under a key.
fn work(writer: i64, lane: i64, i: i64) -> Batch {
    let id = writer * 1_000_000 + lane * 10_000 + i;
    let mut both = insert(id);
    both.ops.push(count());
    keyed(telling(both, &[&id.to_string()]), id as u64, id as u64)
}

fn child(role: &str, data: &Path, writer: i64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::a_child_of_the_tests_above", "--nocapture", "--test-threads=1"])
        .env("SEAWALL_STORE_CHILD", role)
        .env("SEAWALL_STORE_DATA", data)
        .env("SEAWALL_STORE_WRITER", writer.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What a child said, one number per acknowledged write, until it ends.
fn said(child: &mut Child) -> impl Iterator<Item = i64> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("ack ")?.parse().ok())
}

/// Not a test by itself: what the children of the other tests do.
#[tokio::test]
async fn a_child_of_the_tests_above() {
    let Ok(role) = std::env::var("SEAWALL_STORE_CHILD") else { return };
    let data = std::env::var("SEAWALL_STORE_DATA").unwrap();
    let writer: i64 = std::env::var("SEAWALL_STORE_WRITER").unwrap().parse().unwrap();
    let plants = Plants { ack_before_commit: role == "plant" };
    let clock = TestClock::new();
    let store = files(Path::new(&data), &clock, plants);
    let set = store.open("test", 1, TABLES).unwrap();
    let later = || clock.now() + Duration::from_secs(60);
    // The harness has begun a line of its own.
    say("");
    match role.as_str() {
        "disk" => fail_the_disk(set.get(0), later()).await,
        _ => {
            let rounds = if role == "finish" { FINISH } else { 10_000 };
            all((0..LANES).map(|lane| write_lane(set.get(0), writer, lane, rounds, later()))).await;
        }
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

async fn write_lane(shard: &Shard, writer: i64, lane: i64, rounds: i64, later: Mono) {
    for i in 0..rounds {
        at(&shard.write(work(writer, lane, i), later).await);
        say(&format!("ack {}", writer * 1_000_000 + lane * 10_000 + i));
    }
}

#[tokio::test]
async fn three_processes_on_one_file_lose_and_repeat_nothing() {
    let e = Engine::new(1);
    let mut watch = e.shard().changed();
    let mut children: Vec<Child> = (1..=3).map(|writer| child("finish", e.data(), writer)).collect();
    let acked: Vec<BTreeSet<i64>> = children.iter_mut().map(|c| said(c).collect()).collect();
    assert!(children.iter_mut().all(|c| c.wait().unwrap().success()));
    let wanted: BTreeSet<i64> = acked.iter().flatten().copied().collect();
    assert_eq!(wanted.len() as i64, 3 * FINISH * LANES);
    assert_eq!(items(e.shard()).await.into_iter().collect::<BTreeSet<_>>(), wanted);
    assert_eq!(counted(e.shard(), "c").await, wanted.len() as i64);
    let told = e.events(Position(0)).await;
    assert!(told.is_sorted_by(|a, b| a.0 < b.0));
    let told: Vec<i64> = told.into_iter().map(|(_, topic)| topic.parse().unwrap()).collect();
    assert_eq!(told.len(), wanted.len());
    let turns = told.windows(2).filter(|w| w[0] / 1_000_000 != w[1] / 1_000_000).count();
    assert!(turns > 10, "they wrote one after the other, not together");
    for lane in (1..=3).flat_map(|writer| (0..LANES).map(move |lane| writer * 100 + lane)) {
        let of_lane = told.iter().filter(|id| *id / 10_000 == lane);
        assert!(of_lane.is_sorted(), "what one caller wrote in turn is told in turn");
    }
    assert!(watch.has_changed().unwrap(), "their commits were noticed");
    assert!(watch.borrow_and_update().0 > 0);
}

/// Writes in a child, kills it after `acks` acknowledgements and `pause`, and gives all that it said.
fn killed(role: &str, data: &Path, writer: i64, acks: usize, pause: Duration) -> Vec<i64> {
    let mut child = child(role, data, writer);
    let mut lines = said(&mut child);
    let mut acked: Vec<i64> = lines.by_ref().take(acks).collect();
    std::thread::sleep(pause);
    child.kill().unwrap();
    child.wait().unwrap();
    // What was in the pipe was said before it died.
    acked.extend(lines);
    acked
}

/// The acknowledged writes that are not there.
async fn lost(shard: &Shard, acked: &[i64]) -> Vec<i64> {
    let there: BTreeSet<i64> = items(shard).await.into_iter().collect();
    acked.iter().copied().filter(|id| !there.contains(id)).collect()
}

/// What a client does whose server died: sends the next of each lane, and those it had, once more.
async fn retry(e: &Engine, writer: i64, acked: &[i64]) {
    for lane in 0..LANES {
        let of_lane = acked.iter().filter(|id| *id / 10_000 == writer * 100 + lane);
        let next = of_lane.map(|id| id % 10_000 + 1).max().unwrap_or(0);
        for i in [next.saturating_sub(1), next] {
            at(&e.write(work(writer, lane, i)).await);
        }
    }
}

#[tokio::test]
async fn a_killed_writer_loses_nothing_acknowledged_and_a_retry_repeats_nothing() {
    const SEED: u64 = 0x5ea;
    let mut rng = Rng::new(SEED);
    let e = Engine::new(1);
    let mut all_acked = Vec::new();
    for writer in 1..=8 {
        let (acks, pause) = (1 + rng.below(60), Duration::from_micros(rng.below(8000)));
        let acked = killed("write", e.data(), writer, acks as usize, pause);
        all_acked.extend(&acked);
        assert_eq!(lost(e.shard(), &all_acked).await, [0; 0], "seed {SEED:#x}, kill {writer}");
        retry(&e, writer, &acked).await;
        let there = e.items().await;
        assert_eq!(counted(e.shard(), "c").await, there.len() as i64, "seed {SEED:#x}, kill {writer}");
        assert_eq!(e.events(Position(0)).await.len(), there.len(), "seed {SEED:#x}, kill {writer}");
    }
    assert!(all_acked.len() >= 8);
}

/// The same check is not blind: an acknowledgement before the commit is found.
#[tokio::test]
async fn acknowledging_before_the_commit_is_found_as_loss() {
    let e = Engine::new(1);
    for writer in 1..=8 {
        let acked = killed("plant", e.data(), writer, 20, Duration::ZERO);
        if !lost(e.shard(), &acked).await.is_empty() {
            return;
        }
    }
    panic!("eight kills between answer and commit lost nothing");
}

/// The limit on a file's size stands in for a disk that fails: SQLite's write ends in an error, the
/// first time it happens within COMMIT.
async fn fail_the_disk(shard: &Shard, later: Mono) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // The signal that comes with the error would end the process.
    let signal = tokio::signal::unix::SignalKind::from_raw(25);
    let _ignored = tokio::signal::unix::signal(signal).unwrap();
    let large = |id: i64| {
        let body = "x".repeat(500_000);
        keyed(batch(vec![op(&INSERT, vec![HK.into(), id.into(), body.into()]), count()]), id as u64, 1)
    };
    at(&shard.write(insert(1), later).await);
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(300_000), ..before }).unwrap();
    let done = all([shard.write(large(2), later), shard.write(large(3), later)]).await;
    assert_eq!(done, [Written::Unknown, Written::Unknown]);
    let readable = shard.read(Freshness::Primary, &ITEMS, vec![]).await.unwrap();
    assert_eq!(readable.rows.len(), 1);
    setrlimit(Resource::Fsize, before).unwrap();
    for id in [2, 3] {
        let retried = shard.write(large(id), later).await;
        assert!(matches!(retried, Written::Committed { again: false, .. }), "{retried:?}");
    }
    assert_eq!((items(shard).await, counted(shard, "c").await), (vec![1, 2, 3], 2));
    say("ack 1");
}

#[test]
fn a_commit_the_disk_refuses_is_unknown_and_settled_by_a_retry() {
    let data = tempfile::tempdir().unwrap();
    let mut child = child("disk", data.path(), 1);
    let acks = said(&mut child).count();
    assert!(child.wait().unwrap().success());
    assert_eq!(acks, 1);
}
