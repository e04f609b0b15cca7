//! Bodies as they should not be: each answered for what is wrong with it, and the server goes on.

use serde_json::{Value, json};

use crate::rest_making::{Answer, Chat, World, chat, world};

async fn post(chat: &Chat, world: &World, kind: &str, body: &[u8]) -> Answer {
    let headers = format!("Authorization: Bot {}\r\nContent-Type: {kind}\r\n", world.owner.token);
    chat.raw("POST", &format!("/api/v10/channels/{}/messages", world.general), &headers, body).await
}

/// The paths that are wrong, each with its code.
fn wrong(answer: &Answer) -> Vec<(String, String)> {
    let document = answer.json();
    assert_eq!((answer.status, &document["code"]), (400, &json!(50035)), "{answer:?}");
    assert_eq!(document["message"], "Invalid Form Body");
    let mut found = Vec::new();
    collect("", &document["errors"], &mut found);
    assert!(!found.is_empty(), "{document}");
    found
}

fn collect(path: &str, at: &Value, found: &mut Vec<(String, String)>) {
    for (key, value) in at.as_object().unwrap() {
        if key == "_errors" {
            for error in value.as_array().unwrap() {
                assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{error}");
                found.push((path.to_owned(), error["code"].as_str().unwrap().to_owned()));
            }
        } else {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            collect(&inner, value, found);
        }
    }
}

#[tokio::test]
async fn what_is_no_json_is_said_to_be_none() {
    let chat = chat().await;
    let world = world(&chat).await;
    let deep = |n: usize| format!("{{\"embeds\":{}{}}}", "[".repeat(n), "]".repeat(n)).into_bytes();
    for (name, body) in [
        ("cut off", b"{\"content\":\"x".to_vec()),
        ("two", b"{} {}".to_vec()),
        ("not a number", b"{\"content\":\"x\",\"flags\":NaN}".to_vec()),
        ("a number beyond all", b"{\"content\":\"x\",\"flags\":1e999}".to_vec()),
        ("half a character", b"{\"content\":\"\\ud800\"}".to_vec()),
        ("a raw control character", b"{\"content\":\"a\x00b\"}".to_vec()),
        ("not UTF-8", b"{\"content\":\"\xff\xfe\"}".to_vec()),
        ("deep", deep(100)),
        ("deeper than any stack", deep(500_000)),
        ("only open", vec![b'['; 1 << 20]),
        ("words", b"content=hi".to_vec()),
    ] {
        let answer = post(&chat, &world, "application/json", &body).await;
        assert_eq!(answer.code(), (400, Some(50109)), "{name}: {answer:?}");
    }
    let all = chat.get(&format!("/channels/{}/messages", world.general), &world.owner.token).await.ok();
    assert_eq!(all, json!([]), "nothing was said by any of it");
}

