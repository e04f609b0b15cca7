//! An HTTP/1.1 client with a pool of connections per address.
//!
//! ## When a connection is used again
//!
//! Only after the answer's body was read to its end: a connection with unread bytes, or one whose exchange
//! was given up, is closed. An idle one is kept for less time than our servers keep theirs, because a request
//! sent into a closing connection is lost.
//!
//! ## The one silent retry
//!
//! A pooled connection may have been closed by the other side a moment ago. If it had been used before, not a
//! byte of an answer came, and the request may be sent again (none of it was written, or it is kept and may
//! happen twice: RFC 9110 §9.2.2), one fresh connection is tried without telling anyone. Every other failure is
//! the caller's to judge.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use seawall_policy::{Clock, Mono, Outcome};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::tasks::Tasks;

/// Makes a repeated request harmless (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: http::HeaderName = http::HeaderName::from_static("idempotency-key");
/// Idle connections kept per address; more are closed.
const IDLE_PER_ADDR_MAX: usize = 256;
/// Addresses with idle connections; beyond this, none are kept for new ones.
const ADDRS_MAX: usize = 16_384;
/// Below the 30 s after which our own servers close an idle connection.
const IDLE_MAX: Duration = Duration::from_secs(15);
/// Longest wait for a connection, however long an answer may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A connection whose last exchange is over becomes ready at once, or not at all.
const READY_MAX: Duration = Duration::from_millis(50);

/// A pooled HTTP/1.1 client. Cheap to clone; one per start of a system.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    idle: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    by_addr: HashMap<SocketAddr, Vec<Idle>>,
    swept: Mono,
}

struct Idle {
    sender: SendRequest<Body>,
    since: Mono,
}

/// A try that brought no answer.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct ClientError {
    /// What to count it as.
    pub outcome: Outcome,
    /// False when the other side cannot have seen any of the request.
    pub reached: bool,
    what: &'static str,
    #[source]
    source: Option<hyper::Error>,
}

impl ClientError {
    fn new(outcome: Outcome, reached: bool, what: &'static str) -> ClientError {
        ClientError { outcome, reached, what, source: None }
    }
}

/// A request body that can be sent again, or one that is gone once a try has begun to send it.
#[derive(Debug)]
pub enum Payload {
    /// All of it, in memory.
    Kept(Bytes),
    /// Read from somewhere as it is sent; `None` once that has begun.
    Stream(Option<Body>),
}

impl Payload {
    /// Whether another try could send it whole.
    #[must_use]
    pub fn is_replayable(&self) -> bool {
        !matches!(self, Payload::Stream(None))
    }

    fn take(&mut self) -> Body {
        match self {
            Payload::Kept(bytes) => Body::from(bytes.clone()),
            Payload::Stream(body) => body.take().unwrap_or_default(),
        }
    }
}

