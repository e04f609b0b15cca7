//! The leader of a graph's shards: the only one who writes, and whom followers ask for what they do not have.
//!
//! ```text
//!  followers ── fill, range, points ──►  memory ── miss ──►  places, breaker ──►  store
//!            ── write ───────────────►  plan, lock of the pair ── breaker ──►  store ──► memory ──► changeset
//!            ◄── news ───────────────  store ──► memory
//! ```
//!
//! One process leads all databases of a data folder, by a lease (`holder`) and by the epochs it claimed with it: a
//! write of an earlier leader that arrives late is refused by the database itself. A process that does not lead
//! answers [`Refusal::Standby`] to every call, and takes over when the other ends.
//!
//! ## Why its memory may be trusted
//!
//! Every write passes through here, and is in memory before it is answered. What was written and could not be put
//! into memory (the caller left half-way, or nobody knows whether it was done) comes back as news: whoever asks for
//! news is given nothing that this memory does not know. When a process begins to lead, its memory is empty.

mod holder;
mod locks;
mod places;
mod reads;
mod repair;
mod schema;
mod writes;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use seawall_net::host::Host;
use seawall_net::tasks::Tasks;
use seawall_policy::deadline::Deadline;
use seawall_policy::{Clock, Rng};
use seawall_store::{Epoch, Position};
use tokio::sync::{Semaphore, watch};
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use self::holder::Holder;
use self::locks::Locks;
use self::places::Places;
use self::schema::Known;
pub(crate) use self::schema::choose as choose_schema;
use self::writes::APART_MAX;
use crate::cache::{Cache, Usage};
use crate::call::{AssocType, Command, Edge, Key, Object, Refusal, Version};
use crate::config::Config;
use crate::degrade::{Ladders, Report, STEP};
use crate::edges::Edges;
use crate::id::Id;
use crate::message::{Changeset, Fill, Points, Range, State};
use crate::metrics::Metrics;
use crate::schema::Schema;
use crate::storage::{News, Storage, Trouble};

/// When a read that failed may be worth another try.
const READ_RETRY_MS: u64 = 1000;

/// A state and how good it is.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Filled {
    /// What was asked for.
    pub state: State,
    /// The shard cannot be asked: this is what memory had.
    pub is_stale: bool,
}

/// How followers reach the leader: only by what serialises. Cheap to clone.
#[derive(Clone)]
pub struct Upstream(Arc<Leader>);

/// Leads the databases of one data folder, or waits for its turn.
pub struct Leader {
    storage: Storage,
    cache: Cache,
    schema: ArcSwap<Known>,
    /// One change of the schema at a time.
    schema_changes: tokio::sync::Mutex<()>,
    term: ArcSwapOption<Term>,
    /// Whether there is a term: what every call looks at.
    leads: AtomicBool,
    /// Rises with every term.
    terms: watch::Sender<u64>,
    ladders: Ladders,
    places: Places,
    locks: Locks,
    /// For writes that take several steps.
    apart: Arc<Semaphore>,
    tasks: Tasks,
    /// Of each database, up to where memory has heard its news.
    heard: Box<[AtomicU64]>,
    release: watch::Sender<Release>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    seed: u64,
}

/// What becomes of the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Release {
    /// It is kept, or taken when it is free.
    Held,
    /// It is to be given back.
    Asked,
    /// It was, or never was ours.
    Done,
}

/// One term of leading: from a claim until somebody else claims.
struct Term {
    /// One for each database.
    epochs: Vec<Epoch>,
    rng: Mutex<Rng>,
    lost: watch::Sender<bool>,
}

impl Term {
    fn new(epochs: Vec<Epoch>, seed: u64) -> Term {
        // Epochs only rise, so no two terms draw the same ids, whatever the seed is.
        let epoch = epochs.first().copied().unwrap_or_default().0;
        let rng = Rng::new(xxh3_64_with_seed(&epoch.to_le_bytes(), seed));
        Term { epochs, rng: Mutex::new(rng), lost: watch::Sender::new(false) }
    }

    fn lose(&self) {
        self.lost.send_replace(true);
    }

    /// Returns when somebody else leads.
    async fn lost(&self) {
        drop(self.lost.subscribe().wait_for(|lost| *lost).await);
    }

    fn rng(&self) -> std::sync::MutexGuard<'_, Rng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leader {
    /// Leads nothing yet. `schema` is what holds until a term begins.
    #[must_use]
    pub fn new(
        config: &Config,
        storage: Storage,
        schema: Schema,
        ladders: Ladders,
        host: &Host,
        metrics: Metrics,
    ) -> Leader {
        let shards = storage.shards();
        Leader {
            cache: Cache::new(config.leader_cache, config.leader_ttl),
            schema: ArcSwap::from_pointee(Known::unsaved(schema)),
            schema_changes: tokio::sync::Mutex::new(()),
            term: ArcSwapOption::empty(),
            leads: AtomicBool::new(false),
            terms: watch::Sender::new(0),
            places: Places::new(shards, config.store_reads_max),
            locks: Locks::new(),
            apart: Arc::new(Semaphore::new(APART_MAX)),
            tasks: host.tasks.clone(),
            heard: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            release: watch::Sender::new(Release::Held),
            clock: host.clock.clone(),
            seed: host.seed,
            storage,
            ladders,
            metrics,
        }
    }

