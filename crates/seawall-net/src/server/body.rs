//! Bodies that carry something to be done when they are over, however they end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use seawall_policy::Clock;
use tokio::time::{Sleep, sleep};

use crate::admission::{Admitted, Place};
use crate::exchange::{Exchange, Finish};

/// A body that keeps a value until its last byte was taken or its client has left.
struct Keeping<B, T> {
    body: B,
    _kept: T,
}

impl<B: http_body::Body<Data = Bytes> + Unpin, T: Unpin> http_body::Body for Keeping<B, T> {
    type Data = Bytes;
    type Error = B::Error;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The router's answer, holding its place among those in flight until its last piece was taken for sending.
pub(super) fn guarded(body: Body, admitted: Admitted) -> Body {
    Body::new(Keeping { body, _kept: admitted })
}

/// A request's body, to arrive whole within `patience`.
pub(super) fn arriving(body: Incoming, patience: Duration) -> Body {
    if body.is_end_stream() {
        return Body::empty();
    }
    Body::new(Arriving { body, until: Box::pin(sleep(patience)) })
}

struct Arriving {
    body: Incoming,
    until: Pin<Box<Sleep>>,
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|f| f.map_err(Into::into)));
        }
        std::task::ready!(self.until.as_mut().poll(cx));
        Poll::Ready(Some(Err("the request body did not arrive in time".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How far a body has come that is sent on while it arrives.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    const ENDED: u8 = 1;
    const WAITS_FOR_CLIENT: u8 = 2;
    const BROKEN: u8 = 3;

    /// Whether the client broke the body off.
    pub(super) fn is_broken(&self) -> bool {
        self.0.load(Ordering::Acquire) == Progress::BROKEN
    }

    /// Whether it is the client that everyone waits for.
    pub(super) fn waits_for_client(&self) -> bool {
        self.0.load(Ordering::Acquire) == Progress::WAITS_FOR_CLIENT
    }
}

/// A request body sent on while it arrives, that tells how far it has come.
pub(super) struct Observed {
    body: Incoming,
    progress: Arc<Progress>,
}

impl Observed {
    pub(super) fn body(body: Incoming, progress: Arc<Progress>) -> Body {
        Body::new(Observed { body, progress })
    }
}

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let state = match &polled {
            Poll::Pending => Progress::WAITS_FOR_CLIENT,
            Poll::Ready(None) => Progress::ENDED,
            Poll::Ready(Some(Err(_))) => Progress::BROKEN,
            Poll::Ready(Some(Ok(_))) if self.body.is_end_stream() => Progress::ENDED,
            Poll::Ready(Some(Ok(_))) => 0,
        };
        self.progress.0.store(state, Ordering::Release);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What an exchange holds while it is being forwarded; reports its end exactly once.
pub(super) struct Held<E: Exchange> {
    exchange: Arc<E>,
    clock: Arc<dyn Clock>,
    held: Option<E::Held>,
    _place: Place,
}

impl<E: Exchange> Held<E> {
    pub(super) fn new(exchange: Arc<E>, clock: Arc<dyn Clock>, held: E::Held, place: Place) -> Held<E> {
        Held { exchange, clock, held: Some(held), _place: place }
    }

    /// The held value; there until [`Held::end`].
    pub(super) fn get(&mut self) -> Option<&mut E::Held> {
        self.held.as_mut()
    }

    pub(super) fn end(&mut self, how: Finish) {
        if let Some(held) = self.held.take() {
            self.exchange.on_end(held, how, self.clock.now());
        }
    }
}

impl<E: Exchange> Drop for Held<E> {
    fn drop(&mut self) {
        self.end(Finish::Abandoned);
    }
}

/// A backend that sends nothing of a begun answer for so long is given up.
const STALL_MAX: Duration = Duration::from_secs(30);

/// A backend's answer on its way to the client.
pub(super) struct Passing<B, E: Exchange> {
    body: B,
    status: StatusCode,
    held: Held<E>,
    /// Made at the first wait, and started anew at each.
    stall: Option<Pin<Box<Sleep>>>,
}

impl<B, E: Exchange> Passing<B, E>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    pub(super) fn body(body: B, status: StatusCode, held: Held<E>) -> Body {
        let mut passing = Passing { body, status, held, stall: None };
        if passing.body.is_end_stream() {
            passing.held.end(Finish::Done(status));
        }
        Body::new(passing)
    }

    /// Ready when the backend has been silent for too long.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stall.get_or_insert_with(|| Box::pin(sleep(STALL_MAX))).as_mut().poll(cx)
    }
}

impl<B, E: Exchange> http_body::Body for Passing<B, E>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            std::task::ready!(self.poll_stall(cx));
            self.held.end(Finish::Broken);
            return Poll::Ready(Some(Err("the backend stopped in the middle of its answer".into())));
        };
        self.stall = None;
        match &frame {
            Some(Err(_)) => self.held.end(Finish::Broken),
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            Some(Ok(_)) | None => {
                let status = self.status;
                self.held.end(Finish::Done(status));
            }
        }
        Poll::Ready(frame.map(|f| f.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Unpin, E: Exchange> Unpin for Passing<B, E> {}
