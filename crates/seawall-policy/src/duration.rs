//! Durations as people write them: `"30s"`, `"1m30s"`, `"250ms"`.
//!
//! The form is Go's, because Consul, Prometheus and Kubernetes use it and nobody should learn a second one:
//! numbers with units `ns us µs ms s m h`, strung together, fractions allowed. A bare number is refused: `30`
//! has meant seconds in one system and milliseconds in the next, and a timeout that is wrong by a factor of a
//! thousand still starts up. Negative ones are refused, for no policy can wait less than nothing.
//!
//! In a config struct: `#[serde(with = "seawall_policy::duration")]`, and [`list`] for several.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Units, longest first; [`format()`] uses them in this order.
const UNITS: [(&str, u128); 7] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

/// Digits looked at after the point: finer than a nanosecond in any unit up to the hour.
const FRACTION_DIGITS_MAX: usize = 13;

/// Why a text is no duration. The message shows the text and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a duration: {why}; write \"250ms\", \"30s\" or \"1m30s\" (units ns, us, ms, s, m, h)"
)]
pub struct ParseError {
    text: String,
    why: &'static str,
}

/// Reads a duration, exact to the nanosecond. `"0"` needs no unit. At most 584 years, which is what
/// [`Mono`](crate::Mono) spans.
pub fn parse(text: &str) -> Result<Duration, ParseError> {
    let fail = |why| ParseError { text: text.to_owned(), why };
    let mut rest = text.trim();
    match rest {
        "" => return Err(fail("it is empty")),
        "0" => return Ok(Duration::ZERO),
        _ if rest.starts_with('-') => return Err(fail("it is negative")),
        _ => {}
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let number_ends = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_ends);
        let unit_ends = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_ends);
        if number.is_empty() {
            return Err(fail("a number is missing"));
        }
        if unit.is_empty() {
            return Err(fail("it has no unit"));
        }
        // Go also accepts the Greek letter; keyboards write the micro sign.
        let unit = if unit == "μs" { "µs" } else { unit };
        let scale =
            UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| fail("the unit is unknown"))?.1;
        let part = scaled(number, scale).ok_or_else(|| fail("the number is malformed or too large"))?;
        nanos = nanos.saturating_add(part);
        rest = after;
    }
    match u64::try_from(nanos) {
        Ok(nanos) => Ok(Duration::from_nanos(nanos)),
        Err(_) => Err(fail("it is longer than 584 years")),
    }
}

/// `number` units of `scale` nanoseconds, rounded down to the nanosecond.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { u128::from(whole.parse::<u64>().ok()?) };
    if fraction.contains('.') {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS_MAX)];
    let tail = match fraction.len() {
        0 => 0,
        digits => u128::from(fraction.parse::<u64>().ok()?) * scale / 10u128.pow(digits as u32),
    };
    Some(whole * scale + tail)
}

/// Writes a duration so that [`parse`] gives it back exactly: whole units only, largest first, `"0s"` for
/// none.
#[must_use]
pub fn format(duration: Duration) -> String {
    let mut nanos = duration.as_nanos();
    let mut text = String::new();
    for (unit, scale) in UNITS {
        if nanos >= scale {
            text.push_str(&format!("{}{unit}", nanos / scale));
            nanos %= scale;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// For `#[serde(with = "seawall_policy::duration")]`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&format(*duration))
}

/// For `#[serde(with = "seawall_policy::duration")]`.
///
/// # Errors
/// [`ParseError`]'s message, at the key's place in the file.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

/// Several durations: `["100ms", "500ms", "2s"]`, by `#[serde(with = "seawall_policy::duration::list")]`.
pub mod list {
    use super::{Deserialize, Deserializer, Duration, Serializer, format, parse};

    /// Writes each as [`format()`] does.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(durations: &[Duration], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(durations.iter().map(|d| format(*d)))
    }

    /// Reads each as [`parse`] does.
    ///
    /// # Errors
    /// [`ParseError`](super::ParseError)'s message for the first that is wrong.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Duration>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        texts.iter().map(|text| parse(text).map_err(serde::de::Error::custom)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_durations_mean_what_they_say() {
        for (text, ms) in [
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1h0m0s", 3_600_000),
            ("250ms", 250),
            ("1.5s", 1_500),
            (".5m", 30_000),
            ("5m", 300_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(parse("7ns"), Ok(Duration::from_nanos(7)));
        for micro in ["2us", "2µs", "2μs"] {
            assert_eq!(parse(micro), Ok(Duration::from_micros(2)));
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_advice() {
        let message = parse("30").unwrap_err().to_string();
        assert!(
            message.contains("\"30\"") && message.contains("no unit") && message.contains("\"30s\""),
            "{message}"
        );
    }

    #[test]
    fn what_is_not_a_duration_is_an_error_never_a_guess() {
        for text in [
            "",
            " ",
            "s",
            "-5s",
            "5 s",
            "5d",
            "1.2.3s",
            ".s",
            "1h30",
            "ms5",
            "99999999999999999999h",
            "9999999h",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn written_as_whole_units_largest_first() {
        assert_eq!(format(Duration::from_secs(3690)), "1h1m30s");
        assert_eq!(format(Duration::from_micros(1_500_000)), "1s500ms");
        assert_eq!(format(Duration::ZERO), "0s");
    }

    #[test]
    fn a_config_file_says_which_value_is_wrong() {
        #[derive(Debug, serde::Deserialize)]
        struct Section {
            #[serde(with = "crate::duration")]
            wait: Duration,
            #[serde(with = "list")]
            schedule: Vec<Duration>,
        }
        let ok: Section = toml::from_str("wait = '2s'\nschedule = ['100ms', '2s']").unwrap();
        assert_eq!((ok.wait, ok.schedule[0]), (Duration::from_secs(2), Duration::from_millis(100)));
        let error = toml::from_str::<Section>("wait = '2'\nschedule = []").unwrap_err().to_string();
        assert!(error.contains("wait = '2'") && error.contains("no unit"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back_exactly(nanos: u64) {
            let duration = Duration::from_nanos(nanos);
            proptest::prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9.hmsunµ -]{0,40}") {
            let _ = parse(&text);
        }
    }
}
