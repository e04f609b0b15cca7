//! The rules that no document has: slow, external, and which failures count.

use super::{
    Breaker, Class, Duration, HalfOpen, Mono, Outcome, Policy, RetryAt, State, Trip, at, at_ms, call,
};

const FOREVER: State = State::Open { until: RetryAt::UNKNOWN.0 };

const fn slow(ms: u64, ratio: f64, min: u32) -> Trip {
    Trip::Slow { slow: Duration::from_millis(ms), ratio, min }
}

fn with(trip: impl Into<Vec<Trip>>) -> Policy {
    Policy { trip: trip.into(), ..Policy::s0_chat() }
}

/// Half of at least 20 took 200 ms.
fn with_slow() -> Policy {
    with([slow(200, 0.5, 20)])
}

/// A call admitted at `begun` that took so long.
fn call_for(b: &Breaker, begun: Mono, ms: u64, outcome: Outcome) {
    let Ok(permit) = b.admit(begun) else { panic!("refused at {begun:?}") };
    b.report(permit, outcome, begun + Duration::from_millis(ms));
}

/// Opened at 1 s, half-open from 31 s.
fn opened_as_slow() -> Breaker {
    let b = Breaker::new(with_slow());
    (0..20).for_each(|_| call_for(&b, at(0), 1_000, Outcome::Success));
    assert_eq!(b.state(at(1)), State::Open { until: at(31) });
    b
}

#[test]
fn ten_of_twenty_calls_of_200_ms_open_it_though_all_succeeded_and_nine_do_not() {
    for (slow, opens) in [(10, true), (9, false)] {
        let b = Breaker::new(with_slow());
        (0..20 - slow).for_each(|_| call_for(&b, at(1), 199, Outcome::Success));
        (0..slow).for_each(|_| call_for(&b, at(1), 200, Outcome::Success));
        assert_eq!(b.state(at(2)) != State::Closed, opens, "{slow} of 20");
    }
}

#[test]
fn nineteen_slow_calls_are_too_few_and_the_twentieth_success_that_is_slow_trips_it_itself() {
    let b = Breaker::new(with_slow());
    (0..19).for_each(|_| call_for(&b, at(1), 200, Outcome::Success));
    assert_eq!(b.state(at(2)), State::Closed);
    let last = b.admit(at(2)).unwrap();
    let change = b.report(last, Outcome::Success, at(3)).unwrap();
    assert_eq!((change.from, change.to), (State::Closed, State::Open { until: at(33) }));
}

#[test]
fn a_success_in_time_that_completes_the_minimum_leaves_it_to_the_next_slow_call_or_failure() {
    for next in [(200, Outcome::Success), (0, Outcome::Failed)] {
        let b = Breaker::new(with_slow());
        (0..19).for_each(|_| call_for(&b, at(1), 200, Outcome::Success));
        call_for(&b, at(1), 0, Outcome::Success);
        assert_eq!(b.state(at(2)), State::Closed);
        call_for(&b, at(2), next.0, next.1);
        assert_ne!(b.state(at(3)), State::Closed, "{next:?}");
    }
}

#[test]
fn a_timeout_or_a_refused_connection_is_slow_only_if_it_took_that_long() {
    for (ms, opens) in [(199, false), (200, true)] {
        for outcome in [Outcome::Timeout, Outcome::Unreachable] {
            let b = Breaker::new(with_slow());
            (0..20).for_each(|_| call_for(&b, at(1), ms, outcome));
            assert_eq!(b.state(at(2)) != State::Closed, opens, "{outcome:?} after {ms} ms");
        }
    }
}

#[test]
fn a_slow_success_is_a_success_to_every_other_rule() {
    let b =
        Breaker::new(with([slow(200, 1.0, 1_000), Trip::Consecutive(2), Trip::Ratio { ratio: 1.0, min: 3 }]));
    for s in 0..9 {
        call_for(&b, at(s), 0, Outcome::Failed);
        call_for(&b, at(s), 500, Outcome::Success);
    }
    assert_eq!(b.state(at(9)), State::Closed, "it ends a row, and is no failure among the outcomes");
    // A ratio whose minimum it completes is not its affair.
    let b = Breaker::new(with([slow(200, 1.0, 1_000), Trip::Ratio { ratio: 0.5, min: 3 }]));
    (0..2).for_each(|_| call_for(&b, at(1), 0, Outcome::Failed));
    call_for(&b, at(1), 500, Outcome::Success);
    assert_eq!(b.state(at(2)), State::Closed, "2 of 3");
    call_for(&b, at(2), 0, Outcome::Failed);
    assert_ne!(b.state(at(2)), State::Closed);
}

#[test]
fn each_slow_rule_counts_its_own() {
    for (ms, opens) in [(1_999, false), (2_000, true)] {
        let b = Breaker::new(with([slow(200, 1.0, 10), slow(2_000, 0.2, 10)]));
        (0..8).for_each(|_| call_for(&b, at(1), 0, Outcome::Success));
        (0..2).for_each(|_| call_for(&b, at(1), ms, Outcome::Success));
        assert_eq!(b.state(at(3)) != State::Closed, opens, "2 of 10 took {ms} ms");
    }
}

