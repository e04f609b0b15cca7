//! The breaker's gate, places and generations. Each model says what must be true when all is over.

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;
use seawall_policy::breaker::{Breaker, HalfOpen, Open, Policy, RetryAt, State, Transition, Trip};
use seawall_policy::outcome::Class;
use seawall_policy::{Mono, Outcome};

const HELD: State = State::Open { until: RetryAt::UNKNOWN.0 };

const fn at(seconds: u64) -> Mono {
    Mono(seconds * 1_000_000_000)
}

/// Trips on the first failure, opens for 10 s, may be held open.
fn policy(admit: u32, close_after: u32) -> Policy {
    let ten = Duration::from_secs(10);
    Policy {
        window: ten,
        trip: vec![Trip::Failures(1), Trip::External],
        count: Class::ALL.to_vec(),
        open: Open { for_: ten, growth: 1.0, max: ten },
        half_open: HalfOpen { admit, close_after },
        shards: 1,
    }
}

fn opened(admit: u32, close_after: u32) -> Arc<Breaker> {
    let breaker = Breaker::new(policy(admit, close_after));
    let permit = breaker.admit(at(0)).unwrap();
    breaker.report(permit, Outcome::Failed, at(0));
    Arc::new(breaker)
}

/// Runs both at once, and returns what they returned.
fn both<A: 'static, B>(
    breaker: &Arc<Breaker>,
    a: impl FnOnce(&Breaker) -> A + 'static,
    b: impl FnOnce(&Breaker) -> B,
) -> (A, B) {
    let there = {
        let breaker = Arc::clone(breaker);
        thread::spawn(move || a(&breaker))
    };
    let b = b(breaker);
    (there.join().unwrap(), b)
}

/// Tries the interleavings of three threads with at most four switches where nobody had to wait. All of them
/// take half a minute; the other models are tried in full.
fn model_of_three(test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(test);
}

#[test]
fn of_three_who_ask_at_once_one_gets_the_only_probe() {
    model_of_three(|| {
        let breaker = opened(1, 1);
        let other = {
            let breaker = Arc::clone(&breaker);
            thread::spawn(move || breaker.admit(at(10)).is_ok())
        };
        let (a, b) = both(&breaker, |br| br.admit(at(10)), |br| br.admit(at(10)));
        assert_eq!([a.is_ok(), b.is_ok(), other.join().unwrap()].into_iter().filter(|ok| *ok).count(), 1);
        assert_eq!(breaker.state(at(10)), State::HalfOpen);
        assert_eq!(breaker.admit(at(10)).unwrap_err(), RetryAt(at(20)));
    });
}

#[test]
fn a_place_given_back_is_there_for_the_next_and_only_once() {
    loom::model(|| {
        let breaker = opened(1, 1);
        let probe = breaker.admit(at(10)).unwrap();
        let (_, asked) =
            both(&breaker, move |br| br.report(probe, Outcome::Abandoned, at(11)), |br| br.admit(at(11)));
        let after = breaker.admit(at(11));
        assert!(asked.is_ok() != after.is_ok(), "one place, one holder");
        assert_eq!(breaker.state(at(11)), State::HalfOpen);
        let holder = asked.or(after).unwrap();
        assert_eq!(breaker.report(holder, Outcome::Success, at(12)).map(|c| c.to), Some(State::Closed));
    });
}

#[test]
fn a_failed_probe_wins_over_a_successful_one() {
    loom::model(|| {
        let breaker = opened(2, 2);
        let (good, bad) = (breaker.admit(at(10)).unwrap(), breaker.admit(at(10)).unwrap());
        both(
            &breaker,
            move |br| br.report(good, Outcome::Success, at(11)),
            move |br| br.report(bad, Outcome::Failed, at(11)),
        );
        assert_eq!(breaker.state(at(11)), State::Open { until: at(21) });
    });
}

#[test]
fn a_success_from_before_the_trip_never_closes_it() {
    loom::model(|| {
        let breaker = Arc::new(Breaker::new(policy(1, 1)));
        let (early, bad) = (breaker.admit(at(0)).unwrap(), breaker.admit(at(0)).unwrap());
        let (change, _) = both(
            &breaker,
            move |br| br.report(early, Outcome::Success, at(1)),
            move |br| br.report(bad, Outcome::Failed, at(1)),
        );
        assert!(change.is_none());
        assert_eq!(breaker.state(at(1)), State::Open { until: at(11) });
        assert_eq!(breaker.admit(at(10)).unwrap_err(), RetryAt(at(11)));
    });
}

