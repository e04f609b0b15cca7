//! Three times as many clients list as there are places: do redirects go on?
//!
//! The balancer document wants a spike of three times the traffic for five minutes (S3, load testing), and scaling,
//! which takes those five minutes to notice, cannot carry it. Shedding does: the chat document (S0) refuses the
//! least important first and what matters most never. For links, a list matters least and a redirect most.
//!
//! Places are few here (see [`PLACES`]), so that a crowd that fits on this machine is three times too many. It keeps
//! asking as fast as it is answered, so that whenever a place is given back, somebody is there to take it. From 85 %
//! on lists are refused, and the rest of the places stays for redirects; without shedding the crowd has all of them,
//! and a redirect in three finds none, although the balancer asks another process for it.
//!
//! The redirects are of links that memory knows, and so need a place for a moment only. One that must ask the store
//! waits there behind the lists that were let in, and is not what this measures.
//!
//! Phases: calm (redirects, and a list now and then), spike (the same redirects, and the crowd), calm again.

use std::sync::Arc;
use std::time::Duration;

use seawall_policy::{Mono, Rng};

use super::fleet::{Fleet, Wishes};
use super::links_process_kill::{finished, rto, start_load};
use super::listers::{Crowd, Lists, Tally, fill};
use super::recovery::{recovery, success_ratio};
use super::traffic::Traffic;
use super::{
    Control, DrillError, Event, Mechanism, NegativeControl, REPEATS, Repeat, Repeating, Scenario, Stage,
    Target, Value,
};
use crate::load;

const IN_SPIKE: &str = "redirects not answered, spike";
const IN_CALM: &str = "redirects not answered, calm";
const P99_SPIKE: &str = "redirect p99, spike";
const P99_CALM: &str = "redirect p99, calm";
const SHED: &str = "lists shed, spike";
const NOT_TOLD_WHEN: &str = "refused without Retry-After";
const AGAIN: &str = "lists answered again";

/// Percent of redirects that may go without an answer: S2 promises an availability of 99.9 %.
const UNANSWERED_MAX: f64 = 0.1;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "links-overload",
    title: "three times as many clients list links as there are places",
    row: "S3 (balancer), load testing, spike of 3x; S0 (chat), load shedding",
    targets: &[
        Target {
            name: IN_SPIKE,
            unit: "%",
            at_most: Some(UNANSWERED_MAX),
            source: "S0: P0 is never shed; S2: availability 99.9 %",
        },
        Target { name: IN_CALM, unit: "%", at_most: Some(UNANSWERED_MAX), source: "S2: availability 99.9 %" },
        Target {
            name: P99_SPIKE,
            unit: "ms",
            at_most: None,
            source: "not judged: the crowd takes the same cores",
        },
        Target { name: P99_CALM, unit: "ms", at_most: None, source: "to compare with" },
        Target { name: SHED, unit: "%", at_most: None, source: "S0: P3 is rejected from a load of 85 % on" },
        Target {
            name: NOT_TOLD_WHEN,
            unit: "answers",
            at_most: Some(0.0),
            source: "whoever is refused is told when to come back",
        },
        Target {
            name: AGAIN,
            unit: "s",
            at_most: Some(2.0),
            source: "S3: return to baseline; the load is measured once a second",
        },
    ],
    controls: &[NegativeControl { control: Control::Without(Mechanism::Shed), breaks: &[IN_SPIKE] }],
    repeats: REPEATS,
    repeat,
};

/// Places of each links process. Of sixteen, lists get fourteen.
const PLACES: usize = 16;

/// As many for the store, where all calls are alike: with fewer, lists would be refused there and none be shed.
const WISHES: Wishes =
    Wishes { registry_apart: false, links_set: &["links.in_flight_max=16", "links.store_in_flight_max=16"] };

/// S3, load testing: "spike: 3x traffic".
const CLIENTS_PER_PLACE: usize = 3;

/// Of undisturbed lists that count as answered again.
const WINDOW: Duration = Duration::from_secs(1);

/// How long things last.
struct Phases {
    /// Before the spike.
    calm: Duration,
    /// Less than S3's five minutes, and twice as long as the slowest to react, the balancer's breaker, stays open.
    spike: Duration,
    /// After it: a window, the two seconds of the target, and some.
    after: Duration,
    redirects_per_second: f64,
    lists_per_second: f64,
}

