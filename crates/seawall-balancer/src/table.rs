//! Who is sent where: an immutable table, built from the configuration and the registry's answers, and
//! replaced as a whole. A request works with the table it began with.
//!
//! ## What wins
//!
//! An exact host over a wildcard, a longer wildcard over a shorter one, any of them over `*`. Within the
//! routes of that host the longest path prefix. There is no way back from a host to a less specific one:
//! whoever owns `api.example.org` decides alone what is found there.
//!
//! ## What survives
//!
//! [`Known`] outlives the tables. It keeps each backend's state by its address, each pool's budget by its
//! source, and the last list of each service: an empty list replaces it only when the registry itself just
//! said so, or when `fail-closed` dropped a list that grew too old.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use seawall_cluster::{Freshness, Snapshot};
use seawall_policy::retry::Budget;
use seawall_policy::{Mono, breaker};

use crate::backend::Backend;
use crate::config::{Config, Route};
use crate::gate::Gate;
use crate::pick::Standing;

/// The state of a backend that left is kept for so long: time enough to be restarted under the same address.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
/// Longest host name (RFC 1035).
const HOST_LEN_MAX: usize = 253;

/// Which hosts a route is for. Lower case, no port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// This name or address.
    Exact(String),
    /// Every name that ends so; begins with a dot.
    Below(String),
    /// Every host.
    Any,
}

impl HostPattern {
    /// Reads `links.localhost`, `*.example.org` or `*`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<HostPattern> {
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix('*') {
            Some("") => Some(HostPattern::Any),
            Some(rest) => is_name(rest.strip_prefix('.')?).then(|| HostPattern::Below(rest.to_owned())),
            None => {
                let bare = lower.trim_start_matches('[').trim_end_matches(']');
                let is_address = bare.parse::<IpAddr>().is_ok();
                (is_address || is_name(&lower)).then(|| HostPattern::Exact(bare.to_owned()))
            }
        }
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HostPattern::Exact(host) => f.write_str(host),
            HostPattern::Below(suffix) => write!(f, "*{suffix}"),
            HostPattern::Any => f.write_str("*"),
        }
    }
}

fn is_name(name: &str) -> bool {
    let is_label = |l: &str| {
        (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= HOST_LEN_MAX && name.split('.').all(is_label)
}

/// Where a pool's backends come from; also its identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A service in the registry.
    Service(String),
    /// The configuration.
    Static(Vec<SocketAddr>),
}

impl Source {
    fn of(route: &Route) -> Source {
        match &route.service {
            Some(service) => Source::Service(service.clone()),
            None => Source::Static(route.backends.clone()),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Service(name) => f.write_str(name),
            Source::Static(addrs) => {
                let addrs: Vec<String> = addrs.iter().map(SocketAddr::to_string).collect();
                f.write_str(&addrs.join(","))
            }
        }
    }
}

/// Backends that can stand in for each other.
pub struct Pool {
    /// Where they come from.
    pub source: Source,
    /// How far to trust the list.
    pub freshness: Freshness,
    /// All of them, in a fixed order.
    pub members: Vec<Arc<Backend>>,
    /// What requests to this pool may spend on retries together.
    pub budget: Arc<Budget>,
}

/// A route as it is looked up.
pub struct Routed {
    /// For which hosts.
    pub host: HostPattern,
    /// For which paths; all when empty.
    pub path_prefix: String,
    /// Past whom.
    pub gate: Arc<Gate>,
    /// To whom.
    pub pool: Arc<Pool>,
}

/// The table; see the module.
pub struct Table {
    /// The configuration it was built from.
    pub config: Arc<Config>,
    /// Every route, by host and the longest path prefix first.
    pub routes: Vec<Routed>,
    /// Every pool once.
    pub pools: Vec<Arc<Pool>>,
    exact: HashMap<String, std::ops::Range<usize>>,
    /// Longest first.
    below: Vec<(String, std::ops::Range<usize>)>,
    any: std::ops::Range<usize>,
}

impl Table {
    /// The route of a request, if there is one.
    #[must_use]
    pub fn route(&self, host: &str, path: &str) -> Option<&Routed> {
        let lower;
        let host = host.strip_suffix('.').unwrap_or(host);
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) => v6,
            None => host,
        };
        let host = if host.bytes().any(|b| b.is_ascii_uppercase()) {
            lower = host.to_ascii_lowercase();
            lower.as_str()
        } else {
            host
        };
        let range = match self.exact.get(host) {
            Some(range) => range,
            None => {
                let below = self.below.iter().find(|(suffix, _)| host.ends_with(suffix.as_str()));
                below.map_or(&self.any, |(_, range)| range)
            }
        };
        self.routes[range.clone()].iter().find(|r| begins(path, &r.path_prefix))
    }

    /// Each pool with its health at this moment.
    pub fn standings(&self, now: Mono) -> impl Iterator<Item = (&Arc<Pool>, Standing)> {
        let threshold = self.config.panic_threshold;
        self.pools.iter().map(move |p| (p, Standing::of(&p.members, threshold, now)))
    }
}

