//! kill -9 of links at random moments during writes, again and again: is every promise kept?
//!
//! One kill hits one moment. The moments that lose data (between the answer and the commit, between the commit and
//! the answer, in the middle of leasing codes) are short, so this draws many from a seed. Afterwards **every**
//! process is killed and started again before anything is read, so that what is found comes from the disk.

use std::sync::Arc;
use std::time::Duration;

use seawall_policy::{Clock, Mono, Rng};

use super::fleet::Fleet;
use super::links_process_kill::{
    ACK_BEFORE_COMMIT, DUPLICATED, LOST, RPO, UNKNOWN, errors, finished, start_load, writes,
};
use super::traffic::{AGAIN, CREATE, FOLLOW, Traffic, read_back};
use super::{
    Control, DrillError, Event, NegativeControl, Options, Repeat, Repeating, Report, Scenario, Stage, Target,
    Value,
};
use crate::check::ledger::ReadBack;

const KILLS: &str = "kills";
const FAILED: &str = "requests that failed";

pub(super) const SCENARIO: Scenario = Scenario {
    name: "links-kill-moments",
    title: "kill -9 of links at random moments during writes",
    row: "S2 (links), reliability: every acknowledged link resolves, no code twice",
    targets: &[
        Target { name: KILLS, unit: "kills", at_most: None, source: "made" },
        Target { name: LOST, unit: "writes", at_most: Some(0.0), source: "S2: no acknowledged link is lost" },
        Target { name: RPO, unit: "s", at_most: Some(0.0), source: "process crash: RPO 0" },
        Target { name: DUPLICATED, unit: "codes", at_most: Some(0.0), source: "S2: one code, one link" },
        Target { name: UNKNOWN, unit: "writes", at_most: None, source: "asked again with the same key" },
        Target {
            name: FAILED,
            unit: "requests",
            at_most: None,
            source: "not judged: kills overlap restarts",
        },
    ],
    controls: &[NegativeControl { control: Control::Plant(ACK_BEFORE_COMMIT), breaks: &[LOST] }],
    repeats: 1,
    repeat,
};

/// Kills when nothing else is asked for: what every change is tested with.
const KILLS_DEFAULT: u32 = 8;

/// Kills to find a planted bug within; it shows after a few, and a control must not stay green by bad luck.
const PLANTED_KILLS_MAX: u32 = 50;

/// Between one restart and the next kill, milliseconds.
const MOMENT_MS: (u64, u64) = (50, 700);

/// As many writes as a small machine takes without queueing: the more are on their way, the more a kill hits.
const PER_SECOND: f64 = 150.0;

/// Follow, create, again: nearly all writes.
const MIX: [u32; 3] = [10, 80, 10];

/// Runs the scenario with that many kills: 8 for a test, 50 and more for a soak. Blocks; must not be called from
/// async code.
///
/// # Errors
/// See [`DrillError`].
pub fn run(options: &Options, kills: u32, clock: Arc<dyn Clock>) -> Result<Report, DrillError> {
    SCENARIO.run(&Options { kills: Some(kills), ..options.clone() }, clock)
}

pub(super) fn repeat(stage: Stage) -> Repeating {
    Box::pin(once(stage))
}

async fn once(stage: Stage) -> Result<Repeat, DrillError> {
    let mut fleet = Fleet::start(&stage).await?;
    let traffic = Arc::new(Traffic::new(stage.clock.clone(), MIX));
    traffic.prime(fleet.balancer(), stage.seed).await?;

    let (stopper, mut load) = start_load(&stage, &fleet, traffic.clone(), PER_SECOND)?;
    let kills = kill_repeatedly(&stage, &mut fleet, &traffic).await?;
    stopper.stop();
    let load = finished(&mut load).await?;

    for member in 0..fleet.size() {
        fleet.kill(member)?;
    }
    for member in 0..fleet.size() {
        fleet.restart(member).await?;
    }
    fleet.all_serving().await?;
    traffic.settle(fleet.balancer()).await;
    let ledger = traffic.verify(fleet.balancer()).await;

    let mut repeat = Repeat::new(stage.seed);
    repeat.value(KILLS, Value::Measured(kills.len() as f64));
    repeat.value(FAILED, errors(&load, &[FOLLOW, CREATE, AGAIN]));
    writes(&mut repeat, &ledger);
    repeat.events = kills
        .into_iter()
        .map(|(at, victim)| Event {
            at_s: at.since(load.began).as_secs_f64(),
            what: format!("kill -9 of links-{victim}"),
        })
        .collect();
    repeat.load = Some(load);
    repeat.ledger = Some(ledger);
    Ok(repeat)
}

/// Kills and restarts at random moments; with a planted bug only until it shows.
async fn kill_repeatedly(
    stage: &Stage,
    fleet: &mut Fleet,
    traffic: &Traffic,
) -> Result<Vec<(Mono, usize)>, DrillError> {
    let planted = stage.options.plant.is_some();
    let most = stage.options.kills.unwrap_or(if planted { PLANTED_KILLS_MAX } else { KILLS_DEFAULT });
    let mut rng = Rng::new(stage.seed.rotate_left(32) ^ 2);
    let mut kills = Vec::new();
    let mut looked = stage.clock.now();
    for number in 1..=most {
        let (least, up_to) = MOMENT_MS;
        tokio::time::sleep(Duration::from_millis(least + rng.below(up_to - least))).await;
        let victim = rng.below(fleet.size() as u64) as usize;
        kills.push((stage.clock.now(), victim));
        fleet.kill(victim)?;
        fleet.restart(victim).await?;
        tracing::info!(number, of = most, victim, "killed and started again");
        if planted {
            let since = std::mem::replace(&mut looked, stage.clock.now());
            if shows(traffic, fleet, since).await {
                break;
            }
        }
    }
    Ok(kills)
}

/// Whether any link acknowledged since then is gone already. The last second before is looked at again: an answer
/// may have been on its way while we looked.
async fn shows(traffic: &Traffic, fleet: &Fleet, since: Mono) -> bool {
    let mut client = Traffic::connect(fleet.balancer());
    for link in traffic.ledger.all_acknowledged() {
        if link.at + Duration::from_secs(1) >= since
            && read_back(&link, &mut client).await == ReadBack::Absent
        {
            return true;
        }
    }
    false
}
