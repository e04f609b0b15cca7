//! Tickets: what a client wrote lately, so that whoever answers it next knows what it must already know.
//!
//! A ticket names keys and versions, not one position for all (FlightTracker, OSDI 2020): a cache that lags a little
//! misses only the few keys this client wrote, and answers all others from memory. Beyond [`TICKET_KEYS_MAX`] keys the
//! oldest are given up, and instead of each the position of its database must have been heard of; beyond
//! `SHARDS_MAX` databases, for as long as it lives, the source is asked.
//!
//! ## On the wire
//!
//! ```text
//! 1 | now: u32 | gave up: u8 | keys: u8 | databases: u8
//!   | keys × (hash: u64, version: u48, age: u8) | databases × (number: u16, position: u48, age: u8)
//! ```
//!
//! Little-endian, as base64url without padding: 1,484 characters at most, so it fits a header. Ages are seconds before
//! `now`; an age of 255 in `gave up` says that nothing was given up. It is not signed: whoever forges one asks for
//! versions that are not there yet, and gets what the source has, as a critical read would.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use seawall_policy::Wall;
use seawall_store::Position;

use crate::call::{Key, Version};
use crate::limits::{TICKET_KEYS_MAX, TICKET_LIFE};
use crate::message::Changeset;

/// Databases in one ticket whose positions are known.
const SHARDS_MAX: usize = 16;
/// Says that these bytes are a ticket as this build reads it.
const FORM: u8 = 1;
/// Bytes before the first key.
const HEAD: usize = 8;
/// Bytes of a key.
const KEY: usize = 15;
/// Bytes of a database.
const SHARD: usize = 9;
/// "Never", where an age is written down.
const NEVER: u8 = u8::MAX;
/// Longest ticket, as text.
pub const TEXT_MAX: usize = (HEAD + TICKET_KEYS_MAX * KEY + SHARDS_MAX * SHARD).div_ceil(3) * 4;

/// Some keys with the versions a client has seen to be written, and positions below which nothing may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ticket {
    keys: Vec<Known>,
    /// The newest position of each database that something was written to.
    shards: Vec<Reached>,
    /// When a key was last given up: until that is forgotten, positions count.
    gave_up: Option<u32>,
    /// When a database was last given up: until then nothing in memory counts.
    gave_up_shard: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    hash: u64,
    version: u64,
    /// Seconds since 1970.
    at: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reached {
    shard: u16,
    position: u64,
    at: u32,
}

/// Why a text is no ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a ticket")]
pub struct NoTicket;

impl Ticket {
    /// What a write led to.
    pub fn note(&mut self, set: &Changeset, wall: Wall) {
        let now = seconds(wall);
        self.sweep(now);
        for changed in &set.changes {
            let key = changed.change.key();
            self.add(Known { hash: key.hash(), version: changed.change.version().0, at: now });
            match u16::try_from(changed.shard) {
                Ok(shard) => self.reach(Reached { shard, position: changed.at.0, at: now }),
                Err(_) => self.gave_up_shard = true,
            }
        }
        self.fold();
    }

    /// The younger of both for each key.
    pub fn merge(&mut self, other: &Ticket, wall: Wall) {
        let now = seconds(wall);
        self.sweep(now);
        let mut other = other.clone();
        other.sweep(now);
        other.keys.iter().for_each(|known| self.add(*known));
        other.shards.iter().for_each(|reached| self.reach(*reached));
        self.gave_up = self.gave_up.max(other.gave_up);
        self.gave_up_shard |= other.gave_up_shard;
        self.fold();
    }

    /// Whether it may ask anything of a key. Needs no clock: most reads are of what their client did not write.
    #[must_use]
    pub fn concerns(&self, key: Key) -> bool {
        let is_named = |hash| self.keys.iter().any(|known| known.hash == hash);
        self.gave_up.is_some() || (!self.keys.is_empty() && is_named(key.hash()))
    }

    /// The version of a key that must be known; 0 where any will do.
    #[must_use]
    pub fn version(&self, key: Key, wall: Wall) -> Version {
        if self.keys.is_empty() {
            return Version(0);
        }
        let (hash, now) = (key.hash(), seconds(wall));
        let known = self.keys.iter().find(|known| known.hash == hash && is_alive(known.at, now));
        known.map_or(Version(0), |known| Version(known.version))
    }

