//! Consistent hashing: who owns a key, when owners come and go.
//!
//! ## How much moves
//!
//! The chat document gives N/(N+1) for adding one to N; that would be 91 % for 10 → 11. Its example, 9 %, is
//! the right one: the newcomer takes 1/(N+1), k newcomers take k/(N+k), and nothing moves between those who
//! were there.
//!
//! ## Why 8,192 points
//!
//! A member's share is the sum of its points' arcs, so it strays from the mean by about 1/√points. The link
//! document's 100 points of crc32 gave a busiest shard of 1.23, 1.40 and 1.45 times the mean for 4, 8 and 16
//! shards: with 16 shards, 45 % more machine for nothing. 1,000 points of xxh3 keep it below 1.10 there, and
//! are the fewest a member gets; of rings with a hundred members, one in ten still has a busier one.
//!
//! The share that k of n members hold together, which is what moves with them, strays too: by
//! √(k/n · (1 − k/n) / (n · points)), most for one of two. At 1,000 points that is 1.1 %, and one pair of
//! names in 29 moves more than 2 % above its due. At 8,192 it is 0.4 %, and one in six million does. So the
//! default is 8,192. They cost 13 bytes each, 1.7 MiB for 16 members, and nothing on a look-up, which knows
//! from the hash where to begin.
//!
//! ## When some keys are hotter than others
//!
//! Even arcs are even load only while keys are many and alike. [`Bound`] caps what one member may hold and
//! passes the rest on; see [`Ring::owner_below`] for requests and [`Ring::assign`] for a set of keys.

mod bounded;

use std::fmt::Display;

use super::hash;

pub use self::bounded::{Bound, BoundError};

/// Points of a member of weight 1 where nobody has a reason to say otherwise. See the module's text.
pub const POINTS_DEFAULT: u32 = 8_192;

/// Fewest points of a member of weight 1; fewer asked for means this many.
pub const POINTS_MIN: u32 = 1_000;

/// Most points of a whole ring (26 MiB): 256 members at the default. With more asked for, every member gives
/// up the same share of its points and keeps at least one. Beyond this, a change of members is also a change
/// of everybody's points: one more than n moves about 1/n between those who were there.
pub const POINTS_MAX: u64 = 1 << 21;

/// Members on a circle of 2^64 hashes. Immutable: build a new one when members change.
#[derive(Debug, Clone)]
pub struct Ring<T> {
    members: Box<[T]>,
    /// One for each member.
    weights: Box<[u32]>,
    weights_sum: u64,
    /// Ascending. Apart from `owners`, so that the search reads nothing else.
    points: Box<[u64]>,
    /// For each point, whose it is: an index into `members`.
    owners: Box<[u32]>,
    jump: Jump,
}

/// Where to begin looking: for each of 2^bits equal slices of the circle, the first point that is not before
/// it. Points are spread evenly, so that a slice has some four of them, and a look-up reads three places in
/// memory instead of the dozen that a search of all points would.
#[derive(Debug, Clone)]
struct Jump {
    /// One more than there are slices; the last is the number of points.
    firsts: Box<[u32]>,
    /// A hash shifted right by this is its slice.
    shift: u32,
}

impl Jump {
    fn new(points: &[u64]) -> Jump {
        let bits = points.len().max(8).ilog2() - 2;
        let (shift, slices) = (64 - bits, 1u64 << bits);
        let mut at = 0;
        let first = |slice: u64| {
            at += points[at..].iter().take_while(|point| **point < slice << shift).count();
            at as u32
        };
        Jump { firsts: (0..slices).map(first).chain([points.len() as u32]).collect(), shift }
    }

    /// The first point at or after `hash`; their number when all are before it.
    #[inline]
    fn find(&self, points: &[u64], hash: u64) -> usize {
        let slice = (hash >> self.shift) as usize;
        let (from, to) = (self.firsts[slice] as usize, self.firsts[slice + 1] as usize);
        from + points[from..to].partition_point(|point| *point < hash)
    }
}

