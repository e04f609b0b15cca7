//! Nobody works for a caller who has left: a call that outlives its deadline is dropped and answered 504.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode};
use seawall_policy::Clock;
use seawall_policy::deadline::Deadline;
use tower::{Layer, Service};

use crate::problem::Problem;

/// Ends calls at the [`Deadline`] in their extensions; calls without one pass untouched.
#[derive(Clone)]
pub struct DeadlineLayer {
    clock: Arc<dyn Clock>,
}

impl DeadlineLayer {
    /// A layer on this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> DeadlineLayer {
        DeadlineLayer { clock }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;
    fn layer(&self, inner: S) -> DeadlineService<S> {
        DeadlineService { inner, clock: self.clock.clone() }
    }
}

/// See [`DeadlineLayer`].
#[derive(Clone)]
pub struct DeadlineService<S> {
    inner: S,
    clock: Arc<dyn Clock>,
}

impl<S, B> Service<Request<B>> for DeadlineService<S>
where
    S: Service<Request<B>, Response = Response>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let deadline = request.extensions().get::<Deadline>().copied();
        let left = deadline.map(|d| d.remaining(self.clock.now()));
        let call = self.inner.call(request);
        Box::pin(async move {
            let Some(left) = left else { return call.await };
            match tokio::time::timeout(left, call).await {
                Ok(answer) => answer,
                Err(_) => Ok(Problem::new(
                    StatusCode::GATEWAY_TIMEOUT,
                    "deadline_exceeded",
                    "the call took longer than its deadline",
                )
                .into_response()),
            }
        })
    }
}