#[test]
fn whoever_asks_while_the_last_probe_closes_it_is_refused_or_admitted_for_good() {
    loom::model(|| {
        let breaker = opened(1, 1);
        let probe = breaker.admit(at(10)).unwrap();
        let (change, asked) =
            both(&breaker, move |br| br.report(probe, Outcome::Success, at(11)), |br| br.admit(at(11)));
        assert_eq!(change.map(|c| c.to), Some(State::Closed));
        let after = asked.is_err().then(|| breaker.admit(at(11)).unwrap());
        // Issued by the closed breaker: its failure counts there. It was closed for less than its 10 s.
        let permit = asked.ok().or(after).unwrap();
        assert!(breaker.report(permit, Outcome::Failed, at(12)).is_some());
        assert_eq!(breaker.state(at(12)), State::Open { until: at(22) });
    });
}

#[test]
fn held_open_from_outside_it_stays_open_whatever_is_reported_and_asked_at_once() {
    for outcome in [Outcome::Success, Outcome::Failed] {
        loom::model(move || {
            let breaker = Arc::new(Breaker::new(policy(1, 1)));
            let permit = breaker.admit(at(0)).unwrap();
            let asking = {
                let breaker = Arc::clone(&breaker);
                thread::spawn(move || breaker.admit(at(1)).ok())
            };
            let (change, _) =
                both(&breaker, |br| br.external(true, at(1)), move |br| br.report(permit, outcome, at(1)));
            assert_eq!(change.map(|c| c.to), Some(HELD));
            // Whoever was still admitted has nothing to say any more.
            if let Some(permit) = asking.join().unwrap() {
                assert_eq!(breaker.report(permit, Outcome::Failed, at(2)), None);
            }
            assert_eq!(breaker.state(at(1_000)), HELD);
            assert_eq!(breaker.admit(at(1_000)).unwrap_err(), RetryAt::UNKNOWN);
        });
    }
}

#[test]
fn let_go_from_outside_it_has_one_probe_for_two_who_ask() {
    model_of_three(|| {
        let breaker = Arc::new(Breaker::new(policy(1, 1)));
        breaker.external(true, at(0));
        let asking = {
            let breaker = Arc::clone(&breaker);
            thread::spawn(move || breaker.admit(at(1)).ok())
        };
        let (change, asked) = both(&breaker, |br| br.external(false, at(1)), |br| br.admit(at(1)).ok());
        assert_eq!(change, Some(Transition { from: HELD, to: State::HalfOpen }));
        let after = breaker.admit(at(1)).ok();
        let mut probes: Vec<_> = [asking.join().unwrap(), asked, after].into_iter().flatten().collect();
        assert_eq!(probes.len(), 1);
        breaker.report(probes.remove(0), Outcome::Success, at(2));
        assert_eq!(breaker.state(at(2)), State::Closed);
    });
}

#[test]
fn a_probe_that_ends_while_the_breaker_is_taken_hold_of_does_not_close_it() {
    loom::model(|| {
        let breaker = opened(1, 1);
        let probe = breaker.admit(at(10)).unwrap();
        both(&breaker, |br| br.external(true, at(11)), move |br| br.report(probe, Outcome::Success, at(11)));
        assert_eq!(breaker.state(at(11)), HELD);
        assert_eq!(breaker.admit(at(100)).unwrap_err(), RetryAt::UNKNOWN);
    });
}

/// Half of at least `min` calls took 1 s; trips on two failures.
fn slow_policy(min: u32) -> Policy {
    let slow = Duration::from_secs(1);
    Policy { trip: vec![Trip::Slow { slow, ratio: 0.5, min }, Trip::Failures(2)], ..policy(1, 1) }
}

#[test]
fn a_slow_success_and_a_slow_failure_at_once_trip_it_once() {
    loom::model(|| {
        let breaker = Arc::new(Breaker::new(slow_policy(2)));
        let (good, bad) = (breaker.admit(at(0)).unwrap(), breaker.admit(at(0)).unwrap());
        let (a, b) = both(
            &breaker,
            move |br| br.report(good, Outcome::Success, at(2)),
            move |br| br.report(bad, Outcome::Failed, at(2)),
        );
        let changes: Vec<_> = [a, b].into_iter().flatten().collect();
        let opened = State::Open { until: at(12) };
        assert_eq!(changes, [Transition { from: State::Closed, to: opened }], "the second of them, once");
        assert_eq!(breaker.state(at(2)), opened);
    });
}

#[test]
fn a_success_in_time_beside_a_slow_one_is_counted() {
    loom::model(|| {
        let breaker = Arc::new(Breaker::new(slow_policy(3)));
        let [fast, slow, last] = [0, 0, 0].map(|s| breaker.admit(at(s)).unwrap());
        let (a, b) = both(
            &breaker,
            move |br| br.report(fast, Outcome::Success, at(0)),
            move |br| br.report(slow, Outcome::Success, at(1)),
        );
        assert_eq!((a, b), (None, None), "2 are too few for 3");
        // The third: two of three were slow, whether the first was counted before, between or after.
        assert!(breaker.report(last, Outcome::Success, at(1)).is_some());
        assert_eq!(breaker.state(at(1)), State::Open { until: at(11) });
    });
}
