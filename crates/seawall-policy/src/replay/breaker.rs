//! What a breaker would have done: when it opens, whom it refuses, what that spares and what it costs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Record;
use super::flight::{Crowded, Flight};
use super::tally::{Change, Gate, Tally, ms};
use crate::breaker::{Core, Event, Permit, Policy, State, Transition};
use crate::{Mono, Outcome, duration};

/// One breaker, or one for each key of the trace, as the balancer has one for each backend.
#[derive(Debug)]
pub struct Replay {
    policy: Policy,
    each: Vec<One>,
    places: HashMap<Option<Arc<str>>, usize>,
    flight: Flight<Call>,
    report: Report,
}

#[derive(Debug)]
struct One {
    key: Option<Arc<str>>,
    core: Core,
    /// Since when it has not been closed.
    since: Option<Mono>,
    /// How often it has been tested, and the probes of this time.
    round: u64,
    probes: u32,
    good_probes: u32,
}

#[derive(Debug)]
struct Call {
    place: usize,
    permit: Permit,
    outcome: Outcome,
    /// In which round it is a probe.
    probe_of: Option<u64>,
}

/// What a breaker would have done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whom it would have let through.
    #[serde(flatten)]
    pub gate: Gate,
    /// Of those, the ones sent to test a callee that had failed.
    pub probes: Tally,
    /// How often one opened that was closed.
    pub trips: u64,
    /// How long breakers were not closed, all together.
    #[serde(rename = "not_closed_ms", serialize_with = "ms")]
    pub not_closed: Duration,
    /// Breakers that were not closed at the end of the trace.
    pub left_open: u64,
    /// Breakers there were.
    pub breakers: u64,
}

impl Replay {
    /// Closed, at the begin of a trace.
    #[must_use]
    pub fn new(policy: Policy) -> Replay {
        Replay {
            policy,
            each: Vec::new(),
            places: HashMap::new(),
            flight: Flight::new(),
            report: Report::default(),
        }
    }

    /// The next call of the trace, in the order in which they began.
    ///
    /// # Errors
    /// [`Crowded`].
    pub fn step(&mut self, record: &Record) -> Result<(), Crowded> {
        // Whoever ends in the moment in which another begins has ended: calls without a latency come in turn.
        self.end(Some(record.at));
        let place = self.place(record.key.as_ref());
        let one = &mut self.each[place];
        let (permit, change) = one.core.step(&self.policy, record.at, Event::Ask);
        if let Some(change) = change {
            (one.round, one.probes, one.good_probes) = (one.round + 1, 0, 0);
            let why = "its time was over, and a call tests the callee".to_owned();
            self.changed(place, record.at, change, why);
        }
        self.report.gate.add(record, permit.is_some());
        let Some(permit) = permit else { return Ok(()) };
        let one = &mut self.each[place];
        let probe_of = one.since.is_some().then_some(one.round);
        if probe_of.is_some() {
            one.probes += 1;
            self.report.probes.add(record.outcome, record.took);
        }
        let call = Call { place, permit, outcome: record.outcome, probe_of };
        self.flight.begin(record.at + record.took, call)
    }

    /// What it would have done, once all that was begun has ended.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.end(None);
        let end = Mono::default() + self.report.gate.trace.lasted;
        for since in self.each.iter().filter_map(|one| one.since) {
            self.report.not_closed += end.since(since);
            self.report.left_open += 1;
        }
        self.report.breakers = self.each.len() as u64;
        self.report
    }

    fn end(&mut self, until: Option<Mono>) {
        while let Some((at, Call { place, permit, outcome, probe_of })) = self.flight.end(until) {
            let one = &mut self.each[place];
            let (_, change) = one.core.step(&self.policy, at, Event::Report(permit, outcome));
            if probe_of == Some(one.round) && outcome == Outcome::Success {
                one.good_probes += 1;
            }
            let Some(change) = change else { continue };
            let why = match (change.from, change.to) {
                (_, State::Closed) if one.probes == 1 => "the probe succeeded".to_owned(),
                (_, State::Closed) => format!("{} of {} probes succeeded", one.good_probes, one.probes),
                (State::HalfOpen, _) => format!("a probe ended as {}", outcome.as_str()),
                (_, _) => format!("a call ended as {} and met {}", outcome.as_str(), rules(&self.policy)),
            };
            self.changed(place, at, change, why);
        }
    }

    fn changed(&mut self, place: usize, at: Mono, change: Transition, why: String) {
        let one = &mut self.each[place];
        let why = match change.to {
            State::Closed => {
                self.report.not_closed += one.since.take().map(|since| at.since(since)).unwrap_or_default();
                why
            }
            State::Open { until } => {
                self.report.trips += u64::from(change.from == State::Closed);
                one.since.get_or_insert(at);
                format!("{why}; refuses for {}", duration::format(until.since(at)))
            }
            State::HalfOpen => why,
        };
        let (from, to) = (change.from.as_str(), change.to.as_str());
        self.report.gate.changes.add(Change { at, key: one.key.clone(), from, to, why });
    }

    fn place(&mut self, key: Option<&Arc<str>>) -> usize {
        let key = key.cloned();
        *self.places.entry(key.clone()).or_insert_with(|| {
            let core = Core::new(&self.policy);
            self.each.push(One { key, core, since: None, round: 0, probes: 0, good_probes: 0 });
            self.each.len() - 1
        })
    }
}

/// The rules as they are written in a file.
fn rules(policy: &Policy) -> String {
    let rule = |rule| toml::to_string(rule).unwrap_or_default().trim_end().replace('\n', ", ");
    let rules: Vec<String> = policy.trip.iter().map(|trip| format!("{{ {} }}", rule(trip))).collect();
    format!("{} in {}", rules.join(" or "), duration::format(policy.window))
}
