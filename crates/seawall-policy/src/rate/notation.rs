//! A rate as people write it: `"20/s"`, `"600/m"`, `"10/h"`.
//!
//! The unit is part of what is meant: `600/m` and `10/s` are the same speed, and a file that says one should
//! not be shown the other. Fractions are refused, for `0.5/s` is `30/m`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most a second. The interval between two is then 1,000 ns, and rounding it to a whole nanosecond costs at
/// most 0.1 %.
const PER_SECOND_MAX: u32 = 1_000_000;

/// Most characters of a rate; the longest that is valid has 12.
const TEXT_MAX: usize = 16;

/// How often something may happen: 1 or more in a unit of time, and at most 1,000,000 a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    count: u32,
    per: Per,
}

/// The unit of time of a [`Rate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Per {
    /// `/s`
    Second,
    /// `/m`
    Minute,
    /// `/h`
    Hour,
}

/// Why a text is no rate. The message shows the text and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a rate: {why}; write \"20/s\", \"600/m\" or \"10/h\"")]
pub struct ParseError {
    text: String,
    why: &'static str,
}

impl Per {
    const ALL: [Per; 3] = [Per::Second, Per::Minute, Per::Hour];

    fn seconds(self) -> u32 {
        match self {
            Per::Second => 1,
            Per::Minute => 60,
            Per::Hour => 3_600,
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Per::Second => "s",
            Per::Minute => "m",
            Per::Hour => "h",
        }
    }

    /// The unit in a sentence: "20 requests a second".
    pub(super) fn words(self) -> &'static str {
        match self {
            Per::Second => "a second",
            Per::Minute => "a minute",
            Per::Hour => "an hour",
        }
    }

    fn count_max(self) -> u32 {
        PER_SECOND_MAX * self.seconds()
    }
}

impl Rate {
    /// So many in each such unit of time; at least 1 and at most 1,000,000 a second, the nearest of which is
    /// taken.
    #[must_use]
    pub fn new(count: u32, per: Per) -> Rate {
        Rate { count: count.clamp(1, per.count_max()), per }
    }

    /// How many in each unit.
    #[must_use]
    pub fn count(self) -> u32 {
        self.count
    }

    /// The unit.
    #[must_use]
    pub fn per(self) -> Per {
        self.per
    }

    /// Nanoseconds from one to the next, rounded up, so that a limit is never more generous than it says.
    pub(crate) fn interval_ns(self) -> u64 {
        (u64::from(self.per.seconds()) * 1_000_000_000).div_ceil(u64::from(self.count))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per.symbol())
    }
}

impl FromStr for Rate {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Rate, ParseError> {
        let fail = |why| ParseError { text: text.chars().take(TEXT_MAX).collect(), why };
        if text.len() > TEXT_MAX {
            return Err(fail("it is too long"));
        }
        let (count, unit) = text.trim().split_once('/').ok_or_else(|| fail("it has no unit of time"))?;
        let per = Per::ALL.into_iter().find(|per| per.symbol() == unit);
        let per = per.ok_or_else(|| fail("the unit is none of s, m and h"))?;
        if count.is_empty() || !count.bytes().all(|b| b.is_ascii_digit()) {
            return Err(fail("what stands before the / is no whole number"));
        }
        match count.parse() {
            Ok(0) => Err(fail("it admits nobody")),
            Ok(count) if count <= per.count_max() => Ok(Rate { count, per }),
            _ => Err(fail("it is more than 1000000 a second")),
        }
    }
}

impl TryFrom<String> for Rate {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Rate, ParseError> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> String {
        rate.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_a_second_are_50_ms_apart_and_600_a_minute_100_ms_and_10_an_hour_6_minutes() {
        for (text, ns) in [("20/s", 50_000_000), ("600/m", 100_000_000), ("10/h", 360_000_000_000)] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.interval_ns(), rate.to_string().as_str()), (ns, text));
        }
    }

    #[test]
    fn an_interval_is_rounded_up_so_that_nobody_gets_more() {
        assert_eq!(Rate::new(3, Per::Second).interval_ns(), 333_333_334);
        assert_eq!(Rate::new(999_999, Per::Second).interval_ns(), 1_001);
    }

    #[test]
    fn what_is_not_a_rate_is_an_error_with_advice() {
        for (text, why) in [
            ("", "no unit"),
            ("20", "no unit"),
            ("20/", "none of s, m and h"),
            ("20/d", "none of s, m and h"),
            ("20/S", "none of s, m and h"),
            ("20/s/s", "none of s, m and h"),
            ("/s", "no whole number"),
            ("-1/s", "no whole number"),
            ("+1/s", "no whole number"),
            ("0.5/s", "no whole number"),
            ("1 /s", "no whole number"),
            ("0/s", "nobody"),
            ("1000001/s", "more than"),
            ("3600000001/h", "more than"),
            ("99999999999/h", "more than"),
            ("00000000000000020/s", "too long"),
        ] {
            let message = text.parse::<Rate>().unwrap_err().to_string();
            assert!(message.contains(why) && message.contains("\"600/m\""), "{text}: {message}");
        }
    }

    #[test]
    fn a_rate_out_of_range_becomes_the_nearest_that_works() {
        assert_eq!(Rate::new(0, Per::Hour).to_string(), "1/h");
        assert_eq!(Rate::new(u32::MAX, Per::Minute).to_string(), "60000000/m");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back_exactly(count: u32, unit in 0usize..3) {
            let rate = Rate::new(count, Per::ALL[unit]);
            proptest::prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9/smhµ .-]{0,20}") {
            let _ = text.parse::<Rate>();
        }
    }
}
