//! Actors: one task for each thing that is decided about, behind a bounded queue.
//!
//! A panic loses an actor's memory and nothing else. Its queue stays, what was in flight is asked again by whoever
//! waits for it (with the same key, so that nothing is done twice), and the actor loads what it knew from the store.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use seawall_net::tasks::panic_text;
use seawall_policy::Mono;
use tokio::sync::{mpsc, oneshot};

use super::limits::{ACTOR_IDLE, ACTORS_MAX, ASKS_MAX, RESTART_PAUSE};
use super::people;
use super::reign::Reign;
use super::room::RoomActor;
use crate::command::{Ask, Done};
use crate::id::Id;
use crate::model::User;
use crate::refusal::Refusal;

/// What there is one actor for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// A guild with all that belongs to it.
    Guild(Id),
    /// A direct message.
    Direct(Id),
    /// A user, and between two of them the older.
    User(Id),
    /// The making of users: one at a time, because names are unique.
    Names,
}

impl Place {
    /// How long its actor stays without being asked anything. Those without memory cost nothing to start.
    fn idle(self) -> Duration {
        match self {
            Place::Guild(_) | Place::Direct(_) => ACTOR_IDLE,
            Place::User(_) | Place::Names => ACTOR_IDLE / 60,
        }
    }
}

/// Why an ask is not done, or not yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stop {
    /// It will not be.
    Refused(Refusal),
    /// Not done by this try; another may.
    Retry,
    /// Perhaps done; another try with the same key tells.
    Doubt,
    /// The actor died of it, or of something else; perhaps done.
    Lost,
    /// Somebody else decides now. Not done by this try.
    NotOwner,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Refused(refusal)
    }
}

/// What became of an ask.
pub(super) type Answer = Result<Done, Stop>;

/// What an actor is asked.
pub(super) enum Wish {
    /// What somebody wants.
    Ask(Ask),
    /// A member has another profile: told by the user's actor to each guild it is in.
    Profile(User, [u8; 16]),
}

/// A wish on its way.
pub(super) struct Order {
    pub(super) wish: Wish,
    /// Nobody waits any longer.
    pub(super) deadline: Mono,
    /// An earlier try may have done it.
    pub(super) is_retry: bool,
    pub(super) reply: oneshot::Sender<Answer>,
}

impl Order {
    /// Answers; who stopped waiting needs none.
    pub(super) fn answer(self, answer: Answer) {
        drop(self.reply.send(answer));
    }
}

/// All actors of a reign.
#[derive(Default)]
pub(super) struct Actors(Mutex<HashMap<Place, mpsc::Sender<Order>>>);

/// How an actor's run ended.
pub(super) enum Exit {
    /// It is not needed.
    Leave,
    /// What it remembers may be wrong; load it again.
    Reload,
}

impl Actors {
    /// Queues a wish for a place, whose actor is started if there is none.
    ///
    /// # Errors
    /// The queue is full, there are too many actors, or the reign is over.
    pub(super) fn send(&self, reign: &Arc<Reign>, place: Place, order: Order) -> Result<(), Stop> {
        if reign.is_lost() {
            return Err(Stop::NotOwner);
        }
        let mut actors = self.lock();
        if let Some(queue) = actors.get(&place) {
            match queue.try_send(order) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(_)) => return Err(Refusal::Overloaded.into()),
                // It ended with the reign, in this moment.
                Err(mpsc::error::TrySendError::Closed(_)) => return Err(Stop::NotOwner),
            }
        }
        if actors.len() >= ACTORS_MAX {
            return Err(Refusal::Overloaded.into());
        }
        let (queue, asked) = mpsc::channel(ASKS_MAX);
        if queue.try_send(order).is_err() {
            return Err(Refusal::Overloaded.into());
        }
        actors.insert(place, queue);
        drop(actors);
        let reign = reign.clone();
        reign.tasks.clone().vital("chat-actor", async move { supervise(reign, place, asked).await });
        Ok(())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Takes an actor out, unless it was asked something in the meantime.
    fn leave(&self, place: Place, asked: &mpsc::Receiver<Order>) -> bool {
        let mut actors = self.lock();
        let is_idle = asked.is_empty();
        if is_idle {
            actors.remove(&place);
        }
        is_idle
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Place, mpsc::Sender<Order>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs an actor until nobody needs it or the reign is over. The queue is kept here, beyond the reach of a panic.
async fn supervise(reign: Arc<Reign>, place: Place, mut asked: mpsc::Receiver<Order>) {
    let mut is_first = true;
    loop {
        if reign.is_lost() {
            return;
        }
        let run = Contained(Box::pin(run(&reign, place, &mut asked, is_first)));
        is_first = false;
        match run.await {
            Ok(Exit::Leave) => {
                if reign.actors.leave(place, &asked) {
                    return;
                }
            }
            Ok(Exit::Reload) => {}
            Err(panic) => {
                reign.metrics.panics.inc();
                tracing::error!(?place, panic, "an actor panicked; only it is loaded again");
                tokio::time::sleep(RESTART_PAUSE).await;
            }
        }
    }
}

async fn run(reign: &Arc<Reign>, place: Place, asked: &mut mpsc::Receiver<Order>, is_first: bool) -> Exit {
    match place {
        Place::Guild(_) | Place::Direct(_) => RoomActor::run(reign, place, asked, is_first).await,
        Place::User(_) | Place::Names => {
            while let Some(order) = next(reign, place, asked).await {
                people::serve(reign, order).await;
            }
            Exit::Leave
        }
    }
}

/// The next wish; `None` when it is time to go.
pub(super) async fn next(reign: &Reign, place: Place, asked: &mut mpsc::Receiver<Order>) -> Option<Order> {
    tokio::select! {
        order = asked.recv() => order,
        () = reign.lost() => None,
        () = tokio::time::sleep(place.idle()) => None,
    }
}

/// A future whose panic becomes a value.
struct Contained<F>(Pin<Box<F>>);

impl<F: Future> Future for Contained<F> {
    type Output = Result<F::Output, String>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic_text(&*panic))),
        }
    }
}
