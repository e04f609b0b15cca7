//! The `[balancer]` section of the configuration file.
//!
//! Routes, pools, time-outs, retry, probes, breakers and the access log change while the balancer runs; `listen`,
//! `admin.listen`, `in_flight_max` and `deadline` belong to the sockets and hold from one start to the next.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use seawall_policy::priority::Priority;
use seawall_policy::retry::Class;
use seawall_policy::{breaker, duration, inflight, probe, rate, retry, shed};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::table::HostPattern;

/// Routes of one balancer; all of them are looked at when a table is built, few of them for a request.
const ROUTES_MAX: usize = 10_000;
/// Backends of one static route. Larger pools belong into a registry.
const BACKENDS_MAX: usize = 1_000;
/// Tries the engine makes for one request, whatever it is told.
const TRIES_MAX: u32 = 8;
/// Longest service name; as long as a DNS label may be, since the registry answers DNS as well.
const SERVICE_LEN_MAX: usize = 63;

/// The `[balancer]` section. Every default is the balancer document's number, or says why it is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where traffic arrives.
    pub listen: SocketAddr,
    /// Requests in flight before new ones are shed. Twice a system's own limit, since one waits here for as
    /// long as it does there.
    pub in_flight_max: usize,
    /// Who is refused first when there is too much to do: those whose route, or who themselves, say they matter
    /// less.
    pub shed: shed::Policy,
    /// How long any request may take, all tries included, unless its client asks for less.
    #[serde(with = "duration")]
    pub deadline: Duration,
    /// Time to connect to a backend. Within one machine room a second connection attempt of the kernel's,
    /// after 1 s, means that the first was lost.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// Time until the head of a backend's answer, connecting included: three of them fit into the deadline.
    #[serde(with = "duration")]
    pub try_timeout: Duration,
    /// When fewer than this share of a pool is usable, health is ignored and every backend is asked; 0 never
    /// does (0.5 as in Envoy: below it the survivors would be overrun).
    pub panic_threshold: f64,
    /// The port that explains.
    pub admin: Admin,
    /// Where a line is left for each request.
    pub access_log: AccessLog,
    /// When a request is sent to another backend: after an answer of 502, 503 or 504, or one that broke off.
    pub retry: retry::Policy,
    /// The same when no connection was made.
    pub retry_connect: retry::Policy,
    /// The same when no answer came in time.
    pub retry_timeout: retry::Policy,
    /// What all requests to one pool may spend on that together.
    pub retry_budget: retry::BudgetPolicy,
    /// How backends are checked.
    pub probe: Probe,
    /// When a backend that answers badly is left alone (S3: 50 % of at least 20 in 10 s, 30 s, 3 of 5).
    #[serde(deserialize_with = "over_s3")]
    pub breaker: breaker::Policy,
    /// Who is sent where.
    pub route: Vec<Route>,
}

/// The `[balancer.admin]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Where `/backends`, `/routes`, `/explain`, `/metrics` and the health pages are served.
    pub listen: SocketAddr,
}

/// The `[balancer.access_log]` section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLog {
    /// A file to append to, or `-` for standard output; empty writes none. Off by default: it says who asked for
    /// what, and that is the operator's to decide.
    pub path: PathBuf,
}

impl AccessLog {
    /// Whether requests are logged.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.path.as_os_str().is_empty()
    }
}

/// The `[balancer.probe]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Probe {
    /// What is checked.
    pub kind: ProbeKind,
    /// Asked for by `http` checks; 200 to 399 passes.
    pub path: String,
    /// From the start of one check to the start of the next, give or take a tenth.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// How long one check may take.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Passed checks in a row that bring a backend up.
    pub rise: u32,
    /// Failed checks in a row that take it down.
    pub fall: u32,
}

/// What a check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeKind {
    /// `GET path`, answered by 200 to 399.
    Http,
    /// A connection is accepted.
    Tcp,
}

