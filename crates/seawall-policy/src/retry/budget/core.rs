//! The budget's decisions, without threads.

use super::policy::{BudgetPolicy, CALL};
use crate::Mono;

/// Buckets of a window.
const BUCKETS: u64 = 10;

/// What each bucket has changed. The balance lies with its owner: a plain number in [`Core`], an atomic in
/// [`Budget`](super::Budget).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ledger {
    /// By how much each bucket that has ended changed the balance; bucket `i` lies at `i % BUCKETS`. The
    /// newest one's is still zero.
    nets: [i64; BUCKETS as usize],
    /// The balance when the newest bucket began.
    began_with: i64,
    /// Number of the newest bucket since the clock's zero.
    newest: u64,
    bucket_ns: u64,
}

impl Ledger {
    pub(super) fn new(policy: &BudgetPolicy) -> Ledger {
        Ledger {
            nets: [0; BUCKETS as usize],
            began_with: policy.beginning(),
            newest: 0,
            // At most an hour, which fits.
            bucket_ns: policy.window().as_nanos() as u64 / BUCKETS,
        }
    }

    /// Moves on to the bucket that `now` lies in and takes back what those changed that left the window.
    /// `take` subtracts from the balance and tells what that was before. A clock that seems to step back
    /// leaves everything as it is.
    pub(super) fn turn(&mut self, now: Mono, mut take: impl FnMut(i64) -> i64) {
        let bucket = now.0 / self.bucket_ns;
        if bucket <= self.newest {
            return;
        }
        // After a silence longer than the window even the bucket that ends now leaves at once.
        let all_leave = bucket - self.newest >= BUCKETS;
        let end = if all_leave { self.newest + BUCKETS } else { bucket + 1 };
        let mut leaving = 0;
        for newer in self.newest + 1..end {
            leaving += std::mem::take(&mut self.nets[slot(newer)]);
        }
        // One subtraction is both the reading at the end of this bucket and the beginning of the next.
        let ended_with = take(leaving);
        let net = ended_with - self.began_with;
        self.began_with = ended_with - leaving;
        if all_leave {
            take(net);
            self.began_with -= net;
        } else {
            self.nets[slot(self.newest)] = net;
        }
        self.newest = bucket;
    }

    /// When the newest bucket ends, in the clock's nanoseconds. Never the same for two buckets.
    pub(super) fn ends(&self) -> u64 {
        (self.newest + 1).saturating_mul(self.bucket_ns)
    }
}

/// Where a bucket lies; the one that leaves when it comes lay there before.
fn slot(bucket: u64) -> usize {
    (bucket % BUCKETS) as usize
}

/// What `cost` retries are in the balance's unit.
pub(super) fn units(cost: u32) -> i64 {
    i64::from(cost) * CALL
}

/// Decides; knows nothing of threads. Owned by a loop, or by a test that compares it with
/// [`Budget`](super::Budget), which is the same arithmetic on an atomic.
#[derive(Debug, Clone, PartialEq)]
pub struct Core {
    balance: i64,
    /// What a call adds.
    earned: i64,
    ledger: Ledger,
}

impl Core {
    /// Nothing called, nothing spent.
    #[must_use]
    pub fn new(policy: BudgetPolicy) -> Core {
        Core { balance: policy.beginning(), earned: policy.earned(), ledger: Ledger::new(&policy) }
    }

    /// A call was made, its first try.
    pub fn deposit(&mut self, now: Mono) {
        self.turn(now);
        self.balance += self.earned;
    }

    /// Spends `cost` on one more try if that stays within the budget.
    pub fn withdraw(&mut self, now: Mono, cost: u32) -> bool {
        self.turn(now);
        let within = self.balance >= units(cost);
        if within {
            self.balance -= units(cost);
        }
        within
    }

    fn turn(&mut self, now: Mono) {
        let balance = &mut self.balance;
        self.ledger.turn(now, |units| {
            *balance -= units;
            *balance + units
        });
    }
}
