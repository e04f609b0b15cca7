//! What is wrong with a file, in the form that compilers use, so that an editor can jump to it.

use std::fmt;

/// How bad it is. `mod.rs` argues what is which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken, and someone should know.
    Warning,
}

/// One thing wrong, with its place and advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The name the file was given to [`parse`](super::parse) under.
    pub file: String,
    /// From 1. Where the key is not in the file (it comes from a preset or a default), its table's line.
    pub line: usize,
    /// The whole key, such as `policy.breaker.x.open.for`; empty where the text is no TOML.
    pub key: String,
    /// What to write instead, and why.
    pub message: String,
    /// Whether the file is refused for it.
    pub severity: Severity,
}

impl fmt::Display for Problem {
    /// `FILE:LINE: key: advice`, with `warning: ` before the key of a warning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { file, line, key, message, severity } = self;
        write!(f, "{file}:{line}: ")?;
        if *severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !key.is_empty() {
            write!(f, "{key}: ")?;
        }
        f.write_str(message)
    }
}

/// Something wrong with a key, before its line is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) key: String,
    pub(super) message: String,
    pub(super) severity: Severity,
}

impl Finding {
    pub(super) fn error(key: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding { key: key.into(), message: message.into(), severity: Severity::Error }
    }

    pub(super) fn warning(key: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(key, message) }
    }
}
