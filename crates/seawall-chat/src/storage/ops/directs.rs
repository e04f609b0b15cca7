//! Direct messages, and where channels live.

use seawall_store::{Op, Sql};

use crate::id::Id;
use crate::model::User;
use crate::storage::rows::{any, one, to_json};
use crate::storage::{Home, hk_channel, hk_direct, hk_user};

const HOME: Sql = Sql {
    name: "note where a channel lives",
    text: "INSERT INTO chat_homes (hk, channel_id, guild_id) VALUES ($1, $2, $3)
           ON CONFLICT (hk, channel_id) DO NOTHING",
};
const CLAIM: Sql = Sql {
    name: "claim a direct message",
    text: "INSERT INTO chat_user_directs (hk, user_id, other_id, channel_id, is_open)
           VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (hk, user_id, other_id) DO UPDATE SET is_open = (chat_user_directs.is_open OR $5)
           RETURNING channel_id",
};
const CLOSE: Sql = Sql {
    name: "close a direct message",
    text: "UPDATE chat_user_directs SET is_open = $4 WHERE hk = $1 AND user_id = $2 AND other_id = $3",
};
const PUT: Sql = Sql {
    name: "put a direct message",
    text: "INSERT INTO chat_directs (hk, channel_id, recipients) VALUES ($1, $2, $3)
           ON CONFLICT (hk, channel_id) DO UPDATE SET recipients = $3",
};

/// Where a channel lives. Written before the channel, on the channel's own key.
#[must_use]
pub fn home_put(channel: Id, home: Home) -> Op {
    any(&HOME, vec![hk_channel(channel).into(), channel.into(), home.guild().into()])
}

/// The channel of two users, as `user` finds it; `open` shows it to that user (and never hides it). Returns the
/// channel that counts: that of the first claim. To be asked first of the older user (the smaller id), whose row
/// decides, then with what that gave of the younger. On `user`'s key.
#[must_use]
pub fn direct_claim(user: Id, other: Id, channel: Id, open: bool) -> Op {
    one(&CLAIM, vec![hk_user(user).into(), user.into(), other.into(), channel.into(), open.into()])
}

/// Shows a direct message to `user` no longer. On the user's key.
#[must_use]
pub fn direct_close(user: Id, other: Id) -> Op {
    any(&CLOSE, vec![hk_user(user).into(), user.into(), other.into(), false.into()])
}

/// A direct message and everyone in it, or their changed profiles. On the direct message's key.
#[must_use]
pub fn direct_put(channel: Id, recipients: &[User]) -> Op {
    one(&PUT, vec![hk_direct(channel).into(), channel.into(), to_json(recipients)])
}
