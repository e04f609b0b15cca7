//! Taking a session over: from another gateway process, or from the one that was here before a restart.
//!
//! ```text
//! its journal:  mark ──── entries ──── end (D: how far in the change stream)
//! the store:                           D ──── events ──── R: where our own order is
//! our order:                                              R ──── entries ──── now
//! ```
//! The session is folded over all three. The middle part has no entries that say what the user sees, so an event in it
//! that may change that ends the attempt. What the client has not heard is then written into our own order,
//! and last the record is taken by compare and set: of two who try, one has the session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use seawall_net::host::chain;
use seawall_policy::{Clock, Mono};
use seawall_store::Position;

use super::entry::{Entry, Mark, SessionId, What};
use super::frame::Slot;
use super::hub::Hub;
use super::identify::{Watch, no_answer};
use super::journal::{self, Load, Reader};
use super::link::Link;
use super::payload::{Close, Shown};
use super::resume::{Refusal, Replay, after, busy, not_taken};
use super::sequencer::dispatch;
use super::session::Session;
use super::views;
use crate::event::{Event, Kind};
use crate::metrics::Resume;
use crate::storage::{ChangesTrouble, SessionRecord};

/// Bytes of payloads kept of a journal. Marks are a minute apart at most where sessions show signs of life.
const LOAD_BYTES_MAX: usize = 256 << 20;
/// How long a dead gateway's journal is kept in memory: its sessions come back together.
const LOAD_KEPT: Duration = Duration::from_secs(30);
/// Events read at a time.
const GAP_STEP: usize = 500;
/// Events of the gap looked at; a gateway that was away for longer has to be begun anew with.
const GAP_MAX: usize = 200_000;
/// From so many members on a guild is told without those who are away, where the client's own wish is not known.
const LARGE_THRESHOLD: usize = 50;

/// Journals of other gateways. One that is dead is read once for all of its sessions. One that is alive goes on
/// writing, also what a client hears until the moment it comes here: it is read anew for whoever came after the reading
/// had begun, for all of them together.
#[derive(Default)]
pub(super) struct Strangers(Mutex<HashMap<String, (Mono, Stranger)>>);

/// Who holds the lock reads.
type Stranger = Arc<tokio::sync::Mutex<Option<Known>>>;

/// What was read of a journal.
struct Known {
    since: Mono,
    is_live: bool,
    load: Option<Arc<Load>>,
}

impl Strangers {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Mono, Stranger)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives memory back.
    pub(super) fn forget(&self, now: Mono) {
        self.lock().retain(|_, (since, _)| now.since(*since) < LOAD_KEPT);
    }

    /// A journal as it is after somebody has come for it. `read` says too whether it is still written.
    async fn load(
        &self,
        gateway: &str,
        clock: &dyn Clock,
        read: impl Future<Output = (Option<Arc<Load>>, bool)>,
    ) -> Option<Arc<Load>> {
        let came = clock.now();
        let stranger =
            self.lock().entry(gateway.to_owned()).or_insert_with(|| (came, Stranger::default())).1.clone();
        let mut known = stranger.lock().await;
        if let Some(known) = known.as_ref().filter(|known| !known.is_live || known.since > came) {
            return known.load.clone();
        }
        let since = clock.now();
        let (load, is_live) = read.await;
        *known = Some(Known { since, is_live, load: load.clone() });
        load
    }
}

fn doubt() -> Refusal {
    Refusal::Invalid(Resume::Doubt)
}

impl Hub {
    pub(super) async fn adopt(
        &self,
        link: &Arc<Link>,
        id: SessionId,
        seq: u64,
        record: &SessionRecord,
    ) -> Result<Arc<Session>, Refusal> {
        let load = self.journal_of(&record.gateway).await.ok_or_else(doubt)?;
        let mark =
            load.marks.get(&id).filter(|mark| mark.token_hash == record.token_hash).ok_or_else(doubt)?;
        if mark.generation != record.generation || mark.fold.s > seq {
            return Err(doubt());
        }
        let mut replay = Replay::new(mark.fold.clone(), seq);
        let entries = load.batch.after(mark.fold.lsn).ok_or_else(doubt)?;
        entries.iter().try_for_each(|slot| replay.step(slot))?;

        let (user, part) = (mark.fold.user, mark.fold.part);
        let watch = Watch::new(self, user);
        let guilds = self.guilds_of(user, part).await.map_err(|t| no_answer(&t))?;
        let (lsn, reached, view) = {
            let mut order = self.order();
            let view = self.view_of(&mut order, user, part, &guilds);
            (order.head(), order.reached.clone(), view)
        };
        if load.positions.len() != reached.len() {
            return Err(doubt());
        }
        for (shard, (from, to)) in load.positions.iter().zip(&reached).enumerate() {
            self.cross_gap(&mut replay, shard as u32, *from, *to).await?;
        }
        if replay.fold.view != view {
            return Err(doubt());
        }
        replay.fold.lsn = lsn;
        replay.fold.skip = Some(load.positions.iter().zip(&reached).map(|(a, b)| *a.max(b)).collect());
        if link.is_left().await {
            // Perhaps to go on with the session where it is: it stays there.
            return Err(Close::Again("The connection has ended.").into());
        }
        let (session, heard) = self.settle(replay, record)?;
        drop(watch);

        let taken =
            self.storage.session_take(&record.id, (&record.gateway, record.generation), &self.gateway).await;
        match taken {
            Ok(true) => {}
            Ok(false) => {
                self.end(&session);
                return Err(doubt());
            }
            Err(trouble) => {
                self.end(&session);
                return Err(no_answer(&trouble).into());
            }
        }
        let fold = after(&session.lock().fold, &heard);
        let floor = fold.s;
        self.attach(&mut self.order(), link, &session, fold, floor, true)?;
        self.replay(link, &session, seq, heard).await;
        self.presences.due(&session);
        Ok(session)
    }

