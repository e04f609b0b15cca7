//! The breaker's promises, each beginning with a document's number. The rules that no document has, and what
//! holds for every policy, are in [`rules`].

mod rules;

use std::time::Duration;

use seawall_policy::breaker::{self, Breaker, HalfOpen, Permit, Policy, RetryAt, State, Trip};
use seawall_policy::outcome::Class;
use seawall_policy::{Mono, Outcome};

const fn at(seconds: u64) -> Mono {
    at_ms(seconds * 1_000)
}

const fn at_ms(ms: u64) -> Mono {
    Mono(ms * 1_000_000)
}

/// One call at `now`: what the callee did, or `None` when it was spared. Returns whether it was called.
fn call(b: &Breaker, now: Mono, outcome: Outcome) -> bool {
    match b.admit(now) {
        Ok(permit) => {
            b.report(permit, outcome, now);
            true
        }
        Err(RetryAt(at)) => {
            assert!(at > now, "whoever is refused is told to come back later");
            false
        }
    }
}

fn fail(b: &Breaker, times: impl IntoIterator<Item = u64>) {
    times.into_iter().for_each(|s| assert!(call(b, at(s), Outcome::Failed), "refused at {s} s"));
}

/// Opened at 4 s by failures at 0, 1, 2, 3, 4 s.
fn opened(policy: Policy) -> Breaker {
    let b = Breaker::new(policy);
    fail(&b, 0..5);
    assert!(matches!(b.state(at(4)), State::Open { .. }));
    b
}

/// All probes there are.
fn probes(b: &Breaker, now: Mono) -> Vec<Permit> {
    (0..100).map_while(|_| b.admit(now).ok()).collect()
}

#[test]
fn fifth_failure_in_ten_seconds_opens_for_thirty() {
    let b = Breaker::new(Policy::s0_chat());
    fail(&b, [0, 2, 4, 6]);
    assert_eq!(b.state(at(6)), State::Closed);
    let permit = b.admit(at(9)).unwrap();
    let change = b.report(permit, Outcome::Timeout, at(9)).unwrap();
    assert_eq!((change.from, change.to), (State::Closed, State::Open { until: at(39) }));
    assert_eq!(b.admit(at_ms(38_999)).unwrap_err(), RetryAt(at(39)));
    assert!(b.admit(at(39)).is_ok());
}

#[test]
fn five_failures_in_eleven_seconds_do_not_open() {
    let b = Breaker::new(Policy::s0_chat());
    fail(&b, [0, 3, 6, 9, 11]);
    assert_eq!(b.state(at(11)), State::Closed);
    let exactly_ten = Breaker::new(Policy::s0_chat());
    fail(&exactly_ten, [0, 3, 6, 9, 10]);
    assert_eq!(exactly_ten.state(at(10)), State::Closed, "a failure exactly a window old is out");
}

#[test]
fn five_failures_in_ten_seconds_open_however_many_successes_lie_between() {
    for policy in [Policy::s0_chat(), Policy::s1_feed()] {
        let b = Breaker::new(policy);
        for s in 0..5 {
            (0..1_000).for_each(|_| assert!(call(&b, at(s), Outcome::Success)));
            fail(&b, [s]);
        }
        assert!(!call(&b, at(5), Outcome::Success));
    }
}

#[test]
fn for_the_thirty_seconds_that_chat_is_open_every_call_is_refused_with_the_moment_to_come_back() {
    let b = opened(Policy::s0_chat());
    for ms in (4_000..34_000).step_by(100) {
        assert_eq!(b.admit(at_ms(ms)).unwrap_err(), RetryAt(at(34)));
    }
    assert_eq!(b.state(at(34)), State::HalfOpen);
    assert!(b.admit(at(34)).is_ok());
}

#[test]
fn fifth_failure_of_ranking_in_ten_seconds_opens_for_thirty_and_in_eleven_it_does_not() {
    for (fifth, opens) in [(at_ms(9_999), true), (at(10), false), (at(11), false)] {
        let b = Breaker::new(Policy::s1_feed());
        fail(&b, [0, 3, 6, 9]);
        assert!(call(&b, fifth, Outcome::Timeout));
        let state =
            if opens { State::Open { until: fifth + Duration::from_secs(30) } } else { State::Closed };
        assert_eq!(b.state(fifth), state);
    }
}

