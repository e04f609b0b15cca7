//! Calls that have begun and not ended, in the order in which they will.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Mono;

/// Calls in flight at once. A trace with more is none of one service: at 10 s each it would be 100,000 a
/// second.
pub const IN_FLIGHT_MAX: usize = 1_000_000;

/// The trace has more than [`IN_FLIGHT_MAX`] calls in flight at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "more than {IN_FLIGHT_MAX} calls in flight at once; are the latencies right? Else replay a part of the trace"
)]
pub struct Crowded;

#[derive(Debug)]
pub(super) struct Flight<T> {
    ends: BinaryHeap<Reverse<End<T>>>,
    begun: u64,
}

#[derive(Debug)]
struct End<T> {
    at: Mono,
    /// Calls that end together do so in the order in which they began.
    order: u64,
    call: T,
}

impl<T> Flight<T> {
    pub(super) fn new() -> Flight<T> {
        Flight { ends: BinaryHeap::new(), begun: 0 }
    }

    pub(super) fn begin(&mut self, ends: Mono, call: T) -> Result<(), Crowded> {
        if self.ends.len() == IN_FLIGHT_MAX {
            return Err(Crowded);
        }
        self.begun += 1;
        self.ends.push(Reverse(End { at: ends, order: self.begun, call }));
        Ok(())
    }

    /// The next call that ends until `now`, and when; `None` as time means whenever.
    pub(super) fn end(&mut self, now: Option<Mono>) -> Option<(Mono, T)> {
        let next = self.ends.peek()?;
        if now.is_some_and(|now| next.0.at > now) {
            return None;
        }
        self.ends.pop().map(|Reverse(end)| (end.at, end.call))
    }

    /// Forgets those that ended until `now`.
    pub(super) fn end_until(&mut self, now: Mono) {
        while self.end(Some(now)).is_some() {}
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }
}

impl<T> PartialEq for End<T> {
    fn eq(&self, other: &End<T>) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for End<T> {}

impl<T> PartialOrd for End<T> {
    fn partial_cmp(&self, other: &End<T>) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for End<T> {
    fn cmp(&self, other: &End<T>) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
