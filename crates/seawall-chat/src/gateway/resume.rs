//! Going on with a session.
//!
//! What the client has not heard is folded once more from the last place it is known to have reached, and what it
//! says it has is passed over. Mostly all of that is in the ring, and flushing does it like any other sending. What is
//! further back comes from the journal; then, as when another process's session is taken over, it is written into
//! the order once more, for this session alone, so that whoever resumes it next finds everything in one place. It is
//! sent from where it was read, because it may be more than the ring holds.
//!
//! Whatever does not add up is answered with INVALID_SESSION: a client that begins anew has lost nothing, one that
//! goes on with a hole has.

use std::sync::Arc;

use seawall_net::host::chain;

use super::acks::Acks;
use super::entry::{Entry, Mark, SessionId, What};
use super::fold::Fold;
use super::frame::{Slot, write_dispatch};
use super::hub::{Hub, Order, Refused, to_session};
use super::identify::{Outcome, no_answer};
use super::journal::{self, Reader};
use super::link::Link;
use super::payload::{self, Close};
use super::session::Session;
use crate::event::Kind;
use crate::metrics::Resume;
use crate::storage::{self, SessionRecord};
use crate::targets::RESUME_EVENTS_MAX;

/// Bytes of payloads a replay gathers for one session: 5,000 of the longest messages, and less than the journal takes
/// at once.
const HEARD_BYTES_MAX: usize = 48 << 20;

/// Why a session cannot be gone on with, if it cannot.
pub(super) enum Refusal {
    /// INVALID_SESSION.
    Invalid(Resume),
    /// The connection ends.
    Close(Close),
}

impl From<Close> for Refusal {
    fn from(close: Close) -> Refusal {
        Refusal::Close(close)
    }
}

/// A session being folded over what its client has missed.
pub(super) struct Replay {
    pub(super) fold: Fold,
    /// The last number the client has.
    seq: u64,
    /// What it has not heard, for this session alone.
    heard: Vec<What>,
    heard_bytes: usize,
}

impl Replay {
    pub(super) fn new(fold: Fold, seq: u64) -> Replay {
        Replay { fold, seq, heard: Vec::new(), heard_bytes: 0 }
    }

    /// Goes over one entry.
    pub(super) fn step(&mut self, slot: &Slot) -> Result<(), Refusal> {
        let Some(heard) = self.fold.step(slot.entry()) else { return Ok(()) };
        if heard.s <= self.seq {
            return Ok(());
        }
        if let (What::Dispatch { t, .. }, Some(d)) = (&slot.entry().what, slot.payload(heard.content)) {
            self.heard_bytes += d.len();
            self.heard.push(to_session(self.fold.session, *t, d));
        }
        if self.heard.len() as u64 > RESUME_EVENTS_MAX || self.heard_bytes > HEARD_BYTES_MAX {
            Err(Refusal::Invalid(Resume::TooFar))
        } else {
            Ok(())
        }
    }

    /// Goes over what is in the ring, to its head.
    pub(super) fn catch_up(&mut self, hub: &Hub) -> Result<(), Refusal> {
        let batch = hub.ring.after(self.fold.lsn, usize::MAX);
        let batch = batch.map_err(|_| Refusal::Invalid(Resume::TooFar))?;
        batch.after(self.fold.lsn).unwrap_or_default().iter().try_for_each(|slot| self.step(slot))
    }

    /// The session where its client is, at the head of the order, and what follows for it there. None where the
    /// client says it has more than it was ever given.
    pub(super) fn finish(self, order: &Order) -> Option<(Fold, Vec<What>)> {
        let fold = Fold { s: self.seq, lsn: order.head(), ..self.fold };
        (self.fold.s >= self.seq).then_some((fold, self.heard))
    }
}

/// The session after what follows for it alone, which was put in order right behind `fold`.
pub(super) fn after(fold: &Fold, heard: &[What]) -> Fold {
    let count = heard.len() as u64;
    Fold { s: fold.s + count, lsn: fold.lsn + count, ..fold.clone() }
}

impl Hub {
    /// Goes on with a session on a new connection.
    pub(super) async fn resume(&self, link: &Arc<Link>, wish: payload::Resume) -> Result<Outcome, Close> {
        match self.try_resume(link, &wish).await {
            Ok((session, how)) => {
                self.metrics.resume(how);
                Ok(Outcome::In(session))
            }
            Err(Refusal::Invalid(why)) => {
                self.metrics.resume(why);
                tracing::debug!(session = wish.session, ?why, "session cannot be resumed");
                Ok(Outcome::Invalid)
            }
            Err(Refusal::Close(close)) => Err(close),
        }
    }

