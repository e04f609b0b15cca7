//! The systems this binary can run.

use std::sync::Arc;

use clap::ValueEnum;
use seawall_cluster::Deps;
use seawall_net::host::{Fault, Host, Running, chain};
use tokio::sync::watch;

use super::supervise::Shared;
use crate::config::Config;

/// A system, in the order the ready table shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum System {
    /// Service discovery and KV: Consul's API.
    Registry,
    /// The L7 balancer.
    Balancer,
    /// The URL shortener.
    Links,
    /// Chat: Discord's gateway and REST.
    Chat,
    /// The graph: objects and associations, over RESP and HTTP.
    Graph,
}

impl System {
    /// All of them.
    pub(crate) const ALL: [System; 5] =
        [System::Registry, System::Balancer, System::Links, System::Chat, System::Graph];

    /// In which order they are asked to stop.
    pub(super) const STOP_ORDER: &[&[System]] =
        &[&[System::Links, System::Chat, System::Graph], &[System::Balancer], &[System::Registry]];

    /// As on the command line, in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            System::Registry => "registry",
            System::Balancer => "balancer",
            System::Links => "links",
            System::Chat => "chat",
            System::Graph => "graph",
        }
    }

    /// Whether it keeps data of its own in the data folder.
    pub(super) fn keeps_files(self) -> bool {
        matches!(self, System::Registry | System::Links | System::Chat | System::Graph)
    }

    /// Where its own pages are.
    pub(crate) fn pages(self, config: &Config) -> std::net::SocketAddr {
        match self {
            System::Registry => config.registry.listen,
            System::Balancer => config.balancer.admin.listen,
            System::Links => config.links.listen,
            System::Chat => config.chat.listen,
            System::Graph => config.graph.listen,
        }
    }

    pub(super) async fn start(
        self,
        host: Host,
        shared: &Shared,
        live: watch::Receiver<Arc<Config>>,
    ) -> Result<Running, Fault> {
        let now = live.borrow().clone();
        match self {
            System::Registry => {
                let deps = deps(host, shared, live, |c| c.registry.clone());
                seawall_registry::start(now.registry.clone(), deps).await.map_err(|e| Fault::new(chain(&e)))
            }
            System::Balancer => {
                let deps = deps(host, shared, live, |c| c.balancer.clone());
                seawall_balancer::start(now.balancer.clone(), deps).await
            }
            System::Links => {
                let deps = deps(host, shared, live, |c| c.links.clone());
                seawall_links::start(now.links.clone(), deps).await
            }
            System::Chat => {
                let deps = deps(host, shared, live, |c| c.chat.clone());
                seawall_chat::start(now.chat.clone(), deps).await
            }
            System::Graph => {
                let deps = deps(host, shared, live, |c| c.graph.clone());
                seawall_graph::start(now.graph.clone(), deps).await
            }
        }
    }
}

/// A system's dependencies; it sees its own section of the live configuration only.
fn deps<C: PartialEq + Send + Sync + 'static>(
    host: Host,
    shared: &Shared,
    mut live: watch::Receiver<Arc<Config>>,
    section: impl Fn(&Config) -> C + Send + 'static,
) -> Deps<C> {
    let first = Arc::new(section(&live.borrow_and_update()));
    let (send, config) = watch::channel(first);
    host.tasks.vital("config", async move {
        while live.changed().await.is_ok() {
            let next = section(&live.borrow_and_update());
            send.send_if_modified(|now| {
                let changed = **now != next;
                if changed {
                    *now = Arc::new(next);
                }
                changed
            });
        }
    });
    Deps { host, files: shared.files.clone(), discovery: shared.discovery.clone(), config }
}
