//! Shards as ranges of the hash: shard `i` of `n` holds the `i`-th of `n` equal slices.
//!
//! The alternative, `hash % n`, spreads as evenly but scatters a shard's keys over the whole table: to move
//! or split one, every row must be read. With ranges a shard is `WHERE hk BETWEEN ? AND ?`, splitting one is
//! choosing a number in the middle of it, and keys of the other shards are not touched.

use super::hash::ordered;

/// Most shards of one set. At a few GiB a shard this is beyond any single installation, and the table is 512
/// KiB.
pub const SHARDS_MAX: u32 = 65_536;

/// A division of all 2^64 hashes into consecutive ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges {
    /// The first hash of each range, ascending; the first is `i64::MIN`.
    starts: Box<[i64]>,
}

impl Ranges {
    /// `n` ranges that differ by at most one hash in size.
    ///
    /// # Panics
    /// When `n` is 0 or more than [`SHARDS_MAX`]: configuration is checked before it comes here.
    #[must_use]
    pub fn even(n: u32) -> Ranges {
        assert!((1..=SHARDS_MAX).contains(&n), "a shard set has 1 to {SHARDS_MAX} shards, not {n}");
        let start = |i: u32| ordered(((u128::from(i) << 64) / u128::from(n)) as u64);
        Ranges { starts: (0..n).map(start).collect() }
    }

    /// How many ranges there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.starts.len() as u32
    }

    /// The range that holds `hk`.
    #[must_use]
    #[inline]
    pub fn shard_of(&self, hk: i64) -> u32 {
        // The first start is the least i64, so at least one start is not above `hk`.
        (self.starts.partition_point(|start| *start <= hk) - 1) as u32
    }

    /// The first and the last hash of range `i`, both inclusive.
    ///
    /// # Panics
    /// When there is no range `i`.
    #[must_use]
    pub fn bounds(&self, i: u32) -> (i64, i64) {
        let i = i as usize;
        (self.starts[i], self.starts.get(i + 1).map_or(i64::MAX, |next| next - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash::hk;
    use super::*;

    #[test]
    fn one_shard_holds_everything() {
        assert_eq!(Ranges::even(1).bounds(0), (i64::MIN, i64::MAX));
    }

    #[test]
    fn four_shards_are_the_four_quarters() {
        let four = Ranges::even(4);
        assert_eq!(four.bounds(1), (i64::MIN / 2, -1));
        assert_eq!([i64::MIN, -1, 0, i64::MAX].map(|hk| four.shard_of(hk)), [0, 1, 2, 3]);
    }

    #[test]
    fn a_hundred_thousand_codes_spread_within_two_per_cent_over_four_shards() {
        let four = Ranges::even(4);
        let mut held = [0u32; 4];
        for code in 0..100_000u32 {
            held[four.shard_of(hk(format!("code-{code}").as_bytes())) as usize] += 1;
        }
        assert!(held.iter().all(|n| (24_500..25_500).contains(n)), "{held:?}");
    }

    proptest::proptest! {
        #[test]
        fn bounds_cover_all_of_i64_exactly_once(n in 1u32..2_000) {
            let ranges = Ranges::even(n);
            let mut next = i128::from(i64::MIN);
            for i in 0..n {
                let (first, last) = ranges.bounds(i);
                proptest::prop_assert!(i128::from(first) == next && first <= last);
                proptest::prop_assert_eq!((ranges.shard_of(first), ranges.shard_of(last)), (i, i));
                next = i128::from(last) + 1;
            }
            proptest::prop_assert_eq!(next, i128::from(i64::MAX) + 1);
        }

        #[test]
        fn every_hash_lies_within_the_bounds_of_its_shard(n in 1u32..2_000, hk: i64) {
            let ranges = Ranges::even(n);
            let (first, last) = ranges.bounds(ranges.shard_of(hk));
            proptest::prop_assert!((first..=last).contains(&hk));
        }
    }
}
