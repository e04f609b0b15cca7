//! What users show: reported to the owner, which puts together all sessions of a user, and heard back from it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seawall_policy::{Mono, Rng};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::entry::{To, What};
use super::hub::{Hub, Order};
use super::session::Session;
use crate::command::{Ask, Command};
use crate::event::{Kind, Presence};
use crate::id::Id;
use crate::model::Member;
use crate::owner::limits::GATEWAY_GONE;

/// How long one report may take. One that fails is made again.
const REPORT_PATIENCE: Duration = Duration::from_secs(5);
/// Pause after a report that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a new owner has to tell what users show, before those it does not tell count as gone. It hears of them from
/// every gateway, and those that have died do not come back: longer than [`GATEWAY_GONE`], with time for the reports.
const RETOLD: Duration = GATEWAY_GONE.saturating_mul(3);

/// What is known of users' presences.
#[derive(Default)]
pub(super) struct Presences {
    /// Who is not offline.
    shown: Mutex<HashMap<Id, Presence>>,
    /// Who an earlier owner has told of and the present one not yet, and how long that may last.
    untold: Mutex<Option<(Mono, HashSet<Id>)>>,
    /// Sessions whose own presence is to be reported. Each is in here once at most.
    due: Mutex<Vec<Arc<Session>>>,
    wake: Notify,
}

impl Presences {
    fn shown(&self) -> MutexGuard<'_, HashMap<Id, Presence>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn untold(&self) -> MutexGuard<'_, Option<(Mono, HashSet<Id>)>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another owner speaks: what is known of users holds until it says otherwise, or nothing for too long.
    pub(super) fn doubt(&self, now: Mono) {
        let all: HashSet<Id> = self.shown().keys().copied().collect();
        *self.untold() = (!all.is_empty()).then_some((now + RETOLD, all));
    }

    /// Forgets those the owner says nothing of; who they are.
    fn lose(&self, now: Mono) -> Vec<Id> {
        let mut untold = self.untold();
        let lost = untold.take_if(|(until, _)| now >= *until);
        let lost: Vec<Id> = lost.into_iter().flat_map(|(_, users)| users).collect();
        let mut shown = self.shown();
        lost.iter().for_each(|user| _ = shown.remove(user));
        lost
    }

    /// A session shows something else, or has ended.
    pub(super) fn due(&self, session: &Arc<Session>) {
        let mut state = session.lock();
        if std::mem::replace(&mut state.is_report_due, true) {
            return;
        }
        drop(state);
        self.due.lock().unwrap_or_else(PoisonError::into_inner).push(session.clone());
        self.wake.notify_one();
    }

    /// A new owner knows nothing of anybody.
    pub(super) fn report_all<'a>(&self, sessions: impl Iterator<Item = &'a Arc<Session>>) {
        sessions.for_each(|session| self.due(session));
    }

    /// The owner says what a user shows.
    pub(super) fn told(&self, presence: &Presence) {
        // Held to the end: it is told, or it is lost before.
        let mut untold = self.untold();
        if let Some((_, users)) = &mut *untold {
            users.remove(&presence.user);
        }
        let mut shown = self.shown();
        if presence.status == "offline" {
            shown.remove(&presence.user);
        } else {
            shown.insert(presence.user, presence.clone());
        }
    }

    /// What a user shows now.
    pub(super) fn now(&self, user: Id) -> Presence {
        let offline = || Presence { user, status: "offline".to_owned(), activities: Vec::new() };
        self.shown().get(&user).cloned().unwrap_or_else(offline)
    }

    /// Presences as clients see them, of those who are not offline.
    pub(super) fn of(&self, users: impl Iterator<Item = Id>) -> Vec<Value> {
        let shown = self.shown();
        users.filter_map(|user| shown.get(&user)).map(payload).collect()
    }

    /// The members who are not offline.
    pub(super) fn online_among<'m>(&self, members: &'m HashMap<Id, Member>) -> Vec<&'m Member> {
        self.shown().keys().filter_map(|user| members.get(user)).collect()
    }
}

/// What others see of a presence.
fn payload(presence: &Presence) -> Value {
    let Presence { user, status, activities } = presence;
    let client = if status == "offline" { json!({}) } else { json!({ "desktop": status }) };
    json!({ "user": { "id": user }, "status": status, "activities": activities, "client_status": client })
}

/// A PRESENCE_UPDATE for one guild.
fn told_in(guild: Id, presence: &Presence) -> What {
    let mut d = payload(presence);
    d["guild_id"] = json!(guild);
    What::Dispatch {
        origin: None,
        to: To::Guild(guild),
        t: Kind::PresenceUpdate,
        author: Some(presence.user),
        mentions: Box::default(),
        d: d.to_string().into(),
    }
}

