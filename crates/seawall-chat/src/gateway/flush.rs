//! Sending what is due: each session that is behind gets all it has not heard, in as few writes as it takes.
//!
//! One after the other, on the sequencer's task: a thousand listeners cost a thousand `write`s and no wake-ups. Who
//! does not take what is written keeps its place in the ring; its own task goes on when the socket has room.

use std::sync::{Arc, PoisonError};

use super::frame::{Slot, write_dispatch};
use super::hub::Hub;
use super::link::Link;
use super::payload::Close;
use super::ring::{Batch, FellOff};
use super::session::{Session, State};

/// Sessions flushed before others may run.
const TURN: usize = 64;
/// Bytes written at once; what a client that reads nothing makes us keep is little more.
const ROUND_BYTES: usize = 32 * 1024;
/// Entries looked at for a session that is further behind than the others.
const LOOK_MAX: usize = 1024;

impl Hub {
    /// Sends what is due, to all who are marked. While nothing is dispatched they stay marked.
    pub(super) async fn flush(&self) {
        if self.is_silent() {
            return;
        }
        let mut scratch = Vec::with_capacity(2 * ROUND_BYTES);
        loop {
            let due = std::mem::take(&mut *self.dirty.lock().unwrap_or_else(PoisonError::into_inner));
            if due.is_empty() {
                return;
            }
            let newest = self.newest(&due);
            for turn in due.chunks(TURN) {
                for session in turn {
                    self.flush_one(session, newest.as_ref(), &mut scratch);
                }
                tokio::task::yield_now().await;
            }
        }
    }

    /// Sends what is due to one session.
    pub(super) fn flush_alone(&self, session: &Arc<Session>) {
        if self.is_silent() {
            return;
        }
        self.flush_one(session, None, &mut Vec::new());
    }

    /// Something else is given up than before. Whoever was passed over is sent what it has missed, when that may be.
    pub(super) fn changed(&self) {
        if !self.is_silent() {
            let all: Vec<_> = self.order().sessions.values().cloned().collect();
            self.push_dirty(all.into_iter().filter(|session| session.lock().is_dirty));
        }
    }

    fn is_silent(&self) -> bool {
        self.inbox.ladder().effects().silent
    }

    /// What most of them have to hear: one look into the ring for all.
    fn newest(&self, due: &[Arc<Session>]) -> Option<Batch> {
        let from = due.first()?.lock().fold.lsn;
        self.ring.after(from, LOOK_MAX).ok()
    }

    fn flush_one(&self, session: &Arc<Session>, newest: Option<&Batch>, scratch: &mut Vec<u8>) {
        let mut state = session.lock();
        let Some(link) = state.link.clone() else {
            state.is_dirty = false;
            return;
        };
        state.is_waiting = false;
        // Stays marked: whoever takes the cork out, or gets the socket free, flushes.
        if !state.is_dirty || state.is_corked || link.is_holding() {
            return;
        }
        loop {
            scratch.clear();
            let step = match newest.and_then(|batch| batch.after(state.fold.lsn)) {
                Some(slots) if !slots.is_empty() => Ok(self.fold(&mut state, slots, &link, scratch)),
                _ => self.ring.after(state.fold.lsn, LOOK_MAX).map(|batch| {
                    let slots = batch.after(state.fold.lsn).unwrap_or_default();
                    if slots.is_empty() { 0 } else { self.fold(&mut state, slots, &link, scratch) }
                }),
            };
            match step {
                Err(FellOff) => return self.fell_off(&mut state, &link),
                Ok(0) => {
                    state.is_dirty = false;
                    return;
                }
                Ok(_) if scratch.is_empty() => {}
                Ok(_) => {
                    let mut pen = link.pen();
                    pen.write(scratch);
                    if pen.is_holding() || !pen.is_open() {
                        return;
                    }
                }
            }
        }
    }

    /// Goes over entries until there is enough to write; how many it went over.
    fn fold(&self, state: &mut State, slots: &[Arc<Slot>], link: &Link, scratch: &mut Vec<u8>) -> usize {
        let mut pen = link.pen();
        let (mut looked, mut sent) = (0, 0);
        for slot in slots {
            looked += 1;
            if let Some(heard) = state.fold.step(slot.entry())
                && heard.s > state.floor
            {
                sent += 1;
                write_dispatch(scratch, slot, heard.s, heard.content, pen.codec());
                if scratch.len() >= ROUND_BYTES {
                    break;
                }
            }
        }
        self.metrics.dispatches.inc_by(sent);
        looked
    }

    /// What it has not heard is no longer in memory. It comes back and resumes from the journal. It stays marked, so
    /// that it passes nothing until then, whatever its client still says.
    pub(super) fn fell_off(&self, state: &mut State, link: &Link) {
        debug_assert!(state.is_dirty, "only who has something to hear is behind");
        if link.close(Close::Again("Too slow.")) {
            self.metrics.fallen.inc();
        }
    }
}
