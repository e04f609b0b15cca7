//! kill -9 of one links process while clients use it: does anybody notice, and is anything gone?
//!
//! S2 promises "total user-facing downtime: 0 seconds" for a crashed app server (reliability, scenario 1) and a
//! recovery of 10 to 30 s where a master is involved (scenario 2); the store is shared here, so both bounds apply:
//! nobody may see an error, and should one be seen after all, it must be over within 30 s.
//!
//! Phases: steady load, kill, detection, a window without the victim, restart, full strength again, reading back.

use std::sync::Arc;
use std::time::Duration;

use seawall_policy::{Mono, Rng};
use tokio::task::JoinSet;

use super::fleet::Fleet;
use super::kill_moments;
use super::recovery::{Recovery, recovery, success_ratio};
use super::traffic::{AGAIN, CREATE, FOLLOW, Traffic};
use super::{
    Control, DrillError, Event, Mechanism, NegativeControl, REPEATS, Repeat, Repeating, Scenario, Stage,
    Target, Value,
};
use crate::check::ledger::Verified;
use crate::load::{self, Plan, Schedule, Stop, Stopper, Workload};

const RTO: &str = "recovery (RTO)";
const DETECTION: &str = "detection";
const FULL_STRENGTH: &str = "full strength";
pub(super) const ERRORS_GET: &str = "client errors, GET";
pub(super) const ERRORS_POST: &str = "client errors, POST with key";
pub(super) const LOST: &str = "acknowledged and lost";
pub(super) const RPO: &str = "age of the oldest lost (RPO)";
pub(super) const DUPLICATED: &str = "duplicated";
pub(super) const UNKNOWN: &str = "unknown at the end";

/// The bug that only a kill shows: the answer leaves before the commit is on disk.
pub(super) const ACK_BEFORE_COMMIT: &str = "ack-before-commit";

pub(super) const SCENARIO: Scenario = Scenario {
    name: "links-process-kill",
    title: "kill -9 of one links process under load",
    row: "S2 (links), reliability, failure scenario 1 (app server crash); RTO of scenario 2",
    targets: &[
        Target {
            name: DETECTION,
            unit: "s",
            at_most: None,
            source: "kill to the first who no longer counts on it",
        },
        Target { name: RTO, unit: "s", at_most: Some(30.0), source: "S2 scenario 2: 10 to 30 s" },
        Target {
            name: FULL_STRENGTH,
            unit: "s",
            at_most: None,
            source: "kill to serving from all processes",
        },
        Target { name: LOST, unit: "writes", at_most: Some(0.0), source: "S2: no acknowledged link is lost" },
        Target { name: RPO, unit: "s", at_most: Some(0.0), source: "process crash: RPO 0" },
        Target { name: DUPLICATED, unit: "codes", at_most: Some(0.0), source: "S2: one code, one link" },
        Target {
            name: ERRORS_GET,
            unit: "requests",
            at_most: Some(0.0),
            source: "S2 scenario 1: downtime 0 s",
        },
        Target {
            name: ERRORS_POST,
            unit: "requests",
            at_most: Some(0.0),
            source: "S2 scenario 1: downtime 0 s",
        },
        Target { name: UNKNOWN, unit: "writes", at_most: None, source: "asked again with the same key" },
    ],
    controls: &[
        NegativeControl { control: Control::Without(Mechanism::Retry), breaks: &[ERRORS_GET, ERRORS_POST] },
        NegativeControl { control: Control::Plant(ACK_BEFORE_COMMIT), breaks: &[LOST] },
    ],
    repeats: REPEATS,
    repeat,
};

/// How long things last.
struct Phases {
    /// Load before the kill.
    steady: Duration,
    /// Left out at its beginning, while connections and caches warm up.
    warm_up: Duration,
    /// Of undisturbed service that counts as recovered.
    window: Duration,
    /// After which a death nobody noticed is NOT MEASURED.
    detection_max: Duration,
    per_second: f64,
}

impl Phases {
    fn of(quick: bool) -> Phases {
        let s = Duration::from_secs;
        if quick {
            Phases { steady: s(3), warm_up: s(1), window: s(2), detection_max: s(15), per_second: 100.0 }
        } else {
            Phases { steady: s(10), warm_up: s(2), window: s(5), detection_max: s(40), per_second: 150.0 }
        }
    }
}

