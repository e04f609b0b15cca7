//! What is counted while a trace is replayed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::Record;
use crate::{Mono, Outcome};

/// Changes kept by a replay; later ones are only counted.
pub const CHANGES_MAX: usize = 10_000;

/// Calls, and what callers saw of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many.
    pub calls: u64,
    /// With the answer that was asked for.
    pub succeeded: u64,
    /// Failed, late, unreachable or overloaded.
    pub failed: u64,
    /// Given up by their callers.
    pub abandoned: u64,
    /// How long their callers waited, all together.
    #[serde(rename = "waited_ms", serialize_with = "ms")]
    pub waited: Duration,
    /// How long the most patient one waited.
    #[serde(rename = "longest_ms", serialize_with = "ms")]
    pub longest: Duration,
}

impl Tally {
    /// Counts one call.
    pub fn add(&mut self, outcome: Outcome, waited: Duration) {
        self.calls += 1;
        match outcome {
            Outcome::Success => self.succeeded += 1,
            Outcome::Abandoned => self.abandoned += 1,
            _failure => self.failed += 1,
        }
        self.waited = self.waited.saturating_add(waited);
        self.longest = self.longest.max(waited);
    }

    /// How long a caller waited on average.
    #[must_use]
    pub fn mean(&self) -> Duration {
        mean(self.waited, self.calls)
    }
}

/// What one of `n` had on average of a time all of them had together.
pub(super) fn mean(all: Duration, n: u64) -> Duration {
    let nanos = all.as_nanos() / u128::from(n.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// What the trace was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Span {
    /// From the begin of the first call to the end of the last.
    #[serde(rename = "lasted_ms", serialize_with = "ms")]
    pub lasted: Duration,
    /// What happened, without the policy.
    pub calls: Tally,
    /// Calls that were tried more than once already, of which the trace shows the last try only.
    pub tried_again: u64,
}

impl Span {
    pub(super) fn add(&mut self, record: &Record) {
        self.calls.add(record.outcome, record.took);
        self.lasted = self.lasted.max((record.at + record.took).since(Mono::default()));
        self.tried_again += u64::from(record.tries > 1);
    }
}

/// A change of what the policy does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When, from the first call on.
    #[serde(rename = "at_ms", serialize_with = "at_ms")]
    pub at: Mono,
    /// Whose, where there are several.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    pub key: Option<Arc<str>>,
    /// What it was.
    pub from: &'static str,
    /// What it is.
    pub to: &'static str,
    /// What caused it, in words.
    pub why: String,
}

/// The first changes, and how many more there were.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// At most [`CHANGES_MAX`].
    pub first: Vec<Change>,
    /// And so many more.
    pub more: u64,
}

impl Changes {
    pub(super) fn add(&mut self, change: Change) {
        if self.first.len() < CHANGES_MAX {
            self.first.push(change);
        } else {
            self.more += 1;
        }
    }

    /// Puts them in order of time; those of one moment stay as they came.
    pub(super) fn sort(&mut self) {
        self.first.sort_by_key(|change| change.at);
    }
}

/// Of a policy that lets calls through or refuses them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Gate {
    /// The trace.
    pub trace: Span,
    /// Let through, with what came of them.
    pub served: Tally,
    /// Refused at once, with what would have come of them and how long that would have taken.
    pub refused: Tally,
    /// What it did when.
    pub changes: Changes,
}

impl Gate {
    pub(super) fn add(&mut self, record: &Record, let_through: bool) {
        self.trace.add(record);
        let of = if let_through { &mut self.served } else { &mut self.refused };
        of.add(record.outcome, record.took);
    }
}

pub(super) fn ms<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_nanos() as f64 / 1e6)
}

pub(super) fn at_ms<S: Serializer>(at: &Mono, to: S) -> Result<S::Ok, S::Error> {
    ms(&at.since(Mono::default()), to)
}

pub(super) fn ms_of<S: Serializer>(times: &BTreeMap<u8, Duration>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(times.iter().map(|(key, time)| (key, time.as_nanos() as f64 / 1e6)))
}

fn text<S: Serializer>(text: &Option<Arc<str>>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text.as_deref().unwrap_or_default())
}
