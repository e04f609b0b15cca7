//! kill -9 of chat while people talk: does anybody miss a word, or hear one twice?
//!
//! S0 promises for a gateway that crashes: back in less than a minute, no message lost (failover, gateway node). Its
//! clients are stock libraries: after a loss of connection they resume with the last sequence number they saw, and
//! they never look into the history for what they missed. So the comparison is strict: every session's received set
//! must equal the history, in the order of each channel.
//!
//! There is one process with all of chat, so each kill also takes the owner of the guild and the store's writer.
//! Writers keep their nonce when no answer came, so a message is never written twice either.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use seawall_policy::{Clock, Mono, Rng};
use serde_json::json;
use tokio::task::JoinSet;

use super::fleet::Chat;
use super::links_process_kill::UNKNOWN;
use super::{
    Control, DrillError, Event, Mechanism, NegativeControl, Options, Repeat, Repeating, Report, Scenario,
    Stage, Target, Value,
};
use crate::chat::Said;
use crate::chat::listener::{Heard, Listener};
use crate::chat::speaker::Speaker;
use crate::chat::tally::tally;
use crate::fault::process::{LOOK_EVERY, free_ports};

const KILLS: &str = "kills";
const RTO: &str = "recovery (RTO)";
const LOST: &str = "events lost";
const DOUBLED: &str = "events doubled";
const INVENTED: &str = "events not in the history";
const DISORDERED: &str = "events out of order";
const WRITES_LOST: &str = "acknowledged and lost";
const WRITTEN_TWICE: &str = "written twice";
const RESUMED: &str = "resumed";

pub(super) const SCENARIO: Scenario = Scenario {
    name: "chat-process-kill",
    title: "kill -9 of chat while 50 sessions listen",
    row: "S0 (chat), failover, gateway node crash: RTO < 1 min, RPO 0",
    targets: &[
        Target { name: KILLS, unit: "kills", at_most: None, source: "made" },
        Target {
            name: RTO,
            unit: "s",
            at_most: Some(60.0),
            source: "S0: < 1 minute; kill to the last session live",
        },
        Target { name: LOST, unit: "events", at_most: Some(0.0), source: "S0: RPO 0" },
        Target {
            name: DOUBLED,
            unit: "events",
            at_most: Some(0.0),
            source: "S0: sequence numbers, exactly once",
        },
        Target {
            name: INVENTED,
            unit: "events",
            at_most: Some(0.0),
            source: "told only after it is on disk",
        },
        Target { name: DISORDERED, unit: "events", at_most: Some(0.0), source: "S0: order within a channel" },
        Target {
            name: WRITES_LOST,
            unit: "messages",
            at_most: Some(0.0),
            source: "S0: persisted before acknowledged",
        },
        Target {
            name: WRITTEN_TWICE,
            unit: "messages",
            at_most: Some(0.0),
            source: "one nonce, one message",
        },
        Target { name: RESUMED, unit: "sessions", at_most: None, source: "without a new READY" },
        Target { name: UNKNOWN, unit: "messages", at_most: None, source: "asked again with the same nonce" },
    ],
    controls: &[NegativeControl { control: Control::Without(Mechanism::Journal), breaks: &[LOST] }],
    repeats: 1,
    repeat,
};

/// Kills when nothing else is asked for, and in a quick run.
const KILLS_DEFAULT: u32 = 8;
const KILLS_QUICK: u32 = 2;
/// Who listens.
const SESSIONS: usize = 50;
/// Who writes, one message at a time each.
const WRITERS: usize = 6;
/// Between two messages of one writer, milliseconds.
const SAY_EVERY_MS: (u64, u64) = (10, 60);
/// Channels they write to.
const CHANNELS: usize = 3;
/// Between everyone being live again and the next kill, milliseconds.
const MOMENT_MS: (u64, u64) = (100, 1_500);
/// After which a session that does not come back is no longer waited for.
const LIVE_WITHIN: Duration = Duration::from_secs(120);
/// After which what was not heard counts as lost.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

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

/// Who is there.
struct Cast {
    guild_channels: Vec<u64>,
    listeners: Vec<String>,
    writers: Vec<String>,
}

