//! What an adaptive limit is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration;
use crate::inflight::PLACES_MAX;

/// Most answers a window may wait for.
pub const SAMPLES_MAX: u32 = 100_000;

/// Probes are at least this many windows apart: each halves the limit for one.
const WINDOWS_A_PROBE_MIN: u32 = 10;

/// An adaptive limit's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Never fewer places than this.
    pub min: usize,
    /// Never more.
    pub max: usize,
    /// How many to begin with. Better too few: what is learnt first is learnt at this load.
    pub initial: usize,
    /// How much slower than calm a call may be, as a factor.
    pub tolerance: f64,
    /// How far the limit moves towards what one window's latency says: 0.01 to 1, which is all the way.
    pub smoothing: f64,
    /// How long latency is gathered before the limit moves. It lasts longer for a callee that needs more than
    /// a quarter of it for one call.
    #[serde(with = "duration")]
    pub window: Duration,
    /// And how many answers that takes at least, up to [`SAMPLES_MAX`].
    pub samples: u32,
    /// How often the limit is halved for one window, to learn what calm is.
    #[serde(with = "duration")]
    pub probe_every: Duration,
}

impl Default for Policy {
    /// From 1 to 200 and first 20 places, as failsafe-go has it. A tolerance of 1.1 settles a tenth above the
    /// knee, and half a growth step (3 places at a knee of 40); Envoy's 1.25 would be a quarter above. 100
    /// answers know the mean of even a widely spread (exponential) latency to 10 %. A probe every 30 s is
    /// twice as often as Envoy's, and costs less: half the places for half a second, not nearly all of them
    /// for 50 answers.
    fn default() -> Policy {
        Policy {
            min: 1,
            max: 200,
            initial: 20,
            tolerance: 1.1,
            smoothing: 0.5,
            window: Duration::from_millis(500),
            samples: 100,
            probe_every: Duration::from_secs(30),
        }
    }
}

impl Policy {
    /// Everything wrong with it, each with what to write instead; empty when all is well. A limit made from a
    /// policy that fails this uses the nearest values that work.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut must = |holds: bool, advice: String| {
            if !holds {
                wrong.push(advice);
            }
        };
        let Policy { min, max, initial, tolerance, smoothing, samples, .. } = *self;
        must(min >= 1, "min: use 1 or more; at 0 no call would ever find out that it is over".to_owned());
        must(max <= PLACES_MAX, format!("max: use at most {PLACES_MAX}; it says {max}"));
        must(max >= min.max(1), format!("max: use at least min ({}); it says {max}", min.max(1)));
        must(
            (min..=max.max(min)).contains(&initial),
            format!("initial: use min ({min}) to max ({max}); it says {initial}"),
        );
        must(
            (1.01..=10.0).contains(&tolerance),
            format!("tolerance: use 1.01 to 10, such as 1.1; it says {tolerance}"),
        );
        must(
            (0.01..=1.0).contains(&smoothing),
            format!("smoothing: use 0.01 (hardly moves) to 1 (moves all the way); it says {smoothing}"),
        );
        must(!self.window.is_zero(), "window: use 500ms or so; in 0 there is nothing to judge by".to_owned());
        must(
            (1..=SAMPLES_MAX).contains(&samples),
            format!("samples: use 1 to {SAMPLES_MAX}, such as 100; it says {samples}"),
        );
        let probes = self.window.saturating_mul(WINDOWS_A_PROBE_MIN);
        let [probe_every, ten] = [self.probe_every, probes].map(duration::format);
        must(
            self.probe_every >= probes,
            format!(
                "probe_every: use at least ten windows ({ten}), for each probe halves the limit for one; \
                 it says {probe_every}"
            ),
        );
        wrong
    }

    /// What it does, in sentences.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let usable = self.usable();
        let Policy { min, max, initial, tolerance, smoothing, window, samples, probe_every } = usable;
        let [window, probe_every] = [window, probe_every].map(duration::format);
        let slower = (tolerance - 1.0) * 100.0;
        vec![
            format!(
                "Begins with {initial} calls at once and finds the right limit between {min} and {max} by \
                 itself."
            ),
            format!(
                "Judges by the mean latency of at least {samples} answers, every {window} or, when answers \
                 are few or slow, less often."
            ),
            format!(
                "While calls take at most {slower:.0} % longer than when the callee is calm, and every place \
                 was taken at some moment, the limit grows by its square root."
            ),
            "While they take longer, it shrinks in proportion, by at most half.".to_owned(),
            format!("Of either step it goes {:.0} % of the way.", smoothing * 100.0),
            "Calls that time out or are told that the callee is too busy take their share off the limit, by \
             at most half."
                .to_owned(),
            format!(
                "Every {probe_every} the limit is halved once for as long as judging takes, to learn how \
                 long calls take when the callee is calm."
            ),
        ]
    }

    /// The same, with each value that does not work replaced by the nearest that does.
    pub(super) fn usable(&self) -> Policy {
        let min = self.min.clamp(1, PLACES_MAX);
        let max = self.max.clamp(min, PLACES_MAX);
        let window = self.window.max(Duration::from_nanos(1));
        Policy {
            min,
            max,
            initial: self.initial.clamp(min, max),
            tolerance: within(self.tolerance, 1.01, 10.0),
            smoothing: within(self.smoothing, 0.01, 1.0),
            window,
            samples: self.samples.clamp(1, SAMPLES_MAX),
            probe_every: self.probe_every.max(window.saturating_mul(WINDOWS_A_PROBE_MIN)),
        }
    }
}

/// Unlike `clamp`, makes the least of what is not a number.
fn within(value: f64, least: f64, most: f64) -> f64 {
    value.max(least).min(most)
}
