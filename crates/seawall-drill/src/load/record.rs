//! What came of each arrival, while the load runs. Owned by the one loop that sends, so there is no lock.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hdrhistogram::Histogram;
use seawall_policy::Mono;

use super::report::{BIN, Bin, Latency, OperationReport, Report, Second};
use super::{Failure, Operation};

/// Longest latency told apart; a longer one counts as this.
const LATENCY_MAX: Duration = Duration::from_secs(300);

/// Seconds whose percentiles are still open: an answer later than that counts into the oldest open second. Ten
/// times the deadlines drills use; it keeps a day of load in a few megabytes.
const OPEN_SECONDS_MAX: usize = 64;

pub(super) struct Record {
    began: Mono,
    planned: u64,
    sent: u64,
    ok: u64,
    unsent: u64,
    lost: u64,
    latency: Histogram<u64>,
    lag: Histogram<u64>,
    operations: Vec<OfOperation>,
    bins: Vec<Bin>,
    closed: Vec<Second>,
    open: VecDeque<OpenSecond>,
}

struct OfOperation {
    name: &'static str,
    sent: u64,
    ok: u64,
    unsent: u64,
    errors: BTreeMap<String, u64>,
    latency: Histogram<u64>,
}

struct OpenSecond {
    ok: u64,
    errors: u64,
    unsent: u64,
    latency: Histogram<u64>,
}

impl Record {
    pub(super) fn new(operations: &[Operation], began: Mono) -> Record {
        let operations = operations
            .iter()
            .map(|operation| OfOperation {
                name: operation.name,
                sent: 0,
                ok: 0,
                unsent: 0,
                errors: BTreeMap::new(),
                latency: histogram(3),
            })
            .collect();
        Record {
            began,
            planned: 0,
            sent: 0,
            ok: 0,
            unsent: 0,
            lost: 0,
            latency: histogram(3),
            lag: histogram(3),
            operations,
            bins: Vec::new(),
            closed: Vec::new(),
            open: VecDeque::new(),
        }
    }

    /// A request left, `lag` after it should have.
    pub(super) fn sent(&mut self, operation: usize, lag: Duration) {
        self.planned += 1;
        self.sent += 1;
        self.operations[operation].sent += 1;
        self.lag.saturating_record(micros(lag));
    }

    /// An arrival found no place.
    pub(super) fn unsent(&mut self, operation: usize, intended: Mono) {
        self.planned += 1;
        self.unsent += 1;
        self.operations[operation].unsent += 1;
        let at = intended.since(self.began);
        self.bin(at).bad += 1;
        self.second(at).unsent += 1;
    }

    /// A request was answered or given up. Failures have a latency too: it is how long their user waited.
    pub(super) fn done(
        &mut self,
        operation: usize,
        intended: Mono,
        ended: Mono,
        outcome: Result<(), Failure>,
    ) {
        let at = intended.since(self.began);
        let latency = micros(ended.since(intended));
        self.latency.saturating_record(latency);
        self.second(at).latency.saturating_record(latency);
        let of = &mut self.operations[operation];
        of.latency.saturating_record(latency);
        match outcome {
            Ok(()) => {
                of.ok += 1;
                self.ok += 1;
                self.bin(at).ok += 1;
                self.second(at).ok += 1;
            }
            Err(failure) => {
                *of.errors.entry(failure.kind()).or_default() += 1;
                self.bin(at).bad += 1;
                self.second(at).errors += 1;
            }
        }
    }

    /// A call whose fate is unknown because our own workload panicked.
    pub(super) fn lost(&mut self) {
        self.lost += 1;
    }

    fn bin(&mut self, at: Duration) -> &mut Bin {
        let index = (at.as_nanos() / BIN.as_nanos()) as usize;
        if self.bins.len() <= index {
            self.bins.resize(index + 1, Bin::default());
        }
        &mut self.bins[index]
    }

