//! The one budget of retries and hedges: 20 % and 10 a second over 10 s, never exceeded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use seawall_policy::retry::{Budget, BudgetPolicy, Core, Next, Policy};
use seawall_policy::{Mono, Outcome, Rng};

const fn at_ms(ms: u64) -> Mono {
    Mono(ms * 1_000_000)
}

/// No retries but those the calls pay for.
fn by_ratio(ratio: f64) -> BudgetPolicy {
    BudgetPolicy { ratio, per_second: 0, min_concurrency: 0, ..BudgetPolicy::default() }
}

/// How many of so many withdrawals are granted.
fn granted(budget: &Budget, now: Mono, cost: u32, asked: u32) -> usize {
    (0..asked).filter(|_| budget.withdraw(now, cost)).count()
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
            match policy.next(attempt, Outcome::Timeout, true, Duration::ZERO, Duration::MAX, &mut rng) {
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
fn ten_a_second_over_ten_seconds_and_three_are_there_before_anyone_has_called() {
    let budget = Budget::new(BudgetPolicy::default());
    assert_eq!(granted(&budget, at_ms(0), 1, 1_000), 103);
    assert!(!budget.withdraw(at_ms(9_999), 1));
    assert_eq!(granted(&budget, at_ms(10_000), 1, 1_000), 103);
}

#[test]
fn twenty_percent_of_ten_thousand_calls_are_two_thousand_retries() {
    let budget = Budget::new(by_ratio(0.2));
    (0..10_000).for_each(|_| budget.deposit(at_ms(5)));
    assert_eq!(granted(&budget, at_ms(5), 1, 10_000), 2_000);
}

#[test]
fn overload_is_charged_double() {
    let busy =
        Policy::s1_read().next(1, Outcome::Overloaded, true, Duration::ZERO, Duration::MAX, &mut Rng::new(1));
    let Next::Elsewhere { cost, .. } = busy else { panic!("{busy:?}") };
    let budget = Budget::new(BudgetPolicy::default());
    (0..10_000).for_each(|_| budget.deposit(at_ms(5)));
    assert_eq!(granted(&budget, at_ms(5), cost, 10_000), 2_103 / 2);
    assert!(budget.withdraw(at_ms(5), 1), "the odd one");
}

#[test]
fn with_three_calls_in_flight_and_no_others_each_can_be_retried() {
    let budget = Budget::new(BudgetPolicy { min_concurrency: 3, ..by_ratio(0.2) });
    for second in [0, 10, 20] {
        (0..3).for_each(|_| budget.deposit(at_ms(second * 1_000)));
        assert_eq!(granted(&budget, at_ms(second * 1_000 + 500), 1, 10), 3, "at {second} s");
    }
    let none = Budget::new(by_ratio(0.2));
    (0..3).for_each(|_| none.deposit(at_ms(0)));
    assert_eq!(granted(&none, at_ms(500), 1, 10), 0);
}

#[test]
fn hedges_draw_on_what_retries_have_left() {
    let budget = Budget::new(by_ratio(0.2));
    (0..100).for_each(|_| budget.deposit(at_ms(5)));
    let (retries, hedges) = (granted(&budget, at_ms(6), 1, 15), granted(&budget, at_ms(6), 1, 15));
    assert_eq!((retries, hedges), (15, 5));
}

#[test]
fn calls_pay_for_retries_of_their_own_ten_seconds_only() {
    let budget = Budget::new(by_ratio(0.5));
    (0..10).for_each(|_| budget.deposit(at_ms(999)));
    assert_eq!(granted(&budget, at_ms(9_999), 1, 3), 3);
    // The bucket of the calls leaves, and what they have not paid for is lost.
    assert_eq!(granted(&budget, at_ms(10_000), 1, 3), 0);
    // Three retries outlive their calls: the next six calls make up for them.
    (0..6).for_each(|_| budget.deposit(at_ms(10_000)));
    assert_eq!(granted(&budget, at_ms(10_000), 1, 3), 0);
    (0..4).for_each(|_| budget.deposit(at_ms(10_000)));
    assert_eq!(granted(&budget, at_ms(10_000), 1, 3), 2);
    // Until the three leave in turn.
    assert_eq!(granted(&budget, at_ms(19_000), 1, 9), 3);
}

#[test]
fn a_silence_longer_than_the_window_forgets_debts_and_savings() {
    let policy = BudgetPolicy { min_concurrency: 2, ..by_ratio(1.0) };
    let budget = Budget::new(policy);
    (0..50).for_each(|_| budget.deposit(at_ms(3_000)));
    assert_eq!(granted(&budget, at_ms(3_600_000), 1, 100), 2);
    assert_eq!(granted(&budget, at_ms(3_609_999), 1, 100), 0);
    assert_eq!(granted(&budget, at_ms(7_200_000), 1, 100), 2);
}

#[test]
fn a_ratio_of_hundredths_is_exact_and_one_of_thirds_errs_towards_fewer_retries() {
    for percent in 0..=100u32 {
        let budget = Budget::new(by_ratio(f64::from(percent) / 100.0));
        (0..100).for_each(|_| budget.deposit(at_ms(0)));
        assert_eq!(granted(&budget, at_ms(0), 1, 101), percent as usize);
    }
    let third = Budget::new(by_ratio(1.0 / 3.0));
    (0..3_000_000).for_each(|_| third.deposit(at_ms(0)));
    assert_eq!(granted(&third, at_ms(0), 1, 1_000_001), 999_999);
}

#[test]
fn the_default_is_20_percent_and_10_a_second_over_10_seconds_and_three() {
    let default = BudgetPolicy::default();
    assert_eq!((default.ratio, default.per_second, default.min_concurrency), (0.2, 10, 3));
    assert_eq!(default.window, Duration::from_secs(10));
    assert_eq!(default.check(), Vec::<String>::new());
    let written = "ratio = 0.2\nper_second = 10\nwindow = \"10s\"\nmin_concurrency = 3\n";
    assert_eq!(toml::to_string(&default).unwrap(), written);
    assert_eq!(toml::from_str::<BudgetPolicy>(written).unwrap(), default);
    assert!(toml::from_str::<BudgetPolicy>("hedge_shares = true").is_err());
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_advice() {
    let policy =
        BudgetPolicy { ratio: 20.0, per_second: 1_000_001, window: Duration::ZERO, min_concurrency: 1_001 };
    let wrong = policy.check();
    assert_eq!(wrong.len(), 4, "{wrong:#?}");
    assert!(wrong.iter().all(|line| line.contains(": use") && line.contains("it says")), "{wrong:#?}");
    let long = BudgetPolicy { window: Duration::from_secs(3_601), ..BudgetPolicy::default() };
    assert_eq!(long.check().len(), 1);
    assert!(long.check()[0].starts_with("window: use 1h or less"), "{:?}", long.check());
}

#[test]
fn a_budget_of_nonsense_uses_the_nearest_values_that_work() {
    let all = BudgetPolicy {
        ratio: f64::INFINITY,
        per_second: u32::MAX,
        window: Duration::MAX,
        min_concurrency: u32::MAX,
    };
    let budget = Budget::new(all);
    // A million a second for an hour, and a thousand; then one for each call.
    assert!(budget.withdraw(at_ms(0), 3_600_001_000));
    assert!(!budget.withdraw(at_ms(0), 1));
    budget.deposit(at_ms(0));
    assert!(budget.withdraw(at_ms(0), 1) && !budget.withdraw(at_ms(0), 1));
    assert!(!budget.withdraw(at_ms(1), u32::MAX));

    let nothing = BudgetPolicy { window: Duration::ZERO, ..by_ratio(f64::NAN) };
    let budget = Budget::new(nothing);
    budget.deposit(at_ms(0));
    assert!(!budget.withdraw(at_ms(0), 1));
    assert!(budget.withdraw(Mono(u64::MAX), 0));
}

#[test]
fn a_budget_explains_itself_with_its_own_numbers() {
    assert_eq!(
        BudgetPolicy::default().explain(),
        [
            "Retries and hedges (copies of slow calls) draw on one budget, weighed over 10s.",
            "In 10s they may be 20 % of the calls.",
            "Another 10 a second, 100 in 10s, are there however few the calls.",
            "Another 3 are there in any 10s, for few calls and no others.",
            "What there is for 10s may be spent at once.",
            "A callee that is down and called 1000 times a second sees about 1210 calls a second.",
            "A retry elsewhere after the answer \"too busy\" costs double.",
            "When the budget is spent there are no retries, and callers get the failure there is.",
        ]
    );
}

/// No turn within the ten seconds, so nothing of what four threads do may be lost or found.
#[test]
fn four_threads_spend_what_is_there_and_not_one_more() {
    let budget = Budget::new(BudgetPolicy { per_second: 100, ..BudgetPolicy::default() });
    let granted = AtomicU64::new(0);
    std::thread::scope(|s| {
        for thread in 0..4 {
            let (budget, granted) = (&budget, &granted);
            s.spawn(move || {
                for n in 0..20_000 {
                    if n % 4 == thread {
                        budget.deposit(at_ms(5));
                    }
                    granted.fetch_add(u64::from(budget.withdraw(at_ms(5), 1)), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(granted.into_inner() + self::granted(&budget, at_ms(5), 1, 10_000) as u64, 4_000 + 1_003);
}

/// Buckets turn while four threads spend all they get. Whichever bucket an addition falls into: what ten
/// buckets grant is within the calls of the same ten, and a minute is six times ten.
#[test]
fn four_threads_across_sixty_turns_overspend_nothing() {
    let budget = Budget::new(BudgetPolicy::default());
    let (clock, granted) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                while let now @ 0..60_000 = clock.fetch_add(1, Ordering::Relaxed) {
                    budget.deposit(at_ms(now));
                    for _ in 0..3 {
                        granted.fetch_add(u64::from(budget.withdraw(at_ms(now), 1)), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let granted = granted.into_inner();
    assert!((11_000..=6 * 2_103).contains(&granted), "{granted}");
}

#[test]
fn depositing_withdrawing_turning_and_refusing_allocate_nothing() {
    let budget = Budget::new(BudgetPolicy::default());
    let info = allocation_counter::measure(|| {
        for ms in 0..20_000 {
            budget.deposit(at_ms(ms));
            let _ = (budget.withdraw(at_ms(ms), 1), budget.withdraw(at_ms(ms), 2));
        }
    });
    assert_eq!(info.count_total, 0);
}

/// What happens, with milliseconds passing before: a call, or a withdrawal of that cost.
fn history() -> impl Strategy<Value = Vec<(u64, Option<u32>)>> {
    let passes = prop_oneof![6 => Just(0u64), 3 => 1u64..900, 1 => 900u64..12_000];
    vec((passes, prop_oneof![2 => Just(None), 3 => (1u32..3).prop_map(Some)]), 1..400)
}

/// A policy, and its ratio in hundredths.
fn budget() -> impl Strategy<Value = (BudgetPolicy, u64)> {
    (0u64..=100, 0u32..3, 1u64..20, 0u32..5).prop_map(|(hundredths, per_second, seconds, min_concurrency)| {
        let policy = BudgetPolicy {
            ratio: hundredths as f64 / 100.0,
            per_second,
            window: Duration::from_secs(seconds),
            min_concurrency,
        };
        (policy, hundredths)
    })
}

proptest! {
    // Enough for debts, idle windows and turns to meet in one history; half a second each.
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Weighed anew from the whole history at every withdrawal, in hundredths of a call.
    #[test]
    fn the_budget_is_never_exceeded_and_never_refused_without_cause(
        (policy, hundredths) in budget(),
        history in history(),
    ) {
        let budget = Budget::new(policy);
        let seconds = policy.window.as_secs();
        let always = 100 * (u64::from(policy.per_second) * seconds + u64::from(policy.min_concurrency));
        let bucket = |ms: u64| ms / (seconds * 100);
        let (mut now, mut calls, mut spent) = (0u64, vec![], vec![]);
        for (passes, act) in history {
            now += passes;
            let recent = |ms: u64| bucket(ms) + 10 > bucket(now);
            match act {
                None => {
                    budget.deposit(at_ms(now));
                    calls.push(now);
                }
                Some(cost) => {
                    let calls = calls.iter().filter(|ms| recent(**ms)).count() as u64;
                    let recent = spent.iter().filter(|(ms, _)| recent(*ms));
                    let spent_now = recent.map(|(_, cost)| cost).sum::<u32>();
                    let fits = 100 * u64::from(spent_now + cost) <= hundredths * calls + always;
                    prop_assert_eq!(budget.withdraw(at_ms(now), cost), fits);
                    if fits {
                        spent.push((now, cost));
                    }
                }
            }
        }
    }

    #[test]
    fn single_threaded_the_shell_equals_its_core(
        (policy, _) in budget(),
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
