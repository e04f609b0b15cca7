//! A chat that answers REST on a socket, HTTP spoken byte by byte, and a small world of people to ask about.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use seawall_chat::Config;
use seawall_chat::api::Rates;
use seawall_cluster::Deps;
use seawall_cluster::discovery::{self, Settings};
use seawall_net::clock::SystemClock;
use seawall_net::host::{Host, Life, Plants};
use seawall_net::listeners::{Exposure, Listeners};
use seawall_net::tasks::Tasks;
use seawall_net::telemetry::Scope;
use seawall_policy::ladder;
use seawall_policy::rate::{Per, Policy, Rate};
use seawall_store::{Files, Options};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Far beyond anything a healthy server needs.
const HANG: Duration = Duration::from_secs(30);

/// The operator's token, where it has one.
pub(crate) const OPERATOR: &str = "s3cret";

/// A running chat.
pub(crate) struct Chat {
    pub(crate) addr: SocketAddr,
    pub(crate) host: Host,
    _data: TempDir,
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.host.tasks.stop(Duration::ZERO);
    }
}

/// Limits nobody meets.
pub(crate) fn no_limits() -> Rates {
    let high = Policy { rate: Rate::new(100_000, Per::Second), burst: 100_000, keys_max: 1024 };
    Rates {
        global: high.clone(),
        messages: high.clone(),
        edits: high.clone(),
        deletes: high.clone(),
        reactions: high.clone(),
        typing: high.clone(),
        changes: high.clone(),
        reads: high.clone(),
        strangers: high,
    }
}

pub(crate) fn host() -> Host {
    host_with(Exposure::default())
}

fn host_with(exposure: Exposure) -> Host {
    Host {
        clock: Arc::new(SystemClock::new()),
        listeners: Listeners::new(exposure),
        metrics: Scope::new("chat"),
        tasks: Tasks::new(Handle::current()),
        workers: 1,
        seed: 1,
        life: Life::default(),
        plants: Plants::default(),
    }
}

pub(crate) fn files(data: &Path, host: &Host) -> Files {
    let clock = host.clock.clone();
    Files::new(Options { data: data.to_owned(), clock, seed: 7, plants: Default::default() })
}

pub(crate) async fn chat() -> Chat {
    chat_with(no_limits()).await
}

pub(crate) async fn chat_with(rates: Rates) -> Chat {
    start(rates, host()).await
}

/// One whose operator has a token.
pub(crate) async fn exposed() -> Chat {
    start(no_limits(), host_with(Exposure { insecure: false, tokens: [OPERATOR.to_owned()].into() })).await
}

async fn start(rates: Rates, host: Host) -> Chat {
    let data = tempfile::tempdir().unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let config =
        Config { listen, shards: 2, rates, ladder: ladder::Policy::s0_chat_verbatim(), ..Config::default() };
    let nobody = discovery::Config {
        registry: vec![SocketAddr::from(([127, 0, 0, 1], 9))],
        ..discovery::Config::default()
    };
    let deps = Deps {
        host: host.clone(),
        files: files(data.path(), &host),
        discovery: Settings { config: nobody, token: None, cache_dir: data.path().join("discovery") },
        config: watch::channel(Arc::new(config.clone())).1,
    };
    let running = seawall_chat::start(config, deps).await;
    let running = running.unwrap_or_else(|e| panic!("{}", seawall_net::host::chain(&e)));
    Chat::new(running.endpoints[0].addr, host, data)
}

impl Chat {
    /// One that a test has put together itself.
    pub(crate) fn new(addr: SocketAddr, host: Host, data: TempDir) -> Chat {
        Chat { addr, host, _data: data }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The status and Discord's code; no code where nothing went wrong.
    pub(crate) fn code(&self) -> (u16, Option<u64>) {
        let code = if self.status < 400 { None } else { self.json()["code"].as_u64() };
        (self.status, code)
    }

    /// The document of a call that must work.
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        if self.status == 204 { Value::Null } else { self.json() }
    }
}

/// Sends bytes and reads the answer until the server closes.
pub(crate) async fn send(addr: SocketAddr, request: &[u8]) -> Answer {
    let talk = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let (mut from, mut to) = stream.split();
        let writing = async {
            // The server may answer before it has read everything.
            drop(to.write_all(request).await);
        };
        let mut bytes = Vec::new();
        let reading = async { drop(from.read_to_end(&mut bytes).await) };
        tokio::join!(writing, reading);
        bytes
    };
    let bytes = tokio::time::timeout(HANG, talk).await.expect("the server hangs");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

