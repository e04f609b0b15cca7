//! Invites.

use seawall_policy::Wall;
use seawall_store::{Row, Sql};

use super::rows::{id, json, small};
use super::{Storage, Trouble, hk_guild, hk_invite};
use crate::id::Id;
use crate::model::{Invite, iso};

/// Invites of a guild that are shown; the codes of a thousand are enough for anyone.
pub const INVITES_MAX: usize = 1000;

const HINT: Sql = Sql {
    name: "where an invite leads",
    text: "SELECT guild_id FROM chat_invite_codes WHERE hk = $1 AND code = $2",
};
const INVITE: Sql = Sql {
    name: "an invite",
    text: "SELECT code, channel_id, inviter, created_at, max_age, max_uses, uses, temporary FROM chat_invites
           WHERE hk = $1 AND guild_id = $2 AND code = $3 AND (expires_at IS NULL OR expires_at > $4)
               AND (max_uses = 0 OR uses < max_uses)",
};
const INVITES: Sql = Sql {
    name: "the invites of a guild",
    text: "SELECT code, channel_id, inviter, created_at, max_age, max_uses, uses, temporary FROM chat_invites
           WHERE hk = $1 AND guild_id = $2 AND (expires_at IS NULL OR expires_at > $3)
               AND (max_uses = 0 OR uses < max_uses)
           ORDER BY code LIMIT $4",
};

impl Storage {
    /// An invite that is still good.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn invite(&self, code: &str) -> Result<Option<Invite>, Trouble> {
        let hint = self.read(&HINT, hk_invite(code), vec![code.into()]).await?;
        let Some(row) = hint.rows.first() else { return Ok(None) };
        let guild = id(row, 0)?;
        let args = vec![guild.into(), code.into(), self.now().0.into()];
        let found = self.read(&INVITE, hk_guild(guild), args).await?;
        found.rows.first().map(|row| invite(row, guild)).transpose()
    }

    /// The invites of a guild that are still good, at most [`INVITES_MAX`].
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn invites(&self, guild: Id) -> Result<Vec<Invite>, Trouble> {
        let args = vec![guild.into(), self.now().0.into(), (INVITES_MAX as i64).into()];
        let found = self.read(&INVITES, hk_guild(guild), args).await?;
        found.rows.iter().map(|row| invite(row, guild)).collect()
    }
}

fn invite(row: &Row, guild: Id) -> Result<Invite, Trouble> {
    Ok(Invite {
        code: row.text(0)?.to_owned(),
        guild_id: guild,
        channel_id: id(row, 1)?,
        inviter: json(row, 2)?,
        created_at: iso(Wall(row.int(3)?)),
        max_age: small(row, 4)?,
        max_uses: small(row, 5)?,
        uses: small(row, 6)?,
        temporary: row.bool(7)?,
    })
}
