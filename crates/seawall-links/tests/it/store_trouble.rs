//! A store that fails: what is still served, what clients are told, and that it comes back.

use std::path::Path;
use std::time::Duration;

use seawall_links::cache::Known;
use seawall_links::follow::Follower;
use seawall_links::metrics::Redirect;
use seawall_links::name::Name;
use seawall_links::storage;
use seawall_store::{Batch, Epoch, Expect, Op, Position, Scope, Shard, Sql, Written};
use tempfile::tempdir;

use crate::bytes::{ask, code_for, get, shorten};
use crate::making::{config, files, host, start};

const BODY: &str = r#"{"url":"https://example.org/"}"#;

/// A handle of another process to the first shard.
fn shard(data: &Path) -> Shard {
    let set = files(data, &host().clock, 3).open(storage::SET, 1, storage::SCHEMA).unwrap();
    set.get(0).clone()
}

/// Runs a statement nobody should.
async fn sabotage(shard: &Shard, sql: &'static Sql) {
    let op = Op { sql, args: Vec::new(), expect: Expect::Any };
    let batch = Batch { hk: shard.hk_min(), key: None, owned: None, ops: vec![op], tell: Vec::new() };
    let done = shard.write(batch, host().clock.now() + Duration::from_secs(20)).await;
    assert!(matches!(done, Written::Committed { .. }), "{done:?}");
}

async fn eventually_says(p: &crate::making::Process, words: &str) {
    for _ in 0..500 {
        if p.running.state.borrow().to_string().contains(words) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never said {words:?}: {}", *p.running.state.borrow());
}

#[tokio::test]
async fn a_store_that_refuses_writes_is_left_alone_and_redirects_go_on() {
    let data = tempdir().unwrap();
    let p = start(data.path()).await;
    let code = code_for(p.addr, "https://example.org/").await;
    let other = start(data.path()).await;
    let unseen = code_for(other.addr, "https://example.com/").await;
    other.stop().await;
    // Another database takes over: our handle's epoch is over.
    assert!(matches!(shard(data.path()).fence(Scope::Shard, Epoch(9)).await, Written::Committed { .. }));
    for _ in 0..5 {
        let refused = shorten(p.addr, BODY).await;
        assert_eq!((refused.status, refused.code().as_str()), (503, "store_read_only"));
        assert!(refused.header("retry-after").is_some());
    }
    let refused = shorten(p.addr, BODY).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "store_unavailable"));
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    eventually_says(&p, "takes no writes").await;
    assert_eq!(get(p.addr, "/-/ready").await.status, 200);
    for code in [code, unseen] {
        assert_eq!(get(p.addr, &format!("/{code}")).await.status, 302);
    }
    p.stop().await;
}

#[tokio::test]
async fn a_write_whose_fate_stays_unknown_is_said_to_be_unknown() {
    // Whatever has an idempotency key now fails in the middle of its transaction.
    const NO_KEYS: Sql =
        Sql { name: "lose the keys", text: "ALTER TABLE sw_idem RENAME COLUMN answer TO lost" };
    let data = tempdir().unwrap();
    let p = start(data.path()).await;
    code_for(p.addr, "https://example.org/").await;
    sabotage(&shard(data.path()), &NO_KEYS).await;
    // Two tries each; the second of the third meets an open breaker, and the first stays unknown.
    for _ in 0..3 {
        let unknown = ask(p.addr, "POST", "/api/v1/links", "Idempotency-Key: k\r\n", BODY).await;
        assert_eq!((unknown.status, unknown.code().as_str()), (503, "outcome_unknown"));
        assert_eq!(unknown.header("retry-after"), Some("1"));
    }
    assert_eq!(shorten(p.addr, BODY).await.code(), "store_unavailable");
    p.stop().await;
}

#[tokio::test]
async fn a_process_that_starts_where_nothing_can_be_written_redirects() {
    // What a full disk does to the one write there is at the start.
    const FULL: Sql = Sql {
        name: "refuse the secret",
        text: "CREATE TRIGGER full BEFORE INSERT ON links_secret BEGIN SELECT RAISE(ABORT, 'full'); END",
    };
    let data = tempdir().unwrap();
    let p = start(data.path()).await;
    let code = code_for(p.addr, "https://example.org/").await;
    p.stop().await;
    sabotage(&shard(data.path()), &FULL).await;
    let p = start(data.path()).await;
    assert_eq!(get(p.addr, &format!("/{code}")).await.status, 302);
    p.stop().await;
}

