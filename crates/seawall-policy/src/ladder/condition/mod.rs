//! When to enter a rung and when to leave it: `p95(ranking) > 100ms for 10s or breaker(ranking) != closed`.
//!
//! ```text
//! condition = clauses { "or" clauses }              any of them
//! clauses   = clause { "and" clause }               all of them
//! clause    = signal op value [ "for" duration ]
//! signal    = word [ "(" name ")" ]                 load, p95(ranking), up(backends)
//! op        = ">" | ">=" | "<" | "<=" | "==" | "!="     "=" is read as "=="
//! value     = number | percent | duration | word    3, 50%, 100ms, half-open
//! ```
//! Names and words are letters, digits, `-`, `_` and `.`; a word begins with a letter.
//!
//! A condition is text and not a tree of TOML tables because it is read far more often than it is written,
//! mostly at night, by someone who wants to know why a feature is off. There are no brackets, no arithmetic
//! and no functions: what needs more than `and` and `or` is a signal, computed and tested in code.
//!
//! Signals are numbers that are not negative, or words. Inside, a percentage is its fraction (`1%` is 0.01)
//! and a duration its seconds (`100ms` is 0.1); [`Unit`] remembers how it was written.

mod parse;
mod text;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::parse::ParseError;

/// Bytes a condition's text may have: three lines of a terminal, more than anyone reads at night.
pub const TEXT_MAX: usize = 256;
/// Clauses a condition may have in all. The longest of ours has two.
pub const CLAUSES_MAX: usize = 8;
/// Bytes a signal's name, its argument or a word may have.
pub const NAME_MAX: usize = 64;
/// The longest time a condition may speak of. A ladder answers to minutes; what takes days is a trend.
pub const DURATION_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Alternatives, each a row of clauses that must all hold. Without any it never holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Condition {
    /// Any of these suffices.
    pub any: Vec<Vec<Clause>>,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause {
    /// What is looked at.
    pub signal: Signal,
    /// How it must compare.
    pub op: Op,
    /// To what.
    pub value: Value,
    /// How the value was written, and how the signal is shown beside it.
    pub unit: Unit,
    /// For how long, without interruption; zero holds at once.
    pub for_: Duration,
}

/// Something that is measured or known elsewhere: `p95(ranking)` is `p95` of `ranking`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Signal {
    /// What is measured.
    pub what: String,
    /// Of whom, where there are several.
    pub of: Option<String>,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `==`
    Is,
    /// `!=`
    IsNot,
}

/// What a signal says, and what it is compared to.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A plain number, a fraction of one, or seconds.
    Number(f64),
    /// A state: `closed`, `lost`, `true`.
    Word(String),
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// `3`, and every word.
    Plain,
    /// `50%`: a share, at most 100 %.
    Percent,
    /// `100ms`
    Seconds,
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Number(number)
    }
}

impl From<Duration> for Value {
    fn from(duration: Duration) -> Value {
        Value::Number(duration.as_secs_f64())
    }
}

impl From<&str> for Value {
    fn from(word: &str) -> Value {
        Value::Word(word.to_owned())
    }
}

impl From<bool> for Value {
    fn from(holds: bool) -> Value {
        Value::Word(holds.to_string())
    }
}

impl Clause {
    /// Whether it holds of this reading, whatever the time; `None` when that cannot be told: there is no
    /// reading, it is a word where a number is expected, or it is not a number at all.
    #[must_use]
    pub fn holds(&self, reading: Option<&Value>) -> Option<bool> {
        match (reading?, &self.value) {
            (Value::Number(seen), _) if seen.is_nan() => None,
            (Value::Number(seen), Value::Number(bound)) => Some(match self.op {
                Op::Above => seen > bound,
                Op::AtLeast => seen >= bound,
                Op::Below => seen < bound,
                Op::AtMost => seen <= bound,
                Op::Is => seen == bound,
                Op::IsNot => seen != bound,
            }),
            (Value::Word(seen), Value::Word(word)) => match self.op {
                Op::Is => Some(seen == word),
                Op::IsNot => Some(seen != word),
                Op::Above | Op::AtLeast | Op::Below | Op::AtMost => None,
            },
            (Value::Number(_), Value::Word(_)) | (Value::Word(_), Value::Number(_)) => None,
        }
    }
}

impl Condition {
    /// Every clause of every alternative.
    pub fn clauses(&self) -> impl Iterator<Item = &Clause> {
        self.any.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clause(text: &str) -> Clause {
        let condition: Condition = text.parse().unwrap();
        condition.any[0][0].clone()
    }

    #[test]
    fn each_comparison_means_what_it_says_at_its_bound() {
        for (op, [below, at, above]) in [
            (">", [false, false, true]),
            (">=", [false, true, true]),
            ("<", [true, false, false]),
            ("<=", [true, true, false]),
            ("==", [false, true, false]),
            ("!=", [true, false, true]),
        ] {
            let clause = clause(&format!("load {op} 70%"));
            for (seen, expected) in [(0.699, below), (0.7, at), (0.701, above)] {
                assert_eq!(clause.holds(Some(&seen.into())), Some(expected), "{seen} {op} 70%");
            }
        }
    }

    #[test]
    fn what_is_not_known_is_neither_true_nor_false() {
        let load = clause("load > 70%");
        assert_eq!(load.holds(None), None);
        assert_eq!(load.holds(Some(&f64::NAN.into())), None);
        assert_eq!(load.holds(Some(&"high".into())), None, "a word where a number is expected");
        assert_eq!(clause("store == lost").holds(Some(&1.0.into())), None);
        assert_eq!(clause("ready == true").holds(Some(&true.into())), Some(true));
    }
}
