//! What to retry, and how long to wait.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
pub use crate::outcome::Class;
use crate::{Outcome, Rng, duration};

/// Most tries a policy may ask for. The documents ask for 4 at most.
pub const ATTEMPTS_MAX: u32 = 10;

/// What a retry or a hedge costs the budget.
pub const COST: u32 = 1;
/// And a retry after the callee said that it is too busy: on top of the try itself, it keeps busy whoever is
/// left.
const COST_OVERLOADED: u32 = 2;

/// A retry configuration. The default: three tries, 100 ms doubling to 5 s with full jitter, after anything
/// that went wrong, and only what may safely happen twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Tries in all, the first one included; 1 never retries.
    pub attempts: u32,
    /// How long to wait between them.
    pub backoff: Backoff,
    /// How the waits are spread.
    pub jitter: Jitter,
    /// Which outcomes are worth another try.
    pub on: Vec<Class>,
    /// Whether only calls that may happen twice are tried again.
    pub idempotent_only: bool,
    /// No try begins later than this after the first. The documents name no such limit, without which retries
    /// outlive their caller.
    #[serde(with = "duration")]
    pub within: Duration,
    /// Each try's time-out is this many times the one before.
    pub timeout_growth: f64,
    /// Whether to retry also while serving what is itself a retry: then tries multiply from layer to layer.
    /// See [`Policy::retries_below`].
    pub below_a_retry: bool,
}

/// Waits between tries: a schedule, or else exponential.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backoff {
    /// The waits one by one, the last one repeated. When empty, the other three hold.
    #[serde(with = "duration::list")]
    pub schedule: Vec<Duration>,
    /// The first wait; 0 retries at once.
    #[serde(with = "duration")]
    pub base: Duration,
    /// Each wait is this many times the one before.
    pub factor: f64,
    /// No wait is longer, before jitter.
    #[serde(with = "duration")]
    pub max: Duration,
}

/// How a wait is spread, lest those who failed together return together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Jitter {
    /// Anything from nothing to the whole wait.
    Full,
    /// The wait itself.
    None,
    /// The wait, give or take this share of it.
    Symmetric {
        /// 0 to 1.
        ratio: f64,
    },
    /// The wait and up to this share of it more.
    Additive {
        /// 0 to 1.
        ratio: f64,
    },
}

/// A try that has ended, as the decision about the next one needs it.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    /// Which it was, from 1.
    pub attempt: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// The call may safely happen twice, by its nature or by an idempotency key.
    pub idempotent: bool,
    /// Since the first try began.
    pub elapsed: Duration,
    /// Before the answer is of no use; [`Duration::MAX`] without a deadline.
    pub deadline_left: Duration,
    /// How long the callee asked to be left alone (`Retry-After`). The next try begins later than that, or,
    /// if nobody would wait so long, not at all. `None` when the next try goes to a callee that it does not
    /// hold for.
    pub retry_after: Option<Duration>,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Take what there is.
    Stop(Reason),
    /// Try again after this long, if the budget allows `cost`; another callee is better where there is one.
    Again {
        /// How long to wait.
        after: Duration,
        /// What it costs.
        cost: u32,
    },
    /// The same, but only at another callee; where there is none, stop.
    Elsewhere {
        /// How long to wait.
        after: Duration,
        /// What it costs.
        cost: u32,
    },
}

/// Why there is no further try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It succeeded, or the caller gave up.
    Done,
    /// Not among the classes this policy retries.
    Class,
    /// It may have happened, and must not happen twice.
    NotIdempotent,
    /// All tries are used.
    Attempts,
    /// The next try would begin when nobody waits any more.
    Deadline,
}

impl Reason {
    /// The name used in metric labels and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Done => "done",
            Reason::Class => "class",
            Reason::NotIdempotent => "not-idempotent",
            Reason::Attempts => "attempts",
            Reason::Deadline => "deadline",
        }
    }
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            attempts: 3,
            backoff: Backoff::default(),
            jitter: Jitter::Full,
            on: vec![Class::Failed, Class::Timeout, Class::Unreachable, Class::Overloaded],
            idempotent_only: true,
            within: Duration::from_secs(10),
            timeout_growth: 1.0,
            below_a_retry: false,
        }
    }
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff {
            schedule: Vec::new(),
            base: Duration::from_millis(100),
            factor: 2.0,
            max: Duration::from_secs(5),
        }
    }
}

impl Backoff {
    /// The wait after `attempt` tries, from 1, before jitter.
    pub(crate) fn wait(&self, attempt: u32) -> Duration {
        let retry = attempt.max(1) - 1;
        if let Some(last) = self.schedule.last() {
            return *self.schedule.get(retry as usize).unwrap_or(last);
        }
        let grown = self.base.as_secs_f64() * self.factor.max(1.0).powf(f64::from(retry));
        Duration::try_from_secs_f64(grown).map_or(self.max, |grown| grown.min(self.max))
    }
}

impl Jitter {
    fn spread(self, wait: Duration, rng: &mut Rng) -> Duration {
        let factor = match self {
            Jitter::None => return wait,
            Jitter::Full => rng.unit(),
            Jitter::Symmetric { ratio } => 1.0 + ratio.clamp(0.0, 1.0) * (2.0 * rng.unit() - 1.0),
            Jitter::Additive { ratio } => 1.0 + ratio.clamp(0.0, 1.0) * rng.unit(),
        };
        Duration::try_from_secs_f64(wait.as_secs_f64() * factor).unwrap_or(wait)
    }
}

