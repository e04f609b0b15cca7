//! Who may make how many links, and what goes first when there is too much to do.

use seawall_links::Config;
use seawall_policy::rate;
use seawall_policy::shed::{self, Shares, Step};
use tempfile::tempdir;

use crate::bytes::{Answer, ask, code_for, get};
use crate::making::{Process, config, start, start_with};

async fn create_from(p: &Process, client: &str) -> Answer {
    let headers = format!("X-Forwarded-For: {client}\r\n");
    ask(p.addr, "POST", "/api/v1/links", &headers, r#"{"url":"https://example.org/"}"#).await
}

#[tokio::test]
async fn a_client_makes_forty_links_at_once_and_is_then_told_to_slow_down() {
    let data = tempdir().unwrap();
    let slow = rate::Policy { rate: "20/h".parse().unwrap(), ..rate::Policy::create_link() };
    let p = start_with(Config { create_rate: slow, ..config() }, data.path()).await;
    for made in 0..40 {
        assert_eq!(create_from(&p, "203.0.113.9").await.status, 201, "after {made}");
    }
    let refused = create_from(&p, "203.0.113.9").await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"));
    let number = |name| refused.header(name).unwrap().parse::<u32>().unwrap();
    assert!((1..=180).contains(&number("retry-after")), "{refused:?}");
    assert_eq!((number("ratelimit-limit"), number("ratelimit-remaining")), (40, 0));
    assert!(number("ratelimit-reset") > 7_000, "{refused:?}");
    assert_eq!(p.metric("seawall_links_creates_rate_limited_total"), 1);

    assert_eq!(create_from(&p, "203.0.113.10").await.status, 201, "another client is not meant");
    assert_eq!(create_from(&p, "127.0.0.1").await.status, 201, "nor this machine");
    p.stop().await;
}

#[tokio::test]
async fn redirects_go_on_while_lists_are_shed() {
    let data = tempdir().unwrap();
    // Overloaded at any load.
    let always = Step { drop: Shares { p3: 1.0, p4: 1.0, ..Shares::default() }, ..Step::default() };
    let shed = shed::Policy { steps: vec![always], ..shed::Policy::s0_chat() };
    let p = start_with(Config { shed, ..config() }, data.path()).await;
    let code = code_for(p.addr, "https://example.org/").await;
    assert_eq!(get(p.addr, &format!("/{code}")).await.status, 302);
    let list = get(p.addr, "/api/v1/links").await;
    assert_eq!((list.status, list.code().as_str()), (503, "shed"));
    assert_eq!(list.header("retry-after"), Some("1"));
    assert_eq!(p.metric(r#"seawall_links_requests_refused_total{reason="shed"}"#), 1);
    let unimportant = ask(p.addr, "GET", &format!("/{code}"), "x-seawall-priority: p4\r\n", "").await;
    assert_eq!(unimportant.status, 503, "a crawler that says so is shed too");
    p.stop().await;
}

#[tokio::test]
async fn a_store_with_one_place_still_answers_one_after_the_other() {
    let data = tempdir().unwrap();
    let p = start_with(Config { store_in_flight_max: 1, ..config() }, data.path()).await;
    for _ in 0..5 {
        let code = code_for(p.addr, "https://example.org/").await;
        assert_eq!(get(p.addr, &format!("/{code}")).await.status, 302);
    }
    p.stop().await;
}

#[tokio::test]
async fn by_default_nothing_is_refused_when_it_is_calm() {
    let data = tempdir().unwrap();
    let p = start(data.path()).await;
    assert_eq!(get(p.addr, "/api/v1/links").await.status, 200);
    p.stop().await;
}
