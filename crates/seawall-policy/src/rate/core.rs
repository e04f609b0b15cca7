//! The rule, without threads.

use super::policy::Policy;
use crate::Mono;

/// Refused: too many came. Answer with 429 and `Retry-After`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rate limit is exhausted")]
pub struct Exhausted {
    /// From this moment on the same request is admitted, if nobody else asks before; the end of time
    /// (`u64::MAX`) for more at once than the burst, which never is.
    pub retry_at: Mono,
}

/// What an admission leaves, as of that very admission: two calls at once are never told the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// How many more would be admitted at once.
    pub remaining: u32,
    /// From this moment on the whole burst is there again, if nobody else asks before.
    pub full_at: Mono,
}

/// The rule itself: two numbers, and what a TAT becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gcra {
    /// Nanoseconds each request moves the TAT on.
    interval: u64,
    /// Nanoseconds the TAT may run ahead of the clock.
    reach: u64,
}

impl Gcra {
    pub(super) fn new(policy: &Policy) -> Gcra {
        let interval = policy.rate.interval_ns();
        Gcra { interval, reach: interval.saturating_mul(u64::from(policy.burst())) }
    }

    /// The TAT after admitting `n` more, always later than `tat` when `n` is not 0. A clock that seems to
    /// step back only makes it stricter.
    #[inline]
    pub(super) fn next(self, tat: u64, now: Mono, n: u32) -> Result<u64, Exhausted> {
        let cost = self.interval.saturating_mul(u64::from(n));
        let next = tat.max(now.0).saturating_add(cost);
        if next <= now.0.saturating_add(self.reach) {
            return Ok(next);
        }
        let never = cost > self.reach;
        Err(Exhausted { retry_at: Mono(if never { u64::MAX } else { next - self.reach }) })
    }

    pub(super) fn remaining(self, tat: u64, now: Mono) -> u32 {
        let ahead = tat.saturating_sub(now.0);
        u32::try_from(self.reach.saturating_sub(ahead) / self.interval).unwrap_or(u32::MAX)
    }

    pub(super) fn left(self, tat: u64, now: Mono) -> Left {
        Left { remaining: self.remaining(tat, now), full_at: Mono(tat.max(now.0)) }
    }

    pub(super) fn reset(tat: u64, now: Mono) -> u64 {
        tat.saturating_sub(now.0).div_ceil(1_000_000_000)
    }
}

/// Decides; knows nothing of threads. Owned by a loop; [`Limiter`](super::Limiter) is the same for threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Core {
    gcra: Gcra,
    tat: u64,
}

impl Core {
    /// Nothing admitted yet: the whole burst is there.
    #[must_use]
    pub fn new(policy: &Policy) -> Core {
        Core { gcra: Gcra::new(policy), tat: 0 }
    }

    /// Admits one request, or says when to come again.
    ///
    /// # Errors
    /// [`Exhausted`] when too many came.
    pub fn check(&mut self, now: Mono) -> Result<(), Exhausted> {
        self.check_n(1, now)
    }

    /// Admits `n` requests together, or none of them. None at all are always admitted.
    ///
    /// # Errors
    /// [`Exhausted`] when too many came, and always when `n` is more than the burst.
    pub fn check_n(&mut self, n: u32, now: Mono) -> Result<(), Exhausted> {
        if n > 0 {
            self.tat = self.gcra.next(self.tat, now, n)?;
        }
        Ok(())
    }

    /// How many would be admitted at once now: the `r` of a `RateLimit` header.
    #[must_use]
    pub fn remaining(&self, now: Mono) -> u32 {
        self.gcra.remaining(self.tat, now)
    }

    /// Seconds until the whole burst is there again, rounded up: the `t` of a `RateLimit` header.
    #[must_use]
    pub fn reset(&self, now: Mono) -> u64 {
        Gcra::reset(self.tat, now)
    }
}
