//! Policies that let calls through or refuse them: breaker, rate limit, bulkhead, shedder; and the ladder.

use proptest::prelude::*;
use seawall_policy::breaker::{Breaker, Policy};
use seawall_policy::rate::{Per, Rate};
use seawall_policy::{inflight, ladder, rate, replay, shed};

use super::*;

fn breaker(policy: Policy, calls: impl IntoIterator<Item = Record>) -> replay::breaker::Report {
    match run(Replay::breaker(policy), calls) {
        Report::Breaker(report) => report,
        other => panic!("another report: {other:?}"),
    }
}

/// One call a second for three minutes; those from 10 s to 70 s fail after 100 ms.
fn minute_of_outage() -> impl Iterator<Item = Record> {
    (0..180).map(|s| match s {
        10..70 => call(s * 1_000, Outcome::Failed, 100),
        _ => call(s * 1_000, Outcome::Success, 20),
    })
}

#[test]
fn a_minute_of_outage_opens_the_chat_breaker_on_the_fifth_failure_and_again_on_its_probe() {
    let report = breaker(Policy::s0_chat(), minute_of_outage());
    // The fifth fails at 14.1 s. After 30 s the call at 45 s is a probe, and fails; after 60 s the one at 106
    // s.
    assert_eq!(
        told(&report.gate.changes.first),
        [
            "14100 closed→open",
            "45000 open→half-open",
            "45100 half-open→open",
            "106000 open→half-open",
            "106020 half-open→closed",
        ]
    );
    let gate = &report.gate;
    // Refused: 15 to 44 s, and 46 to 105 s, of which 70 to 105 s were good.
    assert_eq!((gate.refused.calls, gate.refused.failed, gate.refused.succeeded), (90, 54, 36));
    assert_eq!((gate.served.calls, gate.served.failed), (90, 6));
    assert_eq!((gate.trace.calls.calls, gate.trace.calls.failed), (180, 60));
    assert_eq!(gate.refused.waited, ms(54 * 100 + 36 * 20));
    assert_eq!((report.trips, report.left_open, report.not_closed), (1, 0, ms(106_020 - 14_100)));
    assert_eq!((report.probes.calls, report.probes.succeeded), (2, 1));
}

#[test]
fn with_the_documents_constant_time_the_chat_breaker_is_back_half_a_minute_earlier() {
    let report = breaker(Policy::s0_chat().verbatim(), minute_of_outage());
    let told = told(&report.gate.changes.first);
    assert_eq!(told[2..], ["45100 half-open→open", "76000 open→half-open", "76020 half-open→closed"]);
    assert_eq!(report.gate.refused.calls, 30 + 30);
}

#[test]
fn half_of_twenty_opens_the_balancers_breaker_and_three_of_five_close_it() {
    let fails = |n: u64| if n < 20 && n % 2 == 1 { Outcome::Failed } else { Outcome::Success };
    let report = breaker(Policy::s3_balancer(), (0..400).map(|n| call(n * 100, fails(n), 10)));
    let gate = &report.gate;
    let changes = &gate.changes.first;
    assert_eq!(told(changes), ["1910 closed→open", "32000 open→half-open", "32210 half-open→closed"]);
    assert!(changes[0].why.contains("{ ratio = 0.5, min = 20 } in 10s"), "{}", changes[0].why);
    assert_eq!(changes[2].why, "3 of 3 probes succeeded");
}

#[test]
fn a_call_from_before_the_trip_is_no_probe() {
    let slow = call(0, Outcome::Success, 40_000);
    let failures = (0..5).map(|s| call(1_000 + s, Outcome::Failed, 0));
    let probe = call(35_000, Outcome::Failed, 10_000);
    let report = breaker(Policy::s0_chat(), std::iter::once(slow).chain(failures).chain([probe]));
    // The slow one succeeds at 40 s, half-open by then, and changes nothing.
    let told = told(&report.gate.changes.first);
    assert_eq!(told, ["1004 closed→open", "35000 open→half-open", "45000 half-open→open"]);
    assert_eq!((report.probes.calls, report.left_open), (1, 1));
}

