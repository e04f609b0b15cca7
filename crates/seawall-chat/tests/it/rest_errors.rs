//! Every error a client can get, with its exact body.

use serde_json::{Value, json};

use crate::rest_making::{Answer, chat, world};

fn says(answer: &Answer, status: u16, code: u64, message: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.json(), json!({ "message": message, "code": code }));
}

#[tokio::test]
async fn routes_that_are_not_there_and_methods_that_do_not_fit() {
    let chat = chat().await;
    for path in ["/api/v10/nothing", "/api/v11/gateway", "/api", "/api/v10/", "/api/v10/guilds/1/nothing/2"] {
        says(&chat.raw("GET", path, "", b"").await, 404, 0, "404: Not Found");
    }
    for (method, path) in [("POST", "/gateway"), ("PUT", "/guilds"), ("PATCH", "/channels/1/typing")] {
        let answer = chat.raw(method, &format!("/api/v10{path}"), "", b"").await;
        says(&answer, 405, 0, "405: Method Not Allowed");
    }
}

#[tokio::test]
async fn the_same_calls_under_every_version() {
    let chat = chat().await;
    let first = chat.raw("GET", "/api/v10/gateway", "", b"").await.ok();
    assert_eq!(first, json!({ "url": format!("ws://{}", chat.addr) }), "no slash at the end");
    for path in ["/api/v9/gateway", "/api/gateway"] {
        assert_eq!(chat.raw("GET", path, "", b"").await.ok(), first);
    }
}

#[tokio::test]
async fn without_a_valid_token_there_is_nothing() {
    let chat = chat().await;
    let world = world(&chat).await;
    let forged = format!("{}x", &world.member.token[..world.member.token.len() - 1]);
    let other = world.outsider.token.split('.').next_back().unwrap();
    let mixed = format!("{}.{other}", world.member.token.rsplit_once('.').unwrap().0);
    for token in ["", "nonsense", "a.b.c", &forged, &mixed, &"x".repeat(5000)] {
        says(&chat.get("/users/@me", token).await, 401, 0, "401: Unauthorized");
        says(&chat.get("/users/@me", token).await, 401, 0, "401: Unauthorized");
    }
    for kind in ["Bot ", "Bearer ", ""] {
        let header = format!("Authorization: {kind}{}\r\n", world.member.token);
        assert_eq!(chat.raw("GET", "/api/v10/users/@me", &header, b"").await.status, 200, "{kind}");
    }
}

/// What every code is answered for, by somebody who may all the rest.
#[tokio::test]
async fn every_code_has_its_call() {
    let chat = chat().await;
    let world = world(&chat).await;
    let (g, c, me) = (&world.guild, &world.general, &world.owner.token);
    let message = chat.say(c, me, "hi").await;
    let others = chat.say(c, &world.member.token, "mine").await;
    let pair = format!("/channels/{c}/messages/{others}");
    let table = [
        ("GET", "/channels/1".to_owned(), json!(null), (404, 10003), "Unknown Channel"),
        ("GET", "/guilds/1".to_owned(), json!(null), (404, 10004), "Unknown Guild"),
        ("GET", "/invites/nothere".to_owned(), json!(null), (404, 10006), "Unknown Invite"),
        ("POST", "/invites/nothere".to_owned(), json!(null), (404, 10006), "Unknown Invite"),
        ("DELETE", "/invites/nothere".to_owned(), json!(null), (404, 10006), "Unknown Invite"),
        ("GET", format!("/guilds/{g}/members/1"), json!(null), (404, 10007), "Unknown Member"),
        ("GET", format!("/channels/{c}/messages/1"), json!(null), (404, 10008), "Unknown Message"),
        ("DELETE", format!("/channels/{c}/messages/1"), json!(null), (404, 10008), "Unknown Message"),
        ("GET", format!("/guilds/{g}/roles/1"), json!(null), (404, 10011), "Unknown Role"),
        ("PATCH", format!("/guilds/{g}/roles/1"), json!({}), (404, 10011), "Unknown Role"),
        ("GET", "/users/1".to_owned(), json!(null), (404, 10013), "Unknown User"),
        (
            "POST",
            "/users/@me/channels".to_owned(),
            json!({ "recipient_id": "1" }),
            (404, 10013),
            "Unknown User",
        ),
        (
            "PUT",
            format!("/channels/{c}/messages/{message}/reactions/x/@me"),
            json!(null),
            (400, 10014),
            "Unknown Emoji",
        ),
        ("GET", format!("/guilds/{g}/bans/1"), json!(null), (404, 10026), "Unknown Ban"),
        ("DELETE", format!("/guilds/{g}/bans/1"), json!(null), (404, 10026), "Unknown Ban"),
        (
            "PATCH",
            pair.clone(),
            json!({ "content": "x" }),
            (403, 50005),
            "Cannot edit a message authored by another user",
        ),
        ("POST", format!("/channels/{c}/messages"), json!({}), (400, 50006), "Cannot send an empty message"),
        (
            "POST",
            format!("/channels/{c}/messages"),
            json!({ "content": " \n" }),
            (400, 50006),
            "Cannot send an empty message",
        ),
        (
            "POST",
            "/users/@me/channels".to_owned(),
            json!({ "recipient_id": world.member.id }),
            (403, 50007),
            "Cannot send messages to this user",
        ),
        (
            "POST",
            format!("/channels/{c}/messages/bulk-delete"),
            json!({ "messages": [message] }),
            (400, 50016),
            "Provided too few or too many messages to delete. Must provide at least 2 and fewer than 100 messages to delete",
        ),
        (
            "POST",
            format!("/channels/{c}/messages/bulk-delete"),
            json!({ "messages": ["5", "6"] }),
            (400, 50034),
            "A message provided was too old to bulk delete",
        ),
    ];
    for (method, path, body, (status, code), message) in table {
        let answer = chat.call(method, &path, me, body).await;
        assert_eq!(answer.code(), (status, Some(code)), "{method} {path}: {answer:?}");
        says(&answer, status, code, message);
    }
    let member = &world.member.token;
    let hidden = format!("/channels/{}", world.hidden);
    says(&chat.get(&hidden, member).await, 403, 50001, "Missing Access");
    let rename = json!({ "name": "mine now" });
    says(
        &chat.call("PATCH", &format!("/guilds/{g}"), member, rename).await,
        403,
        50013,
        "Missing Permissions",
    );
    let (path, auth) = (format!("/api/v10/channels/{c}/messages"), format!("Authorization: Bot {me}\r\n"));
    let bad = chat.raw("POST", &path, &auth, b"{").await;
    says(&bad, 400, 50109, "The request body contains invalid JSON.");
    let big = chat.raw("POST", &path, &auth, &vec![b' '; (1 << 20) + 1]).await;
    says(&big, 413, 40005, "Request entity too large");
}

