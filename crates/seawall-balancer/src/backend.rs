//! One backend and everything known of it: who is being served there, how it answers, whether it is up.
//!
//! A backend is its address. Its state is shared by every pool it is in and outlives every change of the
//! routes: a new table points to the same value, so a reload forgets neither a breaker nor a request in
//! flight.
//!
//! ## Three opinions, and who holds them
//!
//! | opinion | from | says |
//! |---|---|---|
//! | [`Health`] | probes, once a second | it is up and ready |
//! | ejection | a refused connection | nobody listens there at this moment |
//! | breaker | the answers to requests | it answers, and badly |
//!
//! An ejection is an opinion of one second, twice as long each time the next connection is refused as well,
//! and is lifted by the first check that passes. It bridges the seconds until the probes have noticed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use seawall_policy::breaker::{self, Breaker, Permit, Transition};
use seawall_policy::probe::{self, Changed, Seen};
use seawall_policy::{Mono, Outcome};

/// How long a refused connection keeps a backend out, the first time.
pub const EJECTED_FOR: Duration = Duration::from_secs(1);
/// It is doubled up to this: as long as a breaker stays open the first time (balancer document).
pub const EJECTED_FOR_MAX: Duration = Duration::from_secs(30);

/// What the probes believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// No check has ended yet.
    Unchecked = 0,
    /// Up.
    Up = 1,
    /// Down.
    Down = 2,
}

impl Health {
    /// As shown on the admin port and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unchecked => "unchecked",
            Health::Up => "up",
            Health::Down => "down",
        }
    }
}

/// A backend; see the module.
pub struct Backend {
    addr: SocketAddr,
    in_flight: AtomicUsize,
    requests: AtomicU64,
    failures: AtomicU64,
    health: AtomicU8,
    /// Clock nanoseconds; in the past when not ejected.
    ejected_until: AtomicU64,
    breaker: ArcSwap<Breaker>,
    slow: Mutex<Slow>,
}

/// What only changes when something happens.
#[derive(Default)]
struct Slow {
    /// There from the first check on.
    checks: Option<probe::Core>,
    /// What the last check saw, if it failed.
    last_fault: Option<String>,
    /// Ejections since a request last succeeded or a check passed.
    ejections: u32,
}

/// What the end of a try changed; each is worth a line in the log.
#[derive(Debug, Default, PartialEq)]
pub struct Ended {
    /// The breaker's change of state.
    pub breaker: Option<Transition>,
    /// For how long the backend was ejected.
    pub ejected: Option<Duration>,
}

impl Backend {
    /// A backend nothing is known of.
    #[must_use]
    pub fn new(addr: SocketAddr, policy: &Arc<breaker::Policy>) -> Backend {
        Backend {
            addr,
            in_flight: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            health: AtomicU8::new(Health::Unchecked as u8),
            ejected_until: AtomicU64::new(0),
            breaker: ArcSwap::from_pointee(Breaker::new(policy.clone())),
            slow: Mutex::default(),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Tries begun and not ended.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Tries begun.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Tries that counted against it.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// What the probes believe.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            0 => Health::Unchecked,
            1 => Health::Up,
            _ => Health::Down,
        }
    }

    /// What the last check saw, unless it passed.
    #[must_use]
    pub fn last_fault(&self) -> Option<String> {
        self.slow().last_fault.clone()
    }

    /// Until when it is ejected, if it is.
    #[must_use]
    pub fn ejected_until(&self, now: Mono) -> Option<Mono> {
        let until = Mono(self.ejected_until.load(Ordering::Relaxed));
        (now < until).then_some(until)
    }

    /// What a request would meet at the breaker.
    #[must_use]
    pub fn breaker_state(&self, now: Mono) -> breaker::State {
        self.breaker.load().state(now)
    }

    /// Leave to make one try, if the breaker gives it.
    pub(crate) fn admit(&self, now: Mono) -> Option<(Arc<Breaker>, Permit)> {
        let breaker = self.breaker.load_full();
        let permit = breaker.admit(now).ok()?;
        Some((breaker, permit))
    }

