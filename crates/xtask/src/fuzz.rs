//! Fuzzing on the stable toolchain: property tests, again and again, each time with a new seed.
//!
//! Coverage-guided fuzzers want a nightly compiler. Parsers this small are served nearly as well
//! by generators that know their grammar, and a failing case shrinks to something readable, which
//! proptest writes beside the test (`proptest-regressions/`). `--replay` runs those cases, and the
//! files under `tests/corpus/` that a target reads, and next to nothing else: seconds.
//!
//! Test binaries are started here and not by Cargo, so that each target can be asked how many
//! tests its filter matched: a target which fuzzes nothing must not pass.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde::Deserialize;

use crate::proof;
use crate::run::{self, Failure};

struct Target {
    name: &'static str,
    package: &'static str,
    /// Part of the names of the tests to run.
    filter: &'static str,
}

const TARGETS: &[Target] = &[
    Target { name: "duration", package: "seawall-policy", filter: "duration" },
    Target { name: "trace", package: "seawall-policy", filter: "trace_fuzz" },
    Target { name: "config", package: "seawall", filter: "config" },
    Target { name: "links-url", package: "seawall-links", filter: "fuzz" },
    Target { name: "http-head", package: "seawall-net", filter: "server::fuzz" },
    Target { name: "ws-frames", package: "seawall-net", filter: "frames::fuzz" },
    Target { name: "resp", package: "seawall-net", filter: "resp::codec::fuzz" },
    Target { name: "graph", package: "seawall-graph", filter: "fuzz" },
    Target { name: "chat-journal", package: "seawall-chat", filter: "tests::fuzz_" },
    Target { name: "chat-gateway", package: "seawall-chat", filter: "gateway_fuzz::" },
    Target { name: "registry-api", package: "seawall-registry", filter: "fuzz" },
    Target { name: "discovery-answer", package: "seawall-cluster", filter: "fuzz" },
];

/// Cases per property and round. A round should take seconds, so that `--minutes` is kept.
const CASES: u32 = 4096;

/// The test binaries of each package.
type Binaries = BTreeMap<String, Vec<Binary>>;

struct Binary {
    path: PathBuf,
    /// Where Cargo would run it; proptest looks for its files from there.
    home: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
enum Mode {
    Replay,
    For(Duration),
}

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let asked = parse(args)?;
    match asked.mode {
        Mode::Replay => replay(&asked.targets),
        Mode::For(time) => {
            let tree = proof::Tree::check(asked.dirty)?;
            let binaries = build(&asked.targets)?;
            let each = time / asked.targets.len() as u32;
            asked.targets.iter().try_for_each(|target| fuzz(target, &binaries, each, &tree))
        }
    }
}

struct Asked {
    targets: Vec<&'static Target>,
    mode: Mode,
    dirty: bool,
}

fn parse(args: &[String]) -> Result<Asked, Failure> {
    let (mut mode, mut dirty, mut targets) = (None, false, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--replay" => mode = Some(Mode::Replay),
            "--dirty" => dirty = true,
            "--minutes" => {
                let minutes: u64 = args
                    .next()
                    .and_then(|n| n.parse().ok())
                    .filter(|n| *n > 0)
                    .ok_or_else(|| Failure::usage("--minutes wants a number above 0"))?;
                mode = Some(Mode::For(Duration::from_secs(minutes * 60)));
            }
            name => targets.push(find(name)?),
        }
    }
    let mode = mode.ok_or_else(|| Failure::usage("for how long? --minutes N, or --replay"))?;
    if targets.is_empty() {
        targets.extend(TARGETS);
    }
    Ok(Asked { targets, mode, dirty })
}

fn find(name: &str) -> Result<&'static Target, Failure> {
    TARGETS.iter().find(|target| target.name == name).ok_or_else(|| {
        let known: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        Failure::usage(format!("there is no target `{name}`; there are {}", known.join(", ")))
    })
}