#[tokio::test]
async fn wrong_fields_are_named_with_their_paths() {
    let chat = chat().await;
    let world = world(&chat).await;
    let (c, g) = (&world.general, &world.guild);
    let messages = format!("/channels/{c}/messages");
    let long = |n: usize| "x".repeat(n);
    let table = [
        ("POST", messages.clone(), json!({ "content": long(2001) }), "content", "BASE_TYPE_MAX_LENGTH"),
        ("POST", messages.clone(), json!({ "content": 5 }), "content", "STRING_TYPE_CONVERT"),
        ("POST", messages.clone(), json!({ "content": "a\0b" }), "content", "STRING_TYPE_CONTROL"),
        (
            "POST",
            messages.clone(),
            json!({ "content": "x", "nonce": long(26) }),
            "nonce",
            "NONCE_TYPE_TOO_LONG",
        ),
        ("POST", messages.clone(), json!({ "content": "x", "nonce": 1.5 }), "nonce", "NONCE_TYPE_TOO_LONG"),
        (
            "POST",
            messages.clone(),
            json!({ "content": "x", "enforce_nonce": 1 }),
            "enforce_nonce",
            "BOOLEAN_TYPE_CONVERT",
        ),
        (
            "POST",
            messages.clone(),
            json!({ "embeds": vec![json!({}); 11] }),
            "embeds",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            "POST",
            messages.clone(),
            json!({ "embeds": [{ "title": long(257) }] }),
            "embeds.0.title",
            "BASE_TYPE_MAX_LENGTH",
        ),
        ("POST", messages.clone(), json!({ "content": "x", "flags": -1 }), "flags", "NUMBER_TYPE_MIN"),
        (
            "POST",
            messages.clone(),
            json!({ "content": "x", "components": [5] }),
            "components.0",
            "MODEL_TYPE_CONVERT",
        ),
        (
            "POST",
            messages.clone(),
            json!({ "content": "x", "message_reference": { "message_id": "x" } }),
            "message_reference.message_id",
            "NUMBER_TYPE_COERCE",
        ),
        (
            "POST",
            messages.clone(),
            json!({ "content": "x", "message_reference": { "message_id": "5" } }),
            "message_reference",
            "REPLIES_UNKNOWN_MESSAGE",
        ),
        (
            "POST",
            messages.clone(),
            json!({ "content": "x", "message_reference": { "message_id": "5", "channel_id": "6" } }),
            "message_reference.channel_id",
            "REPLIES_CANNOT_REFERENCE_OTHER_CHANNEL",
        ),
        (
            "POST",
            messages.clone(),
            json!({ "content": "x", "allowed_mentions": { "parse": ["all"] } }),
            "allowed_mentions.parse.0",
            "BASE_TYPE_CHOICES",
        ),
        (
            "POST",
            messages.clone(),
            json!({ "content": "x", "attachments": [{ "id": 0 }] }),
            "attachments",
            "FILES_NOT_SUPPORTED",
        ),
        ("POST", messages.clone(), json!([]), "", "MODEL_TYPE_CONVERT"),
        ("POST", format!("{messages}/bulk-delete"), json!({}), "messages", "BASE_TYPE_REQUIRED"),
        (
            "POST",
            format!("{messages}/bulk-delete"),
            json!({ "messages": ["1", {}] }),
            "messages.1",
            "NUMBER_TYPE_COERCE",
        ),
        ("GET", format!("{messages}?limit=0"), json!(null), "limit", "NUMBER_TYPE_MIN"),
        ("GET", format!("{messages}?limit=101"), json!(null), "limit", "NUMBER_TYPE_MAX"),
        ("GET", format!("{messages}?limit=x"), json!(null), "limit", "NUMBER_TYPE_COERCE"),
        ("GET", format!("{messages}?before=x"), json!(null), "before", "NUMBER_TYPE_COERCE"),
        ("GET", "/channels/abc".to_owned(), json!(null), "channel_id", "NUMBER_TYPE_COERCE"),
        ("GET", "/channels/-5".to_owned(), json!(null), "channel_id", "NUMBER_TYPE_COERCE"),
        ("GET", "/guilds/99999999999999999999".to_owned(), json!(null), "guild_id", "NUMBER_TYPE_COERCE"),
        ("GET", format!("/guilds/{g}/members?limit=1001"), json!(null), "limit", "NUMBER_TYPE_MAX"),
        ("GET", format!("/guilds/{g}/members/search"), json!(null), "query", "BASE_TYPE_REQUIRED"),
        ("POST", "/guilds".to_owned(), json!({}), "name", "BASE_TYPE_REQUIRED"),
        ("POST", "/guilds".to_owned(), json!({ "name": "x" }), "name", "BASE_TYPE_BAD_LENGTH"),
        ("POST", "/guilds".to_owned(), json!({ "name": "a\nb" }), "name", "STRING_TYPE_CONTROL"),
        ("POST", format!("/guilds/{g}/channels"), json!({}), "name", "BASE_TYPE_REQUIRED"),
        ("POST", format!("/guilds/{g}/channels"), json!({ "name": "" }), "name", "BASE_TYPE_REQUIRED"),
        (
            "POST",
            format!("/guilds/{g}/channels"),
            json!({ "name": "x", "type": 15 }),
            "type",
            "BASE_TYPE_CHOICES",
        ),
        ("PATCH", format!("/channels/{c}"), json!({ "topic": long(1025) }), "topic", "BASE_TYPE_MAX_LENGTH"),
        (
            "PATCH",
            format!("/channels/{c}"),
            json!({ "rate_limit_per_user": 21601 }),
            "rate_limit_per_user",
            "NUMBER_TYPE_MAX",
        ),
        (
            "PATCH",
            format!("/channels/{c}"),
            json!({ "permission_overwrites": [{ "id": "1" }] }),
            "permission_overwrites.0.type",
            "BASE_TYPE_REQUIRED",
        ),
        (
            "PUT",
            format!("/channels/{c}/permissions/{g}"),
            json!({ "type": 0, "allow": "x" }),
            "allow",
            "PERMISSIONS_TYPE_CONVERT",
        ),
        ("POST", format!("/guilds/{g}/roles"), json!({ "color": 0x100_0000 }), "color", "NUMBER_TYPE_MAX"),
        ("PATCH", format!("/guilds/{g}/roles"), json!([{ "position": 1 }]), "0.id", "BASE_TYPE_REQUIRED"),
        ("PATCH", format!("/guilds/{g}/roles"), json!({}), "", "LIST_TYPE_CONVERT"),
        (
            "PATCH",
            format!("/guilds/{g}/members/@me"),
            json!({ "nick": long(33) }),
            "nick",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            "PATCH",
            format!("/guilds/{g}/members/{}", world.member.id),
            json!({ "roles": [1.5] }),
            "roles.0",
            "NUMBER_TYPE_COERCE",
        ),
        ("PATCH", "/users/@me".to_owned(), json!({ "username": "x" }), "username", "BASE_TYPE_BAD_LENGTH"),
        (
            "PATCH",
            "/users/@me".to_owned(),
            json!({ "username": "member" }),
            "username",
            "USERNAME_ALREADY_TAKEN",
        ),
        ("POST", "/users/@me/channels".to_owned(), json!({}), "recipient_id", "BASE_TYPE_REQUIRED"),
        (
            "POST",
            format!("/channels/{c}/invites"),
            json!({ "max_age": 604_801 }),
            "max_age",
            "NUMBER_TYPE_MAX",
        ),
        ("POST", format!("/channels/{c}/invites"), json!({ "max_uses": 101 }), "max_uses", "NUMBER_TYPE_MAX"),
        (
            "PUT",
            format!("/guilds/{g}/bans/{}", world.member.id),
            json!({ "delete_message_seconds": 604_801 }),
            "delete_message_seconds",
            "NUMBER_TYPE_MAX",
        ),
    ];
    for (method, path, body, at, code) in table {
        let answer = chat.call(method, &path, &world.owner.token, body.clone()).await;
        assert_eq!(wrong(&answer), [(at.to_owned(), code.to_owned())], "{method} {path} {body}");
    }
    let two = json!({ "content": long(2001), "nonce": long(26) });
    let answer = chat.call("POST", &messages, &world.owner.token, two).await;
    assert_eq!(wrong(&answer).len(), 2, "all at once");
}

