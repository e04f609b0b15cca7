//! Guilds as this process knows them: loaded when somebody asks, followed event by event from then on.
//!
//! Loading takes a while, and events arrive meanwhile. They are kept aside, and those that the loaded state does not
//! contain yet are applied to it before anybody sees it. So a guild here is never older than what the sequencer has
//! passed on, and two who ask at once wait for one load.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use seawall_store::Position;
use tokio::sync::watch;

use crate::event::Event;
use crate::id::Id;
use crate::state::GuildState;
use crate::storage::{Storage, Trouble};

/// How long a reader waits for the events of its own writes. They arrive within milliseconds.
const BEHIND_MAX: Duration = Duration::from_secs(2);
/// Events kept aside while a guild is loaded; a load that takes longer is begun anew.
const ASIDE_MAX: usize = 10_000;

/// A guild's state, shared with whoever reads it.
pub type Shared = Arc<RwLock<GuildState>>;

/// The guilds this process knows.
pub struct Replica {
    storage: Arc<Storage>,
    guilds: Mutex<HashMap<Id, Known>>,
    /// Per shard, the newest write that this process was told of.
    noted: Box<[AtomicU64]>,
    /// Per shard, how far events were followed.
    reached: watch::Sender<Box<[Position]>>,
    /// Counts looks, so that it is known which guild was not looked at for the longest time.
    looks: AtomicU64,
}

enum Known {
    /// Being loaded, with the events that came meanwhile; none of them when there were too many.
    Loading { aside: Option<Vec<(Position, Event)>>, done: watch::Receiver<()> },
    /// Here.
    Here(Here),
}

struct Here {
    state: Shared,
    /// Events up to here were in it when it was loaded.
    contains: Position,
    looked_at: u64,
}

/// What is read before an event is applied.
fn read_lock(state: &Shared) -> std::sync::RwLockReadGuard<'_, GuildState> {
    state.read().unwrap_or_else(PoisonError::into_inner)
}

impl Replica {
    /// Knows nothing yet; `reached` is where following begins.
    #[must_use]
    pub fn new(storage: Arc<Storage>, reached: &[Position]) -> Replica {
        Replica {
            storage,
            guilds: Mutex::default(),
            noted: reached.iter().map(|p| AtomicU64::new(p.0)).collect(),
            reached: watch::Sender::new(reached.into()),
            looks: AtomicU64::new(0),
        }
    }

    /// The guild's state, loaded if absent, containing at least every write this process was told of (see
    /// [`Replica::note`]). None: there is no such guild.
    ///
    /// # Errors
    /// It cannot be loaded, or events do not arrive.
    pub async fn guild(&self, id: Id) -> Result<Option<Shared>, Trouble> {
        let shard = self.storage.shard_of_guild(id);
        let Some((state, contains)) = self.load(id).await? else { return Ok(None) };
        let wanted = Position(self.noted(shard).map_or(0, |noted| noted.load(Ordering::Acquire)));
        if contains >= wanted {
            return Ok(Some(state));
        }
        if !self.followed(shard, wanted).await {
            return Err(Trouble::Busy);
        }
        // What was waited for may have been the guild's end.
        self.loaded(id).await
    }

    /// Waits until events of a shard were followed up to `wanted`; false when they do not arrive.
    pub(super) async fn followed(&self, shard: u32, wanted: Position) -> bool {
        let mut reached = self.reached.subscribe();
        let there = reached.wait_for(|reached| at(reached, shard) >= wanted);
        tokio::time::timeout(BEHIND_MAX, there).await.is_ok()
    }

    /// The guild's state, loaded if absent.
    pub(super) async fn loaded(&self, id: Id) -> Result<Option<Shared>, Trouble> {
        Ok(self.load(id).await?.map(|(state, _)| state))
    }

    /// A write was answered to this process: whoever reads from now on reads at least that.
    pub fn note(&self, at: Option<(u32, Position)>) {
        if let Some((shard, at)) = at
            && let Some(noted) = self.noted(shard)
        {
            noted.fetch_max(at.0, Ordering::AcqRel);
        }
    }

    /// The guild's state, if it is here.
    #[must_use]
    pub fn here(&self, id: Id) -> Option<Shared> {
        match self.lock().get(&id) {
            Some(Known::Here(here)) => Some(here.state.clone()),
            _ => None,
        }
    }

    /// Follows one event of a guild, which is applied where it is news. The state after it, if the guild is here.
    pub(super) fn apply(&self, id: Id, at: Position, event: &Event) -> Option<Shared> {
        let mut guilds = self.lock();
        match guilds.get_mut(&id)? {
            Known::Loading { aside, .. } => {
                match aside {
                    Some(events) if events.len() < ASIDE_MAX => events.push((at, event.clone())),
                    too_many => *too_many = None,
                }
                None
            }
            Known::Here(here) => {
                let state = here.state.clone();
                let is_news = at > here.contains;
                drop(guilds);
                if is_news {
                    follow(&mut state.write().unwrap_or_else(PoisonError::into_inner), event);
                }
                Some(state)
            }
        }
    }

