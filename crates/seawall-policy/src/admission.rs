//! The admission chain: every reason to refuse a request, asked in one place, the cheapest first.
//!
//! | asked | refused when | costs |
//! |---|---|---|
//! | deadline | nobody waits for the answer any more | a comparison |
//! | shedder | there is too much to do and this matters too little | a load |
//! | rate limit | this client, or all together, ask too often | a compare-and-swap |
//! | bulkhead | all places are taken | an add, and one when it leaves |
//! | breaker | what it needs is down | a load, and an add when it is back |
//!
//! ## Why this order
//!
//! What refuses for nothing comes before what must take something. The rate limit comes before the bulkhead, so
//! that a client that hammers a full house uses up its own allowance, which is what an allowance is for. The
//! breaker comes last: its probes are few, and one handed to a request that is then refused elsewhere would be
//! wasted.
//!
//! ## Why one chain
//!
//! Two paths into a service (a fast one for redirects, a router for the rest; HTTP and RESP) that each ask
//! their own limits are two houses with twice the places. Every path asks the same [`Chain`].
//!
//! ## One cache line
//!
//! Every request that is let in writes two words that all threads share, the rate limit's and the count of
//! places, one after the other. The chain keeps them on one cache line: two threads then take it from each
//! other once a request and not twice (66 ns a request instead of 106, with the rate limit's pauses). All else
//! that is written is this thread's own.
//!
//! ## Waiting
//!
//! A step of the shedder may say "later" (typing indicators, at 85 % load). The chain does not wait, and gives
//! nothing away meanwhile: it refuses with [`Refusal::Later`]. Who can wait does so and asks again with
//! [`Ask::waited`], once; who cannot passes the moment on as `Retry-After`.

use std::ops::Deref;

use crate::adaptive::Adaptive;
use crate::breaker::{Breaker, Permit, RetryAt, Transition};
use crate::counter::Counter;
use crate::deadline::Deadline;
use crate::inflight::{Full, Limit};
use crate::priority::Priority;
use crate::rate::Limiter;
use crate::shed::{Decision, Shedder};
use crate::sync::{AtomicU64, Ordering};
use crate::{Mono, Outcome};

/// What a chain is made of; what is left out refuses nobody.
#[derive(Debug, Default)]
pub struct Parts {
    /// Sheds by priority and load.
    pub shed: Option<Shedder>,
    /// For all callers together; limits per caller are asked before the chain, with the caller's name at hand.
    pub rate: Option<Limiter>,
    /// How many may be inside.
    pub places: Places,
    /// Of what everyone inside needs.
    pub breaker: Option<Breaker>,
}

/// How many may be inside at once.
#[derive(Debug, Default)]
pub enum Places {
    /// Any number.
    #[default]
    Unlimited,
    /// A number that someone chose.
    Fixed(Limit),
    /// A number that is found by looking at latency.
    Adaptive(Box<Adaptive>),
}

/// A request that would like to be let in.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// How much it matters.
    pub priority: Priority,
    /// A hash of the caller, where it has a name: keeps it in or out for an hour where cohorts are shed.
    pub who: Option<u64>,
    /// Until when the answer is of use.
    pub deadline: Option<Deadline>,
    /// A client that lost its connection and comes back: smoothed instead of shed.
    pub reconnect: bool,
    /// It was told [`Refusal::Later`] and has waited.
    pub waited: bool,
}

impl Ask {
    /// A request of this priority and nothing else.
    #[must_use]
    pub fn new(priority: Priority) -> Ask {
        Ask { priority, who: None, deadline: None, reconnect: false, waited: false }
    }
}

/// Why a request was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody waits for the answer any more.
    #[error("the deadline has passed")]
    Expired,
    /// There is too much to do, and this matters too little.
    #[error("shed: there is too much to do")]
    Shed,
    /// Let in after this moment; see [`Ask::waited`].
    #[error("delayed: there is much to do")]
    Later(Mono),
    /// Asked too often; there is room again at this moment.
    #[error("the rate limit is used up")]
    Limited(Mono),
    /// All places are taken.
    #[error("all {max} places are taken")]
    Full {
        /// How many there are.
        max: usize,
    },
    /// What it needs is being left alone until this moment.
    #[error("the circuit is open")]
    Open(Mono),
}

impl Refusal {
    /// All kinds by name, as in metric labels.
    pub const NAMES: [&str; 6] = ["expired", "shed", "later", "limited", "full", "open"];

    /// The name used in metric labels and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Refusal::NAMES[self.index()]
    }

    /// Its place in [`Refusal::NAMES`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Refusal::Expired => 0,
            Refusal::Shed => 1,
            Refusal::Later(_) => 2,
            Refusal::Limited(_) => 3,
            Refusal::Full { .. } => 4,
            Refusal::Open(_) => 5,
        }
    }

    /// From when on it is worth asking again, where that is known.
    #[must_use]
    pub fn retry_at(self) -> Option<Mono> {
        match self {
            Refusal::Later(at) | Refusal::Limited(at) | Refusal::Open(at) => Some(at),
            Refusal::Expired | Refusal::Shed | Refusal::Full { .. } => None,
        }
    }
}

/// How many were let in and refused since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Let in.
    pub admitted: u64,
    /// Refused, in the order of [`Refusal::NAMES`].
    pub refused: [u64; 6],
}

/// The chain. Shared by all threads and all ways in.
#[derive(Debug)]
pub struct Chain {
    parts: Parts,
    admitted: Counter,
    refused: [AtomicU64; 6],
}

