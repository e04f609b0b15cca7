//! Hears of what others did to a database, and has memory follow.
//!
//! Own commits and others' wake it within milliseconds; once a second it looks even if nobody woke it. It begins where
//! the database stands and with nothing of it in memory, so whatever is in memory is followed from before it came in.
//! Its place is written down at most once a second: the store keeps news for those who have not passed them, and an
//! operator sees who lags.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use seawall_net::tasks::Tasks;
use seawall_policy::Mono;
use seawall_store::Position;

use super::Follower;
use crate::call::Refusal;
use crate::limits::NEWS_MAX;
use crate::storage::News;

/// The name its place is kept under.
const CURSOR: &str = "follower-local";
/// A look without being woken, in case a wake-up was lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause after a failed look.
const FAILED_PAUSE: Duration = Duration::from_millis(200);
/// Least time between two notes of the place.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// One database, as it is followed.
struct Following {
    shard: u32,
    /// Everything up to here is known; nothing before the first look.
    from: Option<Position>,
    /// What was noted last, and when.
    noted: Option<(Position, Mono)>,
}

enum Looked {
    /// There may be more.
    More,
    /// Up to date.
    All,
}

impl Follower {
    /// Follows one database until the system is asked to stop.
    pub async fn follow(self: Arc<Follower>, shard: u32, tasks: Tasks) {
        let mut changed = self.upstream.changed(shard);
        let mut following = Following { shard, from: None, noted: None };
        loop {
            let stands = *changed.borrow_and_update();
            let pause = match self.look(&mut following, stands).await {
                Ok(Looked::More) => continue,
                Ok(Looked::All) => LOOK_EVERY,
                Err(refusal) => {
                    tracing::debug!(shard, %refusal, "cannot follow the changes");
                    FAILED_PAUSE
                }
            };
            self.note(&mut following).await;
            let is_well = pause == LOOK_EVERY;
            tokio::select! {
                // After a failure it waits its time: commits of others must not make it spin.
                _ = changed.changed(), if is_well => {}
                awake = tasks.sleep(pause) => if !awake { return },
            }
        }
    }

    /// Takes in the next news. `stands`: where the database stood before, as far as this process knows.
    async fn look(&self, following: &mut Following, stands: Position) -> Result<Looked, Refusal> {
        let shard = following.shard;
        let Some(from) = following.from else {
            let now = self.upstream.position(shard).await?;
            self.begin(following, now);
            return Ok(Looked::More);
        };
        match self.upstream.news(shard, from, NEWS_MAX).await? {
            News::Changes { changes, up_to } => {
                for (_, change) in &changes {
                    self.apply(change);
                }
                following.from = Some(up_to);
                self.applied[shard as usize].store(up_to.0, Ordering::Release);
                // Not every position is one of a change: fewer than asked for does not mean that this was all.
                let is_all = changes.len() < NEWS_MAX && (up_to >= stands || up_to == from);
                if is_all {
                    self.even[shard as usize].store(self.clock.now().0, Ordering::Relaxed);
                }
                Ok(if is_all { Looked::All } else { Looked::More })
            }
            News::Missed { now } => {
                tracing::warn!(
                    shard,
                    from = from.0,
                    now = now.0,
                    "news missed, memory of this database emptied"
                );
                self.begin(following, now);
                Ok(Looked::More)
            }
        }
    }

    /// From here on. What came in before may have missed a change.
    fn begin(&self, following: &mut Following, now: Position) {
        let shard = following.shard;
        self.cache.forget(|key| self.upstream.shard_of(key.id()) == shard);
        following.from = Some(now);
        self.applied[shard as usize].store(now.0, Ordering::Release);
    }

    async fn note(&self, following: &mut Following) {
        let (Some(at), now) = (following.from, self.clock.now()) else { return };
        let is_due = following.noted.is_none_or(|(noted, then)| noted < at && now.since(then) >= NOTE_EVERY);
        if is_due && self.upstream.cursor_save(following.shard, CURSOR, at).await.is_ok() {
            following.noted = Some((at, now));
        }
    }
}