    /// A changed policy starts a breaker anew; the same one changes nothing.
    pub(crate) fn set_breaker(&self, policy: &Arc<breaker::Policy>) {
        if self.breaker.load().policy() != &**policy {
            self.breaker.store(Arc::new(Breaker::new(policy.clone())));
        }
    }

    /// Takes in one check. The first one decides alone: a newcomer that answers is let in at once.
    pub(crate) fn checked(
        &self,
        policy: &probe::Policy,
        seen: Result<(), (Seen, String)>,
    ) -> Option<Changed> {
        let (seen, fault) = match seen {
            Ok(()) => (Seen::Pass, None),
            Err((seen, fault)) => (seen, Some(fault)),
        };
        let mut slow = self.slow();
        match seen {
            Seen::Pass => {
                slow.ejections = 0;
                self.ejected_until.store(0, Ordering::Relaxed);
                slow.last_fault = None;
            }
            Seen::Fail => slow.last_fault = fault,
            // The checker's own trouble is no fault of the backend.
            Seen::Unknown => return None,
        }
        let changed = match &mut slow.checks {
            Some(core) => core.step(seen),
            none => {
                let up = seen == Seen::Pass;
                *none = Some(probe::Core::new(policy, up));
                Some(if up { Changed::Up } else { Changed::Down })
            }
        }?;
        let health = if changed == Changed::Up { Health::Up } else { Health::Down };
        self.health.store(health as u8, Ordering::Relaxed);
        Some(changed)
    }

    /// A changed policy judges by its own counts from now on and keeps what is believed.
    pub(crate) fn set_probe(&self, policy: &probe::Policy) {
        if let Some(core) = &mut self.slow().checks {
            *core = probe::Core::new(policy, core.is_up());
        }
    }

    /// Begins a try. Without a permit it is not reported to the breaker: all of them were open.
    pub(crate) fn begin(self: &Arc<Self>, permit: Option<(Arc<Breaker>, Permit)>, now: Mono) -> Try {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        Try { backend: self.clone(), permit, started: now }
    }

    fn succeeded(&self) {
        // Read first: the line is shared by all who use this backend, and it is nearly always zero.
        if self.ejected_until.load(Ordering::Relaxed) != 0 {
            self.slow().ejections = 0;
            self.ejected_until.store(0, Ordering::Relaxed);
        }
    }

    /// Many connections may be refused in the same instant; that is one ejection.
    fn eject(&self, now: Mono) -> Option<Duration> {
        let mut slow = self.slow();
        if self.ejected_until(now).is_some() {
            return None;
        }
        let time = EJECTED_FOR.saturating_mul(1 << slow.ejections.min(16)).min(EJECTED_FOR_MAX);
        slow.ejections = slow.ejections.saturating_add(1);
        self.ejected_until.store((now + time).0, Ordering::Relaxed);
        Some(time)
    }

    fn slow(&self) -> MutexGuard<'_, Slow> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A try on its way. Gives its place in the in-flight count, and a breaker's probe, back when dropped.
pub(crate) struct Try {
    backend: Arc<Backend>,
    permit: Option<(Arc<Breaker>, Permit)>,
    started: Mono,
}

impl Try {
    pub(crate) fn addr(&self) -> SocketAddr {
        self.backend.addr
    }

    pub(crate) fn started(&self) -> Mono {
        self.started
    }

