//! The limit as request threads see it: what a [`Limit`] costs to enter, and one add to report.

use std::time::Duration;

use super::core::Core;
use super::policy::Policy;
use super::tally::{self, Evidence, Tally};
use crate::inflight::{Full, Inside, Limit, Place};
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering};
use crate::{Mono, Outcome};

/// Adaptive limit shared by threads. See [`super`] for what it decides.
#[derive(Debug)]
pub struct Adaptive {
    limit: Limit,
    /// The window under way: the three fields of a [`Tally`]. The first changes with every call and the other
    /// two hardly ever.
    answers: Apart,
    overloaded: AtomicU64,
    peak: AtomicUsize,
    /// Before this moment no report needs to look further.
    ends: AtomicU64,
    samples: u64,
    core: Mutex<Core>,
}

/// Apart from what is only read, by two cache lines, because x86 fetches them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Apart(AtomicU64);

impl Adaptive {
    /// The initial limit, and nobody inside.
    #[must_use]
    pub fn new(policy: &Policy) -> Adaptive {
        let core = Core::new(policy);
        Adaptive {
            limit: Limit::new(core.limit()),
            answers: Apart(AtomicU64::new(0)),
            overloaded: AtomicU64::new(0),
            peak: AtomicUsize::new(0),
            ends: AtomicU64::new(core.ends().0),
            samples: u64::from(policy.usable().samples),
            core: Mutex::new(core),
        }
    }

    /// Takes a place if there is one. Never waits, never allocates.
    ///
    /// # Errors
    /// [`Full`] when every place is taken.
    #[inline]
    pub fn enter(&self) -> Result<Inside<'_>, Full> {
        self.limit.enter()
    }

    /// The same with an owned place, which may travel.
    ///
    /// # Errors
    /// [`Full`] when every place is taken.
    #[inline]
    pub fn admit(&self) -> Result<Place, Full> {
        self.limit.admit()
    }

    /// Tells how a call ended that began at `started`. Report before giving the place back: a call counts
    /// itself among those inside. Returns the new limit when this report was the one that changed it, for the
    /// log.
    #[inline]
    pub fn report(&self, started: Mono, outcome: Outcome, now: Mono) -> Option<usize> {
        let full = self.add(now - started, outcome);
        if !full && now.0 < self.ends.load(Ordering::Relaxed) {
            return None;
        }
        self.turn(now)
    }

    /// The limit as it is now; to read, for [`Adaptive`] sets it.
    #[must_use]
    pub fn limit(&self) -> &Limit {
        &self.limit
    }

    /// Counts a call; says whether the window has seen enough before its time.
    #[inline]
    fn add(&self, took: Duration, outcome: Outcome) -> bool {
        // A higher peak is rare, so mostly this is two loads.
        let inside = self.limit.in_flight();
        if inside > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(inside, Ordering::Relaxed);
        }
        match Evidence::of(took, outcome) {
            Evidence::Answer(answer) => {
                let before = self.answers.0.fetch_add(answer, Ordering::Relaxed);
                return tally::is_full(before.wrapping_add(answer));
            }
            Evidence::Overload => {
                self.overloaded.fetch_add(1, Ordering::Relaxed);
            }
            Evidence::None => {}
        }
        false
    }

    #[cold]
    fn turn(&self, now: Mono) -> Option<usize> {
        if self.seen().judged() < self.samples {
            return None;
        }
        // Whoever holds the lock is doing it.
        let mut core = self.core.try_lock().ok()?;
        // Unless it has just been done.
        if !core.is_over(now, &self.seen()) {
            return None;
        }
        // A report that comes between these lies in two windows, a part in each; nothing is lost.
        let tally = Tally {
            answers: self.answers.0.swap(0, Ordering::Relaxed),
            overloaded: self.overloaded.swap(0, Ordering::Relaxed),
            peak: self.peak.swap(0, Ordering::Relaxed),
        };
        let changed = core.turn(now, &tally);
        if let Some(limit) = changed {
            self.limit.set_max(limit);
        }
        self.ends.store(core.ends().0, Ordering::Relaxed);
        changed
    }

    fn seen(&self) -> Tally {
        Tally {
            answers: self.answers.0.load(Ordering::Relaxed),
            overloaded: self.overloaded.load(Ordering::Relaxed),
            peak: self.peak.load(Ordering::Relaxed),
        }
    }
}
