//! What a policy would have done with traffic that has been: a trace in, transitions and refusals out.
//!
//! A policy is a guess about one's own failures, and the cheapest place to be wrong is yesterday's log. Since
//! a policy here is a pure machine that is told the time, a day of 1,000 calls a second passes through it in
//! a minute, and through two of them for comparison in little more. [`trace::Reader`] turns lines into
//! [`Record`]s, [`Replay`] takes them, [`Report`] tells: in words with [`Report::text`], or as JSON.
//!
//! | policy | what the replay tells |
//! |---|---|
//! | [`breaker`] | each change of state and its cause; who was refused, and whether in vain; probes |
//! | [`retry`] | failures mended, and why the others were not; what the callee had to bear; delays |
//! | [`rate`], [`bulkhead`], [`shed`] | times of refusing; who was refused, and whether in vain |
//! | [`ladder`] | rungs entered and left, as far as the trace tells their signals |
//!
//! ## What a trace cannot tell
//!
//! A trace is *open-loop*: what is refused in a replay changes nothing that follows in it. In life a callee
//! that is spared may recover sooner, callers that were refused may ask again, and retries add to the load
//! that made calls fail. So a replay is exact about what the policy would have done to this traffic, and
//! silent about what that would have done to the callee. Every report says so.

pub mod breaker;
pub mod bulkhead;
mod flight;
pub mod ladder;
pub mod rate;
mod refusals;
pub mod retry;
pub mod shed;
mod tally;
mod text;
pub mod trace;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use self::flight::{Crowded, IN_FLIGHT_MAX};
pub use self::tally::{CHANGES_MAX, Change, Changes, Gate, Span, Tally};
use crate::priority::Priority;
use crate::{Mono, Outcome};

/// One call of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it began, from the begin of the first one on.
    pub at: Mono,
    /// What came of it.
    pub outcome: Outcome,
    /// How long that took.
    pub took: Duration,
    /// Tries it had in all; this tells of the last one.
    pub tries: u32,
    /// Whether it may happen twice.
    pub idempotent: bool,
    /// How much it matters.
    pub priority: Priority,
    /// Whom it belongs to, where the trace was asked to tell calls apart.
    pub key: Option<Arc<str>>,
}

/// A policy on its way through a trace.
#[derive(Debug)]
pub enum Replay {
    /// See [`breaker`].
    Breaker(Box<breaker::Replay>),
    /// See [`retry`].
    Retry(Box<retry::Replay>),
    /// See [`rate`].
    Rate(Box<rate::Replay>),
    /// See [`bulkhead`].
    Bulkhead(Box<bulkhead::Replay>),
    /// See [`shed`].
    Shed(Box<shed::Replay>),
    /// See [`ladder`].
    Ladder(Box<ladder::Replay>),
}

/// What it would have done.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Report {
    /// A breaker.
    Breaker(breaker::Report),
    /// A retry policy with its budget.
    Retry(retry::Report),
    /// A rate limit.
    Rate(rate::Report),
    /// A bulkhead.
    Bulkhead(bulkhead::Report),
    /// A shedder.
    Shed(shed::Report),
    /// A ladder.
    Ladder(ladder::Report),
}

impl Replay {
    /// A breaker, one for each key where the records have any.
    #[must_use]
    pub fn breaker(policy: crate::breaker::Policy) -> Replay {
        Replay::Breaker(Box::new(breaker::Replay::new(policy)))
    }

    /// A retry policy with the budget its callers share; `seed` is that of the jitter.
    #[must_use]
    pub fn retry(policy: crate::retry::Policy, budget: crate::retry::BudgetPolicy, seed: u64) -> Replay {
        Replay::Retry(Box::new(retry::Replay::new(policy, budget, seed)))
    }

    /// A rate limit, one for each key where the policy and the records have any.
    #[must_use]
    pub fn rate(policy: crate::rate::Policy) -> Replay {
        Replay::Rate(Box::new(rate::Replay::new(policy)))
    }

    /// A bulkhead, one for each key where the records have any.
    #[must_use]
    pub fn bulkhead(policy: crate::inflight::Policy) -> Replay {
        Replay::Bulkhead(Box::new(bulkhead::Replay::new(policy)))
    }

    /// A shedder in front of a service that may have `capacity` requests in flight.
    #[must_use]
    pub fn shed(policy: &crate::shed::Policy, capacity: u32) -> Replay {
        Replay::Shed(Box::new(shed::Replay::new(policy, capacity)))
    }

    /// A ladder; without a `capacity` nothing is known of the load.
    #[must_use]
    pub fn ladder(policy: crate::ladder::Policy, capacity: Option<u32>) -> Replay {
        Replay::Ladder(Box::new(ladder::Replay::new(policy, capacity)))
    }

    /// The next call of the trace, in the order in which they began.
    ///
    /// # Errors
    /// [`Crowded`], and then nothing that follows means anything.
    pub fn step(&mut self, record: &Record) -> Result<(), Crowded> {
        match self {
            Replay::Breaker(replay) => replay.step(record),
            Replay::Retry(replay) => replay.step(record),
            Replay::Rate(replay) => {
                replay.step(record);
                Ok(())
            }
            Replay::Bulkhead(replay) => replay.step(record),
            Replay::Shed(replay) => replay.step(record),
            Replay::Ladder(replay) => replay.step(record),
        }
    }

    /// The trace is over.
    #[must_use]
    pub fn finish(self) -> Report {
        match self {
            Replay::Breaker(replay) => Report::Breaker(replay.finish()),
            Replay::Retry(replay) => Report::Retry(replay.finish()),
            Replay::Rate(replay) => Report::Rate(replay.finish()),
            Replay::Bulkhead(replay) => Report::Bulkhead(replay.finish()),
            Replay::Shed(replay) => Report::Shed(replay.finish()),
            Replay::Ladder(replay) => Report::Ladder(replay.finish()),
        }
    }
}