/// Leave to work on one request: a place, and a permit of the breaker. Gives both back when dropped, as
/// [`Outcome::Abandoned`]; [`Pass::report`] says what came of it instead.
///
/// `C` is how it holds on to its chain: a reference, or an `Arc` where it must travel with the request.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Pass<C: Deref<Target = Chain>> {
    chain: C,
    permit: Option<Permit>,
    since: Mono,
    is_reported: bool,
}

impl Chain {
    /// A chain of these parts.
    #[must_use]
    pub fn new(mut parts: Parts) -> Chain {
        // Everyone passes here, from every thread.
        const SHARDS: u8 = 4;
        if let Some(places) = parts.places.limit() {
            parts.rate = parts.rate.map(|rate| rate.beside(places));
        }
        Chain { parts, admitted: Counter::new(SHARDS), refused: [0; 6].map(AtomicU64::new) }
    }

    /// Lets a request in, or says why not. Never waits, never allocates.
    ///
    /// # Errors
    /// The first [`Refusal`] in the order above.
    #[inline]
    pub fn admit(&self, ask: &Ask, now: Mono) -> Result<Pass<&Chain>, Refusal> {
        Chain::admit_to(self, ask, now)
    }

    /// [`Chain::admit`] with a pass that holds the chain in its own way, such as an `Arc<Chain>`.
    ///
    /// # Errors
    /// The first [`Refusal`] in the order above.
    #[inline]
    pub fn admit_to<C: Deref<Target = Chain>>(chain: C, ask: &Ask, now: Mono) -> Result<Pass<C>, Refusal> {
        match chain.pass(ask, now) {
            Ok(permit) => {
                chain.admitted.add();
                Ok(Pass { chain, permit, since: now, is_reported: false })
            }
            Err(refusal) => {
                chain.refused[refusal.index()].fetch_add(1, Ordering::Relaxed);
                Err(refusal)
            }
        }
    }

    #[inline]
    fn pass(&self, ask: &Ask, now: Mono) -> Result<Option<Permit>, Refusal> {
        if ask.deadline.is_some_and(|deadline| deadline.is_past(now)) {
            return Err(Refusal::Expired);
        }
        if let Some(shedder) = &self.parts.shed {
            self.shed(shedder, ask, now)?;
        }
        if let Some(limiter) = &self.parts.rate {
            limiter.check(now).map_err(|used_up| Refusal::Limited(used_up.retry_at))?;
        }
        self.parts.places.take().map_err(|full| Refusal::Full { max: full.max })?;
        let Some(breaker) = &self.parts.breaker else { return Ok(None) };
        match breaker.admit(now) {
            Ok(permit) => Ok(Some(permit)),
            Err(RetryAt(at)) => {
                self.parts.places.leave();
                Err(Refusal::Open(at))
            }
        }
    }

    #[inline]
    fn shed(&self, shedder: &Shedder, ask: &Ask, now: Mono) -> Result<(), Refusal> {
        if ask.reconnect {
            return shedder.reconnect(now).map_err(|used_up| Refusal::Limited(used_up.retry_at));
        }
        match shedder.decide_by(ask.priority, ask.who, || self.parts.places.ratio()) {
            Decision::Admit => Ok(()),
            Decision::Delay(_) if ask.waited => Ok(()),
            Decision::Delay(wait) => Err(Refusal::Later(now + wait)),
            Decision::Reject => Err(Refusal::Shed),
        }
    }

    /// What it is made of: to publish load, to hold the breaker open, to show states.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// How many were let in and refused so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let refused = std::array::from_fn(|i| self.refused[i].load(Ordering::Relaxed));
        Counts { admitted: self.admitted.sum(), refused }
    }
}

impl Places {
    fn limit(&self) -> Option<&Limit> {
        match self {
            Places::Unlimited => None,
            Places::Fixed(limit) => Some(limit),
            Places::Adaptive(adaptive) => Some(adaptive.limit()),
        }
    }

    #[inline]
    fn take(&self) -> Result<(), Full> {
        match self {
            Places::Unlimited => Ok(()),
            Places::Fixed(limit) => limit.take(),
            Places::Adaptive(adaptive) => adaptive.limit().take(),
        }
    }

    #[inline]
    fn leave(&self) {
        match self {
            Places::Unlimited => {}
            Places::Fixed(limit) => limit.leave(),
            Places::Adaptive(adaptive) => adaptive.limit().leave(),
        }
    }

    /// The share that is taken, 0 to 1.
    #[must_use]
    #[inline]
    pub fn ratio(&self) -> f64 {
        match self {
            Places::Unlimited => 0.0,
            Places::Fixed(limit) => limit.ratio(),
            Places::Adaptive(adaptive) => adaptive.limit().ratio(),
        }
    }
}

impl<C: Deref<Target = Chain>> Pass<C> {
    /// Tells what became of the request, and leaves. Returns the change of the breaker's state that this caused,
    /// for the log.
    #[inline]
    pub fn report(mut self, outcome: Outcome, now: Mono) -> Option<Transition> {
        self.end(outcome, now)
    }

    #[inline]
    fn end(&mut self, outcome: Outcome, now: Mono) -> Option<Transition> {
        self.is_reported = true;
        let Parts { places, breaker, .. } = &self.chain.parts;
        // Before the place is given back: a full house counts as full only with this call in it.
        if let Places::Adaptive(adaptive) = places {
            adaptive.report(self.since, outcome, now);
        }
        places.leave();
        let permit = self.permit.take()?;
        breaker.as_ref()?.report(permit, outcome, now)
    }
}

impl<C: Deref<Target = Chain>> Drop for Pass<C> {
    #[inline]
    fn drop(&mut self) {
        if !self.is_reported {
            // Given up for the caller's own reasons: when does not matter.
            self.end(Outcome::Abandoned, self.since);
        }
    }
}
