//! What chat gives up when there is too much to do, and how it says so.
//!
//! Which tier holds is for the policy's ladder to say; here its effects become what the rest of the system asks for.
//! The names are those of the chat document's tiers:
//!
//! | effect | what changes |
//! |---|---|
//! | `search=slow` | searches are told to come back, as while the index is built |
//! | `search=off` | searches are refused |
//! | `typing=delayed` | TYPING_START is dispatched a quarter of a second late |
//! | `reactions=delayed` | nobody is woken for a reaction: it is heard with what comes next, or a second later |
//! | `presence=off` | no PRESENCE_UPDATE; who changed meanwhile is told as it is afterwards |
//! | `history=limited` | a page of history has at most [`HISTORY_MAX`] messages |
//! | `real-time=off` | nothing is dispatched: it is put in order and kept, and follows afterwards |
//!
//! Other effects are names in the log: messages are queued by being on disk, and there is no push. Sending is kept in
//! every tier. The shedder acts beside it, at once and by the load of the moment (`gateway::inbox`); where both speak
//! of the same thing, the stricter holds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seawall_net::admission::Admission;
use seawall_net::host::{Host, State};
use seawall_net::telemetry::{Gauge, Scope};
use seawall_policy::Mono;
use seawall_policy::ladder::condition::{Signal, Value};
use seawall_policy::ladder::{Core, Policy, UnknownRung};
use serde::Serialize;
use tokio::sync::watch;

use crate::owner::Client;
use crate::search::{Mode, Search};

/// How often the ladder is stepped.
const STEP: Duration = Duration::from_secs(1);
/// Messages on a page of history while it is limited: half of what is given unasked.
pub const HISTORY_MAX: usize = 25;
/// What `/-/ready` says while nobody owns the guilds.
const NO_OWNER: &str = "nobody decides about guilds: nothing is written, and nothing new is heard";

/// What is given up at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effects {
    /// What is left of search.
    pub search: Mode,
    /// Typing is told late.
    pub typing_delayed: bool,
    /// Reactions wake nobody for a while.
    pub reactions_delayed: bool,
    /// Presences are not told.
    pub presence_off: bool,
    /// Pages of history are short.
    pub history_limited: bool,
    /// Nothing is dispatched.
    pub silent: bool,
}

impl Effects {
    fn of(core: &Core) -> Effects {
        let is = |feature, mode| core.effect(feature) == Some(mode);
        Effects {
            search: match core.effect("search") {
                Some("off") => Mode::Off,
                Some("slow") => Mode::Slow,
                _ => Mode::Normal,
            },
            typing_delayed: is("typing", "delayed"),
            reactions_delayed: is("reactions", "delayed"),
            presence_off: is("presence", "off"),
            history_limited: is("history", "limited"),
            silent: is("real-time", "off"),
        }
    }
}

/// What the ladder looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signals {
    /// How busy the process is, as the shedder sees it; none where nobody measures.
    pub load: Option<f64>,
    /// Whether there is an owner whose news can be followed.
    pub has_owner: bool,
}

impl Signals {
    fn get(&self, signal: &Signal) -> Option<Value> {
        match (signal.what.as_str(), &signal.of) {
            ("load", None) => self.load.map(Value::Number),
            ("bus", None) => Some(Value::Word(if self.has_owner { "up" } else { "lost" }.to_owned())),
            _ => None,
        }
    }
}

/// Where the ladder stands, for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The highest tier that holds; 0 is normal operation.
    pub level: u8,
    /// The level it is pinned at, if it is.
    pub pinned: Option<u8>,
    /// Every tier, lowest first.
    pub rungs: Vec<Rung>,
}

/// One tier, for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rung {
    /// Its level.
    pub level: u8,
    /// Its name.
    pub name: String,
    /// Whether it holds.
    pub active: bool,
    /// Why, with the numbers of that moment.
    pub why: String,
}

/// The system's ladder. Cheap to clone.
#[derive(Clone)]
pub struct Ladder(Arc<Inner>);

struct Inner {
    core: Mutex<Stepped>,
    effects: watch::Sender<Effects>,
    state: watch::Sender<State>,
    level: Gauge,
}

struct Stepped {
    core: Core,
    /// What was seen last; a pin is judged by it.
    seen: Signals,
    is_started: bool,
}

