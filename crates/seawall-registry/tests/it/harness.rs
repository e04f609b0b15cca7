//! A registry on a free port and in a folder of its own, and the plainest HTTP client there is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use seawall_cluster::{Deps, Settings};
use seawall_net::clock::SystemClock;
use seawall_net::host::{End, Host, Life, Plants, Running};
use seawall_net::listeners::{Exposure, Listeners};
use seawall_net::tasks::Tasks;
use seawall_net::telemetry::Scope;
use seawall_registry::{Config, StartError, start};
use seawall_store::{Files, Options};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Ten times what anything here should take.
pub(crate) const HANG: Duration = Duration::from_secs(20);

pub(crate) struct Registry {
    pub(crate) addr: std::net::SocketAddr,
    pub(crate) running: Running,
    pub(crate) metrics: Scope,
    /// Last, so that the files are closed before their folder goes.
    _dir: Option<TempDir>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let wanted = |line: &&str| line.split(':').next().is_some_and(|n| n.eq_ignore_ascii_case(name));
        self.head.lines().find(wanted).and_then(|line| line.split_once(": ")).map(|(_, value)| value)
    }

    pub(crate) fn index(&self) -> u64 {
        self.header("X-Consul-Index").expect("an index header").parse().unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

/// A registry with a folder of its own.
pub(crate) async fn registry() -> Registry {
    registry_with(Config::default()).await
}

pub(crate) async fn registry_with(config: Config) -> Registry {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = registry_in(dir.path(), config).await.unwrap();
    registry._dir = Some(dir);
    registry
}

/// A registry in a folder that may have been used before, as another process would start it.
pub(crate) async fn registry_in(dir: &Path, config: Config) -> Result<Registry, StartError> {
    let config = Config { listen: "127.0.0.1:0".parse().unwrap(), ..config };
    let clock = Arc::new(SystemClock::new());
    let tasks = Tasks::new(Handle::current());
    let host = Host {
        clock: clock.clone(),
        listeners: Listeners::new(Exposure::default()),
        metrics: Scope::new("registry"),
        tasks,
        workers: 2,
        seed: 7,
        life: Life::default(),
        plants: Plants::default(),
    };
    let options = Options { data: dir.to_owned(), clock, seed: 7, plants: Default::default() };
    let metrics = host.metrics.clone();
    let discovery = Settings { config: Default::default(), token: None, cache_dir: dir.to_owned() };
    let (_, live) = watch::channel(Arc::new(config.clone()));
    let deps = Deps { host, files: Files::new(options), discovery, config: live };
    let running = start(config, deps).await?;
    Ok(Registry { addr: running.endpoints[0].addr, running, metrics, _dir: None })
}

impl Registry {
    /// Sends bytes and reads until the registry closes.
    pub(crate) async fn send(&self, bytes: &[u8]) -> Answer {
        let exchange = async {
            let mut stream = TcpStream::connect(self.addr).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            read
        };
        let read = tokio::time::timeout(HANG, exchange).await.expect("an answer");
        let end = read.windows(4).position(|w| w == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8(read[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: read[end + 4..].to_vec() }
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: registry\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.send(&[head.as_bytes(), body].concat()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, b"").await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Answer {
        self.call("PUT", path, body.as_bytes()).await
    }

    /// A write that must succeed.
    pub(crate) async fn done(&self, path: &str, body: &str) {
        let answer = self.put(path, body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }

    /// Registers `web` with a TTL check that passes.
    pub(crate) async fn web(&self, id: &str, ttl: &str) {
        let body =
            format!(r#"{{"Name":"web","ID":"{id}","Port":80,"Check":{{"TTL":"{ttl}","Status":"passing"}}}}"#);
        self.done("/v1/agent/service/register", &body).await;
    }

    pub(crate) async fn stop(self) {
        self.running.stop(Duration::from_secs(2));
        let end = tokio::time::timeout(HANG, self.running.ended()).await.expect("an end");
        assert!(matches!(end, End::Stopped(_)), "{end:?}");
    }

    /// One counter's value.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        let text = self.metrics.encode();
        let line = text.lines().find_map(|l| l.strip_prefix(&format!("seawall_registry_{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }
}
