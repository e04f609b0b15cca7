//! Reactions. Only Unicode emoji: guilds have none of their own.

use serde_json::{Value, json};

use super::messages::Room;
use super::{Context, Plan, Row, event};
use crate::event::Kind;
use crate::id::Id;
use crate::model::{Emoji, Message};
use crate::permissions::Permissions;
use crate::refusal::Refusal;

fn reaction_json(room: Room<'_>, message: Id, emoji: Option<&str>) -> Value {
    let mut d = json!({ "channel_id": room.channel(), "message_id": message });
    if let (Some(name), Value::Object(fields)) = (emoji, &mut d) {
        fields.insert("emoji".to_owned(), json!(Emoji { id: None, name: name.to_owned() }));
    }
    room.placed(d, None)
}

/// Adds one's own reaction. `found` is as the one who asks sees it.
///
/// # Errors
/// Not seen, not allowed, not there, no emoji, or too many different ones.
pub fn add(
    room: Room<'_>,
    cx: &mut Context<'_>,
    found: Option<&Message>,
    emoji: String,
) -> Result<Plan, Refusal> {
    let user = cx.user()?;
    let (channel, rights) = room.need(cx.actor, Permissions::READ_HISTORY)?;
    let message = found.ok_or(Refusal::UnknownMessage)?;
    if !Emoji::is_one(&emoji) {
        return Err(Refusal::UnknownEmoji);
    }
    match message.reactions.iter().find(|r| r.emoji.name == emoji) {
        Some(there) if there.me => return Ok(Plan::nothing(&())),
        Some(_) => {}
        None if !rights.has(Permissions::ADD_REACTIONS) => return Err(Refusal::MissingPermissions),
        None if message.reactions.len() >= cx.limits.emoji_max => return Err(Refusal::TooManyReactions),
        None => {}
    }
    let mut d = reaction_json(room, message.id, Some(&emoji));
    if let Value::Object(fields) = &mut d {
        fields.insert("user_id".to_owned(), json!(user));
        fields.insert("message_author_id".to_owned(), json!(message.author.id));
        fields.insert("burst".to_owned(), json!(false));
        fields.insert("type".to_owned(), json!(0));
        if let Room::Guild(state, _) = room {
            fields.insert("member".to_owned(), json!(state.members.get(&user)));
        }
    }
    let told = event(Kind::ReactionAdd, room.audience(), Some(user), &d);
    let row = Row::Reaction(channel.id, message.id, emoji, user, cx.now);
    Ok(Plan::new(vec![row], vec![told], &()))
}

/// Takes reactions away. `found` is as the one sees it whose reaction goes.
///
/// # Errors
/// Not seen, not allowed, not there.
pub fn remove(
    room: Room<'_>,
    cx: &mut Context<'_>,
    found: Option<&Message>,
    emoji: Option<String>,
    user: Option<Id>,
) -> Result<Plan, Refusal> {
    let (channel, rights) = room.need(cx.actor, Permissions::READ_HISTORY)?;
    let is_own = cx.actor.is_none() || emoji.is_some() && user.is_some() && user == cx.actor;
    if !is_own && !rights.has(Permissions::MANAGE_MESSAGES) {
        return Err(Refusal::MissingPermissions);
    }
    let message = found.ok_or(Refusal::UnknownMessage)?;
    let is_there = match &emoji {
        Some(emoji) => {
            let there = message.reactions.iter().find(|r| r.emoji.name == *emoji);
            there.is_some_and(|r| user.is_none() || r.me)
        }
        None => !message.reactions.is_empty(),
    };
    if !is_there {
        return match emoji {
            Some(emoji) if !Emoji::is_one(&emoji) => Err(Refusal::UnknownEmoji),
            _ => Ok(Plan::nothing(&())),
        };
    }
    let mut d = reaction_json(room, message.id, emoji.as_deref());
    let t = match (&emoji, user) {
        (Some(_), Some(user)) => {
            if let Value::Object(fields) = &mut d {
                fields.insert("user_id".to_owned(), json!(user));
                fields.insert("burst".to_owned(), json!(false));
                fields.insert("type".to_owned(), json!(0));
            }
            Kind::ReactionRemove
        }
        (Some(_), None) => Kind::ReactionRemoveEmoji,
        (None, _) => Kind::ReactionRemoveAll,
    };
    let told = event(t, room.audience(), user.or(cx.actor), &d);
    let whose = user.filter(|_| emoji.is_some());
    let row = Row::ReactionGone(channel.id, message.id, emoji, whose);
    Ok(Plan::new(vec![row], vec![told], &()))
}
