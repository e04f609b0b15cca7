//! What a client is known to have: where a replay of its session may begin.
//!
//! A heartbeat says the last number the client got. Mostly that is the newest there is, and the fold as it stands
//! is the mark. A client that lags says an older one; the state then is gone. So the state of the moment is kept
//! as a candidate, and counts as soon as a later heartbeat reaches it: two states for each session, however much
//! it hears and however far it lags.

use std::time::Duration;

use seawall_policy::Mono;

use super::fold::Fold;
use super::view::View;

/// A session at one place: what of a [`Fold`] changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The last number given.
    pub s: u64,
    /// The last entry passed.
    pub lsn: u64,
    /// What it saw.
    pub view: View,
    /// When it was there.
    pub at: Mono,
}

impl Point {
    fn of(fold: &Fold, at: Mono) -> Point {
        Point { s: fold.s, lsn: fold.lsn, view: fold.view.clone(), at }
    }
}

/// The newest state known to have reached the client, and the one that will be next.
#[derive(Debug, Clone)]
pub struct Acks {
    sure: Point,
    next: Option<Box<Point>>,
}

impl Acks {
    /// Of a session whose client has everything up to now, or will be given it again from here.
    #[must_use]
    pub fn new(fold: &Fold, now: Mono) -> Acks {
        Acks { sure: Point::of(fold, now), next: None }
    }

    /// The client says `s` is the last it got; the fold is where its cursor is. A number that was never given
    /// says nothing.
    pub fn acked(&mut self, s: u64, fold: &Fold, now: Mono) {
        if s == fold.s {
            (self.sure, self.next) = (Point::of(fold, now), None);
        } else if s < fold.s {
            if let Some(next) = self.next.take_if(|next| next.s <= s) {
                self.sure = *next;
            }
            self.next.get_or_insert_with(|| Box::new(Point::of(fold, now)));
        }
    }

    /// A client that has not said for `kept` what it has, or only what it had before, is taken to have everything:
    /// the journal is not kept for it alone. Should it miss something, it begins anew.
    pub fn forget(&mut self, fold: &Fold, now: Mono, kept: Duration) {
        if now.since(self.sure.at) > kept {
            *self = Acks::new(fold, now);
        }
    }

    /// The first number a RESUME can be served after.
    #[must_use]
    pub fn s(&self) -> u64 {
        self.sure.s
    }

    /// The entry after which a replay begins.
    #[must_use]
    pub fn lsn(&self) -> u64 {
        self.sure.lsn
    }

    /// The session as it was there.
    #[must_use]
    pub fn rewind(&self, fold: &Fold) -> Fold {
        let Point { s, lsn, view, .. } = self.sure.clone();
        Fold { s, lsn, view, skip: fold.skip.clone(), ..*fold }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::entry::SessionId;
    use crate::gateway::fold::Part;
    use crate::id::Id;

    fn at(s: u64, lsn: u64) -> Fold {
        let session = SessionId([0; 16]);
        let (user, view) = (Id(1), View::default());
        Fold { session, user, intents: 0, part: Part::WHOLE, s, lsn, view, skip: None }
    }

    #[test]
    fn a_client_that_keeps_up_is_sure_of_everything() {
        let mut acks = Acks::new(&at(1, 10), Mono(0));
        acks.acked(5, &at(5, 20), Mono(0));
        assert_eq!((acks.s(), acks.lsn()), (5, 20));
        acks.acked(5, &at(5, 90), Mono(0));
        assert_eq!((acks.s(), acks.lsn()), (5, 90));
        assert_eq!(acks.rewind(&at(7, 99)), at(5, 90));
    }

    #[test]
    fn a_client_that_lags_is_sure_of_the_state_it_has_reached_since() {
        let mut acks = Acks::new(&at(1, 10), Mono(0));
        acks.acked(3, &at(5, 20), Mono(0));
        assert_eq!(acks.s(), 1);
        acks.acked(4, &at(8, 30), Mono(0));
        assert_eq!(acks.s(), 1);
        acks.acked(6, &at(9, 40), Mono(0));
        assert_eq!((acks.s(), acks.lsn()), (5, 20));
        acks.acked(9, &at(11, 50), Mono(0));
        assert_eq!((acks.s(), acks.lsn()), (9, 40));
    }

    #[test]
    fn numbers_from_the_future_and_the_past_say_nothing() {
        let mut acks = Acks::new(&at(3, 10), Mono(0));
        acks.acked(9, &at(5, 20), Mono(0));
        acks.acked(1, &at(5, 20), Mono(0));
        assert_eq!((acks.s(), acks.lsn()), (3, 10));
    }

    #[test]
    fn a_client_that_never_says_what_it_has_is_not_waited_for() {
        let (kept, secs) = (Duration::from_secs(100), |s: u64| Mono(s * 1_000_000_000));
        let mut acks = Acks::new(&at(1, 10), secs(0));
        acks.acked(0, &at(5, 20), secs(60));
        acks.forget(&at(5, 20), secs(100), kept);
        assert_eq!((acks.s(), acks.lsn()), (1, 10));
        acks.forget(&at(6, 30), secs(101), kept);
        assert_eq!((acks.s(), acks.lsn()), (6, 30));
        // One that says so stays where it was, however long nothing happens.
        acks.acked(6, &at(6, 30), secs(190));
        acks.forget(&at(7, 40), secs(290), kept);
        assert_eq!((acks.s(), acks.lsn()), (6, 30));
    }
}
