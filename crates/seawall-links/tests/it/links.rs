//! What the API promises, call by call.

use std::collections::BTreeSet;

use seawall_links::Config;
use tempfile::tempdir;

use crate::bytes::{all_codes, ask, code_for, get, shorten};
use crate::making::{config, start, start_with};

#[tokio::test]
async fn a_link_is_made_shown_followed_listed_and_deleted() {
    let data = tempdir().unwrap();
    let p = start(data.path()).await;
    let made = shorten(p.addr, r#"{"url":"https://Example.org/a?b"}"#).await;
    assert_eq!(made.status, 201);
    let link = made.json();
    let code = link["code"].as_str().unwrap();
    assert!(code.len() == 7 && code.bytes().all(|b| b.is_ascii_alphanumeric()), "{code}");
    assert_eq!(link["short_url"], format!("http://links.localhost:8080/{code}"));
    assert_eq!(link["url"], "https://example.org/a?b");
    assert!(link["created_at"].as_str().unwrap().ends_with('Z'));

    let path = format!("/api/v1/links/{code}");
    assert_eq!(get(p.addr, &path).await.json(), link);
    assert_eq!(get(p.addr, "/api/v1/links").await.json()["links"][0], link);

    let followed = get(p.addr, &format!("/{code}?utm=x")).await;
    assert_eq!(followed.status, 302);
    assert_eq!(followed.header("location"), Some("https://example.org/a?b"));
    assert_eq!(followed.header("cache-control"), Some("private, max-age=0, no-store"));
    assert_eq!(followed.header("x-robots-tag"), Some("noindex"));
    assert_eq!(followed.body, "");

    assert_eq!(ask(p.addr, "DELETE", &path, "", "").await.status, 204);
    assert_eq!(ask(p.addr, "DELETE", &path, "", "").await.status, 204, "again is fine");
    let gone = get(p.addr, &format!("/{code}")).await;
    assert_eq!((gone.status, gone.code().as_str()), (410, "link_deleted"));
    assert_eq!(get(p.addr, &path).await.status, 410);
    assert!(all_codes(p.addr, 10).await.is_empty());
    p.stop().await;
}

#[tokio::test]
async fn what_never_was_is_404_and_may_be_kept_for_ten_seconds() {
    let data = tempdir().unwrap();
    let p = start(data.path()).await;
    for path in ["/nothere", "/nothere", "/no%74here"] {
        let answer = get(p.addr, path).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "link_not_found"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("max-age=10"));
    }
    for path in ["/", "/a/b", "/api", "/api/v2/links", "/x", "/favicon.ico", "/robots.txt", "/nöt"] {
        assert_eq!(get(p.addr, path).await.status, 404, "{path}");
    }
    assert_eq!(get(p.addr, "/api/v1/links/nothere").await.code(), "link_not_found");
    assert_eq!(ask(p.addr, "DELETE", "/api/v1/links/nothere", "", "").await.status, 404);
    for (method, path) in [("POST", "/nothere"), ("PUT", "/api/v1/links"), ("PATCH", "/api/v1/links/abc")] {
        let answer = ask(p.addr, method, path, "", "").await;
        assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"));
    }
    p.stop().await;
}

#[tokio::test]
async fn head_is_get_without_body_and_without_a_visit() {
    let data = tempdir().unwrap();
    let p = start(data.path()).await;
    let code = code_for(p.addr, "https://example.org/").await;
    let head = ask(p.addr, "HEAD", &format!("/{code}"), "", "").await;
    assert_eq!((head.status, head.header("location")), (302, Some("https://example.org/")));
    let none = ask(p.addr, "HEAD", "/nothere", "", "").await;
    assert_eq!((none.status, none.body.as_str()), (404, ""));
    let hits = r#"seawall_links_redirects_total{outcome="hit"}"#;
    assert_eq!(p.metric(hits), 0);
    get(p.addr, &format!("/{code}")).await;
    assert_eq!(p.metric(hits), 1);
    p.stop().await;
}

