//! Reading a condition. Whoever wrote a bad one is told the column and what to write there.

use std::str::FromStr;
use std::time::Duration;

use super::{CLAUSES_MAX, Clause, Condition, DURATION_MAX, NAME_MAX, Op, Signal, TEXT_MAX, Unit, Value};
use crate::duration;

/// Characters of a number: more digits than a double can tell apart.
const NUMBER_CHARS_MAX: usize = 24;
/// The largest plain number; doubles count exactly up to nine times this.
const NUMBER_MAX: f64 = 1e15;
/// Words of the language, which no signal and no state is called.
const KEYWORDS: [&str; 3] = ["and", "or", "for"];
/// Two characters before one: `>=` is not `>` and then something wrong.
const OPS: [(&str, Op); 7] = [
    (">=", Op::AtLeast),
    ("<=", Op::AtMost),
    ("==", Op::Is),
    ("!=", Op::IsNot),
    (">", Op::Above),
    ("<", Op::Below),
    ("=", Op::Is),
];

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a condition: column {column}: {why}; write SIGNAL OP VALUE [for DURATION], joined by \
     `and` or `or`, such as \"load >= 70% for 30s\""
)]
pub struct ParseError {
    /// The text, or its beginning where it is long.
    text: String,
    column: usize,
    why: String,
}

impl ParseError {
    /// Where it went wrong: the character, counted from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }
}

impl FromStr for Condition {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Condition, ParseError> {
        let fail = |(at, why): (usize, String)| ParseError {
            text: text.chars().take(TEXT_MAX).collect(),
            column: text[..at].chars().count() + 1,
            why,
        };
        let too_long = || (0, format!("it is longer than {TEXT_MAX} bytes: compute a signal of your own"));
        if text.len() > TEXT_MAX {
            return Err(fail(too_long()));
        }
        let condition = Cursor { text, at: 0 }.condition().map_err(fail)?;
        // What is written in full must be readable too, or a configuration shown could not be loaded.
        if condition.to_string().len() > TEXT_MAX { Err(fail(too_long())) } else { Ok(condition) }
    }
}

impl TryFrom<String> for Condition {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Condition, ParseError> {
        text.parse()
    }
}

/// Where reading has come to. An error is its place in bytes and its reason.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

type Read<T> = Result<T, (usize, String)>;

impl<'a> Cursor<'a> {
    fn condition(&mut self) -> Read<Condition> {
        let (mut any, mut all) = (Vec::new(), vec![self.clause()?]);
        for _ in 1..=CLAUSES_MAX {
            self.skip_blanks();
            let at = self.at;
            match self.word() {
                _ if at == self.text.len() => {
                    any.push(all);
                    return Ok(Condition { any });
                }
                "and" => all.push(self.clause()?),
                "or" => any.push(std::mem::replace(&mut all, vec![self.clause()?])),
                _ => return Err((at, "here only `and`, `or`, `for` or the end can follow".to_owned())),
            }
        }
        Err((self.at, format!("it has more than {CLAUSES_MAX} clauses: compute a signal of your own")))
    }

    fn clause(&mut self) -> Read<Clause> {
        let signal = self.signal()?;
        let op_at = self.skip_blanks();
        let op = self.op()?;
        let (value, unit) = self.value()?;
        if matches!(value, Value::Word(_)) && !matches!(op, Op::Is | Op::IsNot) {
            return Err((op_at, "words have no order: compare them by == or !=".to_owned()));
        }
        let before = self.skip_blanks();
        let for_ = if self.word() == "for" {
            self.time()?
        } else {
            self.at = before;
            Duration::ZERO
        };
        Ok(Clause { signal, op, value, unit, for_ })
    }

    fn signal(&mut self) -> Read<Signal> {
        let at = self.skip_blanks();
        let what = self.name(at, "a signal is missing, such as load or p95(ranking)")?;
        if !self.take("(") {
            return Ok(Signal { what, of: None });
        }
        let at = self.skip_blanks();
        let of = self.run(is_name).to_owned();
        if of.is_empty() || of.len() > NAME_MAX {
            let why =
                format!("a name of 1 to {NAME_MAX} letters, digits, - _ or . belongs into the brackets");
            return Err((at, why));
        }
        let at = self.skip_blanks();
        if self.take(")") {
            Ok(Signal { what, of: Some(of) })
        } else {
            Err((at, "a ) is missing".to_owned()))
        }
    }

    fn op(&mut self) -> Read<Op> {
        let at = self.skip_blanks();
        let found = OPS.iter().find(|(text, _)| self.take(text));
        found.map(|(_, op)| *op).ok_or_else(|| (at, "use one of > >= < <= == !=".to_owned()))
    }

