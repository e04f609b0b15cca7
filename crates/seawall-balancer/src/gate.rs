//! What stands in front of one route: how much it matters, how many requests at once, how many from each client.
//!
//! ## Why a bulkhead for each route
//!
//! The balancer document gives each service threads and connections of its own (S3, Bulkhead Pattern: 100 and 500
//! for service A, 50 and 200 for B and C). Without, one service that answers in ten seconds instead of ten
//! milliseconds fills all places of the port, and the others are refused although nothing is wrong with them. Here a
//! place is no thread. A request uses one connection to a backend at a time, whichever try it is, so it takes one
//! place of each kind.

use seawall_net::exchange::Head;
use seawall_net::layer::rate::client;
use seawall_policy::Mono;
use seawall_policy::inflight::{self, Bulkhead, Place};
use seawall_policy::priority::Priority;
use seawall_policy::rate::{self, Exhausted, Keyed};

use crate::config::Route;

/// In front of one route. Outlives tables, so that a change elsewhere gives nobody a second allowance.
#[derive(Debug)]
pub struct Gate {
    asked_for: (Option<inflight::Policy>, Option<rate::Policy>),
    /// How much requests to this route matter.
    pub priority: Priority,
    bulkhead: Option<Bulkhead>,
    rate: Option<Keyed>,
}

/// One among the calls, one among the connections.
pub type Places = (Place, Place);

/// Why a request did not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Its client asks too often; again at this moment.
    Limited(Mono),
    /// All places of the route are taken.
    Full,
}

impl Gate {
    /// As the route asks for. `seed` is one that clients do not know.
    #[must_use]
    pub fn new(route: &Route, seed: u64) -> Gate {
        Gate {
            asked_for: (route.bulkhead.clone(), route.rate.clone()),
            priority: route.priority,
            bulkhead: route.bulkhead.as_ref().map(Bulkhead::new),
            rate: route.rate.as_ref().map(|rate| Keyed::new(rate, seed)),
        }
    }

    /// Whether this is what the route asks for.
    #[must_use]
    pub fn is_for(&self, route: &Route) -> bool {
        self.priority == route.priority
            && self.asked_for.0 == route.bulkhead
            && self.asked_for.1 == route.rate
    }

    /// Lets a request in: the places it holds until it is over, where places are counted.
    ///
    /// # Errors
    /// [`Closed`] when it may not in.
    pub fn pass(&self, head: &Head<'_>, now: Mono) -> Result<Option<Places>, Closed> {
        if let Some(rate) = &self.rate
            && let Some(client) = client(head.peer.ip(), head.headers)
        {
            rate.check(client, now).map_err(|Exhausted { retry_at }| Closed::Limited(retry_at))?;
        }
        let Some(bulkhead) = &self.bulkhead else { return Ok(None) };
        let places = bulkhead.calls().admit().and_then(|call| Ok((call, bulkhead.connections().admit()?)));
        places.map(Some).map_err(|_| Closed::Full)
    }
}
