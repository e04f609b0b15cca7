//! Keeps the index: while this process owns the guilds it follows every shard's change stream.
//!
//! ```text
//!            owner now                 whole                     caught up
//!  waiting ────────────► opening ─────────────────► following ──────────────► ready
//!     ▲                     │ missing, damaged,        ▲   │                     │
//!     │                     │ other format, too old    │   │ changes deleted,    │
//!     │                     ▼                          │   ▼ index failed        │
//!     │                  building (every message) ─────┘  opening               │
//!     └──────────────────────── not the owner any more ─────────────────────────┘
//! ```
//! Before it is ready searches are told to come back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use seawall_net::host::{Host, chain};
use seawall_net::telemetry::{Counter, Gauge};
use seawall_policy::Mono;
use seawall_store::Position;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::document::{Change, change};
use super::index::{Error, Index, Start, Writer, open};
use super::limits::{
    CHANGES_MAX, COMMIT_CHANGES, COMMIT_EVERY, CURSOR_EVERY, GATHER, GUILDS_MAX, LOOK_EVERY, PAGE_MAX,
    PAUSE_MAX, PAUSE_MIN,
};
use crate::id::Id;
use crate::owner::{Client, any_changed};
use crate::storage::{ChangesTrouble, Home, Storage, Told, Trouble};

/// Under which name the store keeps changes for the index.
const CURSOR: &str = "chat-search";

