//! What a shedder is told: who goes first, at which load.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::priority::Priority;
use crate::{duration, rate};

/// Most steps of one policy; each request looks through them.
pub const STEPS_MAX: usize = 16;

/// Groups that callers are divided into by [`Choose::Cohort`]: shares are exact to 1/128.
pub const COHORTS: u32 = 128;

/// A shedder's configuration. The default is the chat document's ([`Policy::s0_chat`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// What happens at which load, lowest first; the last one has no upper end.
    pub steps: Vec<Step>,
    /// Who is dropped when a share of a class is.
    pub choose: Choose,
    /// A wait in queues of this long is a load of 1.
    #[serde(with = "duration")]
    pub queue_wait_max: Duration,
    /// How fast those who come back after a disconnection are let in, whatever the load.
    pub reconnect: rate::Policy,
}

/// What happens from the step below up to a load.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    /// Holds at loads below this; left out, it holds at any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// Shares that are refused.
    pub drop: Shares,
    /// Those who wait before they are let in.
    pub delay: Delay,
}

/// A share of each class, 0 to 1. P0 has none: it is never shed.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shares {
    /// Of P1.
    pub p1: f64,
    /// Of P2.
    pub p2: f64,
    /// Of P3.
    pub p3: f64,
    /// Of P4.
    pub p4: f64,
}

/// A wait for each class; zero for none.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delay {
    /// Of P1.
    #[serde(with = "duration")]
    pub p1: Duration,
    /// Of P2.
    #[serde(with = "duration")]
    pub p2: Duration,
    /// Of P3.
    #[serde(with = "duration")]
    pub p3: Duration,
    /// Of P4.
    #[serde(with = "duration")]
    pub p4: Duration,
}

/// Who is dropped when a share of a class is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choose {
    /// Evenly spaced requests, whoever sent them.
    #[default]
    Sample,
    /// The same callers for an hour; those without a name as in `sample`.
    Cohort,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::s0_chat()
    }
}

impl Step {
    /// The share of this class that is refused, and how long the others wait.
    #[must_use]
    pub fn of(&self, priority: Priority) -> (f64, Duration) {
        let Step { drop, delay, .. } = self;
        match priority {
            Priority::P0 => (0.0, Duration::ZERO),
            Priority::P1 => (drop.p1, delay.p1),
            Priority::P2 => (drop.p2, delay.p2),
            Priority::P3 => (drop.p3, delay.p3),
            Priority::P4 => (drop.p4, delay.p4),
        }
    }

    /// In words, without the load.
    fn sentence(&self) -> String {
        let mut parts = Vec::new();
        for class in Priority::ALL {
            let (dropped, delay) = self.of(class);
            let name = class.as_str().to_uppercase();
            if dropped >= 1.0 {
                parts.push(format!("{name} is refused"));
            } else if dropped > 0.0 {
                parts.push(format!("{} % of {name} is refused", percent(dropped)));
            }
            if dropped < 1.0 && !delay.is_zero() {
                parts.push(format!("{name} waits {}", duration::format(delay)));
            }
        }
        if parts.is_empty() { "everything is let in".to_owned() } else { parts.join(", ") }
    }
}

impl Policy {
    /// The step that holds at this load.
    #[must_use]
    pub fn step_at(&self, load: f64) -> Option<&Step> {
        self.steps.iter().find(|step| step.below.is_none_or(|below| load < below))
    }

    /// Everything wrong with it, each with what to write instead; empty when all is well.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX {
            let count = self.steps.len();
            wrong.push(format!("steps: use 1 to {STEPS_MAX}, the last without `below`; there are {count}"));
        }
        for (i, step) in self.steps.iter().enumerate() {
            let is_last = i + 1 == self.steps.len();
            match step.below {
                None if !is_last => {
                    wrong.push(format!("steps[{i}].below: use the load it ends at; only the last has none"));
                }
                Some(below) if is_last => wrong.push(format!(
                    "steps[{i}].below: use no `below` for the last step; above {below} nothing is said"
                )),
                Some(below) if !(below > 0.0 && below <= 10.0) => {
                    wrong.push(format!("steps[{i}].below: use a load such as 0.85; it says {below}"));
                }
                _ => {}
            }
            for class in Priority::ALL {
                let (share, _) = step.of(class);
                if !(0.0..=1.0).contains(&share) {
                    let class = class.as_str();
                    wrong.push(format!("steps[{i}].drop.{class}: use 0 to 1, such as 0.5; it says {share}"));
                }
            }
            for pair in Priority::ALL.windows(2) {
                let [(more, _), (less, _)] = [step.of(pair[0]), step.of(pair[1])];
                if less < more {
                    wrong.push(format!(
                        "steps[{i}].drop.{}: use at least what is dropped of {} ({more}); it says {less}",
                        pair[1].as_str(),
                        pair[0].as_str(),
                    ));
                }
            }
        }
        wrong.extend(self.check_order());
        if self.queue_wait_max.is_zero() {
            wrong.push("queue_wait_max: use 20ms or so; with 0 any wait is an overload".to_owned());
        }
        wrong.extend(self.reconnect.check().into_iter().map(|line| format!("reconnect.{line}")));
        wrong
    }

    /// Each step must begin above the one before it and drop no less.
    fn check_order(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (i, pair) in self.steps.windows(2).enumerate() {
            let i = i + 1;
            if let [Some(before), Some(after)] = [pair[0].below, pair[1].below]
                && after <= before
            {
                wrong.push(format!(
                    "steps[{i}].below: use more than the step before ({before}); it says {after}"
                ));
            }
            for class in Priority::ALL {
                let [(before, _), (after, _)] = [pair[0].of(class), pair[1].of(class)];
                if after < before {
                    let class = class.as_str();
                    wrong.push(format!(
                        "steps[{i}].drop.{class}: use at least the lower step's {before}; with {after} more load lets more in"
                    ));
                }
            }
        }
        wrong
    }

    /// What it does, in sentences.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let mut told = vec![format!(
            "Load is the highest of: requests in flight over their limit, time in queues over {}, and the share \
             of the processor in use.",
            duration::format(self.queue_wait_max)
        )];
        for step in &self.steps {
            let upto = step.below.map_or_else(
                || "At any higher load".to_owned(),
                |below| format!("Below a load of {} %", percent(below)),
            );
            told.push(format!("{upto} {}.", step.sentence()));
        }
        told.push(match self.choose {
            Choose::Sample => "Where a share is refused, it is every so-manyeth request.".to_owned(),
            Choose::Cohort => format!(
                "Where a share is refused, it is the same callers for an hour, by {COHORTS} cohorts drawn anew \
                 each hour."
            ),
        });
        told.push("Clients that reconnect are let in at any load, smoothed as follows.".to_owned());
        told.extend(self.reconnect.explain());
        told
    }
}

fn percent(share: f64) -> f64 {
    (share * 1000.0).round() / 10.0
}