#[tokio::test]
async fn what_libraries_send_besides_is_put_up_with() {
    let chat = chat().await;
    let world = world(&chat).await;
    let (c, me) = (&world.general, &world.owner.token);
    let body = json!({
        "content": "hi", "tts": false, "embeds": null, "nonce": null, "sticker_ids": [], "poll": null, "unheard_of": {},
        "allowed_mentions": { "parse": ["users"], "replied_user": false }, "flags": 4096.0, "attachments": [],
        "message_reference": null, "components": null,
    });
    let said = chat.call("POST", &format!("/channels/{c}/messages"), me, body).await.ok();
    assert_eq!((&said["content"], &said["flags"]), (&json!("hi"), &json!(4096)));
    // Exactly as long as allowed, in characters and not in bytes.
    let long = "ä".repeat(2000);
    let said =
        chat.call("POST", &format!("/channels/{c}/messages"), me, json!({ "content": long })).await.ok();
    assert_eq!(said["content"], long);
    // serenity begins queries like this.
    let page = chat.get(&format!("/channels/{c}/messages?&limit=1&x=&before="), me).await.ok();
    assert_eq!(page.as_array().unwrap().len(), 1);
    let headers = format!("Authorization: Bot {me}\r\nX-Audit-Log-Reason: %20because\r\n");
    let typing = format!("/api/v10/channels/{c}/typing");
    assert_eq!(chat.raw("POST", &typing, &headers, b"").await.status, 204);
    assert_eq!(chat.raw("POST", &typing, &headers, b"not even JSON").await.status, 204, "nobody reads it");
}

#[tokio::test]
async fn forms_carry_json_and_files_are_refused() {
    let chat = chat().await;
    let world = world(&chat).await;
    let kind = "multipart/form-data; boundary=----x";
    let part = |name: &str, content: &str| {
        format!("------x\r\nContent-Disposition: form-data; {name}\r\n\r\n{content}\r\n")
    };
    let payload = part("name=\"payload_json\"", r#"{"content":"from a form","nonce":"5"}"#);
    let said = post(&chat, &world, kind, format!("{payload}------x--\r\n").as_bytes()).await.ok();
    assert_eq!((&said["content"], &said["nonce"]), (&json!("from a form"), &json!("5")));

    let file = part("name=\"files[0]\"; filename=\"a.png\"", "\u{1}\u{2}");
    let answer = post(&chat, &world, kind, format!("{payload}{file}------x--\r\n").as_bytes()).await;
    assert_eq!(wrong(&answer), [("attachments".to_owned(), "FILES_NOT_SUPPORTED".to_owned())]);
    let huge = part("name=\"files[0]\"; filename=\"a.png\"", &"x".repeat(2 << 20));
    let answer = post(&chat, &world, kind, format!("{payload}{huge}------x--\r\n").as_bytes()).await;
    assert_eq!(answer.code(), (413, Some(40005)));
    for odd in ["", "------x\r\n", "------x--", "----x"] {
        let answer = post(&chat, &world, kind, odd.as_bytes()).await;
        assert_eq!(answer.status, 400, "{odd:?}: {answer:?}");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let answer = post(&chat, &world, kind, b"{\"content\":\"x\"}").await;
        assert_eq!(wrong(&answer)[0].1, "CONTENT_TYPE_INVALID", "{kind}");
    }
    let page = chat.get(&format!("/channels/{}/messages", world.general), &world.owner.token).await.ok();
    assert_eq!(page.as_array().unwrap().len(), 1);
}
