//! What to retry and how long to wait; and the documents' presets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::outcome::Class;
use crate::{Outcome, Rng, duration};

/// Most tries a policy may ask for. The documents ask for 4 at most.
pub const ATTEMPTS_MAX: u32 = 10;

/// What one withdrawal from the budget costs.
const COST: u32 = 1;
/// And when the callee said that it is too busy.
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
        }
    }
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff::doubling(100, 5_000)
    }
}

impl Backoff {
    fn doubling(base_ms: u64, max_ms: u64) -> Backoff {
        let [base, max] = [base_ms, max_ms].map(Duration::from_millis);
        Backoff { schedule: Vec::new(), base, factor: 2.0, max }
    }

    /// The wait after `attempt` tries, from 1, before jitter.
    fn wait(&self, attempt: u32) -> Duration {
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
    /// Feed (S1), reads from the graph: 3 retries from 10 ms, at most 100 (which 10 + 20 + 40 never reaches).
    #[must_use]
    pub fn s1_read() -> Policy {
        Policy {
            attempts: 4,
            backoff: Backoff::doubling(10, 100),
            on: vec![Class::Timeout, Class::Unreachable, Class::Overloaded],
            ..Policy::default()
        }
    }

    /// Feed (S1), writing a post: 2 retries from 50 ms, and only with an idempotency key.
    #[must_use]
    pub fn s1_write() -> Policy {
        Policy {
            attempts: 3,
            backoff: Backoff::doubling(50, 200),
            on: vec![Class::Timeout, Class::Unreachable],
            ..Policy::default()
        }
    }

    /// Balancer (S3), 502, 503 and 504 from a backend: 2 retries from 100 ms, at most 5 s, idempotent only.
    #[must_use]
    pub fn s3_request() -> Policy {
        Policy { on: vec![Class::Failed, Class::Overloaded], ..Policy::default() }
    }

    /// Balancer (S3), connection refused: 3 retries at once. Also for what must not happen twice, so ask it
    /// only while nothing has been sent.
    #[must_use]
    pub fn s3_connect() -> Policy {
        Policy {
            attempts: 4,
            backoff: Backoff::doubling(0, 0),
            on: vec![Class::Unreachable],
            idempotent_only: false,
            ..Policy::default()
        }
    }

    /// Balancer (S3), no answer in time: one retry with a longer time-out. "Increase" is half as much again;
    /// 2 tries then fit into 2.5 time-outs.
    #[must_use]
    pub fn s3_timeout() -> Policy {
        Policy {
            attempts: 2,
            backoff: Backoff::doubling(0, 0),
            on: vec![Class::Timeout],
            timeout_growth: 1.5,
            ..Policy::default()
        }
    }

    /// Registry client (S4): 3 tries. The document's loop runs four times over three waits and sleeps after
    /// the last; with three tries its third wait, 2 s, is used by nobody who does not ask for a fourth.
    #[must_use]
    pub fn s4_discovery() -> Policy {
        Policy {
            attempts: 3,
            backoff: Backoff {
                schedule: [100, 500, 2_000].map(Duration::from_millis).into(),
                ..Backoff::default()
            },
            on: vec![Class::Unreachable, Class::Timeout],
            ..Policy::default()
        }
    }

    /// [`Policy::s1_read`] with the document's jitter, ±20 %.
    #[must_use]
    pub fn s1_read_verbatim() -> Policy {
        Policy { jitter: Jitter::Symmetric { ratio: 0.2 }, ..Policy::s1_read() }
    }

    /// [`Policy::s1_write`] with the document's jitter, ±20 %.
    #[must_use]
    pub fn s1_write_verbatim() -> Policy {
        Policy { jitter: Jitter::Symmetric { ratio: 0.2 }, ..Policy::s1_write() }
    }

    /// [`Policy::s3_request`] with the document's jitter, up to 10 % more.
    #[must_use]
    pub fn s3_request_verbatim() -> Policy {
        Policy { jitter: Jitter::Additive { ratio: 0.1 }, ..Policy::s3_request() }
    }

    /// [`Policy::s4_discovery`] without jitter, as the document has it.
    #[must_use]
    pub fn s4_discovery_verbatim() -> Policy {
        Policy { jitter: Jitter::None, ..Policy::s4_discovery() }
    }

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
        let Some(class) = Class::of(outcome) else { return Next::Stop(Reason::Done) };
        if !self.on.contains(&class) {
            return Next::Stop(Reason::Class);
        }
        if self.idempotent_only && !idempotent {
            return Next::Stop(Reason::NotIdempotent);
        }
        if attempt >= self.attempts.min(ATTEMPTS_MAX) {
            return Next::Stop(Reason::Attempts);
        }
        let after = self.jitter.spread(self.backoff.wait(attempt), rng);
        if after >= deadline_left || elapsed.saturating_add(after) >= self.within {
            return Next::Stop(Reason::Deadline);
        }
        match class {
            Class::Overloaded => Next::Elsewhere { after, cost: COST_OVERLOADED },
            Class::Failed | Class::Timeout | Class::Unreachable => Next::Again { after, cost: COST },
        }
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
        if schedule.is_empty() && max < base {
            wrong.push(format!("backoff.max: use at least backoff.base ({})", duration::format(*base)));
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
            wrong.push("on: name what to retry, such as \"timeout\", or use attempts = 1".to_owned());
        }
        let waits: Duration = (1..self.attempts.min(ATTEMPTS_MAX))
            .map(|n| self.backoff.wait(n))
            .fold(Duration::ZERO, Duration::saturating_add);
        if waits >= self.within {
            let [waits, within] = [waits, self.within].map(duration::format);
            wrong.push(format!(
                "within: use more than the waits together ({waits}); at {within} the last try never comes"
            ));
        }
        if !(1.0..=10.0).contains(&self.timeout_growth) {
            wrong.push(format!("timeout_growth: use 1 (constant) to 10; it says {}", self.timeout_growth));
        }
        wrong
    }
}
