//! The ladders' promises, each beginning with a document's number.

mod check;
mod machine;
mod properties;

use std::time::Duration;

use seawall_policy::Mono;
use seawall_policy::ladder::condition::{Signal, Value};
use seawall_policy::ladder::{Core, PRESETS, Policy, Transition, preset};

/// What the signals say; the others are unknown.
type Says<'a> = &'a [(&'a str, Said)];

#[derive(Clone, Copy)]
enum Said {
    N(f64),
    W(&'static str),
}
use Said::{N, W};

const fn at(seconds: u64) -> Mono {
    Mono(seconds * 1_000_000_000)
}

fn read(says: Says<'_>, signal: &Signal) -> Option<Value> {
    let name = signal.to_string();
    says.iter().find(|(known, _)| *known == name).map(|(_, said)| match *said {
        N(number) => Value::from(number),
        W(word) => Value::from(word),
    })
}

fn step(core: &mut Core, second: u64, says: Says<'_>) -> Vec<Transition> {
    core.step(at(second), |signal| read(says, signal))
}

fn policy(name: &str) -> Policy {
    preset(name).unwrap_or_else(|| panic!("no preset {name}"))
}

fn is_active(core: &Core, level: u8) -> bool {
    core.active().any(|rung| rung.level == level)
}

/// The second at which a level is entered when it has been so from the start; `None` if not within two hours.
fn entered(name: &str, level: u8, says: Says<'_>) -> Option<u64> {
    let mut core = Core::new(policy(name), at(0));
    (0..7_200).find(|s| {
        step(&mut core, *s, says);
        is_active(&core, level)
    })
}

/// After an hour of trouble: how many seconds later the level is left.
fn left(name: &str, level: u8, trouble: Says<'_>, then: Says<'_>) -> Option<u64> {
    let mut core = Core::new(policy(name), at(0));
    (0..3_600).for_each(|s| drop(step(&mut core, s, trouble)));
    assert!(is_active(&core, level), "{name} {level} was never entered");
    (0..7_200).find(|s| {
        step(&mut core, 3_600 + s, then);
        !is_active(&core, level)
    })
}

/// Level, name, dwell and grace of each rung.
fn rungs(name: &str) -> Vec<(u8, String, u64, u64)> {
    let policy = policy(name);
    assert_eq!(policy.check(), Vec::<String>::new());
    let rungs = policy.rung.into_iter();
    rungs.map(|rung| (rung.level, rung.name, rung.dwell.as_secs(), rung.grace.as_secs())).collect()
}

fn rung(level: u8, name: &str, dwell: u64, grace: u64) -> (u8, String, u64, u64) {
    (level, name.to_owned(), dwell, grace)
}

/// The effects of a level, written as in the file.
fn effects(name: &str, level: u8) -> Vec<String> {
    policy(name).rung.into_iter().find(|rung| rung.level == level).expect("a level").effects
}

#[test]
fn the_presets_have_the_names_of_their_documents_and_pass_their_own_check() {
    let names = [
        "s0-chat",
        "s0-chat-verbatim",
        "s1-feed",
        "s1-feed-verbatim",
        "s1-shard",
        "s3-balancer",
        "s4-client",
        "s4-client-closed",
        "s4-client-closed-verbatim",
    ];
    assert_eq!(PRESETS, names);
    for name in names {
        assert_eq!(policy(name).check(), Vec::<String>::new(), "{name}");
    }
    assert_eq!(preset("s2-links"), None, "the link document has no ladder");
}

// Chat (S0), Feature Degradation Tiers.

#[test]
fn chat_tiers_are_one_to_four_and_dwell_for_thirty_seconds() {
    let tiers = [
        rung(1, "high load", 30, 0),
        rung(2, "partial outage", 30, 0),
        rung(3, "major outage", 30, 0),
        rung(4, "critical", 30, 0),
    ];
    assert_eq!(rungs("s0-chat"), tiers);
    assert_eq!(rungs("s0-chat-verbatim"), tiers);
}

#[test]
fn tier_1_at_a_load_of_70_percent_for_thirty_seconds_slows_search_and_typing() {
    assert_eq!(entered("s0-chat", 1, &[("load", N(0.70))]), Some(30));
    assert_eq!(entered("s0-chat", 1, &[("load", N(0.699))]), None);
    assert_eq!(left("s0-chat", 1, &[("load", N(0.70))], &[("load", N(0.599))]), Some(30));
    assert_eq!(left("s0-chat", 1, &[("load", N(0.70))], &[("load", N(0.60))]), None);
    let mut core = Core::new(policy("s0-chat"), at(0));
    (0..=30).for_each(|s| drop(step(&mut core, s, &[("load", N(0.80))])));
    assert_eq!(
        (core.level(), core.effect("search"), core.effect("typing")),
        (1, Some("slow"), Some("delayed"))
    );
    assert_eq!((core.effect("messages"), core.effect("presence")), (None, None), "preserved");
}

#[test]
fn tier_2_at_85_percent_switches_search_off_and_delays_reactions() {
    assert_eq!(entered("s0-chat", 2, &[("load", N(0.85))]), Some(30));
    assert_eq!(entered("s0-chat", 2, &[("load", N(0.849))]), None);
    assert_eq!(left("s0-chat", 2, &[("load", N(0.85))], &[("load", N(0.749))]), Some(30));
    assert_eq!(left("s0-chat", 2, &[("load", N(0.85))], &[("load", N(0.75))]), None);
    let mut core = Core::new(policy("s0-chat"), at(0));
    (0..=30).for_each(|s| drop(step(&mut core, s, &[("load", N(0.90))])));
    assert_eq!(
        (core.level(), core.effect("search")),
        (2, Some("off")),
        "tier 1 says slow, the higher one decides"
    );
    assert_eq!((core.effect("reactions"), core.effect("typing")), (Some("delayed"), Some("delayed")));
    assert_eq!(core.effect("messages"), None, "preserved");
}

#[test]
fn tier_3_at_95_percent_switches_presence_off_and_limits_history() {
    assert_eq!(entered("s0-chat", 3, &[("load", N(0.95))]), Some(30));
    assert_eq!(entered("s0-chat", 3, &[("load", N(0.949))]), None);
    assert_eq!(left("s0-chat", 3, &[("load", N(0.95))], &[("load", N(0.849))]), Some(30));
    assert_eq!(left("s0-chat", 3, &[("load", N(0.95))], &[("load", N(0.85))]), None);
    let mut core = Core::new(policy("s0-chat"), at(0));
    (0..=30).for_each(|s| drop(step(&mut core, s, &[("load", N(1.2))])));
    assert_eq!(
        (core.level(), core.effect("presence"), core.effect("history")),
        (3, Some("off"), Some("limited"))
    );
    assert_eq!((core.effect("messages"), core.effect("real-time")), (None, None), "preserved");
}

#[test]
fn tier_4_comes_with_the_loss_of_the_bus_or_an_operator_and_never_with_load() {
    assert_eq!(entered("s0-chat", 4, &[("load", N(9.0))]), None);
    assert_eq!(entered("s0-chat", 4, &[("bus", W("lost"))]), Some(15));
    assert_eq!(left("s0-chat", 4, &[("bus", W("lost"))], &[("bus", W("up"))]), Some(30));
    let mut core = Core::new(policy("s0-chat"), at(0));
    core.pin_level(Some(4)).unwrap();
    step(&mut core, 1, &[]);
    assert_eq!((core.effect("real-time"), core.effect("delivery")), (Some("off"), Some("push-only")));
    assert_eq!(core.effect("messages"), Some("queued"));
}

#[test]
fn the_tiers_to_the_letter_have_no_number_so_an_operator_judges() {
    let policy = policy("s0-chat-verbatim");
    assert!(policy.rung.iter().all(|rung| rung.manual && rung.enter.is_none() && rung.exit.is_none()));
    assert_eq!(entered("s0-chat-verbatim", 1, &[("load", N(9.0))]), None);
}

// Feed (S1), Graceful Degradation Levels.

#[test]
fn feed_levels_are_one_to_four_and_dwell_for_thirty_seconds() {
    let levels = [
        rung(1, "ranking degraded", 30, 0),
        rung(2, "feed cache degraded", 30, 120),
        rung(3, "graph degraded", 30, 0),
        rung(4, "regional failover", 30, 0),
    ];
    assert_eq!(rungs("s1-feed"), levels);
    assert_eq!(rungs("s1-shard"), [rung(3, "shard degraded", 30, 0)]);
    let verbatim = levels.map(|(level, name, _, _)| (level, name, 1, 0));
    assert_eq!(rungs("s1-feed-verbatim"), verbatim, "the least dwell there is, and no grace");
}

#[test]
fn level_1_at_a_p95_above_100_ms_for_10_seconds_and_out_below_60_for_30() {
    let slow: Says<'_> = &[("p95(ranking)", N(0.1001)), ("breaker(ranking)", W("closed"))];
    assert_eq!(entered("s1-feed", 1, slow), Some(10));
    assert_eq!(entered("s1-feed", 1, &[("p95(ranking)", N(0.1))]), None, "100 ms is not above 100 ms");
    assert_eq!(left("s1-feed", 1, slow, &[("p95(ranking)", N(0.0599))]), Some(30));
    assert_eq!(left("s1-feed", 1, slow, &[("p95(ranking)", N(0.06))]), None);
}

#[test]
fn level_1_at_once_when_the_ranking_breaker_is_not_closed_and_never_left_meanwhile() {
    let open: Says<'_> = &[("breaker(ranking)", W("open"))];
    assert_eq!(entered("s1-feed", 1, open), Some(0));
    assert_eq!(entered("s1-feed", 1, &[("breaker(ranking)", W("half-open"))]), Some(0));
    assert_eq!(entered("s1-feed", 1, &[("breaker(ranking)", W("closed"))]), None);
    let probing: Says<'_> = &[("breaker(ranking)", W("half-open")), ("p95(ranking)", N(0.01))];
    assert_eq!(left("s1-feed", 1, open, probing), None, "two quick probes are no recovery");
    let well: Says<'_> = &[("breaker(ranking)", W("closed")), ("p95(ranking)", N(0.01))];
    assert_eq!(left("s1-feed", 1, open, well), Some(30));
}

#[test]
fn level_1_takes_the_light_model_then_cached_scores_and_half_the_candidates() {
    let effects = effects("s1-feed", 1);
    assert_eq!(effects, ["ranking=light", "ranking-fallback=cached", "candidates=half"]);
}

#[test]
fn level_2_below_50_percent_of_hits_and_out_above_60_and_not_within_120_seconds_of_the_start() {
    let cold: Says<'_> = &[("hit(feed-cache)", N(0.499))];
    assert_eq!(entered("s1-feed", 2, cold), Some(120));
    assert_eq!(entered("s1-feed", 2, &[("hit(feed-cache)", N(0.5))]), None);
    assert_eq!(left("s1-feed", 2, cold, &[("hit(feed-cache)", N(0.601))]), Some(0), "it is a mean over 30 s");
    assert_eq!(left("s1-feed", 2, cold, &[("hit(feed-cache)", N(0.6))]), None);
    assert_eq!(effects("s1-feed", 2), ["ranking=chronological", "posts=bounded-pull", "cache-ttl=4x"]);
}

#[test]
fn level_2_is_not_entered_within_120_seconds_of_a_planned_purge() {
    let mut core = Core::new(policy("s1-feed"), at(0));
    let after: Vec<u64> = (1_000..2_000)
        .filter(|s| {
            if *s == 1_000 {
                core.disturbed(at(1_000));
            }
            !step(&mut core, *s, &[("hit(feed-cache)", N(0.1))]).is_empty()
        })
        .collect();
    assert_eq!(after, [1_120]);
}

#[test]
fn level_3_of_a_shard_above_1_percent_of_errors_and_out_below_two_tenths_for_60_seconds() {
    let failing: Says<'_> = &[("errors(shard)", N(0.0101))];
    assert_eq!(entered("s1-shard", 3, failing), Some(0), "10 s are the signal's own window");
    assert_eq!(entered("s1-shard", 3, &[("errors(shard)", N(0.01))]), None);
    assert_eq!(left("s1-shard", 3, failing, &[("errors(shard)", N(0.0019))]), Some(60));
    assert_eq!(left("s1-shard", 3, failing, &[("errors(shard)", N(0.002))]), None);
}

#[test]
fn level_3_of_the_site_only_when_more_than_20_percent_of_its_shards_are_degraded() {
    let many: Says<'_> = &[("degraded(shards)", N(0.201))];
    assert_eq!(entered("s1-feed", 3, many), Some(0));
    assert_eq!(entered("s1-feed", 3, &[("degraded(shards)", N(0.2)), ("errors(graph)", N(0.5))]), None);
    assert_eq!(left("s1-feed", 3, many, &[("degraded(shards)", N(0.099))]), Some(60));
    assert_eq!(left("s1-feed", 3, many, &[("degraded(shards)", N(0.1))]), None);
}

#[test]
fn level_3_serves_stale_data_takes_no_writes_and_shows_a_banner() {
    for name in ["s1-feed", "s1-shard", "s1-feed-verbatim"] {
        assert_eq!(effects(name, 3), ["reads=stale", "writes=off", "banner=connectivity-issues"]);
    }
}

#[test]
fn level_4_when_most_observers_lose_the_region_for_15_seconds_and_out_when_it_was_brought_home() {
    let lost: Says<'_> = &[("unreachable(region)", N(0.51)), ("failover(region)", W("routed"))];
    assert_eq!(entered("s1-feed", 4, lost), Some(15));
    assert_eq!(entered("s1-feed", 4, &[("unreachable(region)", N(0.5))]), None, "half is no quorum");
    let answers: Says<'_> = &[("unreachable(region)", N(0.0)), ("failover(region)", W("routed"))];
    assert_eq!(left("s1-feed", 4, lost, answers), None, "it was fenced: to answer is not to be right");
    assert_eq!(left("s1-feed", 4, lost, &[("failover(region)", W("home"))]), Some(0));
    assert_eq!(effects("s1-feed", 4), ["region=backup", "staleness=shown"]);
}

#[test]
fn the_levels_to_the_letter_are_entered_at_once_and_left_with_our_gap() {
    let name = "s1-feed-verbatim";
    for (level, trouble, not_yet, gone, not_gone) in [
        (1, &[("p95(ranking)", N(0.101))] as Says<'_>, &[("p95(ranking)", N(0.1))] as Says<'_>, 0.0599, 0.06),
        (2, &[("hit(feed-cache)", N(0.499))], &[("hit(feed-cache)", N(0.5))], 0.601, 0.6),
        (3, &[("errors(graph)", N(0.0101))], &[("errors(graph)", N(0.01))], 0.0019, 0.002),
    ] {
        assert_eq!(entered(name, level, trouble), Some(0), "level {level}");
        assert_eq!(entered(name, level, not_yet), None, "level {level}");
        for (value, expected) in [(gone, Some(0)), (not_gone, None)] {
            let then: Says<'_> = &[(trouble[0].0, N(value))];
            assert_eq!(left(name, level, trouble, then), expected, "level {level}");
        }
    }
    assert_eq!(entered(name, 4, &[("region", W("unreachable"))]), Some(0));
    assert_eq!(left(name, 4, &[("region", W("unreachable"))], &[("region", W("reachable"))]), Some(0));
    assert!((1..=2).all(|level| effects(name, level) == effects("s1-feed", level)));
}

// Balancer (S3), Graceful Degradation, and the attack of Disaster Scenarios and Response.

#[test]
fn balancer_rungs_dwell_for_thirty_seconds_and_for_ten_where_no_backend_is_left() {
    let scenarios = [
        rung(1, "health checker down", 30, 0),
        rung(2, "configuration store down", 30, 0),
        rung(3, "traffic spike", 30, 0),
        rung(4, "half of the backends down", 10, 0),
        rung(5, "all backends down", 10, 0),
    ];
    assert_eq!(rungs("s3-balancer"), scenarios);
}

#[test]
fn with_50_percent_of_the_backends_down_the_rest_carries_more_and_recovers_by_itself() {
    let half: Says<'_> = &[("up(backends)", N(0.5))];
    assert_eq!(entered("s3-balancer", 4, half), Some(0));
    assert_eq!(entered("s3-balancer", 4, &[("up(backends)", N(0.51))]), None);
    assert_eq!(left("s3-balancer", 4, half, &[("up(backends)", N(0.61))]), Some(10));
    assert_eq!(left("s3-balancer", 4, half, &[("up(backends)", N(0.6))]), None);
    assert_eq!(effects("s3-balancer", 4), ["traffic=to-the-rest"]);
}

#[test]
fn with_all_backends_down_any_is_tried_and_the_answer_is_cached_or_an_error_page() {
    let none: Says<'_> = &[("up(backends)", N(0.0))];
    assert_eq!(entered("s3-balancer", 5, none), Some(0));
    assert_eq!(entered("s3-balancer", 5, &[("up(backends)", N(0.01))]), None);
    assert_eq!(left("s3-balancer", 5, none, &[("up(backends)", N(0.11))]), Some(10));
    assert_eq!(left("s3-balancer", 5, none, &[("up(backends)", N(0.1))]), None);
    assert_eq!(effects("s3-balancer", 5), ["traffic=to-any", "answer=cached-or-error", "alert=on"]);
}

#[test]
fn with_the_configuration_store_down_the_cached_configuration_stays_and_someone_is_called() {
    assert_eq!(entered("s3-balancer", 2, &[("store", W("down"))]), Some(15));
    assert_eq!(left("s3-balancer", 2, &[("store", W("down"))], &[("store", W("up"))]), Some(15));
    assert_eq!(effects("s3-balancer", 2), ["configuration=cached", "alert=on"]);
}

#[test]
fn with_the_health_checker_down_the_current_state_is_kept() {
    assert_eq!(entered("s3-balancer", 1, &[("checker", W("down"))]), Some(15));
    assert_eq!(left("s3-balancer", 1, &[("checker", W("down"))], &[("checker", W("up"))]), Some(15));
    assert_eq!(effects("s3-balancer", 1), ["health=frozen", "checker=secondary", "alert=on"]);
    // What it no longer reports is unknown, and that moves no other rung in either direction.
    let blind: Says<'_> = &[("checker", W("down"))];
    assert_eq!(left("s3-balancer", 4, &[("up(backends)", N(0.3))], blind), None);
    assert_eq!(entered("s3-balancer", 4, blind), None);
}

#[test]
fn an_attack_is_more_than_four_times_the_usual_traffic_for_thirty_seconds() {
    let flood: Says<'_> = &[("spike(requests)", N(4.01))];
    assert_eq!(entered("s3-balancer", 3, flood), Some(30));
    assert_eq!(entered("s3-balancer", 3, &[("spike(requests)", N(4.0))]), None);
    assert_eq!(left("s3-balancer", 3, flood, &[("spike(requests)", N(1.99))]), Some(300));
    assert_eq!(left("s3-balancer", 3, flood, &[("spike(requests)", N(2.0))]), None);
    assert_eq!(effects("s3-balancer", 3), ["rate-limit=strict", "scrubbing=wanted", "alert=on"]);
}

// Registry client (S4), Client Fallback Strategies, Fail-Open vs. Fail-Closed.

#[test]
fn client_rungs_dwell_for_ten_seconds() {
    let open = [
        rung(1, "registry unreachable", 10, 0),
        rung(2, "static endpoints", 10, 0),
        rung(3, "nothing known", 10, 0),
    ];
    assert_eq!(rungs("s4-client"), open);
    let closed = [rung(1, "registry unreachable", 10, 0), rung(2, "discovery failed", 10, 0)];
    assert_eq!(rungs("s4-client-closed"), closed);
    assert_eq!(rungs("s4-client-closed-verbatim"), [rung(1, "discovery failed", 1, 0)]);
}

#[test]
fn a_client_goes_from_fresh_to_cached_to_static_to_an_empty_list() {
    let source = |says: Says<'_>| {
        let mut core = Core::new(policy("s4-client"), at(0));
        step(&mut core, 0, says);
        (
            core.level(),
            core.effect("instances").map(ToOwned::to_owned),
            core.effect("log").map(ToOwned::to_owned),
        )
    };
    let said = |level, instances: &str, log: &str| (level, Some(instances.to_owned()), Some(log.to_owned()));
    assert_eq!(
        source(&[("registry", W("up")), ("cache", W("empty")), ("static", W("empty"))]),
        (0, None, None)
    );
    let down = ("registry", W("down"));
    assert_eq!(source(&[("registry", W("down")), ("cache", W("filled"))]), said(1, "cached", "warn"));
    let no_cache: Says<'_> = &[down, ("cache", W("empty")), ("static", W("filled"))];
    assert_eq!(source(no_cache), said(2, "static", "warn"));
    let nothing: Says<'_> = &[down, ("cache", W("empty")), ("static", W("empty"))];
    assert_eq!(source(nothing), said(3, "none", "error"));
    for level in 1..=3 {
        assert_eq!(left("s4-client", level, nothing, &[("registry", W("up"))]), Some(10), "level {level}");
    }
    assert_eq!(left("s4-client", 2, nothing, &[("cache", W("filled"))]), Some(0));
    assert_eq!(left("s4-client", 3, nothing, &[("static", W("filled"))]), Some(0));
}

#[test]
fn fail_closed_refuses_when_nothing_is_cached_or_what_is_was_right_an_hour_ago() {
    let name = "s4-client-closed";
    assert_eq!(entered(name, 1, &[("registry", W("down"))]), Some(0));
    assert_eq!(left(name, 1, &[("registry", W("down"))], &[("registry", W("up"))]), Some(10));
    let old: Says<'_> = &[("registry", W("down")), ("cache", W("filled")), ("age(instances)", N(3_600.1))];
    assert_eq!(entered(name, 2, old), Some(0));
    assert_eq!(entered(name, 2, &[("registry", W("down")), ("age(instances)", N(3_600.0))]), None);
    assert_eq!(entered(name, 2, &[("registry", W("down")), ("cache", W("empty"))]), Some(0));
    assert_eq!(left(name, 2, old, &[("registry", W("up")), ("age(instances)", N(59.9))]), Some(10));
    assert_eq!(left(name, 2, old, &[("registry", W("up")), ("age(instances)", N(60.0))]), None);
    assert_eq!(effects(name, 1), ["instances=cached", "log=warn"]);
    assert_eq!(effects(name, 2), ["instances=refused", "log=error"]);
}

#[test]
fn fail_closed_to_the_letter_refuses_from_the_first_failure_on() {
    let name = "s4-client-closed-verbatim";
    assert_eq!(entered(name, 1, &[("registry", W("down")), ("cache", W("filled"))]), Some(0));
    assert_eq!(left(name, 1, &[("registry", W("down"))], &[("registry", W("up"))]), Some(0));
    assert_eq!(effects(name, 1), ["instances=refused", "log=error"]);
}

/// Ranking slow for five minutes every hour, for a week: entered and left once an hour, whatever the noise.
#[test]
fn a_week_of_hourly_trouble_is_one_degradation_an_hour() {
    let mut core = Core::new(policy("s1-feed"), at(0));
    let changes: Vec<(u64, bool)> = (0..7 * 24 * 3_600)
        .flat_map(|s| {
            let noise = if s % 7 == 0 { 0.015 } else { 0.0 };
            let p95 = if s % 3_600 < 300 { 0.12 - noise } else { 0.05 + noise / 2.0 };
            let changes = core.step(at(s), |signal| (signal.what == "p95").then(|| p95.into()));
            changes.into_iter().map(move |change| (s % 3_600, change.entered))
        })
        .collect();
    assert_eq!(changes.len(), 2 * 7 * 24);
    // In once 10 s had passed above 100 ms, noise included; out 30 s after the last second of it.
    assert!(changes.chunks(2).all(|pair| pair == [(10, true), (330, false)]), "{:?}", &changes[..4]);
}

#[test]
fn the_default_dwell_is_thirty_seconds() {
    assert_eq!(seawall_policy::ladder::Rung::default().dwell, Duration::from_secs(30));
}