async fn once(stage: Stage) -> Result<Repeat, DrillError> {
    let port = free_ports(1).map_err(DrillError::setup("find a free port"))?[0];
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut chat = Chat::start(&stage, address).await?;
    let cast = cast(address).await?;
    let began = stage.clock.now();

    let mut rng = Rng::new(stage.seed.rotate_left(32) ^ 5);
    let listeners: Vec<Listener> = cast
        .listeners
        .iter()
        .map(|token| Listener::start(address, token.clone(), rng.next_u64(), stage.clock.clone()))
        .collect();
    all_live(&listeners, began, stage.clock.as_ref()).await?;

    let over = Arc::new(AtomicBool::new(false));
    let mut writing = JoinSet::new();
    for (number, token) in cast.writers.iter().enumerate() {
        let speaker = Speaker::new(address, token.clone());
        let (channels, over) = (cast.guild_channels.clone(), over.clone());
        writing.spawn(write(speaker, number, channels, rng.next_u64(), over));
    }
    let kills = kill_repeatedly(&stage, &mut chat, &listeners, &mut rng).await?;
    over.store(true, Ordering::Relaxed);
    let mut written = Written::default();
    while let Some(one) = writing.join_next().await {
        written.add(one?);
    }

    let mut reader = Speaker::new(address, cast.writers[0].clone());
    let mut committed = Vec::new();
    for channel in &cast.guild_channels {
        let read = reader.history(*channel).await;
        committed.extend(read.map_err(|what| DrillError::NotServing { what, within: HEARD_WITHIN })?);
    }
    heard_all(&listeners, committed.len(), stage.clock.as_ref()).await;
    let mut heard = Vec::new();
    for listener in listeners {
        heard.push(listener.stop().await?);
    }
    Ok(measured(stage.seed, began, &kills, &written, &committed, &heard))
}

/// Makes users, a guild and its channels through the operator's API.
async fn cast(address: SocketAddr) -> Result<Cast, DrillError> {
    let mut operator = Speaker::new(address, "none".to_owned());
    let refused = |what: String| DrillError::NotServing { what, within: LIVE_WITHIN };
    let mut tokens = Vec::new();
    let mut ids = Vec::new();
    for n in 0..SESSIONS + WRITERS {
        let body = json!({"username": format!("drill-{n}"), "bot": true});
        let made = operator.call(Method::POST, "/api/admin/users", Some(&body)).await;
        let made = made.filter(|(status, _)| status.is_success());
        let made = made.ok_or_else(|| refused(format!("user {n} could not be made")))?.1;
        ids.push(made["user"]["id"].as_str().unwrap_or_default().to_owned());
        tokens.push(made["token"].as_str().unwrap_or_default().to_owned());
    }
    let body = json!({"name": "drill", "owner_id": ids[0]});
    let guild = operator.call(Method::POST, "/api/admin/guilds", Some(&body)).await;
    let guild = guild.ok_or_else(|| refused("the guild could not be made".to_owned()))?.1;
    let guild_id = guild["id"].as_str().unwrap_or_default().to_owned();
    for id in &ids[1..] {
        let path = format!("/api/admin/guilds/{guild_id}/members/{id}");
        let added = operator.call(Method::PUT, &path, None).await;
        if !added.is_some_and(|(status, _)| status.is_success()) {
            return Err(refused(format!("user {id} could not be added to the guild")));
        }
    }
    let mut owner = Speaker::new(address, tokens[0].clone());
    let mut guild_channels = Vec::new();
    for n in 0..CHANNELS {
        let path = format!("/api/v10/guilds/{guild_id}/channels");
        let made =
            owner.call(Method::POST, &path, Some(&json!({"name": format!("room-{n}"), "type": 0}))).await;
        let id = match &made {
            Some((StatusCode::OK | StatusCode::CREATED, channel)) => {
                channel["id"].as_str().and_then(|id| id.parse().ok())
            }
            _ => None,
        };
        guild_channels.push(id.ok_or_else(|| refused(format!("channel {n} could not be made: {made:?}")))?);
    }
    let writers = tokens.split_off(SESSIONS);
    Ok(Cast { guild_channels, listeners: tokens, writers })
}

/// What the writers were told.
#[derive(Default)]
struct Written {
    acknowledged: Vec<Said>,
    unknown: u64,
}

impl Written {
    fn add(&mut self, other: Written) {
        self.acknowledged.extend(other.acknowledged);
        self.unknown += other.unknown;
    }
}

