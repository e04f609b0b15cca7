//! From bytes to a place: 64-bit xxh3.
//!
//! Not for secrets: who chooses the keys can aim them at one shard. It is fast (a short key costs a few
//! nanoseconds), its result is fixed by its specification, and its spread is even to within chance.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The hash a [`Ring`](super::ring::Ring) is asked with.
#[must_use]
#[inline]
pub fn of(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// The hash that begins every primary key in the store.
///
/// SQL has no unsigned 64-bit integer. Flipping the sign bit maps 0..2^64 onto `i64` in order, so that a
/// range of hashes is one range of the column, on every engine.
#[must_use]
#[inline]
pub fn hk(key: &[u8]) -> i64 {
    ordered(xxh3_64(key))
}

/// What a member (the hash of its name) draws for a number: its point on a ring by the point's index, its score
/// for a key by the key's hash.
///
/// The name goes in as a hash because xxh3 of a short text only flips some bits of its seed: seeded with the
/// index, `CS1` and `CS2` would draw the same numbers in another order, stand on the same points, and one of
/// them would own everything.
pub(super) fn draw(member: u64, number: u64) -> u64 {
    xxh3_64_with_seed(&number.to_le_bytes(), member)
}

/// Maps unsigned onto signed, keeping the order.
pub(super) const fn ordered(hash: u64) -> i64 {
    (hash ^ (1 << 63)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_flip_keeps_the_order() {
        assert_eq!([ordered(0), ordered(1 << 63), ordered(u64::MAX)], [i64::MIN, 0, i64::MAX]);
    }

    #[test]
    fn a_key_has_the_same_place_in_every_version() {
        // xxh3_64 of nothing is in its specification. Changing either value strands all stored data.
        assert_eq!(of(b""), 0x2D06_8005_38D3_94C2);
        assert_eq!(hk(b""), 0xAD06_8005_38D3_94C2_u64.cast_signed());
    }

    proptest::proptest! {
        #[test]
        fn hashes_and_columns_sort_alike(a: u64, b: u64) {
            proptest::prop_assert_eq!(a.cmp(&b), ordered(a).cmp(&ordered(b)));
        }
    }
}
