//! Direct messages, and where a channel lives.

use seawall_store::{Row, Sql};

use super::rows::{id, json, opt_id};
use super::{Home, Storage, Trouble, hk_channel, hk_direct, hk_user};
use crate::id::Id;
use crate::model::{Channel, User};

/// Open direct messages shown to a user; the newest. Each is one read more.
pub const DIRECTS_MAX: usize = 200;

const HOME: Sql = Sql {
    name: "where a channel lives",
    text: "SELECT guild_id FROM chat_homes WHERE hk = $1 AND channel_id = $2",
};
const DIRECT: Sql = Sql {
    name: "a direct message",
    text: "SELECT d.channel_id, d.recipients,
               (SELECT m.id FROM chat_messages AS m WHERE m.hk = d.hk AND m.channel_id = d.channel_id
                ORDER BY m.id DESC LIMIT 1)
           FROM chat_directs AS d WHERE d.hk = $1 AND d.channel_id = $2",
};
const BETWEEN: Sql = Sql {
    name: "the direct message of two",
    text: "SELECT channel_id FROM chat_user_directs WHERE hk = $1 AND user_id = $2 AND other_id = $3",
};
const DIRECTS_OF: Sql = Sql {
    name: "the direct messages of a user",
    text: "SELECT channel_id FROM chat_user_directs WHERE hk = $1 AND user_id = $2 AND is_open = $3
           ORDER BY channel_id DESC LIMIT $4",
};

impl Storage {
    /// Where a channel lives; `None` where there never was such a channel. Asked of the store once.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn home(&self, channel: Id) -> Result<Option<Home>, Trouble> {
        if let Some(home) = self.homes.get(&channel) {
            return Ok(Some(home));
        }
        let found = self.read(&HOME, hk_channel(channel), vec![channel.into()]).await?;
        let Some(row) = found.rows.first() else { return Ok(None) };
        let home = opt_id(row, 0)?.map_or(Home::Direct, Home::Guild);
        self.homes.insert(channel, home);
        Ok(Some(home))
    }

    /// A direct message, with everyone who is in it as `recipients`.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn direct(&self, channel: Id) -> Result<Option<Channel>, Trouble> {
        let found = self.read(&DIRECT, hk_direct(channel), vec![channel.into()]).await?;
        found.rows.first().map(direct).transpose()
    }

    /// The open direct messages of a user, the newest first, at most [`DIRECTS_MAX`]; `recipients` are the others.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn directs_of(&self, user: Id) -> Result<Vec<Channel>, Trouble> {
        let args = vec![user.into(), true.into(), (DIRECTS_MAX as i64).into()];
        let mut channels = Vec::new();
        for row in &self.read(&DIRECTS_OF, hk_user(user), args).await?.rows {
            // A hint without its channel: whoever made it died half-way.
            let Some(mut channel) = self.direct(id(row, 0)?).await? else { continue };
            channel.recipients.retain(|r| r.id != user);
            channels.push(channel);
        }
        Ok(channels)
    }

    /// The channel of two users, if one was ever opened.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn direct_between(&self, one: Id, other: Id) -> Result<Option<Id>, Trouble> {
        let (older, younger) = (one.min(other), one.max(other));
        let found = self.read(&BETWEEN, hk_user(older), vec![older.into(), younger.into()]).await?;
        found.rows.first().map(|row| id(row, 0)).transpose()
    }
}

fn direct(row: &Row) -> Result<Channel, Trouble> {
    Ok(Channel {
        id: id(row, 0)?,
        kind: Channel::DM,
        guild_id: None,
        name: None,
        topic: None,
        position: 0,
        parent_id: None,
        nsfw: false,
        rate_limit_per_user: 0,
        permission_overwrites: Vec::new(),
        last_message_id: opt_id(row, 2)?,
        recipients: json::<Vec<User>>(row, 1)?,
    })
}
