//! Guilds as a whole.

use std::collections::{BTreeMap, HashMap};

use seawall_store::{Position, ReadError, Row, Sql};

use super::rows::{id, json, opt_id, opt_text, small};
use super::{Storage, Trouble, hk_guild, read_shard, rows};
use crate::id::Id;
use crate::model::{Channel, Guild, Member, Overwrite, Role, User};
use crate::permissions::Permissions;
use crate::state::GuildState;

/// Rows taken at a time, or fewer where they are large: a member with 250 roles has 6 KB, a channel with 500
/// overwrites 60 KB.
const PAGE_ROWS: usize = 2000;

const GUILD: Sql = Sql {
    name: "a guild",
    text: "SELECT id, name, icon, owner_id, description, system_channel_id FROM chat_guilds
           WHERE hk = $1 AND id = $2",
};
const ROLES: Sql = Sql {
    name: "the roles of a guild",
    text: "SELECT id, name, color, hoist, position, permissions, mentionable FROM chat_roles
           WHERE hk = $1 AND guild_id = $2 AND id > $3 ORDER BY id LIMIT $4",
};
const CHANNELS: Sql = Sql {
    name: "the channels of a guild",
    text:
        "SELECT c.id, c.kind, c.name, c.topic, c.position, c.parent_id, c.nsfw, c.slow_seconds, c.overwrites,
               (SELECT m.id FROM chat_messages AS m WHERE m.hk = c.hk AND m.channel_id = c.id
                ORDER BY m.id DESC LIMIT 1)
           FROM chat_channels AS c WHERE c.hk = $1 AND c.guild_id = $2 AND c.id > $3 ORDER BY c.id LIMIT $4",
};
const MEMBERS: Sql = Sql {
    name: "the members of a guild",
    text: "SELECT profile, nick, roles, joined_at, flags FROM chat_members
           WHERE hk = $1 AND guild_id = $2 AND user_id > $3 ORDER BY user_id LIMIT $4",
};
const CHANNEL_IDS: Sql = Sql {
    name: "the ids of a guild's channels",
    text: "SELECT id FROM chat_channels WHERE hk = $1 AND guild_id = $2 AND id > $3 ORDER BY id LIMIT $4",
};
const GUILD_IDS: Sql = Sql {
    name: "the guilds of a shard",
    text: "SELECT hk, id FROM chat_guilds WHERE hk > $1 OR (hk = $1 AND id > $2) ORDER BY hk, id LIMIT $3",
};
const BANS: Sql = Sql {
    name: "the bans of a guild",
    text: "SELECT profile FROM chat_bans WHERE hk = $1 AND guild_id = $2 AND user_id > $3
           ORDER BY user_id LIMIT $4",
};
const BAN: Sql = Sql {
    name: "whether a user is banned",
    text: "SELECT user_id FROM chat_bans WHERE hk = $1 AND guild_id = $2 AND user_id = $3",
};