/// One `[[balancer.route]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// `links.localhost`, `*.example.org` (every name below it) or `*` (everything else).
    pub host: String,
    /// Only paths that begin so, by whole segments: `/api` is `/api` and `/api/x`, not `/apix`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// A service in the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Or fixed addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<SocketAddr>,
    /// How much its requests matter, `p0` (never shed by load) to `p4`. A client can make its own matter less.
    #[serde(default = "most", skip_serializing_if = "is_most")]
    pub priority: Priority,
    /// How many requests and connections at once (S3: 100 and 500 for service A, 50 and 200 for B and C).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bulkhead: Option<inflight::Policy>,
    /// How many requests from each client; with `keys_max` 0, from all of them together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<rate::Policy>,
}

fn most() -> Priority {
    Priority::P0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks this way")]
fn is_most(priority: &Priority) -> bool {
    *priority == Priority::P0
}

impl Default for Route {
    /// Any host, and nobody there: to be filled in.
    fn default() -> Route {
        Route {
            host: "*".to_owned(),
            path_prefix: None,
            service: None,
            backends: Vec::new(),
            priority: Priority::P0,
            bulkhead: None,
            rate: None,
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            in_flight_max: 2048,
            shed: shed::Policy::s0_chat(),
            deadline: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(1),
            try_timeout: Duration::from_secs(3),
            panic_threshold: 0.5,
            admin: Admin::default(),
            access_log: AccessLog::default(),
            retry: retry::Policy {
                on: vec![Class::Failed, Class::Unreachable, Class::Overloaded],
                ..retry::Policy::s3_request()
            },
            retry_connect: retry::Policy::s3_connect(),
            retry_timeout: retry::Policy::s3_timeout(),
            retry_budget: retry::BudgetPolicy::default(),
            probe: Probe::default(),
            breaker: breaker::Policy::s3_balancer(),
            route: vec![Route {
                host: "links.localhost".to_owned(),
                service: Some("links".to_owned()),
                ..Route::default()
            }],
        }
    }
}

impl Default for Admin {
    fn default() -> Admin {
        Admin { listen: SocketAddr::from(([127, 0, 0, 1], 8081)) }
    }
}

impl Default for Probe {
    /// The fast profile: see [`crate::targets`] for what it gains and costs.
    fn default() -> Probe {
        Probe::with(probe::Policy::fast())
    }
}

impl Probe {
    /// The balancer document's profile: 5 s × 3, timeout 2 s.
    #[must_use]
    pub fn s3() -> Probe {
        Probe::with(probe::Policy::default())
    }

    fn with(policy: probe::Policy) -> Probe {
        let probe::Policy { interval, timeout, rise, fall } = policy;
        Probe { kind: ProbeKind::Http, path: "/-/ready".to_owned(), interval, timeout, rise, fall }
    }

    /// The numbers.
    #[must_use]
    pub fn policy(&self) -> probe::Policy {
        let Probe { interval, timeout, rise, fall, .. } = *self;
        probe::Policy { interval, timeout, rise, fall }
    }
}

impl Config {
    /// Everything wrong with the section, each with advice; empty when nothing is.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut unless = |ok: bool, advice: &str| {
            if !ok {
                wrong.push(format!("balancer.{advice}"));
            }
        };
        let (listen, admin) = (self.listen, self.admin.listen);
        unless(
            listen != admin || listen.port() == 0,
            "admin.listen: use another address than balancer.listen; traffic and explanations do not mix",
        );
        unless(self.in_flight_max >= 1, "in_flight_max: use 1 or more; 0 sheds every request");
        unless(self.deadline >= Duration::from_millis(10), "deadline: use 10ms or more, such as \"10s\"");
        unless(
            !self.connect_timeout.is_zero(),
            "connect_timeout: use 1s or so; with 0 no connection is made",
        );
        unless(
            self.try_timeout >= self.connect_timeout,
            "try_timeout: use at least balancer.connect_timeout; it includes connecting",
        );
        unless(
            self.try_timeout <= self.deadline,
            "try_timeout: use at most balancer.deadline, and less to leave time for another try",
        );
        unless(
            (0.0..=1.0).contains(&self.panic_threshold),
            "panic_threshold: use 0 (never) to 1, such as 0.5",
        );
        let retries =
            [&self.retry, &self.retry_connect, &self.retry_timeout].map(|policy| policy.attempts.max(1) - 1);
        unless(
            retries.iter().sum::<u32>() < TRIES_MAX,
            "retry.attempts: use so few that all retries together, with retry_connect and retry_timeout, are at most 7",
        );
        unless(
            self.probe.path.starts_with('/') && self.probe.path.bytes().all(|b| b.is_ascii_graphic()),
            "probe.path: begin with / and use no spaces, such as \"/-/ready\"",
        );
        let sections = [
            ("retry", self.retry.check()),
            ("retry_connect", self.retry_connect.check()),
            ("retry_timeout", self.retry_timeout.check()),
            ("retry_budget", self.retry_budget.check()),
            ("probe", self.probe.policy().check()),
            ("breaker", self.breaker.check()),
            ("shed", self.shed.check()),
        ];
        for (section, problems) in sections {
            wrong.extend(problems.into_iter().map(|advice| format!("balancer.{section}.{advice}")));
        }
        self.check_routes(&mut wrong);
        wrong
    }

    fn check_routes(&self, wrong: &mut Vec<String>) {
        if self.route.len() > ROUTES_MAX {
            wrong.push(format!("balancer.route: use at most {ROUTES_MAX}; there are {}", self.route.len()));
            return;
        }
        let mut seen = BTreeSet::new();
        for (i, route) in self.route.iter().enumerate() {
            let mut say = |advice: &str| wrong.push(format!("balancer.route[{i}].{advice}"));
            match HostPattern::parse(&route.host) {
                Some(host) => {
                    if !seen.insert((host, route.path_prefix.as_deref().unwrap_or(""))) {
                        say("host: the same host and path_prefix is routed above; only one can be meant");
                    }
                }
                None => say(&format!(
                    "host: {:?} is no host; write it like \"links.localhost\", \"*.example.org\" or \"*\", without port",
                    route.host
                )),
            }
            if route.path_prefix.as_ref().is_some_and(|p| !p.starts_with('/') || p.contains(['?', '#', ' ']))
            {
                say("path_prefix: begin with / and leave out the query, or leave the key out for all paths");
            }
            let bulkhead = route.bulkhead.as_ref().map(inflight::Policy::check).unwrap_or_default();
            bulkhead.iter().for_each(|advice| say(&format!("bulkhead.{advice}")));
            let rate = route.rate.as_ref().map(rate::Policy::check).unwrap_or_default();
            rate.iter().for_each(|advice| say(&format!("rate.{advice}")));
            match (&route.service, route.backends.as_slice()) {
                (Some(_), [_, ..]) => say("service: name a service or backends, not both"),
                (None, []) => say("service: name a service (service = \"links\") or backends"),
                (Some(service), []) if !is_service(service) => say(
                    "service: use letters, digits, '-', '_' and '.', at most 63; so the registry knows it",
                ),
                (Some(_), []) => {}
                (None, backends) => check_backends(backends, &mut say),
            }
        }
    }
}

