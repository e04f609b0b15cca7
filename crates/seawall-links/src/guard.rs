//! The breaker in front of a shard's reads or writes.
//!
//! One for each direction: a full disk refuses writes and still answers reads, and a redirect must not be
//! refused because creates fail. Five failures in a row open it for a minute (S2).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use seawall_policy::breaker::{Breaker, Permit, Policy, State};
use seawall_policy::{Clock, Outcome};

use crate::degrade::{Ladder, Loss};

/// The store is being left alone; ask again after this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open(pub Duration);

/// Calls of one kind to one shard.
pub struct Guard {
    breaker: Breaker,
    clock: Arc<dyn Clock>,
    ladder: Ladder,
    loss: Loss,
    shard: u32,
}

impl Guard {
    /// Closed. `loss` is what an open one means.
    #[must_use]
    pub fn new(clock: &Arc<dyn Clock>, ladder: &Ladder, loss: Loss, shard: u32) -> Guard {
        let breaker = Breaker::new(Policy::s2_links());
        Guard { breaker, clock: clock.clone(), ladder: ladder.clone(), loss, shard }
    }

    /// Makes the call if it may be made, and tells the breaker how it went: as `judge` says, or abandoned
    /// when the caller drops it half-way.
    ///
    /// # Errors
    /// [`Open`] when it may not be made.
    pub async fn call<T>(
        &self,
        call: impl Future<Output = T>,
        judge: impl FnOnce(&T) -> Outcome,
    ) -> Result<T, Open> {
        let now = self.clock.now();
        let permit = self.breaker.admit(now).map_err(|retry_at| Open(retry_at.0.since(now)))?;
        let report = Report { guard: self, permit: Some(permit) };
        let answer = call.await;
        report.done(judge(&answer));
        Ok(answer)
    }

    fn report(&self, permit: Permit, outcome: Outcome) {
        let Some(change) = self.breaker.report(permit, outcome, self.clock.now()) else { return };
        let (from, to) = (change.from, change.to);
        tracing::warn!(shard = self.shard, loss = ?self.loss, ?outcome, ?from, ?to, "breaker changed state");
        match to {
            State::Closed => self.ladder.regain(self.loss, self.shard),
            State::Open { .. } | State::HalfOpen => self.ladder.lose(self.loss, self.shard),
        }
    }
}

/// Hands the permit back exactly once, also when the call is dropped: in async code any await may be the last.
struct Report<'a> {
    guard: &'a Guard,
    permit: Option<Permit>,
}

impl Report<'_> {
    fn done(mut self, outcome: Outcome) {
        self.send(outcome);
    }

    fn send(&mut self, outcome: Outcome) {
        if let Some(permit) = self.permit.take() {
            self.guard.report(permit, outcome);
        }
    }
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        self.send(Outcome::Abandoned);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use seawall_policy::{Mono, Wall};

    use super::*;

    /// A clock turned by hand, in seconds.
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Mono {
            Mono(self.0.load(Ordering::Relaxed) * 1_000_000_000)
        }
        fn wall(&self) -> Wall {
            Wall(0)
        }
    }

    fn guard() -> (Guard, Arc<Hand>, Ladder) {
        let hand = Arc::new(Hand(AtomicU64::new(1)));
        let clock: Arc<dyn Clock> = hand.clone();
        let ladder = Ladder::new(1);
        ladder.started();
        (Guard::new(&clock, &ladder, Loss::Reads, 0), hand, ladder)
    }

    async fn fail(guard: &Guard) -> Result<(), Open> {
        guard.call(async {}, |()| Outcome::Failed).await
    }

    #[tokio::test]
    async fn the_fifth_failure_in_a_row_opens_for_a_minute_and_degrades() {
        let (guard, hand, ladder) = guard();
        for _ in 0..5 {
            fail(&guard).await.unwrap();
        }
        assert_eq!(fail(&guard).await, Err(Open(Duration::from_secs(60))));
        assert!(ladder.state().borrow().to_string().contains("from memory only"));
        hand.0.store(61, Ordering::Relaxed);
        guard.call(async {}, |()| Outcome::Success).await.unwrap();
        assert_eq!(ladder.state().borrow().to_string(), "ready");
    }

    #[tokio::test]
    async fn an_abandoned_probe_gives_its_place_back() {
        let (guard, hand, _) = guard();
        for _ in 0..5 {
            fail(&guard).await.unwrap();
        }
        hand.0.store(61, Ordering::Relaxed);
        {
            let probe = guard.call(std::future::pending::<()>(), |()| Outcome::Success);
            assert!(tokio::time::timeout(Duration::from_millis(1), probe).await.is_err());
        }
        guard.call(async {}, |()| Outcome::Success).await.unwrap();
    }
}
