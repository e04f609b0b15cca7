//! The writer thread of a shard: groups, one transaction each, answers after COMMIT.
//!
//! ## Why groups
//!
//! A durable commit costs an fsync, some 200 to 300 a second on an ordinary disk; 64 rows in one commit
//! cost hardly more than one. While one group is being synced the next one gathers in the queue, so
//! grouping needs no waiting: an idle shard commits a single batch at once, a busy one commits many.
//!
//! ## What may be answered when
//!
//! Before the transaction has begun: busy. Everything else after COMMIT, rejections too, because a
//! conflict may be with a batch of the same group, which is true only if that one is on disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::Connection;
use seawall_policy::{Mono, Rng};
use tokio::sync::oneshot;

use crate::housekeeping;
use crate::limits;
use crate::queue::Taken;
use crate::shard::Core;
use crate::sql::group::{self, Broken};
use crate::sql::{fence, sqlite};
use crate::types::{Batch, Epoch, Position, Why, Written};

/// How long the planted fault sits between answering and committing: time enough to be killed in.
const PLANTED_PAUSE: Duration = Duration::from_millis(20);

/// Something to write and where the answer goes.
pub(crate) struct Job {
    pub(crate) work: Work,
    /// The epoch it is written in the name of.
    pub(crate) epoch: Epoch,
    pub(crate) deadline: Mono,
    pub(crate) reply: oneshot::Sender<Written>,
}

impl Job {
    /// Whether it came from a client that will send it again when in doubt.
    fn has_key(&self) -> bool {
        matches!(&self.work, Work::Batch { batch, .. } if batch.key.is_some())
    }
}

pub(crate) enum Work {
    /// `moves`: whether it takes a position even if it tells nothing. Our own small tables do not.
    Batch {
        batch: Batch,
        moves: bool,
    },
    FenceShard(Epoch),
}

impl Work {
    pub(crate) fn size(&self) -> usize {
        match self {
            Work::Batch { batch, .. } => batch.size(),
            Work::FenceShard(_) => 0,
        }
    }

    /// Positions it takes: one per event, so that a follower can stop between any two.
    fn positions(&self) -> u64 {
        match self {
            Work::Batch { batch, moves } => (batch.tell.len() as u64).max(u64::from(*moves)),
            Work::FenceShard(_) => 0,
        }
    }
}

/// The wait before a lock is asked for again.
pub(crate) fn lock_pause(rng: &mut Rng) -> Duration {
    let (min, max) = (limits::LOCK_RETRY_MIN.as_micros() as u64, limits::LOCK_RETRY_MAX.as_micros() as u64);
    Duration::from_micros(min + rng.below(max - min + 1))
}

/// An answer that waits for COMMIT.
type Answer = (oneshot::Sender<Written>, Written);

pub(crate) struct Writer {
    core: Arc<Core>,
    connection: Option<Connection>,
    rng: Rng,
    tidy_at: Mono,
    /// The last look at old rows deleted as many as it may.
    has_old_rows: bool,
}

impl Writer {
    pub(crate) fn open(core: &Arc<Core>) -> rusqlite::Result<Writer> {
        let connection = Some(connect(core)?);
        Ok(Writer {
            core: core.clone(),
            connection,
            rng: Rng::new(core.seed),
            tidy_at: Mono(0),
            has_old_rows: false,
        })
    }

    pub(crate) fn run(mut self) {
        let core = self.core.clone();
        loop {
            let taken = core.writes.take(limits::GROUP_BATCHES_MAX, limits::GROUP_BYTES_MAX, self.patience());
            let jobs = match taken {
                Taken::Items(jobs) => jobs,
                Taken::Nothing => Vec::new(),
                Taken::Closed => return,
            };
            // A panic loses the jobs in hand, which their callers see as unknown, and nothing else.
            let round = AssertUnwindSafe(|| {
                self.write(jobs);
                self.tidy();
            });
            if catch_unwind(round).is_err() {
                tracing::error!(shard = core.name, "the writer panicked; its file is opened again");
                self.connection = None;
            }
        }
    }

    /// How long to wait for batches before old rows are looked for: not long if the last look left some.
    fn patience(&self) -> Duration {
        if self.has_old_rows { limits::HOUSEKEEPING_PAUSE } else { limits::HOUSEKEEPING_EVERY }
    }

    /// A fence of the shard is a transaction of its own, in its place among the batches.
    fn write(&mut self, jobs: Vec<Job>) {
        let mut group = Vec::new();
        for job in jobs {
            if let Work::FenceShard(to) = job.work {
                self.commit(std::mem::take(&mut group));
                self.fence(to, job);
            } else {
                group.push(job);
            }
        }
        self.commit(group);
    }

