//! Writes as data: each function makes the statement that changes one thing, with what must be true of it.
//!
//! All statements of one batch must live on one shard; the comment of each says on whose hash key. `RETURNING`
//! gives back the id of what was made, so that a repetition with the same key learns which one it was.

mod directs;
mod guilds;
mod invites;
mod messages;
mod users;

pub use directs::{direct_claim, direct_close, direct_put, home_put};
pub use guilds::{
    ban_delete, ban_put, channel_delete, channel_put, guild_delete, guild_insert, guild_update,
    member_delete, member_put, role_delete, role_put,
};
pub use invites::{
    invite_delete, invite_hint_delete, invite_hint_put, invite_put, invite_use, invites_clear,
};
pub use messages::{
    message_delete, message_insert, message_pin, message_update, reaction_add, reaction_remove,
    reactions_remove_all, reactions_remove_emoji,
};
pub use users::{
    name_claim, name_release, name_take_over, token_put, tokens_revoke, user_guild_delete, user_guild_put,
    user_insert, user_update,
};

use seawall_store::Rows;

use crate::id::Id;

/// The id that a statement of a batch returned: of what it made, or of what an earlier try with the same key had
/// made. `None` where that statement returns none.
#[must_use]
pub fn made(rows: &[Rows], op: usize) -> Option<Id> {
    let id = rows.get(op)?.first()?.int(0).ok()?;
    Some(Id(id.cast_unsigned()))
}
