//! The files of a process, opened once each.
//!
//! Owned by the process and not by the systems that use them: a system that failed and starts again
//! finds its files open, its writer thread alive, and its queue as it was. Opening a set that is open
//! already gives handles to the same threads, with the shard's epoch read anew.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rusqlite::ErrorCode;
use seawall_policy::placement::ranges::Ranges;
use seawall_policy::{Clock, Rng};
use tokio::sync::watch;

use crate::changes::Watcher;
use crate::limits;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::reader::Reader;
use crate::shard::{Core, Opened, Shard};
use crate::sql::schema::{self, Found, Identity, Trouble};
use crate::sql::{fence, sqlite};
use crate::types::{Epoch, Position};
use crate::writer::{Writer, lock_pause};

/// What the store needs to know and to be handed.
pub struct Options {
    /// The directory the files are in; made if it is not there.
    pub data: PathBuf,
    /// Deadlines, ages, and the time written into rows.
    pub clock: Arc<dyn Clock>,
    /// Where the jitter between two tries for a lock comes from. Give each process its own.
    pub seed: u64,
    /// Faults for tests and drills; none by default.
    pub plants: Plants,
}

/// Faults planted on purpose, so that a test or drill can be seen to find them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plants {
    /// Answer "committed" and only then commit, for batches with an idempotency key: a kill in between loses
    /// what was acknowledged.
    pub ack_before_commit: bool,
}

/// One step of a set's tables. Versions rise from 1 and a released one never changes.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// The version the step leads to.
    pub version: u32,
    /// Statements in the portable subset: BIGINT, DOUBLE PRECISION, TEXT, BYTEA, BOOLEAN; primary keys
    /// that start with `hk`. Applied in one transaction.
    pub sql: &'static str,
}

