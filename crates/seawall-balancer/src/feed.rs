//! Keeps the table up to date: rebuilds it whenever the configuration or the registry's answers change.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use seawall_cluster::{Discovery, Freshness, Snapshot};
use seawall_net::host::Host;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::config::Config;
use crate::exchange::Balancer;
use crate::table::{Known, Table};

/// Least time between two tables: a service of a thousand instances that restarts is a thousand changes.
const PACE: Duration = Duration::from_millis(10);
/// Longest wait for a first word on a service. A registry on the same network answers within milliseconds; without one
/// the start goes on.
const FIRST_WORD_MAX: Duration = Duration::from_millis(250);

/// What the table is built from.
pub(crate) struct Feed {
    discovery: Discovery,
    changes: watch::Receiver<Arc<Config>>,
    config: Arc<Config>,
    host: Host,
    known: Known,
    services: BTreeMap<String, watch::Receiver<Snapshot>>,
}

impl Feed {
    pub(crate) fn new(
        discovery: Discovery,
        changes: watch::Receiver<Arc<Config>>,
        config: Arc<Config>,
        host: &Host,
    ) -> Feed {
        let (host, known) = (host.clone(), Known::new().seeded(host.seed));
        Feed { discovery, changes, config, host, known, services: BTreeMap::new() }
    }

    /// The first table. Whoever is queued at the socket while the balancer starts again should not be refused because
    /// nothing has been heard yet of a service that is well.
    pub(crate) async fn first_table(&mut self) -> Table {
        drop(self.table());
        let first_words = async {
            while self.services.values().any(|s| s.borrow().freshness == Freshness::Unknown) {
                any_changed(&mut self.services).await;
            }
        };
        drop(timeout(FIRST_WORD_MAX, first_words).await);
        self.table()
    }

    /// The table of this moment.
    fn table(&mut self) -> Table {
        let named: Vec<&String> = self.config.route.iter().filter_map(|r| r.service.as_ref()).collect();
        self.services.retain(|name, _| named.contains(&name));
        for name in named {
            let receiver = self.services.entry(name.clone()).or_insert_with(|| self.discovery.watch(name));
            let snapshot = receiver.borrow_and_update();
            self.known.told(name, &snapshot);
        }
        self.known.table(&self.config, self.host.clock.now())
    }

    pub(crate) async fn run(mut self, balancer: Arc<Balancer>, rebuilt: Arc<Notify>) {
        let tasks = self.host.tasks.clone();
        loop {
            tokio::select! {
                Ok(()) = self.changes.changed() => {
                    self.config = self.changes.borrow_and_update().clone();
                    tracing::info!(routes = self.config.route.len(), "routes replaced");
                }
                () = any_changed(&mut self.services) => {}
                _ = tasks.stopping() => return,
            }
            balancer.replace(self.table());
            rebuilt.notify_one();
            if !tasks.sleep(PACE).await {
                return;
            }
        }
    }
}

/// Returns when any of the services has a new list. One whose watcher has ended has its last list for good.
async fn any_changed(services: &mut BTreeMap<String, watch::Receiver<Snapshot>>) {
    type Change<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;
    let mut waiting: Vec<Change<'_>> =
        services.values_mut().map(|s| Box::pin(async { s.changed().await.is_ok() }) as Change<'_>).collect();
    poll_fn(|cx| {
        let mut changed = false;
        waiting.retain_mut(|one| match one.as_mut().poll(cx) {
            Poll::Ready(news) => {
                changed |= news;
                false
            }
            Poll::Pending => true,
        });
        if changed { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
