//! Who is still there: everyone whose lease was renewed in time.
//!
//! ## What must never happen
//!
//! That the one who counts was away, and believes everyone else was. A registry that slept for two minutes
//! (SIGSTOP, a long pause, a laptop's lid) wakes to find every lease expired, though each client renewed on
//! time into a socket nobody read. A new leader, or a node that just loaded a snapshot, holds only old times
//! of renewal: Nacos deleted most of its instances that way on scaling (its issue 7697; loading 300,000
//! instances took 16 s, the time-out was 15). So after a restart, a change of leader, or a gap between two
//! steps longer than [`Table::new`] was told, every lease gets a full fresh time to live. The price:
//! something that did die in the gap is noticed one TTL later.
//!
//! ## What a renewal costs
//!
//! 100,000 leases renewed every 10 s are 10,000 renewals a second, against a handful of expiries. So a
//! renewal only writes the new time into the table (one hash look-up); the heap that orders expiries still
//! holds the old time, and an entry that comes up too early is put back at the right one: one heap step per
//! lease and TTL, not per renewal.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use crate::Mono;

/// Heap entries looked at in one call of [`Table::expired`]: at about 100 ns each well below a millisecond.
/// Ask again at once when as many came back, or when [`Table::next_deadline`] is not later than now.
pub const STEP_MAX: usize = 4_096;

/// Left-over heap entries tolerated beside as many as there are leases, so that small tables are not rebuilt
/// all the time.
const LEFTOVER_MIN: usize = 64;

/// Leases by key.
#[derive(Debug)]
pub struct Table<K> {
    leases: HashMap<K, Lease>,
    /// At least one entry per lease, at or before the lease's real end; the lease's `serial` tells which
    /// entry is current.
    order: BinaryHeap<Entry<K>>,
    serial: u64,
    pause_max: Duration,
    stepped: Option<Mono>,
}

#[derive(Debug)]
struct Lease {
    ttl: Duration,
    until: Mono,
    serial: u64,
}

#[derive(Debug)]
struct Entry<K> {
    at: Mono,
    serial: u64,
    key: K,
}

impl<K: Clone + Eq + Hash> Table<K> {
    /// No leases. When more than `pause_max` lies between two calls of [`Table::expired`], this process was
    /// away and no one is expired for it; use several times the interval at which you call, and less than the
    /// shortest TTL.
    #[must_use]
    pub fn new(pause_max: Duration) -> Table<K> {
        Table { leases: HashMap::new(), order: BinaryHeap::new(), serial: 0, pause_max, stepped: None }
    }

    /// Grants `key` a lease of `ttl` from now, or replaces the one it has.
    pub fn grant(&mut self, key: K, ttl: Duration, now: Mono) {
        self.serial += 1;
        let lease = Lease { ttl, until: now + ttl, serial: self.serial };
        self.order.push(Entry { at: lease.until, serial: lease.serial, key: key.clone() });
        self.leases.insert(key, lease);
        self.sweep();
    }

    /// Extends the lease by its full time from now. False when there is none: the client must register again.
    ///
    /// A lease past its end that nobody has collected yet is renewed like any other: the client was there.
    pub fn renew(&mut self, key: &K, now: Mono) -> bool {
        match self.leases.get_mut(key) {
            Some(lease) => {
                // A renewal handled late must not shorten what a later one gave.
                lease.until = lease.until.max(now + lease.ttl);
                true
            }
            None => false,
        }
    }

    /// Ends a lease early, as when its holder says goodbye. False when there was none.
    pub fn remove(&mut self, key: &K) -> bool {
        let held = self.leases.remove(key).is_some();
        self.sweep();
        held
    }

