//! History page by page, and messages that are sent twice.

use serde_json::{Value, json};

use crate::rest_making::{Chat, chat, text, world};

async fn page(chat: &Chat, channel: &str, token: &str, query: &str) -> Vec<String> {
    let answer = chat.get(&format!("/channels/{channel}/messages?{query}"), token).await.ok();
    answer.as_array().unwrap().iter().map(|m| text(&m["id"])).collect()
}

#[tokio::test]
async fn pages_before_after_and_around() {
    let chat = chat().await;
    let world = world(&chat).await;
    let (c, me) = (&world.general, &world.owner.token);
    let mut all = Vec::new();
    for n in 0..120 {
        all.push(chat.say(c, me, &n.to_string()).await);
    }
    // Of another channel; it must not show.
    chat.say(&world.hidden, me, "elsewhere").await;
    let newest = |from: usize, to: usize| all[from..to].iter().rev().cloned().collect::<Vec<_>>();
    assert_eq!(page(&chat, c, me, "").await, newest(70, 120), "50 unless asked for another number");
    assert_eq!(page(&chat, c, me, "limit=100").await, newest(20, 120));
    assert_eq!(page(&chat, c, me, "limit=1").await, newest(119, 120));
    assert_eq!(page(&chat, c, me, &format!("limit=10&before={}", all[50])).await, newest(40, 50));
    assert_eq!(page(&chat, c, me, &format!("limit=10&after={}", all[50])).await, newest(51, 61));
    assert_eq!(page(&chat, c, me, &format!("limit=11&around={}", all[50])).await, newest(45, 56));
    assert_eq!(page(&chat, c, me, &format!("before={}", all[0])).await, [] as [&str; 0]);
    assert_eq!(page(&chat, c, me, &format!("after={}", all[119])).await, [] as [&str; 0]);
    assert_eq!(page(&chat, c, me, "after=0&limit=3").await, newest(0, 3), "from the beginning");
    assert_eq!(page(&chat, c, me, "before=9223372036854775807&limit=3").await, newest(117, 120));

    // Walking back, as libraries do, meets each message once.
    let mut walked = Vec::new();
    let mut query = "limit=7".to_owned();
    loop {
        let ids = page(&chat, c, me, &query).await;
        let Some(last) = ids.last() else { break };
        query = format!("limit=7&before={last}");
        walked.extend(ids);
    }
    assert_eq!(walked, newest(0, 120));

    let gone = json!({ "messages": all[10..20] });
    assert_eq!(chat.call("POST", &format!("/channels/{c}/messages/bulk-delete"), me, gone).await.status, 204);
    assert_eq!(page(&chat, c, me, &format!("limit=2&before={}", all[20])).await, newest(8, 10));
}

#[tokio::test]
async fn a_nonce_that_is_enforced_is_one_message() {
    let chat = chat().await;
    let world = world(&chat).await;
    let path = format!("/channels/{}/messages", world.general);
    let say = async |token: &str, body: Value| chat.call("POST", &path, token, body).await.ok();
    let (me, other) = (&world.owner.token, &world.member.token);
    let once = json!({ "content": "once", "nonce": "n-1", "enforce_nonce": true });
    let first = say(me, once.clone()).await;
    let again = say(me, once.clone()).await;
    assert_eq!((&first["id"], &first["nonce"]), (&again["id"], &again["nonce"]));
    let other_words = json!({ "content": "other words", "nonce": "n-1", "enforce_nonce": true });
    let same = say(me, other_words).await;
    assert_eq!((&same["id"], &same["content"]), (&first["id"], &json!("once")), "the nonce decides");
    assert_ne!(say(other, once).await["id"], first["id"], "of another author");
    let number = json!({ "content": "x", "nonce": 7, "enforce_nonce": true });
    assert_eq!(say(me, number.clone()).await["id"], say(me, number).await["id"]);
    let free = json!({ "content": "x", "nonce": "n-2" });
    assert_ne!(say(me, free.clone()).await["id"], say(me, free).await["id"], "not asked for");
    let none = json!({ "content": "x", "enforce_nonce": true });
    assert_ne!(say(me, none.clone()).await["id"], say(me, none).await["id"], "no nonce");
    assert_eq!(page(&chat, &world.general, me, "").await.len(), 7);
}

#[tokio::test]
async fn many_at_once_with_one_nonce_are_one() {
    let chat = chat().await;
    let world = world(&chat).await;
    let path = format!("/channels/{}/messages", world.general);
    let body = json!({ "content": "once", "nonce": "together", "enforce_nonce": true });
    let say = || chat.call("POST", &path, &world.owner.token, body.clone());
    let (a, b, c, d) = tokio::join!(say(), say(), say(), say());
    let ids = [a, b, c, d].map(|answer| text(&answer.ok()["id"]));
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(page(&chat, &world.general, &world.owner.token, "").await.len(), 1);
}

#[tokio::test]
async fn without_the_right_to_read_history_it_is_empty() {
    let chat = chat().await;
    let world = world(&chat).await;
    let (c, me, theirs) = (&world.general, &world.owner.token, &world.member.token);
    let id = chat.say(c, me, "before you").await;
    chat.call("PUT", &format!("/channels/{c}/pins/{id}"), me, Value::Null).await.ok();
    let deny = json!({ "type": 0, "deny": (1 << 16).to_string() });
    chat.call("PUT", &format!("/channels/{c}/permissions/{}", world.guild), me, deny).await.ok();
    assert_eq!(page(&chat, c, theirs, "").await, [] as [&str; 0]);
    assert_eq!(chat.get(&format!("/channels/{c}/pins"), theirs).await.ok(), json!([]));
    for message in [id.as_str(), "1"] {
        let one = format!("/channels/{c}/messages/{message}");
        assert_eq!(chat.get(&one, theirs).await.code(), (403, Some(50013)));
        let reactions = format!("{one}/reactions/%F0%9F%94%A5");
        assert_eq!(chat.get(&reactions, theirs).await.code(), (403, Some(50013)), "there or not");
    }
    assert_eq!(page(&chat, c, me, "").await, [id]);
}

#[tokio::test]
async fn direct_messages_are_between_two() {
    let chat = chat().await;
    let world = world(&chat).await;
    let (d, theirs) = (&world.direct, &world.member.token);
    let id = chat.say(d, theirs, "between us").await;
    assert_eq!(page(&chat, d, theirs, "").await, std::slice::from_ref(&id));
    let channel = chat.get(&format!("/channels/{d}"), theirs).await.ok();
    assert_eq!(channel["last_message_id"], id.as_str());
    for token in [&world.owner.token, &world.outsider.token] {
        for path in [
            format!("/channels/{d}"),
            format!("/channels/{d}/messages"),
            format!("/channels/{d}/messages/{id}"),
        ] {
            assert_eq!(chat.get(&path, token).await.code(), (404, Some(10003)), "{path}");
        }
        let answer =
            chat.call("POST", &format!("/channels/{d}/messages"), token, json!({ "content": "x" })).await;
        assert_eq!(answer.code(), (404, Some(10003)));
    }
}
