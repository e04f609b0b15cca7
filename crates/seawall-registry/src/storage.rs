//! The order of commands, made durable: the only file that knows the bytes.
//!
//! Whoever wants a change proposes a [`Command`] and hears back when it is on disk and applied. One task puts
//! proposals in order, writes as many as are waiting in one batch, and applies them; a fsync is thus shared by
//! everyone who waited for it. Several registries that agree by consensus will replace this file's ordering
//! and nothing else.
//!
//! ## On disk
//!
//! `registry_log` holds one row per command, numbered without a gap; `registry_snapshot` the whole state at one
//! such number, in parts a batch can carry. The last part's batch also deletes the log rows it covers and older
//! snapshots, so at every moment there is exactly one way to come back: newest complete snapshot, then the
//! rows after it. Each blob begins with a byte that names its format.
//!
//! ## A second registry on the same folder
//!
//! claims the next owner epoch, after which every write of the first is refused: the first ends instead of
//! answering from a state that is no longer the truth. Rows carry their number as primary key, so after an
//! unknown outcome the same batch is simply written again: a conflict then means that it was there already,
//! since nobody else holds our epoch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seawall_net::host::{End, Fault};
use seawall_net::tasks::Tasks;
use seawall_policy::{Clock, Outcome, Rng, retry};
use seawall_store::{
    Batch, ClaimError, Epoch, Expect, Files, Freshness, Migration, Mismatch, Op, OpenError as FilesError,
    Owned, ReadError, Shard, Sql, Value, Why, Written, hk,
};
use tokio::sync::{mpsc, oneshot};

use crate::machine::{Command, Machine, Reply};
use crate::metrics::Metrics;
use crate::state::State;

/// The set of files, and the owner scope within it.
const SET: &str = "registry";
/// Proposals waiting to be ordered; one more is refused as busy.
pub const PROPOSALS_MAX: usize = 4_096;
/// Commands ordered in one batch.
const BATCH_COMMANDS_MAX: usize = 256;
/// Bytes of commands in one batch: below the store's 1 MiB by the largest single command.
const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Commands after which the state is written whole and the log shortened.
pub const SNAPSHOT_EVERY: u64 = 4_096;
/// Bytes of commands after which it is written at the latest, so that coming back stays short.
const SNAPSHOT_LOG_BYTES: u64 = 64 << 20;
/// How often is looked whether that many have come.
const SNAPSHOT_LOOK_EVERY: Duration = Duration::from_secs(1);
/// Bytes of one part of a snapshot; the store takes 1 MiB at once.
const PART_BYTES: usize = 512 * 1024;
/// Rows read at once while coming back: with the largest rows still below the store's 16 MiB.
const PAGE_ROWS: usize = 16;
/// How long the store may take for one batch before it is refused.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// Times a batch with unknown outcome is written again before the system starts afresh and reads what is there.
const SETTLE_TRIES_MAX: u32 = 5;
/// Pause before each of them.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);
/// First byte of every blob.
const FORMAT: u8 = 1;

const SCHEMA: &[Migration] = &[Migration {
    version: 1,
    sql: "CREATE TABLE registry_log (
              hk BIGINT NOT NULL, idx BIGINT NOT NULL, command BYTEA NOT NULL,
              PRIMARY KEY (hk, idx));
          CREATE TABLE registry_snapshot (
              hk BIGINT NOT NULL, idx BIGINT NOT NULL, part BIGINT NOT NULL, parts BIGINT NOT NULL,
              body BYTEA NOT NULL,
              PRIMARY KEY (hk, idx, part));",
}];

const APPEND: Sql = Sql {
    name: "registry log append",
    text: "INSERT INTO registry_log (hk, idx, command) VALUES ($1, $2, $3)",
};
const LOG_PAGE: Sql = Sql {
    name: "registry log page",
    text: "SELECT idx, command FROM registry_log WHERE hk = $1 AND idx > $2 ORDER BY idx LIMIT $3",
};
const LOG_CUT: Sql =
    Sql { name: "registry log cut", text: "DELETE FROM registry_log WHERE hk = $1 AND idx <= $2" };
