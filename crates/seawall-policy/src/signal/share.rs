//! Part of all.

use std::time::Duration;

use super::buckets::Buckets;
use crate::Mono;

/// The share of events of one kind among all of the last window: errors of calls, hits of look-ups.
#[derive(Debug, Clone)]
pub struct Share {
    counts: Buckets<2>,
    min: u64,
}

impl Share {
    /// Judges by the last `window`, if there were at least `min` events in it (at least one).
    #[must_use]
    pub fn new(window: Duration, min: u64) -> Share {
        Share { counts: Buckets::new(window), min: min.max(1) }
    }

    /// What has happened since the last time: `part` of `all`.
    pub fn add(&mut self, now: Mono, part: u64, all: u64) {
        self.counts.add(now, [part.min(all), all]);
    }

    /// 0 to 1; `None` below the minimum.
    #[must_use]
    pub fn at(&self, now: Mono) -> Option<f64> {
        let ([part, all], _) = self.counts.sums(now);
        (all >= self.min).then(|| part as f64 / all as f64)
    }
}
