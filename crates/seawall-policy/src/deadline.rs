//! Until when an answer is of use, kept as a moment and sent as a remainder.
//!
//! A timeout per hop adds up: three hops of one second may keep working for two seconds after the user has
//! left, and a service that works for people who have left looks overloaded and is not. So the edge sets one
//! absolute deadline, every hop works against the same moment, and no hop starts what cannot be ready.
//!
//! Machines do not agree on what time it is, to the second or worse, but they agree within a network delay on
//! how long a second is. So between processes the deadline travels as milliseconds left
//! (`x-seawall-deadline-ms`) and becomes a moment again on arrival. The time on the wire is given away, which
//! errs towards working too long.

use std::time::Duration;

use crate::Mono;

/// The header that carries the milliseconds left.
pub const HEADER: &str = "x-seawall-deadline-ms";

/// The header in which gRPC carries the time left: up to eight digits and a unit, `250m` for 250 ms.
pub const GRPC_HEADER: &str = "grpc-timeout";

/// The longest deadline a header may ask for: one hour. Nobody waits longer for an answer, and a caller who
/// sends more has most likely sent a time of day.
pub const REMAINING_MS_MAX: u64 = 3_600_000;

/// A moment after which the answer is of no use. Ordered: `a.min(b)` is the stricter one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline {
    /// The moment, on this process's monotonic clock.
    pub at: Mono,
}

/// Why a deadline header was not understood. The request should be refused: guessing would be a silent
/// default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not a plain decimal number.
    #[error("{HEADER} must be the whole milliseconds left, such as 250")]
    NotANumber,
    /// Not what gRPC specifies.
    #[error("{GRPC_HEADER} must be one to eight digits and a unit of H, M, S, m, u or n, such as 250m")]
    NotGrpc,
    /// More than [`REMAINING_MS_MAX`].
    #[error("{HEADER} must be at most {REMAINING_MS_MAX} (one hour); it is the time left, not a time of day")]
    TooLong,
}

impl Deadline {
    /// The moment `patience` from now.
    #[must_use]
    pub fn after(now: Mono, patience: Duration) -> Deadline {
        Deadline { at: now + patience }
    }