    fn commit(&mut self, group: Vec<Job>) {
        let group = self.begin(group);
        let Some(connection) = self.connection.take_if(|_| !group.is_empty()) else { return };
        let begun = self.core.clock.now();
        let transaction = Transaction { core: &self.core, connection: &connection };
        match transaction.run(group) {
            Ok(()) => {
                let seconds = self.core.clock.now().since(begun).as_secs_f64();
                self.core.metrics.commit_seconds.observe(seconds);
                self.core.recovered();
                self.connection = Some(connection);
            }
            Err(Broken(error)) => {
                // Dropping the connection rolls back whatever SQLite had not; the next group opens another.
                self.core.failed(&error);
            }
        }
    }

    fn fence(&mut self, to: Epoch, job: Job) {
        let Some(job) = self.begin(vec![job]).pop() else { return };
        let Some(connection) = self.connection.take() else { return };
        let done = fence::fence_shard(&connection, to).and_then(|raised| {
            connection.execute_batch("COMMIT")?;
            Ok(raised)
        });
        let written = match done {
            Ok(Ok(at)) => Written::Committed { at, rows: vec![Vec::new()], again: false },
            Ok(Err(current)) => Written::Rejected(Why::Fenced { current }),
            Err(error) => {
                self.core.failed(&error);
                return self.answer((job.reply, Written::Unknown));
            }
        };
        self.connection = Some(connection);
        self.answer((job.reply, written));
    }

    /// Begins the transaction and gives the jobs that are still wanted; with none left it has not begun.
    /// Other processes hold the lock for a commit at a time, so it is asked for often and not for long.
    fn begin(&mut self, mut group: Vec<Job>) -> Vec<Job> {
        loop {
            group = self.still_wanted(group);
            if group.is_empty() {
                return group;
            }
            let begun = match &self.connection {
                Some(connection) => connection.execute_batch("BEGIN IMMEDIATE"),
                None => connect(&self.core).map(|connection| self.connection = Some(connection)),
            };
            match begun {
                Ok(()) if self.connection.as_ref().is_some_and(|c| !c.is_autocommit()) => return group,
                // Just reopened: begin on it.
                Ok(()) => {}
                Err(error) if sqlite::is_busy(&error) => {
                    self.core.metrics.lock_waits.inc();
                    std::thread::sleep(lock_pause(&mut self.rng));
                }
                Err(error) => {
                    self.core.failed(&error);
                    self.connection = None;
                    for job in group {
                        self.answer((job.reply, Written::Rejected(Why::ReadOnly)));
                    }
                    return Vec::new();
                }
            }
        }
    }

    fn still_wanted(&self, group: Vec<Job>) -> Vec<Job> {
        let now = self.core.clock.now();
        let (wanted, late): (Vec<Job>, Vec<Job>) =
            group.into_iter().filter(|job| !job.reply.is_closed()).partition(|job| now < job.deadline);
        for job in late {
            self.answer((job.reply, Written::Rejected(Why::Busy)));
        }
        wanted
    }

    fn answer(&self, answer: Answer) {
        answer_one(&self.core, answer);
    }

    fn tidy(&mut self) {
        let now = self.core.clock.now();
        let Some(connection) = self.connection.as_ref().filter(|_| now >= self.tidy_at) else { return };
        let epoch = Epoch(self.core.epoch.load(Ordering::Acquire));
        self.has_old_rows = false;
        match housekeeping::step(connection, epoch, self.core.clock.wall()) {
            Ok(rows) => {
                self.core.metrics.expired_rows.inc_by(rows as u64);
                // A full step means there is more: go on after the next group, or soon if none comes.
                self.has_old_rows = rows >= limits::HOUSEKEEPING_ROWS_MAX;
                self.tidy_at = if self.has_old_rows { now } else { now + limits::HOUSEKEEPING_EVERY };
            }
            Err(error) => {
                self.tidy_at = now + limits::HOUSEKEEPING_EVERY;
                if !sqlite::is_busy(&error) {
                    tracing::warn!(shard = self.core.name, %error, "old rows stay for now");
                    self.connection = None;
                }
            }
        }
    }
}

fn connect(core: &Core) -> rusqlite::Result<Connection> {
    let connection = sqlite::connect(&core.path, false)?;
    sqlite::configure(&connection)?;
    Ok(connection)
}

/// A group's transaction, from just after BEGIN to the answers.
struct Transaction<'a> {
    core: &'a Core,
    connection: &'a Connection,
}