const PARTS: Sql = Sql {
    name: "registry snapshots",
    text: "SELECT idx, parts, COUNT(*) FROM registry_snapshot WHERE hk = $1 GROUP BY idx, parts ORDER BY idx DESC",
};
const PART_PAGE: Sql = Sql {
    name: "registry snapshot page",
    text: "SELECT part, body FROM registry_snapshot WHERE hk = $1 AND idx = $2 AND part >= $3 ORDER BY part LIMIT $4",
};
const PART_PUT: Sql = Sql {
    name: "registry snapshot part",
    text: "INSERT INTO registry_snapshot (hk, idx, part, parts, body) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (hk, idx, part) DO UPDATE SET parts = excluded.parts, body = excluded.body",
};
const PARTS_CUT: Sql =
    Sql { name: "registry snapshot cut", text: "DELETE FROM registry_snapshot WHERE hk = $1 AND idx < $2" };

/// Why the registry's files could not be opened or read back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store could not open them.
    #[error("cannot open the registry's files")]
    Files(#[from] FilesError),
    /// The owner epoch could not be raised.
    #[error("cannot take over the registry's data")]
    Claim(#[from] ClaimError),
    /// A read failed.
    #[error("cannot read the registry's data")]
    Read(#[from] ReadError),
    /// A row is not what its statement promises.
    #[error("the registry's data has a row of another shape")]
    Row(#[from] Mismatch),
    /// Written by a newer build.
    #[error("the registry's data has format {found}; this build reads up to {FORMAT}: start the newer build")]
    TooNew {
        /// The format found.
        found: u8,
    },
    /// Bytes that cannot be understood.
    #[error("the registry's data is damaged at {at}: restore a backup, or move the file away")]
    Damaged {
        /// Log row or snapshot.
        at: String,
        /// What the decoder said.
        #[source]
        source: serde_json::Error,
    },
    /// A command is missing in the middle.
    #[error("the registry's log goes from {before} to {after}: rows are missing; restore a backup")]
    Gap {
        /// The last command before the gap.
        before: u64,
        /// The first after it.
        after: u64,
    },
    /// Opening panicked.
    #[error("opening the registry's files panicked: {0}")]
    Panicked(String),
}

/// Why a proposal was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many are waiting, or the disk is behind.
    #[error("the registry has more writes waiting than it takes; try again")]
    Busy,
    /// The disk takes no writes.
    #[error("the registry's disk takes no writes at the moment")]
    ReadOnly,
    /// Another registry took over, or this one is ending: the change may or may not have been made.
    #[error("this registry is no longer in charge of its data")]
    Deposed,
    /// The disk failed in the middle of a commit, again and again: the change may or may not have been made.
    #[error("the registry's disk does not say whether the change was made")]
    Unsettled,
    /// The store refused the batch as such: our own mistake.
    #[error("the registry could not write the change: {0}")]
    Internal(String),
}

struct Proposal {
    command: Command,
    done: oneshot::Sender<Result<Reply, Refused>>,
}

/// A proposal that has its place in the order.
#[must_use = "nothing is durable before this was awaited"]
pub struct Pending(oneshot::Receiver<Result<Reply, Refused>>);

impl Pending {
    /// Waits until the command is on disk and applied.
    ///
    /// # Errors
    /// See [`Refused`]; only [`Refused::Deposed`] and [`Refused::Unsettled`] leave open whether it was done.
    pub async fn done(self) -> Result<Reply, Refused> {
        self.0.await.unwrap_or(Err(Refused::Deposed))
    }
}

/// Where changes are proposed. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    proposals: mpsc::Sender<Proposal>,
}

impl Log {
    /// Gives a command its place in the order, at once: of two calls, the earlier is applied first.
    ///
    /// # Errors
    /// [`Refused::Busy`] or [`Refused::Deposed`]; nothing was done then.
    pub fn submit(&self, command: Command) -> Result<Pending, Refused> {
        let (done, wait) = oneshot::channel();
        match self.proposals.try_send(Proposal { command, done }) {
            Ok(()) => Ok(Pending(wait)),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Refused::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Refused::Deposed),
        }
    }

    /// Proposes a command and waits until it is on disk and applied.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn propose(&self, command: Command) -> Result<Reply, Refused> {
        self.submit(command)?.done().await
    }
}