/// Whether `path` begins with the whole segments of `prefix`.
fn begins(path: &str, prefix: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || prefix.is_empty() || prefix.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

/// What outlives a table.
pub struct Known {
    backends: HashMap<SocketAddr, Remembered>,
    budgets: HashMap<Source, Arc<Budget>>,
    /// By host and path prefix.
    gates: HashMap<(HostPattern, String), Arc<Gate>>,
    seed: u64,
    services: HashMap<String, Listed>,
    last: Option<Arc<Config>>,
}

struct Remembered {
    backend: Arc<Backend>,
    /// Whether the newest table has it.
    is_listed: bool,
    /// The last moment at which a table had it.
    seen: Mono,
}

struct Listed {
    addrs: Vec<SocketAddr>,
    freshness: Freshness,
}

impl Known {
    /// Nothing known.
    #[must_use]
    pub fn new() -> Known {
        Known {
            backends: HashMap::new(),
            budgets: HashMap::new(),
            gates: HashMap::new(),
            seed: 0,
            services: HashMap::new(),
            last: None,
        }
    }

    /// With a seed that clients do not know, lest they choose addresses that share a rate limit.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Known {
        Known { seed, ..self }
    }

    /// Takes in what discovery says about a service. A list it cannot vouch for never empties a pool.
    pub fn told(&mut self, service: &str, snapshot: &Snapshot) {
        let mut addrs: Vec<SocketAddr> = snapshot.instances.iter().map(|i| i.addr).collect();
        addrs.sort_unstable();
        addrs.dedup();
        let freshness = snapshot.freshness;
        match self.services.get_mut(service) {
            Some(kept) if addrs.is_empty() && !kept.addrs.is_empty() && !may_empty(freshness) => {
                kept.freshness = freshness;
            }
            _ => {
                self.services.insert(service.to_owned(), Listed { addrs, freshness });
            }
        }
    }

    /// Builds the table for `config` and all that is known.
    pub fn table(&mut self, config: &Arc<Config>, now: Mono) -> Table {
        if self.last.as_ref().is_some_and(|last| last.probe != config.probe) {
            let policy = config.probe.policy();
            self.backends.values().for_each(|r| r.backend.set_probe(&policy));
        }
        // Whoever the table had until now was seen until now, however old that table is.
        for remembered in self.backends.values_mut().filter(|r| r.is_listed) {
            (remembered.is_listed, remembered.seen) = (false, now);
        }
        if self.last.as_ref().is_some_and(|last| last.retry_budget != config.retry_budget) {
            self.budgets.clear();
        }
        let breaker = Arc::new(config.breaker.clone());
        let mut pools: HashMap<Source, Arc<Pool>> = HashMap::new();
        let mut order = Vec::new();
        let mut routes = Vec::new();
        let mut gates = HashMap::new();
        for route in &config.route {
            // `check` refused the others before they came here.
            let Some(host) = HostPattern::parse(&route.host) else { continue };
            let source = Source::of(route);
            let pool = match pools.get(&source) {
                Some(pool) => pool.clone(),
                None => {
                    let pool = Arc::new(self.pool(source.clone(), config, &breaker, now));
                    order.push(pool.clone());
                    pools.insert(source, pool.clone());
                    pool
                }
            };
            let path_prefix = route.path_prefix.clone().unwrap_or_default();
            let at = (host.clone(), path_prefix.clone());
            let gate = match self.gates.get(&at).filter(|gate| gate.is_for(route)) {
                Some(gate) => gate.clone(),
                None => Arc::new(Gate::new(route, self.seed)),
            };
            gates.insert(at, gate.clone());
            routes.push(Routed { host, path_prefix, gate, pool });
        }
        self.gates = gates;
        self.forget(&pools, now);
        self.last = Some(config.clone());
        index(config.clone(), routes, order)
    }

    fn pool(&mut self, source: Source, config: &Config, breaker: &Arc<breaker::Policy>, now: Mono) -> Pool {
        let (addrs, freshness) = match &source {
            Source::Static(addrs) => (addrs.clone(), Freshness::Static),
            Source::Service(name) => match self.services.get(name) {
                Some(listed) => (listed.addrs.clone(), listed.freshness),
                None => (Vec::new(), Freshness::Unknown),
            },
        };
        let mut member = |addr: SocketAddr| {
            let remembered = self.backends.entry(addr).or_insert_with(|| Remembered {
                backend: Arc::new(Backend::new(addr, breaker)),
                is_listed: true,
                seen: now,
            });
            remembered.is_listed = true;
            remembered.backend.set_breaker(breaker);
            remembered.backend.clone()
        };
        let members = addrs.into_iter().map(&mut member).collect();
        let budget = self.budgets.entry(source.clone());
        let budget = budget.or_insert_with(|| Arc::new(Budget::new(config.retry_budget))).clone();
        Pool { source, freshness, members, budget }
    }

    fn forget(&mut self, pools: &HashMap<Source, Arc<Pool>>, now: Mono) {
        self.backends
            .retain(|_, r| r.is_listed || now.since(r.seen) < REMEMBERED_FOR || r.backend.in_flight() > 0);
        self.budgets.retain(|source, _| pools.contains_key(source));
        self.services.retain(|name, _| pools.contains_key(&Source::Service(name.clone())));
    }
}

