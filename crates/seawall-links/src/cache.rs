//! The links this process knows by heart, and the rule that keeps it from remembering wrongly.
//!
//! ## The race this is built around
//!
//! A redirect misses and asks the store. Before the answer is entered here, another process deletes the link
//! and we are told to forget it. There is nothing to forget yet; then the slow answer arrives and would stand
//! for five minutes. So every answer carries the position it was read at, and every shard has a *floor*: the
//! newest position of which we were told something. An answer from below the floor may lack what we were
//! told, so it is used for the one request it was read for and not remembered. The same stamp orders two
//! answers about one link: the older never replaces the newer.
//!
//! Floors are per shard and not per link, which throws away a few good answers while news stream in and needs
//! eight bytes a shard.
//!
//! ## Time to live
//!
//! A backstop in each entry, for what no news can tell: five minutes for a link (S2's application tier), ten
//! seconds for "there is no such link", which anyone can ask for in any number. What has expired is still kept
//! until its place is needed: when the store cannot be asked, an old answer is better than none.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use quick_cache::sync::Cache as Entries;
use seawall_policy::Mono;
use seawall_store::Position;

use crate::name::Name;

/// How long "there is no such link" is believed. Also what clients are told (research on status codes: 404 with
/// `max-age=10`).
pub const UNKNOWN_TTL: Duration = Duration::from_secs(10);

/// What is known about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It leads there.
    Link(Bytes),
    /// It led somewhere once.
    Deleted,
    /// It never led anywhere.
    Unknown,
}

#[derive(Debug, Clone)]
struct Entry {
    known: Known,
    /// Every commit up to here was seen by whoever read this.
    at: Position,
    until: Mono,
}

/// A bounded cache of links with a floor per shard.
pub struct Cache {
    entries: Entries<Name, Entry>,
    /// Taken for every change of an entry of the shard, so that check and change are one step.
    floors: Box<[Mutex<Position>]>,
    ttl: Duration,
}

impl Cache {
    /// Empty, for so many entries and shards.
    #[must_use]
    pub fn new(entries_max: usize, shards: u32, ttl: Duration) -> Cache {
        let floors = (0..shards).map(|_| Mutex::default()).collect();
        Cache { entries: Entries::new(entries_max), floors, ttl }
    }

    /// What is known, if it has not expired.
    #[must_use]
    pub fn get(&self, name: &str, now: Mono) -> Option<Known> {
        self.entries.get(name).filter(|e| now < e.until).map(|e| e.known)
    }

