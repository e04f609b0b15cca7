//! The chat document's load shedding, line by line.

use std::time::Duration;

use proptest::prelude::*;
use seawall_policy::priority::Priority::{self, P0, P1, P2, P3, P4};
use seawall_policy::shed::{self, COHORTS, Choose, Core, Decision, Load, Policy, Shares, Shedder, Step};
use seawall_policy::{Mono, Wall};

const HOUR: i64 = 3_600_000;

/// The share of 10,000 requests of a class that is let in, late or not.
fn admitted(load: f64, class: Priority) -> f64 {
    let mut core = Core::new(&Policy::s0_chat());
    let let_in = (0..10_000).filter(|_| core.decide(load, class, None) != Decision::Reject).count();
    let_in as f64 / 10_000.0
}

fn admitted_of_each(load: f64) -> [f64; 5] {
    Priority::ALL.map(|class| (admitted(load, class) * 1000.0).round() / 1000.0)
}

#[test]
fn below_seventy_per_cent_everything_is_allowed() {
    assert_eq!(admitted_of_each(0.0), [1.0; 5]);
    assert_eq!(admitted_of_each(0.6999), [1.0; 5]);
    assert!(admitted(0.70, P4) < 1.0);
}

#[test]
fn below_eighty_five_per_cent_half_of_analytics_is_rejected() {
    for load in [0.70, 0.8499] {
        assert_eq!(admitted_of_each(load), [1.0, 1.0, 1.0, 1.0, 0.5]);
    }
    assert!(admitted(0.85, P3) < 1.0);
}

#[test]
fn below_ninety_five_per_cent_search_and_analytics_are_rejected() {
    for load in [0.85, 0.9499] {
        assert_eq!(admitted_of_each(load), [1.0, 1.0, 1.0, 0.0, 0.0]);
    }
    assert!(admitted(0.95, P2) < 1.0);
}

#[test]
fn below_ninety_five_per_cent_typing_is_delayed_by_250_ms_and_nothing_else_is() {
    let mut core = Core::new(&Policy::s0_chat());
    for load in [0.85, 0.9499] {
        let told = Priority::ALL.map(|class| core.decide(load, class, None));
        let late = Decision::Delay(Duration::from_millis(250));
        assert_eq!(told, [Decision::Admit, Decision::Admit, late, Decision::Reject, Decision::Reject]);
    }
    for load in [0.0, 0.70, 0.8499] {
        assert_eq!(core.decide(load, P2, None), Decision::Admit);
    }
}

#[test]
fn from_ninety_five_per_cent_typing_search_and_analytics_are_rejected_and_one_presence_update_in_ten_stays() {
    for load in [0.95, 1.0, 7.0, f64::INFINITY] {
        assert_eq!(admitted_of_each(load), [1.0, 0.1, 0.0, 0.0, 0.0]);
    }
}

#[test]
fn messages_are_let_in_at_any_load() {
    let shedder = Shedder::new(Policy::s0_chat());
    for load in [0.0, 0.69, 0.84, 0.94, 0.95, 1.0, 100.0] {
        assert_eq!(admitted(load, P0), 1.0);
        assert_eq!(shedder.decide(P0, None, load), Decision::Admit);
    }
}

#[test]
fn the_tenth_that_stays_is_spread_evenly_and_has_no_runs() {
    let mut core = Core::new(&Policy::s0_chat());
    let let_in: Vec<usize> = (0..10_000).filter(|_| core.decide(1.0, P1, None) == Decision::Admit).collect();
    let gaps: Vec<usize> = let_in.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (5..=15).contains(gap)), "{:?}", gaps.iter().max());
}

#[test]
fn a_step_ends_as_soon_as_the_load_falls() {
    let mut core = Core::new(&Policy::s0_chat());
    assert_eq!(core.decide(0.99, P3, None), Decision::Reject);
    assert_eq!(core.decide(0.69, P3, None), Decision::Admit);
}

#[test]
fn load_is_the_highest_of_requests_in_flight_queue_wait_over_20_ms_and_processor() {
    let policy = Policy::s0_chat();
    let load = |in_flight, wait_ms, cpu| {
        policy.load(Load { in_flight, queue_wait: Duration::from_millis(wait_ms), cpu })
    };
    assert_eq!(load(0.5, 0, 0.1), 0.5);
    assert_eq!(load(0.5, 20, 0.1), 1.0);
    assert!((load(0.5, 17, 0.1) - 0.85).abs() < 1e-9);
    assert_eq!(load(0.5, 10, 0.9), 0.9);
    assert_eq!(load(f64::NAN, 0, f64::NAN), 0.0);
}

