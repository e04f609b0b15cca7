//! One term of ownership: everything that exists because this process decides, and goes when it no longer does.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use seawall_net::host::Host;
use seawall_net::tasks::Tasks;
use seawall_net::telemetry::{Counter, Gauge, Scope};
use seawall_policy::deadline::Deadline;
use seawall_policy::{Clock, Mono};
use seawall_store::{Batch, Epoch, Op, Owned, Why, Written};
use tokio::sync::{broadcast, oneshot, watch};

use super::actors::{Actors, Answer, Order, Place, Stop, Wish};
use super::limits::{EPHEMERALS_MAX, Limits, PRESENCE_EVERY, RETRY_PAUSE, WRITE_PATIENCE};
use super::presences::Presences;
use super::writes::{self, Target};
use crate::command::{Ask, Command, Done};
use crate::event::Event;
use crate::id::{Id, Mint};
use crate::refusal::Refusal;
use crate::storage::{Committed, Home, Storage, Trouble, hk_direct, hk_guild, hk_user};

/// What is claimed on every shard.
pub(super) const SCOPE: &str = "chat";

/// What the owner counts.
#[derive(Clone)]
pub(super) struct Metrics {
    pub(super) panics: Counter,
    pub(super) reigns: Counter,
    pub(super) lost: Counter,
    pub(super) actors: Gauge,
}

impl Metrics {
    /// Under these names.
    pub(super) fn new(scope: &Scope) -> Metrics {
        Metrics {
            panics: scope.counter("owner_actor_panics", "Actors loaded again after a panic"),
            reigns: scope.counter("owner_reigns", "Times this process became the owner"),
            lost: scope.counter("owner_reigns_lost", "Times another process took over"),
            actors: scope.gauge("owner_actors", "Guilds, direct messages and users with an actor"),
        }
    }
}

/// One term.
pub(super) struct Reign {
    pub(super) storage: Arc<Storage>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tasks: Tasks,
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    /// Whether the fault `panic` is planted.
    pub(super) has_panic: bool,
    /// What a caller over the network shows.
    pub(super) key: String,
    pub(super) actors: Actors,
    /// Held while a name is taken, until its user is there: nobody else may think it abandoned meanwhile.
    pub(super) naming: tokio::sync::Mutex<()>,
    pub(super) ephemerals: broadcast::Sender<Event>,
    pub(super) presences: Mutex<Presences>,
    /// The number of the newest change of a presence.
    pub(super) presence_number: watch::Sender<u64>,
    /// One for each shard.
    epochs: Vec<Epoch>,
    mint: Mutex<Mint>,
    lost: watch::Sender<bool>,
    /// Streams of news to other processes.
    listeners: AtomicUsize,
}

