//! Messages on their way to the disk, in the order of their ids.
//!
//! The store's writer takes batches in the order in which their futures were first polled and answers them in that
//! order, a group at a time. So each is polled once when it is put in, and after that only the first in line.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use seawall_store::Written;

use super::limits::IN_FLIGHT_MAX;

// `Sync` because an actor that is borrowed across an await must be; nobody shares one.
type Writing = Pin<Box<dyn Future<Output = Written> + Send + Sync>>;

/// Writes in flight, each with what it is.
pub(super) struct Pipeline<T>(VecDeque<(T, Stage)>);

enum Stage {
    Writing(Writing),
    Written(Written),
}

impl<T> Pipeline<T> {
    /// Nothing in flight.
    pub(super) fn new() -> Pipeline<T> {
        Pipeline(VecDeque::new())
    }

    /// Begins a write, after all that were begun before.
    pub(super) async fn push(
        &mut self,
        what: T,
        writing: impl Future<Output = Written> + Send + Sync + 'static,
    ) {
        let mut writing: Writing = Box::pin(writing);
        let begun = poll_fn(|cx| Poll::Ready(writing.as_mut().poll(cx))).await;
        let stage = match begun {
            Poll::Ready(written) => Stage::Written(written),
            Poll::Pending => Stage::Writing(writing),
        };
        self.0.push_back((what, stage));
    }

    /// The first in line, once it is written. Never, while nothing is in flight.
    pub(super) async fn next(&mut self) -> (T, Written) {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(T, Written)> {
        let Some((_, stage)) = self.0.front_mut() else { return Poll::Pending };
        if let Stage::Writing(writing) = stage {
            match writing.as_mut().poll(cx) {
                Poll::Ready(written) => *stage = Stage::Written(written),
                Poll::Pending => return Poll::Pending,
            }
        }
        match self.0.pop_front() {
            Some((what, Stage::Written(written))) => Poll::Ready((what, written)),
            _ => Poll::Pending,
        }
    }

    /// Whether another may begin.
    pub(super) fn has_room(&self) -> bool {
        self.0.len() < IN_FLIGHT_MAX
    }

    /// Whether nothing is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
