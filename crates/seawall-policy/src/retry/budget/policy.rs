//! How large a budget is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration;

/// A call, in the unit that the balance is counted in.
pub(super) const CALL: i64 = 1_000_000;

/// Most retries a second a policy may always allow; more is no limit to any callee.
const PER_SECOND_MAX: u32 = 1_000_000;
/// Longest window: beyond it the calls of a quiet night would pay for the retries of a bad morning. It also
/// keeps the balance within 64 bits, up to two billion calls a second.
const WINDOW_MAX: Duration = Duration::from_secs(3_600);
/// Shortest window: a shorter one is over before a retry begins.
const WINDOW_MIN: Duration = Duration::from_secs(1);
/// Most calls in flight that may all be retried; more are no few.
const MIN_CONCURRENCY_MAX: u32 = 1_000;

/// How large a budget is. The default is what Finagle, Linkerd and tower converged on, 20 % and 10 a second
/// over 10 s, and failsafe-go's 3 for callers with little in flight.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetPolicy {
    /// Retries per call, 0 to 1.
    pub ratio: f64,
    /// Retries a second that are always allowed, however few calls there are. At most a million.
    pub per_second: u32,
    /// Over which calls and retries are weighed, 1 s to 1 h. A whole window's worth may be spent at once.
    #[serde(with = "duration")]
    pub window: Duration,
    /// Retries that fit into any window on top of the other two, however short it is: with so many calls in
    /// flight and no others to pay for them, each can be retried once. At most 1,000.
    pub min_concurrency: u32,
}

impl Default for BudgetPolicy {
    fn default() -> BudgetPolicy {
        BudgetPolicy { ratio: 0.2, per_second: 10, window: Duration::from_secs(10), min_concurrency: 3 }
    }
}

impl BudgetPolicy {
    /// Everything wrong with it, each with what to write instead; empty when all is well. A budget built from
    /// a policy that fails this uses the nearest values that work.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut must = |holds: bool, advice: String| {
            if !holds {
                wrong.push(advice);
            }
        };
        let BudgetPolicy { ratio, per_second, window, min_concurrency } = *self;
        must((0.0..=1.0).contains(&ratio), format!("ratio: use 0 to 1, such as 0.2; it says {ratio}"));
        must(
            per_second <= PER_SECOND_MAX,
            format!("per_second: use at most {PER_SECOND_MAX}, such as 10; it says {per_second}"),
        );
        let says = duration::format(window);
        must(
            window >= WINDOW_MIN,
            format!("window: use 1s or more, such as 10s; it says {says}, over before a retry begins"),
        );
        must(
            window <= WINDOW_MAX,
            format!(
                "window: use 1h or less, such as 10s; it says {says}, and calls of then say nothing of now"
            ),
        );
        must(
            min_concurrency <= MIN_CONCURRENCY_MAX,
            format!(
                "min_concurrency: use at most {MIN_CONCURRENCY_MAX}, such as 3; it says {min_concurrency}"
            ),
        );
        wrong
    }

    /// What it means, in sentences.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let BudgetPolicy { per_second, min_concurrency, .. } = *self;
        let (window, seconds) = (duration::format(self.window()), self.window().as_secs_f64());
        let share = self.earned() as f64 / CALL as f64;
        let percent = (share * 10_000.0).round() / 100.0;
        let always = f64::from(per_second) * seconds;
        // A thousand calls a second is a rate that everybody can picture.
        let dead = 1_000.0 + share * 1_000.0 + f64::from(per_second) + f64::from(min_concurrency) / seconds;
        vec![
            format!("Retries and hedges (copies of slow calls) draw on one budget, weighed over {window}."),
            format!("In {window} they may be {percent} % of the calls."),
            format!(
                "Another {per_second} a second, {always:.0} in {window}, are there however few the calls."
            ),
            format!("Another {min_concurrency} are there in any {window}, for few calls and no others."),
            format!("What there is for {window} may be spent at once."),
            format!(
                "A callee that is down and called 1000 times a second sees about {dead:.0} calls a second."
            ),
            "A retry elsewhere after the answer \"too busy\" costs double.".to_owned(),
            "When the budget is spent there are no retries, and callers get the failure there is.".to_owned(),
        ]
    }

    /// What a call adds to the balance. Rounded down, towards fewer retries.
    pub(super) fn earned(&self) -> i64 {
        // In binary 0.29 × 1,000,000 is a hair below 290,000: a thousandth of a unit makes up for that.
        (self.ratio.clamp(0.0, 1.0) * CALL as f64 + 0.001).floor() as i64
    }

    /// The balance with no calls and no retries in the window. Rounded down, too.
    pub(super) fn beginning(&self) -> i64 {
        let always = i128::from(self.per_second.min(PER_SECOND_MAX)) * self.window().as_nanos() as i128;
        let always = always * i128::from(CALL) / 1_000_000_000;
        // At most 3.6 × 10^15.
        always as i64 + i64::from(self.min_concurrency.min(MIN_CONCURRENCY_MAX)) * CALL
    }

    /// The window, made to fit.
    pub(super) fn window(&self) -> Duration {
        self.window.clamp(WINDOW_MIN, WINDOW_MAX)
    }
}
