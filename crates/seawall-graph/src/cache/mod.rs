//! Memory with a budget, and the rules that keep it from remembering wrongly. Followers and leaders use the same.
//!
//! - Every entry has a version. A change that is not younger is ignored; the next one is applied, or takes the entry
//!   out; a later one takes it out, because something before it was not heard of.
//! - A key comes in only as the answer to a question ([`Cache::fetch`]) that was announced before it was asked: a change
//!   that passes meanwhile then spoils the answer. Changes never bring a key in, since nobody knows what passed before.
//! - Age is a backstop for changes that were never heard of (S1, layers 4 and 5). What is too old is still kept until its
//!   room is needed: when nobody can be asked, an old answer is better than none.
//!
//! The budget holds for what is in use: data, tables, dead slots (`entry` and `segment` say how it is counted). Not
//! counted is the spare room of quick_cache's slab, which doubles as vectors do, and what the allocator loses between
//! pieces: a full cache of 128 MiB was seen to take 5 to 10 % more than its budget of the system. Memory is split into
//! segments, each behind a lock that is held for one decision.

mod entry;
mod flight;
mod segment;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seawall_policy::Mono;

use crate::call::{AssocType, Key, Version};
use crate::id::Id;
use crate::message::{Change, Head, ObjectState, State};
use entry::{Entry, Sought};
use segment::Segment;

/// Most segments: 64 locks on two to 64 cores are rarely waited for.
const SEGMENTS_MAX: u64 = 64;
/// Smallest budget of a segment while there is more than one: one entry takes an eighth of it at most, and a head of
/// 6,000 edges with 24 bytes each should fit.
const SEGMENT_MIN: u64 = 2 << 20;

/// What memory knows.
#[derive(Debug, Clone, PartialEq)]
pub enum Found<T> {
    /// Good to answer with.
    Fresh(T),
    /// Known, but past its time or older than asked for: good only where nothing better can be had.
    Stale(T),
    /// Not known.
    Absent,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It was not in memory.
    Unknown,
    /// It is known already.
    Old,
    /// The entry is up to date with it.
    Updated,
    /// The entry was taken out.
    Dropped {
        /// A change before this one was not heard of. Else it is an invalidation.
        gap: bool,
    },
}

/// What an asker wants of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// Of a list, how many of the newest edges at least, if there are so many.
    pub edges: u32,
    /// Older than this is of no use.
    pub at_least: Version,
}

/// What is in memory and what came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Keys held.
    pub items: u64,
    /// Bytes in use by them and all around them, as they are counted against the budget.
    pub bytes: u64,
    /// Times something was found that was good to answer with.
    pub hits: u64,
    /// Times it had to be asked for.
    pub misses: u64,
    /// Keys that gave way to others.
    pub evicted: u64,
}

/// Memory with a budget.
pub struct Cache {
    /// A power of two of them.
    segments: Box<[Mutex<Segment>]>,
}

impl Cache {
    /// At most `budget` bytes in use, counted with everything an entry needs; entries are trusted for `ttl`, in whole seconds.
    #[must_use]
    pub fn new(budget: u64, ttl: Duration) -> Cache {
        let count = (budget / SEGMENT_MIN).clamp(1, SEGMENTS_MAX);
        // Down to a power of two.
        let count = 1_u64 << count.ilog2();
        let ttl = u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX);
        let segments = (0..count).map(|_| Mutex::new(Segment::new((budget / count).max(1), ttl))).collect();
        Cache { segments }
    }

    /// From memory. Counts a hit; a miss is counted by [`Cache::fetch`].
    #[must_use]
    pub fn object(&self, id: Id, at_least: Version, now: Mono) -> Found<ObjectState> {
        let sought = Sought::from(Key::Object(id));
        let mut segment = self.lock(&sought);
        let (found, is_hit) = match segment.find(&sought, at_least, seconds(now)) {
            Some((entry, true)) => (Found::Fresh(entry.object()), true),
            Some((entry, false)) => (Found::Stale(entry.object()), false),
            None => (Found::Absent, false),
        };
        segment.hits += u64::from(is_hit);
        found
    }

    /// The head of a list, if it holds the `edges` newest (or all there are). Counts as [`Cache::object`] does.
    #[must_use]
    pub fn head(&self, id1: Id, atype: AssocType, edges: u32, at_least: Version, now: Mono) -> Found<Head> {
        let sought = Sought::from(Key::List(id1, atype));
        let mut segment = self.lock(&sought);
        let (found, is_hit) = match segment.find(&sought, at_least, seconds(now)) {
            Some((entry, _)) if !entry.holds(edges) => (Found::Absent, false),
            Some((entry, true)) => (Found::Fresh(entry.head()), true),
            Some((entry, false)) => (Found::Stale(entry.head()), false),
            None => (Found::Absent, false),
        };
        segment.hits += u64::from(is_hit);
        found
    }

    /// How long a list is. No bytes are touched. Counts as [`Cache::object`] does.
    #[must_use]
    pub fn count(&self, id1: Id, atype: AssocType, at_least: Version, now: Mono) -> Found<u64> {
        let sought = Sought::from(Key::List(id1, atype));
        let mut segment = self.lock(&sought);
        let (found, is_hit) = match segment.find(&sought, at_least, seconds(now)) {
            Some((entry, true)) => (Found::Fresh(entry.count()), true),
            Some((entry, false)) => (Found::Stale(entry.count()), false),
            None => (Found::Absent, false),
        };
        segment.hits += u64::from(is_hit);
        found
    }

    /// What version memory has of a key; for audits and tickets.
    #[must_use]
    pub fn version(&self, key: Key) -> Option<Version> {
        let sought = Sought::from(key);
        self.lock(&sought).peek(&sought).map(Entry::version)
    }

    /// What a source said just now (a critical read): replaces what is here, if that is older. Does not bring a key in,
    /// since a change may have passed by since the source was asked.
    pub fn put(&self, key: Key, state: &State, now: Mono) {
        let sought = Sought::from(key);
        self.lock(&sought).renew(&sought, state, seconds(now));
    }

    /// A change happened. Also spoils an answer under way to who asked for the key, unless it is at least as young.
    pub fn apply(&self, change: &Change) -> Applied {
        let sought = Sought::from(change.key());
        self.lock(&sought).apply(&sought, change)
    }

    /// Forgets what `which` says, and has all answers under way for such keys asked for again. Says how many were
    /// forgotten.
    pub fn forget(&self, which: impl Fn(Key) -> bool) -> u64 {
        self.all().map(|mut segment| segment.forget(&which)).sum()
    }

    /// What is in it now and what came of it so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.all().map(|segment| segment.usage()).fold(Usage::default(), |a, b| Usage {
            items: a.items + b.items,
            bytes: a.bytes + b.bytes,
            hits: a.hits + b.hits,
            misses: a.misses + b.misses,
            evicted: a.evicted + b.evicted,
        })
    }

    fn all(&self) -> impl Iterator<Item = MutexGuard<'_, Segment>> {
        self.segments.iter().map(|segment| segment.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[inline]
    fn segment(&self, sought: &Sought) -> &Mutex<Segment> {
        // Bits that the tables inside use neither for the place nor for the tag.
        &self.segments[(sought.hash >> 40) as usize & (self.segments.len() - 1)]
    }

    #[inline]
    fn lock(&self, sought: &Sought) -> MutexGuard<'_, Segment> {
        self.segment(sought).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory's clock: whole seconds are enough for a backstop, and four bytes.
fn seconds(now: Mono) -> u32 {
    (now.0 / 1_000_000_000) as u32
}
