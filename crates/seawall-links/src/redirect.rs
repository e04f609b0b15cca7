//! `GET /{code}`: answered on the spot from memory, or by the router after a look at the store. Both write the
//! same answer.
//!
//! 302 and not 301: a permanent redirect is kept by browsers for ever, so a deleted link would go on working
//! for whoever clicked it before, and no click after the first would be seen here.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use seawall_net::exchange::{Exchange, Finish, Head, Next, Out, Step, Upstream};
use seawall_net::problem::Problem;
use seawall_net::tasks::Tasks;
use seawall_policy::Mono;
use seawall_policy::priority::Priority;

use crate::api;
use crate::cache::Known;
use crate::metrics::Redirect;
use crate::name;
use crate::service::{self, Service};
use crate::stack;

/// Nobody keeps a redirect: its deletion must be seen at once.
const KEEP_NOTHING: &str = "private, max-age=0, no-store";
/// As long as we ourselves believe it.
const KEEP_BRIEFLY: &str = "max-age=10";
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// Decides about every request on the port: redirects it can answer, everything else goes to the router.
pub struct Redirects {
    service: Arc<Service>,
    /// Where to panic when asked to; only when that fault was planted.
    planted: Option<Tasks>,
}

impl Redirects {
    /// `planted`: panic in a vital task of these when asked for the code `panic-now`.
    #[must_use]
    pub fn new(service: Arc<Service>, planted: Option<Tasks>) -> Redirects {
        Redirects { service, planted }
    }
}

impl Exchange for Redirects {
    type Held = Infallible;

    fn priority(&self, head: &Head<'_>) -> Priority {
        stack::priority(head.method, head.path)
    }

    fn on_head(&self, head: &Head<'_>, now: Mono, out: &mut Out) -> Next<Infallible> {
        // HEAD is answered as GET, and is no visit.
        let is_visit = match *head.method {
            Method::GET => true,
            Method::HEAD => false,
            _ => return Next::General,
        };
        // Escapes and longer paths are the router's to read.
        let Some(code) = head.path.strip_prefix('/').filter(|c| name::is_possible(c)) else {
            return Next::General;
        };
        if let Some(tasks) = self.planted.as_ref().filter(|_| code == "panic-now") {
            tasks.vital("planted", async { panic!("planted") });
        }
        let Some(known) = self.service.recall(code, now) else { return Next::General };
        answer(&known, out);
        if is_visit {
            self.service.metrics.redirect(service::outcome(&known, Redirect::Hit));
        }
        Next::Replied
    }

    fn on_upstream(&self, held: &mut Infallible, _: Upstream<'_>, _: Mono) -> Step {
        match *held {}
    }

    fn on_end(&self, held: Infallible, _: Finish, _: Mono) {
        match held {}
    }
}

/// What the fast path could not answer.
pub(crate) async fn from_store(
    State(service): State<Arc<Service>>,
    Path(code): Path<String>,
    method: Method,
) -> Response {
    let count = |outcome| {
        if method == Method::GET {
            service.metrics.redirect(outcome);
        }
    };
    match service.resolve(&code).await {
        Ok((known, how)) => {
            count(how);
            let mut out = Out::default();
            answer(&known, &mut out);
            let mut response = Response::new(Body::from(out.body));
            *response.status_mut() = out.status;
            *response.headers_mut() = out.headers;
            response
        }
        Err(error) => {
            count(Redirect::Unavailable);
            api::problem(error).into_response()
        }
    }
}

/// The one answer there is to what is known.
fn answer(known: &Known, out: &mut Out) {
    out.header(ROBOTS, HeaderValue::from_static("noindex"));
    match known {
        // What is stored was parsed, so it is ASCII without spaces or controls.
        Known::Link(url) => match HeaderValue::from_maybe_shared(url.clone()) {
            Ok(location) => {
                out.status = StatusCode::FOUND;
                out.header(LOCATION, location);
                out.header(CACHE_CONTROL, HeaderValue::from_static(KEEP_NOTHING));
            }
            Err(_) => refuse(&api::problems::damaged(), KEEP_NOTHING, out),
        },
        Known::Deleted => refuse(&api::problems::deleted(), KEEP_NOTHING, out),
        Known::Unknown => refuse(&api::problems::unknown(), KEEP_BRIEFLY, out),
    }
}

fn refuse(problem: &Problem, keep: &'static str, out: &mut Out) {
    out.status = problem.status;
    out.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    out.header(CACHE_CONTROL, HeaderValue::from_static(keep));
    out.body = problem.body().into();
}
