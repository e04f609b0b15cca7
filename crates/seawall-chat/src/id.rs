//! Snowflakes: ids that carry their time, so that sorting by id sorts by age.
//!
//! ```text
//! 63                      22 21          12 11         0
//! [ milliseconds since 2015 | owner's epoch | increment ]
//! ```
//! Discord puts a worker (5 bits) and a process (5 bits) where we put the owner's epoch: two owners that
//! follow each other never give one id twice, whatever their clocks say.

use std::fmt;
use std::str::FromStr;

use seawall_policy::Wall;
use seawall_store::Epoch;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 2015-01-01T00:00:00Z in milliseconds since 1970, where Discord's ids begin.
pub const EPOCH_MS: u64 = 1_420_070_400_000;

/// Bits of the increment within a millisecond.
const INCREMENT_BITS: u32 = 12;
/// Bits that tell owners apart.
const OWNER_BITS: u32 = 10;
/// Bits below the time.
const TIME_SHIFT: u32 = INCREMENT_BITS + OWNER_BITS;

/// The id of anything: a user, a guild, a message. A decimal string in JSON, because JavaScript's numbers end at
/// 53 bits; a number is accepted too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Id(pub u64);

impl Id {
    /// When it was given.
    #[must_use]
    pub fn time(self) -> Wall {
        Wall(((self.0 >> TIME_SHIFT) + EPOCH_MS).cast_signed())
    }

    /// The smallest id of this moment; for paging by time.
    #[must_use]
    pub fn at(wall: Wall) -> Id {
        let ms = u64::try_from(wall.0).unwrap_or(0);
        Id(ms.saturating_sub(EPOCH_MS) << TIME_SHIFT)
    }

    /// As a column holds it. Ids keep below the sign bit until the year 2084.
    #[must_use]
    pub fn to_sql(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

/// Gives ids for one owner: always rising, also when the clock steps back.
#[derive(Debug)]
pub struct Mint {
    owner: u64,
    last: u64,
}

impl Mint {
    /// Ids of the owner that claimed this epoch.
    #[must_use]
    pub fn new(epoch: Epoch) -> Mint {
        Mint { owner: (epoch.0 % (1 << OWNER_BITS)) << INCREMENT_BITS, last: 0 }
    }

    /// Gives none below `id` from now on: what an earlier owner with a faster clock has given stays older.
    pub fn after(&mut self, id: Id) {
        self.last = self.last.max(id.0);
    }

    /// The next id. After 4,096 in one millisecond it borrows from the next.
    pub fn next(&mut self, wall: Wall) -> Id {
        let fresh = Id::at(wall).0 | self.owner;
        let next = if fresh > self.last { fresh } else { self.follow() };
        self.last = next;
        Id(next)
    }

    fn follow(&self) -> u64 {
        let next = self.last + 1;
        let is_ours = next >> INCREMENT_BITS == self.last >> INCREMENT_BITS
            && next & (((1 << OWNER_BITS) - 1) << INCREMENT_BITS) == self.owner;
        if is_ours { next } else { ((self.last >> TIME_SHIFT) + 1) << TIME_SHIFT | self.owner }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Not a decimal number below 2^63.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a snowflake")]
pub struct NotAnId;

impl FromStr for Id {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Id, NotAnId> {
        // `parse` would also take a plus sign.
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let id = if digits { text.parse::<i64>().ok() } else { None };
        id.map(|id| Id(id.unsigned_abs())).ok_or(NotAnId)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Id, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a snowflake")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Id, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Id, E> {
                i64::try_from(number).map(|_| Id(number)).map_err(|_| E::custom(NotAnId))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Id, E> {
                u64::try_from(number).map(Id).map_err(|_| E::custom(NotAnId))
            }
        }
        d.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(ms: u64) -> Wall {
        Wall((EPOCH_MS + ms).cast_signed())
    }

    #[test]
    fn an_id_carries_its_time() {
        assert_eq!(Mint::new(Epoch(3)).next(wall(41_944_705_796)).time(), wall(41_944_705_796));
    }

    #[test]
    fn ids_rise_when_the_clock_steps_back_and_when_a_millisecond_is_full() {
        let mut mint = Mint::new(Epoch(1023));
        let mut last = mint.next(wall(5000));
        for ms in std::iter::repeat_n(5000, 10_000).chain([1, 4999, 5001, 9000]) {
            let next = mint.next(wall(ms));
            assert!(next > last, "{next} after {last}");
            assert_eq!(next.0 >> INCREMENT_BITS & 1023, 1023);
            last = next;
        }
    }

    #[test]
    fn owners_that_follow_each_other_share_no_id() {
        let mut first = Mint::new(Epoch(1));
        let mut second = Mint::new(Epoch(2));
        let given = (0..5000).map(|_| first.next(wall(7))).collect::<Vec<_>>();
        second.after(given[4999]);
        for _ in 0..5000 {
            let id = second.next(wall(7));
            assert!(id > given[4999]);
        }
    }

    #[test]
    fn json_writes_a_string_and_reads_both() {
        assert_eq!(serde_json::to_string(&Id(10)).unwrap(), "\"10\"");
        assert_eq!(serde_json::from_str::<Id>("\"10\"").unwrap(), Id(10));
        assert_eq!(serde_json::from_str::<Id>("10").unwrap(), Id(10));
        for bad in ["\"\"", "\"+1\"", "\"-1\"", "-1", "\"9223372036854775808\"", "1.5", "\"a\"", "null"] {
            assert!(serde_json::from_str::<Id>(bad).is_err(), "{bad}");
        }
    }
}
