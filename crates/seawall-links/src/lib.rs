//! The link shortener: short codes that never repeat, redirects from memory, links that survive a kill.
//!
//! ## Where to start reading
//!
//! The life of a redirect: [`redirect`] asks [`cache`] and answers on the spot, or through [`service`] and
//! [`storage`] when it does not know. The life of a create: [`api`] parses, [`service`] checks the URL
//! ([`safety`]), takes a code ([`allocator`], [`codes`]) and writes one row ([`storage`]).
//!
//! Several processes share one set of files. They agree on codes through leased blocks, and on what was deleted
//! through the change stream ([`follow`]). What happens when one of these is lost is in [`degrade`].
//!
//! ## What is absent
//!
//! No name look-up of a target, no count of clicks, no lock between processes. The registry is told where we
//! are and never asked: links work the same without it.

pub mod allocator;
pub mod api;
pub mod cache;
pub mod codes;
mod config;
pub mod degrade;
pub mod follow;
pub mod guard;
pub mod metrics;
pub mod name;
pub mod redirect;
pub mod safety;
pub mod service;
mod stack;
pub mod storage;
pub mod targets;

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;

use seawall_cluster::{Deps, Discovery, Registration};
use seawall_net::admission::Admission;
use seawall_net::host::{End, Endpoint, Fault, Host, Running};
use seawall_net::listeners::Purpose;
use seawall_net::load;
use seawall_net::ops::Ops;
use seawall_net::server::{Limits, Server};
use seawall_policy::deadline::Deadline;
use seawall_store::{Files, ShardSet};

use crate::allocator::Allocator;
use crate::api::Api;
use crate::cache::Cache;
use crate::codes::Codes;
use crate::degrade::Ladder;
use crate::follow::Follower;
use crate::metrics::Metrics;
use crate::redirect::Redirects;
use crate::safety::Rules;
use crate::service::Service;
use crate::storage::{Storage, Trouble};

pub use config::Config;

/// The name under which the registry and the configuration know this system.
pub const NAME: &str = "links";

/// Starts the system; returns when its socket accepts.
///
/// # Errors
/// The address cannot be bound, or the store cannot be opened; the fault says what to do.
pub async fn start(config: Config, deps: Deps<Config>) -> Result<Running, Fault> {
    let host = deps.host;
    let bound = host.listeners.tcp("links.listen", config.listen, Purpose::Api)?;
    let service = open(&config, &host, deps.files).await?;
    let state = service.ladder.state();

    let planted = host.plants.has("panic").then(|| host.tasks.clone());
    let api = Api {
        service: service.clone(),
        public_url: config.public_url.trim_end_matches('/').to_owned(),
        body_max: config.body_max,
    };
    let addr = bound.addr;
    let admission = Admission::shedding(config.in_flight_max, config.shed.clone(), &host.metrics);
    load::watch(&admission, &host);
    let server = Server {
        exchange: Arc::new(Redirects::new(service.clone(), planted)),
        general: stack::router(&service, api, &config, &host),
        admission,
        limits: Limits { deadline: config.deadline, ..Limits::default() },
        ops: Some(Ops::new(NAME, state.clone(), &host)),
    };
    let serving = host.clone();
    host.tasks.vital("links-http", async move {
        let drained = server.serve(bound, &serving).await;
        serving.tasks.finish(End::Stopped(drained));
    });
    service.ladder.started();

    // Last: nobody should be sent here before the socket accepts, and nothing above needs the registry.
    Discovery::start(deps.discovery, &host).register(registration(&config, addr));
    Ok(Running::new(vec![endpoint(addr)], state, &host.tasks))
}

/// The system without its socket: opens the store, agrees on the secret, and follows the shards from where they
/// stand. What `start` serves.
///
/// # Errors
/// The store cannot be opened, read or written; the fault says what to do.
pub async fn open(config: &Config, host: &Host, files: Files) -> Result<Arc<Service>, Fault> {
    let shards = config.shards;
    let opening = host.tasks.blocking(move || {
        let set = files.open(storage::SET, shards, storage::SCHEMA);
        (set, random_secret())
    });
    let (set, fresh) = opening.await.map_err(|e| Fault::because("cannot open the links", e))?;
    let set: ShardSet = set.map_err(|e| Fault::because("cannot open the links", e))?;
    let fresh = fresh.map_err(|e| Fault::because("cannot read /dev/urandom", e))?;

    let ladder = Ladder::new(shards);
    let metrics = Metrics::new(&host.metrics);
    let storage = Arc::new(Storage::new(set, config, &host.clock, &ladder, &metrics));
    let deadline = Deadline::after(host.clock.now(), config.deadline);
    let secret = storage.secret(fresh, deadline).await.map_err(|t| unreadable(&t))?;

    let cache = Arc::new(Cache::new(config.cache_entries, shards, config.cache_ttl));
    for shard in 0..shards {
        let from = storage.position(shard).await.map_err(|t| unreadable(&t))?;
        // What is older is not to be remembered: its news, told before, will not reach us.
        cache.forget_all(shard, from);
        let follower = Follower {
            storage: storage.clone(),
            cache: cache.clone(),
            ladder: ladder.clone(),
            metrics: metrics.clone(),
            shard,
            from,
        };
        host.tasks.vital("links-follow", follower.run(host.tasks.clone()));
    }

    let placed = storage.shards().clone();
    let own = config.domains.iter().cloned().chain(config.public_host()).collect::<Vec<_>>();
    Ok(Arc::new(Service {
        allocator: Allocator::new(Codes::new(&secret), shards, move |name| placed.index_of(name.hk())),
        rules: Rules::new(own.iter().map(String::as_str), config.url_len_max),
        storage,
        cache,
        ladder,
        metrics,
        clock: host.clock.clone(),
        block_size: config.block_size,
        secret,
    }))
}

fn unreadable(trouble: &Trouble) -> Fault {
    Fault::new(format!(
        "the links cannot be read or written ({trouble:?}); is the disk full or the file locked?"
    ))
}

/// Sixteen bytes from the operating system.
fn random_secret() -> std::io::Result<[u8; 16]> {
    let mut secret = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut secret)?;
    Ok(secret)
}

fn registration(config: &Config, addr: SocketAddr) -> Registration {
    Registration {
        service: NAME.to_owned(),
        id: format!("{NAME}-{}-{}", addr.ip(), addr.port()),
        addr,
        tags: Vec::new(),
        meta: Default::default(),
        ttl: config.heartbeat_ttl,
    }
}

fn endpoint(addr: SocketAddr) -> Endpoint {
    Endpoint {
        what: "API and redirects",
        addr,
        try_it: format!("curl -d '{{\"url\":\"https://example.org/\"}}' http://{addr}/api/v1/links"),
    }
}