#[tokio::test]
async fn callers_without_time_do_not_open_the_breaker() {
    let data = tempdir().unwrap();
    let p = start(data.path()).await;
    for _ in 0..8 {
        let late = ask(p.addr, "POST", "/api/v1/links", "x-seawall-deadline-ms: 0\r\n", BODY).await;
        assert_eq!((late.status, late.code().as_str()), (504, "deadline_exceeded"));
    }
    assert_eq!(shorten(p.addr, BODY).await.status, 201);
    p.stop().await;
}

#[tokio::test]
async fn without_the_change_stream_it_says_so_and_asks_the_store() {
    const NO_NEWS: Sql =
        Sql { name: "lose the news", text: "ALTER TABLE sw_shard RENAME COLUMN trimmed TO lost" };
    const NEWS: Sql =
        Sql { name: "have news again", text: "ALTER TABLE sw_shard RENAME COLUMN lost TO trimmed" };
    let data = tempdir().unwrap();
    let p = start(data.path()).await;
    let code = code_for(p.addr, "https://example.org/").await;
    let shard = shard(data.path());
    sabotage(&shard, &NO_NEWS).await;
    eventually_says(&p, "changes cannot be followed").await;
    assert_eq!(get(p.addr, &format!("/{code}")).await.status, 302);
    assert_eq!(p.metric(r#"seawall_links_redirects_total{outcome="miss"}"#), 1);
    assert_eq!(p.metric(r#"seawall_links_redirects_total{outcome="hit"}"#), 0);
    sabotage(&shard, &NEWS).await;
    eventually_says(&p, "ready").await;
    assert_eq!(get(p.addr, &format!("/{code}")).await.status, 302);
    assert_eq!(p.metric(r#"seawall_links_redirects_total{outcome="hit"}"#), 1);
    p.stop().await;
}

#[tokio::test]
async fn a_store_that_cannot_be_read_leaves_what_is_in_memory_however_old() {
    const NO_LINKS: Sql = Sql { name: "lose the links", text: "DROP TABLE links" };
    let data = tempdir().unwrap();
    let host = host();
    let files = files(data.path(), &host.clock, 1);
    let service = seawall_links::open(&config(), &host, files).await.unwrap();
    let name = Name::parse("abc").unwrap();
    let link = Known::Link("https://example.org/".into());
    // Long expired by the time it is asked for.
    assert!(service.cache.remember(0, &name, link.clone(), Position(1_000), seawall_policy::Mono(0)));
    sabotage(&shard(data.path()), &NO_LINKS).await;
    assert_eq!(service.resolve("abc").await, Ok((link, Redirect::Stale)));
    assert!(service.resolve("xyz").await.is_err());
}

#[tokio::test]
async fn a_follower_that_missed_news_empties_the_cache() {
    const TRIM: Sql = Sql { name: "trim everything", text: "UPDATE sw_shard SET trimmed = seq" };
    let data = tempdir().unwrap();
    let host = host();
    let files = files(data.path(), &host.clock, 1);
    let service = seawall_links::open(&config(), &host, files).await.unwrap();
    sabotage(&shard(data.path()), &TRIM).await;
    let at = service.storage.position(0).await.unwrap();
    let name = Name::parse("abc").unwrap();
    let unknown = Known::Link("https://example.org/".into());
    assert!(service.cache.remember(0, &name, unknown, Position(at.0 - 1), service.clock.now()));
    let late = Follower {
        storage: service.storage.clone(),
        cache: service.cache.clone(),
        ladder: service.ladder.clone(),
        metrics: service.metrics.clone(),
        shard: 0,
        from: Position(0),
    };
    host.tasks.vital("late", late.run(host.tasks.clone()));
    for _ in 0..500 {
        if service.cache.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the cache was not emptied");
}
