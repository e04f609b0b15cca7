//! The gateway as a whole: its order of entries, and the sessions that hear of them.
//!
//! Every entry passes `Hub::append`: number, journal, ring, and then whoever may hear of it is marked. The lock
//! around `Order` is what makes it one order; nothing waits inside except one `write` to the journal's file.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use seawall_net::host::{Fault, Host};
use seawall_net::tasks::Tasks;
use seawall_policy::{Clock, Mono};
use seawall_store::Position;
use tokio::sync::Notify;

use super::adopt::Strangers;
use super::conn::{INVALID, RECONNECT};
use super::entry::{Entry, Mark, SessionId, To, What};
use super::frame::Slot;
use super::inbox::{Calm, Inbox};
use super::journal::{self, Writer};
use super::payload::Close;
use super::presence::Presences;
use super::replica::Replica;
use super::ring::Ring;
use super::session::{Session, State};
use super::views::Seen;
use crate::api::admin::{self, How};
use crate::config::Config;
use crate::event::Kind;
use crate::id::Id;
use crate::metrics::Metrics;
use crate::owner::Client;
use crate::storage::Storage;

/// A new segment of the journal is begun after so long, so that the marks in it stay young.
const SEGMENT_AGE: Duration = Duration::from_secs(60);
/// And after so many bytes.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Segments stay at least this long after the last session that needs them (research: retention above session TTL).
const KEEP_MIN: Duration = Duration::from_secs(600);
/// How long a reaction waits for something else to be told with it, where the ladder delays reactions: each of a crowd
/// of reactions to one message would otherwise be a `write` for every listener.
const REACTIONS_LATE: Duration = Duration::from_secs(1);
/// The window of the limit on new sessions.
const IDENTIFY_WINDOW: Duration = Duration::from_secs(5);

/// The gateway of this process.
pub struct Hub {
    pub(super) config: Config,
    /// This process's name among gateways; new with each start.
    pub(super) gateway: String,
    /// Where clients are told to come back to.
    pub(super) url: String,
    /// The folder of all gateways' journals.
    pub(super) journals: PathBuf,
    /// The machine's life.
    pub(super) boot: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tasks: Tasks,
    pub(super) storage: Arc<Storage>,
    pub(super) owner: Client,
    /// The guilds this process knows.
    pub replica: Arc<Replica>,
    pub(super) metrics: Metrics,
    pub(super) ring: Ring,
    pub(super) presences: Presences,
    pub(super) inbox: Inbox,
    /// Journals of other gateways, read once for all of their sessions.
    pub(super) strangers: Strangers,
    /// Up to here, whoever hears of an entry knows.
    settled: AtomicU64,
    order: Mutex<Order>,
    /// Sessions that may have something to send.
    pub(super) dirty: Mutex<Vec<Arc<Session>>>,
    /// For the sequencer: there are such.
    pub(super) wake: Notify,
    pub(super) is_draining: AtomicBool,
    starts: Mutex<HashMap<Id, (Mono, u32)>>,
}

/// The one order, and the indices that go with it.
pub(super) struct Order {
    journal: Writer,
    /// How far into each shard's change stream news were made into entries. The journal gets there a moment later, or
    /// much later while it cannot be written.
    pub(super) reached: Box<[Position]>,
    pub(super) sessions: HashMap<SessionId, Arc<Session>>,
    pub(super) by_user: HashMap<Id, Vec<Arc<Session>>>,
    pub(super) by_guild: HashMap<Id, Vec<Arc<Session>>>,
    /// Per guild, what is hidden from each user that has a session here.
    pub(super) seen: HashMap<Id, Seen>,
    /// Users whose sessions are being made: their views are kept as if they had some.
    watched: HashMap<Id, u32>,
    /// When sessions that wait are to be flushed, whatever comes until then; none where nobody waits.
    wait_ends: Option<Mono>,
}

/// Entries the journal did not take.
pub(super) struct Refused {
    pub(super) trouble: journal::Trouble,
    pub(super) whats: Vec<What>,
}

