//! Chat: guilds, channels and messages behind Discord's gateway and REST, with sessions that survive a crash.
//!
//! ```text
//!  REST (api) ─────────── submit ──────────►  owner: one actor per guild ──► storage (commit) ──► change stream
//!                                               │ ephemeral (typing, presence)                        │
//!  gateway: session, view ◄── ring ◄── journal ◄┴────────────── subscribe (news in order) ◄───────────┘
//! ```
//!
//! ## Where to start reading
//!
//! The life of a message: [`api`] reads the call, [`owner`] decides, [`storage`] keeps it; only then it is answered,
//! and only from the change stream does the [`gateway`] hear of it, write it to its journal and to its sessions.
//!
//! ## What is absent
//!
//! No voice, no files, no push. A process without the owner's lease serves everything all the same: it asks whoever
//! has it.

pub mod api;
pub mod command;
mod config;
pub mod degrade;
pub mod event;
pub mod gateway;
pub mod id;
pub mod metrics;
pub mod model;
pub mod owner;
pub mod page;
pub mod permissions;
pub mod refusal;
pub mod search;
mod service;
mod stack;
pub mod state;
pub mod storage;
pub mod targets;

use std::net::SocketAddr;
use std::sync::Arc;

use seawall_cluster::{Deps, Discovery, Registration};
use seawall_net::admission::Admission;
use seawall_net::host::{End, Endpoint, Fault, Running};
use seawall_net::listeners::Purpose;
use seawall_net::load;
use seawall_net::ops::Ops;
use seawall_net::server::{Limits, Server};

use crate::degrade::Ladder;
use crate::gateway::Calm;
use crate::service::Service;
use crate::stack::Door;

pub use config::Config;

/// The name under which the registry and the configuration know this system.
pub const NAME: &str = "chat";

/// Starts the system; returns when its socket accepts.
///
/// # Errors
/// The address cannot be bound, or the store or the journal cannot be opened; the fault says what to do.
pub async fn start(config: Config, deps: Deps<Config>) -> Result<Running, Fault> {
    let host = deps.host;
    // Every write carries a chat token anyway; the operator's calls look at the exposure's tokens themselves.
    let bound = host.listeners.tcp("chat.listen", config.listen, Purpose::Proxy)?;
    let addr = bound.addr;
    let admission = Admission::shedding(config.in_flight_max, config.shed.clone(), &host.metrics);
    let ladder = Ladder::new(config.ladder.clone(), host.clock.now(), &host.metrics);
    let states = ladder.state();
    let calm = Calm { admission: admission.clone(), ladder: ladder.clone() };
    let service = Service::open(&config, &host, deps.files, addr, calm).await?;

    load::watch(&admission, &host);
    let server = Server {
        exchange: Arc::new(Door::new(service.hub.clone(), &host)),
        general: stack::router(&service, &config, addr, &host),
        admission: admission.clone(),
        limits: Limits {
            deadline: config.deadline,
            connections_max: config.connections_max,
            ..Limits::default()
        },
        ops: Some(Ops::new(NAME, states.clone(), &host)),
    };
    ladder.start(&admission, &service.owner, &service.search, &host);
    let serving = host.clone();
    host.tasks.vital("chat-http", async move {
        let drained = server.serve(bound, &serving).await;
        service.owner.release().await;
        serving.tasks.finish(End::Stopped(drained));
    });

    // Last: nobody should be sent here before the socket accepts, and nothing above needs the registry.
    Discovery::start(deps.discovery, &host).register(registration(&config, addr));
    Ok(Running::new(vec![endpoint(addr)], states, &host.tasks))
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
    Endpoint { what: "chat", addr, try_it: format!("curl http://{addr}/api/v10/gateway") }
}
