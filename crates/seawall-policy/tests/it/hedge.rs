//! Hedging: no document has it; the rules are the schema's (`after = "p95"; max = 1; idempotent_only = true`)
//! and the design's (one budget shared with hedging).

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use seawall_policy::retry::hedge::{After, COPIES_MAX, Core, Hedge, Policy};
use seawall_policy::retry::{Budget, BudgetPolicy, COST};
use seawall_policy::{Mono, Rng};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn at_ms(ms: u64) -> Mono {
    Mono(ms * 1_000_000)
}

/// The wait of a call that may happen twice and of which one copy has gone.
fn first(hedge: &Hedge, now: Mono) -> Option<Duration> {
    hedge.wait(now, 1, true)
}

fn fixed(wait: u64) -> Policy {
    Policy { after: After::Fixed(ms(wait)), ..Policy::default() }
}

fn assert_about(wait: Option<Duration>, wanted: Duration) {
    let close = wait.is_some_and(|wait| wait.abs_diff(wanted) <= wanted / 32);
    assert!(close, "{wait:?} instead of {wanted:?}");
}

#[test]
fn a_second_copy_goes_when_95_of_100_calls_would_have_been_answered() {
    let hedge = Hedge::new(Policy::default());
    // 1 to 100 ms, in no order; a second apart, so that the percentile is looked up each time.
    (0..100).for_each(|n| hedge.record(at_ms(n * 500), ms(1 + n * 37 % 100)));
    assert_about(first(&hedge, at_ms(50_000)), ms(95));
}

#[test]
fn nineteen_measured_calls_are_too_few_to_hedge_by_and_twenty_are_enough() {
    let hedge = Hedge::new(Policy::default());
    (0..19).for_each(|n| hedge.record(at_ms(n * 1_000), ms(30)));
    assert_eq!(first(&hedge, at_ms(18_000)), None);
    hedge.record(at_ms(19_000), ms(30));
    assert_about(first(&hedge, at_ms(19_000)), ms(30));
}

#[test]
fn one_further_copy_goes_and_no_more_and_none_of_what_may_not_happen_twice() {
    let hedge = Hedge::new(fixed(50));
    assert_eq!(hedge.wait(at_ms(0), 1, true), Some(ms(50)));
    assert_eq!(hedge.wait(at_ms(0), 2, true), None);
    assert_eq!(hedge.wait(at_ms(0), 1, false), None);
    let risky = Hedge::new(Policy { idempotent_only: false, max: 2, ..fixed(50) });
    assert_eq!([1, 2, 3].map(|sent| risky.wait(at_ms(0), sent, false)), [Some(ms(50)), Some(ms(50)), None]);
    let silly = Hedge::new(Policy { max: u32::MAX, ..fixed(50) });
    assert_eq!(silly.wait(at_ms(0), COPIES_MAX + 1, true), None);
    assert_eq!(silly.policy().max, u32::MAX);
}

#[test]
fn what_was_measured_a_minute_ago_is_no_measure() {
    let hedge = Hedge::new(Policy::default());
    (0..100).for_each(|n| hedge.record(at_ms(n * 100), ms(30)));
    // Looked up last at 9.6 s: every 600 ms.
    assert!(first(&hedge, at_ms(69_599)).is_some());
    assert_eq!(first(&hedge, at_ms(69_600)), None);
    // The first call after that is one call, not twenty.
    hedge.record(at_ms(80_000), ms(30));
    assert_eq!(first(&hedge, at_ms(80_000)), None);
}

#[test]
fn a_callee_that_slows_down_raises_the_p95_within_three_seconds() {
    let hedge = Hedge::new(Policy::default());
    (0..6_000).for_each(|n| hedge.record(at_ms(n * 10), ms(10)));
    (6_000..6_250).for_each(|n| hedge.record(at_ms(n * 10), ms(500)));
    assert_about(first(&hedge, at_ms(62_500)), ms(10));
    (6_250..6_400).for_each(|n| hedge.record(at_ms(n * 10), ms(500)));
    assert_about(first(&hedge, at_ms(64_000)), ms(500));
}

