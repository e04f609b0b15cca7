//! How the process ends: sysexits where they exist, so that scripts and service managers can tell.

use std::fmt;
use std::process::ExitCode;

/// A drill or benchmark ran and a target was missed.
pub(crate) const TARGET_MISSED: u8 = 3;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const INTERNAL: u8 = 70;
const BAD_CONFIG: u8 = 78;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It could not be done; one line that says what to do.
    Failed(String),
    /// The arguments do not make sense together.
    Usage(String),
    /// A bug of ours.
    Internal(String),
    /// Everything wrong with the configuration.
    Config(Vec<String>),
}

impl Failure {
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Failed(_) => FAILED,
            Failure::Usage(_) => USAGE,
            Failure::Internal(_) => INTERNAL,
            Failure::Config(_) => BAD_CONFIG,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Failed(why) | Failure::Usage(why) => f.write_str(why),
            Failure::Internal(why) => write!(f, "internal error: {why}"),
            Failure::Config(wrong) => {
                write!(
                    f,
                    "the configuration has {} problem{}",
                    wrong.len(),
                    if wrong.len() == 1 { "" } else { "s" }
                )?;
                wrong.iter().try_for_each(|w| write!(f, "\n  {w}"))
            }
        }
    }
}
