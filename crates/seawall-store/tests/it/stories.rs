//! The four stories the store's API is judged by: a link, a chat send, a graph association, a feed.

use std::collections::BTreeSet;

use seawall_store::{
    Batch, Epoch, Event, Expect, Files, Freshness, Idem, Migration, Op, Owned, Plants, Position, Shard,
    ShardSet, Sql, Value, Why, Written, hk,
};
use tempfile::TempDir;

use crate::support::{TestClock, all, at, files, rows};

const SCHEMA: &[Migration] = &[Migration {
    version: 1,
    sql: "
CREATE TABLE link (hk BIGINT NOT NULL, code TEXT NOT NULL, url TEXT NOT NULL, PRIMARY KEY (hk, code));
CREATE TABLE block (hk BIGINT PRIMARY KEY, next BIGINT NOT NULL);
CREATE TABLE message (
    hk BIGINT NOT NULL, channel TEXT NOT NULL, seq BIGINT NOT NULL, author TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (hk, channel, seq)
);
CREATE TABLE assoc (
    hk BIGINT NOT NULL, id1 BIGINT NOT NULL, kind TEXT NOT NULL, id2 BIGINT NOT NULL, at BIGINT NOT NULL,
    PRIMARY KEY (hk, id1, kind, id2)
);
CREATE TABLE assoc_count (
    hk BIGINT NOT NULL, id1 BIGINT NOT NULL, kind TEXT NOT NULL, n BIGINT NOT NULL, PRIMARY KEY (hk, id1, kind)
);
CREATE TABLE feed (
    hk BIGINT NOT NULL, reader BIGINT NOT NULL, post BIGINT NOT NULL, PRIMARY KEY (hk, reader, post)
);
",
}];

struct World {
    set: ShardSet,
    clock: std::sync::Arc<TestClock>,
    _files: Files,
    _data: TempDir,
}

impl World {
    fn new(shards: u32) -> World {
        let data = tempfile::tempdir().unwrap();
        let clock = TestClock::new();
        let files = files(data.path(), &clock, Plants::default());
        let set = files.open("story", shards, SCHEMA).unwrap();
        World { set, clock, _files: files, _data: data }
    }

    async fn write(&self, batch: Batch) -> Written {
        let later = seawall_policy::Clock::now(&*self.clock) + std::time::Duration::from_secs(60);
        self.set.of(batch.hk).write(batch, later).await
    }
}

fn batch(hk: i64, ops: Vec<Op>) -> Batch {
    Batch { hk, key: None, owned: None, ops, tell: vec![] }
}

fn once(sql: &'static Sql, args: Vec<Value>) -> Op {
    Op { sql, args, expect: Expect::Rows(1) }
}

fn key(hk: i64, what: &str) -> Idem {
    let fingerprint = hk_of(what) as u64;
    let mut key = [0; 16];
    key[..8].copy_from_slice(&fingerprint.to_le_bytes());
    Idem { hk, key, fingerprint }
}

fn hk_of(what: &str) -> i64 {
    hk(what.as_bytes())
}

mod link {
    use super::*;

    const ADD: Sql = Sql {
        name: "add a link",
        text: "INSERT INTO link (hk, code, url) VALUES ($1, $2, $3) ON CONFLICT (hk, code) DO NOTHING",
    };
    const FIND: Sql = Sql { name: "find a link", text: "SELECT url FROM link WHERE hk = $1 AND code = $2" };
    const TAKE_BLOCK: Sql = Sql {
        name: "take a block of codes",
        text: "INSERT INTO block (hk, next) VALUES ($1, $2)
               ON CONFLICT (hk) DO UPDATE SET next = block.next + $2 RETURNING next - $2",
    };

    fn add(code: &str, url: &str) -> Batch {
        let hk = hk_of(code);
        let tell = Event::new("link", code.as_bytes(), url.into());
        let ops = vec![once(&ADD, vec![hk.into(), code.into(), url.into()])];
        Batch { tell: vec![tell], key: Some(key(hk, &format!("{code} {url}"))), ..batch(hk, ops) }
    }

    #[tokio::test]
    async fn a_link_is_inserted_if_its_code_is_free() {
        let w = World::new(3);
        for i in 0..30 {
            at(&w.write(add(&format!("code{i}"), "https://example.com/")).await);
        }
        let taken = w.write(add("code7", "https://example.org/")).await;
        assert_eq!(taken, Written::Rejected(Why::Conflict { op: 0 }));
        let retried = w.write(add("code7", "https://example.com/")).await;
        assert!(matches!(retried, Written::Committed { again: true, .. }));
        let hk = hk_of("code7");
        let found = w.set.of(hk).read(Freshness::Any, &FIND, vec![hk.into(), "code7".into()]).await.unwrap();
        assert_eq!(found.rows[0].text(0), Ok("https://example.com/"));
        let mut told = 0;
        for shard in w.set.iter() {
            told += shard.changes(Position(0), 100).await.unwrap().len();
        }
        assert_eq!(told, 30);
    }

