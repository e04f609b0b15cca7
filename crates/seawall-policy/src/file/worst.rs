//! What a call comes to when its callee hangs or is dead.

use std::time::Duration;

use super::call::Call;
use super::contradictions::Graph;
use super::set::Set;
use crate::duration;
use crate::retry::{self, Jitter};

/// The rate that examples are worked out at.
pub(super) const CALLS_PER_SECOND: f64 = 1_000.0;

/// A call whose every try takes as long as it may.
pub(super) struct Worst {
    /// Tries, the first included.
    pub(super) attempts: u32,
    /// All tries together.
    pub(super) tries: Duration,
    /// The waits between them, at their longest.
    pub(super) waits: Duration,
}

impl Worst {
    pub(super) fn of(call: &Call, retry: Option<&retry::Policy>) -> Worst {
        let first = call.try_timeout();
        let Some(retry) = retry else { return Worst { attempts: 1, tries: first, waits: Duration::ZERO } };
        let attempts = retry.amplification();
        let sum =
            |times: &mut dyn Iterator<Item = Duration>| times.fold(Duration::ZERO, Duration::saturating_add);
        Worst {
            attempts,
            tries: sum(&mut (1..=attempts).map(|n| retry.timeout(n, first))),
            waits: sum(&mut (1..attempts).map(|n| longest(retry.jitter, retry.backoff.wait(n)))),
        }
    }

    /// Tries and waits.
    pub(super) fn total(&self) -> Duration {
        self.tries.saturating_add(self.waits)
    }

    /// `3 tries of 9s together and 300ms of waits`.
    pub(super) fn sum(&self) -> String {
        let [tries, waits] = [self.tries, self.waits].map(duration::format);
        match self.attempts {
            1 => format!("a single try of {tries}"),
            n if self.waits.is_zero() => format!("{n} tries of {tries} together"),
            n => format!("{n} tries of {tries} together and {waits} of waits"),
        }
    }
}

/// The longest that jitter makes of a wait.
fn longest(jitter: Jitter, wait: Duration) -> Duration {
    match jitter {
        Jitter::None | Jitter::Full => wait,
        Jitter::Symmetric { ratio } | Jitter::Additive { ratio } => {
            let longest = wait.as_secs_f64() * (1.0 + ratio.clamp(0.0, 1.0));
            // TOML has `nan`, which the policy's own check refuses; until that is told, nothing may panic.
            Duration::try_from_secs_f64(longest).unwrap_or(wait)
        }
    }
}

/// How many calls a dead callee sees for each request: all tries, or what the budget pays for.
pub(super) fn calls_each(tries: u32, budget: Option<&retry::BudgetPolicy>) -> f64 {
    let tries = f64::from(tries);
    match budget {
        Some(budget) => {
            let paid = budget.ratio.clamp(0.0, 1.0) + f64::from(budget.per_second) / CALLS_PER_SECOND;
            tries.min(1.0 + paid)
        }
        None => tries,
    }
}

/// What follows for a call from all that it names, in sentences.
pub(super) fn explain(set: &Set, name: &str, call: &Call) -> Vec<String> {
    let retry: Option<retry::Policy> = call.retry.as_ref().and_then(|name| set.get(name));
    let worst = Worst::of(call, retry.as_ref());
    let [total, deadline] = [worst.total(), call.deadline].map(duration::format);
    let mut said = vec![if worst.total() > call.deadline {
        format!(
            "In the worst case it takes {deadline}: {} would be {total}, and the deadline cuts them.",
            worst.sum()
        )
    } else {
        format!("In the worst case it takes {total}: {}.", worst.sum())
    }];
    let graph = Graph::of(set);
    let calls = graph.calls_each(name) * CALLS_PER_SECOND;
    let until = if call.breaker.is_some() { " until the breaker opens" } else { "" };
    said.push(format!("At 1,000 requests a second a dead callee sees {calls:.0} calls a second{until}."));
    if let Some(path) = graph.path_from(name).filter(|path| path.len() > 1 && path.multiplies()) {
        said.push(format!("One request may become {}.", path.product()));
    }
    said
}
