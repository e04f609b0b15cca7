//! What happens to every request, outermost first.
//!
//! 1. The server's own pages, limits on heads and connections, and (on an exposed address) the token for writes.
//! 2. Admission: a request too many is refused before it is parsed. A client that waits for a change gives its
//!    place back as soon as it waits and is counted as a watcher instead, under a bound of its own.
//! 3. The body, within a limit and a time.
//! 4. The API: parse, call, encode. No deadline layer: waiting ten minutes is what a blocking query is for, and
//!    a write's time is bounded by the store.

use std::sync::Arc;

use axum::Router;
use seawall_net::admission::Admission;
use seawall_net::exchange::AllGeneral;
use seawall_net::host::{Host, State};
use seawall_net::ops::Ops;
use seawall_net::server::{Limits, Server};
use tokio::sync::watch;

use crate::config::Config;

/// The registry's HTTP port.
#[must_use]
pub fn server(
    config: &Config,
    api: Router,
    state: watch::Receiver<State>,
    host: &Host,
) -> Server<AllGeneral> {
    Server {
        exchange: Arc::new(AllGeneral),
        general: api,
        admission: Admission::new(config.in_flight_max, &host.metrics),
        // Watchers keep their connections, so both bounds together are how many there may be.
        limits: Limits {
            connections_max: config.in_flight_max.saturating_add(config.watchers_max),
            // A watcher waits for minutes; one that has left must give its place back at once.
            half_close: false,
            ..Limits::default()
        },
        ops: Some(Ops::new("registry", state, host)),
    }
}