#[test]
fn each_key_has_a_breaker_of_its_own() {
    let calls = (0..20).flat_map(|s| {
        [of("a", call(s * 1_000, Outcome::Success, 5)), of("b", call(s * 1_000, Outcome::Failed, 5))]
    });
    let report = breaker(Policy::s0_chat(), calls);
    let changes = &report.gate.changes.first;
    assert_eq!((told(changes), changes[0].key.as_deref()), (vec!["4005 closed→open".to_owned()], Some("b")));
    assert_eq!((report.breakers, report.gate.refused.calls, report.gate.refused.succeeded), (2, 15, 0));
    let together =
        (0..20).flat_map(|s| [call(s * 1_000, Outcome::Success, 5), call(s * 1_000, Outcome::Failed, 5)]);
    assert_eq!(breaker(Policy::s0_chat(), together).gate.refused.succeeded, 15);
}

proptest! {
    #[test]
    fn a_replay_refuses_whom_the_breaker_itself_refuses(
        calls in prop::collection::vec((0_u64..3_000, 0_u8..4), 0..300),
        which in 0_usize..5,
    ) {
        let policies = [Policy::s0_chat(), Policy::s1_feed(), Policy::s2_links(), Policy::s3_balancer(), Policy::s4_registry()];
        let policy = policies[which].clone();
        let live = Breaker::new(policy.clone());
        let (mut now, mut refused) = (0, 0);
        let calls: Vec<Record> = calls
            .iter()
            .map(|(later, kind)| {
                now += later;
                let outcome = [Outcome::Success, Outcome::Failed, Outcome::Timeout, Outcome::Abandoned][usize::from(*kind)];
                call(now, outcome, 0)
            })
            .collect();
        for record in &calls {
            match live.admit(record.at) {
                Ok(permit) => drop(live.report(permit, record.outcome, record.at)),
                Err(_) => refused += 1,
            }
        }
        let report = breaker(policy, calls);
        prop_assert_eq!(report.gate.refused.calls, refused);
    }
}

fn gate_of(report: Report) -> replay::Gate {
    match report {
        Report::Rate(report) => report.gate,
        Report::Bulkhead(report) => report.gate,
        Report::Shed(report) => report.gate,
        other => panic!("another report: {other:?}"),
    }
}

#[test]
fn of_a_hundred_at_once_a_rate_limit_of_twenty_a_second_lets_its_burst_of_forty_in() {
    let policy = |keys_max| rate::Policy { rate: Rate::new(20, Per::Second), burst: 40, keys_max };
    let herd = || (0..100).map(|_| call(0, Outcome::Success, 5));
    // And one more, half a second later, when ten may come again.
    let gate = gate_of(run(Replay::rate(policy(0)), herd().chain([call(500, Outcome::Success, 5)])));
    assert_eq!((gate.served.calls, gate.refused.calls), (41, 60));
    assert_eq!(told(&gate.changes.first), ["0 admitting→refusing", "0 refusing→admitting"]);
    assert_eq!(gate.changes.first[0].why, "more than 20/s with a burst of 40");
    // Two callers, each with a limit of its own.
    let two = (0..100).map(|n| of(if n % 2 == 0 { "a" } else { "b" }, call(0, Outcome::Success, 5)));
    let Report::Rate(report) = run(Replay::rate(policy(10)), two) else { panic!("another report") };
    assert_eq!((report.gate.refused.calls, report.keys, report.keys_refused), (20, 2, 2));
    assert_eq!((report.busiest_second, report.wants_keys), (100, false));
    let Report::Rate(report) = run(Replay::rate(policy(10)), herd()) else { panic!("another report") };
    assert!(report.wants_keys);
}

