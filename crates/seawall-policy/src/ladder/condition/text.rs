//! Writing a condition, so that what is shown reads back as what it was.

use std::fmt;
use std::time::Duration;

use super::{Clause, Condition, Op, Signal, Unit, Value};
use crate::duration;

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, all) in self.any.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { " or " })?;
            for (i, clause) in all.iter().enumerate() {
                f.write_str(if i == 0 { "" } else { " and " })?;
                clause.fmt(f)?;
            }
        }
        Ok(())
    }
}

impl From<Condition> for String {
    fn from(condition: Condition) -> String {
        condition.to_string()
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.signal, self.op.as_str(), self.unit.write(&self.value))?;
        if self.for_.is_zero() { Ok(()) } else { write!(f, " for {}", duration::format(self.for_)) }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            Some(of) => write!(f, "{}({of})", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl Op {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Above => ">",
            Op::AtLeast => ">=",
            Op::Below => "<",
            Op::AtMost => "<=",
            Op::Is => "==",
            Op::IsNot => "!=",
        }
    }
}

impl Unit {
    /// A value in this unit, exactly.
    #[must_use]
    pub fn write(self, value: &Value) -> String {
        match (value, self) {
            (Value::Word(word), _) => word.clone(),
            (Value::Number(number), Unit::Plain) => number.to_string(),
            (Value::Number(number), Unit::Percent) => format!("{}%", hundredfold(*number)),
            (Value::Number(number), Unit::Seconds) => seconds(*number),
        }
    }

    /// A reading in this unit, as exact as anyone wants to read it: a thousandth of the unit or of a percent,
    /// a microsecond.
    #[must_use]
    pub fn show(self, reading: &Value) -> String {
        let Value::Number(number) = reading else { return self.write(reading) };
        let digits = match self {
            Unit::Plain => 1e3,
            Unit::Percent => 1e5,
            Unit::Seconds => 1e6,
        };
        self.write(&Value::Number((number * digits).round() / digits))
    }
}

/// The decimal point two places further: 0.289 becomes 28.9, and not 28.899999999999995 as a product would.
fn hundredfold(number: f64) -> String {
    let text = number.to_string();
    let Some((whole, fraction)) = text.split_once('.') else {
        return if text == "0" || !number.is_finite() { text } else { text + "00" };
    };
    let fraction = format!("{fraction:0<2}");
    let (moved, rest) = fraction.split_at(2);
    let whole = format!("{whole}{moved}");
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    if rest.is_empty() { whole.to_owned() } else { format!("{whole}.{rest}") }
}

/// To the nanosecond, which is exact up to 26 days; conditions speak of a day at most.
fn seconds(number: f64) -> String {
    Duration::try_from_secs_f64(number).map_or_else(|_| format!("{number}s"), duration::format)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ladder::condition::{CLAUSES_MAX, DURATION_MAX, TEXT_MAX};

    #[test]
    fn numbers_are_written_as_people_write_them() {
        for (unit, number, text) in [
            (Unit::Plain, 3.0, "3"),
            (Unit::Plain, 4.25, "4.25"),
            (Unit::Percent, 0.7, "70%"),
            (Unit::Percent, 0.289, "28.9%"),
            (Unit::Percent, 0.002, "0.2%"),
            (Unit::Percent, 0.0, "0%"),
            (Unit::Percent, 1.0, "100%"),
            (Unit::Percent, 0.000_05, "0.005%"),
            (Unit::Seconds, 0.1, "100ms"),
            (Unit::Seconds, 90.0, "1m30s"),
        ] {
            assert_eq!(unit.write(&Value::Number(number)), text);
        }
    }

    #[test]
    fn readings_are_shown_without_noise() {
        for (unit, number, text) in [
            (Unit::Plain, 4.200_000_1, "4.2"),
            (Unit::Percent, 1.0 / 3.0, "33.333%"),
            (Unit::Seconds, 0.123_456_789, "123ms457us"),
            (Unit::Seconds, f64::INFINITY, "infs"),
        ] {
            assert_eq!(unit.show(&Value::Number(number)), text);
        }
        assert_eq!(Unit::Percent.show(&"open".into()), "open");
    }

    fn clause() -> impl Strategy<Value = Clause> {
        let day = DURATION_MAX.as_nanos() as u64;
        let value = prop_oneof![
            (0..10_000_000_u64, 0..9).prop_map(|(n, e)| (n as f64 / 10f64.powi(e), Unit::Plain)),
            (0..10_000_000_u64, 0..9)
                .prop_map(|(n, e)| (format!("{n}e-{}", e + 2).parse().unwrap(), Unit::Percent)),
            (0..=day).prop_map(|n| (Duration::from_nanos(n).as_secs_f64(), Unit::Seconds)),
        ];
        let name = || "[a-z][a-z0-9_.-]{0,6}x";
        let ops = [Op::Above, Op::AtLeast, Op::Below, Op::AtMost, Op::Is, Op::IsNot];
        let number = (value, proptest::sample::select(ops.to_vec()))
            .prop_map(|((number, unit), op)| (Value::Number(number), unit, op));
        let word = (name(), proptest::sample::select(ops[4..].to_vec()))
            .prop_map(|(word, op)| (Value::Word(word), Unit::Plain, op));
        let whole_seconds = (0..=DURATION_MAX.as_secs()).prop_map(Duration::from_secs);
        let of = proptest::option::of("[A-Za-z0-9_.-]{1,8}");
        (name(), of, prop_oneof![number, word], whole_seconds).prop_map(
            |(what, of, (value, unit, op), for_)| Clause {
                signal: Signal { what, of },
                op,
                value,
                unit,
                for_,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_exactly(
            any in prop::collection::vec(prop::collection::vec(clause(), 1..3), 1..=CLAUSES_MAX / 2)
        ) {
            let condition = Condition { any };
            let text = condition.to_string();
            prop_assume!(text.len() <= TEXT_MAX);
            prop_assert_eq!(text.parse::<Condition>(), Ok(condition), "{}", text);
        }

        #[test]
        fn a_duration_of_up_to_a_day_survives_as_seconds_to_the_nanosecond(
            nanos in 0..=DURATION_MAX.as_nanos() as u64
        ) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(seconds(duration.as_secs_f64()), duration::format(duration));
        }

        /// Whatever is read is written so that it is read again, and nothing makes it panic.
        #[test]
        fn any_text_is_a_condition_or_an_error(
            text in prop_oneof![
                "\\PC{0,60}",
                "(([a-z0-9.µ%]{1,9}|p9\\(x\\)|load|[<>=!]{1,2}|70%|10s|for|and|or|up|[()]) ?){0,16}",
                "(a|p9\\(x\\)) ?(<|>=|==|!=) ?([0-9.]{1,9}(%|ms|h)?|up)( for [0-9]{1,3}s)?( (or|and) a > 1)?",
            ]
        ) {
            if let Ok(condition) = text.parse::<Condition>() {
                let written = condition.to_string();
                prop_assert_eq!(written.parse::<Condition>(), Ok(condition), "{}", written);
            }
        }
    }
}
