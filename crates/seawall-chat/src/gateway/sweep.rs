//! What is done once a second for all sessions, and at the end.
//!
//! One look over all of them costs less than a timer for each.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use seawall_policy::{Mono, Wall};

use super::conn::RECONNECT;
use super::hub::Hub;
use super::link::{Link, Phase};
use super::payload::Close;
use super::session::Session;
use crate::storage::{Moved, Renewed};

/// How often all sessions are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between the rarer chores.
const CHORES_EVERY: u32 = 30;
/// Looks within which a change of presence that came too soon is reported: Discord's 20 seconds, by four.
const LATE_EVERY: u32 = 4;
/// Records of sessions that no gateway speaks for stay so long: more than any session waits.
const RECORDS_KEPT: Duration = Duration::from_secs(3600);
/// Waves in which clients are asked to reconnect; a balancer and its other gateways take them one by one.
const WAVES: u32 = 10;
/// How often those are asked who came after the last wave.
const LATE_AGAIN: Duration = Duration::from_millis(200);

impl Hub {
    /// Looks after all sessions until the system stops.
    pub(super) async fn look_after(self: Arc<Self>) {
        let mut ticks: u32 = 0;
        while self.tasks.sleep(TICK).await {
            ticks = ticks.wrapping_add(1);
            let now = self.clock.now();
            for session in self.look(now, ticks) {
                self.expire(&session).await;
            }
            self.roll(now);
            self.forget_starts(now);
            self.tell_lost(now);
            self.strangers.forget(now);
            self.metrics.guilds.set(self.trim() as i64);
            if ticks.is_multiple_of(CHORES_EVERY) {
                self.chores().await;
            }
        }
    }

    /// Forgets guilds that no session hears of. Under the order's lock, so that nobody comes to hear of one meanwhile:
    /// who is about to holds it. How many guilds are here then.
    pub(super) fn trim(&self) -> usize {
        let order = self.order();
        self.replica.trim(self.config.guilds_idle_max, |guild| order.seen.contains_key(&guild))
    }

    /// Ends connections that nobody is at; gives back sessions whose client stayed away for too long.
    fn look(&self, now: Mono, ticks: u32) -> Vec<Arc<Session>> {
        let all: Vec<_> = self.order().sessions.values().cloned().collect();
        let mut expired = Vec::new();
        for session in all {
            let mut state = session.lock();
            let silent = now.since(state.seen);
            let is_late = ticks.is_multiple_of(LATE_EVERY) && std::mem::take(&mut state.is_shown_late);
            match state.link.clone() {
                Some(link) if silent > self.silence_max() => {
                    link.close(Close::Again("Heartbeats have stopped."));
                }
                Some(link) if state.is_dirty && state.fold.lsn < self.ring.tail() && link.is_holding() => {
                    self.fell_off(&mut state, &link);
                    // It takes nothing: it would not take the goodbye either.
                    link.abort();
                }
                Some(_) => {}
                None if silent > self.config.session_ttl => expired.push(session.clone()),
                None => {}
            }
            drop(state);
            if is_late {
                self.presences.due(&session);
            }
        }
        expired
    }

    async fn expire(&self, session: &Arc<Session>) {
        self.end(session);
        let id = session.id.to_string();
        let record = self.storage.session(&id).await;
        // Elsewhere it may live on.
        if record.is_ok_and(|record| record.is_some_and(|record| record.gateway == self.gateway)) {
            self.delete_record(session).await;
        }
    }

