//! What others wrote, made fit for a terminal: a message must not move the cursor, change the title or hide itself.

use std::io::{ErrorKind, Write};

use serde_json::Value;

use crate::exit::Failure;

/// The text with every character that a terminal would act on written as an escape. Line ends and tabs too: a
/// message is one line.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// One line of JSON. Its own rules leave DEL, C1 controls and changes of direction as they are, which a terminal
/// acts on; as escapes they are the same JSON.
pub(super) fn json(value: &Value) -> String {
    let text = value.to_string();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) { out.push_str(&format!("\\u{:04x}", u32::from(c))) } else { out.push(c) }
    }
    out
}

/// Controls of C0 and C1, and what changes the direction in which the rest of the line is shown or ends the line.
fn acts(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Prints a line at once. False when nobody reads any further, as with `| head`.
pub(super) fn line(text: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Failure::Failed(format!("cannot write to standard output: {e}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_shown_instead() {
        assert_eq!(plain("a\x1b[2Jb\u{9b}31m\rc\nd\te\x07"), r"a\u{1b}[2Jb\u{9b}31m\rc\nd\te\u{7}");
        assert_eq!(plain("pay\u{202e}llun"), r"pay\u{202e}llun");
        assert_eq!(plain("Grüße, 波止場 🌊 \\n"), "Grüße, 波止場 🌊 \\n");
    }

    #[test]
    fn json_without_controls_says_the_same() {
        let value = Value::String("a\x1b\u{9b}\u{7f}\u{2028}\n\"é".into());
        let text = json(&value);
        assert!(!text.chars().any(acts), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
