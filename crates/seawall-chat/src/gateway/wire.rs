//! Entries as bytes, for the journal.
//!
//! ```text
//! lsn: varint | tag: u8 | fields of the tag
//! ```
//! Ids are eight bytes, hashes and session ids as they are, everything that counts is a varint (seven bits a byte,
//! lowest first). Lists and payloads have their length in front. Whoever keeps the bytes guards them with a check
//! sum; reading nevertheless takes any bytes, allocates no more than they could hold, and refuses what does not
//! end where it should.

use std::sync::Arc;

use bytes::Bytes;
use seawall_store::Position;

use super::entry::{Entry, Mark, SessionId, To, What};
use super::fold::{Fold, Part};
use super::view::View;
use crate::event::Kind;
use crate::id::Id;

/// Bytes that are no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an entry of a gateway's journal")]
pub struct Malformed;

const DISPATCH: u8 = 1;
const VIEW: u8 = 2;
const SESSION: u8 = 3;
const GONE: u8 = 4;
const REACHED: u8 = 5;

const TO_GUILD: u8 = 1;
const TO_CHANNEL: u8 = 2;
const TO_USERS: u8 = 3;
const TO_SESSION: u8 = 4;

/// A kind's byte is its place here: new ones come last, none is ever taken out.
const KINDS: [Kind; 31] = [
    Kind::GuildCreate,
    Kind::GuildUpdate,
    Kind::GuildDelete,
    Kind::ChannelCreate,
    Kind::ChannelUpdate,
    Kind::ChannelDelete,
    Kind::ChannelPinsUpdate,
    Kind::RoleCreate,
    Kind::RoleUpdate,
    Kind::RoleDelete,
    Kind::MemberAdd,
    Kind::MemberUpdate,
    Kind::MemberRemove,
    Kind::MembersChunk,
    Kind::BanAdd,
    Kind::BanRemove,
    Kind::InviteCreate,
    Kind::InviteDelete,
    Kind::PresenceUpdate,
    Kind::MessageCreate,
    Kind::MessageUpdate,
    Kind::MessageDelete,
    Kind::MessageDeleteBulk,
    Kind::ReactionAdd,
    Kind::ReactionRemove,
    Kind::ReactionRemoveAll,
    Kind::ReactionRemoveEmoji,
    Kind::TypingStart,
    Kind::UserUpdate,
    Kind::Resumed,
    Kind::RateLimited,
];

/// A kind's place in [`KINDS`].
const fn code(t: Kind) -> u8 {
    match t {
        Kind::GuildCreate => 0,
        Kind::GuildUpdate => 1,
        Kind::GuildDelete => 2,
        Kind::ChannelCreate => 3,
        Kind::ChannelUpdate => 4,
        Kind::ChannelDelete => 5,
        Kind::ChannelPinsUpdate => 6,
        Kind::RoleCreate => 7,
        Kind::RoleUpdate => 8,
        Kind::RoleDelete => 9,
        Kind::MemberAdd => 10,
        Kind::MemberUpdate => 11,
        Kind::MemberRemove => 12,
        Kind::MembersChunk => 13,
        Kind::BanAdd => 14,
        Kind::BanRemove => 15,
        Kind::InviteCreate => 16,
        Kind::InviteDelete => 17,
        Kind::PresenceUpdate => 18,
        Kind::MessageCreate => 19,
        Kind::MessageUpdate => 20,
        Kind::MessageDelete => 21,
        Kind::MessageDeleteBulk => 22,
        Kind::ReactionAdd => 23,
        Kind::ReactionRemove => 24,
        Kind::ReactionRemoveAll => 25,
        Kind::ReactionRemoveEmoji => 26,
        Kind::TypingStart => 27,
        Kind::UserUpdate => 28,
        Kind::Resumed => 29,
        Kind::RateLimited => 30,
    }
}

impl Entry {
    /// Writes it behind `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, self.lsn);
        match &self.what {
            What::Dispatch { origin, to, t, author, mentions, d } => {
                out.push(DISPATCH);
                put_option(out, origin.as_ref(), |out, (shard, at)| {
                    put_number(out, u64::from(*shard));
                    put_number(out, at.0);
                });
                put_to(out, to);
                out.push(code(*t));
                put_option(out, author.as_ref(), |out, id| put_id(out, *id));
                put_ids(out, mentions);
                put_number(out, d.len() as u64);
                out.extend_from_slice(d);
            }
            What::View { user, guild, hidden } => {
                out.push(VIEW);
                put_id(out, *user);
                put_id(out, *guild);
                put_option(out, hidden.as_ref(), |out, ids| put_ids(out, ids));
            }
            What::Session(mark) => {
                out.push(SESSION);
                put_mark(out, mark);
            }
            What::Gone { session } => {
                out.push(GONE);
                out.extend_from_slice(&session.0);
            }
            What::Reached { positions } => {
                out.push(REACHED);
                put_positions(out, positions);
            }
        }
    }

    /// Reads what [`Entry::encode`] wrote; a payload shares the bytes.
    ///
    /// # Errors
    /// The bytes are not exactly one entry.
    pub fn decode(bytes: &Bytes) -> Result<Entry, Malformed> {
        let mut from = Reading { bytes, at: 0 };
        let lsn = from.number()?;
        let what = match from.byte()? {
            DISPATCH => What::Dispatch {
                origin: from.option(|from| Ok((from.small()?, Position(from.number()?))))?,
                to: from.to()?,
                t: from.kind()?,
                author: from.option(Reading::id)?,
                mentions: from.ids()?,
                d: from.text()?,
            },
            VIEW => What::View {
                user: from.id()?,
                guild: from.id()?,
                hidden: from.option(Reading::ids)?.map(Arc::from),
            },
            SESSION => What::Session(Box::new(from.mark()?)),
            GONE => What::Gone { session: from.session()? },
            REACHED => What::Reached { positions: from.positions()? },
            _ => return Err(Malformed),
        };
        from.end()?;
        Ok(Entry { lsn, what })
    }
}