impl<T: Clone + Display> Ring<T> {
    /// A ring of `members` with their weights: weight 2 owns twice as much as weight 1, weight 0 owns
    /// nothing.
    ///
    /// A member's points come from what it displays as (`"10.0.0.3:7010"`, `"gateway-3"`), so every node that
    /// knows the same names builds the same ring, in whichever order it learnt them. No two may display
    /// alike: one of them would own nothing.
    #[must_use]
    pub fn new(members: &[(T, u32)], points_per_member: u32) -> Ring<T> {
        let points_max = u128::from(POINTS_MAX);
        let wanted = |weight: u32| u128::from(points_per_member.max(POINTS_MIN)) * u128::from(weight);
        let asked = members.iter().map(|(_, weight)| wanted(*weight)).sum::<u128>();
        let named = by_name(members);
        let mut points = Vec::with_capacity(asked.min(points_max) as usize + members.len());
        for (index, (name, _, weight)) in named.iter().enumerate() {
            let given = (wanted(*weight) * points_max / asked.max(points_max)).max(u128::from(*weight > 0));
            let member = hash::of(name.as_bytes());
            points.extend((0..given as u64).map(|i| (hash::draw(member, i), index as u32)));
        }
        points.sort_unstable();
        let (points, owners): (Vec<u64>, Vec<u32>) = points.into_iter().unzip();
        Ring {
            members: named.iter().map(|(_, member, _)| (*member).clone()).collect(),
            weights: named.iter().map(|(_, _, weight)| *weight).collect(),
            weights_sum: named.iter().map(|(_, _, weight)| u64::from(*weight)).sum(),
            jump: Jump::new(&points),
            points: points.into(),
            owners: owners.into(),
        }
    }
}

/// By name, so that whatever two members tie for is decided the same way everywhere.
pub(super) fn by_name<T: Display>(members: &[(T, u32)]) -> Vec<(String, &T, u32)> {
    let mut named: Vec<_> = members.iter().map(|(member, w)| (member.to_string(), member, *w)).collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    named
}

impl<T> Ring<T> {
    /// Who owns the key with this hash (see [`hash::of`]): the first point at or after it, around the end if
    /// need be. `None` when nobody has any points.
    #[must_use]
    #[inline]
    pub fn owner(&self, key_hash: u64) -> Option<&T> {
        self.walk(key_hash).next().map(|member| &self.members[member])
    }

    /// The owner and those who would own the key if it were not there, in that order: at most `n`, each once.
    #[must_use]
    pub fn owners(&self, key_hash: u64, n: usize) -> Vec<&T> {
        let n = n.min(self.members.len());
        let mut found: Vec<usize> = Vec::with_capacity(n);
        // One turn at most; members of weight 0 are on no point and are never found.
        for member in self.walk(key_hash) {
            if found.len() == n {
                break;
            }
            if !found.contains(&member) {
                found.push(member);
            }
        }
        found.into_iter().map(|member| &self.members[member]).collect()
    }

    /// One turn around the circle, from `key_hash` on: whose each point is.
    fn walk(&self, key_hash: u64) -> impl Iterator<Item = usize> {
        let at = self.jump.find(&self.points, key_hash);
        let (before, after) = self.owners.split_at(at);
        after.iter().chain(before).map(|member| *member as usize)
    }

    /// The members, by name.
    #[must_use]
    pub fn members(&self) -> &[T] {
        &self.members
    }

