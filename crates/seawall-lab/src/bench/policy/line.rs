//! Where two threads start a burst from, at the same time.
//!
//! All waiting is spinning: to be woken takes as long as a burst.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use seawall_policy::Mono;

use super::burst::Span;

/// The lane that means: no more.
const HOME: usize = usize::MAX;
/// After so many looks in vain the core is offered to others: whoever is waited for may need it.
const LOOKS: u32 = 4_096;

/// The one who calls, and the one who is called. Bursts are numbered from 1.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The burst that was called last, its lane, and how many calls it has.
    called: AtomicU64,
    lane: AtomicUsize,
    calls: AtomicUsize,
    /// The burst the other one stands ready for, the one that has begun, and the one it has done.
    ready: AtomicU64,
    begun: AtomicU64,
    done: AtomicU64,
    /// When the other one began and ended it.
    span: [AtomicU64; 2],
}

impl Line {
    /// Calls the other one for a burst of `calls` in `lane`; begins it when both are there.
    pub(super) fn call(&self, lane: usize, calls: usize) {
        let burst = self.announce(lane, calls);
        spin_until(|| self.ready.load(Ordering::Acquire) == burst);
        self.begun.store(burst, Ordering::Release);
    }

    /// When the other one began and ended the burst that was called last.
    pub(super) fn wait_for_the_other(&self) -> Span {
        let burst = self.called.load(Ordering::Relaxed);
        spin_until(|| self.done.load(Ordering::Acquire) == burst);
        let [began, ended] = [0, 1].map(|i| Mono(self.span[i].load(Ordering::Relaxed)));
        (began, ended)
    }

    /// No more bursts.
    pub(super) fn send_home(&self) {
        self.announce(HOME, 0);
    }

    fn announce(&self, lane: usize, calls: usize) -> u64 {
        let burst = self.called.load(Ordering::Relaxed) + 1;
        self.lane.store(lane, Ordering::Relaxed);
        self.calls.store(calls, Ordering::Relaxed);
        self.called.store(burst, Ordering::Release);
        burst
    }

    /// The other one's side: the lane to run in at once, and for how many calls; none when there are no
    /// more bursts.
    pub(super) fn wait_to_be_called(&self) -> Option<(usize, usize)> {
        let burst = self.ready.load(Ordering::Relaxed) + 1;
        spin_until(|| self.called.load(Ordering::Acquire) == burst);
        self.ready.store(burst, Ordering::Release);
        let lane = self.lane.load(Ordering::Relaxed);
        if lane == HOME {
            return None;
        }
        spin_until(|| self.begun.load(Ordering::Acquire) == burst);
        Some((lane, self.calls.load(Ordering::Relaxed)))
    }

    /// The other one's side: the burst is done.
    pub(super) fn done(&self, (began, ended): Span) {
        self.span[0].store(began.0, Ordering::Relaxed);
        self.span[1].store(ended.0, Ordering::Relaxed);
        self.done.store(self.ready.load(Ordering::Relaxed), Ordering::Release);
    }
}

fn spin_until(ready: impl Fn() -> bool) {
    let mut looks = 0_u32;
    while !ready() {
        looks += 1;
        if looks.is_multiple_of(LOOKS) {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}