/// A stream of news to another process, counted while it lasts.
pub(super) struct Listener(Arc<Reign>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reign {
    /// Begins with these epochs.
    pub(super) fn new(
        storage: Arc<Storage>,
        host: &Host,
        limits: Limits,
        metrics: Metrics,
        key: String,
        epochs: Vec<Epoch>,
    ) -> Arc<Reign> {
        metrics.reigns.inc();
        let mint = Mint::new(epochs.first().copied().unwrap_or_default());
        let reign = Arc::new(Reign {
            storage,
            clock: host.clock.clone(),
            tasks: host.tasks.clone(),
            limits,
            metrics,
            has_panic: host.plants.has("panic"),
            key,
            actors: Actors::default(),
            naming: tokio::sync::Mutex::default(),
            ephemerals: broadcast::Sender::new(EPHEMERALS_MAX),
            presences: Mutex::default(),
            presence_number: watch::Sender::new(0),
            epochs,
            mint: Mutex::new(mint),
            lost: watch::Sender::new(false),
            listeners: AtomicUsize::new(0),
        });
        let ticking = reign.clone();
        reign.tasks.vital("chat-owner-presences", async move { ticking.tick().await });
        reign
    }

    /// The reign's number, which rises with every change of owner.
    pub(super) fn epoch(&self) -> Epoch {
        self.epochs.first().copied().unwrap_or_default()
    }

    /// Somebody else decides now. Every actor goes, with what it has in its queue.
    pub(super) fn lose(&self) {
        self.lost.send_if_modified(|lost| !std::mem::replace(lost, true));
    }

    /// Whether it is over.
    pub(super) fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Returns when it is over.
    pub(super) async fn lost(&self) {
        let mut lost = self.lost.subscribe();
        drop(lost.wait_for(|lost| *lost).await);
    }

    /// Another process listens.
    pub(super) fn listener(self: &Arc<Reign>) -> Listener {
        self.listeners.fetch_add(1, Ordering::Relaxed);
        Listener(self.clone())
    }

    /// How many do.
    pub(super) fn remote_listeners(&self) -> usize {
        self.listeners.load(Ordering::Relaxed)
    }

    async fn tick(&self) {
        loop {
            tokio::select! {
                () = self.lost() => return,
                () = tokio::time::sleep(PRESENCE_EVERY / 2) => {}
            }
            let newest = self.presences().tick(self.clock.now());
            if let Some(number) = newest {
                self.presence_number.send_replace(number);
            }
            self.metrics.actors.set(i64::try_from(self.actors.len()).unwrap_or(i64::MAX));
        }
    }

    /// The presences.
    pub(super) fn presences(&self) -> std::sync::MutexGuard<'_, Presences> {
        self.presences.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A fresh id, above all that this process gave or has seen.
    pub(super) fn next_id(&self) -> Id {
        self.mint().next(self.clock.wall())
    }

    /// An earlier owner's clock may have been faster.
    pub(super) fn after(&self, id: Id) {
        self.mint().after(id);
    }

    fn mint(&self) -> std::sync::MutexGuard<'_, Mint> {
        self.mint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Random bytes from the operating system.
    pub(super) async fn random<const N: usize>(&self) -> Result<[u8; N], Refusal> {
        random(&self.tasks).await.map_err(|error| {
            tracing::error!(%error, "cannot draw random bytes");
            Refusal::Internal
        })
    }

    /// The claim on the shard of a hash key.
    pub(super) fn owned(&self, hk: i64) -> Owned {
        let shard = self.storage.shard_of(hk) as usize;
        Owned { scope: SCOPE.to_owned(), epoch: self.epochs.get(shard).copied().unwrap_or_default() }
    }

    /// Where things of a place are written.
    pub(super) fn target(&self, place: Place) -> Target {
        let (home, hk, about) = match place {
            Place::Guild(guild) => (Home::Guild(guild), hk_guild(guild), guild),
            Place::Direct(channel) => (Home::Direct, hk_direct(channel), channel),
            Place::User(user) => (Home::Direct, hk_user(user), user),
            Place::Names => (Home::Direct, hk_user(Id(0)), Id(0)),
        };
        Target { home, hk, about, owned: self.owned(hk) }
    }

    /// Writes; being fenced ends the reign.
    pub(super) async fn write(&self, batch: Batch, deadline: Mono) -> Written {
        let latest = self.clock.now() + WRITE_PATIENCE;
        let written = self.storage.write(batch, Deadline { at: deadline.min(latest) }).await;
        self.notice(&written);
        written
    }

    /// Ends the reign when a write says that it is over.
    pub(super) fn notice(&self, written: &Written) {
        if let Written::Rejected(Why::Fenced { current }) = written
            && !self.is_lost()
        {
            tracing::warn!(ours = self.epoch().0, current = current.0, "another process decides now");
            self.lose();
        }
    }

    /// Writes until it is known what became of it: the batch has a key, or may be repeated. With whether that took
    /// more than one try.
    pub(super) async fn settle(&self, batch: Batch, deadline: Mono) -> Result<(Committed, bool), Stop> {
        let mut is_in_doubt = false;
        loop {
            let stop = match self.write(batch.clone(), deadline).await {
                Written::Committed { at, rows, again } => {
                    return Ok((Committed { at, rows, again }, is_in_doubt));
                }
                Written::Unknown => Stop::Doubt,
                Written::Rejected(why) => {
                    // These two have seen what is on disk; the others say nothing of an earlier try.
                    let is_sure = matches!(why, Why::Conflict { .. } | Why::KeyReused);
                    if is_sure || !is_in_doubt {
                        return Err(stop_of(why));
                    }
                    Stop::Doubt
                }
            };
            is_in_doubt = true;
            if self.is_lost() || left(deadline, self.clock.now()).is_none() {
                return Err(stop);
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Writes or takes away what only helps to find something, on the shard of its own hash key. Only an owner may:
    /// one that was taken over must not take a hint away that is needed again.
    pub(super) async fn hint(&self, hk: i64, op: Op, deadline: Mono) -> Result<Committed, Stop> {
        let mut batch = writes::plain(hk, vec![op]);
        batch.owned = Some(self.owned(hk));
        self.settle(batch, deadline).await.map(|(committed, _)| committed)
    }

    /// Asks the one who decides about it, in this process.
    pub(super) async fn submit(self: &Arc<Reign>, ask: Ask, deadline: Mono, is_retry: bool) -> Answer {
        if let Command::Presence { gateway, session, status, activities } = ask.command {
            let user = ask.actor.ok_or(Refusal::Unauthorized)?;
            let now = self.clock.now();
            self.presences().set(user, &gateway, &session, &status, activities, now);
            return Ok(nothing());
        }
        let place = self.place(&ask).await?;
        self.order(place, Wish::Ask(ask), deadline, is_retry).await
    }

    /// Queues a wish and waits for what becomes of it.
    pub(super) async fn order(
        self: &Arc<Reign>,
        place: Place,
        wish: Wish,
        deadline: Mono,
        is_retry: bool,
    ) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.actors.send(self, place, Order { wish, deadline, is_retry, reply })?;
        let left = deadline.since(self.clock.now());
        match tokio::time::timeout(left, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(if self.is_lost() { Stop::Doubt } else { Stop::Lost }),
            Err(_) => Err(Stop::Doubt),
        }
    }

    /// Who decides about a command.
    async fn place(&self, ask: &Ask) -> Result<Place, Refusal> {
        Ok(match &ask.command {
            Command::CreateUser { .. } => Place::Names,
            Command::ResetToken { user } => Place::User(*user),
            Command::UpdateUser { .. } | Command::Presence { .. } => {
                Place::User(ask.actor.ok_or(Refusal::Unauthorized)?)
            }
            Command::OpenDirect { recipient } => {
                Place::User(ask.actor.ok_or(Refusal::Unauthorized)?.min(*recipient))
            }
            Command::CreateGuild { owner, .. } => {
                Place::User(ask.actor.or(*owner).ok_or(Refusal::UnknownUser)?)
            }
            Command::UpdateGuild { guild, .. }
            | Command::DeleteGuild { guild }
            | Command::CreateChannel { guild, .. }
            | Command::CreateRole { guild, .. }
            | Command::UpdateRole { guild, .. }
            | Command::DeleteRole { guild, .. }
            | Command::AddMember { guild, .. }
            | Command::UpdateMember { guild, .. }
            | Command::SetMemberRole { guild, .. }
            | Command::RemoveMember { guild, .. }
            | Command::Ban { guild, .. }
            | Command::Unban { guild, .. } => Place::Guild(*guild),
            Command::UpdateChannel { channel, .. }
            | Command::DeleteChannel { channel }
            | Command::SetOverwrite { channel, .. }
            | Command::DeleteOverwrite { channel, .. }
            | Command::CreateInvite { channel, .. }
            | Command::CreateMessage { channel, .. }
            | Command::UpdateMessage { channel, .. }
            | Command::DeleteMessage { channel, .. }
            | Command::DeleteMessages { channel, .. }
            | Command::Pin { channel, .. }
            | Command::AddReaction { channel, .. }
            | Command::RemoveReactions { channel, .. }
            | Command::Typing { channel } => match self.storage.home(*channel).await? {
                Some(Home::Guild(guild)) => Place::Guild(guild),
                Some(Home::Direct) => Place::Direct(*channel),
                None => return Err(Refusal::UnknownChannel),
            },
            Command::DeleteInvite { code } | Command::UseInvite { code } => {
                let invite = self.storage.invite(code).await?.ok_or(Refusal::UnknownInvite)?;
                Place::Guild(invite.guild_id)
            }
        })
    }
}

/// What a rejected write means for the one who asked.
pub(super) fn stop_of(why: Why) -> Stop {
    match why {
        Why::Fenced { .. } => Stop::NotOwner,
        // Memory and disk disagree: the actor loads again.
        Why::Conflict { .. } => Stop::Retry,
        Why::TooLarge => Stop::Refused(Refusal::TooLarge),
        why => Stop::Refused(Trouble::from(why).into()),
    }
}

/// Done, and there is nothing to say.
pub(super) fn nothing() -> Done {
    Done { body: serde_json::value::RawValue::NULL.to_owned(), at: None, again: false }
}

/// Random bytes from the operating system.
pub(super) async fn random<const N: usize>(tasks: &Tasks) -> std::io::Result<[u8; N]> {
    let draw = || {
        let mut bytes = [0; N];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    tasks.blocking(draw).await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
}

/// What is left of a caller's patience.
pub(super) fn left(deadline: Mono, now: Mono) -> Option<Duration> {
    Some(deadline.since(now)).filter(|left| !left.is_zero())
}
