//! Who decides about guilds: one process per data folder, one actor per guild.
//!
//! Everybody else speaks with the owner through [`Client`] only, in messages that serialise.
//!
//! ## Where to start reading
//!
//! The life of a message: [`Client::submit`] finds the owner (`lease`), `reign` finds the guild's actor (`actors`,
//! `room`, `say`), [`decide::messages::create`] decides, `writes` makes a batch of that, `pipeline` sees it to the disk.
//! Then `news` reads it from the change stream and tells whoever subscribed, here or over `remote`.
//!
//! ## What may be answered when
//!
//! Acknowledged means durable: an ask is answered after its batch is on disk. Where that is not known it is asked
//! again with the same key, which tells, as long as the caller's patience lasts.

mod actors;
mod ask;
pub mod decide;
pub mod lease;
pub mod limits;
mod news;
mod people;
mod pipeline;
pub mod presences;
mod reign;
pub mod remote;
mod room;
mod say;
mod writes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use seawall_cluster::lease::Core;
use seawall_net::client::Client as Http;
use seawall_net::host::{Fault, Host};
use seawall_policy::retry::{self, Backoff};
use seawall_policy::{Mono, Outcome, Rng, Wall};
use seawall_store::Position;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use self::actors::{Answer, Stop};
use self::lease::{Holder, Role, reachable};
use self::limits::{DISAGREED_MAX, LOST_MAX, Limits, NEWS_MAX, PATIENCE_MAX, RETRY_PAUSE};
use self::news::Feed;
pub(crate) use self::news::any as any_changed;
use self::reign::{Metrics, random};
use crate::command::{Ask, Done};
use crate::event::{Event, Presence};
use crate::refusal::Refusal;
use crate::storage::{Lease, Moved, Renewed, Storage};

/// What a subscriber hears, in this order: `Owner` first; then, per shard, every durable event after the position it
/// asked from, in the order of commits and without a gap; ephemeral ones in between.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// An owner speaks, perhaps a new one: it knows no presences, so each gateway reports those of its sessions again.
    Owner {
        /// Which reign.
        epoch: u64,
    },
    /// Something that is committed.
    Durable {
        /// Which shard.
        shard: u32,
        /// Its place there.
        at: Position,
        /// What.
        event: Event,
    },
    /// Another gateway has taken a session.
    Moved {
        /// Which shard.
        shard: u32,
        /// Its place there.
        at: Position,
        /// Which session, and who has it.
        moved: Moved,
    },
    /// A user has a new token, and earlier ones are worth nothing.
    Renewed {
        /// Which shard.
        shard: u32,
        /// Its place there.
        at: Position,
        /// Whose, and which is good.
        renewed: Renewed,
    },
    /// Something that tells nothing, or nothing this build knows, was committed; only its place matters.
    Passed {
        /// Which shard.
        shard: u32,
        /// Its place there.
        at: Position,
    },
    /// Changes that were asked for are deleted: the listener was away for longer than they are kept. What it
    /// remembers of this shard is not to be trusted; news go on after `now`.
    Missed {
        /// Which shard.
        shard: u32,
        /// Where it goes on.
        now: Position,
    },
    /// Something that is kept nowhere (typing).
    Ephemeral(Event),
    /// What one user now shows of itself.
    Presence(Presence),
}

impl News {
    /// How far whoever has heard this has got, and in which shard.
    #[must_use]
    pub fn reached(&self) -> Option<(u32, Position)> {
        match self {
            News::Durable { shard, at, .. }
            | News::Moved { shard, at, .. }
            | News::Renewed { shard, at, .. }
            | News::Passed { shard, at }
            | News::Missed { shard, now: at } => Some((*shard, *at)),
            News::Owner { .. } | News::Ephemeral(_) | News::Presence(_) => None,
        }
    }
}

/// The handle everybody uses, wherever the owner is.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    host: Host,
    http: Http,
    role: watch::Receiver<Role>,
    release: watch::Sender<bool>,
}