    /// Says what became of it. `refused`: no connection could be made at all.
    pub(crate) fn end(mut self, outcome: Outcome, refused: bool, now: Mono) -> Ended {
        let mut ended = Ended::default();
        if outcome.is_failure() {
            self.backend.failures.fetch_add(1, Ordering::Relaxed);
        }
        if outcome == Outcome::Success {
            self.backend.succeeded();
        }
        if refused {
            ended.ejected = self.backend.eject(now);
        }
        if let Some((breaker, permit)) = self.permit.take() {
            ended.breaker = breaker.report(permit, outcome, now);
        }
        ended
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        self.backend.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some((breaker, permit)) = self.permit.take() {
            breaker.report(permit, Outcome::Abandoned, self.started);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn backend() -> Arc<Backend> {
        let policy = Arc::new(breaker::Policy::s3_balancer());
        Arc::new(Backend::new(SocketAddr::from(([127, 0, 0, 1], 1)), &policy))
    }

    fn fail() -> Result<(), (Seen, String)> {
        Err((Seen::Fail, "refused".to_owned()))
    }

    #[test]
    fn the_first_check_decides_alone_and_later_ones_need_company() {
        let (fast, b) = (probe::Policy::fast(), backend());
        assert_eq!(b.checked(&fast, Err((Seen::Unknown, String::new()))), None);
        assert_eq!(b.health(), Health::Unchecked);
        assert_eq!(b.checked(&fast, Ok(())), Some(Changed::Up));
        assert_eq!([b.checked(&fast, fail()), b.checked(&fast, fail())], [None, None]);
        assert_eq!(b.checked(&fast, fail()), Some(Changed::Down));
        assert_eq!(b.last_fault().as_deref(), Some("refused"));
        assert_eq!([b.checked(&fast, Ok(())), b.checked(&fast, Ok(()))], [None, Some(Changed::Up)]);
    }

    #[test]
    fn a_checker_that_is_down_keeps_the_state() {
        let (fast, b) = (probe::Policy::fast(), backend());
        b.checked(&fast, Ok(()));
        for _ in 0..100 {
            b.checked(&fast, Err((Seen::Unknown, "no route from here".to_owned())));
        }
        assert_eq!((b.health(), b.last_fault()), (Health::Up, None));
    }

    #[test]
    fn refused_connections_eject_for_one_second_doubling_to_thirty() {
        let b = backend();
        let mut now = Mono(SECOND);
        let mut times = Vec::new();
        for _ in 0..7 {
            let time = b.begin(None, now).end(Outcome::Unreachable, true, now).ejected.unwrap();
            assert!(b.ejected_until(now).is_some());
            // Sixty-three others that were refused in the same instant.
            assert_eq!(b.begin(None, now).end(Outcome::Unreachable, true, now).ejected, None);
            times.push(time.as_secs());
            now = now + time;
            assert_eq!(b.ejected_until(now), None);
        }
        assert_eq!(times, [1, 2, 4, 8, 16, 30, 30]);
        b.begin(None, now).end(Outcome::Success, false, now);
        assert_eq!(b.begin(None, now).end(Outcome::Unreachable, true, now).ejected, Some(EJECTED_FOR));
        assert_eq!(b.checked(&probe::Policy::fast(), Ok(())), Some(Changed::Up));
        assert_eq!(b.ejected_until(now), None, "a check that passes lifts it");
    }

    #[test]
    fn half_of_twenty_failures_open_it_for_thirty_seconds_and_three_of_five_probes_close_it() {
        let b = backend();
        let mut now = Mono(SECOND);
        let attempt = |now| b.admit(now).map(|permit| b.begin(Some(permit), now));
        for i in 0..20 {
            let outcome = if i % 2 == 0 { Outcome::Success } else { Outcome::Failed };
            attempt(now).unwrap().end(outcome, false, now);
        }
        assert_eq!(b.breaker_state(now).as_str(), "open");
        assert!(attempt(now).is_none());
        now = now + Duration::from_secs(30);
        let probes: Vec<Try> = (0..5).map(|_| attempt(now).unwrap()).collect();
        assert!(attempt(now).is_none(), "five places, all taken");
        drop(probes);
        assert_eq!(b.in_flight(), 0);
        for _ in 0..3 {
            attempt(now).unwrap().end(Outcome::Success, false, now);
        }
        assert_eq!(b.breaker_state(now).as_str(), "closed");
    }

    #[test]
    fn the_same_policy_keeps_the_breaker_and_another_one_starts_it_anew() {
        let b = backend();
        let now = Mono(SECOND);
        for _ in 0..20 {
            b.begin(b.admit(now), now).end(Outcome::Failed, false, now);
        }
        b.set_breaker(&Arc::new(breaker::Policy::s3_balancer()));
        assert_eq!(b.breaker_state(now).as_str(), "open");
        b.set_breaker(&Arc::new(breaker::Policy::s4_registry()));
        assert_eq!(b.breaker_state(now).as_str(), "closed");
    }
}
