//! The process's own limits.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit on open files to the hard one: a connection is a file, and the usual 1,024 would be
/// the first thing to give way under load.
pub(super) fn raise_open_files() {
    let now = getrlimit(Resource::Nofile);
    if now.current == now.maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum }) {
        Ok(()) => tracing::debug!(from = ?now.current, to = ?now.maximum, "open files limit raised"),
        Err(e) => tracing::warn!(limit = ?now.current, error = %e, "cannot raise the limit on open files"),
    }
}