/// What the gateway is made of.
pub struct Parts {
    /// The section of the configuration.
    pub config: Config,
    /// Where clients are told to come back to.
    pub url: String,
    /// The process's data folder.
    pub data: PathBuf,
    /// The shards.
    pub storage: Arc<Storage>,
    /// Who decides.
    pub owner: Client,
    /// Where each shard's events are followed from.
    pub reached: Box<[Position]>,
    /// What is counted.
    pub metrics: Metrics,
    /// What is left out under load.
    pub calm: Calm,
}

impl Hub {
    /// A gateway without sessions, with a new journal.
    ///
    /// # Errors
    /// The journal cannot be written; the fault says where.
    pub fn new(parts: Parts, host: &Host) -> Result<Arc<Hub>, Fault> {
        let Parts { config, url, data, storage, owner, reached, metrics, calm } = parts;
        let journals = data.join(crate::NAME);
        let gateway = format!("{:08x}", u32::from_be_bytes(random()?));
        let boot = journal::boot_id().map_err(|e| Fault::because("cannot tell this boot from others", e))?;
        let options = journal::Options {
            root: journals.clone(),
            gateway: gateway.clone(),
            boot: boot.clone(),
            segment_age: SEGMENT_AGE,
            segment_bytes: SEGMENT_BYTES,
            keep: KEEP_MIN.max(config.session_ttl * 2),
            is_mute: host.plants.has("no-journal"),
        };
        let journal = Writer::create(options, host.clock.now(), &reached)
            .map_err(|e| Fault::because("the gateway cannot keep its journal", e))?;
        Ok(Arc::new(Hub {
            inbox: Inbox::new(calm, metrics.clone()),
            ring: Ring::new(0, config.ring_entries, config.ring_bytes),
            config,
            gateway,
            url,
            journals,
            boot,
            clock: host.clock.clone(),
            tasks: host.tasks.clone(),
            replica: Arc::new(Replica::new(storage.clone(), &reached)),
            storage,
            owner,
            metrics,
            presences: Presences::default(),
            strangers: Strangers::default(),
            settled: AtomicU64::new(0),
            order: Mutex::new(Order {
                journal,
                reached,
                sessions: HashMap::new(),
                by_user: HashMap::new(),
                by_guild: HashMap::new(),
                seen: HashMap::new(),
                watched: HashMap::new(),
                wait_ends: None,
            }),
            dirty: Mutex::default(),
            wake: Notify::new(),
            is_draining: AtomicBool::new(false),
            starts: Mutex::default(),
        }))
    }

