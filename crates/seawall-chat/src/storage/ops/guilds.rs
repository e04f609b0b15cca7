//! Guilds and what lives in them. All on the guild's key.

use seawall_store::{Op, Sql, Value};

use crate::id::Id;
use crate::model::{Channel, Guild, Member, Role, User};
use crate::storage::hk_guild;
use crate::storage::rows::{any, one, to_json};

const INSERT: Sql = Sql {
    name: "insert a guild",
    text: "INSERT INTO chat_guilds (hk, id, name, icon, owner_id, description, system_channel_id)
           VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
};
const UPDATE: Sql = Sql {
    name: "update a guild",
    text:
        "UPDATE chat_guilds SET name = $3, icon = $4, owner_id = $5, description = $6, system_channel_id = $7
           WHERE hk = $1 AND id = $2",
};
const DELETE: Sql = Sql { name: "delete a guild", text: "DELETE FROM chat_guilds WHERE hk = $1 AND id = $2" };
const DELETE_ROLES: Sql =
    Sql { name: "delete all roles", text: "DELETE FROM chat_roles WHERE hk = $1 AND guild_id = $2" };
const DELETE_CHANNELS: Sql =
    Sql { name: "delete all channels", text: "DELETE FROM chat_channels WHERE hk = $1 AND guild_id = $2" };
const DELETE_MEMBERS: Sql =
    Sql { name: "delete all members", text: "DELETE FROM chat_members WHERE hk = $1 AND guild_id = $2" };
const DELETE_BANS: Sql =
    Sql { name: "delete all bans", text: "DELETE FROM chat_bans WHERE hk = $1 AND guild_id = $2" };
const DELETE_INVITES: Sql =
    Sql { name: "delete all invites", text: "DELETE FROM chat_invites WHERE hk = $1 AND guild_id = $2" };
const ROLE_PUT: Sql = Sql {
    name: "put a role",
    text: "INSERT INTO chat_roles
               (hk, guild_id, id, name, color, hoist, position, permissions, mentionable)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
           ON CONFLICT (hk, guild_id, id) DO UPDATE SET name = $4, color = $5, hoist = $6, position = $7,
               permissions = $8, mentionable = $9
           RETURNING id",
};
const ROLE_DELETE: Sql =
    Sql { name: "delete a role", text: "DELETE FROM chat_roles WHERE hk = $1 AND guild_id = $2 AND id = $3" };
const CHANNEL_PUT: Sql = Sql {
    name: "put a channel",
    text: "INSERT INTO chat_channels
               (hk, guild_id, id, kind, name, topic, position, parent_id, nsfw, slow_seconds, overwrites)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
           ON CONFLICT (hk, guild_id, id) DO UPDATE SET kind = $4, name = $5, topic = $6, position = $7,
               parent_id = $8, nsfw = $9, slow_seconds = $10, overwrites = $11
           RETURNING id",
};
const CHANNEL_DELETE: Sql = Sql {
    name: "delete a channel",
    text: "DELETE FROM chat_channels WHERE hk = $1 AND guild_id = $2 AND id = $3",
};
const MEMBER_PUT: Sql = Sql {
    name: "put a member",
    text: "INSERT INTO chat_members (hk, guild_id, user_id, profile, nick, roles, joined_at, flags)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
           ON CONFLICT (hk, guild_id, user_id) DO UPDATE SET profile = $4, nick = $5, roles = $6,
               joined_at = $7, flags = $8",
};
const MEMBER_DELETE: Sql = Sql {
    name: "delete a member",
    text: "DELETE FROM chat_members WHERE hk = $1 AND guild_id = $2 AND user_id = $3",
};
const BAN_PUT: Sql = Sql {
    name: "put a ban",
    text: "INSERT INTO chat_bans (hk, guild_id, user_id, profile) VALUES ($1, $2, $3, $4)
           ON CONFLICT (hk, guild_id, user_id) DO UPDATE SET profile = $4",
};
const BAN_DELETE: Sql = Sql {
    name: "delete a ban",
    text: "DELETE FROM chat_bans WHERE hk = $1 AND guild_id = $2 AND user_id = $3",
};

