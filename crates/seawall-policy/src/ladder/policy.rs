//! What a ladder is told: its rungs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::condition::Condition;
use crate::duration;

/// Most rungs a ladder may have. The documents' longest has five.
pub const RUNGS_MAX: usize = 16;
/// Most effects of one rung.
pub const EFFECTS_MAX: usize = 16;
/// The shortest dwell: a ladder is stepped about once a second and can keep no shorter one.
pub const DWELL_MIN: Duration = Duration::from_secs(1);
/// The longest dwell, and the longest grace: after an hour an operator should be asked.
pub const DWELL_MAX: Duration = Duration::from_secs(3_600);

/// A ladder's configuration. The default has no rung, which [`check`](Policy::check) refuses: what to give up
/// first is for the owner to say. [`preset`](super::preset) knows the documents'.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// From the least to the most that is given up.
    pub rung: Vec<Rung>,
}

/// One step of a ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rung {
    /// 1 and up; 0 is normal operation.
    pub level: u8,
    /// What has happened, as an operator would say it: "ranking degraded".
    pub name: String,
    /// When it is entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enter: Option<Condition>,
    /// When it is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Condition>,
    /// It stays for at least this long, and once left is not entered again for as long.
    #[serde(with = "duration")]
    pub dwell: Duration,
    /// It is not entered within this time of the start or of a planned disturbance; 0 is none.
    #[serde(with = "duration", skip_serializing_if = "Duration::is_zero")]
    pub grace: Duration,
    /// Entered and left by an operator's pin alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub manual: bool,
    /// What is given up meanwhile, each as "feature=mode".
    pub effects: Vec<String>,
}

impl Default for Rung {
    /// Nothing said but a dwell of 30 s, which is how long the chat and feed documents wait before they try a
    /// failed service again.
    fn default() -> Rung {
        Rung {
            level: 0,
            name: String::new(),
            enter: None,
            exit: None,
            dwell: Duration::from_secs(30),
            grace: Duration::ZERO,
            manual: false,
            effects: Vec::new(),
        }
    }
}

impl Rung {
    /// What this rung makes of a feature, if it says anything of it.
    #[must_use]
    pub fn effect(&self, feature: &str) -> Option<&str> {
        self.effects().find(|(name, _)| *name == feature).map(|(_, mode)| mode)
    }

    /// Its effects as feature and mode.
    pub fn effects(&self) -> impl Iterator<Item = (&str, &str)> {
        self.effects.iter().filter_map(|effect| effect.split_once('='))
    }
}
