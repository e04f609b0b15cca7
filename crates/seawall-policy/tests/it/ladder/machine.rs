//! How a ladder behaves, whatever its rungs.

use seawall_policy::ladder::condition::Value;
use seawall_policy::ladder::{Core, Pin, Policy, RUNGS_MAX, Rung, Transition};

use super::{N, Says, W, at, policy, step};

/// `load > 70% for 10s`, out at `load < 60% for 20s`, dwell 30 s; and a switch above it without any time.
fn two_rungs() -> Policy {
    toml::from_str(
        r#"
        [[rung]]
        level = 1
        name = "busy"
        enter = "load > 70% for 10s"
        exit = "load < 60% for 20s"
        dwell = "30s"
        effects = ["search=slow", "typing=delayed"]

        [[rung]]
        level = 3
        name = "switched"
        enter = "switch == on"
        exit = "switch == off"
        dwell = "10s"
        effects = ["search=off"]
        "#,
    )
    .expect("readable")
}

fn core() -> Core {
    let policy = two_rungs();
    assert_eq!(policy.check(), Vec::<String>::new());
    Core::new(policy, at(0))
}

fn run(core: &mut Core, seconds: std::ops::Range<u64>, says: Says<'_>) -> Vec<(u64, Transition)> {
    seconds.flat_map(|s| step(core, s, says).into_iter().map(move |change| (s, change))).collect()
}

#[test]
fn a_condition_must_hold_for_its_time_without_interruption() {
    let mut core = core();
    let busy: Says<'_> = &[("load", N(0.8))];
    assert_eq!(run(&mut core, 0..10, busy), []);
    assert_eq!(run(&mut core, 10..11, &[("load", N(0.7))]), [], "one second at the bound begins it anew");
    let changes = run(&mut core, 11..60, busy);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].0, 21);
}

#[test]
fn what_is_not_known_does_not_hold_and_begins_anew() {
    let mut core = core();
    run(&mut core, 0..10, &[("load", N(0.8))]);
    run(&mut core, 10..11, &[]);
    assert_eq!(run(&mut core, 11..21, &[("load", N(0.8))]), []);
    assert_eq!(run(&mut core, 21..22, &[("load", N(0.8))]).len(), 1);
    assert_eq!(run(&mut core, 22..10_000, &[]), [], "and an active rung stays");
    assert_eq!(run(&mut core, 10_000..20_000, &[("load", N(f64::NAN))]), []);
    assert_eq!(run(&mut core, 20_000..30_000, &[("load", W("low"))]), []);
}

#[test]
fn between_enter_and_exit_nothing_changes() {
    let mut core = core();
    assert_eq!(run(&mut core, 0..3_600, &[("load", N(0.65))]), []);
    run(&mut core, 3_600..3_700, &[("load", N(0.71))]);
    assert_eq!(run(&mut core, 3_700..9_000, &[("load", N(0.65))]), []);
    assert_eq!(core.level(), 1);
}

#[test]
fn a_rung_stays_for_its_dwell_and_stays_away_for_its_dwell() {
    let mut core = core();
    let on: Says<'_> = &[("switch", W("on"))];
    let off: Says<'_> = &[("switch", W("off"))];
    let mut changes = run(&mut core, 0..1, on);
    changes.extend(run(&mut core, 1..12, off));
    changes.extend(run(&mut core, 12..40, on));
    let times: Vec<_> = changes.iter().map(|(s, change)| (*s, change.entered)).collect();
    assert_eq!(times, [(0, true), (10, false), (20, true)]);
}

#[test]
fn a_rung_is_not_left_while_what_it_was_entered_for_is_there() {
    let mut policy = two_rungs();
    policy.rung[1].exit = Some("load < 60%".parse().unwrap());
    let mut core = Core::new(policy, at(0));
    run(&mut core, 0..1, &[("switch", W("on"))]);
    assert_eq!(run(&mut core, 1..1_000, &[("switch", W("on")), ("load", N(0.1))]), []);
    assert_eq!(run(&mut core, 1_000..1_001, &[("switch", W("off")), ("load", N(0.1))]).len(), 1);
}

