//! The discovery client: a live list of the instances of each service, that outlives the registry.
//!
//! ## What a caller gets when the registry is gone
//!
//! The registry document's fallback, in order: the live answer; the last answer, kept in memory and in a file
//! so that a cold start finds it; a list from the configuration; nothing. A list is always handed out with its
//! [`Freshness`], because "nobody offers this service" and "nobody can say" call for different reactions: an
//! unreachable registry never shows as an empty list.
//!
//! ## What it does not do
//!
//! It does not pick an instance and does not judge them: that is a [`Pool`]'s, or a balancer's. The registries
//! themselves are in such a pool, so that all watches of this process stop asking one that does not answer.

mod cache;
mod register;
mod watch_loop;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use seawall_net::client::Client;
use seawall_net::host::Host;
use seawall_policy::{Wall, breaker};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::pool::Pool;
use cache::Kept;
pub use register::Registration;

/// Services one client watches; asking for more is refused with the static list, and logged.
const SERVICES_MAX: usize = 1_024;

/// The `[discovery]` section: how every system of this process finds the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Registries, tried in turn.
    pub registry: Vec<SocketAddr>,
    /// What to do when no registry has answered for longer than `stale_max`.
    pub when_unreachable: WhenUnreachable,
    /// How old a list may get before `fail-closed` drops it (the registry document names no number; an hour
    /// outlasts its longest recovery target of 30 to 60 minutes).
    #[serde(with = "seawall_policy::duration")]
    pub stale_max: Duration,
    /// A file with the token for a registry that other machines can reach. Empty: none.
    pub token_file: PathBuf,
    /// Used for a service that no registry and no cache knows: `links = ["127.0.0.1:7010"]`.
    #[serde(rename = "static")]
    pub fixed: BTreeMap<String, Vec<SocketAddr>>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            registry: vec![SocketAddr::from(([127, 0, 0, 1], 8500))],
            when_unreachable: WhenUnreachable::FailOpen,
            stale_max: Duration::from_secs(3600),
            token_file: PathBuf::new(),
            fixed: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Everything wrong with the section, each with advice.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.registry.is_empty() {
            wrong.push("discovery.registry: name at least one registry, as \"127.0.0.1:8500\"".into());
        }
        if self.stale_max < Duration::from_secs(1) {
            wrong.push("discovery.stale_max: use 1s or more; a registry restart takes as long".into());
        }
        for (service, addrs) in &self.fixed {
            if addrs.is_empty() {
                wrong.push(format!("discovery.static.{service}: name an address, or leave the service out"));
            }
        }
        wrong
    }
}

/// What an unreachable registry means to callers once the list is older than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenUnreachable {
    /// Go on with the last list: most instances are still there.
    FailOpen,
    /// Hand out nothing: a wrong instance would be worse than none.
    FailClosed,
}

/// The section, and where this process keeps its files.
#[derive(Debug, Clone)]
pub struct Settings {
    /// As configured.
    pub config: Config,
    /// The token itself.
    pub token: Option<String>,
    /// Directory of the last answers.
    pub cache_dir: PathBuf,
}

/// One instance of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Unique among the instances of all services.
    pub id: String,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its share of traffic relative to the others; 1 unless it said otherwise.
    pub weight: u32,
    /// As registered.
    pub tags: Vec<String>,
    /// As registered.
    pub meta: BTreeMap<String, String>,
}

/// What is known of a service, and how well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Those that pass their checks, ordered by id.
    pub instances: Arc<[Instance]>,
    /// How far to trust it.
    pub freshness: Freshness,
}

/// How far to trust a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// The registry's latest answer; an empty list means that nobody offers the service.
    Fresh,
    /// The registry's answer of that moment; it cannot be asked now.
    Cached {
        /// When the registry said so.
        since: Wall,
    },
    /// From the configuration; no registry has ever said anything.
    Static,
    /// Nothing is known: an empty list means just that.
    Unknown,
    /// The last list grew older than `stale_max` and `fail-closed` dropped it: nobody is to be used.
    Expired,
}

/// The discovery client of one start of a system. Cheap to clone.
#[derive(Clone)]
pub struct Discovery(Arc<Inner>);

struct Inner {
    settings: Settings,
    host: Host,
    client: Client,
    /// The registries.
    registries: Pool,
    watched: Mutex<HashMap<String, watch::Receiver<Snapshot>>>,
}