/// Starts what this process needs to have an owner: takes the lease when it is free, serves actors while it holds it,
/// else follows who does. `own_address` is where others find [`remote::routes`]. Returns once it is known who decides,
/// or after a moment.
///
/// # Errors
/// The operating system gives no random bytes.
pub async fn start(
    storage: Arc<Storage>,
    limits: Limits,
    host: &Host,
    own_address: SocketAddr,
) -> Result<Client, Fault> {
    let drawn = random::<32>(&host.tasks).await;
    let drawn = drawn.map_err(|e| Fault::because("cannot read /dev/urandom", e))?;
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let (name, key) = drawn.split_at(16);
    let ours = Lease {
        holder: hex(name),
        address: reachable(own_address).to_string(),
        key: hex(key),
        renewed_at: Wall(0),
    };
    let (role, follow) = watch::channel(Role::Nobody);
    let (release, released) = watch::channel(false);
    let mut holder = Holder {
        storage,
        host: host.clone(),
        limits,
        metrics: Metrics::new(&host.metrics),
        core: Core::new(ours.holder.clone(), ours.address.clone()),
        ours,
        role,
        release: released,
        is_leaving: false,
    };
    holder.look().await;
    host.tasks.vital("chat-lease", holder.run());
    let http = Http::new(host.clock.clone(), host.tasks.clone());
    Ok(Client(Arc::new(Shared { host: host.clone(), http, role: follow, release })))
}

impl Client {
    /// Has something done. Tries again with the same key inside the ask's patience, while an owner is changing or an
    /// actor starts again.
    ///
    /// # Errors
    /// It was not done; [`Refusal::Unknown`]: perhaps it was.
    pub async fn submit(&self, ask: Ask) -> Result<Done, Refusal> {
        let patience = Duration::from_millis(ask.patience_ms).min(PATIENCE_MAX);
        let deadline = self.now() + patience;
        let mut is_in_doubt = false;
        let (mut tries, mut lost, mut disagreed) = (0, 0, 0);
        let mut rng = Rng::new(self.0.host.seed ^ u128::from_be_bytes(ask.key) as u64);
        loop {
            let mut follow = self.0.role.clone();
            let role = follow.borrow_and_update().clone();
            let stop = match self.submit_to(&role, &ask, is_in_doubt, deadline).await {
                Ok(done) => return Ok(done),
                Err(stop) => stop,
            };
            let is_changing = stop == Stop::NotOwner;
            match stop {
                // Of an earlier try that is in doubt these say nothing.
                Stop::Refused(Refusal::Overloaded | Refusal::Internal) if is_in_doubt => {
                    return Err(Refusal::Unknown);
                }
                Stop::Refused(refusal) => return Err(refusal),
                Stop::Doubt => is_in_doubt = true,
                Stop::Lost => {
                    is_in_doubt = true;
                    lost += 1;
                }
                Stop::Retry => disagreed += 1,
                Stop::NotOwner => {}
            }
            if lost >= LOST_MAX {
                return Err(Refusal::Unknown);
            }
            if disagreed >= DISAGREED_MAX {
                tracing::error!("memory and store do not agree, however often a guild is loaded");
                return Err(if is_in_doubt { Refusal::Unknown } else { Refusal::Internal });
            }
            tries += 1;
            let Some(pause) = pause(tries, deadline.since(self.now()), &mut rng) else {
                return Err(if is_in_doubt { Refusal::Unknown } else { Refusal::Overloaded });
            };
            if is_changing {
                // Whoever it is by then, the role says so at once.
                drop(timeout(pause, follow.changed()).await);
            } else {
                tokio::time::sleep(pause).await;
            }
        }
    }

    async fn submit_to(&self, role: &Role, ask: &Ask, is_retry: bool, deadline: Mono) -> Answer {
        match role {
            Role::Nobody => Err(Stop::NotOwner),
            Role::Here(reign) => reign.submit(ask.clone(), deadline, is_retry).await,
            Role::There(lease) => {
                remote::submit(&self.0.http, lease, ask, is_retry, deadline, self.now()).await
            }
        }
    }

    /// Listens. `from[i]` is the position in shard i after which events are wanted; `gateway` is whose presences are
    /// dropped when it listens no longer. Never ends: survives a change of owner by subscribing again from where it
    /// got to (and yields [`News::Owner`] again).
    #[must_use]
    pub fn subscribe(&self, gateway: String, from: Vec<Position>) -> Subscription {
        let (to, news) = mpsc::channel(NEWS_MAX);
        let client = self.clone();
        self.0.host.tasks.vital("chat-news", async move { client.follow(gateway, from, to).await });
        Subscription(news)
    }

