//! A limit for each key, in a table of fixed size.
//!
//! ```text
//! set   keys  │ 7f3a… │ 02c1… │   0   │ … │   eight of them, one cache line
//!       tats  │ 12.31 │ 12.05 │   0   │ … │   what each has used, the next line
//! ```
//!
//! A key's hash names one set, and within it the key may hold any of eight slots. Whoever finds its key there
//! does what [`Limiter`](super::Limiter) does, without a lock: a load to be refused, a compare-and-swap to be
//! admitted. Only a key that is not there takes a lock (one of 64, by set), so that two threads bringing the
//! same key cannot give it two slots and so twice its limit.
//!
//! ## Who is forgotten
//!
//! The newcomer takes the slot with the oldest TAT, **and its TAT with it**. One in the past is worth
//! nothing, so nothing is lost; this is nearly always so. Only when all eight still owe something does the
//! newcomer begin with another's debt, the smallest of the eight, and the one displaced is forgiven
//! ([`Keyed::forgotten`] counts these; if it grows steadily, `keys_max` is too small). A newcomer too deep in
//! another's debt is refused and displaces nobody.
//!
//! Why not begin afresh? Nine keys taking turns in one set would then never be limited at all. As it is, a
//! single key may get more than its limit by being displaced, yet all keys of a set together never get more
//! than eight limits, and the table never more than it has slots, however many keys there are.
//!
//! ## Why the race between the two words is harmless
//!
//! A slot changes hands in three steps, under the lock: TAT to `MOVING`, the key, the new TAT. A thread that
//! came for the old key reads key, TAT, key: if it sees the new TAT it also sees the new key, and looks
//! again; if it sees the old TAT, its compare-and-swap fails once the slot has begun to move. It cannot
//! succeed by accident later, for a slot's TAT only ever grows, whoever holds it.

use super::core::{Exhausted, Gcra, Left};
use super::policy::{KEYS_MAX, Policy};
use crate::sync::{AtomicU64, Mutex, Ordering, lock};
use crate::{Mono, Rng};

/// Slots in a set: as many keys as one cache line holds. With half of all slots in use, chance puts more than
/// eight keys into 2 % of the sets. Under loom two, which are enough for all that can happen between a few
/// threads.
const WAYS: usize = if cfg!(loom) { 2 } else { 8 };

/// Locks for all sets together: more than there are threads to hold them.
const LOCKS_MAX: usize = 64;

/// A slot nobody has. A key that hashes to this is counted as 1.
const NOBODY: u64 = 0;

/// The TAT of a slot that is changing hands.
const MOVING: u64 = u64::MAX;

/// A rate limit for each of many keys. See [`super`] for what it decides.
#[derive(Debug)]
pub struct Keyed {
    gcra: Gcra,
    seed: u64,
    /// What of a key's hash counts: all of it, or nothing where all share one limit.
    mask: u64,
    sets: Box<[Set]>,
    locks: Box<[Mutex<()>]>,
    forgotten: AtomicU64,
}

/// Two cache lines, because x86 fetches them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Set {
    keys: [AtomicU64; WAYS],
    tats: [AtomicU64; WAYS],
}

impl Keyed {
    /// An empty table for `keys_max` keys, rounded down to whole sets of eight, though at least one; all memory it
    /// will ever use, 16 bytes a key, is taken here. With a `keys_max` of 0 all keys share one limit.
    ///
    /// `seed` is any number the clients do not know: with it nobody can choose addresses that share a set.
    #[must_use]
    pub fn new(policy: &Policy, seed: u64) -> Keyed {
        let sets = (policy.keys_max.min(KEYS_MAX) as usize / WAYS).max(1);
        Keyed {
            gcra: Gcra::new(policy),
            seed,
            mask: if policy.keys_max == 0 { 0 } else { u64::MAX },
            sets: (0..sets).map(|_| Set::new()).collect(),
            locks: (0..sets.min(LOCKS_MAX)).map(|_| Mutex::new(())).collect(),
            forgotten: AtomicU64::new(0),
        }
    }

    /// Admits one request of the key with this hash, or says when to come again. All 64 bits should depend on
    /// the key, as those of [`placement::hash::of`](crate::placement::hash::of) do; two keys with one hash
    /// share a limit. A client with IPv6 owns a whole /64: hash that, not the address.
    ///
    /// # Errors
    /// [`Exhausted`] when too many came.
    #[inline]
    pub fn check(&self, key_hash: u64, now: Mono) -> Result<(), Exhausted> {
        self.check_n(key_hash, 1, now)
    }

    /// Admits `n` requests of this key together, or none of them. None at all are always admitted.
    ///
    /// # Errors
    /// [`Exhausted`] when too many came, and always when `n` is more than the burst.
    #[inline]
    pub fn check_n(&self, key_hash: u64, n: u32, now: Mono) -> Result<(), Exhausted> {
        if n == 0 {
            return Ok(());
        }
        self.charge(key_hash, n, now).map(|_| ())
    }

