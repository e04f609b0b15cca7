//! What a drill says at the end: measured against target, with units.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::verdict::{Measure, Value, Verdict, judge};
use super::{Options, Scenario};
use crate::check::ledger::Verified;
use crate::load;
use crate::table::{aligned, number, row};

/// One run of a scenario.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Repeat {
    /// What it was drawn from; running the scenario with this seed repeats it.
    pub seed: u64,
    /// What was measured, by target name.
    pub values: BTreeMap<String, Value>,
    /// What happened when.
    pub events: Vec<Event>,
    /// What the clients saw.
    pub load: Option<load::Report>,
    /// What became of every write.
    pub ledger: Option<Verified>,
}

/// Something worth a mark on the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Since the start of the load, seconds.
    pub at_s: f64,
    /// What happened.
    pub what: String,
}

/// A scenario's result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// What happens in it.
    pub title: String,
    /// The document and section.
    pub row: String,
    /// The worst of all targets.
    pub verdict: Verdict,
    /// One for each target.
    pub measures: Vec<Measure>,
    /// Every run, in order.
    pub repeats: Vec<Repeat>,
    /// The command that repeats it.
    pub command: String,
}

impl Repeat {
    /// An empty run.
    #[must_use]
    pub fn new(seed: u64) -> Repeat {
        Repeat { seed, values: BTreeMap::new(), events: Vec::new(), load: None, ledger: None }
    }

    /// Notes what was measured.
    pub fn value(&mut self, target: &str, value: Value) {
        self.values.insert(target.to_owned(), value);
    }
}

impl Report {
    /// Judges the repeats of a scenario.
    #[must_use]
    pub fn new(scenario: &Scenario, options: &Options, repeats: Vec<Repeat>) -> Report {
        let measures = judge(scenario.targets, &repeats);
        Report {
            scenario: scenario.name.to_owned(),
            title: scenario.title.to_owned(),
            row: scenario.row.to_owned(),
            verdict: Verdict::worst_of(measures.iter().filter_map(|m| m.verdict)),
            measures,
            repeats,
            command: command(scenario, options),
        }
    }

    /// The verdict of one target; NOT MEASURED when there is no such target.
    #[must_use]
    pub fn verdict_of(&self, target: &str) -> Verdict {
        self.measures
            .iter()
            .find(|m| m.name == target)
            .and_then(|m| m.verdict)
            .unwrap_or(Verdict::NotMeasured)
    }

    /// For a terminal.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!("{}: {}\n  {}\n\n", self.scenario, self.title, self.row);
        let mut rows = vec![row(["measure", "measured", "target", "verdict", "repeats"])];
        for m in &self.measures {
            let repeats: Vec<String> = m.repeats.iter().map(Value::to_string).collect();
            rows.push(vec![
                m.name.clone(),
                format!("{} {}", m.worst, m.unit),
                m.at_most
                    .map_or_else(|| "-".to_owned(), |bound| format!("at most {} {}", number(bound), m.unit)),
                m.verdict.map_or_else(|| "-".to_owned(), |verdict| verdict.to_string()),
                repeats.join(", "),
            ]);
        }
        text.push_str(&aligned(&rows));
        text.push('\n');
        for (number, repeat) in self.repeats.iter().enumerate() {
            text.push_str(&repeat.notes(number + 1));
        }
        text.push_str(&format!("  {}: repeat with: {}\n", self.verdict, self.command));
        text
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> String {
        // Keys are strings and numbers are finite, so this cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl Repeat {
    /// Whatever a number in the table does not explain.
    fn notes(&self, number: usize) -> String {
        let mut lines = Vec::new();
        for (target, value) in &self.values {
            if let Value::NotMeasured(why) = value {
                lines.push(format!("{target} not measured: {why}"));
            }
        }
        if let Some(load) = &self.load {
            lines.push(format!(
                "{} of {} requests ok, p99 {:.1} ms",
                load.ok, load.planned, load.latency.p99_ms
            ));
            for operation in &load.operations {
                for (kind, n) in &operation.errors {
                    lines.push(format!("{}: {kind}: {n}", operation.name));
                }
            }
        }
        if let Some(ledger) = &self.ledger {
            lines.push(format!(
                "{} writes attempted, {} acknowledged, {} found, {} unknown",
                ledger.attempted, ledger.acknowledged, ledger.found, ledger.unknown
            ));
            lines.extend(ledger.named.iter().cloned());
        }
        lines.extend(self.events.iter().map(|event| format!("at {:.2} s: {}", event.at_s, event.what)));
        let mut text = format!("  repeat {number}, seed {}\n", self.seed);
        for line in lines {
            text.push_str(&format!("    {line}\n"));
        }
        text.push('\n');
        text
    }
}

fn command(scenario: &Scenario, options: &Options) -> String {
    let mut command = format!("seawall drill run {} --seed {}", scenario.name, options.seed);
    if options.quick {
        command.push_str(" --quick");
    }
    for mechanism in &options.without {
        command.push_str(&format!(" --without {mechanism}"));
    }
    if let Some(plant) = &options.plant {
        command.push_str(&format!(" --plant {plant}"));
    }
    if let Some(kills) = options.kills {
        command.push_str(&format!(" --kills {kills}"));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_as_measured_against_target() {
        let scenario = super::super::find("links-process-kill").unwrap();
        let options = Options {
            binary: "seawall".into(),
            seed: 7,
            quick: true,
            without: vec![super::super::Mechanism::Retry],
            plant: None,
            kills: None,
            keep: None,
        };
        let mut repeat = Repeat::new(7);
        for target in scenario.targets {
            repeat.value(target.name, Value::Measured(0.0));
        }
        repeat.value("client errors, GET", Value::Measured(4.0));
        let report = Report::new(scenario, &options, vec![repeat]);
        let table = report.table();
        let line = table.lines().find(|line| line.contains("client errors, GET")).unwrap();
        let words: Vec<&str> = line.split("  ").map(str::trim).filter(|w| !w.is_empty()).collect();
        assert_eq!(words, ["client errors, GET", "4 requests", "at most 0 requests", "FAIL", "4"]);
        assert!(table.contains(
            "FAIL: repeat with: seawall drill run links-process-kill --seed 7 --quick --without retry"
        ));
        assert_eq!(report.verdict, Verdict::Fail);
        let read: Report = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(read.measures, report.measures);
    }
}
