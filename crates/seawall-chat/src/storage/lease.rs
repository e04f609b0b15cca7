//! Which process decides: one row on the first shard, changed only by who has seen what stands there.

use seawall_policy::Wall;
use seawall_store::{Op, Sql};

use super::rows::{any, one};
use super::{Storage, Trouble, batch, read_shard};

const FIND: Sql = Sql {
    name: "the owner's lease",
    text: "SELECT holder, address, secret, renewed_at FROM chat_owner WHERE hk = $1",
};
const FIRST: Sql = Sql {
    name: "the first lease",
    text: "INSERT INTO chat_owner (hk, holder, address, secret, renewed_at) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (hk) DO NOTHING RETURNING hk",
};
const TAKE: Sql = Sql {
    name: "take the lease",
    text: "UPDATE chat_owner SET holder = $2, address = $3, secret = $4, renewed_at = $5
           WHERE hk = $1 AND holder = $6 AND renewed_at = $7",
};
const RELEASE: Sql =
    Sql { name: "release the lease", text: "DELETE FROM chat_owner WHERE hk = $1 AND holder = $2" };

/// Who decides, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// A process, by a name of its own for each start.
    pub holder: String,
    /// Where it takes commands.
    pub address: String,
    /// What a caller shows it.
    pub key: String,
    /// When it last said that it is there, by its own clock. A follower measures by its own how long that stays
    /// the same.
    pub renewed_at: Wall,
}

impl Storage {
    /// The lease as it stands.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn lease(&self) -> Result<Option<Lease>, Trouble> {
        let first = self.shards.get(0);
        let found = read_shard(first, &FIND, vec![first.hk_min().into()]).await?;
        let Some(row) = found.rows.first() else { return Ok(None) };
        Ok(Some(Lease {
            holder: row.text(0)?.to_owned(),
            address: row.text(1)?.to_owned(),
            key: row.text(2)?.to_owned(),
            renewed_at: Wall(row.int(3)?),
        }))
    }

    /// Takes or renews the lease: `new` stands there from now on, if what stands there is still `seen`. False:
    /// somebody else was first.
    ///
    /// # Errors
    /// See [`Trouble`]. After one it may be taken; [`Storage::lease`] tells.
    pub async fn lease_take(&self, new: &Lease, seen: Option<&Lease>) -> Result<bool, Trouble> {
        let taken = self.settle(batch(self.shards.get(0).hk_min(), None, vec![self.take(new, seen)])).await;
        match taken {
            Ok(_) => Ok(true),
            // A second try after an unknown first one meets its own work.
            Err(Trouble::Conflict { .. }) => Ok(self.lease().await?.as_ref() == Some(new)),
            Err(trouble) => Err(trouble),
        }
    }

    fn take(&self, new: &Lease, seen: Option<&Lease>) -> Op {
        let mut args = vec![
            self.shards.get(0).hk_min().into(),
            new.holder.as_str().into(),
            new.address.as_str().into(),
            new.key.as_str().into(),
            new.renewed_at.0.into(),
        ];
        let Some(seen) = seen else { return one(&FIRST, args) };
        args.extend([seen.holder.as_str().into(), seen.renewed_at.0.into()]);
        one(&TAKE, args)
    }

    /// Gives the lease back, if it is still `holder`'s, so that the next owner need not wait.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn lease_release(&self, holder: &str) -> Result<(), Trouble> {
        let hk = self.shards.get(0).hk_min();
        self.settle(batch(hk, None, vec![any(&RELEASE, vec![hk.into(), holder.into()])])).await.map(|_| ())
    }
}
