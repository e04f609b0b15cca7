//! Guilds, messages and sessions as rows. The only folder that knows tables and statements.
//!
//! Reads are methods of [`Storage`]. Writes are data: [`ops`] makes statements out of values, whoever decides puts
//! them into a batch with its key, its epoch and what it tells, and [`Storage::write`] hands that to the shard.
//! Only what nobody decides about is written here by itself: session records, the owner's lease, and clearing away
//! what is unreachable.

mod changes;
mod directs;
mod guilds;
mod invites;
mod lease;
mod messages;
pub mod ops;
mod place;
mod rows;
mod schema;
mod sessions;
mod sweep;
mod trouble;
mod users;

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use seawall_net::host::{Fault, Host};
use seawall_policy::deadline::Deadline;
use seawall_policy::{Clock, Wall};
use seawall_store::{
    Batch, Epoch, Files, Fresh, Freshness, Idem, Op, Position, ReadError, Rows, Shard, ShardSet, Sql, Value,
    Written,
};
use tokio::sync::watch;
use tokio::time::timeout;

pub(crate) use changes::renewed;
pub use changes::{Moved, Renewed, TOPIC, Told, event, parse_event};
pub use directs::DIRECTS_MAX;
pub use invites::INVITES_MAX;
pub use lease::Lease;
pub use messages::{PAGE_MAX, Page};
pub use place::{
    Home, folded, hk_channel, hk_direct, hk_guild, hk_invite, hk_name, hk_session, hk_user, idem, nonce_key,
};
pub use schema::{SCHEMA, SET};
pub use sessions::SessionRecord;
pub use trouble::{ChangesTrouble, Committed, Trouble};
pub use users::{make_token, token_hash, token_user};

use crate::id::Id;

/// How long one read may take. A point read takes microseconds, a page of history a millisecond.
const READ_PATIENCE: Duration = Duration::from_secs(1);
/// How long the writes take that are made here.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);
/// How long after its deadline a write that was begun is waited for. Giving up does not undo it: it is unknown then.
const COMMIT_PATIENCE: Duration = Duration::from_secs(2);
/// Channels whose homes are remembered; 64 bytes each.
const HOMES_MAX: usize = 100_000;

/// The shards.
pub struct Storage {
    shards: ShardSet,
    clock: Arc<dyn Clock>,
    /// A channel never moves, so what is in here stays true.
    homes: Cache<Id, Home>,
}

impl Storage {
    /// Opens the files, making those that are not there.
    ///
    /// # Errors
    /// They cannot be used; the fault says what to do.
    pub async fn open(files: Files, shards: u32, host: &Host) -> Result<Arc<Storage>, Fault> {
        let opening = host.tasks.blocking(move || files.open(SET, shards, SCHEMA));
        let set = opening.await.map_err(|e| Fault::because("cannot open the chat", e))?;
        let set = set.map_err(|e| Fault::because("cannot open the chat", e))?;
        Ok(Arc::new(Storage::new(set, host.clock.clone())))
    }

    /// On a set that is open.
    #[must_use]
    pub fn new(shards: ShardSet, clock: Arc<dyn Clock>) -> Storage {
        Storage { shards, clock, homes: Cache::new(HOMES_MAX) }
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> u32 {
        self.shards.len()
    }

    /// The shard a hash key lives on.
    #[must_use]
    pub fn shard_of(&self, hk: i64) -> u32 {
        self.shards.index_of(hk)
    }

    /// The shard of a guild and of all that belongs to it.
    #[must_use]
    pub fn shard_of_guild(&self, guild: Id) -> u32 {
        self.shard_of(hk_guild(guild))
    }

    /// The shard of a direct message.
    #[must_use]
    pub fn shard_of_direct(&self, channel: Id) -> u32 {
        self.shard_of(hk_direct(channel))
    }

    /// The shard of a user.
    #[must_use]
    pub fn shard_of_user(&self, user: Id) -> u32 {
        self.shard_of(hk_user(user))
    }

    /// Does a batch or nothing of it, on the shard of its hash key. Batches of one caller are done in the order in
    /// which their futures were first polled.
    pub async fn write(&self, batch: Batch, deadline: Deadline) -> Written {
        let patience = deadline.at.since(self.clock.now()) + COMMIT_PATIENCE;
        let writing = self.shards.of(batch.hk).write(batch, deadline.at);
        timeout(patience, writing).await.unwrap_or(Written::Unknown)
    }

    /// Takes `scope` over on every shard: whoever spoke for it before is fenced there. One epoch for each shard.
    ///
    /// # Errors
    /// See [`Trouble`]; claiming again is harmless.
    pub async fn claim(&self, scope: &str) -> Result<Vec<Epoch>, Trouble> {
        let mut epochs = Vec::new();
        for shard in self.shards.iter() {
            epochs.push(shard.claim(scope).await?);
        }
        Ok(epochs)
    }

    /// Wakes when something was committed on a shard, by this process or another. The value is the newest position
    /// known.
    #[must_use]
    pub fn changed(&self, shard: u32) -> watch::Receiver<Position> {
        self.shards.get(shard).changed()
    }

    fn now(&self) -> Wall {
        self.clock.wall()
    }

    /// A deadline for what is written here.
    fn soon(&self) -> Deadline {
        Deadline::after(self.clock.now(), WRITE_PATIENCE)
    }

    /// One write that may be repeated: where its fate is unknown it is written once more, which tells.
    async fn settle(&self, batch: Batch) -> Result<Committed, Trouble> {
        match Committed::of(self.write(batch.clone(), self.soon()).await) {
            Err(Trouble::Unknown) => {}
            known => return known,
        }
        match Committed::of(self.write(batch, self.soon()).await) {
            // These have seen what the first try did. All others leave its fate as unknown as it was.
            known @ (Ok(_) | Err(Trouble::Conflict { .. } | Trouble::KeyReused)) => known,
            Err(_) => Err(Trouble::Unknown),
        }
    }

    /// A read on the shard of a hash key, which is its first argument.
    async fn read(&self, sql: &'static Sql, hk: i64, rest: Vec<Value>) -> Result<Fresh<Rows>, Trouble> {
        Ok(self.ask(sql, hk, rest).await?)
    }

    async fn ask(&self, sql: &'static Sql, hk: i64, rest: Vec<Value>) -> Result<Fresh<Rows>, ReadError> {
        let args = std::iter::once(hk.into()).chain(rest).collect();
        read_shard(self.shards.of(hk), sql, args).await
    }
}

async fn read_shard(shard: &Shard, sql: &'static Sql, args: Vec<Value>) -> Result<Fresh<Rows>, ReadError> {
    let reading = shard.read(Freshness::Primary, sql, args);
    timeout(READ_PATIENCE, reading).await.unwrap_or(Err(ReadError::Deadline))
}

/// A batch of our own, which has no owner.
fn batch(hk: i64, key: Option<Idem>, ops: Vec<Op>) -> Batch {
    Batch { hk, key, owned: None, ops, tell: Vec::new() }
}
