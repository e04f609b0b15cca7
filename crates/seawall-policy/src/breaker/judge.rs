//! What an outcome means under one policy, worked out once so that no call searches a list.

use std::time::Duration;

use super::policy::Policy;
use super::trip::Trip;
use crate::Outcome;
use crate::outcome::Class;

/// What the rules make of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It succeeded in good time.
    Success,
    /// It succeeded, and took as long as a slow rule names.
    SlowSuccess,
    /// It failed in a way that counts.
    Failure,
    /// It says nothing of the callee.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Judge {
    /// One bit for each kind of failure that counts.
    counted: u8,
    /// Whether it may be held open from outside.
    pub(super) external: bool,
    /// Whether a rule weighs outcomes by when they came: then successes have a moment too.
    buckets: bool,
    /// The shortest time that any rule calls slow, in nanoseconds; longer than any call where there is none.
    slow: u64,
}

impl Judge {
    pub(super) fn new(policy: &Policy) -> Judge {
        Judge {
            counted: policy.count.iter().fold(0, |bits, class| bits | bit(*class)),
            external: policy.rules().contains(&Trip::External),
            buckets: policy.has_shares(),
            slow: policy.slow_rules().map(nanos).min().unwrap_or(u64::MAX),
        }
    }

    /// Whether any rule asks how long a call took.
    #[inline]
    pub(super) fn times_calls(self) -> bool {
        self.slow != u64::MAX
    }

    /// Whether any rule asks when a success came.
    #[inline]
    pub(super) fn keeps_buckets(self) -> bool {
        self.buckets
    }

    /// `took` is how long the call took, in nanoseconds.
    #[inline]
    pub(super) fn verdict(self, outcome: Outcome, took: u64) -> Verdict {
        match (outcome, Class::of(outcome)) {
            (Outcome::Success, _) if took >= self.slow => Verdict::SlowSuccess,
            (Outcome::Success, _) => Verdict::Success,
            (_, Some(class)) if self.counted & bit(class) != 0 => Verdict::Failure,
            (_, _) => Verdict::Nothing,
        }
    }
}

fn bit(class: Class) -> u8 {
    1 << class as u8
}

/// A time as the clock counts it.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_counts_or_not_by_itself() {
        let outcomes = [Outcome::Failed, Outcome::Timeout, Outcome::Unreachable, Outcome::Overloaded];
        for (outcome, class) in outcomes.into_iter().zip(Class::ALL) {
            let judge = Judge::new(&Policy { count: vec![class], ..Policy::default() });
            let counted: Vec<_> =
                outcomes.into_iter().filter(|o| judge.verdict(*o, 0) == Verdict::Failure).collect();
            assert_eq!(counted, [outcome]);
        }
    }

    #[test]
    fn slow_is_what_took_as_long_as_the_shortest_of_the_slow_rules() {
        let rule = |ms| Trip::Slow { slow: Duration::from_millis(ms), ratio: 0.5, min: 20 };
        let judge = Judge::new(&Policy { trip: vec![rule(200), rule(100)], ..Policy::default() });
        assert_eq!(judge.verdict(Outcome::Success, 99_999_999), Verdict::Success);
        assert_eq!(judge.verdict(Outcome::Success, 100_000_000), Verdict::SlowSuccess);
        assert_eq!(judge.verdict(Outcome::Abandoned, 100_000_000), Verdict::Nothing);
        let without = Judge::new(&Policy::default());
        assert_eq!(without.verdict(Outcome::Success, u64::MAX - 1), Verdict::Success);
    }
}