    pub(super) fn order(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session of this name, if it is here.
    pub(super) fn session(&self, id: SessionId) -> Option<Arc<Session>> {
        self.order().sessions.get(&id).cloned()
    }

    /// All sessions.
    #[must_use]
    pub fn sessions(&self) -> Vec<admin::Session> {
        let all: Vec<_> = self.order().sessions.values().cloned().collect();
        let info = |session: Arc<Session>| {
            let state = session.lock();
            admin::Session {
                id: session.id.to_string(),
                user: session.user,
                connected: state.link.is_some(),
                s: state.fold.s,
                guilds: state.fold.view.guilds().len(),
                intents: state.fold.intents,
                gateway: self.gateway.clone(),
            }
        };
        all.into_iter().map(info).collect()
    }

    /// Ends a session, or only its connection. False where there is nothing to end.
    pub async fn kick(&self, session: &str, how: How) -> bool {
        let Some(session) = session.parse().ok().and_then(|id| self.session(id)) else { return false };
        let link = session.lock().link.clone();
        match how {
            How::Tcp => link.map(|link| link.abort()).is_some(),
            How::Reconnect => link
                .map(|link| {
                    link.send(RECONNECT);
                    link.close(Close::Again("Reconnect."))
                })
                .is_some(),
            How::Invalid => {
                // Before the session is ended, which closes the connection.
                if let Some(link) = link {
                    link.send(INVALID);
                }
                self.end(&session);
                self.delete_record(&session).await;
                true
            }
        }
    }

    /// Whether a user may open one more session now.
    pub(super) fn may_start(&self, user: Id) -> bool {
        let now = self.clock.now();
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        let start = starts.entry(user).or_insert((now, 0));
        if now.since(start.0) >= IDENTIFY_WINDOW {
            *start = (now, 0);
        }
        start.1 += 1;
        start.1 <= self.config.identify_max
    }

    /// Forgets limits whose window is over.
    pub(super) fn forget_starts(&self, now: Mono) {
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        starts.retain(|_, (since, _)| now.since(*since) < IDENTIFY_WINDOW);
    }

    /// Puts entries in order, and marks whoever may hear of them.
    ///
    /// # Errors
    /// The journal cannot be written. Nothing has happened.
    pub(super) fn append(&self, order: &mut Order, whats: Vec<What>) -> Result<(), Refused> {
        if whats.is_empty() {
            return Ok(());
        }
        let mut lsn = order.journal.head();
        let number = |what: What| {
            lsn += u64::from(what.is_numbered());
            Entry { lsn, what }
        };
        let entries: Vec<Entry> = whats.into_iter().map(number).collect();
        if let Err(trouble) = order.journal.append(&entries) {
            return Err(Refused { trouble, whats: entries.into_iter().map(|entry| entry.what).collect() });
        }
        self.metrics.journal_bytes.inc_by(entries.iter().map(payload).sum());
        let slots: Vec<_> = entries
            .into_iter()
            .filter(|entry| entry.what.is_numbered())
            .map(|entry| Arc::new(Slot::new(entry)))
            .collect();
        self.metrics.entries.inc_by(slots.len() as u64);
        self.ring.push(slots.iter().cloned());
        self.mark(order, &slots);
        self.settled.store(order.journal.head(), Ordering::Release);
        Ok(())
    }

    /// Marks each session that may hear of one of these, from the first of them on. A reaction may wait: it is in the
    /// order like anything else, and only who hears of nothing but reactions is flushed a little later.
    fn mark(&self, order: &mut Order, slots: &[Arc<Slot>]) {
        let may_wait = self.inbox.ladder().effects().reactions_delayed;
        // Guilds that were gone over, and whether their sessions are flushed at once.
        let mut guilds: Vec<(Id, bool)> = Vec::new();
        let (mut dirty, mut is_waiting) = (Vec::new(), false);
        for slot in slots {
            let Entry { lsn, what } = slot.entry();
            // What follows for one session alone is what it has missed.
            let is_soon = !matches!(what, What::Dispatch { t, to, .. }
                if may_wait && t.is_reaction() && !matches!(to, To::Session(_)));
            let mut mark = |session: &Arc<Session>| {
                is_waiting |= mark_one(session, *lsn, is_soon, &mut dirty);
            };
            let sessions = match what {
                What::Dispatch { to: To::Guild(guild) | To::Channel { guild, .. }, .. } => {
                    match guilds.iter_mut().find(|(known, _)| known == guild) {
                        Some((_, was_soon)) if *was_soon || !is_soon => continue,
                        Some((_, was_soon)) => *was_soon = true,
                        None => guilds.push((*guild, is_soon)),
                    }
                    order.by_guild.get(guild).map_or(&[][..], Vec::as_slice)
                }
                What::View { user, .. } => order.by_user.get(user).map_or(&[][..], Vec::as_slice),
                What::Dispatch { to: To::Users(users), .. } => {
                    users.iter().filter_map(|user| order.by_user.get(user)).flatten().for_each(mark);
                    continue;
                }
                What::Dispatch { to: To::Session(session), .. } => {
                    order.sessions.get(session).map_or(&[][..], std::slice::from_ref)
                }
                What::Session(_) | What::Gone { .. } | What::Reached { .. } => continue,
            };
            sessions.iter().for_each(&mut mark);
        }
        if is_waiting {
            order.wait_ends.get_or_insert(self.clock.now() + REACTIONS_LATE);
        }
        self.push_dirty(dirty);
    }

    /// When sessions that wait are to be flushed, if any do.
    pub(super) fn wait_ends(&self) -> Option<Mono> {
        self.order().wait_ends
    }

    /// Has sessions flushed that have waited for long enough. Who was flushed meanwhile with something else waits no
    /// longer.
    pub(super) fn end_wait(&self, now: Mono) {
        let all: Vec<_> = {
            let mut order = self.order();
            if order.wait_ends.is_none_or(|at| now < at) {
                return;
            }
            order.wait_ends = None;
            order.sessions.values().cloned().collect()
        };
        self.push_dirty(all.into_iter().filter(|session| std::mem::take(&mut session.lock().is_waiting)));
    }

    /// To be flushed soon.
    pub(super) fn push_dirty(&self, sessions: impl IntoIterator<Item = Arc<Session>>) {
        let mut all = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.len();
        all.extend(sessions);
        let is_more = all.len() > before;
        drop(all);
        if is_more {
            self.wake.notify_one();
        }
    }

    /// Lets a session that has nothing to send pass what does not concern it, so that its mark stays young.
    pub(super) fn pass(&self, state: &mut State) {
        if !state.is_dirty && state.link.is_some() {
            state.fold.pass(self.settled.load(Ordering::Acquire));
        }
    }

    /// Adds a session to the order, together with its first entries.
    ///
    /// # Errors
    /// The journal cannot be written; the session is not there then.
    pub(super) fn open(
        &self,
        order: &mut Order,
        session: &Arc<Session>,
        entries: Vec<What>,
    ) -> Result<(), Refused> {
        order.sessions.insert(session.id, session.clone());
        order.by_user.entry(session.user).or_default().push(session.clone());
        let guilds: Vec<Id> = session.lock().fold.view.guilds().map(|(guild, _)| guild).collect();
        for guild in guilds {
            order.list(guild, session);
        }
        if let Err(refused) = self.append(order, entries) {
            order.remove(session);
            return Err(refused);
        }
        self.metrics.sessions.set(order.sessions.len() as i64);
        Ok(())
    }

    /// Ends a session for good.
    pub(super) fn end(&self, session: &Arc<Session>) {
        let mut order = self.order();
        if !order.sessions.contains_key(&session.id) {
            return;
        }
        order.remove(session);
        let mut state = session.lock();
        state.is_over = true;
        let link = state.link.take();
        drop(state);
        if let Err(refused) = self.append(&mut order, vec![What::Gone { session: session.id }]) {
            // A reader would find it still there and give it up by its record.
            tracing::debug!(trouble = %refused.trouble, "the end of a session is not in the journal");
        }
        self.metrics.sessions.set(order.sessions.len() as i64);
        drop(order);
        if let Some(link) = link {
            link.close(Close::Again("The session has ended."));
        }
        self.presences.due(session);
    }

    /// Forgets where an ended session was. A record that stays is only a record.
    pub(super) async fn delete_record(&self, session: &Session) {
        if let Err(trouble) = self.storage.session_delete(&session.id.to_string()).await {
            tracing::debug!(%trouble, "the record of an ended session stays");
        }
    }

    /// Begins a new segment of the journal when it is time.
    pub(super) fn roll(&self, now: Mono) {
        let mut order = self.order();
        if !order.journal.is_due(now) {
            return;
        }
        let kept = self.marks_kept();
        let Order { journal, sessions, .. } = &mut *order;
        let marks: Vec<Mark> = sessions.values().map(|session| session.young_mark(now, kept)).collect();
        if let Err(trouble) = journal.roll(now, &marks) {
            tracing::debug!(%trouble, "no new segment, the old one goes on");
        }
    }

    /// How long a session stays where its client was when it said last what it has. While it is away, or says late
    /// what it has, or has just come back and said nothing yet, that is shorter.
    pub(super) fn marks_kept(&self) -> Duration {
        self.config.session_ttl + self.silence_max() * 4
    }

    /// How long a journal stays after its last word.
    pub(super) fn journals_kept(&self) -> Duration {
        KEEP_MIN.max(self.config.session_ttl * 2)
    }
}

/// Bytes an entry brings to the journal, besides some for its head.
fn payload(entry: &Entry) -> u64 {
    match &entry.what {
        What::Dispatch { d, .. } => d.len() as u64,
        _ => 0,
    }
}

/// Marks a session from this entry on, to be flushed soon or when its wait ends. True when it has begun to wait.
fn mark_one(session: &Arc<Session>, lsn: u64, is_soon: bool, dirty: &mut Vec<Arc<Session>>) -> bool {
    if !session.is_connected() {
        return false;
    }
    let mut state = session.lock();
    if state.link.is_none() || (state.is_dirty && !state.is_waiting) {
        return false;
    }
    if !state.is_dirty {
        state.fold.pass(lsn.saturating_sub(1));
        state.is_dirty = true;
        state.is_waiting = !is_soon;
        if !is_soon {
            return true;
        }
    }
    if is_soon {
        state.is_waiting = false;
        dirty.push(session.clone());
    }
    false
}

impl Order {
    /// The newest entry.
    pub(super) fn head(&self) -> u64 {
        self.journal.head()
    }

