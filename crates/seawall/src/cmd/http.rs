//! A client for commands: a runtime, a connection pool, and answers as values or one clear line.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use seawall_net::client::Client;
use seawall_net::clock::SystemClock;
use seawall_net::host::chain;
use seawall_net::tasks::Tasks;
use tokio::runtime::Builder;

use crate::exit::Failure;

/// Longest answer a command reads.
const BODY_MAX: usize = 16 * 1024 * 1024;

/// Runs a command that talks to servers.
pub(super) fn block_on<T>(
    patience: Duration,
    command: impl AsyncFnOnce(Server) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::Failed(format!("cannot start a runtime: {e}")))?;
    let tasks = Tasks::new(runtime.handle().clone());
    let client = Client::new(Arc::new(SystemClock::new()), tasks);
    runtime.block_on(command(Server { client, patience }))
}

/// Any server, spoken to by address.
#[derive(Clone)]
pub(super) struct Server {
    client: Client,
    patience: Duration,
}

impl Server {
    /// Sends a request; any status is an answer.
    pub(super) fn call(
        &self,
        addr: SocketAddr,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<Bytes>, Failure>> {
        let (client, patience) = (self.client.clone(), self.patience);
        async move {
            client
                .call(addr, request, patience, BODY_MAX)
                .await
                .map_err(|e| Failure::Failed(format!("{addr}: {}; is `seawall up` running?", chain(&e))))
        }
    }
}

/// The sentence of a JSON error, or the status.
pub(super) fn complaint(answer: &Response<Bytes>) -> String {
    let body: Option<serde_json::Value> = serde_json::from_slice(answer.body()).ok();
    let message = body.as_ref().and_then(|b| b["error"]["message"].as_str());
    match message {
        Some(message) => format!("{} ({})", message, answer.status().as_u16()),
        None => format!("the server answered {}", answer.status()),
    }
}