/// The registry's rows, and the right to write them.
#[derive(Clone)]
pub struct Disk {
    shard: Shard,
    hk: i64,
    epoch: Epoch,
    clock: Arc<dyn Clock>,
    /// Bytes appended since the last snapshot, or since the start.
    log_bytes: Arc<AtomicU64>,
}

/// Opens the files, takes over from whoever wrote before, and reads the state back.
///
/// # Errors
/// See [`OpenError`].
pub async fn open(files: &Files, tasks: &Tasks, clock: Arc<dyn Clock>) -> Result<(Disk, Machine), OpenError> {
    let files = files.clone();
    let opened = tasks.blocking(move || files.open(SET, 1, SCHEMA)).await;
    let set = opened.map_err(|e| OpenError::Panicked(e.0))??;
    let hk = hk(SET.as_bytes());
    let shard = set.of(hk).clone();
    // Before reading: from here on nobody else appends.
    let epoch = shard.claim(SET).await?;
    let disk = Disk { shard, hk, epoch, clock, log_bytes: Arc::default() };
    let machine = disk.read_back().await?;
    Ok((disk, machine))
}

impl Disk {
    /// Starts ordering proposals and taking snapshots.
    #[must_use]
    pub fn run(self, state: &Arc<State>, metrics: &Metrics, tasks: &Tasks) -> Log {
        let (proposals, queue) = mpsc::channel(PROPOSALS_MAX);
        let snapshots = self.clone().snapshots(state.clone(), metrics.clone(), tasks.clone());
        tasks.vital("registry snapshots", snapshots);
        tasks.vital("registry log", self.order(queue, state.clone(), metrics.clone(), tasks.clone()));
        Log { proposals }
    }

