//! A balancer on ports of its own, with checks quick enough for tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall_balancer::Config;
use seawall_balancer::api::{Backend as Shown, Backends, Pool};
use seawall_balancer::config::{Admin, Route};
use seawall_cluster::{Deps, Settings, discovery};
use seawall_net::clock::SystemClock;
use seawall_net::host::{End, Host, Life, Plants, Running};
use seawall_net::listeners::{Exposure, Listeners};
use seawall_net::tasks::Tasks;
use seawall_net::telemetry::Scope;
use seawall_store::{Files, Options};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::backend::Backend;
use crate::client::{Answer, Client};

/// Longest wait for something that should come at once.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Rig {
    pub(crate) data: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) config: Config,
    changes: watch::Sender<Arc<Config>>,
    running: Running,
    runtime: Runtime,
    _dir: tempfile::TempDir,
}

/// A route from `host` to `backends`.
pub(crate) fn route(host: &str, backends: &[&Backend]) -> Route {
    let backends = backends.iter().map(|b| b.addr).collect();
    Route { host: host.to_owned(), backends, ..Route::default() }
}

fn nowhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl Rig {
    /// In front of these, as `one.test`.
    pub(crate) fn with(backends: &[&Backend]) -> Rig {
        Rig::configured(backends, |_| {})
    }

    pub(crate) fn configured(backends: &[&Backend], change: impl FnOnce(&mut Config)) -> Rig {
        let mut config = Config { route: vec![route("one.test", backends)], ..Config::default() };
        change(&mut config);
        let rig = Rig::start(config, discovery::Config::default());
        // Whatever is asserted afterwards should not depend on whose first check was quicker.
        rig.until("every backend is checked", |pools| {
            pools.iter().flat_map(|p| &p.backends).all(|b| b.health != "unchecked")
        });
        rig
    }

    pub(crate) fn start(mut config: Config, discovery: discovery::Config) -> Rig {
        let ms = Duration::from_millis;
        (config.probe.interval, config.probe.timeout) = (ms(100), ms(100));
        (config.listen, config.admin) = (nowhere(), Admin { listen: nowhere() });
        let dir = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let clock = Arc::new(SystemClock::new());
        let host = Host {
            clock: clock.clone(),
            listeners: Listeners::new(Exposure::default()),
            metrics: Scope::new("balancer"),
            tasks: Tasks::new(runtime.handle().clone()),
            workers: 2,
            seed: 7,
            life: Life::default(),
            plants: Plants::default(),
        };
        let (changes, config_read) = watch::channel(Arc::new(config.clone()));
        let files = Files::new(Options {
            data: dir.path().join("data"),
            clock,
            seed: 7,
            plants: seawall_store::Plants::default(),
        });
        let settings = Settings { config: discovery, token: None, cache_dir: dir.path().join("cache") };
        let deps = Deps { host, files, discovery: settings, config: config_read };
        let running = runtime.block_on(seawall_balancer::start(config.clone(), deps)).unwrap();
        let (data, admin) = (running.endpoints[0].addr, running.endpoints[1].addr);
        Rig { data, admin, config, changes, running, runtime, _dir: dir }
    }

    pub(crate) fn client(&self) -> Client {
        Client::to(self.data)
    }

    /// One request on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.client().get(path).unwrap()
    }

    pub(crate) fn ask(&self, path: &str) -> Answer {
        Client::to(self.admin).get(path).unwrap()
    }

    pub(crate) fn pools(&self) -> Vec<Pool> {
        serde_json::from_slice::<Backends>(&self.ask("/backends").body).unwrap().pools
    }

    pub(crate) fn shown(&self, backend: &Backend) -> Shown {
        let all = self.pools().into_iter().flat_map(|p| p.backends);
        all.into_iter().find(|b| b.address == backend.addr).expect("a backend of the table")
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.pools().iter().flat_map(|p| &p.backends).map(|b| b.in_flight).sum()
    }

    pub(crate) fn metrics(&self) -> String {
        self.ask("/metrics").text()
    }

    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&[Pool]) -> bool) {
        wait(what, || is_so(&self.pools()));
    }

    pub(crate) fn reconfigure(&self, change: impl FnOnce(&mut Config)) {
        let mut config = self.config.clone();
        change(&mut config);
        self.changes.send_replace(Arc::new(config));
    }

    pub(crate) fn stop(&self, grace: Duration) {
        self.running.stop(grace);
    }

    pub(crate) fn ended(self) -> End {
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, self.running.ended()).await.expect("an end") })
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's hang guard")]
pub(crate) fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