impl Storage {
    /// A guild with all that lives in it, and the position up to which every commit is contained for certain. Later
    /// ones may be too, in part: following the events after that position completes them.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn guild(&self, guild: Id) -> Result<Option<(GuildState, Position)>, Trouble> {
        let hk = hk_guild(guild);
        // Read first, so that its position is the oldest of all.
        let settings = self.read(&GUILD, hk, vec![guild.into()]).await?;
        let Some(row) = settings.rows.first() else { return Ok(None) };
        let at = settings.at;
        let settings = guild_of(row)?;
        let roles = self.pages(&ROLES, hk, guild, role, |r| r.id).await?;
        let channels = self.pages(&CHANNELS, hk, guild, |row| channel(row, guild), |c| c.id).await?;
        let members = self.pages(&MEMBERS, hk, guild, member, |m| m.user.id).await?;
        let mut state = GuildState {
            guild: settings,
            roles: roles.into_iter().map(|r| (r.id, r)).collect::<BTreeMap<_, _>>(),
            channels: channels.into_iter().map(|c| (c.id, c)).collect::<BTreeMap<_, _>>(),
            members: members.into_iter().map(|m| (m.user.id, m)).collect::<HashMap<_, _>>(),
        };
        forget_gone_roles(&mut state);
        Ok(Some((state, at)))
    }

    /// At most `max` guilds of a shard with their hash keys, in that order, after one of them.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn guild_page(
        &self,
        shard: u32,
        after: Option<(i64, Id)>,
        max: u32,
    ) -> Result<Vec<(i64, Id)>, Trouble> {
        let shard = self.shards.get(shard);
        let (hk, id) = after.map_or((shard.hk_min(), -1), |(hk, id)| (hk, id.to_sql()));
        let args = vec![hk.into(), id.into(), i64::from(max).into()];
        let found = read_shard(shard, &GUILD_IDS, args).await?.rows;
        found.iter().map(|row| Ok((row.int(0)?, rows::id(row, 1)?))).collect()
    }

    /// The channels of a guild, in the order of ids.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn channel_ids(&self, guild: Id) -> Result<Vec<Id>, Trouble> {
        self.pages(&CHANNEL_IDS, hk_guild(guild), guild, |row| id(row, 0), |id| *id).await
    }

    /// Who is banned, in the order of ids.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn bans(&self, guild: Id) -> Result<Vec<User>, Trouble> {
        self.pages(&BANS, hk_guild(guild), guild, |row| json::<User>(row, 0), |user| user.id).await
    }

    /// Whether somebody is banned.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn is_banned(&self, guild: Id, user: Id) -> Result<bool, Trouble> {
        Ok(!self.read(&BAN, hk_guild(guild), vec![guild.into(), user.into()]).await?.rows.is_empty())
    }

    /// All rows of a statement whose arguments are hash key, id of the whole, id to begin after, and limit.
    pub(super) async fn pages<T>(
        &self,
        sql: &'static Sql,
        hk: i64,
        of: Id,
        parse: impl Fn(&Row) -> Result<T, Trouble>,
        key: impl Fn(&T) -> Id,
    ) -> Result<Vec<T>, Trouble> {
        let (mut all, mut step): (Vec<T>, _) = (Vec::new(), PAGE_ROWS);
        loop {
            let after = all.last().map_or(-1, |last| key(last).to_sql());
            let args = vec![of.into(), after.into(), (step as i64).into()];
            let found = match self.ask(sql, hk, args).await {
                Err(ReadError::TooMany) if step > 1 => {
                    step /= 2;
                    continue;
                }
                found => found?.rows,
            };
            for row in &found {
                all.push(parse(row)?);
            }
            if found.len() < step {
                return Ok(all);
            }
        }
    }
}

/// A deleted role stays in the rows of those who had it: taking it out of ten thousand members would be more than
/// one batch holds. Ids are never given twice, so leaving it out here is the same.
fn forget_gone_roles(state: &mut GuildState) {
    let GuildState { roles, channels, members, .. } = state;
    for member in members.values_mut() {
        member.roles.retain(|r| roles.contains_key(r));
    }
    for channel in channels.values_mut() {
        channel.permission_overwrites.retain(|o| o.kind != Overwrite::ROLE || roles.contains_key(&o.id));
    }
}

fn guild_of(row: &Row) -> Result<Guild, Trouble> {
    Ok(Guild {
        id: id(row, 0)?,
        name: row.text(1)?.to_owned(),
        icon: opt_text(row, 2)?,
        owner_id: id(row, 3)?,
        description: opt_text(row, 4)?,
        system_channel_id: opt_id(row, 5)?,
    })
}

fn role(row: &Row) -> Result<Role, Trouble> {
    Ok(Role {
        id: id(row, 0)?,
        name: row.text(1)?.to_owned(),
        color: small(row, 2)?,
        hoist: row.bool(3)?,
        position: row.int(4)?,
        permissions: Permissions(row.int(5)?.cast_unsigned()),
        mentionable: row.bool(6)?,
    })
}

fn channel(row: &Row, guild: Id) -> Result<Channel, Trouble> {
    Ok(Channel {
        id: id(row, 0)?,
        kind: small(row, 1)?,
        guild_id: Some(guild),
        name: opt_text(row, 2)?,
        topic: opt_text(row, 3)?,
        position: row.int(4)?,
        parent_id: opt_id(row, 5)?,
        nsfw: row.bool(6)?,
        rate_limit_per_user: small(row, 7)?,
        permission_overwrites: json(row, 8)?,
        last_message_id: opt_id(row, 9)?,
        recipients: Vec::new(),
    })
}

fn member(row: &Row) -> Result<Member, Trouble> {
    Ok(Member {
        user: json(row, 0)?,
        nick: opt_text(row, 1)?,
        roles: json(row, 2)?,
        joined_at: row.text(3)?.to_owned(),
        deaf: false,
        mute: false,
        flags: row.int(4)?.cast_unsigned(),
    })
}
