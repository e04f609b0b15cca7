//! What one session hears: a fold over a gateway's entries.
//!
//! ## One piece of code, live and in replay
//!
//! A client that was cut off says the last number it has; whoever replays must give every later entry the number
//! it had, on another day, in another process. So numbers are not stored with entries, they are a result: the same
//! entries folded from the same mark give the same numbers, because a step looks at the entry and at the fold and
//! at nothing else. What a session may see changes by entries too ([`What::View`]), never by asking.

use std::sync::Arc;

use bytes::Bytes;
use seawall_store::Position;
use serde::Deserialize;

use super::entry::{Entry, SessionId, To, What};
use super::view::View;
use crate::event::{Kind, intents};
use crate::id::Id;

/// A session at one place in the order.
#[derive(Debug, Clone, PartialEq)]
pub struct Fold {
    /// Which session.
    pub session: SessionId,
    /// Whose.
    pub user: Id,
    /// What it asked to hear.
    pub intents: u64,
    /// Which part of the guilds is its own.
    pub part: Part,
    /// The last number it was given.
    pub s: u64,
    /// The last entry it has passed.
    pub lsn: u64,
    /// What it sees.
    pub view: View,
    /// Durable entries up to here, per shard, were heard elsewhere: a taken-over session had them before.
    pub skip: Option<Arc<[Position]>>,
}

/// A client's share of the guilds, as IDENTIFY's `shard` says it: one of `of` equal parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    id: u32,
    of: u32,
}

impl Part {
    /// Everything.
    pub const WHOLE: Part = Part { id: 0, of: 1 };

    /// Part `id` of `of`; none where there is no such part.
    #[must_use]
    pub fn new(id: u32, of: u32) -> Option<Part> {
        (id < of).then_some(Part { id, of })
    }

    /// As IDENTIFY has it.
    #[must_use]
    pub fn shard(self) -> [u32; 2] {
        [self.id, self.of]
    }

    /// Whether a guild belongs to it.
    #[must_use]
    pub fn has(self, guild: Id) -> bool {
        self.of == 1 || (guild.0 >> 22) % u64::from(self.of) == u64::from(self.id)
    }

    /// Whether it is the one that hears of direct messages.
    #[must_use]
    pub fn is_first(self) -> bool {
        self.id == 0
    }
}

/// A dispatch that the session hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Its number.
    pub s: u64,
    /// Whether it may know what a message says.
    pub content: bool,
}

impl Fold {
    /// Goes on by one entry. An entry at or before [`Fold::lsn`] changes nothing.
    pub fn step(&mut self, entry: &Entry) -> Option<Heard> {
        if entry.lsn <= self.lsn {
            return None;
        }
        match &entry.what {
            What::View { user, guild, hidden } if self.has_view_of(*user, *guild) => {
                self.lsn = entry.lsn;
                self.view = self.view.with(*guild, hidden.as_ref());
                None
            }
            what => {
                self.lsn = entry.lsn;
                let content = self.judge(what)?;
                self.s += 1;
                Some(Heard { s: self.s, content })
            }
        }
    }

    /// Whether the entry would change what the session has heard or sees. While it says no to each entry, nobody
    /// need step; [`Fold::pass`] catches up.
    #[must_use]
    pub fn hears(&self, entry: &Entry) -> bool {
        entry.lsn > self.lsn
            && match &entry.what {
                What::View { user, guild, .. } => self.has_view_of(*user, *guild),
                what => self.judge(what).is_some(),
            }
    }

    /// Moves on to `lsn` over entries of which it [`Fold::hears`] none.
    pub fn pass(&mut self, lsn: u64) {
        self.lsn = self.lsn.max(lsn);
    }

    fn has_view_of(&self, user: Id, guild: Id) -> bool {
        user == self.user && self.part.has(guild)
    }

    /// Whether the session hears of it, and then whether with content.
    fn judge(&self, what: &What) -> Option<bool> {
        let What::Dispatch { origin, to, t, author, mentions, d } = what else { return None };
        if origin.is_some_and(|(shard, at)| self.has_had(shard, at)) {
            return None;
        }
        match to {
            To::Guild(guild) => {
                (self.wants_in_guild(*t) && self.part.has(*guild) && self.view.has(*guild)).then_some(())?;
            }
            To::Channel { guild, channel } => {
                let is_seen = self.part.has(*guild) && self.view.sees(*guild, *channel);
                (self.wants_in_guild(*t) && is_seen).then_some(())?;
            }
            To::Users(users) => {
                let is_mine =
                    users.contains(&self.user) && self.wants_in_person(*t) && self.is_at_home(*t, d);
                return is_mine.then_some(true);
            }
            To::Session(session) => return (*session == self.session).then_some(true),
        }
        let is_open = !has_content(*t)
            || self.intents & intents::MESSAGE_CONTENT != 0
            || *author == Some(self.user)
            || mentions.contains(&self.user);
        Some(is_open)
    }

    fn has_had(&self, shard: u32, at: Position) -> bool {
        let Some(skip) = &self.skip else { return false };
        usize::try_from(shard).ok().and_then(|shard| skip.get(shard)).is_some_and(|had| at <= *had)
    }

    fn wants_in_guild(&self, t: Kind) -> bool {
        t.intents().is_none_or(|(guild, _)| self.intents & guild != 0)
    }

    /// A kind without an intent for direct messages keeps the one it has: GUILD_DELETE to whoever was removed, or
    /// CHANNEL_CREATE of a direct message, are of GUILDS also when they are addressed to users.
    fn wants_in_person(&self, t: Kind) -> bool {
        t.intents().is_none_or(|(guild, direct)| self.intents & if direct == 0 { guild } else { direct } != 0)
    }

    /// Which part of a client hears what is addressed to its user: of a guild, the part that has the guild; of
    /// none, the first. Rare enough to look into the payload.
    fn is_at_home(&self, t: Kind, d: &Bytes) -> bool {
        self.part == Part::WHOLE
            || match guild_of(t, d) {
                Some(guild) => self.part.has(guild),
                None => self.part.is_first(),
            }
    }
}

/// Whether kinds of this event carry what somebody said.
#[must_use]
pub fn has_content(t: Kind) -> bool {
    matches!(t, Kind::MessageCreate | Kind::MessageUpdate)
}

#[derive(Deserialize)]
struct Place {
    #[serde(default)]
    id: Option<Id>,
    #[serde(default)]
    guild_id: Option<Id>,
}

fn guild_of(t: Kind, d: &Bytes) -> Option<Id> {
    let place: Place = serde_json::from_slice(d).ok()?;
    match t {
        Kind::GuildCreate | Kind::GuildUpdate | Kind::GuildDelete => place.id,
        _ => place.guild_id,
    }
}

#[cfg(test)]
mod tests;