fn check_backends(backends: &[SocketAddr], say: &mut impl FnMut(&str)) {
    if backends.len() > BACKENDS_MAX {
        say("backends: use at most 1000; put more into the registry and name the service");
    }
    if let Some(odd) = backends.iter().find(|b| b.port() == 0 || b.ip().is_unspecified()) {
        say(&format!("backends: {odd} cannot be connected to; name an address and a port"));
    }
    let distinct: BTreeSet<_> = backends.iter().collect();
    if distinct.len() < backends.len() {
        say("backends: an address stands there twice; once is enough");
    }
}

fn is_service(name: &str) -> bool {
    (1..=SERVICE_LEN_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// The policy's own defaults are another system's. What is written lies over this system's instead.
fn over_s3<'de, D: Deserializer<'de>>(written: D) -> Result<breaker::Policy, D::Error> {
    over(breaker::Policy::s3_balancer(), Value::deserialize(written)?).map_err(D::Error::custom)
}

fn over<T: Serialize + DeserializeOwned>(default: T, written: Value) -> Result<T, serde_json::Error> {
    let mut merged = serde_json::to_value(default)?;
    lay_over(&mut merged, written);
    serde_json::from_value(merged)
}

fn lay_over(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                lay_over(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_right_and_survives_being_written_down() {
        let default = Config::default();
        assert_eq!(default.check(), [] as [&str; 0]);
        let text = toml::to_string(&default).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), default, "{text}");
    }

    #[test]
    fn a_breaker_written_in_part_keeps_the_documents_other_numbers() {
        let config: Config = toml::from_str("[breaker]\nopen = { for = '5s' }\nhalf_open.admit = 7").unwrap();
        let s3 = breaker::Policy::s3_balancer();
        assert_eq!((config.breaker.open.for_, config.breaker.half_open.admit), (Duration::from_secs(5), 7));
        assert_eq!((&config.breaker.trip, config.breaker.half_open.close_after), (&s3.trip, 3));
        let error = toml::from_str::<Config>("[breaker]\nopn = {}").unwrap_err().to_string();
        assert!(error.contains("opn"), "{error}");
    }

    #[test]
    fn both_probe_profiles_can_be_used() {
        for probe in [Probe::default(), Probe::s3()] {
            assert_eq!(Config { probe, ..Config::default() }.check(), [] as [&str; 0]);
        }
    }

    #[test]
    fn everything_wrong_is_said_at_once_with_advice() {
        let text = r#"
            listen = "127.0.0.1:1"
            in_flight_max = 0
            deadline = "1ms"
            connect_timeout = "0s"
            panic_threshold = 1.5
            admin.listen = "127.0.0.1:1"
            retry = { attempts = 9, backoff.base = "0s" }
            retry_budget.ratio = 2.0
            probe = { path = "ready", fall = 0 }
            breaker.trip = []
            [[route]]
            host = "a b"
            service = "links"
            [[route]]
            host = "two.test"
            service = "links"
            backends = ["127.0.0.1:1"]
            [[route]]
            host = "TWO.test"
            [[route]]
            host = "*.test"
            path_prefix = "api"
            service = "Link Service"
            [[route]]
            host = "*"
            backends = ["127.0.0.1:0", "127.0.0.1:0"]
        "#;
        let wrong = toml::from_str::<Config>(text).unwrap().check();
        let about: Vec<&str> = wrong.iter().map(|w| w.split_once(": ").unwrap().0).collect();
        assert_eq!(
            about,
            [
                "balancer.admin.listen",
                "balancer.in_flight_max",
                "balancer.deadline",
                "balancer.connect_timeout",
                "balancer.try_timeout",
                "balancer.panic_threshold",
                "balancer.retry.attempts",
                "balancer.probe.path",
                "balancer.retry_budget.ratio",
                "balancer.probe.fall",
                "balancer.breaker.trip",
                "balancer.route[0].host",
                "balancer.route[1].service",
                "balancer.route[2].host",
                "balancer.route[2].service",
                "balancer.route[3].path_prefix",
                "balancer.route[3].service",
                "balancer.route[4].backends",
                "balancer.route[4].backends",
            ],
            "{wrong:#?}"
        );
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        for text in ["listn = '127.0.0.1:1'", "[probe]\nlistn = 1", "[[route]]\nhost = '*'\nlistn = 1"] {
            let error = toml::from_str::<Config>(text).unwrap_err().to_string();
            assert!(error.contains("listn"), "{error}");
        }
    }
}
