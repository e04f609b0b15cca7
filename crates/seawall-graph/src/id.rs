//! Ids: 63 bits that say for life where an object lives.
//!
//! ```text
//! 0 | logical shard, 16 bits | number, 47 bits
//! ```
//!
//! An association lives where its first end lives, so every list is on one shard and a request finds it without asking
//! anybody. There are always 2^16 logical shards; how many databases hold them may change, and moving one moves all of
//! it. The number is drawn at random: 2^47 of them in each shard make a repeat rare, the primary key makes it
//! harmless, and nobody has to keep a counter that a move could set back.

use std::fmt;
use std::str::FromStr;

use seawall_policy::Rng;
use seawall_store::hk;
use serde::{Deserialize, Serialize};

/// Bits of the number.
const NUMBER_BITS: u32 = 47;

/// One of the 2^16 places an object can be born at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogicalShard(pub u16);

impl LogicalShard {
    /// The hash key of all its rows: they lie together, and databases hold ranges of it.
    #[must_use]
    pub fn hk(self) -> i64 {
        hk(&self.0.to_be_bytes())
    }
}

/// An object's name, never used for another. Always above 0, so that it fits a signed column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Id(u64);

/// A number that is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is a whole number from 1 to 9223372036854775807")]
pub struct NoId;

impl Id {
    /// The id of this number in this shard; the number is cut to 47 bits, and 0 becomes 1.
    #[must_use]
    pub fn new(shard: LogicalShard, number: u64) -> Id {
        let number = (number & ((1 << NUMBER_BITS) - 1)).max(1);
        Id(u64::from(shard.0) << NUMBER_BITS | number)
    }

    /// A fresh one.
    #[must_use]
    pub fn draw(shard: LogicalShard, rng: &mut Rng) -> Id {
        Id::new(shard, rng.next_u64())
    }

    /// Where it lives.
    #[must_use]
    pub fn shard(self) -> LogicalShard {
        LogicalShard((self.0 >> NUMBER_BITS) as u16)
    }

    /// The hash key of its rows.
    #[must_use]
    pub fn hk(self) -> i64 {
        self.shard().hk()
    }

    /// As a number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// As a column holds it.
    #[must_use]
    pub fn to_sql(self) -> i64 {
        self.0.cast_signed()
    }
}

impl TryFrom<u64> for Id {
    type Error = NoId;

    fn try_from(number: u64) -> Result<Id, NoId> {
        if (1..=i64::MAX as u64).contains(&number) { Ok(Id(number)) } else { Err(NoId) }
    }
}

impl TryFrom<i64> for Id {
    type Error = NoId;

    fn try_from(number: i64) -> Result<Id, NoId> {
        u64::try_from(number).map_err(|_| NoId)?.try_into()
    }
}

impl From<Id> for u64 {
    fn from(id: Id) -> u64 {
        id.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Id {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Id, NoId> {
        // `u64` would take a plus sign, and one id should be written in one way.
        let is_plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        text.parse::<u64>().ok().filter(|_| is_plain).ok_or(NoId)?.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_shard_for_life() {
        for shard in [0, 1, 0x7FFF, u16::MAX] {
            let id = Id::new(LogicalShard(shard), 12345);
            assert_eq!(id.shard(), LogicalShard(shard));
            assert_eq!(Id::try_from(id.to_sql()), Ok(id));
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!(Id::new(LogicalShard(0), 0).get(), 1, "0 is no id");
        assert_eq!(Id::new(LogicalShard(u16::MAX), u64::MAX).get(), i64::MAX as u64);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for odd in ["", "0", "-1", "+1", "01", "1.0", "9223372036854775808", "abc", " 1"] {
            assert_eq!(odd.parse::<Id>(), Err(NoId), "{odd:?}");
        }
        assert_eq!(Id::try_from(-1_i64), Err(NoId));
        assert!(serde_json::from_str::<Id>("0").is_err());
    }
}
