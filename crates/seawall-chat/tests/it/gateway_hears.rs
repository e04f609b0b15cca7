//! Who hears what: order, intents, permissions, compression, members, presence.

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::gateway_making::{ALL, Client, Process, call, guild, join, ok, person, say};

const CONTENT: u64 = 1 << 15;

#[tokio::test]
async fn what_is_said_is_heard_in_order_by_all_whatever_their_compression() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let (ann, ben) = (person(p.addr, "ann").await, person(p.addr, "ben").await);
    let place = guild(p.addr, &ann).await;
    join(p.addr, &place, &ben).await;
    let json = "?v=10&encoding=json";
    let mut clients = Vec::new();
    for query in [json, "?v=10&compress=zlib-stream", "?v=10&compress=zstd-stream"] {
        clients.push(Client::with_query(p.addr, &ben, ALL, query).await);
    }
    for n in 0..50 {
        say(p.addr, &place, &ann, &format!("{n} {}", "x".repeat(n * 20))).await;
    }
    for client in &mut clients {
        for n in 0..50 {
            let d = client.dispatch("MESSAGE_CREATE").await;
            assert_eq!(d["content"], format!("{n} {}", "x".repeat(n * 20)));
            assert_eq!((&d["guild_id"], &d["author"]["id"]), (&json!(place.guild), &json!(ann.id)));
        }
        client.beat().await;
    }
}

#[tokio::test]
async fn without_the_intents_there_is_silence_and_without_content_there_are_no_words() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let (ann, ben) = (person(p.addr, "ann").await, person(p.addr, "ben").await);
    let place = guild(p.addr, &ann).await;
    join(p.addr, &place, &ben).await;
    let mut all = Client::with(p.addr, &ben, ALL).await;
    let mut blank = Client::with(p.addr, &ben, ALL & !CONTENT).await;
    let mut deaf = Client::with(p.addr, &ben, 1).await;
    let mut author = Client::with(p.addr, &ann, ALL & !CONTENT).await;
    say(p.addr, &place, &ann, "words").await;
    say(p.addr, &place, &ann, &format!("for <@{}>", ben.id)).await;
    assert_eq!(all.dispatch("MESSAGE_CREATE").await["content"], "words");
    assert_eq!(blank.dispatch("MESSAGE_CREATE").await["content"], "");
    assert_eq!(blank.dispatch("MESSAGE_CREATE").await["content"], format!("for <@{}>", ben.id));
    assert_eq!(author.dispatch("MESSAGE_CREATE").await["content"], "words");
    assert!(deaf.beat().await.is_empty());
}

#[tokio::test]
async fn a_hidden_channel_is_heard_by_nobody_it_is_hidden_from() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let (ann, ben) = (person(p.addr, "ann").await, person(p.addr, "ben").await);
    let place = guild(p.addr, &ann).await;
    join(p.addr, &place, &ben).await;
    let mut client = Client::with(p.addr, &ben, ALL).await;
    let path = format!("v10/channels/{}/permissions/{}", place.channel, place.guild);
    let hide = json!({"type": 0, "deny": "1024", "allow": "0"});
    ok(p.addr, "PUT", &path, &ann.token, hide).await;
    say(p.addr, &place, &ann, "hidden").await;
    ok(p.addr, "DELETE", &path, &ann.token, Value::Null).await;
    say(p.addr, &place, &ann, "shown").await;
    let heard = client.until("MESSAGE_CREATE").await;
    let names: Vec<_> = heard.iter().map(|(t, _)| t.as_str()).filter(|t| *t != "PRESENCE_UPDATE").collect();
    assert_eq!(names, ["CHANNEL_UPDATE", "CHANNEL_UPDATE", "MESSAGE_CREATE"]);
    assert_eq!(heard.last().unwrap().1["content"], "shown");
    // A session that begins while it is hidden begins so.
    ok(p.addr, "PUT", &path, &ann.token, json!({"type": 0, "deny": "1024", "allow": "0"})).await;
    let mut late = Client::with(p.addr, &ben, ALL & !(1 << 8)).await;
    say(p.addr, &place, &ann, "hidden again").await;
    assert!(late.beat().await.is_empty());
}

#[tokio::test]
async fn who_joins_gets_the_guild_and_who_is_removed_loses_it() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let (ann, ben) = (person(p.addr, "ann").await, person(p.addr, "ben").await);
    let mut owner = Client::with(p.addr, &ann, ALL).await;
    let mut client = Client::with(p.addr, &ben, ALL).await;
    let place = guild(p.addr, &ann).await;
    assert_eq!(owner.dispatch("GUILD_CREATE").await["id"], place.guild);
    join(p.addr, &place, &ben).await;
    let made = client.dispatch("GUILD_CREATE").await;
    assert_eq!((&made["id"], &made["member_count"]), (&json!(place.guild), &json!(2)));
    assert_eq!(owner.dispatch("GUILD_MEMBER_ADD").await["user"]["id"], ben.id);
    say(p.addr, &place, &ann, "welcome").await;
    assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], "welcome");
    let path = format!("v10/guilds/{}/members/{}", place.guild, ben.id);
    assert_eq!(call(p.addr, "DELETE", &path, &ann.token, Value::Null).await.0, 204);
    say(p.addr, &place, &ann, "secret").await;
    assert_eq!(owner.dispatch("GUILD_MEMBER_REMOVE").await["user"]["id"], ben.id);
    client.until("GUILD_DELETE").await;
    assert!(client.beat().await.is_empty());
}