#[test]
fn timeouts_and_exceptions_of_ranking_count_and_too_busy_does_not() {
    for outcome in [Outcome::Timeout, Outcome::Failed, Outcome::Unreachable] {
        let b = Breaker::new(Policy::s1_feed());
        (0..5).for_each(|s| assert!(call(&b, at(s), outcome)));
        assert!(!call(&b, at(5), outcome), "{outcome:?}");
    }
    let busy = Breaker::new(Policy::s1_feed());
    assert!((0..100).all(|_| call(&busy, at(1), Outcome::Overloaded)));
    // Everywhere else any error counts: the documents' words are "failure", "error" and any throw.
    for policy in [Policy::s0_chat(), Policy::s2_links(), Policy::s4_registry()] {
        assert_eq!(policy.count, Class::ALL);
    }
}

#[test]
fn three_probes_are_admitted_and_the_fourth_is_refused() {
    assert_eq!(probes(&opened(Policy::s0_chat()), at(34)).len(), 3);
    assert_eq!(probes(&opened(Policy::s1_feed()), at(34)).len(), 3);
}

#[test]
fn one_success_closes_chat_and_two_close_feed() {
    let chat = opened(Policy::s0_chat());
    assert!(call(&chat, at(34), Outcome::Success));
    assert_eq!(chat.state(at(34)), State::Closed);
    assert_eq!(Policy::s0_chat().half_open, HalfOpen { admit: 3, close_after: 1 });
    let feed = opened(Policy::s1_feed());
    assert!(call(&feed, at(34), Outcome::Success));
    assert_eq!(feed.state(at(34)), State::HalfOpen);
    assert!(call(&feed, at(35), Outcome::Success));
    assert_eq!(feed.state(at(35)), State::Closed);
}

#[test]
fn two_successes_of_ranking_must_be_in_a_row_for_a_failure_between_them_opens_it_again() {
    let b = opened(Policy::s1_feed());
    assert!(call(&b, at(34), Outcome::Success));
    assert!(call(&b, at(35), Outcome::Failed));
    assert_eq!(b.state(at(35)), State::Open { until: at(35 + 60) });
    assert!(call(&b, at(95), Outcome::Success));
    assert_eq!(b.state(at(95)), State::HalfOpen, "counted anew");
}

#[test]
fn a_failed_probe_opens_chat_again_for_sixty_seconds_and_verbatim_for_thirty() {
    for (policy, seconds) in [(Policy::s0_chat(), 60), (Policy::s0_chat().verbatim(), 30)] {
        let b = opened(policy);
        assert!(call(&b, at(34), Outcome::Failed));
        assert_eq!(b.state(at(34)), State::Open { until: at(34 + seconds) });
    }
}

#[test]
fn five_errors_in_a_row_open_the_links_breaker_for_sixty_seconds_and_one_probe_tests_it() {
    let b = opened(Policy::s2_links());
    assert_eq!(b.admit(at(63)).unwrap_err(), RetryAt(at(64)));
    let probe = b.admit(at(64)).unwrap();
    assert!(b.admit(at(64)).is_err());
    b.report(probe, Outcome::Success, at(65));
    assert_eq!(b.state(at(65)), State::Closed);
    assert_eq!(Policy::s2_links().half_open, HalfOpen { admit: 1, close_after: 1 });
}

#[test]
fn the_fifth_error_in_a_row_within_sixty_seconds_opens_links_and_after_sixty_it_does_not() {
    for (fifth, opens) in [(at_ms(59_999), true), (at(60), false)] {
        let b = Breaker::new(Policy::s2_links());
        fail(&b, [0, 15, 30, 45]);
        assert!(call(&b, fifth, Outcome::Unreachable));
        assert_eq!(b.state(fifth) != State::Closed, opens);
    }
}

#[test]
fn one_failed_probe_opens_links_again_where_the_document_waits_for_five() {
    let b = opened(Policy::s2_links().verbatim());
    assert!(call(&b, at(64), Outcome::Failed));
    assert_eq!(b.state(at(64)), State::Open { until: at(124) });
}

#[test]
fn five_errors_in_the_lifetime_of_a_process_do_not_open_it() {
    let b = Breaker::new(Policy::s2_links());
    for day in 0..30 {
        assert!(call(&b, at(day * 86_400), Outcome::Failed));
        assert!(call(&b, at(day * 86_400 + 1), Outcome::Success));
    }
    assert_eq!(b.state(at(30 * 86_400)), State::Closed);
    // Not even when nothing succeeds in between, but each is an hour from the next.
    let idle = Breaker::new(Policy::s2_links());
    fail(&idle, (0..100).map(|hour| hour * 3_600));
}

#[test]
fn four_failures_and_a_success_begin_a_new_row() {
    let b = Breaker::new(Policy::s2_links());
    for s in 0..50 {
        assert!(call(&b, at(s), if s % 5 == 4 { Outcome::Success } else { Outcome::Failed }));
    }
    assert_eq!(b.state(at(50)), State::Closed);
}

