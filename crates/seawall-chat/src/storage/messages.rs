//! History: pages of messages, their reactions and what they answer.

use std::collections::HashMap;

use seawall_store::{ReadError, Row, Rows, Sql};

use super::rows::{id, json, list, opt_id, opt_text};
use super::{Home, Storage, Trouble};
use crate::id::Id;
use crate::model::{CountDetails, Emoji, Message, Reaction, Reference, User, iso};

/// Messages a page may have, whatever is asked for.
pub const PAGE_MAX: u32 = 100;
/// Pins shown; the owner allows no more in a channel.
const PINS_MAX: i64 = 50;

/// Columns of one message in `chat_said`, which has them twice, after `hk` and `channel_id`.
const COLUMNS: usize = 13;
const FIRST: usize = 2;

const BEFORE: Sql = Sql {
    name: "messages before",
    text: "SELECT * FROM chat_said WHERE hk = $1 AND channel_id = $2 AND id < $3 ORDER BY id DESC LIMIT $4",
};
const SINCE: Sql = Sql {
    name: "messages from here on",
    text: "SELECT * FROM chat_said WHERE hk = $1 AND channel_id = $2 AND id >= $3 ORDER BY id LIMIT $4",
};
/// The columns of one message, as in `chat_said`, without the one it answers.
const PLAIN: Sql = Sql {
    name: "messages by themselves",
    text: "SELECT hk, channel_id, id, author, content, edited_at, kind, flags, reply_to, mention_everyone, mentions,
               mention_roles, embeds, components, pinned_at
           FROM chat_messages WHERE hk = $1 AND channel_id = $2 AND id > $3 ORDER BY id LIMIT $4",
};
const MESSAGE: Sql =
    Sql { name: "a message", text: "SELECT * FROM chat_said WHERE hk = $1 AND channel_id = $2 AND id = $3" };
const PINS: Sql = Sql {
    name: "pinned messages",
    text: "SELECT * FROM chat_said WHERE hk = $1 AND channel_id = $2 AND pinned_at IS NOT NULL
           ORDER BY pinned_at DESC LIMIT $3",
};
const AUTHOR: Sql = Sql {
    name: "the author of a message",
    text: "SELECT author_id FROM chat_messages WHERE hk = $1 AND channel_id = $2 AND id = $3",
};
const SAID_BY: Sql = Sql {
    name: "what somebody said since",
    text: "SELECT id FROM chat_messages WHERE hk = $1 AND channel_id = $2 AND id >= $3 AND author_id = $4
           ORDER BY id LIMIT $5",
};
const REACTIONS: Sql = Sql {
    name: "reactions of some messages",
    text:
        "SELECT message_id, emoji, COUNT(*), MAX(CASE WHEN user_id = $5 THEN 1 ELSE 0 END) FROM chat_reactions
           WHERE hk = $1 AND channel_id = $2 AND message_id >= $3 AND message_id <= $4
           GROUP BY message_id, emoji ORDER BY message_id, MIN(reacted_at), emoji",
};
const REACTORS: Sql = Sql {
    name: "who reacted",
    text: "SELECT user_id FROM chat_reactions
           WHERE hk = $1 AND channel_id = $2 AND message_id = $3 AND emoji = $4 AND user_id > $5
           ORDER BY user_id LIMIT $6",
};

/// Which part of a channel's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The newest.
    Newest,
    /// What was said just before this one.
    Before(Id),
    /// What was said just after it.
    After(Id),
    /// Half of them before it; itself and the rest after.
    Around(Id),
}

