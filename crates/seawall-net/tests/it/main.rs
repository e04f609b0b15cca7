//! The engine over real sockets, spoken to in bytes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod admission;
mod client;
mod forward;
mod frames;
mod host;
mod resp;
mod server;
mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use http::StatusCode;
use seawall_net::admission::Admission;
use seawall_net::clock::SystemClock;
use seawall_net::exchange::{Exchange, Finish, Head, Next, Out, Step, Upstream};
use seawall_net::host::{Drained, End, Host, Life, Plants, State};
use seawall_net::listeners::{Exposure, Listeners, Purpose};
use seawall_net::ops::Ops;
use seawall_net::server::{Limits, Server};
use seawall_net::tasks::Tasks;
use seawall_net::telemetry::Scope;
use seawall_policy::Mono;
use seawall_policy::priority::Priority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

/// Far beyond anything a test waits for; only a hang reaches it.
pub(crate) const HANG: Duration = Duration::from_secs(20);

pub(crate) fn host() -> Host {
    Host {
        clock: Arc::new(SystemClock::new()),
        listeners: Listeners::new(Exposure::default()),
        metrics: Scope::new("test"),
        tasks: Tasks::new(tokio::runtime::Handle::current()),
        workers: 1,
        seed: 1,
        life: Life::default(),
        plants: Plants::default(),
    }
}

/// `/fast` from the exchange, everything else from the router. `/echo` matters little (P3), all else much (P0).
pub(crate) struct Fast;

impl Exchange for Fast {
    type Held = std::convert::Infallible;
    fn priority(&self, head: &Head<'_>) -> Priority {
        if head.path == "/echo" { Priority::P3 } else { Priority::P0 }
    }
    fn on_head(&self, head: &Head<'_>, _: Mono, out: &mut Out) -> Next<Self::Held> {
        if head.path != "/fast" {
            return Next::General;
        }
        out.status = StatusCode::FOUND;
        out.body = Bytes::from_static(b"quick");
        Next::Replied
    }
    fn on_upstream(&self, held: &mut Self::Held, _: Upstream<'_>, _: Mono) -> Step {
        match *held {}
    }
    fn on_end(&self, held: Self::Held, _: Finish, _: Mono) {
        match held {}
    }
}

pub(crate) struct Port {
    pub(crate) addr: SocketAddr,
    pub(crate) host: Host,
}

impl Port {
    /// A port with a fast path, a few slow ones, and these limits.
    pub(crate) fn start(in_flight_max: usize, limits: Limits) -> Port {
        Port::behind(limits, |host| Admission::new(in_flight_max, &host.metrics))
    }

    /// The same behind another gate.
    pub(crate) fn behind(limits: Limits, gate: impl FnOnce(&Host) -> Arc<Admission>) -> Port {
        let host = host();
        let admission = gate(&host);
        let bound =
            host.listeners.tcp("test.listen", SocketAddr::from(([127, 0, 0, 1], 0)), Purpose::Api).unwrap();
        let addr = bound.addr;
        let general = Router::new()
            .route(
                "/slow",
                get(|| async {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    "slow"
                }),
            )
            .route("/panic", get(async || -> &'static str { panic!("planted") }))
            .route("/echo", post(async |body: Bytes| body));
        let (state, states) = watch::channel(State::Ready);
        let server = Server {
            exchange: Arc::new(Fast),
            general,
            admission,
            limits,
            ops: Some(Ops::new("test", states, &host)),
        };
        let serving = host.clone();
        host.tasks.vital("http", async move {
            let drained: Drained = server.serve(bound, &serving).await;
            drop(state);
            serving.tasks.finish(End::Stopped(drained));
        });
        Port { addr, host }
    }

    /// Sends bytes, closes the sending half, and returns all that comes back.
    pub(crate) async fn say(&self, bytes: &[u8]) -> String {
        let mut peer = TcpStream::connect(self.addr).await.unwrap();
        // The server may refuse and close before it has read everything.
        drop(peer.write_all(bytes).await);
        drop(peer.shutdown().await);
        let mut all = Vec::new();
        drop(timeout(HANG, peer.read_to_end(&mut all)).await.expect("the server hangs"));
        String::from_utf8_lossy(&all).into_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        self.say(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).await
    }
}
