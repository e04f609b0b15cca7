//! Links as rows. The only file that knows tables, statements and events.
//!
//! A link is one row at the hash of its code. Deleting sets a time and keeps the row: a code that was once
//! printed somewhere must never lead anywhere else.
//!
//! What others must hear of goes into the change stream: every deletion, and every new alias, because someone
//! may have asked for it before and been told that it does not exist. A generated code nobody can have asked
//! for, so a plain create writes no event.

use std::sync::Arc;
use std::time::Duration;

use seawall_policy::deadline::Deadline;
use seawall_policy::priority::Priority;
use seawall_policy::{Clock, Mono, Outcome, Wall};
use seawall_store::{
    Batch, ChangesError, Event, Expect, Fresh, Freshness, Idem, Migration, Mismatch, Op, Position, ReadError,
    Row, Rows, Shard, ShardSet, Sql, Value, Why, Written,
};
use tokio::time::timeout;

use crate::allocator::Block;
use crate::config::Config;
use crate::degrade::{Ladder, Loss};
use crate::guard::{Guard, Refused};
use crate::metrics::Metrics;
use crate::name::Name;

/// The name of the set: files are `links-0.db` and so on.
pub const SET: &str = "links";

/// The tables.
pub const SCHEMA: &[Migration] = &[Migration {
    version: 1,
    sql: "
        CREATE TABLE links (
            hk BIGINT NOT NULL,
            code TEXT NOT NULL,
            url TEXT NOT NULL,
            created_at BIGINT NOT NULL,
            deleted_at BIGINT,
            PRIMARY KEY (hk, code)
        );
        -- One row: the first number of the shard's counter that nobody has leased.
        CREATE TABLE links_block (
            hk BIGINT NOT NULL,
            next BIGINT NOT NULL,
            PRIMARY KEY (hk)
        );
        -- One row, on the first shard: the key all codes are made with.
        CREATE TABLE links_secret (
            hk BIGINT NOT NULL,
            secret BYTEA NOT NULL,
            PRIMARY KEY (hk)
        );",
}];

const INSERT: Sql = Sql {
    name: "insert a link",
    text: "INSERT INTO links (hk, code, url, created_at) VALUES ($1, $2, $3, $4)
           RETURNING code, url, created_at, deleted_at",
};
const FIND: Sql = Sql {
    name: "find a link",
    text: "SELECT code, url, created_at, deleted_at FROM links WHERE hk = $1 AND code = $2",
};
const PAGE: Sql = Sql {
    name: "a page of links",
    text: "SELECT code, url, created_at, deleted_at FROM links
           WHERE (hk, code) > ($1, $2) AND deleted_at IS NULL ORDER BY hk, code LIMIT $3",
};
/// Deleting twice keeps the first time, so that a repeated request is harmless.
const DELETE: Sql = Sql {
    name: "delete a link",
    text: "UPDATE links SET deleted_at = COALESCE(deleted_at, $3) WHERE hk = $1 AND code = $2 RETURNING code",
};
const LEASE: Sql = Sql {
    name: "lease a block of ids",
    text: "INSERT INTO links_block (hk, next) VALUES ($1, $2)
           ON CONFLICT (hk) DO UPDATE SET next = links_block.next + $2 RETURNING next",
};
const OFFER_SECRET: Sql = Sql {
    name: "offer a secret",
    text: "INSERT INTO links_secret (hk, secret) VALUES ($1, $2) ON CONFLICT (hk) DO NOTHING",
};
const SECRET: Sql = Sql { name: "the secret", text: "SELECT secret FROM links_secret WHERE hk = $1" };

/// The topic of our events; their key is the code.
const CHANGED: &str = "link";
/// Events taken at a time.
pub const NEWS_MAX: usize = 1000;

/// How long a read may take before the store counts as failing. A point read takes microseconds; beyond a second
/// an old answer from memory serves better.
const READ_PATIENCE: Duration = Duration::from_secs(1);
/// How long a write may take. Leaves time, of the five seconds a request has, to settle what became of it.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);

/// A link as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its code or alias.
    pub name: Name,
    /// Where it leads.
    pub url: String,
    /// When it was made.
    pub created_at: Wall,
    /// When it was deleted, if it was.
    pub deleted_at: Option<Wall>,
}

/// A committed create.
#[derive(Debug)]
pub struct Inserted {
    /// The link: the one asked for, or the one an earlier request with the same key made.
    pub link: Stored,
    /// Its place in the order of commits.
    pub at: Position,
    /// Whether it was made before.
    pub again: bool,
}

