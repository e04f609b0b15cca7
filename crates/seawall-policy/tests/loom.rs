//! Every interleaving of a few threads on the atomic shells. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p seawall-policy --test loom --release --target-dir target/loom`.
#![cfg(loom)]

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;
use seawall_policy::breaker::{Breaker, HalfOpen, Open, Policy, State, Trip};
use seawall_policy::inflight::Limit;
use seawall_policy::{Mono, Outcome};

const fn at(seconds: u64) -> Mono {
    Mono(seconds * 1_000_000_000)
}

/// Trips on the first failure, opens for 10 s.
fn policy(admit: u32, close_after: u32) -> Policy {
    let ten = Duration::from_secs(10);
    Policy {
        window: ten,
        trip: vec![Trip::Failures(1)],
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

#[test]
fn of_three_who_ask_at_once_one_gets_the_only_probe() {
    loom::model(|| {
        let breaker = opened(1, 1);
        let other = {
            let breaker = Arc::clone(&breaker);
            thread::spawn(move || breaker.admit(at(10)).is_ok())
        };
        let (a, b) = both(&breaker, |br| br.admit(at(10)), |br| br.admit(at(10)));
        assert_eq!([a.is_ok(), b.is_ok(), other.join().unwrap()].into_iter().filter(|ok| *ok).count(), 1);
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
        if let Ok(permit) = asked {
            // Issued by the closed breaker: its failure counts there.
            assert!(breaker.report(permit, Outcome::Failed, at(12)).is_some());
        }
    });
}

#[test]
fn the_last_place_has_one_holder_and_is_free_again_afterwards() {
    loom::model(|| {
        let limit = Limit::new(1);
        let inside = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
        let enter = |limit: &Limit, inside: &loom::sync::atomic::AtomicUsize| {
            let Ok(_place) = limit.admit() else { return false };
            assert_eq!(inside.fetch_add(1, loom::sync::atomic::Ordering::SeqCst), 0);
            inside.fetch_sub(1, loom::sync::atomic::Ordering::SeqCst);
            true
        };
        let there = {
            let (limit, inside) = (limit.clone(), Arc::clone(&inside));
            thread::spawn(move || enter(&limit, &inside))
        };
        let here = enter(&limit, &inside);
        assert!(there.join().unwrap() || here);
        assert_eq!(limit.in_flight(), 0);
        assert!(limit.admit().is_ok());
    });
}