/// Why a set could not be opened. Each says in one line what was found and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory cannot be made or used.
    #[error("cannot use the data directory {}; choose a writable one with --data", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file cannot be made or written.
    #[error("cannot write {}; check who owns it, or choose a writable directory with --data", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A number of shards no set can have.
    #[error("{asked} shards asked for; use 1 to {}", limits::SHARDS_MAX)]
    ShardsRange {
        /// The number asked for.
        asked: u32,
    },
    /// The number of shards is fixed when a set is created.
    #[error("{} was created as one of {found} shards, not {asked}; set the number back to {found}", path.display())]
    Shards {
        /// The file.
        path: PathBuf,
        /// The number it was created with.
        found: i64,
        /// The number asked for.
        asked: u32,
    },
    /// The file was renamed, or belongs to another directory.
    #[error("{} is shard {index} of the set {set:?}; was it renamed?", path.display())]
    OtherShard {
        /// The file.
        path: PathBuf,
        /// The set it says it belongs to.
        set: String,
        /// The shard it says it is.
        index: i64,
    },
    /// A newer build wrote it.
    #[error(
        "{} has {what} {found}, this build knows up to {known}; start the newer build, or restore a backup from before the upgrade",
        path.display()
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Which version: the store's `format` or the set's `schema`.
        what: &'static str,
        /// The version found.
        found: i64,
        /// The highest version this build knows.
        known: u32,
    },
    /// A database of some other program.
    #[error("{} is a SQLite database but not one of Seawall's; move it away", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// No database at all.
    #[error("{} is not a database; move it away, or restore it from a backup", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file system lacks what SQLite's write-ahead log needs.
    #[error("{} cannot have a write-ahead log; is it on a network file system? choose a local one with --data", path.display())]
    NoWal {
        /// The file.
        path: PathBuf,
    },
    /// A damaged database.
    #[error("{} is damaged; restore it from a backup", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// Another process kept the file locked.
    #[error("{} stays locked by another process; is one migrating it, or hanging?", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// A migration failed; the file is as it was before it.
    #[error("cannot bring {} to schema {version}", path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// The version that was being made.
        version: u32,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// Anything else the engine said.
    #[error("cannot open {}", path.display())]
    Engine {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The system gave no thread.
    #[error("cannot start the threads of {}", path.display())]
    Thread {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// All files of the process. Clones share them; the last one to go closes those no set uses any more.
#[derive(Clone)]
pub struct Files {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    metrics: Metrics,
    sets: Mutex<HashMap<&'static str, Vec<Arc<Opened>>>>,
}

impl Files {
    /// Opens nothing yet.
    #[must_use]
    pub fn new(options: Options) -> Files {
        Files { inner: Arc::new(Inner { options, metrics: Metrics::new(), sets: Mutex::default() }) }
    }

    /// The data folder, for what is kept in files of its own beside the databases.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.inner.options.data
    }

    /// Handles to what the store counts.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.inner.metrics.clone()
    }

    /// Opens the files `<set>-<i>.db`, making those that are not there and bringing old ones up to date.
    /// Blocks for as long as that takes. A set that is open in this process is not migrated again.
    ///
    /// # Panics
    /// If the migrations' versions do not rise: that is a mistake in the program.
    pub fn open(
        &self,
        set: &'static str,
        shards: u32,
        schema: &'static [Migration],
    ) -> Result<ShardSet, OpenError> {
        assert!(schema.is_sorted_by(|a, b| a.version < b.version), "versions of {set}'s migrations rise");
        if !(1..=limits::SHARDS_MAX).contains(&shards) {
            return Err(OpenError::ShardsRange { asked: shards });
        }
        // Held while opening: two systems must not both open a file for the first time.
        let mut sets = self.inner.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match sets.get(set) {
            Some(opened) => opened,
            None => {
                let opened = self.inner.open_all(set, shards, schema)?;
                sets.entry(set).or_insert(opened)
            }
        };
        if opened.len() != shards as usize {
            let path = opened[0].core.path.clone();
            return Err(OpenError::Shards { path, found: opened.len() as i64, asked: shards });
        }
        let ranges = Arc::new(Ranges::even(shards));
        let handles = (0..shards).zip(opened).map(|(index, opened)| {
            let epoch = self.inner.patiently(&opened.core.path, || read_epoch(&opened.core.path))?;
            opened.core.epoch.store(epoch.0, Ordering::Release);
            Ok(Shard { opened: opened.clone(), epoch, index, bounds: ranges.bounds(index) })
        });
        Ok(ShardSet { shards: handles.collect::<Result<_, OpenError>>()?, ranges })
    }
}

fn read_epoch(path: &Path) -> Result<Epoch, Trouble> {
    let connection = sqlite::connect(path, false)?;
    Ok(fence::shard_epoch(&connection)?)
}

impl Inner {
    fn open_all(
        &self,
        set: &'static str,
        shards: u32,
        schema: &'static [Migration],
    ) -> Result<Vec<Arc<Opened>>, OpenError> {
        let data = &self.options.data;
        make_directory(data).map_err(|source| OpenError::Directory { path: data.clone(), source })?;
        let mut opened = Vec::new();
        for index in 0..shards {
            let identity = Identity { set, index, shards };
            let path = data.join(format!("{set}-{index}.db"));
            self.patiently(&path, || prepare(&path, &identity, schema))?;
            opened.push(Arc::new(self.start(&identity, path)?));
        }
        // A created file must also be found again after a power cut.
        sync(data).map_err(|source| OpenError::Directory { path: data.clone(), source })?;
        Ok(opened)
    }

    /// Tries again while another process holds the lock.
    fn patiently<T>(&self, path: &Path, work: impl Fn() -> Result<T, Trouble>) -> Result<T, OpenError> {
        let mut rng = Rng::new(self.options.seed);
        for _ in 0..limits::OPEN_TRIES_MAX {
            match work() {
                Ok(done) => return Ok(done),
                Err(Trouble::Verdict(verdict)) => return Err(verdict),
                Err(Trouble::Engine(error)) if sqlite::is_busy(&error) => thread::sleep(lock_pause(&mut rng)),
                Err(Trouble::Engine(error)) => return Err(judge(path, error)),
            }
        }
        Err(OpenError::Locked { path: path.to_owned() })
    }