/// Retries and copies of one callee, which from second 60 on takes ten times as long as before and fails one
/// call in two.
#[test]
fn one_budget_shared_with_hedging_bounds_both_together() {
    let (hedge, budget) = (Hedge::new(Policy::default()), Budget::new(BudgetPolicy::default()));
    let mut rng = Rng::new(9);
    let (mut calls, mut copies, mut retries) = ([0u32; 2], [0u32; 2], [0u32; 2]);
    for call in 0..120_000 {
        let (now, ill) = (at_ms(call), usize::from(call >= 60_000));
        calls[ill] += 1;
        budget.deposit(now);
        let took = ms([10, 100][ill]).mul_f64(0.5 + rng.unit());
        let late = hedge.wait(now, 1, true).is_some_and(|wait| wait < took);
        copies[ill] += u32::from(late && budget.withdraw(now, COST));
        let failed = ill == 1 && rng.unit() < 0.5;
        retries[ill] += u32::from(failed && budget.withdraw(now, COST));
        hedge.record(now, took);
    }
    // Well: as many copies as lie beyond the p95, far below the budget.
    assert!((calls[0] / 25..calls[0] / 16).contains(&copies[0]), "{copies:?}");
    // Ill: 20 % and 10 a second and 3 for both together, and at first what ten seconds had saved.
    let together = copies[1] + retries[1];
    assert!((12_000..=12_000 + 600 + 2_103).contains(&together), "{copies:?} {retries:?}");
    assert!(copies[1] > 500 && retries[1] > 500, "{copies:?} {retries:?}");
}

/// The share of calls that are copied in the end when `measure` is recorded of those that were: told how long
/// the first copy took, the wait, and how long the second took.
fn copied(measure: impl Fn(Duration, Duration, Duration) -> Duration) -> f64 {
    let (hedge, mut rng) = (Hedge::new(Policy::default()), Rng::new(4));
    // Exponential, 10 ms on average.
    let mut draw = || ms(10).mul_f64(-(1.0 - rng.unit()).ln());
    let mut copied = 0;
    // A hundred a second for a quarter of an hour; the last third counts.
    for call in 0..90_000 {
        let (now, took) = (at_ms(call * 10), draw());
        match hedge.wait(now, 1, true).filter(|wait| *wait < took) {
            None => hedge.record(now, took),
            Some(wait) => {
                copied += u32::from(call >= 60_000);
                hedge.record(now, measure(took, wait, draw()));
            }
        }
    }
    f64::from(copied) / 30_000.0
}

#[test]
fn measured_from_the_first_copy_to_the_answer_one_call_in_twenty_goes_on_being_copied() {
    let share = copied(|first, wait, second| first.min(wait + second));
    assert!((0.04..0.06).contains(&share), "{share}");
}

/// Why the documentation insists on it.
#[test]
fn measured_by_the_answering_copy_alone_hedging_would_feed_itself_up_to_one_call_in_ten() {
    let share = copied(|first, wait, second| if wait + second < first { second } else { first });
    assert!((0.08..0.12).contains(&share), "{share}");
}

#[test]
fn the_default_is_one_copy_after_the_p95_of_a_minute_if_idempotent() {
    let default = Policy::default();
    assert_eq!(default.check(), Vec::<String>::new());
    let written = "after = \"p95\"\nmax = 1\nidempotent_only = true\nwindow = \"1m\"\n";
    assert_eq!(toml::to_string(&default).unwrap(), written);
    assert_eq!(toml::from_str::<Policy>(written).unwrap(), default);
    assert_eq!((default.amplification(), Policy { max: 9, ..default }.amplification()), (2, 4));
}

