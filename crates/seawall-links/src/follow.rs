//! Hears of what other processes did to a shard, and has the cache forget it.
//!
//! Own commits and others' wake it within milliseconds; once a second it looks even if nobody woke it. While it
//! cannot read the news, the ladder says so and memory is not trusted.

use std::sync::Arc;
use std::time::Duration;

use seawall_net::tasks::Tasks;
use seawall_store::Position;

use crate::cache::Cache;
use crate::degrade::{Ladder, Loss};
use crate::metrics::Metrics;
use crate::storage::{NEWS_MAX, News, Storage};

/// A look without being woken, in case a wake-up was lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause after a failed look.
const FAILED_PAUSE: Duration = Duration::from_millis(200);

/// One shard's follower.
pub struct Follower {
    /// Where the news come from.
    pub storage: Arc<Storage>,
    /// What must forget.
    pub cache: Arc<Cache>,
    /// Where a failure is told.
    pub ladder: Ladder,
    /// Where the number of entries is shown.
    pub metrics: Metrics,
    /// Which shard.
    pub shard: u32,
    /// Everything up to here is known: the cache was empty then.
    pub from: Position,
}

impl Follower {
    /// Follows until the system is asked to stop.
    pub async fn run(mut self, tasks: Tasks) {
        let mut changed = self.storage.shards().get(self.shard).changed();
        loop {
            let pause = match self.look().await {
                Ok(Looked::More) => continue,
                Ok(Looked::All) => LOOK_EVERY,
                Err(()) => FAILED_PAUSE,
            };
            self.metrics.cache_entries.set(self.cache.len() as i64);
            let is_well = pause == LOOK_EVERY;
            tokio::select! {
                // After a failure it waits its time: commits of others must not make it spin.
                _ = changed.changed(), if is_well => {}
                awake = tasks.sleep(pause) => if !awake { return },
            }
        }
    }

    async fn look(&mut self) -> Result<Looked, ()> {
        match self.storage.news(self.shard, self.from).await {
            Ok(News::Changed(names)) => {
                for (at, name) in &names {
                    self.cache.forget(self.shard, name, *at);
                    self.from = *at;
                }
                if names.len() >= NEWS_MAX {
                    return Ok(Looked::More);
                }
                self.ladder.regain(Loss::News, self.shard);
                Ok(Looked::All)
            }
            Ok(News::Missed { now }) => {
                tracing::warn!(
                    shard = self.shard,
                    from = self.from.0,
                    now = now.0,
                    "news missed, cache emptied"
                );
                self.cache.forget_all(self.shard, now);
                self.from = now;
                Ok(Looked::More)
            }
            Err(trouble) => {
                tracing::debug!(shard = self.shard, ?trouble, "cannot follow the changes");
                self.ladder.lose(Loss::News, self.shard);
                Err(())
            }
        }
    }
}

enum Looked {
    /// There may be more.
    More,
    /// Up to date.
    All,
}
