//! What is searched for, and what is found: plain data, as one process sends it to another.

use serde::{Deserialize, Serialize};

use crate::id::Id;

/// What a message can have besides words. Files, stickers and polls are never kept here, so nothing has them; clients
/// may ask all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Has {
    /// A web address in its text.
    Link,
    /// An embed.
    Embed,
    /// Any file.
    File,
    /// A picture, as a file or in an embed.
    Image,
    /// A film, as a file or in an embed.
    Video,
    /// A sound, as a file.
    Sound,
    /// A sticker.
    Sticker,
    /// A poll.
    Poll,
    /// A forwarded message.
    Snapshot,
}

impl Has {
    /// All of them, as clients write them.
    pub const ALL: [(&'static str, Has); 9] = [
        ("link", Has::Link),
        ("embed", Has::Embed),
        ("file", Has::File),
        ("image", Has::Image),
        ("video", Has::Video),
        ("sound", Has::Sound),
        ("sticker", Has::Sticker),
        ("poll", Has::Poll),
        ("snapshot", Has::Snapshot),
    ];
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorType {
    /// A person.
    User,
    /// A program.
    Bot,
    /// A webhook; there are none.
    Webhook,
}

impl AuthorType {
    /// All of them, as clients write them.
    pub const ALL: [(&'static str, AuthorType); 3] =
        [("user", AuthorType::User), ("bot", AuthorType::Bot), ("webhook", AuthorType::Webhook)];
}

/// In which order messages are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
    /// The best first; of equals the newest.
    Relevance,
}

/// What is searched for. Everything that is named must be true; of several ids of one kind one is enough.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Query {
    /// In which guild.
    pub guild: Id,
    /// In which of its channels: all that the caller may see and read the history of, or those of them it names. With
    /// none there is nothing to find.
    pub channels: Vec<Id>,
    /// Words that are all in the message; empty: any message.
    pub content: String,
    /// By one of these.
    pub authors: Vec<Id>,
    /// By one of these kinds.
    pub author_types: Vec<AuthorType>,
    /// By none of these kinds.
    pub author_types_not: Vec<AuthorType>,
    /// Calls one of these users.
    pub mentions: Vec<Id>,
    /// Has all of these.
    pub has: Vec<Has>,
    /// Has none of these.
    pub has_not: Vec<Has>,
    /// Is pinned, or is not.
    pub pinned: Option<bool>,
    /// Is younger than this one.
    pub min_id: Option<Id>,
    /// Is older than this one.
    pub max_id: Option<Id>,
    /// How many are given.
    pub limit: usize,
    /// How many are passed over.
    pub offset: usize,
    /// In which order.
    pub sort: Sort,
}

/// Where a message is that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Its channel.
    pub channel: Id,
    /// Its id.
    pub message: Id,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hits {
    /// How many there are in all.
    pub total: usize,
    /// One page of them, in order.
    pub page: Vec<Hit>,
}
