//! Equal memory for two sides: a control group each, with the same limit.
//!
//! What the kernel caches of a side's files counts too, so neither gets a larger cache by leaving it to the kernel.
//! Version 2 of control groups, where it manages memory and we may make one; in most containers we may not, and whoever
//! compares says so.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";
/// Looks at a group whose processes are just ending, before it is left behind.
const LOOKS_MAX: u32 = 100;
/// How long between them.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A limit on the memory of some processes together; dropping it takes it away, once they have ended.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
}

impl Group {
    /// Makes one; none where we may not.
    #[must_use]
    pub fn make(name: &str, bytes: u64) -> Option<Group> {
        let root = Path::new(ROOT);
        let manages = fs::read_to_string(root.join("cgroup.controllers")).ok()?;
        if !manages.split_whitespace().any(|controller| controller == "memory") {
            return None;
        }
        let folder = root.join(format!("seawall-lab-{name}-{}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        // Dropped and so removed again where memory is not handed down to groups.
        let group = Group { folder };
        let mut limit = fs::OpenOptions::new().write(true).open(group.folder.join("memory.max")).ok()?;
        limit.write_all(bytes.to_string().as_bytes()).ok()?;
        Some(group)
    }

    /// Where it is; see `within`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel refuses while a process has not quite ended.
        for _ in 0..LOOKS_MAX {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// The command that runs another inside `group`: a shell enters it first and replaces itself, so that everything is
/// counted from the first byte and the process id stays.
pub(crate) fn within(
    group: Option<&Path>,
    (binary, args): (PathBuf, Vec<OsString>),
) -> (PathBuf, Vec<OsString>) {
    let Some(group) = group else { return (binary, args) };
    let enter = "echo $$ > \"$0\" && exec \"$@\"";
    let own = ["-c".into(), enter.into(), group.join("cgroup.procs").into(), binary.into()];
    ("/bin/sh".into(), own.into_iter().chain(args).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_group_a_command_stays_as_it_is() {
        let command = (PathBuf::from("/bin/true"), vec!["x".into()]);
        assert_eq!(within(None, command.clone()), command);
        let (shell, args) = within(Some(Path::new("/g")), command);
        assert_eq!(shell, Path::new("/bin/sh"));
        assert_eq!(args[2..], ["/g/cgroup.procs", "/bin/true", "x"]);
    }

    /// Skips itself where no group can be made, as in most containers.
    #[test]
    fn a_group_holds_who_is_started_within() {
        let Some(group) = Group::make("test", 64 << 20) else { return };
        let (shell, args) =
            within(Some(group.folder()), ("/bin/cat".into(), vec!["/proc/self/cgroup".into()]));
        let said = std::process::Command::new(shell).args(args).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(said.contains("seawall-lab-test-"), "{said}");
        let folder = group.folder().to_owned();
        drop(group);
        assert!(!folder.exists());
    }
}