#[test]
fn what_was_observed_holds_until_the_next_time_and_requests_in_flight_at_once() {
    let shedder = Shedder::new(Policy::s0_chat());
    assert_eq!(shedder.decide(P3, None, 0.0), Decision::Admit);
    shedder.observe(Load { cpu: 0.9, ..Load::default() }, Wall(0));
    assert_eq!(shedder.decide(P3, None, 0.0), Decision::Reject);
    assert_eq!(shedder.load(0.0), 0.9);
    shedder.observe(Load::default(), Wall(0));
    assert_eq!(shedder.decide(P3, None, 0.0), Decision::Admit);
    assert_eq!(shedder.decide(P3, None, 0.85), Decision::Reject);
}

#[test]
fn reconnecting_clients_are_let_in_at_any_load_but_only_2_000_a_second() {
    let shedder = Shedder::new(Policy::s0_chat());
    shedder.observe(Load { cpu: 1.0, ..Load::default() }, Wall(0));
    // A gateway died: all of its 80,000 come back at once, and then exactly when they are told to.
    let second = 1_000_000_000;
    let mut waiting: Vec<u64> = vec![second; 80_000];
    let (mut let_in, mut asked) = (Vec::new(), 0);
    while !waiting.is_empty() {
        asked += waiting.len();
        waiting.retain_mut(|at| match shedder.reconnect(Mono(*at)) {
            Ok(()) => {
                let_in.push(*at);
                false
            }
            Err(used_up) => {
                assert!(used_up.retry_at.0 > *at);
                *at = used_up.retry_at.0;
                true
            }
        });
        waiting.sort_unstable();
    }
    let at_once = let_in.iter().filter(|at| **at == second).count();
    assert_eq!(at_once, 200);
    let worst =
        (1..60).map(|s| let_in.iter().filter(|at| (s * second..(s + 1) * second).contains(*at)).count());
    assert!(worst.max().unwrap() <= 2_200);
    let last = let_in.iter().max().unwrap() - second;
    assert!(last >= 39 * second && last <= 41 * second, "the last after {} s", last / second);
    assert!(asked < 2 * 80_000 + 2_000, "nearly everyone came twice, not more: {asked}");
}

#[test]
fn an_hour_long_half_of_the_callers_stay_and_the_next_hour_other_ones() {
    let policy = Policy { choose: Choose::Cohort, ..Policy::s0_chat() };
    let mut core = Core::new(&policy);
    let mut in_at = |hour: i64| -> Vec<u64> {
        core.at(Wall(hour * HOUR));
        let first: Vec<u64> =
            (0..10_000).filter(|who| core.decide(0.8, P4, Some(*who)) == Decision::Admit).collect();
        let again = (0..10_000).filter(|who| core.decide(0.8, P4, Some(*who)) == Decision::Admit);
        assert!(again.eq(first.iter().copied()), "whoever is in stays in");
        first
    };
    let (one, two) = (in_at(1), in_at(2));
    for stay in [&one, &two] {
        assert!((4_700..5_300).contains(&stay.len()), "{}", stay.len());
    }
    let both = one.iter().filter(|who| two.binary_search(who).is_ok()).count();
    assert!((2_300..2_700).contains(&both), "{both} were in twice: chance is 2,500");
}

#[test]
fn cohorts_are_one_hundred_and_twenty_eight() {
    assert_eq!(COHORTS, 128);
    // A share below one cohort drops nobody; one cohort is 1/128 of the callers.
    let dropped = |share: f64| {
        let step = Step { below: None, drop: Shares { p4: share, ..Shares::default() }, ..Step::default() };
        let policy = Policy { steps: vec![step], choose: Choose::Cohort, ..Policy::s0_chat() };
        let mut core = Core::new(&policy);
        (0..100_000).filter(|who| core.decide(0.0, P4, Some(*who)) == Decision::Reject).count()
    };
    assert!((600..970).contains(&dropped(1.0 / 128.0)), "{}", dropped(1.0 / 128.0));
    assert_eq!(dropped(1.0), 100_000);
}

#[test]
fn a_caller_without_a_name_is_sampled_also_where_cohorts_are_chosen() {
    let mut core = Core::new(&Policy { choose: Choose::Cohort, ..Policy::s0_chat() });
    let let_in = (0..1_000).filter(|_| core.decide(0.8, P4, None) == Decision::Admit).count();
    assert!((495..=505).contains(&let_in), "{let_in}");
}

