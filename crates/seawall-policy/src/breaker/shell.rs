//! The breaker as request threads see it: one load when closed, two when open, the core only when something
//! happens.
//!
//! A call through a closed breaker costs a load to be admitted and, when it succeeds, two loads and one add
//! to a counter that is this thread's own. Failures, slow successes where a rule asks for them, probes, and
//! the first success in each tenth of the window take the lock. The shell adds speed and no decisions:
//! single-threaded it equals its core event by event, which a property test holds it to.
//!
//! ## Who need not read the clock
//!
//! A reading of the clock costs more than all of the above. A caller that has the time passes it on
//! ([`Breaker::admit`], [`Breaker::report`]). One that would read it for the breaker alone hands over the clock
//! ([`Breaker::admit_by`], [`Breaker::report_by`]), which is read only when the moment decides something:
//!
//! | | asked | told of a success | told of a failure |
//! |---|---|---|---|
//! | closed, rules that count failures | no | no | yes |
//! | closed, a ratio | no | yes | yes |
//! | closed, a slow rule | yes | yes | yes |
//! | open, half-open | yes | yes | yes |
//!
//! What says nothing of the callee needs no moment while closed, unless there is a slow rule.

use std::sync::Arc;

use super::core::{Core, Event, Permit, RetryAt, State, Transition};
use super::judge::{Judge, Verdict};
use super::policy::Policy;
use crate::counter::Counter;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};
use crate::{Mono, Outcome};

/// Circuit breaker shared by threads. See [`super`] for what it decides.
#[derive(Debug)]
pub struct Breaker {
    /// Generation, and in the lowest bit whether it is closed.
    gate: AtomicU64,
    /// When refused, until when. Stale readings are harmless: too late means one more refusal, too early
    /// means asking the core.
    retry_at: AtomicU64,
    /// Successes from this moment on belong to the next bucket, in nanoseconds of the clock.
    bucket_ends: AtomicU64,
    /// Successes while closed, of all time.
    ok: Counter,
    judge: Judge,
    policy: Arc<Policy>,
    inner: Apart,
}

/// What the lock guards, on cache lines of its own (two, because x86 fetches them in pairs): a failure
/// writes it, and every call reads what lies beside it.
#[derive(Debug)]
#[repr(align(128))]
struct Apart(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    core: Core,
    /// How many of `ok` the core has been told of.
    collected: u64,
}

impl Breaker {
    /// Closed. Where there is a breaker per instance, pass an `Arc<Policy>` so that they share it.
    #[must_use]
    pub fn new(policy: impl Into<Arc<Policy>>) -> Breaker {
        let policy = policy.into();
        let core = Core::new(&policy);
        Breaker {
            gate: AtomicU64::new(gate(&core)),
            retry_at: AtomicU64::new(0),
            bucket_ends: AtomicU64::new(core.bucket_ends()),
            ok: Counter::new(policy.shards),
            judge: Judge::new(&policy),
            policy,
            inner: Apart(Mutex::new(Inner { core, collected: 0 })),
        }
    }

    /// Asks to make one call.
    ///
    /// # Errors
    /// [`RetryAt`] when the callee is being left alone, or all probes are out.
    #[inline]
    pub fn admit(&self, now: Mono) -> Result<Permit, RetryAt> {
        let gate = self.gate.load(Ordering::Acquire);
        if gate & 1 == 1 {
            return Ok(Permit { generation: (gate >> 1) as u32, at: now });
        }
        self.admit_unless_closed(now)
    }

    /// [`Breaker::admit`] for a caller that has not read the clock: it is read unless closed, and where a slow
    /// rule will ask when the call began.
    ///
    /// # Errors
    /// [`RetryAt`] when the callee is being left alone, or all probes are out.
    #[inline]
    pub fn admit_by(&self, clock: impl FnOnce() -> Mono) -> Result<Permit, RetryAt> {
        let gate = self.gate.load(Ordering::Acquire);
        if gate & 1 == 1 {
            let at = if self.judge.times_calls() { clock() } else { Mono::default() };
            return Ok(Permit { generation: (gate >> 1) as u32, at });
        }
        self.admit_unless_closed(clock())
    }

    #[inline]
    fn admit_unless_closed(&self, now: Mono) -> Result<Permit, RetryAt> {
        let at = Mono(self.retry_at.load(Ordering::Relaxed));
        if now < at {
            return Err(RetryAt(at));
        }
        self.ask(now)
    }

    /// Tells what became of the call. Returns the change of state it caused, for the log; the change from
    /// open to half-open is made by [`Breaker::admit`] and followed by one of these.
    #[inline]
    pub fn report(&self, permit: Permit, outcome: Outcome, now: Mono) -> Option<Transition> {
        let gate = self.gate.load(Ordering::Acquire);
        if (gate >> 1) as u32 != permit.generation {
            return None;
        }
        self.report_at(gate, permit, outcome, now)
    }