impl Discovery {
    /// A client that asks nothing until it is told which services matter.
    #[must_use]
    pub fn start(settings: Settings, host: &Host) -> Discovery {
        let client = Client::new(host.clock.clone(), host.tasks.clone());
        let registries = Pool::new(breaker::Policy::s4_registry());
        registries.set(settings.config.registry.iter().copied());
        let (host, watched) = (host.clone(), Mutex::default());
        Discovery(Arc::new(Inner { settings, host, client, registries, watched }))
    }

    /// The instances of `service`, kept up to date. Callers asking for the same service share one watch.
    #[must_use]
    pub fn watch(&self, service: &str) -> watch::Receiver<Snapshot> {
        let mut watched = self.0.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = watched.get(service) {
            return known.clone();
        }
        let (sender, receiver) = watch::channel(self.0.settings.fallback(service));
        if watched.len() >= SERVICES_MAX {
            tracing::warn!(service, SERVICES_MAX, "too many services watched, using the static list");
            return receiver;
        }
        watched.insert(service.to_owned(), receiver.clone());
        let this = self.clone();
        let service = service.to_owned();
        self.0.host.tasks.vital("discovery-watch", async move { this.follow(service, sender).await });
        receiver
    }

    /// Registers this process as an instance, keeps it passing, and deregisters it when the system stops.
    pub fn register(&self, registration: Registration) {
        let this = self.clone();
        self.0
            .host
            .tasks
            .vital("discovery-register", async move { this.keep_registered(registration).await });
    }
}

impl Settings {
    /// What is handed out while no registry answers.
    fn without_registry(&self, service: &str, known: Option<&Kept>, now: Wall) -> Snapshot {
        let Some(kept) = known else { return self.fallback(service) };
        let age_ms = u128::try_from(now.0.saturating_sub(kept.since)).unwrap_or(0);
        let is_too_old = age_ms > self.config.stale_max.as_millis();
        if is_too_old && self.config.when_unreachable == WhenUnreachable::FailClosed {
            return Snapshot { instances: Arc::default(), freshness: Freshness::Expired };
        }
        Snapshot {
            instances: kept.instances.as_slice().into(),
            freshness: Freshness::Cached { since: Wall(kept.since) },
        }
    }

    /// What is handed out before the first answer, and when there has never been one.
    fn fallback(&self, service: &str) -> Snapshot {
        match self.config.fixed.get(service) {
            None => Snapshot { instances: Arc::default(), freshness: Freshness::Unknown },
            Some(addrs) => Snapshot {
                instances: addrs
                    .iter()
                    .map(|addr| Instance {
                        id: format!("{service}-{addr}"),
                        addr: *addr,
                        weight: 1,
                        tags: Vec::new(),
                        meta: BTreeMap::new(),
                    })
                    .collect(),
                freshness: Freshness::Static,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn a_list_that_grew_too_old_is_dropped_by_fail_closed_alone() {
        let instance = Instance {
            id: "web-1".into(),
            addr: SocketAddr::from(([127, 0, 0, 1], 1)),
            weight: 1,
            tags: Vec::new(),
            meta: BTreeMap::new(),
        };
        let kept = Kept::new(Wall(0), vec![instance]);
        let cached = Freshness::Cached { since: Wall(0) };
        let (open, closed) = (WhenUnreachable::FailOpen, WhenUnreachable::FailClosed);
        for (when_unreachable, age_ms, instances, freshness) in [
            (open, HOUR_MS, 1, cached),
            (open, HOUR_MS + 1, 1, cached),
            (closed, HOUR_MS, 1, cached),
            (closed, HOUR_MS + 1, 0, Freshness::Expired),
            // A clock that was set back makes nothing old.
            (closed, -HOUR_MS, 1, cached),
        ] {
            let config = Config { when_unreachable, ..Config::default() };
            let settings = Settings { config, token: None, cache_dir: PathBuf::new() };
            let told = settings.without_registry("web", Some(&kept), Wall(age_ms));
            assert_eq!((told.instances.len(), told.freshness), (instances, freshness), "after {age_ms} ms");
            assert_eq!(settings.without_registry("web", None, Wall(0)).freshness, Freshness::Unknown);
        }
    }
}
