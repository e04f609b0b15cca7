//! The graph: objects and associations behind a write-through cache, TAO's API, spoken to by any Redis client.
//!
//! ```text
//!  RESP ─┐                                        ┌─ fill, range, write ─►  leader: memory ──► storage (commit)
//!        ├─ api ──► service ──► follower: memory ─┤                                                 │
//!  HTTP ─┘                                        └─◄──────────── news, in the order of commits ────┘
//! ```
//!
//! ## Where to start reading
//!
//! The life of a read: [`api`] parses, [`service`] knows the schema, and the [`follower`] answers from its memory
//! ([`cache`]). What it does not have it asks the [`leader`], which asks [`storage`]. The life of a write goes the same
//! way down: one batch with both directions of an association, both counts and both pieces of news ([`storage`]), and
//! what came of it ([`message`]) is applied to both memories before it is answered.
//!
//! ## What is absent
//!
//! No lock between processes: one leads ([`leader`]), and the store refuses whoever only believes that it does. No
//! invalidation that can be lost: followers read the store's change stream and remember how far. No query language:
//! what cannot be answered from one list is two calls.

pub mod api;
pub mod cache;
pub mod call;
mod config;
pub mod degrade;
pub mod edges;
pub mod follower;
pub mod id;
pub mod leader;
pub mod limits;
pub mod message;
pub mod metrics;
pub mod schema;
pub mod service;
mod stack;
pub mod storage;
pub mod targets;
pub mod ticket;

use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use seawall_cluster::{Deps, Discovery, Registration};
use seawall_net::admission::Admission;
use seawall_net::host::{Drained, End, Endpoint, Fault, Host, Running, State};
use seawall_net::listeners::Purpose;
use seawall_net::load;
use seawall_net::tasks::Tasks;
use seawall_store::{Files, ShardSet};

use crate::degrade::Ladders;
use crate::follower::Follower;
use crate::leader::{Holder, Leader, Upstream};
use crate::metrics::{Memory, Metrics};
use crate::schema::Schema;
use crate::service::Service;
use crate::storage::Storage;

pub use config::Config;

/// The name under which the registry and the configuration know this system.
pub const NAME: &str = "graph";
/// The name under which the registry knows its RESP port: whoever looks for `graph` wants HTTP.
pub const RESP_NAME: &str = "graph-resp";

/// How often the use of memory is shown.
const SHOW: Duration = Duration::from_secs(1);

/// What a start is made of, below its sockets.
struct Parts {
    service: Arc<Service>,
    leader: Arc<Leader>,
    ladders: Ladders,
}

/// Starts the system; returns when its sockets accept.
///
/// # Errors
/// An address cannot be bound, the store cannot be opened, or the schema cannot be used; the fault says what to do.
pub async fn start(config: Config, deps: Deps<Config>) -> Result<Running, Fault> {
    let host = deps.host;
    let http = host.listeners.tcp("graph.listen", config.listen, Purpose::Api)?;
    let resp = host.listeners.tcp("graph.resp_listen", config.resp_listen, Purpose::Api)?;
    let (http_addr, resp_addr) = (http.addr, resp.addr);
    let Parts { service, leader, ladders, .. } =
        build(&config, &host, deps.files, http_addr.to_string()).await?;
    let state = ladders.state();

    let admission = Admission::shedding(config.in_flight_max, config.shed.clone(), &host.metrics);
    load::watch(&admission, &host);
    let http_server = stack::http(&service, &config, &admission, state.clone(), &host);
    let resp_server = api::resp::server(service, admission, &config);
    let serving = host.clone();
    host.tasks.vital("graph-serve", async move {
        let (on_http, on_resp) =
            tokio::join!(http_server.serve(http, &serving), resp_server.serve(resp, &serving));
        // After the last write is answered, so that the next leader need not wait.
        leader.release().await;
        serving.tasks.finish(End::Stopped(Drained { left: on_http.left + on_resp.left }));
    });

    // Last: nobody should be sent here before it leads, and nothing above needs the registry.
    let discovery = Discovery::start(deps.discovery, &host);
    let (mut first_ready, tasks) = (state.clone(), host.tasks.clone());
    host.tasks.vital("graph-register", async move {
        tokio::select! {
            _ = first_ready.wait_for(State::is_ready) => {
                discovery.register(registration(NAME, http_addr, &config));
                discovery.register(registration(RESP_NAME, resp_addr, &config));
            }
            _ = tasks.stopping() => {}
        }
    });
    Ok(Running::new(endpoints(http_addr, resp_addr), state, &host.tasks))
}

/// The system without its sockets, as `start` serves it. It leads when this returns, unless another process does.
///
/// # Errors
/// The store cannot be opened, or the schema cannot be used; the fault says what to do.
pub async fn open(config: &Config, host: &Host, files: Files) -> Result<Arc<Service>, Fault> {
    Ok(build(config, host, files, nowhere(host).await?).await?.service)
}

