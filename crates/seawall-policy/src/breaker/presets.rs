//! The documents' breakers, number by number. A test in `tests/it/breaker.rs` holds each of them.

use std::time::Duration;

use super::policy::{HalfOpen, Open, Policy};
use super::trip::Trip;
use crate::outcome::Class;

impl Open {
    /// Doubles on repeated trips up to four times: enough to spare a callee that is down for long, and short
    /// enough that nobody waits for minutes after it is back. The documents name no growth.
    fn doubling(seconds: u64) -> Open {
        Open { for_: Duration::from_secs(seconds), growth: 2.0, max: Duration::from_secs(4 * seconds) }
    }
}

impl Policy {
    /// Chat (S0, Circuit Breaker Pattern), in front of a database: 5 failures in 10 s open for 30 s. 3 probes
    /// are admitted as its configuration says (its diagram has one), and as in its code the first success
    /// closes.
    #[must_use]
    pub fn s0_chat() -> Policy {
        Policy {
            window: Duration::from_secs(10),
            trip: vec![Trip::Failures(5)],
            count: Class::ALL.to_vec(),
            open: Open::doubling(30),
            half_open: HalfOpen { admit: 3, close_after: 1 },
            shards: 4,
        }
    }

    /// Feed (S1, Circuit Breaker Implementation), in front of the ranking service: as chat, but two successes
    /// in a row close it. The document's code never counts them; its parameters do.
    ///
    /// That code catches `TimeoutException` and `ServiceException`: no answer in time, and a service that
    /// fails or is not there (what a caller sees of a dead one is an exception too, and were it not counted,
    /// a dead one would be called for ever). "Too busy" is not among them: the document's retries answer
    /// RESOURCE_EXHAUSTED by waiting, and a service that refuses a tenth of its calls to save the rest would
    /// be refused all of them.
    #[must_use]
    pub fn s1_feed() -> Policy {
        Policy {
            count: vec![Class::Timeout, Class::Failed, Class::Unreachable],
            half_open: HalfOpen { admit: 3, close_after: 2 },
            ..Policy::s0_chat()
        }
    }

    /// Links (S2, Circuit Breaker Pattern), in front of the shared cache: 5 in a row open for 60 s. The window
    /// of 60 s and the single probe are ours: the document counts for ever, and lets everyone through when
    /// half-open.
    #[must_use]
    pub fn s2_links() -> Policy {
        Policy {
            window: Duration::from_secs(60),
            trip: vec![Trip::Consecutive(5)],
            count: Class::ALL.to_vec(),
            open: Open::doubling(60),
            half_open: HalfOpen { admit: 1, close_after: 1 },
            shards: 4,
        }
    }

    /// Balancer (S3, Circuit Breaker Pattern), one per backend: half of at least 20 requests failed, in a
    /// window of 10 s that the document leaves open. 3 of 5 probes close it: the same 50 % rule, where its
    /// diagram closes on the first. "Too busy" is not counted: a backend that sheds half of its searches is up,
    /// and answers all that matters more.
    #[must_use]
    pub fn s3_balancer() -> Policy {
        Policy {
            window: Duration::from_secs(10),
            trip: vec![Trip::Ratio { ratio: 0.5, min: 20 }],
            count: vec![Class::Failed, Class::Timeout, Class::Unreachable],
            open: Open::doubling(30),
            half_open: HalfOpen { admit: 5, close_after: 3 },
            shards: 1,
        }
    }

    /// Registry client (S4, Client Circuit Breaker Integration), one per instance. The document says "high
    /// failure rate"; a single caller sees so little of one instance that 10 requests must do, or 5 failures
    /// in a row.
    #[must_use]
    pub fn s4_registry() -> Policy {
        Policy {
            window: Duration::from_secs(10),
            trip: vec![Trip::Ratio { ratio: 0.5, min: 10 }, Trip::Consecutive(5)],
            count: Class::ALL.to_vec(),
            open: Open::doubling(30),
            half_open: HalfOpen { admit: 1, close_after: 1 },
            shards: 1,
        }
    }

    /// The same with the document's constant open time.
    #[must_use]
    pub fn verbatim(mut self) -> Policy {
        self.open.growth = 1.0;
        self.open.max = self.open.for_;
        self
    }
}
