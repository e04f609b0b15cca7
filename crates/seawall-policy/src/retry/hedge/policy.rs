//! When a further copy of a call may go.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration;
use crate::quantile::MIN_SAMPLES;

/// Most further copies of a call that a policy may ask for. The first gains nearly everything.
pub const COPIES_MAX: u32 = 3;
/// A lower percentile would copy more than half of all calls.
const PERCENTILE_MIN: f64 = 50.0;
/// A higher one is not told apart from the slowest call of all.
const PERCENTILE_MAX: f64 = 99.9;
/// No percentile worth writing is longer than `99.999`.
const PERCENTILE_CHARS_MAX: usize = 6;
/// Shortest and longest time over which a percentile is measured.
const WINDOW_MIN: Duration = Duration::from_secs(1);
const WINDOW_MAX: Duration = Duration::from_secs(3_600);

/// A hedging configuration. The default: one further copy after the p95 of the last minute, and only of what
/// may safely happen twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// How long to wait for an answer before the next copy goes: `"p95"` or `"50ms"`.
    pub after: After,
    /// Further copies of one call, 1 to 3.
    pub max: u32,
    /// Whether only calls that may happen twice are copied.
    pub idempotent_only: bool,
    /// Over how much of the past a percentile is taken, 1 s to 1 h. Over a minute, one call in three
    /// seconds is enough to be measured, and a callee that slows down raises the p95 within three.
    #[serde(with = "duration")]
    pub window: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            after: After::Percentile(95.0),
            max: 1,
            idempotent_only: true,
            window: Duration::from_secs(60),
        }
    }
}

/// How long to wait before a further copy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum After {
    /// `"p95"`: as long as so many percent of the calls take at most.
    Percentile(f64),
    /// `"50ms"`: always as long.
    Fixed(Duration),
}

/// Neither a percentile nor a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no time to wait: write a percentile of the calls before, \"p95\", or a duration, \"50ms\""
)]
pub struct ParseError {
    text: String,
}

impl FromStr for After {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<After, ParseError> {
        let parsed = match text.trim().strip_prefix('p') {
            Some(percent) => percentile(percent).map(After::Percentile),
            None => duration::parse(text).ok().map(After::Fixed),
        };
        parsed.ok_or_else(|| ParseError { text: text.chars().take(40).collect() })
    }
}

/// Digits with at most one point among them, above 0 and below 100.
fn percentile(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if text.len() > PERCENTILE_CHARS_MAX || !plain {
        return None;
    }
    text.parse().ok().filter(|percent| *percent > 0.0 && *percent < 100.0)
}

impl TryFrom<String> for After {
    type Error = ParseError;

    fn try_from(text: String) -> Result<After, ParseError> {
        text.parse()
    }
}

impl From<After> for String {
    fn from(after: After) -> String {
        match after {
            After::Percentile(percent) => format!("p{percent}"),
            After::Fixed(wait) => duration::format(wait),
        }
    }
}

impl Policy {
    /// Everything wrong with it, each with what to write instead; empty when all is well.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        match self.after {
            After::Fixed(wait) if wait.is_zero() => wrong.push(
                "after: use \"p95\" or a time such as \"50ms\"; after 0 every call would be sent twice"
                    .to_owned(),
            ),
            After::Percentile(percent) if !(PERCENTILE_MIN..=PERCENTILE_MAX).contains(&percent) => {
                wrong.push(format!(
                    "after: use p{PERCENTILE_MIN} to p{PERCENTILE_MAX}, such as \"p95\"; it says p{percent}"
                ));
            }
            After::Fixed(_) | After::Percentile(_) => {}
        }
        if !(1..=COPIES_MAX).contains(&self.max) {
            wrong.push(format!("max: use 1 to {COPIES_MAX} further copies; it says {}", self.max));
        }
        if !(WINDOW_MIN..=WINDOW_MAX).contains(&self.window) {
            let says = duration::format(self.window);
            wrong.push(format!("window: use 1s to 1h, such as 1m; it says {says}"));
        }
        wrong
    }

    /// What it means, in sentences.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let copies = self.copies();
        let mut told = match self.after {
            After::Fixed(wait) => {
                let wait = duration::format(wait);
                vec![format!("When no answer has come for {wait}, the call is also sent to another callee.")]
            }
            After::Percentile(percent) => vec![
                format!("{percent} % of the calls are answered within the p{percent}."),
                "When no answer has come for so long, the call is also sent to another callee.".to_owned(),
                format!("It is measured over the last {}.", duration::format(self.window)),
                format!("While fewer than {MIN_SAMPLES} calls have been measured, no copy goes."),
                format!(
                    "About {} % of the calls are copied.",
                    ((100.0 - percent) * 1_000.0).round() / 1_000.0
                ),
            ],
        };
        told.push("The first answer counts.".to_owned());
        told.push(match copies {
            1 => "One call becomes at most 2.".to_owned(),
            copies => format!("One call becomes at most {}, each after the same wait again.", copies + 1),
        });
        told.push("Copies are paid for from the retry budget; when that is spent, none goes.".to_owned());
        told.push(if self.idempotent_only {
            "Only calls that may safely happen twice are copied.".to_owned()
        } else {
            "Calls that must not happen twice are copied, too.".to_owned()
        });
        told
    }

    /// Calls that one call becomes at worst: itself and its copies.
    #[must_use]
    pub fn amplification(&self) -> u32 {
        1 + self.copies()
    }

    /// Whether one more may go, when `sent` have gone, the first included.
    pub(super) fn may_copy(&self, sent: u32, idempotent: bool) -> bool {
        sent <= self.copies() && (idempotent || !self.idempotent_only)
    }

    fn copies(&self) -> u32 {
        self.max.min(COPIES_MAX)
    }

    pub(super) fn window(&self) -> Duration {
        self.window.clamp(WINDOW_MIN, WINDOW_MAX)
    }
}