/// Why the store did not do it.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The name is taken, or there is no such row.
    Conflict,
    /// The idempotency key belongs to another request.
    KeyReused,
    /// The breaker is open for this long.
    Open(Duration),
    /// Too much to do.
    Busy,
    /// It takes no writes: disk full, or fenced.
    ReadOnly,
    /// Perhaps done; only writing again with the same key will tell.
    Unknown,
    /// The caller's deadline passed first. A write was not begun.
    Late,
    /// The engine failed, or we asked for something impossible; for the log.
    Broken(String),
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Trouble {
        match refused {
            Refused::Open(left) => Trouble::Open(left),
            Refused::Full => Trouble::Busy,
        }
    }
}

impl From<Mismatch> for Trouble {
    fn from(mismatch: Mismatch) -> Trouble {
        Trouble::Broken(mismatch.to_string())
    }
}

/// What happened to a shard since a position.
pub enum News {
    /// These names were changed, in this order.
    Changed(Vec<(Position, String)>),
    /// Some news are gone: nothing remembered from before this position is to be trusted.
    Missed {
        /// Where to go on from.
        now: Position,
    },
}

/// The shards, each behind its guards.
pub struct Storage {
    shards: ShardSet,
    guards: Box<[Guards]>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

struct Guards {
    reads: Guard,
    writes: Guard,
}

impl Storage {
    /// Puts guards in front of the shards.
    #[must_use]
    pub fn new(
        shards: ShardSet,
        config: &Config,
        clock: &Arc<dyn Clock>,
        ladder: &Ladder,
        metrics: &Metrics,
    ) -> Storage {
        let guard = |loss, shard: &Shard| Guard::new(config, clock, ladder, loss, shard.index());
        let guards =
            shards.iter().map(|s| Guards { reads: guard(Loss::Reads, s), writes: guard(Loss::Writes, s) });
        Storage { guards: guards.collect(), shards, clock: clock.clone(), metrics: metrics.clone() }
    }

    /// All shards.
    #[must_use]
    pub fn shards(&self) -> &ShardSet {
        &self.shards
    }

    /// The key all codes are made with; `fresh` becomes it if there is none yet. Several processes that start
    /// together agree, because all of them read what stands there in the end. Where it stands nothing is
    /// written: a process that starts on a full disk can still redirect.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn secret(&self, fresh: [u8; 16], deadline: Deadline) -> Result<[u8; 16], Trouble> {
        let shard = self.shards.get(0);
        if let Some(secret) = self.find_secret(shard).await? {
            return Ok(secret);
        }
        let offer =
            Op { sql: &OFFER_SECRET, args: vec![shard.hk_min().into(), fresh.into()], expect: Expect::Any };
        self.write(shard, &batch(shard.hk_min(), None, offer, None), deadline).await?;
        self.find_secret(shard).await?.ok_or_else(|| Trouble::Broken("the secret is gone".to_owned()))
    }

    async fn find_secret(&self, shard: &Shard) -> Result<Option<[u8; 16]>, Trouble> {
        let found = self.read(Priority::P0, shard, &SECRET, vec![shard.hk_min().into()]).await?;
        let Some(row) = found.rows.first() else { return Ok(None) };
        let secret = row.blob(0)?;
        let wrong = |_| Trouble::Broken(format!("the secret has {} bytes, not 16", secret.len()));
        secret.try_into().map(Some).map_err(wrong)
    }

