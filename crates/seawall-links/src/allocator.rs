//! Hands out codes, each once, from blocks of ids leased from the store.
//!
//! ## Blocks
//!
//! A block is a run of a shard's counter that only this process may use. The counter is raised, durably,
//! before the first id is used: a crash skips what was left of the block and can never repeat it. An id is
//! `counter * shards + shard`, so counters of different shards never meet.
//!
//! ## Codes for a certain shard
//!
//! Codes are shuffled, so one's place among the shards is a matter of luck. A create with an Idempotency-Key
//! must land on the shard of its key, where a retry will look for it. For those we draw until a code fits; what
//! was drawn for others on the way waits in a short queue per shard and is handed out first.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::codes::{self, Codes};
use crate::name::Name;

/// Codes waiting per shard. What is drawn beyond that is dropped: ids are skipped, never repeated.
const WAITING_MAX: usize = 64;
/// Draws for one code, per shard there is. A draw fits with probability 1/shards, so all of them miss
/// once in e^32 calls.
const DRAWS_PER_SHARD_MAX: u32 = 32;
/// Blocks leased for one code. One or two suffice; the configuration keeps a block no smaller than the number
/// of shards, so that as many draws as above fit into these.
const LEASES_MAX: u32 = 64;

/// A run of one shard's counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Whose counter.
    pub shard: u32,
    /// The first number.
    pub next: u64,
    /// The number after the last.
    pub end: u64,
}

/// Why there is no code.
#[derive(Debug, PartialEq, Eq)]
pub enum DrawError<E> {
    /// No block could be leased.
    Lease(E),
    /// All codes there are have been used, or luck failed beyond all bounds.
    Exhausted,
}

/// The allocator of one process.
pub struct Allocator {
    codes: Codes,
    shards: u32,
    shard_of: Box<dyn Fn(&Name) -> u32 + Send + Sync>,
    drawn: Mutex<Drawn>,
    /// One lease at a time: a hundred creates that find the block empty need one new block, not a hundred.
    /// A lock of the runtime's, because a lease waits for the disk.
    leasing: tokio::sync::Mutex<()>,
}

struct Drawn {
    block: Option<Block>,
    waiting: Box<[VecDeque<Name>]>,
    /// Where the next block, and the next waiting code nobody asked a shard for, come from.
    turn: u32,
}

impl Allocator {
    /// Nothing leased yet. `shard_of` says where a code's row lives.
    #[must_use]
    pub fn new(
        codes: Codes,
        shards: u32,
        shard_of: impl Fn(&Name) -> u32 + Send + Sync + 'static,
    ) -> Allocator {
        let waiting = (0..shards).map(|_| VecDeque::new()).collect();
        Allocator {
            codes,
            shards,
            shard_of: Box::new(shard_of),
            drawn: Mutex::new(Drawn { block: None, waiting, turn: 0 }),
            leasing: tokio::sync::Mutex::new(()),
        }
    }

    /// A code nobody else has or will have, on the `wanted` shard or on any. `lease` is asked for a block of the
    /// given shard when there is none: the wanted one where there is a wish, so that a shard that is down holds
    /// up only its own.
    ///
    /// # Errors
    /// See [`DrawError`].
    pub async fn draw<E, F>(
        &self,
        wanted: Option<u32>,
        lease: impl Fn(u32) -> F,
    ) -> Result<Name, DrawError<E>>
    where
        F: Future<Output = Result<Block, E>>,
    {
        for _ in 0..LEASES_MAX {
            if let Some(name) = self.take(wanted) {
                return Ok(name);
            }
            let _one_at_a_time = self.leasing.lock().await;
            // Whoever held the lock before may have leased for us too.
            if let Some(name) = self.take(wanted) {
                return Ok(name);
            }
            let shard = wanted.unwrap_or_else(|| self.next_turn());
            let block = lease(shard).await.map_err(DrawError::Lease)?;
            if block.end.checked_mul(u64::from(self.shards)).is_none_or(|end| end > codes::SPACE) {
                return Err(DrawError::Exhausted);
            }
            // Taken in the same step, so that nobody uses up a small block before its leaser had one of it.
            if let Some(name) = self.take_after(wanted, |drawn| drawn.block = Some(block)) {
                return Ok(name);
            }
        }
        Err(DrawError::Exhausted)
    }

    /// Takes back a code that was certainly not used.
    pub fn give_back(&self, name: Name) {
        let shard = (self.shard_of)(&name);
        self.drawn().wait(shard, name);
    }

    fn take(&self, wanted: Option<u32>) -> Option<Name> {
        self.take_after(wanted, |_| {})
    }