#[test]
fn slow_calls_leave_the_window_of_ten_seconds() {
    for (last, opens) in [(at_ms(9_799), true), (at_ms(9_800), false)] {
        let b = Breaker::new(with_slow());
        (0..19).for_each(|_| call_for(&b, at(0), 200, Outcome::Success));
        call_for(&b, last, 200, Outcome::Success);
        assert_eq!(b.state(at(10)) != State::Closed, opens, "the twentieth ended 200 ms after {last:?}");
    }
}

#[test]
fn a_slow_probe_counts_as_failed_and_one_in_time_closes() {
    let b = opened_as_slow();
    call_for(&b, at(31), 200, Outcome::Success);
    assert_eq!(b.state(at(32)), State::Open { until: at_ms(31_200 + 60_000) });
    let b = opened_as_slow();
    call_for(&b, at(31), 199, Outcome::Success);
    assert_eq!(b.state(at(32)), State::Closed);
    // With several rules, what the shortest calls slow.
    let b = Breaker::new(Policy {
        half_open: HalfOpen { admit: 1, close_after: 1 },
        ..with([slow(2_000, 0.5, 20), slow(100, 0.5, 20), Trip::Failures(1)])
    });
    call_for(&b, at(0), 0, Outcome::Failed);
    call_for(&b, at(30), 100, Outcome::Success);
    assert!(matches!(b.state(at(31)), State::Open { .. }));
}

#[test]
fn without_a_slow_rule_an_hour_is_not_slow() {
    let b = Breaker::new(Policy::s3_balancer());
    (0..100).for_each(|_| call_for(&b, at(0), 3_600_000, Outcome::Success));
    assert_eq!(b.state(at(3_600)), State::Closed);
}

#[test]
fn a_clock_that_steps_back_during_a_call_makes_it_no_longer() {
    let b = Breaker::new(with_slow());
    let permits: Vec<_> = (0..20).map(|_| b.admit(at(100)).unwrap()).collect();
    permits.into_iter().for_each(|permit| assert_eq!(b.report(permit, Outcome::Success, at(50)), None));
}

#[test]
fn held_open_from_outside_it_is_open_whatever_happens_and_nobody_knows_until_when() {
    let b = Breaker::new(with([Trip::External, Trip::Failures(5)]));
    let early = b.admit(at(0)).unwrap();
    let change = b.external(true, at(1)).unwrap();
    assert_eq!((change.from, change.to), (State::Closed, FOREVER));
    assert_eq!(b.external(true, at(2)), None, "said again");
    assert_eq!(b.report(early, Outcome::Success, at(3)), None);
    for hours in 0..1_000 {
        assert_eq!(b.admit(at(4 + hours * 3_600)).unwrap_err(), RetryAt::UNKNOWN);
        assert_eq!(b.state(at(4 + hours * 3_600)), FOREVER);
    }
}

#[test]
fn let_go_it_is_half_open_at_once_and_tested_like_any_other() {
    let b = Breaker::new(with([Trip::External, Trip::Failures(5)]));
    assert_eq!(b.external(false, at(0)), None, "nobody held it");
    b.external(true, at(1));
    let change = b.external(false, at(2)).unwrap();
    assert_eq!((change.from, change.to), (FOREVER, State::HalfOpen));
    let probes = super::probes(&b, at(2));
    assert_eq!(probes.len(), 3);
    for probe in probes {
        b.report(probe, Outcome::Failed, at(3));
    }
    assert_eq!(b.state(at(3)), State::Open { until: at(33) }, "the first time, for holding is no trip");
    assert_eq!(b.external(false, at(4)), None);
    assert_eq!(b.state(at(4)), State::Open { until: at(33) }, "nor does letting go twice end a trip");
    assert!(call(&b, at(33), Outcome::Success));
    assert_eq!(b.state(at(33)), State::Closed);
}

#[test]
fn it_can_be_taken_hold_of_while_open_and_while_it_is_tested() {
    let b = Breaker::new(with([Trip::External, Trip::Failures(1)]));
    assert!(call(&b, at(0), Outcome::Failed));
    b.external(true, at(1));
    assert_eq!(b.admit(at(30)).unwrap_err(), RetryAt::UNKNOWN, "its own 30 s are over");
    b.external(false, at(31));
    let probe = b.admit(at(31)).unwrap();
    b.external(true, at(32));
    assert_eq!(b.report(probe, Outcome::Success, at(33)), None, "a probe from before");
    assert_eq!(b.state(at(33)), FOREVER);
}

#[test]
fn who_lets_go_before_the_open_time_is_over_has_it_tested_at_once() {
    let b = Breaker::new(with([Trip::External, Trip::Failures(1)]));
    assert!(call(&b, at(0), Outcome::Failed));
    b.external(true, at(1));
    b.external(false, at(2));
    assert!(call(&b, at(2), Outcome::Success));
    assert_eq!(b.state(at(2)), State::Closed);
}

