//! What a ladder refuses, and how it explains itself.

use std::time::Duration;

use seawall_policy::ladder::{DWELL_MAX, EFFECTS_MAX, PRESETS, Policy, RUNGS_MAX, Rung, preset};

use super::policy;

fn good() -> Rung {
    rung("load >= 70% for 30s", "load < 60% for 30s")
}

fn rung(enter: &str, exit: &str) -> Rung {
    Rung {
        level: 1,
        name: "busy".to_owned(),
        enter: Some(enter.parse().expect("readable")),
        exit: Some(exit.parse().expect("readable")),
        effects: vec!["search=off".to_owned()],
        ..Rung::default()
    }
}

fn check(rung: Rung) -> Vec<String> {
    Policy { rung: vec![rung] }.check()
}

/// The one problem there is.
fn problem(rung: Rung) -> String {
    let wrong = check(rung);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    wrong.concat()
}

#[test]
fn a_rung_without_a_gap_is_refused_with_both_numbers() {
    assert_eq!(
        problem(rung("load >= 70%", "load < 70% for 30s")),
        "rung[0].exit: leave a gap, such as load < 63%; it says load < 70% for 30s, and enter says load >= 70%: \
         it would be entered and left by noise"
    );
    let upwards = problem(rung("hit(cache) < 50%", "hit(cache) >= 50%"));
    assert!(upwards.contains("such as hit(cache) >= 55%; it says hit(cache) >= 50%, and enter says hit"));
    for (enter, exit) in [
        ("up(backends) == 0%", "up(backends) > 0%"),
        ("p95(x) > 100ms or breaker(x) != closed", "p95(x) <= 100ms"),
        ("load > 3", "load <= 3 and store == up"),
        ("errors(x) != 0", "errors(x) == 0"),
    ] {
        assert!(problem(rung(enter, exit)).contains("exit: leave a gap"), "{enter} / {exit}");
    }
}

#[test]
fn an_exit_that_holds_together_with_enter_is_refused() {
    let wrong = problem(rung("load > 70%", "load < 80%"));
    assert_eq!(
        wrong,
        "rung[0].exit: use what cannot be while enter holds; it says load < 80%, and enter says load > 70%: both \
         can hold"
    );
    for (enter, exit) in [
        ("load >= 70%", "load <= 70%"),
        ("load > 70%", "load > 90%"),
        ("breaker(x) != closed", "breaker(x) != open"),
        ("load > 70%", "load < 60% or load < 75%"),
        ("store == down", "store == down for 10s"),
    ] {
        assert!(problem(rung(enter, exit)).contains("both can hold"), "{enter} / {exit}");
    }
}

#[test]
fn what_keeps_its_distance_by_any_shared_signal_is_fine() {
    for (enter, exit) in [
        ("p95(x) > 100ms for 10s or breaker(x) != closed", "p95(x) < 60ms for 30s"),
        ("store == down", "store == up"),
        ("store == down", "store != down"),
        ("store == down and cache == empty", "store == up or cache == filled"),
        ("load > 70% and store == down", "load < 80% and store == up"),
        ("unreachable(region) > 50%", "failover(region) == home"),
        ("load > 70%", "load < 69.9%"),
        ("load > 1.2", "load < 60%"),
    ] {
        assert_eq!(check(rung(enter, exit)), Vec::<String>::new(), "{enter} / {exit}");
    }
}

#[test]
fn a_condition_that_can_never_hold_is_refused() {
    let share = problem(rung("hit(x) < 50%", "hit(x) > 100%"));
    assert!(
        share.starts_with("rung[0].exit: use what can happen; it says hit(x) > 100%, which is never true")
            && share.contains("at most 100%"),
        "{share}"
    );
    for (enter, exit) in [
        ("load > 70%", "load < 0"),
        ("load > 70%", "load < 0%"),
        ("load > 70% and load < 60%", "load < 50%"),
        ("load > 70%", "store == up and store == down and load < 60%"),
        ("load > 70%", "store == up and store != up"),
        ("load > 70%", "load == 3 and load != 3"),
        ("load > 70%", "load == high and load < 60%"),
        ("load > 120%", "load < 60%"),
    ] {
        assert!(problem(rung(enter, exit)).contains("never true"), "{enter} / {exit}");
    }
}

#[test]
fn levels_ascend_and_names_are_unique() {
    let rungs = [good(), good(), Rung { level: 9, name: " ".into(), ..good() }];
    assert_eq!(
        Policy { rung: rungs.into() }.check(),
        [
            "rung[1].level: use more than the rung before has, which is 1; it says 1",
            "rung[1].name: use one of its own; \"busy\" is taken by a rung before it",
            "rung[2].name: say in 1 to 64 characters what has happened",
        ]
    );
    assert_eq!(problem(Rung { level: 0, ..good() }), "rung[0].level: use 1 or more; 0 is normal operation");
}

