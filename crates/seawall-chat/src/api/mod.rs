//! REST: Discord's v10 calls under `/api/v10`, `/api/v9` and `/api`, and the operator's under `/api/admin`.
//!
//! Every call passes the same column (`Api::answer`): who calls, how often, then the handler, then the headers.
//! Handlers check the form of what they are sent and may read; whatever changes something goes to the owner, who
//! decides. Reads are decided here, by the same state the gateway follows.
//!
//! | file | calls |
//! |---|---|
//! | `meta` | where the gateway is, what the application is, lists that are always empty |
//! | `users` | oneself, others, one's guilds and direct messages |
//! | `guilds`, `members`, `roles` | a guild and who is in it |
//! | `channels`, `invites` | channels, overwrites, typing, ways in |
//! | `messages`, `reactions` | what is said |
//! | `search` | finding it again |
//! | [`admin`] | the operator's |

pub mod admin;
mod auth;
mod body;
mod call;
mod channels;
mod embeds;
mod errors;
mod form;
mod guilds;
mod invites;
mod members;
mod messages;
mod meta;
mod rate;
mod reactions;
mod roles;
mod search;
mod users;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::handler::Handler;
use axum::response::Response;
use http::HeaderMap;
use seawall_net::host::Host;
use seawall_net::layer;
use seawall_net::telemetry::Counter;
use seawall_policy::placement::hash;
use seawall_policy::{Clock, Mono};

pub use self::rate::Rates;

use self::auth::Tokens;
use self::call::{Call, Reply};
use self::rate::{Bucket, Limited, Limits, Told};
use crate::degrade::Ladder;
use crate::gateway::Replica;
use crate::owner::Client;
use crate::refusal::Refusal;
use crate::search::Search;
use crate::storage::Storage;

/// What the calls work with.
pub struct Parts {
    /// Reads.
    pub storage: Arc<Storage>,
    /// Writes.
    pub owner: Client,
    /// Guilds as the gateway follows them.
    pub replica: Arc<Replica>,
    /// Finds messages.
    pub search: Search,
    /// What is given up under load.
    pub ladder: Ladder,
    /// The gateway's sessions, for the operator; none where no gateway runs.
    pub sessions: Option<admin::Sessions>,
    /// Where clients find the gateway: `ws://host:port`, without a slash at the end.
    pub gateway_url: String,
    /// Sessions that may be opened within five seconds, as clients are told.
    pub identify_max: u32,
    /// Largest body, in bytes.
    pub body_max: usize,
    /// Limits of each token.
    pub rates: Rates,
    /// Any of these lets the operator's calls in from elsewhere.
    pub tokens: Arc<[String]>,
}

/// What every handler reaches.
pub(crate) struct Api {
    storage: Arc<Storage>,
    owner: Client,
    replica: Arc<Replica>,
    search: Search,
    ladder: Ladder,
    sessions: Option<admin::Sessions>,
    gateway_url: String,
    identify_max: u32,
    body_max: usize,
    operators: Arc<[String]>,
    clock: Arc<dyn Clock>,
    tokens: Tokens,
    limits: Limits,
    limited: Counter,
    keys: Keys,
}

/// All calls, ready to be served. Requests need [`ConnectInfo`] with their peer's address.
pub fn router(parts: Parts, host: &Host) -> Router {
    let api = Arc::new(Api {
        storage: parts.storage,
        owner: parts.owner,
        replica: parts.replica,
        search: parts.search,
        ladder: parts.ladder,
        sessions: parts.sessions,
        gateway_url: parts.gateway_url,
        identify_max: parts.identify_max,
        body_max: parts.body_max,
        operators: parts.tokens,
        clock: host.clock.clone(),
        tokens: Tokens::new(),
        limits: Limits::new(&parts.rates, host.seed),
        limited: host.metrics.counter("rest_rate_limited", "Calls refused because their token made too many"),
        keys: Keys::new(),
    });
    let calls = table().router;
    Router::new()
        .nest("/api/v10", calls.clone())
        .nest("/api/v9", calls.clone())
        .nest("/api", calls)
        .nest("/api/admin", admin::table(&api))
        .fallback(async || errors::response(&Refusal::NotFound))
        .method_not_allowed_fallback(async || errors::response(&Refusal::WrongMethod))
        .with_state(api)
}

/// Every call but the operator's, as method and path below the version.
#[must_use]
pub fn calls() -> Vec<(&'static str, &'static str)> {
    table().listed
}

fn table() -> Table {
    let mut table = Table { router: Router::new(), listed: Vec::new() };
    meta::add(&mut table);
    users::add(&mut table);
    guilds::add(&mut table);
    members::add(&mut table);
    roles::add(&mut table);
    channels::add(&mut table);
    invites::add(&mut table);
    messages::add(&mut table);
    reactions::add(&mut table);
    search::add(&mut table);
    table
}

/// The calls, by method and path. Axum refuses to start with two for the same.
pub(crate) struct Table {
    router: Router<Arc<Api>>,
    listed: Vec<(&'static str, &'static str)>,
}

