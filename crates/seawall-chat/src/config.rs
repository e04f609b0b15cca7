//! The `[chat]` section of the configuration file.

use std::net::SocketAddr;
use std::time::Duration;

use seawall_policy::{duration, ladder, shed};
use serde::{Deserialize, Serialize};

use crate::api::Rates;

/// Most shards of one installation: as many files are held open by every process.
const SHARDS_MAX: u32 = 1024;
/// Largest body that may be configured.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Longest time a session may wait for its client: what is kept of the journal for it grows with it.
const SESSION_TTL_MAX: Duration = Duration::from_secs(24 * 3600);

/// The `[chat]` section. Every default is the chat document's number, or what Discord's documentation says, because
/// client libraries count on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where REST and gateway are served.
    pub listen: SocketAddr,
    /// Where clients are told to open their gateway, such as `wss://chat.example.org`; empty: the address in
    /// `listen`. With several processes this is the balancer's, so that a session outlives its gateway.
    pub gateway_url: String,
    /// Files the guilds are spread over; fixed when they are created.
    pub shards: u32,
    /// How often clients show that they are there; half as much again is waited before they are cut.
    #[serde(with = "duration")]
    pub heartbeat_interval: Duration,
    /// How long a session waits for its client to come back. The chat document says 5 minutes, and gives a region's
    /// failover the same 5: twice that, or the failover ends in everybody logging in at once.
    #[serde(with = "duration")]
    pub session_ttl: Duration,
    /// Sessions a user may open within 5 seconds; told to clients as `max_concurrency`.
    pub identify_max: u32,
    /// Whether sessions may ask for members, presences and message content, which Discord grants on request only.
    pub privileged_intents: bool,
    /// Connections at a time; a newcomer beyond waits to be accepted.
    pub connections_max: usize,
    /// Dispatches held in memory for sessions that are behind.
    pub ring_entries: usize,
    /// The same in bytes; what falls out is still in the journal.
    pub ring_bytes: usize,
    /// Guilds held in memory that no session here is in; those of sessions are always.
    pub guilds_idle_max: usize,
    /// How often a token may call.
    pub rates: Rates,
    /// Requests in flight before new ones are shed.
    pub in_flight_max: usize,
    /// Who is refused first when there is too much to do.
    pub shed: shed::Policy,
    /// Which features go first when load lasts, and when they come back.
    pub ladder: ladder::Policy,
    /// Largest request body accepted, in bytes.
    pub body_max: usize,
    /// How long any request may take, unless its client asks for less.
    #[serde(with = "duration")]
    pub deadline: Duration,
    /// Without a heartbeat for so long, the registry counts this process as gone.
    #[serde(with = "duration")]
    pub heartbeat_ttl: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 7020)),
            gateway_url: String::new(),
            shards: 1,
            heartbeat_interval: Duration::from_millis(41_250),
            session_ttl: Duration::from_secs(600),
            identify_max: 16,
            privileged_intents: true,
            connections_max: 100_000,
            ring_entries: 65_536,
            ring_bytes: 64 << 20,
            guilds_idle_max: 1000,
            rates: Rates::default(),
            in_flight_max: 1024,
            shed: shed::Policy::s0_chat(),
            ladder: ladder::Policy::s0_chat(),
            body_max: 1 << 20,
            deadline: Duration::from_secs(10),
            heartbeat_ttl: Duration::from_secs(10),
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
                wrong.push(format!("chat.{key}: {advice}"));
            }
        };
        unless(
            !self.listen.ip().is_unspecified(),
            "listen",
            "name the address that others reach this process by; it is what the registry and clients are told",
        );
        unless(
            is_gateway_url(&self.gateway_url),
            "gateway_url",
            "write ws:// or wss:// and a host without a slash at the end, or nothing for the address in listen",
        );
        unless(
            (1..=SHARDS_MAX).contains(&self.shards),
            "shards",
            "use 1 to 1024; each is a file, and one takes thousands of messages a second",
        );
        unless(
            (Duration::from_secs(1)..=Duration::from_secs(600)).contains(&self.heartbeat_interval),
            "heartbeat_interval",
            "use 1s to 10m, such as Discord's \"41s250ms\"",
        );
        unless(
            (Duration::from_secs(1)..=SESSION_TTL_MAX).contains(&self.session_ttl),
            "session_ttl",
            "use 1s to 24h, such as \"10m\"",
        );
        unless(self.identify_max >= 1, "identify_max", "use 1 or more; with 0 nobody can log in");
        unless(self.connections_max >= 1, "connections_max", "use 1 or more; with 0 nobody can connect");
        unless(
            self.ring_entries >= 1024,
            "ring_entries",
            "use 1024 or more; who falls behind by so many is cut off and resumes from disk",
        );
        unless(
            self.ring_bytes >= 1 << 20,
            "ring_bytes",
            "use 1048576 or more; one list of members alone can take that much",
        );
        unless(self.in_flight_max >= 1, "in_flight_max", "use 1 or more; 0 sheds every request");
        unless(
            (16 * 1024..=BODY_BYTES_MAX).contains(&self.body_max),
            "body_max",
            "use 16384 to 67108864; a message with embeds takes up to 16384 bytes",
        );
        unless(self.deadline >= Duration::from_millis(10), "deadline", "use 10ms or more, such as \"10s\"");
        unless(
            self.heartbeat_ttl >= Duration::from_secs(1),
            "heartbeat_ttl",
            "use 1s or more; shorter ones make a busy machine look dead",
        );
        wrong.extend(self.rates.check().into_iter().map(|advice| format!("chat.rates.{advice}")));
        wrong.extend(self.shed.check().into_iter().map(|advice| format!("chat.shed.{advice}")));
        wrong.extend(self.ladder.check().into_iter().map(|advice| format!("chat.ladder.{advice}")));
        wrong
    }

    /// Where clients are told to connect, once it is known where this process listens. Without a slash at the end:
    /// some libraries append their own.
    #[must_use]
    pub fn gateway_url(&self, listens: SocketAddr) -> String {
        if self.gateway_url.is_empty() { format!("ws://{listens}") } else { self.gateway_url.clone() }
    }
}

