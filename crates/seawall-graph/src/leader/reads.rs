//! Reads: from memory, or from the store through places and breaker.

use std::future::Future;
use std::time::Duration;

use seawall_policy::Outcome;
use seawall_policy::deadline::Deadline;
use tokio::time::timeout;

use super::{Filled, Leader};
use crate::cache::{Found, Need};
use crate::call::{Key, Refusal, Version};
use crate::degrade::Way;
use crate::edges::Edges;
use crate::message::{Fill, Points, Range, State};
use crate::metrics::Fills;
use crate::storage::Trouble;

/// How long a read may wait for a place. Whoever asked has its own deadline; this is for those whose asker has left.
const PLACE_PATIENCE: Duration = Duration::from_secs(5);

impl Leader {
    pub(super) async fn fill(&self, fill: Fill, deadline: Deadline) -> Result<Filled, Refusal> {
        self.check()?;
        if fill.critical {
            let state = self.within(deadline, self.source(fill.key, fill.edges)).await?;
            self.cache.put(fill.key, &state, self.clock.now());
            return Ok(Filled { state, is_stale: false });
        }
        let shard = self.storage.shard_of(fill.key.id());
        if self.ladders.prefers_memory(shard)
            && let Some(filled) = self.remembered(&fill)
        {
            return Ok(filled);
        }
        match self.within(deadline, self.through(fill)).await {
            Err(refusal @ (Refusal::Unavailable { .. } | Refusal::Busy)) => {
                self.remembered(&fill).ok_or(refusal)
            }
            answer => answer,
        }
    }

    /// What memory has, however old, if it is not older than asked for.
    fn remembered(&self, fill: &Fill) -> Option<Filled> {
        let now = self.clock.now();
        let (state, is_stale) = match fill.key {
            Key::Object(id) => match self.cache.object(id, fill.at_least, now) {
                Found::Fresh(state) => (State::Object(state), false),
                Found::Stale(state) => (State::Object(state), true),
                Found::Absent => return None,
            },
            Key::List(id1, atype) => match self.cache.head(id1, atype, fill.edges, fill.at_least, now) {
                Found::Fresh(head) => (State::List(head), false),
                Found::Stale(head) => (State::List(head), true),
                Found::Absent => return None,
            },
        };
        (state.version() >= fill.at_least).then_some(Filled { state, is_stale })
    }

    /// From memory, or from the store into memory; asked once for all who want it.
    pub(super) async fn through(&self, fill: Fill) -> Result<Filled, Refusal> {
        let need = Need { edges: fill.edges, at_least: fill.at_least };
        let ask = |need: Need| async move {
            let state = self.source(fill.key, need.edges).await?;
            Ok(Filled { state, is_stale: false })
        };
        self.cache.fetch(fill.key, need, self.clock.now(), ask).await
    }

    /// From the store.
    pub(super) async fn source(&self, key: Key, edges: u32) -> Result<State, Refusal> {
        let shard = self.storage.shard_of(key.id());
        match key {
            Key::Object(id) => {
                let (object, _) = self.ask(shard, self.storage.object(id)).await?;
                Ok(State::Object(object))
            }
            Key::List(id1, atype) => {
                let (head, _) = self.ask(shard, self.storage.head(id1, atype, edges)).await?;
                Ok(State::List(head))
            }
        }
    }

    pub(super) async fn range(&self, range: Range, deadline: Deadline) -> Result<Edges, Refusal> {
        self.check()?;
        let shard = self.storage.shard_of(range.id1);
        self.within(deadline, self.ask(shard, self.storage.range(&range))).await
    }

    pub(super) async fn points(&self, points: Points, deadline: Deadline) -> Result<Edges, Refusal> {
        self.check()?;
        let shard = self.storage.shard_of(points.id1);
        self.within(deadline, self.ask(shard, self.storage.points(&points))).await
    }

    pub(super) async fn source_version(&self, key: Key, deadline: Deadline) -> Result<Version, Refusal> {
        self.check()?;
        Ok(self.within(deadline, self.source(key, 1)).await?.version())
    }

    /// Asks the store: with a place, and if the breaker lets it.
    pub(super) async fn ask<T>(
        &self,
        shard: u32,
        read: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Refusal> {
        let counted = |refusal| {
            self.metrics.fill(Fills::Refused);
            refusal
        };
        let _place = self.places.take(shard, PLACE_PATIENCE).await.map_err(counted)?;
        let begun = self.clock.now();
        let judge = |read: &Result<T, Trouble>| outcome(read.as_ref().err());
        let read = self.ladders.call(shard, Way::Read, read, judge).await.map_err(counted)?;
        self.metrics.store_read_seconds.observe(self.clock.now().since(begun).as_secs_f64());
        let answer = read.map_err(|trouble| self.unanswered(shard, &trouble));
        self.metrics.fill(if answer.is_ok() { Fills::Answered } else { Fills::Failed });
        answer
    }

    /// No longer than the caller waits.
    async fn within<T>(
        &self,
        deadline: Deadline,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let left = deadline.at.since(self.clock.now());
        timeout(left, work).await.unwrap_or(Err(Refusal::Late))
    }
}

/// How a read counts.
fn outcome(trouble: Option<&Trouble>) -> Outcome {
    match trouble {
        None => Outcome::Success,
        Some(Trouble::Busy) => Outcome::Overloaded,
        Some(Trouble::Late) => Outcome::Timeout,
        Some(_) => Outcome::Failed,
    }
}
