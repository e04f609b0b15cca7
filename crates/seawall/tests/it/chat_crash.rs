//! kill -9 of chat at seeded random moments, and the journal without which it must show.

use std::sync::Arc;

use seawall_drill::scenario::{Mechanism, Options, Report, Verdict, chat_process_kill};
use seawall_net::clock::SystemClock;

use crate::fleet::binary;

/// Kills in every run; `xtask soak chat-kills` makes more.
const KILLS: u32 = 8;

fn run(kills: u32, without: &[Mechanism]) -> Report {
    let options = Options {
        binary: binary(),
        seed: 20_260_102,
        quick: true,
        without: without.to_vec(),
        plant: None,
        kills: None,
        keep: None,
    };
    chat_process_kill::run(&options, kills, Arc::new(SystemClock::new())).unwrap()
}

#[test]
fn after_eight_kills_every_session_has_heard_exactly_what_is_in_the_history() {
    let report = run(KILLS, &[]);
    assert_eq!(report.verdict, Verdict::Pass, "{}", report.table());
}

#[test]
fn without_the_journal_events_are_lost_and_the_drill_says_so() {
    let report = run(2, &[Mechanism::Journal]);
    assert_eq!(report.verdict_of("events lost"), Verdict::Fail, "{}", report.table());
    assert_eq!(report.verdict.exit_code(), 3);
}
