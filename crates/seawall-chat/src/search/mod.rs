//! Search: an index of every message in guilds, fed by the change stream and made again when it is in doubt.
//!
//! The owner's process alone has it (`feed` says when); every other one asks there ([`remote`]). The index knows
//! only where messages are: which channels may be searched is decided before by whoever asks, and what is shown is
//! read from the store afterwards. So an index that is a moment behind shows nothing it should not, and one that is
//! lost costs only the time to make it again, in which callers are told to come back.
//!
//! ## Where to start reading
//!
//! [`Search::find`], then `index` (what is searched), `words` (what a word is), `feed` (how it follows).

mod document;
mod feed;
mod index;
pub mod limits;
mod query;
pub mod remote;
mod words;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use seawall_net::host::Host;
use seawall_net::tasks::Tasks;
use seawall_net::telemetry::Counter;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;

use self::feed::{Keeper, Metrics};
use self::index::Index;
use self::limits::{PATIENCE, SEARCHES_MAX};
use crate::owner::Client;
use crate::refusal::Refusal;
use crate::storage::Storage;

pub use self::query::{AuthorType, Has, Hit, Hits, Query, Sort};

/// What is left of search; whoever degrades the system decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Mode {
    /// All of it.
    #[default]
    Normal = 0,
    /// Callers are told to come back later, as while the index is built.
    Slow = 1,
    /// Callers are told that there is too much to do.
    Off = 2,
}

impl Mode {
    fn of(number: u8) -> Mode {
        match number {
            0 => Mode::Normal,
            1 => Mode::Slow,
            _ => Mode::Off,
        }
    }
}

/// The handle everybody uses, wherever the index is.
#[derive(Clone)]
pub struct Search(Arc<Shared>);

struct Shared {
    owner: Client,
    tasks: Tasks,
    /// The index, while this process has it and it is up to date.
    ready: watch::Receiver<Option<Arc<Index>>>,
    doubt: Arc<Notify>,
    mode: AtomicU8,
    places: Arc<Semaphore>,
    searches: Counter,
    refused: Counter,
}

impl Search {
    /// Starts what keeps the index in `<data>/chat/search` whenever this process owns the guilds.
    #[must_use]
    pub fn start(storage: Arc<Storage>, owner: Client, data: &Path, host: &Host) -> Search {
        let (ready, follow) = watch::channel(None);
        let doubt = Arc::new(Notify::new());
        let keeper = Keeper {
            storage,
            owner: owner.clone(),
            host: host.clone(),
            folder: data.join("chat").join("search"),
            ready,
            doubt: doubt.clone(),
            metrics: Metrics {
                builds: host.metrics.counter("search_builds", "Times the index was made of every message"),
                documents: host.metrics.gauge("search_messages", "Messages that can be found"),
            },
        };
        host.tasks.vital("chat-search", keeper.run());
        Search(Arc::new(Shared {
            owner,
            tasks: host.tasks.clone(),
            ready: follow,
            doubt,
            mode: AtomicU8::new(Mode::default() as u8),
            places: Arc::new(Semaphore::new(SEARCHES_MAX)),
            searches: host.metrics.counter("searches", "Searches in this process's index"),
            refused: host
                .metrics
                .counter("searches_refused", "Searches told to come back, for whatever reason"),
        }))
    }

    /// Sets what is left of search, from now on.
    pub fn set_mode(&self, mode: Mode) {
        self.0.mode.store(mode as u8, Ordering::Relaxed);
    }

    /// What is left of search.
    #[must_use]
    pub fn mode(&self) -> Mode {
        Mode::of(self.0.mode.load(Ordering::Relaxed))
    }

    /// Whether there is any use in asking. To be called first: a search that is shed costs next to nothing.
    ///
    /// # Errors
    /// There is none.
    pub fn admit(&self) -> Result<(), Refusal> {
        let refusal = match self.mode() {
            Mode::Normal => return Ok(()),
            Mode::Slow => Refusal::NotIndexed,
            Mode::Off => Refusal::Overloaded,
        };
        self.0.refused.inc();
        Err(refusal)
    }

    /// Finds messages, wherever the index is. What the caller may see is in the query.
    ///
    /// # Errors
    /// The index is not ready, or there is too much to do.
    pub async fn find(&self, query: Query) -> Result<Hits, Refusal> {
        if self.0.owner.is_owner() {
            return self.find_here(query).await;
        }
        self.admit()?;
        remote::find(&self.0.owner, &query).await
    }

    /// Finds messages in this process's index.
    async fn find_here(&self, query: Query) -> Result<Hits, Refusal> {
        self.admit()?;
        let found = self.search(query).await;
        match &found {
            Ok(_) => self.0.searches.inc(),
            Err(_) => self.0.refused.inc(),
        };
        found
    }

    async fn search(&self, query: Query) -> Result<Hits, Refusal> {
        let index = self.0.ready.borrow().clone().ok_or(Refusal::NotIndexed)?;
        let place = timeout(PATIENCE, self.0.places.clone().acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Err(Refusal::Overloaded) };
        let searching = self.0.tasks.blocking(move || {
            let _place = place;
            index.search(&query)
        });
        let error = match searching.await {
            Ok(Ok(hits)) => return Ok(hits),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        tracing::error!(error, "a search failed; the index is looked through");
        self.0.doubt.notify_one();
        Err(Refusal::NotIndexed)
    }

    /// How many messages can be found; `None` while this process has no index that is ready.
    #[must_use]
    pub fn messages(&self) -> Option<u64> {
        self.0.ready.borrow().as_ref().map(|index| index.documents())
    }

    fn owner(&self) -> &Client {
        &self.0.owner
    }
}
