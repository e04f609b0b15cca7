//! The ladder's decisions. One loop owns it and steps it about once a second.

use std::fmt;
use std::time::Duration;

use super::condition::{Signal, Value};
use super::policy::{DWELL_MIN, Policy, RUNGS_MAX, Rung};
use super::watch::{Seen, Watch};
use crate::Mono;

/// Time between two steps counts as observed up to this: five of the steps a loop takes, one a second.
pub const STEP_MAX: Duration = Duration::from_secs(5);

/// An operator's word on a rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pin {
    /// Active, whatever the signals say.
    On,
    /// Not active, whatever the signals say.
    Off,
    /// As its conditions have it.
    #[default]
    Auto,
}

/// A pin for something the ladder does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no rung {asked}; use one of {known}")]
pub struct UnknownRung {
    asked: String,
    known: String,
}

/// A rung that was entered or left: one line in the log, one change of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Its place among the rungs, lowest first.
    pub rung: usize,
    /// Its level.
    pub level: u8,
    /// Its name.
    pub name: String,
    /// Entered, or else left.
    pub entered: bool,
    /// The numbers that caused it, beside those that were asked for.
    pub why: String,
    /// The ladder's level after this step.
    pub now_at: u8,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.entered { "entered" } else { "left" };
        write!(f, "{what} level {} ({}), now at {}: {}", self.level, self.name, self.now_at, self.why)
    }
}

/// Where one rung stands, for a status page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing<'a> {
    /// Its level.
    pub level: u8,
    /// Its name.
    pub name: &'a str,
    /// Whether its effects hold.
    pub active: bool,
    /// Since when; for a rung that never changed, since the start.
    pub since: Mono,
    /// Why, with the numbers of that moment.
    pub why: &'a str,
    /// Its own pin; the whole ladder's is [`Core::pinned_level`].
    pub pin: Pin,
}

/// Decides; knows nothing of threads, and of features only the names.
#[derive(Debug)]
pub struct Core {
    policy: Policy,
    /// Each signal once: all rungs judge the same reading.
    signals: Vec<Signal>,
    rungs: Vec<State>,
    stepped: Mono,
    disturbed: Mono,
    level_pin: Option<u8>,
}

/// One rung's.
#[derive(Debug)]
struct State {
    enter: Watch,
    exit: Watch,
    /// What the conditions alone make of it, when that last changed, and why.
    wanted: bool,
    changed: Option<Mono>,
    because: String,
    /// What holds: `wanted`, unless pinned.
    active: bool,
    since: Mono,
    why: String,
    pin: Pin,
}

/// What all rungs are shown in one step.
struct Look<'a> {
    now: Mono,
    /// Observed since the step before.
    passed: Duration,
    readings: &'a [Option<Value>],
    disturbed: Mono,
}

impl Core {
    /// No rung active. `now` is the start that `grace` speaks of.
    ///
    /// A policy that fails its check does what it can: rungs beyond [`RUNGS_MAX`] are dropped, a rung without
    /// conditions stays where it is pinned.
    #[must_use]
    pub fn new(mut policy: Policy, now: Mono) -> Core {
        policy.rung.truncate(RUNGS_MAX);
        policy.rung.sort_by_key(|rung| rung.level);
        let mut signals = Vec::new();
        let rungs = policy.rung.iter().map(|rung| State {
            enter: Watch::new(rung.enter.as_ref(), &mut signals),
            exit: Watch::new(rung.exit.as_ref(), &mut signals),
            wanted: false,
            changed: None,
            because: "no reason to enter so far".to_owned(),
            active: false,
            since: now,
            why: "never entered".to_owned(),
            pin: Pin::Auto,
        });
        let rungs = rungs.collect();
        Core { policy, signals, rungs, stepped: now, disturbed: now, level_pin: None }
    }

    /// Looks at every signal once and returns what changed. `signals` gives `None` for what is not known.
    pub fn step(&mut self, now: Mono, signals: impl FnMut(&Signal) -> Option<Value>) -> Vec<Transition> {
        // A clock that seems to step back stands still.
        let now = now.max(self.stepped);
        let passed = now.since(self.stepped).min(STEP_MAX);
        self.stepped = now;
        let readings: Vec<Option<Value>> = self.signals.iter().map(signals).collect();
        let look = Look { now, passed, readings: &readings, disturbed: self.disturbed };
        let mut changes = Vec::new();
        for (i, (rung, state)) in self.policy.rung.iter().zip(&mut self.rungs).enumerate() {
            state.judge(rung, &look);
            if let Some(why) = state.settle(rung.level, now, self.level_pin) {
                let entered = state.active;
                let (level, name) = (rung.level, rung.name.clone());
                changes.push(Transition { rung: i, level, name, entered, why, now_at: 0 });
            }
        }
        let now_at = self.level();
        changes.iter_mut().for_each(|change| change.now_at = now_at);
        changes
    }

