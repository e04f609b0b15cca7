//! A round: messages at the server's ceiling, or at a fixed rate, and what came of them.

use std::time::Duration;

use super::crowd::{Crowd, Heard};
use crate::LabError;
use crate::bench::cpu::{self, Cpu};
use crate::bench::judge::Cost;

/// Messages on their way at the ceiling: the next one leaves when everybody has the one so many before it.
pub(super) const WINDOW: u32 = 128;
/// How long the window is kept filled before anything is counted.
const RAMP: Duration = Duration::from_millis(500);
/// How long messages may take after the last was sent; what is not there then is lost.
const DRAIN: Duration = Duration::from_secs(10);
/// Longest wait at a time, at the ceiling and while draining.
const WAIT: Duration = Duration::from_millis(20);
/// A message due sooner is waited for without sleeping: a timer may be late by as much.
const SPIN: Duration = Duration::from_millis(1);

/// What a round was like.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    /// Sent while it was counted, and by the end.
    pub messages: u64,
    /// Arrived while it was counted.
    pub deliveries: u64,
    pub bytes: u64,
    pub took: Duration,
    /// CPU time of the side meanwhile.
    pub cpu: Cpu,
    /// CPU time of the load meanwhile: at `took` it was the load that could do no more.
    pub load: Duration,
    /// Of everything sent in the round, what arrived by its end.
    pub delivered: f64,
    /// Sorted delays in nanoseconds, of the listeners that are looked into.
    pub delays: Vec<u64>,
}

impl Outcome {
    pub(super) fn cost(&self) -> Cost {
        Cost { operations: self.deliveries, cpu: self.cpu.total() }
    }

    pub(super) fn per_second(&self) -> f64 {
        self.deliveries as f64 / self.took.as_secs_f64()
    }

    /// Share of `took` that the load's one thread was busy.
    pub(super) fn load_share(&self) -> f64 {
        self.load.as_secs_f64() / self.took.as_secs_f64()
    }

    /// The delay that `share` of the deliveries did not exceed, in milliseconds.
    pub(super) fn delay(&self, share: f64) -> f64 {
        let last = self.delays.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.delays.get(at).map_or(f64::NAN, |nanos| *nanos as f64 / 1e6)
    }
}

/// When something was counted.
struct Mark {
    /// Nanoseconds of the crowd's clock.
    at: u64,
    cpu: Cpu,
    load: Duration,
    messages: u32,
    deliveries: u64,
    bytes: u64,
}

impl Mark {
    fn now(crowd: &Crowd, used: &Used<'_>, answered_before: u64) -> Result<Mark, LabError> {
        let Heard { deliveries, bytes, .. } = crowd.heard;
        Ok(Mark {
            at: crowd.now(),
            cpu: used()?,
            load: cpu::used_by_this_thread()?.total(),
            messages: crowd.settled(answered_before),
            deliveries,
            bytes,
        })
    }
}

/// The side's CPU time so far.
pub(super) type Used<'a> = dyn Fn() -> Result<Cpu, LabError> + 'a;

/// Keeps `window` messages on their way for `time`, then waits for all.
pub(super) fn ceiling(
    crowd: &mut Crowd,
    used: &Used<'_>,
    (window, length): (u32, usize),
    time: Duration,
) -> Result<Outcome, LabError> {
    crowd.begin()?;
    let answered = crowd.publisher.answered();
    let (counted, over) = (crowd.after(RAMP), crowd.after(RAMP + time));
    let mut first = None;
    loop {
        while crowd.sent() < crowd.settled(answered) + window {
            crowd.send(crowd.now(), length)?;
        }
        crowd.turn(WAIT)?;
        if crowd.now() >= counted && first.is_none() {
            first = Some(Mark::now(crowd, used, answered)?);
        }
        if crowd.now() >= over {
            break;
        }
    }
    let last = Mark::now(crowd, used, answered)?;
    end(crowd, first.unwrap_or(Mark { ..last }), last, answered)
}

/// Sends `rate` messages a second for `time`, whatever becomes of them, then waits for all.
pub(super) fn steady(
    crowd: &mut Crowd,
    used: &Used<'_>,
    (rate, length): (u32, usize),
    time: Duration,
) -> Result<Outcome, LabError> {
    crowd.begin()?;
    let answered = crowd.publisher.answered();
    let gap = 1_000_000_000 / u64::from(rate.max(1));
    let total = u64::from(rate) * time.as_millis() as u64 / 1000;
    let first = Mark::now(crowd, used, answered)?;
    let start = crowd.now();
    for i in 0..total {
        let due = start + i * gap;
        loop {
            let left = Duration::from_nanos(due.saturating_sub(crowd.now()));
            if left.is_zero() {
                break;
            }
            crowd.turn(left.saturating_sub(SPIN).min(WAIT))?;
        }
        crowd.send(due, length)?;
        crowd.turn(Duration::ZERO)?;
    }
    let last = Mark::now(crowd, used, answered)?;
    end(crowd, first, last, answered)
}

/// Waits for what is still on its way.
fn end(crowd: &mut Crowd, first: Mark, last: Mark, answered: u64) -> Result<Outcome, LabError> {
    let until = crowd.after(DRAIN);
    while (crowd.settled(answered) < crowd.sent() || !crowd.publisher.is_idle()) && crowd.now() < until {
        crowd.turn(WAIT)?;
    }
    let wanted = u64::from(crowd.sent()) * crowd.len() as u64;
    let delivered = if wanted == 0 { 1.0 } else { crowd.heard.deliveries as f64 / wanted as f64 };
    if delivered >= 1.0 && !crowd.is_complete() {
        return Err(super::publisher::odd("each message once", "one was missing and another came twice"));
    }
    let mut delays = std::mem::take(&mut crowd.heard.delays);
    delays.sort_unstable();
    Ok(Outcome {
        messages: u64::from(last.messages - first.messages),
        deliveries: last.deliveries - first.deliveries,
        bytes: last.bytes - first.bytes,
        took: Duration::from_nanos(last.at - first.at),
        cpu: last.cpu - first.cpu,
        load: last.load.saturating_sub(first.load),
        delivered,
        delays,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_read_off_the_sorted_ones() {
        let outcome = Outcome { delays: (1..=101).map(|ms| ms * 1_000_000).collect(), ..Outcome::default() };
        assert_eq!((outcome.delay(0.5), outcome.delay(0.99), outcome.delay(1.0)), (51.0, 100.0, 101.0));
        assert!(Outcome::default().delay(0.5).is_nan());
    }

    #[test]
    fn a_busy_load_shows() {
        let second = Duration::from_secs(1);
        let outcome = Outcome { took: 2 * second, load: second, deliveries: 500, ..Outcome::default() };
        assert_eq!((outcome.load_share(), outcome.per_second()), (0.5, 250.0));
    }
}
