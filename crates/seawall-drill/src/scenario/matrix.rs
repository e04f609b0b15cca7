//! Every scenario and every negative control, one row each.
//!
//! A scenario's row passes when its targets are met. A control's row passes only when the drill turns **red**, and
//! red for the right reason: one of the targets the control is known to break must FAIL. A control that stays green
//! means that the drill would not notice the bug, so all its green rows prove nothing.

use std::sync::Arc;

use seawall_policy::Clock;
use serde::Serialize;

use super::verdict::Verdict;
use super::{Control, DrillError, NegativeControl, Options, Report, Scenario};
use crate::table::{aligned, row};

/// All rows.
#[derive(Debug, Clone, Serialize)]
pub struct Matrix {
    /// In the order they ran.
    pub rows: Vec<Row>,
}

/// One run and whether it ended as it should.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The scenario.
    pub scenario: &'static str,
    /// The negative control, if it is one.
    pub control: Option<String>,
    /// Whether the run ended as it should: for a control that is red.
    pub verdict: Verdict,
    /// Why, in a line.
    pub detail: String,
    /// What was measured; none when the drill could not be carried out.
    pub report: Option<Report>,
}

/// Runs everything, one after the other. `without` and `plant` of the options are ignored.
#[must_use]
pub fn run(options: &Options, clock: &Arc<dyn Clock>) -> Matrix {
    run_all(super::list(), options, |scenario, options| scenario.run(options, clock.clone()))
}

fn run_all(
    scenarios: &'static [Scenario],
    options: &Options,
    mut run: impl FnMut(&Scenario, &Options) -> Result<Report, DrillError>,
) -> Matrix {
    let mut rows = Vec::new();
    for scenario in scenarios {
        let plain = Options { without: Vec::new(), plant: None, ..options.clone() };
        let result = run(scenario, &plain);
        rows.push(Row::new(scenario, None, result));
        for control in scenario.controls {
            let mut broken = plain.clone();
            match control.control {
                Control::Without(mechanism) => broken.without.push(mechanism),
                Control::Plant(name) => broken.plant = Some(name.to_owned()),
            }
            let result = run(scenario, &broken);
            rows.push(Row::new(scenario, Some(control), result));
        }
    }
    Matrix { rows }
}

impl Row {
    fn new(
        scenario: &Scenario,
        control: Option<&NegativeControl>,
        result: Result<Report, DrillError>,
    ) -> Row {
        let (verdict, detail) = match (&result, control) {
            (Err(error), _) => (Verdict::NotMeasured, chain(error)),
            (Ok(report), None) => (report.verdict, missed(report)),
            (Ok(report), Some(control)) => red(control, report),
        };
        let control = control.map(|c| c.control.to_string());
        Row { scenario: scenario.name, control, verdict, detail, report: result.ok() }
    }
}

/// The verdict on a negative control: it passes when a target it is known to break failed.
#[must_use]
pub fn red(control: &NegativeControl, report: &Report) -> (Verdict, String) {
    let verdicts = || control.breaks.iter().map(|target| (*target, report.verdict_of(target)));
    if let Some((target, _)) = verdicts().find(|(_, verdict)| *verdict == Verdict::Fail) {
        return (Verdict::Pass, format!("red, as it must be: {target}"));
    }
    if let Some((target, _)) = verdicts().find(|(_, verdict)| *verdict == Verdict::NotMeasured) {
        return (Verdict::NotMeasured, format!("{target} was not measured"));
    }
    (Verdict::Fail, format!("stayed green: the drill does not notice {}", control.control))
}

