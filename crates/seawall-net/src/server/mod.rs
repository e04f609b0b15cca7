//! The engine under every HTTP port: reads heads, asks an [`Exchange`], moves the bytes.
//!
//! It decides nothing about requests except what every port shares: limits, the system's own pages, who may
//! write, and admission, in that order and for the fast path and the router alike. It is pumped by hyper.

mod body;
mod connected;
mod forward;
mod head;
mod upgrade;
mod words;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::header::{AUTHORIZATION, SERVER};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use seawall_policy::admission::{Ask, Refusal};
use seawall_policy::priority::{self, Priority};
use seawall_policy::{Clock, Mono};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower::ServiceExt;

use crate::admission::{Admission, Admitted, Place};
use crate::client::Client;
use crate::exchange::{Exchange, Next, Out};
use crate::host::{Drained, Host};
use crate::listeners::{Bound, Writes};
use crate::ops::Ops;
use crate::problem::Problem;
use crate::tasks::Tasks;
pub use connected::Connected;
use connected::Connections;
use upgrade::Handover;
use words::Worded;

/// What one port allows its clients.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections open at once; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Headers of one request; more are answered 431.
    pub headers_max: usize,
    /// Time for a client to send a head, and for an idle connection to be kept.
    pub head_timeout: Duration,
    /// How long any request may take, unless its client asks for less.
    pub deadline: Duration,
    /// Answer clients that have closed their sending half. Without it such a client counts as gone, and what
    /// is done for it is dropped at once: right where answers wait for something to happen.
    pub half_close: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 9_000,
            headers_max: 100,
            head_timeout: Duration::from_secs(30),
            deadline: Duration::from_secs(10),
            half_close: true,
        }
    }
}

/// Headers hyper parses without allocating for them.
const FREE_HEADERS_MAX: usize = 100;
/// Bytes of a head that the parser buffers per connection; a longer one is answered 431.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// After a stop is asked for, everyone is still served this long: balancers need a moment to notice.
const LAME_DUCK_MAX: Duration = Duration::from_secs(1);
/// A client that takes none of its answer for so long is cut off.
const UNREAD_MAX: Duration = Duration::from_secs(60);
/// How often the drain looks whether the last connection has gone.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// One HTTP port.
pub struct Server<E> {
    /// Decides.
    pub exchange: Arc<E>,
    /// Answers what the exchange leaves to it.
    pub general: Router,
    /// The gate.
    pub admission: Arc<Admission>,
    /// What clients are allowed.
    pub limits: Limits,
    /// The system's own pages; none on ports that carry other people's traffic.
    pub ops: Option<Ops>,
}

struct Port<E> {
    server: Server<E>,
    clock: Arc<dyn Clock>,
    client: Client,
    writes: Writes,
    tasks: Tasks,
    connections: Arc<Connections>,
    /// True once connections are to end with what they are doing.
    draining: watch::Sender<bool>,
}

impl<E: Exchange> Server<E> {
    /// Accepts and serves until the system is asked to stop, then drains within the grace period.
    pub async fn serve(self, bound: Bound, host: &Host) -> Drained {
        let port = Arc::new(Port {
            connections: Connections::new(self.limits.connections_max),
            server: self,
            clock: host.clock.clone(),
            client: Client::new(host.clock.clone(), host.tasks.clone()),
            writes: bound.writes,
            tasks: host.tasks.clone(),
            draining: watch::Sender::new(false),
        });
        let accepting = accept(&port, &bound.listener);
        let grace = tokio::select! {
            never = accepting => match never {},
            grace = host.tasks.stopping() => grace,
        };
        let lame_duck = LAME_DUCK_MAX.min(grace / 4);
        // `accept` never ends: until the time is over, everyone is served as before, latecomers too.
        drop(tokio::time::timeout(lame_duck, accept(&port, &bound.listener)).await);
        port.draining.send_replace(true);
        let drained = async {
            while port.connections.open() > 0 {
                tokio::time::sleep(DRAIN_POLL).await;
            }
        };
        drop(tokio::time::timeout(grace.saturating_sub(lame_duck), drained).await);
        Drained { left: port.connections.open() }
    }
}

