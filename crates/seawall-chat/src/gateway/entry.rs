//! Entries: everything a gateway dispatches, in the one order in which it dispatches it.
//!
//! Dispatches and changes of view are *numbered*: they take an LSN of their own, 1, 2, 3 and so on without a gap.
//! The others are *notes* to whoever reads the journal; a note carries the LSN of the numbered entry before it and
//! never reaches the ring.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use seawall_store::Position;
use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::fold::Fold;
use crate::event::{Audience, Kind};
use crate::id::Id;

/// One thing in a gateway's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its place.
    pub lsn: u64,
    /// What it is.
    pub what: What,
}

/// What an entry says. It carries all that decides who hears of it, so that a replay asks nobody.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Something that sessions may hear of.
    Dispatch {
        /// Where it stands in the change stream, if it is durable.
        origin: Option<(u32, Position)>,
        /// For whom.
        to: To,
        /// Its name.
        t: Kind,
        /// Whoever caused it.
        author: Option<Id>,
        /// Whom it mentions.
        mentions: Box<[Id]>,
        /// The payload: JSON.
        d: Bytes,
    },
    /// What a user sees of a guild is different from here on.
    View {
        /// Who.
        user: Id,
        /// Of what.
        guild: Id,
        /// The channels it may not see, in order; none: it is not a member any more.
        hidden: Option<Arc<[Id]>>,
    },
    /// Note: a session as it was at [`Fold::lsn`]; a replay begins there.
    Session(Box<Mark>),
    /// Note: a session that will not come back.
    Gone {
        /// Which.
        session: SessionId,
    },
    /// Note: how far into each shard's change stream the entries before it go.
    Reached {
        /// One per shard.
        positions: Box<[Position]>,
    },
}

impl What {
    /// Whether it takes an LSN of its own.
    #[must_use]
    pub fn is_numbered(&self) -> bool {
        matches!(self, What::Dispatch { .. } | What::View { .. })
    }
}

/// For whom a dispatch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// Every member of a guild.
    Guild(Id),
    /// The members who may see a channel.
    Channel {
        /// The guild.
        guild: Id,
        /// The channel.
        channel: Id,
    },
    /// These users, wherever they are.
    Users(Vec<Id>),
    /// One session and no other of the same user. Whoever addresses a session has decided what it may hear: it
    /// hears it as it is.
    Session(SessionId),
}

impl From<Audience> for To {
    fn from(audience: Audience) -> To {
        match audience {
            Audience::Guild(guild) => To::Guild(guild),
            Audience::Channel { guild, channel } => To::Channel { guild, channel },
            Audience::Users(users) => To::Users(users),
        }
    }
}

/// A session as a replay finds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// SHA-256 of the token it was opened with.
    pub token_hash: [u8; 32],
    /// How often it was taken over.
    pub generation: u64,
    /// What it had heard, and what it sees.
    pub fold: Fold,
}

/// A session's name: 32 hexadecimal digits on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a session id")]
pub struct NotASession;

impl FromStr for SessionId {
    type Err = NotASession;
    fn from_str(text: &str) -> Result<SessionId, NotASession> {
        // Only the digits we write: one session has one name.
        let is_hex = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = if is_hex { u128::from_str_radix(text, 16).ok() } else { None };
        number.map(|n| SessionId(n.to_be_bytes())).ok_or(NotASession)
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<SessionId, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_one_name() {
        let id = SessionId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff]);
        assert_eq!(id.to_string(), "000102030405060708090a0b0c0d0eff");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "00", "000102030405060708090A0B0C0D0EFF", "+00102030405060708090a0b0c0d0eff"] {
            assert_eq!(bad.parse::<SessionId>(), Err(NotASession), "{bad}");
        }
    }
}
