//! What a closed breaker remembers: fixed memory, however busy the callee.
//!
//! Count rules keep the last n failure times, so "5 in 10 s" is exact. Ratio and slow rules keep ten buckets,
//! each a tenth of the window: exact to a tenth, and the same cost at any rate, where a record per call would
//! cost the more the busier the callee is, which is when the breaker matters. With 50,000 breakers it is also
//! small: a ratio takes 80 bytes, five failure times 40.

use std::time::Duration;

use super::judge::nanos;
use super::policy::{FAILURES_MAX, Policy};
use super::trip::Trip;
use crate::Mono;

/// Buckets of a window.
const BUCKETS: usize = 10;

/// The columns of a bucket. After these there is one for each slow rule: calls that it calls slow.
const OK: usize = 0;
const FAILED: usize = 1;
const SLOW: usize = 2;

#[derive(Debug, PartialEq)]
pub(super) struct Window {
    /// The last failure times, a ring; as many as the largest count rule asks for.
    failures: Box<[Mono]>,
    /// How many of them are known, and where the next one goes. [`FAILURES_MAX`] fits.
    known: u16,
    next: u16,
    /// Failures since the last success.
    streak: u32,
    /// Ten buckets, or nothing when no rule asks for a share. A count that is full stays full: 4 billion calls
    /// in a tenth of a window are more than there will be.
    counts: Box<[u32]>,
    /// Number of the newest bucket since the clock's zero; bucket `i` lies at `i % BUCKETS`.
    newest: u64,
    bucket_ns: u64,
}

impl Window {
    pub(super) fn new(policy: &Policy) -> Window {
        let columns = if policy.has_shares() { SLOW + policy.slow_rules().count() } else { 0 };
        Window {
            failures: vec![Mono::default(); policy.failures_kept()].into(),
            known: 0,
            next: 0,
            streak: 0,
            counts: vec![0; BUCKETS * columns].into(),
            newest: 0,
            bucket_ns: (nanos(policy.window) / BUCKETS as u64).max(1),
        }
    }

    /// Forgets everything; the next outcome is the first.
    pub(super) fn clear(&mut self, now: Mono) {
        self.known = 0;
        self.next = 0;
        self.streak = 0;
        self.counts.fill(0);
        self.newest = now.0 / self.bucket_ns;
    }

    /// Moves on to the bucket that `now` lies in, and forgets those that left the window.
    ///
    /// A clock that seems to step back counts into the newest bucket, never into the past.
    pub(super) fn advance(&mut self, now: Mono) {
        let bucket = now.0 / self.bucket_ns;
        if self.counts.is_empty() || bucket <= self.newest {
            return;
        }
        let passed = (bucket - self.newest).min(BUCKETS as u64);
        for back in 0..passed {
            self.bucket(bucket - back).fill(0);
        }
        self.newest = bucket;
    }

    /// When the newest bucket is full; never, if time does not matter to any rule.
    pub(super) fn bucket_ends(&self) -> u64 {
        if self.counts.is_empty() { u64::MAX } else { (self.newest + 1).saturating_mul(self.bucket_ns) }
    }

    /// Counts `n` successes into the newest bucket.
    pub(super) fn succeeded(&mut self, n: u64) {
        if n > 0 {
            self.streak = 0;
            self.count(OK, u32::try_from(n).unwrap_or(u32::MAX));
        }
    }

    /// Counts one failure.
    pub(super) fn failed(&mut self, now: Mono) {
        self.advance(now);
        self.streak = self.streak.saturating_add(1);
        self.count(FAILED, 1);
        if !self.failures.is_empty() {
            let kept = self.failures.len() as u16;
            self.failures[usize::from(self.next)] = now;
            self.next = (self.next + 1) % kept;
            self.known = (self.known + 1).min(kept);
        }
    }

    /// Counts the call that was just counted as slow too, under each rule that calls it so.
    pub(super) fn took(&mut self, policy: &Policy, took: u64) {
        for (rule, slow) in policy.slow_rules().enumerate() {
            if took >= nanos(slow) {
                self.count(SLOW + rule, 1);
            }
        }
    }

    /// Whether a rule is met, asked right after a failure at `now`.
    pub(super) fn trips(&self, policy: &Policy, now: Mono) -> bool {
        self.trips_as_slow(policy)
            || policy.rules().iter().any(|rule| match *rule {
                Trip::Failures(n) => self.came_within(n, policy.window, now),
                Trip::Consecutive(n) => self.streak >= n && self.came_within(n, policy.window, now),
                Trip::Ratio { ratio, min } => self.is_share(FAILED, ratio, min),
                Trip::Slow { .. } | Trip::External => false,
            })
    }

    /// Whether a slow rule is met, asked right after a success that was slow.
    pub(super) fn trips_as_slow(&self, policy: &Policy) -> bool {
        let mut column = SLOW..;
        policy.rules().iter().any(|rule| match *rule {
            Trip::Slow { ratio, min, .. } => {
                column.next().is_some_and(|slow| self.is_share(slow, ratio, min))
            }
            Trip::Failures(_) | Trip::Consecutive(_) | Trip::Ratio { .. } | Trip::External => false,
        })
    }

    /// Whether the last `n` failures lie within the window: one exactly a window old is out.
    fn came_within(&self, n: u32, window: Duration, now: Mono) -> bool {
        let n = n.clamp(1, FAILURES_MAX) as usize;
        let kept = self.failures.len();
        usize::from(self.known) >= n
            && now.since(self.failures[(usize::from(self.next) + kept - n) % kept]) < window
    }

    /// Whether what is counted in `column` is this share of at least `min` outcomes.
    fn is_share(&self, column: usize, ratio: f64, min: u32) -> bool {
        let all = self.sum(OK) + self.sum(FAILED);
        all >= u64::from(min) && self.sum(column) as f64 >= ratio * all as f64
    }

    fn sum(&self, column: usize) -> u64 {
        self.counts.iter().skip(column).step_by(self.columns()).map(|count| u64::from(*count)).sum()
    }

    fn count(&mut self, column: usize, n: u32) {
        let newest = self.newest;
        if let Some(count) = self.bucket(newest).get_mut(column) {
            *count = count.saturating_add(n);
        }
    }

    fn bucket(&mut self, number: u64) -> &mut [u32] {
        let columns = self.columns();
        let at = (number % BUCKETS as u64) as usize * columns;
        &mut self.counts[at..at + columns]
    }

    fn columns(&self) -> usize {
        self.counts.len() / BUCKETS
    }
}
