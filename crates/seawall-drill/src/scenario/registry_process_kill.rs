//! kill -9 of the registry while clients use links through the balancer: does anybody pay for it?
//!
//! S4 wants services to go on with cached data when the registry is gone, and self-preservation to keep a registry
//! from mass eviction after trouble of its own. So the registry is away for longer than every lease lasts, and two
//! who count are watched all the time: the balancer, which must not forget a backend because nobody confirms it,
//! and the registry once it is back, which must not take silence that was its own for death. A lease here lasts two
//! seconds instead of ten, so that "longer" is a matter of seconds.
//!
//! Phases: steady load, kill, a window without registry, restart, a window of more than one lease, reading back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use seawall_policy::{Mono, Rng};

use super::fleet::{Fleet, Views, Wishes};
use super::links_process_kill::{
    DUPLICATED, ERRORS_GET, ERRORS_POST, LOST, UNKNOWN, errors, finished, start_load, writes,
};
use super::traffic::{AGAIN, CREATE, FOLLOW, Traffic};
use super::{
    Control, DrillError, Event, Mechanism, NegativeControl, REPEATS, Repeat, Repeating, Scenario, Stage,
    Target, Value,
};

const EXPIRED: &str = "expired by mistake";
const BACK: &str = "registry back";

pub(super) const SCENARIO: Scenario = Scenario {
    name: "registry-process-kill",
    title: "kill -9 of the registry under load, away for longer than every lease",
    row: "S4 (registry), failover (all nodes fail) and client fallback strategies",
    targets: &[
        Target {
            name: ERRORS_GET,
            unit: "requests",
            at_most: Some(0.0),
            source: "S4 fail-open: services keep running",
        },
        Target {
            name: ERRORS_POST,
            unit: "requests",
            at_most: Some(0.0),
            source: "S4 fail-open: services keep running",
        },
        Target { name: LOST, unit: "writes", at_most: Some(0.0), source: "S2: no acknowledged link is lost" },
        Target { name: DUPLICATED, unit: "codes", at_most: Some(0.0), source: "S2: one code, one link" },
        Target {
            name: EXPIRED,
            unit: "instances",
            at_most: Some(0.0),
            source: "S4 self-preservation: no mass eviction",
        },
        Target {
            name: BACK,
            unit: "s",
            at_most: None,
            source: "restart to all instances passing; S4 has no number for a restart on the same disk",
        },
        Target { name: UNKNOWN, unit: "writes", at_most: None, source: "asked again with the same key" },
    ],
    controls: &[NegativeControl { control: Control::Without(Mechanism::Cache), breaks: &[ERRORS_GET] }],
    repeats: REPEATS,
    repeat,
};

/// The registry apart, and leases of two seconds: see the top.
const WISHES: Wishes = Wishes { registry_apart: true, links_set: &["links.heartbeat_ttl=2s"] };

/// How often balancer and registry are asked on whom they count.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// After which a registry that does not list everybody is no longer waited for.
const BACK_MAX: Duration = Duration::from_secs(30);

/// How long things last.
struct Phases {
    /// Load before the kill.
    steady: Duration,
    /// Without a registry: at least two leases.
    away: Duration,
    /// After the restart: more than one lease, or a heartbeat that never came would not show.
    after: Duration,
    per_second: f64,
}

impl Phases {
    fn of(quick: bool) -> Phases {
        let s = Duration::from_secs;
        if quick {
            Phases { steady: s(2), away: s(4), after: s(3), per_second: 100.0 }
        } else {
            Phases { steady: s(10), away: s(15), after: s(10), per_second: 150.0 }
        }
    }
}

/// Follow, create, again: mostly reads, as S2 has it.
const MIX: [u32; 3] = [65, 30, 5];

fn repeat(stage: Stage) -> Repeating {
    Box::pin(once(stage))
}

/// What the script did, on the clock of the run.
struct Script {
    killed: Mono,
    restarted: Mono,
    /// When the restarted registry listed everybody.
    back: Option<Mono>,
    full: Mono,
    watch: Watch,
}

async fn once(stage: Stage) -> Result<Repeat, DrillError> {
    let phases = Phases::of(stage.options.quick);
    let mut fleet = Fleet::with(&stage, &WISHES).await?;
    let traffic = Arc::new(Traffic::new(stage.clock.clone(), MIX));
    traffic.prime(fleet.balancer(), stage.seed).await?;

    let (stopper, mut load) = start_load(&stage, &fleet, traffic.clone(), phases.per_second)?;
    let script = script(&stage, &mut fleet, &phases).await?;
    stopper.stop();
    let load = finished(&mut load).await?;
    traffic.settle(fleet.balancer()).await;
    let ledger = traffic.verify(fleet.balancer()).await;

    let mut repeat = Repeat::new(stage.seed);
    repeat.value(ERRORS_GET, errors(&load, &[FOLLOW]));
    repeat.value(ERRORS_POST, errors(&load, &[CREATE, AGAIN]));
    repeat.value(EXPIRED, script.watch.mistaken());
    let back = script.back.map(|at| Value::Measured(at.since(script.restarted).as_secs_f64()));
    repeat.value(BACK, back.unwrap_or(Value::Never));
    writes(&mut repeat, &ledger);
    repeat.events = events(&script, load.began);
    repeat.load = Some(load);
    repeat.ledger = Some(ledger);
    Ok(repeat)
}