#[test]
fn nineteen_failures_are_too_few_to_judge_by_ratio() {
    let b = Breaker::new(Policy::s3_balancer());
    fail(&b, [1; 19]);
    assert_eq!(b.state(at(1)), State::Closed);
    fail(&b, [1]);
    assert!(!call(&b, at(1), Outcome::Success));
}

#[test]
fn half_of_twenty_requests_open_the_balancers_breaker_and_nine_of_twenty_do_not() {
    for (failures, opens) in [(10, true), (9, false)] {
        let b = Breaker::new(Policy::s3_balancer());
        (0..20 - failures).for_each(|_| assert!(call(&b, at(1), Outcome::Success)));
        fail(&b, vec![2; failures]);
        assert_eq!(b.state(at(2)) != State::Closed, opens, "{failures} of 20");
    }
}

#[test]
fn twenty_requests_must_come_together_in_ten_seconds() {
    for (last, opens) in [(at_ms(9_999), true), (at(10), false)] {
        let b = Breaker::new(Policy::s3_balancer());
        fail(&b, [0; 9]);
        (0..10).for_each(|_| assert!(call(&b, at(5), Outcome::Success)));
        assert!(call(&b, last, Outcome::Failed));
        assert_eq!(b.state(last) != State::Closed, opens, "the tenth failure of twenty, at {last:?}");
    }
}

#[test]
fn the_balancers_breaker_sleeps_for_30000_ms() {
    let b = Breaker::new(Policy::s3_balancer());
    fail(&b, [1; 20]);
    assert_eq!(b.admit(at_ms(30_999)).unwrap_err(), RetryAt(at(31)));
    assert!(b.admit(at(31)).is_ok());
}

#[test]
fn one_failed_probe_of_five_opens_the_balancers_breaker_again() {
    let b = Breaker::new(Policy::s3_balancer());
    fail(&b, [0; 20]);
    for (probe, outcome) in
        probes(&b, at(30)).into_iter().zip([Outcome::Success, Outcome::Success, Outcome::Timeout])
    {
        b.report(probe, outcome, at(31));
    }
    assert_eq!(b.state(at(31)), State::Open { until: at(91) });
}

#[test]
fn an_hour_of_success_does_not_outvote_ten_seconds_of_failure() {
    let b = Breaker::new(Policy::s3_balancer());
    for s in 0..3_600 {
        (0..100).for_each(|_| assert!(call(&b, at(s), Outcome::Success)));
    }
    // From here on 100 a second fail: half of the window after 5 s.
    let called = (3_600..3_620).flat_map(|s| [s; 100]).filter(|s| call(&b, at(*s), Outcome::Failed)).count();
    assert!((400..=600).contains(&called), "{called} calls until it opened");
}

#[test]
fn three_of_five_probes_close_the_balancers_breaker() {
    let b = Breaker::new(Policy::s3_balancer());
    fail(&b, [0; 20]);
    let five = probes(&b, at(30));
    assert_eq!(five.len(), 5);
    let states: Vec<State> = five
        .into_iter()
        .map(|probe| {
            b.report(probe, Outcome::Success, at(31));
            b.state(at(31))
        })
        .collect();
    assert_eq!(states[1..3], [State::HalfOpen, State::Closed]);
    assert_eq!(states[4], State::Closed, "the two that come late change nothing");
}

#[test]
fn five_of_ten_or_five_in_a_row_open_an_instance_for_the_registrys_clients() {
    let row = opened(Policy::s4_registry());
    assert_eq!(probes(&row, at(34)).len(), 1);
    let half = Breaker::new(Policy::s4_registry());
    let outcomes = [Outcome::Success, Outcome::Failed];
    let called = outcomes.into_iter().cycle().take(20).filter(|outcome| call(&half, at(1), *outcome)).count();
    assert_eq!(called, 10);
}

#[test]
fn six_of_nine_and_four_of_ten_leave_an_instance_to_the_registrys_clients() {
    // F a failure, s a success; never five in a row.
    for (outcomes, opens) in
        [("FFsFFsFsF", false), ("FFsFFsFsFF", true), ("FsFsFsssFF", true), ("FsFsFssssF", false)]
    {
        let b = Breaker::new(Policy::s4_registry());
        for outcome in outcomes.chars().map(|c| if c == 'F' { Outcome::Failed } else { Outcome::Success }) {
            assert!(call(&b, at(1), outcome));
        }
        assert_eq!(b.state(at(1)) != State::Closed, opens, "{outcomes}");
    }
}

