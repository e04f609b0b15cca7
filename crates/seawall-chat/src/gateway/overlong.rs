//! How much goes into one batch, and what becomes of one that the journal will never take.
//!
//! A batch is one record, and a record has an end. Mostly news are cut into batches long before: each says how far it
//! goes, so nothing is lost between two. What comes of one piece of news stays together: a guild that a user joins is
//! told to each of its sessions, a change of a role to everybody it hides something from. Where that alone is
//! too long it is left out, and whoever was to hear of it begins anew: trying again would hold up everybody for ever.

use std::collections::HashSet;
use std::sync::Arc;

use super::conn::INVALID;
use super::entry::{To, What};
use super::hub::{Hub, Order};
use super::journal::RECORD_MAX;
use super::session::Session;
use crate::id::Id;

/// Bytes after which a batch is long enough; what one piece of news brings may come on top.
pub(super) const BATCH_BYTES: usize = RECORD_MAX / 4;

/// Counts what is in a batch, each entry once.
#[derive(Debug, Default)]
pub(super) struct Room {
    counted: usize,
    bytes: usize,
}

impl Room {
    /// Whether more may be added to these.
    pub(super) fn is_left(&mut self, whats: &[What]) -> bool {
        self.bytes += whats.iter().skip(self.counted).map(size).sum::<usize>();
        self.counted = whats.len();
        self.bytes < BATCH_BYTES
    }
}

/// About how many bytes an entry takes in the journal.
fn size(what: &What) -> usize {
    match what {
        What::Dispatch { d, .. } => d.len(),
        What::View { hidden, .. } => hidden.as_ref().map_or(0, |hidden| hidden.len() * size_of::<Id>()),
        What::Session(_) | What::Gone { .. } | What::Reached { .. } => 0,
    }
}

impl Hub {
    /// Takes the longest entries out of a batch that has `bytes`, so that the rest may fit. Sessions that cannot hear
    /// of them now are over. False where there is nothing to take out.
    pub(super) fn shorten(&self, whats: &mut Vec<What>, bytes: usize) -> bool {
        let mut longest: Vec<(usize, usize)> =
            whats.iter().map(size).zip(0..).filter(|(size, _)| *size > 0).collect();
        longest.sort_unstable_by(|a, b| b.cmp(a));
        let mut excess = bytes.saturating_sub(RECORD_MAX).max(1);
        let mut out = HashSet::new();
        for (size, at) in longest {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(size);
            out.insert(at);
        }
        let deaf = {
            let order = self.order();
            let left_out = out.iter().filter_map(|at| whats.get(*at));
            let mut all: Vec<_> = left_out.flat_map(|what| hearers(&order, what)).collect();
            all.sort_unstable_by_key(|session| session.id);
            all.dedup_by_key(|session| session.id);
            all
        };
        let mut at = 0..;
        whats.retain(|_| !at.next().is_some_and(|at| out.contains(&at)));
        let (entries, sessions) = (out.len(), deaf.len());
        tracing::error!(
            bytes,
            entries,
            sessions,
            "too much for one batch, whoever was to hear of it begins anew"
        );
        for session in deaf {
            // Before the session is ended, which closes the connection.
            if let Some(link) = session.lock().link.clone() {
                link.send(INVALID);
            }
            self.end(&session);
        }
        !out.is_empty()
    }
}

/// Sessions that may hear of an entry, or whose view it changes.
fn hearers(order: &Order, what: &What) -> Vec<Arc<Session>> {
    let of_users =
        |users: &[Id]| users.iter().filter_map(|user| order.by_user.get(user)).flatten().cloned().collect();
    match what {
        What::Dispatch { to: To::Guild(guild) | To::Channel { guild, .. }, .. } => {
            order.by_guild.get(guild).cloned().unwrap_or_default()
        }
        What::Dispatch { to: To::Users(users), .. } => of_users(users),
        What::Dispatch { to: To::Session(session), .. } => {
            order.sessions.get(session).cloned().into_iter().collect()
        }
        What::View { user, .. } => of_users(&[*user]),
        What::Session(_) | What::Gone { .. } | What::Reached { .. } => Vec::new(),
    }
}
