//! Events a second.

use std::time::Duration;

use super::buckets::Buckets;
use crate::Mono;

/// How many events a second there were in the last window. None at all is a rate of zero and well known; what
/// is not known is a window that has not passed yet.
#[derive(Debug, Clone)]
pub struct Rate {
    counts: Buckets<1>,
    known_from: Mono,
}

impl Rate {
    /// Judges by the last `window`, the first of which begins now.
    #[must_use]
    pub fn new(window: Duration, now: Mono) -> Rate {
        Rate { counts: Buckets::new(window), known_from: now + window }
    }

    /// What has happened since the last time.
    pub fn add(&mut self, now: Mono, events: u64) {
        self.counts.add(now, [events]);
    }

    /// Events a second; `None` until a whole window has passed.
    #[must_use]
    pub fn at(&self, now: Mono) -> Option<f64> {
        let ([events], time) = self.counts.sums(now);
        (now >= self.known_from && !time.is_zero()).then(|| events as f64 / time.as_secs_f64())
    }
}
