//! Messages as documents: the fields of the index, and what an event changes in it.

use serde::Deserialize;
use serde_json::Value;
use tantivy::schema::{FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::{TantivyDocument, Term};

use super::query::{AuthorType, Has};
use crate::event::{Audience, Event, Kind};
use crate::id::Id;
use crate::model::Message;

/// The name under which the index finds [`super::words`].
pub(super) const WORDS: &str = "seawall-words-1";

/// Columns that are read where a message is found.
pub(super) const ID: &str = "id";
/// The same.
pub(super) const CHANNEL: &str = "channel";

/// The fields. Nothing is stored: a message that is found is read from the store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    pub(super) id: Field,
    pub(super) guild: Field,
    pub(super) channel: Field,
    pub(super) author: Field,
    pub(super) author_type: Field,
    pub(super) content: Field,
    pub(super) mentions: Field,
    pub(super) has: Field,
    pub(super) pinned: Field,
}

impl Fields {
    /// The fields, and the schema they make.
    pub(super) fn new() -> (Fields, Schema) {
        let mut schema = Schema::builder();
        let words =
            TextFieldIndexing::default().set_tokenizer(WORDS).set_index_option(IndexRecordOption::WithFreqs);
        let fields = Fields {
            id: schema.add_u64_field(ID, INDEXED | FAST),
            guild: schema.add_u64_field("guild", INDEXED),
            channel: schema.add_u64_field(CHANNEL, INDEXED | FAST),
            author: schema.add_u64_field("author", INDEXED),
            author_type: schema.add_u64_field("author_type", INDEXED),
            content: schema.add_text_field("content", TextOptions::default().set_indexing_options(words)),
            mentions: schema.add_u64_field("mentions", INDEXED),
            has: schema.add_u64_field("has", INDEXED),
            pinned: schema.add_bool_field("pinned", INDEXED),
        };
        (fields, schema.build())
    }

    /// A message as it is found.
    pub(super) fn document(&self, guild: Id, message: &Message) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        document.add_u64(self.id, message.id.0);
        document.add_u64(self.guild, guild.0);
        document.add_u64(self.channel, message.channel_id.0);
        document.add_u64(self.author, message.author.id.0);
        let kind = if message.author.bot { AuthorType::Bot } else { AuthorType::User };
        document.add_u64(self.author_type, kind as u64);
        document.add_text(self.content, &message.content);
        for user in &message.mentions {
            document.add_u64(self.mentions, user.id.0);
        }
        for has in has(message) {
            document.add_u64(self.has, has as u64);
        }
        document.add_bool(self.pinned, message.pinned);
        document
    }

    /// The document of a message.
    pub(super) fn of(field: Field, id: Id) -> Term {
        Term::from_field_u64(field, id.0)
    }
}

/// What of [`Has`] is true of a message.
fn has(message: &Message) -> Vec<Has> {
    let mut has = Vec::new();
    let mut mark = |is: bool, what: Has| {
        if is {
            has.push(what);
        }
    };
    let is_file = |kind: &str| {
        let of = |file: &Value| file["content_type"].as_str().is_some_and(|t| t.starts_with(kind));
        message.attachments.iter().any(of)
    };
    let embeds = |part: &str| message.embeds.iter().any(|embed| embed[part].is_object());
    mark(message.content.contains("http://") || message.content.contains("https://"), Has::Link);
    mark(!message.embeds.is_empty(), Has::Embed);
    mark(!message.attachments.is_empty(), Has::File);
    mark(is_file("image/") || embeds("image") || embeds("thumbnail"), Has::Image);
    mark(is_file("video/") || embeds("video"), Has::Video);
    mark(is_file("audio/"), Has::Sound);
    has
}

/// What is to be done to the index. Doing it twice is doing it once.
#[derive(Debug)]
pub(super) enum Change {
    /// A message is new or changed.
    Put(Id, Box<Message>),
    /// Messages are gone.
    Gone(Vec<Id>),
    /// A channel is gone, with all that was said there.
    ChannelGone(Id),
    /// A guild is gone.
    GuildGone(Id),
}

#[derive(Deserialize)]
struct One {
    id: Id,
}

#[derive(Deserialize)]
struct Many {
    ids: Vec<Id>,
}

/// What an event changes, if it does. Direct messages are not searched.
///
/// # Errors
/// The payload is not what its kind has.
pub(super) fn change(event: &Event) -> Result<Option<Change>, serde_json::Error> {
    let Some(guild) = event.to.guild() else { return Ok(None) };
    let raw = event.d.get();
    Ok(match event.t {
        Kind::MessageCreate | Kind::MessageUpdate => Some(Change::Put(guild, serde_json::from_str(raw)?)),
        Kind::MessageDelete => Some(Change::Gone(vec![serde_json::from_str::<One>(raw)?.id])),
        Kind::MessageDeleteBulk => Some(Change::Gone(serde_json::from_str::<Many>(raw)?.ids)),
        Kind::ChannelDelete => Some(Change::ChannelGone(serde_json::from_str::<One>(raw)?.id)),
        // To one user alone it says only that this one is out.
        Kind::GuildDelete if matches!(event.to, Audience::Guild(_)) => Some(Change::GuildGone(guild)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(fields: Value) -> Message {
        let mut whole = json!({
            "id": "5", "channel_id": "2", "content": "", "timestamp": "",
            "author": { "id": "1", "username": "ada" },
        });
        whole.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn what_a_message_has() {
        let of = |fields: Value| has(&message(fields));
        assert_eq!(of(json!({ "content": "plain" })), []);
        assert_eq!(of(json!({ "content": "see https://example.org" })), [Has::Link]);
        assert_eq!(of(json!({ "embeds": [{ "title": "t" }] })), [Has::Embed]);
        assert_eq!(of(json!({ "embeds": [{ "image": { "url": "u" } }] })), [Has::Embed, Has::Image]);
        assert_eq!(of(json!({ "embeds": [{ "video": { "url": "u" } }] })), [Has::Embed, Has::Video]);
        assert_eq!(of(json!({ "attachments": [{ "content_type": "audio/ogg" }] })), [Has::File, Has::Sound]);
        // Whatever a client puts there.
        assert_eq!(of(json!({ "embeds": [5, null, []] })), [Has::Embed]);
    }

    #[test]
    fn only_what_concerns_messages_of_guilds_changes_anything() {
        let of = |t: Kind, to: Audience, d: Value| {
            let d = serde_json::value::to_raw_value(&d).unwrap();
            change(&Event { t, to, author: None, mentions: Vec::new(), d })
        };
        let guild = || Audience::Guild(Id(1));
        let one = json!({ "id": "7" });
        assert!(
            matches!(of(Kind::MessageDelete, guild(), one.clone()), Ok(Some(Change::Gone(ids))) if ids == [Id(7)])
        );
        assert!(matches!(of(Kind::GuildDelete, guild(), one.clone()), Ok(Some(Change::GuildGone(Id(1))))));
        assert!(matches!(
            of(Kind::ChannelDelete, guild(), one.clone()),
            Ok(Some(Change::ChannelGone(Id(7))))
        ));
        let users = Audience::Users(vec![Id(3)]);
        assert!(matches!(of(Kind::GuildDelete, users.clone(), one.clone()), Ok(None)));
        assert!(matches!(of(Kind::MessageDelete, users, one.clone()), Ok(None)));
        assert!(matches!(of(Kind::ReactionAdd, guild(), one), Ok(None)));
        assert!(of(Kind::MessageCreate, guild(), json!({})).is_err());
    }
}