impl Phases {
    fn of(quick: bool) -> Phases {
        let s = Duration::from_secs;
        if quick {
            Phases {
                calm: s(2),
                spike: s(3),
                after: s(4),
                redirects_per_second: 200.0,
                lists_per_second: 10.0,
            }
        } else {
            Phases {
                calm: s(10),
                spike: s(70),
                after: s(10),
                redirects_per_second: 200.0,
                lists_per_second: 10.0,
            }
        }
    }
}

fn repeat(stage: Stage) -> Repeating {
    Box::pin(once(stage))
}

/// What was sent in a calm phase.
struct Calm {
    redirects: load::Report,
    lists: load::Report,
}

/// What the script did, on the clock of the run, and what came of it.
struct Script {
    before: Calm,
    began: Mono,
    redirects: load::Report,
    crowd: Tally,
    clients: usize,
    ended: Mono,
    after: Calm,
}

async fn once(stage: Stage) -> Result<Repeat, DrillError> {
    let phases = Phases::of(stage.options.quick);
    let fleet = Fleet::with(&stage, &WISHES).await?;
    // Nothing but following: whoever makes a link matters less, and may be refused.
    let traffic = Arc::new(Traffic::new(stage.clock.clone(), [1, 0, 0]));
    traffic.prime(fleet.balancer(), stage.seed).await?;
    fill(fleet.balancer(), stage.seed).await?;
    Ok(measured(stage.seed, script(&stage, &fleet, &traffic, &phases).await?))
}

async fn script(
    stage: &Stage,
    fleet: &Fleet,
    traffic: &Arc<Traffic>,
    phases: &Phases,
) -> Result<Script, DrillError> {
    let clock = stage.clock.as_ref();
    let before = calm(stage, fleet, traffic, phases, phases.calm).await?;

    // Another stream than the arrivals', which use the seed itself.
    let mut rng = Rng::new(stage.seed.rotate_left(32) ^ 4);
    let clients = CLIENTS_PER_PLACE * PLACES * fleet.size();
    let began = clock.now();
    let (stopper, mut redirects) = start_load(stage, fleet, traffic.clone(), phases.redirects_per_second)?;
    let crowd = Crowd::gather(clients, fleet.balancer(), rng.next_u64());
    tokio::time::sleep(phases.spike).await;

    let ended = clock.now();
    crowd.disperse();
    stopper.stop();
    // The last of the spike's answers come while it is calm again, as they would.
    let after = calm(stage, fleet, traffic, phases, phases.after).await?;
    let redirects = finished(&mut redirects).await?;
    Ok(Script { before, began, redirects, crowd: crowd.gone().await?, clients, ended, after })
}

/// Redirects, and a list now and then.
async fn calm(
    stage: &Stage,
    fleet: &Fleet,
    traffic: &Arc<Traffic>,
    phases: &Phases,
    lasting: Duration,
) -> Result<Calm, DrillError> {
    let (no_more_lists, mut lists) = start_load(stage, fleet, Arc::new(Lists), phases.lists_per_second)?;
    let (no_more, mut redirects) = start_load(stage, fleet, traffic.clone(), phases.redirects_per_second)?;
    tokio::time::sleep(lasting).await;
    no_more_lists.stop();
    no_more.stop();
    Ok(Calm { redirects: finished(&mut redirects).await?, lists: finished(&mut lists).await? })
}

