//! When requests start: decided in advance from rates and a seed, and the same every time.
//!
//! A schedule is a list of steps (from this moment on, so many a second) and an end. Arrivals are drawn lazily, so
//! a day of load needs no more memory than a minute, and independently of any answer, so two runs with one seed
//! send the same requests at the same moments.

use std::time::Duration;

use seawall_policy::Rng;

/// Requests a second one schedule may ask for; a typing error in a trace should not fill the memory.
pub const PER_SECOND_MAX: f64 = 1_000_000.0;

/// From `at` on, `per_second` requests a second, until the next step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Since the start of the load.
    pub at: Duration,
    /// Requests a second; 0 pauses.
    pub per_second: f64,
}

/// How arrivals lie within a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// At equal distances.
    Even,
    /// As independent users arrive: bursts and gaps.
    Poisson,
}

/// A plan of arrivals.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    steps: Vec<Step>,
    end: Duration,
    spacing: Spacing,
    seed: u64,
}

/// What is wrong with a schedule.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// No step at all.
    #[error("the schedule is empty: give at least one rate")]
    Empty,
    /// A rate that is negative, not a number, or above [`PER_SECOND_MAX`].
    #[error("step {step} asks for {per_second} requests a second: use 0 to {PER_SECOND_MAX}")]
    Rate {
        /// Which step, from 1.
        step: usize,
        /// What it asked for.
        per_second: f64,
    },
    /// Steps out of order, or a step after the end.
    #[error("step {step} does not come after the one before it, or lies after the end")]
    Order {
        /// Which step, from 1.
        step: usize,
    },
    /// A line that is not `seconds,requests_per_second`.
    #[error("line {line} of the trace is not `seconds,requests_per_second`: {text:?}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
}

impl Schedule {
    /// The same rate throughout.
    ///
    /// # Errors
    /// When the rate is out of range.
    pub fn constant(per_second: f64, lasting: Duration, seed: u64) -> Result<Schedule, ScheduleError> {
        Schedule::trace(vec![Step { at: Duration::ZERO, per_second }], lasting, seed)
    }

    /// Rates that change at given moments. Nothing is sent before the first step.
    ///
    /// # Errors
    /// When there is no step, a rate is out of range, or the steps are out of order.
    pub fn trace(steps: Vec<Step>, end: Duration, seed: u64) -> Result<Schedule, ScheduleError> {
        if steps.is_empty() {
            return Err(ScheduleError::Empty);
        }
        for (i, step) in steps.iter().enumerate() {
            let number = i + 1;
            if !(0.0..=PER_SECOND_MAX).contains(&step.per_second) {
                return Err(ScheduleError::Rate { step: number, per_second: step.per_second });
            }
            if step.at > end || (i > 0 && step.at <= steps[i - 1].at) {
                return Err(ScheduleError::Order { step: number });
            }
        }
        Ok(Schedule { steps, end, spacing: Spacing::Poisson, seed })
    }

    /// A trace as text: one `seconds,requests_per_second` a line, `#` for comments. The last line only ends the
    /// load: its rate is never reached.
    ///
    /// # Errors
    /// As [`Schedule::trace`], and for a line that cannot be read.
    pub fn parse(text: &str, seed: u64) -> Result<Schedule, ScheduleError> {
        let mut steps = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let meant = line.split('#').next().unwrap_or_default().trim();
            if meant.is_empty() {
                continue;
            }
            let wrong = || ScheduleError::Line { line: i + 1, text: line.to_owned() };
            let (at, rate) = meant.split_once(',').ok_or_else(wrong)?;
            let at: f64 = at.trim().parse().map_err(|_| wrong())?;
            let at = Duration::try_from_secs_f64(at).map_err(|_| wrong())?;
            steps.push(Step { at, per_second: rate.trim().parse().map_err(|_| wrong())? });
        }
        let end = steps.pop().ok_or(ScheduleError::Empty)?.at;
        Schedule::trace(steps, end, seed)
    }

    /// The same plan with another spacing. The default is [`Spacing::Poisson`].
    #[must_use]
    pub fn spaced(self, spacing: Spacing) -> Schedule {
        Schedule { spacing, ..self }
    }

    /// When the last request may start.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.end
    }

    /// What the plan is drawn from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The arrivals, in order.
    #[must_use]
    pub fn arrivals(&self) -> Arrivals<'_> {
        Arrivals {
            schedule: self,
            rng: Rng::new(self.seed),
            step: 0,
            at: self.steps[0].at.as_secs_f64(),
            number: 0,
        }
    }
}

