//! What happens to every call, outermost first.
//!
//! 1. The ports, HTTP and RESP side by side: limits on connections, heads and requests, HTTP's own pages (`/-/ready`
//!    stays readable when everything else is shed), tokens for writes where a port is exposed.
//! 2. One admission for both: two ways in must not be two houses with twice the places. What is shed first is said by
//!    [`priority`](crate::api::http::priority). RESP asks it only for what cannot be answered from memory on the spot.
//! 3. The API (parse, encode), the service (names, limits, tickets), the follower's memory. No layer cuts a call off at
//!    its deadline: the leader keeps it, and says of a write whether it was begun.
//! 4. Innermost, next to the store: places, a ladder and two breakers for each database ([`crate::degrade`]).

use std::convert::Infallible;
use std::sync::Arc;

use seawall_net::admission::Admission;
use seawall_net::exchange::{Exchange, Finish, Head, Next, Out, Step, Upstream};
use seawall_net::host::{Host, State};
use seawall_net::ops::Ops;
use seawall_net::server::{Limits, Server};
use seawall_policy::Mono;
use seawall_policy::priority::Priority;
use tokio::sync::watch;

use crate::NAME;
use crate::api;
use crate::config::Config;
use crate::service::Service;

/// Leaves every request to the router, and says how much it matters.
pub(crate) struct Door;

impl Exchange for Door {
    type Held = Infallible;

    fn priority(&self, head: &Head<'_>) -> Priority {
        api::http::priority(head.method, head.path)
    }

    fn on_head(&self, _: &Head<'_>, _: Mono, _: &mut Out) -> Next<Infallible> {
        Next::General
    }

    fn on_upstream(&self, held: &mut Infallible, _: Upstream<'_>, _: Mono) -> Step {
        match *held {}
    }

    fn on_end(&self, held: Infallible, _: Finish, _: Mono) {
        match held {}
    }
}

/// The HTTP port.
pub(crate) fn http(
    service: &Arc<Service>,
    config: &Config,
    admission: &Arc<Admission>,
    state: watch::Receiver<State>,
    host: &Host,
) -> Server<Door> {
    Server {
        exchange: Arc::new(Door),
        general: api::http::router(service.clone(), config),
        admission: admission.clone(),
        limits: Limits { deadline: config.deadline, ..Limits::default() },
        ops: Some(Ops::new(NAME, state, host)),
    }
}
