//! Passing a request on to a backend, and its answer back.
//!
//! The exchange decides where to and whether to try again; this pumps. A small answer is read to its end
//! before the client sees any of it, so that a backend that dies in the middle of one can still be replaced.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use seawall_policy::Outcome;
use seawall_policy::deadline::{self, Deadline};
use seawall_policy::retry::{self, Attempt};
use tokio::time::timeout;

use super::Port;
use super::body::{Held, Observed, Passing, Progress};
use super::head;
use crate::admission::Place;
use crate::client::{Payload, Reply};
use crate::exchange::{Exchange, Finish, Step, Target, Upstream};
use crate::problem::Problem;

/// Tries the engine makes for one request, whatever the exchange asks for.
const TRIES_MAX: u32 = 8;
/// Largest request body kept for another try.
const KEEP_MAX: usize = 64 * 1024;
/// Largest answer read to its end before the client sees any of it.
const HOLD_MAX: u64 = 16 * 1024;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A request body on its way to a backend.
struct Outgoing {
    payload: Payload,
    /// Of a body that is sent on while it arrives.
    progress: Arc<Progress>,
}

impl<E: Exchange> Port<E> {
    pub(super) async fn forward(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        deadline: Deadline,
        mut target: Target,
        held: E::Held,
        place: Place,
    ) -> Result<Response<Body>, Problem> {
        let exchange = &self.server.exchange;
        let mut held = Held::new(exchange.clone(), self.clock.clone(), held, place);
        let (mut parts, body) = request.into_parts();
        rewrite(&mut parts, peer);
        // A retry is told as one also to those further down, whichever try it is here.
        let mut passed_on = head::attempt(&parts.headers)?;
        let mut body = outgoing(body, target.keep_body, deadline.remaining(self.clock.now())).await?;
        for attempt in 1..=TRIES_MAX {
            let left = deadline.remaining(self.clock.now());
            if left.is_zero() {
                return Err(too_late());
            }
            stamp(&mut parts.headers, passed_on, left);
            passed_on = passed_on.next();
            let (connect, respond) = (target.connect.min(left), target.respond.min(left));
            let sent =
                self.client.send(target.addr, parts.clone(), &mut body.payload, connect, respond).await;
            if let Err(e) = &sent {
                // None of these is the backend's doing, so none of them is told to the exchange.
                if body.progress.is_broken() {
                    return Err(incomplete());
                }
                if e.outcome == Outcome::Timeout && e.reached && body.progress.waits_for_client() {
                    return Err(slow_body());
                }
                let allowed = if e.reached { target.respond } else { target.connect };
                if e.outcome == Outcome::Timeout && left < allowed {
                    return Err(too_late());
                }
            }
            let replayable = body.payload.is_replayable();
            let now = self.clock.now();
            let Some(kept) = held.get() else { break };
            let step = match &sent {
                Ok(answer) => {
                    let (status, headers) = (answer.status(), answer.headers());
                    exchange.on_upstream(kept, Upstream::Head { status, headers, replayable }, now)
                }
                Err(e) => {
                    tracing::debug!(backend = %target.addr, attempt, error = %crate::host::chain(e), "try failed");
                    let failed = Upstream::Failed { outcome: e.outcome, reached: e.reached, replayable };
                    exchange.on_upstream(kept, failed, now)
                }
            };
            let step = match (step, sent) {
                (Step::Go, Ok(answer)) => match self.hold(answer, replayable, deadline).await {
                    Ok(answer) => return Ok(finish(answer, held)),
                    Err(Outcome::Timeout) => return Err(too_late()),
                    // The head was good, the body was not, and the client has seen neither.
                    Err(outcome) => {
                        let Some(kept) = held.get() else { break };
                        let failed = Upstream::Failed { outcome, reached: true, replayable };
                        exchange.on_upstream(kept, failed, self.clock.now())
                    }
                },
                (step, _) => step,
            };
            match step {
                // A body that is gone cannot be sent again, whatever was asked for.
                Step::Retry(..) if !replayable => break,
                Step::Retry(next, pause) => {
                    if pause > Duration::ZERO {
                        tokio::time::sleep(pause.min(deadline.remaining(self.clock.now()))).await;
                    }
                    target = next;
                }
                Step::Give(problem) => return Err(problem),
                Step::Go => break,
            }
        }
        Err(Problem::new(StatusCode::BAD_GATEWAY, "bad_gateway", "no backend answered"))
    }

    /// Reads a small answer to its end, if another backend could still be asked instead.
    async fn hold(
        &self,
        answer: Response<Reply>,
        replayable: bool,
        deadline: Deadline,
    ) -> Result<Response<Answer>, Outcome> {
        let small = answer.body().size_hint().upper().is_some_and(|n| n <= HOLD_MAX);
        if !replayable || !small {
            return Ok(answer.map(Answer::Stream));
        }
        let (head, body) = answer.into_parts();
        match timeout(deadline.remaining(self.clock.now()), body.collect()).await {
            Ok(Ok(whole)) => Ok(Response::from_parts(head, Answer::Whole(whole.to_bytes()))),
            Ok(Err(_)) => Err(Outcome::Unreachable),
            Err(_) => Err(Outcome::Timeout),
        }
    }
}

enum Answer {
    Whole(Bytes),
    Stream(Reply),
}