/// A leader alone, without a follower: what followers elsewhere call.
///
/// # Errors
/// As [`open`].
pub async fn lead(config: &Config, host: &Host, files: Files) -> Result<Upstream, Fault> {
    let metrics = Metrics::new(&host.metrics);
    let ladders = Ladders::new(config, &host.clock, &metrics);
    let address = nowhere(host).await?;
    Ok(lead_at(config, host, files, address, &ladders, &metrics).await?.upstream())
}

async fn build(config: &Config, host: &Host, files: Files, address: String) -> Result<Parts, Fault> {
    let metrics = Metrics::new(&host.metrics);
    let ladders = Ladders::new(config, &host.clock, &metrics);
    let leader = lead_at(config, host, files, address, &ladders, &metrics).await?;
    let upstream = leader.upstream();
    let drops = host.plants.has("drop-invalidation");
    let follower = Follower::new(config, upstream.clone(), host.clock.clone(), metrics.clone(), drops);
    for shard in 0..config.shards {
        host.tasks.vital("graph-follow", follower.clone().follow(shard, host.tasks.clone()));
    }
    let shown = show(leader.clone(), follower.clone(), metrics.clone(), host.tasks.clone());
    host.tasks.vital("graph-metrics", shown);
    let parts = service::Parts { follower, upstream, clock: host.clock.clone(), metrics };
    Ok(Parts { service: Service::new(parts), leader, ladders })
}

/// Opens the store and the schema, and leads if nobody does.
async fn lead_at(
    config: &Config,
    host: &Host,
    files: Files,
    address: String,
    ladders: &Ladders,
    metrics: &Metrics,
) -> Result<Arc<Leader>, Fault> {
    let (shards, path) = (config.shards, config.schema.clone());
    let opening =
        host.tasks.blocking(move || (files.open(storage::SET, shards, storage::SCHEMA), schema_file(&path)));
    let (set, file) = opening.await.map_err(|e| Fault::because("cannot open the graph", e))?;
    let set: ShardSet = set.map_err(|e| Fault::because("cannot open the graph", e))?;
    let storage = Storage::new(set, host.clock.clone());
    let schema = leader::choose_schema(&storage, file?).await;
    let schema = schema.map_err(|e| Fault::because("cannot use the schema of the graph", e))?;
    let leader = Arc::new(Leader::new(config, storage, schema, ladders.clone(), host, metrics.clone()));
    let mut holder = Holder::new(&leader, random_name(host).await?, address, &host.tasks);
    holder.look().await;
    host.tasks.vital("graph-lease", holder.run());
    leader.start(host);
    host.tasks.vital("graph-ladder", ladders.clone().run(host.tasks.clone()));
    Ok(leader)
}

/// The schema file, if one is configured.
fn schema_file(path: &Path) -> Result<Option<Schema>, Fault> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Fault::because(format!("cannot read graph.schema = {name:?}"), e))?;
    let parsed = Schema::parse(&text);
    parsed.map(Some).map_err(|wrong| Fault::new(format!("graph.schema = {name:?}: {}", wrong.join("; "))))
}

/// Where nobody listens: no other process can be there.
async fn nowhere(host: &Host) -> Result<String, Fault> {
    Ok(format!("nowhere: {}", random_name(host).await?))
}

/// A name for this start of this process that no other has.
async fn random_name(host: &Host) -> Result<String, Fault> {
    let draw = || {
        let mut bytes = [0; 16];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
    };
    let drawn = host.tasks.blocking(draw).await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
    drawn.map_err(|e| Fault::because("cannot read /dev/urandom", e))
}

/// Shows how both memories do, and how far the follower is behind.
async fn show(leader: Arc<Leader>, follower: Arc<Follower>, metrics: Metrics, tasks: Tasks) {
    let upstream = leader.upstream();
    loop {
        metrics.usage(Memory::Follower, follower.usage());
        metrics.usage(Memory::Leader, leader.usage());
        for shard in 0..upstream.shards() {
            let position = upstream.changed(shard).borrow().0;
            let behind = position.saturating_sub(follower.applied(shard).0);
            metrics.lag(shard, behind, follower.lag(shard));
        }
        if !tasks.sleep(SHOW).await {
            return;
        }
    }
}

fn registration(service: &str, addr: SocketAddr, config: &Config) -> Registration {
    Registration {
        service: service.to_owned(),
        id: format!("{service}-{}-{}", addr.ip(), addr.port()),
        addr,
        tags: Vec::new(),
        meta: Default::default(),
        ttl: config.heartbeat_ttl,
    }
}

fn endpoints(http: SocketAddr, resp: SocketAddr) -> Vec<Endpoint> {
    let by_redis = format!("redis-cli -h {} -p {} OBJ.ADD user FIELDS name ann", resp.ip(), resp.port());
    vec![
        Endpoint { what: "graph, HTTP", addr: http, try_it: format!("curl http://{http}/v1/schema") },
        Endpoint { what: "graph, RESP", addr: resp, try_it: by_redis },
    ]
}
