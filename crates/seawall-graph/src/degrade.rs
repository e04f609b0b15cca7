//! What is given up when a database fails, and how it is said. Each database by itself: one bad shard of many must not
//! stop the others.
//!
//! | what happens | reads | writes | `/-/ready` |
//! |---|---|---|---|
//! | nothing | from memory, else from the store | done | ready |
//! | level 3 (S1: more than 1 % of its calls fail) | from memory, however old; else from the store | `read_only` | degraded |
//! | its reads' breaker is open | from memory, however old; else `unavailable` | `read_only` | degraded |
//! | its writes' breaker is open | as ever | `read_only` | degraded |
//! | its news cannot be read | as ever, until memory's time is over | done | degraded |
//!
//! Reads and writes have a breaker each: a full disk refuses writes and still answers reads. The ladder sees both: its
//! signal is the share of calls that failed, of at least 200 in 10 s.
//!
//! ## Coming back
//!
//! A ladder that knows nothing stays where it is, and while writes are refused a quiet database sees too few calls to
//! know anything. So at level 3 the leader asks it by itself, often enough to know ([`Ladders::probes`]).
//!
//! ## What does not count
//!
//! Being busy is no loss: places and queues are bounded, and whoever finds them full is told so at once.

use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seawall_net::host::State;
use seawall_net::tasks::Tasks;
use seawall_policy::breaker::{self, Breaker, Permit, Transition};
use seawall_policy::ladder::condition::{Signal, Value};
use seawall_policy::ladder::{Core, UnknownRung};
use seawall_policy::signal::Share;
use seawall_policy::{Clock, Mono, Outcome};
use serde::Serialize;
use tokio::sync::watch;

use crate::call::Refusal;
use crate::config::Config;
use crate::metrics::Metrics;

/// How often the ladders are stepped.
pub const STEP: Duration = Duration::from_secs(1);
/// Calls in one step that are enough to judge a database by, should nobody else call it: 200 in 10 s, and some to spare.
const CALLS_ENOUGH: u64 = 25;
/// When a write that a level refuses may be worth another try. The level itself lasts a minute and more; whoever comes
/// back every ten seconds loses little and asks little.
const LEVEL_RETRY: Duration = Duration::from_secs(10);
/// When a write may be worth another try while the breaker's probes are out.
const PROBE_RETRY: Duration = Duration::from_secs(1);

/// `reads=stale` of the ladder's rung.
const STALE: u8 = 1;
/// `writes=off`.
const NO_WRITES: u8 = 2;

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It reads.
    Read,
    /// It writes.
    Write,
}

/// Where one database stands, for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Its number, from 0.
    pub shard: u32,
    /// Its level of degradation; 0 is none.
    pub level: u8,
    /// The level it is pinned at, if it is.
    pub pinned: Option<u8>,
    /// Why, with the numbers of the moment it changed.
    pub why: String,
    /// The breaker of its reads: `closed`, `open` or `half-open`.
    pub reads: &'static str,
    /// The breaker of its writes.
    pub writes: &'static str,
    /// Whether its news can be read.
    pub has_news: bool,
    /// Its newest position that is known here.
    pub position: u64,
    /// Changes the leader's memory has not heard of yet.
    pub lag: u64,
}

/// Who leads, for `/-/ready`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The store is being opened, or it is being found out who leads.
    Starting,
    /// Another process leads.
    Standby,
    /// This one does.
    Leading,
}

/// The ladders and breakers of all databases. Cheap to clone.
#[derive(Clone)]
pub struct Ladders(Arc<Inner>);

struct Inner {
    shards: Box<[Shard]>,
    stage: Mutex<Stage>,
    state: watch::Sender<State>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

/// One database's.
struct Shard {
    reads: Breaker,
    writes: Breaker,
    calls: AtomicU64,
    failed: AtomicU64,
    /// [`STALE`] and [`NO_WRITES`], for the path of each request.
    effects: AtomicU8,
    judged: Mutex<Judged>,
}

struct Judged {
    ladder: Core,
    errors: Share,
    /// Calls and failures the share was told of.
    told: (u64, u64),
    has_news: bool,
}

/// Leave to make one call to a database. Given up when dropped: the caller left for reasons of its own.
#[must_use = "tell what became of the call"]
pub struct Pass<'a> {
    ladders: &'a Ladders,
    shard: u32,
    way: Way,
    permit: Option<Permit>,
}

impl Pass<'_> {
    /// Tells what became of the call.
    pub fn report(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(permit) = self.permit.take() {
            self.ladders.told(self.shard, self.way, permit, outcome);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.end(Outcome::Abandoned);
    }
}

impl Shard {
    fn breaker(&self, way: Way) -> &Breaker {
        match way {
            Way::Read => &self.reads,
            Way::Write => &self.writes,
        }
    }