fn finish<E: Exchange>(answer: Response<Answer>, mut held: Held<E>) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    strip_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    let status = head.status;
    let body = match body {
        Answer::Whole(bytes) => {
            held.end(Finish::Done(status));
            Body::from(bytes)
        }
        Answer::Stream(reply) => Passing::body(reply, status, held),
    };
    Response::from_parts(head, body)
}

/// Reads the body into memory when it is wanted for later tries and small enough.
async fn outgoing(body: Incoming, keep: bool, patience: Duration) -> Result<Outgoing, Problem> {
    let progress = Arc::new(Progress::default());
    if body.is_end_stream() {
        return Ok(Outgoing { payload: Payload::Kept(Bytes::new()), progress });
    }
    let fits = body.size_hint().upper().is_some_and(|n| n <= KEEP_MAX as u64);
    if !keep || !fits {
        let payload = Payload::Stream(Some(Observed::body(body, progress.clone())));
        return Ok(Outgoing { payload, progress });
    }
    match timeout(patience, Limited::new(body, KEEP_MAX).collect()).await {
        Ok(Ok(whole)) => Ok(Outgoing { payload: Payload::Kept(whole.to_bytes()), progress }),
        Ok(Err(_)) => Err(incomplete()),
        Err(_) => Err(slow_body()),
    }
}

fn incomplete() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "incomplete_body", "the request body broke off")
}

fn slow_body() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the request body did not arrive in time")
}

fn too_late() -> Problem {
    Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        "deadline_exceeded",
        "the request took longer than its deadline",
    )
}

/// Makes the head ours to send: origin form, no hop-by-hop headers, the client's address noted.
fn rewrite(parts: &mut Parts, peer: SocketAddr) {
    if let Some(authority) = parts.uri.authority() {
        // An absolute target's authority outranks the Host header (RFC 9112 §3.2.2); who the user is
        // concerns nobody behind us.
        let host = match authority.port() {
            Some(port) => format!("{}:{port}", authority.host()),
            None => authority.host().to_owned(),
        };
        if let Ok(host) = HeaderValue::from_str(&host) {
            parts.headers.insert(HOST, host);
        }
        if let Some(path) = parts.uri.path_and_query().cloned() {
            parts.uri = Uri::from(path);
        }
    }
    parts.version = Version::HTTP_11;
    strip_hop_by_hop(&mut parts.headers);
    parts.headers.remove(EXPECT);
    let headers = &mut parts.headers;
    // Every proxy on the way added itself, in a line of its own or not: all of them are kept.
    let so_far = headers.get_all(X_FORWARDED_FOR).iter().filter_map(|v| v.to_str().ok());
    let chain: Vec<String> = so_far.map(str::to_owned).chain([peer.ip().to_string()]).collect();
    if let Ok(chain) = HeaderValue::from_str(&chain.join(", ")) {
        headers.insert(X_FORWARDED_FOR, chain);
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.remove(X_FORWARDED_HOST);
    if let Some(host) = headers.get(HOST).cloned() {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

/// Tells the backend how often this was tried and how long anyone will wait.
fn stamp(headers: &mut HeaderMap, attempt: Attempt, left: Duration) {
    headers.insert(retry::HEADER, HeaderValue::from_static(attempt.header_value()));
    let ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    headers.insert(HeaderName::from_static(deadline::HEADER), HeaderValue::from(ms));
}

/// Removes what concerns one connection only (RFC 9110 §7.6.1), including what `Connection` names.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // What frames and addresses the message concerns the next connection too, whoever names it.
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connection_names_goes_no_further() {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("x-secret, keep-alive"));
        headers.insert("x-secret", HeaderValue::from_static("1"));
        headers.insert("x-kept", HeaderValue::from_static("1"));
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }

    #[test]
    fn an_absolute_target_outranks_the_host_header() {
        let request = Request::get("http://a.test/x?y=1").header(HOST, "b.test").body(()).unwrap();
        let (mut parts, ()) = request.into_parts();
        rewrite(&mut parts, SocketAddr::from(([127, 0, 0, 1], 9)));
        assert_eq!(parts.uri, "/x?y=1");
        assert_eq!(parts.headers[HOST], "a.test");
        assert_eq!(parts.headers[X_FORWARDED_FOR], "127.0.0.1");
    }

    #[test]
    fn a_client_cannot_forge_what_proxies_say() {
        let request = Request::get("http://user:secret@a.test:81/")
            .header(X_FORWARDED_FOR, "203.0.113.9")
            .header(X_FORWARDED_FOR, "198.51.100.7")
            .header(X_FORWARDED_HOST, "forged.test")
            .header(CONNECTION, "host, content-length, x-forwarded-host")
            .header(CONTENT_LENGTH, "5")
            .body(());
        let (mut parts, ()) = request.unwrap().into_parts();
        rewrite(&mut parts, SocketAddr::from(([127, 0, 0, 1], 9)));
        assert_eq!(parts.headers[HOST], "a.test:81");
        assert_eq!(parts.headers[X_FORWARDED_HOST], "a.test:81");
        assert_eq!(parts.headers[X_FORWARDED_FOR], "203.0.113.9, 198.51.100.7, 127.0.0.1");
        assert_eq!(parts.headers[CONTENT_LENGTH], "5");
    }
}
