//! The ring: what was dispatched lately, for all connections together.
//!
//! A connection has no queue, only a place in the ring. Whoever is too slow falls off the tail and is told to come
//! back, which costs a resume from the journal and no memory at all. The ring is bounded twice: by entries, which bounds
//! how long a reader's look into it takes, and by bytes, which bounds memory when payloads are large.
//!
//! [`ENTRIES_MAX`] and [`BYTES_MAX`] fit each other: a slot of a small event (typing, a presence, about 300 bytes)
//! counts about 1 KiB with its encodings, 65,536 of them 64 MiB. At 800 messages a second of 900 bytes, which count
//! four times, the tail is 20 seconds away: longer than a stalled connection is worth waiting for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frame::Slot;

/// Entries kept unless configured otherwise.
pub const ENTRIES_MAX: usize = 65_536;
/// Bytes kept unless configured otherwise.
pub const BYTES_MAX: usize = 64 << 20;

/// The newest entries, in order. One writer, any number of readers; each holds the lock for as long as it takes to
/// copy pointers.
#[derive(Debug)]
pub struct Ring {
    entries_max: usize,
    bytes_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    slots: VecDeque<Arc<Slot>>,
    bytes: usize,
    head: u64,
}

impl Inner {
    /// The entry after which everything is still here.
    fn tail(&self) -> u64 {
        self.head - self.slots.len() as u64
    }
}

/// The reader's place is no longer in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("fell off the ring")]
pub struct FellOff;

impl Ring {
    /// An empty one, to be filled from the entry after `lsn`.
    #[must_use]
    pub fn new(lsn: u64, entries_max: usize, bytes_max: usize) -> Ring {
        let inner = Inner { slots: VecDeque::new(), bytes: 0, head: lsn };
        Ring { entries_max, bytes_max, inner: Mutex::new(inner) }
    }

    /// No step below leaves it half done, so a reader's panic spoils nothing.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds numbered entries, each the next. The oldest fall out; the newest stays whatever its size.
    pub fn push(&self, slots: impl IntoIterator<Item = Arc<Slot>>) {
        let mut out = Vec::new();
        let mut inner = self.lock();
        for slot in slots {
            assert_eq!(slot.entry().lsn, inner.head + 1, "entries enter the ring in order, notes never");
            inner.head += 1;
            inner.bytes += slot.cost();
            inner.slots.push_back(slot);
            while inner.slots.len() > 1
                && (inner.slots.len() > self.entries_max || inner.bytes > self.bytes_max)
            {
                let oldest = inner.slots.pop_front();
                inner.bytes -= oldest.as_ref().map_or(0, |s| s.cost());
                out.extend(oldest);
            }
        }
        // Freed without the lock.
        drop(inner);
        drop(out);
    }

    /// The newest entry's LSN.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.lock().head
    }

    /// The entry after which a reader can still begin.
    #[must_use]
    pub fn tail(&self) -> u64 {
        self.lock().tail()
    }

    /// The entries after `lsn`, no more than `max`; none at the head.
    ///
    /// # Errors
    /// Some of them are not here any more.
    pub fn after(&self, lsn: u64, max: usize) -> Result<Batch, FellOff> {
        let inner = self.lock();
        let from = lsn.checked_sub(inner.tail()).and_then(|n| usize::try_from(n).ok()).ok_or(FellOff)?;
        let from = from.min(inner.slots.len());
        let to = from.saturating_add(max).min(inner.slots.len());
        let after = inner.tail() + from as u64;
        Ok(Batch::new(after, inner.slots.range(from..to).cloned().collect()))
    }
}

/// A part of the ring that stays while it is held.
#[derive(Debug, Clone)]
pub struct Batch {
    after: u64,
    slots: Box<[Arc<Slot>]>,
}

impl Batch {
    /// Entries that follow each other from the one after `after` on; also of a journal.
    #[must_use]
    pub fn new(after: u64, slots: Box<[Arc<Slot>]>) -> Batch {
        debug_assert!(
            (after + 1..).zip(&slots).all(|(lsn, slot)| slot.entry().lsn == lsn),
            "a batch has no hole"
        );
        Batch { after, slots }
    }

    /// The LSN of its last entry.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.after + self.slots.len() as u64
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Its entries after `lsn`; none where the batch begins later.
    #[must_use]
    pub fn after(&self, lsn: u64) -> Option<&[Arc<Slot>]> {
        let from = usize::try_from(lsn.checked_sub(self.after)?).ok()?;
        Some(self.slots.get(from..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
