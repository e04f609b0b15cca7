//! The operator's calls.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use seawall_chat::api::admin::{How, Question, Session, Sessions};
use seawall_chat::api::{self, Parts};
use seawall_chat::degrade::Ladder;
use seawall_chat::gateway::Replica;
use seawall_chat::owner;
use seawall_chat::search::Search;
use seawall_chat::storage::Storage;
use seawall_net::admission::Admission;
use seawall_net::exchange::{Exchange, Finish, Head, Next, Out, Step, Upstream};
use seawall_net::listeners::Purpose;
use seawall_net::server::{Limits, Server};
use seawall_policy::Mono;
use seawall_store::Position;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::rest_making::{Chat, OPERATOR, chat, exposed, files, golden, host, no_limits, text, world};

/// Everything goes to the router.
struct Everything;

impl Exchange for Everything {
    type Held = Infallible;
    fn on_head(&self, _: &Head<'_>, _: Mono, _: &mut Out) -> Next<Infallible> {
        Next::General
    }
    fn on_upstream(&self, held: &mut Infallible, _: Upstream<'_>, _: Mono) -> Step {
        match *held {}
    }
    fn on_end(&self, held: Infallible, _: Finish, _: Mono) {
        match held {}
    }
}

/// The calls alone, and the gateway's end of the operator's questions.
async fn without_gateway() -> (Chat, mpsc::Receiver<Question>) {
    let data = tempfile::tempdir().unwrap();
    let host = host();
    let storage = Storage::open(files(data.path(), &host), 1, &host).await.unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let bound = host.listeners.tcp("chat.listen", listen, Purpose::Proxy).unwrap();
    let addr = bound.addr;
    let limits = owner::limits::Limits::default();
    let owner = owner::start(storage.clone(), limits, &host, addr).await.unwrap();
    let (sessions, questions) = Sessions::new();
    let search = Search::start(storage.clone(), owner.clone(), data.path(), &host);
    let parts = Parts {
        replica: Arc::new(Replica::new(storage.clone(), &[Position(0)])),
        storage,
        owner,
        search,
        ladder: Ladder::new(Default::default(), host.clock.now(), &host.metrics),
        sessions: Some(sessions),
        gateway_url: String::new(),
        identify_max: 1,
        body_max: 1 << 16,
        rates: no_limits(),
        tokens: Arc::default(),
    };
    let server = Server {
        exchange: Arc::new(Everything),
        general: api::router(parts, &host),
        admission: Admission::new(1024, &host.metrics),
        limits: Limits::default(),
        ops: None,
    };
    let serving = host.clone();
    host.tasks.vital("chat-http", async move {
        server.serve(bound, &serving).await;
    });
    (Chat::new(addr, host, data), questions)
}

#[tokio::test]
async fn users_and_guilds_are_made_and_found() {
    let chat = chat().await;
    let body = json!({ "username": "Alice", "global_name": "Al", "bot": false });
    let made = chat.admin("POST", "/users", body).await;
    assert_eq!(made.status, 201);
    let made = made.ok();
    let user = json!({
        "id": "<id>", "username": "Alice", "discriminator": "0", "global_name": "Al", "avatar": null, "bot": false,
        "public_flags": 0, "flags": 0,
    });
    golden(&made, &json!({ "user": user, "token": "<any>" }));
    let id = text(&made["user"]["id"]);
    for name in ["Alice", "alice"] {
        assert_eq!(
            chat.admin("GET", &format!("/users?username={name}"), Value::Null).await.ok(),
            json!([made["user"]])
        );
    }
    assert_eq!(chat.admin("GET", "/users?username=bob", Value::Null).await.ok(), json!([]));
    assert_eq!(chat.admin("GET", "/users", Value::Null).await.code(), (400, Some(50035)));
    let taken = chat.admin("POST", "/users", json!({ "username": "ALICE" })).await;
    assert_eq!(taken.json()["errors"]["username"]["_errors"][0]["code"], "USERNAME_ALREADY_TAKEN");

    let made = chat.admin("POST", "/guilds", json!({ "name": "guild", "owner_id": id })).await;
    assert_eq!(made.status, 201);
    let guild = text(&made.ok()["id"]);
    let listed = chat.admin("GET", &format!("/guilds?user_id={id}"), Value::Null).await.ok();
    assert_eq!(listed, json!([{ "id": guild, "name": "guild", "owner_id": id, "members": 1 }]));
    let unknown = chat.admin("POST", "/guilds", json!({ "name": "guild", "owner_id": "1" })).await;
    assert_eq!(unknown.code(), (404, Some(10013)));
    let again = chat.admin("PUT", &format!("/guilds/{guild}/members/{id}"), Value::Null).await;
    assert_eq!(again.status, 204, "it is one already");
    let unknown = chat.admin("PUT", &format!("/guilds/{guild}/members/1"), Value::Null).await;
    assert_eq!(unknown.code(), (404, Some(10013)));
    let unknown = chat.admin("PUT", &format!("/guilds/1/members/{id}"), Value::Null).await;
    assert_eq!(unknown.code(), (404, Some(10004)));
    assert_eq!(chat.admin("GET", "/nothing", Value::Null).await.code(), (404, Some(0)));
    assert_eq!(chat.admin("PATCH", "/users", Value::Null).await.code(), (405, Some(0)));
}

