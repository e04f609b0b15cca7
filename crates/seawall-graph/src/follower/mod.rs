//! Where every call enters: answers from memory, and asks its leader for what it does not have.
//!
//! It reaches the leader by messages only ([`Upstream`]), so that it can one day stand on another machine. A write goes
//! up, and what came of it is applied here before it is answered: whoever wrote through this follower reads what it
//! wrote. What others wrote it hears from each database's change stream (`news`).
//!
//! ## How old an answer can be
//!
//! As old as the news are late: milliseconds. Whoever must not be told anything older than what it wrote elsewhere
//! brings a [`Ticket`]; whoever must not be told anything old at all asks critically, and the source is asked. While a
//! shard cannot be asked, memory answers for as long as it has something, and says that it may be old.

mod lists;
mod news;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use seawall_policy::deadline::Deadline;
use seawall_policy::{Clock, Mono};
use seawall_store::Position;
use tokio::time::timeout;

use crate::cache::{Cache, Found, Need, Usage};
use crate::call::{AssocType, Command, Key, Refusal, Version};
use crate::config::Config;
use crate::edges::Edges;
use crate::id::Id;
use crate::leader::{Filled, Upstream};
use crate::message::{Change, Changeset, Fill, Head, ObjectState, State};
use crate::metrics::Metrics;
use crate::ticket::Ticket;

/// Objects of one multi-get that are asked for at the same time.
const FILLS_AT_ONCE: usize = 32;
/// Of the keys, this part is never told of changes where `drop-invalidation` is planted.
const DROPS_ONE_IN: u64 = 4;

/// How a read wants to be answered.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// What the client wrote before.
    pub ticket: Option<&'a Ticket>,
    /// The source itself must be asked.
    pub critical: bool,
    /// Until when an answer is of use.
    pub deadline: Deadline,
}

/// An answer, and whether it may be old because the shard cannot be asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<T> {
    /// What was asked for.
    pub value: T,
    /// It may be old.
    pub is_stale: bool,
}

/// Some edges out of a run, shared with memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The run.
    pub edges: Edges,
    /// Where in it the answer begins.
    pub first: usize,
    /// How many are the answer.
    pub len: usize,
}

/// Memory in front of a leader.
pub struct Follower {
    cache: Cache,
    upstream: Upstream,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    /// Up to where the news of each database were heard.
    applied: Box<[AtomicU64]>,
    /// When all news of each database had been heard last, on this process's clock.
    even: Box<[AtomicU64]>,
    /// The planted fault: some keys never hear of changes.
    drops: bool,
}

/// What an answer must know at least.
#[derive(Clone, Copy)]
struct Demand {
    at_least: Version,
    /// Memory is not enough.
    is_critical: bool,
}

impl Follower {
    /// With empty memory. It hears nothing until [`Follower::follow`] runs for each database. With `drops`, the fault
    /// `drop-invalidation` is planted: one key in four never hears of changes.
    #[must_use]
    pub fn new(
        config: &Config,
        upstream: Upstream,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        drops: bool,
    ) -> Arc<Follower> {
        let cache = Cache::new(config.follower_cache, config.follower_ttl);
        let applied = (0..upstream.shards()).map(|_| AtomicU64::new(0)).collect();
        let even = (0..upstream.shards()).map(|_| AtomicU64::new(clock.now().0)).collect();
        Arc::new(Follower { cache, upstream, clock, metrics, applied, even, drops })
    }

    /// From memory at once, or nothing: the caller then asks again by [`Follower::object`].
    #[must_use]
    pub fn object_now(&self, id: Id, view: &View<'_>) -> Option<ObjectState> {
        let demand = self.demand_now(Key::Object(id), view)?;
        // Cheaper than `now`, and late by milliseconds: memory is trusted for seconds.
        fresh(self.cache.object(id, demand.at_least, self.clock.coarse()))
    }

    /// An object, or that there is none.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where neither memory nor the shard can answer, [`Refusal::Late`], [`Refusal::Busy`],
    /// [`Refusal::Standby`].
    pub async fn object(&self, id: Id, view: &View<'_>) -> Result<Answer<ObjectState>, Refusal> {
        let filled = self.ask(Key::Object(id), 0, view).await?;
        match filled.state {
            State::Object(value) => Ok(Answer { value, is_stale: filled.is_stale }),
            State::List(_) => Err(answered_otherwise()),
        }
    }

    /// Objects in the order asked for; those that are not in memory are fetched together.
    ///
    /// # Errors
    /// As [`Follower::object`].
    pub async fn objects(&self, ids: &[Id], view: &View<'_>) -> Result<Answer<Vec<ObjectState>>, Refusal> {
        let mut states = ids.iter().map(|id| self.object_now(*id, view)).collect::<Vec<_>>();
        let missing = (0..ids.len()).filter(|n| states[*n].is_none()).collect::<Vec<_>>();
        let fetching = missing.into_iter().map(|n| async move { (n, self.object(ids[n], view).await) });
        let mut fetched = stream::iter(fetching).buffer_unordered(FILLS_AT_ONCE);
        let mut is_stale = false;
        while let Some((n, answer)) = fetched.next().await {
            let answer = answer?;
            is_stale |= answer.is_stale;
            states[n] = Some(answer.value);
        }
        Ok(Answer { value: states.into_iter().map(Option::unwrap_or_default).collect(), is_stale })
    }

