//! Who is let in at this moment: the decision, and the form of it that request threads share.
//!
//! A decision reads two numbers (the load published last and the requests in flight, which the caller knows) and
//! looks up a table. Only where a share of a class is refused does it count, in a word per class.

use std::time::Duration;

use super::policy::{COHORTS, Choose, Policy};
use super::reconnect::Reconnects;
use crate::priority::Priority;
use crate::rate::Exhausted;
use crate::sync::{AtomicU64, Ordering};
use crate::{Mono, Wall};

const HOUR_MS: i64 = 3_600_000;

/// What is to be done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Let it in.
    Admit,
    /// Let it in, this much later.
    Delay(Duration),
    /// Refuse it at once: 503, or nothing.
    Reject,
}

/// How busy the process is. Each signal is 1.0 when there is no more; one that nobody measures is 0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Load {
    /// Requests in flight over how many there may be.
    pub in_flight: f64,
    /// How long work waits in queues before it is begun.
    pub queue_wait: Duration,
    /// Share of the processor in use.
    pub cpu: f64,
}

impl Policy {
    /// The three signals as one: the highest. What is no number counts as no load.
    #[must_use]
    pub fn load(&self, signals: Load) -> f64 {
        let waited =
            signals.queue_wait.as_secs_f64() / self.queue_wait_max.as_secs_f64().max(f64::MIN_POSITIVE);
        [signals.in_flight, waited, signals.cpu].into_iter().fold(0.0, f64::max)
    }
}

/// What one step does with one class, as a request needs it.
#[derive(Debug, Clone, Copy)]
struct Rule {
    /// Of 2^32.
    dropped: u64,
    delay: Duration,
}

/// A policy made ready: for each step where it ends and what it does with each class.
#[derive(Debug)]
struct Table {
    steps: Box<[(f64, [Rule; 5])]>,
    choose: Choose,
}

impl Table {
    fn new(policy: &Policy) -> Table {
        let rule = |step: &super::Step, class| {
            let (share, delay) = step.of(class);
            Rule { dropped: (share.clamp(0.0, 1.0) * 2f64.powi(32)) as u64, delay }
        };
        let steps = policy
            .steps
            .iter()
            .map(|step| (step.below.unwrap_or(f64::INFINITY), Priority::ALL.map(|class| rule(step, class))));
        Table { steps: steps.collect(), choose: policy.choose }
    }

    /// `draw` is asked at most once, and only where a share is refused.
    fn decide(
        &self,
        load: f64,
        priority: Priority,
        who: Option<u64>,
        hour: u64,
        draw: impl FnOnce() -> u64,
    ) -> Decision {
        let step = self.steps.iter().find(|(below, _)| load < *below).or(self.steps.last());
        let Some((_, rules)) = step else { return Decision::Admit };
        let Rule { dropped, delay } = rules[priority as usize];
        let is_dropped = match dropped {
            0 => false,
            all if all >= 1 << 32 => true,
            share => match (self.choose, who) {
                (Choose::Cohort, Some(who)) => {
                    u64::from(cohort(who, hour)) << 32 < share * u64::from(COHORTS)
                }
                _ => spread(draw()) < share,
            },
        };
        match is_dropped {
            true => Decision::Reject,
            false if delay.is_zero() => Decision::Admit,
            false => Decision::Delay(delay),
        }
    }
}

/// The cohort of a caller in an hour, 0 to 127.
fn cohort(who: u64, hour: u64) -> u32 {
    // The multiplier of SplitMix64: any odd number with well-mixed bits does; the upper bits are the good ones.
    let mixed = (who ^ hour.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((mixed ^ (mixed >> 31)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 57) as u32
}

/// The `n`-th of a sequence that fills 0 to 2^32 evenly: each stretch of it has its due share below any bound, where
/// chance would have runs.
fn spread(n: u64) -> u64 {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
}

/// Decides; knows nothing of threads.
#[derive(Debug)]
pub struct Core {
    table: Table,
    /// Requests of each class that were drawn for so far.
    drawn: [u64; 5],
    hour: u64,
}

impl Core {
    /// Nobody asked yet.
    #[must_use]
    pub fn new(policy: &Policy) -> Core {
        Core { table: Table::new(policy), drawn: [0; 5], hour: 0 }
    }

    /// The wall clock, by which cohorts change.
    pub fn at(&mut self, wall: Wall) {
        self.hour = hour(wall);
    }

    /// What to do with a request of this class at this load. `who`: a hash of the caller, where it has a name.
    pub fn decide(&mut self, load: f64, priority: Priority, who: Option<u64>) -> Decision {
        let drawn = &mut self.drawn[priority as usize];
        self.table.decide(load, priority, who, self.hour, || {
            let n = *drawn;
            *drawn = n.wrapping_add(1);
            n
        })
    }
}

/// Shedder shared by threads. See [`super`] for what it decides.
#[derive(Debug)]
pub struct Shedder {
    policy: Policy,
    table: Table,
    /// The load published last, an `f64`'s bits.
    load: AtomicU64,
    hour: AtomicU64,
    drawn: [AtomicU64; 5],
    reconnect: Reconnects,
}

impl Shedder {
    /// No load yet.
    #[must_use]
    pub fn new(policy: Policy) -> Shedder {
        Shedder {
            table: Table::new(&policy),
            load: AtomicU64::new(0f64.to_bits()),
            hour: AtomicU64::new(0),
            drawn: [0; 5].map(AtomicU64::new),
            reconnect: Reconnects::new(&policy),
            policy,
        }
    }

    /// Publishes the signals that are measured now and then. Once a second is enough for the processor; for
    /// queues, ten times.
    pub fn observe(&self, signals: Load, wall: Wall) {
        self.load.store(self.policy.load(signals).to_bits(), Ordering::Relaxed);
        self.hour.store(hour(wall), Ordering::Relaxed);
    }

    /// What to do with a request of this class, with `in_flight` of the places taken (1.0: all of them). `who`: a
    /// hash of the caller, where it has a name.
    #[inline]
    pub fn decide(&self, priority: Priority, who: Option<u64>, in_flight: f64) -> Decision {
        self.decide_by(priority, who, || in_flight)
    }

    /// [`Shedder::decide`] that looks at the places only when their number matters: everyone writes that word,
    /// and to read it takes it away from them.
    #[inline]
    pub(crate) fn decide_by(
        &self,
        priority: Priority,
        who: Option<u64>,
        in_flight: impl FnOnce() -> f64,
    ) -> Decision {
        if priority == Priority::P0 {
            return Decision::Admit;
        }
        let load = self.load(in_flight());
        self.table.decide(load, priority, who, self.hour.load(Ordering::Relaxed), || {
            self.drawn[priority as usize].fetch_add(1, Ordering::Relaxed)
        })
    }

    /// Whether a client that lost its connection may come back now, whatever the load.
    ///
    /// # Errors
    /// [`Exhausted`] with the moment to come back at: each client has its own.
    pub fn reconnect(&self, now: Mono) -> Result<(), Exhausted> {
        self.reconnect.check(now)
    }

    /// The load that decides, with `in_flight` of the places taken.
    #[must_use]
    #[inline]
    pub fn load(&self, in_flight: f64) -> f64 {
        f64::from_bits(self.load.load(Ordering::Relaxed)).max(in_flight)
    }

    /// The policy it was made with.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}

fn hour(wall: Wall) -> u64 {
    wall.0.div_euclid(HOUR_MS).cast_unsigned()
}
