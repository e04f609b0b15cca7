//! Retries by the documents' numbers, and a budget that is never exceeded.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use seawall_policy::retry::{Backoff, Budget, BudgetPolicy, Class, Core, Jitter, Next, Policy, Reason};
use seawall_policy::{Mono, Outcome, Rng};

const NEVER: Duration = Duration::MAX;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn at_ms(ms: u64) -> Mono {
    Mono(ms * 1_000_000)
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

#[test]
fn three_retries_of_a_graph_read_wait_10_20_and_40_ms() {
    assert_eq!(waits(Policy::s1_read(), Outcome::Timeout), [10, 20, 40]);
}

#[test]
fn two_retries_of_a_post_wait_50_and_100_ms_and_need_an_idempotency_key() {
    assert_eq!(waits(Policy::s1_write(), Outcome::Unreachable), [50, 100]);
    let keyless = Policy::s1_write().next(1, Outcome::Timeout, false, ms(0), NEVER, &mut Rng::new(1));
    assert_eq!(keyless, Next::Stop(Reason::NotIdempotent));
}

#[test]
fn two_retries_of_a_balanced_request_wait_100_and_200_ms_for_502_503_and_504_only() {
    assert_eq!(waits(Policy::s3_request(), Outcome::Failed), [100, 200]);
    assert_eq!(next(&Policy::s3_request(), 1, Outcome::Timeout), Next::Stop(Reason::Class));
}

#[test]
fn three_retries_of_a_refused_connection_are_immediate_also_for_a_post() {
    assert_eq!(waits(Policy::s3_connect(), Outcome::Unreachable), [0, 0, 0]);
    let post = Policy::s3_connect().next(1, Outcome::Unreachable, false, ms(0), NEVER, &mut Rng::new(1));
    assert_eq!(post, Next::Again { after: ms(0), cost: 1 });
}

#[test]
fn one_retry_after_a_timeout_has_half_as_much_time_again() {
    let policy = Policy::s3_timeout();
    assert_eq!(waits(policy.clone(), Outcome::Timeout), [0]);
    assert_eq!([1, 2].map(|attempt| policy.timeout(attempt, ms(200))), [ms(200), ms(300)]);
}

#[test]
fn three_attempts_at_discovery_wait_100_and_500_ms_and_never_after_the_last() {
    assert_eq!(waits(Policy::s4_discovery(), Outcome::Unreachable), [100, 500]);
    assert_eq!(waits(Policy { attempts: 4, ..Policy::s4_discovery() }, Outcome::Timeout), [100, 500, 2_000]);
}

#[test]
fn five_seconds_are_the_longest_wait_of_a_balanced_request() {
    let many = waits(Policy { attempts: 10, within: NEVER, ..Policy::s3_request() }, Outcome::Failed);
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
        let tenth = (high - low) / 10;
        assert!(
            (low..low + tenth + 1).contains(&least) && (high - tenth..=high).contains(&most),
            "{least} {most}"
        );
    };
    within(spread(Policy::s1_read_verbatim(), Outcome::Timeout), 8_000, 12_000);
    within(spread(Policy::s1_write_verbatim(), Outcome::Timeout), 40_000, 60_000);
    within(spread(Policy::s3_request_verbatim(), Outcome::Failed), 100_000, 110_000);
    within(spread(Policy::s4_discovery_verbatim(), Outcome::Timeout), 100_000, 100_000);
    within(spread(Policy::s4_discovery(), Outcome::Timeout), 0, 100_000);
}

#[test]
fn every_preset_passes_its_own_check_and_survives_being_written_down() {
    for policy in [
        Policy::default(),
        Policy::s1_read(),
        Policy::s1_write(),
        Policy::s3_request(),
        Policy::s3_connect(),
        Policy::s3_timeout(),
        Policy::s4_discovery(),
        Policy::s1_read_verbatim(),
        Policy::s3_request_verbatim(),
        Policy::s4_discovery_verbatim(),
    ] {
        assert_eq!(policy.check(), Vec::<String>::new());
        let text = toml::to_string(&policy).unwrap();
        assert_eq!(toml::from_str::<Policy>(&text).unwrap(), policy, "{text}");
    }
}

#[test]
fn the_schema_reads_as_it_is_documented_and_refuses_what_it_does_not_know() {
    let policy: Policy = toml::from_str(
        "attempts = 4
         backoff = { base = '10ms', factor = 2.0, max = '100ms' }
         jitter = { kind = 'symmetric', ratio = 0.2 }
         on = ['timeout', 'unreachable', 'overloaded']",
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
        on: vec![Class::Failed],
        idempotent_only: true,
        within: ms(0),
        timeout_growth: f64::NAN,
    };
    assert_eq!(policy.check().len(), 6, "{:#?}", policy.check());
    let hasty = Policy { within: ms(300), ..Policy::default() };
    assert!(hasty.check()[0].contains("300ms"), "{:?}", hasty.check());
    let budget = BudgetPolicy { ratio: 20.0, per_second: 10, window: ms(0) };
    assert_eq!(budget.check().len(), 2);
    assert!(BudgetPolicy::default().check().is_empty());
}