    /// Takes out and returns those whose lease has ended, earliest first, at most [`STEP_MAX`] in one call.
    /// After a pause: none, and everyone has a fresh lease.
    pub fn expired(&mut self, now: Mono) -> Vec<K> {
        if self.has_paused(now) {
            self.refresh_all(now);
        }
        self.stepped = self.stepped.max(Some(now));
        let mut ended = Vec::new();
        for _ in 0..STEP_MAX {
            match self.order.peek() {
                Some(entry) if entry.at <= now => {}
                _ => break,
            }
            let Some(entry) = self.order.pop() else { break };
            match self.leases.get(&entry.key) {
                Some(lease) if lease.serial != entry.serial => {}
                Some(lease) if lease.until > now => self.order.push(Entry { at: lease.until, ..entry }),
                Some(_) => {
                    self.leases.remove(&entry.key);
                    ended.push(entry.key);
                }
                None => {}
            }
        }
        ended
    }

    /// Gives every lease its full time from now: after a restart, on becoming leader, and after a pause.
    pub fn refresh_all(&mut self, now: Mono) {
        for lease in self.leases.values_mut() {
            lease.until = lease.until.max(now + lease.ttl);
        }
        self.stepped = Some(now);
        self.rebuild();
    }

    /// Whether this process was away: the last step is longer ago than it may be. [`Table::expired`] asks
    /// this itself.
    #[must_use]
    pub fn has_paused(&self, now: Mono) -> bool {
        self.stepped.is_some_and(|stepped| now.since(stepped) > self.pause_max)
    }

    /// When to call [`Table::expired`] next; not later than the first lease ends, possibly earlier. `None`
    /// without leases.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        if self.leases.is_empty() { None } else { self.order.peek().map(|entry| entry.at) }
    }

    /// How many hold a lease.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether nobody does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// Throws left-over entries away before they outnumber the leases: coming and going must not fill the
    /// memory.
    fn sweep(&mut self) {
        if self.order.len() > 2 * self.leases.len() + LEFTOVER_MIN {
            self.rebuild();
        }
    }

    fn rebuild(&mut self) {
        let Table { leases, order, .. } = self;
        order.clear();
        order.extend(leases.iter().map(|(key, l)| Entry { at: l.until, serial: l.serial, key: key.clone() }));
    }
}

/// Earliest first, then in the order of granting, so that the same history gives the same answers.
impl<K> Ord for Entry<K> {
    fn cmp(&self, other: &Entry<K>) -> Ordering {
        (other.at, other.serial).cmp(&(self.at, self.serial))
    }
}

