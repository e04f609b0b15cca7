//! What can go wrong before there is a figure. A missed bar is no error; it is a result.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use seawall_drill::fault::process::ProcessError;

/// Why a server did not start, or a bench has nothing to report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// A program of somebody else is not installed.
    #[error("{program} is not installed; on Debian: apt-get install {package}")]
    NotInstalled {
        /// The program.
        program: &'static str,
        /// Debian's package that holds it.
        package: &'static str,
    },
    /// Our own binary is not where it should be.
    #[error("there is no seawall binary at {path}; build it first: cargo build")]
    NotBuilt {
        /// Where we looked.
        path: PathBuf,
    },
    /// A child process did not start, get ready or end as it should.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A child process ended with an error.
    #[error("{name} failed ({status}):\n{output}")]
    Failed {
        /// Which.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        output: String,
    },
    /// A file could not be written or read.
    #[error("cannot {what}")]
    Io {
        /// What we were about to do.
        what: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A program printed, or the kernel showed, something we do not understand.
    #[error("cannot read {what}: {found:?}")]
    Unreadable {
        /// What it should have been.
        what: &'static str,
        /// What it is.
        found: String,
    },
    /// A side answers, but not what was asked for: its speed would mean nothing.
    #[error("{side} answers {path} wrongly: {found}, not {wanted}")]
    WrongAnswer {
        /// Which side.
        side: String,
        /// What was asked for.
        path: String,
        /// What came.
        found: String,
        /// What should have come.
        wanted: String,
    },
    /// Requests failed during a round: the figures of the round would flatter whoever failed them.
    #[error("{errors} requests to {side} failed in one round: {detail}")]
    Load {
        /// Which side.
        side: String,
        /// How many.
        errors: u64,
        /// Of which kinds.
        detail: String,
    },
}

impl LabError {
    /// For `map_err` on file operations.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> LabError {
        let what = what.into();
        move |source| LabError::Io { what, source }
    }
}