impl Policy {
    /// What to do after `attempt` tries (from 1), of which the last ended with `outcome`, `elapsed` after the
    /// first began and `deadline_left` before the answer is of no use ([`Duration::MAX`] without a deadline).
    ///
    /// `idempotent`: the call may safely happen twice, by its nature or by an idempotency key.
    #[must_use]
    pub fn next(
        &self,
        attempt: u32,
        outcome: Outcome,
        idempotent: bool,
        elapsed: Duration,
        deadline_left: Duration,
        rng: &mut Rng,
    ) -> Next {
        let tried = Tried { attempt, outcome, idempotent, elapsed, deadline_left, retry_after: None };
        self.next_after(&tried, rng)
    }

    /// What to do now that a try has ended.
    #[must_use]
    pub fn next_after(&self, tried: &Tried, rng: &mut Rng) -> Next {
        let Some(class) = Class::of(tried.outcome) else { return Next::Stop(Reason::Done) };
        if !self.on.contains(&class) {
            return Next::Stop(Reason::Class);
        }
        if self.idempotent_only && !tried.idempotent {
            return Next::Stop(Reason::NotIdempotent);
        }
        if tried.attempt >= self.amplification() {
            return Next::Stop(Reason::Attempts);
        }
        let wait = self.jitter.spread(self.backoff.wait(tried.attempt), rng);
        // Added, for all who were told the same second would otherwise return in it together.
        let after = tried.retry_after.unwrap_or(Duration::ZERO).saturating_add(wait);
        if after >= tried.deadline_left || tried.elapsed.saturating_add(after) >= self.within {
            return Next::Stop(Reason::Deadline);
        }
        match class {
            Class::Overloaded => Next::Elsewhere { after, cost: COST_OVERLOADED },
            Class::Failed | Class::Timeout | Class::Unreachable => Next::Again { after, cost: COST },
        }
    }

    /// Whether a request that arrived as `serving` may be retried towards this policy's callee. Not if it
    /// is a retry already, unless `below_a_retry`: whoever sent it tries again by itself.
    #[must_use]
    pub fn retries_below(&self, serving: Attempt) -> bool {
        self.below_a_retry || !serving.is_retry()
    }

    /// Calls that one call becomes at worst. How layers multiply is told by
    /// [`amplification`](super::amplification()).
    #[must_use]
    pub fn amplification(&self) -> u32 {
        self.attempts.clamp(1, ATTEMPTS_MAX)
    }

    /// The time-out of try `attempt` (from 1) when the first one's is `first`. Still to be cut at the
    /// deadline.
    #[must_use]
    pub fn timeout(&self, attempt: u32, first: Duration) -> Duration {
        let factor = self.timeout_growth.clamp(1.0, 10.0).powf(f64::from(attempt.clamp(1, ATTEMPTS_MAX) - 1));
        Duration::try_from_secs_f64(first.as_secs_f64() * factor).unwrap_or(Duration::MAX)
    }

    /// Everything wrong with it, each with what to write instead; empty when all is well.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if !(1..=ATTEMPTS_MAX).contains(&self.attempts) {
            wrong.push(format!("attempts: use 1 (no retry) to {ATTEMPTS_MAX}; it says {}", self.attempts));
        }
        let Backoff { schedule, base, factor, max } = &self.backoff;
        let waits_max = ATTEMPTS_MAX as usize - 1;
        if schedule.len() > waits_max {
            let says = schedule.len();
            wrong.push(format!(
                "backoff.schedule: use at most {waits_max} waits, as many as can be retries; it says {says}"
            ));
        }
        if schedule.is_empty() && max < base {
            let [base, max] = [*base, *max].map(duration::format);
            wrong.push(format!("backoff.max: use at least backoff.base, {base}; it says {max}"));
        }
        if !(1.0..=10.0).contains(factor) {
            wrong.push(format!("backoff.factor: use 1 (constant) to 10; it says {factor}"));
        }
        if let Jitter::Symmetric { ratio } | Jitter::Additive { ratio } = self.jitter
            && !(0.0..=1.0).contains(&ratio)
        {
            wrong.push(format!("jitter.ratio: use 0 to 1, or kind = \"full\"; it says {ratio}"));
        }
        if self.attempts > 1 && self.on.is_empty() {
            wrong
                .push("on: use what to retry, such as [\"timeout\"], or attempts = 1; it says []".to_owned());
        }
        let waits: Duration = (1..self.attempts.min(ATTEMPTS_MAX))
            .map(|n| self.backoff.wait(n))
            .fold(Duration::ZERO, Duration::saturating_add);
        if waits >= self.within {
            let [waits, within] = [waits, self.within].map(duration::format);
            wrong.push(format!(
                "within: use more than the waits together, {waits}; it says {within}: no last try"
            ));
        }
        if !(1.0..=10.0).contains(&self.timeout_growth) {
            wrong.push(format!("timeout_growth: use 1 (constant) to 10; it says {}", self.timeout_growth));
        }
        wrong
    }
}