#[tokio::test]
async fn an_alias_is_taken_once_and_never_given_out_again() {
    let data = tempdir().unwrap();
    let p = start(data.path()).await;
    assert_eq!(get(p.addr, "/launch-1").await.status, 404, "asked for before it is there");
    let body = r#"{"url":"https://example.org/","alias":"launch-1"}"#;
    let made = shorten(p.addr, body).await;
    assert_eq!((made.status, made.json()["code"].as_str()), (201, Some("launch-1")));
    assert_eq!(get(p.addr, "/launch-1").await.status, 302);
    assert_eq!(get(p.addr, "/Launch-1").await.status, 404, "case matters");
    let again = shorten(p.addr, body).await;
    assert_eq!((again.status, again.code().as_str()), (409, "alias_taken"));
    ask(p.addr, "DELETE", "/api/v1/links/launch-1", "", "").await;
    assert_eq!(shorten(p.addr, body).await.status, 409);
    p.stop().await;
}

#[tokio::test]
async fn a_key_makes_one_link_however_often_it_is_sent() {
    for shards in [1, 3] {
        let data = tempdir().unwrap();
        let config = Config { shards, ..config() };
        let (a, b) = (start_with(config.clone(), data.path()).await, start_with(config, data.path()).await);
        for (i, alias) in [(0, ""), (1, ""), (2, ""), (3, r#","alias":"my-alias""#)] {
            let body = format!(r#"{{"url":"https://example.org/{i}"{alias}}}"#);
            let key = format!("Idempotency-Key: key {i}\r\n");
            let post = async |addr, body: &str| ask(addr, "POST", "/api/v1/links", &key, body).await;
            let first = post(a.addr, &body).await;
            assert_eq!((first.status, first.header("idempotent-replayed")), (201, None), "{first:?}");
            for addr in [a.addr, b.addr] {
                let again = post(addr, &body).await;
                assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
                assert_eq!(again.json(), first.json());
            }
            let other = post(b.addr, &body.replace("example.org", "example.com")).await;
            assert_eq!((other.status, other.code().as_str()), (422, "idempotency_key_reused"));
        }
        assert_eq!(all_codes(a.addr, 2).await.len(), 4);
        assert_eq!(a.metric(r#"seawall_links_creates_total{outcome="replayed"}"#), 4);
        a.stop().await;
        b.stop().await;
    }
}

#[tokio::test]
async fn the_list_shows_every_link_once_across_shards_whatever_the_page() {
    let data = tempdir().unwrap();
    let p = start_with(Config { shards: 3, ..config() }, data.path()).await;
    let mut made = BTreeSet::new();
    for i in 0..25 {
        made.insert(code_for(p.addr, &format!("https://example.org/{i}")).await);
    }
    for limit in [1, 4, 5, 25, 1000] {
        let listed = all_codes(p.addr, limit).await;
        assert_eq!(listed.len(), 25, "limit {limit}");
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), made);
    }
    for odd in ["limit=0", "limit=1001", "limit=x", "limit=-1", "after=a%20b", "after=", "page=2"] {
        let answer = get(p.addr, &format!("/api/v1/links?{odd}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_query"), "{odd}");
    }
    p.stop().await;
}

#[tokio::test]
async fn the_first_redirect_asks_the_store_and_the_next_does_not() {
    let data = tempdir().unwrap();
    let maker = start(data.path()).await;
    let code = code_for(maker.addr, "https://example.org/").await;
    let p = start(data.path()).await;
    let of = |outcome: &str| p.metric(&format!(r#"seawall_links_redirects_total{{outcome="{outcome}"}}"#));
    for _ in 0..3 {
        assert_eq!(get(p.addr, &format!("/{code}")).await.status, 302);
    }
    assert_eq!((of("miss"), of("hit")), (1, 2));
    get(p.addr, "/nothere").await;
    get(p.addr, "/nothere").await;
    assert_eq!(of("not_found"), 2);
    p.stop().await;
    maker.stop().await;
}
