//! Everything the server runs, in one list. Each stage is a command that can be typed by hand.
//!
//! A red stage does not stop the ones after it: one run tells everything that is wrong. Only time
//! does: at [`HARD_STOP`] the running stage is killed, because a stuck test should cost minutes,
//! not the night.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::run::{self, Ended, Failure};
use crate::servers::Install;
use crate::test;

/// Longest a whole run may take (design document, proof).
const HARD_STOP: Duration = Duration::from_secs(45 * 60);

struct Stage {
    name: &'static str,
    /// What to type to run it alone.
    line: &'static str,
}

/// Cheapest first, so that a slip is reported in the first minute. All on the dev profile.
const STAGES: &[Stage] = &[
    Stage { name: "fmt", line: "cargo fmt --all --check" },
    Stage { name: "clippy", line: "cargo clippy --workspace --all-targets -- -D warnings" },
    Stage { name: "tidy", line: "cargo xtask tidy" },
    Stage { name: "docs", line: "cargo xtask docs" },
    Stage { name: "test", line: test::README_LINE },
    Stage { name: "replay", line: "cargo xtask fuzz --replay" },
    Stage { name: "bench", line: "cargo xtask bench --smoke" },
    Stage { name: "drills", line: "target/debug/seawall drill matrix --quick" },
];

enum Verdict {
    Passed,
    Failed(String),
    NotRun,
}

struct Row {
    name: &'static str,
    took: Duration,
    verdict: Verdict,
}

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if let Some(arg) = args.first() {
        return Err(Failure::usage(format!("ci takes no argument, not `{arg}`")));
    }
    let mut servers = Some(Install::start());
    let rows = stages(STAGES, run::now() + HARD_STOP, |stage| {
        // apt-get holds a lock the stage's own attempt would trip over.
        if stage.line == test::README_LINE
            && let Some(Err(why)) = servers.take().map(Install::wait)
        {
            println!("servers not installed: {why}");
        }
    });
    println!("\n{}\n{}", table(&rows), closing(&rows));
    judge(&rows)
}

fn stages(list: &[Stage], deadline: Instant, mut before: impl FnMut(&Stage)) -> Vec<Row> {
    list.iter()
        .map(|stage| {
            if run::now() >= deadline {
                return Row { name: stage.name, took: Duration::ZERO, verdict: Verdict::NotRun };
            }
            before(stage);
            println!("\n== {}: {}", stage.name, stage.line);
            let started = run::now();
            let verdict = verdict(run::watched(&mut command(stage.line), deadline));
            let took = started.elapsed();
            println!("== {}: {:.1} s", stage.name, took.as_secs_f64());
            Row { name: stage.name, took, verdict }
        })
        .collect()
}

fn command(line: &str) -> Command {
    let mut words = line.split_whitespace();
    match words.next() {
        Some("cargo") => run::cargo(words),
        program => {
            let mut command = run::command(program.unwrap_or_default());
            command.args(words);
            command
        }
    }
}

fn verdict(ended: Result<Ended, Failure>) -> Verdict {
    match ended {
        Ok(Ended::Exited(status)) if status.success() => Verdict::Passed,
        Ok(Ended::Exited(status)) => Verdict::Failed(status.to_string()),
        Ok(Ended::Killed) => Verdict::Failed("killed: the whole run may take 45 minutes".to_owned()),
        Err(failure) => Verdict::Failed(failure.message),
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = format!("{:<8} {:>8}  result\n", "stage", "seconds");
    for Row { name, took, verdict } in rows {
        let verdict = match verdict {
            Verdict::Passed => "ok",
            Verdict::Failed(why) => &format!("FAILED: {why}"),
            Verdict::NotRun => "not run",
        };
        text.push_str(&format!("{name:<8} {:>8.1}  {verdict}\n", took.as_secs_f64()));
    }
    let total: Duration = rows.iter().map(|row| row.took).sum();
    text.push_str(&format!("{:<8} {:>8.1}", "all", total.as_secs_f64()));
    text
}

/// The line that machines look for at the end of a run.
fn closing(rows: &[Row]) -> String {
    let passed = rows.iter().filter(|row| matches!(row.verdict, Verdict::Passed)).count();
    format!("stages: {passed} passed, {} failed", rows.len() - passed)
}

fn judge(rows: &[Row]) -> Result<(), Failure> {
    let red: Vec<_> =
        rows.iter().filter(|row| !matches!(row.verdict, Verdict::Passed)).map(|row| row.name).collect();
    if red.is_empty() { Ok(()) } else { Err(Failure::new(format!("not green: {}", red.join(", ")))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(60);

    #[test]
    fn a_red_stage_does_not_hide_the_next_one() {
        let list = [Stage { name: "red", line: "false" }, Stage { name: "green", line: "true" }];
        let rows = stages(&list, run::now() + SHORT, |_| ());
        assert!(matches!(rows[0].verdict, Verdict::Failed(_)));
        assert!(matches!(rows[1].verdict, Verdict::Passed));
        assert_eq!(judge(&rows).unwrap_err(), Failure::new("not green: red"));
        assert_eq!(closing(&rows), "stages: 1 passed, 1 failed");
    }

    #[test]
    fn at_the_hard_stop_the_running_stage_dies_and_the_rest_is_not_run() {
        let list = [Stage { name: "stuck", line: "sleep 600" }, Stage { name: "late", line: "true" }];
        let rows = stages(&list, run::now() + Duration::from_millis(200), |_| ());
        let text = table(&rows);
        assert!(text.contains("FAILED: killed") && text.contains("not run"), "{text}");
        assert_eq!(judge(&rows).unwrap_err().message, "not green: stuck, late");
    }

    #[test]
    fn the_readme_s_test_command_is_a_stage_word_for_word() {
        assert!(STAGES.iter().any(|stage| stage.line == test::README_LINE));
    }

    #[test]
    fn a_missing_program_is_a_red_stage_not_a_crash() {
        let list = [Stage { name: "gone", line: "target/debug/no-such-program" }];
        let rows = stages(&list, run::now() + SHORT, |_| ());
        assert!(table(&rows).contains("cannot run"));
    }
}
