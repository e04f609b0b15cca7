//! The gateway: sessions that outlive connections, and this process.
//!
//! ```text
//! news of the owner ─ sequencer ─ entries ─┬─ journal (on disk before anything is sent)
//!                        │ applied to      └─ ring ─ fold of each session ─ link ─ socket
//!                        ▼                              ▲
//!                     replica (guilds)              conn: what the client says
//! ```
//!
//! ## Where to start reading
//!
//! [`entry`] and [`fold`]: what is dispatched, and who hears it. [`hub`] puts entries in order; `sequencer` makes them
//! of news, `flush` sends them, `conn` is one connection, `identify`, `resume` and `adopt` are the three ways to a session.

pub mod acks;
mod adopt;
mod compress;
mod conn;
pub mod entry;
mod flush;
pub mod fold;
pub mod frame;
pub mod hub;
mod identify;
mod inbox;
pub mod journal;
mod link;
mod members;
mod overlong;
mod payload;
mod presence;
mod ready;
mod replica;
mod resume;
pub mod ring;
#[cfg(test)]
mod scene;
mod sequencer;
mod session;
mod sweep;
#[cfg(test)]
mod tests;
pub mod view;
mod views;
mod wire;

use std::sync::Arc;

use seawall_net::host::Host;
use seawall_policy::Rng;
use seawall_store::Position;

pub use conn::Params;
pub use hub::{Hub, Parts};
pub use inbox::Calm;
pub use replica::{Replica, Shared};

/// Starts what keeps the gateway going: the sequencer, reports of presences, and who looks after sessions.
pub fn start(hub: &Arc<Hub>, from: &[Position], host: &Host) {
    let news = hub.owner.subscribe(hub.gateway.clone(), from.to_vec());
    host.tasks.vital("chat-sequencer", hub.clone().sequence(news));
    host.tasks.vital("chat-gateway-presences", hub.clone().report(Rng::new(host.seed)));
    host.tasks.vital("chat-sessions", hub.clone().look_after());
    host.tasks.vital("chat-drain", hub.clone().drain());
}
