//! Calling one of several instances: discovery says where, breakers say whether.
//!
//! The registry document's rule (S4, Client Circuit Breaker Integration): take the instances, leave out those whose
//! breaker is open, choose among the rest, call, and tell the breaker how it went. Two things are added.
//!
//! **Who left out is never tested never comes back.** As the document has it, an open breaker takes its instance out
//! of the list for good. Here a breaker whose time is over is asked like any other, and gives one probe.
//!
//! **With every breaker open, any instance is tried.** The document answers with an error. But when all of them
//! fail at once, it is mostly the caller's own network that failed, and an error is certain where a try is not.
//! Such a try is marked ([`Chosen::is_last_resort`]): it is worth one call and no retry.
//!
//! Among those that may be called, the less busy of two drawn at random is taken
//! ([`p2c`]).

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use seawall_policy::breaker::{Breaker, Permit, Policy, Transition};
use seawall_policy::placement::p2c;
use seawall_policy::{Mono, Outcome, Rng};

/// The instances of one service, each behind a breaker of its own.
#[derive(Debug)]
pub struct Pool {
    policy: Arc<Policy>,
    members: RwLock<Arc<[Arc<Member>]>>,
}

#[derive(Debug)]
struct Member {
    addr: SocketAddr,
    breaker: Breaker,
    in_flight: AtomicUsize,
}

/// Leave to make one call to one instance. Dropped without a report, the call counts as given up.
#[derive(Debug)]
#[must_use = "call it, and report what came of that"]
pub struct Chosen {
    member: Arc<Member>,
    permit: Option<Permit>,
    since: Mono,
    is_last_resort: bool,
}

impl Pool {
    /// Nobody yet. All breakers share the policy; [`Policy::s4_registry`] is meant for this.
    #[must_use]
    pub fn new(policy: impl Into<Arc<Policy>>) -> Pool {
        Pool { policy: policy.into(), members: RwLock::new(Arc::new([])) }
    }

    /// These are the instances from now on. Who was there before keeps its breaker and its calls.
    pub fn set(&self, addrs: impl IntoIterator<Item = SocketAddr>) {
        let before = self.members();
        let member = |addr| match before.iter().find(|m| m.addr == addr) {
            Some(known) => known.clone(),
            None => {
                let breaker = Breaker::new(self.policy.clone());
                Arc::new(Member { addr, breaker, in_flight: AtomicUsize::new(0) })
            }
        };
        let members = addrs.into_iter().map(member).collect();
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = members;
    }

    /// The instance to call at `now`: never one of `tried`. `None` when there is no other.
    #[must_use]
    pub fn choose(&self, tried: &[SocketAddr], rng: &mut Rng, now: Mono) -> Option<Chosen> {
        let members = self.members();
        let mut left: Vec<&Arc<Member>> = members.iter().filter(|m| !tried.contains(&m.addr)).collect();
        let any = p2c::choose(rng, left.len(), |i| left[i].busy()).map(|i| left[i].clone())?;
        while let Some(i) = p2c::choose(rng, left.len(), |i| left[i].busy()) {
            let member = left.swap_remove(i);
            if let Ok(permit) = member.breaker.admit(now) {
                return Some(member.begin(Some(permit), now));
            }
        }
        Some(any.begin(None, now))
    }

    /// The first instance at or after the `turn`-th that may be called at `now`; the `turn`-th itself when none may.
    /// For callers that stay with one for as long as it answers: its place is told too, the turn to go on with. `None`
    /// when there is nobody.
    #[must_use]
    pub fn in_turn(&self, turn: usize, now: Mono) -> Option<(usize, Chosen)> {
        let members = self.members();
        let from = turn.checked_rem(members.len())?;
        for place in (from..members.len()).chain(0..from) {
            if let Ok(permit) = members[place].breaker.admit(now) {
                return Some((place, members[place].begin(Some(permit), now)));
            }
        }
        Some((from, members[from].begin(None, now)))
    }

