//! A TCP proxy on loopback that makes a connection as bad as asked.
//!
//! Put it between two parties that are told its address instead of the other's, then set faults ([`Toxic`]) while
//! they talk: every fault applies to connections already open as well as to new ones. Jitter is seeded.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use seawall_policy::{Clock, Rng};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::pump::{self, Effects};
use super::toxic::{Effect, Stream, Toxic};

/// Connections at a time; more wait in the kernel's queue until one ends.
const CONNECTIONS_MAX: usize = 1_024;

/// A running proxy. Dropping it closes the listener and every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    effects: watch::Sender<Effects>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and connects each client to `server`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(server: SocketAddr, seed: u64, clock: Arc<dyn Clock>) -> io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (effects, watching) = watch::channel(Effects::default());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, server, watching, Rng::new(seed), clock));
        Ok(Proxy { address, effects, _accepting: accepting })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets one fault on one stream, from now on and on every connection.
    pub fn set(&self, stream: Stream, toxic: Toxic) {
        tracing::info!(?stream, ?toxic, "fault set");
        self.effects.send_modify(|effects| effects.of(stream).set(toxic));
    }

    /// Removes every fault of one stream.
    pub fn clear(&self, stream: Stream) {
        tracing::info!(?stream, "faults cleared");
        self.effects.send_modify(|effects| *effects.of(stream) = Effect::default());
    }

    /// Removes every fault.
    pub fn clear_all(&self) {
        self.clear(Stream::Up);
        self.clear(Stream::Down);
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    effects: watch::Receiver<Effects>,
    mut rng: Rng,
    clock: Arc<dyn Clock>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let client = match accepted {
            Ok((client, _)) => client,
            Err(error) => {
                // Out of descriptors, most likely. Accepting again at once would spin.
                tracing::warn!(%error, "proxy cannot accept");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
        };
        let (effects, clock, mut rng) = (effects.clone(), clock.clone(), Rng::new(rng.next_u64()));
        connections.spawn(async move {
            match TcpStream::connect(server).await {
                Ok(server) => pump::connection(client, server, effects, clock, &mut rng).await,
                // The nearest thing to a refused connection once it is accepted.
                Err(_) => pump::reset(&client),
            }
        });
    }
}