#[tokio::test]
async fn parts_of_a_client_hear_of_their_own_guilds_only() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let ann = person(p.addr, "ann").await;
    let mut places = Vec::new();
    for _ in 0..6 {
        places.push(guild(p.addr, &ann).await);
    }
    let part = |place: &crate::gateway_making::Place| (place.guild.parse::<u64>().unwrap() >> 22) % 2;
    for id in [0, 1] {
        let mut client = Client::connect(p.addr, "?v=10").await;
        client.say(2, json!({"token": ann.token, "intents": ALL & !(1 << 8), "shard": [id, 2]})).await;
        let ready = client.ready().await;
        let own: Vec<_> = places.iter().filter(|place| part(place) == id).collect();
        assert_eq!(ready["guilds"].as_array().unwrap().len(), own.len());
        for _ in &own {
            client.dispatch("GUILD_CREATE").await;
        }
        for place in &places {
            say(p.addr, place, &ann, "x").await;
        }
        for place in &own {
            assert_eq!(client.dispatch("MESSAGE_CREATE").await["guild_id"], place.guild);
        }
        assert!(client.beat().await.is_empty());
    }
}

#[tokio::test]
async fn members_come_in_chunks_to_whoever_asked() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let (ann, ben) = (person(p.addr, "ann").await, person(p.addr, "ben").await);
    let place = guild(p.addr, &ann).await;
    let elsewhere = guild(p.addr, &ben).await;
    let mut client = Client::with(p.addr, &ann, ALL & !(1 << 8)).await;
    join(p.addr, &place, &ben).await;
    client.dispatch("GUILD_MEMBER_ADD").await;
    client.say(8, json!({"guild_id": elsewhere.guild, "query": "", "limit": 0, "nonce": "no"})).await;
    client.say(8, json!({"guild_id": place.guild, "query": "", "limit": 0, "nonce": "n"})).await;
    let chunk = client.dispatch("GUILD_MEMBERS_CHUNK").await;
    assert_eq!((&chunk["nonce"], &chunk["chunk_count"]), (&json!("n"), &json!(1)));
    assert_eq!(chunk["members"].as_array().unwrap().len(), 2);
    client.say(8, json!({"guild_id": place.guild, "query": "", "limit": 0, "nonce": "again"})).await;
    let limited = client.dispatch("RATE_LIMITED").await;
    assert_eq!(limited["meta"], json!({"guild_id": place.guild, "nonce": "again"}));
    assert!(limited["opcode"] == 8 && limited["retry_after"].as_f64().unwrap() <= 30.0, "{limited}");
    client.say(8, json!({"guild_id": place.guild, "user_ids": [ben.id, "1"], "presences": true})).await;
    let chunk = client.dispatch("GUILD_MEMBERS_CHUNK").await;
    assert_eq!((&chunk["members"][0]["user"]["id"], &chunk["not_found"]), (&json!(ben.id), &json!(["1"])));
    assert!(chunk["presences"].is_array());
}

#[tokio::test]
async fn presences_are_told_to_those_who_share_a_guild() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let (ann, ben) = (person(p.addr, "ann").await, person(p.addr, "ben").await);
    let place = guild(p.addr, &ann).await;
    join(p.addr, &place, &ben).await;
    let mut client = Client::with(p.addr, &ann, ALL).await;
    let of_ben = async |client: &mut Client, status: &str| {
        loop {
            let d = client.dispatch("PRESENCE_UPDATE").await;
            if d["user"]["id"] == ben.id && d["status"] == status {
                return d;
            }
        }
    };
    let mut other = Client::with(p.addr, &ben, ALL).await;
    of_ben(&mut client, "online").await;
    other.say(3, json!({"since": null, "status": "dnd", "afk": false, "activities": [{"name": "chess", "type": 0}]})).await;
    let d = of_ben(&mut client, "dnd").await;
    assert_eq!((&d["guild_id"], &d["activities"][0]["name"]), (&json!(place.guild), &json!("chess")));
    let mut late = Client::connect(p.addr, "?v=10").await;
    late.identify(&ann, ALL).await;
    let made = late.dispatch("GUILD_CREATE").await;
    let shown = made["presences"].as_array().unwrap();
    assert!(shown.iter().any(|d| d["user"]["id"] == ben.id && d["status"] == "dnd"), "{shown:?}");
    other.close(1000).await;
    of_ben(&mut client, "offline").await;
}

#[tokio::test]
async fn typing_and_direct_messages_arrive() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let (ann, ben) = (person(p.addr, "ann").await, person(p.addr, "ben").await);
    let place = guild(p.addr, &ann).await;
    join(p.addr, &place, &ben).await;
    let mut client = Client::with(p.addr, &ben, ALL).await;
    ok(p.addr, "POST", &format!("v10/channels/{}/typing", place.channel), &ann.token, Value::Null).await;
    assert_eq!(client.dispatch("TYPING_START").await["user_id"], ann.id);
    let direct =
        ok(p.addr, "POST", "v10/users/@me/channels", &ann.token, json!({"recipient_id": ben.id})).await;
    let path = format!("v10/channels/{}/messages", direct["id"].as_str().unwrap());
    ok(p.addr, "POST", &path, &ann.token, json!({"content": "psst"})).await;
    let d = client.dispatch("MESSAGE_CREATE").await;
    assert_eq!((&d["content"], &d["channel_id"]), (&json!("psst"), &direct["id"]));
    assert!(d.get("guild_id").is_none());
}
