//! Starts the system as a supervisor would, on port 0 and with nobody to register with.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use seawall_cluster::Deps;
use seawall_cluster::discovery::{self, Settings};
use seawall_links::Config;
use seawall_net::clock::SystemClock;
use seawall_net::host::{End, Fault, Host, Life, Plants, Running};
use seawall_net::listeners::{Exposure, Listeners};
use seawall_net::tasks::Tasks;
use seawall_net::telemetry::Scope;
use seawall_policy::Clock;
use seawall_store::{Files, Options};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// A running system.
pub(crate) struct Process {
    pub(crate) addr: SocketAddr,
    pub(crate) running: Running,
    pub(crate) host: Host,
}

impl Process {
    /// Stops it and waits until it has ended.
    pub(crate) async fn stop(self) {
        self.running.stop(Duration::from_millis(100));
        assert!(matches!(self.running.ended().await, End::Stopped(_)));
    }

    /// The value of a metric line.
    pub(crate) fn metric(&self, line: &str) -> u64 {
        let text = self.host.metrics.encode();
        let found = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or(0)
    }
}

pub(crate) fn config() -> Config {
    Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Config::default() }
}

pub(crate) fn host() -> Host {
    Host {
        clock: Arc::new(SystemClock::new()),
        listeners: Listeners::new(Exposure::default()),
        metrics: Scope::new("links"),
        tasks: Tasks::new(Handle::current()),
        workers: 1,
        seed: 1,
        life: Life::default(),
        plants: Plants::default(),
    }
}

/// The files of one process. Two values on one directory are two processes, as far as SQLite can tell.
pub(crate) fn files(data: &Path, clock: &Arc<dyn Clock>, seed: u64) -> Files {
    Files::new(Options { data: data.to_owned(), clock: clock.clone(), seed, plants: Default::default() })
}

/// Nobody listens there.
fn no_registry(data: &Path) -> Settings {
    let config = discovery::Config {
        registry: vec![SocketAddr::from(([127, 0, 0, 1], 9))],
        ..discovery::Config::default()
    };
    Settings { config, token: None, cache_dir: data.join("discovery") }
}

pub(crate) async fn try_start(
    config: Config,
    host: Host,
    files: Files,
    data: &Path,
) -> Result<Process, Fault> {
    let live = watch::channel(Arc::new(config.clone())).1;
    let deps = Deps { host: host.clone(), files, discovery: no_registry(data), config: live };
    let running = seawall_links::start(config, deps).await?;
    Ok(Process { addr: running.endpoints[0].addr, running, host })
}

/// A process of its own on these files.
pub(crate) async fn start_with(config: Config, data: &Path) -> Process {
    let host = host();
    let files = files(data, &host.clock, 7);
    try_start(config, host, files, data).await.unwrap_or_else(|e| panic!("{}", seawall_net::host::chain(&e)))
}

pub(crate) async fn start(data: &Path) -> Process {
    start_with(config(), data).await
}
