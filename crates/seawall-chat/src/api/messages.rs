//! Messages: history, sending, changing, deleting, pins.

use serde::ser::Error;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::call::{Call, Reply};
use super::form::{Form, Text, id_of, not_an_id, shown};
use super::rate::Bucket;
use super::{Answer, Table, embeds, errors};
use crate::command::{Command, MessageFields};
use crate::degrade::HISTORY_MAX;
use crate::id::Id;
use crate::model::Message;
use crate::refusal::{BulkDelete, Refusal};
use crate::storage::{self, Page};

/// Characters of a message.
const CONTENT_MAX: usize = 2000;
/// Characters of a nonce.
const NONCE_MAX: usize = 25;
/// Messages on a page.
const LIMIT_MAX: i64 = 100;
/// Messages on a page unless asked for another number.
const LIMIT_DEFAULT: usize = 50;
/// Messages that may be deleted together.
const BULK: std::ops::RangeInclusive<usize> = 2..=100;
/// Flags a sender may set: no embeds shown, no notification, new components.
const FLAGS: u64 = 1 << 2 | 1 << 12 | 1 << 15;

pub(super) fn add(table: &mut Table) {
    table.get("/channels/{channel_id}/messages", Bucket::Reads, list);
    table.post("/channels/{channel_id}/messages", Bucket::Messages, create);
    table.post("/channels/{channel_id}/messages/bulk-delete", Bucket::Deletes, delete_many);
    table.get("/channels/{channel_id}/messages/pins", Bucket::Reads, pins);
    table.put("/channels/{channel_id}/messages/pins/{message_id}", Bucket::Changes, pin);
    table.delete("/channels/{channel_id}/messages/pins/{message_id}", Bucket::Changes, unpin);
    table.get("/channels/{channel_id}/messages/{message_id}", Bucket::Reads, show);
    table.patch("/channels/{channel_id}/messages/{message_id}", Bucket::Edits, change);
    table.delete("/channels/{channel_id}/messages/{message_id}", Bucket::Deletes, delete);
    // As they were called before.
    table.get("/channels/{channel_id}/pins", Bucket::Reads, old_pins);
    table.put("/channels/{channel_id}/pins/{message_id}", Bucket::Changes, pin);
    table.delete("/channels/{channel_id}/pins/{message_id}", Bucket::Changes, unpin);
}

async fn list(call: Call) -> Answer {
    let channel = call.id("channel_id")?;
    let mut limit = call.limit(1..=LIMIT_MAX, LIMIT_DEFAULT)?;
    // A shorter page than was asked for is one that libraries go on from.
    if call.api.ladder.effects().history_limited {
        limit = limit.min(HISTORY_MAX);
    }
    let (around, before, after) =
        (call.query_id("around")?, call.query_id("before")?, call.query_id("after")?);
    let page = match (around, before, after) {
        (Some(id), ..) => Page::Around(id),
        (None, Some(id), _) => Page::Before(id),
        (None, None, Some(id)) => Page::After(id),
        (None, None, None) => Page::Newest,
    };
    let place = call.place().await?;
    if !place.has_history() {
        return Ok(Reply::Json(Value::Array(Vec::new())));
    }
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let reading = call.api.storage.messages(place.home(), channel, page, limit, call.me.id);
    let page = reading.await.map_err(errors::trouble)?;
    Reply::of(&page.iter().map(Shown).collect::<Vec<_>>())
}

async fn show(call: Call) -> Answer {
    Reply::of(&Shown(&find(&call).await?))
}

/// A message as a page of history shows it. What a reply answers is null once that was deleted; left out, it would
/// say that nobody looked.
struct Shown<'a>(&'a Message);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let message = self.0;
        if message.kind != Message::REPLY || message.referenced_message.is_some() {
            return message.serialize(to);
        }
        let mut document = serde_json::to_value(message).map_err(S::Error::custom)?;
        document["referenced_message"] = Value::Null;
        document.serialize(to)
    }
}

/// The message in the path, to who may read it. Whether it exists is not told before that.
pub(super) async fn find(call: &Call) -> Result<Message, Refusal> {
    let (channel, message) = (call.id("channel_id")?, call.id("message_id")?);
    let place = call.place().await?;
    if !place.has_history() {
        return Err(Refusal::MissingPermissions);
    }
    let reading = call.api.storage.message(place.home(), channel, message, call.me.id);
    reading.await.map_err(errors::trouble)?.ok_or(Refusal::UnknownMessage)
}

async fn create(mut call: Call) -> Answer {
    let channel = call.id("channel_id")?;
    let mut form = call.form().await?;
    let message = fields(&mut form, channel);
    let is_once = form.bool("enforce_nonce").unwrap_or(false);
    form.finish()?;
    if message.content.trim().is_empty() && message.embeds.is_empty() && message.components.is_empty() {
        return Err(Refusal::EmptyMessage);
    }
    let nonce = message.nonce.as_ref().filter(|_| is_once).map(shown);
    let key = match nonce {
        Some(nonce) => storage::nonce_key(channel, call.me.id, &nonce),
        None => call.api.keys.next(),
    };
    let command = Command::CreateMessage { channel, message };
    Ok(Reply::Raw(call.submit_keyed(command, key).await?.body))
}

fn fields(form: &mut Form, channel: Id) -> MessageFields {
    let mut message = MessageFields {
        content: form.text("content", 0..=CONTENT_MAX, Text::Lines).unwrap_or_default(),
        nonce: nonce(form),
        embeds: embeds::embeds(form).unwrap_or_default(),
        components: embeds::components(form).unwrap_or_default(),
        flags: flags(form).unwrap_or(0),
        allowed_mentions: embeds::allowed_mentions(form),
        ..MessageFields::default()
    };
    reference(form, channel, &mut message);
    files(form);
    message
}

