//! Limits as clients meet them: headers on every answer, and the 429 that libraries understand.

use std::time::Duration;

use seawall_chat::api::Rates;
use seawall_policy::rate::{Per, Policy, Rate};
use serde_json::{Value, json};

use crate::rest_making::{Answer, chat, chat_with, no_limits, world};

const HEADERS: [&str; 5] = [
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-reset-after",
    "x-ratelimit-bucket",
];

fn number(answer: &Answer, name: &str) -> f64 {
    answer.header(name).unwrap_or_else(|| panic!("no {name}: {answer:?}")).parse().unwrap()
}

#[tokio::test]
async fn every_answer_says_what_is_left() {
    let chat = chat().await;
    let world = world(&chat).await;
    let me = &world.member.token;
    let c = &world.general;
    for (method, path, body) in [
        ("GET", "/gateway".to_owned(), Value::Null),
        ("GET", "/users/@me".to_owned(), Value::Null),
        ("GET", "/guilds/1".to_owned(), Value::Null),
        ("GET", format!("/channels/{}", world.hidden), Value::Null),
        ("GET", "/channels/x".to_owned(), Value::Null),
        ("POST", format!("/channels/{c}/messages"), json!({})),
        ("POST", format!("/channels/{c}/messages"), json!({ "content": "x" })),
        ("POST", format!("/channels/{c}/typing"), Value::Null),
    ] {
        let answer = chat.call(method, &path, me, body).await;
        for name in HEADERS {
            assert!(answer.header(name).is_some(), "{method} {path}: no {name}: {answer:?}");
        }
        let now = chat.host.clock.wall().0 as f64 / 1000.0;
        let (at, after) = (number(&answer, "x-ratelimit-reset"), number(&answer, "x-ratelimit-reset-after"));
        assert!((at - now - after).abs() < 5.0, "{at} {after} {now}");
    }
    // Who has no token is told too.
    assert!(chat.get("/users/@me", "").await.header("x-ratelimit-limit").is_some());
}

#[tokio::test]
async fn five_messages_then_a_wait_that_is_told_and_is_right() {
    let rates = Rates { messages: Rates::default().messages, ..no_limits() };
    let chat = chat_with(rates).await;
    let world = world(&chat).await;
    let (path, me) = (format!("/channels/{}/messages", world.general), &world.owner.token);
    let start = chat.host.clock.now();
    for said in 0..5_u32 {
        let answer = chat.call("POST", &path, me, json!({ "content": said.to_string() })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(number(&answer, "x-ratelimit-limit"), 5.0);
        // A slow machine may have got some back meanwhile.
        let back = chat.host.clock.now().since(start).as_secs_f64().floor();
        let left = number(&answer, "x-ratelimit-remaining");
        assert!((f64::from(4 - said)..=f64::from(4 - said) + back).contains(&left), "{said}: {left}");
        assert!(number(&answer, "x-ratelimit-reset-after") <= 5.0);
    }
    let mut refused = None;
    for _ in 0..200 {
        let answer = chat.call("POST", &path, me, json!({ "content": "more" })).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("never refused");
    let body = refused.json();
    let wait = body["retry_after"].as_f64().unwrap();
    assert!(wait > 0.0 && wait <= 1.0, "{body}");
    assert_eq!(
        body,
        json!({ "message": "You are being rate limited.", "retry_after": wait, "global": false })
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("x-ratelimit-scope"), Some("user"));
    assert_eq!(refused.header("x-ratelimit-global"), None);
    assert_eq!(refused.header("via"), Some("1.1 seawall"));
    assert_eq!(refused.header("x-ratelimit-bucket"), Some("messages"));
    assert_eq!(number(&refused, "x-ratelimit-remaining"), 0.0);
    // Other channels, other tokens and other calls have their own.
    let other = format!("/channels/{}/messages", world.hidden);
    assert_eq!(chat.call("POST", &other, me, json!({ "content": "x" })).await.status, 200);
    assert_eq!(chat.call("POST", &path, &world.member.token, json!({ "content": "x" })).await.status, 200);
    assert_eq!(chat.get(&path, me).await.status, 200);
    tokio::time::sleep(Duration::from_secs_f64(wait)).await;
    assert_eq!(chat.call("POST", &path, me, json!({ "content": "x" })).await.status, 200);
}

#[tokio::test]
async fn all_calls_together_have_a_limit_that_is_called_global() {
    // So slow that the test is over before anything comes back.
    let global = Policy { rate: Rate::new(1, Per::Hour), burst: 20, keys_max: 1024 };
    let chat = chat_with(Rates { global, ..no_limits() }).await;
    let user = chat.user("somebody").await;
    for n in 0..20 {
        let path = if n % 2 == 0 { "/users/@me" } else { "/gateway/bot" };
        assert_eq!(chat.get(path, &user.token).await.status, 200, "{n}");
    }
    let refused = chat.get("/voice/regions", &user.token).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["global"], true);
    assert!(refused.json()["retry_after"].as_f64().unwrap() > 3500.0);
    assert_eq!(refused.header("x-ratelimit-scope"), Some("global"));
    assert_eq!(refused.header("x-ratelimit-global"), Some("true"));
    assert_eq!(refused.header("via"), Some("1.1 seawall"));
    let other = chat.user("another").await;
    assert_eq!(chat.get("/users/@me", &other.token).await.status, 200);
}

#[tokio::test]
async fn remaining_is_exact_when_many_ask_at_once() {
    let reads = Policy { rate: Rate::new(1, Per::Hour), burst: 64, keys_max: 1024 };
    let chat = chat_with(Rates { reads, ..no_limits() }).await;
    let user = chat.user("somebody").await;
    let mut left = Vec::new();
    for _ in 0..4 {
        let path = "/users/@me";
        let many = tokio::join!(
            chat.get(path, &user.token),
            chat.get(path, &user.token),
            chat.get(path, &user.token),
            chat.get(path, &user.token),
        );
        left.extend([many.0, many.1, many.2, many.3].map(|a| number(&a, "x-ratelimit-remaining") as u32));
    }
    left.sort_unstable();
    assert_eq!(left, (48..64).collect::<Vec<_>>(), "no number twice, none left out");
}

#[tokio::test]
async fn strangers_who_keep_guessing_are_stopped_by_their_address() {
    let strangers = Policy { rate: Rate::new(1, Per::Hour), burst: 5, keys_max: 1024 };
    let chat = chat_with(Rates { strangers, ..no_limits() }).await;
    let from = |address: &str| format!("X-Forwarded-For: {address}\r\nAuthorization: Bot a.b.c\r\n");
    for n in 0..8 {
        let answer = chat.raw("GET", "/api/v10/users/@me", &from("192.0.2.7"), b"").await;
        assert_eq!(answer.status, if n < 5 { 401 } else { 429 }, "{n}: {answer:?}");
    }
    assert_eq!(chat.raw("GET", "/api/v10/gateway", &from("192.0.2.7"), b"").await.status, 429);
    assert_eq!(chat.raw("GET", "/api/v10/users/@me", &from("192.0.2.8"), b"").await.status, 401);
    for _ in 0..20 {
        assert_eq!(chat.get("/users/@me", "a.b.c").await.status, 401, "the machine itself is not limited");
    }
}
