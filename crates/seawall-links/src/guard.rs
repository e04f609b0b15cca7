//! What stands in front of a shard's reads or writes: so many at once, and a breaker.
//!
//! One for each direction: a full disk refuses writes and still answers reads, and a redirect must not be
//! refused because creates fail. Five failures in a row open it for a minute (S2).
//!
//! The places are what the links document leaves out. With its cache lost, all requests fall through to the
//! database, three times as many as it has seen before, and slow each other down until none is answered in time.
//! Behind a bulkhead the store does as much as it can, and whoever finds no place is refused at once. Lists go before
//! redirects here as they do at the door: the store's places are fewer, and would be full of them long before the
//! door's are.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use seawall_policy::admission::{Ask, Chain, Parts, Places, Refusal};
use seawall_policy::breaker::{Breaker, State, Transition};
use seawall_policy::inflight::Limit;
use seawall_policy::priority::Priority;
use seawall_policy::shed::Shedder;
use seawall_policy::{Clock, Outcome};

use crate::config::Config;
use crate::degrade::{Ladder, Loss};

/// The call was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The store is being left alone; ask again after this time.
    Open(Duration),
    /// As many calls as may be are being made.
    Full,
}

/// Calls of one kind to one shard.
pub struct Guard {
    chain: Chain,
    clock: Arc<dyn Clock>,
    ladder: Ladder,
    loss: Loss,
    shard: u32,
}

impl Guard {
    /// Closed, and empty. `loss` is what an open one means.
    #[must_use]
    pub fn new(config: &Config, clock: &Arc<dyn Clock>, ladder: &Ladder, loss: Loss, shard: u32) -> Guard {
        let chain = Chain::new(Parts {
            shed: Some(Shedder::new(config.shed.clone())),
            places: Places::Fixed(Limit::new(config.store_in_flight_max)),
            breaker: Some(Breaker::new(config.store_breaker.clone())),
            ..Parts::default()
        });
        Guard { chain, clock: clock.clone(), ladder: ladder.clone(), loss, shard }
    }

    /// Makes the call if it may be made, and tells the breaker how it went: as `judge` says, or abandoned
    /// when the caller drops it half-way.
    ///
    /// # Errors
    /// [`Refused`] when it may not be made.
    pub async fn call<T>(
        &self,
        priority: Priority,
        call: impl Future<Output = T>,
        judge: impl FnOnce(&T) -> Outcome,
    ) -> Result<T, Refused> {
        let now = self.clock.now();
        let pass = self.chain.admit(&Ask::new(priority), now).map_err(|refusal| match refusal {
            Refusal::Open(retry_at) => Refused::Open(retry_at.since(now)),
            _ => Refused::Full,
        })?;
        let answer = call.await;
        let outcome = judge(&answer);
        if let Some(change) = pass.report(outcome, self.clock.now()) {
            self.tell(outcome, change);
        }
        Ok(answer)
    }

    fn tell(&self, outcome: Outcome, change: Transition) {
        let (from, to) = (change.from, change.to);
        tracing::warn!(shard = self.shard, loss = ?self.loss, ?outcome, ?from, ?to, "breaker changed state");
        match to {
            State::Closed => self.ladder.regain(self.loss, self.shard),
            State::Open { .. } | State::HalfOpen => self.ladder.lose(self.loss, self.shard),
        }
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
        let config = Config { store_in_flight_max: 10, ..Config::default() };
        (Guard::new(&config, &clock, &ladder, Loss::Reads, 0), hand, ladder)
    }

    async fn fail(guard: &Guard) -> Result<(), Refused> {
        guard.call(Priority::P0, async {}, |()| Outcome::Failed).await
    }

    #[tokio::test]
    async fn the_fifth_failure_in_a_row_opens_for_a_minute_and_degrades() {
        let (guard, hand, ladder) = guard();
        for _ in 0..5 {
            fail(&guard).await.unwrap();
        }
        assert_eq!(fail(&guard).await, Err(Refused::Open(Duration::from_secs(60))));
        assert!(ladder.state().borrow().to_string().contains("from memory only"));
        hand.0.store(61, Ordering::Relaxed);
        guard.call(Priority::P0, async {}, |()| Outcome::Success).await.unwrap();
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
            let probe = guard.call(Priority::P0, std::future::pending::<()>(), |()| Outcome::Success);
            assert!(tokio::time::timeout(Duration::from_millis(1), probe).await.is_err());
        }
        guard.call(Priority::P0, async {}, |()| Outcome::Success).await.unwrap();
    }

    #[tokio::test]
    async fn the_eleventh_of_ten_is_refused_at_once_and_a_list_already_at_the_ninth() {
        let (guard, _, ladder) = guard();
        let wait = || Box::pin(guard.call(Priority::P0, std::future::pending::<()>(), |()| Outcome::Success));
        let list = || guard.call(Priority::P3, async {}, |()| Outcome::Success);
        let mut waiting = Vec::new();
        for taken in 0..10 {
            let listed = if taken < 9 { Ok(()) } else { Err(Refused::Full) };
            assert_eq!(list().await, listed, "{taken} of ten are taken");
            let mut one = wait();
            assert!(tokio::time::timeout(Duration::from_millis(1), &mut one).await.is_err());
            waiting.push(one);
        }
        assert_eq!(fail(&guard).await, Err(Refused::Full));
        waiting.pop();
        assert_eq!(fail(&guard).await, Ok(()));
        assert_eq!(ladder.state().borrow().to_string(), "ready", "being busy is no loss");
    }
}
