//! The limit's decisions, without threads.

use std::time::Duration;

use super::policy::Policy;
use super::tally::{self, Tally};
use crate::{Mono, Outcome};

/// Neither latency nor overload takes more than half of the limit in one window.
const SHRINK_MAX: f64 = 0.5;

/// A window lasts at least as long as this many calls one after the other: otherwise most of what it sees
/// began under the limit before.
const CALLS_A_WINDOW: f64 = 4.0;

/// Latency at half the limit, as a share of the worst before: half if all servers are still busy, 10/11 if
/// the limit was right (tolerance 1.1), 1 if there never was a queue. Below this the queue explains it.
const FOLLOWED: f64 = 2.0 / 3.0;

/// One call, as its caller saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// How long it took.
    pub took: Duration,
    /// How many were inside as it ended, itself included.
    pub in_flight: usize,
    /// How it ended.
    pub outcome: Outcome,
}

/// Decides; knows nothing of threads. Owned by [`Adaptive`](super::Adaptive), or by a loop.
#[derive(Debug, Clone, PartialEq)]
pub struct Core {
    policy: Policy,
    /// What the limit is when it is not halved for a probe. Fractions add up to places.
    limit: f64,
    /// Mean latency of a calm callee in microseconds; none before the first window.
    baseline: Option<f64>,
    /// The highest limit and the worst latency since the baseline was last measured.
    high: f64,
    worst: f64,
    probing: bool,
    probe_at: Mono,
    ends: Mono,
    tally: Tally,
}

impl Core {
    /// The initial limit, and nothing known. The first window is as long as its answers take, the second is
    /// a probe.
    #[must_use]
    pub fn new(policy: &Policy) -> Core {
        let policy = policy.usable();
        Core {
            limit: policy.initial as f64,
            baseline: None,
            high: policy.initial as f64,
            worst: 0.0,
            probing: false,
            probe_at: Mono::default(),
            ends: Mono::default(),
            tally: Tally::default(),
            policy,
        }
    }

    /// Takes in one call that ended. Returns the limit when it has changed.
    pub fn step(&mut self, now: Mono, sample: Sample) -> Option<usize> {
        self.tally.add(sample);
        if !self.is_over(now, &self.tally) {
            return None;
        }
        let tally = std::mem::take(&mut self.tally);
        self.turn(now, &tally)
    }

    /// How many may be inside now.
    #[must_use]
    pub fn limit(&self) -> usize {
        let limit = if self.probing { self.limit / 2.0 } else { self.limit };
        (limit as usize).clamp(self.policy.min, self.policy.max)
    }

    /// When the window may end, if it has seen enough by then.
    pub(super) fn ends(&self) -> Mono {
        self.ends
    }

    pub(super) fn is_over(&self, now: Mono, tally: &Tally) -> bool {
        let enough = tally.judged() >= u64::from(self.policy.samples);
        (now >= self.ends && enough) || tally::is_full(tally.answers)
    }

    /// Judges a window and begins the next.
    pub(super) fn turn(&mut self, now: Mono, tally: &Tally) -> Option<usize> {
        let before = self.limit();
        if let Some(took) = tally.mean_us() {
            self.learn(took, now);
            if !self.probing {
                self.adjust(took, tally.peak);
            }
        }
        self.limit *= (1.0 - tally.overloaded_share()).max(SHRINK_MAX);
        self.limit = self.limit.clamp(self.policy.min as f64, self.policy.max as f64);
        self.begin(now);
        let after = self.limit();
        (before != after).then_some(after)
    }

    /// Decides whether this window says what calm is.
    fn learn(&mut self, took: f64, now: Mono) {
        self.high = self.high.max(self.limit);
        self.worst = self.worst.max(took);
        let Some(baseline) = self.baseline else {
            self.baseline = Some(took);
            return;
        };
        let held_down = self.probing || self.limit <= self.high / 2.0;
        let believed = if took < baseline {
            // A queue only ever adds. Yet while the limit is not held down only what is clearly faster: by
            // chance every other window is a little.
            held_down || took * self.policy.tolerance < baseline
        } else {
            held_down && took > FOLLOWED * self.worst
        };
        if believed {
            self.baseline = Some(took);
        }
        if held_down {
            (self.high, self.worst) = (self.limit, took);
            self.probe_at = now + self.policy.probe_every;
        }
    }

    /// Moves the limit by what latency says.
    fn adjust(&mut self, took: f64, peak: usize) {
        let calm = self.baseline.unwrap_or(took);
        let gradient = (self.policy.tolerance * calm / took).clamp(SHRINK_MAX, 1.0);
        let used = peak >= self.limit();
        let target = match gradient {
            shrink if shrink < 1.0 => self.limit * shrink,
            _ if used => self.limit + self.limit.sqrt(),
            _ => return,
        };
        self.limit += self.policy.smoothing * (target - self.limit);
    }

    /// The next window, a probe if one is due.
    fn begin(&mut self, now: Mono) {
        self.probing = !self.probing && now >= self.probe_at;
        let calls = self.baseline.map_or(0.0, |us| us * CALLS_A_WINDOW / 1e6);
        self.ends = now + self.policy.window.max(Duration::from_secs_f64(calls));
    }
}
