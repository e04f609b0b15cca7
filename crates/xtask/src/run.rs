//! Running other programs: one place that decides how a child is started, stopped and judged.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Why a command of ours ends without success: what to print, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// 1 failed, 2 usage, 3 a bar was missed; a bench's own code is passed through.
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure { code: 1, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure { code: 2, message: message.into() }
    }
}

/// How a watched child ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Exited(ExitStatus),
    /// It was still running at the deadline and was killed, with all it had started.
    Killed,
}

/// The top of the repository: the nearest parent that holds `Cargo.lock`.
pub(crate) fn top() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir().map_err(|e| Failure::new(format!("no current directory: {e}")))?;
    here.ancestors()
        .find(|dir| dir.join("Cargo.lock").is_file())
        .map(PathBuf::from)
        .ok_or_else(|| Failure::new(format!("{} is not inside the repository", here.display())))
}

/// The time, for measuring how long something took.
#[expect(clippy::disallowed_methods, reason = "a build tool measures real seconds; nothing here is a policy")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A child which inherits our environment, less what Cargo told us about ourselves.
///
/// Build scripts of some dependencies (ring's, for one) ask to run again when `CARGO_PKG_*` or
/// `CARGO_MANIFEST_*` change. A Cargo started by us would see ours, one started by hand would not,
/// and the two would rebuild half of the tree in turns.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command
}

/// `cargo ARGS…`, by the same Cargo that runs us.
pub(crate) fn cargo<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Command {
    let mut command = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let mut words = vec![program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Runs to the end, output where ours goes; anything but exit code 0 is a failure.
pub(crate) fn must(command: &mut Command) -> Result<(), Failure> {
    let status = status(command)?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("`{}`: {status}", shown(command)))) }
}

/// Runs to the end, output where ours goes.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus, Failure> {
    command.status().map_err(|e| Failure::new(format!("cannot run `{}`: {e}", shown(command))))
}

/// Runs to the end and returns what it wrote to stdout; its stderr goes where ours goes.
pub(crate) fn read(command: &mut Command) -> Result<String, Failure> {
    let (status, text) = read_any(command)?;
    if status.success() { Ok(text) } else { Err(Failure::new(format!("`{}`: {status}", shown(command)))) }
}

/// Like [`read`], for a program whose output counts whatever its exit code.
pub(crate) fn read_any(command: &mut Command) -> Result<(ExitStatus, String), Failure> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| Failure::new(format!("cannot run `{}`: {e}", shown(command))))?;
    Ok((output.status, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Runs until it ends or `deadline` comes; then kills it and everything it started.
pub(crate) fn watched(command: &mut Command, deadline: Instant) -> Result<Ended, Failure> {
    // A group of its own lets one signal reach the grandchildren. On a terminal it would also
    // keep Ctrl-C from them, and there somebody is watching.
    let grouped = !std::io::stdin().is_terminal();
    if grouped {
        command.process_group(0);
    }
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .map_err(|e| Failure::new(format!("cannot run `{}`: {e}", shown(command))))?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(Ended::Exited(status)),
            Ok(None) if now() >= deadline => {
                kill(&mut child, grouped);
                return Ok(Ended::Killed);
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(50)),
            Err(e) => return Err(Failure::new(format!("lost `{}`: {e}", shown(command)))),
        }
    }
}

fn kill(child: &mut Child, grouped: bool) {
    if grouped {
        // The shell's own `kill`: the standard library signals no groups, and the program of that
        // name is a package some machines lack.
        let signal = format!("kill -s KILL -- -{}", child.id());
        let _ = Command::new("sh").args(["-c", &signal]).status();
    }
    // Either it is dead already, or this is the only signal it gets.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_deadline_a_child_dies_with_its_own_children() {
        let dir = std::env::temp_dir().join(format!("xtask-watched-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let pid_file = dir.join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", pid_file.display());
        let started = now();
        let ended =
            watched(command("sh").args(["-c", &script]), started + Duration::from_millis(500)).unwrap();
        assert!(matches!(ended, Ended::Killed));
        assert!(started.elapsed() < Duration::from_secs(60));
        if !std::io::stdin().is_terminal() {
            let pid = std::fs::read_to_string(&pid_file).unwrap();
            assert!(is_gone(pid.trim()), "the grandchild {pid} still runs");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    /// Killed and reaped, or killed and waiting for whoever inherited it to reap it.
    fn is_gone(pid: &str) -> bool {
        (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
        })
    }

    #[test]
    fn a_child_that_ends_in_time_is_judged_by_its_exit_code() {
        let deadline = now() + Duration::from_secs(60);
        let Ended::Exited(status) = watched(command("sh").args(["-c", "exit 3"]), deadline).unwrap() else {
            panic!("it was killed");
        };
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let failure = must(&mut command("no-such-program-here")).unwrap_err();
        assert!(failure.message.contains("no-such-program-here"), "{}", failure.message);
    }
}
