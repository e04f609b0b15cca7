//! All tests, with nothing installed by hand before: what the README tells a newcomer to run.
//!
//! A test that cannot run here appends one line `SKIPPED <test name>: <reason>` to the file named
//! by the environment variable `SEAWALL_SKIPS` and returns. A skip that `tests/allowed-skips.toml`
//! does not list is a failure: otherwise a machine that lacks something looks greener than one
//! that has it.

use std::path::Path;

use serde::Deserialize;

use crate::run::{self, Failure};
use crate::servers::{Install, Stage};

/// The line in the README, word for word; `tidy` and `ci` hold it there.
pub(crate) const README_LINE: &str = "cargo xtask test";

const ALLOWED: &str = "tests/allowed-skips.toml";
const SKIPS: &str = "target/skips";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Allowed {
    skip: Vec<Skip>,
}

/// A test that did not run, and why.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Skip {
    test: String,
    reason: String,
}

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let filter = match args {
        [] => None,
        [filter] if !filter.starts_with('-') => Some(filter.as_str()),
        _ => return Err(Failure::usage("test takes at most one argument, part of a test's name")),
    };
    let servers = Install::start();
    run::must(&mut run::cargo(["build", "--workspace", "--bins"]))?;
    servers.finish(Stage::Test)?;

    let skips = std::path::absolute(SKIPS).map_err(|e| Failure::new(format!("no path for {SKIPS}: {e}")))?;
    remove_old(&skips)?;
    let mut all = run::cargo(runner());
    run::must(all.args(filter).env("SEAWALL_SKIPS", &skips))?;
    if filter.is_none() {
        run::must(&mut run::cargo(["test", "--quiet", "--workspace", "--doc"]))?;
        loom()?;
    }
    judge_skips(&read_or_empty(&skips)?, &read_or_empty(Path::new(ALLOWED))?)
}

/// nextest where it is installed: same tests, a process each, a shorter wait.
fn runner() -> &'static [&'static str] {
    let probe = run::cargo(["nextest", "--version"]).output();
    if probe.is_ok_and(|output| output.status.success()) {
        &["nextest", "run", "--workspace"]
    } else {
        &["test", "--workspace", "--tests"]
    }
}

/// The atomic shells of the policies under every interleaving. Loom replaces the atomics by a
/// flag to the compiler, hence a target directory of its own.
fn loom() -> Result<(), Failure> {
    run::must(
        run::cargo(["test", "-p", "seawall-policy", "--test", "loom"])
            .env("RUSTFLAGS", "--cfg loom")
            .env("CARGO_TARGET_DIR", "target/loom"),
    )
}

fn judge_skips(skipped: &str, allowed: &str) -> Result<(), Failure> {
    let allowed: Allowed = toml::from_str(allowed).map_err(|e| Failure::new(format!("{ALLOWED}: {e}")))?;
    let mut unlisted = Vec::new();
    for line in skipped.lines() {
        let skip = parse(line).ok_or_else(|| {
            Failure::new(format!("{SKIPS}: `{line}` is not `SKIPPED <test name>: <reason>`"))
        })?;
        match allowed.skip.iter().find(|allowed| allowed.test == skip.test) {
            Some(_) => println!("{line}"),
            None => unlisted.push(line),
        }
    }
    if unlisted.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("skipped, and not listed in {ALLOWED}:\n  {}", unlisted.join("\n  "))))
}

fn parse(line: &str) -> Option<Skip> {
    // The first `: ` ends the name: paths in it have no blank after their colons.
    let (test, reason) = line.strip_prefix("SKIPPED ")?.split_once(": ")?;
    Some(Skip { test: test.to_owned(), reason: reason.to_owned() })
}

fn remove_old(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::new(format!("cannot remove {}: {e}", path.display())))
        }
        _ => Ok(()),
    }
}

fn read_or_empty(path: &Path) -> Result<String, Failure> {
    match std::fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(Failure::new(format!("cannot read {}: {e}", path.display()))),
        Ok(text) => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "[[skip]]\ntest = \"it::tls::old_client\"\nreason = \"no such client here\"\n";

    #[test]
    fn a_skip_that_is_not_listed_fails_and_is_named() {
        let failure = judge_skips("SKIPPED it::net::cut: needs root\n", LISTED).unwrap_err();
        assert!(failure.message.contains("it::net::cut: needs root"), "{}", failure.message);
    }

    #[test]
    fn a_listed_skip_passes() {
        assert_eq!(judge_skips("SKIPPED it::tls::old_client: not found\n", LISTED), Ok(()));
    }

    #[test]
    fn no_skips_and_no_list_pass() {
        assert_eq!(judge_skips("", ""), Ok(()));
    }

    #[test]
    fn a_line_of_another_shape_is_an_error_not_a_pass() {
        assert!(judge_skips("it was too hard\n", LISTED).is_err());
    }

    #[test]
    fn a_listed_skip_must_say_why() {
        assert!(judge_skips("", "[[skip]]\ntest = \"x\"\n").is_err());
    }

    #[test]
    fn a_name_may_hold_colons() {
        let skip = parse("SKIPPED a::b::c: lacks d: e").unwrap();
        assert_eq!(skip, Skip { test: "a::b::c".to_owned(), reason: "lacks d: e".to_owned() });
    }
}