/// A callee that is dead, called at this rate for a minute with up to four tries each: calls a second it
/// sees.
fn calls_on_a_dead_callee(per_second: u64, budget: Option<&Budget>) -> u64 {
    let (policy, mut rng, mut calls) = (Policy::s1_read(), Rng::new(1), 0);
    for request in 0..60 * per_second {
        let mut now = at_ms(request * 1_000 / per_second);
        if let Some(budget) = budget {
            budget.deposit(now);
        }
        for attempt in 1.. {
            calls += 1;
            match policy.next(attempt, Outcome::Timeout, true, ms(0), NEVER, &mut rng) {
                Next::Again { after, cost } if budget.is_none_or(|b| b.withdraw(now, cost)) => {
                    now = now + after
                }
                _ => break,
            }
        }
    }
    calls / 60
}

#[test]
fn a_thousand_requests_a_second_to_a_dead_callee_are_1210_calls_not_4000() {
    assert_eq!(calls_on_a_dead_callee(1_000, None), 4_000);
    let calls = calls_on_a_dead_callee(1_000, Some(&Budget::new(BudgetPolicy::default())));
    // The floor of a whole window may be spent in the first second, so a minute has a little more.
    assert!((1_190..=1_215).contains(&calls), "{calls}");
}

#[test]
fn two_requests_a_second_may_use_all_their_retries() {
    assert_eq!(calls_on_a_dead_callee(2, Some(&Budget::new(BudgetPolicy::default()))), 2 * 4);
}

#[test]
fn ten_a_second_are_there_before_anyone_has_called() {
    let budget = Budget::new(BudgetPolicy::default());
    assert_eq!((0..1_000).filter(|_| budget.withdraw(at_ms(0), 1)).count(), 100);
    assert!(!budget.withdraw(at_ms(9_999), 1));
    assert!(budget.withdraw(at_ms(10_000), 1));
}

#[test]
fn hedges_draw_on_what_retries_have_left() {
    let budget = Budget::new(BudgetPolicy { per_second: 0, ..BudgetPolicy::default() });
    (0..100).for_each(|_| budget.deposit(at_ms(5)));
    let retries = (0..15).filter(|_| budget.withdraw(at_ms(6), 1)).count();
    let hedges = (0..15).filter(|_| budget.withdraw(at_ms(6), 1)).count();
    assert_eq!((retries, hedges), (15, 5));
}

/// What happens, with milliseconds passing before: a call, or a withdrawal of that cost.
fn history() -> impl Strategy<Value = Vec<(u64, Option<u32>)>> {
    let passes = prop_oneof![6 => Just(0u64), 3 => 1u64..900, 1 => 900u64..12_000];
    vec((passes, prop_oneof![2 => Just(None), 3 => (1u32..3).prop_map(Some)]), 1..400)
}

fn budget() -> impl Strategy<Value = BudgetPolicy> {
    (0u32..=10, 0u32..3).prop_map(|(tenths, per_second)| BudgetPolicy {
        ratio: f64::from(tenths) / 10.0,
        per_second,
        ..BudgetPolicy::default()
    })
}

proptest! {
    /// Weighed anew from the whole history at every withdrawal, in whole seconds.
    #[test]
    fn the_budget_is_never_exceeded_and_never_refused_without_cause(policy in budget(), history in history()) {
        let budget = Budget::new(policy);
        let (mut now, mut calls, mut spent) = (0u64, vec![], vec![]);
        for (passes, act) in history {
            now += passes;
            let recent = |second: &u64| second + 10 > now / 1_000;
            match act {
                None => {
                    budget.deposit(at_ms(now));
                    calls.push(now / 1_000);
                }
                Some(cost) => {
                    let calls = calls.iter().filter(|s| recent(s)).count() as f64;
                    let spent_now = spent.iter().filter(|(s, _)| recent(s)).map(|(_, c)| *c).sum::<u32>();
                    let allowed = policy.ratio * calls + f64::from(policy.per_second) * 10.0;
                    let fits = f64::from(spent_now + cost) <= allowed;
                    prop_assert_eq!(budget.withdraw(at_ms(now), cost), fits);
                    if fits {
                        spent.push((now / 1_000, cost));
                    }
                }
            }
        }
    }

    #[test]
    fn single_threaded_the_shell_equals_its_core(
        policy in budget(),
        history in history(),
        back in 0u64..3_000,
    ) {
        let (shell, mut core) = (Budget::new(policy), Core::new(policy));
        let mut time = 100_000;
        for (i, (passes, act)) in history.into_iter().enumerate() {
            time += passes;
            let now = at_ms(if i % 3 == 0 { time - back } else { time });
            match act {
                None => {
                    shell.deposit(now);
                    core.deposit(now);
                }
                Some(cost) => prop_assert_eq!(shell.withdraw(now, cost), core.withdraw(now, cost)),
            }
        }
    }
}
