//! What is left out, or let in later, when there is too much to do.
//!
//! Decided once for each event and before it is put in order: what is left out is in no journal, so a replay finds
//! the very entries that were lived through, whatever the load is by then. Only what nobody keeps is looked at:
//!
//! | event | class | when there is too much |
//! |---|---|---|
//! | TYPING_START | P2 | waits, or is lost; it says nothing any more once its author has spoken |
//! | PRESENCE_UPDATE | P1 | not told; once there is room again each of these users is told, as it is then |
//!
//! Everything else passes. Two speak, and the stricter holds: the shedder by the load of the moment, the ladder by
//! what has lasted.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seawall_net::admission::Admission;
use seawall_policy::Mono;
use seawall_policy::priority::Priority;
use seawall_policy::shed::Decision;

use crate::degrade::Ladder;
use crate::event::{Event, Kind};
use crate::id::Id;
use crate::metrics::Metrics;

/// How late typing is where the ladder delays it: as late as where the shedder does.
const TYPING_LATE: Duration = Duration::from_millis(250);
/// Typing that may wait; what comes beyond is lost, as it may be.
const TYPING_MAX: usize = 1024;
/// How often it is tried to tell presences that were left out.
const OWED_EVERY: Duration = Duration::from_secs(1);
/// Presences told at a time.
const OWED_MAX: usize = 512;

/// What decides what is left out.
#[derive(Clone)]
pub struct Calm {
    /// The port's gate, which knows the load.
    pub admission: Arc<Admission>,
    /// The system's tiers.
    pub ladder: Ladder,
}

/// Decides about events, and keeps those that wait.
pub(super) struct Inbox {
    calm: Calm,
    metrics: Metrics,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    typing: VecDeque<(Mono, Event)>,
    /// Users of whom listeners may know something old.
    owed: HashSet<Id>,
    owed_at: Option<Mono>,
}

impl Inbox {
    pub(super) fn new(calm: Calm, metrics: Metrics) -> Inbox {
        Inbox { calm, metrics, held: Mutex::default() }
    }

    pub(super) fn ladder(&self) -> &Ladder {
        &self.calm.ladder
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event that is kept nowhere: back if it is to be dispatched now.
    pub(super) fn ephemeral(&self, event: Event, now: Mono) -> Option<Event> {
        if event.t != Kind::TypingStart {
            return Some(event);
        }
        let effects = self.calm.ladder.effects();
        let decision = match self.calm.admission.decide(Priority::P2) {
            _ if effects.silent => Decision::Reject,
            Decision::Admit if effects.typing_delayed => Decision::Delay(TYPING_LATE),
            decision => decision,
        };
        match decision {
            Decision::Admit => return Some(event),
            Decision::Delay(late) => {
                let mut held = self.held();
                if held.typing.len() < TYPING_MAX {
                    held.typing.push_back((now + late, event));
                    return None;
                }
            }
            Decision::Reject => {}
        }
        self.metrics.shed(Kind::TypingStart);
        None
    }

    /// Something was said: that its author was typing need not be told any more.
    pub(super) fn said(&self, event: &Event) {
        if event.t == Kind::MessageCreate {
            self.held().typing.retain(|(_, typing)| typing.author != event.author || typing.to != event.to);
        }
    }

    /// Whether listeners are told now what a user shows.
    pub(super) fn presence(&self, user: Id, now: Mono) -> bool {
        let is_told = self.has_room_for_presence();
        let mut held = self.held();
        if is_told {
            held.owed.remove(&user);
        } else {
            self.metrics.shed(Kind::PresenceUpdate);
            held.owed.insert(user);
            held.owed_at.get_or_insert(now + OWED_EVERY);
        }
        is_told
    }

    /// What these show is to be told as soon as there is room.
    pub(super) fn owe(&self, users: Vec<Id>, now: Mono) {
        let mut held = self.held();
        held.owed.extend(users);
        held.owed_at.get_or_insert(now);
    }

    fn has_room_for_presence(&self) -> bool {
        let effects = self.calm.ladder.effects();
        !effects.presence_off
            && !effects.silent
            && self.calm.admission.decide(Priority::P1) != Decision::Reject
    }

    /// When something that waits is to be looked at.
    pub(super) fn due(&self) -> Option<Mono> {
        let held = self.held();
        held.typing.iter().map(|(at, _)| *at).chain(held.owed_at).min()
    }

    /// What has waited for long enough: typing, and users whose presence is to be told.
    pub(super) fn take(&self, now: Mono) -> (Vec<Event>, Vec<Id>) {
        let mut held = self.held();
        let (due, later) = held.typing.drain(..).partition::<Vec<_>, _>(|(at, _)| *at <= now);
        held.typing = later.into();
        let mut users = Vec::new();
        if held.owed_at.is_some_and(|at| at <= now) {
            let all: Vec<Id> = held.owed.iter().copied().take(OWED_MAX).collect();
            // The first that finds no room ends it: a crowd that waits is not let past the sampling one by one.
            users = all.into_iter().take_while(|_| self.has_room_for_presence()).collect();
            users.iter().for_each(|user| _ = held.owed.remove(user));
            held.owed_at = (!held.owed.is_empty()).then_some(now + OWED_EVERY);
        }
        (due.into_iter().map(|(_, event)| event).collect(), users)
    }
}

#[cfg(test)]
mod tests;
