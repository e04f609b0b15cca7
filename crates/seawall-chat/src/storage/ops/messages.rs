//! Messages and reactions. All on the key of the channel's home.

use seawall_policy::Wall;
use seawall_store::{Op, Sql, Value};

use crate::id::Id;
use crate::model::Message;
use crate::storage::Home;
use crate::storage::rows::{any, one, to_json, to_list};

const INSERT: Sql = Sql {
    name: "insert a message",
    text: "INSERT INTO chat_messages (hk, channel_id, id, author_id, author, content, edited_at, kind, flags,
               nonce, reply_to, mention_everyone, mentions, mention_roles, embeds, components, pinned_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, NULL) RETURNING id",
};
const UPDATE: Sql = Sql {
    name: "update a message",
    text: "UPDATE chat_messages SET content = $4, edited_at = $5, flags = $6, mention_everyone = $7,
               mentions = $8, mention_roles = $9, embeds = $10, components = $11
           WHERE hk = $1 AND channel_id = $2 AND id = $3",
};
const DELETE: Sql = Sql {
    name: "delete a message",
    text: "DELETE FROM chat_messages WHERE hk = $1 AND channel_id = $2 AND id = $3",
};
const PIN: Sql = Sql {
    name: "pin a message",
    text: "UPDATE chat_messages SET pinned_at = $4 WHERE hk = $1 AND channel_id = $2 AND id = $3",
};
const REACT: Sql = Sql {
    name: "add a reaction",
    text: "INSERT INTO chat_reactions (hk, channel_id, message_id, emoji, user_id, reacted_at)
           VALUES ($1, $2, $3, $4, $5, $6)",
};
const UNREACT: Sql = Sql {
    name: "remove a reaction",
    text: "DELETE FROM chat_reactions
           WHERE hk = $1 AND channel_id = $2 AND message_id = $3 AND emoji = $4 AND user_id = $5",
};
const UNREACT_EMOJI: Sql = Sql {
    name: "remove the reactions with an emoji",
    text: "DELETE FROM chat_reactions WHERE hk = $1 AND channel_id = $2 AND message_id = $3 AND emoji = $4",
};
const UNREACT_ALL: Sql = Sql {
    name: "remove all reactions",
    text: "DELETE FROM chat_reactions WHERE hk = $1 AND channel_id = $2 AND message_id = $3",
};

/// A new message, with a copy of its author. Returns its id. What it answers is in the same channel.
#[must_use]
pub fn message_insert(home: Home, message: &Message) -> Op {
    let reply_to = message.message_reference.as_ref().and_then(|r| r.message_id);
    let mut args = said(home, message.channel_id, message.id);
    args.extend([
        message.author.id.into(),
        to_json(&message.author),
        message.content.as_str().into(),
        message.edited_timestamp.clone().into(),
        i64::from(message.kind).into(),
        message.flags.cast_signed().into(),
        message.nonce.as_ref().map_or(Value::Null, to_json),
        reply_to.into(),
        message.mention_everyone.into(),
        to_list(&message.mentions),
        to_list(&message.mention_roles),
        to_list(&message.embeds),
        to_list(&message.components),
    ]);
    one(&INSERT, args)
}

/// A changed message; a conflict where it is gone.
#[must_use]
pub fn message_update(home: Home, message: &Message) -> Op {
    let mut args = said(home, message.channel_id, message.id);
    args.extend([
        message.content.as_str().into(),
        message.edited_timestamp.clone().into(),
        message.flags.cast_signed().into(),
        message.mention_everyone.into(),
        to_list(&message.mentions),
        to_list(&message.mention_roles),
        to_list(&message.embeds),
        to_list(&message.components),
    ]);
    one(&UPDATE, args)
}

/// Deletes a message and its reactions: two statements, the first a conflict where it is gone. Several messages are
/// deleted by putting theirs one after the other.
#[must_use]
pub fn message_delete(home: Home, channel: Id, message: Id) -> [Op; 2] {
    [one(&DELETE, said(home, channel, message)), reactions_remove_all(home, channel, message)]
}

/// Pins a message (at this moment) or unpins it; a conflict where it is gone.
#[must_use]
pub fn message_pin(home: Home, channel: Id, message: Id, pinned_at: Option<Wall>) -> Op {
    let mut args = said(home, channel, message);
    args.push(pinned_at.map(|at| at.0).into());
    one(&PIN, args)
}

/// A reaction; a conflict where the user has reacted so before. That the message exists is for the caller to know.
#[must_use]
pub fn reaction_add(home: Home, channel: Id, message: Id, emoji: &str, user: Id, now: Wall) -> Op {
    let mut args = said(home, channel, message);
    args.extend([emoji.into(), user.into(), now.0.into()]);
    one(&REACT, args)
}

/// Takes one user's reaction away; a conflict where there is none.
#[must_use]
pub fn reaction_remove(home: Home, channel: Id, message: Id, emoji: &str, user: Id) -> Op {
    let mut args = said(home, channel, message);
    args.extend([emoji.into(), user.into()]);
    one(&UNREACT, args)
}

/// Takes all reactions with one emoji away.
#[must_use]
pub fn reactions_remove_emoji(home: Home, channel: Id, message: Id, emoji: &str) -> Op {
    let mut args = said(home, channel, message);
    args.push(emoji.into());
    any(&UNREACT_EMOJI, args)
}

/// Takes all reactions of a message away.
#[must_use]
pub fn reactions_remove_all(home: Home, channel: Id, message: Id) -> Op {
    any(&UNREACT_ALL, said(home, channel, message))
}

fn said(home: Home, channel: Id, message: Id) -> Vec<Value> {
    vec![home.hk(channel).into(), channel.into(), message.into()]
}
