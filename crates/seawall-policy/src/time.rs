//! Time as an argument. A policy never asks what time it is: every decision is told.
//!
//! `Mono` and `Wall` are different types because they answer different questions. How long something
//! took, or whether a wait is over, is asked of `Mono`, which never steps back. What a person would read
//! on a clock, and what is written to disk or sent to another machine, is `Wall`.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment on this process's monotonic clock, in nanoseconds since an arbitrary start.
///
/// Means nothing in another process and nothing after a restart: never store it or send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// The time from `earlier` until this moment; zero when `earlier` is in fact later.
    #[must_use]
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;
    /// Saturates: "in 600 years" and "never" are the same to a policy.
    fn add(self, d: Duration) -> Mono {
        Mono(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Mono> for Mono {
    type Output = Duration;
    fn sub(self, earlier: Mono) -> Duration {
        self.since(earlier)
    }
}

/// A moment as people read it: milliseconds since 1970-01-01T00:00:00Z. May step in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(pub i64);

const DAY_MS: i64 = 24 * 3600 * 1000;

/// RFC 3339 in UTC, with milliseconds: `2026-11-20T14:03:07.250Z`.
impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0.div_euclid(DAY_MS));
        let ms = self.0.rem_euclid(DAY_MS);
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", ms % 1000)
    }
}

/// The date so many days after 1970-01-01, in the Gregorian calendar (Howard Hinnant, "chrono-compatible
/// low-level date algorithms"): years begin in March, so that the leap day is the last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Where the two kinds of time come from. Implemented by the operating system's clocks in `seawall-net`
/// and by hand-turned clocks in tests and simulation.
pub trait Clock: Send + Sync + 'static {
    /// The monotonic clock now.
    fn now(&self) -> Mono;
    /// The same clock, read cheaply: the moment of its last tick, up to some milliseconds ago. Never later than
    /// [`Clock::now`], and never earlier than it was the last time it was asked. Where there is nothing cheaper,
    /// it is `now`.
    ///
    /// For who would ask the time for one decision alone, whose windows are far longer than a step: a breaker,
    /// a retry budget, most rate limits. **Never for a latency**, which would be 0 or a whole step.
    ///
    /// To a rate limit all that comes within a step came at its beginning. So nothing is let in before its
    /// time as this clock shows it; but a stretch of time `t` that begins just before a tick sees one tick more
    /// than it is long, and up to `burst + rate × (t + a step)` are let in, instead of `burst + rate × t`. A
    /// limit whose burst lasts less than a step refuses more than it must, for nothing comes back before the
    /// next.
    fn coarse(&self) -> Mono {
        self.now()
    }
    /// The wall clock now.
    fn wall(&self) -> Wall;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_written_as_everyone_writes_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (1_795_201_387_250, "2026-11-20T19:03:07.250Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Wall(ms).to_string(), text);
        }
    }
}