fn replay(targets: &[&Target]) -> Result<(), Failure> {
    let orphans = orphans(Path::new("crates"), TARGETS);
    if !orphans.is_empty() {
        return Err(Failure::new(format!("no fuzz target replays what is in {}", orphans.join(", "))));
    }
    let binaries = build(targets)?;
    for target in targets {
        // Cases that failed before are not counted: they run first, whatever the number here.
        let tests = round(target, &binaries, 1, None).map_err(Failure::new)?;
        println!("{}: {tests} passed", target.name);
    }
    Ok(())
}

fn fuzz(target: &Target, binaries: &Binaries, time: Duration, tree: &proof::Tree) -> Result<(), Failure> {
    let first = seed();
    let (mut rounds, mut tests, end) = (0, 0, run::now() + time);
    let mut outcome = Ok(());
    println!("{}: first seed {first}, each round the next one", target.name);
    while outcome.is_ok() && (rounds == 0 || run::now() < end) {
        outcome = round(target, binaries, CASES, Some(first.wrapping_add(rounds))).map(|n| tests += n);
        rounds += 1;
    }
    let counts = vec![
        ("rounds".to_owned(), rounds.to_string()),
        ("properties run".to_owned(), tests.to_string()),
        ("cases asked of each".to_owned(), CASES.to_string()),
    ];
    let line = format!("fuzz {} --minutes {}", target.name, time.as_secs().div_ceil(60));
    proof::append(tree, &proof::Run { line, seed: first, passed: outcome.is_ok(), counts })?;
    outcome.map_err(|why| {
        Failure::new(format!(
            "{why}\nseed {}; commit what is new in proptest-regressions/",
            first + rounds - 1
        ))
    })
}

/// All binaries of the target's package once; how many tests passed.
fn round(target: &Target, binaries: &Binaries, cases: u32, seed: Option<u64>) -> Result<u64, String> {
    let mut passed = 0;
    for binary in binaries.get(target.package).into_iter().flatten() {
        let mut command = run::command(&binary.path);
        command.arg(target.filter).current_dir(&binary.home).env("CARGO_MANIFEST_DIR", &binary.home);
        command.env("PROPTEST_CASES", cases.to_string());
        if let Some(seed) = seed {
            command.env("PROPTEST_RNG_SEED", seed.to_string());
        }
        let (status, output) = run::read_any(&mut command).map_err(|failure| failure.message)?;
        passed += judge(target.name, status, &output)?;
    }
    if passed == 0 {
        return Err(format!("{}: no test of {} matches `{}`", target.name, target.package, target.filter));
    }
    Ok(passed)
}

fn judge(target: &str, status: ExitStatus, output: &str) -> Result<u64, String> {
    if !status.success() {
        return Err(format!("{output}\n{target}: {status}"));
    }
    passed(output).ok_or_else(|| format!("{output}\n{target}: says nothing about what it ran"))
}

/// From libtest's last line: `test result: ok. 3 passed; 0 failed; …`.
fn passed(output: &str) -> Option<u64> {
    let line = output.lines().rfind(|line| line.starts_with("test result: "))?;
    let words: Vec<_> = line.split_whitespace().collect();
    let at = words.iter().position(|word| word.starts_with("passed"))?;
    words.get(at.checked_sub(1)?)?.parse().ok()
}

/// For all targets the whole workspace is built, as `test` builds it, so nothing compiles twice.
fn build(targets: &[&Target]) -> Result<Binaries, Failure> {
    let mut command = run::cargo(["test", "--no-run", "--message-format", "json-render-diagnostics"]);
    match targets {
        [one] => command.args(["-p", one.package]),
        _ => command.arg("--workspace"),
    };
    Ok(binaries(&run::read(&mut command)?))
}

