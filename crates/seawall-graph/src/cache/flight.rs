//! Asking once for all who want the same at the same time.
//!
//! ## What must not go wrong
//!
//! Whoever asks says so before it asks ([`Flight`]), under the lock that changes take too. A change that passes while
//! the answer is on its way raises the flight's floor; an answer below the floor is asked for again, so no slow answer
//! brings back what was already told to be over. No lock is held while anybody waits.
//!
//! Whoever asks may be dropped at any moment: its client left. Then one of those who wait takes over the asking
//! ([`Asking`], [`Waiting`]); nobody waits for nobody.

use std::sync::PoisonError;

use tokio::sync::oneshot;

use super::entry::Sought;
use super::{Cache, Need, seconds};
use crate::call::{Key, Refusal, Version};
use crate::leader::Filled;
use crate::limits::FILL_TRIES_MAX;
use crate::message::{Head, State};
use seawall_policy::Mono;

/// Times one call joins another's asking and finds that it was not asked for enough.
const JOINS_MAX: u32 = 8;

/// An answer under way, and who wants it.
#[derive(Default)]
pub(super) struct Flight {
    /// What all of them want together.
    need: Need,
    /// The youngest version that was heard of since.
    pub(super) floor: Version,
    /// Something happened that has no version: the answer under way may be from before.
    pub(super) is_spoilt: bool,
    waiting: Vec<oneshot::Sender<Turn>>,
}

/// What becomes of one who waits.
enum Turn {
    /// It was asked for this, and this came.
    Landed(Need, Result<Filled, Refusal>),
    /// Who asked is gone: you ask.
    Ask,
}

enum Step {
    Known(State),
    Ask,
    Wait(oneshot::Receiver<Turn>),
}

impl Cache {
    /// The key's state: from memory if it is good enough, else by `ask`, asked once for all who want it at the same
    /// time. `ask` is told what all of them need together. An answer that became old while it was on its way (a change
    /// of the key passed by meanwhile) is asked for again, at most [`FILL_TRIES_MAX`] times. A stale answer goes to all
    /// who wait and is not kept.
    ///
    /// A version that the source itself does not have (a forged ticket) is not waited for: the source's answer counts.
    ///
    /// # Errors
    /// What `ask` says, for all who wait, except that [`Refusal::Late`] is one caller's patience: another asks then.
    /// [`Refusal::Busy`] if the key changes faster than it can be asked for.
    pub async fn fetch<F, A>(&self, key: Key, need: Need, now: Mono, ask: F) -> Result<Filled, Refusal>
    where
        F: Fn(Need) -> A,
        A: Future<Output = Result<Filled, Refusal>>,
    {
        let sought = Sought::from(key);
        for round in 0..JOINS_MAX {
            let turn = match self.step(&sought, key, need, now, round == 0) {
                Step::Known(state) => return Ok(Filled { state, is_stale: false }),
                Step::Ask => Turn::Ask,
                Step::Wait(turn) => Waiting { cache: self, sought, turn }.end().await,
            };
            match turn {
                Turn::Ask => return Asking { cache: self, sought, is_over: false }.run(now, ask).await,
                Turn::Landed(_, Err(refusal)) => return Err(refusal),
                Turn::Landed(asked, Ok(filled)) if need.is_met_by(asked, &filled) => return Ok(filled),
                // It was asked for before we came, and not for what we need.
                Turn::Landed(..) => {}
            }
        }
        Err(Refusal::Busy)
    }

    /// One decision: what memory has, or who asks.
    fn step(&self, sought: &Sought, key: Key, need: Need, now: Mono, is_counted: bool) -> Step {
        let mut segment = self.segment(sought).lock().unwrap_or_else(PoisonError::into_inner);
        let segment = &mut *segment;
        let mut floor = Version::default();
        if let Some((entry, is_fresh)) = segment.find(sought, need.at_least, seconds(now)) {
            if is_fresh && entry.holds(need.edges) {
                let state = entry.state(key);
                segment.hits += u64::from(is_counted);
                return Step::Known(state);
            }
            // What memory still trusts has been told to others: nobody is told anything older.
            if !segment.is_old(entry, seconds(now)) {
                floor = entry.version();
            }
        }
        segment.misses += u64::from(is_counted);
        if let Some(flight) = segment.flights.get_mut(&sought.packed) {
            flight.need = flight.need.and(need);
            // Those who left are swept out whenever their number may have doubled.
            if flight.waiting.len().is_power_of_two() {
                flight.waiting.retain(|waiting| !waiting.is_closed());
            }
            let (ours, turn) = oneshot::channel();
            flight.waiting.push(ours);
            return Step::Wait(turn);
        }
        segment.flights.insert(sought.packed, Flight { need, floor, ..Flight::default() });
        Step::Ask
    }

