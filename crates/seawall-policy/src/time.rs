//! Time as an argument. A policy never asks what time it is: every decision is told.
//!
//! `Mono` and `Wall` are different types because they answer different questions. How long something
//! took, or whether a wait is over, is asked of `Mono`, which never steps back. What a person would read
//! on a clock, and what is written to disk or sent to another machine, is `Wall`.

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

/// Where the two kinds of time come from. Implemented by the operating system's clocks in `seawall-net`
/// and by hand-turned clocks in tests and simulation.
pub trait Clock: Send + Sync + 'static {
    /// The monotonic clock now.
    fn now(&self) -> Mono;
    /// The wall clock now.
    fn wall(&self) -> Wall;
}
