//! A count that many threads add to and that one, holding a lock, now and then collects.
//!
//! A shared `fetch_add` costs 6 ns from one thread and 18 ns from two that fight for its cache line; one
//! counter per thread stays at 6. So callers spread over a few padded counters. How many is the policy's
//! choice: four where all threads call the same thing, one where there is one counter per instance and 50,000
//! instances. One alone is not padded: 120 of its 128 bytes would be empty, 6 MB at 50,000.

use std::cell::Cell;

use crate::sync::{AtomicU64, Ordering};

/// Most shards a policy may ask for; more threads than this share.
pub(crate) const SHARDS_MAX: u8 = 64;

#[derive(Debug)]
pub(crate) struct Counter(Shards);

#[derive(Debug)]
enum Shards {
    One(AtomicU64),
    /// A power of two of them, so that a thread finds its own by a mask and not by a division.
    Many(Box<[Shard]>),
}

/// Two cache lines, because x86 fetches them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Shard(AtomicU64);

impl Counter {
    /// With this many shards or the next power of two.
    pub(crate) fn new(shards: u8) -> Counter {
        let shards = shards.clamp(1, SHARDS_MAX).next_power_of_two();
        Counter(match shards {
            1 => Shards::One(AtomicU64::new(0)),
            _ => Shards::Many((0..shards).map(|_| Shard(AtomicU64::new(0))).collect()),
        })
    }

    /// Counts one. Relaxed: nobody reads anything else on the strength of this number.
    #[inline]
    pub(crate) fn add(&self) {
        let counter = match &self.0 {
            Shards::One(counter) => counter,
            Shards::Many(shards) => &shards[seat() & (shards.len() - 1)].0,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything counted so far. It never goes down, so whoever remembers the last sum knows what is new.
    pub(crate) fn sum(&self) -> u64 {
        match &self.0 {
            Shards::One(counter) => counter.load(Ordering::Relaxed),
            Shards::Many(shards) => {
                shards.iter().fold(0, |sum, shard| sum.wrapping_add(shard.0.load(Ordering::Relaxed)))
            }
        }
    }
}

/// A number this thread keeps: threads are numbered as they first count something.
#[inline]
fn seat() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SEAT: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    SEAT.with(|seat| {
        if seat.get() == usize::MAX {
            seat.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        seat.get()
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn four_threads_counting_lose_nothing() {
        for shards in [1, 4] {
            let counter = Counter::new(shards);
            std::thread::scope(|s| {
                for _ in 0..4 {
                    s.spawn(|| (0..10_000).for_each(|_| counter.add()));
                }
            });
            assert_eq!(counter.sum(), 40_000);
        }
    }

    #[test]
    fn no_shards_means_one_three_mean_four_and_a_silly_number_is_cut() {
        for (asked, made) in [(0, 1), (1, 1), (2, 2), (3, 4), (4, 4), (255, usize::from(SHARDS_MAX))] {
            let shards = match Counter::new(asked).0 {
                Shards::One(_) => 1,
                Shards::Many(shards) => shards.len(),
            };
            assert_eq!(shards, made, "{asked}");
        }
    }

    #[test]
    fn one_alone_takes_no_room_of_its_own() {
        assert!(size_of::<Counter>() <= 16);
    }
}
