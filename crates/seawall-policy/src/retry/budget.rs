//! What all callers of one callee together may spend on retries and hedges.
//!
//! Ten buckets over the window, as in the breaker. Every call is a deposit and costs a load and an add to
//! this thread's own counter; only a withdrawal takes the lock, and those are rare, because that is what they
//! are here for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::counter::Counter;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};
use crate::{Mono, duration};

/// Buckets of a window.
const BUCKETS: usize = 10;
/// A budget is shared by all threads that call.
const SHARDS: u8 = 4;

/// How large a budget is. The default is what Finagle, Linkerd and tower converged on: 20 % and 10 a second
/// over 10 s.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetPolicy {
    /// Retries per call, 0 to 1.
    pub ratio: f64,
    /// Retries a second that are always allowed, however few calls there are.
    pub per_second: u32,
    /// Over which calls and retries are weighed. A whole window's worth may be spent at once.
    #[serde(with = "duration")]
    pub window: Duration,
}

impl Default for BudgetPolicy {
    fn default() -> BudgetPolicy {
        BudgetPolicy { ratio: 0.2, per_second: 10, window: Duration::from_secs(10) }
    }
}

impl BudgetPolicy {
    /// Everything wrong with it, each with what to write instead; empty when all is well.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if !(0.0..=1.0).contains(&self.ratio) {
            wrong.push(format!("ratio: use 0 to 1, such as 0.2; it says {}", self.ratio));
        }
        if self.window < Duration::from_secs(1) {
            wrong.push("window: use 1s or more, such as 10s; less is over before a retry begins".to_owned());
        }
        wrong
    }

    /// What may be withdrawn in a window with so many calls.
    fn allowed(&self, calls: u64) -> f64 {
        self.ratio.clamp(0.0, 1.0) * calls as f64 + f64::from(self.per_second) * self.window.as_secs_f64()
    }

    fn bucket_ns(&self) -> u64 {
        u64::try_from(self.window.as_nanos() / BUCKETS as u128).unwrap_or(u64::MAX).max(1)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    calls: u64,
    spent: u64,
}

/// Decides; knows nothing of threads. Owned by [`Budget`], or by a loop.
#[derive(Debug)]
pub struct Core {
    policy: BudgetPolicy,
    buckets: [Bucket; BUCKETS],
    /// Number of the newest bucket since the clock's zero.
    newest: u64,
}

impl Core {
    /// Nothing called, nothing spent.
    #[must_use]
    pub fn new(policy: BudgetPolicy) -> Core {
        Core { policy, buckets: [Bucket::default(); BUCKETS], newest: 0 }
    }

    /// A call was made, its first try.
    pub fn deposit(&mut self, now: Mono) {
        self.advance(now);
        self.credit(1);
    }

    /// Spends `cost` on one more try if that stays within the budget.
    pub fn withdraw(&mut self, now: Mono, cost: u32) -> bool {
        self.advance(now);
        let calls = self.buckets.iter().map(|b| b.calls).sum();
        let spent: u64 = self.buckets.iter().map(|b| b.spent).sum();
        let within = (spent + u64::from(cost)) as f64 <= self.policy.allowed(calls);
        if within {
            self.newest().spent += u64::from(cost);
        }
        within
    }

    /// Forgets what has left the window. A clock that seems to step back counts into the newest bucket.
    fn advance(&mut self, now: Mono) {
        let bucket = now.0 / self.policy.bucket_ns();
        let passed = bucket.saturating_sub(self.newest).min(BUCKETS as u64);
        for back in 0..passed {
            self.buckets[((bucket - back) % BUCKETS as u64) as usize] = Bucket::default();
        }
        self.newest = self.newest.max(bucket);
    }

    fn credit(&mut self, calls: u64) {
        self.newest().calls += calls;
    }

    fn newest(&mut self) -> &mut Bucket {
        &mut self.buckets[(self.newest % BUCKETS as u64) as usize]
    }

    fn bucket_ends(&self) -> u64 {
        (self.newest + 1).saturating_mul(self.policy.bucket_ns())
    }
}

/// Retry and hedge budget shared by threads.
#[derive(Debug)]
pub struct Budget {
    /// Calls of all time.
    calls: Counter,
    /// Calls from this moment on belong to the next bucket, in nanoseconds of the clock.
    bucket_ends: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    core: Core,
    /// How many of `calls` the core has been told of.
    collected: u64,
}

impl Budget {
    /// Nothing called, nothing spent: the floor is there from the start.
    #[must_use]
    pub fn new(policy: BudgetPolicy) -> Budget {
        let core = Core::new(policy);
        Budget {
            calls: Counter::new(SHARDS),
            bucket_ends: AtomicU64::new(core.bucket_ends()),
            inner: Mutex::new(Inner { core, collected: 0 }),
        }
    }

    /// A call is being made, its first try. Not for retries: they would earn their own successors.
    #[inline]
    pub fn deposit(&self, now: Mono) {
        if now.0 >= self.bucket_ends.load(Ordering::Relaxed) {
            self.turn_bucket(now);
        }
        self.calls.add();
    }

    /// Spends `cost` on one more try, if all who call this callee together can afford it.
    pub fn withdraw(&self, now: Mono, cost: u32) -> bool {
        let mut inner = lock(&self.inner);
        self.collect(&mut inner);
        let afforded = inner.core.withdraw(now, cost);
        self.bucket_ends.store(inner.core.bucket_ends(), Ordering::Relaxed);
        afforded
    }

    /// The first call after a bucket is full closes it, so that calls lie at their own time.
    #[cold]
    fn turn_bucket(&self, now: Mono) {
        // Whoever holds the lock is about to do it.
        let Ok(mut inner) = self.inner.try_lock() else { return };
        self.collect(&mut inner);
        inner.core.advance(now);
        self.bucket_ends.store(inner.core.bucket_ends(), Ordering::Relaxed);
    }

    fn collect(&self, inner: &mut Inner) {
        let sum = self.calls.sum();
        inner.core.credit(sum.wrapping_sub(inner.collected));
        inner.collected = sum;
    }
}