/// Whether a list of nobody is meant so: the registry just said it, or the operator asked for it.
fn may_empty(freshness: Freshness) -> bool {
    match freshness {
        Freshness::Fresh | Freshness::Expired => true,
        Freshness::Cached { .. } | Freshness::Static | Freshness::Unknown => false,
    }
}

impl Default for Known {
    fn default() -> Known {
        Known::new()
    }
}

fn index(config: Arc<Config>, mut routes: Vec<Routed>, pools: Vec<Arc<Pool>>) -> Table {
    let by_length = |r: &Routed| std::cmp::Reverse(r.path_prefix.len());
    routes.sort_by(|a, b| a.host.cmp(&b.host).then_with(|| by_length(a).cmp(&by_length(b))));
    let (mut exact, mut below, mut any) = (HashMap::new(), Vec::new(), 0..0);
    let mut start = 0;
    for same in routes.chunk_by(|a, b| a.host == b.host) {
        let range = start..start + same.len();
        start = range.end;
        match &same[0].host {
            HostPattern::Exact(host) => drop(exact.insert(host.clone(), range)),
            HostPattern::Below(suffix) => below.push((suffix.clone(), range)),
            HostPattern::Any => any = range,
        }
    }
    below.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
    Table { config, routes, pools, exact, below, any }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use seawall_cluster::Instance;
    use seawall_policy::{Outcome, Wall};

    use super::*;

    const NOW: Mono = Mono(1_000_000_000);

    fn addr(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn to(host: &str, path_prefix: Option<&str>, port: u16) -> Route {
        let path_prefix = path_prefix.map(str::to_owned);
        Route { host: host.to_owned(), path_prefix, backends: vec![addr(port)], ..Route::default() }
    }

    fn config(route: Vec<Route>) -> Arc<Config> {
        let config = Config { route, ..Config::default() };
        assert_eq!(config.check(), [] as [&str; 0]);
        Arc::new(config)
    }

    fn links() -> Arc<Config> {
        Arc::new(Config::default())
    }

    fn snapshot(ports: &[u16], freshness: Freshness) -> Snapshot {
        let instance = |port: &u16| Instance {
            id: format!("links-{port}"),
            addr: addr(*port),
            weight: 1,
            tags: Vec::new(),
            meta: BTreeMap::new(),
        };
        Snapshot { instances: ports.iter().map(instance).collect(), freshness }
    }

    fn ports(table: &Table) -> Vec<u16> {
        table.pools[0].members.iter().map(|b| b.addr().port()).collect()
    }

    #[test]
    fn the_most_specific_route_wins() {
        let table = Known::new().table(
            &config(vec![
                to("*", None, 1),
                to("*.example.org", None, 2),
                to("*.eu.example.org", None, 3),
                to("api.example.org", Some("/v1"), 4),
                to("api.example.org", Some("/v1/users"), 5),
                to("api.example.org", Some("/static/"), 6),
                to("::1", None, 7),
                to("127.0.0.1", Some("/"), 8),
            ]),
            NOW,
        );
        for (host, path, port) in [
            ("api.example.org", "/v1", Some(4)),
            ("api.example.org", "/v1/", Some(4)),
            ("api.example.org", "/v1/users/7", Some(5)),
            // Whole segments.
            ("api.example.org", "/v1/usersonly", Some(4)),
            ("api.example.org", "/static/x", Some(6)),
            // An exact host decides alone, also that there is nothing.
            ("api.example.org", "/static", None),
            ("api.example.org", "/v10", None),
            ("API.Example.ORG", "/v1", Some(4)),
            ("api.example.org.", "/v1", Some(4)),
            ("www.example.org", "/", Some(2)),
            ("a.b.example.org", "/", Some(2)),
            ("www.eu.example.org", "/", Some(3)),
            // A wildcard is for names below it.
            ("eu.example.org", "/", Some(2)),
            ("example.org", "/", Some(1)),
            ("badexample.org", "/", Some(1)),
            ("", "/", Some(1)),
            ("[::1]", "/", Some(7)),
            ("127.0.0.1", "/x", Some(8)),
            ("other", "*", Some(1)),
        ] {
            let found = table.route(host, path).map(|r| r.pool.members[0].addr().port());
            assert_eq!(found, port, "{host}{path}");
        }
    }

    #[test]
    fn without_a_route_for_every_host_a_strange_one_finds_none() {
        let table = Known::new().table(&links(), NOW);
        assert!(table.route("links.localhost", "/x").is_some());
        assert!(table.route("localhost", "/x").is_none());
    }

    #[test]
    fn a_host_is_a_name_an_address_or_a_star() {
        for good in
            ["links.localhost", "LINKS", "*.a-b.example.org", "*", "[::1]", "::1", "10.0.0.1", "a_b.test"]
        {
            assert!(HostPattern::parse(good).is_some(), "{good}");
        }
        for bad in
            ["", "*.", "**", "*x.org", "a.*.org", "a b", "a..b", ".a", "a:80", "[::1]:80", "ü.org", "a/b"]
        {
            assert_eq!(HostPattern::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_backends_state_survives_a_new_table() {
        let mut known = Known::new();
        let first = known.table(&config(vec![to("a.test", None, 1)]), NOW);
        let held = first.pools[0].members[0].begin(None, NOW);
        let second = known.table(&config(vec![to("b.test", None, 1), to("c.test", None, 2)]), NOW);
        let backend = &second.route("b.test", "/").unwrap().pool.members[0];
        assert_eq!((backend.in_flight(), backend.requests()), (1, 1));
        held.end(Outcome::Failed, false, NOW);
        assert_eq!((backend.in_flight(), backend.failures()), (0, 1));
    }

    #[test]
    fn a_backend_that_left_is_remembered_for_a_minute() {
        let requests_after = |gone_for: u64| {
            let mut known = Known::new();
            known.told("links", &snapshot(&[1], Freshness::Fresh));
            drop(known.table(&links(), NOW).pools[0].members[0].begin(None, NOW));
            // It leaves after an hour in which nothing changed.
            let left = NOW + Duration::from_secs(3600);
            known.told("links", &snapshot(&[], Freshness::Fresh));
            assert!(ports(&known.table(&links(), left)).is_empty());
            let back = left + Duration::from_secs(gone_for);
            assert!(ports(&known.table(&links(), back)).is_empty());
            known.told("links", &snapshot(&[1], Freshness::Fresh));
            known.table(&links(), back).pools[0].members[0].requests()
        };
        assert_eq!(requests_after(59), 1);
        assert_eq!(requests_after(60), 0);
    }

    #[test]
    fn only_the_registry_or_fail_closed_can_empty_a_pool() {
        let mut known = Known::new();
        assert_eq!(known.table(&links(), NOW).pools[0].freshness, Freshness::Unknown);
        let cached = Freshness::Cached { since: Wall(0) };
        for (told, freshness, expected) in [
            (&[2, 1][..], Freshness::Static, &[1, 2][..]),
            (&[3], cached, &[3]),
            (&[], Freshness::Unknown, &[3]),
            (&[], cached, &[3]),
            (&[], Freshness::Static, &[3]),
            (&[4, 4], Freshness::Fresh, &[4]),
            (&[], Freshness::Fresh, &[]),
            (&[5], cached, &[5]),
            (&[], Freshness::Expired, &[]),
        ] {
            known.told("links", &snapshot(told, freshness));
            let table = known.table(&links(), NOW);
            assert_eq!((ports(&table).as_slice(), table.pools[0].freshness), (expected, freshness));
        }
    }

    #[test]
    fn routes_to_the_same_backends_share_a_pool_and_its_budget() {
        let mut known = Known::new();
        let two = config(vec![to("a.test", None, 1), to("b.test", None, 1)]);
        let table = known.table(&two, NOW);
        assert_eq!(table.pools.len(), 1);
        assert!(Arc::ptr_eq(&table.pools[0].budget, &known.table(&two, NOW).pools[0].budget));
    }
}
