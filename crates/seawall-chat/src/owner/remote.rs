//! The owner over the network: commands as JSON, news as lines of JSON.
//!
//! Another process of the same data folder finds address and key in the lease. A listener goes on from the positions
//! it has got to, so a broken connection costs it nothing but ephemeral news.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::routing::{get, post};
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use seawall_net::client::{Client as Http, Payload};
use seawall_policy::Mono;
use seawall_store::Position;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::actors::{Answer, Stop};
use super::lease::Role;
use super::limits::{ASK_BYTES_MAX, NEWS_BEAT, NEWS_LINE_MAX, NEWS_MAX, NEWS_SILENCE_MAX, PATIENCE_MAX};
use super::news::{Feed, Gone};
use super::reign::left;
use super::{Client, News};
use crate::command::{Ask, Done};
use crate::refusal::Refusal;
use crate::storage::Lease;

/// Where commands go.
const SUBMIT: &str = "/-/owner/submit";
/// Where news come from.
const NEWS: &str = "/-/owner/news";
/// Bytes of an answer to a command.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Lines waiting for a slow connection; beyond it the feed waits.
const LINES_MAX: usize = 64;

/// A command on its way.
#[derive(Serialize, Deserialize)]
struct Sent {
    ask: Ask,
    /// An earlier try may have done it.
    is_retry: bool,
}

/// What became of it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Got {
    Done(Done),
    Refused(Refusal),
    Retry,
    Doubt,
    Lost,
    NotOwner,
}

impl From<Answer> for Got {
    fn from(answer: Answer) -> Got {
        match answer {
            Ok(done) => Got::Done(done),
            Err(Stop::Refused(refusal)) => Got::Refused(refusal),
            Err(Stop::Retry) => Got::Retry,
            Err(Stop::Doubt) => Got::Doubt,
            Err(Stop::Lost) => Got::Lost,
            Err(Stop::NotOwner) => Got::NotOwner,
        }
    }
}

impl From<Got> for Answer {
    fn from(got: Got) -> Answer {
        match got {
            Got::Done(done) => Ok(done),
            Got::Refused(refusal) => Err(Stop::Refused(refusal)),
            Got::Retry => Err(Stop::Retry),
            Got::Doubt => Err(Stop::Doubt),
            Got::Lost => Err(Stop::Lost),
            Got::NotOwner => Err(Stop::NotOwner),
        }
    }
}

/// Asks the owner where the lease says it is.
pub(super) async fn submit(
    http: &Http,
    lease: &Lease,
    ask: &Ask,
    is_retry: bool,
    deadline: Mono,
    now: Mono,
) -> Answer {
    let Some(patience) = left(deadline, now) else { return Err(Stop::Retry) };
    let Ok(addr) = lease.address.parse::<SocketAddr>() else { return Err(Stop::NotOwner) };
    let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
    let sent = Sent { ask: Ask { patience_ms, ..ask.clone() }, is_retry };
    let body = serde_json::to_vec(&sent).map_err(|_| Refusal::Internal)?;
    let request = Request::post(SUBMIT)
        .header(http::header::HOST, lease.address.as_str())
        .header(AUTHORIZATION, format!("Bearer {}", lease.key))
        .header(CONTENT_TYPE, "application/json")
        .body(Bytes::from(body))
        .map_err(|_| Refusal::Internal)?;
    match http.call(addr, request, patience, ANSWER_BYTES_MAX).await {
        Ok(answer) if answer.status() == StatusCode::OK => {
            let got = serde_json::from_slice::<Got>(answer.body());
            got.map_or(Err(Stop::Doubt), Answer::from)
        }
        // It took us for somebody without the key, or knows no such page: not the owner we know of.
        Ok(_) => Err(Stop::NotOwner),
        Err(error) if error.reached => Err(Stop::Doubt),
        Err(_) => Err(Stop::NotOwner),
    }
}

/// Listens to the owner where the lease says it is, until the connection or the reign ends. Durable news move `from`.
///
/// # Errors
/// Our own listener is gone.
pub(super) async fn listen(
    http: &Http,
    lease: &Lease,
    gateway: &str,
    from: &mut [Position],
    to: &mpsc::Sender<News>,
) -> Result<(), Gone> {
    let Ok(addr) = lease.address.parse::<SocketAddr>() else { return Ok(()) };
    let positions = from.iter().map(|p| p.0.to_string()).collect::<Vec<_>>().join(",");
    let request = Request::get(format!("{NEWS}?gateway={gateway}&from={positions}"))
        .header(http::header::HOST, lease.address.as_str())
        .header(AUTHORIZATION, format!("Bearer {}", lease.key))
        .body(());
    let Ok(request) = request else { return Ok(()) };
    let (head, ()) = request.into_parts();
    let mut payload = Payload::Kept(Bytes::new());
    let answer = http.send(addr, head, &mut payload, NEWS_SILENCE_MAX, NEWS_SILENCE_MAX).await;
    let Ok(answer) = answer else { return Ok(()) };
    if answer.status() != StatusCode::OK {
        return Ok(());
    }
    let mut body = answer.into_body();
    let mut line = BytesMut::new();
    loop {
        let frame = tokio::select! {
            frame = timeout(NEWS_SILENCE_MAX, body.frame()) => frame,
            () = to.closed() => return Err(Gone),
        };
        let Ok(Some(Ok(frame))) = frame else { return Ok(()) };
        let Ok(data) = frame.into_data() else { continue };
        line.extend_from_slice(&data);
        while let Some(end) = line.iter().position(|b| *b == b'\n') {
            let whole = line.split_to(end + 1);
            let text = &whole[..end];
            if text.is_empty() {
                continue;
            }
            let Ok(news) = serde_json::from_slice::<News>(text) else {
                tracing::warn!("the owner says something this build does not know; listening anew");
                return Ok(());
            };
            let reached = news.reached();
            to.send(news).await.map_err(|_| Gone)?;
            if let Some((shard, at)) = reached
                && let Some(position) = from.get_mut(shard as usize)
            {
                *position = at;
            }
        }
        if line.len() > NEWS_LINE_MAX {
            return Ok(());
        }
    }
}

