//! Blocking queries: who waits, who is woken, and by what.

use std::time::Duration;

use seawall_registry::Config;
use tokio::time::timeout;

use crate::harness::{HANG, Registry, registry, registry_with};

/// Long enough to be sure that nobody was woken, short enough to wait for.
const QUIET: Duration = Duration::from_millis(300);

/// Runs a query that must still wait after a while, then a change, then expects the answer.
async fn woken_by(r: &Registry, query: &str, change: impl Future<Output = ()>) -> crate::harness::Answer {
    let mut waiting = std::pin::pin!(r.get(query));
    assert!(timeout(QUIET, &mut waiting).await.is_err(), "{query} did not wait");
    change.await;
    timeout(HANG, waiting).await.expect("woken")
}

#[tokio::test]
async fn a_watcher_hears_of_the_first_instance_and_of_the_last_to_leave() {
    let r = registry().await;
    let none = r.get("/v1/health/service/web").await;
    let query = format!("/v1/health/service/web?wait=1m&index={}", none.index());
    let first = woken_by(&r, &query, r.web("web", "10m")).await;
    assert_eq!(first.json().as_array().unwrap().len(), 1);
    assert!(first.index() > none.index());
    let query = format!("/v1/health/service/web?wait=1m&index={}", first.index());
    let gone = woken_by(&r, &query, r.done("/v1/agent/service/deregister/web", "")).await;
    assert_eq!(gone.text(), "[]");
    assert!(gone.index() > first.index());
}