    async fn order(
        self,
        mut queue: mpsc::Receiver<Proposal>,
        state: Arc<State>,
        metrics: Metrics,
        tasks: Tasks,
    ) {
        // Runs until the last proposer is gone: a stop drains, so it must not end this first.
        while let Some(first) = queue.recv().await {
            let index = state.machine().index() + 1;
            let (mut commands, mut done, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
            let (mut bytes, mut next) = (0, Some(first));
            while let Some(Proposal { command, done: answer }) = next {
                let blob = encode(&command);
                bytes += blob.len();
                commands.push(command);
                done.push(answer);
                blobs.push(blob);
                let is_full = commands.len() == BATCH_COMMANDS_MAX || bytes >= BATCH_BYTES_MAX;
                next = if is_full { None } else { queue.try_recv().ok() };
            }
            metrics.batch(commands.len());
            match self.append(index, blobs).await {
                Ok(()) => {
                    for (reply, done) in state.apply(index, &commands).into_iter().zip(done) {
                        // Whoever left does not want to know.
                        drop(done.send(Ok(reply)));
                    }
                }
                Err(refused) => {
                    for done in done {
                        drop(done.send(Err(refused.clone())));
                    }
                    let fault = match refused {
                        // Starting again would only take the data back, in turns for ever.
                        Refused::Deposed => {
                            Fault::new("another registry took over the data folder; run one of them")
                                .and_final()
                        }
                        // What is in memory may now differ from the disk: read it back.
                        Refused::Unsettled => Fault::new("the disk failed in the middle of a commit"),
                        Refused::Busy | Refused::ReadOnly | Refused::Internal(_) => continue,
                    };
                    return tasks.finish(End::Failed(fault));
                }
            }
        }
    }

    /// Writes commands from `index` on. Only [`Refused::Deposed`] and [`Refused::Unsettled`] leave open whether
    /// they are there.
    async fn append(&self, index: u64, blobs: Vec<Vec<u8>>) -> Result<(), Refused> {
        let bytes: usize = blobs.iter().map(Vec::len).sum();
        self.log_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let rows = (index..).zip(blobs).map(|(index, blob)| {
            let args = vec![Value::Int(self.hk), Value::Int(index as i64), Value::Blob(blob)];
            Op { sql: &APPEND, args, expect: Expect::Rows(1) }
        });
        let ops: Vec<Op> = rows.collect();
        let settle = settling();
        let mut tried = 0;
        loop {
            let written = self.write(ops.clone()).await;
            tried += 1;
            match written {
                Written::Committed { .. } => return Ok(()),
                // Our rows: an earlier try had reached the disk after all.
                Written::Rejected(Why::Conflict { .. }) if tried > 1 => return Ok(()),
                Written::Rejected(why) if tried == 1 => return Err(refusal(&why)),
                // A try with unknown outcome went before: being turned away now does not settle that one.
                Written::Rejected(Why::Fenced { .. }) => return Err(Refused::Deposed),
                Written::Rejected(_) | Written::Unknown => {}
            }
            let luck = &mut Rng::new(index);
            match settle.next(tried, Outcome::Failed, true, Duration::ZERO, Duration::MAX, luck) {
                retry::Next::Again { after, .. } | retry::Next::Elsewhere { after, .. } => {
                    tokio::time::sleep(after).await;
                }
                retry::Next::Stop(_) => return Err(Refused::Unsettled),
            }
        }
    }

    async fn write(&self, ops: Vec<Op>) -> Written {
        let owned = Owned { scope: SET.to_owned(), epoch: self.epoch };
        let batch = Batch { hk: self.hk, key: None, owned: Some(owned), ops, tell: Vec::new() };
        self.shard.write(batch, self.clock.now() + WRITE_PATIENCE).await
    }

    async fn snapshots(self, state: Arc<State>, metrics: Metrics, tasks: Tasks) {
        let (mut last, mut size) = (self.snapshot_index().await, 0);
        while tasks.sleep(SNAPSHOT_LOOK_EVERY).await {
            let (commands, bytes) =
                (state.machine().index().saturating_sub(last), self.log_bytes.load(Ordering::Relaxed));
            // A large state is written no more often than as many bytes were logged: twice the writes at most.
            if bytes < size || (commands < SNAPSHOT_EVERY && bytes < SNAPSHOT_LOG_BYTES) {
                continue;
            }
            // Copying shares every record; only the maps are copied while writers wait.
            let machine = state.machine().clone();
            let index = machine.index();
            let Ok(bytes) = tasks.blocking(move || encode(&machine)).await else { continue };
            match self.put_snapshot(index, &bytes).await {
                Written::Committed { .. } => {
                    (last, size) = (index, bytes.len() as u64);
                    self.log_bytes.store(0, Ordering::Relaxed);
                    metrics.snapshots.inc();
                    tracing::info!(index, bytes = bytes.len(), "registry snapshot written");
                }
                // The log still has everything; the next round tries again.
                other => {
                    tracing::warn!(?other, index, "registry snapshot not written, the log grows meanwhile")
                }
            }
        }
    }

    async fn put_snapshot(&self, index: u64, bytes: &[u8]) -> Written {
        let parts = bytes.chunks(PART_BYTES).count();
        let at = Value::Int(index as i64);
        let mut written = Written::Unknown;
        for (part, body) in bytes.chunks(PART_BYTES).enumerate() {
            let (part_no, parts_no) = (Value::Int(part as i64), Value::Int(parts as i64));
            let body = Value::Blob(body.to_vec());
            let args = vec![Value::Int(self.hk), at.clone(), part_no, parts_no, body];
            let mut ops = vec![Op { sql: &PART_PUT, args, expect: Expect::Any }];
            if part + 1 == parts {
                for sql in [&LOG_CUT, &PARTS_CUT] {
                    let args = vec![Value::Int(self.hk), at.clone()];
                    ops.push(Op { sql, args, expect: Expect::Any });
                }
            }
            written = self.write(ops).await;
            if !matches!(written, Written::Committed { .. }) {
                return written;
            }
        }
        written
    }

    /// Index of the newest complete snapshot; 0 without one. A failed read only makes the next one early.
    async fn snapshot_index(&self) -> u64 {
        self.newest_snapshot().await.ok().flatten().unwrap_or(0)
    }

    async fn newest_snapshot(&self) -> Result<Option<u64>, OpenError> {
        let found = self.shard.read(Freshness::Primary, &PARTS, vec![Value::Int(self.hk)]).await?;
        for row in &found.rows {
            if row.int(1)? == row.int(2)? {
                return Ok(Some(row.int(0)? as u64));
            }
        }
        Ok(None)
    }

    async fn read_back(&self) -> Result<Machine, OpenError> {
        let mut machine = match self.newest_snapshot().await? {
            None => Machine::new(),
            Some(index) => decode(&self.snapshot_parts(index).await?, || format!("snapshot {index}"))?,
        };
        loop {
            let from = machine.index();
            let args = [self.hk, from as i64, PAGE_ROWS as i64].map(Value::Int).to_vec();
            let page = self.shard.read(Freshness::Primary, &LOG_PAGE, args).await?.rows;
            for row in &page {
                let (index, before) = (row.int(0)? as u64, machine.index());
                if index != before + 1 {
                    return Err(OpenError::Gap { before, after: index });
                }
                let command: Command = decode(row.blob(1)?, || format!("log row {index}"))?;
                machine.apply(index, &command);
            }
            if page.len() < PAGE_ROWS {
                return Ok(machine);
            }
        }
    }

    async fn snapshot_parts(&self, index: u64) -> Result<Vec<u8>, OpenError> {
        let (mut bytes, mut from) = (Vec::new(), 0);
        loop {
            let args = [self.hk, index as i64, from, PAGE_ROWS as i64].map(Value::Int).to_vec();
            let page = self.shard.read(Freshness::Primary, &PART_PAGE, args).await?.rows;
            for row in &page {
                from = row.int(0)? + 1;
                bytes.extend_from_slice(row.blob(1)?);
            }
            if page.len() < PAGE_ROWS {
                return Ok(bytes);
            }
        }
    }
}

/// How often and how soon a write of unknown outcome is written again.
fn settling() -> retry::Policy {
    retry::Policy {
        attempts: SETTLE_TRIES_MAX,
        backoff: retry::Backoff { schedule: vec![SETTLE_PAUSE], ..retry::Backoff::default() },
        jitter: retry::Jitter::None,
        ..retry::Policy::default()
    }
}

fn refusal(why: &Why) -> Refused {
    match why {
        Why::Busy => Refused::Busy,
        Why::ReadOnly => Refused::ReadOnly,
        // A row of ours exists though we never wrote it: somebody else did.
        Why::Fenced { .. } | Why::Conflict { .. } => Refused::Deposed,
        Why::KeyReused | Why::TooLarge | Why::Invalid(_) => Refused::Internal(why.to_string()),
    }
}

fn encode<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    // Writing into memory cannot fail, and our own types have no keys that JSON refuses.
    serde_json::to_writer(&mut bytes, value).expect("commands and state are always JSON");
    bytes
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8], at: impl Fn() -> String) -> Result<T, OpenError> {
    match bytes.split_first() {
        Some((&FORMAT, json)) => {
            serde_json::from_slice(json).map_err(|source| OpenError::Damaged { at: at(), source })
        }
        Some((&found, _)) if found > FORMAT => Err(OpenError::TooNew { found }),
        _ => {
            let source = serde::de::Error::custom("no known format byte");
            Err(OpenError::Damaged { at: at(), source })
        }
    }
}

