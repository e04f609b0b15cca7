//! One limit for all threads: a load and a compare-and-swap to admit, a load to refuse.

use super::core::{Exhausted, Gcra};
use super::policy::Policy;
use crate::Mono;
use crate::sync::{AtomicU64, Ordering};

/// Rate limit shared by threads. See [`super`] for what it decides.
#[derive(Debug)]
pub struct Limiter {
    tat: Line,
    gcra: Gcra,
}

/// The word that every admission writes, on two cache lines of its own (x86 fetches them in pairs): what lies beside
/// it is read by every thread, and would be fetched anew after each write.
#[derive(Debug)]
#[repr(align(128))]
struct Line(AtomicU64);

impl Limiter {
    /// Nothing admitted yet: the whole burst is there.
    #[must_use]
    pub fn new(policy: &Policy) -> Limiter {
        Limiter { tat: Line(AtomicU64::new(0)), gcra: Gcra::new(policy) }
    }

    /// Admits one request, or says when to come again.
    ///
    /// # Errors
    /// [`Exhausted`] when too many came.
    #[inline]
    pub fn check(&self, now: Mono) -> Result<(), Exhausted> {
        self.check_n(1, now)
    }

    /// Admits `n` requests together, or none of them. None at all are always admitted.
    ///
    /// # Errors
    /// [`Exhausted`] when too many came, and always when `n` is more than the burst.
    #[inline]
    pub fn check_n(&self, n: u32, now: Mono) -> Result<(), Exhausted> {
        if n == 0 {
            return Ok(());
        }
        let mut tat = self.tat.0.load(Ordering::Relaxed);
        // Each turn of this loop is another thread's admission, of which there are no more than the burst
        // before everyone is refused. Relaxed: the word is all there is to know.
        loop {
            let next = self.gcra.next(tat, now, n)?;
            match self.tat.0.compare_exchange_weak(tat, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(seen) => tat = seen,
            }
        }
    }

    /// How many would be admitted at once now: the `r` of a `RateLimit` header.
    #[must_use]
    pub fn remaining(&self, now: Mono) -> u32 {
        self.gcra.remaining(self.tat.0.load(Ordering::Relaxed), now)
    }

    /// Seconds until the whole burst is there again, rounded up: the `t` of a `RateLimit` header.
    #[must_use]
    pub fn reset(&self, now: Mono) -> u64 {
        Gcra::reset(self.tat.0.load(Ordering::Relaxed), now)
    }
}