    /// Folds over what happened where no gateway wrote a journal.
    async fn cross_gap(
        &self,
        replay: &mut Replay,
        shard: u32,
        mut from: Position,
        to: Position,
    ) -> Result<(), Refusal> {
        let mut looked = 0;
        while from < to {
            let events = match self.storage.changes(shard, from, GAP_STEP).await {
                Ok(events) => events,
                Err(ChangesTrouble::TooOld { .. }) => return Err(doubt()),
                Err(ChangesTrouble::Read(trouble)) => return Err(no_answer(&trouble).into()),
            };
            let Some((last, _)) = events.last() else { return Ok(()) };
            from = *last;
            looked += events.len();
            if looked > GAP_MAX {
                return Err(Refusal::Invalid(Resume::TooFar));
            }
            for (at, event) in events.into_iter().take_while(|(at, _)| *at <= to) {
                if is_doubtful(&event, replay) {
                    return Err(doubt());
                }
                let entry = Entry { lsn: replay.fold.lsn + 1, what: dispatch(event, Some((shard, at))) };
                replay.step(&Slot::new(entry))?;
            }
        }
        Ok(())
    }

    /// Puts the session into our order, with what its client has not heard.
    fn settle(
        &self,
        mut replay: Replay,
        record: &SessionRecord,
    ) -> Result<(Arc<Session>, Vec<What>), Refusal> {
        let mut order = self.order();
        if order.sessions.contains_key(&replay.fold.session) {
            return Err(busy());
        }
        replay.catch_up(self)?;
        let (fold, heard) = replay.finish(&order).ok_or_else(doubt)?;
        let mark = Mark { token_hash: record.token_hash, generation: record.generation + 1, fold };
        let mut entries = vec![What::Session(Box::new(mark.clone()))];
        entries.extend(heard.iter().cloned());
        let session = Session::new(mark, LARGE_THRESHOLD, Shown::default(), self.clock.now());
        self.open(&mut order, &session, entries).map_err(not_taken)?;
        Ok((session, heard))
    }

    /// Another gateway's journal, as far as it goes.
    async fn journal_of(&self, gateway: &str) -> Option<Arc<Load>> {
        // A name of ours, and no path.
        if !gateway.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let folder = journal::folder(&self.journals, gateway);
        let read = async {
            let boot = self.boot.clone();
            let read = self.tasks.blocking(move || {
                let reader = Reader::open(&folder, &boot)?;
                let is_live = reader.is_live()?;
                reader.load(LOAD_BYTES_MAX).map(|load| (Arc::new(load), is_live))
            });
            match read.await {
                Ok(Ok((load, is_live))) => (Some(load), is_live),
                Ok(Err(trouble)) => {
                    tracing::warn!(gateway, error = %chain(&trouble), "journal cannot be read, sessions begin anew");
                    (None, false)
                }
                Err(_) => (None, false),
            }
        };
        self.strangers.load(gateway, &*self.clock, read).await
    }
}

/// Whether an event may change what the session's user sees; without our own views nobody can say how.
fn is_doubtful(event: &Event, replay: &Replay) -> bool {
    let Some(guild) = event.to.guild() else { return false };
    let is_own = views::member_of(event) == Some(replay.fold.user);
    match event.t {
        Kind::MemberAdd | Kind::MemberUpdate | Kind::MemberRemove => is_own,
        // Nobody has a role yet that is being made.
        Kind::RoleCreate => false,
        _ if !replay.fold.view.has(guild) => false,
        Kind::ChannelCreate | Kind::ChannelUpdate | Kind::ChannelDelete => has_overwrites(event),
        kind => views::may_change(kind),
    }
}

fn has_overwrites(event: &Event) -> bool {
    #[derive(serde::Deserialize)]
    struct Overwrites {
        #[serde(default)]
        permission_overwrites: Vec<serde::de::IgnoredAny>,
    }
    serde_json::from_str::<Overwrites>(event.d.get()).is_ok_and(|o| !o.permission_overwrites.is_empty())
}

#[cfg(test)]
mod tests;
