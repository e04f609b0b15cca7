//! What this system promises, each with the place that asks for it. Drills measure these from outside; no
//! test judges time.

use std::time::Duration;

use seawall_policy::probe;

/// From a backend's death to the moment the probes have noticed: interval × fall + timeout = "~17 seconds
/// typical" (S3 "L7 Failover (Health Check Based)"), with that document's 5 s × 3 and 2 s.
#[must_use]
pub fn detection_s3() -> Duration {
    probe::Policy::default().detection()
}

/// The same with the default, fast profile: 1 s × 3 + 1 s = 4 s, for five times the checks. What a client
/// notices is shorter still: a refused connection ejects at once, and another backend is asked.
#[must_use]
pub fn detection() -> Duration {
    probe::Policy::fast().detection()
}

/// From a backend's death until no request meets it any more (S3 "Disaster Recovery", RTO: "< 5 minutes;
/// auto-failover should handle most cases").
pub const RTO_MAX: Duration = Duration::from_secs(300);

/// Failed requests a client sees when one of several backends is killed, for idempotent requests and those
/// with an Idempotency-Key (S3 "Retry Strategy": connection retry, request retry).
pub const CLIENT_ERRORS_MAX: u64 = 0;

/// Requests at the backends per request at the balancer while everything fails: one, and the retry budget's
/// 20 %. On top of it come 10 a second. The document has no such limit.
pub const AMPLIFICATION_MAX: f64 = 1.2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_seventeen_seconds_and_our_four() {
        assert_eq!((detection_s3().as_secs(), detection().as_secs()), (17, 4));
    }
}
