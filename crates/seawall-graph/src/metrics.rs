//! Everything this system counts. Labels come from the closed sets below, and from the numbers of databases.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::gauge;
use seawall_net::telemetry::{Counter, Family, Gauge, Histogram, Scope};

use crate::cache::Usage;
use crate::call::Refusal;
use crate::message::Changeset;

/// Which memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Where every call enters.
    Follower,
    /// What the follower asks.
    Leader,
}

/// What became of a question to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fills {
    /// It was answered.
    Answered,
    /// It failed, or took too long.
    Failed,
    /// It was not asked: its breaker is open, or too many wait.
    Refused,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// Done.
    Done,
    /// Done before, by a request with the same idempotency key.
    Again,
    /// Not done for a reason of the caller's: no such object, another version.
    Refused,
    /// Not done: the shard takes no writes or is busy, or another process leads.
    Unavailable,
    /// Perhaps done.
    Unknown,
}

impl Memory {
    fn name(self) -> &'static str {
        match self {
            Memory::Follower => "follower",
            Memory::Leader => "leader",
        }
    }
}

impl Fills {
    fn name(self) -> &'static str {
        match self {
            Fills::Answered => "answered",
            Fills::Failed => "failed",
            Fills::Refused => "refused",
        }
    }
}

impl Writes {
    fn name(self) -> &'static str {
        match self {
            Writes::Done => "done",
            Writes::Again => "again",
            Writes::Refused => "refused",
            Writes::Unavailable => "unavailable",
            Writes::Unknown => "unknown",
        }
    }

    /// How an answer counts.
    #[must_use]
    pub fn of(answer: &Result<Changeset, Refusal>) -> Writes {
        match answer {
            Ok(set) if set.again => Writes::Again,
            Ok(_) => Writes::Done,
            Err(Refusal::Unknown) => Writes::Unknown,
            Err(
                Refusal::Invalid(_)
                | Refusal::NoObject(_)
                | Refusal::OtherType(_)
                | Refusal::Changed { .. }
                | Refusal::Used(_)
                | Refusal::KeyReused,
            ) => Writes::Refused,
            Err(_) => Writes::Unavailable,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cache {
    cache: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Shard {
    shard: u32,
}

/// A gauge of seconds.
type Seconds = gauge::Gauge<f64, AtomicU64>;

/// Handles, made once per start.
#[derive(Clone)]
pub struct Metrics {
    fills: Family<Outcome, Counter>,
    writes: Family<Outcome, Counter>,
    hits: Family<Cache, Counter>,
    misses: Family<Cache, Counter>,
    evicted: Family<Cache, Counter>,
    items: Family<Cache, Gauge>,
    bytes: Family<Cache, Gauge>,
    ladder_level: Family<Shard, Gauge>,
    follower_lag: Family<Shard, Gauge>,
    follower_lag_seconds: Family<Shard, Seconds>,
    /// Answers that may be old because a shard could not be asked.
    pub stale_answers: Counter,
    /// Writes between two databases that were interrupted and completed by the repair scan.
    pub links_repaired: Counter,
    /// Whether this process leads: 1 or 0.
    pub leads: Gauge,
    /// Times this process began to lead.
    pub reigns: Counter,
    /// Seconds a read from the store took.
    pub store_read_seconds: Histogram,
    /// Seconds a write to the store took.
    pub store_write_seconds: Histogram,
}

impl Metrics {
    /// The metrics of this system.
    #[must_use]
    pub fn new(scope: &Scope) -> Metrics {
        Metrics {
            fills: scope.counters("fills", "Questions of the leader to the store, by what became of them"),
            writes: scope.counters("writes", "Writes, by what became of them"),
            hits: scope.counters("cache_hits", "Look-ups that memory answered"),
            misses: scope.counters("cache_misses", "Look-ups that memory could not answer"),
            evicted: scope.counters("cache_evicted", "Entries that had to make room"),
            items: scope.gauges("cache_items", "Objects and lists in memory"),
            bytes: scope.gauges("cache_bytes", "Bytes of memory they take, with everything around them"),
            ladder_level: scope.gauges("ladder_level", "Level of degradation of a database; 0 is none"),
            follower_lag: scope
                .gauges("follower_lag", "Changes of a database the follower has not heard of yet"),
            follower_lag_seconds: scope.metric(
                "follower_lag_seconds",
                "How long ago the follower last knew all changes of a database; 0 while it does",
                Family::default,
            ),
            stale_answers: scope
                .counter("stale_answers", "Answers that may be old because a shard could not be asked"),
            links_repaired: scope.counter(
                "links_repaired",
                "Writes between two databases that were interrupted and completed by the repair scan",
            ),
            leads: scope.gauge("leads", "Whether this process leads: 1 or 0"),
            reigns: scope.counter("reigns", "Times this process began to lead"),
            store_read_seconds: scope.seconds("store_read_seconds", "Time a read from the store took"),
            store_write_seconds: scope.seconds("store_write_seconds", "Time a write to the store took"),
        }
    }

    /// Counts a question to the store.
    pub fn fill(&self, outcome: Fills) {
        self.fills.get_or_create(&Outcome { outcome: outcome.name() }).inc();
    }

    /// Counts a write.
    pub fn write(&self, outcome: Writes) {
        self.writes.get_or_create(&Outcome { outcome: outcome.name() }).inc();
    }

    /// Shows how a memory is used. Its counters go on from what was shown before.
    pub fn usage(&self, memory: Memory, usage: Usage) {
        let cache = Cache { cache: memory.name() };
        let counters =
            [(&self.hits, usage.hits), (&self.misses, usage.misses), (&self.evicted, usage.evicted)];
        for (family, now) in counters {
            let counter = family.get_or_create(&cache);
            counter.inc_by(now.saturating_sub(counter.get()));
        }
        self.items.get_or_create(&cache).set(i64::try_from(usage.items).unwrap_or(i64::MAX));
        self.bytes.get_or_create(&cache).set(i64::try_from(usage.bytes).unwrap_or(i64::MAX));
    }

    /// Shows the level of a database.
    pub fn level(&self, shard: u32, level: u8) {
        self.ladder_level.get_or_create(&Shard { shard }).set(i64::from(level));
    }

    /// Shows how far behind the follower is.
    pub fn lag(&self, shard: u32, changes: u64, time: Duration) {
        self.follower_lag.get_or_create(&Shard { shard }).set(i64::try_from(changes).unwrap_or(i64::MAX));
        self.follower_lag_seconds.get_or_create(&Shard { shard }).set(time.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_a_memory_only_rise() {
        let scope = Scope::new("graph");
        let metrics = Metrics::new(&scope);
        let usage = |hits| Usage { items: 3, bytes: 300, hits, misses: 1, evicted: 0 };
        metrics.usage(Memory::Follower, usage(5));
        metrics.usage(Memory::Follower, usage(9));
        let text = scope.encode();
        assert!(text.contains(r#"seawall_graph_cache_hits_total{cache="follower"} 9"#), "{text}");
        assert!(text.contains(r#"seawall_graph_cache_items{cache="follower"} 3"#), "{text}");
    }
}
