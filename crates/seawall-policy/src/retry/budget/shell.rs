//! The budget as request threads see it: two atomic additions for a call and its retry.

use super::core::{Ledger, units};
use super::policy::BudgetPolicy;
use crate::Mono;
use crate::sync::{AtomicI64, AtomicU64, Mutex, Ordering, lock};

/// Two cache lines, because x86 fetches them in pairs: everyone writes the balance, and what lies beside it
/// is only read.
#[derive(Debug)]
#[repr(align(128))]
struct Balance(AtomicI64);

/// Retry and hedge budget shared by threads. See [`super`] for what it allows and how it counts.
#[derive(Debug)]
pub struct Budget {
    balance: Balance,
    /// From this moment on another bucket is the newest, in nanoseconds of the clock. Written after the
    /// balance was turned, so whoever sees it adds to the new bucket.
    bucket_ends: AtomicU64,
    /// When the bucket ends in which a withdrawal was last refused. While it is the newest, withdrawals look
    /// before they take: there may again be too little, and giving back is dear.
    refused_in: AtomicU64,
    /// What a call adds.
    earned: i64,
    ledger: Mutex<Ledger>,
}

impl Budget {
    /// Nothing called, nothing spent: what does not depend on calls is there from the start.
    #[must_use]
    pub fn new(policy: BudgetPolicy) -> Budget {
        let ledger = Ledger::new(&policy);
        Budget {
            balance: Balance(AtomicI64::new(policy.beginning())),
            bucket_ends: AtomicU64::new(ledger.ends()),
            refused_in: AtomicU64::new(0),
            earned: policy.earned(),
            ledger: Mutex::new(ledger),
        }
    }

    /// A call is being made, its first try. Not for retries: they would earn their own successors.
    #[inline]
    pub fn deposit(&self, now: Mono) {
        if now.0 >= self.bucket_ends.load(Ordering::Acquire) {
            self.turn_unless_busy(now);
        }
        self.balance.0.fetch_add(self.earned, Ordering::Relaxed);
    }

    /// Spends `cost` on one more try, if all who call this callee together can afford it.
    #[inline]
    pub fn withdraw(&self, now: Mono, cost: u32) -> bool {
        let mut bucket_ends = self.bucket_ends.load(Ordering::Acquire);
        if now.0 >= bucket_ends {
            bucket_ends = self.turn(&mut lock(&self.ledger), now);
        }
        let cost = units(cost);
        if self.refused_in.load(Ordering::Relaxed) == bucket_ends
            && self.balance.0.load(Ordering::Relaxed) < cost
        {
            return false;
        }
        // Take first and look afterwards: one atomic addition. To read the balance first would fetch its
        // cache line twice when others write it, and to compare and exchange it would be a loop.
        if self.balance.0.fetch_sub(cost, Ordering::Relaxed) >= cost {
            return true;
        }
        self.give_back(cost, bucket_ends);
        false
    }

    /// The first call after a bucket has ended turns it. Whoever holds the lock is about to do it, or gives
    /// back and leaves it to the next.
    #[cold]
    fn turn_unless_busy(&self, now: Mono) {
        if let Ok(mut ledger) = self.ledger.try_lock() {
            self.turn(&mut ledger, now);
        }
    }

    #[cold]
    fn turn(&self, ledger: &mut Ledger, now: Mono) -> u64 {
        ledger.turn(now, |units| self.balance.0.fetch_sub(units, Ordering::Relaxed));
        self.bucket_ends.store(ledger.ends(), Ordering::Release);
        ledger.ends()
    }

    /// Undoes a withdrawal that there was not enough for. If a bucket ended since, it stays spent in its own.
    #[cold]
    fn give_back(&self, cost: i64, bucket_ends: u64) {
        let ledger = lock(&self.ledger);
        if ledger.ends() == bucket_ends {
            self.balance.0.fetch_add(cost, Ordering::Relaxed);
            self.refused_in.store(bucket_ends, Ordering::Relaxed);
        }
    }
}
