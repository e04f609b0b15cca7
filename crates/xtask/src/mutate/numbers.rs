//! Which numbers a file of presets holds, and what to put in their place.
//!
//! A scanner, not a parser: comments, attributes and tests are passed by, and a digit that follows a
//! letter is part of a name. In strings it is the other way round, for `"p95(ranking) > 100ms"` holds two
//! numbers of its document; only what names the document itself (`"s1-feed"`) holds none.

use std::ops::Range;

use crate::tidy::source::{code, code_and_comments};

/// A number in the text of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    /// In characters.
    at: Range<usize>,
    /// From 1.
    pub line: usize,
    /// As it stands there.
    pub old: String,
    /// What to put there instead, the first that compiles.
    pub tries: Vec<String>,
}

impl Number {
    /// `text` with `new` in place of this number.
    pub(super) fn replaced(&self, text: &str, new: &str) -> String {
        let before = text.chars().take(self.at.start);
        before.chain(new.chars()).chain(text.chars().skip(self.at.end)).collect()
    }
}

/// Every number in `text`, in order.
pub(super) fn find(text: &str) -> Vec<Number> {
    let source = Source::new(text);
    let mut found = Vec::new();
    let mut at = 0;
    while at < source.end {
        let Some(literal) = source.literal(at) else {
            at += 1;
            continue;
        };
        at += literal.len();
        found.extend(source.number(at - literal.len(), literal));
    }
    found
}

struct Source {
    text: Vec<char>,
    kinds: Vec<Kind>,
    /// Where tests begin, or the end.
    end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    String,
    /// A comment or an attribute.
    Aside,
}

impl Source {
    fn new(text: &str) -> Source {
        let bare: Vec<char> = code(text).chars().collect();
        let commented: Vec<char> = code_and_comments(text).chars().collect();
        let text: Vec<char> = text.chars().collect();
        // What neither view blanks is code, what both do is a string, and a comment is in one of them.
        let kind = |((all, bare), commented): ((&char, &char), &char)| {
            if all == bare {
                Kind::Code
            } else if all == commented {
                Kind::Aside
            } else {
                Kind::String
            }
        };
        let mut kinds: Vec<Kind> = text.iter().zip(&bare).zip(&commented).map(kind).collect();
        let bare: String = bare.iter().map(|c| if c.is_ascii() { *c } else { '?' }).collect();
        for (start, _) in bare.match_indices("#[").chain(bare.match_indices("#![")) {
            kinds[start..attribute_end(&bare, start)].fill(Kind::Aside);
        }
        let end = bare.find("#[cfg(test)]").unwrap_or(text.len());
        Source { text, kinds, end }
    }

    /// The literal that begins at `at`: all digits, and what makes them a fraction or of another base.
    fn literal(&self, at: usize) -> Option<String> {
        let kind = self.kinds[at];
        let digit = |at: usize| self.text.get(at).is_some_and(char::is_ascii_digit);
        if kind == Kind::Aside || !digit(at) || self.is_inside_a_name(at) {
            return None;
        }
        let mut end = at;
        let based = self.text[at] == '0' && matches!(self.text.get(at + 1), Some('x' | 'o' | 'b'));
        if based && kind == Kind::Code {
            end += 2;
            while self.text.get(end).is_some_and(|c| c.is_ascii_hexdigit() || *c == '_') {
                end += 1;
            }
        } else {
            end = self.digits_end(at);
            // `0..5` is a range and `5.max(1)` a call.
            if self.text.get(end) == Some(&'.') && digit(end + 1) {
                end = self.digits_end(end + 1);
            }
        }
        Some(self.text[at..end].iter().collect())
    }

    fn digits_end(&self, from: usize) -> usize {
        let is_part = |c: &char| c.is_ascii_digit() || *c == '_';
        let all = self.text[from..].iter().take_while(|c| is_part(c)).count();
        // In `2.0_f64` the last one belongs to the type.
        from + all - self.text[from..from + all].iter().rev().take_while(|c| **c == '_').count()
    }

    fn is_inside_a_name(&self, at: usize) -> bool {
        let before = |n: usize| at.checked_sub(n).map(|i| self.text[i]);
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let Some(last) = before(1) else { return false };
        match self.kinds[at] {
            // `pair.0` names a field; `0..5` ends with a number.
            Kind::Code if last == '.' => before(2).is_some_and(|c| is_name(c) || c == ')' || c == ']'),
            // The documents are S0 to S4.
            Kind::String if matches!(last, 's' | 'S') => {
                !before(2).is_some_and(is_name) && !self.text.get(at + 1).is_some_and(char::is_ascii_digit)
            }
            Kind::String => false,
            Kind::Code | Kind::Aside => is_name(last),
        }
    }

    fn number(&self, start: usize, literal: String) -> Option<Number> {
        let line = 1 + self.text[..start].iter().filter(|c| **c == '\n').count();
        let tries = tries(&literal)?;
        Some(Number { at: start..start + literal.len(), line, old: literal, tries })
    }
}

/// Past the `]` that closes the attribute at `start`.
fn attribute_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[start..].char_indices() {
        match c {
            '[' => depth += 1,
            ']' if depth <= 1 => return start + at + 1,
            ']' => depth -= 1,
            _ => (),
        }
    }
    code.len()
}