#[tokio::test]
async fn a_write_elsewhere_wakes_nobody() {
    let r = registry().await;
    r.web("web", "10m").await;
    let index = r.get("/v1/health/service/web").await.index();
    let query = format!("/v1/health/service/web?wait=1m&index={index}");
    let elsewhere = async {
        r.done("/v1/agent/service/register", r#"{"Name":"db"}"#).await;
        r.done("/v1/kv/a", "x").await;
        r.web("web", "10m").await; // The same again.
    };
    let mut waiting = std::pin::pin!(r.get(&query));
    assert!(timeout(QUIET, &mut waiting).await.is_err());
    elsewhere.await;
    assert!(timeout(QUIET, &mut waiting).await.is_err(), "woken by a change that was not its own");
}

#[tokio::test]
async fn a_wait_that_ends_answers_in_full_with_the_same_index() {
    let r = registry().await;
    r.web("web", "10m").await;
    let now = r.get("/v1/health/service/web").await;
    let again = r.get(&format!("/v1/health/service/web?wait=200ms&index={}", now.index())).await;
    assert_eq!((again.status, again.index(), again.body), (200, now.index(), now.body));
}

#[tokio::test]
async fn an_index_nobody_has_reached_is_answered_at_once() {
    let r = registry().await;
    let answer = timeout(Duration::from_secs(5), r.get("/v1/kv/a?index=1000000&wait=5m")).await;
    assert_eq!(answer.expect("at once").status, 404);
    assert_eq!(r.get("/v1/catalog/services?index=0&wait=5m").await.status, 200);
}

#[tokio::test]
async fn every_kind_of_list_wakes_its_watchers() {
    let r = registry().await;
    let cases = [
        ("/v1/catalog/nodes", "/v1/catalog/register", r#"{"Node":"n2","Address":"10.0.0.2"}"#),
        ("/v1/catalog/services", "/v1/agent/service/register", r#"{"Name":"a"}"#),
        ("/v1/catalog/service/b", "/v1/agent/service/register", r#"{"Name":"b"}"#),
        ("/v1/catalog/node/registry-1", "/v1/agent/service/register", r#"{"Name":"c"}"#),
        ("/v1/health/state/any", "/v1/agent/service/register", r#"{"Name":"d","Check":{"TTL":"10m"}}"#),
        ("/v1/health/checks/d", "/v1/agent/check/warn/service:d", ""),
        ("/v1/health/node/registry-1", "/v1/agent/check/pass/service:d", ""),
        ("/v1/kv/x/y", "/v1/kv/x/y", "1"),
        ("/v1/kv/x/?recurse", "/v1/kv/x/z", "1"),
        ("/v1/kv/?keys", "/v1/kv/other", "1"),
    ];
    for (read, write, body) in cases {
        let before = r.get(read).await;
        let separator = if read.contains('?') { '&' } else { '?' };
        let query = format!("{read}{separator}wait=1m&index={}", before.index());
        let after = woken_by(&r, &query, r.done(write, body)).await;
        assert!(after.index() > before.index(), "{read}");
        assert_ne!(after.body, before.body, "{read}");
    }
}

#[tokio::test]
async fn a_deleted_key_wakes_and_is_not_found() {
    let r = registry().await;
    r.done("/v1/kv/x/y", "1").await;
    for read in ["/v1/kv/x/y?wait=1m", "/v1/kv/x?recurse&wait=1m"] {
        r.done("/v1/kv/x/y", "1").await;
        let index = r.get(read).await.index();
        let delete = async {
            assert_eq!(r.call("DELETE", "/v1/kv/x/y", b"").await.text(), "true");
        };
        let after = woken_by(&r, &format!("{read}&index={index}"), delete).await;
        assert_eq!((after.status, after.text()), (404, ""), "{read}");
        assert!(after.index() > index);
    }
}

#[tokio::test]
async fn a_service_definition_is_watched_by_its_hash() {
    let r = registry().await;
    r.web("web", "10m").await;
    let hash = r.get("/v1/agent/service/web").await.header("X-Consul-ContentHash").unwrap().to_owned();
    let query = format!("/v1/agent/service/web?wait=1m&hash={hash}");
    let mut waiting = std::pin::pin!(r.get(&query));
    r.done("/v1/agent/check/warn/service:web", "").await;
    assert!(timeout(QUIET, &mut waiting).await.is_err(), "its health is not its definition");
    r.done("/v1/agent/service/register", r#"{"Name":"web","Port":81}"#).await;
    let after = timeout(HANG, waiting).await.unwrap();
    assert_eq!(after.json()["Port"], 81);
}

#[tokio::test]
async fn those_who_watch_the_same_share_one_answer() {
    let r = registry().await;
    r.web("web", "10m").await;
    let index = r.get("/v1/health/service/web").await.index();
    let query = format!("/v1/health/service/web?wait=1m&index={index}");
    let made = r.counted("answers_made_total");
    let watch = || async {
        let answer = r.get(&query).await;
        assert_eq!(answer.json()[0]["Checks"][1]["Status"], "warning");
    };
    let all = async { tokio::join!(watch(), watch(), watch(), watch(), watch(), watch(), watch(), watch()) };
    let change = async {
        tokio::time::sleep(QUIET).await;
        r.done("/v1/agent/check/warn/service:web", "").await;
    };
    timeout(HANG, async { tokio::join!(all, change) }).await.expect("all woken");
    assert_eq!(r.counted("answers_made_total"), made + 1);
}

#[tokio::test]
async fn watchers_have_a_bound_of_their_own_and_take_no_one_elses_place() {
    let r = registry_with(Config { in_flight_max: 1, watchers_max: 2, ..Config::default() }).await;
    let query = "/v1/kv/a?index=1&wait=1m";
    let (mut one, mut two) = (std::pin::pin!(r.get(query)), std::pin::pin!(r.get(query)));
    assert!(timeout(QUIET, &mut one).await.is_err());
    assert!(timeout(QUIET, &mut two).await.is_err());
    let third = r.get(query).await;
    assert_eq!(third.status, 503);
    assert!(third.text().starts_with("Too many clients are waiting"), "{}", third.text());
    assert_eq!(r.get("/v1/status/leader").await.status, 200, "the one place in flight is free");
    r.done("/v1/kv/a", "1").await;
    let both = timeout(HANG, async { tokio::join!(one, two) }).await.unwrap();
    assert_eq!((both.0.status, both.1.status), (200, 200));
}

#[tokio::test]
async fn a_stop_lets_watchers_go() {
    let r = registry().await;
    let query = b"GET /v1/kv/a?index=1&wait=5m HTTP/1.1\r\nHost: r\r\n\r\n";
    let mut stream = tokio::net::TcpStream::connect(r.addr).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, query).await.unwrap();
    tokio::time::sleep(QUIET).await;
    r.stop().await;
    let mut read = Vec::new();
    timeout(HANG, tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut read)).await.unwrap().unwrap();
    assert!(read.starts_with(b"HTTP/1.1 404"), "{}", String::from_utf8_lossy(&read));
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back() {
    let r = registry().await;
    let mut stream = tokio::net::TcpStream::connect(r.addr).await.unwrap();
    let query = b"GET /v1/kv/a?index=1&wait=5m HTTP/1.1\r\nHost: r\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, query).await.unwrap();
    let waiting = |n| {
        let r = &r;
        async move {
            while r.counted("watchers") != n {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    timeout(HANG, waiting(1)).await.expect("it waits");
    drop(stream);
    timeout(HANG, waiting(0)).await.expect("it is gone");
}