    /// A block of `size` ids of a shard's counter, durable before it is returned.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn lease(&self, shard: u32, size: u32, deadline: Deadline) -> Result<Block, Trouble> {
        let owner = self.shards.get(shard);
        let args = vec![owner.hk_min().into(), i64::from(size).into()];
        let lease = batch(owner.hk_min(), None, Op { sql: &LEASE, args, expect: Expect::Rows(1) }, None);
        // Repeating it skips a block, which harms nobody.
        let (_, rows, _) = self.write(owner, &lease, deadline).await?;
        let end = first(&rows)?.int(0)? as u64;
        self.metrics.block_leases.inc();
        tracing::debug!(shard, size, end, "block of ids leased");
        Ok(Block { shard, next: end - u64::from(size), end })
    }

    /// Makes a link. `is_news` when someone may have asked for the name before.
    ///
    /// # Errors
    /// [`Trouble::Conflict`] when the name is taken; see [`Trouble`].
    pub async fn insert(
        &self,
        link: &Stored,
        key: Option<Idem>,
        is_news: bool,
        deadline: Deadline,
    ) -> Result<Inserted, Trouble> {
        let hk = link.name.hk();
        let args =
            vec![hk.into(), link.name.as_str().into(), link.url.as_str().into(), link.created_at.0.into()];
        let has_key = key.is_some();
        let insert = Op { sql: &INSERT, args, expect: Expect::Rows(1) };
        let insert = batch(hk, key, insert, is_news.then_some(&link.name));
        let (written, repeated) = self.write_settled(self.shards.of(hk), &insert, deadline).await;
        match written {
            Ok((at, rows, again)) => Ok(Inserted { link: stored(first(&rows)?)?, at, again }),
            // Without a key to tell by, the row itself does: the first of the two tries made it.
            Err(Trouble::Conflict) if repeated && !has_key => match self.find(&link.name).await? {
                (Some(found), at) if found == *link => Ok(Inserted { link: found, at, again: false }),
                _ => Err(Trouble::Conflict),
            },
            Err(trouble) => Err(trouble),
        }
    }

    /// A link and the position it was read at.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn find(&self, name: &Name) -> Result<(Option<Stored>, Position), Trouble> {
        let hk = name.hk();
        let found =
            self.read(Priority::P0, self.shards.of(hk), &FIND, vec![hk.into(), name.as_str().into()]).await?;
        Ok((found.rows.first().map(stored).transpose()?, found.at))
    }

    /// Deletes a link, or leaves it deleted. Returns the position.
    ///
    /// # Errors
    /// [`Trouble::Conflict`] when there never was such a link; see [`Trouble`].
    pub async fn delete(&self, name: &Name, now: Wall, deadline: Deadline) -> Result<Position, Trouble> {
        let hk = name.hk();
        let args = vec![hk.into(), name.as_str().into(), now.0.into()];
        let delete = batch(hk, None, Op { sql: &DELETE, args, expect: Expect::Rows(1) }, Some(name));
        let (written, _) = self.write_settled(self.shards.of(hk), &delete, deadline).await;
        written.map(|(at, ..)| at)
    }

    /// At most `max` links after `after`, in the order of their hash keys: the shards one after the other. The
    /// order says nothing to people, but no link is shown twice or skipped while others come and go.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn page(&self, after: Option<&Name>, max: usize) -> Result<Vec<Stored>, Trouble> {
        let (hk, code) = after.map_or((i64::MIN, ""), |name| (name.hk(), name.as_str()));
        let mut links = Vec::new();
        for index in self.shards.index_of(hk)..self.shards.len() {
            let args = vec![hk.into(), code.into(), Value::Int((max - links.len()) as i64)];
            let found = self.read(Priority::P3, self.shards.get(index), &PAGE, args).await?;
            for row in &found.rows {
                links.push(stored(row)?);
            }
            if links.len() >= max {
                break;
            }
        }
        Ok(links)
    }

    /// The newest position of a shard, which any read carries.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn position(&self, shard: u32) -> Result<Position, Trouble> {
        let shard = self.shards.get(shard);
        Ok(self.read(Priority::P0, shard, &FIND, vec![shard.hk_min().into(), "".into()]).await?.at)
    }

    /// What happened to a shard after `from`. Not through the guard: followers ask at their own pace, and must
    /// notice when the store is back.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn news(&self, shard: u32, from: Position) -> Result<News, Trouble> {
        match self.shards.get(shard).changes(from, NEWS_MAX).await {
            Ok(events) => {
                let ours =
                    events.into_iter().map(|(at, e)| (at, String::from_utf8_lossy(&e.key).into_owned()));
                Ok(News::Changed(ours.collect()))
            }
            Err(ChangesError::TooOld { .. }) => Ok(News::Missed { now: self.position(shard).await? }),
            Err(ChangesError::Read(error)) => Err(trouble_of(error)),
        }
    }

    async fn read(
        &self,
        priority: Priority,
        shard: &Shard,
        sql: &'static Sql,
        args: Vec<Value>,
    ) -> Result<Fresh<Rows>, Trouble> {
        let begun = self.clock.now();
        let guard = &self.guards[shard.index() as usize].reads;
        let read = timeout(READ_PATIENCE, shard.read(Freshness::Primary, sql, args));
        let read =
            guard.call(priority, read, |read| read.as_ref().map_or(Outcome::Timeout, read_outcome)).await?;
        self.metrics.store_read_seconds.observe(self.clock.now().since(begun).as_secs_f64());
        read.map_err(|_| Trouble::Busy)?.map_err(trouble_of)
    }

    /// Writes, and if the fate of that is unknown writes the same once more to learn it, time permitting. The
    /// batch must be one that may be repeated. Also says whether it was.
    async fn write_settled(
        &self,
        shard: &Shard,
        batch: &Batch,
        deadline: Deadline,
    ) -> (Result<Committed, Trouble>, bool) {
        let once = self.write(shard, batch, deadline).await;
        if once != Err(Trouble::Unknown) || deadline.is_past(self.clock.now()) {
            return (once, false);
        }
        let again = match self.write(shard, batch, deadline).await {
            // These two see what the first try did. All others leave its fate as unknown as it was.
            known @ (Ok(_) | Err(Trouble::Conflict | Trouble::KeyReused)) => known,
            Err(_) => Err(Trouble::Unknown),
        };
        (again, true)
    }

    async fn write(&self, shard: &Shard, batch: &Batch, deadline: Deadline) -> Result<Committed, Trouble> {
        let begun = self.clock.now();
        if deadline.is_past(begun) {
            return Err(Trouble::Late);
        }
        let guard = &self.guards[shard.index() as usize].writes;
        let judge = |written: &Written| write_outcome(written, deadline, self.clock.now());
        let write = async {
            // Giving up waiting does not undo it: that is exactly what unknown means.
            timeout(WRITE_PATIENCE, shard.write(batch.clone(), deadline.at)).await.unwrap_or(Written::Unknown)
        };
        let written = guard.call(Priority::P0, write, judge).await?;
        let now = self.clock.now();
        self.metrics.store_write_seconds.observe(now.since(begun).as_secs_f64());
        match written {
            Written::Committed { at, rows, again } => Ok((at, rows, again)),
            Written::Unknown => Err(Trouble::Unknown),
            Written::Rejected(why) => Err(match why {
                Why::Conflict { .. } => Trouble::Conflict,
                Why::KeyReused => Trouble::KeyReused,
                Why::Busy if deadline.is_past(now) => Trouble::Late,
                Why::Busy => Trouble::Busy,
                Why::ReadOnly | Why::Fenced { .. } => Trouble::ReadOnly,
                Why::TooLarge | Why::Invalid(_) => Trouble::Broken(why.to_string()),
            }),
        }
    }
}