#[tokio::test]
async fn a_token_that_was_reset_stops_at_once() {
    let chat = chat().await;
    let user = chat.user("somebody").await;
    assert_eq!(chat.get("/users/@me", &user.token).await.status, 200);
    let reset = chat.admin("POST", &format!("/users/{}/token", user.id), Value::Null).await.ok();
    let token = text(&reset["token"]);
    assert_eq!(reset, json!({ "token": token }));
    assert_eq!(chat.get("/users/@me", &user.token).await.status, 401, "also where it was just remembered");
    assert_eq!(chat.get("/users/@me", &token).await.status, 200);
    assert_eq!(chat.admin("POST", "/users/1/token", Value::Null).await.code(), (404, Some(10013)));
}

#[tokio::test]
async fn an_operator_that_has_a_token_shows_it() {
    let chat = exposed().await;
    let user = async |headers: &str| chat.raw("GET", "/api/admin/users?username=a", headers, b"").await;
    assert_eq!(user("").await.code(), (403, Some(50001)), "a proxy on this machine may be silent");
    assert_eq!(user("Authorization: Bearer s3cre\r\n").await.code(), (403, Some(50001)));
    let token = format!("Authorization: Bearer {OPERATOR}\r\n");
    assert_eq!(user(&token).await.ok(), json!([]));
    assert_eq!(user(&format!("X-Forwarded-For: 192.0.2.1\r\n{token}")).await.ok(), json!([]));
}

#[tokio::test]
async fn without_a_token_only_from_here() {
    let chat = chat().await;
    let world = world(&chat).await;
    let calls = [
        ("POST", "/users"),
        ("GET", "/users?username=owner"),
        ("POST", "/users/1/token"),
        ("POST", "/guilds"),
        ("GET", "/guilds?user_id=1"),
        ("PUT", "/guilds/1/members/1"),
        ("GET", "/sessions"),
        ("POST", "/sessions/x/kick"),
    ];
    for (method, path) in calls {
        for header in [
            "X-Forwarded-For: 127.0.0.1\r\n".to_owned(),
            "Origin: http://evil.example\r\n".to_owned(),
            "Sec-Fetch-Site: same-origin\r\n".to_owned(),
            "Via: 1.1 proxy\r\n".to_owned(),
            format!("X-Forwarded-For: 192.0.2.1\r\nAuthorization: Bot {}\r\n", world.owner.token),
            "X-Forwarded-For: 192.0.2.1\r\nAuthorization: Bearer s3cre\r\n".to_owned(),
        ] {
            let answer = chat.raw(method, &format!("/api/admin{path}"), &header, b"").await;
            assert_eq!(answer.code(), (403, Some(50001)), "{method} {path} {header}");
        }
    }
    // A page that this machine's browser shows can send this without asking first.
    let body = br#"{"username":"mallory"}"#;
    let simple = chat.raw("POST", "/api/admin/users", "Content-Type: text/plain\r\n", body).await;
    assert_eq!(simple.status, 400);
    assert_eq!(chat.admin("GET", "/users?username=mallory", Value::Null).await.ok(), json!([]));
}

#[tokio::test]
async fn sessions_are_listed_and_kicked_through_the_gateway() {
    let (chat, mut questions) = without_gateway().await;
    let user = chat.user("somebody").await;
    let session = Session {
        id: "abc".to_owned(),
        user: user.id.parse().unwrap(),
        connected: true,
        s: 7,
        guilds: 2,
        intents: 513,
        gateway: "00c0ffee".to_owned(),
    };
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    chat.host.tasks.vital("test-gateway", async move {
        while let Some(question) = questions.recv().await {
            match question {
                Question::List(answer) => answer.send(vec![session.clone(), session.clone()]).unwrap(),
                Question::Kick { session, how, answer } => {
                    answer.send(session == "abc").unwrap();
                    tell.send((session, how)).unwrap();
                }
            }
        }
    });
    let one = json!({
        "id": "abc", "user": { "id": user.id, "username": "somebody" }, "connected": true, "seq": 7, "guilds": 2,
        "intents": 513, "gateway": "00c0ffee",
    });
    assert_eq!(chat.admin("GET", "/sessions", Value::Null).await.ok(), json!([one, one]));
    assert_eq!(chat.admin("GET", "/sessions?limit=1", Value::Null).await.ok(), json!([one]));
    for (how, heard) in [("tcp", How::Tcp), ("reconnect", How::Reconnect), ("invalid", How::Invalid)] {
        let kicked = chat.admin("POST", "/sessions/abc/kick", json!({ "how": how })).await;
        assert_eq!(kicked.status, 204);
        assert_eq!(told.recv().await, Some(("abc".to_owned(), heard)));
    }
    let unknown = chat.admin("POST", "/sessions/def/kick", json!({ "how": "tcp" })).await;
    assert_eq!(unknown.code(), (404, Some(0)));
    for odd in [json!({}), json!({ "how": "gently" }), json!({ "how": 5 })] {
        let answer = chat.admin("POST", "/sessions/abc/kick", odd).await;
        assert!(answer.json()["errors"]["how"]["_errors"].is_array(), "{answer:?}");
    }
}