    fn judged(&self) -> MutexGuard<'_, Judged> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ladders {
    /// Nothing given up, and starting.
    #[must_use]
    pub fn new(config: &Config, clock: &Arc<dyn Clock>, metrics: &Metrics) -> Ladders {
        let policy: Arc<breaker::Policy> = config.store_breaker.clone().into();
        let now = clock.now();
        let shard = |_| Shard {
            reads: Breaker::new(policy.clone()),
            writes: Breaker::new(policy.clone()),
            calls: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            effects: AtomicU8::new(0),
            judged: Mutex::new(Judged {
                ladder: Core::new(config.ladder.clone(), now),
                errors: Share::s1_graph(),
                told: (0, 0),
                has_news: true,
            }),
        };
        Ladders(Arc::new(Inner {
            shards: (0..config.shards).map(shard).collect(),
            stage: Mutex::new(Stage::Starting),
            state: watch::Sender::new(State::Starting(STARTING)),
            clock: clock.clone(),
            metrics: metrics.clone(),
        }))
    }

    /// What `/-/ready` reads.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.0.state.subscribe()
    }

    /// Who leads has changed.
    pub fn set_stage(&self, stage: Stage) {
        *self.0.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
        self.0.metrics.leads.set(i64::from(stage == Stage::Leading));
        self.publish();
    }

    /// Whether the news of a database can be read; said again, it changes nothing.
    pub fn news(&self, shard: u32, arrive: bool) {
        let before = std::mem::replace(&mut self.shard(shard).judged().has_news, arrive);
        if before != arrive {
            if arrive {
                tracing::info!(shard, "the changes of the shard are followed again");
            } else {
                tracing::warn!(
                    shard,
                    "the changes of the shard cannot be followed, memory is trusted for its time"
                );
            }
            self.publish();
        }
    }

    /// Whether memory may answer however old it is, without asking the store first.
    #[must_use]
    pub fn prefers_memory(&self, shard: u32) -> bool {
        self.shard(shard).effects.load(Ordering::Relaxed) & STALE != 0
    }

    /// Leave to write, besides the breaker's: no level is against it, and what must be read for it can be.
    ///
    /// # Errors
    /// [`Refusal::ReadOnly`].
    pub fn may_write(&self, shard: u32, now: Mono) -> Result<(), Refusal> {
        let this = self.shard(shard);
        let after = if this.effects.load(Ordering::Relaxed) & NO_WRITES != 0 {
            LEVEL_RETRY
        } else {
            match this.reads.state(now) {
                breaker::State::Open { until } => until.since(now),
                breaker::State::Closed | breaker::State::HalfOpen => return Ok(()),
            }
        };
        Err(Refusal::ReadOnly { shard, retry_ms: ms(after) })
    }

    /// Asks the breaker for leave to make a call.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] of a read, [`Refusal::ReadOnly`] of a write: it is being left alone.
    pub fn admit(&self, shard: u32, way: Way, now: Mono) -> Result<Pass<'_>, Refusal> {
        match self.shard(shard).breaker(way).admit(now) {
            Ok(permit) => Ok(Pass { ladders: self, shard, way, permit: Some(permit) }),
            Err(retry_at) => {
                let wait = retry_at.0.since(now);
                let retry_ms = ms(if wait.is_zero() { PROBE_RETRY } else { wait });
                Err(match way {
                    Way::Read => Refusal::Unavailable { shard, retry_ms },
                    Way::Write => Refusal::ReadOnly { shard, retry_ms },
                })
            }
        }
    }

    /// Makes a call if it may be made, and tells how it went as `judge` says.
    ///
    /// # Errors
    /// As [`Ladders::admit`].
    pub async fn call<T>(
        &self,
        shard: u32,
        way: Way,
        call: impl Future<Output = T>,
        judge: impl FnOnce(&T) -> Outcome,
    ) -> Result<T, Refusal> {
        let pass = self.admit(shard, way, self.0.clock.now())?;
        let answer = call.await;
        pass.report(judge(&answer));
        Ok(answer)
    }

    fn told(&self, shard: u32, way: Way, permit: Permit, outcome: Outcome) {
        let this = self.shard(shard);
        if outcome != Outcome::Abandoned {
            this.calls.fetch_add(1, Ordering::Relaxed);
        }
        if outcome.is_failure() && outcome != Outcome::Overloaded {
            this.failed.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(change) = this.breaker(way).report(permit, outcome, self.0.clock.now()) {
            self.log(shard, way, outcome, change);
            self.publish();
        }
    }

    fn log(&self, shard: u32, way: Way, outcome: Outcome, change: Transition) {
        let (from, to) = (change.from, change.to);
        tracing::warn!(shard, ?way, ?outcome, ?from, ?to, "breaker changed state");
    }

    /// Steps until the system stops.
    pub async fn run(self, tasks: Tasks) {
        while tasks.sleep(STEP).await {
            self.step(self.0.clock.now());
        }
    }

    /// Looks at what happened since the last time, and decides. To be called every [`STEP`].
    pub fn step(&self, now: Mono) {
        for (number, shard) in self.numbers().zip(&self.0.shards) {
            let mut judged = shard.judged();
            let told = (shard.calls.load(Ordering::Relaxed), shard.failed.load(Ordering::Relaxed));
            let before = std::mem::replace(&mut judged.told, told);
            judged.errors.add(now, told.1 - before.1, told.0 - before.0);
            self.apply(number, shard, &mut judged, now);
        }
        self.publish();
    }

    fn apply(&self, number: u32, shard: &Shard, judged: &mut Judged, now: Mono) {
        let Judged { ladder, errors, .. } = judged;
        for change in ladder.step(now, |signal| reading(signal, errors, now)) {
            if change.entered {
                tracing::warn!(shard = number, "degradation: {change}");
            } else {
                tracing::info!(shard = number, "degradation: {change}");
            }
        }
        let stale = if ladder.effect("reads") == Some("stale") { STALE } else { 0 };
        let no_writes = if ladder.effect("writes") == Some("off") { NO_WRITES } else { 0 };
        shard.effects.store(stale | no_writes, Ordering::Relaxed);
        self.0.metrics.level(number, ladder.level());
    }

    /// How many calls the leader should make to a database by itself, so that its ladder can judge it.
    #[must_use]
    pub fn probes(&self, shard: u32) -> u64 {
        let this = self.shard(shard);
        if this.effects.load(Ordering::Relaxed) != 0 {
            return CALLS_ENOUGH;
        }
        // A breaker that may be tested need not wait for somebody to want something.
        let is_due = this.reads.state(self.0.clock.now()) == breaker::State::HalfOpen;
        if is_due { u64::from(this.reads.policy().half_open.admit) } else { 0 }
    }

    /// Pins the ladder of a database at a level, 0 for normal operation, or gives it back to its conditions. Takes
    /// effect before it returns, and lasts until the process ends.
    ///
    /// # Errors
    /// There is no such level; the error lists those there are.
    pub fn pin(&self, shard: u32, level: Option<u8>, now: Mono) -> Result<(), UnknownRung> {
        let this = self.shard(shard);
        let mut judged = this.judged();
        judged.ladder.pin_level(level)?;
        self.apply(shard, this, &mut judged, now);
        drop(judged);
        self.publish();
        Ok(())
    }

    /// Where a database stands; position and lag are for the leader to fill in.
    #[must_use]
    pub fn report(&self, shard: u32) -> Report {
        let this = self.shard(shard);
        let now = self.0.clock.now();
        let judged = this.judged();
        let top = judged.ladder.standings().filter(|rung| rung.active).last();
        let why = top.or_else(|| judged.ladder.standings().next()).map(|rung| rung.why.to_owned());
        Report {
            shard,
            level: judged.ladder.level(),
            pinned: judged.ladder.pinned_level(),
            why: why.unwrap_or_default(),
            reads: this.reads.state(now).as_str(),
            writes: this.writes.state(now).as_str(),
            has_news: judged.has_news,
            position: 0,
            lag: 0,
        }
    }

    fn shard(&self, shard: u32) -> &Shard {
        &self.0.shards[shard as usize]
    }

    fn numbers(&self) -> Range<u32> {
        0..u32::try_from(self.0.shards.len()).unwrap_or(u32::MAX)
    }

    fn publish(&self) {
        let stage = *self.0.stage.lock().unwrap_or_else(PoisonError::into_inner);
        let state = match stage {
            Stage::Starting => State::Starting(STARTING),
            Stage::Standby => State::Starting("standing by: another process leads this graph"),
            Stage::Leading => self.losses(),
        };
        self.0.state.send_if_modified(|old| {
            let is_new = *old != state;
            if is_new {
                *old = state;
            }
            is_new
        });
    }

    fn losses(&self) -> State {
        let mut lost: [(&str, Vec<String>); 3] = [
            ("answers are from memory and may be old", Vec::new()),
            ("no writes", Vec::new()),
            ("changes cannot be followed", Vec::new()),
        ];
        let now = self.0.clock.now();
        for (number, shard) in self.numbers().zip(&self.0.shards) {
            let effects = shard.effects.load(Ordering::Relaxed);
            let reads_fail = shard.reads.state(now) != breaker::State::Closed;
            let writes_fail = shard.writes.state(now) != breaker::State::Closed;
            let is_lost = [
                effects & STALE != 0 || reads_fail,
                effects & NO_WRITES != 0 || reads_fail || writes_fail,
                !shard.judged().has_news,
            ];
            for ((_, shards), _) in lost.iter_mut().zip(is_lost).filter(|(_, is_lost)| *is_lost) {
                shards.push(number.to_string());
            }
        }
        let words: Vec<String> = lost
            .iter()
            .filter(|(_, shards)| !shards.is_empty())
            .map(|(what, shards)| format!("{what} (shard {})", shards.join(", ")))
            .collect();
        if words.is_empty() { State::Ready } else { State::Degraded(words.join("; ").into()) }
    }
}

const STARTING: &str = "opening the store";

fn reading(signal: &Signal, errors: &Share, now: Mono) -> Option<Value> {
    match (signal.what.as_str(), signal.of.as_deref()) {
        ("errors", Some("shard")) => errors.at(now).map(Value::Number),
        _ => None,
    }
}

/// Rounded up: who comes back too early is refused again.
fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
