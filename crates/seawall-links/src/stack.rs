//! What happens to every request on the port, outermost first.
//!
//! 1. The port: limits on connections and headers, our own pages (`/-/ready` stays readable when everything
//!    else is shed), tokens for writes where the port is exposed, and admission: a shed request should
//!    cost nearly nothing.
//! 2. [`Redirects`](crate::redirect::Redirects): what memory can answer is answered here.
//! 3. The router below, for all that may wait.
//! 4. Innermost, next to the store it protects: a breaker per shard and direction ([`crate::guard`]).

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use seawall_net::host::Host;
use seawall_net::layer::deadline::DeadlineLayer;

use crate::api::{self, Api, problems};
use crate::redirect;
use crate::service::Service;

/// The router with its layers.
pub(crate) fn router(service: &Arc<Service>, api: Api, host: &Host) -> Router {
    let management = Router::new()
        .route("/api/v1/links", get(api::list).post(api::create))
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
