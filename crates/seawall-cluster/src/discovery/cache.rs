//! The last answer about each service, in a file, so that a process can start while the registry is down.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use seawall_policy::Wall;
use serde::{Deserialize, Serialize};

use super::Instance;

/// Changes whenever an older build could misread the file.
const FORMAT: u32 = 1;
/// Largest file read; 100,000 instances take about 20 MB.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What was known, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    format: u32,
    pub(super) since: i64,
    pub(super) instances: Vec<Instance>,
}

impl Kept {
    pub(super) fn new(since: Wall, instances: Vec<Instance>) -> Kept {
        Kept { format: FORMAT, since: since.0, instances }
    }
}

fn path(dir: &Path, service: &str) -> PathBuf {
    dir.join(format!("discovery-{}.json", utf8_percent_encode(service, NON_ALPHANUMERIC)))
}

/// The kept answer, if there is one this build can read.
pub(super) fn load(dir: &Path, service: &str) -> Option<Kept> {
    let path = path(dir, service);
    let size = fs::metadata(&path).ok()?.len();
    if size > BYTES_MAX {
        tracing::warn!(path = %path.display(), size, "kept instances ignored: the file is too large");
        return None;
    }
    let kept = fs::read(&path).and_then(|b| serde_json::from_slice::<Kept>(&b).map_err(io::Error::other));
    match kept {
        Ok(kept) if kept.format == FORMAT => Some(kept),
        Ok(kept) => {
            tracing::warn!(path = %path.display(), format = kept.format, "kept instances ignored: written by a newer build");
            None
        }
        Err(e) => {
            tracing::warn!(path = %path.display(), error = %e, "kept instances ignored: unreadable");
            None
        }
    }
}

/// Keeps an answer. The file is replaced as a whole: a crash leaves the old one or the new one.
pub(super) fn save(dir: &Path, service: &str, kept: &Kept) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let path = path(dir, service);
    let text = serde_json::to_vec(kept)?;
    // Several processes may share the directory, and several systems of one process follow the same service.
    static SAVED: AtomicU64 = AtomicU64::new(0);
    let n = SAVED.fetch_add(1, Ordering::Relaxed);
    let half = path.with_extension(format!("{}-{n}.tmp", std::process::id()));
    let replaced = fs::File::create(&half)
        .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_data()))
        .and_then(|()| fs::rename(&half, &path));
    if replaced.is_err() {
        // What cannot be completed, on a full disk for one, must not stay and make it fuller.
        drop(fs::remove_file(&half));
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::new(Wall(7), Vec::new());
        save(dir.path(), "a/../b", &kept).unwrap();
        assert_eq!(load(dir.path(), "a/../b"), Some(kept));
        assert_eq!(load(dir.path(), "other"), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the name stays inside the directory");
    }

    #[test]
    fn two_systems_of_one_process_can_keep_the_same_service_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let keep =
            |since| (0..50).for_each(|_| save(dir.path(), "web", &Kept::new(since, Vec::new())).unwrap());
        std::thread::scope(|s| {
            s.spawn(|| keep(Wall(1)));
            s.spawn(|| keep(Wall(2)));
        });
        assert!(load(dir.path(), "web").is_some());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no half file is left");
    }

    #[test]
    fn a_file_from_the_future_or_cut_short_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        for text in [r#"{"format":2,"since":0,"instances":[]}"#, r#"{"format":1,"#] {
            fs::write(path(dir.path(), "web"), text).unwrap();
            assert_eq!(load(dir.path(), "web"), None);
        }
    }
}
