//! Following one service: ask, wait for a change, hand it out, keep it; and what to do when nobody answers.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use seawall_policy::{Mono, Outcome, Rng, retry};
use tokio::sync::watch;

use super::cache::{self, Kept};
use super::{Discovery, Freshness, Instance, Snapshot, wire};
use crate::pool::{Chosen, Pool};

/// How long the registry may hold a question open; it adds up to a sixteenth of its own.
const WAIT: Duration = Duration::from_secs(60);
/// On top of that, for the answer to travel.
const PATIENCE: Duration = Duration::from_secs(70);
/// For a question that is answered at once; it includes connecting, and a registry whose machine is gone must not
/// keep the others from being asked.
const PATIENCE_AT_ONCE: Duration = Duration::from_secs(5);
/// Largest answer read: 100,000 instances of about 1 KiB.
const BODY_MAX: usize = 128 * 1024 * 1024;
/// Least time between two questions: a registry that answers at once every time must not be hammered.
const PACE: Duration = Duration::from_millis(20);
/// The same for one that names no index: it cannot hold a question open, so it is polled.
const POLL: Duration = Duration::from_secs(1);

/// The file may lag behind the last answer by this part of `stale_max`: a quarter.
const FILE_AGE_SHARE: u128 = 4;

/// The last answer, and how much of it a cold start would find.
struct Memory {
    kept: Kept,
    /// The `since` in the file.
    saved: i64,
}

/// Whom to ask next, and for news since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Question {
    turn: usize,
    /// Of the registry whose turn it is: another one counts for itself, and would hold the question open until its
    /// own count has come as far.
    index: u64,
}

impl Question {
    fn to(&mut self, registries: &Pool, now: Mono) -> Option<Chosen> {
        let (place, chosen) = registries.in_turn(self.turn, now)?;
        if place != self.turn {
            *self = Question { turn: place, index: 0 };
        }
        Some(chosen)
    }
}

impl Discovery {
    pub(super) async fn follow(&self, service: String, out: watch::Sender<Snapshot>) {
        let tasks = &self.0.host.tasks;
        let mut known = self.load(&service).await;
        if known.is_some() {
            self.fall_back(&service, known.as_ref(), &out);
        }
        let registries = self.0.settings.config.registry.len();
        let mut failures: u32 = 0;
        // The registry that answers is the one to stay with; the next one is asked after a failure only.
        let mut question = Question { turn: 0, index: 0 };
        let mut rng = Rng::new(self.0.host.seed ^ xor_of(&service));
        loop {
            // Like the report in `judge`: for a breaker's windows of seconds, and no latency.
            let now = self.0.host.clock.coarse();
            let Some(chosen) = question.to(&self.0.registries, now) else { return };
            let registry = chosen.addr();
            let asked = tokio::select! {
                asked = self.ask(registry, &service, question.index) => asked,
                _ = tasks.stopping() => return,
            };
            self.judge(chosen, asked.is_ok());
            let pause = match asked {
                Ok(answer) => {
                    if failures > 0 {
                        tracing::info!(service, %registry, "registry reachable again");
                    }
                    failures = 0;
                    // An index that went back means a restored registry: start over (Consul's own rule).
                    question.index = if answer.index < question.index { 0 } else { answer.index };
                    self.publish(&service, answer.instances, &mut known, &out).await;
                    if answer.index == 0 { POLL } else { PACE }
                }
                Err(why) => {
                    failures = failures.saturating_add(1);
                    question = Question { turn: question.turn + 1, index: 0 };
                    if failures == 1 {
                        tracing::warn!(service, %registry, why, "registry unreachable, going on with what is known");
                    }
                    // One of several that is gone is no reason to doubt what was heard a moment ago.
                    if failures as usize >= registries {
                        self.fall_back(&service, known.as_ref(), &out);
                    }
                    back_off(failures, &mut rng)
                }
            };
            if !tasks.sleep(pause).await {
                return;
            }
        }
    }

    async fn load(&self, service: &str) -> Option<Memory> {
        let dir = self.0.settings.cache_dir.clone();
        let name = service.to_owned();
        let kept = self.0.host.tasks.blocking(move || cache::load(&dir, &name)).await.ok().flatten()?;
        Some(Memory { saved: kept.since, kept })
    }

