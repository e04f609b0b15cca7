//! An ordinary keep-alive HTTP/1.1 client: one connection, one request at a time, a deadline on each.
//!
//! It retries nothing that may have been sent. A drill counts what its client sees, and a client that quietly
//! tries again would hide exactly the errors the drill is looking for. The one exception is no retry at all: a
//! kept connection that turns out closed *before* the request was handed to it is replaced, as every client does.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Bytes of one answer the client keeps; a longer one is an error of the callee. Our own answers are far smaller.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No connection could be made in time, or it was refused.
    #[error("cannot connect to {to}")]
    Connect {
        /// Whom we called.
        to: SocketAddr,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The deadline passed before the whole answer was there. Whether the request took effect is unknown.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke, or what came was not HTTP. Whether the request took effect is unknown.
    #[error("the connection broke before the answer was complete")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// One connection to one address, opened when first needed and again after it broke.
#[derive(Debug)]
pub struct Client {
    to: SocketAddr,
    connect_timeout: Duration,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    sender: SendRequest<Full<Bytes>>,
    /// Moves the bytes; ends with the connection, or when this is dropped.
    _driver: JoinSet<()>,
}

impl Client {
    /// A client of `to` that waits `connect_timeout` for a connection. Connects on the first request.
    #[must_use]
    pub fn new(to: SocketAddr, connect_timeout: Duration) -> Client {
        Client { to, connect_timeout, open: None }
    }

    /// Whom this client calls.
    #[must_use]
    pub fn to(&self) -> SocketAddr {
        self.to
    }

    /// Sends one request and reads the whole answer within `deadline`, connecting included.
    ///
    /// # Errors
    /// See [`CallError`]. After any error the connection is closed, because an answer may still be on its way.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        deadline: Duration,
    ) -> Result<Response<Bytes>, CallError> {
        let answer =
            tokio::time::timeout(deadline, self.exchange(request)).await.unwrap_or(Err(CallError::Timeout));
        if answer.is_err() {
            self.open = None;
        }
        answer
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, CallError> {
        let mut request = request;
        if let Some(open) = &mut self.open
            && open.sender.ready().await.is_ok()
        {
            match open.sender.try_send_request(request).await {
                Ok(response) => return whole(response).await,
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(CallError::Broken(Box::new(error.into_error()))),
                },
            }
        }
        let open = self.open.insert(connect(self.to, self.connect_timeout).await?);
        match open.sender.try_send_request(request).await {
            Ok(response) => whole(response).await,
            Err(error) => Err(CallError::Broken(Box::new(error.into_error()))),
        }
    }
}

async fn connect(to: SocketAddr, within: Duration) -> Result<Open, CallError> {
    let refused = |source| CallError::Connect { to, source };
    let stream = tokio::time::timeout(within, TcpStream::connect(to))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(refused)?;
    // A request is one small write; waiting to fill a segment would be measured as the callee's latency.
    stream.set_nodelay(true).map_err(refused)?;
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| CallError::Broken(Box::new(error)))?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // Its errors reach the caller through the sender.
        let _ = connection.await;
    });
    Ok(Open { sender, _driver: driver })
}

async fn whole(response: Response<Incoming>) -> Result<Response<Bytes>, CallError> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(CallError::Broken)?.to_bytes();
    Ok(Response::from_parts(head, body))
}