    fn value(&mut self) -> Read<(Value, Unit)> {
        let at = self.skip_blanks();
        if !self.rest().starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            let why =
                "a value is missing: a number that is not negative, 1%, 100ms, or a word such as closed";
            return Ok((Value::Word(self.name(at, why)?), Unit::Plain));
        }
        let number = self.run(is_number);
        if number.len() > NUMBER_CHARS_MAX {
            return Err((at, format!("use at most {NUMBER_CHARS_MAX} characters for a number")));
        }
        if self.take("%") {
            // Shifted in decimal, so that 70% is the very number 0.7.
            let share = format!("{number}e-2").parse().ok().filter(|share: &f64| *share <= NUMBER_MAX);
            let share = share.ok_or_else(|| (at, format!("{number} is no number")))?;
            return Ok((Value::Number(share), Unit::Percent));
        }
        if number.contains(|c: char| c.is_alphabetic()) {
            self.at = at;
            return Ok((Value::Number(self.time()?.as_secs_f64()), Unit::Seconds));
        }
        match number.parse() {
            Ok(plain) if plain <= NUMBER_MAX => Ok((Value::Number(plain), Unit::Plain)),
            _ => Err((at, format!("{number} is no number up to {NUMBER_MAX}"))),
        }
    }

    fn time(&mut self) -> Read<Duration> {
        let at = self.skip_blanks();
        let text = self.run(is_number);
        let time = duration::parse(text).map_err(|error| (at, error.to_string()))?;
        if time > DURATION_MAX {
            return Err((at, format!("use at most {}", duration::format(DURATION_MAX))));
        }
        Ok(time)
    }

    /// A word that may stand for a signal or a state.
    fn name(&mut self, at: usize, missing: &str) -> Read<String> {
        let word = self.word();
        if word.is_empty() || KEYWORDS.contains(&word) {
            return Err((at, missing.to_owned()));
        }
        if word.len() > NAME_MAX {
            return Err((at, format!("use a name of at most {NAME_MAX} characters")));
        }
        Ok(word.to_owned())
    }

    /// The word that begins here; empty if none does.
    fn word(&mut self) -> &'a str {
        if self.rest().starts_with(|c: char| c.is_ascii_alphabetic()) { self.run(is_name) } else { "" }
    }

    fn run(&mut self, belongs: fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let run = &rest[..rest.find(|c| !belongs(c)).unwrap_or(rest.len())];
        self.at += run.len();
        run
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    fn skip_blanks(&mut self) -> usize {
        self.run(char::is_whitespace);
        self.at
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// Numbers and durations; the micro sign and the Greek letter both stand for micro.
fn is_number(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | 'µ' | 'μ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Condition, ParseError> {
        text.parse()
    }

    #[test]
    fn and_binds_tighter_than_or() {
        let condition = parse("a > 1 and b < 2 or c == up and d != 3").unwrap();
        let shape: Vec<Vec<&str>> =
            condition.any.iter().map(|all| all.iter().map(|c| c.signal.what.as_str()).collect()).collect();
        assert_eq!(shape, [["a", "b"], ["c", "d"]]);
    }

    #[test]
    fn percentages_become_fractions_and_durations_seconds() {
        for (text, number, unit) in [
            ("x > 1%", 0.01, Unit::Percent),
            ("x > 0.2%", 0.002, Unit::Percent),
            ("x > 28.9%", 0.289, Unit::Percent),
            ("x > 100ms", 0.1, Unit::Seconds),
            ("x > 1m30s", 90.0, Unit::Seconds),
            ("x > 3", 3.0, Unit::Plain),
            ("x > .5", 0.5, Unit::Plain),
        ] {
            let condition = parse(text).unwrap();
            let clause = &condition.any[0][0];
            assert_eq!((&clause.value, clause.unit), (&Value::Number(number), unit), "{text}");
        }
    }

    #[test]
    fn blanks_are_free_and_a_single_equals_sign_will_do() {
        let same = parse("p95(ranking) > 100ms for 10s or breaker(s1.ranking) = half-open").unwrap();
        assert_eq!(
            parse("p95( ranking )>100ms  for\t10s or breaker(s1.ranking)==half-open "),
            Ok(same.clone())
        );
        assert_eq!(same.to_string(), "p95(ranking) > 100ms for 10s or breaker(s1.ranking) == half-open");
    }

    #[test]
    fn an_error_names_the_column_and_what_to_write_there() {
        for (text, column, says) in [
            ("", 1, "a signal is missing"),
            ("load", 5, "use one of > >="),
            ("load >", 7, "a value is missing"),
            ("load > -1", 8, "not negative"),
            ("load > 70 %", 11, "`and`, `or`, `for` or the end"),
            ("load > 1,000", 9, "`and`, `or`, `for` or the end"),
            ("load > high", 6, "words have no order"),
            ("load > 70% for", 15, "it is empty"),
            ("load > 70% for 10", 16, "no unit"),
            ("load > 70% for 25h", 16, "at most 24h"),
            ("load > 10x", 8, "unit is unknown"),
            ("load > 1.2.3%", 8, "is no number"),
            ("load > 70% and", 15, "a signal is missing"),
            ("load > 70% or or x > 1", 15, "a signal is missing"),
            ("(load > 70%)", 1, "a signal is missing"),
            ("p95() > 1s", 5, "belongs into the brackets"),
            ("p95(a b) > 1s", 7, "a ) is missing"),
            ("größe > 1", 3, "use one of > >="),
            ("x => 1", 4, "a value is missing"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.column(), column, "{error}");
            let message = error.to_string();
            assert!(
                message.contains(says) && message.contains("such as \"load >= 70% for 30s\""),
                "{message}"
            );
        }
    }

    #[test]
    fn everything_has_an_end() {
        let clauses = |n: usize| vec!["load > 1"; n].join(" or ");
        assert!(parse(&clauses(CLAUSES_MAX)).is_ok());
        assert!(parse(&clauses(CLAUSES_MAX + 1)).unwrap_err().to_string().contains("more than 8 clauses"));
        let long = parse(&"x".repeat(TEXT_MAX + 1)).unwrap_err();
        assert!(long.to_string().contains("longer than 256 bytes") && long.to_string().len() < 512, "{long}");
        assert!(parse(&format!("{} > 1", "x".repeat(NAME_MAX))).is_ok());
        assert!(parse(&format!("{} > 1", "x".repeat(NAME_MAX + 1))).is_err());
        assert!(parse(&format!("x({}) > 1", "x".repeat(NAME_MAX + 1))).is_err());
        assert!(parse(&format!("x > {}", "9".repeat(NUMBER_CHARS_MAX + 1))).is_err());
        assert!(parse("x > 1000000000000000").is_ok());
        assert!(parse("x > 1000000000000001").is_err());
    }
}