#[test]
fn the_hundred_and_first_in_flight_is_refused_by_the_documents_bulkhead_for_service_a() {
    let policy = inflight::Policy { in_flight: 100, connections: 500 };
    // 150 at once that take a second each, then one when the first have left.
    let calls = (0..150).map(|n| call(n, Outcome::Success, 1_000)).chain([call(1_000, Outcome::Success, 10)]);
    let Report::Bulkhead(report) = run(Replay::bulkhead(policy), calls) else { panic!("another report") };
    assert_eq!((report.gate.refused.calls, report.wanted, report.taken), (50, 150, 100));
    let told = told(&report.gate.changes.first);
    assert_eq!(told, ["100 admitting→refusing", "149 refusing→admitting"]);
    assert_eq!(report.gate.changes.first[1].why, "50 calls were refused in 49.0 ms");
}

#[test]
fn a_call_needs_a_place_of_each_kind_so_fewer_connections_than_calls_refuse_the_eleventh() {
    let policy = inflight::Policy { in_flight: 100, connections: 10 };
    let calls = (0..15).map(|n| call(n, Outcome::Success, 1_000));
    let Report::Bulkhead(report) = run(Replay::bulkhead(policy), calls) else { panic!("another report") };
    assert_eq!((report.gate.refused.calls, report.places, report.wanted, report.taken), (5, 10, 15, 10));
    assert_eq!(report.gate.changes.first[0].why, "all 10 places were taken");
}

#[test]
fn at_ninety_percent_the_chat_shedder_lets_typing_wait_and_refuses_search_and_analytics() {
    let busy = (0..90).map(|_| call(0, Outcome::Success, 10_000));
    let asks = Priority::ALL.map(|priority| Record { priority, ..call(1_000, Outcome::Success, 10) });
    let report = run(Replay::shed(&shed::Policy::s0_chat(), 100), busy.chain(asks));
    let Report::Shed(report) = report else { panic!("another report") };
    let refused: Vec<_> = report.classes.iter().map(|(name, class)| (*name, class.refused.calls)).collect();
    assert_eq!(refused, [("p0", 0), ("p1", 0), ("p2", 0), ("p3", 1), ("p4", 1)]);
    assert_eq!((report.delayed, report.delayed_for, report.load), (1, ms(250), 0.93));
    assert_eq!(report.gate.changes.first[0].why, "a load of 93 %");
}

#[test]
fn ten_seconds_of_slow_ranking_enter_the_feeds_first_level_and_thirty_of_quick_leave_it() {
    // 50 calls a second of 120 ms for 20 s, then of 20 ms for a minute.
    let calls = (0..4_000).map(|n| call(n * 20, Outcome::Success, if n < 1_000 { 120 } else { 20 }));
    let Report::Ladder(report) = run(Replay::ladder(ladder::Policy::s1_feed(), None), calls) else {
        panic!("another report")
    };
    // p95 is known from the first second on, and above 100 ms for ten by the eleventh. The slow ones have
    // left its window of 10 s at 30 s, and below 60 ms for 30 s it is a minute after the begin.
    let changes = &report.changes.first;
    assert_eq!(told(changes), ["11000 off→active", "59000 active→off"]);
    assert_eq!(changes[0].key.as_deref(), Some("level 1 (ranking degraded)"));
    assert!(changes[0].why.contains("p95(ranking) is"), "{}", changes[0].why);
    assert_eq!(report.unknown["breaker(ranking)"], 1.0);
    assert_eq!(report.levels[&1], ms(48_000));
    // Of another callee's calls it hears nothing.
    let others = (0..4_000).map(|n| of("search", call(n * 20, Outcome::Success, 120)));
    let Report::Ladder(report) = run(Replay::ladder(ladder::Policy::s1_feed(), None), others) else {
        panic!("another report")
    };
    assert_eq!((report.changes.first.len(), report.unknown["p95(ranking)"]), (0, 1.0));
}

#[test]
fn a_year_of_silence_is_no_year_of_work() {
    let year = 365 * 86_400 * 1_000;
    let calls = [call(0, Outcome::Success, 10), call(year, Outcome::Success, 10)];
    let Report::Ladder(report) = run(Replay::ladder(ladder::Policy::s1_feed(), None), calls) else {
        panic!("another report")
    };
    assert_eq!(report.levels[&0].as_secs(), year / 1_000);
}
