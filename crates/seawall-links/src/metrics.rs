//! Everything this system counts. Labels come from the closed sets below.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use seawall_net::telemetry::{Counter, Family, Gauge, Histogram, Scope};

/// How a redirect was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Redirect {
    /// 302 from memory.
    Hit,
    /// 302 after a look at the store.
    Miss,
    /// 302 from memory although the store could not be asked.
    Stale,
    /// 404.
    NotFound,
    /// 410.
    Gone,
    /// 503.
    Unavailable,
}

/// How a create was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Create {
    /// A new link.
    Created,
    /// The link an earlier request with the same key had made.
    Replayed,
    /// A URL, alias or key that is not accepted, or an alias that is taken.
    Refused,
    /// The store could not.
    Unavailable,
}

impl EncodeLabelValue for Redirect {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        let label = match self {
            Redirect::Hit => "hit",
            Redirect::Miss => "miss",
            Redirect::Stale => "stale",
            Redirect::NotFound => "not_found",
            Redirect::Gone => "gone",
            Redirect::Unavailable => "unavailable",
        };
        label.encode(encoder)
    }
}

impl EncodeLabelValue for Create {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        let label = match self {
            Create::Created => "created",
            Create::Replayed => "replayed",
            Create::Refused => "refused",
            Create::Unavailable => "unavailable",
        };
        label.encode(encoder)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RedirectLabels {
    outcome: Redirect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CreateLabels {
    outcome: Create,
}

/// Handles, made once per start.
#[derive(Clone)]
pub struct Metrics {
    hit: Counter,
    redirects: Family<RedirectLabels, Counter>,
    creates: Family<CreateLabels, Counter>,
    /// Links held in memory.
    pub cache_entries: Gauge,
    /// Blocks of ids leased.
    pub block_leases: Counter,
    /// Seconds a read from the store took.
    pub store_read_seconds: Histogram,
    /// Seconds a write to the store took.
    pub store_write_seconds: Histogram,
}

impl Metrics {
    /// The metrics of this system.
    #[must_use]
    pub fn new(scope: &Scope) -> Metrics {
        let redirects: Family<RedirectLabels, Counter> =
            scope.counters("redirects", "GET requests for a short link, by how they were answered");
        let hit = redirects.get_or_create(&RedirectLabels { outcome: Redirect::Hit }).clone();
        Metrics {
            hit,
            redirects,
            creates: scope.counters("creates", "Requests to shorten, by how they were answered"),
            cache_entries: scope.gauge("cache_entries", "Links held in memory"),
            block_leases: scope.counter("block_leases", "Blocks of ids leased from the store"),
            store_read_seconds: scope.seconds("store_read_seconds", "Time a read from the store took"),
            store_write_seconds: scope.seconds("store_write_seconds", "Time a write to the store took"),
        }
    }

    /// Counts a redirect. A hit, by far the most common, costs one atomic addition and no look-up.
    pub fn redirect(&self, outcome: Redirect) {
        match outcome {
            Redirect::Hit => self.hit.inc(),
            _ => self.redirects.get_or_create(&RedirectLabels { outcome }).inc(),
        };
    }

    /// Counts a create.
    pub fn create(&self, outcome: Create) {
        self.creates.get_or_create(&CreateLabels { outcome }).inc();
    }
}