async fn script(stage: &Stage, fleet: &mut Fleet, phases: &Phases) -> Result<Script, DrillError> {
    let clock = stage.clock.as_ref();
    let mut watch = Watch::default();
    // Another stream than the arrivals', which use the seed itself.
    let mut rng = Rng::new(stage.seed.rotate_left(32) ^ 3);
    tokio::time::sleep(phases.steady + Duration::from_millis(rng.below(500))).await;

    let killed = clock.now();
    fleet.kill_registry().await?;
    while clock.now().since(killed) < phases.away {
        watch.note(clock.now(), &fleet.views().await?);
        tokio::time::sleep(WATCH_EVERY).await;
    }

    let restarted = clock.now();
    fleet.start_registry().await?;
    let mut back = None;
    while clock.now().since(restarted) < if back.is_some() { phases.after } else { BACK_MAX } {
        let views = fleet.views().await?;
        let now = clock.now();
        watch.note(now, &views);
        if back.is_none() && views.registry.is_some_and(|listed| listed.iter().all(|listed| *listed)) {
            back = Some(now);
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
    fleet.all_serving().await?;
    Ok(Script { killed, restarted, back, full: clock.now(), watch })
}

/// Who was given up while alive. Only looked at after the kill, and a registry that is away says nothing, so what
/// the registry says here it says after its restart.
#[derive(Default)]
struct Watch {
    /// When it was first seen, by instance and by who was mistaken.
    given_up: BTreeMap<(usize, &'static str), Mono>,
    balancer_said: u32,
    registry_said: u32,
}

impl Watch {
    fn note(&mut self, at: Mono, views: &Views) {
        self.balancer_said += u32::from(views.balancer.is_some());
        self.registry_said += u32::from(views.registry.is_some());
        for (who, view) in [("balancer", &views.balancer), ("registry", &views.registry)] {
            for (member, counted_on) in view.iter().flatten().enumerate() {
                if !counted_on {
                    self.given_up.entry((member, who)).or_insert(at);
                }
            }
        }
    }

    /// Instances given up by either. Where one of them never said anything, nobody seen is not the same as nobody.
    fn mistaken(&self) -> Value {
        let mut members: Vec<usize> = self.given_up.keys().map(|(member, _)| *member).collect();
        members.dedup();
        match (members.len(), self.balancer_said, self.registry_said) {
            (0, 0, _) => Value::NotMeasured("the balancer never said on whom it counts".to_owned()),
            (0, _, 0) => Value::NotMeasured("the restarted registry never said who passes".to_owned()),
            (n, _, _) => Value::Measured(n as f64),
        }
    }
}

fn events(script: &Script, began: Mono) -> Vec<Event> {
    let mut at = vec![
        (script.killed, "kill -9 of the registry".to_owned()),
        (script.restarted, "the registry started again".to_owned()),
        (script.full, "all processes serve".to_owned()),
    ];
    at.extend(script.back.map(|back| (back, "the registry lists all instances".to_owned())));
    let given_up = script.watch.given_up.iter();
    at.extend(given_up.map(|((member, who), seen)| (*seen, format!("links-{member} given up by the {who}"))));
    at.sort_by_key(|(at, _)| *at);
    at.into_iter().map(|(at, what)| Event { at_s: at.since(began).as_secs_f64(), what }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn views(balancer: Option<&[bool]>, registry: Option<&[bool]>) -> Views {
        Views { balancer: balancer.map(<[bool]>::to_vec), registry: registry.map(<[bool]>::to_vec) }
    }

    fn watched(seen: &[Views]) -> Value {
        let mut watch = Watch::default();
        for (n, views) in seen.iter().enumerate() {
            watch.note(Mono(n as u64), views);
        }
        watch.mistaken()
    }

    #[test]
    fn a_registry_that_is_away_expires_nobody() {
        let all: Option<&[bool]> = Some(&[true, true]);
        assert_eq!(watched(&[views(all, None), views(None, None), views(all, all)]), Value::Measured(0.0));
    }

    #[test]
    fn an_instance_given_up_by_both_and_again_counts_once() {
        let (first, both): (Option<&[bool]>, Option<&[bool]>) = (Some(&[false, true]), Some(&[false, false]));
        assert_eq!(watched(&[views(first, None), views(first, first)]), Value::Measured(1.0));
        assert_eq!(watched(&[views(first, both), views(None, first)]), Value::Measured(2.0));
    }

    #[test]
    fn who_never_answered_was_not_watched() {
        let all: Option<&[bool]> = Some(&[true, true]);
        assert!(matches!(watched(&[views(all, None)]), Value::NotMeasured(_)));
        assert!(matches!(watched(&[views(None, all)]), Value::NotMeasured(_)));
        assert!(matches!(watched(&[]), Value::NotMeasured(_)));
    }

    #[test]
    fn every_lease_runs_out_while_the_registry_is_away_and_once_more_after() {
        let ttl = Duration::from_secs(2);
        assert_eq!(WISHES.links_set, [format!("links.heartbeat_ttl={}s", ttl.as_secs())]);
        for phases in [Phases::of(true), Phases::of(false)] {
            assert!(phases.away >= 2 * ttl && phases.after > ttl);
        }
    }
}
