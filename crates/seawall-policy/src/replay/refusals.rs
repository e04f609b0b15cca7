//! Refusals as times of refusing: a rate limit at its limit refuses every other call, and a line for each
//! change of mind would bury the one that matters.

use std::sync::Arc;
use std::time::Duration;

use super::tally::{Change, Changes};
use super::text::{Short, count};
use crate::Mono;

/// After so long without a refusal it is over: as long as a limit a second takes to say so.
const QUIET: Duration = Duration::from_secs(1);

const ADMITTING: &str = "admitting";
const REFUSING: &str = "refusing";

/// Of one limit.
#[derive(Debug, Default)]
pub(super) struct Refusals(Option<Spell>);

#[derive(Debug)]
struct Spell {
    since: Mono,
    last: Mono,
    refused: u64,
}

impl Refusals {
    /// A call was let through or refused; `why` is asked when refusing begins.
    pub(super) fn decided(
        &mut self,
        now: Mono,
        refused: bool,
        key: Option<&Arc<str>>,
        changes: &mut Changes,
        why: impl FnOnce() -> String,
    ) {
        if self.0.as_ref().is_some_and(|spell| now.since(spell.last) >= QUIET) {
            self.end(key, changes);
        }
        if !refused {
            return;
        }
        let spell = self.0.get_or_insert_with(|| {
            let key = key.cloned();
            changes.add(Change { at: now, key, from: ADMITTING, to: REFUSING, why: why() });
            Spell { since: now, last: now, refused: 0 }
        });
        spell.last = now;
        spell.refused += 1;
    }

    /// The trace is over, or the time of refusing.
    pub(super) fn end(&mut self, key: Option<&Arc<str>>, changes: &mut Changes) {
        let Some(Spell { since, last, refused }) = self.0.take() else { return };
        let why = format!(
            "{} in {}",
            count(refused, "call was refused", "calls were refused"),
            Short(last - since)
        );
        changes.add(Change { at: last, key: key.cloned(), from: REFUSING, to: ADMITTING, why });
    }
}
