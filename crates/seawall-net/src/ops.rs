//! The pages every system serves about itself: `/-/healthy`, `/-/ready` and `/metrics`.

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::host::{Host, Life, Record, State};
use crate::problem::Problem;
use crate::tasks::Tasks;
use crate::telemetry::Scope;
use axum::response::IntoResponse;

/// What `/-/ready` says; read by `seawall status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ready {
    /// The system's name.
    pub system: String,
    /// Whether requests should be sent here.
    pub ready: bool,
    /// In words.
    pub state: String,
    /// Starts after the first, and why the last run ended.
    #[serde(flatten)]
    pub life: Record,
    /// Connection tasks that panicked since this start.
    pub connection_panics: u64,
    /// This build.
    pub version: String,
}

/// Serves a system's own pages.
#[derive(Clone)]
pub struct Ops {
    system: &'static str,
    state: watch::Receiver<State>,
    metrics: Scope,
    life: Life,
    tasks: Tasks,
}

impl Ops {
    /// The pages of `system`.
    #[must_use]
    pub fn new(system: &'static str, state: watch::Receiver<State>, host: &Host) -> Ops {
        Ops {
            system,
            state,
            metrics: host.metrics.clone(),
            life: host.life.clone(),
            tasks: host.tasks.clone(),
        }
    }

    /// The page at `path`, if it is one of ours.
    #[must_use]
    pub fn answer(&self, method: &Method, path: &str) -> Option<Response<Body>> {
        let page = match path {
            "/-/healthy" => plain(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".to_owned()),
            "/-/ready" => self.ready(),
            "/metrics" => plain(
                StatusCode::OK,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                self.metrics.encode(),
            ),
            _ => return None,
        };
        if method == Method::GET || method == Method::HEAD {
            return Some(page);
        }
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "use GET");
        Some(problem.into_response())
    }

    fn ready(&self) -> Response<Body> {
        let state = if self.tasks.is_stopping() {
            State::Draining { left: self.tasks.connections() }
        } else {
            self.state.borrow().clone()
        };
        let ready = Ready {
            system: self.system.to_owned(),
            ready: state.is_ready(),
            state: state.to_string(),
            life: self.life.record(),
            connection_panics: self.tasks.connection_panics(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let status = if ready.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        // Strings and numbers always serialise.
        plain(status, "application/json", serde_json::to_string(&ready).unwrap_or_default())
    }
}

fn plain(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = (status, body).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