    /// Keeps a user's views up to date from now on, until as often [`Order::unwatch`]ed.
    pub(super) fn watch(&mut self, user: Id) {
        *self.watched.entry(user).or_default() += 1;
    }

    /// The opposite.
    pub(super) fn unwatch(&mut self, user: Id) {
        if let Place::Occupied(mut count) = self.watched.entry(user) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
                self.forget_views(user);
            }
        }
    }

    /// Whether a user has a session here, or will have.
    pub(super) fn is_here(&self, user: Id) -> bool {
        self.by_user.contains_key(&user) || self.watched.contains_key(&user)
    }

    /// Whether anybody here is in a guild.
    pub(super) fn is_heard(&self, guild: Id) -> bool {
        self.seen.get(&guild).is_some_and(|seen| !seen.is_empty())
    }

    /// A session hears of a guild from now on.
    pub(super) fn list(&mut self, guild: Id, session: &Arc<Session>) {
        let sessions = self.by_guild.entry(guild).or_default();
        if !sessions.iter().any(|listed| Arc::ptr_eq(listed, session)) {
            sessions.push(session.clone());
        }
    }

    /// These users have left these guilds; whoever was to hear of it has been marked.
    pub(super) fn unlist(&mut self, left: &[(Id, Id)]) {
        for (guild, user) in left {
            if self.seen.get(guild).is_some_and(|seen| seen.contains_key(user)) {
                continue;
            }
            if let Place::Occupied(mut sessions) = self.by_guild.entry(*guild) {
                sessions.get_mut().retain(|session| session.user != *user);
                if sessions.get().is_empty() {
                    sessions.remove();
                }
            }
        }
    }

    fn remove(&mut self, session: &Arc<Session>) {
        self.sessions.remove(&session.id);
        let guilds = self.seen.iter().filter(|(_, seen)| seen.contains_key(&session.user));
        for guild in guilds.map(|(guild, _)| *guild).collect::<Vec<_>>() {
            take_out(&mut self.by_guild, guild, session);
        }
        take_out(&mut self.by_user, session.user, session);
        self.forget_views(session.user);
    }

    fn forget_views(&mut self, user: Id) {
        if !self.is_here(user) {
            self.seen.retain(|_, seen| {
                seen.remove(&user);
                !seen.is_empty()
            });
        }
    }
}

fn take_out(all: &mut HashMap<Id, Vec<Arc<Session>>>, id: Id, session: &Arc<Session>) {
    if let Place::Occupied(mut sessions) = all.entry(id) {
        let sessions_of = sessions.get_mut();
        if let Some(at) = sessions_of.iter().position(|s| Arc::ptr_eq(s, session)) {
            sessions_of.swap_remove(at);
        }
        if sessions_of.is_empty() {
            sessions.remove();
        }
    }
}

/// A dispatch to one session.
pub(super) fn to_session(session: SessionId, t: Kind, d: impl Into<Bytes>) -> What {
    let to = To::Session(session);
    What::Dispatch { origin: None, to, t, author: None, mentions: Box::default(), d: d.into() }
}

/// Random bytes from the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Fault> {
    use std::io::Read;
    let mut bytes = [0; N];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map(|()| bytes).map_err(|e| Fault::because("cannot read /dev/urandom", e))
}
