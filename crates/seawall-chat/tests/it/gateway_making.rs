//! Chat processes on one data folder, a caller of REST, and a client of the gateway made of a WebSocket library that is
//! not ours.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flate2::{Decompress, FlushDecompress};
use futures_util::{SinkExt, StreamExt};
use seawall_chat::Config;
use seawall_chat::api::Rates;
use seawall_cluster::{Deps, Settings};
use seawall_net::clock::SystemClock;
use seawall_net::host::{Host, Life, Plants, Running};
use seawall_net::listeners::{Exposure, Listeners};
use seawall_net::tasks::Tasks;
use seawall_net::telemetry::Scope;
use seawall_policy::Clock;
use seawall_policy::rate::{Per, Policy, Rate};
use seawall_policy::shed::Step;
use seawall_policy::{ladder, shed};
use seawall_store::{Files, Options};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Far beyond anything a test waits for; only a hang reaches it.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// All intents but those for content, and with them.
pub(crate) const ALL: u64 = (1 << 17) - 1;

/// A chat process: its own runtime, files, sockets.
pub(crate) struct Process {
    runtime: Option<Runtime>,
    pub(crate) addr: SocketAddr,
    pub(crate) host: Host,
    running: Running,
}

pub(crate) fn config() -> Config {
    let any = |_: Policy| Policy { rate: Rate::new(100_000, Per::Second), burst: 100_000, keys_max: 1024 };
    let default = Rates::default();
    Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        identify_max: 1000,
        rates: Rates {
            global: any(default.global),
            messages: any(default.messages),
            edits: any(default.edits),
            deletes: any(default.deletes),
            reactions: any(default.reactions),
            typing: any(default.typing),
            changes: any(default.changes),
            reads: any(default.reads),
            strangers: any(default.strangers),
        },
        // How busy the machine is under the tests should change nothing.
        shed: shed::Policy { steps: vec![Step::default()], ..shed::Policy::s0_chat() },
        ladder: ladder::Policy::s0_chat_verbatim(),
        ..Config::default()
    }
}

impl Process {
    pub(crate) async fn start(data: &Path) -> Process {
        Process::start_with(data, config(), &[]).await
    }

    pub(crate) async fn start_with(data: &Path, config: Config, plants: &[&str]) -> Process {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let plants: Vec<String> = plants.iter().map(|p| (*p).to_owned()).collect();
        let host = Host {
            clock: clock.clone(),
            listeners: Listeners::new(Exposure::default()),
            metrics: Scope::new("chat"),
            tasks: Tasks::new(runtime.handle().clone()),
            workers: 2,
            seed: fresh(),
            life: Life::default(),
            plants: Plants::new(&plants).unwrap(),
        };
        let files =
            Files::new(Options { data: data.to_owned(), clock, seed: fresh(), plants: Default::default() });
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1)).to_string();
        let discovery = Settings {
            config: serde_json::from_value(json!({ "registry": [nobody] })).unwrap(),
            token: None,
            cache_dir: data.join("discovery"),
        };
        let (_, live) = watch::channel(Arc::new(config.clone()));
        let deps = Deps { host: host.clone(), files, discovery, config: live };
        let (tell, told) = oneshot::channel();
        host.tasks.vital("test-start", async move {
            drop(tell.send(seawall_chat::start(config, deps).await));
        });
        let running = told.await.unwrap().unwrap();
        let addr = running.endpoints[0].addr;
        Process { runtime: Some(runtime), addr, host, running }
    }

    /// Ends it as kill -9 would: nothing more is written, nothing is said.
    pub(crate) fn kill(mut self) {
        let runtime = self.runtime.take().unwrap();
        // A runtime may not end on another's thread.
        std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5))).join().unwrap();
    }

    /// Asks it to stop.
    pub(crate) fn stop(&self, grace: Duration) {
        self.running.stop(grace);
    }

    pub(crate) fn metric(&self, line: &str) -> u64 {
        let page = self.host.metrics.encode();
        let value = page.lines().find_map(|l| l.strip_prefix(line)?.trim().parse::<f64>().ok());
        value.unwrap_or(0.0) as u64
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn fresh() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

/// Calls REST.
pub(crate) async fn call(
    addr: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: Value,
) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let auth = if token.is_empty() { String::new() } else { format!("Authorization: Bot {token}\r\n") };
    let request = format!(
        "{method} /api/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{auth}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    let answer = timeout(HANG, answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// Calls REST; it works.
pub(crate) async fn ok(addr: SocketAddr, method: &str, path: &str, token: &str, body: Value) -> Value {
    let begun = std::time::Instant::now();
    loop {
        let (status, answer) = call(addr, method, path, token, body.clone()).await;
        // While the lease of a killed owner runs out.
        let is_early = matches!(status, 503 | 504) && begun.elapsed() < HANG;
        if !is_early {
            assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
            return answer;
        }
    }
}

/// A user with a token.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) token: String,
}

/// Ann is a program, everybody else is not.
pub(crate) async fn person(addr: SocketAddr, name: &str) -> Person {
    let made = ok(addr, "POST", "admin/users", "", json!({"username": name, "bot": name == "ann"})).await;
    Person {
        id: made["user"]["id"].as_str().unwrap().to_owned(),
        token: made["token"].as_str().unwrap().to_owned(),
    }
}

/// A guild with its first channel.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) guild: String,
    pub(crate) channel: String,
}

