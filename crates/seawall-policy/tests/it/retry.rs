//! Retries by the documents' numbers, and what layers of them make of one call.

use std::time::Duration;

use proptest::prelude::*;
use seawall_policy::retry::{
    ATTEMPTS_MAX, Attempt, Backoff, HEADER, Jitter, Next, PRESETS, Policy, Reason, Tried, amplification,
    preset,
};
use seawall_policy::{Outcome, Rng};

const NEVER: Duration = Duration::MAX;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn next(policy: &Policy, attempt: u32, outcome: Outcome) -> Next {
    policy.next(attempt, outcome, true, Duration::ZERO, NEVER, &mut Rng::new(1))
}

/// The waits between tries that all end with `outcome`, jitter aside, in milliseconds.
fn waits(policy: Policy, outcome: Outcome) -> Vec<u64> {
    let policy = Policy { jitter: Jitter::None, ..policy };
    let wait = |attempt| match next(&policy, attempt, outcome) {
        Next::Again { after, .. } | Next::Elsewhere { after, .. } => Some(after.as_millis() as u64),
        Next::Stop(reason) => {
            assert_eq!(reason, Reason::Attempts);
            None
        }
    };
    (1..100).map_while(wait).collect()
}

/// The same with ten tries, so that the longest wait shows.
fn ten(policy: Policy, outcome: Outcome) -> Vec<u64> {
    waits(Policy { attempts: 10, within: NEVER, ..policy }, outcome)
}

/// The outcomes that are tried again, jitter and tries aside.
fn retried(policy: &Policy) -> Vec<Outcome> {
    let failures = [Outcome::Failed, Outcome::Timeout, Outcome::Unreachable, Outcome::Overloaded];
    failures.into_iter().filter(|o| !matches!(next(policy, 1, *o), Next::Stop(_))).collect()
}

#[test]
fn three_retries_of_a_graph_read_wait_10_20_and_40_ms() {
    assert_eq!(waits(Policy::s1_read(), Outcome::Timeout), [10, 20, 40]);
    assert_eq!(waits(Policy::s1_read_verbatim(), Outcome::Timeout), [10, 20, 40]);
}

#[test]
fn a_hundred_ms_are_the_longest_wait_of_a_graph_read() {
    assert_eq!(ten(Policy::s1_read(), Outcome::Timeout), [10, 20, 40, 80, 100, 100, 100, 100, 100]);
}

#[test]
fn a_graph_read_is_retried_after_timeout_unavailable_and_resource_exhausted() {
    let wanted = [Outcome::Timeout, Outcome::Unreachable, Outcome::Overloaded];
    assert_eq!(retried(&Policy::s1_read()), wanted);
}

#[test]
fn two_retries_of_a_post_wait_50_and_100_ms_and_need_an_idempotency_key() {
    assert_eq!(waits(Policy::s1_write(), Outcome::Unreachable), [50, 100]);
    let keyless = Policy::s1_write().next(1, Outcome::Timeout, false, ms(0), NEVER, &mut Rng::new(1));
    assert_eq!(keyless, Next::Stop(Reason::NotIdempotent));
}

#[test]
fn two_hundred_ms_are_the_longest_wait_of_a_post() {
    assert_eq!(ten(Policy::s1_write(), Outcome::Timeout), [50, 100, 200, 200, 200, 200, 200, 200, 200]);
}

#[test]
fn a_post_is_retried_after_timeout_and_unavailable_only() {
    assert_eq!(retried(&Policy::s1_write()), [Outcome::Timeout, Outcome::Unreachable]);
}

#[test]
fn two_retries_of_a_balanced_request_wait_100_and_200_ms_for_502_503_and_504_only() {
    assert_eq!(waits(Policy::s3_request(), Outcome::Failed), [100, 200]);
    assert_eq!(next(&Policy::s3_request(), 1, Outcome::Timeout), Next::Stop(Reason::Class));
    assert_eq!(retried(&Policy::s3_request()), [Outcome::Failed, Outcome::Overloaded]);
    let post = Policy::s3_request().next(1, Outcome::Failed, false, ms(0), NEVER, &mut Rng::new(1));
    assert_eq!(post, Next::Stop(Reason::NotIdempotent));
}

