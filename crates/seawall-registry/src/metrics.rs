//! What the registry counts.

use seawall_net::telemetry::{Counter, Gauge, Histogram, Scope};

/// Handles, made at start-up and kept.
#[derive(Clone)]
pub struct Metrics {
    /// Commands made durable.
    pub commands: Counter,
    /// Batches they went in; commands by batches is what group commit gains.
    pub batches: Counter,
    /// Snapshots written.
    pub snapshots: Counter,
    /// Heartbeats that renewed a lease and became no command.
    pub heartbeats: Counter,
    /// Checks that turned critical because nobody reported in time.
    pub expired: Counter,
    /// Services deregistered for having been critical too long.
    pub reaped: Counter,
    /// Answers evaluated and encoded.
    pub answers_made: Counter,
    /// Answers given again to others who asked the same.
    pub answers_shared: Counter,
    /// Clients waiting for a change.
    pub watchers: Gauge,
    /// Clients not let in to wait because too many do.
    pub watchers_refused: Counter,
    /// Service instances registered.
    pub instances: Gauge,
    /// From a proposal to its being durable and applied.
    pub propose_seconds: Histogram,
}

impl Metrics {
    /// The registry's metrics in `scope`.
    #[must_use]
    pub fn new(scope: &Scope) -> Metrics {
        Metrics {
            commands: scope.counter("commands", "Commands made durable"),
            batches: scope.counter("batches", "Batches in which commands were made durable"),
            snapshots: scope.counter("snapshots", "Snapshots of the whole state written"),
            heartbeats: scope.counter("heartbeats", "Heartbeats that changed nothing and were not logged"),
            expired: scope.counter("checks_expired", "TTL checks that were not heard from in time"),
            reaped: scope.counter("services_reaped", "Services deregistered after being critical too long"),
            answers_made: scope.counter("answers_made", "Answers evaluated and encoded"),
            answers_shared: scope.counter("answers_shared", "Answers taken from an earlier equal request"),
            watchers: scope.gauge("watchers", "Clients waiting for a change"),
            watchers_refused: scope.counter("watchers_refused", "Clients refused because too many wait"),
            instances: scope.gauge("instances", "Service instances registered"),
            propose_seconds: scope.seconds("propose_seconds", "Time until a change is durable and applied"),
        }
    }

    /// A batch of so many commands was ordered.
    pub fn batch(&self, commands: usize) {
        self.batches.inc();
        self.commands.inc_by(commands as u64);
    }
}