#[test]
fn a_pause_in_which_nobody_looked_counts_for_five_seconds() {
    let mut core = core();
    let busy: Says<'_> = &[("load", N(0.8))];
    step(&mut core, 0, busy);
    assert_eq!(step(&mut core, 3_600, busy), [], "seen twice, an hour apart, is not seen for 10 s");
    assert_eq!(step(&mut core, 3_604, busy), []);
    assert_eq!(step(&mut core, 3_605, busy).len(), 1);
}

#[test]
fn a_clock_that_steps_back_stands_still() {
    let mut core = core();
    let busy: Says<'_> = &[("load", N(0.8))];
    run(&mut core, 1_000..1_006, busy);
    run(&mut core, 500..600, busy);
    assert_eq!(core.level(), 0);
    assert_eq!(run(&mut core, 1_006..1_030, busy)[0].0, 1_010);
}

#[test]
fn the_level_is_the_highest_active_rungs_and_each_stands_for_itself() {
    let mut core = core();
    let changes = run(&mut core, 0..1, &[("switch", W("on"))]);
    assert_eq!((changes[0].1.level, changes[0].1.now_at, core.level()), (3, 3, 3));
    assert_eq!((core.effect("search"), core.effect("typing")), (Some("off"), None));
    run(&mut core, 1..20, &[("switch", W("on")), ("load", N(0.8))]);
    assert_eq!(core.active().map(|rung| rung.level).collect::<Vec<_>>(), [1, 3]);
    assert_eq!((core.effect("search"), core.effect("typing")), (Some("off"), Some("delayed")));
    let changes = run(&mut core, 20..30, &[("switch", W("off")), ("load", N(0.8))]);
    assert_eq!((changes[0].1.level, changes[0].1.now_at, changes[0].1.entered), (3, 1, false));
    assert_eq!((core.effect("search"), core.effect("messages")), (Some("slow"), None));
}

#[test]
fn a_transition_carries_the_numbers_that_caused_it() {
    let mut core = Core::new(policy("s1-feed"), at(0));
    let slow: Says<'_> = &[("p95(ranking)", N(0.1234)), ("breaker(ranking)", W("closed"))];
    let (second, change) = run(&mut core, 0..60, slow).remove(0);
    assert_eq!((second, change.rung, change.level, change.name.as_str()), (10, 0, 1, "ranking degraded"));
    assert_eq!(change.why, "p95(ranking) is 123ms400us (p95(ranking) > 100ms for 10s)");
    assert_eq!(
        change.to_string(),
        "entered level 1 (ranking degraded), now at 1: \
         p95(ranking) is 123ms400us (p95(ranking) > 100ms for 10s)"
    );
    let (_, change) = run(&mut core, 60..120, &[("p95(ranking)", N(0.05))]).remove(0);
    assert!(!change.entered);
    assert_eq!(change.why, "p95(ranking) is 50ms (p95(ranking) < 60ms for 30s)");
    let mut client = Core::new(policy("s4-client"), at(0));
    let nothing: Says<'_> = &[("registry", W("down")), ("cache", W("empty")), ("static", W("filled"))];
    let why = run(&mut client, 0..1, nothing)[1].1.why.clone();
    assert_eq!(why, "registry is down (registry == down) and cache is empty (cache == empty)");
}

#[test]
fn each_signal_is_asked_once_a_step() {
    let mut core = Core::new(policy("s0-chat"), at(0));
    let mut asked = Vec::new();
    core.step(at(0), |signal| {
        asked.push(signal.to_string());
        None
    });
    assert_eq!(asked, ["load", "bus"]);
}

#[test]
fn a_pinned_rung_is_as_pinned_whatever_the_signals_say() {
    let mut core = core();
    core.pin("busy", Pin::On).unwrap();
    let changes = run(&mut core, 0..100, &[("load", N(0.0))]);
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].0, changes[0].1.why.as_str()), (0, "pinned on"));
    core.pin("busy", Pin::Off).unwrap();
    let changes = run(&mut core, 100..200, &[("load", N(0.9))]);
    assert_eq!((changes.len(), changes[0].0, changes[0].1.why.as_str()), (1, 100, "pinned off"));
    let standing = core.standings().next().unwrap();
    assert_eq!((standing.pin, standing.active, standing.since), (Pin::Off, false, at(100)));
    // Its conditions were judged all the while: it is where it would have been.
    core.pin("busy", Pin::Auto).unwrap();
    let changes = run(&mut core, 200..201, &[("load", N(0.9))]);
    assert_eq!(changes[0].1.why, "no longer pinned; load is 90% (load > 70% for 10s)");
    assert_eq!(core.standings().next().unwrap().why, changes[0].1.why);
}

