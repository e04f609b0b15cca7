//! kill -9 of the graph while clients write to it: is every promise of TAO's API kept?
//!
//! The graph lies on four databases, so most associations are written to two that have no transaction in common, and
//! a kill falls between the steps of some of these writes. Careful clients send such a write again with its key;
//! careless ones write without a key and give up, and what they began only the repair scan completes.
//!
//! Each client writes about objects and pairs of its own. So it knows exactly what it must read, and reads it back
//! with its ticket all the time; and in the end everything is read from the source and compared: objects and their
//! versions, lists and their counts and versions, every association and its other direction. The last kill comes after
//! the last write, so that what is found comes from the disk.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use seawall_policy::{Clock, Mono, Rng};
use tokio::task::JoinSet;

use super::fleet::Graph;
use super::links_process_kill::ACK_BEFORE_COMMIT;
use super::{
    Control, DrillError, Event, Mechanism, NegativeControl, Options, Repeat, Repeating, Report, Scenario,
    Stage, Target, Value,
};
use crate::fault::process::{LOOK_EVERY, free_ports};
use crate::graph::audit::{Findings, compare, left_to_repair};
use crate::graph::caller::Caller;
use crate::graph::visitor::{Pulse, Seen, Shared, Visitor};

const KILLS: &str = "kills";
const RTO: &str = "recovery (RTO)";
const LOST: &str = "acknowledged and lost";
const TWICE: &str = "done twice";
const ODD: &str = "answers unlike the ledger";
const BROKEN: &str = "own writes not read";
const MISCOUNTED: &str = "counts unlike lists";
const UNPAIRED: &str = "edges without inverse";
const REPAIRED: &str = "repair";
const WRITTEN: &str = "acknowledged";
const GIVEN_UP: &str = "given up";

pub(super) const SCENARIO: Scenario = Scenario {
    name: "graph-process-kill",
    title: "kill -9 of the graph during writes across four databases",
    row: "S1 (feed), failure recovery, shard leader: RPO 0; crash of a process: visible errors < 5 s",
    targets: &[
        Target { name: KILLS, unit: "kills", at_most: None, source: "made" },
        Target {
            name: RTO,
            unit: "s",
            at_most: Some(5.0),
            source: "strictest reading of all documents; kill to the last client answered",
        },
        Target { name: LOST, unit: "objects, lists", at_most: Some(0.0), source: "S1: RPO 0" },
        Target { name: TWICE, unit: "objects, lists", at_most: Some(0.0), source: "one key, one write" },
        Target {
            name: ODD,
            unit: "answers",
            at_most: Some(0.0),
            source: "a second try is answered as the first",
        },
        Target {
            name: BROKEN,
            unit: "reads",
            at_most: Some(0.0),
            source: "S1: a session reads what it wrote",
        },
        Target { name: MISCOUNTED, unit: "lists", at_most: Some(0.0), source: "TAO: count and list are one" },
        Target {
            name: UNPAIRED,
            unit: "edges",
            at_most: Some(0.0),
            source: "TAO: hanging associations are repaired",
        },
        Target { name: REPAIRED, unit: "s", at_most: None, source: "last restart to nothing left to repair" },
        Target { name: WRITTEN, unit: "writes", at_most: None, source: "each of them is in the comparison" },
        Target {
            name: GIVEN_UP,
            unit: "writes",
            at_most: None,
            source: "without a key, of careless clients",
        },
    ],
    controls: &[
        NegativeControl { control: Control::Without(Mechanism::Repair), breaks: &[UNPAIRED] },
        NegativeControl { control: Control::Plant(ACK_BEFORE_COMMIT), breaks: &[LOST] },
    ],
    repeats: 1,
    repeat,
};

