//! kill -9 at seeded random moments, and the bug that must not stay unseen.

use std::sync::Arc;

use seawall_drill::scenario::{Options, Report, Verdict, kill_moments};
use seawall_net::clock::SystemClock;

use crate::fleet::{binary, seawall};

/// Kills in every run; `xtask soak links-kills` makes more.
const KILLS: u32 = 8;

fn run(plant: Option<&str>) -> Report {
    let options = Options {
        binary: binary(),
        seed: 20_260_101,
        quick: true,
        without: Vec::new(),
        plant: plant.map(str::to_owned),
        kills: None,
        keep: None,
    };
    kill_moments::run(&options, KILLS, Arc::new(SystemClock::new())).unwrap()
}

#[test]
fn after_eight_kills_every_acknowledged_link_resolves_and_no_code_is_used_twice() {
    let report = run(None);
    assert_eq!(report.verdict, Verdict::Pass, "{}", report.table());
}

#[test]
fn acknowledging_before_commit_is_found() {
    let report = run(Some("ack-before-commit"));
    assert_eq!(
        report.verdict,
        Verdict::Fail,
        "the checker does not see the planted bug:\n{}",
        report.table()
    );
}

#[test]
fn a_drill_that_does_not_exist_is_a_usage_error() {
    let output = seawall(&["drill", "run", "nonsense"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("links-process-kill"));
}

#[test]
fn the_drill_without_retry_misses_its_target_and_exits_3() {
    let output =
        seawall(&["drill", "run", "links-process-kill", "--quick", "--without", "retry", "--seed", "1"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("client errors") && said.contains("FAIL"), "{said}");
}
