//! Which rungs of a ladder would have been entered and left, judged by what a trace tells.
//!
//! | signal | from the trace |
//! |---|---|
//! | `p50(x)`, `p90(x)`, `p95(x)`, `p99(x)` | latencies of the calls that ended in the last 10 s |
//! | `errors(x)` | the share of these that failed, of 200 or more |
//! | `load` | calls in flight over the capacity, if that is given |
//!
//! `x` is the key of the calls, or any where the trace was not asked to tell them apart. All other signals
//! (breakers, caches, regions) are unknown, and what is unknown changes nothing: see [`crate::ladder`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Record;
use super::flight::{Crowded, Flight};
use super::tally::{Change, Changes, Span, ms_of};
use crate::ladder::condition::{DURATION_MAX, Signal, Value};
use crate::ladder::{Core, DWELL_MAX, Policy};
use crate::signal::{Latency, Share};
use crate::{Mono, Outcome};

/// Between two looks, as a ladder's owner takes them.
const STEP: Duration = Duration::from_secs(1);
/// The feed document's window (level 1: for 10 s), and our least number of calls for its 1 % of errors.
const WINDOW: Duration = Duration::from_secs(10);
const ERRORS_MIN: u64 = 200;

/// A ladder stepped once a second.
#[derive(Debug)]
pub struct Replay {
    core: Core,
    capacity: Option<u32>,
    meters: BTreeMap<String, Meter>,
    flight: Flight<Call>,
    next: Mono,
    looks: u64,
    report: Report,
}

#[derive(Debug)]
struct Call {
    key: Option<Arc<str>>,
    outcome: Outcome,
    took: Duration,
}

/// What is measured for one signal.
#[derive(Debug)]
struct Meter {
    /// Whose calls; all, where the signal or the calls name nobody.
    of: Option<String>,
    what: What,
    /// Steps in which it had no value.
    unknown: u64,
}

#[derive(Debug)]
enum What {
    Quantile(Latency),
    Errors(Box<Share>),
    Load,
    NotInATrace,
}

/// What a ladder would have done.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// The trace.
    pub trace: Span,
    /// Rungs entered and left.
    pub changes: Changes,
    /// How long the ladder stood at each level.
    #[serde(rename = "level_ms", serialize_with = "ms_of")]
    pub levels: BTreeMap<u8, Duration>,
    /// Of each signal, the share of the looks at which the trace did not tell it: 1 is never known.
    pub unknown: BTreeMap<String, f64>,
}

impl Replay {
    /// No rung active. `capacity` is how many calls in flight are a load of 1.
    #[must_use]
    pub fn new(policy: Policy, capacity: Option<u32>) -> Replay {
        let conditions = policy.rung.iter().flat_map(|rung| [&rung.enter, &rung.exit]).flatten();
        let signals = conditions.flat_map(|condition| condition.clauses()).map(|clause| &clause.signal);
        let meters = signals.map(|signal| (signal.to_string(), Meter::of(signal, capacity))).collect();
        let core = Core::new(policy, Mono::default());
        let next = Mono::default() + STEP;
        Replay { core, capacity, meters, flight: Flight::new(), next, looks: 0, report: Report::default() }
    }

    /// The next call of the trace, in the order in which they began.
    ///
    /// # Errors
    /// [`Crowded`].
    pub fn step(&mut self, record: &Record) -> Result<(), Crowded> {
        // After so long without a call every condition has had its time: what follows changes nothing more.
        let silence = DURATION_MAX + DWELL_MAX;
        let resumed = Mono(record.at.0.saturating_sub(STEP.as_nanos() as u64));
        let settled = self.next + silence;
        while self.next <= record.at {
            self.look();
            if self.next > settled && self.flight.len() == 0 {
                let level = self.core.level();
                *self.report.levels.entry(level).or_default() += resumed.since(self.next);
                self.next = self.next.max(resumed);
            }
        }
        self.report.trace.add(record);
        let call = Call { key: record.key.clone(), outcome: record.outcome, took: record.took };
        self.flight.begin(record.at + record.took, call)
    }

    /// What it would have done until the last call ended.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let end = Mono::default() + self.report.trace.lasted;
        while self.next <= end {
            self.look();
        }
        let looks = self.looks.max(1) as f64;
        let share = |meter: &Meter| meter.unknown as f64 / looks;
        self.report.unknown = self.meters.iter().map(|(name, meter)| (name.clone(), share(meter))).collect();
        self.report
    }

    /// One look at all signals.
    fn look(&mut self) {
        let now = self.next;
        while let Some((at, call)) = self.flight.end(Some(now)) {
            self.meters.values_mut().for_each(|meter| meter.record(at, &call));
        }
        let load = self.capacity.map(|capacity| self.flight.len() as f64 / f64::from(capacity.max(1)));
        let meters = &mut self.meters;
        let changes = self.core.step(now, |signal| meters.get_mut(&signal.to_string())?.read(now, load));
        for change in changes {
            let (from, to) = if change.entered { ("off", "active") } else { ("active", "off") };
            let key = Some(format!("level {} ({})", change.level, change.name).into());
            self.report.changes.add(Change { at: now, key, from, to, why: change.why });
        }
        *self.report.levels.entry(self.core.level()).or_default() += STEP;
        self.looks += 1;
        self.next = now + STEP;
    }
}

impl Meter {
    fn of(signal: &Signal, capacity: Option<u32>) -> Meter {
        let quantile = |q| What::Quantile(Latency::new(WINDOW, q));
        let what = match signal.what.as_str() {
            "p50" => quantile(0.5),
            "p90" => quantile(0.9),
            "p95" => quantile(0.95),
            "p99" => quantile(0.99),
            "errors" => What::Errors(Box::new(Share::new(WINDOW, ERRORS_MIN))),
            "load" if capacity.is_some() => What::Load,
            _ => What::NotInATrace,
        };
        Meter { of: signal.of.clone(), what, unknown: 0 }
    }

    fn record(&mut self, at: Mono, call: &Call) {
        if let (Some(of), Some(key)) = (&self.of, &call.key)
            && **of != **key
        {
            return;
        }
        match &mut self.what {
            What::Quantile(latency) => latency.record(at, call.took),
            What::Errors(share) => share.add(at, u64::from(call.outcome.is_failure()), 1),
            What::Load | What::NotInATrace => {}
        }
    }

    fn read(&mut self, now: Mono, load: Option<f64>) -> Option<Value> {
        let value = match &self.what {
            What::Quantile(latency) => latency.at(now),
            What::Errors(share) => share.at(now),
            What::Load => load,
            What::NotInATrace => None,
        };
        self.unknown += u64::from(value.is_none());
        value.map(Value::Number)
    }
}
