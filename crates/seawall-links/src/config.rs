//! The `[links]` section of the configuration file.

use std::net::SocketAddr;
use std::time::Duration;

use seawall_policy::{breaker, duration, rate, shed};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::safety;

/// Most shards of one installation: as many files are held open by every process.
const SHARDS_MAX: u32 = 1024;
/// Largest block that may be configured: a thousand crashes then waste less than one code in three thousand.
const BLOCK_SIZE_MAX: u32 = 1_000_000;
/// Longest URL that may be configured; browsers and proxies begin to cut at 8 KiB of head.
const URL_LEN_MAX: usize = 8192;
/// Largest body that may be configured.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The `[links]` section. Every default is the design document's number, or says why it is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where API and redirects are served.
    pub listen: SocketAddr,
    /// What short links begin with: the address people reach this service by.
    pub public_url: String,
    /// Domains that lead here, besides the one in `public_url`; links to them are refused.
    pub domains: Vec<String>,
    /// Files the links are spread over; fixed when they are created.
    pub shards: u32,
    /// Ids leased at a time: a crash skips at most so many, and one lease a second serves 10,000 creates.
    pub block_size: u32,
    /// Links kept in memory; at 150 bytes a link 100,000 are about 25 MB.
    pub cache_entries: usize,
    /// How long a link is served from memory without asking the store (S2's application tier). A backstop:
    /// changes arrive within milliseconds.
    #[serde(with = "duration")]
    pub cache_ttl: Duration,
    /// Longest URL accepted, in bytes.
    pub url_len_max: usize,
    /// Largest request body accepted, in bytes.
    pub body_max: usize,
    /// Requests in flight before new ones are shed.
    pub in_flight_max: usize,
    /// Calls of each kind to each shard of the store at a time. A quarter of `in_flight_max`: the rest of the
    /// places stays for what memory answers.
    pub store_in_flight_max: usize,
    /// How long any request may take, unless its client asks for less.
    #[serde(with = "duration")]
    pub deadline: Duration,
    /// Without a heartbeat for so long, the registry counts this process as gone.
    #[serde(with = "duration")]
    pub heartbeat_ttl: Duration,
    /// When a shard of the store that fails is left alone (S2: 5 in a row, 60 s).
    pub store_breaker: breaker::Policy,
    /// Who is refused first when there is too much to do: lists before creates before redirects.
    pub shed: shed::Policy,
    /// Links each client may make (S2: rate limits against abuse). This machine's own calls are not limited.
    pub create_rate: rate::Policy,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 7010)),
            public_url: "http://links.localhost:8080".to_owned(),
            domains: vec!["links.localhost".to_owned()],
            shards: 1,
            block_size: 10_000,
            cache_entries: 100_000,
            cache_ttl: Duration::from_secs(300),
            url_len_max: 2048,
            body_max: 64 * 1024,
            in_flight_max: 1024,
            store_in_flight_max: 256,
            deadline: Duration::from_secs(5),
            heartbeat_ttl: Duration::from_secs(10),
            store_breaker: breaker::Policy::s2_links(),
            shed: shed::Policy::s0_chat(),
            create_rate: rate::Policy::create_link(),
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
                wrong.push(format!("links.{key}: {advice}"));
            }
        };
        unless(
            self.public_host().is_some(),
            "public_url",
            "write a full address without path or query, such as \"http://links.localhost:8080\"",
        );
        unless(
            !self.listen.ip().is_unspecified(),
            "listen",
            "name the address that others reach this process by; it is what the registry tells them",
        );
        for domain in &self.domains {
            let advice = format!("{domain:?} is not a host name; write it like \"links.example.org\"");
            unless(safety::canonical(domain).is_some(), "domains", &advice);
        }
        unless(
            (1..=SHARDS_MAX).contains(&self.shards),
            "shards",
            "use 1 to 1024; each is a file, and one serves thousands of creates a second",
        );
        unless(
            (self.shards.max(1)..=BLOCK_SIZE_MAX).contains(&self.block_size),
            "block_size",
            "use at least links.shards and at most 1000000; a crash skips up to so many codes",
        );
        unless(
            self.cache_entries >= 1,
            "cache_entries",
            "use 1 or more; 0 would send every redirect to the store",
        );
        unless(!self.cache_ttl.is_zero(), "cache_ttl", "use more than 0, such as \"5m\"");
        unless(
            (64..=URL_LEN_MAX).contains(&self.url_len_max),
            "url_len_max",
            "use 64 to 8192; browsers and proxies cut longer ones",
        );
        unless(
            (self.url_len_max.saturating_mul(2)..=BODY_BYTES_MAX).contains(&self.body_max),
            "body_max",
            "use at least twice url_len_max, so that every accepted URL fits, and at most 1048576",
        );
        unless(self.in_flight_max >= 1, "in_flight_max", "use 1 or more; 0 sheds every request");
        unless(self.deadline >= Duration::from_millis(10), "deadline", "use 10ms or more, such as \"5s\"");
        unless(
            self.heartbeat_ttl >= Duration::from_secs(1),
            "heartbeat_ttl",
            "use 1s or more; shorter ones make a busy machine look dead",
        );
        unless(self.store_in_flight_max >= 1, "store_in_flight_max", "use 1 or more; 0 never asks the store");
        let policies = [
            ("store_breaker", self.store_breaker.check()),
            ("shed", self.shed.check()),
            ("create_rate", self.create_rate.check()),
        ];
        for (key, problems) in policies {
            wrong.extend(problems.into_iter().map(|advice| format!("links.{key}.{advice}")));
        }
        wrong
    }

    /// The host in `public_url`; `None` when that is not an address to put a code behind.
    pub(crate) fn public_host(&self) -> Option<String> {
        let url = Url::parse(&self.public_url).ok()?;
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        is_plain.then(|| url.host_str().map(str::to_owned)).flatten()
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
        let wrong = Config {
            public_url: "links.localhost".to_owned(),
            domains: vec!["a b".to_owned()],
            shards: 0,
            block_size: 0,
            cache_entries: 0,
            cache_ttl: Duration::ZERO,
            url_len_max: 1,
            body_max: 1,
            in_flight_max: 0,
            deadline: Duration::ZERO,
            heartbeat_ttl: Duration::ZERO,
            ..Config::default()
        };
        let said = wrong.check();
        assert_eq!(said.len(), 11, "{said:#?}");
        assert!(said.contains(&"links.in_flight_max: use 1 or more; 0 sheds every request".to_owned()));
    }

    #[test]
    fn a_public_url_is_an_origin() {
        let host = |url: &str| Config { public_url: url.to_owned(), ..Config::default() }.public_host();
        assert_eq!(host("https://s.example/").as_deref(), Some("s.example"));
        for odd in ["https://s.example/x", "https://s.example/?a", "ftp://s.example", "s.example", ""] {
            assert_eq!(host(odd), None, "{odd}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = serde_json::from_str::<Config>(r#"{"cache_entires": 5}"#).unwrap_err().to_string();
        assert!(error.contains("cache_entires"), "{error}");
    }
}
