//! What happens to every call on the admin port, outermost first. (Requests on the data port pass none of
//! this: they are decided in `exchange` and never wait.)

use std::sync::Arc;

use axum::Router;
use seawall_net::layer::deadline::DeadlineLayer;
use seawall_policy::Clock;

use crate::api;
use crate::service::Service;

/// The admin port's router. Before it come, in the engine: limits, health pages, tokens and admission.
pub(crate) fn admin(service: Arc<Service>, clock: Arc<dyn Clock>) -> Router {
    api::router(service)
        // The caller's own patience: a page about a thousand backends is of no use to somebody who has left.
        .layer(DeadlineLayer::new(clock))
}
