//! What a retry policy with its budget would have done: which failures it mends, at which load and delay.
//!
//! A trace says what came of the calls that were made, and a retry is one that was not. So a retry is given
//! the outcome and the latency of the first call of the trace that began when it would have begun, or after:
//! what somebody who called then did meet. That holds as far as failures are about the moment (an outage, a
//! restart) and not about the request; and it is too kind where they come from load, because retries add to
//! it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::Record;
use super::flight::{Crowded, Flight};
use super::tally::{Span, Tally, ms};
use crate::retry::{BudgetPolicy, Core as Budget, Next, Policy};
use crate::{Mono, Outcome, Rng};

/// Over which the load is looked at, as the budget does.
const BUSY: Duration = Duration::from_secs(10);

/// A retry policy and the budget its callers share.
#[derive(Debug)]
pub struct Replay {
    policy: Policy,
    budget: Budget,
    rng: Rng,
    flight: Flight<Event>,
    slot: Load,
    slot_number: u64,
    report: Report,
}

#[derive(Debug)]
enum Event {
    /// A try ends.
    Ended(Call, Outcome),
    /// The next try begins.
    Due(Call),
}

/// What one caller has been through.
#[derive(Debug, Clone, Copy)]
struct Call {
    began: Mono,
    /// When the first try ended, which without retries would have been all.
    first_ended: Mono,
    /// When its caller last heard of a failure.
    last_ended: Mono,
    tries: u32,
    idempotent: bool,
}

/// Calls, and retries on top.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Load {
    /// First tries.
    pub calls: u64,
    /// Further ones.
    pub retries: u64,
}

impl Load {
    /// How many times the load without retries.
    #[must_use]
    pub fn amplification(&self) -> f64 {
        (self.calls + self.retries) as f64 / self.calls.max(1) as f64
    }
}

/// What a retry policy would have done.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// The trace: callers see this without retries.
    pub trace: Span,
    /// What callers see with them.
    pub served: Tally,
    /// What the callee sees.
    pub load: Load,
    /// The ten seconds with the most retries.
    pub busiest: Load,
    /// Failures that a retry mended.
    pub mended: u64,
    /// How much later than the failure the answer then came, all together.
    #[serde(rename = "mended_later_ms", serialize_with = "ms")]
    pub mended_later: Duration,
    /// And at most.
    #[serde(rename = "mended_latest_ms", serialize_with = "ms")]
    pub mended_latest: Duration,
    /// How much later than without retries the others heard that it failed all the same, all together.
    #[serde(rename = "failed_later_ms", serialize_with = "ms")]
    pub failed_later: Duration,
    /// Why failures were not retried any further, and how often.
    pub given_up: BTreeMap<&'static str, u64>,
}

impl Replay {
    /// Nothing called, nothing spent. `seed` is that of the jitter.
    #[must_use]
    pub fn new(policy: Policy, budget: BudgetPolicy, seed: u64) -> Replay {
        Replay {
            policy,
            budget: Budget::new(budget),
            rng: Rng::new(seed),
            flight: Flight::new(),
            slot: Load::default(),
            slot_number: 0,
            report: Report::default(),
        }
    }

    /// The next call of the trace, in the order in which they began.
    ///
    /// # Errors
    /// [`Crowded`].
    pub fn step(&mut self, record: &Record) -> Result<(), Crowded> {
        self.until(record)?;
        self.report.trace.add(record);
        self.budget.deposit(record.at);
        self.load(record.at).calls += 1;
        let first_ended = record.at + record.took;
        let idempotent = record.idempotent;
        let call = Call { began: record.at, first_ended, last_ended: first_ended, tries: 1, idempotent };
        self.flight.begin(first_ended, Event::Ended(call, record.outcome))
    }

    /// What it would have done, once all that was begun has ended. Retries that would have begun after the
    /// last call of the trace are given up: nobody knows what they would have met.
    #[must_use]
    pub fn finish(mut self) -> Report {
        while let Some((at, event)) = self.flight.end(None) {
            match event {
                // There is room: what ended has just left.
                Event::Ended(call, outcome) => drop(self.ended(call, outcome, at)),
                Event::Due(call) => self.give_up("trace-ended", call, call.last_ended),
            }
        }
        self.load(Mono(u64::MAX));
        self.report
    }

    /// All that happens before this call or together with it.
    fn until(&mut self, record: &Record) -> Result<(), Crowded> {
        while let Some((at, event)) = self.flight.end(Some(record.at)) {
            match event {
                Event::Ended(call, outcome) => self.ended(call, outcome, at)?,
                Event::Due(call) => {
                    self.load(at).retries += 1;
                    let call = Call { tries: call.tries + 1, ..call };
                    self.flight.begin(at + record.took, Event::Ended(call, record.outcome))?;
                }
            }
        }
        Ok(())
    }

    fn ended(&mut self, call: Call, outcome: Outcome, now: Mono) -> Result<(), Crowded> {
        if !outcome.is_failure() {
            self.report.served.add(outcome, now.since(call.began));
            if call.tries > 1 && outcome == Outcome::Success {
                let later = now.since(call.first_ended);
                self.report.mended += 1;
                self.report.mended_later += later;
                self.report.mended_latest = self.report.mended_latest.max(later);
            }
            return Ok(());
        }
        let elapsed = now.since(call.began);
        let next =
            self.policy.next(call.tries, outcome, call.idempotent, elapsed, Duration::MAX, &mut self.rng);
        match next {
            Next::Stop(reason) => self.give_up(reason.as_str(), call, now),
            Next::Elsewhere { .. } => self.give_up("only-elsewhere", call, now),
            Next::Again { after, cost } if self.budget.withdraw(now, cost) => {
                return self.flight.begin(now + after, Event::Due(Call { last_ended: now, ..call }));
            }
            Next::Again { .. } => self.give_up("budget", call, now),
        }
        Ok(())
    }

    fn give_up(&mut self, why: &'static str, call: Call, now: Mono) {
        *self.report.given_up.entry(why).or_default() += 1;
        self.report.served.add(Outcome::Failed, now.since(call.began));
        self.report.failed_later += now.since(call.first_ended);
    }

    /// Where a try that begins now is counted. Tries come in the order of time.
    fn load(&mut self, now: Mono) -> &mut Load {
        let number = now.0 / BUSY.as_nanos() as u64;
        if number > self.slot_number {
            self.report.load.calls += self.slot.calls;
            self.report.load.retries += self.slot.retries;
            if self.slot.retries > self.report.busiest.retries {
                self.report.busiest = self.slot;
            }
            self.slot = Load::default();
            self.slot_number = number;
        }
        &mut self.slot
    }
}