impl<K> PartialOrd for Entry<K> {
    fn partial_cmp(&self, other: &Entry<K>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> PartialEq for Entry<K> {
    fn eq(&self, other: &Entry<K>) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K> Eq for Entry<K> {}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }
    const TTL: Duration = Duration::from_secs(90);

    /// Steps every second, as a registry does.
    fn second_by_second(table: &mut Table<u32>, seconds: std::ops::Range<u64>) -> Vec<(u64, u32)> {
        seconds.flat_map(|s| table.expired(at(s)).into_iter().map(move |k| (s, k))).collect()
    }

    fn table() -> Table<u32> {
        Table::new(Duration::from_secs(10))
    }

    #[test]
    fn ninety_seconds_without_a_heartbeat_end_a_lease() {
        let mut t = table();
        t.grant(1, TTL, at(0));
        assert_eq!(second_by_second(&mut t, 0..200), [(90, 1)]);
        assert!(t.is_empty() && t.next_deadline().is_none());
        assert!(!t.renew(&1, at(200)), "whoever expired must register again");
    }

    #[test]
    fn a_heartbeat_every_thirty_seconds_keeps_it() {
        let mut t = table();
        t.grant(1, TTL, at(0));
        for s in 0..3_600 {
            if s % 30 == 0 {
                assert!(t.renew(&1, at(s)));
            }
            assert!(t.expired(at(s)).is_empty());
        }
    }

    #[test]
    fn a_registry_stopped_for_two_minutes_evicts_nobody() {
        let mut t = table();
        (0..1_000).for_each(|k| t.grant(k, TTL, at(0)));
        assert!(second_by_second(&mut t, 0..60).is_empty());
        // SIGSTOP from 60 to 180: all would be long past.
        assert!(t.expired(at(180)).is_empty());
        assert_eq!(t.len(), 1_000);
        let ended = second_by_second(&mut t, 181..400);
        assert!(
            ended.len() == 1_000 && ended.iter().all(|(s, _)| *s == 180 + 90),
            "a full fresh TTL, and no more"
        );
    }

    #[test]
    fn a_change_of_leader_gives_every_lease_its_full_time() {
        let mut t = table();
        t.grant(1, TTL, at(0));
        t.grant(2, Duration::from_secs(15), at(0));
        t.refresh_all(at(100));
        assert_eq!(second_by_second(&mut t, 100..300), [(115, 2), (190, 1)]);
    }

    #[test]
    fn the_first_step_of_all_is_no_pause() {
        let mut t = table();
        t.grant(1, TTL, at(1_000));
        assert!(!t.has_paused(at(5_000)));
        assert_eq!(t.expired(at(5_000)), [1]);
    }

    #[test]
    fn goodbye_takes_effect_at_once() {
        let mut t = table();
        t.grant(1, TTL, at(0));
        assert!(t.remove(&1) && !t.remove(&1));
        assert!(second_by_second(&mut t, 0..200).is_empty());
    }

    #[test]
    fn registering_again_replaces_the_lease_shorter_or_longer() {
        let mut t = table();
        t.grant(1, TTL, at(0));
        t.grant(1, Duration::from_secs(5), at(1));
        t.grant(2, Duration::from_secs(5), at(1));
        t.grant(2, TTL, at(2));
        assert_eq!(second_by_second(&mut t, 0..200), [(6, 1), (92, 2)]);
    }

    #[test]
    fn a_mass_expiry_is_handed_out_in_bounded_steps() {
        let mut t = table();
        (0..10_000).for_each(|k| t.grant(k, TTL, at(0)));
        assert!(t.expired(at(0)).is_empty());
        t.stepped = Some(at(89));
        let steps: Vec<usize> = (0..4).map(|_| t.expired(at(90)).len()).collect();
        assert_eq!(steps, [STEP_MAX, STEP_MAX, 10_000 - 2 * STEP_MAX, 0]);
    }

    #[test]
    fn coming_and_going_does_not_fill_the_memory() {
        let mut t = table();
        for k in 0..100_000 {
            t.grant(k, TTL, at(0));
            t.remove(&k);
        }
        assert!(t.order.len() <= LEFTOVER_MIN + 2, "{}", t.order.len());
    }

    proptest::proptest! {
        /// Against a list that is searched in full at every step.
        #[test]
        fn equals_a_plain_list(ops in proptest::collection::vec((0u8..4, 0u32..6, 1u64..8, 0u64..5), 1..200)) {
            let mut t = Table::new(Duration::from_secs(1_000));
            let mut plain: Vec<(u32, u64, u64)> = Vec::new(); // key, ttl, until
            let mut now = 0;
            for (op, key, ttl, pass) in ops {
                now += pass;
                match op {
                    0 => {
                        t.grant(key, Duration::from_secs(ttl), at(now));
                        plain.retain(|l| l.0 != key);
                        plain.push((key, ttl, now + ttl));
                    }
                    1 => {
                        let held = plain.iter_mut().find(|l| l.0 == key).map(|l| l.2 = now + l.1).is_some();
                        proptest::prop_assert_eq!(t.renew(&key, at(now)), held);
                    }
                    2 => {
                        let held = plain.iter().any(|l| l.0 == key);
                        plain.retain(|l| l.0 != key);
                        proptest::prop_assert_eq!(t.remove(&key), held);
                    }
                    _ => {
                        let mut ended = t.expired(at(now));
                        ended.sort_unstable();
                        let mut expected: Vec<u32> = plain.iter().filter(|l| l.2 <= now).map(|l| l.0).collect();
                        expected.sort_unstable();
                        plain.retain(|l| l.2 > now);
                        proptest::prop_assert_eq!(ended, expected);
                    }
                }
                let first = plain.iter().map(|l| at(l.2)).min();
                proptest::prop_assert!(t.next_deadline() <= first || first.is_none());
                proptest::prop_assert_eq!(t.next_deadline().is_none(), first.is_none());
                proptest::prop_assert_eq!(t.len(), plain.len());
            }
        }
    }
}
