//! The admin port's answers, and how they are asked for.
//!
//! | request | answer |
//! |---|---|
//! | `GET /backends` | every pool with its backends as they are now |
//! | `GET /routes` | every route, in the order they are looked through within a host |
//! | `GET /explain?host=H&path=P&method=M` | where such a request would go, and why |

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use http::{Method, StatusCode};
use seawall_net::problem::Problem;
use serde::{Deserialize, Serialize};

use crate::service::Service;

/// `GET /backends`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backends {
    /// In the order of the configuration.
    pub pools: Vec<Pool>,
}

/// Backends that can stand in for each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// The service's name, or the addresses.
    pub name: String,
    /// Who lists its backends: `registry` or `config`.
    pub source: String,
    /// How far to trust the list: `fresh`, `cached`, `static`, `expired` or
    /// `unknown`.
    pub freshness: String,
    /// The routes that lead here.
    pub routes: Vec<String>,
    /// `normal`; `panic`: too few are healthy, so health is ignored; `unchecked`: no check has ended yet;
    /// `empty`.
    pub mode: String,
    /// Its backends.
    pub backends: Vec<Backend>,
}

/// One backend. Its numbers count from its first appearance in this process, over all pools it is in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether a new request may be sent there.
    pub asked: bool,
    /// If not, the reason in words.
    pub why_not: Option<String>,
    /// What the checks say: `up`, `down` or `unchecked`.
    pub health: String,
    /// What the last check saw, unless it passed.
    pub last_fault: Option<String>,
    /// `closed`, `open` or `half-open`.
    pub breaker: String,
    /// After a refused connection: when it is asked again, in milliseconds since 1970.
    pub ejected_until_ms: Option<i64>,
    /// Tries under way.
    pub in_flight: usize,
    /// Tries begun.
    pub requests: u64,
    /// Tries that counted against it.
    pub failures: u64,
}

/// `GET /routes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Routes {
    /// Exact hosts, then wildcards, then the route for every host; the longest path prefix first.
    pub routes: Vec<Route>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// As configured, in lower case.
    pub host: String,
    /// Empty: all paths.
    pub path_prefix: String,
    /// The pool's name.
    pub pool: String,
}

/// `GET /explain`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// In one sentence.
    pub decision: String,
    /// The route taken, if there is one.
    pub route: Option<Route>,
    /// Backends one of which would be asked first.
    pub candidates: Vec<String>,
    /// The pool's other backends.
    pub others: Vec<Candidate>,
}

/// A backend that would not be asked first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Where it listens.
    pub address: String,
    /// In words.
    pub why_not: String,
}

impl Explained {
    pub(crate) fn refused(decision: String) -> Explained {
        Explained { decision, route: None, candidates: Vec::new(), others: Vec::new() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    host: String,
    #[serde(default = "root")]
    path: String,
    #[serde(default = "get_method")]
    method: String,
}

fn root() -> String {
    "/".to_owned()
}

fn get_method() -> String {
    Method::GET.to_string()
}

pub(crate) fn router(service: Arc<Service>) -> Router {
    let wrong_method =
        || async { Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "use GET") };
    Router::new()
        .route("/backends", get(backends))
        .route("/routes", get(routes))
        .route("/explain", get(explain))
        .method_not_allowed_fallback(wrong_method)
        .fallback(|| async {
            let message = "there are /backends, /routes, /explain, /metrics, /-/healthy and /-/ready";
            Problem::new(StatusCode::NOT_FOUND, "not_found", message)
        })
        .with_state(service)
}

async fn backends(State(service): State<Arc<Service>>) -> Json<Backends> {
    Json(service.backends())
}

async fn routes(State(service): State<Arc<Service>>) -> Json<Routes> {
    Json(service.routes())
}

async fn explain(
    State(service): State<Arc<Service>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Explained>, Problem> {
    let advice = "ask as /explain?host=links.localhost&path=/&method=GET";
    let bad = |why: String| Problem::new(StatusCode::BAD_REQUEST, "bad_query", format!("{why}; {advice}"));
    let Query(asked) = asked.map_err(|e| bad(e.body_text()))?;
    let method = asked.method.to_ascii_uppercase();
    let method = method.parse::<Method>().map_err(|_| bad(format!("{:?} is no method", asked.method)))?;
    if !asked.path.starts_with('/') {
        return Err(bad("the path begins with /".to_owned()));
    }
    Ok(Json(service.explain(&asked.host, &asked.path, &method)))
}
