//! What is known of a command before it is run: for the check of its arguments, for the gate, and for those who ask
//! with `COMMAND`.

use seawall_policy::priority::Priority;

/// A command, as it is documented and checked.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// In lower case; a subcommand's with its command's in front, as `client|id`.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// The version of what serves it that had it first.
    pub since: &'static str,
    /// Commands that belong together.
    pub group: &'static str,
    /// What it costs.
    pub complexity: &'static str,
    /// Arguments with the name counted: exactly so many, or at least so many where it is negative.
    pub arity: i32,
    /// Redis's words for what it does: `readonly`, `write`, `fast` …
    pub flags: &'static [&'static str],
    /// First and last argument that is a key, and the step between; none where none is.
    pub keys: Option<(i32, i32, i32)>,
    /// For hints.
    pub arguments: &'static [Argument],
    /// What its second word may be, where that decides.
    pub subcommands: &'static [Spec],
    /// How much it matters when there is too much to do.
    pub priority: Priority,
    /// How it stands to the commands before and after it.
    pub order: Order,
}

/// How a command stands to the others of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// May be answered while earlier ones of this kind are still waiting for theirs.
    Free,
    /// Begins when all before it are answered: it depends on what they change, or what it changes they must not see.
    Alone,
    /// The same, and changes what others see: at an exposed port, only for those who have shown a token.
    Write,
}

/// An argument of a command.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// What it is called in hints.
    pub name: &'static str,
    /// What may stand there.
    pub kind: Kind,
    /// The word it is introduced by.
    pub token: Option<&'static str>,
    /// It may be left out.
    pub is_optional: bool,
    /// There may be several.
    pub is_multiple: bool,
    /// What it consists of.
    pub parts: &'static [Argument],
}

/// What an argument may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Integer,
    /// Any bytes.
    Text,
    /// Nothing but its token.
    Token,
    /// One of its parts.
    OneOf,
    /// All of its parts.
    Block,
}

impl Spec {
    /// A command without anything; for `..Spec::NONE`.
    pub const NONE: Spec = Spec {
        name: "",
        summary: "",
        since: "0.1.0",
        group: "generic",
        complexity: "O(1)",
        arity: 1,
        flags: &[],
        keys: None,
        arguments: &[],
        subcommands: &[],
        priority: Priority::P0,
        order: Order::Free,
    };

    /// Whether a command of so many words, its name included, has as many as it needs.
    #[inline]
    #[must_use]
    pub fn takes(&self, words: usize) -> bool {
        let words = i32::try_from(words).unwrap_or(i32::MAX);
        if self.arity >= 0 { words == self.arity } else { words >= -self.arity }
    }
}

impl Argument {
    /// One that must be there.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind) -> Argument {
        Argument { name, kind, token: None, is_optional: false, is_multiple: false, parts: &[] }
    }

    /// A word that may be there.
    #[must_use]
    pub const fn flag(name: &'static str, token: &'static str) -> Argument {
        Argument { token: Some(token), is_optional: true, ..Argument::new(name, Kind::Token) }
    }

    /// One that may be there, behind its word.
    #[must_use]
    pub const fn option(name: &'static str, token: &'static str, kind: Kind) -> Argument {
        Argument { token: Some(token), is_optional: true, ..Argument::new(name, kind) }
    }

    /// Several of it.
    #[must_use]
    pub const fn many(self) -> Argument {
        Argument { is_multiple: true, ..self }
    }
}

impl Kind {
    /// Redis's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Integer => "integer",
            Kind::Text => "string",
            Kind::Token => "pure-token",
            Kind::OneOf => "oneof",
            Kind::Block => "block",
        }
    }
}

/// Whether these bytes are this word of lower case, in whatever case.
#[inline]
#[must_use]
pub fn is_word(bytes: &[u8], word: &str) -> bool {
    bytes.eq_ignore_ascii_case(word.as_bytes())
}

/// The longest name there is.
pub const NAME_MAX: usize = 32;

/// A name in lower case, on the stack, to be matched against what is known; nothing known is longer than
/// [`NAME_MAX`].
#[inline]
#[must_use]
pub fn folded<'r>(name: &[u8], room: &'r mut [u8; NAME_MAX]) -> Option<&'r [u8]> {
    let folded = room.get_mut(..name.len())?;
    folded.copy_from_slice(name);
    folded.make_ascii_lowercase();
    Some(folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arity_is_exact_or_a_minimum() {
        let exact = Spec { arity: 2, ..Spec::NONE };
        assert!(exact.takes(2) && !exact.takes(1) && !exact.takes(3));
        let least = Spec { arity: -2, ..Spec::NONE };
        assert!(least.takes(2) && least.takes(100) && !least.takes(1));
    }

    #[test]
    fn names_are_folded_without_a_copy_of_longer_ones() {
        let mut room = [0; NAME_MAX];
        assert_eq!(folded(b"OBJ.Get", &mut room), Some(&b"obj.get"[..]));
        assert_eq!(folded(&[b'a'; NAME_MAX + 1], &mut room), None);
    }
}
