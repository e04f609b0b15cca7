//! Invites and the hint that finds them by code.

use std::time::Duration;

use seawall_policy::Wall;
use seawall_store::{Op, Sql};

use crate::id::Id;
use crate::model::Invite;
use crate::storage::rows::{any, one, to_json};
use crate::storage::{hk_guild, hk_invite};

const HINT_PUT: Sql = Sql {
    name: "note where an invite leads",
    text: "INSERT INTO chat_invite_codes (hk, code, guild_id) VALUES ($1, $2, $3)
           ON CONFLICT (hk, code) DO UPDATE SET guild_id = $3 WHERE chat_invite_codes.guild_id = $3
           RETURNING guild_id",
};
const HINT_DELETE: Sql = Sql {
    name: "forget where an invite leads",
    text: "DELETE FROM chat_invite_codes WHERE hk = $1 AND code = $2",
};
const PUT: Sql = Sql {
    name: "put an invite",
    text:
        "INSERT INTO chat_invites (hk, guild_id, code, channel_id, inviter, created_at, expires_at, max_age,
               max_uses, uses, temporary)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
};
const USE: Sql = Sql {
    name: "use an invite",
    text: "UPDATE chat_invites SET uses = uses + 1
           WHERE hk = $1 AND guild_id = $2 AND code = $3 AND (expires_at IS NULL OR expires_at > $4)
               AND (max_uses = 0 OR uses < max_uses)",
};
const DELETE: Sql = Sql {
    name: "delete an invite",
    text: "DELETE FROM chat_invites WHERE hk = $1 AND guild_id = $2 AND code = $3",
};

const CLEAR: Sql = Sql {
    name: "clear invites that are over",
    text: "DELETE FROM chat_invites WHERE hk = $1 AND guild_id = $2
               AND (expires_at <= $3 OR (max_uses > 0 AND uses >= max_uses))
           RETURNING code",
};

/// Where a code leads; a conflict where it leads to another guild. Written before the invite, on the code's key.
#[must_use]
pub fn invite_hint_put(code: &str, guild: Id) -> Op {
    one(&HINT_PUT, vec![hk_invite(code).into(), code.into(), guild.into()])
}

/// The code leads nowhere. On the code's key, after the invite.
#[must_use]
pub fn invite_hint_delete(code: &str) -> Op {
    any(&HINT_DELETE, vec![hk_invite(code).into(), code.into()])
}

/// A new invite, made now. On the guild's key.
#[must_use]
pub fn invite_put(invite: &Invite, now: Wall) -> Op {
    let age = Duration::from_secs(u64::from(invite.max_age));
    let expires = (invite.max_age > 0).then(|| now.0 + age.as_millis() as i64);
    let args = vec![
        hk_guild(invite.guild_id).into(),
        invite.guild_id.into(),
        invite.code.as_str().into(),
        invite.channel_id.into(),
        to_json(&invite.inviter),
        now.0.into(),
        expires.into(),
        i64::from(invite.max_age).into(),
        i64::from(invite.max_uses).into(),
        i64::from(invite.uses).into(),
        invite.temporary.into(),
    ];
    one(&PUT, args)
}

/// Uses an invite up by one; a conflict where its time or its uses are over. On the guild's key, in one batch with
/// the new member.
#[must_use]
pub fn invite_use(guild: Id, code: &str, now: Wall) -> Op {
    one(&USE, vec![hk_guild(guild).into(), guild.into(), code.into(), now.0.into()])
}

/// Takes an invite back; a conflict where there is none. On the guild's key.
#[must_use]
pub fn invite_delete(guild: Id, code: &str) -> Op {
    one(&DELETE, vec![hk_guild(guild).into(), guild.into(), code.into()])
}

/// Takes the invites of a guild away that are over, and returns their codes, so that their hints can go too. On the
/// guild's key; in the batch of each new invite, so that they do not pile up.
#[must_use]
pub fn invites_clear(guild: Id, now: Wall) -> Op {
    any(&CLEAR, vec![hk_guild(guild).into(), guild.into(), now.0.into()])
}