    /// How it is reached.
    #[must_use]
    pub fn upstream(self: &Arc<Leader>) -> Upstream {
        Upstream(self.clone())
    }

    /// How its memory is used.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.cache.usage()
    }

    /// Starts what runs beside the calls: repairing (unless the fault `no-repair` is planted), and looking after
    /// databases that fail.
    pub fn start(self: &Arc<Leader>, host: &Host) {
        let tasks = &host.tasks;
        if !host.plants.has("no-repair") {
            tasks.vital("graph-repair", self.clone().repair(tasks.clone()));
        }
        for shard in 0..self.storage.shards() {
            tasks.vital("graph-probe", self.clone().probe(shard, tasks.clone()));
        }
    }

    /// Gives the lease back, so that the next one need not wait for its end; it is not taken again.
    pub async fn release(&self) {
        self.release.send_if_modified(|release| {
            let is_held = *release == Release::Held;
            if is_held {
                *release = Release::Asked;
            }
            is_held
        });
        drop(self.release.subscribe().wait_for(|release| *release == Release::Done).await);
    }

    /// Asks a database that is being left alone, so that it is noticed when it is well again.
    async fn probe(self: Arc<Leader>, shard: u32, tasks: Tasks) {
        while tasks.sleep(STEP).await {
            if self.check().is_err() {
                continue;
            }
            for _ in 0..self.ladders.probes(shard) {
                // What came of it is known to the ladder.
                drop(self.ask(shard, self.storage.position(shard)).await);
            }
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.leads.load(Ordering::Acquire) { Ok(()) } else { Err(Refusal::Standby) }
    }

    fn term(&self) -> Result<Arc<Term>, Refusal> {
        self.term.load_full().ok_or(Refusal::Standby)
    }

    fn begin(&self, term: Arc<Term>) {
        // What was known before another led is of no use.
        self.cache.forget(|_| true);
        self.term.store(Some(term));
        self.leads.store(true, Ordering::Release);
        self.metrics.reigns.inc();
        self.terms.send_modify(|term| *term += 1);
    }

    /// The term is over, at once; a later one is left alone.
    fn end(&self, term: &Term) {
        term.lose();
        if self.term.load().as_ref().is_some_and(|current| std::ptr::eq(&**current, term)) {
            self.leads.store(false, Ordering::Release);
            self.term.store(None);
            self.terms.send_modify(|term| *term += 1);
        }
    }

    fn report(&self) -> Vec<Report> {
        let of = |shard: u32| {
            let position = self.storage.changed(shard).borrow().0;
            let heard = self.heard[shard as usize].load(Ordering::Relaxed);
            Report { position, lag: position.saturating_sub(heard), ..self.ladders.report(shard) }
        };
        (0..self.storage.shards()).map(of).collect()
    }

    /// News, of which memory hears first.
    async fn news(&self, shard: u32, from: Position, max: usize) -> Result<News, Refusal> {
        if from.0 > self.heard[shard as usize].load(Ordering::Acquire) {
            // Nobody asked for what lies between, so memory has not heard of it either.
            self.cache.forget(|key| self.storage.shard_of(key.id()) == shard);
        }
        let news = self.storage.news(shard, from, max).await;
        self.ladders.news(shard, news.is_ok());
        let news = news.map_err(|trouble| self.unanswered(shard, &trouble))?;
        let up_to = match &news {
            News::Changes { changes, up_to } => {
                for (_, change) in changes {
                    self.cache.apply(change);
                }
                *up_to
            }
            News::Missed { now } => {
                self.cache.forget(|key| self.storage.shard_of(key.id()) == shard);
                *now
            }
        };
        self.heard[shard as usize].fetch_max(up_to.0, Ordering::AcqRel);
        Ok(news)
    }

    /// What a question that the store did not answer means for who asked.
    fn unanswered(&self, shard: u32, trouble: &Trouble) -> Refusal {
        match trouble {
            Trouble::Busy => Refusal::Busy,
            _ => {
                tracing::debug!(shard, ?trouble, "the store does not answer");
                Refusal::Unavailable { shard, retry_ms: READ_RETRY_MS }
            }
        }
    }
}

impl Upstream {
    /// Whether anything can be asked.
    ///
    /// # Errors
    /// [`Refusal::Standby`] while another process leads.
    pub fn check(&self) -> Result<(), Refusal> {
        self.0.check()
    }

