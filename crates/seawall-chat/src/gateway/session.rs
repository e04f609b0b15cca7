//! A session: what it has heard, what it sees, and the connection it has or waits for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seawall_policy::Mono;

use super::acks::Acks;
use super::entry::{Mark, SessionId};
use super::fold::Fold;
use super::link::Link;
use super::payload::Shown;
use crate::id::Id;

/// One session of this process. Lives until its client says goodbye, or stays away for too long.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) user: Id,
    pub(super) token_hash: [u8; 32],
    /// From so many members on, a guild is told without those who are away.
    pub(super) large_threshold: usize,
    /// Whether it has a connection, for whoever looks through thousands without locking each.
    is_connected: AtomicBool,
    state: Mutex<State>,
}

/// What changes of a session.
pub(super) struct State {
    /// How often it was taken over.
    pub(super) generation: u64,
    /// Where it is. Without a connection it stays where it was.
    pub(super) fold: Fold,
    /// Where a replay may begin.
    pub(super) acks: Acks,
    /// Numbers up to here the client has, although the fold goes over them again.
    pub(super) floor: u64,
    /// Entries may concern it that the fold has not passed. While it is false, all entries may be passed.
    pub(super) is_dirty: bool,
    /// What may concern it can wait: it is dirty, and nobody has been told to flush it yet.
    pub(super) is_waiting: bool,
    /// READY and the guilds are being written: nothing else may come between.
    pub(super) is_corked: bool,
    /// Its connection.
    pub(super) link: Option<Arc<Link>>,
    /// When the client last showed that it is there, or else left.
    pub(super) seen: Mono,
    /// What it shows of its user.
    pub(super) shown: Shown,
    /// What it shows is not what was reported last.
    pub(super) is_report_due: bool,
    /// What it shows changed too often; it is reported a little later.
    pub(super) is_shown_late: bool,
    /// It will not come back.
    pub(super) is_over: bool,
    /// Of which guilds it was told all members lately, and when: no more often than its client may ask.
    pub(super) told_all: Vec<(Id, Mono)>,
}

impl Session {
    /// A session that waits for its first connection.
    pub(super) fn new(mark: Mark, large_threshold: usize, shown: Shown, now: Mono) -> Arc<Session> {
        let Mark { token_hash, generation, fold } = mark;
        Arc::new(Session {
            id: fold.session,
            user: fold.user,
            token_hash,
            large_threshold,
            is_connected: AtomicBool::new(false),
            state: Mutex::new(State {
                generation,
                acks: Acks::new(&fold, now),
                floor: fold.s,
                fold,
                is_dirty: false,
                is_waiting: false,
                is_corked: false,
                link: None,
                seen: now,
                shown,
                is_report_due: false,
                is_shown_late: false,
                is_over: false,
                told_all: Vec::new(),
            }),
        })
    }

    /// Held for a few steps of memory only. Taken after the hub's order where both are needed, never before.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Acquire)
    }

    /// Gives it a connection; back comes the one it had.
    pub(super) fn connect(&self, state: &mut State, link: &Arc<Link>, now: Mono) -> Option<Arc<Link>> {
        self.is_connected.store(true, Ordering::Release);
        state.seen = now;
        state.link.replace(link.clone())
    }

    /// Takes its connection away, if it is still this one.
    pub(super) fn disconnect(&self, state: &mut State, link: &Arc<Link>, now: Mono) -> bool {
        if !state.link.as_ref().is_some_and(|own| Arc::ptr_eq(own, link)) {
            return false;
        }
        self.is_connected.store(false, Ordering::Release);
        state.link = None;
        state.is_corked = false;
        state.seen = now;
        true
    }

    /// Where a replay of it may begin, for the journal.
    pub(super) fn mark(&self) -> Mark {
        self.mark_of(&self.lock())
    }

    /// The same, where its client has not said for `kept` what it has: then from where it is now.
    pub(super) fn young_mark(&self, now: Mono, kept: Duration) -> Mark {
        let mut state = self.lock();
        let State { acks, fold, .. } = &mut *state;
        acks.forget(fold, now, kept);
        self.mark_of(&state)
    }

    fn mark_of(&self, state: &State) -> Mark {
        let fold = state.acks.rewind(&state.fold);
        Mark { token_hash: self.token_hash, generation: state.generation, fold }
    }
}