    /// Does it, applies what it led to here, then answers.
    ///
    /// # Errors
    /// Any [`Refusal`]; after [`Refusal::Unknown`] only asking again with the same idempotency key tells.
    pub async fn write(&self, command: Command, deadline: Deadline) -> Result<Changeset, Refusal> {
        let set = self.upstream.write(command, deadline).await?;
        for changed in &set.changes {
            self.apply(&changed.change);
        }
        Ok(set)
    }

    /// What this follower's memory has of a key.
    #[must_use]
    pub fn cached_version(&self, key: Key) -> Option<Version> {
        self.cache.version(key)
    }

    /// Up to where the news of a database were heard.
    #[must_use]
    pub fn applied(&self, shard: u32) -> Position {
        Position(self.applied.get(shard as usize).map_or(0, |applied| applied.load(Ordering::Acquire)))
    }

    /// How long ago it last knew everything about a database; zero while it does.
    #[must_use]
    pub fn lag(&self, shard: u32) -> Duration {
        let Some(even) = self.even.get(shard as usize) else { return Duration::ZERO };
        if self.applied(shard) >= *self.upstream.changed(shard).borrow() {
            return Duration::ZERO;
        }
        self.clock.now().since(Mono(even.load(Ordering::Relaxed)))
    }

    /// What is in memory, and what came of it.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.cache.usage()
    }

    fn apply(&self, change: &Change) {
        if self.drops && change.key().hash().is_multiple_of(DROPS_ONE_IN) {
            return;
        }
        self.cache.apply(change);
    }

    /// What a read demands, if memory may answer it at all.
    fn demand_now(&self, key: Key, view: &View<'_>) -> Option<Demand> {
        self.upstream.check().ok()?;
        let demand = self.demand(key, view);
        (!demand.is_critical).then_some(demand)
    }

    fn demand(&self, key: Key, view: &View<'_>) -> Demand {
        let Some(ticket) = view.ticket.filter(|ticket| ticket.concerns(key)) else {
            return Demand { at_least: Version(0), is_critical: view.critical };
        };
        let wall = self.clock.wall();
        let shard = self.upstream.shard_of(key.id());
        let is_behind = ticket.position(shard, wall) > self.applied(shard);
        Demand { at_least: ticket.version(key, wall), is_critical: view.critical || is_behind }
    }

    /// A key's state, at least as young as the view demands: from memory, or asked for.
    async fn ask(&self, key: Key, edges: u32, view: &View<'_>) -> Result<Filled, Refusal> {
        self.upstream.check()?;
        let demand = self.demand(key, view);
        let now = self.clock.now();
        let left = view.deadline.at.since(now);
        let need = Need { edges, at_least: demand.at_least };
        let answer = if demand.is_critical {
            self.ask_source(key, need, view).await
        } else {
            let ask = |need: Need| {
                let fill = Fill { key, edges: need.edges, at_least: need.at_least, critical: false };
                self.upstream.fill(fill, view.deadline)
            };
            // Whoever asks for us may have more patience than we have.
            timeout(left, self.cache.fetch(key, need, now, ask)).await.unwrap_or(Err(Refusal::Late))
        };
        let filled = match answer {
            Err(refusal @ (Refusal::Unavailable { .. } | Refusal::Busy)) if !demand.is_critical => {
                self.remembered(key, need).ok_or(refusal)?
            }
            answer => answer?,
        };
        if filled.is_stale {
            // A ticket is a promise: rather nothing than something older.
            if filled.state.version() < demand.at_least || demand.is_critical {
                let shard = self.upstream.shard_of(key.id());
                return Err(Refusal::Unavailable { shard, retry_ms: STALE_RETRY_MS });
            }
            self.metrics.stale_answers.inc();
        }
        Ok(filled)
    }

    async fn ask_source(&self, key: Key, need: Need, view: &View<'_>) -> Result<Filled, Refusal> {
        let fill = Fill { key, edges: need.edges, at_least: need.at_least, critical: true };
        let filled = self.upstream.fill(fill, view.deadline).await?;
        if !filled.is_stale {
            self.cache.put(key, &filled.state, self.clock.now());
        }
        Ok(filled)
    }

    /// What memory has although it is too old, where nothing better can be had.
    fn remembered(&self, key: Key, need: Need) -> Option<Filled> {
        let now = self.clock.now();
        let (state, is_stale) = match key {
            Key::Object(id) => match self.cache.object(id, need.at_least, now) {
                Found::Fresh(state) => (State::Object(state), false),
                Found::Stale(state) => (State::Object(state), true),
                Found::Absent => return None,
            },
            Key::List(id1, atype) => match self.cache.head(id1, atype, need.edges, need.at_least, now) {
                Found::Fresh(head) => (State::List(head), false),
                Found::Stale(head) => (State::List(head), true),
                Found::Absent => return None,
            },
        };
        Some(Filled { state, is_stale })
    }

    /// The head of a list with so many edges at least.
    async fn head(
        &self,
        id1: Id,
        atype: AssocType,
        edges: u32,
        view: &View<'_>,
    ) -> Result<Answer<Head>, Refusal> {
        let filled = self.ask(Key::List(id1, atype), edges, view).await?;
        match filled.state {
            State::List(value) => Ok(Answer { value, is_stale: filled.is_stale }),
            State::Object(_) => Err(answered_otherwise()),
        }
    }
}

/// When it may be worth asking a shard again that only has old answers.
const STALE_RETRY_MS: u64 = 1000;

fn fresh<T>(found: Found<T>) -> Option<T> {
    match found {
        Found::Fresh(value) => Some(value),
        Found::Stale(_) | Found::Absent => None,
    }
}

fn answered_otherwise() -> Refusal {
    Refusal::Broken("the leader answered with something else than was asked for".to_owned())
}