/// Kills when nothing else is asked for, and in a quick run.
const KILLS_DEFAULT: u32 = 8;
const KILLS_QUICK: u32 = 3;
/// Kills to show what a negative control must show; it does after a few.
const CONTROL_KILLS_MAX: u32 = 20;
/// Clients that write with keys until they are answered.
const CAREFUL: usize = 10;
/// Clients that write without keys and give up.
const CARELESS: usize = 6;
/// Between everyone being answered again and the next kill, milliseconds.
const MOMENT_MS: (u64, u64) = (200, 1_500);
/// After which a client that gets no answer is no longer waited for.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
/// After which what is not repaired is counted as it is. A write counts as left behind after 10 s, and is looked for
/// every 10 s.
const REPAIRED_WITHIN: Duration = Duration::from_secs(45);
/// Oddities that a report describes in words; all are counted.
const NAMED_MAX: usize = 20;
/// Between two looks at what is left to repair.
const REPAIR_LOOK: Duration = Duration::from_secs(1);
/// After the last restart without a repair: enough to see that what hangs stays hanging.
const UNREPAIRED_WAIT: Duration = Duration::from_secs(25);

/// Runs the scenario with that many kills: 8 for a test, 50 and more for a soak. Blocks; must not be called from
/// async code.
///
/// # Errors
/// See [`DrillError`].
pub fn run(options: &Options, kills: u32, clock: Arc<dyn Clock>) -> Result<Report, DrillError> {
    SCENARIO.run(&Options { kills: Some(kills), ..options.clone() }, clock)
}

fn repeat(stage: Stage) -> Repeating {
    Box::pin(once(stage))
}

async fn once(stage: Stage) -> Result<Repeat, DrillError> {
    let ports = free_ports(2).map_err(DrillError::setup("find free ports"))?;
    let [http, resp] = [ports[0], ports[1]].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut graph = Graph::start(&stage, http, resp).await?;
    let mut caller = Caller::new(resp);
    let shared_object =
        caller.written(&["OBJ.ADD", "user", "KEY", "everybody", "FIELDS", "name", "all"]).await;
    let Some(shared_object) = shared_object.as_ref().and_then(crate::graph::resp::Reply::number) else {
        let what = format!("the first object could not be made: {shared_object:?}");
        return Err(DrillError::NotServing { what, within: ANSWERED_WITHIN });
    };

    let began = stage.clock.now();
    let mut rng = Rng::new(stage.seed.rotate_left(32) ^ 6);
    let shared = Arc::new(Shared::default());
    let mut pulses = Vec::new();
    let mut visiting = JoinSet::new();
    for number in 0..CAREFUL + CARELESS {
        let (clock, shared) = (stage.clock.clone(), shared.clone());
        let is_careful = number < CAREFUL;
        let visitor = Visitor::new(resp, number, is_careful, shared_object, rng.next_u64(), clock, shared);
        pulses.push(visitor.pulse());
        visiting.spawn(visitor.run());
    }
    let mut kills = kill_repeatedly(&stage, &mut graph, &pulses, &shared, &mut rng).await?;
    shared.over.store(true, Ordering::Relaxed);
    let mut seen = Seen::default();
    while let Some(one) = visiting.join_next().await {
        add(&mut seen, one?);
    }

    let at = stage.clock.now();
    graph.kill()?;
    graph.restart().await?;
    let restarted = stage.clock.now();
    kills.push(Kill { at, restarted, answered: None });
    let repaired = repaired(&stage, &seen, &mut caller, restarted).await;
    let found = compare(&seen.ledger, &mut caller).await;
    Ok(measured(stage.seed, began, &kills, seen, repaired, found))
}

fn add(all: &mut Seen, one: Seen) {
    all.ledger.merge(one.ledger);
    all.acknowledged += one.acknowledged;
    all.given_up += one.given_up;
    all.odd_answers += one.odd_answers;
    all.broken += one.broken;
    all.named.extend(one.named);
}

/// A kill, and when every client had been answered again.
struct Kill {
    at: Mono,
    restarted: Mono,
    answered: Option<Mono>,
}

async fn kill_repeatedly(
    stage: &Stage,
    graph: &mut Graph,
    pulses: &[Pulse],
    shared: &Shared,
    rng: &mut Rng,
) -> Result<Vec<Kill>, DrillError> {
    let is_control = stage.options.plant.is_some() || !stage.options.without.is_empty();
    let default = match (is_control, stage.options.quick) {
        (true, _) => CONTROL_KILLS_MAX,
        (false, true) => KILLS_QUICK,
        (false, false) => KILLS_DEFAULT,
    };
    let most = stage.options.kills.unwrap_or(default);
    all_answered(pulses, stage.clock.now(), stage.clock.as_ref()).await?;
    let mut kills = Vec::new();
    for number in 1..=most {
        let (least, up_to) = MOMENT_MS;
        tokio::time::sleep(Duration::from_millis(least + rng.below(up_to - least))).await;
        let at = stage.clock.now();
        graph.kill()?;
        graph.restart().await?;
        let restarted = stage.clock.now();
        let answered = all_answered(pulses, at, stage.clock.as_ref()).await.ok();
        tracing::info!(number, of = most, "killed and started again");
        kills.push(Kill { at, restarted, answered });
        if stage.options.plant.is_some() && shared.broken.load(Ordering::Relaxed) > 0 {
            // It shows already.
            break;
        }
    }
    Ok(kills)
}