/// Position, the rows of each statement, and whether it had been done before.
type Committed = (Position, Vec<Rows>, bool);

fn batch(hk: i64, key: Option<Idem>, op: Op, news: Option<&Name>) -> Batch {
    let event = |name: &Name| Event::new(CHANGED, name.as_str().as_bytes(), Vec::new());
    Batch { hk, key, owned: None, ops: vec![op], tell: news.map(event).into_iter().collect() }
}

fn first(rows: &[Rows]) -> Result<&Row, Trouble> {
    rows.first()
        .and_then(|r| r.first())
        .ok_or_else(|| Trouble::Broken("the statement returned no row".to_owned()))
}

fn stored(row: &Row) -> Result<Stored, Trouble> {
    let name =
        Name::parse(row.text(0)?).ok_or_else(|| Trouble::Broken("a stored code is malformed".to_owned()))?;
    Ok(Stored {
        name,
        url: row.text(1)?.to_owned(),
        created_at: Wall(row.int(2)?),
        deleted_at: row.opt_int(3)?.map(Wall),
    })
}

/// What a write says of the store. A conflict is an answer; so is a wrong statement, which is our own fault.
fn write_outcome(written: &Written, deadline: Deadline, now: Mono) -> Outcome {
    match written {
        Written::Committed { .. } => Outcome::Success,
        Written::Unknown => Outcome::Failed,
        Written::Rejected(why) => match why {
            Why::Conflict { .. } | Why::KeyReused | Why::TooLarge | Why::Invalid(_) => Outcome::Success,
            Why::ReadOnly | Why::Fenced { .. } => Outcome::Failed,
            // A caller with no time to spare must not open the breaker for everyone.
            Why::Busy if deadline.is_past(now) => Outcome::Abandoned,
            Why::Busy => Outcome::Overloaded,
        },
    }
}

fn read_outcome(read: &Result<Fresh<Rows>, ReadError>) -> Outcome {
    match read {
        Ok(_) | Err(ReadError::TooMany | ReadError::Invalid(_)) => Outcome::Success,
        Err(ReadError::Busy) => Outcome::Overloaded,
        Err(ReadError::Deadline) => Outcome::Timeout,
        Err(ReadError::Engine(_) | ReadError::Lost) => Outcome::Failed,
    }
}

fn trouble_of(error: ReadError) -> Trouble {
    match error {
        ReadError::Busy => Trouble::Busy,
        other => Trouble::Broken(other.to_string()),
    }
}
