//! Where things live: hash keys, and the keys that make a repetition harmless.

use seawall_policy::placement::hash;
use seawall_store::Idem;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::Id;

/// What a channel belongs to, and so where its messages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Home {
    /// A guild.
    Guild(Id),
    /// Nothing but itself: a direct message.
    Direct,
}

impl Home {
    /// The hash key of a channel's messages and reactions.
    #[must_use]
    pub fn hk(self, channel: Id) -> i64 {
        match self {
            Home::Guild(guild) => hk_guild(guild),
            Home::Direct => hk_direct(channel),
        }
    }

    /// The guild, if it is one.
    #[must_use]
    pub fn guild(self) -> Option<Id> {
        match self {
            Home::Guild(guild) => Some(guild),
            Home::Direct => None,
        }
    }
}

/// The hash key of everything that belongs to a guild.
#[must_use]
pub fn hk_guild(guild: Id) -> i64 {
    of_id(b"guild", guild)
}

/// The hash key of a direct message.
#[must_use]
pub fn hk_direct(channel: Id) -> i64 {
    of_id(b"direct", channel)
}

/// The hash key of a user, its tokens and its hints.
#[must_use]
pub fn hk_user(user: Id) -> i64 {
    of_id(b"user", user)
}

/// The hash key of the hint that says where a channel lives.
#[must_use]
pub fn hk_channel(channel: Id) -> i64 {
    of_id(b"channel", channel)
}

/// The hash key of the hint that says where an invite leads.
#[must_use]
pub fn hk_invite(code: &str) -> i64 {
    of_text(b"invite", code)
}

/// The hash key of a user name, however it is written.
#[must_use]
pub fn hk_name(username: &str) -> i64 {
    of_text(b"name", &folded(username))
}

/// The hash key of a session's record.
#[must_use]
pub fn hk_session(id: &str) -> i64 {
    of_text(b"session", id)
}

/// A name as uniqueness sees it.
#[must_use]
pub fn folded(username: &str) -> String {
    username.to_lowercase()
}

fn of_id(kind: &[u8], id: Id) -> i64 {
    hash::hk(&[kind, &id.0.to_be_bytes()].concat())
}

fn of_text(kind: &[u8], text: &str) -> i64 {
    hash::hk(&[kind, text.as_bytes()].concat())
}

/// A request's key, bound to what was asked for: the same key with another wish is refused by the store.
#[must_use]
pub fn idem(hk: i64, key: [u8; 16], what: &[u8]) -> Idem {
    Idem { hk, key, fingerprint: hash::of(what) }
}

/// The key of a message with `enforce_nonce`: whatever else it says, an author's second message with one nonce in
/// one channel is the first one again.
#[must_use]
pub fn nonce_key(channel: Id, author: Id, nonce: &str) -> [u8; 16] {
    let parts = [b"nonce".as_slice(), &channel.0.to_be_bytes(), &author.0.to_be_bytes(), nonce.as_bytes()];
    short_hash(&parts)
}

/// The first half of the SHA-256 of these parts.
pub(super) fn short_hash(parts: &[&[u8]]) -> [u8; 16] {
    let full: [u8; 32] = Sha256::digest(parts.concat()).into();
    let mut half = [0; 16];
    half.copy_from_slice(&full[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_with_one_id_have_different_places() {
        let id = Id(7);
        let all = [hk_guild(id), hk_direct(id), hk_user(id), hk_channel(id)];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
        assert_eq!(Home::Guild(id).hk(Id(9)), hk_guild(id));
        assert_eq!(Home::Direct.hk(Id(9)), hk_direct(Id(9)));
    }

    #[test]
    fn stored_data_is_found_by_every_version() {
        assert_eq!(hk_guild(Id(1)), hash::hk(b"guild\0\0\0\0\0\0\0\x01"));
        assert_eq!(hk_name("Ärger"), hash::hk("nameärger".as_bytes()));
    }

    #[test]
    fn a_nonce_counts_for_one_author_in_one_channel() {
        let key = |c, a, n| nonce_key(Id(c), Id(a), n);
        assert_eq!(key(1, 2, "x"), key(1, 2, "x"));
        assert_ne!(key(1, 2, "x"), key(2, 1, "x"));
        assert_ne!(key(1, 2, "x"), key(1, 2, "y"));
    }
}
