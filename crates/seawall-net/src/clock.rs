//! The operating system's clocks: the only place that asks what time it is.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use seawall_policy::{Clock, Mono, Wall};

/// Monotonic time since this value was made, and the system's wall clock.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts counting at one second, so that `Mono(0)` is always in the past.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock everything else is handed")]
    pub fn new() -> SystemClock {
        SystemClock { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Mono {
        Mono(1_000_000_000 + self.start.elapsed().as_nanos() as u64)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock everything else is handed")]
    fn wall(&self) -> Wall {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
