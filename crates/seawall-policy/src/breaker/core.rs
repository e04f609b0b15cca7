//! The breaker's decisions, without threads.

use std::time::Duration;

use super::judge::{Judge, Verdict};
use super::policy::Policy;
use super::window::Window;
use crate::{Mono, Outcome};

/// Leave to make one call. Cannot be copied, so it cannot be reported twice.
///
/// Keep it in a guard whose `Drop` reports [`Outcome::Abandoned`]: see "Hold the permit in a guard" in
/// [`super`].
#[derive(Debug)]
#[must_use = "hand it back with `report`, or a probe's place is not given back before `open.for` has passed"]
pub struct Permit {
    pub(super) generation: u32,
    /// When it was given, which is when the call began.
    pub(super) at: Mono,
}

/// Refused: from this moment on it is worth asking again. While probes are out that is when they would be
/// written off; they will mostly have settled the matter long before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the circuit is open")]
pub struct RetryAt(pub Mono);

impl RetryAt {
    /// Held open from outside: nobody here knows until when.
    pub const UNKNOWN: RetryAt = RetryAt(Mono(u64::MAX));
}

/// What a breaker does with those who ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Everyone may call.
    Closed,
    /// Nobody may, until this moment.
    Open {
        /// When the first probe may go; that of [`RetryAt::UNKNOWN`] while it is held open from outside.
        until: Mono,
    },
    /// A few may, to see how it goes. Also the state of an open breaker whose time is over and whom nobody
    /// has asked yet.
    HalfOpen,
}

impl State {
    /// The name used in metric labels and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::Open { .. } => "open",
            State::HalfOpen => "half-open",
        }
    }
}

/// A change of state, worth one line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// What it was.
    pub from: State,
    /// What it is.
    pub to: State,
}

/// What happens to a breaker.
#[derive(Debug)]
pub enum Event {
    /// Someone would like to call.
    Ask,
    /// Someone called, and this came of it.
    Report(Permit, Outcome),
    /// Whether those outside hold it open: a health check, an operator. Said as often as they like; only a
    /// change matters, and only under a policy with the rule [`Trip::External`](super::Trip::External).
    External(bool),
}

/// Decides; knows nothing of threads. Owned by [`Breaker`](super::Breaker), or by a loop.
#[derive(Debug, PartialEq)]
pub struct Core {
    phase: Phase,
    /// Grows by one at each change of phase; permits of another one are void.
    generation: u32,
    recent: Window,
    judge: Judge,
    /// How long it was open the last time; zero when it never was.
    opened_for: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Closed {
        since: Mono,
    },
    Open {
        until: Mono,
    },
    /// Open until those outside let go.
    Held,
    /// `taken` counts probes that are out and probes that succeeded; `latest` is when the last one went.
    HalfOpen {
        taken: u32,
        succeeded: u32,
        latest: Mono,
    },
}

impl Core {
    /// Closed, with nothing counted.
    #[must_use]
    pub fn new(policy: &Policy) -> Core {
        Core {
            phase: Phase::Closed { since: Mono::default() },
            generation: 0,
            recent: Window::new(policy),
            judge: Judge::new(policy),
            opened_for: Duration::ZERO,
        }
    }

    /// Takes in one event. A permit is given only to [`Event::Ask`]; when there is none, ask
    /// [`Core::retry_at`]. The policy must be the one it was made with.
    pub fn step(&mut self, policy: &Policy, now: Mono, event: Event) -> (Option<Permit>, Option<Transition>) {
        let before = self.told();
        let permit = match event {
            Event::Ask => self.ask(policy, now),
            // From before the last change of state: says nothing about the callee as it is now.
            Event::Report(permit, _) if permit.generation != self.generation => None,
            Event::Report(permit, outcome) => {
                self.report(policy, now, outcome, now.0.saturating_sub(permit.at.0));
                None
            }
            Event::External(bad) => {
                self.external(now, bad);
                None
            }
        };
        let after = self.told();
        (permit, (before != after).then_some(Transition { from: before, to: after }))
    }

    fn ask(&mut self, policy: &Policy, now: Mono) -> Option<Permit> {
        match &mut self.phase {
            Phase::Closed { .. } => {}
            Phase::Held => return None,
            Phase::Open { until } if now < *until => return None,
            Phase::HalfOpen { taken, latest, .. } if *taken < policy.admit() => {
                *taken += 1;
                *latest = now;
            }
            // All places out for a whole open time: whoever held them is gone. Their reports, should they
            // come, are void.
            Phase::HalfOpen { latest, .. } if now < *latest + policy.open.for_ => return None,
            Phase::Open { .. } | Phase::HalfOpen { .. } => {
                self.enter(Phase::HalfOpen { taken: 1, succeeded: 0, latest: now });
            }
        }
        Some(Permit { generation: self.generation, at: now })
    }