#[test]
fn five_in_a_row_within_ten_seconds_leave_an_instance_out_for_thirty_and_one_test_call_brings_it_back() {
    let idle = Breaker::new(Policy::s4_registry());
    fail(&idle, [0, 3, 6, 9, 10]);
    assert_eq!(idle.state(at(10)), State::Closed, "the first is ten seconds old");
    let b = Breaker::new(Policy::s4_registry());
    fail(&b, [0, 3, 6, 9]);
    assert!(call(&b, at_ms(9_999), Outcome::Failed));
    assert_eq!(b.admit(at_ms(39_998)).unwrap_err(), RetryAt(at_ms(39_999)));
    let probe = b.admit(at(40)).unwrap();
    assert!(b.admit(at(40)).is_err(), "one test call");
    b.report(probe, Outcome::Success, at(41));
    assert_eq!(b.state(at(41)), State::Closed);
    assert_eq!(Policy::s4_registry().half_open, HalfOpen { admit: 1, close_after: 1 });
}

#[test]
fn any_failed_probe_opens_it_again_for_twice_as_long_up_to_four_times() {
    let b = opened(Policy::s0_chat());
    let mut open_for = vec![30];
    let mut now = 34;
    for _ in 0..4 {
        assert!(call(&b, at(now), Outcome::Success) || now == 0);
        // One success closed it; five more failures at once are a repeated trip.
        fail(&b, [now; 5]);
        let State::Open { until } = b.state(at(now)) else { panic!("not open at {now}") };
        let seconds = (until - at(now)).as_secs();
        open_for.push(seconds);
        now += seconds;
    }
    assert_eq!(open_for, [30, 60, 120, 120, 120]);

    let b = opened(Policy::s1_feed());
    let [_first, second, _third] = probes(&b, at(34)).try_into().unwrap();
    let change = b.report(second, Outcome::Failed, at(34)).unwrap();
    assert_eq!(change.from, State::HalfOpen);
    assert_eq!(change.to, State::Open { until: at(34 + 60) });
}

/// How long it is open when every probe fails, in seconds.
fn open_times(policy: Policy) -> Vec<u64> {
    let b = Breaker::new(policy);
    assert!(!(0..100).all(|_| call(&b, at(0), Outcome::Failed)), "never opens");
    let mut now = at(0);
    let time = |_| {
        let State::Open { until } = b.state(now) else { panic!("not open at {now:?}") };
        let seconds = (until - now).as_secs();
        assert!(call(&b, until, Outcome::Failed));
        now = until;
        seconds
    };
    (0..5).map(time).collect()
}

#[test]
fn thirty_and_sixty_seconds_double_up_to_four_times_and_stay_as_they_are_in_verbatim() {
    for name in breaker::PRESETS {
        let policy = breaker::preset(name).unwrap();
        let first = if name.starts_with("s2") { 60 } else { 30 };
        let times = if name.ends_with("verbatim") {
            assert_eq!((policy.open.growth, policy.open.max), (1.0, policy.open.for_));
            [1, 1, 1, 1, 1]
        } else {
            assert_eq!((policy.open.growth, policy.open.max), (2.0, 4 * policy.open.for_));
            [1, 2, 4, 4, 4]
        };
        assert_eq!(open_times(policy), times.map(|times| times * first), "{name}");
    }
}

#[test]
fn what_all_threads_call_has_four_counters_and_what_there_is_one_of_per_instance_has_one() {
    let shared = [Policy::s0_chat(), Policy::s1_feed(), Policy::s2_links()];
    assert_eq!(shared.map(|policy| policy.shards), [4, 4, 4]);
    let per_instance = [Policy::s3_balancer(), Policy::s4_registry()];
    assert_eq!(per_instance.map(|policy| policy.shards), [1, 1]);
}

#[test]
fn thirty_seconds_stay_thirty_in_the_documents_own_words() {
    let b = opened(Policy::s0_chat().verbatim());
    for round in 1..20 {
        let now = 4 + 30 * round;
        assert!(!call(&b, at(now - 1), Outcome::Failed));
        assert!(call(&b, at(now), Outcome::Failed));
    }
}

#[test]
fn staying_closed_for_as_long_as_it_was_open_makes_the_next_trip_a_first_one() {
    let b = opened(Policy::s0_chat());
    assert!(call(&b, at(34), Outcome::Success));
    fail(&b, [64; 5]);
    assert_eq!(b.state(at(64)), State::Open { until: at(94) });
}

