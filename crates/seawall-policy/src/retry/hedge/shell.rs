//! The hedge as request threads see it: two loads to ask; a lock to record, taken only when it is free.

use std::time::Duration;

use super::core::Core;
use super::policy::{After, Policy};
use crate::Mono;
use crate::sync::{AtomicU64, Mutex, Ordering};

/// Hedging of the calls to one callee, shared by threads: 19 KB, and a third of a microsecond a hundred
/// times a window. See [`super`] for how to use it.
#[derive(Debug)]
pub struct Hedge {
    policy: Policy,
    /// What the core last told, in nanoseconds; zero when there is nothing to tell.
    wait_ns: AtomicU64,
    /// From when on that is too old, in nanoseconds of the clock. If it is read beside another wait than it
    /// was written with, then that wait is one that held a moment ago.
    until: AtomicU64,
    recorder: Recorder,
}

/// Two cache lines away, because x86 fetches them in pairs: every call that ends writes it, and what is asked
/// for by those that begin is written a hundred times a window.
#[derive(Debug)]
#[repr(align(128))]
struct Recorder(Mutex<Core>);

impl Hedge {
    /// With nothing measured: a percentile tells nothing yet.
    #[must_use]
    pub fn new(policy: Policy) -> Hedge {
        let recorder = Recorder(Mutex::new(Core::new(policy.clone())));
        Hedge { policy, wait_ns: AtomicU64::new(0), until: AtomicU64::new(0), recorder }
    }

    /// How long to wait for an answer before the next copy goes, when `sent` have gone, the first included.
    /// The copy is still to be paid for: [`Budget::withdraw`](crate::retry::Budget::withdraw) of
    /// [`COST`](crate::retry::COST).
    ///
    /// `None`, send no more: the policy's `max` have gone, the call may not happen twice, or fewer than
    /// [`MIN_SAMPLES`](crate::quantile::MIN_SAMPLES) calls have been measured.
    #[inline]
    #[must_use]
    pub fn wait(&self, now: Mono, sent: u32, idempotent: bool) -> Option<Duration> {
        if !self.policy.may_copy(sent, idempotent) {
            return None;
        }
        if let After::Fixed(wait) = self.policy.after {
            return Some(wait);
        }
        let wait = self.wait_ns.load(Ordering::Relaxed);
        (wait > 0 && now.0 < self.until.load(Ordering::Relaxed)).then(|| Duration::from_nanos(wait))
    }

    /// A call took so long, from its first copy to its first answer; its whole time-out when there was none.
    ///
    /// While another thread records, this call is left out: a percentile of most calls is as good as one of
    /// all, and whether the lock is free has nothing to do with how long a call took.
    pub fn record(&self, now: Mono, took: Duration) {
        if matches!(self.policy.after, After::Fixed(_)) {
            return;
        }
        let Ok(mut core) = self.recorder.0.try_lock() else { return };
        let before = core.told();
        core.record(now, took);
        let told = core.told();
        if told != before {
            // At most an hour, which fits.
            self.wait_ns.store(told.wait.map_or(0, |wait| wait.as_nanos() as u64), Ordering::Relaxed);
            self.until.store(told.until.0, Ordering::Relaxed);
        }
    }

    /// The policy it was made with.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}
