//! The journal: what a gateway is about to dispatch, on disk before it is on any socket.
//!
//! ```text
//! <root>/gateway-<id>/lock             held while the gateway lives
//!                     00000001.journal  head | marks of all sessions | entries …
//!                     00000002.journal  …
//! ```
//!
//! ## What it promises
//!
//! A client that heard number `s` can be told `s + 1` by another process, because the entries that gave both are
//! here. They are written with one `write` for each batch and never synced: a process that is killed leaves its page
//! cache behind, and that is the crash this is for. A machine that goes down takes part of it along; therefore
//! each segment names the boot it was written in, and after another boot nobody may read it. History has every message.
//!
//! ## Torn and broken
//!
//! What is appended to one file by one process survives as a prefix. A record that ends early at the very end
//! is a batch that was being written when the process died: nobody was sent it, and it is passed over. Anything
//! else that does not add up (a check sum, a hole in the numbers, a segment missing in the middle) means that the
//! numbers of a replay would be guesses, and the whole journal is refused.
//!
//! ## Segments
//!
//! Each begins with the mark of every session, so a reader needs the newest segments only: from the lowest place
//! that those marks name. A segment that no mark needs any longer is kept for [`Options::keep`] all the same: its
//! reader may be at work.

mod format;
mod reader;
mod sweep;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

pub use format::{RECORD_MAX, VERSION};
pub use reader::{Entries, Load, Reader};
pub use sweep::sweep;
pub use writer::{Options, Writer};

/// Why a journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// The folder cannot be made, listed or locked.
    #[error("cannot use the journal folder {}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process writes there.
    #[error("the journal in {} belongs to a living process", folder.display())]
    Locked {
        /// Which.
        folder: PathBuf,
    },
    /// A segment cannot be read or written: a full disk, a failing one.
    #[error("cannot use the journal segment {}", file.display())]
    Segment {
        /// Which.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A batch above [`RECORD_MAX`]; nothing of it was written.
    #[error("a batch of {bytes} bytes; a journal takes up to {RECORD_MAX}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// Written by a newer build.
    #[error("{} has format {found}; this build reads up to {VERSION}", file.display())]
    TooNew {
        /// Which.
        file: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Written before the machine was started last: its end may be missing.
    #[error("{} was written before the last boot", file.display())]
    OtherBoot {
        /// Which.
        file: PathBuf,
    },
    /// Something in it does not add up.
    #[error("{} is damaged at byte {at}: {what}", file.display())]
    Damaged {
        /// Which.
        file: PathBuf,
        /// Where.
        at: u64,
        /// What.
        what: &'static str,
    },
    /// What is asked for is not here any more.
    #[error("the journal in {} begins after entry {after}", folder.display())]
    TooOld {
        /// Which.
        folder: PathBuf,
        /// After which entry was asked.
        after: u64,
    },
}

/// The folder of a gateway's journal below `root`.
#[must_use]
pub fn folder(root: &Path, gateway: &str) -> PathBuf {
    root.join(format!("{FOLDER_PREFIX}{gateway}"))
}

const FOLDER_PREFIX: &str = "gateway-";

/// What the kernel calls the time since the machine was started.
///
/// # Errors
/// There is no /proc.
pub fn boot_id() -> io::Result<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned())
}

#[cfg(test)]
mod tests;