    fn members(&self) -> Arc<[Arc<Member>]> {
        self.members.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Member {
    fn busy(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn begin(self: &Arc<Member>, permit: Option<Permit>, now: Mono) -> Chosen {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Chosen { member: self.clone(), is_last_resort: permit.is_none(), permit, since: now }
    }
}

impl Chosen {
    /// Where to call.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.member.addr
    }

    /// Its breaker is open, and so are all others: worth one call, and no retry.
    #[must_use]
    pub fn is_last_resort(&self) -> bool {
        self.is_last_resort
    }

    /// Tells what became of the call. Returns the change of the breaker's state, for the log.
    pub fn report(mut self, outcome: Outcome, now: Mono) -> Option<Transition> {
        self.end(outcome, now)
    }

    fn end(&mut self, outcome: Outcome, now: Mono) -> Option<Transition> {
        self.member.breaker.report(self.permit.take()?, outcome, now)
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        self.end(Outcome::Abandoned, self.since);
        self.member.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn pool(ports: std::ops::RangeInclusive<u16>) -> Pool {
        let pool = Pool::new(Policy::s4_registry());
        pool.set(ports.map(addr));
        pool
    }

    /// Calls the instance at `port`, which fails, until its breaker opens.
    fn open(pool: &Pool, port: u16, now: Mono) {
        let member = pool.members().iter().find(|m| m.addr == addr(port)).unwrap().clone();
        while let Ok(permit) = member.breaker.admit(now) {
            member.begin(Some(permit), now).report(Outcome::Failed, now);
        }
    }

    fn chosen(pool: &Pool, now: Mono, calls: u32) -> BTreeMap<u16, u32> {
        let (mut rng, mut count) = (Rng::new(1), BTreeMap::new());
        for _ in 0..calls {
            let choice = pool.choose(&[], &mut rng, now).unwrap();
            *count.entry(choice.addr().port()).or_default() += 1;
            choice.report(Outcome::Success, now);
        }
        count
    }

    #[test]
    fn an_instance_whose_breaker_is_open_is_left_out_and_the_others_share_its_calls() {
        let pool = pool(1..=3);
        open(&pool, 2, at(1));
        let count = chosen(&pool, at(2), 1_000);
        assert_eq!(count.keys().copied().collect::<Vec<_>>(), [1, 3]);
        assert!(count.values().all(|n| *n > 400), "{count:?}");
    }

    #[test]
    fn it_is_tested_when_its_time_is_over_and_one_success_brings_it_back() {
        let pool = pool(1..=3);
        open(&pool, 2, at(1));
        assert_eq!(chosen(&pool, at(30), 1_000).len(), 2);
        assert_eq!(chosen(&pool, at(31), 1_000).len(), 3);
    }

    #[test]
    fn with_every_breaker_open_any_is_tried_and_says_so() {
        let pool = pool(1..=2);
        (1..=2).for_each(|port| open(&pool, port, at(1)));
        let choice = pool.choose(&[], &mut Rng::new(1), at(2)).unwrap();
        assert!(choice.is_last_resort());
        assert!(choice.report(Outcome::Failed, at(2)).is_none());
    }

    #[test]
    fn an_instance_is_tried_once_for_each_call() {
        let pool = pool(1..=2);
        let mut rng = Rng::new(1);
        let first = pool.choose(&[], &mut rng, at(1)).unwrap().addr();
        let second = pool.choose(&[first], &mut rng, at(1)).unwrap().addr();
        assert_ne!(first, second);
        assert!(pool.choose(&[first, second], &mut rng, at(1)).is_none());
    }

    #[test]
    fn the_less_busy_is_taken() {
        let pool = pool(1..=2);
        let mut rng = Rng::new(1);
        let busy = pool.choose(&[], &mut rng, at(1)).unwrap();
        assert!((0..100).all(|_| pool.choose(&[], &mut rng, at(1)).unwrap().addr() != busy.addr()));
    }

    #[test]
    fn a_call_given_up_counts_for_nothing_and_leaves_nothing_taken() {
        let pool = pool(1..=1);
        open(&pool, 1, at(1));
        for _ in 0..5 {
            assert!(!pool.choose(&[], &mut Rng::new(1), at(31)).unwrap().is_last_resort());
        }
        assert_eq!(pool.members()[0].busy(), 0);
    }

    #[test]
    fn who_stays_keeps_its_breaker_when_the_list_changes() {
        let pool = pool(1..=3);
        open(&pool, 2, at(1));
        pool.set([addr(2), addr(4)]);
        assert_eq!(chosen(&pool, at(2), 100).into_keys().collect::<Vec<_>>(), [4]);
        pool.set([]);
        assert!(pool.choose(&[], &mut Rng::new(1), at(2)).is_none());
        assert!(pool.in_turn(5, at(2)).is_none());
    }

    #[test]
    fn in_turn_the_next_one_that_may_be_called_follows_and_the_first_when_none_may() {
        let pool = pool(1..=3);
        let port = |turn, now| pool.in_turn(turn, now).unwrap().1.addr().port();
        assert_eq!([0, 1, 2, 3].map(|turn| port(turn, at(1))), [1, 2, 3, 1]);
        open(&pool, 2, at(1));
        assert_eq!([0, 1, 2, 4].map(|turn| port(turn, at(2))), [1, 3, 3, 3]);
        assert_eq!(
            [1, 5].map(|turn| pool.in_turn(turn, at(2)).unwrap().0),
            [2, 2],
            "the place of the one chosen"
        );
        [1, 3].into_iter().for_each(|other| open(&pool, other, at(2)));
        assert_eq!([0, 1, 2].map(|turn| port(turn, at(2))), [1, 2, 3]);
        assert!(pool.in_turn(0, at(2)).unwrap().1.is_last_resort());
    }
}
