//! One limit for all threads: a load and a compare-and-swap to admit, a load to refuse.

use super::core::{Exhausted, Gcra};
use super::policy::Policy;
use crate::Mono;
use crate::inflight::{Lent, Limit};
use crate::sync::{AtomicU64, Ordering, spin_loop};

/// Turns of the processor's own waiting loop (0.4 µs in all) for who lost the word to another: as long as the other
/// takes for several admissions. Two threads that look again at once take the line from each other before either has
/// made use of it, 35 ns an admission; this way each keeps it for a while, 11 ns. Under loom one is as good as many.
const PAUSES: u32 = if cfg!(loom) { 1 } else { 16 };

/// Rate limit shared by threads. See [`super`] for what it decides.
#[derive(Debug)]
pub struct Limiter {
    tat: Word,
    gcra: Gcra,
}

/// The word that every admission writes, on two cache lines of its own (x86 fetches them in pairs): what lies beside
/// it is read by every thread, and would be fetched anew after each write.
#[derive(Debug)]
#[repr(align(128))]
struct Line(AtomicU64);

/// Where the TAT is kept.
#[derive(Debug)]
enum Word {
    Own(Line),
    /// Beside another word that the same callers write; see [`Limiter::beside`].
    Beside(Lent),
}

impl Word {
    #[inline]
    fn get(&self) -> &AtomicU64 {
        match self {
            Word::Own(line) => &line.0,
            Word::Beside(lent) => lent.word(),
        }
    }
}

impl Limiter {
    /// Nothing admitted yet: the whole burst is there.
    #[must_use]
    pub fn new(policy: &Policy) -> Limiter {
        Limiter { tat: Word::Own(Line(AtomicU64::new(0))), gcra: Gcra::new(policy) }
    }

    /// The same limit, its word on the cache line of the places that everyone who is admitted here takes next:
    /// the line then changes cores once for both, where two would change twice. Stays where it is if another
    /// limit is there already.
    pub(crate) fn beside(self, places: &Limit) -> Limiter {
        let Some(lent) = places.lend() else { return self };
        lent.word().store(self.tat.get().load(Ordering::Relaxed), Ordering::Relaxed);
        Limiter { tat: Word::Beside(lent), gcra: self.gcra }
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
        let word = self.tat.get();
        let mut tat = word.load(Ordering::Relaxed);
        // Each turn of this loop is another thread's admission, of which there are no more than the burst
        // before everyone is refused. Relaxed: the word is all there is to know.
        loop {
            let next = self.gcra.next(tat, now, n)?;
            match word.compare_exchange_weak(tat, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(_) => {
                    (0..PAUSES).for_each(|_| spin_loop());
                    tat = word.load(Ordering::Relaxed);
                }
            }
        }
    }

    /// How many would be admitted at once now: the `r` of a `RateLimit` header.
    #[must_use]
    pub fn remaining(&self, now: Mono) -> u32 {
        self.gcra.remaining(self.tat.get().load(Ordering::Relaxed), now)
    }

    /// Seconds until the whole burst is there again, rounded up: the `t` of a `RateLimit` header.
    #[must_use]
    pub fn reset(&self, now: Mono) -> u64 {
        Gcra::reset(self.tat.get().load(Ordering::Relaxed), now)
    }
}