async fn write(
    mut speaker: Speaker,
    number: usize,
    channels: Vec<u64>,
    seed: u64,
    over: Arc<AtomicBool>,
) -> Written {
    let mut rng = Rng::new(seed);
    let mut written = Written::default();
    for count in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let channel = channels[rng.below(channels.len() as u64) as usize];
        let nonce = format!("{number}-{count}");
        // Asked until answered, also after the end: otherwise it could be there and unknown.
        match speaker.say(channel, &format!("drill {nonce}"), &nonce).await.said {
            Some(said) => written.acknowledged.push(said),
            None => written.unknown += 1,
        }
        let (least, most) = SAY_EVERY_MS;
        tokio::time::sleep(Duration::from_millis(least + rng.below(most - least))).await;
    }
    written
}

/// A kill, and when the last session was live again.
struct Kill {
    at: Mono,
    restarted: Mono,
    live: Option<Mono>,
}

async fn kill_repeatedly(
    stage: &Stage,
    chat: &mut Chat,
    listeners: &[Listener],
    rng: &mut Rng,
) -> Result<Vec<Kill>, DrillError> {
    let default = if stage.options.quick { KILLS_QUICK } else { KILLS_DEFAULT };
    let most = stage.options.kills.unwrap_or(default);
    let mut kills = Vec::new();
    for number in 1..=most {
        let (least, up_to) = MOMENT_MS;
        tokio::time::sleep(Duration::from_millis(least + rng.below(up_to - least))).await;
        let at = stage.clock.now();
        chat.kill()?;
        chat.restart().await?;
        let restarted = stage.clock.now();
        let live = all_live(listeners, at, stage.clock.as_ref()).await.ok();
        tracing::info!(number, of = most, "killed and started again");
        kills.push(Kill { at, restarted, live });
    }
    Ok(kills)
}

/// Waits until every session became live after `since`; the moment of the last.
async fn all_live(listeners: &[Listener], since: Mono, clock: &dyn Clock) -> Result<Mono, DrillError> {
    loop {
        let live: Option<Vec<Mono>> =
            listeners.iter().map(|l| l.live_since().filter(|at| *at >= since)).collect();
        if let Some(last) = live.and_then(|all| all.into_iter().max()) {
            return Ok(last);
        }
        if clock.now().since(since) > LIVE_WITHIN {
            let what = "not every session was live".to_owned();
            return Err(DrillError::NotServing { what, within: LIVE_WITHIN });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until everybody has heard as much as there is, or nobody hears anything more.
async fn heard_all(listeners: &[Listener], committed: usize, clock: &dyn Clock) {
    let began = clock.now();
    while clock.now().since(began) < HEARD_WITHIN && listeners.iter().any(|l| l.count() < committed) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn measured(
    seed: u64,
    began: Mono,
    kills: &[Kill],
    written: &Written,
    committed: &[Said],
    heard: &[Heard],
) -> Repeat {
    let mut repeat = Repeat::new(seed);
    let tally = tally(committed, heard);
    let lost = written.acknowledged.iter().filter(|said| !committed.contains(said)).count();
    let mut count = |name: &str, n: u64| repeat.value(name, Value::Measured(n as f64));
    count(KILLS, kills.len() as u64);
    count(LOST, tally.lost);
    count(DOUBLED, tally.doubled);
    count(INVENTED, tally.invented);
    count(DISORDERED, tally.disordered);
    count(WRITES_LOST, lost as u64);
    count(WRITTEN_TWICE, tally.written_twice);
    count(UNKNOWN, written.unknown);
    count(RESUMED, heard.iter().filter(|h| h.identified == 1).count() as u64);
    let worst = kills.iter().map(|kill| kill.live.map(|live| live.since(kill.at).as_secs_f64()));
    let rto = worst.collect::<Option<Vec<f64>>>().map(|all| all.into_iter().fold(0.0, f64::max));
    repeat.value(RTO, rto.map_or(Value::Never, Value::Measured));

    let mut at = Vec::new();
    for kill in kills {
        at.push((kill.at, "kill -9 of chat".to_owned()));
        at.push((kill.restarted, "chat serves again".to_owned()));
        at.extend(kill.live.map(|live| (live, "every session is live".to_owned())));
    }
    let end = at.last().map_or(began, |(at, _)| *at);
    at.push((end, format!("{} messages, {} deliveries due", tally.committed, tally.due)));
    at.extend(tally.named.into_iter().map(|what| (end, what)));
    repeat.events =
        at.into_iter().map(|(at, what)| Event { at_s: at.since(began).as_secs_f64(), what }).collect();
    repeat
}
