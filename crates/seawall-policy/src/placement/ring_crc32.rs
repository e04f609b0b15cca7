//! The link document's own ring (S2, Write Scaling (Sharding)), for data already placed by it.
//!
//! Shard `i` stands at the CRC32 of `shard-i-vnode-0`, `shard-i-vnode-1` and so on, 100 of them. A key belongs
//! to the first point at or after its own CRC32, and past the last to the first. The document walks the whole
//! list for that; here it is a binary search with the same answers. Its one worked example is wrong: `aB7x3K`
//! of 4 shards lies on shard 0, not 2.
//!
//! The busiest of 4, 8 and 16 shards has 1.23, 1.40 and 1.45 times the mean, and 10 → 11 moves 12.1 % where
//! 9.1 % are due. For anything new use a [`ring`](super::ring).

/// Most shards: the document goes to 16. Ours would be some 800 KiB at its 100 points each.
pub const SHARDS_MAX: u32 = 1_024;

/// Most points of a shard.
pub const POINTS_MAX: u32 = 1_024;

/// Shards on a circle of 2^32 checksums.
#[derive(Debug, Clone)]
pub struct RingCrc32 {
    /// Checksum and shard, ascending.
    points: Box<[(u32, u32)]>,
}

impl RingCrc32 {
    /// A ring of `shards`, numbered from 0, with so many points each. The document's number of points is in
    /// [`presets::s2_links`](super::presets::s2_links).
    ///
    /// # Panics
    /// When either is 0 or more than [`SHARDS_MAX`] and [`POINTS_MAX`]: configuration is checked before it
    /// comes here.
    #[must_use]
    pub fn new(shards: u32, points_per_shard: u32) -> RingCrc32 {
        assert!((1..=SHARDS_MAX).contains(&shards), "this ring has 1 to {SHARDS_MAX} shards, not {shards}");
        assert!(
            (1..=POINTS_MAX).contains(&points_per_shard),
            "a shard has 1 to {POINTS_MAX} points, not {points_per_shard}"
        );
        let mut points: Vec<(u32, u32)> = (0..shards)
            .flat_map(|shard| (0..points_per_shard).map(move |vnode| (point(shard, vnode), shard)))
            .collect();
        // By checksum alone and stable, like the document's sort: of two that collide the lower shard wins.
        points.sort_by_key(|(at, _)| *at);
        RingCrc32 { points: points.into() }
    }

    /// The shard of a key.
    #[must_use]
    #[inline]
    pub fn shard_of(&self, key: &[u8]) -> u32 {
        self.shard_at(crc32fast::hash(key))
    }

    /// The shard of a key with this checksum.
    #[must_use]
    #[inline]
    pub fn shard_at(&self, crc32: u32) -> u32 {
        let at = self.points.partition_point(|(point, _)| *point < crc32);
        // There is at least one point, so past the last there is a first.
        self.points.get(at).unwrap_or(&self.points[0]).1
    }

    /// The points, ascending: checksum and shard.
    #[must_use]
    pub fn points(&self) -> &[(u32, u32)] {
        &self.points
    }
}

fn point(shard: u32, vnode: u32) -> u32 {
    crc32fast::hash(format!("shard-{shard}-vnode-{vnode}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_zlib() {
        // The check value every description of CRC-32/ISO-HDLC gives.
        assert_eq!(crc32fast::hash(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn of_two_points_that_collide_the_lower_shard_comes_first() {
        let mut ring = RingCrc32 { points: [(7, 1), (7, 2), (9, 0)].into() };
        assert_eq!([7, 8, 9, 10].map(|crc| ring.shard_at(crc)), [1, 0, 0, 1]);
        ring.points[1].0 = 8;
        assert_eq!(ring.shard_at(8), 2);
    }
}