/// Posts a document to a page of the owner and reads its answer. Nothing when there is none that can be read.
pub(super) async fn ask_page<A: Serialize, B: DeserializeOwned>(
    http: &Http,
    lease: &Lease,
    page: &str,
    asked: &A,
    patience: Duration,
    bytes_max: usize,
) -> Option<B> {
    let addr = lease.address.parse::<SocketAddr>().ok()?;
    let request = Request::post(page)
        .header(http::header::HOST, lease.address.as_str())
        .header(AUTHORIZATION, format!("Bearer {}", lease.key))
        .header(CONTENT_TYPE, "application/json")
        .body(Bytes::from(serde_json::to_vec(asked).ok()?))
        .ok()?;
    let answer = http.call(addr, request, patience, bytes_max).await.ok()?;
    if answer.status() == StatusCode::OK { serde_json::from_slice(answer.body()).ok() } else { None }
}

/// The two pages other processes use. To be mounted at the root of the chat port.
pub fn routes(client: &Client) -> Router {
    Router::new()
        .route(SUBMIT, post(take))
        .route(NEWS, get(tell))
        .layer(DefaultBodyLimit::max(ASK_BYTES_MAX))
        .with_state(client.clone())
}

/// Whether the caller shows the key of this reign. Compared by hash, so that the time it takes tells nothing.
pub(super) fn has_key(headers: &HeaderMap, key: &str) -> bool {
    let shown = headers.get(AUTHORIZATION).and_then(|v| v.as_bytes().strip_prefix(b"Bearer "));
    shown.is_some_and(|shown| Sha256::digest(shown) == Sha256::digest(key.as_bytes()))
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

async fn take(State(client): State<Client>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let Role::Here(reign) = client.role() else { return plain(StatusCode::CONFLICT) };
    if !has_key(&headers, &reign.key) {
        return plain(StatusCode::UNAUTHORIZED);
    }
    let Ok(sent) = serde_json::from_slice::<Sent>(&body) else {
        return plain(StatusCode::BAD_REQUEST);
    };
    let patience = std::time::Duration::from_millis(sent.ask.patience_ms).min(PATIENCE_MAX);
    let deadline = reign.clock.now() + patience;
    let got = Got::from(reign.submit(sent.ask, deadline, sent.is_retry).await);
    match serde_json::to_vec(&got) {
        Ok(json) => {
            let mut answer = Response::new(Body::from(json));
            answer.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
            answer
        }
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

#[derive(Deserialize)]
struct Wanted {
    gateway: String,
    from: String,
}

async fn tell(
    State(client): State<Client>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response<Body> {
    let Role::Here(reign) = client.role() else { return plain(StatusCode::CONFLICT) };
    if !has_key(&headers, &reign.key) {
        return plain(StatusCode::UNAUTHORIZED);
    }
    let from = wanted.from.split(',').map(|p| p.parse().map(Position)).collect::<Result<Vec<_>, _>>();
    let Ok(mut from) = from else { return plain(StatusCode::BAD_REQUEST) };
    let (news, mut heard) = mpsc::channel(NEWS_MAX);
    let (lines, body) = mpsc::channel::<Bytes>(LINES_MAX);
    let (tasks, listener) = (reign.tasks.clone(), reign.listener());
    tasks.vital("chat-news-feed", async move {
        let _listener = listener;
        // It ends with the reign, or when the lines below are no longer read.
        drop(Feed::new(&reign, wanted.gateway, news, &mut from).run().await);
    });
    tasks.vital("chat-news-lines", async move {
        loop {
            let line = match timeout(NEWS_BEAT, heard.recv()).await {
                Ok(Some(news)) => match serde_json::to_vec(&news) {
                    Ok(mut line) => {
                        line.push(b'\n');
                        Bytes::from(line)
                    }
                    Err(_) => return,
                },
                Ok(None) => return,
                Err(_) => Bytes::from_static(b"\n"),
            };
            if lines.send(line).await.is_err() {
                return;
            }
        }
    });
    let mut answer = Response::new(Body::new(Lines(body)));
    answer.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/x-ndjson"));
    answer
}

/// A body that goes on until its sender ends.
struct Lines(mpsc::Receiver<Bytes>);

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|line| line.map(|bytes| Ok(Frame::data(bytes))))
    }
}
