//! Reactions.

use super::call::{Call, Reply};
use super::rate::Bucket;
use super::{Answer, Table, errors, messages};
use crate::command::Command;
use crate::refusal::Refusal;

/// Users on a page.
const LIMIT_MAX: i64 = 100;
/// Users on a page unless asked for another number.
const LIMIT_DEFAULT: usize = 25;
/// Characters of the longest emoji, with room: a family of four with skin tones has 11.
const EMOJI_MAX: usize = 24;

pub(super) fn add(table: &mut Table) {
    let all = "/channels/{channel_id}/messages/{message_id}/reactions";
    let one = "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}";
    let own = "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me";
    let of = "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/{user_id}";
    table.delete(all, Bucket::Reactions, clear);
    table.get(one, Bucket::Reads, list);
    table.delete(one, Bucket::Reactions, clear_emoji);
    table.put(own, Bucket::Reactions, give);
    table.delete(own, Bucket::Reactions, take_own);
    table.delete(of, Bucket::Reactions, take);
}

async fn list(call: Call) -> Answer {
    let emoji = emoji(&call)?;
    let limit = u32::try_from(call.limit(1..=LIMIT_MAX, LIMIT_DEFAULT)?).unwrap_or(u32::MAX);
    let after = call.query_id("after")?;
    let message = messages::find(&call).await?;
    let (channel, home) = (message.channel_id, call.place().await?.home());
    let reading = call.api.storage.reactors(home, channel, message.id, &emoji, after, limit);
    Reply::of(&reading.await.map_err(errors::trouble)?)
}

async fn give(call: Call) -> Answer {
    let emoji = emoji(&call)?;
    let (channel, message) = (call.id("channel_id")?, call.id("message_id")?);
    call.submit(Command::AddReaction { channel, message, emoji }).await?;
    Ok(Reply::Empty)
}

async fn take_own(call: Call) -> Answer {
    let (emoji, user) = (emoji(&call)?, call.me.id);
    remove(call, Some(emoji), Some(user)).await
}

async fn take(call: Call) -> Answer {
    let (emoji, user) = (emoji(&call)?, call.id("user_id")?);
    remove(call, Some(emoji), Some(user)).await
}

async fn clear_emoji(call: Call) -> Answer {
    let emoji = emoji(&call)?;
    remove(call, Some(emoji), None).await
}

async fn clear(call: Call) -> Answer {
    remove(call, None, None).await
}

async fn remove(call: Call, emoji: Option<String>, user: Option<crate::id::Id>) -> Answer {
    let (channel, message) = (call.id("channel_id")?, call.id("message_id")?);
    call.submit(Command::RemoveReactions { channel, message, emoji, user }).await?;
    Ok(Reply::Empty)
}

fn emoji(call: &Call) -> Result<String, Refusal> {
    let text = call.text("emoji");
    if is_emoji(text) { Ok(text.to_owned()) } else { Err(Refusal::UnknownEmoji) }
}

/// Whether a text can be one emoji: characters from the blocks emoji come from, and what joins and changes them. Not a
/// list of all there are, which grows every year: what is let through wrongly is shown as a box.
fn is_emoji(text: &str) -> bool {
    let is_key = text.contains('\u{20E3}');
    let picture = |c: char| {
        matches!(c,
            '\u{A9}' | '\u{AE}' | '\u{203C}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{3030}' | '\u{303D}'
            | '\u{3297}' | '\u{3299}' | '\u{2190}'..='\u{2BFF}' | '\u{1F000}'..='\u{1FAFF}')
            || (is_key && (c.is_ascii_digit() || matches!(c, '#' | '*')))
    };
    let joins = |c: char| matches!(c, '\u{200D}' | '\u{FE0F}' | '\u{20E3}' | '\u{E0020}'..='\u{E007F}');
    text.chars().count() <= EMOJI_MAX
        && text.chars().next().is_some_and(picture)
        && text.chars().all(|c| picture(c) || joins(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emoji_are_told_from_words() {
        for good in ["🔥", "👍🏽", "❤️", "❤", "👨‍👩‍👧‍👦", "🇩🇪", "1️⃣", "#️⃣", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "✅", "™️"]
        {
            assert!(is_emoji(good), "{good}");
        }
        for bad in ["", "a", "1", "name:123", "🔥a", "\u{FE0F}", "\u{200D}", " ", "\0", "ä", &"🔥".repeat(25)]
        {
            assert!(!is_emoji(bad), "{bad}");
        }
    }
}