impl Ladder {
    /// Nothing given up, and starting.
    #[must_use]
    pub fn new(policy: Policy, now: Mono, metrics: &Scope) -> Ladder {
        let core = Core::new(policy, now);
        let seen = Signals { load: None, has_owner: true };
        Ladder(Arc::new(Inner {
            core: Mutex::new(Stepped { core, seen, is_started: false }),
            effects: watch::Sender::default(),
            state: watch::Sender::new(State::Starting("opening the store")),
            level: metrics.gauge("ladder_level", "The highest tier of degradation that holds; 0 is none"),
        }))
    }

    /// What `/-/ready` reads.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.0.state.subscribe()
    }

    /// What is given up at the moment.
    #[must_use]
    pub fn effects(&self) -> Effects {
        *self.0.effects.borrow()
    }

    /// Tells of every change of it.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Effects> {
        self.0.effects.subscribe()
    }

    /// Looks at the signals once. Takes effect before it returns.
    pub fn step(&self, now: Mono, seen: Signals) {
        let mut stepped = self.lock();
        stepped.seen = seen;
        self.apply(&mut stepped, now);
    }

    /// Pins the ladder at a level, 0 for normal operation, or gives it back to its conditions. Takes effect before it
    /// returns, and lasts until the process ends.
    ///
    /// # Errors
    /// There is no such level; the error lists those there are.
    pub fn pin(&self, level: Option<u8>, now: Mono) -> Result<(), UnknownRung> {
        let mut stepped = self.lock();
        stepped.core.pin_level(level)?;
        self.apply(&mut stepped, now);
        Ok(())
    }

    /// Where it stands.
    #[must_use]
    pub fn report(&self) -> Report {
        let stepped = self.lock();
        let rungs = stepped.core.standings().map(|rung| Rung {
            level: rung.level,
            name: rung.name.to_owned(),
            active: rung.active,
            why: rung.why.to_owned(),
        });
        Report { level: stepped.core.level(), pinned: stepped.core.pinned_level(), rungs: rungs.collect() }
    }

    /// Start-up is over: from now on the ladder is stepped until the system stops, and search follows it.
    pub(crate) fn start(&self, admission: &Arc<Admission>, owner: &Client, search: &Search, host: &Host) {
        self.lock().is_started = true;
        let (ladder, admission, owner) = (self.clone(), admission.clone(), owner.clone());
        let (clock, tasks) = (host.clock.clone(), host.tasks.clone());
        host.tasks.vital("chat-ladder", async move {
            loop {
                let seen = Signals { load: admission.load(), has_owner: owner.has_owner() };
                ladder.step(clock.now(), seen);
                if !tasks.sleep(STEP).await {
                    return;
                }
            }
        });
        let (mut follow, search, tasks) = (self.follow(), search.clone(), host.tasks.clone());
        host.tasks.vital("chat-ladder-search", async move {
            loop {
                search.set_mode(follow.borrow_and_update().search);
                tokio::select! {
                    _ = follow.changed() => {}
                    _ = tasks.stopping() => return,
                }
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Stepped> {
        self.0.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, stepped: &mut Stepped, now: Mono) {
        let seen = stepped.seen;
        for change in stepped.core.step(now, |signal| seen.get(signal)) {
            if change.entered {
                tracing::warn!("degradation: {change}");
            } else {
                tracing::info!("degradation: {change}");
            }
        }
        self.0.level.set(i64::from(stepped.core.level()));
        let effects = Effects::of(&stepped.core);
        self.0.effects.send_if_modified(|old| std::mem::replace(old, effects) != effects);
        if stepped.is_started {
            let state = state(&stepped.core, seen.has_owner);
            self.0.state.send_if_modified(|old| {
                let is_new = *old != state;
                if is_new {
                    *old = state;
                }
                is_new
            });
        }
    }
}

/// The tiers that hold and what is given up in them, and the loss of the owner.
fn state(core: &Core, has_owner: bool) -> State {
    let tier = |rung: &seawall_policy::ladder::Rung| {
        format!("tier {}, {}: {}", rung.level, rung.name, rung.effects.join(", "))
    };
    let lost = (!has_owner).then(|| NO_OWNER.to_owned());
    let words: Vec<String> = lost.into_iter().chain(core.active().map(tier)).collect();
    if words.is_empty() { State::Ready } else { State::Degraded(words.join("; ").into()) }
}

#[cfg(test)]
mod tests;