pub(crate) async fn guild(addr: SocketAddr, owner: &Person) -> Place {
    let made = ok(addr, "POST", "v10/guilds", &owner.token, json!({"name": "a guild"})).await;
    let channels = made["channels"].as_array().unwrap();
    let text = channels.iter().find(|c| c["type"] == 0).unwrap();
    Place { guild: made["id"].as_str().unwrap().to_owned(), channel: text["id"].as_str().unwrap().to_owned() }
}

pub(crate) async fn join(addr: SocketAddr, place: &Place, who: &Person) {
    ok(addr, "PUT", &format!("admin/guilds/{}/members/{}", place.guild, who.id), "", Value::Null).await;
}

pub(crate) async fn say(addr: SocketAddr, place: &Place, who: &Person, content: &str) -> Value {
    ok(
        addr,
        "POST",
        &format!("v10/channels/{}/messages", place.channel),
        &who.token,
        json!({"content": content}),
    )
    .await
}

/// How a client unpacks what it gets.
enum Unpack {
    Text,
    Zlib(Box<Decompress>),
    Zstd(Box<zstd::stream::raw::Decoder<'static>>),
}

impl Unpack {
    fn text(&mut self, message: Message) -> String {
        match (self, message) {
            (Unpack::Text, Message::Text(text)) => text.to_string(),
            (Unpack::Zlib(decoder), Message::Binary(bytes)) => {
                assert!(bytes.ends_with(&[0, 0, 0xff, 0xff]));
                let mut out = Vec::with_capacity(16 << 20);
                decoder.decompress_vec(&bytes, &mut out, FlushDecompress::Sync).unwrap();
                String::from_utf8(out).unwrap()
            }
            (Unpack::Zstd(decoder), Message::Binary(bytes)) => {
                use zstd::stream::raw::{InBuffer, Operation, OutBuffer};
                let (mut text, mut read) = (Vec::new(), InBuffer::around(&bytes));
                let mut piece = vec![0; 1 << 20];
                while read.pos() < bytes.len() {
                    let mut out = OutBuffer::around(&mut piece[..]);
                    decoder.run(&mut read, &mut out).unwrap();
                    text.extend_from_slice(out.as_slice());
                }
                String::from_utf8(text).unwrap()
            }
            (_, other) => panic!("{other:?}"),
        }
    }
}

/// A client of the gateway.
pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    unpack: Unpack,
    /// The last number it got.
    pub(crate) s: u64,
    pub(crate) session: String,
}

impl Client {
    /// Connects and reads HELLO.
    pub(crate) async fn connect(addr: SocketAddr, query: &str) -> Client {
        let mut client = Client::connect_raw(addr, query).await;
        let hello = client.next().await;
        assert_eq!(hello["op"], 10, "{hello}");
        client
    }

    pub(crate) async fn connect_raw(addr: SocketAddr, query: &str) -> Client {
        Client::over(TcpStream::connect(addr).await.unwrap(), addr, query).await
    }