async fn accept<E: Exchange>(port: &Arc<Port<E>>, listener: &tokio::net::TcpListener) -> Infallible {
    loop {
        // The place is taken before accepting: a full server leaves newcomers in the kernel's queue.
        let place = port.connections.place().await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                let connected = Connected::new(&port.connections, place);
                port.tasks.connection("http", connection(port.clone(), stream, peer, connected));
            }
            Err(e) => {
                // Out of file descriptors, mostly: going on at once would spin.
                tracing::warn!(error = %e, "cannot accept a connection, waiting");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection<E: Exchange>(
    port: Arc<Port<E>>,
    stream: TcpStream,
    peer: SocketAddr,
    connected: Connected,
) {
    let handover = Mutex::new(None);
    if let Err(e) = speak_http(&port, stream, peer, &handover).await {
        tracing::debug!(%peer, error = %e, "connection ended early");
    }
    // Nothing of the port is kept by those who stay longer than it.
    drop(port);
    let handover: Option<Handover> = handover.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(handover) = handover {
        handover.finish(peer, connected).await;
    }
}

/// Serves requests until the connection ends, or until one of them takes it over.
async fn speak_http<E: Exchange>(
    port: &Arc<Port<E>>,
    stream: TcpStream,
    peer: SocketAddr,
    handover: &Mutex<Option<Handover>>,
) -> hyper::Result<()> {
    drop(stream.set_nodelay(true));
    // Nothing else ends a peer that reads nothing: its answer waits in our buffers, and its place with it.
    drop(socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD_MAX)));
    let limits = &port.server.limits;
    let has_served = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request| {
        has_served.store(true, Ordering::Release);
        let port = port.clone();
        async move { Ok::<_, Infallible>(port.answer(request, peer, handover).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .half_close(limits.half_close);
    if limits.headers_max > FREE_HEADERS_MAX {
        http.max_headers(limits.headers_max);
    }
    let stream = TokioIo::new(Worded::new(stream, has_served.clone()));
    let serving = http.serve_connection(stream, service).with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let mut draining = port.draining.subscribe();
    tokio::select! {
        ended = serving.as_mut() => ended,
        () = async { drop(draining.wait_for(|draining| *draining).await) } => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    }
}

fn replied(out: Out) -> Response<Body> {
    let mut response = Response::new(Body::from(out.body));
    *response.status_mut() = out.status;
    *response.headers_mut() = out.headers;
    response
}

impl<E: Exchange> Port<E> {
    /// The column every request passes, outermost first.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
        handover: &Mutex<Option<Handover>>,
    ) -> Response<Body> {
        let mut response = match self.pass(request, peer, handover).await {
            Ok(response) => response,
            Err(problem) => problem.into_response(),
        };
        // A backend's own name passes.
        response.headers_mut().entry(SERVER).or_insert(HeaderValue::from_static("seawall"));
        response
    }

    async fn pass(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        peer: SocketAddr,
        handover: &Mutex<Option<Handover>>,
    ) -> Result<Response<Body>, Problem> {
        let now = self.clock.now();
        // Before anything is looked at: what no client of ours needs.
        head::check(&request, self.server.limits.headers_max)?;
        // Our own pages stay readable when everything else is shed.
        if let Some(page) =
            self.server.ops.as_ref().and_then(|o| o.answer(request.method(), request.uri().path()))
        {
            return Ok(page);
        }
        // Before admission: a stranger must not take places from those who may.
        self.check_token(&request)?;
        let deadline = head::deadline(&request, now, self.server.limits.deadline)?;
        let asked = head::priority(request.headers())?;
        let priority = {
            let head = head::view(&request, peer, deadline.at)?;
            self.server.exchange.priority(&head).lowered_to(asked)
        };
        let place = self.admit(Ask { deadline: Some(deadline), ..Ask::new(priority) }, now).await?;
        let mut out = Out::default();
        let next = {
            let head = head::view(&request, peer, deadline.at)?;
            self.server.exchange.on_head(&head, now, &mut out)
        };
        match next {
            Next::Replied => Ok(replied(out)),
            Next::Refuse(problem) => Err(problem),
            Next::Upgrade(then) => {
                let agreed = Handover::agree(&mut request, then, place)?;
                *handover.lock().unwrap_or_else(PoisonError::into_inner) = Some(agreed);
                Ok(replied(Out { status: StatusCode::SWITCHING_PROTOCOLS, body: Bytes::new(), ..out }))
            }
            Next::General => {
                let admitted = Admitted::new(place);
                // A body that trickles in holds a place as long as one that was sent holds none.
                let patience = deadline.remaining(now);
                let mut request = request.map(|b| body::arriving(b, patience));
                request.extensions_mut().insert(admitted.clone());
                request.extensions_mut().insert(deadline);
                request.extensions_mut().insert(ConnectInfo(peer));
                let Ok(response) = self.server.general.clone().oneshot(request).await;
                Ok(response.map(|b| body::guarded(b, admitted)))
            }
            Next::Forward(target, held) => {
                // Whoever works on its behalf should shed it as early as we do.
                if priority > Priority::P0 {
                    let value = HeaderValue::from_static(priority.as_str());
                    request.headers_mut().insert(priority::HEADER, value);
                }
                self.forward(request, peer, deadline, target, held, place).await
            }
        }
    }

    /// A place, at once or after the short wait that the shedder asks for. Who waits holds its connection and
    /// nothing else, so `connections_max` bounds how many do.
    async fn admit(&self, mut ask: Ask, now: Mono) -> Result<Place, Problem> {
        let admission = &self.server.admission;
        match admission.admit(&ask, now) {
            Err(Refusal::Later(at)) if ask.deadline.is_none_or(|deadline| at < deadline.at) => {
                tokio::time::sleep(at.since(now)).await;
                ask.waited = true;
                let now = self.clock.now();
                admission.admit(&ask, now).map_err(|refusal| admission.refuse(refusal, now))
            }
            told => told.map_err(|refusal| admission.refuse(refusal, now)),
        }
    }

    fn check_token(&self, request: &Request<Incoming>) -> Result<(), Problem> {
        const CONSUL_TOKEN: HeaderName = HeaderName::from_static("x-consul-token");
        if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        let headers = request.headers();
        let shown = headers.get(AUTHORIZATION).or_else(|| headers.get(CONSUL_TOKEN));
        if self.writes.allows(shown.map(HeaderValue::as_bytes)) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "token_required",
            "writes through this address want `Authorization: Bearer TOKEN`",
        ))
    }
}
