//! Discord's search route: what it shows, to whom, and what it makes of anything one may write into its query.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::rest_making::{Answer, Chat, World, chat, text, world};
use crate::search::eventually;

async fn search(chat: &Chat, world: &World, token: &str, query: &str) -> Answer {
    chat.get(&format!("/guilds/{}/messages/search?{query}", world.guild), token).await
}

/// The ids of what is found, having looked at the shape of the answer.
async fn found(chat: &Chat, world: &World, token: &str, query: &str) -> Vec<String> {
    let answer = search(chat, world, token, query).await.ok();
    assert_eq!(answer["doing_deep_historical_index"], false);
    let messages = answer["messages"].as_array().unwrap();
    assert_eq!(answer["total_results"], messages.len(), "{query}");
    messages.iter().map(|group| text(&group[0]["id"])).collect()
}

fn escaped(raw: &str) -> String {
    raw.bytes().fold(String::new(), |mut all, byte| {
        write!(all, "%{byte:02X}").unwrap();
        all
    })
}

/// Waits until the index has so many messages that the guild's owner may read; before that it says that there is none.
async fn settled(chat: &Chat, world: &World, messages: usize) {
    let words = json!({
        "message": "Index not yet available. Try again later",
        "code": 110_000,
        "documents_indexed": 0,
        "retry_after": 2,
    });
    eventually(async || {
        let answer = search(chat, world, &world.owner.token, "").await;
        if answer.status == 202 {
            assert_eq!(answer.json(), words);
        }
        answer.json()["total_results"] == messages
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_shown_as_everywhere_else() {
    let chat = chat().await;
    let world = world(&chat).await;
    let (c, me, theirs) = (&world.general, &world.owner.token, &world.member.token);
    let first = chat.say(c, theirs, "gears of brass").await;
    let second = chat.say(c, me, "more gears").await;
    settled(&chat, &world, 2).await;
    assert_eq!(found(&chat, &world, me, "content=gears").await, [second.as_str(), first.as_str()]);
    assert_eq!(
        found(&chat, &world, me, "content=gears&sort_order=asc").await,
        [first.as_str(), second.as_str()]
    );
    assert_eq!(found(&chat, &world, me, &format!("author_id={}", world.member.id)).await, [first.as_str()]);
    let both = format!("author_id={}&author_id={}", world.member.id, world.owner.id);
    assert_eq!(found(&chat, &world, me, &both).await, [second.as_str(), first.as_str()]);
    assert_eq!(found(&chat, &world, me, "has=-link&author_type=bot&pinned=false").await.len(), 2);
    assert_eq!(found(&chat, &world, me, &format!("max_id={second}")).await, [first.as_str()]);
    let fire = format!("/channels/{c}/messages/{first}/reactions/%F0%9F%94%A5/@me");
    chat.call("PUT", &fire, me, Value::Null).await.ok();
    let shown = search(&chat, &world, me, "content=brass").await.ok();
    let message = chat.get(&format!("/channels/{c}/messages/{first}"), me).await.ok();
    assert_eq!(message["reactions"][0]["me"], true);
    assert_eq!(shown["messages"], json!([[message]]), "read from the store, for this reader");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_caller_may_not_read_is_not_even_counted() {
    let chat = chat().await;
    let world = world(&chat).await;
    let (me, theirs) = (&world.owner.token, &world.member.token);
    let open = chat.say(&world.general, me, "gears in the open").await;
    let secret = chat.say(&world.hidden, me, "gears in secret").await;
    chat.say(&world.direct, theirs, "gears between us").await;
    settled(&chat, &world, 2).await;
    assert_eq!(found(&chat, &world, me, "content=gears").await, [secret.as_str(), open.as_str()]);
    for query in [
        "content=gears".to_owned(),
        String::new(),
        format!("channel_id={}&channel_id={}", world.hidden, world.general),
        format!("author_id={}", world.owner.id),
        "sort_by=relevance&content=gears".to_owned(),
    ] {
        assert_eq!(found(&chat, &world, theirs, &query).await, [open.as_str()], "{query}");
    }
    for channel in [&world.hidden, &world.direct, &"1".to_owned()] {
        let none: [&str; 0] = [];
        assert_eq!(found(&chat, &world, theirs, &format!("channel_id={channel}")).await, none);
    }
    // Who may see a channel, and not what was said before, finds nothing there.
    let deny = json!({ "type": 0, "deny": (1 << 16).to_string() });
    let overwrite = format!("/channels/{}/permissions/{}", world.general, world.guild);
    chat.call("PUT", &overwrite, me, deny).await.ok();
    assert_eq!(found(&chat, &world, theirs, "content=gears").await, [] as [&str; 0]);
    let stranger = search(&chat, &world, &world.outsider.token, "content=gears").await;
    assert_eq!(stranger.code(), (404, Some(10004)));
    assert_eq!(search(&chat, &world, "", "content=gears").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_parameter_has_its_bounds() {
    let chat = chat().await;
    let world = world(&chat).await;
    settled(&chat, &world, 0).await;
    let me = &world.owner.token;
    let many = |name: &str, count: usize| vec![format!("{name}=7"); count].join("&");
    for fine in [
        "limit=1",
        "limit=25",
        "offset=0",
        "offset=9975",
        "sort_by=timestamp&sort_order=asc",
        "sort_by=relevance",
        "pinned=true",
        "pinned=False",
        "content=",
        "has=link&has=-embed&has=file&has=image&has=video&has=sound&has=sticker&has=poll&has=snapshot",
        "author_type=-webhook",
        "min_id=0&max_id=9223372036854775807",
        "unknown=1",
        &many("author_id", 100),
        &many("mentions", 100),
        &format!("content={}", "a".repeat(1024)),
    ] {
        assert_eq!(search(&chat, &world, me, fine).await.code(), (200, None), "{fine}");
    }
    for (bad, key, code) in [
        ("limit=0", "limit", "NUMBER_TYPE_MIN"),
        ("limit=26", "limit", "NUMBER_TYPE_MAX"),
        ("limit=-1", "limit", "NUMBER_TYPE_MIN"),
        ("limit=x", "limit", "NUMBER_TYPE_COERCE"),
        ("offset=9976", "offset", "NUMBER_TYPE_MAX"),
        ("offset=99999999999999999999", "offset", "NUMBER_TYPE_COERCE"),
        ("sort_by=age", "sort_by", "BASE_TYPE_CHOICES"),
        ("sort_order=up", "sort_order", "BASE_TYPE_CHOICES"),
        ("pinned=perhaps", "pinned", "BOOLEAN_TYPE_CONVERT"),
        ("min_id=-1", "min_id", "NUMBER_TYPE_COERCE"),
        ("max_id=9223372036854775808", "max_id", "NUMBER_TYPE_COERCE"),
        (&many("author_id", 101), "author_id", "BASE_TYPE_MAX_LENGTH"),
        (&many("mentions", 101), "mentions", "BASE_TYPE_MAX_LENGTH"),
        (&many("channel_id", 501), "channel_id", "BASE_TYPE_MAX_LENGTH"),
        (&format!("content={}", "a".repeat(1025)), "content", "BASE_TYPE_MAX_LENGTH"),
    ] {
        let answer = search(&chat, &world, me, bad).await;
        assert_eq!(answer.code(), (400, Some(50035)), "{bad}");
        assert_eq!(answer.json()["errors"][key]["_errors"][0]["code"], code, "{bad}");
    }
    let wrong =
        search(&chat, &world, me, "has=link&has=gold&author_id=1&author_id=x&author_type=ghost").await.json();
    for (key, at) in [("has", "1"), ("author_id", "1"), ("author_type", "0")] {
        assert!(wrong["errors"][key][at]["_errors"][0]["code"].is_string(), "{key} in {wrong}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_searched_for_is_text() {
    let chat = chat().await;
    let world = world(&chat).await;
    let (c, me) = (&world.general, &world.owner.token);
    let said = chat.say(c, me, "(gear AND brass) OR \"NOT content:x\" 50% c++ [a TO z]").await;
    settled(&chat, &world, 1).await;
    for content in [
        "gear",
        "AND",
        "\"gear",
        "content:x",
        "[a TO z]",
        "50%",
        "c++",
        "gear^50",
        "(brass",
        "-NOT",
        "+gear~x",
    ] {
        let query = format!("content={}", escaped(content));
        assert_eq!(found(&chat, &world, me, &query).await, [said.as_str()], "{content}");
    }
    let long = "a b ".repeat(256);
    let wide = "\u{10FFFF}".repeat(1024);
    for content in [
        "*",
        "gear*",
        "gear^5",
        "gear~2",
        "-gear -",
        "guild:1",
        "\\",
        "'; DROP TABLE chat_messages; --",
        "a:b:c:d",
        "\u{0}",
        "{}",
        "/.*/",
        "IN [",
        "\"\"\"",
        "&&||!",
        "\u{202e}\u{feff}",
        "NOT NOT NOT (",
        long.as_str(),
        wide.as_str(),
    ] {
        let answer = search(&chat, &world, me, &format!("content={}", escaped(content))).await;
        assert_eq!(answer.status, 200, "{content}: {answer:?}");
    }
    // Bytes that are no text: the query is not read at all, or read as it can be.
    assert!(search(&chat, &world, me, "content=%FF%FE&limit=1").await.status < 500);
    assert!(search(&chat, &world, me, &"has=link&".repeat(2000)).await.status < 500);
}
