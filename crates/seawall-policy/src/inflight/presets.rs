//! The bulkheads of the balancer document.

use super::policy::Policy;

/// The names [`preset`] knows.
pub const PRESETS: &[&str] = &["s3-service-a", "s3-service-b", "s3-service-c"];

/// The policy of that name, if there is one.
#[must_use]
pub fn preset(name: &str) -> Option<Policy> {
    match name {
        "s3-service-a" => Some(Policy::s3_service_a()),
        "s3-service-b" => Some(Policy::s3_service_b()),
        "s3-service-c" => Some(Policy::s3_service_c()),
        _ => None,
    }
}

impl Policy {
    /// Balancer (S3), Bulkhead Pattern: service A has 100 threads and 500 connections.
    #[must_use]
    pub fn s3_service_a() -> Policy {
        Policy { in_flight: 100, connections: 500 }
    }

    /// Balancer (S3), Bulkhead Pattern: service B has 50 threads and 200 connections.
    #[must_use]
    pub fn s3_service_b() -> Policy {
        Policy { in_flight: 50, connections: 200 }
    }

    /// Balancer (S3), Bulkhead Pattern: service C has as much as B.
    #[must_use]
    pub fn s3_service_c() -> Policy {
        Policy::s3_service_b()
    }
}