    /// Everything up to here was followed.
    pub(super) fn reached(&self, positions: &[Position]) {
        self.reached.send_replace(positions.into());
    }

    /// Forgets a guild that is no more.
    pub(super) fn forget(&self, id: Id) {
        self.lock().remove(&id);
    }

    /// Forgets all guilds.
    pub(super) fn forget_all(&self) {
        self.lock().clear();
    }

    /// Forgets guilds that nobody `needs` or holds, those first that nobody has looked at for the longest time, until
    /// `max` of them are left. How many guilds are here then.
    pub(super) fn trim(&self, max: usize, needs: impl Fn(Id) -> bool) -> usize {
        let mut guilds = self.lock();
        let mut idle: Vec<_> = guilds
            .iter()
            .filter_map(|(id, known)| match known {
                // New holders find it through the lock that is held here.
                Known::Here(here) if !needs(*id) && Arc::strong_count(&here.state) == 1 => {
                    Some((here.looked_at, *id))
                }
                _ => None,
            })
            .collect();
        if idle.len() > max {
            idle.sort_unstable();
            for (_, id) in &idle[..idle.len() - max] {
                guilds.remove(id);
            }
        }
        guilds.len()
    }

    fn noted(&self, shard: u32) -> Option<&AtomicU64> {
        self.noted.get(shard as usize)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Known>> {
        self.guilds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load(&self, id: Id) -> Result<Option<(Shared, Position)>, Trouble> {
        loop {
            let mut waiting = match self.begin(id) {
                Begun::Here(state, contains) => return Ok(Some((state, contains))),
                Begun::Waiting(done) => done,
                Begun::Mine(load) => match load.run().await? {
                    Loaded::Is(state, contains) => return Ok(Some((state, contains))),
                    Loaded::IsNot => return Ok(None),
                    Loaded::Again => continue,
                },
            };
            // An error says that whoever loaded has let go: look again.
            drop(waiting.changed().await);
        }
    }

    fn begin(&self, id: Id) -> Begun<'_> {
        let mut guilds = self.lock();
        match guilds.get_mut(&id) {
            Some(Known::Here(here)) => {
                here.looked_at = self.looks.fetch_add(1, Ordering::Relaxed);
                Begun::Here(here.state.clone(), here.contains)
            }
            Some(Known::Loading { done, .. }) => Begun::Waiting(done.clone()),
            None => {
                let (tell, done) = watch::channel(());
                guilds.insert(id, Known::Loading { aside: Some(Vec::new()), done });
                Begun::Mine(Load { replica: self, id, _tell: tell })
            }
        }
    }
}

enum Begun<'a> {
    Here(Shared, Position),
    Waiting(watch::Receiver<()>),
    Mine(Load<'a>),
}

enum Loaded {
    Is(Shared, Position),
    IsNot,
    /// Too much happened meanwhile.
    Again,
}

/// One load. Dropped half-way, or failed, it leaves nothing behind, and whoever waits looks again.
struct Load<'a> {
    replica: &'a Replica,
    id: Id,
    _tell: watch::Sender<()>,
}

impl Load<'_> {
    async fn run(self) -> Result<Loaded, Trouble> {
        let found = self.replica.storage.guild(self.id).await?;
        let Some((mut state, contains)) = found else { return Ok(Loaded::IsNot) };
        let mut guilds = self.replica.lock();
        let Some(Known::Loading { aside: Some(events), .. }) = guilds.remove(&self.id) else {
            return Ok(Loaded::Again);
        };
        for (_, event) in events.iter().filter(|(at, _)| *at > contains) {
            follow(&mut state, event);
        }
        let state = Arc::new(RwLock::new(state));
        let looked_at = self.replica.looks.fetch_add(1, Ordering::Relaxed);
        guilds.insert(self.id, Known::Here(Here { state: state.clone(), contains, looked_at }));
        Ok(Loaded::Is(state, contains))
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        let mut guilds = self.replica.lock();
        if matches!(guilds.get(&self.id), Some(Known::Loading { .. })) {
            guilds.remove(&self.id);
        }
    }
}

fn follow(state: &mut GuildState, event: &Event) {
    if let Err(malformed) = state.apply(event) {
        tracing::error!(error = %seawall_net::host::chain(&malformed), "an event cannot be followed, passing it over");
    }
}

fn at(positions: &[Position], shard: u32) -> Position {
    positions.get(shard as usize).copied().unwrap_or_default()
}

/// Who of these is in the guild, and what is hidden from it there.
pub(super) fn hidden_from(state: &Shared, user: Id) -> Option<Arc<[Id]>> {
    let state = read_lock(state);
    state.members.contains_key(&user).then(|| state.hidden_from(user))
}
