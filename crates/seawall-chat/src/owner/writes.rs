//! From plans to batches: what a decision keeps and tells, as the store takes it.

use seawall_policy::Wall;
use seawall_store::{Batch, Expect, Idem, Op, Owned, Rows, Sql};
use serde_json::value::RawValue;

use super::decide::{Hint, Plan, Row};
use crate::event::Event;
use crate::id::Id;
use crate::storage::{self, Home, hk_channel, hk_invite, hk_user, ops};

/// Keeps an answer beside its key, so that a repetition is given the same one.
const ANSWER: Sql = Sql { name: "keep an answer", text: "SELECT CAST($1 AS TEXT)" };
/// Fails unless its batch was done before: asks whether that is so.
const NEVER: Sql = Sql { name: "ask whether it was done", text: "SELECT 1 WHERE 1 = 0" };

/// Where a plan's rows live and who writes them.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// A guild's or a direct message's.
    pub(super) home: Home,
    /// The hash key of all its rows.
    pub(super) hk: i64,
    /// What its events are about: the guild, the channel or the user.
    pub(super) about: Id,
    /// The owner's claim on the shard.
    pub(super) owned: Owned,
}

/// All of a plan. With `keeps_answer` the last statement keeps the answer.
pub(super) fn batch(target: &Target, plan: &Plan, key: Idem, now: Wall, keeps_answer: bool) -> Batch {
    let mut ops = plan.rows.iter().flat_map(|row| statements(target, row, now)).collect::<Vec<_>>();
    if keeps_answer {
        ops.push(answer(plan.reply.get()));
    }
    Batch {
        hk: target.hk,
        key: Some(key),
        owned: Some(target.owned.clone()),
        ops,
        tell: told(&plan.events, target.about),
    }
}

/// Events as the change stream keeps them.
pub(super) fn told(events: &[Event], about: Id) -> Vec<seawall_store::Event> {
    events.iter().map(|event| storage::event(event, about)).collect()
}

/// Asks whether a batch with this key was done: a conflict means no.
pub(super) fn was_done(target: &Target, key: Idem) -> Batch {
    let never = Op { sql: &NEVER, args: Vec::new(), expect: Expect::Rows(1) };
    let owned = Some(target.owned.clone());
    Batch { hk: target.hk, key: Some(key), owned, ops: vec![never], tell: Vec::new() }
}

/// Does nothing, after everything that was queued before it, and only for who still owns the shard.
pub(super) fn barrier(target: &Target) -> Batch {
    let owned = Some(target.owned.clone());
    Batch { hk: target.hk, key: None, owned, ops: Vec::new(), tell: Vec::new() }
}

/// The answer that a batch of [`batch`] kept.
pub(super) fn kept_answer(rows: &[Rows]) -> Option<Box<RawValue>> {
    let text = rows.last()?.first()?.text(0).ok()?;
    RawValue::from_string(text.to_owned()).ok()
}

/// Writes for hints, each on its own hash key.
pub(super) fn note(hint: &Hint) -> (i64, Op) {
    match hint {
        Hint::Channel(channel, guild) => (hk_channel(*channel), ops::home_put(*channel, Home::Guild(*guild))),
        Hint::Guild(user, guild) => (hk_user(*user), ops::user_guild_put(*user, *guild)),
        Hint::Invite(code, guild) => (hk_invite(code), ops::invite_hint_put(code, *guild)),
    }
}

/// Writes that take hints away. Where a channel lived is kept for ever: it says nothing, and a channel's messages
/// may still be asked for while they are swept away.
pub(super) fn forget(hint: &Hint) -> Option<(i64, Op)> {
    match hint {
        Hint::Channel(..) => None,
        Hint::Guild(user, guild) => Some((hk_user(*user), ops::user_guild_delete(*user, *guild))),
        Hint::Invite(code, _) => Some((hk_invite(code), ops::invite_hint_delete(code))),
    }
}

/// Keeps a text beside the key of a batch; the last statement of it.
pub(super) fn answer(text: &str) -> Op {
    Op { sql: &ANSWER, args: vec![text.into()], expect: Expect::Rows(1) }
}

/// One batch of statements, without owner and key.
pub(super) fn plain(hk: i64, ops: Vec<Op>) -> Batch {
    Batch { hk, key: None, owned: None, ops, tell: Vec::new() }
}

fn statements(target: &Target, row: &Row, now: Wall) -> Vec<Op> {
    let home = target.home;
    vec![match row {
        Row::GuildNew(guild) => ops::guild_insert(guild),
        Row::Guild(guild) => ops::guild_update(guild),
        Row::GuildGone(guild) => return ops::guild_delete(*guild),
        Row::Role(guild, role) => ops::role_put(*guild, role),
        Row::RoleGone(guild, role) => ops::role_delete(*guild, *role),
        Row::Channel(guild, channel) => ops::channel_put(*guild, channel),
        Row::ChannelGone(guild, channel) => ops::channel_delete(*guild, *channel),
        Row::Member(guild, member) => ops::member_put(*guild, member),
        Row::MemberGone(guild, user) => ops::member_delete(*guild, *user),
        Row::Ban(guild, user) => ops::ban_put(*guild, user),
        Row::BanGone(guild, user) => ops::ban_delete(*guild, *user),
        Row::Invite(invite) => ops::invite_put(invite, now),
        Row::InviteUsed(guild, code) => ops::invite_use(*guild, code, now),
        Row::InviteGone(guild, code) => ops::invite_delete(*guild, code),
        Row::Message(message) => ops::message_insert(home, message),
        Row::MessageChanged(message) => ops::message_update(home, message),
        Row::MessageGone(channel, message) => {
            return ops::message_delete(home, *channel, *message).into();
        }
        Row::Pin(channel, message, at) => ops::message_pin(home, *channel, *message, *at),
        Row::Recipients(channel, users) => ops::direct_put(*channel, users),
        Row::Reaction(channel, message, emoji, user, at) => {
            ops::reaction_add(home, *channel, *message, emoji, *user, *at)
        }
        Row::ReactionGone(channel, message, Some(emoji), Some(user)) => {
            ops::reaction_remove(home, *channel, *message, emoji, *user)
        }
        Row::ReactionGone(channel, message, Some(emoji), None) => {
            ops::reactions_remove_emoji(home, *channel, *message, emoji)
        }
        Row::ReactionGone(channel, message, None, _) => ops::reactions_remove_all(home, *channel, *message),
    }]
}