    fn take_after(&self, wanted: Option<u32>, change: impl FnOnce(&mut Drawn)) -> Option<Name> {
        let mut drawn = self.drawn();
        change(&mut drawn);
        let first = wanted.unwrap_or(drawn.turn % self.shards);
        if let Some(name) = drawn.waiting[first as usize].pop_front() {
            return Some(name);
        }
        for _ in 0..self.shards.saturating_mul(DRAWS_PER_SHARD_MAX) {
            // An id without a code (a reserved word) is skipped.
            let Some(name) = self.codes.code(drawn.next_id(self.shards)?) else { continue };
            let shard = (self.shard_of)(&name);
            if wanted.is_none_or(|wanted| wanted == shard) {
                return Some(name);
            }
            drawn.wait(shard, name);
        }
        None
    }

    fn next_turn(&self) -> u32 {
        let mut drawn = self.drawn();
        drawn.turn = (drawn.turn + 1) % self.shards;
        drawn.turn
    }

    fn drawn(&self) -> MutexGuard<'_, Drawn> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drawn {
    fn next_id(&mut self, shards: u32) -> Option<u64> {
        let block = self.block.as_mut().filter(|b| b.next < b.end)?;
        let counter = block.next;
        block.next += 1;
        Some(counter * u64::from(shards) + u64::from(block.shard))
    }

    fn wait(&mut self, shard: u32, name: Name) {
        let waiting = &mut self.waiting[shard as usize];
        if waiting.len() < WAITING_MAX {
            waiting.push_back(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::convert::Infallible;
    use std::sync::Arc;

    use super::*;

    /// The counters of a store, shared by the allocators of several processes.
    #[derive(Clone)]
    struct Counters(Arc<Mutex<Vec<u64>>>, u64);

    impl Counters {
        fn new(shards: u32, block: u64) -> Counters {
            Counters(Arc::new(Mutex::new(vec![0; shards as usize])), block)
        }

        async fn lease(&self, shard: u32) -> Result<Block, Infallible> {
            let mut counters = self.0.lock().unwrap();
            let next = counters[shard as usize];
            counters[shard as usize] += self.1;
            Ok(Block { shard, next, end: next + self.1 })
        }
    }

    fn shard_of(shards: u32) -> impl Fn(&Name) -> u32 + Send + Sync + 'static {
        move |name| ((u128::from(name.hk() as u64) * u128::from(shards)) >> 64) as u32
    }

    fn process(shards: u32) -> Allocator {
        Allocator::new(Codes::new(&[7; 16]), shards, shard_of(shards))
    }

    #[tokio::test]
    async fn processes_that_come_and_crash_never_repeat_a_code() {
        for (shards, block) in [(1, 10), (3, 10), (8, 100)] {
            let counters = Counters::new(shards, block);
            let mut seen = HashSet::new();
            for life in 0..20 {
                let two = [process(shards), process(shards)];
                for i in 0..50 {
                    // Sometimes a wish, sometimes none; each life ends in the middle of its blocks.
                    let wanted = (i % 3 == 0).then_some((i + life) % shards);
                    for allocator in &two {
                        let name = allocator.draw(wanted, |s| counters.lease(s)).await.unwrap();
                        assert!(wanted.is_none_or(|w| shard_of(shards)(&name) == w));
                        assert!(seen.insert(name.clone()), "{name} twice");
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn codes_drawn_for_other_shards_are_handed_out_later() {
        let counters = Counters::new(2, 100);
        let allocator = process(2);
        let mut names = HashSet::new();
        for i in 0..90 {
            names.insert(allocator.draw(Some(i % 2), |s| counters.lease(s)).await.unwrap());
        }
        assert_eq!(names.len(), 90);
        let leased = counters.0.lock().unwrap().iter().sum::<u64>();
        assert!(leased <= 200, "{leased} ids leased for 90 codes");
    }

    #[tokio::test]
    async fn waiting_codes_are_bounded() {
        let counters = Counters::new(2, 10_000);
        let allocator = process(2);
        for _ in 0..2_000 {
            allocator.draw(Some(0), |s| counters.lease(s)).await.unwrap();
        }
        assert_eq!(allocator.drawn().waiting[1].len(), WAITING_MAX);
    }

    #[tokio::test]
    async fn an_unused_code_is_handed_out_again() {
        let counters = Counters::new(1, 10);
        let allocator = process(1);
        let name = allocator.draw(None, |s| counters.lease(s)).await.unwrap();
        allocator.give_back(name.clone());
        assert_eq!(allocator.draw(Some(0), |s| counters.lease(s)).await, Ok(name));
    }

    #[tokio::test]
    async fn a_store_that_cannot_lease_is_said_so() {
        let failing = |_| async { Err::<Block, _>("disk") };
        assert_eq!(process(1).draw(None, failing).await, Err(DrawError::Lease("disk")));
    }

    #[tokio::test]
    async fn the_end_of_all_codes_is_an_error_not_a_repetition() {
        let beyond = |shard| async move {
            Ok::<_, Infallible>(Block { shard, next: codes::SPACE - 1, end: codes::SPACE + 1 })
        };
        assert_eq!(process(1).draw(None, beyond).await, Err(DrawError::Exhausted));
    }
}