/// A new guild, without what lives in it. Returns its id.
#[must_use]
pub fn guild_insert(guild: &Guild) -> Op {
    one(&INSERT, settings(guild))
}

/// A guild's changed settings.
#[must_use]
pub fn guild_update(guild: &Guild) -> Op {
    one(&UPDATE, settings(guild))
}

fn settings(guild: &Guild) -> Vec<Value> {
    vec![
        hk_guild(guild.id).into(),
        guild.id.into(),
        guild.name.as_str().into(),
        guild.icon.clone().into(),
        guild.owner_id.into(),
        guild.description.clone().into(),
        guild.system_channel_id.into(),
    ]
}

/// Deletes a guild and all that lives in it but its messages, which nobody can reach then and which
/// [`Storage::sweep_channel`](crate::storage::Storage::sweep_channel) takes away.
#[must_use]
pub fn guild_delete(guild: Id) -> Vec<Op> {
    let of = || vec![hk_guild(guild).into(), guild.into()];
    let all = [&DELETE_ROLES, &DELETE_CHANNELS, &DELETE_MEMBERS, &DELETE_BANS, &DELETE_INVITES];
    std::iter::once(one(&DELETE, of())).chain(all.map(|sql| any(sql, of()))).collect()
}

/// A role, new or changed. Returns its id.
#[must_use]
pub fn role_put(guild: Id, role: &Role) -> Op {
    let mut args = within(guild, role.id);
    args.extend([
        role.name.as_str().into(),
        i64::from(role.color).into(),
        role.hoist.into(),
        role.position.into(),
        role.permissions.0.cast_signed().into(),
        role.mentionable.into(),
    ]);
    one(&ROLE_PUT, args)
}

/// Deletes a role. Members and overwrites that name it may stay as they are: what names a role that is gone is left
/// out when the guild is read.
#[must_use]
pub fn role_delete(guild: Id, role: Id) -> Op {
    one(&ROLE_DELETE, within(guild, role))
}

/// A channel, new or changed. Returns its id. Where it lives is written before.
#[must_use]
pub fn channel_put(guild: Id, channel: &Channel) -> Op {
    let mut args = within(guild, channel.id);
    args.extend([
        i64::from(channel.kind).into(),
        channel.name.clone().into(),
        channel.topic.clone().into(),
        channel.position.into(),
        channel.parent_id.into(),
        channel.nsfw.into(),
        i64::from(channel.rate_limit_per_user).into(),
        to_json(&channel.permission_overwrites),
    ]);
    one(&CHANNEL_PUT, args)
}

/// Deletes a channel; its messages as for [`guild_delete`].
#[must_use]
pub fn channel_delete(guild: Id, channel: Id) -> Op {
    one(&CHANNEL_DELETE, within(guild, channel))
}

/// A member, new or changed, with a copy of its profile.
#[must_use]
pub fn member_put(guild: Id, member: &Member) -> Op {
    let mut args = within(guild, member.user.id);
    args.extend([
        to_json(&member.user),
        member.nick.clone().into(),
        to_json(&member.roles),
        member.joined_at.as_str().into(),
        member.flags.cast_signed().into(),
    ]);
    one(&MEMBER_PUT, args)
}

/// A member leaves.
#[must_use]
pub fn member_delete(guild: Id, user: Id) -> Op {
    one(&MEMBER_DELETE, within(guild, user))
}

/// A ban, with a copy of the profile.
#[must_use]
pub fn ban_put(guild: Id, user: &User) -> Op {
    let mut args = within(guild, user.id);
    args.push(to_json(user));
    one(&BAN_PUT, args)
}

/// Takes a ban back; a conflict where there is none.
#[must_use]
pub fn ban_delete(guild: Id, user: Id) -> Op {
    one(&BAN_DELETE, within(guild, user))
}

fn within(guild: Id, id: Id) -> Vec<Value> {
    vec![hk_guild(guild).into(), guild.into(), id.into()]
}
