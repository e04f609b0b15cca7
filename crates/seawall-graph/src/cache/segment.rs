//! One part of memory behind one lock: look at a version, then replace, and nobody comes between.

use std::collections::HashMap;

use quick_cache::OptionsBuilder;
use quick_cache::unsync::{Cache as Items, DefaultLifecycle};

use super::entry::{Entry, Packed, Ready, SLOT, Sought, Weight};
use super::flight::Flight;
use super::{Applied, Usage};
use crate::call::{Key, Time, Version};
use crate::edges::{EdgeRef, Edges};
use crate::id::Id;
use crate::limits::{HEAD_FIRST, HEAD_MAX};
use crate::message::{Change, Head, State};

/// What an item is taken to need when room for the hashes of items lately evicted is set aside.
const ITEM_TYPICAL: u64 = 256;
/// Hashes of evicted items for each item held: who comes back soon is kept for longer. A slot each.
const EVICTED_SHARE: f64 = 0.25;
/// Of the budget, one entry takes at most this part: a long list must not push out thousands of items.
const ENTRY_PART: u64 = 8;
/// Room for items is adjusted in steps of this part of the budget.
const STEP_PART: u64 = 64;
/// Once this part of the budget is slots that nothing is in any more (many small items gave way to few large ones),
/// all are packed anew.
const DEAD_PART: u64 = 4;

type Table = Items<Packed, Entry, Weight, Ready, DefaultLifecycle<Packed, Entry>>;

/// One part of memory, and who waits for something to come into it.
pub(super) struct Segment {
    items: Table,
    pub(super) flights: HashMap<Packed, Flight, Ready>,
    budget: u64,
    /// Seconds that an entry is trusted.
    ttl: u32,
    pub(super) hits: u64,
    pub(super) misses: u64,
    evicted: u64,
}

impl Segment {
    pub(super) fn new(budget: u64, ttl: u32) -> Segment {
        Segment {
            items: table(budget),
            flights: HashMap::default(),
            budget,
            ttl,
            hits: 0,
            misses: 0,
            evicted: 0,
        }
    }

    /// What is here, and whether it is young enough and at least the version asked for.
    #[inline]
    pub(super) fn find(&self, key: &Sought, at_least: Version, seconds: u32) -> Option<(&Entry, bool)> {
        let entry = self.items.get(key)?;
        Some((entry, entry.version() >= at_least && !self.is_old(entry, seconds)))
    }

    /// What is here, without it counting as used.
    pub(super) fn peek(&self, key: &Sought) -> Option<&Entry> {
        self.items.peek(key)
    }

    /// Whether it was not heard of for longer than memory is trusted.
    pub(super) fn is_old(&self, entry: &Entry, seconds: u32) -> bool {
        seconds.saturating_sub(entry.seconds()) >= self.ttl
    }

    /// Takes in what a source said, if it is no older than what is here. Only for whoever was told of every change since
    /// it was asked: else something may have passed by that nobody will say again.
    pub(super) fn enter(&mut self, key: &Sought, state: &State, seconds: u32) {
        if let Some(known) = self.items.peek(key)
            && !self.is_old(known, seconds)
        {
            if known.version() > state.version() {
                return;
            }
            // The same list, asked for by somebody who wanted less of it.
            if let State::List(head) = state
                && known.version() == head.version
                && known.holds(head.edges.len() as u32)
                && !head.is_whole()
            {
                return;
            }
        }
        self.keep(key, state, seconds);
    }

    /// Replaces what is here, if it is older; brings nothing in.
    pub(super) fn renew(&mut self, key: &Sought, state: &State, seconds: u32) {
        self.raise(key, state.version());
        if self.items.peek(key).is_some() {
            self.enter(key, state, seconds);
        }
    }

    /// A change happened.
    pub(super) fn apply(&mut self, key: &Sought, change: &Change) -> Applied {
        let version = change.version();
        self.raise(key, version);
        let Some(entry) = self.items.peek(key) else { return Applied::Unknown };
        let (known, seconds) = (entry.version(), entry.seconds());
        if version <= known {
            return Applied::Old;
        }
        let is_next = version == known.next();
        let state = match change {
            // All of it: what came between does not matter.
            Change::Object { now: Some(object), .. } => Some(State::Object(object.clone())),
            Change::Edge { version, count, id2, now, .. } if is_next => {
                let now = now.as_ref().map(|(time, data)| (*time, &data.bytes()[..]));
                changed(&entry.head(), *version, *count, *id2, now).map(State::List)
            }
            _ => None,
        };
        match state {
            // As old as it was: a change that was heard of proves nothing about those that were not.
            Some(state) if self.keep(key, &state, seconds) => Applied::Updated,
            _ => {
                self.items.remove(key);
                Applied::Dropped { gap: !is_next }
            }
        }
    }