impl Chat {
    /// One request with these header lines, on a connection of its own.
    pub(crate) async fn raw(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}{length}\r\n"
        );
        send(self.addr, &[head.as_bytes(), body].concat()).await
    }

    /// One call below `/api/v10`; a body of null is none.
    pub(crate) async fn call(&self, method: &str, path: &str, token: &str, body: Value) -> Answer {
        let auth = if token.is_empty() { String::new() } else { format!("Authorization: Bot {token}\r\n") };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = format!("{auth}Content-Type: application/json\r\n");
        self.raw(method, &format!("/api/v10{path}"), &headers, body.as_bytes()).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.call("GET", path, token, Value::Null).await
    }

    pub(crate) async fn admin(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let path = format!("/api/admin{path}");
        self.raw(method, &path, "Content-Type: application/json\r\n", body.as_bytes()).await
    }

    /// A new user: its id and token.
    pub(crate) async fn user(&self, name: &str) -> Person {
        let made = self.admin("POST", "/users", json!({ "username": name, "bot": true })).await.ok();
        Person {
            id: made["user"]["id"].as_str().unwrap().to_owned(),
            token: made["token"].as_str().unwrap().to_owned(),
        }
    }

    /// Says something; the message's id.
    pub(crate) async fn say(&self, channel: &str, token: &str, content: &str) -> String {
        let path = format!("/channels/{channel}/messages");
        let said = self.call("POST", &path, token, json!({ "content": content })).await.ok();
        text(&said["id"])
    }
}

/// Somebody with a token.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) token: String,
}

/// A guild with an owner, a member and a channel hidden from it; somebody outside; a direct message of the member and
/// a person.
pub(crate) struct World {
    pub(crate) owner: Person,
    pub(crate) member: Person,
    pub(crate) outsider: Person,
    pub(crate) guild: String,
    pub(crate) general: String,
    pub(crate) hidden: String,
    pub(crate) direct: String,
}

pub(crate) async fn world(chat: &Chat) -> World {
    let owner = chat.user("owner").await;
    let member = chat.user("member").await;
    let outsider = chat.user("outsider").await;
    let made = chat.admin("POST", "/guilds", json!({ "name": "guild", "owner_id": owner.id })).await.ok();
    let guild = text(&made["id"]);
    let general = text(&made["channels"][0]["id"]);
    chat.admin("PUT", &format!("/guilds/{guild}/members/{}", member.id), Value::Null).await.ok();
    let secret = json!({
        "name": "hidden",
        "permission_overwrites": [{ "id": guild, "type": 0, "deny": "1024" }],
    });
    let made = chat.call("POST", &format!("/guilds/{guild}/channels"), &owner.token, secret).await.ok();
    let hidden = text(&made["id"]);
    // Of two bots neither may begin, so one of these is a person.
    let person = chat.admin("POST", "/users", json!({ "username": "person" })).await.ok();
    let body = json!({ "recipient_id": person["user"]["id"] });
    let made = chat.call("POST", "/users/@me/channels", &member.token, body).await.ok();
    World { owner, member, outsider, guild, general, hidden, direct: text(&made["id"]) }
}

/// A string in a document.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string")).to_owned()
}

/// Compares a whole document with what is expected, in which `<id>`, `<time>` and `<any>` stand for what differs from
/// run to run.
pub(crate) fn golden(actual: &Value, expected: &Value) {
    let mut wrong = Vec::new();
    compare("", actual, expected, &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}\nin {actual:#}");
}

fn compare(path: &str, actual: &Value, expected: &Value, wrong: &mut Vec<String>) {
    let is_same = match (actual, expected) {
        (Value::String(a), Value::String(e)) if e == "<id>" => {
            !a.is_empty() && a.bytes().all(|b| b.is_ascii_digit())
        }
        // 2024-01-01T00:00:00.000000+00:00
        (Value::String(a), Value::String(e)) if e == "<time>" => a.len() == 32 && a.ends_with("+00:00"),
        (Value::String(a), Value::String(e)) if e == "<any>" => !a.is_empty(),
        (Value::Array(a), Value::Array(e)) if a.len() == e.len() => {
            for (i, (a, e)) in a.iter().zip(e).enumerate() {
                compare(&format!("{path}[{i}]"), a, e, wrong);
            }
            true
        }
        (Value::Object(a), Value::Object(e)) => {
            for (key, e) in e {
                match a.get(key) {
                    Some(a) => compare(&format!("{path}.{key}"), a, e, wrong),
                    None => wrong.push(format!("{path}.{key} is missing")),
                }
            }
            for key in a.keys().filter(|key| !e.contains_key(*key)) {
                wrong.push(format!("{path}.{key} is not expected"));
            }
            true
        }
        (a, e) => a == e,
    };
    if !is_same {
        wrong.push(format!("{path} is {actual}, not {expected}"));
    }
}