impl Storage {
    /// At most `limit` messages, the newest first, with reactions as `reader` sees them.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn messages(
        &self,
        home: Home,
        channel: Id,
        page: Page,
        limit: u32,
        reader: Id,
    ) -> Result<Vec<Message>, Trouble> {
        let limit = limit.min(PAGE_MAX);
        let rows = match page {
            Page::Newest => self.scan(&BEFORE, home, channel, i64::MAX, limit).await?,
            Page::Before(id) => self.scan(&BEFORE, home, channel, id.to_sql(), limit).await?,
            Page::After(id) => {
                let mut rows = self.scan(&SINCE, home, channel, id.to_sql().saturating_add(1), limit).await?;
                rows.reverse();
                rows
            }
            Page::Around(id) => {
                let before = limit / 2;
                let mut rows = self.scan(&SINCE, home, channel, id.to_sql(), limit - before).await?;
                rows.reverse();
                rows.extend(self.scan(&BEFORE, home, channel, id.to_sql(), before).await?);
                rows
            }
        };
        let mut messages = rows.iter().map(|row| said(row, home)).collect::<Result<Vec<_>, _>>()?;
        if let (Some(newest), Some(oldest)) = (messages.first(), messages.last()) {
            let mut reactions = self.reactions(home, channel, oldest.id, newest.id, reader).await?;
            for message in &mut messages {
                message.reactions = reactions.remove(&message.id).unwrap_or_default();
            }
        }
        Ok(messages)
    }

    /// One message.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn message(
        &self,
        home: Home,
        channel: Id,
        id: Id,
        reader: Id,
    ) -> Result<Option<Message>, Trouble> {
        let found = self.read(&MESSAGE, home.hk(channel), vec![channel.into(), id.into()]).await?;
        let Some(row) = found.rows.first() else { return Ok(None) };
        let mut message = said(row, home)?;
        message.reactions = self.reactions_of(home, channel, id, reader).await?;
        Ok(Some(message))
    }

    /// At most `max` messages that were said after one, the oldest first, without reactions and without what they
    /// answer; fewer where they are large. For reading all there are: none means that there are no more.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn said_after(
        &self,
        home: Home,
        channel: Id,
        after: Id,
        max: u32,
    ) -> Result<Vec<Message>, Trouble> {
        let mut max = i64::from(max);
        loop {
            let args = vec![channel.into(), after.into(), max.into()];
            match self.ask(&PLAIN, home.hk(channel), args).await {
                Err(ReadError::TooMany) if max > 1 => max /= 2,
                Err(error) => return Err(error.into()),
                Ok(found) => return found.rows.iter().map(|row| message(row, FIRST, home)).collect(),
            }
        }
    }

    /// The pinned messages of a channel, the latest pinned first.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn pins(&self, home: Home, channel: Id, reader: Id) -> Result<Vec<Message>, Trouble> {
        let found = self.read(&PINS, home.hk(channel), vec![channel.into(), PINS_MAX.into()]).await?;
        let mut pins = found.rows.iter().map(|row| said(row, home)).collect::<Result<Vec<_>, _>>()?;
        for pin in &mut pins {
            pin.reactions = self.reactions_of(home, channel, pin.id, reader).await?;
        }
        Ok(pins)
    }

    /// Who reacted with an emoji, in the order of ids, after `after`.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn reactors(
        &self,
        home: Home,
        channel: Id,
        message: Id,
        emoji: &str,
        after: Option<Id>,
        limit: u32,
    ) -> Result<Vec<User>, Trouble> {
        let after = after.map_or(-1, Id::to_sql);
        let limit = i64::from(limit.min(PAGE_MAX));
        let args = vec![channel.into(), message.into(), emoji.into(), after.into(), limit.into()];
        let found = self.read(&REACTORS, home.hk(channel), args).await?;
        let ids = found.rows.iter().map(|row| id(row, 0)).collect::<Result<Vec<_>, _>>()?;
        self.users(&ids).await
    }

    /// Those of some messages that exist, each with its author.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn authors(&self, home: Home, channel: Id, messages: &[Id]) -> Result<Vec<(Id, Id)>, Trouble> {
        let mut authors = Vec::with_capacity(messages.len());
        for message in messages {
            let args = vec![channel.into(), (*message).into()];
            let found = self.read(&AUTHOR, home.hk(channel), args).await?;
            if let Some(row) = found.rows.first() {
                authors.push((*message, id(row, 0)?));
            }
        }
        Ok(authors)
    }

    /// At most `max` messages that somebody said in a channel from an id on, the oldest first.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn said_by(
        &self,
        home: Home,
        channel: Id,
        author: Id,
        since: Id,
        max: u32,
    ) -> Result<Vec<Id>, Trouble> {
        let args = vec![channel.into(), since.into(), author.into(), i64::from(max).into()];
        let found = self.read(&SAID_BY, home.hk(channel), args).await?;
        found.rows.iter().map(|row| id(row, 0)).collect()
    }

    /// One range of the primary key. Where the messages are so large that the store does not give them at once, in
    /// smaller steps.
    async fn scan(
        &self,
        sql: &'static Sql,
        home: Home,
        channel: Id,
        bound: i64,
        limit: u32,
    ) -> Result<Rows, Trouble> {
        let (mut all, mut bound, mut step) = (Rows::new(), bound, limit as usize);
        while all.len() < limit as usize {
            let take = step.min(limit as usize - all.len());
            let args = vec![channel.into(), bound.into(), (take as i64).into()];
            match self.ask(sql, home.hk(channel), args).await {
                Err(ReadError::TooMany) if step > 1 => step /= 2,
                Err(error) => return Err(error.into()),
                Ok(found) => {
                    let is_end = found.rows.len() < take;
                    all.extend(found.rows);
                    let Some(last) = all.last().filter(|_| !is_end) else { break };
                    // Downwards the bound itself is left out, upwards it is not.
                    bound = last.int(FIRST)? + i64::from(std::ptr::eq(sql, &SINCE));
                }
            }
        }
        Ok(all)
    }

    async fn reactions_of(
        &self,
        home: Home,
        channel: Id,
        message: Id,
        reader: Id,
    ) -> Result<Vec<Reaction>, Trouble> {
        let mut found = self.reactions(home, channel, message, message, reader).await?;
        Ok(found.remove(&message).unwrap_or_default())
    }

    /// The reactions of all messages between two, these included; for each in the order of the first of a kind.
    async fn reactions(
        &self,
        home: Home,
        channel: Id,
        from: Id,
        to: Id,
        reader: Id,
    ) -> Result<HashMap<Id, Vec<Reaction>>, Trouble> {
        let args = vec![channel.into(), from.into(), to.into(), reader.into()];
        let mut all: HashMap<Id, Vec<Reaction>> = HashMap::new();
        for row in &self.read(&REACTIONS, home.hk(channel), args).await?.rows {
            let count = row.int(2)?.cast_unsigned();
            all.entry(id(row, 0)?).or_default().push(Reaction {
                count,
                me: row.int(3)? == 1,
                emoji: Emoji { id: None, name: row.text(1)?.to_owned() },
                me_burst: false,
                count_details: CountDetails { burst: 0, normal: count },
                burst_colors: Vec::new(),
            });
        }
        Ok(all)
    }
}

