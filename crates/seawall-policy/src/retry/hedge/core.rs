//! The hedge's decisions, without threads.

use std::time::Duration;

use super::policy::{After, Policy};
use crate::Mono;
use crate::quantile::Window;

/// The percentile is looked up this many times a window, at most: every 600 ms of a minute.
const REFRESHES: u32 = 100;

/// Decides; knows nothing of threads. Owned by [`Hedge`](super::Hedge), or by a loop.
#[derive(Debug, Clone)]
pub struct Core {
    policy: Policy,
    recent: Window,
    told: Told,
    /// When the percentile is looked up again.
    refresh_at: Mono,
}

/// The percentile as it was looked up last.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Told {
    /// None while there are too few calls.
    pub(super) wait: Option<Duration>,
    /// By then all calls it was taken from will have left the window.
    pub(super) until: Mono,
}

impl Core {
    /// With nothing measured.
    #[must_use]
    pub fn new(policy: Policy) -> Core {
        let recent = Window::new(policy.window());
        Core { policy, recent, told: Told::default(), refresh_at: Mono::default() }
    }

    /// How long to wait for an answer before the next copy goes, when `sent` have gone, the first included.
    /// `None`: send no more.
    #[must_use]
    pub fn wait(&self, now: Mono, sent: u32, idempotent: bool) -> Option<Duration> {
        if !self.policy.may_copy(sent, idempotent) {
            return None;
        }
        match self.policy.after {
            After::Fixed(wait) => Some(wait),
            After::Percentile(_) => self.told.wait.filter(|_| now < self.told.until),
        }
    }

    /// A call took so long, from its first copy to its first answer; its whole time-out when there was none.
    pub fn record(&mut self, now: Mono, took: Duration) {
        let After::Percentile(percent) = self.policy.after else { return };
        self.recent.record(now, took);
        if now >= self.refresh_at {
            let window = self.policy.window();
            self.told = Told { wait: self.recent.at(now, percent / 100.0), until: now + window };
            self.refresh_at = now + window / REFRESHES;
        }
    }

    pub(super) fn told(&self) -> Told {
        self.told
    }
}