impl Hub {
    /// One PRESENCE_UPDATE for each guild of this process that the user is in.
    pub(super) fn expand(&self, order: &Order, presence: &Presence, whats: &mut Vec<What>) {
        for guild in order.seen.keys() {
            let Some(state) = self.replica.here(*guild) else { continue };
            let is_member =
                state.read().unwrap_or_else(PoisonError::into_inner).members.contains_key(&presence.user);
            if is_member {
                whats.push(told_in(*guild, presence));
            }
        }
    }

    /// Has it told that those are gone of whom the owner says nothing: their gateway has died, and the owner that knew
    /// of it with it.
    pub(super) fn tell_lost(&self, now: Mono) {
        let lost = self.presences.lose(now);
        if !lost.is_empty() {
            self.inbox.owe(lost, now);
            self.wake.notify_one();
        }
    }

    /// Somebody has joined a guild: its members have not heard yet how they are.
    pub(super) fn introduce(&self, guild: Id, user: Id, whats: &mut Vec<What>) {
        let presence = self.presences.shown().get(&user).cloned();
        if let Some(presence) = presence
            && self.inbox.presence(user, self.clock.now())
        {
            whats.push(told_in(guild, &presence));
        }
    }

    /// Reports presences until the system stops.
    pub(super) async fn report(self: Arc<Self>, mut keys: Rng) {
        loop {
            let due = std::mem::take(&mut *self.presences.due.lock().unwrap_or_else(PoisonError::into_inner));
            for session in &due {
                if self.report_one(session, &mut keys).await.is_err() {
                    self.presences.due(session);
                    if !self.tasks.sleep(AGAIN).await {
                        return;
                    }
                }
            }
            if due.is_empty() {
                tokio::select! {
                    () = self.presences.wake.notified() => {}
                    _ = self.tasks.stopping() => return,
                }
            }
        }
    }

    async fn report_one(&self, session: &Session, keys: &mut Rng) -> Result<(), crate::refusal::Refusal> {
        let (status, activities) = {
            let mut state = session.lock();
            state.is_report_due = false;
            if state.is_over {
                ("offline", Vec::new())
            } else {
                (state.shown.status, state.shown.activities.clone())
            }
        };
        let command = Command::Presence {
            gateway: self.gateway.clone(),
            session: session.id.to_string(),
            status: status.to_owned(),
            activities,
        };
        let mut key = [0; 16];
        key[..8].copy_from_slice(&keys.next_u64().to_le_bytes());
        key[8..].copy_from_slice(&keys.next_u64().to_le_bytes());
        let patience_ms = REPORT_PATIENCE.as_millis() as u64;
        let ask = Ask { actor: Some(session.user), command, key, patience_ms };
        self.owner.submit(ask).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shows(user: u64, status: &str) -> Presence {
        Presence { user: Id(user), status: status.to_owned(), activities: Vec::new() }
    }

    #[test]
    fn whoever_a_new_owner_says_nothing_of_is_gone_after_a_while() {
        let (presences, begun) = (Presences::default(), Mono(0));
        for user in 1..=4 {
            presences.told(&shows(user, "online"));
        }
        presences.doubt(begun);
        presences.told(&shows(1, "idle"));
        presences.told(&shows(2, "offline"));
        presences.told(&shows(5, "online"));
        assert!(presences.lose(begun + (RETOLD - Duration::from_millis(1))).is_empty());
        let statuses = || [1, 2, 3, 4, 5].map(|user| presences.now(Id(user)).status);
        assert_eq!(statuses(), ["idle", "offline", "online", "online", "online"]);
        let mut lost = presences.lose(begun + RETOLD);
        lost.sort_unstable();
        assert_eq!(lost, [Id(3), Id(4)]);
        assert_eq!(statuses(), ["idle", "offline", "offline", "offline", "online"]);
        assert!(presences.lose(begun + RETOLD * 9).is_empty(), "once");
    }

    #[test]
    fn a_second_new_owner_has_as_much_time_as_the_first() {
        let (presences, begun) = (Presences::default(), Mono(0));
        presences.told(&shows(1, "online"));
        presences.doubt(begun);
        presences.doubt(begun + RETOLD / 2);
        assert!(presences.lose(begun + RETOLD).is_empty());
        assert_eq!(presences.lose(begun + RETOLD + RETOLD / 2), [Id(1)]);
    }
}
