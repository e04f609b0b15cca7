//! Starts the system, or parts of it, as a supervisor would, and speaks to it in the words of a small social network.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use seawall_cluster::Deps;
use seawall_cluster::discovery::{self, Settings};
use seawall_graph::Config;
use seawall_graph::call::{
    AssocType, Command, Data, Done, Home, Idempotency, Key, ObjectType, Refusal, Time, Version, Write,
};
use seawall_graph::id::{Id, LogicalShard};
use seawall_graph::leader::{Filled, Upstream};
use seawall_graph::message::{Changeset, Fill, Head, ObjectState, State};
use seawall_graph::schema::{Schema, encode_text};
use seawall_graph::storage;
use seawall_net::clock::SystemClock;
use seawall_net::host::{End, Fault, Host, Life, Plants, Running};
use seawall_net::listeners::{Exposure, Listeners};
use seawall_net::tasks::Tasks;
use seawall_net::telemetry::Scope;
use seawall_policy::deadline::Deadline;
use seawall_store::{Batch, Expect, Files, Op, Options, Shard, Sql, Written};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{oneshot, watch};

pub(crate) const USER: ObjectType = ObjectType(1);
pub(crate) const FOLLOWS: AssocType = AssocType(1);
pub(crate) const FOLLOWED_BY: AssocType = AssocType(2);
pub(crate) const FRIEND: AssocType = AssocType(3);
pub(crate) const BLOCKS: AssocType = AssocType(20);
pub(crate) const MUTES: AssocType = AssocType(21);

/// What nothing that works takes as long as.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn config(shards: u32) -> Config {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Config { listen: any, resp_listen: any, shards, ..Config::default() }
}

pub(crate) fn host() -> Host {
    Host {
        clock: Arc::new(SystemClock::new()),
        listeners: Listeners::new(Exposure::default()),
        metrics: Scope::new("graph"),
        tasks: Tasks::new(Handle::current()),
        workers: 1,
        seed: 1,
        life: Life::default(),
        plants: Plants::default(),
    }
}

/// The files of one process. Two values on one directory are two processes, as far as SQLite can tell.
pub(crate) fn files(data: &Path, host: &Host) -> Files {
    Files::new(Options {
        data: data.to_owned(),
        clock: host.clock.clone(),
        seed: 7,
        plants: Default::default(),
    })
}

/// A handle of another process to one database.
pub(crate) fn database(data: &Path, shards: u32, shard: u32) -> Shard {
    let set = files(data, &host()).open(storage::SET, shards, storage::SCHEMA).unwrap();
    set.get(shard).clone()
}

/// Runs a statement nobody should.
pub(crate) async fn sabotage(shard: &Shard, sql: &'static Sql) {
    let op = Op { sql, args: Vec::new(), expect: Expect::Any };
    let batch = Batch { hk: shard.hk_min(), key: None, owned: None, ops: vec![op], tell: Vec::new() };
    let done = shard.write(batch, host().clock.now() + PATIENCE).await;
    assert!(matches!(done, Written::Committed { .. }), "{done:?}");
}

/// Waits for what must happen by itself.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..3000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: never");
}

/// The value of a metric line.
pub(crate) fn metric(host: &Host, line: &str) -> u64 {
    let text = host.metrics.encode();
    let found = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or(0)
}

/// Fields of a user.
pub(crate) fn user(fields: &[(&str, &str)]) -> Data {
    let schema = Schema::built_in();
    let given: Vec<_> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    encode_text(&schema.object_kind(USER).unwrap().fields, &given).unwrap()
}

/// A client's key and what it asked for.
pub(crate) fn key(n: u8) -> Idempotency {
    Idempotency { key: [n; 16], fingerprint: u64::from(n) }
}

/// A leader alone, and how it is spoken to.
pub(crate) struct Leads {
    pub(crate) upstream: Upstream,
    pub(crate) host: Host,
}

impl Leads {
    pub(crate) async fn new(shards: u32, data: &Path) -> Leads {
        Leads::with(&config(shards), data).await
    }

    pub(crate) async fn with(config: &Config, data: &Path) -> Leads {
        let host = host();
        let upstream = seawall_graph::lead(config, &host, files(data, &host)).await.unwrap();
        Leads { upstream, host }
    }

