//! The HTTP API over a socket: what it says, and that what is wrong changes nothing.

use std::fmt::Write;
use std::net::SocketAddr;

use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::making::{PATIENCE, Process, config};

struct Answer {
    status: u16,
    head: String,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}\n{}", self.head, self.text))
    }

    fn code(&self) -> (u16, String) {
        (self.status, self.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// One request in HTTP/1.0, so that the answer is not in chunks.
async fn call(addr: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: x\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    write!(request, "\r\n{body}").unwrap();
    let talk = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        // A server that refuses early may close before it has read everything.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        String::from_utf8(bytes).unwrap()
    };
    let told = tokio::time::timeout(PATIENCE, talk).await.expect("the server hangs");
    let (head, text) = told.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {told:?}"));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), text: text.to_owned() }
}

async fn add(p: &Process, body: Value) -> String {
    let (status, made) = p.ask("POST", "/v1/objects", &body.to_string()).await;
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

async fn user(p: &Process, name: &str) -> String {
    add(p, json!({"type": "user", "fields": {"name": name}})).await
}

#[tokio::test]
async fn what_is_wrong_is_told_by_name_and_nothing_is_written() {
    let data = tempdir().unwrap();
    let p = Process::start(config(2), data.path()).await;
    let ann = user(&p, "ann").await;
    let before: Vec<Value> =
        [p.ask("GET", "/v1/changes?shard=0", "").await.1, p.ask("GET", "/v1/changes?shard=1", "").await.1]
            .into();
    let object = format!("/v1/objects/{ann}");
    let list = format!("/v1/assocs/{ann}/follows");
    let edge = format!("{list}/77");
    let long = format!(r#"{{"type":"user","fields":{{"name":"{}"}}}}"#, "x".repeat(101));
    let large = format!(r#"{{"type":"post","fields":{{"text":"{}"}}}}"#, "x".repeat(2 << 20));
    let full = format!(r#"{{"fields":{{"text":"{}"}}}}"#, "x".repeat(2001));
    let many = format!(r#"{{"ids":[{}]}}"#, vec!["5"; 10_001].join(","));
    let ends = format!("{list}/{}", vec!["5"; 1001].join(","));
    for (method, path, body, status, code, words) in [
        ("POST", "/v1/objects", "nonsense", 400, "bad_json", "not JSON"),
        ("POST", "/v1/objects", r#"{"type":"user","color":1}"#, 400, "bad_body", "`color`"),
        ("POST", "/v1/objects", r#"{"type":"usr"}"#, 400, "invalid", "there are user, post"),
        ("POST", "/v1/objects", r#"{"type":"user"}"#, 400, "invalid", "`name` is required"),
        ("POST", "/v1/objects", r#"{"type":"user","fields":{"name":5}}"#, 400, "invalid", "takes text"),
        ("POST", "/v1/objects", r#"{"type":"user","fields":{"name":null}}"#, 400, "invalid", "takes text"),
        ("POST", "/v1/objects", &long, 400, "invalid", "at most 100 bytes, and 101 were given"),
        ("POST", "/v1/objects", &large, 413, "body_too_large", "1048576"),
        ("POST", "/v1/objects", r#"{"type":"page","id":0}"#, 400, "bad_body", "an id is"),
        ("POST", "/v1/objects", r#"{"type":"post","id":5,"near":6}"#, 400, "invalid", "one of them"),
        ("POST", "/v1/objects/get", &many, 400, "invalid", "at most 10000, not 10001"),
        ("GET", "/v1/objects/07", "", 400, "bad_id", "\"07\""),
        ("GET", "/v1/objects/7", "", 404, "no_object", "no object 7"),
        ("GET", &format!("{object}?consistency=some"), "", 400, "bad_query", "critical"),
        ("GET", &format!("{object}?fresh=1"), "", 400, "bad_query", "fresh"),
        ("PATCH", "/v1/objects/7", "{}", 404, "no_object", "no object 7"),
        ("PATCH", &object, r#"{"unset":["name"]}"#, 400, "invalid", "required"),
        (
            "PATCH",
            &object,
            r#"{"set":{"about":"a"},"unset":["about"]}"#,
            400,
            "invalid",
            "both set and unset",
        ),
        ("PATCH", &object, r#"{"set":{"about":"a"},"if_version":9}"#, 409, "changed", "has version 1"),
        ("GET", &format!("{list}?limit=0"), "", 400, "invalid", "1 to 6000"),
        ("GET", &format!("{list}?limit=6001"), "", 400, "invalid", "1 to 6000"),
        ("GET", &format!("{list}?pos=1&high=5"), "", 400, "bad_query", "by place or by time"),
        ("GET", &format!("{list}?high=1&low=2"), "", 400, "bad_query", "below low"),
        ("GET", &format!("{list}?high=4294967296"), "", 400, "bad_query", "high"),
        ("GET", &ends, "", 400, "invalid", "at most 1000 ids, not 1001"),
        ("GET", &format!("{list}/5,,6"), "", 400, "bad_id", "\"\""),
        ("GET", &format!("/v1/assocs/{ann}/liks"), "", 400, "invalid", "no association type `liks`"),
        ("PUT", &edge, r#"{"time":-1}"#, 400, "bad_body", "-1"),
        ("PUT", &edge, r#"{"fields":{"note":"x"}}"#, 400, "invalid", "there are notify"),
        ("PUT", &format!("/v1/assocs/{ann}/shares/77"), &full, 400, "invalid", "at most 2000 bytes"),
        ("POST", &format!("{edge}/retype"), r#"{"to":"friend"}"#, 400, "invalid", "no field `notify`"),
        ("PUT", "/v1/schema", "[object.x]\n", 400, "bad_schema", "line 1: object.x: the number is missing"),
        ("PUT", "/v1/schema", "", 400, "bad_schema", "object.user: it is gone"),
        ("GET", "/v1/changes?shard=2", "", 400, "bad_query", "use 0 to 1, not 2"),
        ("GET", "/v1/export?after=x", "", 400, "bad_query", "`next`"),
        ("GET", &format!("/v1/versions/objects/{ann}?at=moon"), "", 400, "bad_query", "follower"),
        ("GET", "/v1/nothing", "", 404, "not_found", "openapi.json"),
        ("POST", &object, "{}", 405, "method_not_allowed", "method"),
    ] {
        let answer = call(p.http, method, path, &[], body).await;
        assert_eq!(answer.code(), (status, code.to_owned()), "{method} {path}: {}", answer.text);
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(words), "{method} {path}: {message}");
    }
    for headers in [[("Idempotency-Key", "")], [("Seawall-Ticket", "%%")]] {
        let answer = call(p.http, "DELETE", &object, &headers, "").await;
        assert_eq!(answer.status, 400, "{headers:?} {}", answer.text);
    }
    for (shard, before) in before.iter().enumerate() {
        let after = before["next"].as_u64().unwrap();
        let (_, told) = p.ask("GET", &format!("/v1/changes?shard={shard}&after={after}"), "").await;
        assert_eq!(told["changes"], json!([]), "something was written");
    }
    p.stop().await;
}

#[tokio::test]
async fn a_write_sent_again_is_done_once_and_its_ticket_is_good_for_reads() {
    let data = tempdir().unwrap();
    let p = Process::start(config(2), data.path()).await;
    let key = [("Idempotency-Key", "k1")];
    let body = r#"{"type":"user","fields":{"name":"ann"}}"#;
    let first = call(p.http, "POST", "/v1/objects", &key, body).await;
    let again = call(p.http, "POST", "/v1/objects", &key, body).await;
    assert_eq!((first.status, again.status, first.json()), (201, 201, again.json()));
    let replayed = |answer: &Answer| answer.header("Idempotent-Replayed").map(str::to_owned);
    assert_eq!((replayed(&first), replayed(&again)), (None, Some("true".to_owned())));
    let other = call(p.http, "POST", "/v1/objects", &key, &body.replace("ann", "ben")).await;
    assert_eq!(other.code(), (422, "idempotency_key_reused".to_owned()));

    // Without a time it is now; the try again comes at another now and is the same request.
    let ann = first.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/assocs/{ann}/follows/77");
    let key = [("Idempotency-Key", "k2")];
    assert_eq!(call(p.http, "PUT", &path, &key, "").await.status, 201);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let again = call(p.http, "PUT", &path, &key, "").await;
    assert_eq!((again.status, replayed(&again)), (201, Some("true".to_owned())));

    let object = format!("/v1/objects/{ann}");
    let written = call(p.http, "PATCH", &object, &[], r#"{"set":{"about":"a"}}"#).await;
    let ticket = written.header("Seawall-Ticket").unwrap().to_owned();
    for path in [object.clone(), format!("{object}?consistency=critical")] {
        let read = call(p.http, "GET", &path, &[("Seawall-Ticket", &ticket)], "").await;
        assert_eq!((read.json()["version"].clone(), read.header("Seawall-Stale")), (json!(2), None));
    }
    let ids = format!(r#"{{"ids":["{ann}",5,{ann}]}}"#);
    let many = call(p.http, "POST", "/v1/objects/get", &[("Seawall-Ticket", &ticket)], &ids).await.json();
    assert_eq!((&many["objects"][0]["version"], &many["objects"][1]), (&json!(2), &json!(null)));
    assert_eq!(many["objects"][2], many["objects"][0]);
    for at in ["follower", "leader", "source"] {
        let (_, there) = p.ask("GET", &format!("/v1/versions/objects/{ann}?at={at}"), "").await;
        assert!(there["version"] == 2 || there["version"].is_null(), "{at}: {there}");
    }
    assert_eq!(p.ask("GET", "/v1/versions/objects/5?at=source", "").await.1["version"], 0);
    p.stop().await;
}

#[tokio::test]
async fn an_export_goes_on_where_it_stopped_and_an_import_says_what_became_of_each_line() {
    let data = tempdir().unwrap();
    let p = Process::start(config(2), data.path()).await;
    let mut users = Vec::new();
    for n in 0..25 {
        users.push(user(&p, &format!("u{n}")).await);
    }
    for n in 1..25 {
        let path = format!("/v1/assocs/{}/friend/{}", users[0], users[n]);
        assert_eq!(p.ask("PUT", &path, r#"{"time":5}"#).await.0, 201);
    }
    let whole = call(p.http, "GET", "/v1/export", &[], "").await;
    assert_eq!(whole.header("Content-Type"), Some("application/x-ndjson"));
    assert!(whole.text.ends_with("{\"end\":{\"objects\":25,\"associations\":24}}\n"), "{}", whole.text);
    let (mut pages, mut after) = (String::new(), String::new());
    for _ in 0..100 {
        let page = call(p.http, "GET", &format!("/v1/export?limit=7{after}"), &[], "").await.text;
        let last = page.lines().last().unwrap();
        pages += page.strip_suffix(&format!("{last}\n")).unwrap();
        match serde_json::from_str::<Value>(last).unwrap()["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let lines = whole.text.rsplit_once("{\"end\"").unwrap().0;
    assert_eq!(pages, lines);

    let fresh = format!("{}", i64::MAX);
    let some = [
        r#"{"object":{"id":"7","type":"usr"}}"#.to_owned(),
        format!(r#"{{"object":{{"id":"{fresh}","type":"user","fields":{{"name":"new"}}}}}}"#),
        String::new(),
        format!(r#"{{"object":{{"id":"{}","type":"user","fields":{{"name":"other"}}}}}}"#, users[0]),
        format!(r#"{{"association":{{"id1":"{fresh}","type":"blocks","id2":7,"time":1}}}}"#),
        format!(r#"{{"association":{{"id1":"{fresh}","type":"blocks","id2":7,"time":2}}}}"#),
        "[]".to_owned(),
    ];
    let told = call(p.http, "POST", "/v1/import", &[], &some.join("\n")).await.json();
    let counts =
        ["objects", "present", "associations", "overwritten", "rejected"].map(|what| told[what].as_u64());
    assert_eq!(counts, [1, 1, 1, 1, 2].map(Some), "{told}");
    let problems = told["problems"].as_array().unwrap();
    assert_eq!((&problems[0]["line"], &problems[0]["code"]), (&json!(1), &json!("invalid")));
    assert_eq!((&problems[1]["line"], &problems[1]["again"]), (&json!(7), &json!(false)));
    // Two lines about one pair are done in their order.
    let (_, list) = p.ask("GET", &format!("/v1/assocs/{fresh}/blocks"), "").await;
    assert_eq!(list["associations"], json!([{"id2": "7", "time": 2}]));
    let (_, there) = p.ask("GET", &format!("/v1/objects/{}", users[0]), "").await;
    assert_eq!(there["fields"]["name"], "u0", "what is there is left as it is");
    let long = call(p.http, "POST", "/v1/import", &[], &"x".repeat((1 << 20) + 1)).await;
    assert_eq!(long.code(), (400, "line_too_long".to_owned()));
    p.stop().await;
}
