//! Whom a rate limit would have refused.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Record;
use super::refusals::Refusals;
use super::tally::Gate;
use crate::Mono;
use crate::rate::{Core, Policy};

const SECOND: Duration = Duration::from_secs(1);

/// One limit for all; or one for each key of the trace, if the policy has keys.
#[derive(Debug)]
pub struct Replay {
    policy: Policy,
    each: HashMap<Option<Arc<str>>, One>,
    second: (u64, u64),
    report: Report,
}

#[derive(Debug)]
struct One {
    core: Core,
    refusals: Refusals,
    was_refused: bool,
}

/// What a rate limit would have done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whom it would have let through.
    #[serde(flatten)]
    pub gate: Gate,
    /// Most calls that began within one second of the clock, all keys together.
    pub busiest_second: u64,
    /// Keys there were, where each has a limit of its own.
    pub keys: u64,
    /// Keys of which it refused a call.
    pub keys_refused: u64,
    /// The policy limits each key by itself, and the trace was not asked to tell calls apart.
    pub wants_keys: bool,
}

impl Replay {
    /// The whole burst is there.
    #[must_use]
    pub fn new(policy: Policy) -> Replay {
        Replay { policy, each: HashMap::new(), second: (0, 0), report: Report::default() }
    }

    /// The next call of the trace, in the order in which they began.
    pub fn step(&mut self, record: &Record) {
        let is_keyed = self.policy.keys_max > 0;
        self.report.wants_keys = is_keyed && record.key.is_none();
        let key = record.key.as_ref().filter(|_| is_keyed);
        let one = self.each.entry(key.cloned()).or_insert_with(|| One {
            core: Core::new(&self.policy),
            refusals: Refusals::default(),
            was_refused: false,
        });
        let refused = one.core.check(record.at).is_err();
        one.was_refused |= refused;
        self.report.gate.add(record, !refused);
        let Policy { rate, burst, .. } = &self.policy;
        let why = || format!("more than {rate} with a burst of {burst}");
        one.refusals.decided(record.at, refused, key, &mut self.report.gate.changes, why);
        self.count_second(record.at);
    }

    /// What it would have done.
    #[must_use]
    pub fn finish(mut self) -> Report {
        for (key, one) in &mut self.each {
            one.refusals.end(key.as_ref(), &mut self.report.gate.changes);
        }
        self.report.gate.changes.sort();
        self.report.keys = self.each.keys().flatten().count() as u64;
        self.report.keys_refused = self.each.values().filter(|one| one.was_refused).count() as u64;
        self.report
    }

    fn count_second(&mut self, now: Mono) {
        let second = now.0 / SECOND.as_nanos() as u64;
        if self.second.0 != second {
            self.second = (second, 0);
        }
        self.second.1 += 1;
        self.report.busiest_second = self.report.busiest_second.max(self.second.1);
    }
}
