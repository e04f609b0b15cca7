//! A copy of one crate in a workspace of its own, where files may be changed and tested.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use toml::{Table, Value};

use super::PACKAGE;
use crate::run::{self, Ended, Failure};

const HOME: &str = "target/mutants";
/// The tests that must notice: rules and presets are tested from outside.
const TESTS: &[&str] = &["--offline", "--package", PACKAGE, "--test", "it"];

/// What the tests of a copy say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Green,
    /// A test failed, or ran for ever.
    Red,
    Uncompilable,
}

/// A copy. It keeps what was compiled from one run to the next.
pub(super) struct Sandbox {
    dir: PathBuf,
}

impl Sandbox {
    /// So many copies of the crate as it is now, whose tests are green.
    ///
    /// # Errors
    /// When a file cannot be copied, or a test fails although nothing was changed.
    pub(super) fn prepare(count: usize) -> Result<Vec<Sandbox>, Failure> {
        let home = std::path::absolute(HOME).map_err(failed("find", HOME))?;
        let mut sandboxes = Vec::new();
        for number in 1..=count {
            let sandbox = Sandbox { dir: home.join(number.to_string()) };
            sandbox.copy_sources()?;
            sandbox.inherit(sandboxes.first())?;
            match sandbox.test(&[""], super::TIME_MAX * 10)? {
                Outcome::Green => sandboxes.push(sandbox),
                outcome => {
                    let log = fs::read_to_string(sandbox.log()).unwrap_or_default();
                    let why = format!("without a change the tests are {outcome:?}:\n{log}");
                    return Err(Failure::new(why.to_lowercase()));
                }
            }
        }
        Ok(sandboxes)
    }

    /// Runs the tests with `text` in the file at `path`, which then is as before.
    pub(super) fn test_with(&self, path: &Path, text: &str, time: Duration) -> Result<Outcome, Failure> {
        let file = self.dir.join(path);
        let before = fs::read_to_string(&file).map_err(failed("read", &file))?;
        fs::write(&file, text).map_err(failed("write", &file))?;
        // Mostly a test named after the module notices, and the others need not be run.
        let module = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let outcome = self.test(&[&module, ""], time);
        fs::write(&file, before).map_err(failed("write", &file))?;
        outcome
    }

    /// Runs the tests whose name contains the first filter, then those of the next, until one fails.
    fn test(&self, filters: &[&str], time: Duration) -> Result<Outcome, Failure> {
        let deadline = run::now() + time;
        if !self.cargo(&["--no-run"], deadline)? {
            return Ok(Outcome::Uncompilable);
        }
        for filter in filters {
            if !self.cargo(&["--quiet", filter], deadline)? {
                return Ok(Outcome::Red);
            }
        }
        Ok(Outcome::Green)
    }

    /// Whether `cargo test` with these arguments succeeds in time. What it says goes to a file.
    fn cargo(&self, args: &[&str], deadline: std::time::Instant) -> Result<bool, Failure> {
        let log = File::create(self.log()).map_err(failed("write", self.log()))?;
        let errors = log.try_clone().map_err(failed("write", self.log()))?;
        let mut command = run::cargo(["test"]);
        command.args(TESTS).args(args).current_dir(&self.dir).stdout(log).stderr(errors);
        command.env("CARGO_TARGET_DIR", self.dir.join("target"));
        match run::watched(&mut command, deadline)? {
            Ended::Exited(status) => Ok(status.success()),
            Ended::Killed => Ok(false),
        }
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn copy_sources(&self) -> Result<(), Failure> {
        let manifest = fs::read_to_string("Cargo.toml").map_err(failed("read", "Cargo.toml"))?;
        let there = self.dir.join("crates").join(PACKAGE);
        // What was deleted in the tree must not live on here.
        match fs::remove_dir_all(&there) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", there)(error));
            }
            _ => (),
        }
        copy_folder(&Path::new("crates").join(PACKAGE), &there)?;
        let (to, lock) = (self.dir.join("Cargo.toml"), self.dir.join("Cargo.lock"));
        fs::write(&to, alone(&manifest)?).map_err(failed("write", &to))?;
        fs::copy("Cargo.lock", &lock).map_err(failed("write", &lock))?;
        Ok(())
    }

    /// The second copy need not compile what the first has compiled: only the crate itself lies elsewhere.
    fn inherit(&self, first: Option<&Sandbox>) -> Result<(), Failure> {
        let target = self.dir.join("target");
        let Some(first) = first.filter(|_| !target.exists()) else { return Ok(()) };
        run::must(Command::new("cp").arg("-a").arg(first.dir.join("target")).arg(target))
    }
}

/// The workspace's manifest with one member.
fn alone(manifest: &str) -> Result<String, Failure> {
    let wrong = |what: String| Failure::new(format!("Cargo.toml: {what}"));
    let mut table: Table = manifest.parse().map_err(|e: toml::de::Error| wrong(e.to_string()))?;
    let workspace = table.get_mut("workspace").and_then(Value::as_table_mut);
    let workspace = workspace.ok_or_else(|| wrong("no [workspace]".to_owned()))?;
    workspace.remove("default-members");
    workspace.insert("members".to_owned(), Value::Array(vec![format!("crates/{PACKAGE}").into()]));
    toml::to_string(&table).map_err(|e| wrong(e.to_string()))
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to).map_err(failed("make", to))?;
    for entry in from.read_dir().map_err(failed("read", from))? {
        let entry = entry.map_err(failed("read", from))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(failed("read", &from))?.is_dir() {
            copy_folder(&from, &to)?;
        } else {
            fs::copy(&from, &to).map_err(failed("copy", &from))?;
        }
    }
    Ok(())
}

fn failed(what: &str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Failure {
    let text = format!("cannot {what} {}", path.as_ref().display());
    move |error| Failure::new(format!("{text}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_s_workspace_has_one_member_and_the_same_profiles() {
        let manifest = "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\ndefault-members = [\"crates/seawall\"]\n[profile.dev]\nopt-level = 1\n";
        let table: Table = alone(manifest).unwrap().parse().unwrap();
        let workspace = table["workspace"].as_table().unwrap();
        assert_eq!(workspace["members"], Value::Array(vec!["crates/seawall-policy".into()]));
        assert!(!workspace.contains_key("default-members") && workspace.contains_key("resolver"));
        assert_eq!(table["profile"]["dev"]["opt-level"], Value::Integer(1));
        assert!(alone("[package]\n").is_err());
    }
}
