//! What a replay says of traffic that has been, and what it refuses to read.

mod gates;
mod retries;
mod traces;

use std::time::Duration;

use seawall_policy::priority::Priority;
use seawall_policy::replay::{Change, Record, Replay, Report};
use seawall_policy::{Mono, Outcome};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A call that began after so many milliseconds and took so many.
fn call(at: u64, outcome: Outcome, took: u64) -> Record {
    Record {
        at: Mono::default() + ms(at),
        outcome,
        took: ms(took),
        tries: 1,
        idempotent: true,
        priority: Priority::P0,
        key: None,
    }
}

fn of(key: &str, record: Record) -> Record {
    Record { key: Some(key.into()), ..record }
}

fn run(mut replay: Replay, calls: impl IntoIterator<Item = Record>) -> Report {
    calls.into_iter().for_each(|record| replay.step(&record).expect("room for all that are in flight"));
    replay.finish()
}

/// Each change as `14100 closed→open`, in milliseconds.
fn told(changes: &[Change]) -> Vec<String> {
    let one = |c: &Change| format!("{} {}→{}", c.at.since(Mono::default()).as_millis(), c.from, c.to);
    changes.iter().map(one).collect()
}

#[test]
fn a_report_is_the_same_in_words_and_as_json() {
    let calls = (0..40).map(|s| call(s * 1_000, if s < 10 { Outcome::Failed } else { Outcome::Success }, 20));
    let report = run(Replay::breaker(seawall_policy::breaker::Policy::s0_chat()), calls);
    let text = report.text(None, 10);
    for line in [
        "Trace: 40 calls in 39.0 s.",
        "+0:04.020  closed → open       a call ended as failed and met { failures = 5 } in 10s; refuses for 30s",
        "+0:35.000  open → half-open    its time was over, and a call tests the callee",
        "+0:35.020  half-open → closed  the probe succeeded",
        "It spared the callee 30 calls, 5 of which would have failed; 25 would have succeeded and are lost.",
        "It opened once and was not closed for 31.0 s; 1 call tested the callee, of which 1 succeeded.",
        "A trace is open-loop",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
    assert!(report.text(None, 1).contains("  and 2 changes more\n"));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["kind"], &json["trips"]), (&"breaker".into(), &1.into()));
    assert_eq!((&json["refused"]["calls"], &json["refused"]["failed"]), (&30.into(), &5.into()));
    assert_eq!(json["trace"]["lasted_ms"], 39_020.0);
    assert_eq!(json["changes"]["first"][0]["at_ms"], 4_020.0);
}

#[test]
fn a_date_stands_beside_each_change_when_the_trace_has_one() {
    let calls = (0..5).map(|s| call(s * 1_000, Outcome::Failed, 0));
    let report = run(Replay::breaker(seawall_policy::breaker::Policy::s0_chat()), calls);
    let text = report.text(Some(seawall_policy::Wall(1_795_201_387_250)), 10);
    assert!(text.contains("from 2026-11-20T19:03:07.250Z."), "{text}");
    assert!(text.contains("+0:04.000  2026-11-20T19:03:11.250Z  closed → open"), "{text}");
}