#[test]
fn a_pinned_ladder_is_at_its_level_and_a_rungs_own_pin_wins() {
    let mut core = core();
    core.pin_level(Some(1)).unwrap();
    let changes = run(&mut core, 0..100, &[("switch", W("on"))]);
    assert_eq!((changes.len(), core.level(), core.pinned_level()), (1, 1, Some(1)));
    assert_eq!(changes[0].1.why, "the ladder is pinned at level 1");
    core.pin("switched", Pin::On).unwrap();
    core.pin("busy", Pin::Off).unwrap();
    run(&mut core, 100..101, &[("switch", W("off"))]);
    assert_eq!(core.active().map(|rung| rung.level).collect::<Vec<_>>(), [3]);
    core.pin("switched", Pin::Auto).unwrap();
    core.pin_level(Some(0)).unwrap();
    run(&mut core, 101..102, &[("switch", W("on"))]);
    assert_eq!(core.level(), 0, "pinned to normal operation");
    core.pin_level(None).unwrap();
    run(&mut core, 102..103, &[("switch", W("on"))]);
    assert_eq!(core.level(), 0, "it was off a second ago, and stays away for its dwell");
    run(&mut core, 103..113, &[("switch", W("on"))]);
    assert_eq!(core.level(), 3);
}

#[test]
fn a_pin_on_what_does_not_exist_is_refused_with_what_does() {
    let mut core = core();
    let error = core.pin("buzy", Pin::On).unwrap_err().to_string();
    assert_eq!(error, "there is no rung \"buzy\"; use one of \"busy\", \"switched\"");
    let error = core.pin_level(Some(2)).unwrap_err().to_string();
    assert_eq!(error, "there is no rung of level 2; use one of 1, 3");
    assert_eq!(core.pinned_level(), None);
}

#[test]
fn a_manual_rung_moves_by_its_pin_alone() {
    let mut core = Core::new(policy("s0-chat-verbatim"), at(0));
    core.pin("partial outage", Pin::On).unwrap();
    let changes = run(&mut core, 0..100, &[("load", N(2.0))]);
    assert_eq!((changes.len(), core.level(), core.effect("search")), (1, 2, Some("off")));
    core.pin("partial outage", Pin::Auto).unwrap();
    run(&mut core, 100..101, &[]);
    assert_eq!(core.level(), 0);
}

#[test]
fn grace_holds_back_the_way_in_and_not_the_way_out() {
    let mut core = Core::new(policy("s1-feed"), at(0));
    run(&mut core, 0..200, &[("hit(feed-cache)", N(0.1))]);
    assert_eq!(core.level(), 2);
    core.disturbed(at(200));
    let changes = run(&mut core, 200..210, &[("hit(feed-cache)", N(0.9))]);
    assert_eq!((changes.len(), core.level()), (1, 0));
    core.disturbed(at(50));
    let changes = run(&mut core, 210..400, &[("hit(feed-cache)", N(0.1))]);
    assert_eq!(changes[0].0, 320, "a purge reported late does not shorten the grace");
}

#[test]
fn a_policy_that_fails_its_check_still_makes_a_ladder_that_can_be_pinned() {
    let rung = |level: u8| Rung { level, name: format!("rung {level}"), ..Rung::default() };
    let mut core = Core::new(Policy { rung: (0..=RUNGS_MAX as u8).rev().map(rung).collect() }, at(0));
    assert_eq!(core.step(at(0), |_| Some(Value::from(true))), []);
    assert_eq!(core.standings().count(), RUNGS_MAX);
    core.pin("rung 7", Pin::On).unwrap();
    core.step(at(1), |_| None);
    assert_eq!(core.level(), 7);
}