#[test]
fn a_success_from_before_the_trip_is_no_probe() {
    let b = Breaker::new(Policy::s0_chat());
    let early = b.admit(at(0)).unwrap();
    let earlier_failure = b.admit(at(0)).unwrap();
    fail(&b, 0..5);
    assert_eq!(b.report(early, Outcome::Success, at(5)), None);
    assert!(matches!(b.state(at(5)), State::Open { .. }));
    let probe = b.admit(at(34)).unwrap();
    assert_eq!(b.report(earlier_failure, Outcome::Failed, at(34)), None, "nor does it fail one");
    b.report(probe, Outcome::Success, at(34));
    assert_eq!(b.state(at(34)), State::Closed);
}

#[test]
fn an_abandoned_probe_gives_its_place_back() {
    let b = opened(Policy::s2_links());
    for _ in 0..100 {
        let probe = b.admit(at(64)).unwrap();
        assert!(b.admit(at(64)).is_err());
        assert_eq!(b.report(probe, Outcome::Abandoned, at(64)), None);
    }
    assert_eq!(b.state(at(64)), State::HalfOpen);
}

#[test]
fn a_lost_probe_costs_one_open_time_and_not_the_callee() {
    let b = opened(Policy::s2_links());
    let lost = b.admit(at(64)).unwrap();
    assert_eq!(b.admit(at(65)).unwrap_err(), RetryAt(at(124)));
    let next = b.admit(at(124)).unwrap();
    assert!(b.admit(at(124)).is_err());
    assert_eq!(b.report(lost, Outcome::Failed, at(125)), None, "what comes too late is not heard");
    b.report(next, Outcome::Success, at(126));
    assert_eq!(b.state(at(126)), State::Closed);
}

#[test]
fn what_the_caller_gave_up_says_nothing_of_the_callee() {
    let b = Breaker::new(Policy::s0_chat());
    assert!((0..100).all(|_| call(&b, at(1), Outcome::Abandoned)));
}

#[test]
fn closing_forgets_the_failures_that_opened_it() {
    let b = opened(Policy { window: Duration::from_secs(3_600), ..Policy::s0_chat() });
    assert!(call(&b, at(34), Outcome::Success));
    fail(&b, [35, 36, 37, 38]);
    assert_eq!(b.state(at(38)), State::Closed);
}

#[test]
fn a_clock_that_steps_back_neither_trips_nor_forgets() {
    let b = Breaker::new(Policy::s3_balancer());
    fail(&b, [100; 10]);
    (0..9).for_each(|_| assert!(call(&b, at(50), Outcome::Success)));
    fail(&b, [50]);
    assert_eq!(b.state(at(50)), State::Open { until: at(80) }, "11 of 20, whatever the clock said");
}

#[test]
fn an_open_breaker_whose_time_is_over_can_be_chosen_again() {
    let b = opened(Policy::s4_registry());
    assert_eq!(b.state(at(33)), State::Open { until: at(34) });
    assert_eq!(
        b.state(at(34)),
        State::HalfOpen,
        "or a balancer that skips open instances would never test it"
    );
}

#[test]
fn a_policy_that_fails_its_check_still_makes_a_breaker_that_closes_again() {
    let mut policy = Policy::s0_chat();
    policy.half_open.admit = 0;
    policy.half_open.close_after = 9;
    policy.trip = vec![Trip::Failures(0)];
    policy.open.growth = f64::NAN;
    let b = Breaker::new(policy);
    fail(&b, [0]);
    assert!(call(&b, at(30), Outcome::Failed));
    let State::Open { until } = b.state(at(30)) else { panic!("not open") };
    assert!(call(&b, until, Outcome::Success));
    assert_eq!(b.state(until), State::Closed);
}

/// A week of one callee failing for the first minute of every hour, one call a second.
#[test]
fn a_week_of_hourly_outages() {
    let b = Breaker::new(Policy::s0_chat().verbatim());
    let rejected = (0..7 * 24 * 3600)
        .filter(|s| {
            let outcome = if s % 3600 < 60 { Outcome::Failed } else { Outcome::Success };
            !call(&b, at(*s), outcome)
        })
        .count();
    // Each hour: open at :04 for 30 s, one failed probe at :34, 30 s more, closed by the next.
    assert_eq!(rejected, 7 * 24 * (29 + 29));
}

/// The same with an open time that doubles: 29 s, the probe at :34, then 59 s, closed at :94.
#[test]
fn a_week_of_hourly_outages_with_growth_trades_thirty_seconds_for_half_the_probes() {
    let b = Breaker::new(Policy::s0_chat());
    let rejected = (0..7 * 24 * 3600)
        .filter(|s| !call(&b, at(*s), if s % 3600 < 60 { Outcome::Failed } else { Outcome::Success }))
        .count();
    assert_eq!(rejected, 7 * 24 * (29 + 59));
}