    fn second(&mut self, at: Duration) -> &mut OpenSecond {
        let wanted = at.as_secs() as usize;
        while self.closed.len() + self.open.len() <= wanted {
            if self.open.len() == OPEN_SECONDS_MAX
                && let Some(oldest) = self.open.pop_front()
            {
                self.closed.push(oldest.close(self.closed.len()));
            }
            self.open.push_back(OpenSecond { ok: 0, errors: 0, unsent: 0, latency: histogram(2) });
        }
        &mut self.open[wanted.saturating_sub(self.closed.len())]
    }

    pub(super) fn report(mut self, seed: u64, ended: Mono) -> Report {
        while let Some(oldest) = self.open.pop_front() {
            self.closed.push(oldest.close(self.closed.len()));
        }
        let mut errors = BTreeMap::new();
        for of in &self.operations {
            for (kind, n) in &of.errors {
                *errors.entry(kind.clone()).or_default() += n;
            }
        }
        if self.lost > 0 {
            errors.insert("workload panicked".to_owned(), self.lost);
        }
        let operations = self.operations.into_iter().map(|of| OperationReport {
            name: of.name.to_owned(),
            sent: of.sent,
            ok: of.ok,
            unsent: of.unsent,
            errors: of.errors,
            latency: Latency::of(&of.latency),
        });
        Report {
            seed,
            lasted_s: ended.since(self.began).as_secs_f64(),
            planned: self.planned,
            sent: self.sent,
            ok: self.ok,
            unsent: self.unsent,
            errors,
            latency: Latency::of(&self.latency),
            lag: Latency::of(&self.lag),
            operations: operations.collect(),
            seconds: self.closed,
            began: self.began,
            bins: self.bins,
        }
    }
}

impl OpenSecond {
    fn close(self, at: usize) -> Second {
        Second {
            at_s: at as u64,
            ok: self.ok,
            errors: self.errors,
            unsent: self.unsent,
            p50_ms: millis(self.latency.value_at_quantile(0.5)),
            p99_ms: millis(self.latency.value_at_quantile(0.99)),
        }
    }
}

fn histogram(digits: u8) -> Histogram<u64> {
    let Ok(histogram) = Histogram::new_with_bounds(1, micros(LATENCY_MAX), digits) else {
        unreachable!("1 µs to five minutes with two or three digits is a valid range")
    };
    histogram
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arrival_is_counted_once_and_at_its_intended_second() {
        let mut record = Record::new(&[Operation { name: "get", weight: 1 }], Mono(0));
        let at = |ms| Mono(0) + Duration::from_millis(ms);
        record.sent(0, Duration::ZERO);
        record.done(0, at(100), at(2_100), Ok(()));
        record.sent(0, Duration::ZERO);
        record.done(0, at(1_500), at(1_510), Err(Failure::Status(503)));
        record.unsent(0, at(1_600));
        let report = record.report(1, at(3_000));
        assert_eq!((report.planned, report.sent, report.ok, report.unsent), (3, 2, 1, 1));
        assert_eq!(report.errors["status 503"], 1);
        let seconds: Vec<_> = report.seconds.iter().map(|s| (s.ok, s.errors, s.unsent)).collect();
        assert_eq!(seconds, [(1, 0, 0), (0, 1, 1)]);
        assert!(report.seconds[0].p99_ms > 1_900.0);
        assert_eq!((report.bins[1], report.bins[15]), (Bin { ok: 1, bad: 0 }, Bin { ok: 0, bad: 1 }));
    }

    #[test]
    fn a_day_of_load_keeps_few_histograms_open() {
        let mut record = Record::new(&[Operation { name: "get", weight: 1 }], Mono(0));
        for s in 0..86_400 {
            record.unsent(0, Mono(0) + Duration::from_secs(s));
        }
        assert!(record.open.len() <= OPEN_SECONDS_MAX);
        assert_eq!(record.report(0, Mono(0)).seconds.len(), 86_400);
    }
}
