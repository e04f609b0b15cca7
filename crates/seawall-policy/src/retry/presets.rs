//! The documents' retry rules. Each number stands in a document unless it says otherwise; the budget, which
//! no document has, is [`BudgetPolicy`](super::BudgetPolicy)'s default.
//!
//! The `…_verbatim` variants have their document's own jitter. S3's retries after a refused connection or a
//! timeout have no wait, hence no jitter, and no variant.

use std::time::Duration;

use super::policy::{Backoff, Class, Jitter, Policy};

/// The names [`preset`] knows.
pub const PRESETS: &[&str] = &[
    "s1-read",
    "s1-read-verbatim",
    "s1-write",
    "s1-write-verbatim",
    "s3-request",
    "s3-request-verbatim",
    "s3-connect",
    "s3-timeout",
    "s4-discovery",
    "s4-discovery-verbatim",
];

/// A document's policy by its name; `None` if there is none of that name.
#[must_use]
pub fn preset(name: &str) -> Option<Policy> {
    Some(match name {
        "s1-read" => Policy::s1_read(),
        "s1-read-verbatim" => Policy::s1_read_verbatim(),
        "s1-write" => Policy::s1_write(),
        "s1-write-verbatim" => Policy::s1_write_verbatim(),
        "s3-request" => Policy::s3_request(),
        "s3-request-verbatim" => Policy::s3_request_verbatim(),
        "s3-connect" => Policy::s3_connect(),
        "s3-timeout" => Policy::s3_timeout(),
        "s4-discovery" => Policy::s4_discovery(),
        "s4-discovery-verbatim" => Policy::s4_discovery_verbatim(),
        _ => return None,
    })
}

/// Twice as long each time: S1's `backoff_multiplier`, S3's `2 ^ attempt`.
fn doubling(base_ms: u64, max_ms: u64) -> Backoff {
    let [base, max] = [base_ms, max_ms].map(Duration::from_millis);
    Backoff { schedule: Vec::new(), base, factor: 2.0, max }
}

/// No wait at all.
fn at_once() -> Backoff {
    Backoff { base: Duration::ZERO, max: Duration::ZERO, ..Backoff::default() }
}

impl Policy {
    /// Feed (S1), Retry Strategy, TAO Read: 3 retries from 10 ms, at most 100 ms (which 10 + 20 + 40 never
    /// reaches).
    #[must_use]
    pub fn s1_read() -> Policy {
        Policy {
            attempts: 4,
            backoff: doubling(10, 100),
            on: vec![Class::Timeout, Class::Unreachable, Class::Overloaded],
            ..Policy::default()
        }
    }

    /// Feed (S1), Retry Strategy, Post Write: 2 retries from 50 ms, at most 200 ms (which 50 + 100 never
    /// reaches), and only with an idempotency key. It names no multiplier; it is the reads'.
    #[must_use]
    pub fn s1_write() -> Policy {
        Policy {
            attempts: 3,
            backoff: doubling(50, 200),
            on: vec![Class::Timeout, Class::Unreachable],
            ..Policy::default()
        }
    }

    /// Balancer (S3), Retry Strategy, 502, 503 and 504 from a backend: "1-2 retries", so 2, from 100 ms, at
    /// most 5 s, idempotent only.
    #[must_use]
    pub fn s3_request() -> Policy {
        Policy {
            attempts: 3,
            backoff: doubling(100, 5_000),
            on: vec![Class::Failed, Class::Overloaded],
            ..Policy::default()
        }
    }

    /// Balancer (S3), Retry Strategy, connection refused: "2-3 retries, immediate", so 3. Also for what must
    /// not happen twice, so ask it only while nothing has been sent.
    #[must_use]
    pub fn s3_connect() -> Policy {
        Policy {
            attempts: 4,
            backoff: at_once(),
            on: vec![Class::Unreachable],
            idempotent_only: false,
            ..Policy::default()
        }
    }

    /// Balancer (S3), Retry Strategy, no answer in time: "1 retry, increase timeout". By how much is ours:
    /// half as much again, and 2 tries fit into 2.5 time-outs.
    #[must_use]
    pub fn s3_timeout() -> Policy {
        Policy {
            attempts: 2,
            backoff: at_once(),
            on: vec![Class::Timeout],
            timeout_growth: 1.5,
            ..Policy::default()
        }
    }

    /// Registry client (S4), Client Failover Strategy: 3 tries. The document's loop runs four times over
    /// three waits and sleeps after the last; with three tries its third wait, 2 s, is used by nobody who
    /// does not ask for a fourth.
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

    /// [`Policy::s1_write`] with the document's jitter, ±20 %: its loop is the same for all operations.
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
}