#[test]
fn three_retries_of_a_refused_connection_are_immediate_also_for_a_post() {
    let policy = Policy::s3_connect();
    assert_eq!(waits(policy.clone(), Outcome::Unreachable), [0, 0, 0]);
    assert_eq!((policy.backoff.base, policy.backoff.max), (ms(0), ms(0)));
    let post = policy.next(1, Outcome::Unreachable, false, ms(0), NEVER, &mut Rng::new(1));
    assert_eq!(post, Next::Again { after: ms(0), cost: 1 });
    assert_eq!(retried(&policy), [Outcome::Unreachable]);
}

#[test]
fn one_retry_after_a_timeout_has_half_as_much_time_again() {
    let policy = Policy::s3_timeout();
    assert_eq!(waits(policy.clone(), Outcome::Timeout), [0]);
    assert_eq!([1, 2].map(|attempt| policy.timeout(attempt, ms(200))), [ms(200), ms(300)]);
    assert_eq!(retried(&policy), [Outcome::Timeout]);
}

#[test]
fn three_attempts_at_discovery_wait_100_and_500_ms_and_never_after_the_last() {
    for policy in [Policy::s4_discovery(), Policy::s4_discovery_verbatim()] {
        assert_eq!(waits(policy, Outcome::Unreachable), [100, 500]);
    }
}

/// As the document's loop does, where its fourth wait is an index out of range.
#[test]
fn a_fourth_attempt_at_discovery_waits_2_seconds_and_so_does_each_further_one() {
    assert_eq!(waits(Policy { attempts: 4, ..Policy::s4_discovery() }, Outcome::Timeout), [100, 500, 2_000]);
    assert_eq!(ten(Policy::s4_discovery(), Outcome::Timeout)[2..], [2_000; 7]);
}

#[test]
fn discovery_is_retried_after_a_connection_error_or_a_timeout_only() {
    assert_eq!(retried(&Policy::s4_discovery()), [Outcome::Timeout, Outcome::Unreachable]);
}

