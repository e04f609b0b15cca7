//! What a load run found: for people as a table, for programs as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use seawall_policy::Mono;
use serde::{Deserialize, Serialize};

use super::record::millis;
use crate::table::{aligned, row};

/// Width of a [`Bin`]: how finely a recovery time can be told.
pub const BIN: Duration = Duration::from_millis(100);

/// Rows of the per-second table that are printed; a longer run is shown by its worst seconds.
const SECONDS_SHOWN_MAX: usize = 30;

/// Everything counted in one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Of the schedule: the same seed sends the same requests at the same moments.
    pub seed: u64,
    /// From the first intended start to the last answer, seconds.
    pub lasted_s: f64,
    /// Arrivals of the schedule: sent and unsent.
    pub planned: u64,
    /// Requests that left.
    pub sent: u64,
    /// Requests answered as they should be.
    pub ok: u64,
    /// Arrivals that found no free place.
    pub unsent: u64,
    /// Failures by kind, all operations together.
    pub errors: BTreeMap<String, u64>,
    /// From the intended start, of all requests that left, failed ones too.
    pub latency: Latency,
    /// How late the generator itself was.
    pub lag: Latency,
    /// One entry for each operation.
    pub operations: Vec<OperationReport>,
    /// One entry for each second, by intended start.
    pub seconds: Vec<Second>,
    /// When the schedule began, on the clock of the run.
    #[serde(skip)]
    pub began: Mono,
    /// Success and failure every [`BIN`], by intended start.
    #[serde(skip)]
    pub bins: Vec<Bin>,
}

/// One operation's part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OperationReport {
    /// As the workload calls it.
    pub name: String,
    /// Requests that left.
    pub sent: u64,
    /// Requests answered as they should be.
    pub ok: u64,
    /// Arrivals that found no free place.
    pub unsent: u64,
    /// Failures by kind.
    pub errors: BTreeMap<String, u64>,
    /// From the intended start.
    pub latency: Latency,
}

/// Percentiles, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half were faster.
    pub p50_ms: f64,
    /// 90 of 100 were faster.
    pub p90_ms: f64,
    /// 99 of 100 were faster.
    pub p99_ms: f64,
    /// 999 of 1,000 were faster.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// What happened to the requests meant to start in one second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Since the start of the load.
    pub at_s: u64,
    /// Answered as they should be.
    pub ok: u64,
    /// Failed.
    pub errors: u64,
    /// Found no free place.
    pub unsent: u64,
    /// Half were faster, milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 were faster, milliseconds.
    pub p99_ms: f64,
}

/// Requests meant to start within one [`BIN`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bin {
    /// Answered as they should be.
    pub ok: u32,
    /// Failed or unsent.
    pub bad: u32,
}

impl Latency {
    pub(super) fn of(histogram: &Histogram<u64>) -> Latency {
        let at = |quantile| millis(histogram.value_at_quantile(quantile));
        Latency {
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: millis(histogram.max()),
        }
    }
}

impl Report {
    /// Requests that did not end well, of one operation: failures, without the unsent.
    #[must_use]
    pub fn failed(&self, operation: &str) -> u64 {
        self.operations.iter().filter(|o| o.name == operation).flat_map(|o| o.errors.values()).sum()
    }

    /// Answered as they should be, of all arrivals; 1 when there were none.
    #[must_use]
    pub fn success_ratio(&self) -> f64 {
        if self.planned == 0 { 1.0 } else { self.ok as f64 / self.planned as f64 }
    }

    /// For a terminal: operations, errors by kind, and the seconds (the worst of them when there are many).
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows = vec![row([
            "operation",
            "sent",
            "ok",
            "errors",
            "unsent",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
        ])];
        let line = |name: &str, sent: u64, ok: u64, unsent: u64, errors: u64, l: &Latency| {
            let times = [l.p50_ms, l.p90_ms, l.p99_ms, l.p999_ms, l.max_ms].map(|ms| format!("{ms:.2}"));
            [
                vec![name.to_owned()],
                [sent, ok, errors, unsent].map(|n| n.to_string()).to_vec(),
                times.to_vec(),
            ]
            .concat()
        };
        for o in &self.operations {
            rows.push(line(&o.name, o.sent, o.ok, o.unsent, o.errors.values().sum(), &o.latency));
        }
        rows.push(line("all", self.sent, self.ok, self.unsent, self.errors.values().sum(), &self.latency));
        let mut text = aligned(&rows);
        let per_second = self.ok as f64 / self.lasted_s.max(f64::MIN_POSITIVE);
        text.push_str(&format!(
            "\n  {} arrivals in {:.1} s, seed {}; {per_second:.1} ok a second; latency from the intended start; \
             generator late by p99 {:.2} ms\n",
            self.planned, self.lasted_s, self.seed, self.lag.p99_ms
        ));
        for (kind, n) in &self.errors {
            text.push_str(&format!("  error: {kind}: {n}\n"));
        }
        text.push('\n');
        text.push_str(&self.timeline());
        text
    }

    fn timeline(&self) -> String {
        let mut shown: Vec<&Second> = self.seconds.iter().collect();
        let many = shown.len() > SECONDS_SHOWN_MAX;
        if many {
            // Worst first: what failed, then what was slow.
            shown.sort_by(|a, b| {
                (b.errors + b.unsent).cmp(&(a.errors + a.unsent)).then(b.p99_ms.total_cmp(&a.p99_ms))
            });
            shown.truncate(SECONDS_SHOWN_MAX);
            shown.sort_by_key(|second| second.at_s);
        }
        let mut rows = vec![row(["second", "ok", "errors", "unsent", "p50 ms", "p99 ms"])];
        rows.extend(shown.iter().map(|s| {
            let counts = [s.at_s, s.ok, s.errors, s.unsent].map(|n| n.to_string()).to_vec();
            [counts, [s.p50_ms, s.p99_ms].map(|ms| format!("{ms:.2}")).to_vec()].concat()
        }));
        let mut text = aligned(&rows);
        if many {
            text.push_str(&format!("  (the worst {SECONDS_SHOWN_MAX} of {} seconds)\n", self.seconds.len()));
        }
        text
    }
}