    /// The position of a database that must be known; [`Position`]'s greatest where only the source will do.
    #[must_use]
    pub fn position(&self, shard: u32, wall: Wall) -> Position {
        let now = seconds(wall);
        if !self.gave_up.is_some_and(|at| is_alive(at, now)) {
            return Position(0);
        }
        if self.gave_up_shard {
            return Position(u64::MAX);
        }
        let reached = self.shards.iter().find(|one| u32::from(one.shard) == shard && is_alive(one.at, now));
        Position(reached.map_or(0, |one| one.position))
    }

    /// As clients carry it: base64url, at most [`TEXT_MAX`] characters.
    #[must_use]
    pub fn text(&self) -> String {
        let times = self.keys.iter().map(|one| one.at).chain(self.shards.iter().map(|one| one.at));
        let now = times.chain(self.gave_up).max().unwrap_or(0);
        // Who is older than an age can say was forgotten long before.
        let age = |at: u32| u8::try_from(now - at).ok().filter(|age| *age != NEVER);
        let gave_up = self.gave_up.and_then(age).unwrap_or(NEVER);
        let keys = self.keys.iter().filter_map(|one| Some((one, age(one.at)?)));
        let shards = self.shards.iter().filter_map(|one| Some((one, age(one.at)?)));
        let (mut body, mut counts) = (Vec::new(), [0_u8; 2]);
        for (known, age) in keys {
            body.extend_from_slice(&known.hash.to_le_bytes());
            body.extend_from_slice(&known.version.min(U48_MAX).to_le_bytes()[..6]);
            body.push(age);
            counts[0] += 1;
        }
        for (reached, age) in shards {
            body.extend_from_slice(&reached.shard.to_le_bytes());
            body.extend_from_slice(&reached.position.min(U48_MAX).to_le_bytes()[..6]);
            body.push(age);
            counts[1] += 1;
        }
        let mut bytes = Vec::with_capacity(HEAD + body.len());
        bytes.push(FORM);
        bytes.extend_from_slice(&now.to_le_bytes());
        bytes.push(gave_up);
        bytes.push(counts[0]);
        bytes.push(counts[1] | if self.gave_up_shard { GAVE_UP_SHARD } else { 0 });
        bytes.extend_from_slice(&body);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads it.
    ///
    /// # Errors
    /// It is too long, no base64url, or not of the form above. A ticket that somebody changed may still be one.
    pub fn parse(text: &str) -> Result<Ticket, NoTicket> {
        if text.len() > TEXT_MAX {
            return Err(NoTicket);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NoTicket)?;
        Ticket::read(&bytes).ok_or(NoTicket)
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.gave_up.is_none()
    }

    fn read(bytes: &[u8]) -> Option<Ticket> {
        let (head, body) = bytes.split_first_chunk::<HEAD>()?;
        let [form, n0, n1, n2, n3, gave_up, keys, shards] = *head;
        let (gave_up_shard, shards) = (shards & GAVE_UP_SHARD != 0, usize::from(shards & !GAVE_UP_SHARD));
        let (now, keys) = (u32::from_le_bytes([n0, n1, n2, n3]), usize::from(keys));
        let is_sound = form == FORM && keys <= TICKET_KEYS_MAX && shards <= SHARDS_MAX;
        if !is_sound || body.len() != keys * KEY + shards * SHARD {
            return None;
        }
        let (known, reached) = body.split_at(keys * KEY);
        let before = |age: u8| now.checked_sub(u32::from(age));
        let keys = known.chunks_exact(KEY).map(|one| {
            Some(Known { hash: number(&one[..8]), version: number(&one[8..14]), at: before(one[14])? })
        });
        let shards = reached.chunks_exact(SHARD).map(|one| {
            Some(Reached {
                shard: number(&one[..2]) as u16,
                position: number(&one[2..8]),
                at: before(one[8])?,
            })
        });
        Some(Ticket {
            keys: keys.collect::<Option<_>>()?,
            shards: shards.collect::<Option<_>>()?,
            gave_up: if gave_up == NEVER { None } else { Some(before(gave_up)?) },
            gave_up_shard,
        })
    }

    fn add(&mut self, new: Known) {
        match self.keys.iter_mut().find(|known| known.hash == new.hash) {
            Some(known) => {
                // As long as the younger of both lives.
                *known = Known { version: known.version.max(new.version), at: known.at.max(new.at), ..new };
            }
            None => self.keys.push(new),
        }
    }

    fn reach(&mut self, new: Reached) {
        match self.shards.iter_mut().find(|reached| reached.shard == new.shard) {
            Some(reached) => {
                *reached = Reached {
                    position: reached.position.max(new.position),
                    at: reached.at.max(new.at),
                    ..new
                };
            }
            None => self.shards.push(new),
        }
    }

    /// Gives up what is too much, the oldest first.
    fn fold(&mut self) {
        if self.keys.len() > TICKET_KEYS_MAX {
            self.keys.sort_by_key(|known| std::cmp::Reverse(known.at));
            let given_up = self.keys.drain(TICKET_KEYS_MAX..).map(|known| known.at).max();
            self.gave_up = self.gave_up.max(given_up);
        }
        if self.shards.len() > SHARDS_MAX {
            self.shards.sort_by_key(|reached| std::cmp::Reverse(reached.at));
            self.shards.truncate(SHARDS_MAX);
            self.gave_up_shard = true;
        }
    }

    /// Forgets what everybody has heard of by now.
    fn sweep(&mut self, now: u32) {
        self.keys.retain(|known| is_alive(known.at, now));
        self.shards.retain(|reached| is_alive(reached.at, now));
        self.gave_up = self.gave_up.filter(|at| is_alive(*at, now));
        self.gave_up_shard &= !self.shards.is_empty();
    }
}

/// The greatest number of six bytes.
const U48_MAX: u64 = (1 << 48) - 1;
/// Stands beside the number of databases.
const GAVE_UP_SHARD: u8 = 0x80;

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn seconds(wall: Wall) -> u32 {
    u32::try_from(wall.0.max(0) / 1000).unwrap_or(u32::MAX)
}

/// Clocks differ, and may be set back: a ticket from the future lives no longer than it would from now.
fn is_alive(at: u32, now: u32) -> bool {
    at.abs_diff(now) < TICKET_LIFE.as_secs() as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::call::{AssocType, Done};
    use crate::id::Id;
    use crate::message::{Change, Changed};

    const NOW: Wall = Wall(1_795_000_000_000);

    fn key(number: u64) -> Key {
        Key::Object(Id::try_from(number).unwrap())
    }

    fn wrote(number: u64, version: u64, shard: u32, at: u64) -> Changeset {
        let change = Change::Object { id: key(number).id(), version: Version(version), now: None };
        let changes = vec![Changed { shard, at: Position(at), change }];
        Changeset { done: Done::ObjectUpdated(Version(version)), changes, again: false }
    }

    fn later(seconds: i64) -> Wall {
        Wall(NOW.0 + seconds * 1000)
    }

    fn sent(ticket: &Ticket) -> Ticket {
        let text = ticket.text();
        assert!(text.len() <= 1500, "{} characters", text.len());
        let read = Ticket::parse(&text).unwrap();
        assert_eq!(&read, ticket);
        read
    }

    #[test]
    fn a_write_is_known_for_a_minute() {
        let mut ticket = Ticket::default();
        assert!(sent(&ticket).is_empty());
        ticket.note(&wrote(7, 3, 0, 100), NOW);
        ticket.note(&wrote(7, 2, 0, 90), NOW);
        let ticket = sent(&ticket);
        assert!(!ticket.is_empty());
        assert_eq!(ticket.version(key(7), NOW), Version(3));
        assert_eq!(ticket.version(key(7), later(59)), Version(3));
        assert_eq!(ticket.version(key(7), later(60)), Version(0));
        assert_eq!(ticket.version(key(8), NOW), Version(0));
        assert!(ticket.concerns(key(7)) && !ticket.concerns(key(8)));
        assert_eq!(ticket.version(Key::List(key(7).id(), AssocType(0)), NOW), Version(0));
        assert_eq!(ticket.position(0, NOW), Position(0), "the key says it better");
    }

    #[test]
    fn beyond_64_keys_positions_stand_for_the_oldest() {
        let mut ticket = Ticket::default();
        for n in 1..=70 {
            ticket.note(&wrote(n, 5, (n % 3) as u32, 1000 + n), later(n as i64 / 10));
        }
        let ticket = sent(&ticket);
        let now = later(7);
        assert_eq!((1..=70).filter(|n| ticket.version(key(*n), now) == Version(5)).count(), TICKET_KEYS_MAX);
        assert_eq!(ticket.version(key(70), now), Version(5));
        assert_eq!(ticket.position(1, now), Position(1070));
        assert!(ticket.concerns(key(999)), "it may be one of those given up");
        assert_eq!(ticket.position(2, now), Position(1068));
        assert_eq!(ticket.position(5, now), Position(0), "nothing was written there");
        // The oldest was given up; what was given up is a minute old later.
        assert_eq!(ticket.position(1, later(60)), Position(0));
    }

    #[test]
    fn beyond_16_databases_the_source_is_asked() {
        let mut ticket = Ticket::default();
        for n in 1..=200 {
            ticket.note(&wrote(n, 5, (n % 40) as u32, 1000 + n), NOW);
        }
        let ticket = sent(&ticket);
        assert_eq!(ticket.position(39, NOW), Position(u64::MAX));
        assert_eq!(ticket.position(39, later(60)), Position(0));
    }

    #[test]
    fn the_younger_of_two_counts() {
        let (mut one, mut other) = (Ticket::default(), Ticket::default());
        one.note(&wrote(1, 3, 0, 100), NOW);
        one.note(&wrote(2, 9, 0, 101), NOW);
        other.note(&wrote(1, 4, 0, 102), later(10));
        other.note(&wrote(3, 1, 1, 7), later(10));
        one.merge(&other, later(20));
        let versions = [1, 2, 3].map(|n| one.version(key(n), later(20)).0);
        assert_eq!(versions, [4, 9, 1]);
        one.merge(&Ticket::default(), later(65));
        let versions = [1, 2, 3].map(|n| one.version(key(n), later(65)).0);
        assert_eq!(versions, [4, 0, 1]);
    }

    #[test]
    fn the_longest_one_fits_a_header() {
        const { assert!(TEXT_MAX <= 1500) };
        let mut ticket = Ticket::default();
        for n in 1..=300 {
            ticket.note(&wrote(n, U48_MAX - n, (n % 30) as u32, U48_MAX), NOW);
        }
        sent(&ticket);
    }

    #[test]
    fn what_is_no_ticket_is_refused() {
        let mut ticket = Ticket::default();
        ticket.note(&wrote(7, 3, 0, 100), NOW);
        let text = ticket.text();
        for odd in [
            "",
            "x",
            "AA",
            "not base64!",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}AAAA"),
            &format!("{text}="),
        ] {
            assert_eq!(Ticket::parse(odd), Err(NoTicket), "{odd:?}");
        }
        assert_eq!(Ticket::parse(&"A".repeat(100_000)), Err(NoTicket));
    }

