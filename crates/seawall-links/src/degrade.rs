//! What this system still does when it has lost something, and how it says so.
//!
//! | lost | redirects | create, delete, list | `/-/ready` |
//! |---|---|---|---|
//! | nothing | from memory, else from the store | served | ready |
//! | the news of a shard | the store first, memory if that fails | served | degraded |
//! | writes to a shard | as before | 503 with Retry-After for that shard | degraded |
//! | reads of a shard | from memory, however old; else 503 | 503 with Retry-After for that shard | degraded |
//!
//! Without news a deletion made by another process would go unnoticed here until an entry expires, so memory
//! is not trusted while the store can be asked. When it cannot, an answer that may be old is better for the one
//! who follows a link than none.
//!
//! It never turns "not ready": a process that answers from memory is worth keeping in the balancer.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use seawall_net::host::State;
use tokio::sync::watch;

/// Something that can be lost, per shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// The change stream cannot be followed.
    News,
    /// The store takes no writes.
    Writes,
    /// The store answers no reads.
    Reads,
}

impl Loss {
    fn meaning(self) -> &'static str {
        match self {
            Loss::News => "changes cannot be followed, redirects ask the store first",
            Loss::Writes => "the store takes no writes, nothing is created or deleted",
            Loss::Reads => "the store answers no reads, redirects are answered from memory only",
        }
    }
}

/// What is lost at the moment. Cheap to clone.
#[derive(Clone)]
pub struct Ladder(Arc<Inner>);

struct Inner {
    state: watch::Sender<State>,
    lost: Mutex<BTreeSet<(Loss, u32)>>,
    /// Per shard, for the path of each request: whether its news arrive.
    has_news: Box<[AtomicBool]>,
}

impl Ladder {
    /// Nothing lost, and starting.
    #[must_use]
    pub fn new(shards: u32) -> Ladder {
        Ladder(Arc::new(Inner {
            state: watch::Sender::new(State::Starting("opening the store")),
            lost: Mutex::default(),
            has_news: (0..shards).map(|_| AtomicBool::new(true)).collect(),
        }))
    }

    /// What `/-/ready` reads.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.0.state.subscribe()
    }

    /// Start-up is over.
    pub fn started(&self) {
        self.change(|_| true);
    }

    /// Something was lost; said again, it changes nothing.
    pub fn lose(&self, loss: Loss, shard: u32) {
        self.news(loss, shard, false);
        if self.change(|lost| lost.insert((loss, shard))) {
            tracing::warn!(shard, meanwhile = loss.meaning(), "degraded");
        }
    }

    /// It is back.
    pub fn regain(&self, loss: Loss, shard: u32) {
        self.news(loss, shard, true);
        if self.change(|lost| lost.remove(&(loss, shard))) {
            tracing::info!(shard, ?loss, "no longer degraded");
        }
    }

    /// Whether memory may answer for the shard without asking the store.
    #[must_use]
    pub fn trusts_memory(&self, shard: u32) -> bool {
        self.0.has_news[shard as usize].load(Ordering::Acquire)
    }

    fn news(&self, loss: Loss, shard: u32, arrive: bool) {
        if loss == Loss::News {
            self.0.has_news[shard as usize].store(arrive, Ordering::Release);
        }
    }

    fn change(&self, how: impl FnOnce(&mut BTreeSet<(Loss, u32)>) -> bool) -> bool {
        let mut lost = self.0.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = how(&mut lost);
        if changed {
            self.0.state.send_replace(state(&lost));
        }
        changed
    }
}

fn state(lost: &BTreeSet<(Loss, u32)>) -> State {
    let mut words = Vec::new();
    for loss in [Loss::News, Loss::Writes, Loss::Reads] {
        let shards: Vec<_> = lost.iter().filter(|(l, _)| *l == loss).map(|(_, s)| s.to_string()).collect();
        if !shards.is_empty() {
            words.push(format!("{} (shard {})", loss.meaning(), shards.join(", ")));
        }
    }
    if words.is_empty() { State::Ready } else { State::Degraded(words.join("; ").into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_named_with_their_shards_until_they_are_over() {
        let ladder = Ladder::new(3);
        assert_eq!(*ladder.state().borrow(), State::Starting("opening the store"));
        ladder.started();
        ladder.lose(Loss::News, 0);
        ladder.lose(Loss::News, 2);
        ladder.lose(Loss::Writes, 2);
        let said = ladder.state().borrow().to_string();
        assert_eq!(
            said,
            "degraded: changes cannot be followed, redirects ask the store first (shard 0, 2); \
             the store takes no writes, nothing is created or deleted (shard 2)"
        );
        assert!(ladder.state().borrow().is_ready());
        assert_eq!([0, 1, 2].map(|s| ladder.trusts_memory(s)), [false, true, false]);
        ladder.regain(Loss::News, 0);
        ladder.regain(Loss::News, 2);
        ladder.regain(Loss::Writes, 2);
        assert_eq!(*ladder.state().borrow(), State::Ready);
    }

    #[test]
    fn without_writes_memory_is_still_trusted() {
        let ladder = Ladder::new(1);
        ladder.lose(Loss::Writes, 0);
        ladder.lose(Loss::Reads, 0);
        assert!(ladder.trusts_memory(0));
    }
}