#[derive(Deserialize)]
struct Artifact {
    manifest_path: PathBuf,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Cargo's messages, one JSON object a line; all but finished test binaries are passed over.
fn binaries(messages: &str) -> Binaries {
    let mut found = Binaries::new();
    for artifact in messages.lines().filter_map(|line| serde_json::from_str::<Artifact>(line).ok()) {
        let (Some(path), Some(home)) = (artifact.executable, artifact.manifest_path.parent()) else {
            continue;
        };
        if artifact.profile.test {
            // A crate's directory has its name; `tidy` sees to that.
            let package = home.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.entry(package).or_default().push(Binary { path, home: home.to_owned() });
        }
    }
    found
}

/// Crates with saved cases that no target would ever run again.
fn orphans(crates: &Path, targets: &[Target]) -> Vec<String> {
    let mut orphans = Vec::new();
    for home in crates.read_dir().into_iter().flatten().flatten() {
        let name = home.file_name().to_string_lossy().into_owned();
        let saved = ["proptest-regressions", "tests/corpus"].map(|dir| home.path().join(dir));
        if saved.iter().any(|dir| dir.is_dir()) && !targets.iter().any(|target| target.package == name) {
            orphans.push(format!("{}", home.path().display()));
        }
    }
    orphans
}

/// The one place here that wants a different number each time; it is printed and written down.
#[expect(clippy::disallowed_methods, reason = "a seed for a run by hand, recorded in its row")]
fn seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn asked(line: &str) -> Result<Asked, Failure> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_run_has_an_end_and_known_targets() {
        assert_eq!(asked("duration --minutes 2").unwrap().mode, Mode::For(Duration::from_secs(120)));
        assert_eq!(asked("--replay").unwrap().targets.len(), TARGETS.len());
        for line in ["", "duration", "no-such-target --replay", "--minutes 0", "--minutes"] {
            assert_eq!(asked(line).err().unwrap().code, 2, "{line}");
        }
    }

    #[test]
    fn the_number_of_tests_is_read_from_the_last_line() {
        let output = "running 2 tests\n..\ntest result: ok. 2 passed; 0 failed; 0 ignored\n";
        assert_eq!(passed(output), Some(2));
        assert_eq!(passed("hello\n"), None);
    }

    #[test]
    fn no_target_runs_what_another_of_its_package_runs() {
        let others = |one: &Target| {
            let is_other = |other: &&Target| other.name != one.name && other.package == one.package;
            TARGETS.iter().filter(is_other).map(|other| other.filter).collect::<Vec<_>>()
        };
        for target in TARGETS {
            let covered = others(target).into_iter().find(|other| target.filter.contains(other));
            assert_eq!(covered, None, "{} is run by another target too", target.name);
        }
    }

    #[test]
    fn a_target_that_matches_no_test_fails() {
        let failure = round(&TARGETS[0], &Binaries::new(), 1, None).unwrap_err();
        assert!(failure.contains("no test of seawall-policy matches `duration`"), "{failure}");
    }

    #[test]
    fn a_red_test_fails_with_its_output() {
        let failure = judge("duration", ExitStatus::from_raw(101 << 8), "minimal failing input: \"µ\"");
        assert!(failure.unwrap_err().contains("minimal failing input"));
    }

    #[test]
    fn only_test_binaries_are_taken_from_cargo_s_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","manifest_path":"/x/a/Cargo.toml","profile":{"test":true},"executable":"/t/a-1"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","manifest_path":"/x/a/Cargo.toml","profile":{"test":false},"executable":"/t/a"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","manifest_path":"/x/b/Cargo.toml","profile":{"test":true},"executable":null}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#
        );
        let found = binaries(messages);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(found["a"][0].path, Path::new("/t/a-1"));
    }

    #[test]
    fn saved_cases_without_a_target_are_found() {
        let top = std::env::temp_dir().join(format!("xtask-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(top.join("seawall-policy/proptest-regressions")).unwrap();
        std::fs::create_dir_all(top.join("seawall-lost/tests/corpus")).unwrap();
        let found = orphans(&top, TARGETS);
        std::fs::remove_dir_all(&top).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with("seawall-lost"));
    }
}