    proptest! {
        /// Whatever a client sends is refused, or is a ticket that can be used like any other.
        #[test]
        fn fuzz_foreign_bytes_are_refused_or_harmless(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            is_ticket in any::<bool>(),
            wall in any::<i64>(),
        ) {
            let mut bytes = bytes;
            if is_ticket && bytes.len() >= HEAD {
                // Of the right length and form, so that the rest is read.
                let keys = (bytes.len() - HEAD) / KEY;
                bytes.truncate(HEAD + keys * KEY);
                (bytes[0], bytes[6], bytes[7]) = (FORM, keys as u8, bytes[7] & GAVE_UP_SHARD);
            }
            let text = URL_SAFE_NO_PAD.encode(&bytes);
            if let Ok(ticket) = Ticket::parse(&text) {
                _ = (ticket.version(key(7), Wall(wall)), ticket.position(0, Wall(wall)), ticket.is_empty());
                let mut mine = Ticket::default();
                mine.note(&wrote(7, 3, 0, 100), NOW);
                mine.merge(&ticket, NOW);
                prop_assert!(mine.version(key(7), NOW) >= Version(3), "nobody's ticket makes another's weaker");
                prop_assert!(mine.keys.len() <= TICKET_KEYS_MAX && mine.text().len() <= TEXT_MAX);
                prop_assert!(Ticket::parse(&mine.text()).is_ok());
            }
        }

        /// A character changed under way: refused, or still a ticket of the same size.
        #[test]
        fn fuzz_a_tampered_ticket_is_refused_or_harmless(at in 0..200_usize, to in any::<char>(), writes in 0..20_u64) {
            let mut ticket = Ticket::default();
            for n in 1..=writes {
                ticket.note(&wrote(n, n, 0, n), NOW);
            }
            let mut text = ticket.text().chars().collect::<Vec<_>>();
            let len = text.len();
            text[at % len] = to;
            if let Ok(read) = Ticket::parse(&text.into_iter().collect::<String>()) {
                prop_assert!(read.keys.len() as u64 <= writes + 1);
            }
        }
    }
}
