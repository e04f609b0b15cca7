//! What users show of themselves, put together from all their sessions.
//!
//! Kept by one owner for its reign and nowhere else: a new owner says so ([`super::News::Owner`]), and every gateway
//! reports its sessions again.
//!
//! A subscriber that lags must not miss that somebody went offline, so changes are not a queue: each user has the
//! number of its last change, and a subscriber asks for all after the last number it knows. However slow it is, it
//! gets each user once, with what is true now.

use std::collections::{BTreeMap, HashMap, HashSet};

use seawall_policy::Mono;
use serde_json::value::RawValue;

use super::limits::{GATEWAY_GONE, OFFLINE_KEPT_MAX, PRESENCE_EVERY, SESSIONS_MAX};
use crate::event::Presence;
use crate::id::Id;

/// All presences of one reign.
#[derive(Debug, Default)]
pub struct Presences {
    users: HashMap<Id, Person>,
    /// Users by the number of their last change.
    changes: BTreeMap<u64, Id>,
    /// Users with a change that has no number yet.
    dirty: HashSet<Id>,
    gateways: HashMap<String, Gateway>,
    last: u64,
    offline: usize,
}

#[derive(Debug, Default)]
struct Person {
    sessions: Vec<Session>,
    /// What was told last, and with which number.
    told: Shown,
    number: u64,
    told_at: Option<Mono>,
}

#[derive(Debug)]
struct Session {
    gateway: String,
    id: String,
    shown: Shown,
}

#[derive(Debug, Clone, Default)]
struct Shown {
    status: Status,
    activities: Vec<Box<RawValue>>,
}

/// In the order in which one session's hides another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Status {
    #[default]
    Offline,
    Idle,
    Online,
    Dnd,
}

#[derive(Debug, Default)]
struct Gateway {
    subscriptions: usize,
    gone_since: Option<Mono>,
}

impl Shown {
    fn is_like(&self, other: &Shown) -> bool {
        let texts = |shown: &Shown| shown.activities.iter().map(|a| a.get().to_owned()).collect::<Vec<_>>();
        self.status == other.status && texts(self) == texts(other)
    }
}

impl Status {
    fn parse(text: &str) -> Status {
        match text {
            "online" => Status::Online,
            "idle" => Status::Idle,
            "dnd" => Status::Dnd,
            // Invisible is offline to everyone, and so is what we do not know.
            _ => Status::Offline,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Status::Offline => "offline",
            Status::Idle => "idle",
            Status::Online => "online",
            Status::Dnd => "dnd",
        }
    }
}

impl Presences {
    /// A session shows this of itself, or ends with "offline".
    pub fn set(
        &mut self,
        user: Id,
        gateway: &str,
        session: &str,
        status: &str,
        activities: Vec<Box<RawValue>>,
        now: Mono,
    ) {
        self.gateways
            .entry(gateway.to_owned())
            .or_insert_with(|| Gateway { subscriptions: 0, gone_since: Some(now) });
        let person = self.users.entry(user).or_default();
        person.sessions.retain(|s| (s.gateway.as_str(), s.id.as_str()) != (gateway, session));
        if status != "offline" {
            if person.sessions.len() >= SESSIONS_MAX {
                person.sessions.remove(0);
            }
            let shown = Shown { status: Status::parse(status), activities };
            person.sessions.push(Session { gateway: gateway.to_owned(), id: session.to_owned(), shown });
        }
        self.dirty.insert(user);
    }

    /// A gateway subscribed.
    pub fn gateway_came(&mut self, gateway: &str) {
        let known = self.gateways.entry(gateway.to_owned()).or_default();
        known.subscriptions += 1;
        known.gone_since = None;
    }

    /// A subscription of a gateway ended.
    pub fn gateway_went(&mut self, gateway: &str, now: Mono) {
        if let Some(known) = self.gateways.get_mut(gateway) {
            known.subscriptions = known.subscriptions.saturating_sub(1);
            if known.subscriptions == 0 {
                known.gone_since = Some(now);
            }
        }
    }