    fn report(&mut self, policy: &Policy, now: Mono, outcome: Outcome, took: u64) {
        match (&mut self.phase, self.judge.verdict(outcome, took)) {
            (Phase::Closed { .. }, Verdict::Success) => {
                self.advance(now);
                self.credit(1);
            }
            (Phase::Closed { since }, Verdict::SlowSuccess) => {
                let since = *since;
                self.advance(now);
                self.credit(1);
                self.recent.took(policy, took);
                if self.recent.trips_as_slow(policy) {
                    self.trip(policy, now, since);
                }
            }
            (Phase::Closed { since }, Verdict::Failure) => {
                let since = *since;
                self.recent.failed(now);
                self.recent.took(policy, took);
                if self.recent.trips(policy, now) {
                    self.trip(policy, now, since);
                }
            }
            (Phase::HalfOpen { succeeded, .. }, Verdict::Success) => {
                *succeeded += 1;
                if *succeeded >= policy.close_after() {
                    self.enter(Phase::Closed { since: now });
                    self.recent.clear(now);
                }
            }
            (Phase::HalfOpen { .. }, Verdict::Failure | Verdict::SlowSuccess) => {
                self.open(now, policy.longer(self.opened_for));
            }
            (Phase::HalfOpen { taken, .. }, Verdict::Nothing) => *taken -= 1,
            // Says nothing of the callee; and while open no permit is current.
            (Phase::Closed { .. }, Verdict::Nothing) | (Phase::Open { .. } | Phase::Held, _) => {}
        }
    }

    fn external(&mut self, now: Mono, bad: bool) {
        if !self.judge.external {
            return;
        }
        match (self.phase, bad) {
            (Phase::Closed { .. } | Phase::Open { .. } | Phase::HalfOpen { .. }, true) => {
                self.enter(Phase::Held);
            }
            // To be tested, not closed: that someone outside is content again is no call that went well.
            (Phase::Held, false) => self.enter(Phase::HalfOpen { taken: 0, succeeded: 0, latest: now }),
            // As it was.
            (Phase::Held, true)
            | (Phase::Closed { .. } | Phase::Open { .. } | Phase::HalfOpen { .. }, false) => {}
        }
    }

    /// Opens what was closed since then: for longer, if that is not as long ago as it had been open before.
    fn trip(&mut self, policy: &Policy, now: Mono, since: Mono) {
        let repeated = now.since(since) < self.opened_for;
        self.open(now, if repeated { policy.longer(self.opened_for) } else { policy.open.for_ });
    }

    fn open(&mut self, now: Mono, time: Duration) {
        self.opened_for = time;
        self.enter(Phase::Open { until: now + time });
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation = self.generation.wrapping_add(1);
    }

    /// From when on asking is not certain to be in vain.
    #[must_use]
    pub fn retry_at(&self, policy: &Policy) -> RetryAt {
        RetryAt(match self.phase {
            Phase::Open { until } => until,
            Phase::Held => RetryAt::UNKNOWN.0,
            Phase::HalfOpen { taken, latest, .. } if taken >= policy.admit() => latest + policy.open.for_,
            Phase::Closed { .. } | Phase::HalfOpen { .. } => Mono::default(),
        })
    }

    /// What someone who asked now would meet.
    #[must_use]
    pub fn state(&self, now: Mono) -> State {
        match self.told() {
            State::Open { until } if now >= until => State::HalfOpen,
            state => state,
        }
    }

    /// The state that was decided last, whatever the time is now.
    fn told(&self) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { until } => State::Open { until },
            Phase::Held => State::Open { until: RetryAt::UNKNOWN.0 },
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed { .. })
    }

    /// Counts successes that came before the bucket now newest was full.
    pub(super) fn credit(&mut self, successes: u64) {
        self.recent.succeeded(successes);
    }

    /// Moves the window on to `now`.
    pub(super) fn advance(&mut self, now: Mono) {
        self.recent.advance(now);
    }

    /// When the window must be moved on again, in the clock's nanoseconds.
    pub(super) fn bucket_ends(&self) -> u64 {
        self.recent.bucket_ends()
    }
}