/// A number, in as few bytes as it takes.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Positions, one per shard.
pub(super) fn put_positions(out: &mut Vec<u8>, positions: &[Position]) {
    put_number(out, positions.len() as u64);
    positions.iter().for_each(|p| put_number(out, p.0));
}

/// Text, its length in front.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn put_id(out: &mut Vec<u8>, id: Id) {
    out.extend_from_slice(&id.0.to_le_bytes());
}

fn put_ids(out: &mut Vec<u8>, ids: &[Id]) {
    put_number(out, ids.len() as u64);
    ids.iter().for_each(|id| put_id(out, *id));
}

fn put_option<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

fn put_to(out: &mut Vec<u8>, to: &To) {
    match to {
        To::Guild(guild) => {
            out.push(TO_GUILD);
            put_id(out, *guild);
        }
        To::Channel { guild, channel } => {
            out.push(TO_CHANNEL);
            put_id(out, *guild);
            put_id(out, *channel);
        }
        To::Users(users) => {
            out.push(TO_USERS);
            put_ids(out, users);
        }
        To::Session(session) => {
            out.push(TO_SESSION);
            out.extend_from_slice(&session.0);
        }
    }
}

fn put_mark(out: &mut Vec<u8>, Mark { token_hash, generation, fold }: &Mark) {
    let Fold { session, user, intents, part, s, lsn, view, skip } = fold;
    out.extend_from_slice(token_hash);
    put_number(out, *generation);
    out.extend_from_slice(&session.0);
    put_id(out, *user);
    put_number(out, *intents);
    part.shard().iter().for_each(|n| put_number(out, u64::from(*n)));
    put_number(out, *s);
    put_number(out, *lsn);
    put_number(out, view.guilds().len() as u64);
    for (guild, hidden) in view.guilds() {
        put_id(out, guild);
        put_ids(out, hidden);
    }
    put_option(out, skip.as_ref(), |out, skip| put_positions(out, skip));
}

/// What is left to read.
pub(super) struct Reading<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl<'a> Reading<'a> {
    pub(super) fn new(bytes: &'a Bytes) -> Reading<'a> {
        Reading { bytes, at: 0 }
    }

    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(Malformed) }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(len).ok_or(Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn small(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| Malformed)
    }

    /// A count of things of at least `each` bytes: no more than the rest could hold.
    fn count(&mut self, each: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        let left = self.bytes.len() - self.at;
        if count <= left / each { Ok(count) } else { Err(Malformed) }
    }

    fn many<T, B: FromIterator<T>>(
        &mut self,
        each: usize,
        mut one: impl FnMut(&mut Reading<'a>) -> Result<T, Malformed>,
    ) -> Result<B, Malformed> {
        (0..self.count(each)?).map(|_| one(self)).collect()
    }

    fn option<T>(
        &mut self,
        some: impl FnOnce(&mut Reading<'a>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.byte()? {
            0 => Ok(None),
            1 => some(self).map(Some),
            _ => Err(Malformed),
        }
    }

    fn id(&mut self) -> Result<Id, Malformed> {
        self.array().map(|bytes| Id(u64::from_le_bytes(bytes)))
    }

    fn ids(&mut self) -> Result<Box<[Id]>, Malformed> {
        self.many(8, Reading::id)
    }

    fn session(&mut self) -> Result<SessionId, Malformed> {
        self.array().map(SessionId)
    }

    pub(super) fn positions(&mut self) -> Result<Box<[Position]>, Malformed> {
        self.many(1, |from| from.number().map(Position))
    }

    /// Bytes, their length in front; shared, not copied.
    pub(super) fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let len = self.count(1)?;
        let start = self.at;
        self.take(len)?;
        Ok(self.bytes.slice(start..start + len))
    }

    /// Text: a payload that is none would end its reader's connection.
    pub(super) fn text(&mut self) -> Result<Bytes, Malformed> {
        let text = self.bytes()?;
        std::str::from_utf8(&text).map_err(|_| Malformed)?;
        Ok(text)
    }

    fn kind(&mut self) -> Result<Kind, Malformed> {
        KINDS.get(usize::from(self.byte()?)).copied().ok_or(Malformed)
    }

    fn to(&mut self) -> Result<To, Malformed> {
        Ok(match self.byte()? {
            TO_GUILD => To::Guild(self.id()?),
            TO_CHANNEL => To::Channel { guild: self.id()?, channel: self.id()? },
            TO_USERS => To::Users(self.ids()?.into_vec()),
            TO_SESSION => To::Session(self.session()?),
            _ => return Err(Malformed),
        })
    }

    fn mark(&mut self) -> Result<Mark, Malformed> {
        Ok(Mark {
            token_hash: self.array()?,
            generation: self.number()?,
            fold: Fold {
                session: self.session()?,
                user: self.id()?,
                intents: self.number()?,
                part: Part::new(self.small()?, self.small()?).ok_or(Malformed)?,
                s: self.number()?,
                lsn: self.number()?,
                view: View::new(self.many::<_, Vec<_>>(9, |from| Ok((from.id()?, Arc::from(from.ids()?))))?),
                skip: self.option(Reading::positions)?.map(Arc::from),
            },
        })
    }
}

#[cfg(test)]
mod tests;
