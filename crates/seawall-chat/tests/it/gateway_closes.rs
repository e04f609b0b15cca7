//! Every way a connection ends, and that it ends for nobody else.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::gateway_making::{ALL, Client, HANG, Person, Process, call, config, guild, join, ok, person, say};

const JSON: &str = "?v=10&encoding=json";

#[tokio::test]
async fn each_mistake_has_its_code_and_disturbs_nobody() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let (ann, ben) = (person(p.addr, "ann").await, person(p.addr, "ben").await);
    let place = guild(p.addr, &ann).await;
    let mut other = Client::with(p.addr, &ann, ALL).await;

    let deep = format!(r#"{{"op":2,"d":{}{}}}"#, "[".repeat(1900), "]".repeat(1900));
    let identify = |d: Value| Message::text(json!({"op": 2, "d": d}).to_string());
    let token = &ben.token;
    for (code, message) in [
        (4001, Message::text(r#"{"op":99,"d":null}"#)),
        (4002, Message::text("no json")),
        (4002, Message::text(deep)),
        (4002, Message::binary(vec![1, 2, 3])),
        (4002, Message::text(format!(r#"{{"op":1,"d":null,"x":"{}"}}"#, "x".repeat(4096)))),
        (4002, identify(json!({"token": token}))),
        (4003, Message::text(r#"{"op":3,"d":{"status":"online"}}"#)),
        (4003, Message::text(r#"{"op":8,"d":{"guild_id":"1","query":"","limit":0}}"#)),
        (4004, identify(json!({"token": "nobody's", "intents": 0}))),
        (4004, identify(json!({"token": format!("{token}x"), "intents": 0}))),
        (4010, identify(json!({"token": token, "intents": 0, "shard": [2, 2]}))),
        (4013, identify(json!({"token": token, "intents": 1_u64 << 40}))),
    ] {
        let mut client = Client::connect(p.addr, JSON).await;
        client.raw(message.clone()).await;
        assert_eq!(client.end().await, code, "{message:?}");
    }
    for query in ["?v=8", "?v=10&encoding=etf", "?v=10&compress=lz4"] {
        assert_eq!(Client::connect_raw(p.addr, query).await.end().await, 4012, "{query}");
    }
    for op in [2, 6] {
        let mut twice = Client::with(p.addr, &ben, ALL).await;
        twice.say(op, json!({"token": ben.token, "intents": 0})).await;
        assert_eq!(twice.end().await, 4005);
    }

    say(p.addr, &place, &ann, "still here").await;
    assert_eq!(other.dispatch("MESSAGE_CREATE").await["content"], "still here");
    assert!(p.metric(r#"seawall_chat_closes_total{code="4002"}"#) >= 5);
}

#[tokio::test]
async fn who_has_an_old_token_is_thrown_out_everywhere() {
    let data = tempdir().unwrap();
    let (p, q) = (Process::start(data.path()).await, Process::start(data.path()).await);
    let (ann, ben) = (person(p.addr, "ann").await, person(p.addr, "ben").await);
    let mut old = [Client::with(p.addr, &ben, ALL).await, Client::with(q.addr, &ben, ALL).await];
    let mut other = Client::with(p.addr, &ann, ALL).await;
    let away = Client::with(p.addr, &ben, ALL).await;
    let made = ok(p.addr, "POST", &format!("admin/users/{}/token", ben.id), "", Value::Null).await;
    for client in &mut old {
        assert_eq!(client.end().await, 4004);
    }
    let mut away = away.resume(q.addr, &ben).await;
    assert_eq!(away.end().await, 4004);
    other.beat().await;
    let renewed = Person { token: made["token"].as_str().unwrap().to_owned(), ..ben };
    Client::with(p.addr, &renewed, ALL).await.beat().await;
}

#[tokio::test]
async fn privileged_intents_can_be_withheld() {
    let data = tempdir().unwrap();
    let p =
        Process::start_with(data.path(), seawall_chat::Config { privileged_intents: false, ..config() }, &[])
            .await;
    let ann = person(p.addr, "ann").await;
    for (intents, code) in [(1 << 1, 4014), (1 << 8, 4014), (1 << 15, 4014)] {
        let mut client = Client::connect(p.addr, JSON).await;
        client.say(2, json!({"token": ann.token, "intents": intents})).await;
        assert_eq!(client.end().await, code);
    }
    Client::with(p.addr, &ann, 1).await;
}

#[tokio::test]
async fn more_than_120_events_in_a_minute_are_4008() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let ann = person(p.addr, "ann").await;
    let mut client = Client::with(p.addr, &ann, 0).await;
    for _ in 0..119 {
        client.say(1, Value::Null).await;
        assert_eq!(client.next().await["op"], 11);
    }
    client.say(1, Value::Null).await;
    assert_eq!(client.end().await, 4008);
}

#[tokio::test]
async fn silence_is_4000_before_identify_and_after() {
    let data = tempdir().unwrap();
    let quick = seawall_chat::Config { heartbeat_interval: Duration::from_secs(1), ..config() };
    let p = Process::start_with(data.path(), quick, &[]).await;
    let ann = person(p.addr, "ann").await;
    let mut silent = Client::connect(p.addr, JSON).await;
    let mut session = Client::with(p.addr, &ann, 0).await;
    let mut beating = Client::with(p.addr, &ann, 0).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(900)).await;
        beating.beat().await;
    }
    assert_eq!((silent.end().await, session.end().await), (4000, 4000));
    beating.beat().await;
}

#[tokio::test]
async fn broken_frames_are_closed_as_websocket_says() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    for (frame, code) in [
        // Unmasked, a reserved bit, a reserved opcode, text that is none.
        (&[0x81, 2, b'{', b'}'][..], 1002_u16),
        (&[0xc1, 0x80, 0, 0, 0, 0], 1002),
        (&[0x83, 0x80, 0, 0, 0, 0], 1002),
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
    ] {
        let mut socket = Client::connect(p.addr, JSON).await.into_socket();
        socket.write_all(frame).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(HANG, socket.read_to_end(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer[..1], [0x88], "{frame:x?}");
        assert_eq!(u16::from_be_bytes([answer[2], answer[3]]), code, "{frame:x?}");
    }
}

#[tokio::test]
async fn a_goodbye_with_1000_ends_the_session_and_any_other_keeps_it() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let ann = person(p.addr, "ann").await;
    for (code, stays) in [(1000, false), (1001, false), (4000, true), (3999, true)] {
        let mut client = Client::with(p.addr, &ann, ALL).await;
        assert_eq!(client.close(code).await, code);
        let mut again = client.resume(p.addr, &ann).await;
        let answer = again.next().await;
        if stays {
            assert_eq!(answer["t"], "RESUMED", "{code}");
        } else {
            assert_eq!((&answer["op"], &answer["d"]), (&json!(9), &json!(false)), "{code}");
        }
    }
}

#[tokio::test]
async fn heartbeats_come_before_identify_and_other_requests_beside_the_gateway() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let ann = person(p.addr, "ann").await;
    for query in ["?v=10", "/", "/?v=9&encoding=json", "g/3?v=10", ""] {
        let mut client = Client::connect(p.addr, query).await;
        client.say(1, Value::Null).await;
        assert_eq!(client.next().await["op"], 11, "{query}");
        client.identify(&ann, 0).await;
    }
    let mut plain = TcpStream::connect(p.addr).await.unwrap();
    plain.write_all(b"GET /-/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"ready\":true"), "{answer}");
    let (status, gateway) = call(p.addr, "GET", "v10/gateway", "", Value::Null).await;
    assert_eq!((status, &gateway["url"]), (200, &json!(format!("ws://{}", p.addr))));
}

#[tokio::test]
async fn too_many_new_sessions_are_told_to_wait() {
    let data = tempdir().unwrap();
    let p = Process::start_with(data.path(), seawall_chat::Config { identify_max: 2, ..config() }, &[]).await;
    let (ann, ben) = (person(p.addr, "ann").await, person(p.addr, "ben").await);
    for _ in 0..2 {
        Client::with(p.addr, &ann, 0).await;
    }
    let mut third = Client::connect(p.addr, JSON).await;
    third.say(2, json!({"token": ann.token, "intents": 0})).await;
    assert_eq!(third.next().await["op"], 9);
    Client::with(p.addr, &ben, 0).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    third.identify(&ann, 0).await;
}

#[tokio::test]
async fn who_left_a_guild_is_not_told_of_it() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let (ann, ben) = (person(p.addr, "ann").await, person(p.addr, "ben").await);
    let place = guild(p.addr, &ann).await;
    join(p.addr, &place, &ben).await;
    let mut client = Client::with(p.addr, &ben, ALL).await;
    let path = format!("v10/users/@me/guilds/{}", place.guild);
    let (status, _) = call(p.addr, "DELETE", &path, &ben.token, Value::Null).await;
    assert_eq!(status, 204);
    say(p.addr, &place, &ann, "secret").await;
    let heard = client.until("GUILD_DELETE").await;
    assert_eq!(heard.last().unwrap().1, json!({"id": place.guild}));
    assert!(client.beat().await.is_empty());
}