#[test]
fn the_wait_is_a_percentile_or_a_duration_and_nothing_else() {
    let parse = |text: &str| text.parse::<After>();
    assert_eq!(parse("p99.9"), Ok(After::Percentile(99.9)));
    assert_eq!(parse("50ms"), Ok(After::Fixed(ms(50))));
    for text in
        ["", "p", "p0", "p100", "p-5", "p9e1", "pinf", "pNaN", "p95%", "p99.9999", "p.", "95", "50", "P95"]
    {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(&format!("{text:?}")) && error.contains("\"p95\""), "{error}");
    }
    assert!(toml::from_str::<Policy>("after = 50").is_err());
    assert!(toml::from_str::<Policy>("copies = 1").is_err());
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_advice() {
    let policy = Policy { after: After::Percentile(49.9), max: 0, window: ms(0), ..Policy::default() };
    let wrong = policy.check();
    assert_eq!(wrong.len(), 3, "{wrong:#?}");
    assert!(wrong.iter().all(|line| line.contains(": use") && line.contains("it says")), "{wrong:#?}");
    let nan =
        Policy { after: After::Percentile(f64::NAN), max: 4, window: ms(3_600_001), ..Policy::default() };
    assert_eq!(nan.check().len(), 3, "{:#?}", nan.check());
    assert_eq!(fixed(0).check().len(), 1);
    for percent in [50.0, 99.9] {
        assert!(Policy { after: After::Percentile(percent), ..Policy::default() }.check().is_empty());
    }
}

#[test]
fn a_policy_explains_itself_with_its_own_numbers() {
    assert_eq!(
        Policy::default().explain(),
        [
            "95 % of the calls are answered within the p95.",
            "When no answer has come for so long, the call is also sent to another callee.",
            "It is measured over the last 1m.",
            "While fewer than 20 calls have been measured, no copy goes.",
            "About 5 % of the calls are copied.",
            "The first answer counts.",
            "One call becomes at most 2.",
            "Copies are paid for from the retry budget; when that is spent, none goes.",
            "Only calls that may safely happen twice are copied.",
        ]
    );
    let told = Policy { max: 2, idempotent_only: false, ..fixed(50) }.explain().join(" ");
    assert!(told.starts_with("When no answer has come for 50ms, "), "{told}");
    assert!(told.contains("at most 3, each after the same wait again."), "{told}");
    assert!(told.ends_with("Calls that must not happen twice are copied, too."), "{told}");
}

#[test]
fn asking_and_recording_allocate_nothing() {
    let hedge = Hedge::new(Policy::default());
    let info = allocation_counter::measure(|| {
        for n in 0..10_000 {
            hedge.record(at_ms(n * 50), ms(n % 70));
            let _ = first(&hedge, at_ms(n * 50));
        }
    });
    assert_eq!(info.count_total, 0);
}

proptest! {
    #[test]
    fn no_text_is_read_as_a_wait_that_is_written_otherwise(text in "[p0-9.mshe+-]{0,9}") {
        if let Ok(after) = text.parse::<After>() {
            prop_assert_eq!(String::from(after).parse(), Ok(after));
        }
    }

    #[test]
    fn single_threaded_the_shell_equals_its_core(
        percent in prop_oneof![Just(50.0), Just(95.0), Just(99.9)],
        seconds in 1u64..100,
        calls in vec((0u64..3_000, 1u64..1_000, 1u32..4, any::<bool>()), 1..200),
        back in 0u64..3_000,
    ) {
        let window = Duration::from_secs(seconds);
        let policy = Policy { after: After::Percentile(percent), max: 2, window, ..Policy::default() };
        let (shell, mut core) = (Hedge::new(policy.clone()), Core::new(policy));
        let mut time = 10_000;
        for (i, (passes, took, sent, idempotent)) in calls.into_iter().enumerate() {
            time += passes / 10;
            let now = at_ms(if i % 5 == 0 { time - back } else { time });
            prop_assert_eq!(shell.wait(now, sent, idempotent), core.wait(now, sent, idempotent));
            shell.record(now, ms(took));
            core.record(now, ms(took));
            // And long afterwards.
            let later = now + Duration::from_millis(passes * 20);
            prop_assert_eq!(shell.wait(later, sent, idempotent), core.wait(later, sent, idempotent));
        }
    }
}