/// A message, and the one it answers, if that is still there.
fn said(row: &Row, home: Home) -> Result<Message, Trouble> {
    let mut message = message(row, FIRST, home)?;
    let second = FIRST + COLUMNS;
    if !row.is_null(second) {
        message.referenced_message = Some(Box::new(self::message(row, second, home)?));
    }
    Ok(message)
}

/// The message whose columns begin at `first`, in the order of `chat_said`.
fn message(row: &Row, first: usize, home: Home) -> Result<Message, Trouble> {
    let at = |column: usize| first + column;
    let (id, channel_id) = (id(row, at(0))?, id(row, 1)?);
    let reference = opt_id(row, at(6))?.map(|message_id| Reference {
        kind: 0,
        message_id: Some(message_id),
        channel_id: Some(channel_id),
        guild_id: home.guild(),
    });
    Ok(Message {
        id,
        channel_id,
        author: json(row, at(1))?,
        content: row.text(at(2))?.to_owned(),
        timestamp: iso(id.time()),
        edited_timestamp: opt_text(row, at(3))?,
        tts: false,
        mention_everyone: row.bool(at(7))?,
        mentions: list(row, at(8))?,
        mention_roles: list(row, at(9))?,
        attachments: Vec::new(),
        embeds: list(row, at(10))?,
        components: list(row, at(11))?,
        reactions: Vec::new(),
        pinned: !row.is_null(at(12)),
        kind: super::rows::small(row, at(4))?,
        flags: row.int(at(5))?.cast_unsigned(),
        nonce: None,
        message_reference: reference,
        referenced_message: None,
    })
}