    /// With a session, over a socket that takes little at a time.
    pub(crate) async fn narrow(addr: SocketAddr, who: &Person, intents: u64) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut client = Client::over(socket.connect(addr).await.unwrap(), addr, "?v=10").await;
        client.next().await;
        client.identify(who, intents).await;
        client.dispatch("GUILD_CREATE").await;
        client
    }

    async fn over(stream: TcpStream, addr: SocketAddr, query: &str) -> Client {
        let url = format!("ws://{addr}/{query}");
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let unpack = if query.contains("zlib") {
            Unpack::Zlib(Box::new(Decompress::new(true)))
        } else if query.contains("zstd") {
            Unpack::Zstd(Box::new(zstd::stream::raw::Decoder::new().unwrap()))
        } else {
            Unpack::Text
        };
        Client { socket, unpack, s: 0, session: String::new() }
    }

    pub(crate) async fn say(&mut self, op: u64, d: Value) {
        self.raw(Message::text(json!({"op": op, "d": d}).to_string())).await;
    }

    /// Whatever becomes of it: the other end may be gone.
    pub(crate) async fn raw(&mut self, message: Message) {
        drop(self.socket.send(message).await);
    }

    /// The next payload.
    pub(crate) async fn next(&mut self) -> Value {
        let text = loop {
            let message =
                timeout(HANG, self.socket.next()).await.expect("silence").expect("the end").unwrap();
            match message {
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Close(frame) => panic!("closed: {frame:?}"),
                message => break self.unpack.text(message),
            }
        };
        let payload: Value = serde_json::from_str(&text).unwrap();
        if let Some(s) = payload["s"].as_u64() {
            if self.s != 0 {
                assert_eq!(s, self.s + 1, "numbers follow each other: {payload}");
            }
            self.s = s;
        }
        payload
    }

    /// The next dispatch of this kind; others are passed over.
    pub(crate) async fn dispatch(&mut self, t: &str) -> Value {
        loop {
            let payload = self.next().await;
            if payload["t"] == t {
                return payload["d"].clone();
            }
            assert_ne!(payload["op"], 9, "the session is invalid");
        }
    }

    /// All dispatches until one of this kind, by name.
    pub(crate) async fn until(&mut self, t: &str) -> Vec<(String, Value)> {
        let mut all = Vec::new();
        loop {
            let payload = self.next().await;
            assert_ne!(payload["op"], 9, "the session is invalid");
            if payload["op"] == 0 {
                let name = payload["t"].as_str().unwrap().to_owned();
                all.push((name.clone(), payload["d"].clone()));
                if name == t {
                    return all;
                }
            }
        }
    }

    /// Opens a session; READY's payload.
    pub(crate) async fn identify(&mut self, who: &Person, intents: u64) -> Value {
        self.say(2, json!({"token": who.token, "intents": intents, "properties": {}})).await;
        self.ready().await
    }

    pub(crate) async fn ready(&mut self) -> Value {
        let ready = self.next().await;
        assert_eq!((&ready["t"], &ready["s"]), (&json!("READY"), &json!(1)), "{ready}");
        self.session = ready["d"]["session_id"].as_str().unwrap().to_owned();
        ready["d"].clone()
    }

    /// A client with a session that has got all its guilds.
    pub(crate) async fn with(addr: SocketAddr, who: &Person, intents: u64) -> Client {
        Client::with_query(addr, who, intents, "?v=10&encoding=json").await
    }

    pub(crate) async fn with_query(addr: SocketAddr, who: &Person, intents: u64, query: &str) -> Client {
        let mut client = Client::connect(addr, query).await;
        let ready = client.identify(who, intents).await;
        if intents & 1 == 1 {
            for _ in ready["guilds"].as_array().unwrap() {
                client.dispatch("GUILD_CREATE").await;
            }
        }
        client
    }

    /// Sends a heartbeat and waits for its answer; dispatches in between are given back.
    pub(crate) async fn beat(&mut self) -> Vec<Value> {
        self.say(1, json!(self.s)).await;
        let mut between = Vec::new();
        loop {
            let payload = self.next().await;
            if payload["op"] == 11 {
                return between;
            }
            between.push(payload);
        }
    }

    /// A new connection that goes on with this one's session, however that one ends.
    pub(crate) async fn resume(self, addr: SocketAddr, who: &Person) -> Client {
        let mut next = Client::connect(addr, "?v=10&encoding=json").await;
        next.s = self.s;
        next.session = self.session.clone();
        drop(self);
        next.say(6, json!({"token": who.token, "session_id": next.session, "seq": next.s})).await;
        next
    }

    /// The connection's end: the code of the goodbye, or 0 without one.
    pub(crate) async fn end(&mut self) -> u16 {
        loop {
            match timeout(HANG, self.socket.next()).await.expect("silence") {
                Some(Ok(Message::Close(frame))) => return frame.map_or(0, |f| f.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return 0,
            }
        }
    }

    /// Says goodbye.
    pub(crate) async fn close(&mut self, code: u16) -> u16 {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "".into() };
        drop(self.socket.close(Some(frame)).await);
        self.end().await
    }

    /// The socket itself, for clients that misbehave.
    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket.into_inner()
    }
}