    /// As a supervisor would end it: the lease is given back.
    pub(crate) async fn stop(self) {
        self.host.tasks.stop(Duration::ZERO);
        eventually("the end of leading", async || self.upstream.check().is_err()).await;
    }

    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.host.clock.now(), PATIENCE)
    }

    /// The n-th id of a database.
    pub(crate) fn id(&self, shard: u32, n: u64) -> Id {
        let lives_there = |id: &Id| self.upstream.shard_of(*id) == shard;
        (0..u16::MAX).map(|s| Id::new(LogicalShard(s), n)).find(lives_there).unwrap()
    }

    pub(crate) async fn try_write(
        &self,
        write: Write,
        key: Option<Idempotency>,
    ) -> Result<Changeset, Refusal> {
        self.upstream.write(Command { write, key }, self.deadline()).await
    }

    pub(crate) async fn write(&self, write: Write) -> Done {
        self.try_write(write, None).await.unwrap().done
    }

    pub(crate) async fn add_user(&self, name: &str, home: Home) -> Id {
        let write = Write::ObjectAdd { otype: USER, data: user(&[("name", name)]), home };
        match self.write(write).await {
            Done::ObjectAdded(id) => id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn try_link(
        &self,
        id1: Id,
        atype: AssocType,
        id2: Id,
        time: u32,
    ) -> Result<bool, Refusal> {
        let write = Write::AssocAdd { id1, atype, id2, time: Time(time), data: Data::default() };
        match self.try_write(write, None).await?.done {
            Done::AssocAdded(is_new) => Ok(is_new),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn link(&self, id1: Id, atype: AssocType, id2: Id, time: u32) -> bool {
        self.try_link(id1, atype, id2, time).await.unwrap()
    }

    pub(crate) async fn try_fill(&self, key: Key, critical: bool) -> Result<Filled, Refusal> {
        let fill = Fill { key, edges: 100, at_least: Version(0), critical };
        self.upstream.fill(fill, self.deadline()).await
    }

    pub(crate) async fn object(&self, id: Id) -> ObjectState {
        match self.try_fill(Key::Object(id), false).await.unwrap().state {
            State::Object(state) => state,
            State::List(_) => panic!("a list"),
        }
    }

    pub(crate) async fn head(&self, id1: Id, atype: AssocType) -> Head {
        match self.try_fill(Key::List(id1, atype), false).await.unwrap().state {
            State::List(head) => head,
            State::Object(_) => panic!("an object"),
        }
    }

    /// The ends of a list, newest first.
    pub(crate) async fn ends(&self, id1: Id, atype: AssocType) -> Vec<Id> {
        let head = self.head(id1, atype).await;
        assert_eq!(head.count, head.edges.len() as u64, "count and list");
        head.edges.iter().map(|edge| edge.id2).collect()
    }

    pub(crate) fn metric(&self, line: &str) -> u64 {
        metric(&self.host, line)
    }
}

/// The whole system with both ports, on a runtime of its own: to be stopped, or killed as by `kill -9`.
pub(crate) struct Process {
    pub(crate) http: SocketAddr,
    pub(crate) resp: SocketAddr,
    pub(crate) host: Host,
    running: Running,
    runtime: Option<Runtime>,
}

impl Process {
    /// # Panics
    /// It does not start.
    pub(crate) async fn start(config: Config, data: &Path) -> Process {
        Process::try_start(config, data).await.unwrap_or_else(|e| panic!("{}", seawall_net::host::chain(&e)))
    }

    pub(crate) async fn try_start(config: Config, data: &Path) -> Result<Process, Fault> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (sender, started) = oneshot::channel();
        let host = Host { tasks: Tasks::new(runtime.handle().clone()), ..host() };
        let deps = Deps {
            host: host.clone(),
            files: files(data, &host),
            discovery: no_registry(data),
            config: watch::channel(Arc::new(config.clone())).1,
        };
        host.tasks.connection("start", async move {
            drop(sender.send(seawall_graph::start(config, deps).await));
        });
        let running = match started.await.unwrap() {
            Ok(running) => running,
            Err(fault) => {
                runtime.shutdown_background();
                return Err(fault);
            }
        };
        let (http, resp) = (running.endpoints[0].addr, running.endpoints[1].addr);
        Ok(Process { http, resp, host, running, runtime: Some(runtime) })
    }

    pub(crate) fn state(&self) -> String {
        self.running.state.borrow().to_string()
    }

    pub(crate) async fn is(&self, state: &str) {
        let mut now = self.running.state.clone();
        let reached = now.wait_for(|now| now.to_string().starts_with(state));
        let reached = tokio::time::timeout(PATIENCE, reached).await.map(|state| state.is_ok());
        assert_eq!(reached, Ok(true), "never {state:?}, but {}", self.state());
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.running.stop(Duration::from_secs(5));
        let ended = tokio::time::timeout(PATIENCE, self.running.ended()).await.unwrap();
        assert!(matches!(ended, End::Stopped(_)), "{ended:?}");
        self.end();
    }

    /// Ends it without a word: no lease is given back, nothing is drained.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub(crate) fn metric(&self, line: &str) -> u64 {
        metric(&self.host, line)
    }

    /// One HTTP request: status and body.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        let request =
            format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let text = exchange(self.http, request.as_bytes(), |_| false).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// One RESP command whose answer is one line, written as a person would.
    pub(crate) async fn redis(&self, line: &str) -> String {
        let text =
            exchange(self.resp, format!("{line}\r\n").as_bytes(), |so_far| so_far.ends_with(b"\r\n")).await;
        text.trim_end().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends bytes, and reads until the other side closes or `is_all` says that it is enough.
async fn exchange(addr: SocketAddr, request: &[u8], is_all: impl Fn(&[u8]) -> bool) -> String {
    let talk = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(request).await.unwrap();
        let (mut bytes, mut chunk) = (Vec::new(), [0; 8192]);
        while !is_all(&bytes) {
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    tokio::time::timeout(PATIENCE, talk).await.expect("the server hangs")
}

/// Nobody listens there.
fn no_registry(data: &Path) -> Settings {
    let config = discovery::Config {
        registry: vec![SocketAddr::from(([127, 0, 0, 1], 9))],
        ..discovery::Config::default()
    };
    Settings { config, token: None, cache_dir: data.join("discovery") }
}