    /// Forgets what `which` says, and has the answers that are under way to it asked for again.
    pub(super) fn forget(&mut self, which: &impl Fn(Key) -> bool) -> u64 {
        let before = self.items.len();
        self.items.retain(|key, _| !which(key.key()));
        for (_, flight) in self.flights.iter_mut().filter(|(key, _)| which(key.key())) {
            flight.is_spoilt = true;
        }
        self.settle();
        (before - self.items.len()) as u64
    }

    pub(super) fn usage(&self) -> Usage {
        let bytes = self.items.memory_used().total() as u64 + self.heap();
        Usage {
            items: self.items.len() as u64,
            bytes,
            hits: self.hits,
            misses: self.misses,
            evicted: self.evicted,
        }
    }

    /// Whoever waits for the key wants at least this version.
    fn raise(&mut self, key: &Sought, version: Version) {
        if !self.flights.is_empty()
            && let Some(flight) = self.flights.get_mut(&key.packed)
        {
            flight.floor = flight.floor.max(version);
        }
    }

    /// Puts it in, evicting what is needed least. Says whether it is in.
    fn keep(&mut self, key: &Sought, state: &State, seconds: u32) -> bool {
        let before = self.items.len();
        let Some(entry) = Entry::of(state, seconds, self.budget / ENTRY_PART) else {
            // An older state must not stay because the newer one has no room.
            self.items.remove(key);
            return false;
        };
        let is_new = self.items.peek(key).is_none();
        self.items.insert(key.packed, entry);
        self.settle();
        self.evicted += (before + usize::from(is_new)).saturating_sub(self.items.len()) as u64;
        true
    }

    /// Bytes of all data.
    fn heap(&self) -> u64 {
        self.items.weight() - self.items.len() as u64 * SLOT
    }

    /// Leaves the items what the tables around them do not take. quick_cache weighs items only; its slab never shrinks
    /// and its map doubles.
    fn settle(&mut self) {
        let used = self.items.memory_used();
        let dead = (used.entries as u64).saturating_sub(self.items.len() as u64 * SLOT);
        if dead > self.budget / DEAD_PART {
            return self.pack();
        }
        let step = self.budget / STEP_PART;
        let room = self.budget.saturating_sub(used.map as u64 + dead) / step * step;
        // Up only by several steps: each adjustment rounds quick_cache's inner shares down a little.
        if room < self.items.capacity() || room >= self.items.capacity() + 4 * step {
            self.items.set_capacity(room);
        }
    }

    /// Everything into a new table without dead slots.
    fn pack(&mut self) {
        let mut old = std::mem::replace(&mut self.items, table(self.budget));
        for (key, entry) in old.drain() {
            self.items.insert(key, entry);
        }
    }
}

fn table(budget: u64) -> Table {
    let options = OptionsBuilder::new()
        .estimated_items_capacity((budget / ITEM_TYPICAL) as usize)
        .ghost_allocation(EVICTED_SHARE)
        .weight_capacity(budget)
        .build()
        .expect("both capacities are given");
    Table::with_options(options, Weight, Ready, DefaultLifecycle::default())
}

/// The head after one edge of its list changed. Nothing if the numbers do not fit together.
fn changed(head: &Head, version: Version, count: u64, id2: Id, now: Option<(Time, &[u8])>) -> Option<Head> {
    let is_whole = head.is_whole();
    let edges = match now {
        None => without(&head.edges, id2),
        Some((time, data)) => {
            let edge = EdgeRef { id2, time, data };
            // Behind the last one that is here may be others that are not: where it belongs among them is unknown.
            let is_behind = || {
                head.edges
                    .len()
                    .checked_sub(1)
                    .and_then(|last| head.edges.get(last))
                    .is_none_or(|last| last.order(time, id2).is_lt())
            };
            if !is_whole && is_behind() {
                without(&head.edges, id2)
            } else {
                let kept_max =
                    if is_whole { HEAD_MAX as usize } else { head.edges.len().max(HEAD_FIRST as usize) };
                // A head that is cut already does not grow beyond what was asked for: each addition copies it.
                head.edges.with(edge).cut(kept_max)
            }
        }
    };
    let kept = edges.len() as u64;
    let is_sound = kept <= count && (!is_whole || kept == count || kept == u64::from(HEAD_MAX));
    is_sound.then_some(Head { version, count, edges })
}

fn without(edges: &Edges, id2: Id) -> Edges {
    if edges.find(id2).is_some() { edges.without(id2) } else { edges.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ObjectState;

    #[test]
    fn a_slot_is_what_quick_cache_says_it_is() {
        let mut segment = Segment::new(1 << 20, 60);
        for number in 1..=100_u64 {
            let key = Key::Object(Id::try_from(number).unwrap());
            segment.enter(&key.into(), &State::Object(ObjectState::default()), 0);
        }
        assert_eq!(segment.items.memory_used().entries as u64, 100 * SLOT);
        assert_eq!(segment.usage().bytes, 100 * SLOT + segment.items.memory_used().map as u64);
    }
}
