//! How long calls take, for most of them.

use std::time::Duration;

use crate::Mono;
use crate::quantile::{MIN_SAMPLES, Window};

/// The last quantile there is: of 1,000 calls one lies beyond it.
const QUANTILE_MAX: f64 = 0.999;

/// A quantile of the call times of the last window, such as the p95; exact to 3 %.
///
/// A call that was cut off took its time-out: recorded as that, and never left out, or a callee that answers
/// nobody would be the quickest of all. For the same reason a quantile above the time-out can never be seen:
/// the feed document's 100 ms needs a time-out above that.
#[derive(Debug, Clone)]
pub struct Latency {
    times: Window,
    quantile: f64,
    min: u64,
}

impl Latency {
    /// The `quantile` (0.95 for p95, up to 0.999) of the last `window`. It takes as many calls as leave one
    /// beyond it, 20 for p95 and 100 for p99: of fewer it would be the slowest, and a matter of chance.
    #[must_use]
    pub fn new(window: Duration, quantile: f64) -> Latency {
        let quantile = quantile.clamp(0.0, QUANTILE_MAX);
        let min = (1.0 / (1.0 - quantile)).ceil() as u64;
        Latency { times: Window::new(window), quantile, min: min.max(MIN_SAMPLES) }
    }

    /// A call ended, or was cut off, after `took`.
    pub fn record(&mut self, now: Mono, took: Duration) {
        self.times.record(now, took);
    }

    /// In seconds; `None` below the minimum.
    #[must_use]
    pub fn at(&self, now: Mono) -> Option<f64> {
        let enough = self.times.count(now) >= self.min;
        enough.then(|| self.times.at(now, self.quantile))?.map(|time| time.as_secs_f64())
    }
}