#[test]
fn dwell_is_a_second_to_an_hour_and_grace_at_most_an_hour() {
    let dwell = |seconds: f64| Rung { dwell: Duration::from_secs_f64(seconds), ..good() };
    assert!(problem(dwell(0.0)).contains("dwell: use 1s to 1h, mostly 30s; it says 0s"));
    assert!(problem(dwell(0.999)).contains("it says 999ms"));
    assert!(problem(dwell(3_601.0)).contains("it says 1h1s"));
    assert!(check(dwell(1.0)).is_empty() && check(dwell(3_600.0)).is_empty());
    let grace = Rung { grace: DWELL_MAX + Duration::from_secs(1), ..good() };
    assert!(problem(grace).contains("grace: use at most 1h; it says 1h1s"));
}

#[test]
fn a_rung_says_when_or_is_manual_and_not_both() {
    let silent = Rung { enter: None, exit: None, ..good() };
    assert_eq!(check(silent.clone()).len(), 2);
    assert!(
        check(silent.clone())[1].starts_with("rung[0].exit: say when, such as \"load >= 70% for 30s\"; or")
    );
    assert!(check(Rung { manual: true, ..silent }).is_empty());
    assert!(problem(Rung { manual: true, ..good() }).contains("manual: leave it out"));
    assert!(problem(Rung { exit: None, ..good() }).contains("exit: say when"));
}

#[test]
fn effects_are_feature_equals_mode_each_feature_once() {
    let with = |effects: &[&str]| Rung { effects: effects.iter().map(|e| (*e).into()).collect(), ..good() };
    assert_eq!(check(with(&["a=b", "c.d-e_f=4x"])), Vec::<String>::new());
    assert!(problem(with(&[])).contains("effects: name 1 to 16, such as \"search=off\"; there are 0"));
    for bad in ["", "search", "=off", "search=", "search=off=on", "sea rch=off", "search=äus"] {
        let wrong = problem(with(&["a=b", bad]));
        assert!(
            wrong.starts_with("rung[0].effects[1]: write feature=mode") && wrong.contains(bad),
            "{wrong}"
        );
    }
    assert!(problem(with(&["a=b", "a=c"])).contains("effects[1]: say once what becomes of a"));
    let many: Vec<String> = (0..=EFFECTS_MAX).map(|i| format!("f{i}=off")).collect();
    assert!(problem(Rung { effects: many, ..good() }).contains("there are 17"));
}

#[test]
fn there_are_1_to_16_rungs() {
    assert!(Policy::default().check()[0].contains("rung: describe at least one"));
    let rung = |level: u8| Rung { level, name: format!("rung {level}"), ..good() };
    let rungs = |n: usize| Policy { rung: (1..=n as u8).map(rung).collect() };
    assert_eq!(rungs(RUNGS_MAX).check(), Vec::<String>::new());
    assert_eq!(rungs(RUNGS_MAX + 1).check(), ["rung: use at most 16; there are 17"]);
}

#[test]
fn every_problem_is_told_at_once() {
    let bad =
        Rung { level: 0, dwell: Duration::ZERO, effects: vec!["x".into()], ..rung("load > 1", "load > 2") };
    assert_eq!(check(bad).len(), 4);
}

#[test]
fn every_preset_survives_the_file() {
    for name in PRESETS {
        let text = toml::to_string(&policy(name)).unwrap();
        assert_eq!(toml::from_str::<Policy>(&text).unwrap(), policy(name), "{text}");
    }
    let text = toml::to_string(&policy("s1-feed")).unwrap();
    assert!(
        text.contains("enter = \"p95(ranking) > 100ms for 10s or breaker(ranking) != closed\""),
        "{text}"
    );
    assert!(text.contains("grace = \"2m\"") && !text.contains("manual"), "{text}");
}

#[test]
fn a_file_says_which_value_is_wrong_and_knows_no_other_keys() {
    let error = toml::from_str::<Policy>("[[rung]]\nenter = 'load >> 70%'").unwrap_err().to_string();
    assert!(
        error.contains("enter = 'load >> 70%'") && error.contains("column 7: a value is missing"),
        "{error}"
    );
    for unknown in ["[[rungs]]", "[[rung]]\nshed = 1"] {
        assert!(toml::from_str::<Policy>(unknown).unwrap_err().to_string().contains("unknown field"));
    }
}

#[test]
fn a_ladder_explains_itself_in_sentences_with_its_own_numbers() {
    let told = policy("s1-feed").explain();
    for sentence in [
        "Level 1, ranking degraded, is entered when p95(ranking) has been above 100ms for 10s, or when \
         breaker(ranking) is not closed.",
        "It is left when p95(ranking) has been below 60ms for 30s, and not while what enters it still holds.",
        "Once entered it stays for at least 30s, and once left it is not entered again for 30s.",
        "While it is active, ranking is light, ranking-fallback is cached and candidates is half.",
        "It is not entered within 2m of the start or of a planned disturbance, such as a purge.",
        "p95(ranking) is the time within which 95 of 100 calls to ranking end.",
        "hit(feed-cache) is the share of look-ups that feed-cache answers.",
    ] {
        assert!(told.iter().any(|line| line == sentence), "{sentence}\n{told:#?}");
    }
    let manual = policy("s0-chat-verbatim").explain();
    assert_eq!(manual[0], "Level 1, high load, is entered and left by an operator's pin alone.");
    for name in PRESETS {
        assert!(preset(name).unwrap().explain().iter().all(|line| line.ends_with('.')), "{name}");
    }
}