    async fn publish(
        &self,
        service: &str,
        instances: Vec<Instance>,
        known: &mut Option<Memory>,
        out: &watch::Sender<Snapshot>,
    ) {
        let fresh = Snapshot { instances: instances.as_slice().into(), freshness: Freshness::Fresh };
        out.send_if_modified(|now| {
            let changed = *now != fresh;
            *now = fresh;
            changed
        });
        let now = self.0.host.clock.wall();
        if let Some(memory) = known
            && memory.kept.instances == instances
        {
            // Same instances: the moment of the last answer moves in memory, and now and then in the file, lest a
            // cold start take a list that never changed for one that grew too old.
            memory.kept.since = now.0;
            let file_ms_max = self.0.settings.config.stale_max.as_millis() / FILE_AGE_SHARE;
            if u128::try_from(now.0.saturating_sub(memory.saved)).unwrap_or(0) < file_ms_max {
                return;
            }
        }
        let kept = Kept::new(now, instances);
        *known = Some(Memory { kept: kept.clone(), saved: now.0 });
        let dir = self.0.settings.cache_dir.clone();
        let name = service.to_owned();
        match self.0.host.tasks.blocking(move || cache::save(&dir, &name, &kept)).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => {
                tracing::warn!(service, error = %e, "cannot keep the instances for a start without registry");
            }
            Err(e) => tracing::warn!(service, error = %e, "cannot keep the instances"),
        }
    }

    fn fall_back(&self, service: &str, known: Option<&Memory>, out: &watch::Sender<Snapshot>) {
        let now = self.0.host.clock.wall();
        let next = self.0.settings.without_registry(service, known.map(|m| &m.kept), now);
        let is_expired = next.freshness == Freshness::Expired;
        let changed = out.send_if_modified(|now| {
            let changed = *now != next;
            *now = next;
            changed
        });
        if changed && is_expired {
            tracing::error!(
                service,
                "no registry for longer than stale_max, handing out no instances (fail-closed)"
            );
        }
    }

    async fn ask(&self, registry: SocketAddr, service: &str, index: u64) -> Result<Answer, String> {
        let name = utf8_percent_encode(service, NON_ALPHANUMERIC);
        let path = format!("/v1/health/service/{name}?passing&index={index}&wait={}s", WAIT.as_secs());
        let request = Request::get(path)
            .header(http::header::HOST, registry.to_string())
            .body(Bytes::new())
            .map_err(|e| e.to_string())?;
        let answer = self
            .0
            .client
            .call(registry, request, if index == 0 { PATIENCE_AT_ONCE } else { PATIENCE }, BODY_MAX)
            .await
            .map_err(|e| seawall_net::host::chain(&e))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it answered {}", answer.status()));
        }
        let index = answer
            .headers()
            .get("x-consul-index")
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.parse().ok())
            .unwrap_or(0);
        let instances = wire::instances(answer.body()).map_err(|e| e.to_string())?;
        Ok(Answer { index, instances })
    }
}

impl Discovery {
    /// Tells a registry's breaker how a call went.
    pub(super) fn judge(&self, chosen: Chosen, answered: bool) {
        let registry = chosen.addr();
        let outcome = if answered { Outcome::Success } else { Outcome::Failed };
        if let Some(change) = chosen.report(outcome, self.0.host.clock.coarse()) {
            let (from, to) = (change.from.as_str(), change.to.as_str());
            tracing::info!(%registry, from, to, "breaker changed state");
        }
    }
}

struct Answer {
    index: u64,
    instances: Vec<Instance>,
}

/// The registry document's 100, 500 and 2,000 ms, with full jitter so that a fleet does not return as one;
/// the last step repeats for as long as nobody answers, since this loop serves no single caller.
pub(super) fn back_off(failures: u32, rng: &mut Rng) -> Duration {
    const STEPS: u32 = 3;
    let policy =
        retry::Policy { attempts: STEPS + 1, within: Duration::MAX, ..retry::Policy::s4_discovery() };
    let step = failures.clamp(1, STEPS);
    match policy.next(step, Outcome::Unreachable, true, Duration::ZERO, Duration::MAX, rng) {
        retry::Next::Again { after, .. } | retry::Next::Elsewhere { after, .. } => after.max(PACE),
        // A policy that would give up still leaves this loop to go on.
        retry::Next::Stop(_) => Duration::from_secs(2),
    }
}

/// Spreads the clients of one process apart; no more is asked of it.
fn xor_of(service: &str) -> u64 {
    service.bytes().fold(0, |h, b| h.rotate_left(7) ^ u64::from(b))
}

#[cfg(test)]
mod tests {
    use seawall_policy::breaker::Policy;

    use super::*;

    const fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    #[test]
    fn an_index_is_never_taken_to_another_registry_and_the_one_that_answers_is_stayed_with() {
        let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let registries = Pool::new(Policy::s4_registry());
        registries.set([addr(1), addr(2)]);
        // Other watches found out that the first is gone.
        for _ in 0..5 {
            let (_, chosen) = registries.in_turn(0, at(1)).unwrap();
            chosen.report(Outcome::Failed, at(1));
        }
        let mut question = Question { turn: 0, index: 70 };
        let chosen = question.to(&registries, at(2)).unwrap();
        assert_eq!((chosen.addr(), question), (addr(2), Question { turn: 1, index: 0 }));
        chosen.report(Outcome::Success, at(2));
        question.index = 9;
        // The first may be tested again; this question is the second one's.
        assert_eq!(question.to(&registries, at(60)).unwrap().addr(), addr(2));
        assert_eq!(question, Question { turn: 1, index: 9 });
    }
}
