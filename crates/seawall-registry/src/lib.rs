//! Service discovery: who offers what, where, and whether it is well.
//!
//! Speaks Consul's HTTP API, so that existing clients, templates and load balancers work unchanged.
//!
//! ## The life of a registration
//!
//! `api` reads the bytes into a call; `service` turns it into a command; `storage` puts the command in order,
//! on disk, and applies it to the `machine`; `state` sets the deadlines that follow (`leases`) and wakes
//! whoever waits (`watch`); `api` answers, and gives all who asked the same one and the same encoded answer.
//!
//! Start reading at [`machine`]: it is what everything else serves.
//!
//! ## What is absent
//!
//! Per-agent state (any registry node answers for every service), heartbeats on disk, and anything that
//! depends on who orders the commands: one node and one table do so now, consensus later.

pub mod api;
pub mod config;
pub mod leases;
pub mod machine;
pub mod metrics;
pub mod read;
pub mod service;
pub mod stack;
pub mod state;
pub mod storage;
pub mod targets;
pub mod watch;

use seawall_cluster::Deps;
use seawall_net::host::{End, Endpoint, Host, Running, State};
use seawall_net::listeners::{BindError, Purpose};
use seawall_policy::Rng;

use api::parse::Rules;
pub use config::Config;
use machine::Machine;
use metrics::Metrics;
use service::{Bounds, Denied, Identity, Registry};

/// Why the registry did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The data.
    #[error(transparent)]
    Storage(#[from] storage::OpenError),
    /// Its own entry could not be written.
    #[error("cannot write the registry's own entry: {0:?}")]
    Announce(Denied),
}

/// Starts the registry; returns once it accepts connections.
///
/// # Errors
/// See [`StartError`].
pub async fn start(config: Config, deps: Deps<Config>) -> Result<Running, StartError> {
    let Deps { host, files, .. } = deps;
    // The port first: whoever finds it taken must not take the data from its holder either.
    let bound = host.listeners.tcp("registry.listen", config.listen, Purpose::Api)?;
    let addr = bound.addr;
    let metrics = Metrics::new(&host.metrics);
    let (disk, machine) = storage::open(&files, &host.tasks, host.clock.clone()).await?;
    tracing::info!(index = machine.index(), instances = machine.instances(), "registry read back");
    let me = identity(&config, &machine, addr.port(), &host);
    let hub = watch::Hub::new(config.watchers_max);
    let state = state::State::new(machine, hub, host.clock.clone());
    let log = disk.run(&state, &metrics, &host.tasks);
    let bounds = Bounds { instances_max: config.instances_max, kv_bytes_max: config.kv_total_max };
    let registry = Registry::new((state, log), me, bounds, &host, metrics);
    registry.announce().await.map_err(StartError::Announce)?;
    host.tasks.vital("registry clock", registry.clone().keep_time());

    let rules = Rules { datacenter: config.datacenter.clone(), kv_value_max: config.kv_value_max as usize };
    let (ready, state) = tokio::sync::watch::channel(State::Ready);
    let server = stack::server(&config, api::router(registry, rules), state.clone(), &host);
    let serving = host.clone();
    host.tasks.vital("registry http", async move {
        let drained = server.serve(bound, &serving).await;
        serving.tasks.finish(End::Stopped(drained));
        drop(ready);
    });
    let try_it = format!("curl http://{addr}/v1/catalog/services");
    let endpoints = vec![Endpoint { what: "Consul HTTP API", addr, try_it }];
    Ok(Running::new(endpoints, state, &host.tasks))
}

/// Who this registry is: its node keeps the id it was first given.
fn identity(config: &Config, machine: &Machine, port: u16, host: &Host) -> Identity {
    let known = machine.node(&config.node_name).map(|node| node.id.clone()).filter(|id| !id.is_empty());
    let mut rng = Rng::new(host.seed ^ host.clock.wall().0 as u64);
    Identity {
        node: config.node_name.clone(),
        id: known.unwrap_or_else(|| uuid(&mut rng)),
        datacenter: config.datacenter.clone(),
        address: config.advertise.to_string(),
        port,
    }
}

/// A random (version 4) UUID.
fn uuid(rng: &mut Rng) -> String {
    let bits = (u128::from(rng.next_u64()) << 64) | u128::from(rng.next_u64());
    let versioned = (bits & !(0xf << 76) & !(0b11 << 62)) | (4 << 76) | (0b10 << 62);
    let hex = format!("{versioned:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