/// The load ends when the script does; this only keeps a script that hangs from loading for ever.
pub(super) const LOAD_MAX: Duration = Duration::from_secs(1_800);

/// Three seconds of patience at 150 a second are 450 requests, should nothing be answered at all.
pub(super) const IN_FLIGHT_MAX: usize = 512;

/// Follow, create, again: mostly reads, as S2 has it, but enough writes that a kill hits some.
const MIX: [u32; 3] = [65, 30, 5];

fn repeat(stage: Stage) -> Repeating {
    if stage.options.plant.is_some() {
        // One kill shows a lost acknowledgement only with luck; this repeats kills until it shows.
        return kill_moments::repeat(stage);
    }
    Box::pin(once(stage))
}

/// What the script did, on the clock of the run.
struct Script {
    killed: Mono,
    detected: Option<(Mono, &'static str)>,
    restarted: Mono,
    full: Mono,
    victim: usize,
}

async fn once(stage: Stage) -> Result<Repeat, DrillError> {
    let phases = Phases::of(stage.options.quick);
    let mut fleet = Fleet::start(&stage).await?;
    let traffic = Arc::new(Traffic::new(stage.clock.clone(), MIX));
    traffic.prime(fleet.balancer(), stage.seed).await?;

    let (stopper, mut load) = start_load(&stage, &fleet, traffic.clone(), phases.per_second)?;
    let script = script(&stage, &mut fleet, &phases).await?;
    stopper.stop();
    let load = finished(&mut load).await?;
    traffic.settle(fleet.balancer()).await;
    let ledger = traffic.verify(fleet.balancer()).await;
    Ok(measured(stage.seed, &phases, &script, load, ledger))
}

/// Load in the background, so that nothing the script waits for can hold it up.
pub(super) fn start_load(
    stage: &Stage,
    fleet: &Fleet,
    workload: Arc<dyn Workload>,
    per_second: f64,
) -> Result<(Stopper, JoinSet<load::Report>), DrillError> {
    let schedule = Schedule::constant(per_second, LOAD_MAX, stage.seed)
        .map_err(|error| DrillError::Usage(error.to_string()))?;
    let plan = Plan {
        schedule,
        target: fleet.balancer(),
        in_flight_max: IN_FLIGHT_MAX,
        connect_timeout: Duration::from_secs(1),
    };
    let (stopper, stop): (Stopper, Stop) = Stopper::new();
    let clock = stage.clock.clone();
    let mut running = JoinSet::new();
    running.spawn(async move { load::run(&plan, workload, clock, stop).await });
    Ok((stopper, running))
}

/// The report of a load that was stopped.
pub(super) async fn finished(running: &mut JoinSet<load::Report>) -> Result<load::Report, DrillError> {
    match running.join_next().await {
        Some(report) => Ok(report?),
        None => unreachable!("one load was started and is taken once"),
    }
}

async fn script(stage: &Stage, fleet: &mut Fleet, phases: &Phases) -> Result<Script, DrillError> {
    let clock = stage.clock.as_ref();
    // Another stream than the arrivals', which use the seed itself.
    let mut rng = Rng::new(stage.seed.rotate_left(32) ^ 1);
    tokio::time::sleep(phases.steady + Duration::from_millis(rng.below(500))).await;

    let victim = rng.below(fleet.size() as u64) as usize;
    let killed = clock.now();
    fleet.kill(victim)?;
    let detection = fleet.detects_loss(victim, phases.detection_max, clock).await;
    let detected = detection.map(|d| (d.at, d.by));

    // A whole window without the victim and a second to spare, or the restart would be what healed the service.
    let alone = phases.window + Duration::from_secs(1);
    tokio::time::sleep((killed + alone).since(clock.now())).await;
    let restarted = clock.now();
    fleet.restart(victim).await?;
    fleet.all_serving().await?;
    let full = clock.now();
    tokio::time::sleep(phases.window).await;
    Ok(Script { killed, detected, restarted, full, victim })
}

fn measured(seed: u64, phases: &Phases, script: &Script, load: load::Report, ledger: Verified) -> Repeat {
    let mut repeat = Repeat::new(seed);
    let since_kill = |at: Mono| Value::Measured(at.since(script.killed).as_secs_f64());
    let fault = script.killed.since(load.began);

    let not_seen = || Value::NotMeasured(format!("nobody noticed within {:?}", phases.detection_max));
    repeat.value(DETECTION, script.detected.map_or_else(not_seen, |(at, _)| since_kill(at)));
    repeat.value(FULL_STRENGTH, since_kill(script.full));
    let steady = success_ratio(&load.bins, phases.warm_up, fault);
    repeat.value(RTO, rto(recovery(&load.bins, fault, phases.window, steady), steady));
    repeat.value(ERRORS_GET, errors(&load, &[FOLLOW]));
    repeat.value(ERRORS_POST, errors(&load, &[CREATE, AGAIN]));
    writes(&mut repeat, &ledger);

    let mut event = |at: Mono, what: String| {
        repeat.events.push(Event { at_s: at.since(load.began).as_secs_f64(), what });
    };
    event(script.killed, format!("kill -9 of links-{}", script.victim));
    if let Some((at, by)) = script.detected {
        event(at, format!("noticed by the {by}"));
    }
    event(script.restarted, format!("links-{} started again", script.victim));
    event(script.full, "all processes serve".to_owned());
    repeat.load = Some(load);
    repeat.ledger = Some(ledger);
    repeat
}

/// Below this the system was not healthy before the fault, and "as good as before" would mean nothing.
const STEADY_MIN: f64 = 0.99;

pub(super) fn rto(recovery: Recovery, steady: Option<f64>) -> Value {
    match (recovery, steady) {
        (_, Some(ratio)) if ratio < STEADY_MIN => {
            Value::NotMeasured(format!("only {:.1} % succeeded before the fault", ratio * 100.0))
        }
        (Recovery::After(took), _) => Value::Measured(took.as_secs_f64()),
        (Recovery::Never, _) => Value::Never,
        (Recovery::Unknown, _) => Value::NotMeasured("the load was too short".to_owned()),
    }
}

/// Failed requests of some operations. Where the generator could not send all it should, no failures seen is not
/// the same as no failures.
pub(super) fn errors(load: &load::Report, operations: &[&str]) -> Value {
    let failed: u64 = operations.iter().map(|operation| load.failed(operation)).sum();
    if failed == 0 && load.unsent > 0 {
        return Value::NotMeasured(format!("{} arrivals found no place among {IN_FLIGHT_MAX}", load.unsent));
    }
    Value::Measured(failed as f64)
}

/// What the ledger found.
pub(super) fn writes(repeat: &mut Repeat, ledger: &Verified) {
    let blind = ledger.lost == 0 && ledger.unreadable > 0;
    let known = |value: f64| match blind {
        true => Value::NotMeasured(format!("{} acknowledged links could not be read", ledger.unreadable)),
        false => Value::Measured(value),
    };
    repeat.value(LOST, known(ledger.lost as f64));
    repeat.value(RPO, known(ledger.rpo_s));
    repeat.value(DUPLICATED, Value::Measured(ledger.duplicated as f64));
    repeat.value(UNKNOWN, Value::Measured(ledger.unknown as f64));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_that_was_sick_before_the_fault_has_no_recovery_time() {
        assert!(matches!(rto(Recovery::After(Duration::ZERO), Some(0.9)), Value::NotMeasured(_)));
        assert_eq!(rto(Recovery::After(Duration::from_secs(2)), Some(1.0)), Value::Measured(2.0));
        assert_eq!(rto(Recovery::Never, Some(1.0)), Value::Never);
        assert!(matches!(rto(Recovery::Unknown, None), Value::NotMeasured(_)));
    }

    #[test]
    fn links_that_could_not_be_read_are_not_called_safe() {
        let mut repeat = Repeat::new(0);
        writes(&mut repeat, &Verified { unreadable: 2, ..Verified::default() });
        assert!(matches!(repeat.values[LOST], Value::NotMeasured(_)));
        writes(&mut repeat, &Verified { unreadable: 2, lost: 1, ..Verified::default() });
        assert_eq!(repeat.values[LOST], Value::Measured(1.0));
    }
}