/// Why the index is not kept any longer.
#[derive(Debug, thiserror::Error)]
enum Stop {
    /// Another process decides now.
    #[error("another process owns the guilds")]
    NotOwner,
    /// Only making it again helps.
    #[error("the index cannot go on from where it is: {0}")]
    Stale(&'static str),
    /// A search failed: it is to be seen whether the files are whole.
    #[error("a search failed")]
    Doubt,
    /// The index.
    #[error(transparent)]
    Index(#[from] Error),
    /// The store.
    #[error("the messages cannot be read")]
    Store(#[from] Trouble),
}

/// What is counted.
#[derive(Clone)]
pub(super) struct Metrics {
    pub(super) builds: Counter,
    pub(super) documents: Gauge,
}

/// Keeps the index of this process.
pub(super) struct Keeper {
    pub(super) storage: Arc<Storage>,
    pub(super) owner: Client,
    pub(super) host: Host,
    pub(super) folder: PathBuf,
    pub(super) ready: watch::Sender<Option<Arc<Index>>>,
    /// A search failed.
    pub(super) doubt: Arc<Notify>,
    pub(super) metrics: Metrics,
}

/// The index while it is followed.
struct Kept {
    /// Lent to the thread that works with it.
    writer: Option<Writer>,
    index: Arc<Index>,
    /// How far each shard was followed.
    positions: Vec<Position>,
    /// How far the last commit has got.
    committed: Vec<Position>,
    committed_at: Mono,
    /// Changes since then, and since when.
    changes: usize,
    since: Mono,
    cursor_at: Option<Mono>,
}

impl Keeper {
    /// For as long as the runtime lives.
    pub(super) async fn run(self) {
        let (mut start, mut pause) = (Start::Keep, PAUSE_MIN);
        loop {
            self.owner.became(true).await;
            let Err(stop) = self.keep(start).await;
            let was_ready = self.ready.send_replace(None).is_some();
            if was_ready {
                pause = PAUSE_MIN;
            }
            start = match &stop {
                Stop::Stale(_) => Start::Fresh,
                // What it was at its last commit may be whole. If that fails too, nothing of it is kept.
                Stop::Index(Error::Index(_) | Error::Panicked(_)) if !was_ready => Start::Fresh,
                Stop::NotOwner | Stop::Doubt | Stop::Store(_) | Stop::Index(_) => Start::Keep,
            };
            match stop {
                Stop::NotOwner => pause = PAUSE_MIN,
                // It lets go within moments.
                Stop::Index(Error::Held) => sleep(PAUSE_MIN).await,
                stop => {
                    tracing::warn!(
                        error = chain(&stop),
                        "search stops for a moment; callers are told to come back"
                    );
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    async fn keep(&self, start: Start) -> Result<std::convert::Infallible, Stop> {
        let (folder, shards) = (self.folder.clone(), self.storage.shards());
        let opening = self.host.tasks.blocking(move || open(&folder, shards, start));
        let (writer, positions) = opening.await.map_err(|p| Error::Panicked(p.to_string()))??;
        let now = self.host.clock.now();
        let mut kept = Kept {
            index: writer.index(),
            writer: Some(writer),
            committed: positions.clone().unwrap_or_default(),
            positions: positions.clone().unwrap_or_default(),
            committed_at: now,
            changes: 0,
            since: now,
            cursor_at: None,
        };
        let stop = match positions {
            Some(_) => self.is_behind(&kept).await,
            None => self.build(&mut kept).await,
        };
        let stop = match stop {
            Ok(()) => self.follow(&mut kept).await,
            Err(stop) => Err(stop),
        };
        // Closing a writer waits for its threads.
        drop(self.host.tasks.blocking(move || drop(kept)).await);
        stop
    }

    /// Whether the store is where the index believes it to be: not before it, as after a backup was restored.
    async fn is_behind(&self, kept: &Kept) -> Result<(), Stop> {
        for (shard, at) in (0..).zip(&kept.positions) {
            if self.storage.position(shard).await? < *at {
                return Err(Stop::Stale("the store is older than the index"));
            }
        }
        Ok(())
    }

    /// Everything from now on.
    async fn follow(&self, kept: &mut Kept) -> Result<std::convert::Infallible, Stop> {
        let shards = 0..self.storage.shards();
        let mut changed = shards.map(|shard| self.storage.changed(shard)).collect::<Vec<_>>();
        let mut is_ready = false;
        loop {
            for (shard, changed) in (0..).zip(&mut changed) {
                changed.borrow_and_update();
                self.catch_up(kept, shard).await?;
            }
            if !is_ready {
                self.commit(kept).await?;
                is_ready = true;
                self.ready.send_replace(Some(kept.index.clone()));
                tracing::info!(messages = kept.index.documents(), "messages can be searched");
            }
            let now = self.host.clock.now();
            let wait = kept.due(now);
            if wait.is_zero() {
                self.commit(kept).await?;
                continue;
            }
            tokio::select! {
                // Nobody waits for one message to be found: some are gathered, and a busy guild wakes nobody.
                () = any_changed(&mut changed) => sleep(GATHER.min(wait)).await,
                () = sleep(wait) => {}
                () = self.owner.became(false) => return Err(Stop::NotOwner),
                () = self.doubt.notified() => return Err(Stop::Doubt),
            }
        }
    }

    /// Everything of a shard up to now.
    async fn catch_up(&self, kept: &mut Kept, shard: u32) -> Result<(), Stop> {
        loop {
            self.is_ours()?;
            let from = kept.positions[shard as usize];
            let told = match self.storage.follow(shard, from, CHANGES_MAX).await {
                Ok(told) => told,
                Err(ChangesTrouble::TooOld { .. }) => {
                    return Err(Stop::Stale("changes it missed are deleted"));
                }
                Err(ChangesTrouble::Read(error)) => {
                    tracing::debug!(shard, %error, "cannot read what changed; reading goes on");
                    sleep(GATHER).await;
                    continue;
                }
            };
            let Some((last, _)) = told.last() else { return Ok(()) };
            let reached = *last;
            let changes = told.into_iter().filter_map(|(_, told)| changed_by(told)).collect::<Vec<_>>();
            if !changes.is_empty() {
                self.apply(kept, changes).await?;
            }
            kept.positions[shard as usize] = reached;
            if kept.due(self.host.clock.now()).is_zero() {
                self.commit(kept).await?;
            }
        }
    }

    /// Puts every message of every guild into the empty index. What happens meanwhile is followed afterwards, from
    /// where the shards stood before the first message was read; what is met twice does no harm.
    async fn build(&self, kept: &mut Kept) -> Result<(), Stop> {
        self.metrics.builds.inc();
        let begun = self.host.clock.now();
        for shard in 0..self.storage.shards() {
            let at = self.storage.position(shard).await?;
            kept.positions.push(at);
            // Building may take longer than changes are kept for nobody.
            self.storage.keep_changes(shard, CURSOR, at).await?;
        }
        tracing::info!("building the search index of every message; searches are answered when it is done");
        let mut messages = 0;
        for shard in 0..self.storage.shards() {
            let mut after = None;
            loop {
                let guilds = self.patiently(|| self.storage.guild_page(shard, after, GUILDS_MAX)).await?;
                let Some(last) = guilds.last() else { break };
                after = Some(*last);
                for (_, guild) in guilds {
                    messages += self.build_guild(kept, guild).await?;
                }
            }
        }
        let seconds = self.host.clock.now().since(begun).as_secs_f64();
        tracing::info!(messages, seconds, "the search index is built");
        Ok(())
    }

    async fn build_guild(&self, kept: &mut Kept, guild: Id) -> Result<usize, Stop> {
        let mut messages = 0;
        for channel in self.patiently(|| self.storage.channel_ids(guild)).await? {
            let mut after = Id(0);
            loop {
                let home = Home::Guild(guild);
                let read = || self.storage.said_after(home, channel, after, PAGE_MAX);
                let page = self.patiently(read).await?;
                let Some(last) = page.last() else { break };
                after = last.id;
                messages += page.len();
                let puts = page.into_iter().map(|message| Change::Put(guild, Box::new(message)));
                self.apply(kept, puts.collect()).await?;
            }
        }
        Ok(messages)
    }

    /// Reads until it works: starting over costs more than waiting.
    async fn patiently<T, F>(&self, read: impl Fn() -> F) -> Result<T, Stop>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        loop {
            self.is_ours()?;
            match read().await {
                Err(Trouble::Busy) => sleep(GATHER).await,
                done => return Ok(done?),
            }
        }
    }

    fn is_ours(&self) -> Result<(), Stop> {
        if self.owner.is_owner() { Ok(()) } else { Err(Stop::NotOwner) }
    }

    async fn apply(&self, kept: &mut Kept, changes: Vec<Change>) -> Result<(), Stop> {
        if kept.changes == 0 {
            kept.since = self.host.clock.now();
        }
        kept.changes += changes.len();
        self.work(kept, move |writer| writer.apply(&changes)).await
    }

    async fn commit(&self, kept: &mut Kept) -> Result<(), Stop> {
        let positions = kept.positions.clone();
        self.work(kept, move |writer| writer.commit(positions)).await?;
        let now = self.host.clock.now();
        kept.changes = 0;
        kept.committed = kept.positions.clone();
        kept.committed_at = now;
        self.metrics.documents.set(i64::try_from(kept.index.documents()).unwrap_or(i64::MAX));
        if kept.cursor_at.is_none_or(|at| now.since(at) >= CURSOR_EVERY) {
            kept.cursor_at = Some(now);
            for (shard, at) in (0..).zip(&kept.committed) {
                // Changes are only kept for longer than they must be.
                if let Err(error) = self.storage.keep_changes(shard, CURSOR, *at).await {
                    tracing::debug!(shard, %error, "cannot tell the store how far the search index has got");
                }
            }
        }
        Ok(())
    }

    /// A step with the writer, on a thread that may wait.
    async fn work(
        &self,
        kept: &mut Kept,
        step: impl FnOnce(&mut Writer) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Stop> {
        let lost = || Error::Panicked("an earlier step did not come back".to_owned());
        let mut writer = kept.writer.take().ok_or_else(lost)?;
        let working = self.host.tasks.blocking(move || {
            let done = step(&mut writer);
            (writer, done)
        });
        let (writer, done) = working.await.map_err(|p| Error::Panicked(p.to_string()))?;
        kept.writer = Some(writer);
        Ok(done?)
    }
}

impl Kept {
    /// How long until there is something to commit; nothing when it is time.
    fn due(&self, now: Mono) -> Duration {
        if self.changes >= COMMIT_CHANGES {
            return Duration::ZERO;
        }
        if self.changes > 0 {
            return COMMIT_EVERY.saturating_sub(now.since(self.since));
        }
        // Only places moved: worth a write now and then, or a restart would read them all again.
        if self.positions != self.committed {
            return CURSOR_EVERY.saturating_sub(now.since(self.committed_at)).min(LOOK_EVERY);
        }
        LOOK_EVERY
    }
}

/// What is to be done about something that was told. What cannot be read is passed over: it will be no better the
/// next time.
fn changed_by(told: Option<Told>) -> Option<Change> {
    let Some(Told::Event(event)) = told else { return None };
    change(&event).unwrap_or_else(|error| {
        tracing::error!(%error, event = event.t.name(), "an event cannot be indexed, passing it over");
        None
    })
}
