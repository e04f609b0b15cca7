//! The gate in front of every request: how many may be in flight on a port at once.
//!
//! Both the fast path and the router pass this one gate, before anything is parsed further: a request that
//! must be refused should cost next to nothing.

use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use seawall_policy::inflight::{Limit, Place};

use crate::problem::Problem;
use crate::telemetry::{Counter, Scope};

/// Seconds a refused client is asked to wait; spread over clients by their own jitter.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Decides whether a request may in.
pub struct Admission {
    limit: Limit,
    refused: Counter,
}

impl Admission {
    /// At most `in_flight_max` requests at a time.
    #[must_use]
    pub fn new(in_flight_max: usize, metrics: &Scope) -> Arc<Admission> {
        let refused = metrics.counter("requests_shed", "Requests refused because too many were in flight");
        Arc::new(Admission { limit: Limit::new(in_flight_max), refused })
    }

    /// A place among those in flight; given back when dropped.
    ///
    /// # Errors
    /// 503 with `Retry-After` when all are taken.
    pub fn admit(&self) -> Result<Place, Problem> {
        self.limit.admit().map_err(|_| {
            self.refused.inc();
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "too many requests are in flight; try again shortly",
            )
            .retry_after(RETRY_AFTER_SECONDS)
        })
    }

    /// Requests in flight now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.limit.in_flight()
    }
}

/// A request's place, in its extensions. A handler that is about to wait for long, and is bounded by
/// something else (a watcher), gives it back early.
#[derive(Clone)]
pub struct Admitted(Arc<Mutex<Option<Place>>>);

impl Admitted {
    pub(crate) fn new(place: Place) -> Admitted {
        Admitted(Arc::new(Mutex::new(Some(place))))
    }

    /// Gives the place back now.
    pub fn release(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