/// One more, one less, twice as much: in the last place that is written, so that a test which only looks
/// roughly is found out.
fn tries(literal: &str) -> Option<Vec<String>> {
    let plain = literal.replace('_', "");
    let mut tries = match plain.split_once('.') {
        Some((_, places)) => {
            let (value, step) = (plain.parse::<f64>().ok()?, 0.1_f64.powi(places.len() as i32));
            let all = [value + step, (value - step).max(0.0), value * 2.0];
            all.map(|value| format!("{value:.*}", places.len())).to_vec()
        }
        None => {
            let base = match plain.get(..2) {
                Some("0x") => 16,
                Some("0o") => 8,
                Some("0b") => 2,
                _ => 10,
            };
            let digits = if base == 10 { &plain } else { &plain[2..] };
            let value = u128::from_str_radix(digits, base).ok()?;
            let all = [value.checked_add(1), value.checked_sub(1), value.checked_mul(2)];
            all.into_iter().flatten().map(|value| value.to_string()).collect()
        }
    };
    let mut seen = vec![plain];
    tries.retain(|new| {
        let is_new = !seen.contains(new);
        seen.push(new.clone());
        is_new
    });
    Some(tries)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found, with its line and what comes in its place first.
    fn found(text: &str) -> Vec<(usize, String, String)> {
        find(text).into_iter().map(|n| (n.line, n.old, n.tries[0].clone())).collect()
    }

    /// The numbers alone.
    fn numbers(text: &str) -> Vec<String> {
        find(text).into_iter().map(|n| n.old).collect()
    }

    const FILE: &str = r#"//! 1 comment.
use std::time::Duration;

/// 2 of a doc comment: `Trip::Failures(5)`.
#[expect(clippy::x, reason = "3 reasons")]
pub fn s0_chat(u64: u64) -> Policy {
    let pair = (Trip::Failures(5), 0.5); // 4
    let [base, max] = [10, 5_000].map(Duration::from_millis);
    let share = pair.1 + 2.0_f64 + 1e3; /* 5 */
    for _ in 0..10 {}
    when("p95(ranking) > 100ms for 10s", "s1-feed", "cache-ttl=4x", "0.2%", "ratio-s12")
}

#[cfg(test)]
mod tests {
    const N: u32 = 77;
}
"#;

    #[test]
    fn numbers_are_found_in_code_and_strings_and_nowhere_else() {
        let lines: Vec<_> = found(FILE).into_iter().map(|(line, old, _)| (line, old)).collect();
        let expected = [
            (7, "5"),
            (7, "0.5"),
            (8, "10"),
            (8, "5_000"),
            (9, "2.0"),
            (9, "1"),
            (10, "0"),
            (10, "10"),
            (11, "95"),
            (11, "100"),
            (11, "10"),
            (11, "4"),
            (11, "0.2"),
            (11, "12"),
        ];
        assert_eq!(lines, expected.map(|(line, old)| (line, old.to_owned())));
    }

    #[test]
    fn the_place_of_a_number_is_taken_by_another_and_by_nothing_else() {
        let text = "// ±1\nf(5, \"±100ms\")\n";
        let all: Vec<_> = find(text).iter().map(|n| n.replaced(text, &n.tries[0])).collect();
        assert_eq!(all, ["// ±1\nf(6, \"±100ms\")\n", "// ±1\nf(5, \"±101ms\")\n"]);
        assert!(FILE.contains("Failures(5), 0.5"));
        let numbers = find(FILE);
        assert!(numbers[1].replaced(FILE, &numbers[1].tries[0]).contains("Failures(5), 0.6"));
        for number in numbers {
            assert!(number.tries.iter().all(|new| number.replaced(FILE, new) != FILE), "{number:?}");
        }
    }

    #[test]
    fn names_fields_ranges_and_calls_are_told_apart() {
        for (text, expected) in [
            ("let p4 = x.0 + f().1 + a[0].1;", &["0"][..]),
            ("0..5; 1..=2; 3.max(4)", &["0", "5", "1", "2", "3", "4"]),
            ("Rung::s0_tier_1(u8::MAX, 7u8)", &["7"]),
            ("0x1F + 0b11", &["0x1F", "0b11"]),
            ("const D: [&str; 9] = A;", &["9"]),
            (r#"("s0-chat", "s1_feed", "p2=s1", "ms100")"#, &["2", "100"]),
        ] {
            assert_eq!(numbers(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_tried_differs_in_the_last_place() {
        for (old, new) in [
            ("5", &["6", "4", "10"][..]),
            ("0", &["1"]),
            ("1", &["2", "0"]),
            ("5_000", &["5001", "4999", "10000"]),
            ("0x10", &["17", "15", "32"]),
            ("0.5", &["0.6", "0.4", "1.0"]),
            ("0.70", &["0.71", "0.69", "1.40"]),
            ("0.9", &["1.0", "0.8", "1.8"]),
            ("2.0", &["2.1", "1.9", "4.0"]),
            ("0.0", &["0.1"]),
        ] {
            assert_eq!(tries(old).unwrap(), new, "{old}");
        }
    }
}
