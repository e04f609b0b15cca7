//! What a rate limit is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::notation::Rate;
use crate::duration;

/// Most that may come at once: a second's worth of the fastest rate.
pub const BURST_MAX: u32 = 1_000_000;

/// Most keys a table may remember, which then takes 256 MiB.
pub const KEYS_MAX: u32 = 16_777_216;

/// Memory a key takes in the table, in bytes.
const KEY_BYTES: u64 = 16;

/// A rate limit's configuration. The default is [`Policy::create_link`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// How many in the long run.
    pub rate: Rate,
    /// How many at once after a pause, 1 to [`BURST_MAX`].
    pub burst: u32,
    /// How many keys (client addresses, tokens) are limited each by itself, up to [`KEYS_MAX`]; 0 is one
    /// limit for all together.
    pub keys_max: u32,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::create_link()
    }
}

impl Policy {
    /// Everything wrong with it, each with what to write instead; empty when all is well. A limit made from a
    /// policy that fails this uses the nearest values that work.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.burst != self.burst() {
            wrong.push(format!(
                "burst: use 1 (evenly spaced) to {BURST_MAX}, such as twice the rate; it says {}",
                self.burst
            ));
        }
        if self.keys_max > KEYS_MAX {
            wrong.push(format!(
                "keys_max: use 0 (one limit for all) to {KEYS_MAX}, such as 65536; it says {}",
                self.keys_max
            ));
        }
        wrong
    }

    /// What it does, in sentences.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let (rate, burst) = (self.rate, self.burst());
        let interval = Duration::from_nanos(rate.interval_ns());
        let mut sentences = vec![
            format!(
                "Admits {} requests {} in the long run, which is one every {}.",
                rate.count(),
                rate.per().words(),
                duration::format(interval)
            ),
            format!(
                "After a pause {burst} may come at once; {} later as many may come again.",
                duration::format(interval * burst)
            ),
            "Whoever is refused is told at what moment to come again; nobody is kept waiting.".to_owned(),
        ];
        sentences.push(match self.keys_max.min(KEYS_MAX) {
            0 => "All callers share this one limit.".to_owned(),
            keys => format!(
                "Each key, such as a client's address, has its own limit; {keys} keys are remembered in \
                 {} KiB, and who has been quiet longest is forgotten first.",
                (u64::from(keys) * KEY_BYTES).div_ceil(1024)
            ),
        });
        sentences
    }

    /// How long a whole burst takes to come back. Over times much longer than this the limit is its rate.
    #[must_use]
    pub fn burst_lasts(&self) -> Duration {
        Duration::from_nanos(self.rate.interval_ns()) * self.burst()
    }

    pub(super) fn burst(&self) -> u32 {
        self.burst.clamp(1, BURST_MAX)
    }
}
