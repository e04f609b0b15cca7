//! What a bulkhead is told, and the two limits it is.

use serde::{Deserialize, Serialize};

use super::limit::Limit;

/// Most places a policy may ask for. At 10 ms each they would carry 100 million requests a second.
pub const PLACES_MAX: usize = 1_000_000;

/// A bulkhead's configuration. The default is [`Policy::s3_service_a`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Calls under way at once, 1 to [`PLACES_MAX`]. The document calls them threads.
    pub in_flight: usize,
    /// Connections open at once, idle ones included, 1 to [`PLACES_MAX`].
    pub connections: usize,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::s3_service_a()
    }
}

impl Policy {
    /// Everything wrong with it, each with what to write instead; empty when all is well. A bulkhead made
    /// from a policy that fails this uses the nearest values that work.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let places = [("in_flight", self.in_flight), ("connections", self.connections)];
        let outside = places.into_iter().filter(|(_, places)| usable(*places) != *places);
        outside
            .map(|(key, places)| match places {
                0 => format!("{key}: use 1 or more, such as 100; 0 refuses everyone"),
                _ => format!("{key}: use at most {PLACES_MAX}, for more is no limit; it says {places}"),
            })
            .collect()
    }

    /// What it does, in sentences.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let [in_flight, connections] = [self.in_flight, self.connections].map(usable);
        vec![
            format!(
                "At most {in_flight} calls are under way at once; one more is refused at once, for there is \
                 no queue."
            ),
            format!(
                "While a call takes 10ms that is up to {} calls a second, and while it takes 1s up to \
                 {in_flight}.",
                in_flight * 100
            ),
            format!("At most {connections} connections are open at once, idle ones included."),
            "Nobody else's calls or connections are counted here, so one slow callee takes nothing from the \
             others."
                .to_owned(),
        ]
    }
}

fn usable(places: usize) -> usize {
    places.clamp(1, PLACES_MAX)
}

/// A compartment of its own for one callee: so many calls, and so many connections.
#[derive(Debug, Clone)]
pub struct Bulkhead {
    calls: Limit,
    connections: Limit,
}

impl Bulkhead {
    /// Empty. Clones share the same places.
    #[must_use]
    pub fn new(policy: &Policy) -> Bulkhead {
        let [calls, connections] = [policy.in_flight, policy.connections].map(usable).map(Limit::new);
        Bulkhead { calls, connections }
    }

    /// A place here for each call, from its first byte to its last.
    #[must_use]
    pub fn calls(&self) -> &Limit {
        &self.calls
    }

    /// A place here for each connection, from before it is opened until after it is closed.
    #[must_use]
    pub fn connections(&self) -> &Limit {
        &self.connections
    }
}
