//! Letting 80,000 clients back in without being knocked over by them.
//!
//! A rate limit alone is not enough. It tells everyone who is refused the same moment, the next at which one more fits;
//! they all come then, one gets in, and the herd is as large as before. With 80,000 clients that come back each
//! second and a burst of 200, 2,000 a second become 200, and the last is in after 400 s instead of 40.
//!
//! So whoever is refused gets an appointment of its own: the first free one after the last that was given. They
//! come evenly, as fast as they are let in.

use super::policy::Policy;
use crate::Mono;
use crate::rate::{Exhausted, Limiter};
use crate::sync::{AtomicU64, Ordering};

/// No appointment is further away, in nanoseconds: one minute. With more clients than fit into it, later ones share
/// the same minute, and some of them are asked to come twice.
const HORIZON_NS: u64 = 60_000_000_000;

/// Who may come back now, and when the others may.
#[derive(Debug)]
pub(super) struct Reconnects {
    limiter: Limiter,
    /// From one appointment to the next.
    interval_ns: u64,
    /// The last appointment given, in nanoseconds of the clock.
    given: AtomicU64,
}

impl Reconnects {
    pub(super) fn new(policy: &Policy) -> Reconnects {
        let limiter = Limiter::new(&policy.reconnect);
        Reconnects { limiter, interval_ns: policy.reconnect.rate.interval_ns(), given: AtomicU64::new(0) }
    }

    pub(super) fn check(&self, now: Mono) -> Result<(), Exhausted> {
        let Err(Exhausted { retry_at: Mono(earliest) }) = self.limiter.check(now) else { return Ok(()) };
        let mut given = self.given.load(Ordering::Relaxed);
        // Each turn of this loop is an appointment that another thread gave.
        loop {
            let free = given.saturating_add(self.interval_ns).max(earliest);
            let next = if free - earliest > HORIZON_NS { earliest } else { free };
            match self.given.compare_exchange_weak(given, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Err(Exhausted { retry_at: Mono(next) }),
                Err(seen) => given = seen,
            }
        }
    }
}