/// Waits until every client was answered something it asked after `since`; the moment that was seen.
async fn all_answered(pulses: &[Pulse], since: Mono, clock: &dyn Clock) -> Result<Mono, DrillError> {
    loop {
        let now = clock.now();
        if pulses.iter().all(|pulse| pulse.last() > since) {
            return Ok(now);
        }
        if now.since(since) > ANSWERED_WITHIN {
            let what = "not every client was answered".to_owned();
            return Err(DrillError::NotServing { what, within: ANSWERED_WITHIN });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until nothing is left to repair; the moment that was seen.
async fn repaired(stage: &Stage, seen: &Seen, caller: &mut Caller, since: Mono) -> Option<Mono> {
    let within = match stage.options.without.is_empty() {
        true => REPAIRED_WITHIN,
        false => UNREPAIRED_WAIT,
    };
    while stage.clock.now().since(since) < within {
        if left_to_repair(&seen.ledger, caller).await == 0 {
            return Some(stage.clock.now());
        }
        tokio::time::sleep(REPAIR_LOOK).await;
    }
    None
}

fn measured(
    seed: u64,
    began: Mono,
    kills: &[Kill],
    seen: Seen,
    repaired: Option<Mono>,
    found: Findings,
) -> Repeat {
    let mut repeat = Repeat::new(seed);
    let blind = |n: u64| match n == 0 && found.unreadable > 0 {
        true => Value::NotMeasured(format!("{} objects and lists could not be read", found.unreadable)),
        false => Value::Measured(n as f64),
    };
    repeat.value(LOST, blind(found.lost));
    repeat.value(TWICE, blind(found.twice));
    repeat.value(MISCOUNTED, blind(found.miscounted));
    repeat.value(UNPAIRED, blind(found.unpaired));
    repeat.value(KILLS, Value::Measured(kills.len() as f64));
    repeat.value(ODD, Value::Measured(seen.odd_answers as f64));
    repeat.value(BROKEN, Value::Measured(seen.broken as f64));
    repeat.value(WRITTEN, Value::Measured(seen.acknowledged as f64));
    repeat.value(GIVEN_UP, Value::Measured(seen.given_up as f64));
    // The last kill comes when nobody asks any more.
    let (last, under_load) = kills.split_last().map_or((None, kills), |(last, rest)| (Some(last), rest));
    let worst = under_load.iter().map(|kill| kill.answered.map(|at| at.since(kill.at).as_secs_f64()));
    let rto = worst.collect::<Option<Vec<f64>>>().map(|all| all.into_iter().fold(0.0, f64::max));
    repeat.value(RTO, rto.map_or(Value::Never, Value::Measured));
    let took = repaired.zip(last).map(|(at, last)| at.since(last.restarted).as_secs_f64());
    repeat.value(REPAIRED, took.map_or(Value::Never, Value::Measured));

    let mut at = Vec::new();
    for kill in kills {
        at.push((kill.at, "kill -9 of the graph".to_owned()));
        at.push((kill.restarted, "the graph serves again".to_owned()));
        at.extend(kill.answered.map(|answered| (answered, "every client is answered".to_owned())));
    }
    let end = at.last().map_or(began, |(at, _)| *at);
    let objects = seen.ledger.objects.len();
    at.push((end, format!("{objects} objects and {} edges looked at", found.edges)));
    let named = found.named.into_iter().chain(seen.named).take(NAMED_MAX);
    at.extend(named.map(|what| (end, what)));
    repeat.events =
        at.into_iter().map(|(at, what)| Event { at_s: at.since(began).as_secs_f64(), what }).collect();
    repeat
}
