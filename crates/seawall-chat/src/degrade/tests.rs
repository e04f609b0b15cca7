use super::*;

const UP: Signals = Signals { load: Some(0.0), has_owner: true };

fn ladder() -> Ladder {
    let ladder = Ladder::new(Policy::s0_chat(), Mono(0), &Scope::new("chat"));
    ladder.lock().is_started = true;
    ladder
}

fn busy(load: f64) -> Signals {
    Signals { load: Some(load), ..UP }
}

/// Steps once a second, from a second to another.
fn run(ladder: &Ladder, seconds: std::ops::RangeInclusive<u64>, seen: Signals) {
    for second in seconds {
        ladder.step(Mono(second * 1_000_000_000), seen);
    }
}

#[test]
fn each_tier_gives_up_its_features_and_keeps_the_others() {
    let none = Effects::default();
    let tier_1 = Effects { search: Mode::Slow, typing_delayed: true, ..none };
    let tier_2 = Effects { search: Mode::Off, reactions_delayed: true, ..tier_1 };
    let tier_3 = Effects { presence_off: true, history_limited: true, ..tier_2 };
    for (load, level, effects) in [
        (0.0, 0, none),
        (0.69, 0, none),
        (0.70, 1, tier_1),
        (0.84, 1, tier_1),
        (0.85, 2, tier_2),
        (0.94, 2, tier_2),
        (0.95, 3, tier_3),
        (9.0, 3, tier_3),
    ] {
        let ladder = ladder();
        run(&ladder, 1..=29, busy(load));
        assert_eq!((ladder.report().level, ladder.effects()), (0, none), "{load}: not yet");
        run(&ladder, 30..=31, busy(load));
        assert_eq!((ladder.report().level, ladder.effects()), (level, effects), "{load}");
        run(&ladder, 32..=100, UP);
        assert_eq!((ladder.report().level, ladder.effects()), (0, none), "{load}: over");
    }
}

#[test]
fn tier_4_comes_when_nobody_owns_the_guilds_for_long_or_when_pinned() {
    let ladder = ladder();
    let lost = Signals { has_owner: false, ..UP };
    run(&ladder, 1..=14, lost);
    assert_eq!(ladder.effects(), Effects::default());
    assert_eq!(*ladder.state().borrow(), State::Degraded(NO_OWNER.into()));
    run(&ladder, 15..=16, lost);
    assert_eq!(ladder.effects(), Effects { silent: true, ..Effects::default() });
    run(&ladder, 17..=60, UP);
    assert_eq!((ladder.effects(), ladder.state().borrow().clone()), (Effects::default(), State::Ready));

    ladder.pin(Some(4), Mono(61_000_000_000)).unwrap();
    let all = Effects {
        search: Mode::Off,
        typing_delayed: true,
        reactions_delayed: true,
        presence_off: true,
        history_limited: true,
        silent: true,
    };
    assert_eq!((ladder.effects(), ladder.report().pinned), (all, Some(4)));
    let unknown = ladder.pin(Some(5), Mono(62_000_000_000)).unwrap_err();
    assert!(unknown.to_string().contains("1, 2, 3, 4"), "{unknown}");
    ladder.pin(None, Mono(63_000_000_000)).unwrap();
    assert_eq!((ladder.effects(), ladder.report().pinned), (Effects::default(), None));
}

#[test]
fn what_is_given_up_is_said_and_counted() {
    let metrics = Scope::new("chat");
    let ladder = Ladder::new(Policy::s0_chat(), Mono(0), &metrics);
    ladder.step(Mono(1), UP);
    assert_eq!(*ladder.state().borrow(), State::Starting("opening the store"));
    ladder.lock().is_started = true;
    ladder.step(Mono(2), UP);
    assert_eq!(*ladder.state().borrow(), State::Ready);
    ladder.pin(Some(2), Mono(3)).unwrap();
    assert_eq!(
        ladder.state().borrow().to_string(),
        "degraded: tier 1, high load: search=slow, typing=delayed; \
         tier 2, partial outage: search=off, reactions=delayed"
    );
    assert!(ladder.state().borrow().is_ready());
    assert!(metrics.encode().contains("seawall_chat_ladder_level 2\n"), "{}", metrics.encode());
}

#[test]
fn where_nobody_measures_the_load_nothing_is_given_up_for_it() {
    let ladder = ladder();
    run(&ladder, 1..=100, Signals { load: None, has_owner: true });
    assert_eq!(ladder.effects(), Effects::default());
}
