//! Channels: reading, changing, overwrites, typing.

use serde_json::{Value, json};

use super::call::{Call, Place, Reply};
use super::form::{Form, Text};
use super::rate::Bucket;
use super::{Answer, Table};
use crate::command::{ChannelFields, Command, Done};
use crate::id::Id;
use crate::model::{Channel, Overwrite};
use crate::refusal::Refusal;

/// Characters of a channel's name.
const NAME: std::ops::RangeInclusive<usize> = 1..=100;
/// Characters of a topic.
const TOPIC_MAX: usize = 1024;
/// Longest slow mode, in seconds: six hours.
const SLOW_MODE_MAX: u32 = 21_600;
/// Exceptions of one channel.
const OVERWRITES_MAX: usize = 500;
/// Highest rank of a channel or role.
pub(super) const POSITION_MAX: i64 = 1_000_000;

pub(super) fn add(table: &mut Table) {
    table.get("/channels/{channel_id}", Bucket::Reads, show);
    table.patch("/channels/{channel_id}", Bucket::Changes, change);
    table.delete("/channels/{channel_id}", Bucket::Changes, delete);
    table.put("/channels/{channel_id}/permissions/{overwrite_id}", Bucket::Changes, set_overwrite);
    table.delete("/channels/{channel_id}/permissions/{overwrite_id}", Bucket::Changes, delete_overwrite);
    table.post("/channels/{channel_id}/typing", Bucket::Typing, typing);
    table.get("/guilds/{guild_id}/channels", Bucket::Reads, list);
    table.post("/guilds/{guild_id}/channels", Bucket::Changes, create);
    table.patch("/guilds/{guild_id}/channels", Bucket::Changes, arrange);
}

/// A direct message as one of its two sees it: with the other.
pub(super) fn direct_json(channel: &Channel, me: Id) -> Value {
    json!({
        "id": channel.id,
        "type": channel.kind,
        "last_message_id": channel.last_message_id,
        "flags": 0,
        "recipients": channel.recipients.iter().filter(|r| r.id != me).collect::<Vec<_>>(),
    })
}

/// [`direct_json`] of what the owner answered.
pub(super) fn shown_direct(call: &Call, done: Done) -> Answer {
    let channel: Channel = read(&done)?;
    Ok(Reply::Json(direct_json(&channel, call.me.id)))
}

/// The owner's answer as what it is.
pub(super) fn read<T: serde::de::DeserializeOwned>(done: &Done) -> Result<T, Refusal> {
    serde_json::from_str(done.body.get()).map_err(|e| {
        tracing::error!(error = %e, "the owner answered something else than was asked for");
        Refusal::Internal
    })
}

async fn show(call: Call) -> Answer {
    match call.place().await? {
        Place::Guild { channel, .. } => Reply::of(&channel),
        Place::Direct(channel) => Ok(Reply::Json(direct_json(&channel, call.me.id))),
    }
}

async fn list(call: Call) -> Answer {
    let guild = call.guild().await?;
    // Those it may not see too, as Discord does: their names are no secret, what is said in them is.
    guild.look(|g| Reply::of(&g.channels.values().collect::<Vec<_>>()))
}

async fn create(mut call: Call) -> Answer {
    let guild = call.id("guild_id")?;
    let mut form = call.form().await?;
    let channel = fields(&mut form);
    form.require("name", channel.name.as_ref());
    form.finish()?;
    let done = call.submit(Command::CreateChannel { guild, channel }).await?;
    Ok(Reply::Created(done.body))
}

async fn change(mut call: Call) -> Answer {
    let channel = call.id("channel_id")?;
    let mut form = call.form().await?;
    let change = fields(&mut form);
    form.finish()?;
    Ok(Reply::Raw(call.submit(Command::UpdateChannel { channel, change }).await?.body))
}

async fn delete(call: Call) -> Answer {
    let done = call.submit(Command::DeleteChannel { channel: call.id("channel_id")? }).await?;
    let channel: Channel = read(&done)?;
    if channel.kind == Channel::DM { shown_direct(&call, done) } else { Ok(Reply::Raw(done.body)) }
}

/// Several channels' ranks, one after the other: what an error stops has been done up to there.
async fn arrange(mut call: Call) -> Answer {
    for (channel, position) in positions(call.json().await?)? {
        let change = ChannelFields { position: Some(position), ..ChannelFields::default() };
        call.submit(Command::UpdateChannel { channel, change }).await?;
    }
    Ok(Reply::Empty)
}

