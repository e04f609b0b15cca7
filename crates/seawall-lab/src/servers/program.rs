//! Finding the programs of others, and tying a process to one core.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::LabError;

/// A program of somebody else, and Debian's package that holds it.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its file name.
    pub name: &'static str,
    /// What to install.
    pub package: &'static str,
}

/// The web server we measure ourselves against.
pub const NGINX: Program = Program { name: "nginx", package: "nginx-light" };
/// Publish and subscribe, with WebSockets.
pub const NATS: Program = Program { name: "nats-server", package: "nats-server" };
/// A module of nginx that does the same; not a program, but a file of Debian all the same.
pub const NCHAN: Program = Program { name: "ngx_nchan_module.so", package: "libnginx-mod-nchan" };
/// A cache that speaks RESP.
pub const REDIS: Program = Program { name: "redis-server", package: "redis-server" };
/// The database.
pub const POSTGRES: Program = Program { name: "postgres", package: "postgresql" };
/// Makes a database's folder.
pub(crate) const INITDB: Program = Program { name: "initdb", package: "postgresql" };
/// Runs a program as somebody else. Part of every Debian.
pub(crate) const SETPRIV: Program = Program { name: "setpriv", package: "util-linux" };
/// The load generator.
pub const WRK: Program = Program { name: "wrk", package: "wrk" };
/// Ties a process to a core. Part of every Debian, and done without where it is missing.
const TASKSET: Program = Program { name: "taskset", package: "util-linux" };

impl Program {
    /// Where it is.
    ///
    /// # Errors
    /// [`LabError::NotInstalled`], with the package to install.
    pub fn find(self) -> Result<PathBuf, LabError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        // Debian keeps servers in sbin, which is not in everybody's PATH.
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
        self.find_among(folders)
    }

    /// Which of `folders` has it.
    ///
    /// # Errors
    /// [`LabError::NotInstalled`], with the package to install.
    pub(crate) fn find_among(self, folders: impl IntoIterator<Item = PathBuf>) -> Result<PathBuf, LabError> {
        folders
            .into_iter()
            .map(|folder| folder.join(self.name))
            .find(|path| path.is_file())
            .ok_or(LabError::NotInstalled { program: self.name, package: self.package })
    }
}

/// Which core servers and load run on, so that neither takes the other's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cores {
    /// The core of the server that is measured; none means wherever the kernel likes.
    pub server: Option<u32>,
    /// The core of everything else: load generator and origin.
    pub load: Option<u32>,
}

impl Cores {
    /// The first two cores this process may use; none where there are fewer, or no `taskset`.
    #[must_use]
    pub fn apart() -> Cores {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        match (cores_allowed(&status).as_slice(), TASKSET.find()) {
            ([server, load, ..], Ok(_)) => Cores { server: Some(*server), load: Some(*load) },
            _ => Cores::default(),
        }
    }
}

/// Where Debian keeps the programs of PostgreSQL, the newest version first.
pub(crate) fn postgres_folders() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders
}

/// The command that runs `binary` on `core`: `taskset` replaces itself by it, so the process id stays.
pub(crate) fn pinned(binary: &Path, args: Vec<OsString>, core: Option<u32>) -> (PathBuf, Vec<OsString>) {
    match (core, TASKSET.find()) {
        (Some(core), Ok(taskset)) => {
            let own = ["-c".into(), core.to_string().into(), binary.as_os_str().to_owned()];
            (taskset, own.into_iter().chain(args).collect())
        }
        _ => (binary.to_owned(), args),
    }
}

/// Ties the calling thread to `core`; without one, or where it cannot be done, it stays where the kernel
/// puts it, and whoever measures sees that in the spread.
pub(crate) fn tie_this_thread(core: Option<u32>) {
    let (Some(core), Ok(taskset), Ok(me)) = (core, TASKSET.find(), fs::read_link("/proc/thread-self")) else {
        return;
    };
    // The link leads to PID/task/TID.
    let Some(thread) = me.file_name() else { return };
    let _ = Command::new(taskset).args(["-p", "-c", &core.to_string()]).arg(thread).output();
}

/// The cores in the line `Cpus_allowed_list: 0-3,8` of `/proc/PID/status`.
fn cores_allowed(status: &str) -> Vec<u32> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    list.trim()
        .split(',')
        .filter_map(|range| {
            let (low, high) = range.split_once('-').unwrap_or((range, range));
            Some(low.parse::<u32>().ok()?..=high.parse::<u32>().ok()?)
        })
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_package_to_install() {
        let error = NGINX.find_among(["/no/such/folder".into()]).unwrap_err().to_string();
        assert_eq!(error, "nginx is not installed; on Debian: apt-get install nginx-light");
        let shell = Program { name: "sh", package: "dash" };
        assert!(shell.find().unwrap().is_absolute());
    }

    #[test]
    fn allowed_cores_are_read_as_the_kernel_writes_them() {
        for (list, cores) in [
            ("0-1", &[0, 1][..]),
            ("0-2,7,10-11", &[0, 1, 2, 7, 10, 11]),
            ("3", &[3]),
            ("", &[]),
            ("what", &[]),
        ] {
            let status = format!("Name:\tbench\nCpus_allowed_list:\t{list}\nMems_allowed:\t1\n");
            assert_eq!(cores_allowed(&status), cores, "{list}");
        }
    }

    #[test]
    fn without_a_core_the_program_is_run_as_it_is() {
        let (program, args) = pinned(Path::new("/bin/true"), vec!["x".into()], None);
        assert_eq!((program, args), ("/bin/true".into(), vec!["x".into()]));
    }

    #[test]
    fn a_core_is_given_to_taskset_before_the_program() {
        let (program, args) = pinned(Path::new("/bin/true"), vec!["x".into()], Some(1));
        assert!(program.ends_with("taskset"));
        assert_eq!(args, ["-c", "1", "/bin/true", "x"]);
    }
}