#[cfg(test)]
mod tests {
    use seawall_net::clock::SystemClock;
    use seawall_store::Options;
    use tempfile::TempDir;
    use tokio::runtime::Handle;

    use super::*;

    struct Folder {
        _dir: TempDir,
        files: Files,
        clock: Arc<dyn Clock>,
    }

    fn folder() -> Folder {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let data = dir.path().to_owned();
        let options = Options { data, clock: clock.clone(), seed: 1, plants: Default::default() };
        Folder { _dir: dir, files: Files::new(options), clock }
    }

    impl Folder {
        async fn open(&self) -> Result<(Disk, Machine), OpenError> {
            open(&self.files, &Tasks::new(Handle::current()), self.clock.clone()).await
        }
    }

    fn put(n: u64) -> Command {
        Command::Put { key: format!("k{n}"), value: vec![n as u8; 1000], flags: n, cas: None }
    }

    /// Appends and applies commands, as the ordering task does.
    async fn append(disk: &Disk, machine: &mut Machine, commands: std::ops::Range<u64>) {
        for n in commands {
            let index = machine.index() + 1;
            disk.append(index, vec![encode(&put(n))]).await.unwrap();
            machine.apply(index, &put(n));
        }
    }

    async fn log_rows(disk: &Disk) -> usize {
        let args = [disk.hk, 0, 10_000].map(Value::Int).to_vec();
        disk.shard.read(Freshness::Primary, &LOG_PAGE, args).await.unwrap().rows.len()
    }

