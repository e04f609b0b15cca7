//! Counting the connections of a port, also those that have left HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// The connections of one port.
#[derive(Debug)]
pub(super) struct Connections {
    places: Semaphore,
    open: AtomicUsize,
}

impl Connections {
    pub(super) fn new(max: usize) -> Arc<Connections> {
        Arc::new(Connections { places: Semaphore::new(max), open: AtomicUsize::new(0) })
    }

    /// Waits for a place, to be given to [`Connected::new`].
    pub(super) async fn place(&self) -> SemaphorePermit<'_> {
        match self.places.acquire().await {
            Ok(place) => place,
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// Connections open now.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// One connection of a port: takes one of its `connections_max` places, and keeps its drain waiting, until dropped.
#[derive(Debug)]
pub struct Connected(Arc<Connections>);

impl Connected {
    pub(super) fn new(connections: &Arc<Connections>, place: SemaphorePermit<'_>) -> Connected {
        // One word instead of three: there may be a hundred thousand of these.
        place.forget();
        connections.open.fetch_add(1, Ordering::Relaxed);
        Connected(connections.clone())
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.places.add_permits(1);
    }
}