impl Client {
    /// A client whose connections are driven by `tasks`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, tasks: Tasks) -> Client {
        Client(Arc::new(Inner { clock, tasks, idle: Mutex::default() }))
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// No answer within `patience`, or one longer than `body_max` bytes.
    pub async fn call(
        &self,
        addr: SocketAddr,
        request: Request<Bytes>,
        patience: Duration,
        body_max: usize,
    ) -> Result<Response<Bytes>, ClientError> {
        let whole = async {
            let (head, body) = request.into_parts();
            let connect = patience.min(CONNECT_MAX);
            let answer = self.send(addr, head, &mut Payload::Kept(body), connect, patience).await?;
            let (head, body) = answer.into_parts();
            match Limited::new(body, body_max).collect().await {
                Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
                Err(_) => Err(ClientError::new(
                    Outcome::Failed,
                    true,
                    "the answer broke off or is longer than allowed",
                )),
            }
        };
        match timeout(patience, whole).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::new(Outcome::Timeout, true, "no answer in time")),
        }
    }

    /// Sends a request and returns when the head of the answer is here. A `payload` that was not touched, because
    /// no connection could be made, is still there for another try.
    ///
    /// # Errors
    /// When no connection could be made within `connect`, or no head came within `respond` (both from now).
    pub async fn send(
        &self,
        addr: SocketAddr,
        head: http::request::Parts,
        payload: &mut Payload,
        connect: Duration,
        respond: Duration,
    ) -> Result<Response<Reply>, ClientError> {
        let whole = self.send_untimed(addr, head, payload, connect);
        match timeout(respond, whole).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::new(Outcome::Timeout, true, "no answer in time")),
        }
    }

    async fn send_untimed(
        &self,
        addr: SocketAddr,
        head: http::request::Parts,
        payload: &mut Payload,
        connect: Duration,
    ) -> Result<Response<Reply>, ClientError> {
        let (sender, reused) = match self.checkout(addr).await {
            Some(pooled) => (pooled, true),
            None => (self.connect(addr, connect).await?, false),
        };
        let again = (reused && may_happen_twice(&head)).then(|| head.clone());
        let first = self.exchange(addr, sender, Request::from_parts(head, payload.take())).await;
        let lost = match first {
            Ok(answer) => return Ok(answer),
            Err(lost) => lost,
        };
        let request = match (lost.request, again) {
            // Not a byte of it was written.
            (Some(request), _) if reused => request,
            (None, Some(head)) if lost.error.outcome == Outcome::Unreachable && payload.is_replayable() => {
                Request::from_parts(head, payload.take())
            }
            _ => return Err(lost.error),
        };
        let fresh = self.connect(addr, connect).await?;
        self.exchange(addr, fresh, request).await.map_err(|lost| lost.error)
    }

    async fn exchange(
        &self,
        addr: SocketAddr,
        mut sender: SendRequest<Body>,
        request: Request<Body>,
    ) -> Result<Response<Reply>, Lost> {
        match sender.try_send_request(request).await {
            Ok(answer) => {
                let back = GiveBack { pool: self.clone(), addr, sender: Some(sender) };
                Ok(answer.map(|body| Reply { body, has_ended: false, back }))
            }
            Err(mut e) => {
                let request = e.take_message();
                let source = e.into_error();
                // A broken answer (bad framing, cut head) came from a live peer; silence did not.
                let outcome = if source.is_parse() { Outcome::Failed } else { Outcome::Unreachable };
                let error = ClientError {
                    outcome,
                    reached: request.is_none(),
                    what: "the connection broke before an answer",
                    source: Some(source),
                };
                Err(Lost { error, request })
            }
        }
    }

    async fn connect(&self, addr: SocketAddr, patience: Duration) -> Result<SendRequest<Body>, ClientError> {
        let unreachable = |what| ClientError::new(Outcome::Unreachable, false, what);
        let stream = match timeout(patience, TcpStream::connect(addr)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return Err(unreachable("the connection was refused")),
            Err(_) => return Err(ClientError::new(Outcome::Timeout, false, "no connection in time")),
        };
        // A request is one write; waiting to merge it with another only delays it.
        drop(stream.set_nodelay(true));
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| unreachable("the connection broke at once"))?;
        self.0.tasks.connection("http-client", async move {
            // How it ended is told to whoever waits for an answer on it.
            drop(connection.await);
        });
        Ok(sender)
    }

    async fn checkout(&self, addr: SocketAddr) -> Option<SendRequest<Body>> {
        let find = async {
            loop {
                let mut idle = {
                    let mut pool = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
                    pool.by_addr.get_mut(&addr)?.pop()?
                };
                let fresh = self.0.clock.now() - idle.since < IDLE_MAX;
                if fresh && idle.sender.ready().await.is_ok() {
                    return Some(idle.sender);
                }
            }
        };
        // One patience for all that are tried: connecting anew is never far.
        timeout(READY_MAX, find).await.ok().flatten()
    }

    fn checkin(&self, addr: SocketAddr, sender: SendRequest<Body>) {
        if sender.is_closed() {
            return;
        }
        let now = self.0.clock.now();
        let mut pool = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        pool.sweep(now);
        if pool.by_addr.len() >= ADDRS_MAX && !pool.by_addr.contains_key(&addr) {
            return;
        }
        // The newest is used first, so the oldest are the ones that time out.
        let idle = pool.by_addr.entry(addr).or_default();
        if idle.len() < IDLE_PER_ADDR_MAX {
            idle.push(Idle { sender, since: now });
        }
    }
}

impl Pool {
    /// Drops what has been idle for too long, for addresses nobody asks for any more as well.
    fn sweep(&mut self, now: Mono) {
        if now - self.swept < IDLE_MAX {
            return;
        }
        self.swept = now;
        self.by_addr.retain(|_, idle| {
            idle.retain(|i| now - i.since < IDLE_MAX && !i.sender.is_closed());
            !idle.is_empty()
        });
    }
}

/// Whether a request may reach the other side twice: by its method, or because a key makes the second harmless.
fn may_happen_twice(head: &http::request::Parts) -> bool {
    head.method.is_idempotent() || head.headers.get(IDEMPOTENCY_KEY).is_some_and(|key| !key.is_empty())
}

/// A failed try, with the request if none of it was written.
struct Lost {
    error: ClientError,
    request: Option<Request<Body>>,
}

/// The body of an answer; gives its connection back to the pool when it was read to the end.
pub struct Reply {
    body: Incoming,
    /// The end was seen. Of a chunked body nothing else tells.
    has_ended: bool,
    back: GiveBack,
}

struct GiveBack {
    pool: Client,
    addr: SocketAddr,
    sender: Option<SendRequest<Body>>,
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.has_ended |= matches!(polled, Poll::Ready(None));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // Read to the end is the only state in which the next bytes belong to the next answer.
        if http_body::Body::is_end_stream(self)
            && let Some(sender) = self.back.sender.take()
        {
            self.back.pool.checkin(self.back.addr, sender);
        }
    }
}