    #[tokio::test]
    async fn the_log_comes_back_page_by_page() {
        let folder = folder();
        let (disk, mut machine) = folder.open().await.unwrap();
        append(&disk, &mut machine, 0..3 * PAGE_ROWS as u64 + 1).await;
        let (_, back) = folder.open().await.unwrap();
        assert_eq!(back.fingerprint(), machine.fingerprint());
    }

    #[tokio::test]
    async fn a_snapshot_in_many_parts_replaces_the_log_it_covers() {
        let folder = folder();
        let (disk, mut machine) = folder.open().await.unwrap();
        append(&disk, &mut machine, 0..20).await;
        // More parts than one page holds, cut anywhere.
        let bytes = encode(&machine);
        let mut padded = bytes.clone();
        padded.resize(PART_BYTES * (PAGE_ROWS + 1), b' ');
        let written = disk.put_snapshot(machine.index(), &padded).await;
        assert!(matches!(written, Written::Committed { .. }), "{written:?}");
        assert_eq!(log_rows(&disk).await, 0);
        append(&disk, &mut machine, 20..23).await;
        assert_eq!(log_rows(&disk).await, 3);
        let (_, back) = folder.open().await.unwrap();
        assert_eq!(back.fingerprint(), machine.fingerprint());
    }

    #[tokio::test]
    async fn a_snapshot_that_was_not_finished_does_not_count() {
        let folder = folder();
        let (disk, mut machine) = folder.open().await.unwrap();
        append(&disk, &mut machine, 0..5).await;
        let args = vec![
            Value::Int(disk.hk),
            Value::Int(machine.index() as i64),
            Value::Int(0),
            Value::Int(2),
            Value::Blob(vec![FORMAT, b'{']),
        ];
        let op = Op { sql: &PART_PUT, args, expect: Expect::Any };
        assert!(matches!(disk.write(vec![op]).await, Written::Committed { .. }));
        let (_, back) = folder.open().await.unwrap();
        assert_eq!(back.fingerprint(), machine.fingerprint());
    }

    #[tokio::test]
    async fn a_log_with_a_hole_is_refused() {
        let folder = folder();
        let (disk, _) = folder.open().await.unwrap();
        disk.append(2, vec![encode(&put(1))]).await.unwrap();
        disk.append(4, vec![encode(&put(2))]).await.unwrap();
        let error = folder.open().await.err().unwrap();
        assert!(matches!(error, OpenError::Gap { before: 2, after: 4 }), "{error}");
    }

    #[tokio::test]
    async fn a_newer_format_is_refused_and_nonsense_is_named() {
        for (bytes, says) in [
            (vec![FORMAT + 1, b'{', b'}'], "has format 2; this build reads up to 1"),
            (vec![FORMAT, b'{'], "damaged at log row 2"),
            (vec![], "damaged at log row 2"),
        ] {
            let folder = folder();
            let (disk, _) = folder.open().await.unwrap();
            disk.append(2, vec![bytes]).await.unwrap();
            let error = folder.open().await.err().unwrap().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[tokio::test]
    async fn who_claims_later_fences_who_came_before() {
        let folder = folder();
        let (old, _) = folder.open().await.unwrap();
        let (new, _) = folder.open().await.unwrap();
        assert_eq!(old.append(2, vec![encode(&put(1))]).await, Err(Refused::Deposed));
        assert_eq!(new.append(2, vec![encode(&put(1))]).await, Ok(()));
    }
}
