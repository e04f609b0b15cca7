//! What the tests share: a clock that can be turned, a store in a temporary directory, small batches.

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use seawall_policy::{Clock, Mono, Wall};
use seawall_store::{
    Batch, Event, Expect, Files, Freshness, Idem, Migration, Op, Options, Plants, Position, Row, Rows, Shard,
    ShardSet, Sql, Value, Written,
};
use tempfile::TempDir;

/// 2027-01-15: any day will do.
const START: i64 = 1_800_000_000_000;

/// Runs like a clock and can be turned forward.
pub(crate) struct TestClock {
    start: Instant,
    skipped: AtomicU64,
}

impl TestClock {
    #[expect(clippy::disallowed_methods, reason = "this is the tests' implementation of Clock")]
    pub(crate) fn new() -> Arc<TestClock> {
        Arc::new(TestClock { start: Instant::now(), skipped: AtomicU64::new(0) })
    }

    pub(crate) fn skip(&self, time: Duration) {
        self.skipped.fetch_add(time.as_nanos() as u64, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Mono {
        Mono(self.start.elapsed().as_nanos() as u64 + self.skipped.load(Ordering::SeqCst))
    }

    fn wall(&self) -> Wall {
        Wall(START + (self.now().0 / 1_000_000) as i64)
    }
}

/// The tables of the tests.
pub(crate) const TABLES: &[Migration] = &[Migration {
    version: 1,
    sql: "CREATE TABLE item (
              hk BIGINT NOT NULL, id BIGINT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (hk, id)
          );
          CREATE TABLE counter (hk BIGINT NOT NULL, name TEXT NOT NULL, n BIGINT NOT NULL, PRIMARY KEY (hk, name));",
}];

/// An engine to be tested: an open set, its clock, and a way to open it as another process would.
pub(crate) struct Engine {
    pub(crate) set: ShardSet,
    pub(crate) files: Files,
    pub(crate) clock: Arc<TestClock>,
    data: TempDir,
}

impl Engine {
    pub(crate) fn new(shards: u32) -> Engine {
        let data = tempfile::tempdir().unwrap();
        let clock = TestClock::new();
        let files = files(data.path(), &clock, Plants::default());
        let set = files.open("test", shards, TABLES).unwrap();
        Engine { set, files, clock, data }
    }

    /// As another process, or this one after a restart, would see it.
    pub(crate) fn elsewhere(&self) -> ShardSet {
        files(self.data.path(), &self.clock, Plants::default()).open("test", self.set.len(), TABLES).unwrap()
    }

    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    pub(crate) fn shard(&self) -> &Shard {
        self.set.get(0)
    }

    /// Far enough that only a hang reaches it.
    pub(crate) fn later(&self) -> Mono {
        self.clock.now() + Duration::from_secs(60)
    }

    pub(crate) async fn write(&self, batch: Batch) -> Written {
        self.shard().write(batch, self.later()).await
    }

    pub(crate) async fn items(&self) -> Vec<i64> {
        items(self.shard()).await
    }

    pub(crate) async fn events(&self, from: Position) -> Vec<(Position, String)> {
        let changes = self.shard().changes(from, 10_000).await.unwrap();
        changes.into_iter().map(|(at, event)| (at, event.topic)).collect()
    }
}

pub(crate) fn files(data: &Path, clock: &Arc<TestClock>, plants: Plants) -> Files {
    Files::new(Options { data: data.to_owned(), clock: clock.clone(), seed: 7, plants })
}

pub(crate) const INSERT: Sql =
    Sql { name: "insert an item", text: "INSERT INTO item (hk, id, body) VALUES ($1, $2, $3)" };
pub(crate) const COUNT: Sql = Sql {
    name: "count up",
    text: "INSERT INTO counter (hk, name, n) VALUES ($1, $2, 1)
           ON CONFLICT (hk, name) DO UPDATE SET n = counter.n + 1 RETURNING n",
};
pub(crate) const ITEMS: Sql = Sql { name: "all items", text: "SELECT id, body FROM item ORDER BY id" };
pub(crate) const COUNTED: Sql = Sql { name: "a counter", text: "SELECT n FROM counter WHERE name = $1" };

pub(crate) async fn items(shard: &Shard) -> Vec<i64> {
    let found = shard.read(Freshness::Primary, &ITEMS, vec![]).await.unwrap();
    found.rows.iter().map(|row| row.int(0).unwrap()).collect()
}

pub(crate) async fn counted(shard: &Shard, name: &str) -> i64 {
    let found = shard.read(Freshness::Primary, &COUNTED, vec![name.into()]).await.unwrap();
    found.rows.first().map_or(0, |row| row.int(0).unwrap())
}

/// A batch for the first shard; every set has hash key `HK` there.
pub(crate) const HK: i64 = i64::MIN;

pub(crate) fn batch(ops: Vec<Op>) -> Batch {
    Batch { hk: HK, key: None, owned: None, ops, tell: vec![] }
}

pub(crate) fn op(sql: &'static Sql, args: Vec<Value>) -> Op {
    Op { sql, args, expect: Expect::Any }
}

/// Inserts an item, which only works once.
pub(crate) fn insert(id: i64) -> Batch {
    batch(vec![op(&INSERT, vec![HK.into(), id.into(), format!("item {id}").into()])])
}

/// Counts up, which works again and again.
pub(crate) fn count() -> Op {
    op(&COUNT, vec![HK.into(), "c".into()])
}

pub(crate) fn telling(mut batch: Batch, topics: &[&str]) -> Batch {
    let event = |topic: &&str| Event::new(topic, b"k", b"b".to_vec());
    batch.tell = topics.iter().map(event).collect();
    batch
}

pub(crate) fn keyed(mut batch: Batch, key: u64, fingerprint: u64) -> Batch {
    batch.key = Some(Idem { hk: HK, key: (u128::from(key)).to_le_bytes(), fingerprint });
    batch
}

pub(crate) fn at(written: &Written) -> Position {
    match written {
        Written::Committed { at, .. } => *at,
        other => panic!("not committed: {other:?}"),
    }
}

pub(crate) fn rows(written: Written) -> Vec<Rows> {
    match written {
        Written::Committed { rows, .. } => rows,
        other => panic!("not committed: {other:?}"),
    }
}

pub(crate) fn one(value: i64) -> Rows {
    vec![Row::from(vec![Value::Int(value)])]
}

/// Runs futures side by side and starts them in order, so that batches queue in that order.
pub(crate) async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    poll_fn(|cx| {
        for (future, done) in &mut running {
            if done.is_none()
                && let Poll::Ready(output) = future.as_mut().poll(cx)
            {
                *done = Some(output);
            }
        }
        if running.iter().all(|(_, done)| done.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().map(|(_, done)| done.unwrap()).collect()
}

/// Holds a shard's write lock as another process would, so that what is written meanwhile forms a group.
pub(crate) struct Held(rusqlite::Connection);

impl Held {
    pub(crate) fn new(data: &Path) -> Held {
        let connection = rusqlite::Connection::open(data.join("test-0.db")).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Held(connection)
    }

    pub(crate) fn release(self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

/// Writes batches so that they are committed in one group, in this order: the writer waits for the lock
/// with an empty batch in hand while they gather behind it.
pub(crate) async fn grouped(engine: &Engine, batches: Vec<Batch>) -> Vec<Written> {
    let held = Held::new(engine.data());
    let first = engine.write(batch(vec![]));
    let rest = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        tokio::join!(all(batches.into_iter().map(|b| engine.write(b))), async { held.release() }).0
    };
    tokio::join!(first, rest).1
}