    #[tokio::test]
    async fn blocks_of_codes_never_overlap() {
        let w = World::new(2);
        for shard in w.set.iter() {
            let hk = shard.hk_min();
            let take = || w.write(batch(hk, vec![once(&TAKE_BLOCK, vec![hk.into(), Value::Int(10_000)])]));
            let starts: BTreeSet<i64> = all((0..40).map(|_| take()))
                .await
                .into_iter()
                .map(|d| rows(d)[0][0].int(0).unwrap())
                .collect();
            assert_eq!(starts, (0..40).map(|i| i * 10_000).collect());
        }
    }
}

mod chat {
    use super::*;

    const APPEND: Sql = Sql {
        name: "append a message",
        text: "INSERT INTO message (hk, channel, seq, author, body) VALUES ($1, $2, $3, $4, $5)",
    };
    const NEWEST: Sql = Sql {
        name: "newest messages",
        text: "SELECT seq, body FROM message WHERE hk = $1 AND channel = $2 AND seq < $3 ORDER BY seq DESC LIMIT 50",
    };

    fn send(epoch: Epoch, channel: &str, seq: i64, body: &str) -> Batch {
        let hk = hk_of("guild");
        let args = vec![hk.into(), channel.into(), seq.into(), "ann".into(), body.into()];
        let tell = Event::new("message", channel.as_bytes(), body.into());
        Batch {
            owned: Some(Owned { scope: "guild".to_owned(), epoch }),
            key: Some(key(hk, &format!("nonce of {body}"))),
            tell: vec![tell],
            ..batch(hk, vec![once(&APPEND, args)])
        }
    }

    #[tokio::test]
    async fn a_send_is_appended_by_the_owner_and_only_by_it() {
        let w = World::new(2);
        let shard = w.set.of(hk_of("guild"));
        let old = shard.claim("guild").await.unwrap();
        at(&w.write(send(old, "general", 1, "hello")).await);
        at(&w.write(send(old, "general", 2, "world")).await);
        // The owner hangs; another takes the guild over and goes on where the channel ends.
        let new = shard.claim("guild").await.unwrap();
        at(&w.write(send(new, "general", 3, "from the new owner")).await);
        let late = w.write(send(old, "general", 3, "from the old owner")).await;
        assert_eq!(late, Written::Rejected(Why::Fenced { current: new }));
        // The client sends again what the old owner had stored but not answered.
        let again = w.write(send(new, "general", 4, "world")).await;
        assert!(matches!(again, Written::Committed { again: true, .. }));
        let args = vec![hk_of("guild").into(), "general".into(), Value::Int(i64::MAX)];
        let found = shard.read(Freshness::Primary, &NEWEST, args).await.unwrap();
        let texts: Vec<&str> = found.rows.iter().map(|r| r.text(1).unwrap()).collect();
        assert_eq!(texts, ["from the new owner", "world", "hello"]);
        let told = shard.changes(Position(0), 100).await.unwrap();
        assert_eq!(
            told.iter().map(|(_, e)| &e.body[..]).collect::<Vec<_>>(),
            [&b"hello"[..], b"world", b"from the new owner"]
        );
    }
}

mod graph {
    use super::*;

    const ADD: Sql = Sql {
        name: "add an association",
        text: "INSERT INTO assoc (hk, id1, kind, id2, at) VALUES ($1, $2, $3, $4, $5)",
    };
    const COUNT: Sql = Sql {
        name: "count an association",
        text: "INSERT INTO assoc_count (hk, id1, kind, n) VALUES ($1, $2, $3, 1)
               ON CONFLICT (hk, id1, kind) DO UPDATE SET n = assoc_count.n + 1 RETURNING n",
    };
    const COUNTED: Sql = Sql {
        name: "associations",
        text: "SELECT n FROM assoc_count WHERE hk = $1 AND id1 = $2 AND kind = $3",
    };
    const LISTED: Sql = Sql {
        name: "list associations",
        text: "SELECT id2 FROM assoc WHERE hk = $1 AND id1 = $2 AND kind = $3 ORDER BY at DESC LIMIT 100",
    };

    /// `a` follows `b`, seen from both ends; both live in one graph shard.
    fn follow(hk: i64, a: i64, b: i64, time: i64) -> Batch {
        let mut ops = Vec::new();
        for (from, kind, to) in [(a, "follows", b), (b, "followed_by", a)] {
            ops.push(once(&ADD, vec![hk.into(), from.into(), kind.into(), to.into(), time.into()]));
            ops.push(once(&COUNT, vec![hk.into(), from.into(), kind.into()]));
        }
        batch(hk, ops)
    }

