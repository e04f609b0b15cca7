//! What the admin port can tell: every pool and backend as it is now, every route, and why a request would go
//! where it goes. Reads what the data port decides by; changes nothing.

use std::sync::Arc;

use http::{HeaderMap, Method};
use seawall_cluster::Freshness;
use seawall_policy::{Clock, Mono};

use crate::api::{Backend, Backends, Candidate, Explained, Pool, Route, Routes};
use crate::backend;
use crate::exchange::{Balancer, is_idempotent};
use crate::pick::{Mode, Standing, why_not};
use crate::table::{self, Source, Table};

/// Answers questions about the balancer.
pub(crate) struct Service {
    balancer: Arc<Balancer>,
    clock: Arc<dyn Clock>,
}

impl Service {
    pub(crate) fn new(balancer: Arc<Balancer>, clock: Arc<dyn Clock>) -> Service {
        Service { balancer, clock }
    }

    pub(crate) fn backends(&self) -> Backends {
        let table = self.balancer.table();
        let now = self.clock.now();
        let pools =
            table.standings(now).map(|(pool, standing)| self.pool(&table, pool, &standing, now)).collect();
        Backends { pools }
    }

    pub(crate) fn routes(&self) -> Routes {
        Routes { routes: self.balancer.table().routes.iter().map(route).collect() }
    }

    /// The decision about a request's first try, in words.
    pub(crate) fn explain(&self, host: &str, path: &str, method: &Method) -> Explained {
        let table = self.balancer.table();
        let now = self.clock.now();
        let what = format!("{method} {host}{path}");
        if method == Method::TRACE {
            return Explained::refused(format!("{what} is answered 405: TRACE is not forwarded"));
        }
        let Some(routed) = table.route(host, path) else {
            let hosts = table.routes.len();
            return Explained::refused(format!(
                "{what} is answered 404 no_route: none of {hosts} routes is for it"
            ));
        };
        let pool = &routed.pool;
        let standing = Standing::of(&pool.members, table.config.panic_threshold, now);
        let mut candidates = Vec::new();
        let mut others = Vec::new();
        for (b, why_not) in pool.members.iter().zip(verdicts(pool, &standing, now)) {
            let address = b.addr().to_string();
            match why_not {
                None => candidates.push(address),
                Some(why_not) => others.push(Candidate { address, why_not }),
            }
        }
        let may = is_idempotent(method, &HeaderMap::new());
        let decision = format!(
            "{what} goes by route {}{} to pool {} ({}; {}): {}; {}",
            routed.host,
            routed.path_prefix,
            pool.source,
            freshness(pool.freshness),
            mode(&standing),
            whom(&candidates),
            again(&table, may),
        );
        Explained { decision, route: Some(route(routed)), candidates, others }
    }

    fn pool(&self, table: &Table, pool: &table::Pool, standing: &Standing, now: Mono) -> Pool {
        let wall = self.clock.wall();
        let backend = |(b, why_not): (&Arc<backend::Backend>, Option<String>)| {
            let until = b.ejected_until(now);
            let left_ms = until.map(|u| i64::try_from(u.since(now).as_millis()).unwrap_or(i64::MAX));
            Backend {
                address: b.addr(),
                asked: why_not.is_none(),
                why_not,
                health: b.health().as_str().to_owned(),
                last_fault: b.last_fault(),
                breaker: b.breaker_state(now).as_str().to_owned(),
                ejected_until_ms: left_ms.map(|left| wall.0.saturating_add(left)),
                in_flight: b.in_flight(),
                requests: b.requests(),
                failures: b.failures(),
            }
        };
        let routes = table.routes.iter().filter(|r| r.pool.source == pool.source);
        Pool {
            name: pool.source.to_string(),
            source: match pool.source {
                Source::Service(_) => "registry",
                Source::Static(_) => "config",
            }
            .to_owned(),
            freshness: freshness(pool.freshness).to_owned(),
            routes: routes.map(|r| format!("{}{}", r.host, r.path_prefix)).collect(),
            mode: standing.mode.as_str().to_owned(),
            backends: pool.members.iter().zip(verdicts(pool, standing, now)).map(backend).collect(),
        }
    }
}