    /// What was known last, however long ago. Never [`Known::Unknown`]: that must not outlive its ten seconds.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<Known> {
        self.entries.get(name).map(|e| e.known).filter(|known| *known != Known::Unknown)
    }

    /// Remembers what was read at, or committed as, position `at` of the shard. False when something newer is
    /// known already, or may be.
    pub fn remember(&self, shard: u32, name: &Name, known: Known, at: Position, now: Mono) -> bool {
        let floor = self.floor(shard);
        if at < *floor || self.entries.peek(name).is_some_and(|e| at < e.at) {
            return false;
        }
        let ttl = if known == Known::Unknown { UNKNOWN_TTL.min(self.ttl) } else { self.ttl };
        self.entries.insert(name.clone(), Entry { known, at, until: now + ttl });
        true
    }

    /// The link was changed at position `at`: forgets what was read before.
    pub fn forget(&self, shard: u32, name: &str, at: Position) {
        let mut floor = self.floor(shard);
        *floor = at.max(*floor);
        if self.entries.peek(name).is_some_and(|e| e.at < at) {
            self.entries.remove(name);
        }
    }

    /// News up to position `at` of the shard were missed: forgets everything.
    pub fn forget_all(&self, shard: u32, at: Position) {
        let mut floor = self.floor(shard);
        *floor = at.max(*floor);
        self.entries.clear();
    }

    /// Entries held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn floor(&self, shard: u32) -> std::sync::MutexGuard<'_, Position> {
        self.floors[shard as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Mono = Mono(1_000_000_000);
    const TTL: Duration = Duration::from_secs(300);

    fn cache() -> Cache {
        Cache::new(100, 2, TTL)
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn link(url: &'static str) -> Known {
        Known::Link(Bytes::from_static(url.as_bytes()))
    }

    #[test]
    fn a_slow_answer_from_before_a_deletion_is_not_remembered() {
        let c = cache();
        // Read at 5; meanwhile deleted at 6 elsewhere, and we are told.
        c.forget(0, "abc", Position(6));
        assert!(!c.remember(0, &name("abc"), link("http://old/"), Position(5), NOW));
        assert_eq!(c.get("abc", NOW), None);
        // A read that saw the deletion may stand.
        assert!(c.remember(0, &name("abc"), Known::Deleted, Position(6), NOW));
        assert_eq!(c.get("abc", NOW), Some(Known::Deleted));
    }

    #[test]
    fn news_of_one_shard_do_not_concern_another() {
        let c = cache();
        c.forget(0, "abc", Position(6));
        assert!(c.remember(1, &name("xyz"), link("http://x/"), Position(5), NOW));
    }

    #[test]
    fn an_older_answer_never_replaces_a_newer_one() {
        let c = cache();
        assert!(c.remember(0, &name("abc"), link("http://new/"), Position(7), NOW));
        assert!(!c.remember(0, &name("abc"), Known::Unknown, Position(3), NOW));
        assert_eq!(c.get("abc", NOW), Some(link("http://new/")));
    }

    #[test]
    fn our_own_news_do_not_push_out_what_we_entered_ourselves() {
        let c = cache();
        assert!(c.remember(0, &name("abc"), Known::Deleted, Position(7), NOW));
        c.forget(0, "abc", Position(7));
        assert_eq!(c.get("abc", NOW), Some(Known::Deleted));
    }

    #[test]
    fn a_link_is_served_for_five_minutes_and_an_unknown_name_for_ten_seconds() {
        let c = cache();
        c.remember(0, &name("abc"), link("http://x/"), Position(1), NOW);
        c.remember(0, &name("none"), Known::Unknown, Position(1), NOW);
        let after = |seconds| NOW + Duration::from_secs(seconds);
        assert!(c.get("abc", after(299)).is_some() && c.get("abc", after(300)).is_none());
        assert!(c.get("none", after(9)).is_some() && c.get("none", after(10)).is_none());
    }

    #[test]
    fn an_expired_link_can_still_be_asked_for_but_not_an_unknown_name() {
        let c = cache();
        c.remember(0, &name("abc"), link("http://x/"), Position(1), NOW);
        c.remember(0, &name("none"), Known::Unknown, Position(1), NOW);
        assert_eq!(c.last("abc"), Some(link("http://x/")));
        assert_eq!(c.last("none"), None);
    }

    #[test]
    fn missed_news_empty_the_cache_and_raise_the_floor() {
        let c = cache();
        c.remember(0, &name("abc"), link("http://x/"), Position(4), NOW);
        c.forget_all(0, Position(9));
        assert!(c.is_empty());
        assert!(!c.remember(0, &name("abc"), link("http://x/"), Position(8), NOW));
    }

    #[test]
    fn memory_is_bounded() {
        let c = cache();
        for i in 0..10_000 {
            c.remember(0, &name(&format!("code-{i}")), link("http://x/"), Position(1), NOW);
        }
        assert!(c.len() <= 100, "{}", c.len());
    }

    proptest::proptest! {
        /// Reads, deletions and their news in any order: what is remembered at the end was true when all
        /// news had arrived.
        #[test]
        fn fuzz_no_order_of_reads_and_news_leaves_a_stale_entry(
            deleted_at in 1u64..20,
            steps in proptest::collection::vec((0u64..20, proptest::bool::ANY), 0..30),
        ) {
            let c = cache();
            for (read_at, told) in steps {
                if told {
                    c.forget(0, "abc", Position(deleted_at));
                } else {
                    let seen = if read_at < deleted_at { link("http://x/") } else { Known::Deleted };
                    c.remember(0, &name("abc"), seen, Position(read_at), NOW);
                }
            }
            c.forget(0, "abc", Position(deleted_at));
            proptest::prop_assert_ne!(c.get("abc", NOW), Some(link("http://x/")));
        }
    }
}