/// One planned request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// From 0.
    pub number: u64,
    /// Since the start of the load.
    pub at: Duration,
    /// Seed of everything random about this request.
    pub luck: u64,
}

/// See [`Schedule::arrivals`].
#[derive(Debug, Clone)]
pub struct Arrivals<'a> {
    schedule: &'a Schedule,
    rng: Rng,
    step: usize,
    at: f64,
    number: u64,
}

impl Iterator for Arrivals<'_> {
    type Item = Arrival;

    /// Walks through the steps until one more arrival is due: a gap is counted in expected arrivals, so a change of
    /// rate in the middle of a gap is exact, and a pause costs nothing.
    fn next(&mut self) -> Option<Arrival> {
        let mut gap = match self.schedule.spacing {
            // Half a gap in from both ends, so that rounding never adds or loses the last one.
            Spacing::Even if self.number == 0 => 0.5,
            Spacing::Even => 1.0,
            Spacing::Poisson => -(1.0 - self.rng.unit()).ln(),
        };
        loop {
            let step = self.schedule.steps.get(self.step)?;
            let until = self.schedule.steps.get(self.step + 1).map_or(self.schedule.end, |next| next.at);
            let held = (until.as_secs_f64() - self.at).max(0.0) * step.per_second;
            if gap < held {
                self.at += gap / step.per_second;
                break;
            }
            gap -= held;
            self.at = until.as_secs_f64();
            self.step += 1;
        }
        let number = self.number;
        self.number += 1;
        Some(Arrival { number, at: Duration::from_secs_f64(self.at), luck: self.rng.next_u64() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_seed_replays_and_another_differs() {
        let plan = |seed| Schedule::constant(50.0, SECOND, seed).unwrap().arrivals().collect::<Vec<_>>();
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn independent_users_come_at_the_asked_rate_on_average() {
        let n = Schedule::constant(1_000.0, 60 * SECOND, 7).unwrap().arrivals().count();
        assert!((59_000..61_000).contains(&n), "{n}");
    }

    #[test]
    fn even_arrivals_are_equally_far_apart() {
        let schedule = Schedule::constant(10.0, SECOND, 0).unwrap().spaced(Spacing::Even);
        let at: Vec<u128> = schedule.arrivals().map(|a| a.at.as_millis()).collect();
        assert_eq!(at, [50, 150, 250, 350, 450, 550, 650, 750, 850, 950]);
    }

    #[test]
    fn a_trace_changes_rate_where_it_says_and_pauses_at_zero() {
        let schedule =
            Schedule::parse("# load\n0, 100\n1, 0\n2, 1000\n3, 0\n", 5).unwrap().spaced(Spacing::Even);
        let in_second = |s: u64| schedule.arrivals().filter(|a| a.at.as_secs() == s).count();
        assert_eq!(in_second(1), 0);
        assert_eq!((in_second(0), in_second(2)), (100, 1_000));
        assert_eq!(schedule.end(), 3 * SECOND);
    }

    #[test]
    fn a_bad_schedule_is_refused_with_the_place() {
        let rate = |r| Schedule::constant(r, SECOND, 0).unwrap_err();
        assert!(matches!(rate(-1.0), ScheduleError::Rate { step: 1, .. }));
        assert!(matches!(rate(f64::NAN), ScheduleError::Rate { .. }));
        assert!(matches!(rate(f64::INFINITY), ScheduleError::Rate { .. }));
        assert_eq!(Schedule::parse("", 0), Err(ScheduleError::Empty));
        assert_eq!(Schedule::parse("0,1\n0,2\n9,0", 0), Err(ScheduleError::Order { step: 2 }));
        assert!(matches!(Schedule::parse("0,1\nnonsense", 0), Err(ScheduleError::Line { line: 2, .. })));
        assert!(matches!(Schedule::parse("-1,1\n2,2", 0), Err(ScheduleError::Line { line: 1, .. })));
    }
}