    fn start(&self, identity: &Identity, path: PathBuf) -> Result<Opened, OpenError> {
        let core = Arc::new(Core {
            name: format!("{}-{}", identity.set, identity.index),
            clock: self.options.clock.clone(),
            seed: self.options.seed ^ u64::from(identity.index) << 32,
            ack_before_commit: self.options.plants.ack_before_commit,
            metrics: self.metrics.clone(),
            writes: Queue::new(limits::WRITE_QUEUE_MAX, limits::WRITE_QUEUE_BYTES_MAX),
            reads: Queue::new(limits::READ_QUEUE_MAX, usize::MAX),
            newest: watch::Sender::new(Position(0)),
            epoch: AtomicU64::new(0),
            fenced_by: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            path,
        });
        let path = &core.path;
        let retried = |open: &dyn Fn() -> rusqlite::Result<Box<dyn FnOnce() + Send>>| {
            self.patiently(path, || Ok(open()?))
        };
        let watch = retried(&|| Watcher::open(&core).map(|w| Box::new(|| w.run()) as _))?;
        let mut bodies = vec![("watch".to_owned(), watch)];
        for i in 0..limits::READERS {
            let body = retried(&|| Reader::open(&core, i).map(|r| Box::new(|| r.run()) as _))?;
            bodies.push((format!("read-{i}"), body));
        }
        let write = retried(&|| Writer::open(&core).map(|w| Box::new(|| w.run()) as _))?;
        bodies.push(("write".to_owned(), write));
        let mut threads = Vec::new();
        for (role, body) in bodies {
            let started = thread::Builder::new().name(format!("{}-{role}", core.name)).spawn(body);
            threads.push(started.map_err(|source| OpenError::Thread { path: path.clone(), source })?);
        }
        let watcher = threads[0].thread().clone();
        Ok(Opened { core, watcher, threads: Mutex::new(threads) })
    }
}

/// Everything that may be wrong with a file is found here, before a thread works on it.
fn prepare(path: &Path, identity: &Identity, schema: &[Migration]) -> Result<(), Trouble> {
    let connection = sqlite::connect(path, true)?;
    if schema::inspect(&connection, path)? == Found::Fresh {
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        if mode != "wal" {
            return Err(OpenError::NoWal { path: path.to_owned() }.into());
        }
    }
    sqlite::configure(&connection)?;
    schema::bring_up(&connection, path, identity, schema)
}

fn judge(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Corrupt { path, source },
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            OpenError::Unwritable { path, source }
        }
        _ => OpenError::Engine { path, source },
    }
}

fn make_directory(data: &Path) -> io::Result<()> {
    if data.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(data)?;
    data.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The shards of a set: ranges of the hash key, equal in width, in order.
#[derive(Debug, Clone)]
pub struct ShardSet {
    shards: Arc<[Shard]>,
    ranges: Arc<Ranges>,
}

#[expect(clippy::len_without_is_empty, reason = "a set has at least one shard")]
impl ShardSet {
    /// How many shards.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.ranges.count()
    }

    /// The shard a hash key lives on.
    #[must_use]
    pub fn of(&self, hk: i64) -> &Shard {
        self.get(self.index_of(hk))
    }

    /// The number of the shard a hash key lives on.
    #[must_use]
    pub fn index_of(&self, hk: i64) -> u32 {
        self.ranges.shard_of(hk)
    }

    /// A shard by its number, from 0.
    ///
    /// # Panics
    /// If there is no such shard.
    #[must_use]
    pub fn get(&self, index: u32) -> &Shard {
        &self.shards[index as usize]
    }

    /// All shards, in the order of their ranges.
    pub fn iter(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter()
    }
}
