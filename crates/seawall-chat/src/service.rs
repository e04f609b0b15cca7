//! The parts of a chat process, put together: storage, the owner's client, the gateway.

use std::net::SocketAddr;
use std::sync::Arc;

use seawall_net::host::{Fault, Host};
use seawall_store::{Files, Position};

use crate::config::Config;
use crate::degrade::Ladder;
use crate::gateway::{self, Calm, Hub, Parts, Replica};
use crate::metrics::Metrics;
use crate::owner::limits::Limits;
use crate::owner::{self, Client};
use crate::search::Search;
use crate::storage::Storage;

/// What every call may use.
pub(crate) struct Service {
    pub(crate) storage: Arc<Storage>,
    pub(crate) owner: Client,
    pub(crate) hub: Arc<Hub>,
    pub(crate) replica: Arc<Replica>,
    pub(crate) search: Search,
    pub(crate) ladder: Ladder,
}

impl Service {
    /// Opens the store, finds who decides, and starts the gateway from where each shard stands.
    ///
    /// # Errors
    /// One of these cannot be opened; the fault says what to do.
    pub(crate) async fn open(
        config: &Config,
        host: &Host,
        files: Files,
        listens: SocketAddr,
        calm: Calm,
    ) -> Result<Service, Fault> {
        let data = files.folder().to_owned();
        let storage = Storage::open(files, config.shards, host).await?;
        let owner = owner::start(storage.clone(), Limits::default(), host, listens).await?;
        let mut reached: Vec<Position> = Vec::new();
        for shard in 0..storage.shards() {
            let at = storage.position(shard).await;
            reached.push(at.map_err(|e| Fault::because("the chat cannot be read; is its file locked?", e))?);
        }
        let ladder = calm.ladder.clone();
        let search = Search::start(storage.clone(), owner.clone(), &data, host);
        let parts = Parts {
            config: config.clone(),
            url: config.gateway_url(listens),
            data,
            storage: storage.clone(),
            owner: owner.clone(),
            reached: reached.clone().into(),
            metrics: Metrics::new(&host.metrics),
            calm,
        };
        let hub = Hub::new(parts, host)?;
        gateway::start(&hub, &reached, host);
        Ok(Service { storage, owner, replica: hub.replica.clone(), search, ladder, hub })
    }
}
