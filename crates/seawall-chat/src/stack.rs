//! What happens to every request on the port, outermost first.
//!
//! 1. The port: limits on connections and heads, our own pages (`/-/ready` stays readable when everything else is
//!    shed), and admission: a shed request should cost nearly nothing. What is shed first is said by `priority`.
//! 2. [`Door`]: who asks for a WebSocket leaves HTTP here and belongs to the gateway.
//! 3. The router below: the owner's pages for other processes, and REST, which limits each token.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use http::Method;
use seawall_net::exchange::{Exchange, Finish, Head, Next, Out, Step, Upstream};
use seawall_net::host::Host;
use seawall_net::tasks::Tasks;
use seawall_net::ws;
use seawall_policy::Mono;
use seawall_policy::priority::Priority;

use crate::api::{self, admin};
use crate::config::Config;
use crate::gateway::{Hub, Params};
use crate::owner::remote;
use crate::page;
use crate::search;
use crate::service::Service;

/// How much a request matters (S0's classes): messages and coming back first, looking things up last.
pub(crate) fn priority(method: &Method, path: &str) -> Priority {
    match *method {
        _ if path.ends_with("/search") => Priority::P3,
        // The gateway, and what one process asks another.
        _ if !path.starts_with("/api/") => Priority::P0,
        _ if path.ends_with("/typing") => Priority::P2,
        Method::GET | Method::HEAD => Priority::P1,
        _ => Priority::P0,
    }
}

/// Lets those who want the gateway through to it.
pub(crate) struct Door {
    hub: Arc<Hub>,
    tasks: Tasks,
}

impl Door {
    pub(crate) fn new(hub: Arc<Hub>, host: &Host) -> Door {
        Door { hub, tasks: host.tasks.clone() }
    }
}

/// Whether the gateway is at this path. Libraries append a slash of their own to what they are told, and `/g/…` is a
/// hint for balancers.
fn is_gateway(path: &str) -> bool {
    matches!(path, "/" | "//") || path.starts_with("/g/")
}

impl Exchange for Door {
    type Held = Infallible;

    fn priority(&self, head: &Head<'_>) -> Priority {
        priority(head.method, head.path)
    }

    fn on_head(&self, head: &Head<'_>, _: Mono, out: &mut Out) -> Next<Infallible> {
        if !is_gateway(head.path) || !ws::is_upgrade(head) {
            return Next::General;
        }
        if let Err(problem) = ws::accept(head, out) {
            return Next::Refuse(problem);
        }
        let params = Params::of(head.query);
        let (hub, tasks) = (self.hub.clone(), self.tasks.clone());
        Next::Upgrade(Box::new(move |upgraded| {
            tasks.connection("chat-gateway", hub.serve(upgraded, params));
        }))
    }

    fn on_upstream(&self, held: &mut Infallible, _: Upstream<'_>, _: Mono) -> Step {
        match *held {}
    }

    fn on_end(&self, held: Infallible, _: Finish, _: Mono) {
        match held {}
    }
}

/// The router with its layers.
pub(crate) fn router(service: &Service, config: &Config, listens: SocketAddr, host: &Host) -> Router {
    let (sessions, asked) = admin::Sessions::new();
    host.tasks.vital("chat-operator", answer(service.hub.clone(), asked));
    let parts = api::Parts {
        storage: service.storage.clone(),
        owner: service.owner.clone(),
        replica: service.replica.clone(),
        search: service.search.clone(),
        ladder: service.ladder.clone(),
        sessions: Some(sessions),
        gateway_url: config.gateway_url(listens),
        identify_max: config.identify_max,
        body_max: config.body_max,
        rates: config.rates.clone(),
        tokens: host.listeners.exposure().tokens.clone(),
    };
    // What one process asks another has patience of its own; a call of the API ends at its deadline by itself, with an
    // answer that client libraries understand.
    remote::routes(&service.owner)
        .merge(search::remote::routes(&service.search))
        .merge(page::router())
        .fallback_service(api::router(parts, host))
}

/// Answers the operator about sessions.
async fn answer(hub: Arc<Hub>, mut asked: tokio::sync::mpsc::Receiver<admin::Question>) {
    while let Some(question) = asked.recv().await {
        match question {
            // Whoever asked may have left.
            admin::Question::List(answer) => drop(answer.send(hub.sessions())),
            admin::Question::Kick { session, how, answer } => {
                let kicked = hub.kick(&session, how).await;
                answer.send(kicked).unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_matter_most_and_search_least() {
        for (method, path, priority) in [
            (Method::GET, "/", Priority::P0),
            (Method::POST, "/-/owner/submit", Priority::P0),
            (Method::POST, "/api/v10/channels/1/messages", Priority::P0),
            (Method::GET, "/api/v10/channels/1/messages", Priority::P1),
            (Method::POST, "/api/v10/channels/1/typing", Priority::P2),
            (Method::GET, "/api/v10/guilds/1/messages/search", Priority::P3),
        ] {
            assert_eq!(super::priority(&method, path), priority, "{method} {path}");
        }
    }

    #[test]
    fn the_gateway_is_where_libraries_look_for_it() {
        for path in ["/", "//", "/g/3", "/g/"] {
            assert!(is_gateway(path), "{path}");
        }
        for path in ["", "/g", "/api/v10/gateway", "/gateway", "///"] {
            assert!(!is_gateway(path), "{path}");
        }
    }
}
