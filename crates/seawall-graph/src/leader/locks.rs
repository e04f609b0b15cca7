//! One at a time for each pair of ids, and for each object.
//!
//! Writes between two databases take several steps; two of one pair must not mix them. And an update reads what it
//! merges with: of two updates of one object at the same time one would be done in vain.

use std::hash::{BuildHasher, Hash, RandomState};

use seawall_policy::Clock;
use seawall_policy::deadline::Deadline;
use tokio::sync::{Mutex, MutexGuard};

use crate::call::Refusal;

/// Locks there are. What is locked shares them by its hash: memory is fixed, and with as many writes under way as the
/// store takes at a time (256 in a group) one in thirty waits for a stranger.
const LOCKS: usize = 4096;

/// All locks.
pub(super) struct Locks {
    locks: Box<[Mutex<()>]>,
    hashes: RandomState,
}

impl Locks {
    pub(super) fn new() -> Locks {
        Locks { locks: (0..LOCKS).map(|_| Mutex::new(())).collect(), hashes: RandomState::new() }
    }

    /// The lock of `what`, after waiting until the deadline at most.
    pub(super) async fn take(
        &self,
        what: &impl Hash,
        clock: &dyn Clock,
        deadline: Deadline,
    ) -> Result<MutexGuard<'_, ()>, Refusal> {
        let place = self.hashes.hash_one(what) % LOCKS as u64;
        let lock = &self.locks[place as usize];
        if let Ok(taken) = lock.try_lock() {
            return Ok(taken);
        }
        let left = deadline.at.since(clock.now());
        tokio::time::timeout(left, lock.lock()).await.map_err(|_| Refusal::Late)
    }
}
