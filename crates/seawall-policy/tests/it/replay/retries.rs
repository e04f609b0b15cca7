//! A retry policy and its budget.

use seawall_policy::replay::retry;
use seawall_policy::retry::{BudgetPolicy, Policy};

use super::*;

fn retries(policy: Policy, calls: impl IntoIterator<Item = Record>) -> retry::Report {
    match run(Replay::retry(policy, BudgetPolicy::default(), 1), calls) {
        Report::Retry(report) => report,
        other => panic!("another report: {other:?}"),
    }
}

/// A call each 50 ms for 3 s; unreachable at once from 1.0 s to 1.3 s.
fn short_break() -> impl Iterator<Item = Record> {
    (0..60).map(|n| match n {
        20..26 => call(n * 50, Outcome::Unreachable, 0),
        _ => call(n * 50, Outcome::Success, 10),
    })
}

#[test]
fn waits_of_100_and_500_ms_mend_a_break_of_300() {
    let report = retries(Policy::s4_discovery_verbatim(), short_break());
    // Those of 1.00 to 1.15 s fail once more, 100 ms later, and find it well 500 ms after that; those of 1.20
    // and 1.25 s find it well at once.
    assert_eq!((report.mended, report.load.retries, report.served.failed), (6, 4 * 2 + 2, 0));
    assert_eq!((report.trace.calls.failed, report.load.calls), (6, 60));
    assert_eq!(report.mended_latest, ms(100 + 500 + 10));
    assert_eq!(report.mended_later, 4 * ms(610) + 2 * ms(110));
    assert!(report.given_up.is_empty(), "{:?}", report.given_up);
    let text = Report::Retry(report).text(None, 10);
    for line in [
        "It mended 6 failures, whose answers came 443.3 ms later on average and 610.0 ms at most.",
        "The callee had 10 calls more to bear, 1.17 times its load; in the worst 10 s 60 calls and 10 retries, 1.17 times.",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
}

#[test]
fn what_is_dead_gets_a_fifth_more_and_ten_a_second_and_not_three_times_as_much() {
    // A hundred a second for 30 s, and nobody answers.
    let dead = || (0..3_000).map(|n| call(n * 10, Outcome::Unreachable, 0));
    let report = retries(Policy::s4_discovery_verbatim(), dead());
    // A fifth of a window's calls, ten a second, and the three that are always allowed.
    let most = 3 * (1_000 / 5 + 100 + 3);
    assert!((900..=most).contains(&report.load.retries), "{:?}", report.load);
    assert!(report.busiest.amplification() <= 1.31, "{:?}", report.busiest);
    assert!(report.given_up["budget"] > 2_000, "{:?}", report.given_up);
    assert_eq!((report.mended, report.served.failed), (0, 3_000));
    // Without the budget it would be the product the documents do not bound.
    let boundless = BudgetPolicy { ratio: 1.0, per_second: 1_000_000, ..BudgetPolicy::default() };
    let replay = Replay::retry(Policy::s4_discovery_verbatim(), boundless, 1);
    let Report::Retry(report) = run(replay, dead()) else { panic!("another report") };
    assert!(report.load.amplification() > 2.9, "{:?}", report.load);
}

#[test]
fn why_a_failure_is_not_retried_is_told() {
    let end = || (0..10).map(|n| call(10_000 + n, Outcome::Success, 10));
    for (record, why) in [
        (Record { idempotent: false, ..call(0, Outcome::Unreachable, 0) }, "not-idempotent"),
        (call(0, Outcome::Failed, 0), "class"),
        (call(0, Outcome::Timeout, 20_000), "deadline"),
    ] {
        let report = retries(Policy::s4_discovery_verbatim(), std::iter::once(record).chain(end()));
        assert_eq!(report.given_up.keys().copied().collect::<Vec<_>>(), [why]);
        assert_eq!((report.load.retries, report.served.failed), (0, 1));
    }
    let busy = [call(0, Outcome::Overloaded, 0)].into_iter().chain(end());
    assert_eq!(retries(Policy::s3_request(), busy).given_up["only-elsewhere"], 1);
    let last = retries(Policy::s4_discovery_verbatim(), [call(0, Outcome::Unreachable, 5)]);
    assert_eq!((last.given_up["trace-ended"], last.served.longest, last.load.retries), (1, ms(5), 0));
}

#[test]
fn a_seed_replays() {
    let report = |seed| {
        let replay = Replay::retry(Policy::s4_discovery(), BudgetPolicy::default(), seed);
        run(replay, short_break())
    };
    assert_eq!(report(7), report(7));
    assert_ne!(report(7), report(8));
}