/// Of each member, why it is not asked first; `None` when it is.
fn verdicts(pool: &table::Pool, standing: &Standing, now: Mono) -> Vec<Option<String>> {
    let mut verdicts: Vec<_> = pool.members.iter().map(|b| why_not(b, standing, now)).collect();
    if verdicts.iter().all(Option::is_some) {
        // With every breaker open, those that are healthy are asked all the same.
        for (b, why_not) in pool.members.iter().zip(&mut verdicts) {
            if standing.bars(b, now).is_none() {
                *why_not = None;
            }
        }
    }
    verdicts
}

fn route(routed: &table::Routed) -> Route {
    Route {
        host: routed.host.to_string(),
        path_prefix: routed.path_prefix.clone(),
        pool: routed.pool.source.to_string(),
    }
}

fn freshness(freshness: Freshness) -> &'static str {
    match freshness {
        Freshness::Fresh => "fresh",
        Freshness::Cached { .. } => "cached",
        Freshness::Static => "static",
        Freshness::Expired => "expired",
        Freshness::Unknown => "unknown",
    }
}

fn mode(standing: &Standing) -> String {
    let Standing { up, total, .. } = standing;
    match standing.mode {
        Mode::Empty => "no backends".to_owned(),
        Mode::Unchecked => format!("none of {total} checked yet, so all are asked"),
        Mode::Normal => format!("{up} of {total} up"),
        Mode::Panic => format!("only {up} of {total} up, so health is ignored"),
    }
}

fn whom(candidates: &[String]) -> String {
    match candidates {
        [] => "nobody can be asked, the answer is 503 no_backends".to_owned(),
        [only] => format!("{only} is asked"),
        several => format!("two of {} are drawn and the less busy one is asked", several.len()),
    }
}

fn again(table: &Table, may_happen_twice: bool) -> String {
    match (table.config.retry.attempts, may_happen_twice) {
        (..=1, _) => "no failure is tried again".to_owned(),
        (tries, true) => format!("a failure is tried again elsewhere, {tries} tries in all"),
        (tries, false) => format!(
            "only a failed connection is tried again, {tries} tries in all; with an Idempotency-Key any failure is"
        ),
    }
}

#[cfg(test)]
mod tests {
    use seawall_net::clock::SystemClock;
    use seawall_net::telemetry::Scope;
    use seawall_policy::{Outcome, probe};

    use super::*;
    use crate::config::{self, Config};
    use crate::metrics::Metrics;
    use crate::table::Known;

    #[test]
    fn with_every_breaker_open_the_pages_agree_that_all_are_asked() {
        let to = |host: &str, ports: &[u16]| config::Route {
            host: host.to_owned(),
            backends: ports.iter().map(|port| ([127, 0, 0, 1], *port).into()).collect(),
            ..config::Route::default()
        };
        let config = Config { route: vec![to("one.test", &[1, 2])], ..Config::default() };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let now = clock.now();
        let table = Known::new().table(&Arc::new(config), now);
        for b in &table.pools[0].members {
            b.checked(&probe::Policy::fast(), Ok(()));
            for _ in 0..20 {
                b.begin(b.admit(now), now).end(Outcome::Failed, false, now);
            }
        }
        let balancer = Arc::new(Balancer::new(table, Metrics::new(&Scope::new("balancer")), 7));
        let service = Service::new(balancer, clock);
        let shown = service.backends().pools.remove(0).backends;
        assert!(shown.iter().all(|b| b.breaker == "open" && b.asked && b.why_not.is_none()), "{shown:?}");
        assert_eq!(service.explain("one.test", "/", &Method::GET).candidates.len(), 2);
    }
}
