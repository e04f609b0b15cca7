//! Programs of other people that tests and benches need, installed while we compile.
//!
//! A bare Debian machine has none of them, and compiling takes minutes: `apt-get` runs beside it
//! on another core. Where everything is there already, nothing happens and nothing is printed.
//! A failed installation is no error by itself; it becomes one, with its reason, in the stage that
//! then misses a program.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::thread::JoinHandle;

use crate::run::{self, Failure};

/// A mirror that hangs must not eat the time of everything after it.
const INSTALL_SECONDS_MAX: &str = "600";

/// Who asks for a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Test,
    Bench,
}

struct Server {
    program: &'static str,
    /// The Debian package that holds it.
    package: &'static str,
    why: &'static str,
    needed_by: &'static [Stage],
}

const SERVERS: &[Server] = &[
    Server {
        program: "nginx",
        package: "nginx-light",
        why: "an HTTP origin we did not write, and the balancer's opponent",
        needed_by: &[Stage::Test, Stage::Bench],
    },
    Server {
        program: "curl",
        package: "curl",
        why: "the ordinary HTTP client that must get along with us",
        needed_by: &[Stage::Test],
    },
    Server {
        program: "pip3",
        package: "python3-pip",
        why: "brings the clients that people use against Consul",
        needed_by: &[Stage::Test],
    },
    Server {
        program: "wrk",
        package: "wrk",
        why: "a load generator that knows nothing of us",
        needed_by: &[Stage::Test, Stage::Bench],
    },
    Server {
        program: "chromium",
        package: "chromium",
        why: "the browser in which people open our pages",
        needed_by: &[Stage::Test],
    },
    Server {
        program: "chromedriver",
        package: "chromium-driver",
        why: "moves the browser's hand in tests",
        needed_by: &[Stage::Test],
    },
    Server {
        program: "redis-server",
        package: "redis-server",
        why: "what the graph's port must answer like, and its opponent",
        needed_by: &[Stage::Test, Stage::Bench],
    },
    Server {
        program: "redis-cli",
        package: "redis-tools",
        why: "the ordinary Redis client that must get along with us",
        needed_by: &[Stage::Test, Stage::Bench],
    },
    Server {
        program: "redis-benchmark",
        package: "redis-tools",
        why: "a load generator for RESP that knows nothing of us",
        needed_by: &[Stage::Test, Stage::Bench],
    },
    Server {
        program: "nats-server",
        package: "nats-server",
        why: "what chat's fan-out is measured against",
        needed_by: &[Stage::Bench],
    },
    Server {
        program: "ngx_nchan_module.so",
        package: "libnginx-mod-nchan",
        why: "a module of nginx that does the same",
        needed_by: &[Stage::Bench],
    },
    Server {
        program: "postgres",
        package: "postgresql",
        why: "the database the graph is measured against",
        needed_by: &[Stage::Test, Stage::Bench],
    },
];

/// Where Debian keeps programs that are not in everybody's PATH, and the modules of nginx.
const FOLDERS: &[&str] = &["/usr/sbin", "/sbin", "/usr/lib/nginx/modules"];

/// An installation under way; [`Install::finish`] waits for it.
pub(crate) struct Install(Option<JoinHandle<Result<(), String>>>);

impl Install {
    /// Starts installing whatever is missing, for every stage at once.
    pub(crate) fn start() -> Install {
        let packages: Vec<_> = missing(|_| true).iter().map(|server| server.package).collect();
        Install((!packages.is_empty()).then(|| std::thread::spawn(move || install(&packages))))
    }

    /// Waits, then checks that `stage` has what it needs.
    pub(crate) fn finish(self, stage: Stage) -> Result<(), Failure> {
        let outcome = self.wait();
        let lacking = missing(|server| server.needed_by.contains(&stage));
        if lacking.is_empty() {
            return Ok(());
        }
        let reason = outcome.err().unwrap_or_else(|| "the packages do not hold it".to_owned());
        Err(Failure::new(complaint(&lacking, &reason)))
    }

    /// Waits, and leaves it to each later stage to say what it misses.
    pub(crate) fn wait(self) -> Result<(), String> {
        match self.0.map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err("the installation panicked".to_owned()),
        }
    }
}

fn missing(wanted: impl Fn(&Server) -> bool) -> Vec<&'static Server> {
    SERVERS.iter().filter(|server| wanted(server) && !is_there(server.program)).collect()
}

fn complaint(lacking: &[&Server], reason: &str) -> String {
    let mut text = format!("could not install what is missing: {reason}");
    for server in lacking {
        let Server { program, package, why, .. } = server;
        text.push_str(&format!("\n  {program} ({why}): apt-get install {package}"));
    }
    text
}

/// Looks in PATH, in [`FOLDERS`], and where each version of PostgreSQL has a folder of its own.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten().flatten();
    std::env::split_paths(&path)
        .chain(FOLDERS.iter().map(Into::into))
        .chain(versions.map(|version| version.path().join("bin")))
        .any(|dir| dir.join(program).is_file())
}

fn install(packages: &[&str]) -> Result<(), String> {
    if std::fs::metadata("/proc/self").map(|me| me.uid()).ok() != Some(0) {
        return Err("only root may install packages".to_owned());
    }
    // Machines made from an image often have no package lists yet, or stale ones.
    if !have_lists() || apt_get("install", packages).is_err() {
        apt_get("update", &[])?;
        apt_get("install", packages)?;
    }
    Ok(())
}

fn have_lists() -> bool {
    let Ok(lists) = Path::new("/var/lib/apt/lists").read_dir() else { return false };
    lists.flatten().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
}

fn apt_get(verb: &str, packages: &[&str]) -> Result<(), String> {
    let mut command = run::command("timeout");
    command.args([INSTALL_SECONDS_MAX, "apt-get", "-q", "-y"]).stdin(Stdio::null());
    // A machine just booted may be busy with its own upgrades.
    command.args(["-o", "DPkg::Lock::Timeout=120", verb]);
    if verb == "install" {
        command.arg("--no-install-recommends").args(packages);
    }
    // No questions, and no service started: tests start their own on free ports.
    command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    let output = command.output().map_err(|e| format!("cannot run apt-get: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    Err(format!("`{}`: {}: {last}", run::shown(&command), output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_in_the_path_is_found_and_an_invented_one_is_not() {
        assert!(is_there("sh"));
        assert!(!is_there("no-such-program-here"));
    }

    #[test]
    fn a_missing_program_is_named_with_its_package_and_its_purpose() {
        let text = complaint(&[&SERVERS[0]], "only root may install packages");
        assert!(text.contains("only root") && text.contains("apt-get install nginx-light"), "{text}");
        assert!(text.contains("opponent"), "{text}");
    }

    #[test]
    fn nothing_to_install_means_nothing_is_started() {
        assert!(Install(None).wait().is_ok());
    }
}