impl Transaction<'_> {
    fn run(&self, group: Vec<Job>) -> Result<(), Broken> {
        self.core.metrics.group_batches.observe(group.len() as f64);
        // Handles of an older reign may still be about in this process.
        let epoch = group.iter().map(|job| job.epoch).max().unwrap_or_default();
        let positions = group.iter().filter(|j| j.epoch == epoch).map(|j| j.work.positions()).sum::<u64>();
        let last = match fence::advance(self.connection, epoch, positions) {
            Ok(Ok(last)) => last,
            Ok(Err(current)) => return self.fenced(group, current),
            Err(error) => return self.break_off(group, Vec::new(), error.into()),
        };
        let mut next = Position(last - positions);
        // Only what clients send: a process that cannot trust its own leases would not even start.
        let planted = self.core.ack_before_commit && group.iter().all(Job::has_key);
        let mut answers = Vec::with_capacity(group.len());
        let mut group = group.into_iter();
        while let Some(job) = group.next() {
            match self.apply(&job, epoch, &mut next) {
                Ok(written) => answers.push((job.reply, written)),
                Err(broken) => {
                    answers.push((job.reply, Written::Unknown));
                    return self.break_off(group.collect(), answers, broken);
                }
            }
        }
        self.finish(answers, Position(last), planted)
    }

    fn apply(&self, job: &Job, epoch: Epoch, next: &mut Position) -> Result<Written, Broken> {
        let Work::Batch { batch, .. } = &job.work else { unreachable!("fences are taken out before") };
        if job.epoch != epoch {
            return Ok(Written::Rejected(Why::Fenced { current: epoch }));
        }
        let before = *next;
        *next = Position(before.0 + job.work.positions());
        if self.core.clock.now() >= job.deadline {
            return Ok(Written::Rejected(Why::Busy));
        }
        group::apply(self.connection, batch, before, *next, self.core.clock.wall())
    }

    fn finish(&self, answers: Vec<Answer>, last: Position, planted: bool) -> Result<(), Broken> {
        let is_changed = |a: &Answer| matches!(a.1, Written::Committed { again: false, .. });
        if !answers.iter().any(is_changed) {
            self.connection.execute_batch("ROLLBACK")?;
            self.answer(answers);
            return Ok(());
        }
        let answers = if planted {
            self.answer(answers);
            std::thread::sleep(PLANTED_PAUSE);
            Vec::new()
        } else {
            answers
        };
        if let Err(error) = self.connection.execute_batch("COMMIT") {
            self.answer(answers.into_iter().map(|(reply, _)| (reply, Written::Unknown)).collect());
            return Err(error.into());
        }
        self.core.metrics.commits.inc();
        self.core.moved_to(last);
        self.answer(answers);
        Ok(())
    }

    fn fenced(&self, group: Vec<Job>, current: Epoch) -> Result<(), Broken> {
        if self.core.fenced_by.swap(current.0, Ordering::AcqRel) != current.0 {
            tracing::warn!(
                shard = self.core.name,
                current = current.0,
                "another writer took over, writes are fenced"
            );
        }
        self.answer(
            group.into_iter().map(|j| (j.reply, Written::Rejected(Why::Fenced { current }))).collect(),
        );
        Ok(self.connection.execute_batch("ROLLBACK")?)
    }

    /// The transaction cannot go on, and COMMIT was not sent. A full disk is a plain refusal; after
    /// anything else nobody should rely on what the disk holds.
    fn break_off(&self, rest: Vec<Job>, begun: Vec<Answer>, broken: Broken) -> Result<(), Broken> {
        let verdict = || {
            if sqlite::is_read_only(&broken.0) { Written::Rejected(Why::ReadOnly) } else { Written::Unknown }
        };
        let replies = begun.into_iter().map(|(reply, _)| reply).chain(rest.into_iter().map(|j| j.reply));
        self.answer(replies.map(|reply| (reply, verdict())).collect());
        Err(broken)
    }

    fn answer(&self, answers: Vec<Answer>) {
        for answer in answers {
            answer_one(self.core, answer);
        }
    }
}

fn answer_one(core: &Core, (reply, written): Answer) {
    let metrics = &core.metrics;
    match &written {
        Written::Committed { again: false, .. } => metrics.batches.inc(),
        Written::Committed { again: true, .. } => metrics.repeats.inc(),
        Written::Rejected(_) => metrics.rejected.inc(),
        Written::Unknown => metrics.unknown.inc(),
    };
    // Whoever stopped waiting needs no answer.
    let _ = reply.send(written);
}
