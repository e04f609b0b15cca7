//! Reactions.

use super::call::{Call, Reply};
use super::rate::Bucket;
use super::{Answer, Table, errors, messages};
use crate::command::Command;
use crate::model::Emoji;
use crate::refusal::Refusal;

/// Users on a page.
const LIMIT_MAX: i64 = 100;
/// Users on a page unless asked for another number.
const LIMIT_DEFAULT: usize = 25;

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
    if Emoji::is_one(text) { Ok(text.to_owned()) } else { Err(Refusal::UnknownEmoji) }
}