fn missed(report: &Report) -> String {
    let missed = report.measures.iter().filter(|m| m.verdict.is_some_and(|v| v != Verdict::Pass));
    let missed: Vec<String> = missed.map(|m| format!("{} {} {}", m.name, m.worst, m.unit)).collect();
    if missed.is_empty() { "all targets met".to_owned() } else { missed.join("; ") }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The first and the last line of a text: of a process's last words, the last says what it died of.
fn ends(text: &str) -> String {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default().to_owned();
    lines.next_back().map_or(first.clone(), |last| format!("{first} {}", last.trim()))
}

impl Matrix {
    /// The worst row.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict::worst_of(self.rows.iter().map(|row| row.verdict))
    }

    /// For a terminal: one line a row.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows = vec![row(["drill", "control", "verdict", ""])];
        rows.extend(self.rows.iter().map(|r| {
            let control = r.control.as_deref().unwrap_or("-");
            row([r.scenario, control, &r.verdict.to_string(), &ends(&r.detail)])
        }));
        aligned(&rows)
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Mechanism, Repeat, Value, find, list};
    use super::*;

    /// A report in which every target measured 0, except that `wrong` measured `value`.
    fn report(scenario: &Scenario, options: &Options, wrong: &str, value: Value) -> Report {
        let mut repeat = Repeat::new(options.seed);
        for target in scenario.targets {
            repeat.value(target.name, Value::Measured(0.0));
        }
        repeat.value(wrong, value);
        Report::new(scenario, options, vec![repeat])
    }

    fn options() -> Options {
        Options {
            binary: "seawall".into(),
            seed: 1,
            quick: true,
            without: vec![Mechanism::Retry],
            plant: Some("ignored".to_owned()),
            kills: None,
            keep: None,
        }
    }

    #[test]
    fn a_fleet_that_works_and_controls_that_turn_red_pass() {
        let mut ran = Vec::new();
        let matrix = run_all(list(), &options(), |scenario, options| {
            ran.push((scenario.name, options.without.clone(), options.plant.clone()));
            let broken = scenario.controls.iter().find(|c| match c.control {
                Control::Without(m) => options.without.contains(&m),
                Control::Plant(name) => options.plant.as_deref() == Some(name),
            });
            let wrong = broken.map_or("nothing", |c| c.breaks[0]);
            Ok(report(scenario, options, wrong, Value::Measured(1.0)))
        });
        assert_eq!(matrix.verdict(), Verdict::Pass, "{}", matrix.table());
        assert_eq!(matrix.rows.len(), list().iter().map(|s| 1 + s.controls.len()).sum::<usize>());
        assert_eq!(ran[0], ("links-process-kill", vec![], None), "the plain run is plain");
    }

    #[test]
    fn a_control_that_stays_green_fails_the_matrix() {
        let matrix = run_all(list(), &options(), |s, o| Ok(report(s, o, "nothing", Value::Measured(0.0))));
        let green = |row: &&Row| row.verdict == Verdict::Fail;
        assert!(matrix.rows.iter().filter(green).all(|row| row.control.is_some()));
        assert_eq!(matrix.verdict(), Verdict::Fail);
        assert!(matrix.table().contains("stayed green"));
    }

    #[test]
    fn red_for_another_reason_does_not_count() {
        let scenario = find("links-process-kill").unwrap();
        let control = &scenario.controls[0];
        let rto = scenario.targets.iter().find(|t| t.name == "recovery (RTO)").unwrap();
        let slow = report(scenario, &options(), rto.name, Value::Never);
        assert_eq!(slow.verdict, Verdict::Fail);
        assert_eq!(red(control, &slow).0, Verdict::Fail);
    }

    #[test]
    fn a_control_nobody_measured_proves_nothing() {
        let scenario = find("links-kill-moments").unwrap();
        let control = &scenario.controls[0];
        let blind = report(scenario, &options(), control.breaks[0], Value::NotMeasured("no".to_owned()));
        assert_eq!(red(control, &blind).0, Verdict::NotMeasured);
    }

    #[test]
    fn a_row_is_one_line_and_says_what_a_process_died_of() {
        assert_eq!(
            ends("links-1 ended; its last words:\n  trace\nport taken\n\n"),
            "links-1 ended; its last words: port taken"
        );
        assert_eq!(ends("all targets met"), "all targets met");
    }

    #[test]
    fn a_drill_that_cannot_be_carried_out_is_not_measured() {
        let matrix = run_all(list(), &options(), |_, _| Err(DrillError::Usage("no binary".to_owned())));
        assert_eq!(matrix.verdict(), Verdict::NotMeasured);
        assert_eq!(matrix.verdict().exit_code(), 1);
        assert!(matrix.table().contains("no binary"));
    }
}