#[test]
fn a_policy_without_the_external_rule_does_not_listen() {
    let b = Breaker::new(Policy::s4_registry());
    assert_eq!(b.external(true, at(0)), None);
    assert_eq!(b.state(at(0)), State::Closed);
    assert!(call(&b, at(0), Outcome::Failed));
}

#[test]
fn an_outcome_that_does_not_count_is_neither_failure_nor_success() {
    let policy = |trip: Trip| Policy { count: vec![Class::Timeout], ..with([trip]) };
    let b = Breaker::new(policy(Trip::Failures(2)));
    for _ in 0..100 {
        assert!(call(&b, at(0), Outcome::Failed) && call(&b, at(0), Outcome::Overloaded));
    }
    // It ends no row…
    let b = Breaker::new(policy(Trip::Consecutive(2)));
    for outcome in [Outcome::Timeout, Outcome::Failed, Outcome::Timeout] {
        assert!(call(&b, at(0), outcome));
    }
    assert_ne!(b.state(at(0)), State::Closed);
    // …and is not among the outcomes of which a share is asked, nor among the slow ones.
    let b = Breaker::new(policy(Trip::Ratio { ratio: 0.5, min: 4 }));
    (0..2).for_each(|_| assert!(call(&b, at(0), Outcome::Success)));
    (0..10).for_each(|_| assert!(call(&b, at(0), Outcome::Failed)));
    (0..2).for_each(|_| assert!(call(&b, at(0), Outcome::Timeout)));
    assert_ne!(b.state(at(0)), State::Closed, "2 of 4");
    let b = Breaker::new(policy(slow(200, 0.5, 4)));
    (0..10).for_each(|_| call_for(&b, at(0), 500, Outcome::Failed));
    assert_eq!(b.state(at(1)), State::Closed);
}

#[test]
fn a_probe_that_ends_in_a_way_that_does_not_count_gives_its_place_back() {
    let b = super::opened(Policy::s1_feed());
    for _ in 0..100 {
        let three = super::probes(&b, at(34));
        assert_eq!(three.len(), 3);
        three.into_iter().for_each(|probe| assert_eq!(b.report(probe, Outcome::Overloaded, at(34)), None));
    }
    assert_eq!(b.state(at(34)), State::HalfOpen);
}

#[test]
fn a_backend_that_sheds_most_of_its_requests_stays_in_the_balancers_choice() {
    let breaker = Breaker::new(Policy::s3_balancer());
    for i in 0..100 {
        let permit = breaker.admit(Mono(i)).expect("closed");
        let outcome = if i % 4 == 0 { Outcome::Success } else { Outcome::Overloaded };
        assert!(breaker.report(permit, outcome, Mono(i)).is_none());
    }
}

fn ruled(rule: Trip) -> Policy {
    Policy { trip: vec![rule], ..Policy::s0_chat() }
}

/// How often a call reads the clock: when it asks, and when it tells.
fn readings(b: &Breaker, outcome: Outcome) -> (u32, u32) {
    let read = std::cell::Cell::new(0);
    let clock = || {
        read.set(read.get() + 1);
        at(40)
    };
    let permit = b.admit_by(clock).expect("closed, or a probe");
    let asked = read.replace(0);
    b.report_by(permit, outcome, clock);
    (asked, read.get())
}

#[test]
fn the_clock_is_read_only_when_the_moment_decides_something() {
    use Outcome::{Abandoned, Failed, Success};
    let share = Trip::Ratio { ratio: 0.5, min: 20 };
    for (trip, [success, failure, nothing]) in [
        (Trip::Failures(5), [(0, 0), (0, 1), (0, 0)]),
        (Trip::Consecutive(5), [(0, 0), (0, 1), (0, 0)]),
        (share, [(0, 1), (0, 1), (0, 0)]),
        (slow(200, 0.5, 20), [(1, 1), (1, 1), (1, 1)]),
    ] {
        let b = Breaker::new(ruled(trip));
        let found = [Success, Failed, Abandoned].map(|outcome| readings(&b, outcome));
        assert_eq!(found, [success, failure, nothing], "{trip:?}");
    }
}

#[test]
fn open_and_half_open_the_clock_is_read_each_time() {
    let b = super::opened(Policy::s0_chat());
    assert_eq!(readings(&b, Outcome::Abandoned), (1, 1), "a probe");
    let early = std::cell::Cell::new(0);
    let refused = super::opened(Policy::s0_chat()).admit_by(|| {
        early.set(early.get() + 1);
        at(5)
    });
    assert_eq!((refused.is_err(), early.get()), (true, 1));
}

#[test]
fn the_permit_of_another_state_reads_no_clock() {
    let b = Breaker::new(ruled(Trip::Failures(1)));
    let (early, bad) = (b.admit(at(1)).unwrap(), b.admit(at(1)).unwrap());
    assert!(b.report(bad, Outcome::Failed, at(1)).is_some());
    assert_eq!(b.report_by(early, Outcome::Failed, || unreachable!("it is void")), None);
}
