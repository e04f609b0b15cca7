//! The fast path as a table: a head goes in, a decision comes out, no socket.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use seawall_links::degrade::Loss;
use seawall_links::redirect::Redirects;
use seawall_links::service::{Ask, Service};
use seawall_net::exchange::{Exchange, Head, Next, Out};
use seawall_policy::Mono;
use seawall_policy::deadline::Deadline;
use seawall_policy::retry::Attempt;
use tempfile::{TempDir, tempdir};

use crate::making::{config, files, host};

const URL: &str = "https://example.org/";

/// A service with the links `abc` (in memory), `gone` (deleted) and what a test adds.
async fn service(data: &TempDir) -> Arc<Service> {
    let host = host();
    let files = files(data.path(), &host.clock, 1);
    let service = seawall_links::open(&config(), &host, files).await.unwrap();
    service.ladder.started();
    for alias in ["abc", "gone"] {
        let ask = Ask { url: URL, alias: Some(alias), key: None };
        service.shorten(ask, soon(&service)).await.unwrap();
    }
    service.delete("gone", soon(&service)).await.unwrap();
    service
}

fn soon(service: &Service) -> Deadline {
    Deadline::after(service.clock.now(), Duration::from_secs(20))
}

/// What is decided about a request: the status of an answer on the spot, or `None` for the router.
fn decide(redirects: &Redirects, method: &Method, path: &str, now: Mono) -> Option<(u16, Out)> {
    let headers = HeaderMap::new();
    let peer = ([127, 0, 0, 1], 1).into();
    let head = Head {
        method,
        path,
        query: None,
        host: "x",
        headers: &headers,
        peer,
        attempt: Attempt::FIRST,
        deadline: now,
    };
    let mut out = Out::default();
    match redirects.on_head(&head, now, &mut out) {
        Next::Replied => Some((out.status.as_u16(), out)),
        Next::General => None,
        Next::Forward(..) | Next::Refuse(_) | Next::Upgrade(_) => {
            panic!("links never forward, never refuse and never upgrade")
        }
    }
}

#[tokio::test]
async fn what_memory_knows_is_answered_and_the_rest_is_the_routers() {
    let data = tempdir().unwrap();
    let service = service(&data).await;
    assert!(service.resolve("never").await.is_ok());
    let redirects = Redirects::new(service.clone(), None);
    let now = service.clock.now();
    for (method, path, status) in [
        (Method::GET, "/abc", Some(302)),
        (Method::HEAD, "/abc", Some(302)),
        (Method::GET, "/gone", Some(410)),
        (Method::GET, "/never", Some(404)),
        (Method::GET, "/unasked", None),
        (Method::POST, "/abc", None),
        (Method::DELETE, "/abc", None),
        (Method::GET, "/", None),
        (Method::GET, "/ab%63", None),
        (Method::GET, "/abc/", None),
        (Method::GET, "/abc/x", None),
        (Method::GET, "/api/v1/links", None),
        (Method::GET, "*", None),
        (Method::GET, "/panic-now", None),
    ] {
        let decided = decide(&redirects, &method, path, now).map(|(status, _)| status);
        assert_eq!(decided, status, "{method} {path}");
    }
    let (_, out) = decide(&redirects, &Method::GET, "/abc", now).unwrap();
    assert_eq!(out.headers["location"], URL);
    assert_eq!(out.headers["cache-control"], "private, max-age=0, no-store");
}

#[tokio::test]
async fn an_entry_is_answered_from_for_five_minutes() {
    let data = tempdir().unwrap();
    let service = service(&data).await;
    let redirects = Redirects::new(service.clone(), None);
    let now = service.clock.now();
    assert!(decide(&redirects, &Method::GET, "/abc", now + Duration::from_secs(290)).is_some());
    assert!(decide(&redirects, &Method::GET, "/abc", now + Duration::from_secs(301)).is_none());
}

#[tokio::test]
async fn without_news_the_store_is_asked_first() {
    let data = tempdir().unwrap();
    let service = service(&data).await;
    let redirects = Redirects::new(service.clone(), None);
    let now = service.clock.now();
    service.ladder.lose(Loss::News, 0);
    assert!(decide(&redirects, &Method::GET, "/abc", now).is_none());
    service.ladder.regain(Loss::News, 0);
    assert!(decide(&redirects, &Method::GET, "/abc", now).is_some());
}
