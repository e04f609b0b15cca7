//! The windows and minimums behind the signals of the documents' ladders. Tests in `tests/it/signal.rs` hold
//! each number.
//!
//! The documents have triggers without a window or a minimum. Those of the feed are the least that make a
//! trigger mean something: its cache begins every life below 50 %, and one failed call of 99 is above 1 %.

use std::time::Duration;

use super::{Latency, Share, Spike};
use crate::Mono;

impl Share {
    /// `hit(feed-cache)` of the feed (S1, Graceful Degradation Levels, level 2): of at least 1,000 look-ups in
    /// 30 s.
    #[must_use]
    pub fn s1_feed_cache() -> Share {
        Share::new(Duration::from_secs(30), 1_000)
    }

    /// `errors(shard)` and `errors(graph)` of the feed (S1, level 3): of at least 200 calls in 10 s.
    #[must_use]
    pub fn s1_graph() -> Share {
        Share::new(Duration::from_secs(10), 200)
    }
}

impl Latency {
    /// `p95(ranking)` of the feed (S1, level 1), over the 10 s for which it must last.
    #[must_use]
    pub fn s1_ranking() -> Latency {
        Latency::new(Duration::from_secs(10), 0.95)
    }
}

impl Spike {
    /// `spike(requests)` of the balancer (S3, Disaster Scenarios and Response): over a minute, and from 10 a
    /// second on; a service that small can take what a larger one must be protected from.
    #[must_use]
    pub fn s3_requests(now: Mono) -> Spike {
        Spike::new(Duration::from_secs(60), 600, now)
    }
}
