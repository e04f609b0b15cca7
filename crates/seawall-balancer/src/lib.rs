//! The L7 balancer: one address in front of many, which notices at once when one of them fails.
//!
//! Start reading at [`exchange`]: the life of a request, decided without touching a socket. It looks up a
//! [`table`], draws from a pool by [`pick`], and learns about each [`backend`]. `health` checks them all
//! the while, [`access_log`] writes down how each request ended, [`start`] puts the pieces together, and
//! `service` explains on a port of its own.
//!
//! ## What is absent
//!
//! The data port has no pages of its own: what stands behind it may be called `/-/ready` as well. No
//! request waits here for anything but a backend: nothing is looked up, locked for long, or queued. A
//! change of routes touches no connection.

pub mod access_log;
pub mod api;
pub mod backend;
pub mod config;
pub mod exchange;
mod feed;
pub mod gate;
mod health;
pub mod metrics;
pub mod pick;
mod service;
mod stack;
pub mod table;
pub mod targets;

use std::sync::Arc;

use axum::Router;
use seawall_cluster::{Deps, Discovery};
use seawall_net::admission::Admission;
use seawall_net::exchange::AllGeneral;
use seawall_net::host::{Drained, End, Endpoint, Fault, Running, State};
use seawall_net::listeners::Purpose;
use seawall_net::load;
use seawall_net::ops::Ops;
use seawall_net::server::{Limits, Server};
use tokio::sync::{Notify, watch};

pub use config::Config;

use crate::access_log::AccessLog;
use crate::exchange::Balancer;
use crate::feed::Feed;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::service::Service;

/// Questions answered at once on the admin port: a few people and a few programs ask.
const ADMIN_IN_FLIGHT_MAX: usize = 64;

/// Starts the balancer; returns when both ports accept.
///
/// # Errors
/// When a port cannot be bound, or the access log not written.
pub async fn start(config: Config, deps: Deps<Config>) -> Result<Running, Fault> {
    let host = deps.host;
    let data = host.listeners.tcp("balancer.listen", config.listen, Purpose::Proxy)?;
    let admin = host.listeners.tcp("balancer.admin.listen", config.admin.listen, Purpose::Api)?;
    let endpoints = endpoints(&config, data.addr, admin.addr);
    // As nginx does: a client that closes its sending half is gone, and no backend works for who has left.
    let limits = Limits { deadline: config.deadline, half_close: false, ..Limits::default() };
    let (in_flight_max, shed) = (config.in_flight_max, config.shed.clone());

    let metrics = Metrics::new(&host.metrics);
    let log = AccessLog::start(&config, &host, &metrics).await?;
    let rebuilt = Arc::new(Notify::new());
    let discovery = Discovery::start(deps.discovery, &host);
    let mut feed = Feed::new(discovery, deps.config, Arc::new(config), &host);
    let balancer = Balancer::new(feed.first_table().await, metrics.clone(), host.seed);
    let balancer = Arc::new(balancer.logging_to(log.clone()));
    let (state, state_read) = watch::channel(State::Ready);
    let health = Health::new(balancer.clone(), &host, metrics, rebuilt.clone(), state);
    host.tasks.vital("balancer-table", feed.run(balancer.clone(), rebuilt));
    host.tasks.vital("balancer-health", health.run());

    let admission = Admission::shedding(in_flight_max, shed, &host.metrics);
    load::watch(&admission, &host);
    let service = Arc::new(Service::new(balancer.clone(), host.clock.clone()));
    let data_server =
        Server { exchange: balancer, general: Router::new(), admission, limits: limits.clone(), ops: None };
    let admin_server = Server {
        exchange: Arc::new(AllGeneral),
        general: stack::admin(service, host.clock.clone()),
        admission: Admission::new(ADMIN_IN_FLIGHT_MAX, &host.metrics),
        limits,
        ops: Some(Ops::new("balancer", state_read.clone(), &host)),
    };
    let tasks = host.tasks.clone();
    let running = Running::new(endpoints, state_read, &tasks);
    host.tasks.clone().vital("balancer-http", async move {
        // Both drain at once; the system has ended when the slower one has.
        let (data, admin) = tokio::join!(data_server.serve(data, &host), admin_server.serve(admin, &host));
        log.close().await;
        tasks.finish(End::Stopped(Drained { left: data.left + admin.left }));
    });
    Ok(running)
}

fn endpoints(config: &Config, data: std::net::SocketAddr, admin: std::net::SocketAddr) -> Vec<Endpoint> {
    let host =
        config.route.iter().map(|r| r.host.as_str()).find(|h| !h.starts_with('*')).unwrap_or("localhost");
    vec![
        Endpoint { what: "traffic", addr: data, try_it: format!("curl -i -H 'Host: {host}' http://{data}/") },
        Endpoint { what: "admin", addr: admin, try_it: format!("curl http://{admin}/backends") },
    ]
}