impl Table {
    fn get<F: Run>(&mut self, path: &'static str, bucket: Bucket, run: F) {
        self.on("GET", path, axum::routing::get(Entry { bucket, run }));
    }
    fn post<F: Run>(&mut self, path: &'static str, bucket: Bucket, run: F) {
        self.on("POST", path, axum::routing::post(Entry { bucket, run }));
    }
    fn put<F: Run>(&mut self, path: &'static str, bucket: Bucket, run: F) {
        self.on("PUT", path, axum::routing::put(Entry { bucket, run }));
    }
    fn patch<F: Run>(&mut self, path: &'static str, bucket: Bucket, run: F) {
        self.on("PATCH", path, axum::routing::patch(Entry { bucket, run }));
    }
    fn delete<F: Run>(&mut self, path: &'static str, bucket: Bucket, run: F) {
        self.on("DELETE", path, axum::routing::delete(Entry { bucket, run }));
    }
    fn on(
        &mut self,
        method: &'static str,
        path: &'static str,
        handler: axum::routing::MethodRouter<Arc<Api>>,
    ) {
        self.router = std::mem::take(&mut self.router).route(path, handler);
        self.listed.push((method, path));
    }
}

type Answer = Result<Reply, Refusal>;
type Boxed<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

/// A handler: an `async fn(Call) -> Answer`.
trait Run: Clone + Send + Sync + 'static {
    fn run(&self, call: Call) -> Boxed<Answer>;
}

impl<F, Fut> Run for F
where
    F: Fn(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    fn run(&self, call: Call) -> Boxed<Answer> {
        Box::pin(self(call))
    }
}

/// A handler in its column.
#[derive(Clone)]
struct Entry<F> {
    bucket: Bucket,
    run: F,
}

impl<F: Run> Handler<(), Arc<Api>> for Entry<F> {
    type Future = Boxed<Response>;
    fn call(self, request: Request, api: Arc<Api>) -> Boxed<Response> {
        Box::pin(async move { api.answer(self.bucket, request, &self.run).await })
    }
}

impl Api {
    /// What every call passes, outermost first.
    async fn answer(self: Arc<Api>, bucket: Bucket, request: Request, run: &impl Run) -> Response {
        let now = self.clock.now();
        let (told, mut response) = match self.clone().pass(bucket, request, run, now).await {
            Ok((told, Ok(reply))) => (Some(told), reply.into()),
            Ok((told, Err(refusal))) => (Some(told), errors::response(&refusal)),
            Err(Stopped::Stranger(told)) => (Some(told), errors::response(&Refusal::Unauthorized)),
            Err(Stopped::Limited(limited)) => {
                self.limited.inc();
                (Some(limited.told), errors::limited(limited.retry_after, limited.scope))
            }
            Err(Stopped::Refused(refusal)) => (None, errors::response(&refusal)),
        };
        if let Some(told) = told {
            told.write(response.headers_mut(), self.clock.wall());
        }
        response
    }

    async fn pass(
        self: Arc<Api>,
        bucket: Bucket,
        request: Request,
        run: &impl Run,
        now: Mono,
    ) -> Result<(Told, Answer), Stopped> {
        let (mut head, body) = request.into_parts();
        let peer = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        // Before the body is read, and before anything is looked up for it.
        let found = self.tokens.caller(&head.headers, &self.storage, &*self.clock).await;
        let Some(caller) = found.map_err(|t| Stopped::Refused(errors::trouble(t)))? else {
            // Who keeps guessing costs a look-up each time.
            let told = self.stranger(peer, &head.headers, now).map_err(Stopped::Limited)?;
            return Err(Stopped::Stranger(told));
        };
        let call =
            Call::new(self.clone(), caller.clone(), &mut head, body).await.map_err(Stopped::Refused)?;
        let told = self.limits.admit(bucket, caller.key, call.major(), now).map_err(Stopped::Limited)?;
        let Some(deadline) = call.deadline() else { return Ok((told, run.run(call).await)) };
        // Nobody works for a caller who has left. What was submitted may still be done.
        let left = deadline.remaining(self.clock.now());
        let answer = tokio::time::timeout(left, run.run(call)).await;
        Ok((told, answer.unwrap_or(Err(Refusal::Unknown))))
    }

    /// Counts a call of somebody unknown.
    fn stranger(&self, peer: Option<SocketAddr>, headers: &HeaderMap, now: Mono) -> Result<Told, Limited> {
        let address = peer.and_then(|peer| layer::rate::client(peer.ip(), headers));
        self.limits.admit_stranger(address, now)
    }
}

/// Why a call did not reach its handler.
enum Stopped {
    Stranger(Told),
    Limited(Limited),
    Refused(Refusal),
}

/// Keys that make our own repetitions harmless: never the same twice, in this process or another.
struct Keys {
    process: u64,
    next: AtomicU64,
}

impl Keys {
    fn new() -> Keys {
        use std::hash::{BuildHasher, Hasher, RandomState};
        // The standard library seeds its tables from the operating system's randomness; this takes some of it.
        let random = || RandomState::new().build_hasher().finish();
        Keys { process: random(), next: AtomicU64::new(hash::of(&random().to_be_bytes())) }
    }

    fn next(&self) -> [u8; 16] {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.process.to_be_bytes());
        key[8..].copy_from_slice(&self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_repeat() {
        let (a, b) = (Keys::new(), Keys::new());
        assert_ne!(a.process, b.process);
        assert_ne!(a.next(), a.next());
    }

    #[test]
    fn every_call_is_there_once() {
        let mut calls = calls();
        let all = calls.len();
        calls.sort_unstable();
        calls.dedup();
        assert_eq!(calls.len(), all);
        assert!(all > 60, "{all}");
    }
}
