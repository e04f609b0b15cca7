//! Who leads, and by which schema: one row each on the first database, changed only by who has seen what stands
//! there; and how far followers have got.

use seawall_policy::Wall;
use seawall_policy::deadline::Deadline;
use seawall_store::{Batch, Epoch, Op, Position, Sql, Value, Written};
use tokio::time::timeout;

use super::rows::{any, one, small};
use super::trouble::{Committed, Failed, Stop};
use super::{OWNER_SCOPE, Storage, Trouble, WRITE_PATIENCE, batch};

pub(super) const LEASE: Sql =
    Sql { name: "the lease", text: "SELECT holder, address, renewed_at FROM graph_leader WHERE hk = $1" };
pub(super) const LEASE_FIRST: Sql = Sql {
    name: "the first lease",
    text: "INSERT INTO graph_leader (hk, holder, address, renewed_at) VALUES ($1, $2, $3, $4)
           ON CONFLICT (hk) DO NOTHING RETURNING hk",
};
pub(super) const LEASE_TAKE: Sql = Sql {
    name: "take the lease",
    text: "UPDATE graph_leader SET holder = $2, address = $3, renewed_at = $4
           WHERE hk = $1 AND holder = $5 AND renewed_at = $6",
};
pub(super) const LEASE_RELEASE: Sql =
    Sql { name: "release the lease", text: "DELETE FROM graph_leader WHERE hk = $1 AND holder = $2" };
pub(super) const TEXT: Sql =
    Sql { name: "the schema", text: "SELECT number, text FROM graph_schema WHERE hk = $1" };
pub(super) const TEXT_FIRST: Sql = Sql {
    name: "the first schema",
    text: "INSERT INTO graph_schema (hk, number, text) VALUES ($1, 1, $2)
           ON CONFLICT (hk) DO NOTHING RETURNING hk",
};
pub(super) const TEXT_NEXT: Sql = Sql {
    name: "the next schema",
    text: "UPDATE graph_schema SET number = number + 1, text = $2 WHERE hk = $1 AND number = $3",
};

/// Who leads, and where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// A process, by a name of its own for each start.
    pub holder: String,
    /// Its socket: who starts on the same one knows that the old holder is gone.
    pub address: String,
    /// When it last said that it is there, by its own clock. Others measure by their own how long that stays the
    /// same.
    pub renewed_at: Wall,
}

impl Storage {
    /// The schema's text and its number; `None`: none was ever put.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn schema(&self) -> Result<Option<(u64, String)>, Trouble> {
        let first = self.set.get(0);
        let found = self.read(first, &TEXT, vec![first.hk_min().into()]).await?;
        found.rows.first().map(|row| Ok((small(row, 0)?, row.text(1)?.to_owned()))).transpose()
    }

    /// Puts a schema in the place of the one with number `seen` (0: none). False: that is not the one any more.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn schema_put(
        &self,
        epochs: &[Epoch],
        seen: u64,
        text: &str,
        deadline: Deadline,
    ) -> Result<bool, Failed> {
        let first = self.set.get(0);
        let hk = first.hk_min();
        let make = || {
            let mut args: Vec<Value> = vec![hk.into(), text.into()];
            let put = if seen == 0 {
                one(&TEXT_FIRST, args)
            } else {
                args.push(Value::Int(i64::try_from(seen).unwrap_or(i64::MAX)));
                one(&TEXT_NEXT, args)
            };
            batch(epochs, first, hk, None, vec![put], Vec::new())
        };
        match self.commit(first, deadline, true, make).await {
            (Ok(_), _) => Ok(true),
            // A second try after an unknown first one meets its own work.
            (Err(Stop::Conflict), repeated) => {
                let now = self.schema().await.map_err(Failed::on(0))?;
                Ok(repeated && now == Some((seen + 1, text.to_owned())))
            }
            (Err(Stop::Trouble(trouble)), _) => Err(Failed { shard: 0, trouble }),
        }
    }

    /// The lease as it stands.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn lease(&self) -> Result<Option<Lease>, Trouble> {
        let first = self.set.get(0);
        let found = self.read(first, &LEASE, vec![first.hk_min().into()]).await?;
        let Some(row) = found.rows.first() else { return Ok(None) };
        let (holder, address) = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
        Ok(Some(Lease { holder, address, renewed_at: Wall(row.int(2)?) }))
    }

    /// Takes or renews the lease: `new` stands there from now on, if what stands there is still `seen`. False:
    /// somebody else was first.
    ///
    /// # Errors
    /// See [`Trouble`]. After one it may be taken; [`Storage::lease`] tells.
    pub async fn lease_take(&self, new: &Lease, seen: Option<&Lease>) -> Result<bool, Trouble> {
        match self.own(|hk| take(hk, new, seen)).await {
            Ok(_) => Ok(true),
            // A second try after an unknown first one meets its own work.
            Err(Stop::Conflict) => Ok(self.lease().await?.as_ref() == Some(new)),
            Err(Stop::Trouble(trouble)) => Err(trouble),
        }
    }

    /// Gives the lease back, if it is still `holder`'s, so that the next one need not wait.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn lease_release(&self, holder: &str) -> Result<(), Trouble> {
        self.own(|hk| any(&LEASE_RELEASE, vec![hk.into(), holder.into()])).await?;
        Ok(())
    }

    /// Takes over on every database: whoever led before is fenced there. One epoch for each.
    ///
    /// # Errors
    /// See [`Trouble`]; claiming again is harmless.
    pub async fn claim(&self) -> Result<Vec<Epoch>, Trouble> {
        let mut epochs = Vec::new();
        for shard in self.set.iter() {
            epochs.push(shard.claim(OWNER_SCOPE).await?);
        }
        Ok(epochs)
    }

    /// Where a follower of this name left off on a database; `None` if it never was there.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn cursor(&self, shard: u32, name: &str) -> Result<Option<Position>, Trouble> {
        Ok(self.set.get(shard).cursor(name).await?)
    }

    /// Has a database keep what it tells after `at` for a follower of this name, for days if need be. A later
    /// position lets go of what is before it.
    ///
    /// # Errors
    /// See [`Trouble`]; saying it again is harmless.
    pub async fn cursor_save(&self, shard: u32, name: &str, at: Position) -> Result<(), Trouble> {
        let saving = self.set.get(shard).cursor_save(name, at);
        let written = timeout(WRITE_PATIENCE, saving).await.unwrap_or(Written::Unknown);
        Committed::of(written)?;
        Ok(())
    }

    /// A statement on the first database that needs no one to lead, and may be repeated.
    async fn own(&self, op: impl Fn(i64) -> Op) -> Result<Committed, Stop> {
        let first = self.set.get(0);
        let hk = first.hk_min();
        let make = || Batch { hk, key: None, owned: None, ops: vec![op(hk)], tell: Vec::new() };
        self.commit(first, self.soon(), true, make).await.0
    }
}

fn take(hk: i64, new: &Lease, seen: Option<&Lease>) -> Op {
    let mut args: Vec<Value> = vec![hk.into(), new.holder.as_str().into(), new.address.as_str().into()];
    args.push(new.renewed_at.0.into());
    let Some(seen) = seen else { return one(&LEASE_FIRST, args) };
    args.extend([seen.holder.as_str().into(), seen.renewed_at.0.into()]);
    one(&LEASE_TAKE, args)
}
