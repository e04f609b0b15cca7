//! What happens to every request on the port, outermost first.
//!
//! 1. The port: limits on connections and headers, our own pages (`/-/ready` stays readable when everything
//!    else is shed), tokens for writes where the port is exposed, and admission: a shed request should
//!    cost nearly nothing. What is shed first is said by [`priority`].
//! 2. [`Redirects`](crate::redirect::Redirects): what memory can answer is answered here.
//! 3. The router below, for all that may wait.
//! 4. Innermost, next to the store it protects: places and a breaker per shard and direction ([`crate::guard`]).

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use http::Method;
use seawall_net::host::Host;
use seawall_net::layer::deadline::DeadlineLayer;
use seawall_net::layer::rate::RateLimitLayer;
use seawall_policy::priority::Priority;

use crate::api::{self, Api, problems};
use crate::config::Config;
use crate::redirect;
use crate::service::Service;

/// How much a request matters. A redirect has a person waiting who cannot do without; whoever makes a link can try
/// again; a list is for looking at.
pub(crate) fn priority(method: &Method, path: &str) -> Priority {
    match (path.strip_prefix("/api/"), method) {
        (None, _) => Priority::P0,
        (Some("v1/links"), &Method::GET | &Method::HEAD) => Priority::P3,
        (Some(_), _) => Priority::P1,
    }
}

/// The router with its layers.
pub(crate) fn router(service: &Arc<Service>, api: Api, config: &Config, host: &Host) -> Router {
    // Before the body is read: whoever makes too many links should cost us nothing more.
    let create = post(api::create).layer(RateLimitLayer::new("creates", &config.create_rate, host));
    let management = Router::new()
        .route("/api/v1/links", get(api::list).merge(create))
        .route("/api/v1/links/{code}", get(api::show).delete(api::delete))
        .with_state(Arc::new(api));
    let redirects = Router::new().route("/{code}", get(redirect::from_store)).with_state(service.clone());
    management
        .merge(redirects)
        .fallback(async || problems::no_page())
        .method_not_allowed_fallback(async || problems::wrong_method())
        // The client's own patience; nothing below works for a caller who has left.
        .layer(DeadlineLayer::new(host.clock.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_matter_most_and_lists_least() {
        for (method, path, priority) in [
            (Method::GET, "/aB7x3K", Priority::P0),
            (Method::HEAD, "/aB7x3K", Priority::P0),
            (Method::POST, "/api/v1/links", Priority::P1),
            (Method::DELETE, "/api/v1/links/aB7x3K", Priority::P1),
            (Method::GET, "/api/v1/links/aB7x3K", Priority::P1),
            (Method::GET, "/api/v1/links", Priority::P3),
        ] {
            assert_eq!(super::priority(&method, path), priority, "{method} {path}");
        }
    }
}
