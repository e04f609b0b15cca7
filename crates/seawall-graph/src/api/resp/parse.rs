//! Words of a command, read from left to right.

use seawall_net::resp::{Command, is_word, parse_int};

use super::errors::{NOT_A_NUMBER, SYNTAX};
use crate::call::Time;
use crate::id::Id;
use crate::schema::{AssocKind, Schema};

/// The whole error, with its prefix.
pub(super) type Wrong = String;

/// Names with values.
pub(super) type Pairs<'c> = Vec<(&'c [u8], &'c [u8])>;

/// The words of a command that are left.
#[derive(Clone)]
pub(super) struct Words<'c> {
    command: Command<'c>,
    at: usize,
}

impl<'c> Words<'c> {
    /// Those behind the name.
    pub(super) fn of(command: &Command<'c>) -> Words<'c> {
        Words { command: *command, at: 1 }
    }

    /// How many are left.
    pub(super) fn left(&self) -> usize {
        self.command.len() - self.at
    }

    fn peek(&self) -> Option<&'c [u8]> {
        self.command.get(self.at)
    }

    /// The next one, if there is one.
    pub(super) fn next(&mut self) -> Option<&'c [u8]> {
        let word = self.peek()?;
        self.at += 1;
        Some(word)
    }

    /// The next one; a syntax error if there is none.
    pub(super) fn word(&mut self) -> Result<&'c [u8], Wrong> {
        self.next().ok_or_else(|| SYNTAX.to_owned())
    }

    /// Passes over the next one if it is this word, in whatever case.
    pub(super) fn skip(&mut self, word: &str) -> bool {
        let is_next = self.peek().is_some_and(|next| is_word(next, word));
        self.at += usize::from(is_next);
        is_next
    }

    /// Whether the next one begins as a number does.
    pub(super) fn is_number(&self) -> bool {
        self.peek().is_some_and(|word| matches!(word.first(), Some(b'0'..=b'9' | b'-')))
    }

    /// A whole number within these bounds.
    pub(super) fn number(&mut self, min: i64, max: i64) -> Result<i64, Wrong> {
        let number = parse_int(self.word()?).filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| NOT_A_NUMBER.to_owned())
    }

    /// A number from 0 on.
    pub(super) fn small(&mut self) -> Result<u32, Wrong> {
        self.number(0, i64::from(u32::MAX)).map(|number| number as u32)
    }

    /// An id.
    pub(super) fn id(&mut self) -> Result<Id, Wrong> {
        let number = parse_int(self.word()?).ok_or_else(|| NOT_A_NUMBER.to_owned())?;
        Id::try_from(number).map_err(|e| format!("ERR {e}"))
    }

    /// A time of 32 bits.
    pub(super) fn time(&mut self) -> Result<Time, Wrong> {
        self.small().map(Time)
    }

    /// An association type by its name.
    pub(super) fn assoc<'s>(&mut self, schema: &'s Schema) -> Result<&'s AssocKind, Wrong> {
        let name = self.word()?;
        let known = std::str::from_utf8(name).ok().and_then(|name| schema.assoc(name));
        known.ok_or_else(|| format!("ERR unknown association type '{}'", shown(name)))
    }

    /// Name value pairs to the end.
    pub(super) fn pairs(&mut self) -> Result<Pairs<'c>, Wrong> {
        if self.left() == 0 || self.left() % 2 == 1 {
            return Err(SYNTAX.to_owned());
        }
        let mut pairs = Vec::with_capacity(self.left() / 2);
        while let (Some(name), Some(value)) = (self.next(), self.next()) {
            pairs.push((name, value));
        }
        Ok(pairs)
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), Wrong> {
        if self.left() == 0 { Ok(()) } else { Err(SYNTAX.to_owned()) }
    }
}

/// How much of what a client sent an error repeats; Redis's number.
const SHOWN_MAX: usize = 128;

/// What a client sent, for an error.
pub(super) fn shown(word: &[u8]) -> String {
    String::from_utf8_lossy(&word[..word.len().min(SHOWN_MAX)]).into_owned()
}
