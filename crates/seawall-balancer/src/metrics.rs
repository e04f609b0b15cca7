//! Everything this system counts. Labels come from the closed sets below, never from a route or a client.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use seawall_net::telemetry::{Counter, Family, Gauge, Histogram, Scope};
use seawall_policy::Outcome;

/// What the client got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Answer {
    /// A backend's answer below 500.
    Passed,
    /// A backend's own 5xx.
    Failed,
    /// A backend's answer that broke off.
    Broken,
    /// 404: no route.
    NoRoute,
    /// 405: TRACE.
    Refused,
    /// 429: its client asks this route too often.
    RateLimited,
    /// 503: all places of the route are taken.
    RouteFull,
    /// 503: nobody to ask.
    NoBackends,
    /// 502: no backend could be reached, or it broke off.
    BadGateway,
    /// 504: no backend answered in time.
    UpstreamTimeout,
    /// Nothing: the client left.
    Abandoned,
}

/// Why a request was sent a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Again {
    /// No connection.
    Connect,
    /// The connection broke before an answer.
    Broken,
    /// No answer in time.
    Timeout,
    /// 502, 503 or 504.
    Status,
}

/// How a try failed; the failures of [`Outcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Failure {
    Failed,
    Timeout,
    Unreachable,
    Overloaded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    outcome: Answer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AgainLabels {
    reason: Again,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    outcome: Failure,
}

/// Handles, made once per start.
#[derive(Clone)]
pub struct Metrics {
    passed: Counter,
    requests: Family<AnswerLabels, Counter>,
    retries: Family<AgainLabels, Counter>,
    failures: Family<FailureLabels, Counter>,
    /// Retries that would have been made had the pool been able to afford them.
    pub budget_exhausted: Counter,
    /// Backends left alone after a refused connection.
    pub ejections: Counter,
    /// Breakers that opened.
    pub breaker_trips: Counter,
    /// Pools whose health is being ignored.
    pub pools_in_panic: Gauge,
    /// Time from a try's begin to the head of its answer.
    pub upstream_seconds: Histogram,
    /// Requests whose line was not written.
    pub access_log_dropped: Counter,
}

impl Metrics {
    /// The metrics of this system.
    #[must_use]
    pub fn new(scope: &Scope) -> Metrics {
        let requests: Family<AnswerLabels, Counter> =
            scope.counters("requests", "Requests, by what the client got");
        let passed = requests.get_or_create(&AnswerLabels { outcome: Answer::Passed }).clone();
        Metrics {
            passed,
            requests,
            retries: scope
                .counters("retries", "Requests sent to a backend once more, by what went wrong before"),
            failures: scope.counters("backend_failures", "Tries that counted against a backend"),
            budget_exhausted: scope.counter(
                "retry_budget_exhausted",
                "Retries not made because their pool had spent its budget",
            ),
            ejections: scope
                .counter("ejections", "Backends left alone for a while after a refused connection"),
            breaker_trips: scope.counter("breaker_trips", "Backends whose breaker opened"),
            pools_in_panic: scope
                .gauge("pools_in_panic", "Pools with too few healthy backends, where health is ignored"),
            upstream_seconds: scope
                .seconds("upstream_seconds", "Time a backend took until the head of its answer"),
            access_log_dropped: scope.counter(
                "access_log_dropped",
                "Lines missing from the access log: its disk was too slow, or could not be written",
            ),
        }
    }

    /// Counts a request. The common case costs one atomic addition and no look-up.
    pub fn request(&self, outcome: Answer) {
        match outcome {
            Answer::Passed => self.passed.inc(),
            _ => self.requests.get_or_create(&AnswerLabels { outcome }).inc(),
        };
    }

    /// Counts a retry.
    pub fn retry(&self, reason: Again) {
        self.retries.get_or_create(&AgainLabels { reason }).inc();
    }

    /// Counts a try, if it failed.
    pub fn tried(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Success | Outcome::Abandoned => return,
            Outcome::Failed => Failure::Failed,
            Outcome::Timeout => Failure::Timeout,
            Outcome::Unreachable => Failure::Unreachable,
            Outcome::Overloaded => Failure::Overloaded,
        };
        self.failures.get_or_create(&FailureLabels { outcome }).inc();
    }
}
