//! The `[graph]` section of the configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use seawall_policy::{breaker, duration, ladder, shed, size};
use serde::{Deserialize, Serialize};

/// Most databases of one installation: as many files are held open by every process.
const SHARDS_MAX: u32 = 1024;
/// Smallest cache that may be configured: room for one longest list head and something beside it.
const CACHE_MIN: u64 = 1 << 20;
/// Largest body or RESP request that may be configured.
const BODY_BYTES_MAX: u64 = 64 << 20;
/// Smallest one: a request with the longest text a schema may allow does not fit below.
const BODY_BYTES_MIN: u64 = 4 << 10;

/// The `[graph]` section. Every default is the design document's number, or says why it is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where HTTP/JSON is served.
    pub listen: SocketAddr,
    /// Where RESP is served: any Redis client can call it.
    pub resp_listen: SocketAddr,
    /// A file with the schema. Empty: the one in the store, or the built-in one where there is none yet.
    pub schema: PathBuf,
    /// Databases the 65,536 logical shards are spread over; fixed when they are created.
    pub shards: u32,
    /// Memory of the follower's cache.
    #[serde(with = "size")]
    pub follower_cache: u64,
    /// Memory of the leader's cache. A quarter of the follower's: in one process it sees only what that one misses.
    #[serde(with = "size")]
    pub leader_cache: u64,
    /// How long the follower trusts its memory without news (S1, layer 4). A backstop: changes arrive within
    /// milliseconds.
    #[serde(with = "duration")]
    pub follower_ttl: Duration,
    /// How long the leader trusts its memory (S1, layer 5). A backstop.
    #[serde(with = "duration")]
    pub leader_ttl: Duration,
    /// Reads of each database at a time; who comes later waits. With its caches lost a graph asks for everything at
    /// once, and a database that is asked too much at once answers nobody in time.
    pub store_reads_max: usize,
    /// HTTP requests in flight before new ones are shed.
    pub in_flight_max: usize,
    /// RESP connections at a time; one more is told so and closed.
    pub connections_max: usize,
    /// Largest HTTP body and longest RESP request.
    #[serde(with = "size")]
    pub body_max: u64,
    /// How long any request may take, unless its client asks for less.
    #[serde(with = "duration")]
    pub deadline: Duration,
    /// Without a heartbeat for so long, the registry counts this process as gone.
    #[serde(with = "duration")]
    pub heartbeat_ttl: Duration,
    /// When a database that fails is left alone, reads and writes each for themselves (S1: 5 in 10 s, 30 s).
    pub store_breaker: breaker::Policy,
    /// When a database's writes are refused and its reads may be stale (S1, level 3, of each database by itself).
    pub ladder: ladder::Policy,
    /// Who is refused first when there is too much to do: imports and exports before single calls.
    pub shed: shed::Policy,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 7030)),
            resp_listen: SocketAddr::from(([127, 0, 0, 1], 6380)),
            schema: PathBuf::new(),
            shards: 1,
            follower_cache: 256 << 20,
            leader_cache: 64 << 20,
            follower_ttl: Duration::from_secs(60),
            leader_ttl: Duration::from_secs(600),
            store_reads_max: 64,
            in_flight_max: 1024,
            connections_max: 10_000,
            body_max: 1 << 20,
            deadline: Duration::from_secs(5),
            heartbeat_ttl: Duration::from_secs(10),
            store_breaker: breaker::Policy::s1_feed(),
            ladder: ladder::Policy::s1_shard(),
            shed: shed::Policy::s0_chat(),
        }
    }
}

impl Config {
    /// Everything that is wrong, each with advice; empty when nothing is.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut unless = |ok: bool, key: &str, advice: &str| {
            if !ok {
                wrong.push(format!("graph.{key}: {advice}"));
            }
        };
        unless(
            !self.listen.ip().is_unspecified(),
            "listen",
            "name the address that others reach this process by; it is what the registry tells them",
        );
        unless(
            !self.resp_listen.ip().is_unspecified(),
            "resp_listen",
            "name the address that others reach this process by; it is what the registry tells them",
        );
        unless(
            self.listen != self.resp_listen || self.listen.port() == 0,
            "resp_listen",
            "use another address than graph.listen; RESP and HTTP each have a port of their own",
        );
        unless(
            (1..=SHARDS_MAX).contains(&self.shards),
            "shards",
            "use 1 to 1024; each is a file, and one serves thousands of writes a second",
        );
        for (key, budget) in [("follower_cache", self.follower_cache), ("leader_cache", self.leader_cache)] {
            unless(budget >= CACHE_MIN, key, "use 1MiB or more; below that no long list is ever kept");
        }
        for (key, ttl) in [("follower_ttl", self.follower_ttl), ("leader_ttl", self.leader_ttl)] {
            unless(!ttl.is_zero(), key, "use more than 0, such as \"60s\"");
        }
        unless(self.store_reads_max >= 1, "store_reads_max", "use 1 or more; 0 never asks the store");
        unless(self.in_flight_max >= 1, "in_flight_max", "use 1 or more; 0 sheds every request");
        unless(self.connections_max >= 1, "connections_max", "use 1 or more; 0 lets nobody in");
        unless(
            (BODY_BYTES_MIN..=BODY_BYTES_MAX).contains(&self.body_max),
            "body_max",
            "use 4KiB to 64MiB; each connection may hold one of this size in memory",
        );
        unless(self.deadline >= Duration::from_millis(10), "deadline", "use 10ms or more, such as \"5s\"");
        unless(
            self.heartbeat_ttl >= Duration::from_secs(1),
            "heartbeat_ttl",
            "use 1s or more; shorter ones make a busy machine look dead",
        );
        let policies = [
            ("store_breaker", self.store_breaker.check()),
            ("ladder", self.ladder.check()),
            ("shed", self.shed.check()),
        ];
        for (key, problems) in policies {
            wrong.extend(problems.into_iter().map(|advice| format!("graph.{key}.{advice}")));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_right() {
        assert_eq!(Config::default().check(), [] as [&str; 0]);
    }

    #[test]
    fn everything_wrong_is_said_at_once_with_advice() {
        let one = SocketAddr::from(([0, 0, 0, 0], 7030));
        let wrong = Config {
            listen: one,
            resp_listen: one,
            shards: 0,
            follower_cache: 0,
            leader_cache: 0,
            follower_ttl: Duration::ZERO,
            leader_ttl: Duration::ZERO,
            store_reads_max: 0,
            in_flight_max: 0,
            connections_max: 0,
            body_max: 0,
            deadline: Duration::ZERO,
            heartbeat_ttl: Duration::ZERO,
            ..Config::default()
        };
        let said = wrong.check();
        assert_eq!(said.len(), 14, "{said:#?}");
        assert!(said.contains(&"graph.in_flight_max: use 1 or more; 0 sheds every request".to_owned()));
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = serde_json::from_str::<Config>(r#"{"folower_cache": "1MiB"}"#).unwrap_err().to_string();
        assert!(error.contains("folower_cache"), "{error}");
    }
}
