//! Journals that dead gateways left behind.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use seawall_policy::Wall;

use super::FOLDER_PREFIX;
use super::format::LOCK;

/// Removes the journals below `root` whose gateway is dead and which nobody has written to for `keep`: no session
/// in them can still be resumed. Gives back what it removed.
///
/// # Errors
/// `root` cannot be read. A journal that cannot be removed is told of and left for the next time.
pub fn sweep(root: &Path, now: Wall, keep: Duration) -> io::Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for entry in fs::read_dir(root)? {
        let folder = entry?.path();
        let is_journal =
            folder.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(FOLDER_PREFIX));
        if !is_journal {
            continue;
        }
        match is_over(&folder, now, keep)
            .and_then(|is_over| if is_over { fs::remove_dir_all(&folder).map(|()| true) } else { Ok(false) })
        {
            Ok(true) => removed.push(folder),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "old journal cannot be removed");
            }
        }
    }
    Ok(removed)
}

/// Whether somebody holds the folder's lock. Asking holds it for a moment, shared.
pub(super) fn is_held(folder: &Path) -> io::Result<bool> {
    let lock = match File::open(folder.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn is_over(folder: &Path, now: Wall, keep: Duration) -> io::Result<bool> {
    if is_held(folder)? {
        return Ok(false);
    }
    let mut newest = fs::metadata(folder)?.modified()?;
    for entry in fs::read_dir(folder)? {
        newest = newest.max(entry?.metadata()?.modified()?);
    }
    let now = UNIX_EPOCH + Duration::from_millis(u64::try_from(now.0).unwrap_or(0));
    Ok(now.duration_since(newest).is_ok_and(|age| age >= keep))
}
