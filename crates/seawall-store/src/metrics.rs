//! What the store counts, for all files of the process together.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Handles to everything the store counts. Clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Transactions committed for callers: `batches` divided by this is what group commit saves.
    pub commits: Counter,
    /// Batches committed, repeats not included.
    pub batches: Counter,
    /// Batches answered from their idempotency key.
    pub repeats: Counter,
    /// Batches rejected, for whatever reason.
    pub rejected: Counter,
    /// Batches whose fate is unknown because the disk failed in the middle of a commit.
    pub unknown: Counter,
    /// Times a lock was held by another process and had to be asked for again.
    pub lock_waits: Counter,
    /// Reads answered.
    pub reads: Counter,
    /// Reads that failed.
    pub read_failures: Counter,
    /// Rows deleted because they had outlived their use.
    pub expired_rows: Counter,
    /// Batches per group.
    pub group_batches: Histogram,
    /// Seconds from the begin of a group's transaction until it is on disk.
    pub commit_seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        Metrics {
            commits: Counter::default(),
            batches: Counter::default(),
            repeats: Counter::default(),
            rejected: Counter::default(),
            unknown: Counter::default(),
            lock_waits: Counter::default(),
            reads: Counter::default(),
            read_failures: Counter::default(),
            expired_rows: Counter::default(),
            group_batches: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]),
            commit_seconds: Histogram::new([
                0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0,
            ]),
        }
    }

    /// Puts all of them into a registry under `seawall_store_…`.
    pub fn register(&self, registry: &mut Registry) {
        let counters = [
            ("commits", "Transactions committed for callers", &self.commits),
            ("batches", "Batches committed", &self.batches),
            ("repeats", "Batches answered from their idempotency key", &self.repeats),
            ("rejected", "Batches rejected", &self.rejected),
            ("unknown", "Batches whose fate is unknown", &self.unknown),
            ("lock_waits", "Times another process held the lock", &self.lock_waits),
            ("reads", "Reads answered", &self.reads),
            ("read_failures", "Reads that failed", &self.read_failures),
            ("expired_rows", "Rows deleted because they had outlived their use", &self.expired_rows),
        ];
        for (name, help, counter) in counters {
            registry.register(format!("seawall_store_{name}"), help, counter.clone());
        }
        registry.register("seawall_store_group_batches", "Batches per group", self.group_batches.clone());
        registry.register(
            "seawall_store_commit_seconds",
            "From the begin of a group's transaction until it is on disk",
            self.commit_seconds.clone(),
        );
    }
}