    /// Admits one request of this key and says what it leaves, or when to come again.
    ///
    /// # Errors
    /// [`Exhausted`] when too many came.
    #[inline]
    pub fn take(&self, key_hash: u64, now: Mono) -> Result<Left, Exhausted> {
        self.charge(key_hash, 1, now).map(|tat| self.gcra.left(tat, now))
    }

    /// What this key has left, without asking for anything.
    #[must_use]
    pub fn left(&self, key_hash: u64, now: Mono) -> Left {
        self.gcra.left(self.tat(key_hash), now)
    }

    /// The key's TAT after `n` more.
    #[inline]
    fn charge(&self, key_hash: u64, n: u32, now: Mono) -> Result<u64, Exhausted> {
        let key = self.key(key_hash);
        let (index, set) = self.set(key);
        match set.charge(self.gcra, key, n, now) {
            Some(answer) => answer,
            None => self.bring(index, key, n, now),
        }
    }

    /// How many requests of this key would be admitted at once now: the `r` of a `RateLimit` header.
    #[must_use]
    pub fn remaining(&self, key_hash: u64, now: Mono) -> u32 {
        self.gcra.remaining(self.tat(key_hash), now)
    }

    /// Seconds until this key's whole burst is there again, rounded up: the `t` of a `RateLimit` header.
    #[must_use]
    pub fn reset(&self, key_hash: u64, now: Mono) -> u64 {
        Gcra::reset(self.tat(key_hash), now)
    }

    /// How often a key was displaced while it still owed something, since the start.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// What the key has used; nothing if it is not there, or is just being brought.
    fn tat(&self, key_hash: u64) -> u64 {
        let key = self.key(key_hash);
        self.set(key).1.find(key).map_or(0, |(_, tat)| tat)
    }

    /// Every bit of the result depends on every bit of the hash and the seed.
    #[inline]
    fn key(&self, key_hash: u64) -> u64 {
        match Rng::new((key_hash & self.mask) ^ self.seed).next_u64() {
            NOBODY => 1,
            key => key,
        }
    }

    #[inline]
    fn set(&self, key: u64) -> (usize, &Set) {
        let index = ((u128::from(key) * self.sets.len() as u128) >> 64) as usize;
        (index, &self.sets[index])
    }

    /// Gives a key that is not there the slot that is missed least, and admits it there.
    #[cold]
    fn bring(&self, index: usize, key: u64, n: u32, now: Mono) -> Result<u64, Exhausted> {
        let set = &self.sets[index];
        let _nobody_else_moves_here = lock(&self.locks[index % self.locks.len()]);
        // Another thread may have brought it while we waited.
        if let Some(answer) = set.charge(self.gcra, key, n, now) {
            return answer;
        }
        // A second turn means that the slot's holder was admitted meanwhile, and it is no longer the oldest.
        loop {
            let (way, tat) = set.oldest();
            let next = self.gcra.next(tat, now, n)?;
            if set.tats[way].compare_exchange(tat, MOVING, Ordering::Relaxed, Ordering::Relaxed).is_err() {
                continue;
            }
            if tat > now.0 {
                self.forgotten.fetch_add(1, Ordering::Relaxed);
            }
            set.keys[way].store(key, Ordering::Release);
            set.tats[way].store(next, Ordering::Release);
            return Ok(next);
        }
    }
}

impl Set {
    fn new() -> Set {
        Set {
            keys: std::array::from_fn(|_| AtomicU64::new(NOBODY)),
            tats: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// The key's slot and TAT, read so that they belong together; none while the slot changes hands.
    #[inline]
    fn find(&self, key: u64) -> Option<(usize, u64)> {
        let way = self.keys.iter().position(|held| held.load(Ordering::Acquire) == key)?;
        let tat = self.tats[way].load(Ordering::Acquire);
        (tat != MOVING && self.keys[way].load(Ordering::Relaxed) == key).then_some((way, tat))
    }

    /// Admits or refuses a key that is there.
    #[inline]
    fn charge(&self, gcra: Gcra, key: u64, n: u32, now: Mono) -> Option<Result<u64, Exhausted>> {
        // Each further turn is another thread's admission, as in `Limiter`, or the loss of the slot.
        loop {
            let (way, tat) = self.find(key)?;
            let next = match gcra.next(tat, now, n) {
                Ok(next) => next,
                refused => return Some(refused),
            };
            let swap = self.tats[way].compare_exchange_weak(tat, next, Ordering::Relaxed, Ordering::Relaxed);
            if swap.is_ok() {
                return Some(Ok(next));
            }
        }
    }

    /// The slot with the oldest TAT. Under the lock, so none is `MOVING`.
    fn oldest(&self) -> (usize, u64) {
        let tats = self.tats.iter().map(|tat| tat.load(Ordering::Relaxed));
        tats.enumerate().min_by_key(|(_, tat)| *tat).unwrap_or((0, MOVING))
    }
}
