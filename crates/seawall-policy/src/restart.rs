//! When a system that ended by itself is started again: at once the first times, then ever more slowly.
//!
//! 1 s, 2, 4, 8, 16, 32, then every 60 s. A cause that passes (a peer that is restarting, a file still
//! locked) is mostly gone within the first three tries, 7 seconds; one that stays (a broken disk, a bad
//! schema) costs one start a minute, which an operator can read in a log. After 5 minutes of running the past
//! is forgotten: five times the longest wait, so a system that crashes once an hour always comes back within
//! a second.
//!
//! No jitter: what restarts here is one system in one process. Those that all call the same peer on their
//! way up have jitter in their own retries.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Mono, duration};

/// How restarts are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The first wait; each further one is twice as long.
    #[serde(with = "duration")]
    pub base: Duration,
    /// The longest wait.
    #[serde(with = "duration")]
    pub max: Duration,
    /// Having run this long, earlier failures are forgotten.
    #[serde(with = "duration")]
    pub clear_after: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            base: Duration::from_secs(1),
            max: Duration::from_secs(60),
            clear_after: Duration::from_secs(5 * 60),
        }
    }
}

impl Policy {
    /// Everything wrong with it, each with what to write instead; empty when all is well.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.base.is_zero() {
            wrong.push("base: use 1s or so; 0 restarts a broken system in a tight loop".to_owned());
        }
        if self.max < self.base {
            wrong.push(format!("max: use at least base ({})", duration::format(self.base)));
        }
        wrong
    }
}

/// Remembers how often it ended. Owned by the loop that restarts.
#[derive(Debug)]
pub struct Core {
    policy: Policy,
    started: Option<Mono>,
    next: Duration,
}

impl Core {
    /// Nothing has ended yet.
    #[must_use]
    pub fn new(policy: Policy) -> Core {
        Core { policy, started: None, next: policy.base }
    }

    /// It is running from now on.
    pub fn started(&mut self, now: Mono) {
        self.started = Some(now);
    }

    /// It ended by itself. Returns how long to wait before starting it again.
    pub fn ended(&mut self, now: Mono) -> Duration {
        let ran = self.started.take().map_or(Duration::ZERO, |started| now.since(started));
        if ran >= self.policy.clear_after {
            self.next = self.policy.base;
        }
        let wait = self.next.min(self.policy.max);
        self.next = wait.saturating_mul(2);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    /// Starts at `from`, ends `ran` seconds later; the wait in seconds.
    fn run(core: &mut Core, from: u64, ran: u64) -> u64 {
        core.started(at(from));
        core.ended(at(from + ran)).as_secs()
    }

    #[test]
    fn one_second_doubles_to_sixty_and_stays_there() {
        let mut core = Core::new(Policy::default());
        let waits: Vec<u64> = (0..9).map(|_| run(&mut core, 0, 0)).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn five_minutes_of_running_clear_the_past() {
        let mut core = Core::new(Policy::default());
        assert_eq!([run(&mut core, 0, 1), run(&mut core, 2, 1), run(&mut core, 5, 299)], [1, 2, 4]);
        assert_eq!(run(&mut core, 400, 300), 1);
    }

    #[test]
    fn a_crash_an_hour_is_always_back_within_a_second() {
        let mut core = Core::new(Policy::default());
        assert!((0..24).all(|hour| run(&mut core, hour * 3600, 3590) == 1));
    }

    #[test]
    fn one_that_never_got_up_counts_as_not_having_run() {
        let mut core = Core::new(Policy::default());
        assert_eq!(core.ended(at(1_000)).as_secs(), 1);
        assert_eq!(core.ended(at(2_000)).as_secs(), 2);
    }

    #[test]
    fn a_tight_loop_and_a_crossed_pair_are_refused() {
        let policy = Policy { base: Duration::ZERO, ..Policy::default() };
        assert_eq!(policy.check().len(), 1);
        let policy = Policy { max: Duration::from_millis(1), ..Policy::default() };
        assert!(policy.check()[0].contains("1s"), "{:?}", policy.check());
        assert!(Policy::default().check().is_empty());
    }
}
