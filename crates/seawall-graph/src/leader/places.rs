//! So many reads of each database at a time; who comes later waits.
//!
//! Waiting and not refusing: a cold memory asks for everything at once, and a request for a thousand objects that is
//! refused because the hundredth found no place is asked again as a whole.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::call::Refusal;

/// Reads that may wait for a place, of each database: a few of the largest multi-gets. One more is told that there is
/// too much to do.
pub(super) const WAITING_MAX: usize = 65_536;

/// The places of all databases.
pub(super) struct Places(Box<[Shard]>);

struct Shard {
    places: Semaphore,
    waiting: AtomicUsize,
}

/// One who waits, counted for as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    pub(super) fn new(shards: u32, each: usize) -> Places {
        let shard = |_| Shard {
            places: Semaphore::new(each.min(Semaphore::MAX_PERMITS)),
            waiting: AtomicUsize::new(0),
        };
        Places((0..shards).map(shard).collect())
    }

    /// A place, after waiting no longer than `patience`.
    pub(super) async fn take(&self, shard: u32, patience: Duration) -> Result<SemaphorePermit<'_>, Refusal> {
        let Shard { places, waiting } = &self.0[shard as usize];
        if let Ok(place) = places.try_acquire() {
            return Ok(place);
        }
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let _counted = Waiting(waiting);
        if before >= WAITING_MAX {
            return Err(Refusal::Busy);
        }
        match tokio::time::timeout(patience, places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            // Nobody closes them; the second is patience at its end.
            Ok(Err(_)) | Err(_) => Err(Refusal::Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_finds_no_place_waits_for_one_and_other_databases_have_their_own() {
        let places = Places::new(2, 1);
        let taken = places.take(0, Duration::ZERO).await.unwrap();
        assert_eq!(places.take(0, Duration::from_millis(1)).await.err(), Some(Refusal::Busy));
        drop(places.take(1, Duration::ZERO).await.unwrap());
        let waits = places.take(0, Duration::from_secs(60));
        let frees = async { drop(taken) };
        assert!(tokio::join!(waits, frees).0.is_ok());
        assert_eq!(places.0[0].waiting.load(Ordering::Relaxed), 0);
    }
}
