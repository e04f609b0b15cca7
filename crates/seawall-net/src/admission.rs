//! The gate in front of every request on a port.
//!
//! The fast path and the router pass this one gate, before anything is parsed further: a request that must be
//! refused should cost next to nothing. It decides nothing itself: a [`Chain`] does, and here its refusals become
//! answers and its counts metrics.

use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use seawall_policy::admission::{Ask, Chain, Parts, Pass, Places, Refusal};
use seawall_policy::inflight::Limit;
use seawall_policy::priority::Priority;
use seawall_policy::shed::{self, Decision, Load, Shedder};
use seawall_policy::{Mono, Wall};

use crate::problem::Problem;
use crate::telemetry::{Counter, Gauge, Scope};

/// Seconds a refused client is asked to wait; spread over clients by their own jitter.
const RETRY_AFTER_SECONDS: u32 = 1;

/// A place among those in flight, given back when dropped.
pub type Place = Pass<Arc<Chain>>;

/// Decides whether a request may in.
pub struct Admission {
    chain: Arc<Chain>,
    refused: [Counter; Refusal::NAMES.len()],
    load: Gauge<f64, std::sync::atomic::AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

impl Admission {
    /// At most `in_flight_max` requests at a time, all of them alike.
    #[must_use]
    pub fn new(in_flight_max: usize, metrics: &Scope) -> Arc<Admission> {
        let places = Places::Fixed(Limit::new(in_flight_max));
        Admission::of(Parts { places, ..Parts::default() }, metrics)
    }

    /// At most `in_flight_max` at a time, and the less a request matters, the earlier it is refused.
    #[must_use]
    pub fn shedding(in_flight_max: usize, policy: shed::Policy, metrics: &Scope) -> Arc<Admission> {
        let places = Places::Fixed(Limit::new(in_flight_max));
        Admission::of(Parts { shed: Some(Shedder::new(policy)), places, ..Parts::default() }, metrics)
    }

    fn of(parts: Parts, metrics: &Scope) -> Arc<Admission> {
        let refused = metrics.counters::<Why>("requests_refused", "Requests refused at the gate, by reason");
        Arc::new(Admission {
            chain: Arc::new(Chain::new(parts)),
            refused: Refusal::NAMES.map(|reason| refused.get_or_create(&Why { reason }).clone()),
            load: metrics.metric("load_ratio", "What decides who is shed: 1 is all there is", Gauge::default),
        })
    }

    /// Whether this request may in, at `now`.
    ///
    /// # Errors
    /// [`Refusal::Later`] may be waited for, with [`Ask::waited`]; [`Admission::refuse`] makes an answer of any.
    pub fn admit(&self, ask: &Ask, now: Mono) -> Result<Place, Refusal> {
        Chain::admit_to(Arc::clone(&self.chain), ask, now)
    }

    /// The answer to one who was refused: 503 with `Retry-After`, 429 above a rate limit, 504 past its deadline.
    #[must_use]
    pub fn refuse(&self, refusal: Refusal, now: Mono) -> Problem {
        self.refused[refusal.index()].inc();
        let status = match refusal {
            Refusal::Expired => StatusCode::GATEWAY_TIMEOUT,
            Refusal::Limited(_) => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Shed | Refusal::Later(_) | Refusal::Full { .. } | Refusal::Open(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        let (code, message) = match refusal {
            Refusal::Expired => ("deadline_exceeded", "the deadline had passed before the call began"),
            Refusal::Limited(_) => ("rate_limited", "too many requests; try again shortly"),
            Refusal::Shed | Refusal::Later(_) => (
                "shed",
                "there is too much to do, and this kind of request is left out first; try again shortly",
            ),
            Refusal::Full { .. } => ("overloaded", "too many requests are in flight; try again shortly"),
            Refusal::Open(_) => ("unavailable", "what this needs is down; try again shortly"),
        };
        let problem = Problem::new(status, code, message);
        match (refusal, refusal.retry_at()) {
            (Refusal::Expired, _) => problem,
            (_, Some(at)) => problem.retry_in(at.since(now)),
            (_, None) => problem.retry_after(RETRY_AFTER_SECONDS),
        }
    }

    /// Publishes how busy the process is; requests in flight are known without.
    pub fn observe(&self, load: Load, wall: Wall) {
        if let Some(shedder) = &self.chain.parts().shed {
            shedder.observe(load, wall);
            self.load.set(shedder.load(self.chain.parts().places.ratio()));
        }
    }

    /// The load that decides now; none where nobody is shed.
    #[must_use]
    pub fn load(&self) -> Option<f64> {
        let parts = self.chain.parts();
        parts.shed.as_ref().map(|shedder| shedder.load(parts.places.ratio()))
    }

    /// What the load makes of something of this class that is no request of its own and takes no place, such as an
    /// event on its way out.
    #[must_use]
    pub fn decide(&self, priority: Priority) -> Decision {
        let parts = self.chain.parts();
        match &parts.shed {
            Some(shedder) => shedder.decide(priority, None, parts.places.ratio()),
            None => Decision::Admit,
        }
    }

    /// Whether the load must be observed for it.
    #[must_use]
    pub fn is_shedding(&self) -> bool {
        self.chain.parts().shed.is_some()
    }

    /// Requests in flight now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        match &self.chain.parts().places {
            Places::Fixed(limit) => limit.in_flight(),
            Places::Unlimited | Places::Adaptive(_) => 0,
        }
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