#[tokio::test]
async fn limits_of_a_channel_and_of_a_message() {
    let chat = chat().await;
    let world = world(&chat).await;
    let (c, me) = (&world.general, &world.owner.token);
    let message = chat.say(c, me, "hi").await;
    for n in 0..20_u32 {
        let emoji = char::from_u32(0x1F600 + n).unwrap();
        let escaped: String = emoji.to_string().bytes().map(|b| format!("%{b:02X}")).collect();
        let path = format!("/channels/{c}/messages/{message}/reactions/{escaped}/@me");
        assert_eq!(chat.call("PUT", &path, me, Value::Null).await.status, 204);
    }
    let path = format!("/channels/{c}/messages/{message}/reactions/%F0%9F%94%A5/@me");
    let answer = chat.call("PUT", &path, me, Value::Null).await;
    says(&answer, 400, 30010, "Maximum number of reactions reached (20)");

    for n in 0..51 {
        let id = chat.say(c, me, &n.to_string()).await;
        let answer = chat.call("PUT", &format!("/channels/{c}/pins/{id}"), me, Value::Null).await;
        if n < 50 {
            assert_eq!(answer.status, 204, "{n}: {answer:?}");
        } else {
            says(&answer, 400, 30003, "Maximum number of pins reached for the channel (50)");
        }
    }
}

#[tokio::test]
async fn slow_mode_says_how_long_it_takes() {
    let chat = chat().await;
    let world = world(&chat).await;
    let (c, member) = (&world.general, &world.member.token);
    let slow = json!({ "rate_limit_per_user": 120 });
    chat.call("PATCH", &format!("/channels/{c}"), &world.owner.token, slow).await.ok();
    chat.say(c, member, "one").await;
    let answer =
        chat.call("POST", &format!("/channels/{c}/messages"), member, json!({ "content": "two" })).await;
    assert_eq!(answer.code(), (429, Some(20016)), "{answer:?}");
    let body = answer.json();
    let wait = body["retry_after"].as_f64().unwrap();
    assert!(wait > 100.0 && wait <= 120.0 && body["global"] == false, "{body}");
    assert_eq!(answer.header("via"), Some("1.1 seawall"));
    let whole = answer.header("retry-after").unwrap().parse::<f64>().unwrap();
    assert!(whole >= wait && whole - wait < 1.0, "{whole} for {wait}");
    chat.say(c, &world.owner.token, "who manages is not slowed").await;
}

#[tokio::test]
async fn somebody_banned_does_not_come_back() {
    let chat = chat().await;
    let world = world(&chat).await;
    let (g, me) = (&world.guild, &world.owner.token);
    let invite = chat.call("POST", &format!("/channels/{}/invites", world.general), me, json!({})).await.ok();
    let code = invite["code"].as_str().unwrap();
    let path = format!("/guilds/{g}/bans/{}", world.member.id);
    assert_eq!(chat.call("PUT", &path, me, json!({ "delete_message_days": 1 })).await.status, 204);
    let back = chat.call("POST", &format!("/invites/{code}"), &world.member.token, Value::Null).await;
    says(&back, 403, 40007, "The user is banned from this guild.");
    let ban = chat.get(&path, me).await.ok();
    assert_eq!((&ban["reason"], &ban["user"]["id"]), (&Value::Null, &json!(world.member.id)));
    assert_eq!(chat.get(&format!("/guilds/{g}/bans"), me).await.ok(), json!([ban]));
    assert_eq!(chat.call("DELETE", &path, me, Value::Null).await.status, 204);
    chat.call("POST", &format!("/invites/{code}"), &world.member.token, Value::Null).await.ok();
    assert_eq!(chat.get(&format!("/guilds/{g}"), &world.member.token).await.status, 200);
}