    /// Notices gateways that have gone for good, and gives changes their numbers: each user's at most one per
    /// [`PRESENCE_EVERY`]. Returns the last number if there is a new one.
    pub fn tick(&mut self, now: Mono) -> Option<u64> {
        self.forget_gone(now);
        let before = self.last;
        for user in std::mem::take(&mut self.dirty) {
            let Some(person) = self.users.get_mut(&user) else { continue };
            if person.told_at.is_some_and(|at| now.since(at) < PRESENCE_EVERY) {
                self.dirty.insert(user);
                continue;
            }
            let shown = person.shown();
            if shown.is_like(&person.told) {
                if person.number == 0 && person.sessions.is_empty() {
                    // It came and went before anybody heard of it.
                    self.users.remove(&user);
                }
                continue;
            }
            let is_offline = |shown: &Shown| usize::from(shown.status == Status::Offline);
            if person.number > 0 {
                self.offline -= is_offline(&person.told);
            }
            self.offline += is_offline(&shown);
            self.changes.remove(&person.number);
            self.last += 1;
            self.changes.insert(self.last, user);
            (person.told, person.number, person.told_at) = (shown, self.last, Some(now));
        }
        self.forget_offline();
        (self.last > before).then_some(self.last)
    }

    fn forget_gone(&mut self, now: Mono) {
        let is_over = |g: &Gateway| g.gone_since.is_some_and(|since| now.since(since) >= GATEWAY_GONE);
        let gone = self.gateways.iter().filter(|(_, g)| is_over(g)).map(|(name, _)| name.clone());
        for gateway in gone.collect::<Vec<_>>() {
            self.gateways.remove(&gateway);
            for (user, person) in &mut self.users {
                let before = person.sessions.len();
                person.sessions.retain(|s| s.gateway != gateway);
                if person.sessions.len() < before {
                    self.dirty.insert(*user);
                }
            }
        }
    }

    /// Those who went offline longest ago are forgotten once there are many.
    fn forget_offline(&mut self) {
        if self.offline <= OFFLINE_KEPT_MAX {
            return;
        }
        let excess = self.offline - OFFLINE_KEPT_MAX;
        let is_off = |user: &Id| {
            self.users.get(user).is_some_and(|p| p.told.status == Status::Offline && p.sessions.is_empty())
        };
        let oldest = self.changes.iter().filter(|(_, user)| is_off(user)).take(excess);
        for (number, user) in oldest.map(|(n, u)| (*n, *u)).collect::<Vec<_>>() {
            self.changes.remove(&number);
            self.users.remove(&user);
            self.offline -= 1;
        }
    }

    /// At most `max` users that changed after number `from`, each with its number.
    #[must_use]
    pub fn since(&self, from: u64, max: usize) -> Vec<(u64, Presence)> {
        let changed = self.changes.range(from + 1..).take(max);
        changed
            .filter_map(|(number, user)| {
                let told = &self.users.get(user)?.told;
                let status = told.status.name().to_owned();
                let activities = told.activities.clone();
                Some((*number, Presence { user: *user, status, activities }))
            })
            .collect()
    }
}