fn is_gateway_url(url: &str) -> bool {
    let rest = url.strip_prefix("wss://").or_else(|| url.strip_prefix("ws://"));
    url.is_empty()
        || rest.is_some_and(|rest| {
            !rest.is_empty()
                && !rest.ends_with('/')
                && rest.bytes().all(|b| b.is_ascii_graphic() && b != b'?')
        })
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
        let wrong = Config {
            listen: SocketAddr::from(([0, 0, 0, 0], 1)),
            gateway_url: "ws://chat.example.org/".to_owned(),
            shards: 0,
            heartbeat_interval: Duration::ZERO,
            session_ttl: Duration::ZERO,
            identify_max: 0,
            connections_max: 0,
            ring_entries: 0,
            ring_bytes: 0,
            in_flight_max: 0,
            body_max: 0,
            deadline: Duration::ZERO,
            heartbeat_ttl: Duration::ZERO,
            ..Config::default()
        };
        let said = wrong.check();
        assert_eq!(said.len(), 13, "{said:#?}");
        assert!(said.contains(&"chat.in_flight_max: use 1 or more; 0 sheds every request".to_owned()));
    }

    #[test]
    fn clients_are_sent_to_the_named_gateway_or_to_where_this_process_listens() {
        let at = SocketAddr::from(([127, 0, 0, 1], 9));
        assert_eq!(Config::default().gateway_url(at), "ws://127.0.0.1:9");
        let named = Config { gateway_url: "wss://chat.example.org/g/3".to_owned(), ..Config::default() };
        assert_eq!(named.check(), [] as [&str; 0]);
        assert_eq!(named.gateway_url(at), "wss://chat.example.org/g/3");
        for odd in ["chat.example.org", "http://a", "ws://", "ws://a?b", "ws://a b"] {
            assert!(!is_gateway_url(odd), "{odd}");
        }
    }
}
