//! Users, names, tokens, and the hint of their guilds.

use seawall_policy::Wall;
use seawall_store::{Op, Sql};

use crate::id::Id;
use crate::model::User;
use crate::storage::rows::{any, one};
use crate::storage::{folded, hk_name, hk_user};

const INSERT: Sql = Sql {
    name: "insert a user",
    text: "INSERT INTO chat_users (hk, id, username, global_name, avatar, bot, flags, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
};
const UPDATE: Sql = Sql {
    name: "update a user",
    text: "UPDATE chat_users SET username = $3, global_name = $4, avatar = $5, flags = $6
           WHERE hk = $1 AND id = $2",
};
const CLAIM: Sql = Sql {
    name: "claim a name",
    text: "INSERT INTO chat_names (hk, name, user_id) VALUES ($1, $2, $3)
           ON CONFLICT (hk, name) DO UPDATE SET user_id = $3 WHERE chat_names.user_id = $3 RETURNING user_id",
};
const TAKE_OVER: Sql = Sql {
    name: "take a name over",
    text: "UPDATE chat_names SET user_id = $4 WHERE hk = $1 AND name = $2 AND user_id = $3",
};
const RELEASE: Sql = Sql {
    name: "release a name",
    text: "DELETE FROM chat_names WHERE hk = $1 AND name = $2 AND user_id = $3",
};
const TOKEN: Sql = Sql {
    name: "put a token",
    text: "INSERT INTO chat_tokens (hk, user_id, hash, created_at) VALUES ($1, $2, $3, $4)",
};
const REVOKE: Sql =
    Sql { name: "revoke tokens", text: "DELETE FROM chat_tokens WHERE hk = $1 AND user_id = $2" };
const GUILD_PUT: Sql = Sql {
    name: "note a guild of a user",
    text: "INSERT INTO chat_user_guilds (hk, user_id, guild_id) VALUES ($1, $2, $3)
           ON CONFLICT (hk, user_id, guild_id) DO NOTHING",
};
const GUILD_DELETE: Sql = Sql {
    name: "forget a guild of a user",
    text: "DELETE FROM chat_user_guilds WHERE hk = $1 AND user_id = $2 AND guild_id = $3",
};

/// A new user. On the user's key, after its name was claimed. Returns its id.
#[must_use]
pub fn user_insert(user: &User, now: Wall) -> Op {
    let args = vec![
        hk_user(user.id).into(),
        user.id.into(),
        user.username.as_str().into(),
        user.global_name.clone().into(),
        user.avatar.clone().into(),
        user.bot.into(),
        user.flags.cast_signed().into(),
        now.0.into(),
    ];
    one(&INSERT, args)
}

/// A changed profile. On the user's key. A new name is claimed before, the old one released after.
#[must_use]
pub fn user_update(user: &User) -> Op {
    let args = vec![
        hk_user(user.id).into(),
        user.id.into(),
        user.username.as_str().into(),
        user.global_name.clone().into(),
        user.avatar.clone().into(),
        user.flags.cast_signed().into(),
    ];
    one(&UPDATE, args)
}

/// Claims a name; a conflict when another user has it. Claiming it twice is harmless. On the name's key.
#[must_use]
pub fn name_claim(username: &str, user: Id) -> Op {
    one(&CLAIM, vec![hk_name(username).into(), folded(username).into(), user.into()])
}

/// Takes a name from a user that was never made. On the name's key.
#[must_use]
pub fn name_take_over(username: &str, from: Id, user: Id) -> Op {
    one(&TAKE_OVER, vec![hk_name(username).into(), folded(username).into(), from.into(), user.into()])
}

/// Gives a name back, if it is this user's. On the name's key.
#[must_use]
pub fn name_release(username: &str, user: Id) -> Op {
    any(&RELEASE, vec![hk_name(username).into(), folded(username).into(), user.into()])
}

/// A token that is good from now on; only its [hash](crate::storage::token_hash). On the user's key.
#[must_use]
pub fn token_put(user: Id, hash: [u8; 32], now: Wall) -> Op {
    one(&TOKEN, vec![hk_user(user).into(), user.into(), hash.into(), now.0.into()])
}

/// No token of a user is good any longer. On the user's key.
#[must_use]
pub fn tokens_revoke(user: Id) -> Op {
    any(&REVOKE, vec![hk_user(user).into(), user.into()])
}

/// The hint that a user may be in a guild; written before it becomes a member. On the user's key.
#[must_use]
pub fn user_guild_put(user: Id, guild: Id) -> Op {
    any(&GUILD_PUT, vec![hk_user(user).into(), user.into(), guild.into()])
}

/// Takes that hint away; after it has left. On the user's key.
#[must_use]
pub fn user_guild_delete(user: Id, guild: Id) -> Op {
    any(&GUILD_DELETE, vec![hk_user(user).into(), user.into(), guild.into()])
}