impl Person {
    /// The strongest status of all sessions, and what the newest of them does that does anything.
    fn shown(&self) -> Shown {
        let status = self.sessions.iter().map(|s| s.shown.status).max().unwrap_or_default();
        if status == Status::Offline {
            return Shown::default();
        }
        let visible = self.sessions.iter().rev().filter(|s| s.shown.status != Status::Offline);
        let busy = visible.map(|s| &s.shown.activities).find(|a| !a.is_empty());
        Shown { status, activities: busy.cloned().unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(ms: u64) -> Mono {
        Mono(0) + Duration::from_millis(ms)
    }

    fn heard(p: &Presences, from: u64) -> Vec<(Id, String)> {
        p.since(from, 100).into_iter().map(|(_, p)| (p.user, p.status)).collect()
    }

    fn with_gateways() -> Presences {
        let mut p = Presences::default();
        p.gateway_came("g");
        p.gateway_came("h");
        p
    }

    #[test]
    fn the_strongest_status_of_all_sessions_is_shown() {
        let mut p = with_gateways();
        p.set(Id(1), "g", "a", "idle", Vec::new(), at(0));
        p.set(Id(1), "h", "b", "online", Vec::new(), at(0));
        assert_eq!(p.tick(at(0)), Some(1));
        assert_eq!(heard(&p, 0), [(Id(1), "online".to_owned())]);
        p.set(Id(1), "h", "b", "offline", Vec::new(), at(1000));
        p.tick(at(1000));
        assert_eq!(heard(&p, 1), [(Id(1), "idle".to_owned())]);
    }

    #[test]
    fn invisible_is_offline_and_shows_nothing() {
        let mut p = with_gateways();
        let game = serde_json::value::to_raw_value("chess").unwrap();
        p.set(Id(1), "g", "a", "invisible", vec![game], at(0));
        assert_eq!(p.tick(at(0)), None);
        assert_eq!(heard(&p, 0), []);
        p.set(Id(1), "g", "a", "dnd", Vec::new(), at(1));
        p.tick(at(1));
        p.set(Id(1), "g", "a", "invisible", Vec::new(), at(500));
        p.tick(at(500));
        assert_eq!(heard(&p, 0), [(Id(1), "offline".to_owned())]);
    }

    #[test]
    fn changes_in_a_moment_are_told_as_one() {
        let mut p = with_gateways();
        p.set(Id(1), "g", "a", "online", Vec::new(), at(0));
        assert_eq!(p.tick(at(0)), Some(1));
        for ms in 1..99 {
            p.set(Id(1), "g", "a", if ms % 2 == 0 { "idle" } else { "dnd" }, Vec::new(), at(ms));
            assert_eq!(p.tick(at(ms)), None);
        }
        assert_eq!(p.tick(at(100)), Some(2));
        assert_eq!(heard(&p, 1), [(Id(1), "idle".to_owned())]);
    }

    #[test]
    fn a_gateway_that_is_gone_for_ten_seconds_loses_its_presences() {
        let mut p = with_gateways();
        p.set(Id(1), "g", "a", "online", Vec::new(), at(0));
        p.set(Id(2), "h", "b", "online", Vec::new(), at(0));
        p.tick(at(0));
        p.gateway_went("g", at(1000));
        assert_eq!(p.tick(at(10_999)), None);
        assert!(p.tick(at(11_000)).is_some());
        assert_eq!(heard(&p, 2), [(Id(1), "offline".to_owned())]);
        // One that comes back in time loses nothing.
        p.gateway_went("h", at(12_000));
        p.gateway_came("h");
        assert_eq!(p.tick(at(60_000)), None);
    }

    #[test]
    fn who_was_away_hears_each_user_once_and_as_it_is_now() {
        let mut p = with_gateways();
        for round in 0..50 {
            for user in 0..10 {
                p.set(
                    Id(user),
                    "g",
                    "a",
                    if round % 2 == 0 { "online" } else { "offline" },
                    Vec::new(),
                    at(0),
                );
            }
            p.tick(at(round * 200));
        }
        let all = heard(&p, 0);
        assert_eq!(all.len(), 10);
        assert!(all.iter().all(|(_, status)| status == "offline"), "{all:?}");
        assert!(heard(&p, p.last).is_empty());
    }

    #[test]
    fn many_who_went_offline_are_forgotten() {
        let mut p = with_gateways();
        let many = OFFLINE_KEPT_MAX as u64 + 100;
        for status in ["online", "offline"] {
            for user in 0..many {
                p.set(Id(user), "g", "a", status, Vec::new(), at(0));
            }
            let ms = if status == "online" { 0 } else { 1000 };
            p.tick(at(ms));
        }
        assert_eq!((p.users.len(), p.changes.len()), (OFFLINE_KEPT_MAX, OFFLINE_KEPT_MAX));
    }
}
