//! PASS, FAIL, NOT MEASURED: how measures become a verdict.
//!
//! The worst repeat counts, so one FAIL is a FAIL. What could not be measured is never a pass: a target nobody
//! measured would otherwise be the easiest to meet.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::report::Repeat;
use crate::table::number;

/// A measure, and the bound the documents give it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// What is measured.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// The promise; a measure without one is only shown.
    pub at_most: Option<f64>,
    /// Where the bound comes from.
    pub source: &'static str,
}

/// What one repeat measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// This, in the target's unit.
    Measured(f64),
    /// It did not happen although there was time: worse than any number.
    Never,
    /// It could not be measured, and why.
    NotMeasured(String),
}

/// The judgement of one target, one scenario, or a whole matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Measured and within the bound.
    Pass,
    /// Measured and beyond the bound.
    Fail,
    /// Not measured, so nothing is known.
    NotMeasured,
}

/// One target with all its repeats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// What is measured.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// The promise, if there is one.
    pub at_most: Option<f64>,
    /// Where the bound comes from.
    pub source: String,
    /// One for each repeat.
    pub repeats: Vec<Value>,
    /// The one that counts.
    pub worst: Value,
    /// None for a measure without a bound.
    pub verdict: Option<Verdict>,
}

impl Value {
    /// Larger is worse.
    fn badness(&self) -> f64 {
        match self {
            Value::Measured(value) => *value,
            Value::Never => f64::INFINITY,
            Value::NotMeasured(_) => f64::NEG_INFINITY,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Measured(value) => f.write_str(&number(*value)),
            Value::Never => f.write_str("never"),
            Value::NotMeasured(_) => f.write_str("?"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Pass => "PASS",
            Verdict::Fail => "FAIL",
            Verdict::NotMeasured => "NOT MEASURED",
        })
    }
}

impl Verdict {
    /// The worst of several; nothing at all is NOT MEASURED.
    #[must_use]
    pub fn worst_of(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
        let worse = |a, b| match (a, b) {
            (Verdict::Fail, _) | (_, Verdict::Fail) => Verdict::Fail,
            (Verdict::NotMeasured, _) | (_, Verdict::NotMeasured) => Verdict::NotMeasured,
            _ => Verdict::Pass,
        };
        verdicts.into_iter().reduce(worse).unwrap_or(Verdict::NotMeasured)
    }

    /// Process exit code: 0 passed, 3 a target was missed, 1 not measured.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Pass => 0,
            Verdict::Fail => 3,
            Verdict::NotMeasured => 1,
        }
    }
}

/// Compares what the repeats measured with the targets.
#[must_use]
pub fn judge(targets: &[Target], repeats: &[Repeat]) -> Vec<Measure> {
    targets.iter().map(|target| measure(target, repeats)).collect()
}

fn measure(target: &Target, repeats: &[Repeat]) -> Measure {
    let missing = || Value::NotMeasured("the scenario did not say".to_owned());
    let values: Vec<Value> = repeats
        .iter()
        .map(|repeat| repeat.values.get(target.name).cloned().unwrap_or_else(missing))
        .collect();
    let worst =
        values.iter().max_by(|a, b| a.badness().total_cmp(&b.badness())).cloned().unwrap_or_else(missing);
    let verdict = target.at_most.map(|bound| {
        if worst.badness() > bound {
            Verdict::Fail
        } else if values.is_empty() || values.iter().any(|value| matches!(value, Value::NotMeasured(_))) {
            Verdict::NotMeasured
        } else {
            Verdict::Pass
        }
    });
    Measure {
        name: target.name.to_owned(),
        unit: target.unit.to_owned(),
        at_most: target.at_most,
        source: target.source.to_owned(),
        repeats: values,
        worst,
        verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTO: Target = Target { name: "rto", unit: "s", at_most: Some(30.0), source: "S2" };
    const SHOWN: Target = Target { name: "detection", unit: "s", at_most: None, source: "" };

    fn verdict(values: &[Value]) -> Option<Verdict> {
        let repeats: Vec<Repeat> = values
            .iter()
            .map(|value| {
                let mut repeat = Repeat::new(0);
                repeat.value("rto", value.clone());
                repeat
            })
            .collect();
        judge(&[RTO], &repeats)[0].verdict
    }

    fn unknown() -> Value {
        Value::NotMeasured("why".to_owned())
    }

    #[test]
    fn the_worst_repeat_counts() {
        use Value::Measured;
        assert_eq!(verdict(&[Measured(1.0), Measured(30.0)]), Some(Verdict::Pass));
        assert_eq!(verdict(&[Measured(1.0), Measured(30.1), Measured(2.0)]), Some(Verdict::Fail));
    }

    #[test]
    fn what_never_happened_fails_and_what_nobody_saw_does_not_pass() {
        assert_eq!(verdict(&[Value::Never]), Some(Verdict::Fail));
        assert_eq!(verdict(&[Value::Measured(1.0), unknown()]), Some(Verdict::NotMeasured));
        assert_eq!(verdict(&[unknown(), Value::Measured(31.0)]), Some(Verdict::Fail));
        assert_eq!(verdict(&[]), Some(Verdict::NotMeasured));
        assert_eq!(judge(&[RTO], &[Repeat::new(0)])[0].verdict, Some(Verdict::NotMeasured));
    }

    #[test]
    fn a_measure_without_a_bound_is_shown_and_not_judged() {
        let mut repeat = Repeat::new(0);
        repeat.value("detection", Value::Measured(99.0));
        let measure = &judge(&[SHOWN], &[repeat])[0];
        assert_eq!((measure.verdict, &measure.worst), (None, &Value::Measured(99.0)));
    }

    #[test]
    fn one_failure_outweighs_everything() {
        use Verdict::{Fail, NotMeasured, Pass};
        assert_eq!(Verdict::worst_of([Pass, NotMeasured, Fail]), Fail);
        assert_eq!(Verdict::worst_of([Pass, NotMeasured]), NotMeasured);
        assert_eq!(Verdict::worst_of([Pass, Pass]), Pass);
        assert_eq!(Verdict::worst_of([]), NotMeasured);
        assert_eq!([Pass, Fail, NotMeasured].map(Verdict::exit_code), [0, 3, 1]);
    }
}