    /// Reads the header's value as it arrives at `now`. Zero is valid and already past.
    ///
    /// # Errors
    /// When it is no number, or more than an hour.
    pub fn parse(value: &str, now: Mono) -> Result<Deadline, ParseError> {
        let value = value.trim();
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseError::NotANumber);
        }
        match value.parse::<u64>() {
            Ok(ms) if ms <= REMAINING_MS_MAX => Ok(Deadline::after(now, Duration::from_millis(ms))),
            _ => Err(ParseError::TooLong),
        }
    }

    /// Reads `grpc-timeout` as it arrives at `now`. gRPC allows 11,000 years; more than an hour means an hour here,
    /// for that header is written by stock clients that cannot know our limit.
    ///
    /// # Errors
    /// When it is not one to eight digits and one of gRPC's units.
    pub fn parse_grpc(value: &str, now: Mono) -> Result<Deadline, ParseError> {
        const DIGITS_MAX: usize = 8;
        let value = value.trim();
        let (digits, unit) =
            value.split_at_checked(value.len().saturating_sub(1)).ok_or(ParseError::NotGrpc)?;
        if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseError::NotGrpc);
        }
        let unit_ns: u64 = match unit {
            "H" => 3_600_000_000_000,
            "M" => 60_000_000_000,
            "S" => 1_000_000_000,
            "m" => 1_000_000,
            "u" => 1_000,
            "n" => 1,
            _ => return Err(ParseError::NotGrpc),
        };
        let count: u64 = digits.parse().map_err(|_| ParseError::NotGrpc)?;
        let left = Duration::from_nanos(count.saturating_mul(unit_ns));
        Ok(Deadline::after(now, left.min(Duration::from_millis(REMAINING_MS_MAX))))
    }

    /// The header's value when sent at `now`: whole milliseconds left, rounded down and at most an hour, so
    /// that no hop ever has more time than the one before it and the next hop accepts what we send.
    #[must_use]
    pub fn header_value(self, now: Mono) -> String {
        u64::try_from(self.remaining(now).as_millis()).unwrap_or(u64::MAX).min(REMAINING_MS_MAX).to_string()
    }

    /// Time left; zero when past.
    #[must_use]
    pub fn remaining(self, now: Mono) -> Duration {
        self.at.since(now)
    }

    /// Whether nobody is waiting any more.
    #[must_use]
    pub fn is_past(self, now: Mono) -> bool {
        now >= self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Mono = Mono(1_000_000_000);

    #[test]
    fn two_hundred_and_fifty_ms_left_stay_so_across_processes() {
        let here = Deadline::after(SECOND, Duration::from_millis(250));
        let there = Deadline::parse(&here.header_value(SECOND), Mono(77)).unwrap();
        assert_eq!(there.remaining(Mono(77)), Duration::from_millis(250));
    }

    #[test]
    fn each_hop_has_no_more_time_than_the_one_before() {
        let sent = Deadline { at: Mono(1_999_999) }.header_value(Mono(0));
        assert_eq!(sent, "1");
    }

    #[test]
    fn a_deadline_that_has_passed_is_zero_not_negative() {
        let deadline = Deadline::parse("0", SECOND).unwrap();
        assert!(deadline.is_past(SECOND));
        assert_eq!(deadline.remaining(SECOND + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(deadline.header_value(SECOND + Duration::from_secs(1)), "0");
    }

    #[test]
    fn one_hour_is_accepted_and_a_time_of_day_is_refused() {
        assert!(Deadline::parse("3600000", SECOND).is_ok());
        assert_eq!(Deadline::parse("3600001", SECOND), Err(ParseError::TooLong));
        assert_eq!(Deadline::parse("1760000000000", SECOND), Err(ParseError::TooLong));
        assert_eq!(Deadline::parse("99999999999999999999999", SECOND), Err(ParseError::TooLong));
        let far = Deadline::after(SECOND, Duration::from_secs(86_400));
        assert!(Deadline::parse(&far.header_value(SECOND), SECOND).is_ok());
    }

    #[test]
    fn only_a_plain_number_is_read() {
        for value in ["", " ", "-1", "+5", "1.5", "250ms", "0x10"] {
            assert_eq!(Deadline::parse(value, SECOND), Err(ParseError::NotANumber), "{value:?}");
        }
    }

    #[test]
    fn a_grpc_timeout_is_read_in_each_of_its_units() {
        for (value, ns) in [
            ("1H", 3_600_000_000_000),
            ("2M", 120_000_000_000),
            ("3S", 3_000_000_000),
            ("250m", 250_000_000),
            ("4u", 4_000),
            ("5n", 5),
            ("0m", 0),
            ("99999999H", 3_600_000_000_000),
        ] {
            let deadline = Deadline::parse_grpc(value, SECOND).unwrap();
            assert_eq!(deadline.remaining(SECOND), Duration::from_nanos(ns), "{value}");
        }
        for value in ["", "m", "250", "250s", "1.5S", "-1S", "123456789m", "1 S", "5µ", "é"] {
            assert_eq!(Deadline::parse_grpc(value, SECOND), Err(ParseError::NotGrpc), "{value:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read_or_refused(value in ".{0,20}", now: u64) {
            let read = [Deadline::parse(&value, Mono(now)), Deadline::parse_grpc(&value, Mono(now))];
            for deadline in read.into_iter().flatten() {
                proptest::prop_assert!(deadline.remaining(Mono(now)) <= Duration::from_secs(3_600));
            }
        }
    }

    #[test]
    fn the_stricter_of_two_is_the_smaller() {
        let (soon, late) = (Deadline { at: Mono(5) }, Deadline { at: Mono(9) });
        assert_eq!(late.min(soon), soon);
    }
}