    #[tokio::test]
    async fn an_association_its_inverse_and_both_counts_change_together() {
        let w = World::new(2);
        let hk = hk_of("graph shard 12");
        let done = all((1..=20).map(|a| w.write(follow(hk, a, 99, a)))).await;
        assert!(done.iter().all(|d| matches!(d, Written::Committed { again: false, .. })));
        let twice = w.write(follow(hk, 5, 99, 100)).await;
        assert_eq!(twice, Written::Rejected(Why::Conflict { op: 0 }));
        let ask = async |sql: &'static Sql, id: i64, kind: &str| {
            w.set
                .of(hk)
                .read(Freshness::Primary, sql, vec![hk.into(), id.into(), kind.into()])
                .await
                .unwrap()
                .rows
        };
        assert_eq!(ask(&COUNTED, 99, "followed_by").await[0].int(0), Ok(20));
        assert_eq!(ask(&COUNTED, 5, "follows").await[0].int(0), Ok(1));
        let newest_first: Vec<i64> =
            ask(&LISTED, 99, "followed_by").await.iter().map(|r| r.int(0).unwrap()).collect();
        assert_eq!(newest_first, (1..=20).rev().collect::<Vec<_>>());
    }

    /// Of twenty who follow at once, each is told as the n-th: only the database knows which.
    #[tokio::test]
    async fn the_news_carry_the_count_that_the_commit_came_to() {
        let w = World::new(1);
        let hk = hk_of("graph shard 12");
        let telling = |a: i64| {
            let tell = Event { numbers: Some(3), ..Event::new("edge", &a.to_le_bytes(), b"+".to_vec()) };
            Batch { tell: vec![tell], ..follow(hk, a, 99, a) }
        };
        let done = all((1..=20).map(|a| w.write(telling(a)))).await;
        let answered = done.iter().map(|written| match written {
            Written::Committed { rows, .. } => rows[3][0].int(0).unwrap(),
            other => panic!("{other:?}"),
        });
        let answered: Vec<i64> = answered.collect();
        let told = w.set.of(hk).changes(Position(0), 100).await.unwrap();
        assert_eq!(told.len(), 20);
        for ((_, event), n) in told.iter().zip(1_i64..) {
            let a = i64::from_le_bytes(event.key[..].try_into().unwrap());
            assert_eq!(event.body, [b"+", &n.to_le_bytes()[..]].concat());
            assert_eq!(answered[a as usize - 1], n, "what the writer heard is what the followers hear");
        }
        let stray = Event { numbers: Some(4), ..Event::new("edge", b"", Vec::new()) };
        let refused = w.write(Batch { tell: vec![stray], ..follow(hk, 50, 99, 1) }).await;
        assert!(matches!(refused, Written::Rejected(Why::Invalid(_))), "{refused:?}");
    }
}

mod feed {
    use super::*;

    const ADD: Sql =
        Sql { name: "add to a feed", text: "INSERT INTO feed (hk, reader, post) VALUES ($1, $2, $3)" };
    const ALL: Sql = Sql { name: "all feeds", text: "SELECT reader, post FROM feed" };
    const FOLLOWERS: std::ops::Range<i64> = 0..25;

    fn post(id: i64) -> Batch {
        let hk = hk_of("author");
        let tell = Event::new("post", b"author", id.to_le_bytes().into());
        Batch { tell: vec![tell], ..batch(hk, vec![]) }
    }

    /// One post into every follower's list: a batch per shard, with a key that makes repeating it harmless.
    async fn fan_out(w: &World, position: Position, post: i64) {
        let home = |reader: &i64| hk_of(&format!("reader {reader}"));
        for shard in w.set.iter() {
            let here = FOLLOWERS.filter(|reader| w.set.of(home(reader)).index() == shard.index());
            let ops: Vec<Op> =
                here.map(|r| once(&ADD, vec![home(&r).into(), r.into(), post.into()])).collect();
            let key = Some(key(shard.hk_min(), &format!("fan-out of {position:?}")));
            at(&w.write(Batch { key, ..batch(shard.hk_min(), ops) }).await);
        }
    }

    /// One run of a worker: from its cursor on, `crash_after` posts, then gone without saving.
    async fn work(w: &World, source: &Shard, crash_after: usize) {
        let mut from = source.cursor("fan-out").await.unwrap().unwrap_or_default();
        for done in 0.. {
            let page = source.changes(from, 1).await.unwrap();
            let Some((position, event)) = page.first() else { return };
            fan_out(w, *position, i64::from_le_bytes(event.body[..].try_into().unwrap())).await;
            if done == crash_after {
                return;
            }
            from = *position;
            at(&source.cursor_save("fan-out", from).await);
        }
    }

    #[tokio::test]
    async fn every_post_reaches_every_follower_once_although_the_worker_crashes() {
        let w = World::new(3);
        for id in 0..9 {
            at(&w.write(post(id)).await);
        }
        let source = w.set.of(hk_of("author"));
        for crash_after in [0, 2, 4, usize::MAX] {
            work(&w, source, crash_after).await;
        }
        let mut lists = Vec::new();
        for shard in w.set.iter() {
            let found = shard.read(Freshness::Primary, &ALL, vec![]).await.unwrap();
            lists.extend(found.rows.iter().map(|r| (r.int(0).unwrap(), r.int(1).unwrap())));
        }
        lists.sort_unstable();
        let wanted: Vec<(i64, i64)> = FOLLOWERS.flat_map(|r| (0..9).map(move |p| (r, p))).collect();
        assert_eq!(lists, wanted);
    }
}