    /// Something that looks like trouble is about to happen on purpose: a cache is purged, a shard moved.
    /// Rungs with a `grace` are not entered until it has passed; those that are active stay.
    pub fn disturbed(&mut self, now: Mono) {
        self.disturbed = self.disturbed.max(now);
    }

    /// Pins a rung on or off, or gives it back to its conditions, at the next step.
    ///
    /// # Errors
    /// When no rung has this name; the error lists those there are.
    pub fn pin(&mut self, name: &str, pin: Pin) -> Result<(), UnknownRung> {
        match self.policy.rung.iter().position(|rung| rung.name == name) {
            Some(i) => self.rungs[i].pin = pin,
            None => return Err(self.unknown(format!("{name:?}"), |rung| format!("{:?}", rung.name))),
        }
        Ok(())
    }

    /// Pins the whole ladder, at the next step: rungs up to this level are active and no others, save those
    /// with a pin of their own. 0 is normal operation, `None` gives them back to their conditions.
    ///
    /// # Errors
    /// When no rung has this level; the error lists those there are.
    pub fn pin_level(&mut self, level: Option<u8>) -> Result<(), UnknownRung> {
        match level {
            Some(level) if level > 0 && self.policy.rung.iter().all(|rung| rung.level != level) => {
                Err(self.unknown(format!("of level {level}"), |rung| rung.level.to_string()))
            }
            _ => {
                self.level_pin = level;
                Ok(())
            }
        }
    }

    fn unknown(&self, asked: String, known: impl FnMut(&Rung) -> String) -> UnknownRung {
        let known: Vec<String> = self.policy.rung.iter().map(known).collect();
        UnknownRung { asked, known: known.join(", ") }
    }

    /// The level the whole ladder is pinned at.
    #[must_use]
    pub fn pinned_level(&self) -> Option<u8> {
        self.level_pin
    }

    /// The level of the highest active rung; 0 is normal operation.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.active().last().map_or(0, |rung| rung.level)
    }

    /// The active rungs, lowest first.
    pub fn active(&self) -> impl DoubleEndedIterator<Item = &Rung> {
        self.policy.rung.iter().zip(&self.rungs).filter(|(_, state)| state.active).map(|(rung, _)| rung)
    }

    /// What is made of a feature now; `None` when no active rung speaks of it: it works as always.
    #[must_use]
    pub fn effect(&self, feature: &str) -> Option<&str> {
        self.active().rev().find_map(|rung| rung.effect(feature))
    }

    /// Every rung, lowest first.
    pub fn standings(&self) -> impl Iterator<Item = Standing<'_>> {
        self.policy.rung.iter().zip(&self.rungs).map(|(rung, state)| Standing {
            level: rung.level,
            name: &rung.name,
            active: state.active,
            since: state.since,
            why: &state.why,
            pin: state.pin,
        })
    }
}

impl State {
    /// What the conditions make of it.
    fn judge(&mut self, rung: &Rung, look: &Look<'_>) {
        // Both are always looked at: their times run whichever is waited for.
        let enter = self.enter.look(look.readings, look.passed);
        let exit = self.exit.look(look.readings, look.passed);
        let because = match (self.wanted, enter, exit) {
            (false, Seen { held: Some(i), .. }, _) if look.now >= look.disturbed + rung.grace => {
                self.enter.numbers(i, look.readings)
            }
            // Not while what it was entered for is there, be it for a moment.
            (true, Seen { holds: false, .. }, Seen { held: Some(i), .. }) => {
                self.exit.numbers(i, look.readings)
            }
            _ => return,
        };
        let dwell = rung.dwell.max(DWELL_MIN);
        if self.changed.is_none_or(|changed| look.now.since(changed) >= dwell) {
            self.wanted = !self.wanted;
            self.changed = Some(look.now);
            self.because = because;
        }
    }

    /// Pins have the last word. Returns why, if that changed anything.
    fn settle(&mut self, level: u8, now: Mono, level_pin: Option<u8>) -> Option<String> {
        let (active, why) = match (self.pin, level_pin) {
            (Pin::On, _) => (true, "pinned on".to_owned()),
            (Pin::Off, _) => (false, "pinned off".to_owned()),
            (Pin::Auto, Some(pinned)) => (level <= pinned, format!("the ladder is pinned at level {pinned}")),
            (Pin::Auto, None) if self.changed == Some(now) => (self.wanted, self.because.clone()),
            (Pin::Auto, None) => (self.wanted, format!("no longer pinned; {}", self.because)),
        };
        if active == self.active {
            return None;
        }
        self.active = active;
        self.since = now;
        self.why = why.clone();
        Some(why)
    }
}
