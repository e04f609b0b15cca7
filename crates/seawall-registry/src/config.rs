//! The `[registry]` section.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use seawall_policy::size;
use serde::{Deserialize, Serialize};

use crate::api::bodies::NAME_MAX;
use crate::targets;

/// The store takes 1 MiB at once, and a value in a command is a third longer than itself.
const KV_VALUE_MAX: u64 = 512 << 10;

/// Where the registry listens, what it calls itself, and how much it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Consul's port, so that its clients find it.
    pub listen: SocketAddr,
    /// The address clients are told for services that name none.
    pub advertise: IpAddr,
    /// The node that services registered with the agent API belong to.
    pub node_name: String,
    /// The datacenter clients see; `?dc=` with any other is refused.
    pub datacenter: String,
    /// Requests in flight before new ones are shed; waiting clients do not count.
    pub in_flight_max: usize,
    /// Clients waiting for a change; the registry document scales out beyond 10,000 a node.
    pub watchers_max: usize,
    /// Service instances; the registry document's largest cluster holds 100,000.
    pub instances_max: usize,
    /// A key's value, at most Consul's 512KiB.
    #[serde(with = "size")]
    pub kv_value_max: u64,
    /// All keys with their values, and 128 bytes for each: they are held in memory.
    #[serde(with = "size")]
    pub kv_total_max: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8500)),
            advertise: Ipv4Addr::LOCALHOST.into(),
            node_name: "registry-1".into(),
            datacenter: "dc1".into(),
            in_flight_max: 1024,
            watchers_max: targets::WATCHERS_PER_NODE,
            instances_max: 100_000,
            kv_value_max: KV_VALUE_MAX,
            kv_total_max: 256 << 20,
        }
    }
}

impl Config {
    /// Everything wrong with it, each with advice; empty when it can be used.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let named = |name: &str| !name.is_empty() && name.len() <= NAME_MAX;
        let rules = [
            (
                self.listen.ip().is_loopback() || !self.advertise.is_loopback(),
                "registry.advertise: other machines can reach registry.listen but not this loopback address; \
                 use an address they can reach",
            ),
            (
                !self.advertise.is_unspecified(),
                "registry.advertise: 0.0.0.0 is nowhere; use an address clients can reach",
            ),
            (
                named(&self.node_name),
                "registry.node_name: use 1 to 255 bytes; clients look the node up by it",
            ),
            (named(&self.datacenter), "registry.datacenter: use 1 to 255 bytes, like \"dc1\""),
            (self.in_flight_max > 0, "registry.in_flight_max: use 1 or more; 0 sheds every request"),
            (self.watchers_max > 0, "registry.watchers_max: use 1 or more; with 0 nobody hears of changes"),
            (self.instances_max > 0, "registry.instances_max: use 1 or more; with 0 nothing can register"),
            (
                (1..=KV_VALUE_MAX).contains(&self.kv_value_max),
                "registry.kv_value_max: use 1B to 512KiB; longer values belong into another store",
            ),
            (
                self.kv_total_max >= self.kv_value_max,
                "registry.kv_total_max: use at least registry.kv_value_max, or the largest value never fits",
            ),
        ];
        rules.into_iter().filter(|(ok, _)| !ok).map(|(_, advice)| advice.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_used() {
        assert_eq!(Config::default().check(), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let bad = Config {
            listen: "0.0.0.0:8500".parse().unwrap(),
            node_name: String::new(),
            datacenter: "x".repeat(256),
            in_flight_max: 0,
            watchers_max: 0,
            instances_max: 0,
            kv_value_max: 1 << 20,
            kv_total_max: 1,
            ..Config::default()
        };
        let problems = bad.check();
        assert_eq!(problems.len(), 8, "{problems:#?}");
        assert!(problems.iter().all(|p| p.starts_with("registry.") && p.contains("use ")), "{problems:#?}");
    }
}
