//! What a window has seen, in the form that many threads can add to.

use std::time::Duration;

use super::core::Sample;
use crate::Outcome;

/// The lower bits of `answers` hold the sum of the latencies in microseconds, the upper ones their number.
const SUM_BITS: u32 = 44;

/// The longest latency that is told apart, 16.8 s: with 2^19 answers the sum stays below 2^43.
const TOOK_US_MAX: u64 = (1 << 24) - 1;

/// Answers after which a window has seen enough, however short it was. Twice as many fit, which leaves
/// whoever ends it half a million calls of time.
const ANSWERS_MAX: u64 = 1 << 19;

/// One window's evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// Number and summed latency of the answers, in one word: whoever takes it takes what belongs together.
    pub(super) answers: u64,
    /// Calls that met overload.
    pub(super) overloaded: u64,
    /// Most calls that were inside at once.
    pub(super) peak: usize,
}

/// What a sample adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// This much to `answers`.
    Answer(u64),
    /// One to `overloaded`.
    Overload,
    /// Nothing: it says nothing about capacity.
    None,
}

impl Evidence {
    #[inline]
    pub(super) fn of(took: Duration, outcome: Outcome) -> Evidence {
        match outcome {
            Outcome::Success => {
                let us = u64::try_from(took.as_nanos().div_ceil(1_000)).unwrap_or(TOOK_US_MAX);
                Evidence::Answer((1 << SUM_BITS) + us.min(TOOK_US_MAX))
            }
            // A time-out is a latency too long to have been measured.
            Outcome::Overloaded | Outcome::Timeout => Evidence::Overload,
            // An error may be fast and would look like a callee with nothing to do.
            Outcome::Failed | Outcome::Unreachable | Outcome::Abandoned => Evidence::None,
        }
    }
}

/// Whether a window with these answers has seen enough.
#[inline]
pub(super) fn is_full(answers: u64) -> bool {
    answers >> SUM_BITS >= ANSWERS_MAX
}

impl Tally {
    pub(super) fn add(&mut self, sample: Sample) {
        self.peak = self.peak.max(sample.in_flight);
        match Evidence::of(sample.took, sample.outcome) {
            Evidence::Answer(answer) => self.answers += answer,
            Evidence::Overload => self.overloaded += 1,
            Evidence::None => {}
        }
    }

    /// Calls that say something about capacity.
    pub(super) fn judged(&self) -> u64 {
        (self.answers >> SUM_BITS).saturating_add(self.overloaded)
    }

    /// Mean latency in microseconds; never 0, for it is divided by.
    pub(super) fn mean_us(&self) -> Option<f64> {
        let (count, sum) = (self.answers >> SUM_BITS, self.answers & ((1 << SUM_BITS) - 1));
        (count > 0).then(|| (sum as f64 / count as f64).max(1.0))
    }

    /// The share of the calls that met overload, 0 to 1.
    pub(super) fn overloaded_share(&self) -> f64 {
        self.overloaded as f64 / self.judged().max(1) as f64
    }
}