fn measured(seed: u64, script: Script) -> Repeat {
    let Script { before, began, redirects, crowd, clients, ended, after } = script;
    let mut repeat = Repeat::new(seed);
    let shed = crowd.refused_as("shed");
    repeat.value(IN_SPIKE, in_spike(&redirects, &crowd));
    repeat.value(IN_CALM, Value::Measured(unanswered(&[&before.redirects, &after.redirects])));
    repeat.value(P99_SPIKE, Value::Measured(redirects.latency.p99_ms));
    repeat.value(P99_CALM, Value::Measured(before.redirects.latency.p99_ms));
    repeat.value(SHED, Value::Measured(percent(shed, crowd.asked())));
    repeat.value(NOT_TOLD_WHEN, Value::Measured(crowd.not_told_when as f64));
    let steady = success_ratio(&before.lists.bins, Duration::ZERO, began.since(before.lists.began));
    let again = recovery(&after.lists.bins, Duration::ZERO, WINDOW, steady);
    repeat.value(AGAIN, rto(again, steady));

    let mut event = |at: Mono, what: String| {
        repeat.events.push(Event { at_s: at.since(before.redirects.began).as_secs_f64(), what });
    };
    event(began, format!("{clients} clients list as fast as they are answered"));
    event(ended, format!("they stop; {}", crowd.sentence()));
    repeat.load = Some(redirects);
    repeat
}

/// Percent of the spike's redirects without an answer. Where nobody had to be shed, that redirects went on is no
/// merit of shedding.
fn in_spike(redirects: &load::Report, crowd: &Tally) -> Value {
    let unanswered = unanswered(&[redirects]);
    if crowd.refused_as("shed") == 0 && unanswered <= UNANSWERED_MAX {
        return Value::NotMeasured(format!("the spike was none: {}", crowd.sentence()));
    }
    Value::Measured(unanswered)
}

/// Percent of all arrivals that were not answered as they should be, those the generator could not send included.
fn unanswered(loads: &[&load::Report]) -> f64 {
    let (planned, ok) = loads.iter().fold((0, 0), |(planned, ok), l| (planned + l.planned, ok + l.ok));
    percent(planned - ok, planned)
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirects(planned: u64, ok: u64) -> load::Report {
        serde_json::from_value(serde_json::json!({
            "seed": 1, "lasted_s": 3.0, "planned": planned, "sent": planned, "ok": ok, "unsent": 0,
            "errors": {}, "operations": [], "seconds": [],
            "latency": {"p50_ms": 0.0, "p90_ms": 0.0, "p99_ms": 0.0, "p999_ms": 0.0, "max_ms": 0.0},
            "lag": {"p50_ms": 0.0, "p90_ms": 0.0, "p99_ms": 0.0, "p999_ms": 0.0, "max_ms": 0.0},
        }))
        .unwrap()
    }

    fn crowd(refused: &[(&str, u64)]) -> Tally {
        let refused = refused.iter().map(|(why, n)| ((*why).to_owned(), *n)).collect();
        Tally { answered: 10, refused, not_told_when: 0 }
    }

    #[test]
    fn redirects_that_go_on_prove_nothing_unless_somebody_was_shed() {
        assert_eq!(in_spike(&redirects(1000, 1000), &crowd(&[("shed", 1)])), Value::Measured(0.0));
        for refused in [&[][..], &[("overloaded", 50)], &[("store_busy", 50)]] {
            let Value::NotMeasured(why) = in_spike(&redirects(1000, 999), &crowd(refused)) else { panic!() };
            assert!(why.contains("10 were answered"), "{why}");
        }
    }

    #[test]
    fn redirects_that_fail_count_whoever_else_was_refused() {
        for refused in [&[][..], &[("shed", 9)], &[("overloaded", 9)]] {
            assert_eq!(in_spike(&redirects(1000, 800), &crowd(refused)), Value::Measured(20.0));
        }
        assert_eq!(unanswered(&[&redirects(600, 600), &redirects(400, 390)]), 1.0);
        assert_eq!(unanswered(&[]), 0.0);
    }

    #[test]
    fn the_places_are_those_that_links_is_started_with() {
        for key in ["links.in_flight_max", "links.store_in_flight_max"] {
            assert!(WISHES.links_set.contains(&format!("{key}={PLACES}").as_str()), "{key}");
        }
    }

    #[test]
    fn two_seconds_and_a_window_fit_behind_the_spike() {
        let again = SCENARIO.targets.iter().find(|target| target.name == AGAIN).unwrap();
        for phases in [Phases::of(true), Phases::of(false)] {
            assert!(phases.after > WINDOW + Duration::from_secs_f64(again.at_most.unwrap()));
        }
        let quick = Phases::of(true);
        assert!(quick.calm + quick.spike + quick.after < Duration::from_secs(10));
    }
}
