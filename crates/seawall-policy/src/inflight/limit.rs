//! Places, and who holds them.

use std::sync::Arc;

use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// A number of places. Clones share the same places.
#[derive(Debug, Clone)]
pub struct Limit {
    house: Arc<House>,
}

/// In this order: the words that change with every call are together on one cache line. The owners' count, which
/// an owned place changes as well, is on the line before, with whatever the heap has there; what is only read lies
/// apart.
#[derive(Debug)]
#[repr(C, align(64))]
struct House {
    inside: AtomicUsize,
    /// Nothing to do with places: see [`Limit::lend`].
    lent: AtomicU64,
    /// Two cache lines, because x86 fetches them in pairs.
    _apart: [u64; 16],
    max: AtomicUsize,
    /// Whether (1) or not (0) the last one to ask was refused. A hint: it decides what is tried first.
    was_full: AtomicUsize,
    /// Whether (1) or not (0) `lent` has had a user.
    is_lent: AtomicUsize,
}

/// One place, held until dropped. Owned: it keeps the limit alive.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Place {
    house: Arc<House>,
}

/// One place, held until dropped. Borrowed: half the cost of a [`Place`].
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Inside<'a> {
    house: &'a House,
}

/// The word beside a limit's count, as its only user holds it.
#[derive(Debug)]
pub(crate) struct Lent {
    house: Arc<House>,
}

impl Lent {
    #[inline]
    pub(crate) fn word(&self) -> &AtomicU64 {
        &self.house.lent
    }
}

/// All places are taken. Answer at once, with 503 or its like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all {max} places are taken")]
pub struct Full {
    /// How many there are.
    pub max: usize,
}

impl Limit {
    /// A house with `max` places; 0 refuses everyone.
    #[must_use]
    pub fn new(max: usize) -> Limit {
        let [inside, max, was_full, is_lent] = [0, max, 0, 0].map(AtomicUsize::new);
        let lent = AtomicU64::new(0);
        Limit { house: Arc::new(House { inside, lent, _apart: [0; 16], max, was_full, is_lent }) }
    }

    /// Takes a place if there is one, for as long as this limit is borrowed. Never waits, never allocates.
    ///
    /// # Errors
    /// [`Full`] when every place is taken.
    #[inline]
    pub fn enter(&self) -> Result<Inside<'_>, Full> {
        self.house.enter()?;
        Ok(Inside { house: &self.house })
    }

    /// Takes a place if there is one, for as long as its holder likes. Never waits, never allocates.
    ///
    /// # Errors
    /// [`Full`] when every place is taken.
    #[inline]
    pub fn admit(&self) -> Result<Place, Full> {
        self.house.enter()?;
        Ok(Place { house: Arc::clone(&self.house) })
    }

    /// [`Limit::enter`] without a guard, for who has a guard of its own.
    #[inline]
    pub(crate) fn take(&self) -> Result<(), Full> {
        self.house.enter()
    }

    /// Gives back what [`Limit::take`] took.
    #[inline]
    pub(crate) fn leave(&self) {
        self.house.leave();
    }

    /// A word on the cache line of the count, for whoever else writes at every admission: a core that has
    /// fetched the line for one of them has it for both. There is one, lent for good; `None`
    /// when it has a user.
    pub(crate) fn lend(&self) -> Option<Lent> {
        let is_free = self.house.is_lent.swap(1, Ordering::Relaxed) == 0;
        is_free.then(|| Lent { house: Arc::clone(&self.house) })
    }

    /// The share of the places that is taken: 1.0 is all of them.
    #[must_use]
    #[inline]
    pub fn ratio(&self) -> f64 {
        self.in_flight() as f64 / self.max().max(1) as f64
    }

    /// Changes how many places there are, while it is in use. Whoever is inside stays: after a cut nobody
    /// else is admitted until enough have left.
    pub fn set_max(&self, max: usize) {
        self.house.max.store(max, Ordering::Relaxed);
    }

    /// Places taken now; after a cut possibly more than there are. May count a refusal in progress, never
    /// misses a holder.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.house.inside.load(Ordering::Relaxed)
    }

    /// How many places there are.
    #[must_use]
    pub fn max(&self) -> usize {
        self.house.max.load(Ordering::Relaxed)
    }
}

impl House {
    /// Add, and take back if it was one too many: two adds cost less than a compare-and-swap loop, and the
    /// price is only that a place freed this very instant may be refused once more. All relaxed: the count
    /// guards nothing but itself.
    ///
    /// While the house is full, look first: a refusal is then three loads, and those who leave do not have to
    /// fight the refused for the cache line. Otherwise do not, for between a look and an add another thread
    /// may take the line away, and it must be fetched twice (with two threads 35 ns instead of 25).
    #[inline]
    fn enter(&self) -> Result<(), Full> {
        let max = self.max.load(Ordering::Relaxed);
        if self.was_full.load(Ordering::Relaxed) != 0 {
            if self.inside.load(Ordering::Relaxed) >= max {
                return Err(Full { max });
            }
            self.was_full.store(0, Ordering::Relaxed);
        }
        if self.inside.fetch_add(1, Ordering::Relaxed) < max {
            return Ok(());
        }
        self.leave();
        self.was_full.store(1, Ordering::Relaxed);
        Err(Full { max })
    }

    #[inline]
    fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    #[inline]
    fn drop(&mut self) {
        self.house.leave();
    }
}

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        self.house.leave();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn no_places_refuse_everyone() {
        assert!(Limit::new(0).admit().is_err());
        assert!(Limit::new(0).enter().is_err());
    }

    #[test]
    fn a_panic_gives_the_place_back() {
        let limit = Limit::new(1);
        for owned in [true, false] {
            let inside = limit.clone();
            let ended = std::panic::catch_unwind(move || {
                let _place = owned.then(|| inside.admit().unwrap());
                let _inside = (!owned).then(|| inside.enter().unwrap());
                std::panic::resume_unwind(Box::new("planned"));
            });
            assert!(ended.is_err());
            assert_eq!(limit.in_flight(), 0);
        }
    }

    #[test]
    fn both_kinds_of_place_are_places_in_one_house() {
        let limit = Limit::new(2);
        let (owned, borrowed) = (limit.admit().unwrap(), limit.enter().unwrap());
        assert_eq!(limit.in_flight(), 2);
        assert_eq!(
            (limit.admit().err(), limit.enter().err()),
            (Some(Full { max: 2 }), Some(Full { max: 2 }))
        );
        drop(owned);
        assert!(limit.enter().is_ok());
        drop(borrowed);
        assert_eq!(limit.in_flight(), 0);
    }

    #[test]
    fn the_word_beside_the_count_has_one_user_and_changes_no_place() {
        let limit = Limit::new(1);
        let lent = limit.clone().lend().unwrap();
        assert!(limit.lend().is_none());
        lent.word().store(u64::MAX, Ordering::Relaxed);
        let _inside = limit.enter().unwrap();
        assert!(limit.enter().is_err());
        assert_eq!((limit.in_flight(), lent.word().load(Ordering::Relaxed)), (1, u64::MAX));
        let [count, word] = [(&raw const limit.house.inside).addr(), std::ptr::from_ref(lent.word()).addr()];
        assert_eq!(count / 64, word / 64, "one cache line");
    }

    #[test]
    fn a_place_outlives_the_limit_it_came_from() {
        let limit = Limit::new(1);
        let clone = limit.clone();
        let place = limit.admit().unwrap();
        drop(limit);
        assert!(clone.enter().is_err());
        drop(place);
        assert!(clone.enter().is_ok());
    }
}