    async fn try_resume(
        &self,
        link: &Arc<Link>,
        wish: &payload::Resume,
    ) -> Result<(Arc<Session>, Resume), Refusal> {
        let unknown = Refusal::Invalid(Resume::Unknown);
        let (Ok(id), Some(seq)) = (wish.session.parse::<SessionId>(), wish.seq) else { return Err(unknown) };
        let record = self.storage.session(&wish.session).await.map_err(|t| no_answer(&t))?;
        let token_hash = storage::token_hash(&wish.token);
        let Some(record) = record.filter(|record| record.token_hash == token_hash) else {
            return Err(unknown);
        };
        let is_valid = self.storage.user_of_token(&wish.token).await.map_err(|t| no_answer(&t))?.is_some();
        if !is_valid {
            return Err(Close::BadToken.into());
        }
        let (session, how) = self.go_on(link, id, seq, &record).await?;
        if matches!(how, Resume::Adopted) {
            // It was nobody's here while it was taken over, so that nobody could end it for an old token.
            self.still_good(&session, &wish.token).await?;
        }
        Ok((session, how))
    }

    /// Goes on with a session that was where its record says when it was read.
    async fn go_on(
        &self,
        link: &Arc<Link>,
        id: SessionId,
        seq: u64,
        record: &SessionRecord,
    ) -> Result<(Arc<Session>, Resume), Refusal> {
        let here = self.session(id);
        if record.gateway != self.gateway {
            if let Some(session) = here {
                if session.lock().generation > record.generation {
                    return Err(busy());
                }
                self.let_go(&session);
            }
            let session = self.adopt(link, id, seq, record).await?;
            return Ok((session, Resume::Adopted));
        }
        let Some(session) = here else { return Err(Refusal::Invalid(Resume::Unknown)) };
        resumable(&session, seq)?;
        self.keep(&session, record).await?;
        if let Some(resumed) = self.resume_from_ring(link, &session, seq)? {
            return Ok((session, resumed));
        }
        self.resume_from_journal(link, &session, seq).await?;
        Ok((session, Resume::Journal))
    }

    /// Says in the record that the session goes on here. Another gateway that is about to take it over, for an earlier
    /// attempt of its client, gives up then: it has read our journal, and the numbers given from now on are not in it.
    async fn keep(&self, session: &Session, record: &SessionRecord) -> Result<(), Refusal> {
        let from = (record.gateway.as_str(), record.generation);
        let kept = self.storage.session_take(&record.id, from, &self.gateway).await;
        if !kept.map_err(|t| no_answer(&t))? {
            return Err(busy());
        }
        let mut state = session.lock();
        state.generation = state.generation.max(record.generation + 1);
        Ok(())
    }

    /// None where the ring does not go back far enough.
    fn resume_from_ring(
        &self,
        link: &Arc<Link>,
        session: &Arc<Session>,
        seq: u64,
    ) -> Result<Option<Resume>, Refusal> {
        let mut order = self.order();
        let base = resumable(session, seq)?;
        if base.lsn < self.ring.tail() {
            return Ok(None);
        }
        if order.head() - base.lsn > RESUME_EVENTS_MAX {
            // Only then can so many of them be for this one.
            Replay::new(base.clone(), seq).catch_up(self)?;
        }
        self.attach(&mut order, link, session, base, seq, false)?;
        Ok(Some(Resume::Memory))
    }

    async fn resume_from_journal(
        &self,
        link: &Arc<Link>,
        session: &Arc<Session>,
        seq: u64,
    ) -> Result<(), Refusal> {
        let replay = Replay::new(resumable(session, seq)?, seq);
        let folder = journal::folder(&self.journals, &self.gateway);
        let boot = self.boot.clone();
        let read = self.tasks.blocking(move || replay_file(replay, &folder, &boot)).await;
        let mut replay = read.map_err(|_| Refusal::Invalid(Resume::Doubt))??;
        let heard = self.put_again(link, session, seq, &mut replay)?;
        self.replay(link, session, seq, heard).await;
        Ok(())
    }

    /// Puts into the order once more what was read from the journal, and connects the session behind it.
    fn put_again(
        &self,
        link: &Arc<Link>,
        session: &Arc<Session>,
        seq: u64,
        replay: &mut Replay,
    ) -> Result<Vec<What>, Refusal> {
        let mut order = self.order();
        // Others may have been faster: a second resume of the same session, or its end.
        resumable(session, seq)?;
        replay.catch_up(self)?;
        let replay = std::mem::replace(replay, Replay::new(replay.fold.clone(), seq));
        let (fold, heard) = replay.finish(&order).ok_or(Refusal::Invalid(Resume::Doubt))?;
        let generation = session.lock().generation;
        let mark = Mark { token_hash: session.token_hash, generation, fold: fold.clone() };
        let mut entries = vec![What::Session(Box::new(mark))];
        entries.extend(heard.iter().cloned());
        self.append(&mut order, entries).map_err(not_taken)?;
        session.lock().acks = Acks::new(&fold, self.clock.now());
        let fold = after(&fold, &heard);
        let floor = fold.s;
        self.attach(&mut order, link, session, fold, floor, true)?;
        Ok(heard)
    }

