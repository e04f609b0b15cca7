//! Reactions. Only Unicode emoji: guilds have none of their own.

use serde_json::{Value, json};

use super::messages::Room;
use super::{Context, Plan, Row, event};
use crate::event::Kind;
use crate::id::Id;
use crate::model::{Emoji, Message};
use crate::permissions::Permissions;
use crate::refusal::Refusal;

/// The longest emoji: a family of four with skin tones has 41 bytes.
const EMOJI_BYTES_MAX: usize = 64;
/// What makes a digit, `#` or `*` a keycap.
const KEYCAP: char = '\u{20E3}';

/// Whether this can be an emoji. No table of them: that would be out of date with every new Unicode.
#[must_use]
pub fn is_emoji(text: &str) -> bool {
    let is_keycap = text.ends_with(KEYCAP);
    let fits = |c: char| match c {
        '0'..='9' | '#' | '*' => is_keycap,
        // Tags spell the flags of England, Scotland and Wales.
        '\u{E0020}'..='\u{E007F}' | '\u{200D}' | '\u{FE0F}' | KEYCAP => true,
        '\u{A9}' | '\u{AE}' => true,
        c => c >= '\u{2010}' && !c.is_control() && !c.is_whitespace() && !is_letter(c),
    };
    !text.is_empty() && text.len() <= EMOJI_BYTES_MAX && text.chars().all(fits)
}

/// Letters are no emoji, except for the few that are symbols (ℹ, Ⓜ, regional indicators, 🅰).
fn is_letter(c: char) -> bool {
    c.is_alphanumeric()
        && !matches!(c, '\u{2100}'..='\u{2BFF}' | '\u{3297}' | '\u{3299}' | '\u{1F000}'..='\u{1FAFF}')
}

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
    if !is_emoji(&emoji) {
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
            Some(emoji) if !is_emoji(&emoji) => Err(Refusal::UnknownEmoji),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emoji_are_told_from_text() {
        for good in ["👍", "❤️", "❤", "1️⃣", "#️⃣", "👨‍👩‍👧‍👦", "🇩🇪", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "©", "ℹ️", "🅰️", "✔", "㊙️", "👍🏽"]
        {
            assert!(is_emoji(good), "{good}");
        }
        for bad in ["", "a", "1", "name:123", "👍a", " ", "é", "日", "\u{7}", "\n", "👍 "] {
            assert!(!is_emoji(bad), "{bad}");
        }
        assert!(!is_emoji(&"👍".repeat(20)));
    }
}
