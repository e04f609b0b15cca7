//! Completes writes between two databases that were interrupted: by a kill, or by a database that failed half-way.
//!
//! When a term begins there is nobody whose write could still be under way, so every intent is taken up. Later only
//! those older than [`INTENT_AGE`]: the others are most likely being worked on, and the lock of the pair says so.

use std::sync::Arc;

use seawall_net::tasks::Tasks;
use seawall_policy::Wall;
use seawall_policy::deadline::Deadline;

use super::writes::report;
use super::{Leader, Term};
use crate::call::Refusal;
use crate::limits::{INTENT_AGE, REPAIR_MAX};
use crate::storage::Intent;

impl Leader {
    /// For as long as the system runs.
    pub(super) async fn repair(self: Arc<Leader>, tasks: Tasks) {
        let mut terms = self.terms.subscribe();
        let mut is_new = true;
        loop {
            terms.mark_unchanged();
            if let Ok(term) = self.term() {
                self.scan_all(&term, is_new).await;
            }
            is_new = tokio::select! {
                _ = terms.changed() => true,
                awake = tasks.sleep(INTENT_AGE) => if awake { false } else { return },
            };
        }
    }

    async fn scan_all(&self, term: &Term, is_new: bool) {
        let age = i64::try_from(INTENT_AGE.as_millis()).unwrap_or(i64::MAX);
        let before = if is_new { Wall(i64::MAX) } else { Wall(self.clock.wall().0.saturating_sub(age)) };
        for shard in 0..self.storage.shards() {
            // A full page may not have been all; one that leads nowhere is left for the next time.
            while self.scan(term, shard, before).await == REPAIR_MAX {}
        }
    }

    /// How many were completed.
    async fn scan(&self, term: &Term, shard: u32, before: Wall) -> usize {
        let intents = match self.ask(shard, self.storage.intents(shard, before, REPAIR_MAX)).await {
            Ok(intents) => intents,
            Err(refusal) => {
                tracing::debug!(shard, %refusal, "cannot look for interrupted writes");
                return 0;
            }
        };
        let mut done = 0;
        for intent in intents {
            match self.complete(term, &intent).await {
                Ok(()) => done += 1,
                Err(refusal) => {
                    tracing::debug!(shard, %refusal, "an interrupted write stays for the next scan")
                }
            }
        }
        if done > 0 {
            tracing::info!(shard, done, "interrupted writes between databases were completed");
        }
        done
    }

    async fn complete(&self, term: &Term, intent: &Intent) -> Result<(), Refusal> {
        let now = self.clock.now();
        let deadline = Deadline::after(now, INTENT_AGE);
        let _alone = self.locks.take(&intent.pair(), &*self.clock, deadline).await?;
        let (first, second) = self.storage.shards_of(&intent.planned);
        let passes = self.admit(first, second, now)?;
        let repaired = self.storage.repair(&term.epochs, intent, deadline).await;
        report(passes, repaired.as_ref().err());
        let set = repaired.map_err(|failed| self.refused(term, &intent.planned, failed))?;
        self.remember(&set);
        if !set.changes.is_empty() {
            self.metrics.links_repaired.inc();
        }
        Ok(())
    }
}
