//! Which of several processes speaks for something, by a row in the store that it renews.
//!
//! The row only says who *should* write; the epochs claimed with it decide whose writes land. So the lease may be
//! judged with little care: whoever takes it too early fences the one before, and loses nothing that was
//! acknowledged.
//!
//! ```text
//!            nobody's, or silent for its time: take it, claim the epochs
//!   looking ───────────────────────────────────────────────────────────► holding ── renews
//!      ▲                                                                    │
//!      └────── somebody else took it, a write was fenced, or we stop ───────┘
//! ```
//!
//! [`Core`] judges; reading, taking and renewing the row is its owner's, who knows the table.

use std::time::Duration;

use seawall_policy::{Mono, Wall};

/// How long a lease lasts that nobody renews (design document: 3 s).
pub const TTL: Duration = Duration::from_secs(3);
/// How often it is renewed.
pub const RENEW: Duration = Duration::from_secs(1);
/// How often somebody without it looks who has it.
pub const LOOK: Duration = Duration::from_millis(250);

/// What stands in the row, as far as it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// A process, by a name of its own for each start.
    pub holder: &'a str,
    /// Where it listens.
    pub address: &'a str,
    /// When it last said that it is there, by its own clock.
    pub renewed_at: Wall,
}

/// What to do about the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is free, or its holder is silent: take it.
    Take,
    /// It is ours: claim the epochs.
    Ours,
    /// It is another's.
    Follow,
}

/// Judges the row. Knows no clock.
#[derive(Debug)]
pub struct Core {
    me: String,
    address: String,
    /// The last holder and renewal that were seen, and since when they are the same.
    seen: Option<(String, Wall, Mono)>,
    has_looked: bool,
}

impl Core {
    /// For a process of this name that listens at this address.
    #[must_use]
    pub fn new(me: String, address: String) -> Core {
        Core { me, address, seen: None, has_looked: false }
    }

    /// What is to be done about what stands there now. Silence is measured by our own clock; a row that is old by
    /// the wall clock when it is first seen is not waited for.
    pub fn look(&mut self, row: Option<Row<'_>>, now: Mono, wall: Wall) -> Step {
        let Some(row) = row else {
            self.seen = None;
            return Step::Take;
        };
        if row.holder == self.me {
            return Step::Ours;
        }
        let is_first = !std::mem::replace(&mut self.has_looked, true);
        let since = match &self.seen {
            Some((holder, at, since)) if holder == row.holder && *at == row.renewed_at => *since,
            _ => {
                self.seen = Some((row.holder.to_owned(), row.renewed_at, now));
                now
            }
        };
        if is_first && row.address == self.address {
            // We have bound its socket: it is gone. Asked once only, lest two that think so take turns for ever.
            return Step::Take;
        }
        let ttl_ms = i64::try_from(TTL.as_millis()).unwrap_or(i64::MAX);
        let is_old = wall.0.saturating_sub(row.renewed_at.0) > ttl_ms;
        if is_old || now.since(since) >= TTL { Step::Take } else { Step::Follow }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(holder: &str, renewed_at: i64) -> Row<'_> {
        Row { holder, address: "127.0.0.1:1", renewed_at: Wall(renewed_at) }
    }

    fn core() -> Core {
        Core::new("me".to_owned(), "127.0.0.1:2".to_owned())
    }

    fn at(ms: u64) -> Mono {
        Mono(0) + Duration::from_millis(ms)
    }

    #[test]
    fn a_free_lease_is_taken_and_ones_own_is_known() {
        let mut core = core();
        assert_eq!(core.look(None, at(0), Wall(0)), Step::Take);
        assert_eq!(core.look(Some(row("me", 0)), at(0), Wall(99_000)), Step::Ours);
    }

    #[test]
    fn a_holder_that_renews_is_followed() {
        let mut core = core();
        for second in 0..100 {
            let wall = second * 1000;
            let step = core.look(Some(row("other", wall)), at(wall as u64), Wall(wall + 500));
            assert_eq!(step, Step::Follow);
        }
    }

    #[test]
    fn a_holder_that_is_silent_for_three_seconds_is_followed_no_longer() {
        let mut core = core();
        // Its clock is an hour ahead: only its silence tells.
        let silent = row("other", 3_600_000);
        assert_eq!(core.look(Some(silent), at(0), Wall(0)), Step::Follow);
        assert_eq!(core.look(Some(silent), at(2999), Wall(2999)), Step::Follow);
        assert_eq!(core.look(Some(silent), at(3000), Wall(3000)), Step::Take);
    }

    #[test]
    fn a_lease_that_ended_long_ago_is_not_waited_for() {
        let mut core = core();
        assert_eq!(core.look(Some(row("other", 0)), at(0), Wall(3001)), Step::Take);
    }

    #[test]
    fn who_had_our_socket_before_is_gone_but_that_is_believed_only_once() {
        let mut core = core();
        let before = Row { address: "127.0.0.1:2", ..row("other", 0) };
        assert_eq!(core.look(Some(before), at(0), Wall(100)), Step::Take);
        assert_eq!(core.look(Some(before), at(0), Wall(100)), Step::Follow);
    }
}