#[test]
fn five_seconds_are_the_longest_wait_of_a_balanced_request() {
    let many = ten(Policy::s3_request(), Outcome::Failed);
    assert_eq!(many, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
}

#[test]
fn whoever_says_too_busy_is_asked_again_only_elsewhere_and_at_double_cost() {
    let policy = Policy { jitter: Jitter::None, ..Policy::s1_read() };
    assert_eq!(next(&policy, 1, Outcome::Overloaded), Next::Elsewhere { after: ms(10), cost: 2 });
    assert_eq!(next(&policy, 1, Outcome::Timeout), Next::Again { after: ms(10), cost: 1 });
    assert_eq!(next(&Policy::s1_write(), 1, Outcome::Overloaded), Next::Stop(Reason::Class));
}

#[test]
fn success_and_giving_up_are_the_end_of_it() {
    for outcome in [Outcome::Success, Outcome::Abandoned] {
        assert_eq!(next(&Policy::default(), 1, outcome), Next::Stop(Reason::Done));
    }
}

#[test]
fn no_try_begins_when_nobody_waits_any_more() {
    let policy = Policy { jitter: Jitter::None, ..Policy::s3_request() };
    let with = |elapsed, left| policy.next(1, Outcome::Failed, true, elapsed, left, &mut Rng::new(1));
    assert_eq!(with(ms(0), ms(100)), Next::Stop(Reason::Deadline));
    assert_eq!(with(ms(0), ms(101)), Next::Again { after: ms(100), cost: 1 });
    assert_eq!(with(ms(9_900), NEVER), Next::Stop(Reason::Deadline));
    assert_eq!(with(ms(9_899), NEVER), Next::Again { after: ms(100), cost: 1 });
}

#[test]
fn a_callee_that_names_a_time_is_left_alone_for_it_if_the_deadline_allows_and_for_good_if_not() {
    let policy = Policy { jitter: Jitter::None, ..Policy::default() };
    let with = |outcome, retry_after, deadline_left| {
        let tried = Tried {
            attempt: 1,
            outcome,
            idempotent: true,
            elapsed: ms(50),
            deadline_left,
            retry_after: Some(retry_after),
        };
        policy.next_after(&tried, &mut Rng::new(1))
    };
    let second = ms(1_000);
    assert_eq!(with(Outcome::Overloaded, second, NEVER), Next::Elsewhere { after: ms(1_100), cost: 2 });
    assert_eq!(with(Outcome::Failed, second, ms(1_101)), Next::Again { after: ms(1_100), cost: 1 });
    assert_eq!(with(Outcome::Failed, second, ms(1_100)), Next::Stop(Reason::Deadline));
    assert_eq!(
        with(Outcome::Failed, ms(9_850), NEVER),
        Next::Stop(Reason::Deadline),
        "the policy's own 10 s"
    );
    assert_eq!(with(Outcome::Failed, NEVER, NEVER), Next::Stop(Reason::Deadline));
}

#[test]
fn those_who_were_told_the_same_second_do_not_return_in_it_together() {
    let mut rng = Rng::new(3);
    let mut returns: Vec<u64> = (0..100)
        .map(|_| {
            let tried = Tried {
                attempt: 1,
                outcome: Outcome::Overloaded,
                idempotent: true,
                elapsed: ms(0),
                deadline_left: NEVER,
                retry_after: Some(ms(1_000)),
            };
            match Policy::default().next_after(&tried, &mut rng) {
                Next::Elsewhere { after, .. } => after.as_millis() as u64,
                other => panic!("{other:?}"),
            }
        })
        .collect();
    returns.sort_unstable();
    assert!(returns[0] >= 1_000 && returns[99] < 1_100, "{returns:?}");
    assert!(returns[0] < 1_010 && returns[99] >= 1_090, "{returns:?}");
}

#[test]
fn jitter_spreads_as_its_document_says_and_by_default_over_the_whole_wait() {
    let spread = |policy: Policy, outcome| {
        let mut rng = Rng::new(5);
        let waits: Vec<u64> = (0..10_000)
            .map(|_| match policy.next(1, outcome, true, ms(0), NEVER, &mut rng) {
                Next::Again { after, .. } => after.as_micros() as u64,
                other => panic!("{other:?}"),
            })
            .collect();
        (*waits.iter().min().unwrap(), *waits.iter().max().unwrap())
    };
    let within = |(least, most): (u64, u64), low: u64, high: u64| {
        let hundredth = (high - low) / 100;
        assert!(
            (low..=low + hundredth).contains(&least) && (high - hundredth..=high).contains(&most),
            "{least} {most}"
        );
    };
    within(spread(Policy::s1_read_verbatim(), Outcome::Timeout), 8_000, 12_000);
    within(spread(Policy::s1_write_verbatim(), Outcome::Timeout), 40_000, 60_000);
    within(spread(Policy::s3_request_verbatim(), Outcome::Failed), 100_000, 110_000);
    within(spread(Policy::s4_discovery_verbatim(), Outcome::Timeout), 100_000, 100_000);
    within(spread(Policy::s1_read(), Outcome::Timeout), 0, 10_000);
    within(spread(Policy::s1_write(), Outcome::Timeout), 0, 50_000);
    within(spread(Policy::s3_request(), Outcome::Failed), 0, 100_000);
    within(spread(Policy::s4_discovery(), Outcome::Timeout), 0, 100_000);
}

/// Twenty per cent are twenty per cent, not twenty-one.
#[test]
fn the_documents_jitter_is_20_percent_either_way_in_the_feed_10_more_in_the_balancer_and_none_in_discovery() {
    let fifth = Jitter::Symmetric { ratio: 0.2 };
    let jitter = [Policy::s1_read_verbatim(), Policy::s1_write_verbatim()].map(|policy| policy.jitter);
    assert_eq!(jitter, [fifth, fifth]);
    assert_eq!(Policy::s3_request_verbatim().jitter, Jitter::Additive { ratio: 0.1 });
    assert_eq!(Policy::s4_discovery_verbatim().jitter, Jitter::None);
}

#[test]
fn a_verbatim_preset_differs_from_its_own_in_nothing_but_jitter() {
    for name in PRESETS {
        if let Some(plain) = name.strip_suffix("-verbatim") {
            let (plain, verbatim) = (preset(plain).unwrap(), preset(name).unwrap());
            assert_ne!(plain, verbatim);
            assert_eq!(plain, Policy { jitter: plain.jitter, ..verbatim });
        }
    }
}

#[test]
fn each_preset_has_the_name_of_its_document_and_rule() {
    let named = [
        ("s1-read", Policy::s1_read()),
        ("s1-read-verbatim", Policy::s1_read_verbatim()),
        ("s1-write", Policy::s1_write()),
        ("s1-write-verbatim", Policy::s1_write_verbatim()),
        ("s3-request", Policy::s3_request()),
        ("s3-request-verbatim", Policy::s3_request_verbatim()),
        ("s3-connect", Policy::s3_connect()),
        ("s3-timeout", Policy::s3_timeout()),
        ("s4-discovery", Policy::s4_discovery()),
        ("s4-discovery-verbatim", Policy::s4_discovery_verbatim()),
    ];
    assert_eq!(PRESETS, named.each_ref().map(|(name, _)| *name));
    for (name, policy) in named {
        assert_eq!(preset(name), Some(policy), "{name}");
    }
    assert_eq!(preset("s2-read"), None);
}

#[test]
fn every_preset_passes_its_own_check_and_survives_being_written_down() {
    for policy in PRESETS.iter().filter_map(|name| preset(name)).chain([Policy::default()]) {
        assert_eq!(policy.check(), Vec::<String>::new());
        let text = toml::to_string(&policy).unwrap();
        assert_eq!(toml::from_str::<Policy>(&text).unwrap(), policy, "{text}");
    }
}

#[test]
fn the_default_is_three_tries_of_anything_idempotent_within_10_seconds_from_100_ms_to_5_s() {
    let policy = Policy::default();
    assert_eq!(waits(policy.clone(), Outcome::Failed), [100, 200]);
    assert_eq!(ten(policy.clone(), Outcome::Failed)[6..], [5_000; 3]);
    assert_eq!(retried(&policy).len(), 4);
    assert!(policy.idempotent_only && !policy.below_a_retry);
    assert_eq!((policy.within, policy.jitter), (ms(10_000), Jitter::Full));
    assert_eq!(policy.timeout(3, ms(200)), ms(200));
}

#[test]
fn the_schema_reads_as_it_is_documented_and_refuses_what_it_does_not_know() {
    let policy: Policy = toml::from_str(
        "attempts = 4
         backoff = { base = '10ms', factor = 2.0, max = '100ms' }
         jitter = { kind = 'symmetric', ratio = 0.2 }
         on = ['timeout', 'unreachable', 'overloaded']
         below_a_retry = false",
    )
    .unwrap();
    assert_eq!(policy, Policy::s1_read_verbatim());
    for text in [
        "max = 3",
        "on = ['504']",
        "jitter = { kind = 'some' }",
        "jitter = { kind = 'symmetric', ration = 1.0 }",
        "backoff = { base = 10 }",
    ] {
        assert!(toml::from_str::<Policy>(text).is_err(), "{text}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_advice() {
    let policy = Policy {
        attempts: 0,
        backoff: Backoff { schedule: vec![], base: ms(10), factor: 0.5, max: ms(1) },
        jitter: Jitter::Symmetric { ratio: 2.0 },
        within: ms(0),
        timeout_growth: f64::NAN,
        ..Policy::default()
    };
    let wrong = policy.check();
    assert_eq!(wrong.len(), 6, "{wrong:#?}");
    let advises = |line: &String| line.contains(": use") && line.contains("; it says");
    assert!(wrong.iter().all(advises), "{wrong:#?}");
    let hasty = Policy { within: ms(300), ..Policy::default() };
    assert!(hasty.check()[0].contains("together, 300ms"), "{:?}", hasty.check());
    let schedule = Backoff { schedule: vec![ms(1); 10], ..Backoff::default() };
    let endless = Policy { backoff: schedule, on: vec![], ..Policy::default() }.check();
    assert!(endless.len() == 2 && endless.iter().all(advises), "{endless:#?}");
}

#[test]
fn retries_of_retries_4_times_3_times_4_are_48_calls_and_9_when_nobody_retries_below_a_retry() {
    let looping = Policy { attempts: 4, ..Policy::s4_discovery() };
    let layers = [Policy::s1_read(), Policy::s3_request(), looping];
    assert_eq!(layers.each_ref().map(Policy::amplification), [4, 3, 4]);
    assert_eq!(amplification(&layers.each_ref()), 1 + 3 + 2 + 3);
    let stubborn = layers.map(|layer| Policy { below_a_retry: true, ..layer });
    assert_eq!(amplification(&stubborn.each_ref()), 48);
    assert_eq!(amplification(&[]), 1);
}

/// The chain above, acted out: every call of the last callee fails.
#[test]
fn whoever_serves_a_retry_does_not_retry_below_it() {
    fn serve(layers: &[Policy], serving: Attempt) -> u64 {
        let Some((policy, below)) = layers.split_first() else { return 1 };
        let (mut calls, mut attempt) = (serve(below, serving), serving);
        for tries in 1.. {
            let next = policy.next(tries, Outcome::Timeout, true, ms(0), NEVER, &mut Rng::new(1));
            if !policy.retries_below(serving) || matches!(next, Next::Stop(_)) {
                break;
            }
            attempt = attempt.next();
            calls += serve(below, attempt);
        }
        calls
    }
    let layer = |attempts, below_a_retry| Policy { attempts, below_a_retry, ..Policy::default() };
    let polite = [4, 3, 4].map(|attempts| layer(attempts, false));
    assert_eq!(serve(&polite, Attempt::FIRST), 9);
    assert_eq!(serve(&polite, Attempt::parse("2").unwrap()), 1);
    let stubborn = [4, 3, 4].map(|attempts| layer(attempts, true));
    assert_eq!(serve(&stubborn, Attempt::FIRST), 48);
    let mixed = [layer(4, true), layer(3, false), layer(4, true)];
    assert_eq!(serve(&mixed, Attempt::FIRST), amplification(&mixed.each_ref()));
}

#[test]
fn the_attempt_travels_from_1_to_10_and_is_passed_on() {
    let mut attempt = Attempt::FIRST;
    for number in 1..=ATTEMPTS_MAX {
        assert_eq!((attempt.number(), attempt.is_retry()), (number, number > 1));
        assert_eq!(attempt.header_value(), number.to_string());
        assert_eq!(Attempt::parse(&format!(" {number} ")), Ok(attempt));
        attempt = attempt.next();
    }
    assert_eq!(attempt.number(), ATTEMPTS_MAX, "layers may add up to more");
    assert_eq!(HEADER, "x-seawall-attempt");
}

#[test]
fn an_attempt_that_is_none_is_refused_with_what_to_write() {
    for value in ["", " ", "0", "-1", "+1", "01", "11", "1.0", "1st", "٣", "99999999999999999999"] {
        let error = Attempt::parse(value).unwrap_err().to_string();
        assert!(error.contains("x-seawall-attempt") && error.contains("1 to 10"), "{error}");
    }
}

#[test]
fn a_policy_explains_itself_with_its_own_numbers() {
    assert_eq!(
        Policy::s1_read_verbatim().explain(),
        [
            "A call is tried at most 4 times in all.",
            "Between the tries there are waits of 10ms, 20ms and 40ms.",
            "Each is up to 20 % longer or shorter.",
            "It is tried again when the callee does not answer in time, cannot be reached or says it is too busy.",
            "A callee that is too busy is not asked again, only another one, at double cost.",
            "Only calls that may safely happen twice are tried again.",
            "No try begins later than 10s after the first.",
            "While it serves a request that is itself a retry, it does not retry.",
        ]
    );
    let stubborn = Policy { below_a_retry: true, ..Policy::s3_timeout() };
    assert_eq!(
        stubborn.explain(),
        [
            "A call is tried at most 2 times in all.",
            "The next try begins at once.",
            "It is tried again when the callee does not answer in time.",
            "Only calls that may safely happen twice are tried again.",
            "No try begins later than 10s after the first.",
            "Each try may take 1.5 times as long as the one before.",
            "While it serves a request that is itself a retry, it retries, too: the layers multiply.",
        ]
    );
    let once = Policy { attempts: 1, ..Policy::default() };
    assert_eq!(once.explain(), ["A call is tried once and never again."]);
    let told = |name: &str| preset(name).unwrap().explain().join(" ");
    assert!(told("s3-connect").contains("Calls that must not happen twice are tried again, too."));
    assert!(told("s3-request-verbatim").contains("Each is up to 10 % longer."));
    assert!(told("s4-discovery-verbatim").contains("the waits are not spread"));
    assert!(told("s4-discovery").contains("drawn from nothing to the whole"));
}

#[test]
fn deciding_allocates_nothing() {
    let (policy, mut rng) = (Policy::s1_read_verbatim(), Rng::new(1));
    let info = allocation_counter::measure(|| {
        for attempt in 1..6 {
            let next = policy.next(attempt, Outcome::Timeout, true, ms(0), NEVER, &mut rng);
            let attempt = Attempt::parse("2").map(|attempt| attempt.next().header_value());
            assert!(attempt == Ok("3") && next != Next::Stop(Reason::Class));
        }
    });
    assert_eq!(info.count_total, 0);
}

proptest! {
    #[test]
    fn no_text_makes_an_attempt_of_more_than_ten(text in ".{0,20}") {
        if let Ok(attempt) = Attempt::parse(&text) {
            prop_assert_eq!(text.trim(), attempt.header_value());
        }
    }

    /// Any policy, any try: waits end before the deadline, are no shorter than what the callee asked for, and
    /// come to an end.
    #[test]
    fn no_try_is_ever_promised_that_the_policy_does_not_allow(
        attempts in 0u32..20,
        attempt in 0u32..20,
        base in 0u64..10_000,
        left in 0u64..10_000,
        elapsed in 0u64..20_000,
        asked in proptest::option::of(0u64..10_000),
        seed: u64,
    ) {
        let policy = Policy {
            attempts,
            backoff: Backoff { base: ms(base), ..Backoff::default() },
            ..Policy::default()
        };
        let tried = Tried {
            attempt,
            outcome: Outcome::Failed,
            idempotent: true,
            elapsed: ms(elapsed),
            deadline_left: ms(left),
            retry_after: asked.map(ms),
        };
        match policy.next_after(&tried, &mut Rng::new(seed)) {
            Next::Again { after, cost } => {
                prop_assert!(attempt < policy.amplification() && cost == 1);
                prop_assert!(after >= ms(asked.unwrap_or(0)) && after < ms(left));
                prop_assert!(ms(elapsed) + after < policy.within);
            }
            Next::Elsewhere { .. } => prop_assert!(false, "nobody was too busy"),
            Next::Stop(reason) => {
                prop_assert_eq!(reason == Reason::Attempts, attempt >= policy.amplification());
            }
        }
    }
}
