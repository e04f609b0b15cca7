//! How many may be inside at once.
//!
//! Little's law says what a limit means: in flight = rate × time, so 1,024 places at 10 ms each carry 100,000
//! requests a second, and when the callee slows to 1 s the same 1,024 places carry 1,000 and the rest hear
//! "no" at once instead of queueing for answers nobody awaits. There is no queue here: a queue in front of a
//! full house adds delay and no capacity.
//!
//! A [`Place`] gives itself back when dropped, whatever ended the call: return, error, panic, or a future
//! that was never polled again. It is owned, so it can travel with the request through tasks and threads.

use std::sync::Arc;

use crate::sync::{AtomicUsize, Ordering};

/// A number of places. Clones share the same places.
#[derive(Debug, Clone)]
pub struct Limit {
    inside: Arc<AtomicUsize>,
    max: usize,
}

/// One place, held until dropped.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Place {
    inside: Arc<AtomicUsize>,
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
        Limit { inside: Arc::new(AtomicUsize::new(0)), max }
    }

    /// Takes a place if there is one. Never waits, never allocates.
    ///
    /// Add first and take back if it was one too many: two adds cost less than a compare-and-swap loop, and
    /// the price is only that, with the house full, a place freed this very instant may be refused once more.
    ///
    /// # Errors
    /// [`Full`] when every place is taken.
    #[inline]
    pub fn admit(&self) -> Result<Place, Full> {
        if self.inside.fetch_add(1, Ordering::Relaxed) < self.max {
            return Ok(Place { inside: Arc::clone(&self.inside) });
        }
        self.inside.fetch_sub(1, Ordering::Relaxed);
        Err(Full { max: self.max })
    }

    /// Places taken now. May count a refusal in progress, never misses a holder.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.inside.load(Ordering::Relaxed).min(self.max)
    }

    /// How many places there are.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }
}

impl Drop for Place {
    #[inline]
    fn drop(&mut self) {
        self.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_hundred_workers_and_the_hundred_and_first_is_refused() {
        let service_a = Limit::new(100);
        let places: Vec<Place> = (0..100).map(|_| service_a.admit().unwrap()).collect();
        assert_eq!(service_a.admit().unwrap_err(), Full { max: 100 });
        assert_eq!(service_a.in_flight(), 100);
        drop(places);
        assert_eq!(service_a.in_flight(), 0);
    }

    #[test]
    fn no_places_refuse_everyone() {
        assert!(Limit::new(0).admit().is_err());
    }

    #[test]
    fn a_panic_gives_the_place_back() {
        let limit = Limit::new(1);
        let inside = limit.clone();
        let ended = std::panic::catch_unwind(move || {
            let _place = inside.admit().unwrap();
            std::panic::resume_unwind(Box::new("planned"));
        });
        assert!(ended.is_err());
        assert!(limit.admit().is_ok());
    }

    #[test]
    fn four_threads_never_exceed_the_limit_and_leave_nobody_inside() {
        let limit = Limit::new(3);
        let most = std::sync::atomic::AtomicUsize::new(0);
        let holders = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..20_000 {
                        if let Ok(_place) = limit.admit() {
                            most.fetch_max(holders.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            holders.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert!((1..=3).contains(&most.into_inner()));
        assert_eq!(limit.in_flight(), 0);
    }
}
