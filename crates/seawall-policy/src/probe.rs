//! Whether something is up, from a row of checks that may lie.
//!
//! One failed check proves little: at 0.1 % stray losses a fleet of 1,000 checked every 5 s would lose and
//! regain an instance about every five seconds. Three in a row are one in 10^9. The price is time: with the
//! balancer document's numbers a hung instance is noticed 12 to 17 s after its death: the first failing check
//! begins within 5 s, the third 10 s later, and each takes up to 2 s to fail. (What is noticed by failing
//! requests, within a second, is the breaker's.)
//!
//! ## What a checker that is itself broken may say
//!
//! Nothing. When the checker cannot run (its own network is down, it was paused), the document keeps the
//! current state, so [`Seen::Unknown`] changes nothing: neither the state nor the count towards changing it.
//! A checker that reported "down" instead would take out everything it watches at the same moment.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration;

/// How often to look, and how many times to look before believing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// From the start of one check to the start of the next.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// How long one check may take.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Successes in a row that bring it up. Two, as HAProxy has it: coming back a check too early costs
    /// requests.
    pub rise: u32,
    /// Failures in a row that take it down.
    pub fall: u32,
}

impl Default for Policy {
    /// The balancer document's: 5 s × 3, timeout 2 s.
    fn default() -> Policy {
        Policy { interval: Duration::from_secs(5), timeout: Duration::from_secs(2), rise: 2, fall: 3 }
    }
}

impl Policy {
    /// 1 s × 3 with a timeout of 1 s: noticed within 5 s, at five times the checks.
    #[must_use]
    pub fn fast() -> Policy {
        Policy { interval: Duration::from_secs(1), timeout: Duration::from_secs(1), rise: 2, fall: 3 }
    }

    /// The longest a death stays unnoticed: interval × fall + timeout. The document calls it typical; it is
    /// reached when the instance dies just after a check and every further one times out.
    #[must_use]
    pub fn detection(&self) -> Duration {
        self.interval.saturating_mul(self.fall).saturating_add(self.timeout)
    }

    /// Everything wrong with it, each with what to write instead; empty when all is well.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.interval.is_zero() {
            wrong.push("interval: use 1s or more; 0 checks without pause".to_owned());
        }
        if self.timeout.is_zero() {
            wrong.push("timeout: use 2s or so; with 0 every check fails".to_owned());
        }
        if self.timeout > self.interval {
            let interval = duration::format(self.interval);
            wrong
                .push(format!("timeout: use at most the interval ({interval}); longer checks would overlap"));
        }
        for (key, value) in [("rise", self.rise), ("fall", self.fall)] {
            if value == 0 {
                wrong.push(format!("{key}: use 1 or more; a state that needs no evidence changes by itself"));
            }
        }
        wrong
    }
}

/// What one check saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It answered as it should.
    Pass,
    /// It did not.
    Fail,
    /// The check could not be made; says nothing of the one checked.
    Unknown,
}

impl From<bool> for Seen {
    fn from(ok: bool) -> Seen {
        if ok { Seen::Pass } else { Seen::Fail }
    }
}

/// A change of mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Now believed up.
    Up,
    /// Now believed down.
    Down,
}

/// What is believed of one instance.
#[derive(Debug, Clone)]
pub struct Core {
    rise: u32,
    fall: u32,
    up: bool,
    /// Checks in a row that contradict the belief.
    against: u32,
}

impl Core {
    /// Starts out believing `up`. Whoever was just told of an instance by the registry starts with `true`,
    /// lest a restart of the checker empty every pool.
    #[must_use]
    pub fn new(policy: &Policy, up: bool) -> Core {
        Core { rise: policy.rise, fall: policy.fall, up, against: 0 }
    }

    /// Takes in one check (`true`, `false`, or a [`Seen`]); tells when that changed the belief.
    pub fn step(&mut self, seen: impl Into<Seen>) -> Option<Changed> {
        let needed = if self.up { self.fall } else { self.rise };
        match (self.up, seen.into()) {
            (_, Seen::Unknown) => None,
            (true, Seen::Pass) | (false, Seen::Fail) => {
                self.against = 0;
                None
            }
            (true, Seen::Fail) | (false, Seen::Pass) => {
                self.against += 1;
                (self.against >= needed).then(|| self.turn())
            }
        }
    }

    fn turn(&mut self) -> Changed {
        self.up = !self.up;
        self.against = 0;
        if self.up { Changed::Up } else { Changed::Down }
    }

    /// What is believed now.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: bool, checks: &[Seen]) -> (bool, Vec<Changed>) {
        let mut core = Core::new(&Policy::default(), start);
        let changes = checks.iter().filter_map(|seen| core.step(*seen)).collect();
        (core.is_up(), changes)
    }

    #[test]
    fn three_failed_checks_of_five_seconds_take_seventeen_seconds_to_notice() {
        assert_eq!(Policy::default().detection(), Duration::from_secs(17));
        assert_eq!(after(true, &[Seen::Fail; 2]), (true, vec![]));
        assert_eq!(after(true, &[Seen::Fail; 3]), (false, vec![Changed::Down]));
    }

    #[test]
    fn one_second_times_three_is_noticed_in_four_seconds() {
        assert_eq!(Policy::fast().detection(), Duration::from_secs(4));
        assert!(Policy::fast().check().is_empty());
    }

    #[test]
    fn two_good_checks_bring_it_back() {
        let mut core = Core::new(&Policy::default(), false);
        assert_eq!([core.step(true), core.step(true)], [None, Some(Changed::Up)]);
    }

    #[test]
    fn a_success_in_between_starts_the_count_anew() {
        use Seen::{Fail, Pass};
        assert_eq!(after(true, &[Fail, Fail, Pass, Fail, Fail]), (true, vec![]));
    }

    #[test]
    fn a_checker_that_is_down_keeps_the_state_and_the_count() {
        use Seen::{Fail, Unknown};
        assert_eq!(after(true, &[Unknown; 100]), (true, vec![]));
        assert_eq!(after(false, &[Unknown; 100]), (false, vec![]));
        assert_eq!(after(true, &[Fail, Unknown, Fail, Unknown, Fail]), (false, vec![Changed::Down]));
    }

    #[test]
    fn checks_that_cannot_work_are_refused_with_advice() {
        let policy = Policy { interval: Duration::ZERO, timeout: Duration::ZERO, rise: 0, fall: 0 };
        assert_eq!(policy.check().len(), 4);
        let policy = Policy { timeout: Duration::from_secs(6), ..Policy::default() };
        assert!(policy.check()[0].contains("at most the interval (5s)"));
        assert!(toml::from_str::<Policy>("fal = 3").is_err());
    }
}
