//! kill -9 of the graph at seeded random moments, and the faults that must not stay unseen.

use std::sync::Arc;

use seawall_drill::scenario::{Mechanism, Options, Report, Verdict, graph_process_kill};
use seawall_net::clock::SystemClock;

use crate::fleet::binary;

/// Kills in every run; `xtask soak graph-kills` makes more.
const KILLS: u32 = 8;

fn run(kills: u32, without: &[Mechanism], plant: Option<&str>) -> Report {
    let options = Options {
        binary: binary(),
        seed: 20_260_103,
        quick: true,
        without: without.to_vec(),
        plant: plant.map(str::to_owned),
        kills: None,
        keep: None,
    };
    graph_process_kill::run(&options, kills, Arc::new(SystemClock::new())).unwrap()
}

#[test]
fn after_eight_kills_the_graph_is_what_was_acknowledged_and_whole() {
    let report = run(KILLS, &[], None);
    assert_eq!(report.verdict, Verdict::Pass, "{}", report.table());
}

#[test]
fn without_the_repair_edges_stay_without_their_inverse_and_the_drill_says_so() {
    let report = run(KILLS, &[Mechanism::Repair], None);
    assert_eq!(report.verdict_of("edges without inverse"), Verdict::Fail, "{}", report.table());
    assert_eq!(report.verdict.exit_code(), 3);
}

#[test]
fn a_graph_that_acknowledges_before_commit_is_found() {
    let report = run(20, &[], Some("ack-before-commit"));
    assert_eq!(report.verdict_of("acknowledged and lost"), Verdict::Fail, "{}", report.table());
    assert_eq!(report.verdict.exit_code(), 3);
}