fn nonce(form: &mut Form) -> Option<Value> {
    let value = form.value("nonce")?;
    let is_fine = match &value {
        Value::String(text) => text.chars().count() <= NONCE_MAX,
        Value::Number(number) => number.is_i64() || number.is_u64(),
        _ => false,
    };
    if is_fine {
        return Some(value);
    }
    let message = format!("Must be a number or {NONCE_MAX} or fewer in length.");
    form.wrong("nonce", "NONCE_TYPE_TOO_LONG", message);
    None
}

fn flags(form: &mut Form) -> Option<u64> {
    let flags = form.int("flags", 0..=i64::MAX)?;
    // What only the server sets is left out, without a word: libraries send back what they were given.
    Some(flags.cast_unsigned() & FLAGS)
}

/// What it answers: a message in the same channel. Forwarding (type 1) there is not.
fn reference(form: &mut Form, channel: Id, message: &mut MessageFields) {
    let Some(value) = form.value("message_reference") else { return };
    let Some(mut inner) = form.within("message_reference", value) else { return };
    let id = inner.id("message_id");
    inner.require("message_id", id.as_ref());
    message.reply_to = id;
    message.fail_if_not_exists = inner.bool("fail_if_not_exists").unwrap_or(true);
    if inner.int("type", i64::MIN..=i64::MAX).is_some_and(|kind| kind != 0) {
        inner.wrong("type", "BASE_TYPE_CHOICES", "Value must be one of {0}.");
    }
    if inner.id("channel_id").is_some_and(|other| other != channel) {
        let text = "Cannot reply to a message in a different channel";
        inner.wrong("channel_id", "REPLIES_CANNOT_REFERENCE_OTHER_CHANNEL", text);
    }
    form.absorb(inner);
}

/// Files are not kept, and neither is what is said about them.
fn files(form: &mut Form) {
    if form.list("attachments", 10).is_some_and(|list| !list.is_empty()) {
        let text = "Files are not kept here; send the message without them";
        form.wrong("attachments", "FILES_NOT_SUPPORTED", text);
    }
}

async fn change(mut call: Call) -> Answer {
    let (channel, message) = (call.id("channel_id")?, call.id("message_id")?);
    let mut form = call.form().await?;
    // Here null takes away.
    let content = form.patch("content", |f| f.text("content", 0..=CONTENT_MAX, Text::Lines));
    let embeds = form.patch("embeds", embeds::embeds);
    let components = form.patch("components", embeds::components);
    let flags = flags(&mut form);
    form.finish()?;
    let command = Command::UpdateMessage {
        channel,
        message,
        content: or_nothing(content),
        embeds: or_nothing(embeds),
        components: or_nothing(components),
        flags,
    };
    Ok(Reply::Raw(call.submit(command).await?.body))
}

fn or_nothing<T: Default>(patch: crate::command::Patch<T>) -> Option<T> {
    use crate::command::Patch;
    match patch {
        Patch::Keep => None,
        Patch::Clear => Some(T::default()),
        Patch::Set(value) => Some(value),
    }
}

async fn delete(call: Call) -> Answer {
    let (channel, message) = (call.id("channel_id")?, call.id("message_id")?);
    call.submit(Command::DeleteMessage { channel, message }).await?;
    Ok(Reply::Empty)
}

async fn delete_many(mut call: Call) -> Answer {
    let channel = call.id("channel_id")?;
    let mut form = call.form().await?;
    let messages = ids(&mut form, "messages");
    form.finish()?;
    let messages = messages.unwrap_or_default();
    if !BULK.contains(&messages.len()) {
        return Err(Refusal::BulkDelete(BulkDelete::Count));
    }
    call.submit(Command::DeleteMessages { channel, messages }).await?;
    Ok(Reply::Empty)
}

/// Ids of any number: too many have an error of their own.
fn ids(form: &mut Form, key: &str) -> Option<Vec<Id>> {
    let Some(value) = form.value(key) else {
        form.wrong(key, "BASE_TYPE_REQUIRED", "This field is required");
        return None;
    };
    let Value::Array(list) = value else {
        form.wrong(key, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType");
        return None;
    };
    if let Some(i) = list.iter().position(|v| id_of(v).is_none()) {
        form.wrong(&format!("{key}.{i}"), "NUMBER_TYPE_COERCE", not_an_id(&shown(&list[i])));
    }
    list.iter().map(id_of).collect()
}

async fn pinned(call: &Call) -> Result<Vec<Message>, Refusal> {
    let channel = call.id("channel_id")?;
    let place = call.place().await?;
    if !place.has_history() {
        return Ok(Vec::new());
    }
    call.api.storage.pins(place.home(), channel, call.me.id).await.map_err(errors::trouble)
}

async fn old_pins(call: Call) -> Answer {
    Reply::of(&pinned(&call).await?.iter().map(Shown).collect::<Vec<_>>())
}

/// All of them on one page: there are 50 at most.
async fn pins(call: Call) -> Answer {
    let pinned = pinned(&call).await?;
    let items = pinned.iter().map(|m| json!({ "pinned_at": m.timestamp, "message": Shown(m) }));
    Ok(Reply::Json(json!({ "items": items.collect::<Vec<_>>(), "has_more": false })))
}

async fn pin(call: Call) -> Answer {
    set_pin(call, true).await
}

async fn unpin(call: Call) -> Answer {
    set_pin(call, false).await
}

async fn set_pin(call: Call, pinned: bool) -> Answer {
    let (channel, message) = (call.id("channel_id")?, call.id("message_id")?);
    call.submit(Command::Pin { channel, message, pinned }).await?;
    Ok(Reply::Empty)
}