    /// The next of those who wait asks; without any, nobody needs to.
    fn hand_over(&self, sought: &Sought) {
        let mut segment = self.segment(sought).lock().unwrap_or_else(PoisonError::into_inner);
        let Some(flight) = segment.flights.get_mut(&sought.packed) else { return };
        while let Some(next) = flight.waiting.pop() {
            if next.send(Turn::Ask).is_ok() {
                return;
            }
        }
        segment.flights.remove(&sought.packed);
    }
}

/// Whoever asks. Dropped before the answer came, another takes over.
struct Asking<'a> {
    cache: &'a Cache,
    sought: Sought,
    is_over: bool,
}

impl Asking<'_> {
    async fn run<F, A>(mut self, now: Mono, ask: F) -> Result<Filled, Refusal>
    where
        F: Fn(Need) -> A,
        A: Future<Output = Result<Filled, Refusal>>,
    {
        for _ in 0..FILL_TRIES_MAX {
            let need = self.begin();
            match ask(need).await {
                Ok(filled) => {
                    if self.land(need, &filled, now) {
                        return Ok(filled);
                    }
                }
                Err(Refusal::Late) => return Err(Refusal::Late),
                Err(refusal) => {
                    self.fail(need, &refusal);
                    return Err(refusal);
                }
            }
        }
        let need = self.begin();
        self.fail(need, &Refusal::Busy);
        Err(Refusal::Busy)
    }

    fn begin(&self) -> Need {
        let mut segment = self.cache.segment(&self.sought).lock().unwrap_or_else(PoisonError::into_inner);
        let flight = segment.flights.entry(self.sought.packed).or_default();
        flight.is_spoilt = false;
        Need { edges: flight.need.edges, at_least: flight.need.at_least.max(flight.floor) }
    }

    /// Takes the answer in and tells everybody; false if it is out of date already.
    fn land(&mut self, need: Need, filled: &Filled, now: Mono) -> bool {
        let mut segment = self.cache.segment(&self.sought).lock().unwrap_or_else(PoisonError::into_inner);
        let Some(flight) = segment.flights.get(&self.sought.packed) else { return true };
        if !filled.is_stale && (flight.is_spoilt || filled.state.version() < flight.floor) {
            return false;
        }
        if !filled.is_stale {
            segment.enter(&self.sought, &filled.state, seconds(now));
        }
        let waiting = segment.flights.remove(&self.sought.packed).map(|flight| flight.waiting);
        drop(segment);
        self.tell(waiting, need, &Ok(filled.clone()));
        true
    }

    fn fail(&mut self, need: Need, refusal: &Refusal) {
        let mut segment = self.cache.segment(&self.sought).lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = segment.flights.remove(&self.sought.packed).map(|flight| flight.waiting);
        drop(segment);
        self.tell(waiting, need, &Err(refusal.clone()));
    }

    fn tell(
        &mut self,
        waiting: Option<Vec<oneshot::Sender<Turn>>>,
        need: Need,
        result: &Result<Filled, Refusal>,
    ) {
        self.is_over = true;
        for one in waiting.into_iter().flatten() {
            // Who does not listen any more has left.
            _ = one.send(Turn::Landed(need, result.clone()));
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.cache.hand_over(&self.sought);
        }
    }
}

/// Whoever waits. Dropped with its turn to ask in its hands, it passes that on.
struct Waiting<'a> {
    cache: &'a Cache,
    sought: Sought,
    turn: oneshot::Receiver<Turn>,
}

impl Waiting<'_> {
    async fn end(mut self) -> Turn {
        // A sender is only dropped with a flight that nobody asks for any more: the one who comes next asks.
        (&mut self.turn).await.unwrap_or(Turn::Landed(Need::default(), Err(Refusal::Busy)))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.turn.close();
        if let Ok(Turn::Ask) = self.turn.try_recv() {
            self.cache.hand_over(&self.sought);
        }
    }
}

impl Need {
    /// What satisfies both.
    fn and(self, other: Need) -> Need {
        Need { edges: self.edges.max(other.edges), at_least: self.at_least.max(other.at_least) }
    }

    /// Whether an answer that was asked for as `asked` will do.
    fn is_met_by(self, asked: Need, filled: &Filled) -> bool {
        let is_young = asked.at_least >= self.at_least || filled.state.version() >= self.at_least;
        let is_long = match &filled.state {
            State::Object(_) => true,
            State::List(head) => asked.edges >= self.edges || holds(head, self.edges),
        };
        is_young && is_long
    }
}

fn holds(head: &Head, edges: u32) -> bool {
    head.edges.len() >= edges as usize || head.is_whole()
}