    /// Gives the session its connection, and puts RESUMED behind what it has missed. `floor`: numbers up to there are
    /// not sent.
    pub(super) fn attach(
        &self,
        order: &mut Order,
        link: &Arc<Link>,
        session: &Arc<Session>,
        fold: Fold,
        floor: u64,
        is_corked: bool,
    ) -> Result<(), Refusal> {
        // It may have ended since it was put into the order: nobody would ever mark it.
        if !order.sessions.get(&session.id).is_some_and(|listed| Arc::ptr_eq(listed, session)) {
            return Err(Refusal::Invalid(Resume::Unknown));
        }
        let before = {
            let mut state = session.lock();
            let before = session.connect(&mut state, link, self.clock.now());
            state.fold = fold;
            state.floor = floor;
            state.is_dirty = true;
            state.is_corked = is_corked;
            before
        };
        if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, link)) {
            before.close(Close::Again("The session goes on elsewhere."));
        }
        // What is put in order once more has its mark already. Otherwise this one says that the session was kept here,
        // which whoever takes it over finds in the record too.
        let mark = (!is_corked).then(|| What::Session(Box::new(session.mark())));
        let entries = mark.into_iter().chain([to_session(session.id, Kind::Resumed, "{}")]).collect();
        if let Err(refused) = self.append(order, entries) {
            session.disconnect(&mut session.lock(), link, self.clock.now());
            return Err(not_taken(refused));
        }
        self.push_dirty([session.clone()]);
        Ok(())
    }

    /// Sends what a session has missed, from memory of its own: it may be more than the ring holds. Then lets
    /// everything else out.
    pub(super) async fn replay(&self, link: &Arc<Link>, session: &Arc<Session>, seq: u64, heard: Vec<What>) {
        for (what, s) in heard.into_iter().zip(seq + 1..) {
            let (is_open, is_holding) = {
                let mut frame = Vec::new();
                let mut pen = link.pen();
                write_dispatch(&mut frame, &Slot::new(Entry { lsn: 0, what }), s, true, pen.codec());
                pen.write(&frame);
                (pen.is_open(), pen.is_holding())
            };
            if !is_open {
                break;
            }
            self.metrics.dispatches.inc();
            if is_holding {
                link.drained().await;
            }
        }
        session.lock().is_corked = false;
        self.push_dirty([session.clone()]);
    }

    /// Another process has the session now.
    pub(super) fn let_go(&self, session: &Arc<Session>) {
        tracing::debug!(session = %session.id, "another gateway has taken the session over");
        self.end(session);
    }
}

/// Nothing can be promised while the journal takes nothing. More than it ever takes at once is too much to resume.
pub(super) fn not_taken(refused: Refused) -> Refusal {
    match refused.trouble {
        journal::Trouble::TooLong { .. } => Refusal::Invalid(Resume::TooFar),
        _ => Close::Again("The journal is full; try again.").into(),
    }
}

/// Another connection of the same client is being given the session, or was while this one was looked at. Whoever
/// comes next finds out.
pub(super) fn busy() -> Refusal {
    Close::Again("The session is being resumed; try again.").into()
}

/// Where a replay begins, if the session can be gone on with after `seq`.
fn resumable(session: &Session, seq: u64) -> Result<Fold, Refusal> {
    let state = session.lock();
    if state.is_over {
        return Err(Refusal::Invalid(Resume::Unknown));
    }
    // Below the mark nobody knows any more what was heard; above, the client has what was never sent.
    if seq < state.acks.s() || seq > state.fold.s.max(state.floor) {
        return Err(Refusal::Invalid(Resume::Doubt));
    }
    Ok(state.acks.rewind(&state.fold))
}

/// Folds over the own journal, as far as it goes now.
fn replay_file(mut replay: Replay, folder: &std::path::Path, boot: &str) -> Result<Replay, Refusal> {
    let doubt = |trouble: journal::Trouble| {
        tracing::warn!(error = %chain(&trouble), "journal cannot be read, a session begins anew");
        Refusal::Invalid(Resume::Doubt)
    };
    let entries =
        Reader::open(folder, boot).and_then(|reader| reader.entries(replay.fold.lsn)).map_err(doubt)?;
    for entry in entries {
        let entry: Entry = entry.map_err(doubt)?;
        if entry.what.is_numbered() {
            replay.step(&Slot::new(entry))?;
        }
    }
    Ok(replay)
}

#[cfg(test)]
mod tests;
