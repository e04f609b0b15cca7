//! Stale reads: a second after a write was acknowledged, another client must not be shown anything older.
//!
//! Each write carries a stamp. A write is *older* than another when it was acknowledged before the other began; two at
//! the same time have no order, and either may be what stays. A read that shows an older write than the one checked,
//! a second after that one's acknowledgement, is stale. What is not there any more must have been deleted by somebody
//! who is not older.

use std::collections::{HashMap, VecDeque};

use super::op::Key;

/// From a write's acknowledgement to the check, nanoseconds.
pub(super) const AFTER: u64 = 1_000_000_000;
/// Checks that wait at a time; more writes than that go unchecked.
pub(super) const WAITING_MAX: usize = 2_000;

/// When a write began, and when it was acknowledged.
#[derive(Debug, Clone, Copy)]
struct Write {
    began: u64,
    acknowledged: u64,
}

/// A check to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Check {
    pub due: u64,
    pub key: Key,
    stamp: u32,
}

/// Every write to one contender.
#[derive(Debug)]
pub(super) struct Ledger {
    /// By stamp; 0 is what was there from the beginning.
    writes: Vec<Write>,
    /// The last deletion of what was deleted.
    deleted: HashMap<Key, u32>,
    waiting: VecDeque<Check>,
    pub checked: u64,
    pub stale: u64,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger {
            writes: vec![Write { began: 0, acknowledged: 0 }],
            deleted: HashMap::new(),
            waiting: VecDeque::new(),
            checked: 0,
            stale: 0,
        }
    }
}

impl Ledger {
    /// A write begins; its stamp.
    pub(super) fn begin(&mut self, key: Key, is_deletion: bool, now: u64) -> u32 {
        let stamp = self.writes.len() as u32;
        self.writes.push(Write { began: now, acknowledged: u64::MAX });
        if is_deletion {
            self.deleted.insert(key.either_way(), stamp);
        }
        stamp
    }

    /// It was acknowledged, and will be checked if there is room.
    pub(super) fn acknowledge(&mut self, key: Key, stamp: u32, now: u64) {
        self.writes[stamp as usize].acknowledged = now;
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(Check { due: now + AFTER, key, stamp });
        }
    }

    /// The next check, if one is due.
    pub(super) fn due(&mut self, now: u64) -> Option<Check> {
        if self.waiting.front()?.due > now { None } else { self.waiting.pop_front() }
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.waiting.front().map(|check| check.due)
    }

    /// What the check's read showed.
    pub(super) fn seen(&mut self, check: Check, shown: Option<u32>) {
        let wanted = self.writes[check.stamp as usize];
        let deleted = self.deleted.get(&check.key.either_way()).copied();
        let is_gone = shown.is_none() && deleted.is_some();
        let shown = shown.or(deleted);
        // An object that is gone stays gone: a change that came after its deletion found nothing to change.
        let stays_gone = is_gone && matches!(check.key, Key::Object(_));
        let is_fresh = shown.and_then(|stamp| self.writes.get(stamp as usize).map(|write| (stamp, write)));
        let is_fresh =
            is_fresh.is_some_and(|(stamp, write)| stamp == check.stamp || write.acknowledged >= wanted.began);
        self.checked += 1;
        self.stale += u64::from(!is_fresh && !stays_gone);
    }
}

#[cfg(test)]
mod tests {
    use super::super::op::{Edge, Kind};
    use super::*;

    const KEY: Key = Key::Edge(Edge { id1: 7, kind: Kind::Other, id2: 8 });

    /// Writes (begin, acknowledged, deletes), then a check of the one at `checked` that shows `shown`: stale?
    fn is_stale(writes: &[(u64, u64, bool)], checked: usize, shown: Option<u32>) -> bool {
        let mut ledger = Ledger::default();
        let stamps: Vec<u32> =
            writes.iter().map(|(began, _, deletes)| ledger.begin(KEY, *deletes, *began)).collect();
        for (stamp, (_, acknowledged, _)) in stamps.iter().zip(writes) {
            ledger.acknowledge(KEY, *stamp, *acknowledged);
        }
        let check = Check { due: 0, key: KEY, stamp: stamps[checked] };
        ledger.seen(check, shown);
        ledger.stale == 1
    }

    #[test]
    fn only_what_is_older_is_stale() {
        let one_after_the_other = [(10, 20, false), (30, 40, false)];
        assert!(!is_stale(&one_after_the_other, 1, Some(2)));
        assert!(!is_stale(&one_after_the_other, 0, Some(2)), "newer is fresh");
        assert!(is_stale(&one_after_the_other, 1, Some(1)));
        assert!(is_stale(&one_after_the_other, 1, Some(0)), "what was there at first");
        assert!(is_stale(&one_after_the_other, 1, None), "nobody deleted it");
        let at_the_same_time = [(10, 35, false), (30, 40, false)];
        assert!(!is_stale(&at_the_same_time, 1, Some(1)), "either may stay");
    }

    #[test]
    fn what_was_deleted_may_be_gone_and_must_not_come_back() {
        let deleted = [(10, 20, false), (30, 40, true)];
        assert!(!is_stale(&deleted, 1, None));
        assert!(!is_stale(&deleted, 0, None));
        assert!(is_stale(&deleted, 1, Some(1)));
        let written_again = [(10, 20, true), (30, 40, false)];
        assert!(is_stale(&written_again, 1, None));
    }

    #[test]
    fn a_change_of_an_object_that_was_deleted_changes_nothing() {
        let (object, mut ledger) = (Key::Object(1), Ledger::default());
        let gone = ledger.begin(object, true, 10);
        ledger.acknowledge(object, gone, 20);
        let changed = ledger.begin(object, false, 30);
        ledger.acknowledge(object, changed, 40);
        let check = Check { due: 0, key: object, stamp: changed };
        ledger.seen(check, None);
        assert_eq!(ledger.stale, 0);
        ledger.seen(check, Some(0));
        assert_eq!(ledger.stale, 1);
    }

    #[test]
    fn checks_come_a_second_later_and_their_number_is_bounded() {
        let mut ledger = Ledger::default();
        for _ in 0..WAITING_MAX + 10 {
            let stamp = ledger.begin(KEY, false, 1);
            ledger.acknowledge(KEY, stamp, 5);
        }
        assert_eq!((ledger.due(AFTER + 4), ledger.next_due()), (None, Some(AFTER + 5)));
        let mut count = 0;
        while let Some(check) = ledger.due(AFTER + 5) {
            ledger.seen(check, Some(check.stamp));
            count += 1;
        }
        assert_eq!((count, ledger.checked, ledger.stale), (WAITING_MAX, WAITING_MAX as u64, 0));
    }
}