    /// [`Breaker::report`] for a caller that has not read the clock: it is not read for the permit of another
    /// state, nor while closed for an outcome whose moment no rule asks for.
    #[inline]
    pub fn report_by(
        &self,
        permit: Permit,
        outcome: Outcome,
        clock: impl FnOnce() -> Mono,
    ) -> Option<Transition> {
        let gate = self.gate.load(Ordering::Acquire);
        if (gate >> 1) as u32 != permit.generation {
            return None;
        }
        if gate & 1 == 1 && !self.judge.times_calls() {
            match self.judge.verdict(outcome, 0) {
                Verdict::Success if !self.judge.keeps_buckets() => {
                    self.ok.add();
                    return None;
                }
                Verdict::Nothing => return None,
                Verdict::Success | Verdict::SlowSuccess | Verdict::Failure => {}
            }
        }
        self.report_at(gate, permit, outcome, clock())
    }

    #[inline]
    fn report_at(&self, gate: u64, permit: Permit, outcome: Outcome, now: Mono) -> Option<Transition> {
        match (gate & 1, self.judge.verdict(outcome, now.0.saturating_sub(permit.at.0))) {
            (1, Verdict::Success) => {
                if now.0 >= self.bucket_ends.load(Ordering::Relaxed) {
                    self.turn_bucket(now);
                }
                self.ok.add();
                None
            }
            (1, Verdict::Nothing) => None,
            _ => self.step(now, Event::Report(permit, outcome)).1,
        }
    }

    /// Holds it open while `bad`, whatever happens, and lets it be tested from the moment that ends. May be
    /// told again and again, such as after each health check: only a change does something. Changes nothing
    /// without the rule [`Trip::External`](super::Trip::External) in the policy.
    pub fn external(&self, bad: bool, now: Mono) -> Option<Transition> {
        if !self.judge.external {
            return None;
        }
        self.step(now, Event::External(bad)).1
    }

    /// What someone who asked now would meet. Takes the lock unless closed.
    #[must_use]
    pub fn state(&self, now: Mono) -> State {
        if self.gate.load(Ordering::Acquire) & 1 == 1 {
            return State::Closed;
        }
        lock(&self.inner.0).core.state(now)
    }

    /// The policy it was made with.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    #[cold]
    fn ask(&self, now: Mono) -> Result<Permit, RetryAt> {
        let mut inner = lock(&self.inner.0);
        let permit = self.step_locked(&mut inner, now, Event::Ask).0;
        permit.ok_or_else(|| inner.core.retry_at(&self.policy))
    }

    #[cold]
    fn step(&self, now: Mono, event: Event) -> (Option<Permit>, Option<Transition>) {
        self.step_locked(&mut lock(&self.inner.0), now, event)
    }

    fn step_locked(
        &self,
        inner: &mut Inner,
        now: Mono,
        event: Event,
    ) -> (Option<Permit>, Option<Transition>) {
        self.collect(inner);
        let told = inner.core.step(&self.policy, now, event);
        self.publish(&inner.core);
        told
    }

    /// The first success after a bucket is full closes it, so that what was counted lies at its own time.
    #[cold]
    fn turn_bucket(&self, now: Mono) {
        // Whoever holds the lock is doing this, or changing the state; a success more or less in a bucket is
        // no reason to wait.
        let Ok(mut inner) = self.inner.0.try_lock() else { return };
        self.collect(&mut inner);
        inner.core.advance(now);
        self.publish(&inner.core);
    }

    /// Tells the core of the successes since it was last told. One that was still being counted while the
    /// breaker tripped is forgotten with the rest when it closes again.
    fn collect(&self, inner: &mut Inner) {
        let sum = self.ok.sum();
        inner.core.credit(sum.wrapping_sub(inner.collected));
        inner.collected = sum;
    }

    /// Shows the core's decision to those who do not take the lock; the gate last, for it is what they look
    /// at first. Most failures change nothing here, and a word that is not written stays in every core's cache.
    fn publish(&self, core: &Core) {
        let show = |word: &AtomicU64, value, order| {
            // Written under the lock alone, so this thread sees the last one.
            if word.load(Ordering::Relaxed) != value {
                word.store(value, order);
            }
        };
        show(&self.bucket_ends, core.bucket_ends(), Ordering::Relaxed);
        show(&self.retry_at, core.retry_at(&self.policy).0.0, Ordering::Relaxed);
        show(&self.gate, gate(core), Ordering::Release);
    }
}

/// The word that says it all while closed.
fn gate(core: &Core) -> u64 {
    u64::from(core.generation()) << 1 | u64::from(core.is_closed())
}
