//! The operating system's clocks: the only place that asks what time it is.
//!
//! | | reads | costs | steps |
//! |---|---|---|---|
//! | [`Clock::now`] | `CLOCK_MONOTONIC` | 21 ns | 1 ns |
//! | [`Clock::coarse`] | `CLOCK_MONOTONIC_COARSE`: what the kernel noted at its last tick | 2 ns | a tick, 1 to 10 ms |
//!
//! Both are one clock with one beginning, so their moments may be compared: the coarse one is late by less than
//! a tick or two and never early. [`Clock::coarse`] says what it is good for.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_gettime};
use seawall_policy::{Clock, Mono, Wall};

const SECOND_NS: u64 = 1_000_000_000;

/// Monotonic time since this value was made, and the system's wall clock.
#[derive(Debug, Clone)]
pub struct SystemClock {
    /// What the kernel's clock showed a second before this one's beginning, in nanoseconds.
    zero: u64,
}

impl SystemClock {
    /// Starts counting at one second, so that `Mono(0)` is always in the past, also for the coarse reading.
    #[must_use]
    pub fn new() -> SystemClock {
        // Wraps in the first second after the machine has started; so does what is subtracted from.
        SystemClock { zero: nanos(clock_gettime(ClockId::Monotonic)).wrapping_sub(SECOND_NS) }
    }

    #[inline]
    fn since_zero(&self, time: Timespec) -> Mono {
        Mono(nanos(time).wrapping_sub(self.zero))
    }
}

#[inline]
fn nanos(time: Timespec) -> u64 {
    // Neither is negative: both count from the machine's start.
    time.tv_sec.cast_unsigned() * SECOND_NS + time.tv_nsec.cast_unsigned()
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> Mono {
        self.since_zero(clock_gettime(ClockId::Monotonic))
    }

    #[inline]
    fn coarse(&self) -> Mono {
        self.since_zero(clock_gettime(ClockId::MonotonicCoarse))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock everything else is handed")]
    fn wall(&self) -> Wall {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Of the slowest kernels, 100 ticks a second, and as much again for the one who is interrupted between.
    const TICK_MAX: Duration = Duration::from_millis(10);

    #[test]
    fn the_coarse_reading_is_never_early_and_late_by_a_tick_at_most() {
        let clock = SystemClock::new();
        let mut latest = Duration::ZERO;
        // The best of several: whoever is interrupted between two readings finds the first one late.
        let mut within = 0;
        for _ in 0..100_000 {
            let (before, coarse, after) = (clock.now(), clock.coarse(), clock.now());
            assert!(coarse <= after, "{coarse:?} {after:?}");
            latest = latest.max(before.since(coarse));
            within += usize::from(before.since(coarse) <= TICK_MAX);
        }
        assert!(within >= 99_000, "{within} of 100000; {latest:?} late");
    }

    #[test]
    fn neither_reading_runs_backwards_and_both_go_on() {
        let clock = SystemClock::new();
        let (first, first_coarse) = (clock.now(), clock.coarse());
        let (mut now, mut coarse) = (first, first_coarse);
        while now.since(first) < 5 * TICK_MAX {
            let (next, next_coarse) = (clock.now(), clock.coarse());
            assert!(next >= now && next_coarse >= coarse, "{now:?} {next:?} {coarse:?} {next_coarse:?}");
            (now, coarse) = (next, next_coarse);
        }
        assert!(coarse.since(first_coarse) >= 3 * TICK_MAX, "{first_coarse:?} {coarse:?}");
    }

    #[test]
    fn it_begins_at_one_second_and_zero_is_past_for_both_readings() {
        let clock = SystemClock::new();
        let (coarse, now) = (clock.coarse(), clock.now());
        assert!(now >= Mono(SECOND_NS) && now < Mono(10 * SECOND_NS), "{now:?}");
        assert!(coarse > Mono(SECOND_NS / 2), "{coarse:?}");
    }

    #[test]
    fn clones_show_the_same_time() {
        let clock = SystemClock::new();
        let clone = clock.clone();
        let (a, b, c) = (clock.now(), clone.now(), clock.now());
        assert!(a <= b && b <= c);
    }
}
