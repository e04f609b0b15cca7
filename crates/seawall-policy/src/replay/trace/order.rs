//! Puts records in the order in which the calls began.
//!
//! A log is written in the order in which calls end. One that took 10 s stands behind all that began and
//! ended meanwhile, so a bounded number of records waits here for late ones.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::super::Record;

/// Records that wait for late ones: the longest a request of the balancer's may take by default (10 s) at
/// 6,500 requests a second.
pub const OUT_OF_ORDER_MAX: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Order {
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// Ties keep the order of the lines.
    lines: u64,
    /// When the last one began that was let go, in microseconds.
    latest: Option<i64>,
}

#[derive(Debug)]
struct Waiting {
    us: i64,
    line: u64,
    record: Record,
}

impl Order {
    /// Takes one in, and lets the earliest go when too many wait. How many microseconds too late it came, if
    /// it did.
    pub(super) fn put(&mut self, us: i64, record: Record) -> Result<Option<(i64, Record)>, i64> {
        if let Some(latest) = self.latest.filter(|latest| us < *latest) {
            return Err(latest - us);
        }
        self.lines += 1;
        self.waiting.push(Reverse(Waiting { us, line: self.lines, record }));
        Ok(if self.waiting.len() > OUT_OF_ORDER_MAX { self.take() } else { None })
    }

    /// The earliest of those that wait.
    pub(super) fn take(&mut self) -> Option<(i64, Record)> {
        let Reverse(first) = self.waiting.pop()?;
        self.latest = Some(first.us);
        Some((first.us, first.record))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Waiting) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Waiting) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Waiting) -> std::cmp::Ordering {
        (self.us, self.line).cmp(&(other.us, other.line))
    }
}
