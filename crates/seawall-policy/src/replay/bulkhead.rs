//! Whom a bulkhead would have refused.
//!
//! A call is in flight from its begin until its latency has passed. Those that were refused never are, which
//! is all that a bulkhead does: so here even an open-loop trace shows most of the effect, but for the calls
//! that would have been quicker with fewer beside them.
//!
//! A call that is under way takes a place of each kind, as a route of the balancer has it, so the smaller number of
//! the policy holds. Idle connections, which take places too, are not in a trace.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::Record;
use super::flight::{Crowded, Flight};
use super::refusals::Refusals;
use super::tally::Gate;
use crate::inflight::{Bulkhead, Policy};

/// One bulkhead, or one for each key of the trace.
#[derive(Debug)]
pub struct Replay {
    places: usize,
    each: HashMap<Option<Arc<str>>, One>,
    report: Report,
}

#[derive(Debug)]
struct One {
    let_in: Flight<()>,
    all: Flight<()>,
    refusals: Refusals,
}

/// What a bulkhead would have done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whom it would have let in.
    #[serde(flatten)]
    pub gate: Gate,
    /// Places it has.
    pub places: u64,
    /// Most that were in flight at once without it; of one key, where there are several.
    pub wanted: u64,
    /// And with it.
    pub taken: u64,
    /// Bulkheads there were.
    pub bulkheads: u64,
}

impl Replay {
    /// Empty.
    #[must_use]
    pub fn new(policy: Policy) -> Replay {
        let bulkhead = Bulkhead::new(&policy);
        let places = bulkhead.calls().max().min(bulkhead.connections().max());
        let report = Report { places: places as u64, ..Report::default() };
        Replay { places, each: HashMap::new(), report }
    }

    /// The next call of the trace, in the order in which they began.
    ///
    /// # Errors
    /// [`Crowded`].
    pub fn step(&mut self, record: &Record) -> Result<(), Crowded> {
        let key = record.key.as_ref();
        let one = self.each.entry(key.cloned()).or_insert_with(|| One {
            let_in: Flight::new(),
            all: Flight::new(),
            refusals: Refusals::default(),
        });
        let ends = record.at + record.took;
        one.all.end_until(record.at);
        one.all.begin(ends, ())?;
        one.let_in.end_until(record.at);
        let places = self.places;
        let refused = one.let_in.len() >= places;
        if !refused {
            one.let_in.begin(ends, ())?;
        }
        self.report.wanted = self.report.wanted.max(one.all.len() as u64);
        self.report.taken = self.report.taken.max(one.let_in.len() as u64);
        self.report.gate.add(record, !refused);
        let why = || format!("all {places} places were taken");
        one.refusals.decided(record.at, refused, key, &mut self.report.gate.changes, why);
        Ok(())
    }

    /// What it would have done.
    #[must_use]
    pub fn finish(mut self) -> Report {
        for (key, one) in &mut self.each {
            one.refusals.end(key.as_ref(), &mut self.report.gate.changes);
        }
        self.report.gate.changes.sort();
        self.report.bulkheads = self.each.len() as u64;
        self.report
    }
}
