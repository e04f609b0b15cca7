//! Metrics: handles made at start-up and kept, so that counting costs one atomic addition.
//!
//! A [`Scope`] belongs to one system and outlives its restarts: asking again for a metric of the same name
//! gives the same handle, so a restarted system goes on counting where it was.
//! Names are `seawall_<system>_<what>_<unit>`; the scope supplies the first two parts.

use std::any::Any;
use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::family::Family;
pub use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Metric;
pub use prometheus_client::registry::Registry;

/// Seconds; the thresholds of the documents' own targets (0.05, 0.1, 0.2, 0.5) are bucket edges.
pub const LATENCY_BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0];

/// The metrics of one system.
#[derive(Clone)]
pub struct Scope(Arc<Mutex<Inner>>);

struct Inner {
    registry: Registry,
    /// Registries of what the process owns and several systems use, shown on each of their pages.
    shared: Vec<Registry>,
    known: HashMap<String, Box<dyn Any + Send>>,
}

impl Scope {
    /// Metrics named `seawall_<system>_…`.
    #[must_use]
    pub fn new(system: &str) -> Scope {
        let registry = Registry::with_prefix(format!("seawall_{system}"));
        Scope(Arc::new(Mutex::new(Inner { registry, shared: Vec::new(), known: HashMap::new() })))
    }

    /// A counter; the exposition adds `_total`.
    #[must_use]
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.metric(name, help, Counter::default)
    }

    /// A gauge.
    #[must_use]
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.metric(name, help, Gauge::default)
    }

    /// A histogram of seconds, with [`LATENCY_BUCKETS`].
    #[must_use]
    pub fn seconds(&self, name: &str, help: &str) -> Histogram {
        self.metric(name, help, || Histogram::new(LATENCY_BUCKETS))
    }

    /// Counters by label. Labels come from closed sets: never an id, a path, or anything a client sends.
    #[must_use]
    pub fn counters<L>(&self, name: &str, help: &str) -> Family<L, Counter>
    where
        L: EncodeLabelSet + Clone + Hash + Eq + Debug + Send + Sync + 'static,
    {
        self.metric(name, help, Family::default)
    }

    /// Gauges by label; see [`Scope::counters`].
    #[must_use]
    pub fn gauges<L>(&self, name: &str, help: &str) -> Family<L, Gauge>
    where
        L: EncodeLabelSet + Clone + Hash + Eq + Debug + Send + Sync + 'static,
    {
        self.metric(name, help, Family::default)
    }

    /// The metric `name`, made by `make` the first time it is asked for.
    ///
    /// # Panics
    /// When the name was used before for another type: our own bug, seen in the first test.
    pub fn metric<M: Metric + Clone>(&self, name: &str, help: &str, make: impl FnOnce() -> M) -> M {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = inner.known.get(name) {
            match known.downcast_ref::<M>() {
                Some(metric) => return metric.clone(),
                None => panic!("metric {name} was registered with another type"),
            }
        }
        let metric = make();
        // prometheus-client ends every help text with a full stop of its own.
        inner.registry.register(name, help.trim_end_matches('.'), metric.clone());
        inner.known.insert(name.to_owned(), Box::new(metric.clone()));
        metric
    }

    /// Shows another registry, with names of its own, on this system's page.
    pub fn show(&self, registry: Registry) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).shared.push(registry);
    }

    /// All metrics as OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let mut all = std::iter::once(&inner.registry).chain(&inner.shared);
        let written = all.try_for_each(|r| encode_registry(&mut text, r));
        match written.and_then(|()| encode_eof(&mut text)) {
            Ok(()) => text,
            // Only a metric's own encoder can fail, and then half a page would mislead.
            Err(_) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_system_goes_on_counting() {
        let scope = Scope::new("links");
        scope.counter("redirects", "Redirects answered.").inc();
        scope.counter("redirects", "Redirects answered.").inc();
        let text = scope.encode();
        assert!(text.contains("seawall_links_redirects_total 2"), "{text}");
        assert!(text.contains("# HELP seawall_links_redirects Redirects answered.\n"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn what_the_process_owns_is_shown_under_its_own_name() {
        let scope = Scope::new("links");
        let mut store = Registry::with_prefix("seawall_store");
        store.register("commits", "Transactions", Counter::<u64>::default());
        scope.show(store);
        let text = scope.encode();
        assert!(text.contains("seawall_store_commits_total 0"), "{text}");
        assert_eq!(text.matches("# EOF").count(), 1);
    }
}
