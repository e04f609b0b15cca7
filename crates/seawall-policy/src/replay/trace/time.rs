//! Moments and durations as traces write them.

use std::time::Duration;

use super::fields::Scalar;
use crate::duration;

/// Seconds above which a number cannot be a time of day in seconds (the year 5138), and is one in
/// milliseconds, microseconds or nanoseconds.
const SECONDS_MAX: f64 = 1e11;
/// Seconds from which a number is taken for a date (1973), below for time since some start: three years of
/// one trace.
const UNIX_SECONDS_MIN: f64 = 1e8;
/// Longest latency that is believed. What is longer was mostly written in another unit.
const TOOK_MAX: Duration = Duration::from_secs(24 * 3600);
/// Digits of a second that are looked at: microseconds.
const FRACTION_DIGITS: usize = 6;

/// When a call began, in microseconds: finer than two machines' clocks agree, and what a floating-point
/// number of seconds still holds today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) us: i64,
    /// Since 1970, and not since some start.
    pub(super) is_date: bool,
}

/// Reads a moment.
pub(super) fn moment(written: &Scalar<'_>) -> Result<Moment, String> {
    let seconds = match written {
        Scalar::Number(seconds) => *seconds,
        Scalar::Text(text) => match text.parse() {
            Ok(seconds) => seconds,
            Err(_) => {
                return rfc3339(text).map(|us| Moment { us, is_date: true }).ok_or_else(|| {
                    format!(
                        "time: use RFC 3339 such as 2026-11-20T14:03:07.250Z, or seconds; it says {text:?}"
                    )
                });
            }
        },
    };
    if !(0.0..SECONDS_MAX).contains(&seconds) {
        return Err(format!("time: use seconds, from 0 up (not milliseconds); it says {seconds}"));
    }
    Ok(Moment { us: (seconds * 1e6).round() as i64, is_date: seconds >= UNIX_SECONDS_MIN })
}

/// Reads a latency: a number in the unit of its key's name (nanoseconds for 1.0), or text with its own unit.
pub(super) fn took(written: &Scalar<'_>, unit_ns: Option<f64>) -> Result<Duration, String> {
    let number = match written {
        Scalar::Number(number) => Some(*number),
        Scalar::Text(text) => text.parse().ok(),
    };
    let took = match (number, unit_ns, written) {
        (None, _, Scalar::Text(text)) => duration::parse(text).map_err(|e| format!("latency: {e}"))?,
        (Some(0.0), _, _) => Duration::ZERO,
        (Some(number), Some(unit), _) if number > 0.0 && number.is_finite() => {
            Duration::from_nanos((number * unit).round() as u64)
        }
        (Some(number), None, _) if number > 0.0 => {
            return Err(format!(
                "latency: {number} has no unit; name the key latency_ms, or write \"{number}ms\""
            ));
        }
        _ => return Err("latency: use a number from 0 up, such as 12.5".to_owned()),
    };
    if took > TOOK_MAX {
        let took = duration::format(took);
        return Err(format!("latency: {took} is more than a day; is the unit right?"));
    }
    Ok(took)
}

/// `2026-11-20T14:03:07.250Z` in microseconds since 1970. A space may stand for the T, an offset for the Z.
fn rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let date: Vec<&str> = date.split('-').collect();
    let [year, month, day] = date[..] else { return None };
    let (year, month, day) = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = rest.split_at(zone_at);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let time: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = time[..] else { return None };
    let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
    // 60 is a leap second, written and not counted.
    let fits = (1..=12).contains(&month) && hour < 24 && minute < 60 && second <= 60;
    if !fits || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset(zone)?;
    Some(seconds * 1_000_000 + micros(fraction)?)
}

/// Seconds ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.as_bytes() {
        [b'Z' | b'z'] => return Some(0),
        [b'+', ..] => (1, &zone[1..]),
        [b'-', ..] => (-1, &zone[1..]),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest.get(..2)?, rest.get(2..)?));
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// The first six digits after the point, as microseconds.
fn micros(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let kept = &fraction[..fraction.len().min(FRACTION_DIGITS)];
    let missing = (FRACTION_DIGITS - kept.len()) as u32;
    Some(kept.parse::<i64>().ok()? * 10_i64.pow(missing))
}

fn digits(text: &str, count: usize) -> Option<i64> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Days that a month has.
fn days_of(year: i64, month: i64) -> i64 {
    let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days(next_year, next, 1) - days(year, month, 1)
}

/// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms"): years begin in March, so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Wall;

    fn us(text: &str) -> Option<i64> {
        moment(&Scalar::Text(text.into())).ok().map(|m| m.us)
    }

    #[test]
    fn a_moment_is_the_same_however_it_is_written() {
        for text in [
            "1795201387.25",
            "2026-11-20T19:03:07.250Z",
            "2026-11-20 19:03:07.25z",
            "2026-11-20T20:03:07.25+01:00",
            "2026-11-20T13:33:07.2500009-0530",
        ] {
            assert_eq!(us(text), Some(1_795_201_387_250_000), "{text}");
        }
        assert_eq!(us("2000-02-29T00:00:00Z"), Some(951_782_400_000_000));
        assert_eq!(us("59.9"), Some(59_900_000));
        assert!(!moment(&Scalar::Number(59.9)).unwrap().is_date);
        assert!(moment(&Scalar::Number(1_795_201_387.0)).unwrap().is_date);
    }

    #[test]
    fn what_is_no_moment_is_refused_with_the_right_form() {
        for text in [
            "",
            "now",
            "-1",
            "1795201387250",
            "NaN",
            "inf",
            "2026-11-20",
            "2026-11-20T19:03:07",
            "2026-13-20T19:03:07Z",
            "2026-11-20T24:03:07Z",
            "2026-11-20T19:03:07.Z",
            "2026-11-20T19:03:07+1",
            "20-11-2026T19:03:07Z",
            "2026-11-20T19:03:07Z05:00",
            "2026-02-30T19:03:07Z",
            "2026-02-29T19:03:07Z",
            "2026-11-31T19:03:07Z",
        ] {
            let why = moment(&Scalar::Text(text.into())).unwrap_err();
            assert!(why.contains("use"), "{text}: {why}");
        }
    }

    #[test]
    fn a_latency_has_a_unit_in_its_name_or_in_itself() {
        let ms = Duration::from_millis;
        assert_eq!(took(&Scalar::Number(12.5), Some(1e6)), Ok(Duration::from_micros(12_500)));
        assert_eq!(took(&Scalar::Text("12".into()), Some(1e9)), Ok(ms(12_000)));
        assert_eq!(took(&Scalar::Text("12ms".into()), None), Ok(ms(12)));
        assert_eq!(took(&Scalar::Text("12ms".into()), Some(1e9)), Ok(ms(12)));
        assert_eq!(took(&Scalar::Number(0.0), None), Ok(Duration::ZERO));
        for (written, unit, advice) in [
            (Scalar::Number(12.0), None, "latency_ms"),
            (Scalar::Number(-1.0), Some(1e6), "from 0 up"),
            (Scalar::Number(f64::NAN), Some(1e6), "from 0 up"),
            (Scalar::Number(1.7e12), Some(1e6), "is the unit right"),
            (Scalar::Text("soon".into()), Some(1e6), "250ms"),
        ] {
            let why = took(&written, unit).unwrap_err();
            assert!(why.contains(advice), "{why}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_the_project_writes_is_read_back(ms in 0_i64..253_402_300_800_000) {
            proptest::prop_assert_eq!(rfc3339(&Wall(ms).to_string()), Some(ms * 1000));
        }
    }
}
