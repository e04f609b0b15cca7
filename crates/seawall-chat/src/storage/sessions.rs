//! Which gateway process has which session. What was sent to it is in that process's journal.

use seawall_policy::Wall;
use seawall_store::Sql;

use super::changes::{self, Moved};
use super::place::{idem, short_hash};
use super::rows::{any, id, one};
use super::{Batch, Storage, Trouble, batch, hk_session};
use crate::id::Id;

/// Records deleted in one step, so that no caller waits behind a long delete.
const SWEEP_ROWS: i64 = 500;

const PUT: Sql = Sql {
    name: "put a session",
    text: "INSERT INTO chat_sessions (hk, id, user_id, token_hash, gateway, generation, created_at, seen_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
           ON CONFLICT (hk, id) DO UPDATE SET user_id = $3, token_hash = $4, gateway = $5, generation = $6,
               created_at = $7, seen_at = $8",
};
const FIND: Sql = Sql {
    name: "a session",
    text: "SELECT user_id, token_hash, gateway, generation, created_at FROM chat_sessions
           WHERE hk = $1 AND id = $2",
};
const TAKE: Sql = Sql {
    name: "take a session",
    text: "UPDATE chat_sessions SET gateway = $5, generation = $6, seen_at = $7
           WHERE hk = $1 AND id = $2 AND gateway = $3 AND generation = $4",
};
const DELETE: Sql =
    Sql { name: "delete a session", text: "DELETE FROM chat_sessions WHERE hk = $1 AND id = $2" };
const SEEN: Sql = Sql {
    name: "see the sessions of a gateway",
    text: "UPDATE chat_sessions SET seen_at = $2 WHERE gateway = $1",
};
const SWEEP: Sql = Sql {
    name: "sweep old sessions",
    text: "DELETE FROM chat_sessions WHERE (hk, id) IN
               (SELECT s.hk, s.id FROM chat_sessions AS s WHERE s.seen_at < $1 ORDER BY s.seen_at LIMIT $2)
           RETURNING id",
};
/// Where a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// What the client names it by.
    pub id: String,
    /// Whose.
    pub user: Id,
    /// With which token it was opened; only that one may resume it.
    pub token_hash: [u8; 32],
    /// The gateway process whose journal has it.
    pub gateway: String,
    /// Rises with every change of gateway.
    pub generation: u64,
    /// When it was opened.
    pub created: Wall,
}

impl Storage {
    /// Writes a session's record, over an older one of the same id.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn session_put(&self, record: &SessionRecord) -> Result<(), Trouble> {
        let hk = hk_session(&record.id);
        let args = vec![
            hk.into(),
            record.id.as_str().into(),
            record.user.into(),
            record.token_hash.into(),
            record.gateway.as_str().into(),
            record.generation.cast_signed().into(),
            record.created.0.into(),
            self.now().0.into(),
        ];
        self.settle(batch(hk, None, vec![one(&PUT, args)])).await.map(|_| ())
    }

    /// A session's record.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn session(&self, session: &str) -> Result<Option<SessionRecord>, Trouble> {
        let found = self.read(&FIND, hk_session(session), vec![session.into()]).await?;
        let Some(row) = found.rows.first() else { return Ok(None) };
        let hash = row.blob(1)?;
        let wrong = |_| Trouble::Failed(format!("a token's hash has {} bytes, not 32", hash.len()));
        Ok(Some(SessionRecord {
            id: session.to_owned(),
            user: id(row, 0)?,
            token_hash: hash.try_into().map_err(wrong)?,
            gateway: row.text(2)?.to_owned(),
            generation: row.int(3)?.cast_unsigned(),
            created: Wall(row.int(4)?),
        }))
    }

    /// Takes a session over, if it is still where it was; its generation rises by one. The change stream tells
    /// whoever had it. Who takes what it has itself keeps it: others who are about to take it come too late. False:
    /// somebody else was first, or it is gone.
    ///
    /// # Errors
    /// See [`Trouble`]; asking again with the same arguments tells what became of an unknown one.
    pub async fn session_take(
        &self,
        session: &str,
        from: (&str, u64),
        to_gateway: &str,
    ) -> Result<bool, Trouble> {
        let hk = hk_session(session);
        let (gateway, generation) = from;
        let next = generation + 1;
        let args = vec![
            hk.into(),
            session.into(),
            gateway.into(),
            generation.cast_signed().into(),
            to_gateway.into(),
            next.cast_signed().into(),
            self.now().0.into(),
        ];
        // With a key: a second try after an unknown one must not lose against the first.
        let what = [session, gateway, &generation.to_string(), to_gateway].join("\n");
        let key = idem(hk, short_hash(&[b"take", what.as_bytes()]), what.as_bytes());
        let told = Moved { session: session.to_owned(), gateway: to_gateway.to_owned(), generation: next };
        let tell = if gateway == to_gateway { Vec::new() } else { vec![changes::moved(&told)] };
        let take = Batch { hk, key: Some(key), owned: None, ops: vec![one(&TAKE, args)], tell };
        match self.settle(take).await {
            Ok(_) => Ok(true),
            Err(Trouble::Conflict { .. }) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    /// Forgets a session.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn session_delete(&self, session: &str) -> Result<(), Trouble> {
        let hk = hk_session(session);
        self.settle(batch(hk, None, vec![any(&DELETE, vec![hk.into(), session.into()])])).await.map(|_| ())
    }

    /// All sessions of a gateway are alive now. To be said more often than the age [`Storage::sessions_sweep`]
    /// deletes by.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn sessions_seen(&self, gateway: &str) -> Result<(), Trouble> {
        let now = self.now().0;
        for shard in self.shards.iter() {
            let seen = any(&SEEN, vec![gateway.into(), now.into()]);
            self.settle(batch(shard.hk_min(), None, vec![seen])).await?;
        }
        Ok(())
    }

    /// Deletes records not seen since `before`, a bounded number of each shard. Returns how many.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn sessions_sweep(&self, before: Wall) -> Result<usize, Trouble> {
        let mut swept = 0;
        for shard in self.shards.iter() {
            let sweep = any(&SWEEP, vec![before.0.into(), SWEEP_ROWS.into()]);
            let done = self.settle(batch(shard.hk_min(), None, vec![sweep])).await?;
            swept += done.rows.iter().map(Vec::len).sum::<usize>();
        }
        Ok(swept)
    }
}