    async fn follow(self, gateway: String, mut from: Vec<Position>, to: mpsc::Sender<News>) {
        let mut follow = self.0.role.clone();
        loop {
            let role = follow.borrow_and_update().clone();
            let heard = match &role {
                Role::Nobody => Ok(()),
                Role::Here(reign) => Feed::new(reign, gateway.clone(), to.clone(), &mut from).run().await,
                Role::There(lease) => {
                    let listen = remote::listen(&self.0.http, lease, &gateway, &mut from, &to);
                    tokio::select! {
                        heard = listen => heard,
                        _ = follow.changed() => continue,
                    }
                }
            };
            if heard.is_err() {
                return;
            }
            tokio::select! {
                () = to.closed() => return,
                _ = timeout(RETRY_PAUSE, follow.changed()) => {}
            }
        }
    }

    /// Gives the lease back, if we hold it, so that another process need not wait. To be called when the last
    /// connection is drained; it also happens by itself before the grace time ends.
    pub async fn release(&self) {
        self.0.release.send_replace(true);
        let mut role = self.0.role.clone();
        drop(role.wait_for(|role| !matches!(role, Role::Here(_))).await);
    }

    /// Whether this process decides.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        matches!(&*self.0.role.borrow(), Role::Here(_))
    }

    /// Returns when this process decides, or when it does not.
    pub async fn became(&self, owner: bool) {
        let mut role = self.0.role.clone();
        if role.wait_for(|role| matches!(role, Role::Here(_)) == owner).await.is_err() {
            // Nobody looks after the lease any more: the runtime ends.
            std::future::pending::<()>().await;
        }
    }

    /// Asks a page of the owner in another process; nothing when it is not there, or does not answer as it should.
    pub(crate) async fn ask_page<A: Serialize, B: DeserializeOwned>(
        &self,
        page: &str,
        asked: &A,
        patience: Duration,
        bytes_max: usize,
    ) -> Option<B> {
        let Role::There(lease) = self.role() else { return None };
        remote::ask_page(&self.0.http, &lease, page, asked, patience, bytes_max).await
    }

    /// Whether a call of another process may be answered here: this one decides, and it shows the key.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        let Role::Here(reign) = self.role() else { return Err(StatusCode::CONFLICT) };
        if remote::has_key(headers, &reign.key) { Ok(()) } else { Err(StatusCode::UNAUTHORIZED) }
    }

    /// Whether anybody does, as far as this process knows.
    #[must_use]
    pub fn has_owner(&self) -> bool {
        !matches!(&*self.0.role.borrow(), Role::Nobody)
    }

    fn role(&self) -> Role {
        self.0.role.borrow().clone()
    }

    fn now(&self) -> Mono {
        self.0.host.clock.now()
    }
}

/// The wait before another try; `None` when nobody waits so long. 20 ms doubling to 160 ms with full jitter, so that
/// those whom a lost owner or actor has left waiting do not return as one; the last step repeats while patience lasts.
fn pause(tries: u32, left: Duration, rng: &mut Rng) -> Option<Duration> {
    const STEPS: u32 = 4;
    let policy = retry::Policy {
        attempts: STEPS + 1,
        backoff: Backoff { base: RETRY_PAUSE, max: RETRY_PAUSE * 8, ..Backoff::default() },
        within: Duration::MAX,
        ..retry::Policy::default()
    };
    match policy.next(tries.clamp(1, STEPS), Outcome::Unreachable, true, Duration::ZERO, left, rng) {
        retry::Next::Again { after, .. } | retry::Next::Elsewhere { after, .. } => Some(after),
        retry::Next::Stop(_) => None,
    }
}

/// News for one listener.
pub struct Subscription(mpsc::Receiver<News>);

impl Subscription {
    /// The next. Dropping the future loses nothing.
    pub async fn next(&mut self) -> News {
        match self.0.recv().await {
            Some(news) => news,
            // The task that follows ends only with its runtime.
            None => std::future::pending().await,
        }
    }
}
