//! What every system, and any program beside them, uses to find the others: who offers a service, and what to
//! assume when nobody can say.
//!
//! Start reading at [`discovery`]; [`pool`] is for calling what it found. [`lease`] says which of several processes
//! speaks for something. [`Deps`] is what a system's `start` is given.

pub mod discovery;
pub mod lease;
pub mod pool;

use std::sync::Arc;

use seawall_net::host::Host;
use tokio::sync::watch;

pub use discovery::{Discovery, Freshness, Instance, Registration, Settings, Snapshot};

/// Everything one start of a system is given besides its configuration.
pub struct Deps<C> {
    /// Clock, sockets, metrics, tasks.
    pub host: Host,
    /// Where bytes are kept; owned by the process.
    pub files: seawall_store::Files,
    /// How to find the others.
    pub discovery: Settings,
    /// Changes of this system's configuration while it runs; already checked.
    pub config: watch::Receiver<Arc<C>>,
}