    async fn chores(&self) {
        if let Err(trouble) = self.storage.sessions_seen(&self.gateway).await {
            tracing::debug!(%trouble, "sessions cannot be marked as alive");
        }
        let wall = self.clock.wall();
        let kept = RECORDS_KEPT.max(self.config.session_ttl * 4);
        let before = Wall(wall.0.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)));
        if let Err(trouble) = self.storage.sessions_sweep(before).await {
            tracing::debug!(%trouble, "old session records cannot be swept");
        }
        let (journals, keep) = (self.journals.clone(), self.journals_kept());
        let swept = self.tasks.blocking(move || super::journal::sweep(&journals, wall, keep)).await;
        match swept {
            Ok(Ok(removed)) if !removed.is_empty() => {
                tracing::info!(journals = removed.len(), "old journals removed");
            }
            Ok(Err(error)) => tracing::warn!(%error, "old journals cannot be looked for"),
            Ok(Ok(_)) | Err(_) => {}
        }
    }

    /// Lets go of a session that another gateway has taken.
    pub(super) fn moved(&self, moved: &Moved) {
        if moved.gateway == self.gateway {
            return;
        }
        let Some(session) = moved.session.parse().ok().and_then(|id| self.session(id)) else { return };
        // It may have come back since.
        if session.lock().generation < moved.generation {
            self.let_go(&session);
        }
    }

    /// Ends sessions that were opened with a token which is worth nothing any more. Their records stay until they are
    /// swept: nobody can show that token again.
    pub(super) fn renewed(&self, renewed: &Renewed) {
        let all = self.order().by_user.get(&renewed.user).cloned().unwrap_or_default();
        for session in all.iter().filter(|session| session.token_hash != renewed.token_hash) {
            self.end_with(session, Close::BadToken);
        }
    }

    /// Ends a session; its connection, if it has one, with these words.
    pub(super) fn end_with(&self, session: &Arc<Session>, close: Close) {
        let link = session.lock().link.clone();
        if let Some(link) = link {
            link.close(close);
        }
        self.end(session);
    }

    /// Sends clients away, a few at a time, when the system is asked to stop.
    pub(super) async fn drain(self: Arc<Self>) {
        let grace = self.tasks.stopping().await;
        self.is_draining.store(true, Ordering::Release);
        let links: Vec<Arc<Link>> =
            self.order().sessions.values().filter_map(|session| session.lock().link.clone()).collect();
        if !links.is_empty() {
            tracing::info!(connections = links.len(), "asking clients to reconnect");
        }
        // The last third is for those who are slow to go.
        let pause = grace * 2 / 3 / WAVES;
        for wave in links.chunks(links.len().div_ceil(WAVES as usize).max(1)) {
            wave.iter().for_each(|link| link.send(RECONNECT));
            tokio::time::sleep(pause).await;
            wave.iter().for_each(|link| {
                link.close(Close::Again("Reconnect."));
            });
        }
        // Who came meanwhile, to resume or to knock, and who still comes: until the process ends.
        loop {
            let late: Vec<_> =
                self.order().sessions.values().filter_map(|session| session.lock().link.clone()).collect();
            for link in late.iter().filter(|link| link.phase() == Phase::Open) {
                link.send(RECONNECT);
                link.close(Close::Again("Reconnect."));
            }
            tokio::time::sleep(LATE_AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use seawall_policy::Clock;

    use super::*;
    use crate::gateway::scene::{Scene, connected, identified, resumed};

    #[tokio::test]
    async fn who_comes_while_the_process_stops_is_asked_to_go_too() {
        let scene = Scene::new().await;
        let (hub, ann) = (scene.hub().await, scene.person(5).await);
        let (link, peer) = connected().await;
        let session = identified(&hub, &link, &ann).await;
        drop(peer);
        session.disconnect(&mut session.lock(), &link, scene.clock.now());
        scene.host.tasks.stop(Duration::ZERO);
        let comes = async {
            for _ in 0..2 {
                let (link, mut peer) = connected().await;
                assert!(resumed(&hub, &link, &ann, &session, 1).await);
                assert_eq!(peer.next().await.unwrap()["op"], 7);
                assert_eq!(peer.next().await, Err(4000));
            }
        };
        tokio::select! {
            biased;
            () = hub.clone().drain() => panic!("it looks no more"),
            () = comes => {}
        }
    }
}