#[test]
fn the_chat_documents_reconnects_are_smoothed_to_its_own_rate() {
    assert_eq!(Policy::s0_chat().reconnect, seawall_policy::rate::Policy::s0_reconnect());
    assert_eq!(shed::preset("s0-chat"), Some(Policy::s0_chat()));
    assert!(shed::PRESETS.iter().all(|name| shed::preset(name).is_some()));
    assert_eq!(shed::preset("s9"), None);
}

#[test]
fn the_schema_reads_as_it_is_documented() {
    let policy: Policy = toml::from_str(
        "choose = 'sample'
         queue_wait_max = '20ms'
         steps = [
           { below = 0.70 },
           { below = 0.85, drop = { p4 = 0.5 } },
           { below = 0.95, drop = { p3 = 1.0, p4 = 1.0 }, delay = { p2 = '250ms' } },
           { drop = { p1 = 0.9, p2 = 1.0, p3 = 1.0, p4 = 1.0 } },
         ]",
    )
    .unwrap();
    assert_eq!(policy, Policy::s0_chat());
    assert_eq!(policy.check(), Vec::<String>::new());
    let text = toml::to_string(&policy).unwrap();
    assert_eq!(toml::from_str::<Policy>(&text).unwrap(), policy, "{text}");
    assert!(toml::from_str::<Policy>("steps = [ { drop = { p0 = 0.1 } } ]").is_err(), "P0 cannot be shed");
}

#[test]
fn steps_that_let_more_in_under_more_load_are_refused_with_their_numbers() {
    let drop = |p3, p4| Shares { p3, p4, ..Shares::default() };
    let step = |below, drop| Step { below, drop, ..Step::default() };
    let policy = |steps| Policy { steps, ..Policy::s0_chat() };
    let wrong = policy(vec![
        step(Some(0.9), drop(0.0, 0.5)),
        step(Some(0.8), drop(0.0, 0.2)),
        step(None, drop(0.0, 1.0)),
    ])
    .check();
    assert!(
        wrong.iter().any(|w| w.contains("steps[1].below") && w.contains("0.9") && w.contains("0.8")),
        "{wrong:?}"
    );
    assert!(wrong.iter().any(|w| w.contains("steps[1].drop.p4") && w.contains("0.5")), "{wrong:?}");
    let wrong = policy(vec![step(None, drop(0.5, 0.2))]).check();
    assert!(wrong[0].contains("steps[0].drop.p4"), "what matters less goes first: {wrong:?}");
    assert!(policy(vec![]).check()[0].contains("steps"));
    assert!(policy(vec![step(Some(0.5), drop(0.0, 0.0))]).check()[0].contains("above 0.5 nothing is said"));
    let wrong = policy(vec![step(None, drop(0.0, 1.5))]).check();
    assert!(wrong[0].contains("1.5"), "{wrong:?}");
}

#[test]
fn it_explains_itself_with_its_numbers() {
    let told = Policy::s0_chat().explain().join("\n");
    for words in [
        "20ms",
        "Below a load of 70 % everything is let in.",
        "50 % of P4 is refused",
        "P2 waits 250ms, P3 is refused",
        "90 % of P1 is refused",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

proptest! {
    #[test]
    fn threads_aside_the_shared_form_decides_as_the_core(
        asks in proptest::collection::vec((0.0..1.5f64, 0usize..5, proptest::option::of(0u64..50)), 1..300),
        by_cohort: bool,
        hours in 0i64..1_000_000,
    ) {
        let choose = if by_cohort { Choose::Cohort } else { Choose::Sample };
        let policy = Policy { choose, ..Policy::s0_chat() };
        let (mut core, shedder) = (Core::new(&policy), Shedder::new(policy));
        core.at(Wall(hours * HOUR));
        shedder.observe(Load::default(), Wall(hours * HOUR));
        for (load, class, who) in asks {
            let class = Priority::ALL[class];
            prop_assert_eq!(shedder.decide(class, who, load), core.decide(load, class, who));
        }
    }

    #[test]
    fn more_load_never_lets_more_in(low in 0.0..1.2f64, more in 0.0..1.2f64, class in 0usize..5) {
        let class = Priority::ALL[class];
        prop_assert!(admitted(low, class) >= admitted(low + more, class));
    }
}