    /// The state of a key: from memory, or from the store.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where neither can answer, or what memory has is older than asked for;
    /// [`Refusal::Late`], [`Refusal::Busy`], [`Refusal::Standby`].
    pub async fn fill(&self, fill: Fill, deadline: Deadline) -> Result<Filled, Refusal> {
        self.0.fill(fill, deadline).await
    }

    /// A part of a list, from the store.
    ///
    /// # Errors
    /// As [`Upstream::fill`].
    pub async fn range(&self, range: Range, deadline: Deadline) -> Result<Edges, Refusal> {
        self.0.range(range, deadline).await
    }

    /// Single associations of a list, from the store.
    ///
    /// # Errors
    /// As [`Upstream::fill`].
    pub async fn points(&self, points: Points, deadline: Deadline) -> Result<Edges, Refusal> {
        self.0.points(points, deadline).await
    }

    /// Changes something. Answered after the commit.
    ///
    /// # Errors
    /// Any [`Refusal`]; after [`Refusal::Unknown`] only asking again with the same idempotency key tells.
    pub async fn write(&self, command: Command, deadline: Deadline) -> Result<Changeset, Refusal> {
        self.0.write(command, deadline).await
    }

    /// News of one database after a position, at most `max`: what followers follow. Also while another process leads.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`], [`Refusal::Busy`].
    pub async fn news(&self, shard: u32, from: Position, max: usize) -> Result<News, Refusal> {
        self.0.news(shard, from, max).await
    }

    /// Tells when there may be news of a database.
    #[must_use]
    pub fn changed(&self, shard: u32) -> watch::Receiver<Position> {
        self.0.storage.changed(shard)
    }

    /// Where the news of a database stand.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`], [`Refusal::Busy`].
    pub async fn position(&self, shard: u32) -> Result<Position, Refusal> {
        self.0.storage.position(shard).await.map_err(|trouble| self.0.unanswered(shard, &trouble))
    }

    /// Up to where the follower of this name has heard the news of a database; nothing if it never said.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`], [`Refusal::Busy`].
    pub async fn cursor(&self, shard: u32, name: &str) -> Result<Option<Position>, Refusal> {
        self.0.storage.cursor(shard, name).await.map_err(|trouble| self.0.unanswered(shard, &trouble))
    }

    /// Notes it.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`], [`Refusal::Busy`].
    pub async fn cursor_save(&self, shard: u32, name: &str, at: Position) -> Result<(), Refusal> {
        let saved = self.0.storage.cursor_save(shard, name, at).await;
        saved.map_err(|trouble| self.0.unanswered(shard, &trouble))
    }

    /// What the leader's memory has of a key: for audits.
    #[must_use]
    pub fn cached_version(&self, key: Key) -> Option<Version> {
        self.0.cache.version(key)
    }

    /// What the store has of a key: for audits.
    ///
    /// # Errors
    /// As [`Upstream::fill`].
    pub async fn source_version(&self, key: Key, deadline: Deadline) -> Result<Version, Refusal> {
        self.0.source_version(key, deadline).await
    }

    /// The schema that holds.
    #[must_use]
    pub fn schema(&self) -> Arc<Schema> {
        self.0.schema.load().schema.clone()
    }

    /// Replaces the schema, unless something would be lost.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with everything that would be lost; else as [`Upstream::write`].
    pub async fn schema_put(&self, new: Schema, deadline: Deadline) -> Result<(), Refusal> {
        self.0.schema_put(new, deadline).await
    }

    /// Objects of one database in the order of their ids, for an export.
    ///
    /// # Errors
    /// As [`Upstream::fill`].
    pub async fn page_objects(
        &self,
        shard: u32,
        after: Option<Id>,
        max: usize,
    ) -> Result<Vec<Object>, Refusal> {
        self.check()?;
        self.0.ask(shard, self.0.storage.page_objects(shard, after, max)).await
    }

    /// Associations of one database in the order of (id1, type, id2), for an export.
    ///
    /// # Errors
    /// As [`Upstream::fill`].
    pub async fn page_assocs(
        &self,
        shard: u32,
        after: Option<(Id, AssocType, Id)>,
        max: usize,
    ) -> Result<Vec<(Id, AssocType, Edge)>, Refusal> {
        self.check()?;
        self.0.ask(shard, self.0.storage.page_assocs(shard, after, max)).await
    }

    /// How many databases there are.
    #[must_use]
    pub fn shards(&self) -> u32 {
        self.0.storage.shards()
    }

    /// The database an id lives in.
    #[must_use]
    pub fn shard_of(&self, id: Id) -> u32 {
        self.0.storage.shard_of(id)
    }

    /// How the leader is, as `/-/ready` says it.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<seawall_net::host::State> {
        self.0.ladders.state()
    }

    /// Where each database stands, for the operator.
    #[must_use]
    pub fn shard_reports(&self) -> Vec<Report> {
        self.0.report()
    }
}
