//! What this system promises, each with the place that asks for it. Drills measure these from outside; no test
//! judges time.

use std::time::Duration;

/// 99 % of look-ups are answered faster than this; above it the document adds nodes (S4, scaling triggers).
pub const LOOKUP_P99_MAX: Duration = Duration::from_millis(50);

/// Clients one node lets wait for a change; above it the document adds nodes (S4, scaling triggers).
pub const WATCHERS_PER_NODE: usize = 10_000;

/// Acknowledged writes that are gone after a crash of the process: none ("near-zero RPO", S4, write-ahead log).
pub const ACKNOWLEDGED_LOST_MAX: u64 = 0;

/// Instances counted dead because the registry itself was away: none (S4, self-preservation).
pub const FALSE_EXPIRIES_MAX: u64 = 0;
