//! What a closed breaker remembers: fixed memory, however busy the callee.
//!
//! Count rules keep the last n failure times, so "5 in 10 s" is exact. Ratio rules keep ten buckets, each a
//! tenth of the window: exact to a tenth, and the same cost at any rate, where a record per call would cost
//! the more the busier the callee is, which is when the breaker matters.

use std::time::Duration;

use super::policy::{FAILURES_MAX, Policy, Trip};
use crate::Mono;

/// Buckets of a window.
const BUCKETS: usize = 10;

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Bucket {
    ok: u64,
    failed: u64,
}

#[derive(Debug, PartialEq)]
pub(super) struct Window {
    /// The last failure times, a ring; as many as the largest count rule asks for.
    failures: Box<[Mono]>,
    /// How many of them are known, and where the next one goes.
    known: usize,
    next: usize,
    /// Failures since the last success.
    streak: u32,
    /// Ten, or none when there is no ratio rule.
    buckets: Box<[Bucket]>,
    /// Number of the newest bucket since the clock's zero; bucket `i` lies at `i % BUCKETS`.
    newest: u64,
    bucket_ns: u64,
}

impl Window {
    pub(super) fn new(policy: &Policy) -> Window {
        let window_ns = u64::try_from(policy.window.as_nanos()).unwrap_or(u64::MAX);
        Window {
            failures: vec![Mono::default(); policy.failures_kept()].into(),
            known: 0,
            next: 0,
            streak: 0,
            buckets: vec![Bucket::default(); if policy.has_ratio() { BUCKETS } else { 0 }].into(),
            newest: 0,
            bucket_ns: (window_ns / BUCKETS as u64).max(1),
        }
    }

    /// Forgets everything; the next outcome is the first.
    pub(super) fn clear(&mut self, now: Mono) {
        self.known = 0;
        self.next = 0;
        self.streak = 0;
        self.buckets.fill(Bucket::default());
        self.newest = now.0 / self.bucket_ns;
    }

    /// Moves on to the bucket that `now` lies in, and forgets those that left the window.
    ///
    /// A clock that seems to step back counts into the newest bucket, never into the past.
    pub(super) fn advance(&mut self, now: Mono) {
        let bucket = now.0 / self.bucket_ns;
        if self.buckets.is_empty() || bucket <= self.newest {
            return;
        }
        let passed = (bucket - self.newest).min(BUCKETS as u64);
        for back in 0..passed {
            self.buckets[((bucket - back) % BUCKETS as u64) as usize] = Bucket::default();
        }
        self.newest = bucket;
    }

    /// When the newest bucket is full; never, if time does not matter to any rule.
    pub(super) fn bucket_ends(&self) -> u64 {
        if self.buckets.is_empty() { u64::MAX } else { (self.newest + 1).saturating_mul(self.bucket_ns) }
    }

    /// Counts `n` successes into the newest bucket.
    pub(super) fn succeeded(&mut self, n: u64) {
        if n > 0 {
            self.streak = 0;
            if let Some(bucket) = self.bucket() {
                bucket.ok += n;
            }
        }
    }

    /// Counts one failure.
    pub(super) fn failed(&mut self, now: Mono) {
        self.advance(now);
        self.streak = self.streak.saturating_add(1);
        if let Some(bucket) = self.bucket() {
            bucket.failed += 1;
        }
        if !self.failures.is_empty() {
            self.failures[self.next] = now;
            self.next = (self.next + 1) % self.failures.len();
            self.known = (self.known + 1).min(self.failures.len());
        }
    }

    /// Whether a rule is met, asked right after a failure at `now`.
    pub(super) fn trips(&self, policy: &Policy, now: Mono) -> bool {
        policy.trip.iter().any(|rule| match *rule {
            Trip::Failures(n) => self.came_within(n, policy.window, now),
            Trip::Consecutive(n) => self.streak >= n && self.came_within(n, policy.window, now),
            Trip::Ratio { ratio, min } => {
                let failed: u64 = self.buckets.iter().map(|b| b.failed).sum();
                let all = failed + self.buckets.iter().map(|b| b.ok).sum::<u64>();
                all >= u64::from(min) && failed as f64 >= ratio * all as f64
            }
        })
    }

    /// Whether the last `n` failures lie within the window: one exactly a window old is out.
    fn came_within(&self, n: u32, window: Duration, now: Mono) -> bool {
        let n = n.clamp(1, FAILURES_MAX) as usize;
        let kept = self.failures.len();
        self.known >= n && now.since(self.failures[(self.next + kept - n) % kept]) < window
    }

    fn bucket(&mut self) -> Option<&mut Bucket> {
        self.buckets.get_mut((self.newest % BUCKETS as u64) as usize)
    }
}
