//! Whom a shedder would have refused.
//!
//! Of the three signals that are load, a trace tells one: requests in flight, over how many there may be,
//! which the caller must say. Time in queues and the processor are not in it, so a shedder would have refused
//! at least as many. The class of each call is a column named `priority`; where it is missing a call is P0,
//! which is never shed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Record;
use super::flight::{Crowded, Flight};
use super::refusals::Refusals;
use super::tally::{Gate, Tally, ms};
use crate::Wall;
use crate::placement::hash;
use crate::priority::Priority;
use crate::shed::{Core, Decision, Policy};

/// A shedder in front of one service.
#[derive(Debug)]
pub struct Replay {
    core: Core,
    capacity: u32,
    flight: Flight<()>,
    each: [Each; 5],
    report: Report,
}

#[derive(Debug)]
struct Each {
    name: Arc<str>,
    refusals: Refusals,
}

/// Of one class of calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Class {
    /// What was let in.
    pub served: Tally,
    /// What was refused.
    pub refused: Tally,
}

/// What a shedder would have done.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Whom it would have let in.
    #[serde(flatten)]
    pub gate: Gate,
    /// The same for each class that came, by its name.
    pub classes: BTreeMap<&'static str, Class>,
    /// Calls let in late.
    pub delayed: u64,
    /// How long these waited, all together.
    #[serde(rename = "delayed_for_ms", serialize_with = "ms")]
    pub delayed_for: Duration,
    /// The highest load there was, with it.
    pub load: f64,
}

impl Replay {
    /// In front of a service that may have `capacity` requests in flight.
    #[must_use]
    pub fn new(policy: &Policy, capacity: u32) -> Replay {
        let each = |class: Priority| Each { name: class.as_str().into(), refusals: Refusals::default() };
        Replay {
            core: Core::new(policy),
            capacity: capacity.max(1),
            flight: Flight::new(),
            each: Priority::ALL.map(each),
            report: Report::default(),
        }
    }

    /// The next call of the trace, in the order in which they began.
    ///
    /// # Errors
    /// [`Crowded`].
    pub fn step(&mut self, record: &Record) -> Result<(), Crowded> {
        self.flight.end_until(record.at);
        let load = self.flight.len() as f64 / f64::from(self.capacity);
        self.report.load = self.report.load.max(load);
        // Cohorts change by the hour, whichever hour the trace began in.
        self.core.at(Wall(i64::try_from(record.at.0 / 1_000_000).unwrap_or(i64::MAX)));
        let who = record.key.as_ref().map(|key| hash::hk(key.as_bytes()).cast_unsigned());
        let decision = self.core.decide(load, record.priority, who);
        let refused = decision == Decision::Reject;
        self.report.gate.add(record, !refused);
        let class = self.report.classes.entry(record.priority.as_str()).or_default();
        let of = if refused { &mut class.refused } else { &mut class.served };
        of.add(record.outcome, record.took);
        let Each { name, refusals } = &mut self.each[record.priority as usize];
        let why = || format!("a load of {:.0} %", 100.0 * load);
        refusals.decided(record.at, refused, Some(name), &mut self.report.gate.changes, why);
        let delay = match decision {
            Decision::Reject => return Ok(()),
            Decision::Admit => Duration::ZERO,
            Decision::Delay(delay) => delay,
        };
        self.report.delayed += u64::from(!delay.is_zero());
        self.report.delayed_for += delay;
        // Who waits holds a connection and no place; when it is let in, it takes as long as it took.
        self.flight.begin(record.at + delay + record.took, ())
    }

    /// What it would have done.
    #[must_use]
    pub fn finish(mut self) -> Report {
        for Each { name, refusals } in &mut self.each {
            refusals.end(Some(name), &mut self.report.gate.changes);
        }
        self.report.gate.changes.sort();
        self.report
    }
}
