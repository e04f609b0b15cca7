//! The documents' numbers of placement.

use super::ring_crc32::RingCrc32;

/// Links (S2, Write Scaling (Sharding)): virtual nodes of each shard, "for even distribution".
pub const S2_POINTS: u32 = 100;

/// Links (S2, Write Scaling (Sharding)): its ring of so many shards, exactly as its code builds it.
///
/// # Panics
/// When `shards` is 0 or more than [`SHARDS_MAX`](super::ring_crc32::SHARDS_MAX).
#[must_use]
pub fn s2_links(shards: u32) -> RingCrc32 {
    RingCrc32::new(shards, S2_POINTS)
}
