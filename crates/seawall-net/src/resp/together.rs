//! Several waits at once.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Waits for all of a few futures; their outputs in the order they were given. Whenever one of them wakes the task all
/// that are not done are looked at, so there should be few.
pub(super) struct Together<F: Future>(Vec<Slot<F>>);

enum Slot<F: Future> {
    Waiting(Pin<Box<F>>),
    Done(F::Output),
}

impl<F: Future> Together<F> {
    pub(super) fn new(all: impl Iterator<Item = F>) -> Together<F> {
        Together(all.map(|one| Slot::Waiting(Box::pin(one))).collect())
    }
}

impl<F: Future> Unpin for Together<F> {}

impl<F: Future> Future for Together<F> {
    type Output = Vec<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut is_done = true;
        for slot in &mut self.0 {
            if let Slot::Waiting(one) = slot {
                match one.as_mut().poll(cx) {
                    Poll::Ready(output) => *slot = Slot::Done(output),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if !is_done {
            return Poll::Pending;
        }
        let done = std::mem::take(&mut self.0).into_iter().filter_map(|slot| match slot {
            Slot::Done(output) => Some(output),
            Slot::Waiting(_) => None,
        });
        Poll::Ready(done.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn outputs_come_in_order_whoever_is_done_first() {
        let (first, first_done) = oneshot::channel();
        let (second, second_done) = oneshot::channel();
        let both = Together::new([first_done, second_done].into_iter());
        let telling = async {
            second.send(2).unwrap();
            tokio::task::yield_now().await;
            first.send(1).unwrap();
        };
        let (told, ()) = tokio::join!(both, telling);
        assert_eq!(told, [Ok(1), Ok(2)]);
    }
}