    /// What part of the circle each of [`members`](Ring::members) owns: exactly, not by a sample of keys.
    #[must_use]
    pub fn shares(&self) -> Vec<f64> {
        let mut shares = vec![0.0; self.members.len()];
        let mut before = self.points.last().copied().unwrap_or(0);
        for (point, owner) in self.points.iter().zip(&self.owners) {
            shares[*owner as usize] += point.wrapping_sub(before) as f64 / 2f64.powi(64);
            before = *point;
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u64 = 100_000;

    fn ring(n: u32) -> Ring<String> {
        let members: Vec<_> = (0..n).map(|i| (format!("10.0.0.{i}:7010"), 1)).collect();
        Ring::new(&members, 1_000)
    }

    fn keys() -> impl Iterator<Item = u64> {
        (0..KEYS).map(|i| hash::of(&i.to_be_bytes()))
    }

    #[test]
    fn ten_gateways_to_eleven_move_nine_per_cent_and_only_to_the_newcomer() {
        let (ten, eleven) = (ring(10), ring(11));
        let moved: Vec<u64> = keys().filter(|k| ten.owner(*k) != eleven.owner(*k)).collect();
        let share = moved.len() as f64 / KEYS as f64;
        assert!((share - 1.0 / 11.0).abs() < 0.01, "moved {share}");
        assert!(moved.iter().all(|k| eleven.owner(*k).unwrap() == "10.0.0.10:7010"));
    }

    #[test]
    fn one_more_than_n_moves_one_in_n_plus_one() {
        for n in [1, 2, 4, 8, 16, 32] {
            let (before, after) = (ring(n), ring(n + 1));
            let share = keys().filter(|k| before.owner(*k) != after.owner(*k)).count() as f64 / KEYS as f64;
            let fair = 1.0 / f64::from(n + 1);
            assert!((share / fair - 1.0).abs() < 0.12, "{n}: moved {share}, fair is {fair}");
        }
    }

    #[test]
    fn at_a_thousand_points_the_busiest_of_4_8_and_16_has_at_most_a_tenth_more_than_the_mean() {
        for n in [4, 8, 16] {
            let shares = ring(n).shares();
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            let busiest = shares.iter().copied().fold(0.0, f64::max) * f64::from(n);
            assert!(busiest <= 1.10, "{n} members: {busiest}");
        }
    }

    #[test]
    fn half_the_weight_is_half_the_keys_and_none_is_none() {
        let ring = Ring::new(&[("a".to_owned(), 2), ("b".to_owned(), 1), ("c".to_owned(), 0)], 1_000);
        let shares = ring.shares();
        assert!((shares[0] - 2.0 / 3.0).abs() < 0.04 && shares[2] == 0.0, "{shares:?}");
        assert_eq!(ring.owners(7, 3).len(), 2);
    }

    #[test]
    fn the_order_of_configuration_does_not_matter() {
        let a = Ring::new(&[("x", 1), ("y", 1), ("z", 1)], 1_000);
        let b = Ring::new(&[("z", 1), ("x", 1), ("y", 1)], 1_000);
        assert!(keys().take(1_000).all(|k| a.owner(k) == b.owner(k)));
    }

    #[test]
    fn a_key_on_a_point_belongs_to_it_and_one_past_the_last_to_the_first() {
        let ring = ring(4);
        for i in [0, 1, 2_000, ring.points.len() - 1] {
            let next = (i + 1) % ring.points.len();
            let whose = |i: usize| Some(&ring.members[ring.owners[i] as usize]);
            assert_eq!(ring.owner(ring.points[i]), whose(i));
            assert_eq!(ring.owner(ring.points[i].wrapping_add(1)), whose(next));
        }
        assert_eq!(ring.owner(u64::MAX), ring.owner(0));
    }

    #[test]
    fn a_lost_owner_is_followed_by_the_second_in_line() {
        let eleven = ring(11);
        let ten = Ring::new(&eleven.members[1..].iter().map(|m| (m.clone(), 1)).collect::<Vec<_>>(), 1_000);
        for key in keys().take(10_000) {
            let line = eleven.owners(key, 2);
            let heir = if *line[0] == eleven.members[0] { line[1] } else { line[0] };
            assert_eq!(ten.owner(key), Some(heir));
        }
    }

    #[test]
    fn an_empty_ring_has_no_owner() {
        let nobody = Ring::<String>::new(&[], 1_000);
        assert!(nobody.owner(1).is_none() && nobody.owners(1, 3).is_empty() && nobody.shares().is_empty());
    }

    #[test]
    fn weights_beyond_all_reason_still_fit_in_memory_and_leave_nobody_out() {
        let ring = Ring::new(&[("a", u32::MAX), ("b", u32::MAX), ("c", 1)], u32::MAX);
        assert!(ring.points.len() as u64 <= POINTS_MAX + 3);
        assert_eq!(ring.owners(0, 3).len(), 3);
    }
}