/// `[{"id", "position"}]`, as channels and roles are arranged with; entries without a position change nothing.
pub(super) fn positions(body: Value) -> Result<Vec<(Id, i64)>, Refusal> {
    /// As many as a guild may have of either.
    const ENTRIES_MAX: usize = 500;
    let Value::Array(entries) = body else {
        return Err(Refusal::field("", "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType"));
    };
    let mut form = Form::default();
    if entries.len() > ENTRIES_MAX {
        form.wrong("", "BASE_TYPE_MAX_LENGTH", format!("Must be {ENTRIES_MAX} or fewer in length."));
        return form.finish().map(|()| Vec::new());
    }
    let mut positions = Vec::new();
    for (i, entry) in entries.into_iter().enumerate() {
        let Some(mut inner) = form.within(&i.to_string(), entry) else { continue };
        let (id, position) = (inner.id("id"), inner.int("position", 0..=POSITION_MAX));
        inner.require("id", id.as_ref());
        form.absorb(inner);
        positions.extend(id.zip(position));
    }
    form.finish().map(|()| positions)
}

async fn typing(call: Call) -> Answer {
    call.submit(Command::Typing { channel: call.id("channel_id")? }).await?;
    Ok(Reply::Empty)
}

async fn set_overwrite(mut call: Call) -> Answer {
    let (channel, target) = (call.id("channel_id")?, call.id("overwrite_id")?);
    let mut form = call.form().await?;
    let overwrite = overwrite(&mut form, Some(target));
    form.finish()?;
    let overwrite = overwrite.ok_or(Refusal::Internal)?;
    call.submit(Command::SetOverwrite { channel, overwrite }).await?;
    Ok(Reply::Empty)
}

async fn delete_overwrite(call: Call) -> Answer {
    let (channel, target) = (call.id("channel_id")?, call.id("overwrite_id")?);
    call.submit(Command::DeleteOverwrite { channel, target }).await?;
    Ok(Reply::Empty)
}

fn fields(form: &mut Form) -> ChannelFields {
    ChannelFields {
        name: form.text("name", NAME, Text::Line),
        kind: kind(form),
        topic: form.patch("topic", |f| f.text("topic", 0..=TOPIC_MAX, Text::Lines)),
        position: form.int("position", 0..=POSITION_MAX),
        parent_id: form.patch("parent_id", |f| f.id("parent_id")),
        nsfw: form.bool("nsfw"),
        rate_limit_per_user: form.count("rate_limit_per_user", SLOW_MODE_MAX),
        permission_overwrites: overwrites(form),
    }
}

fn kind(form: &mut Form) -> Option<u8> {
    let kinds = [Channel::TEXT, Channel::VOICE, Channel::CATEGORY];
    let kind = u8::try_from(form.int("type", i64::MIN..=i64::MAX)?).unwrap_or(u8::MAX);
    if kinds.contains(&kind) {
        return Some(kind);
    }
    form.wrong("type", "BASE_TYPE_CHOICES", "Value must be one of {0, 2, 4}.");
    None
}

fn overwrites(form: &mut Form) -> Option<Vec<Overwrite>> {
    let list = form.list("permission_overwrites", OVERWRITES_MAX)?;
    let mut all = Vec::with_capacity(list.len());
    for (i, value) in list.into_iter().enumerate() {
        let Some(mut inner) = form.within(&format!("permission_overwrites.{i}"), value) else { continue };
        all.extend(overwrite(&mut inner, None));
        form.absorb(inner);
    }
    Some(all)
}

/// One exception; the id stands in the path or among its fields.
fn overwrite(form: &mut Form, target: Option<Id>) -> Option<Overwrite> {
    let id = target.or_else(|| {
        let id = form.id("id");
        form.require("id", id.as_ref());
        id
    });
    // Some libraries say what it is in words.
    let kind = match form.value("type") {
        None => None,
        Some(Value::String(word)) if word == "role" || word == "0" => Some(Overwrite::ROLE),
        Some(Value::String(word)) if word == "member" || word == "1" => Some(Overwrite::MEMBER),
        Some(Value::Number(n)) if n.as_u64() == Some(0) => Some(Overwrite::ROLE),
        Some(Value::Number(n)) if n.as_u64() == Some(1) => Some(Overwrite::MEMBER),
        Some(_) => {
            form.wrong("type", "BASE_TYPE_CHOICES", "Value must be one of {0, 1}.");
            None
        }
    };
    form.require("type", kind.as_ref());
    let (allow, deny) = (form.permissions("allow"), form.permissions("deny"));
    Some(Overwrite { id: id?, kind: kind?, allow: allow.unwrap_or_default(), deny: deny.unwrap_or_default() })
}
