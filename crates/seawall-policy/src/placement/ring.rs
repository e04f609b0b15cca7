//! Consistent hashing: who owns a key, when owners come and go.
//!
//! ## How much moves
//!
//! The chat document gives N/(N+1) for adding one to N; that would be 91 % for 10 → 11. Its example, 9 %, is
//! the right one: the newcomer takes 1/(N+1), and nothing moves between those who were there.
//!
//! ## Why 1,000 points
//!
//! A member's share is the sum of its points' arcs, so it strays from the mean by about 1/√points. The link
//! document's 100 points of crc32 gave a busiest shard of 1.24, 1.41 and 1.45 times the mean for 4, 8 and 16
//! shards: with 16 shards, 45 % more machine for nothing. 1,000 points of xxh3 keep it below 1.10. They cost
//! 16 bytes each and one more comparison for every doubling: 16 members are 256 KiB and 14 steps of a binary
//! search.

use std::fmt::Display;

use super::hash;

/// Fewest points of a member of weight 1; fewer asked for means this many.
pub const POINTS_MIN: u32 = 1_000;

/// Most points of a whole ring (16 MiB). With more asked for, every member gives up the same share of its
/// points.
pub const POINTS_MAX: u64 = 1 << 20;

/// Members on a circle of 2^64 hashes. Immutable: build a new one when members change.
#[derive(Debug, Clone)]
pub struct Ring<T> {
    members: Box<[T]>,
    /// Hash and index into `members`, ascending.
    points: Box<[(u64, u32)]>,
}

impl<T: Clone + Display> Ring<T> {
    /// A ring of `members` with their weights: weight 2 owns twice as much as weight 1, weight 0 owns
    /// nothing.
    ///
    /// A member's points come from what it displays as (`"10.0.0.3:7010"`, `"gateway-3"`), so every node that
    /// knows the same names builds the same ring, in whichever order it learnt them.
    #[must_use]
    pub fn new(members: &[(T, u32)], points_per_member: u32) -> Ring<T> {
        let points_max = u128::from(POINTS_MAX);
        let wanted = |weight: u32| u128::from(points_per_member.max(POINTS_MIN)) * u128::from(weight);
        let asked = members.iter().map(|(_, weight)| wanted(*weight)).sum::<u128>();
        let mut named: Vec<(String, &T, u32)> = members.iter().map(|(m, w)| (m.to_string(), m, *w)).collect();
        // By name, so that two points that collide are decided the same way everywhere.
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let mut points = Vec::with_capacity(asked.min(points_max) as usize);
        for (index, (name, _, weight)) in named.iter().enumerate() {
            let given = wanted(*weight) * points_max / asked.max(points_max);
            points.extend((0..given as u64).map(|i| (hash::point(name.as_bytes(), i), index as u32)));
        }
        points.sort_unstable();
        let members = named.into_iter().map(|(_, member, _)| member.clone()).collect();
        Ring { members, points: points.into() }
    }
}

impl<T> Ring<T> {
    /// Who owns the key with this hash (see [`hash::of`]): the first point at or after it, around the end if
    /// need be. `None` when nobody has any points.
    #[must_use]
    #[inline]
    pub fn owner(&self, key_hash: u64) -> Option<&T> {
        self.from(key_hash).next().map(|member| &self.members[member])
    }

    /// The owner and those who would own the key if it were not there, in that order: at most `n`, each once.
    #[must_use]
    pub fn owners(&self, key_hash: u64, n: usize) -> Vec<&T> {
        let n = n.min(self.members.len());
        let mut found: Vec<usize> = Vec::with_capacity(n);
        // One turn at most; members of weight 0 are on no point and are never found.
        for member in self.from(key_hash) {
            if found.len() == n {
                break;
            }
            if !found.contains(&member) {
                found.push(member);
            }
        }
        found.into_iter().map(|member| &self.members[member]).collect()
    }

    /// One turn around the circle, from `key_hash` on.
    fn from(&self, key_hash: u64) -> impl Iterator<Item = usize> {
        let at = self.points.partition_point(|(point, _)| *point < key_hash);
        let (before, after) = self.points.split_at(at);
        after.iter().chain(before).map(|(_, member)| *member as usize)
    }

    /// The members, by name.
    #[must_use]
    pub fn members(&self) -> &[T] {
        &self.members
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

    /// Each member's share of the circle itself, not of a sample of keys.
    fn shares(ring: &Ring<String>) -> Vec<f64> {
        let mut shares = vec![0.0; ring.members.len()];
        let mut before = ring.points[ring.points.len() - 1].0;
        for (point, member) in &ring.points {
            shares[*member as usize] += point.wrapping_sub(before) as f64 / 2f64.powi(64);
            before = *point;
        }
        shares
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
            let shares = shares(&ring(n));
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            let busiest = shares.iter().copied().fold(0.0, f64::max) * f64::from(n);
            assert!(busiest <= 1.10, "{n} members: {busiest}");
        }
    }

    #[test]
    fn half_the_weight_is_half_the_keys_and_none_is_none() {
        let ring = Ring::new(&[("a".to_owned(), 2), ("b".to_owned(), 1), ("c".to_owned(), 0)], 1_000);
        let shares = shares(&ring);
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
        assert!(nobody.owner(1).is_none() && nobody.owners(1, 3).is_empty());
    }

    #[test]
    fn weights_beyond_all_reason_still_fit_in_memory() {
        let ring = Ring::new(&[("a", u32::MAX), ("b", u32::MAX)], u32::MAX);
        assert!(ring.points.len() as u64 <= POINTS_MAX);
        assert_eq!(ring.owners(0, 2).len(), 2);
    }
}
