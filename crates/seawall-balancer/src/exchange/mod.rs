//! What is decided about each request: where to, whether again, and what the client gets in the end.
//!
//! ```text
//! head ── route? ── pool? ── pick ──▶ try ──▶ answer below 500, or 5xx that no retry helps ──▶ client
//!           404      503               ▲ │
//!                                      │ └─ no answer, 502, 503, 504
//!                                      └─── may it happen twice? another backend? time? budget?   no: 502, 504
//! ```
//!
//! ## When a request is sent again
//!
//! On another backend, and only there. A GET, HEAD, OPTIONS, PUT or DELETE may happen twice by its nature,
//! a POST or PATCH when it names an `Idempotency-Key`. A request whose connection was never made cannot
//! have happened at all: that may be sent again whatever it is, and when every willing backend has been
//! tried, once more to anybody, after a pause. Elsewhere there is no pause, for the other backend has done
//! nothing that it should be spared.
//!
//! The balancer document retries by what went wrong (S3, Retry Strategy): a connection that was not made up to three
//! times at once, an answer that did not come once more with half as much time again, a 502, 503 or 504 twice. Each
//! has its policy and its count; the pool's budget is one for all.
//!
//! What is a retry already (`x-seawall-attempt` above 1) is not retried here: whoever is above does that. A backend
//! that knows better answers with `x-seawall-no-retry`.
//!
//! ## What is counted against a backend
//!
//! Every 5xx, every connection that could not be made or broke, every answer that was late. Not a 429: that
//! is mostly about one client, and must not open the breaker for all the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, StatusCode};
use seawall_net::exchange::{Exchange, Finish, Head, Next, Out, Step, Target, Upstream};
use seawall_net::problem::Problem;
use seawall_policy::breaker::State;
use seawall_policy::priority::Priority;
use seawall_policy::retry::Attempt;
use seawall_policy::{Mono, Outcome, Rng, retry};

use crate::access_log::{AccessLog, Asked, Ended};
use crate::backend::Try;
use crate::config::Config;
use crate::gate::{Closed, Places};
use crate::metrics::{Again, Answer, Metrics};
use crate::pick::{Ask, Choice, Standing, pick};
use crate::table::{Pool, Table};

/// An answer with this header is final.
const NO_RETRY: &str = "x-seawall-no-retry";
/// Makes a POST or PATCH one that may be sent again.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Seconds after which a client without a backend may try again; checks take as long.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Decides about the requests on the data port.
pub struct Balancer {
    table: ArcSwap<Table>,
    metrics: Metrics,
    log: Option<AccessLog>,
    seed: u64,
    drawn: AtomicU64,
}

/// What is remembered of a request while it is being forwarded.
pub struct Held {
    config: Arc<Config>,
    pool: Arc<Pool>,
    /// Given back when all is over.
    _places: Option<Places>,
    idempotent: bool,
    started: Mono,
    deadline: Mono,
    rng: Rng,
    /// Indices of the members it was sent to.
    tried: Vec<usize>,
    tries: u32,
    failures: Failures,
    /// Which try of its client's this request is.
    serving: Attempt,
    last_resort_used: bool,
    current: Option<Try>,
    /// What the answer now on its way says of its backend.
    judged: Outcome,
    /// Its backend wants no other one asked, also if it breaks off.
    is_final: bool,
    /// Set when the client gets an answer of ours.
    answered: Option<Answer>,
    /// How the last try that is over ended.
    last: Outcome,
    /// Of the backend's answer now on its way.
    status: Option<StatusCode>,
    /// For the access log, when there is one.
    asked: Option<Box<Asked>>,
}

/// A try that did not bring what was asked for.
struct Failure {
    outcome: Outcome,
    reason: Again,
    reached: bool,
    replayable: bool,
}

impl Balancer {
    /// Decides by `table` until it is given another one.
    #[must_use]
    pub fn new(table: Table, metrics: Metrics, seed: u64) -> Balancer {
        let table = ArcSwap::from_pointee(table);
        Balancer { table, metrics, log: None, seed, drawn: AtomicU64::new(0) }
    }

    /// The same, that leaves a line for each request when the configuration says so.
    #[must_use]
    pub fn logging_to(self, log: AccessLog) -> Balancer {
        Balancer { log: Some(log), ..self }
    }

    /// The table requests begin with now.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Requests begin with `table` from now on.
    pub fn replace(&self, table: Table) {
        self.table.store(Arc::new(table));
    }

    /// A generator of each request's own: no lock, and a seed still replays the run.
    fn rng(&self) -> Rng {
        let n = self.drawn.fetch_add(1, Ordering::Relaxed);
        Rng::new(Rng::new(self.seed ^ n).next_u64())
    }

    /// The next backend and the pause before it, if the request may and can be sent again.
    fn again(&self, held: &mut Held, failure: &Failure, now: Mono) -> Option<(Choice, Duration)> {
        held.failures.count(failure);
        if !failure.replayable {
            return None;
        }
        let harmless = held.idempotent || !failure.reached;
        let (elapsed, left) = (now.since(held.started), held.deadline.since(now));
        let config = held.config.clone();
        let (policy, outcome, failed) = held.failures.retried_by(failure, &config);
        if !policy.retries_below(held.serving) {
            return None;
        }
        let next = policy.next(failed, outcome, harmless, elapsed, left, &mut held.rng);
        let (least, cost) = match next {
            retry::Next::Stop(_) => return None,
            retry::Next::Again { after, cost } | retry::Next::Elsewhere { after, cost } => (after, cost),
        };
        let members = &held.pool.members;
        let standing = Standing::of(members, held.config.panic_threshold, now);
        let mut draw = |ask| pick(members, &standing, &held.tried, ask, &mut held.rng, now);
        let mut choice = draw(Ask::Again);
        if choice.is_none() && !failure.reached && !held.last_resort_used {
            held.last_resort_used = true;
            choice = draw(Ask::LastResort);
        }
        let choice = choice?;
        // Another backend has done nothing that it should be spared; the same one gets time to come back.
        let pause = match held.tried.contains(&choice.index) {
            false => Some(Duration::ZERO),
            true => {
                match config.retry.next(held.tries, Outcome::Failed, true, elapsed, left, &mut held.rng) {
                    retry::Next::Again { after, .. } | retry::Next::Elsewhere { after, .. } => {
                        Some(after.max(least))
                    }
                    retry::Next::Stop(_) => None,
                }
            }
        };
        let Some(pause) = pause else {
            choice.give_back(now);
            return None;
        };
        if !held.pool.budget.withdraw(now, cost) {
            self.metrics.budget_exhausted.inc();
            choice.give_back(now);
            return None;
        }
        self.metrics.retry(failure.reason);
        Some((choice, pause))
    }

    /// Ends the current try and says what that changed.
    fn settle(&self, held: &mut Held, outcome: Outcome, refused: bool, now: Mono) {
        let Some(current) = held.current.take() else { return };
        let backend = current.addr();
        held.last = outcome;
        self.metrics.tried(outcome);
        let ended = current.end(outcome, refused, now);
        if let Some(time) = ended.ejected {
            self.metrics.ejections.inc();
            tracing::warn!(%backend, ?time, "backend refused a connection, left alone for a while");
        }
        if let Some(change) = ended.breaker {
            if matches!(change.to, State::Open { .. }) {
                self.metrics.breaker_trips.inc();
            }
            let (from, to) = (change.from.as_str(), change.to.as_str());
            tracing::warn!(%backend, from, to, "breaker changed state");
        }
    }
}

/// How often a request failed, by what the balancer document retries differently.
#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    connect: u32,
    timeout: u32,
    other: u32,
}

impl Failures {
    fn count(&mut self, failure: &Failure) {
        match failure {
            Failure { reached: false, .. } => self.connect += 1,
            Failure { outcome: Outcome::Timeout, .. } => self.timeout += 1,
            _ => self.other += 1,
        }
    }

    /// The policy for this kind of failure, what the failure is to it, and how often it has happened.
    fn retried_by<'c>(self, failure: &Failure, config: &'c Config) -> (&'c retry::Policy, Outcome, u32) {
        match failure {
            // Whether nobody listened or nobody answered in time: no connection, and nothing was sent.
            Failure { reached: false, .. } => (&config.retry_connect, Outcome::Unreachable, self.connect),
            Failure { outcome: Outcome::Timeout, .. } => {
                (&config.retry_timeout, Outcome::Timeout, self.timeout)
            }
            Failure { outcome, .. } => (&config.retry, *outcome, self.other),
        }
    }
}

impl Held {
    fn send(&mut self, choice: Choice, now: Mono) -> Target {
        self.tries += 1;
        self.tried.push(choice.index);
        let backend = &self.pool.members[choice.index];
        self.current = Some(backend.begin(choice.permit, now));
        let config = &self.config;
        Target {
            addr: backend.addr(),
            connect: config.connect_timeout,
            respond: config.retry_timeout.timeout(1 + self.failures.timeout, config.try_timeout),
            // Also for what must not happen twice: while no connection was made, it has not happened once.
            keep_body: [&config.retry, &config.retry_connect, &config.retry_timeout]
                .iter()
                .any(|policy| policy.attempts > 1 && policy.retries_below(self.serving)),
        }
    }
}

impl Exchange for Balancer {
    type Held = Held;

    fn priority(&self, head: &Head<'_>) -> Priority {
        let table = self.table.load();
        table.route(head.host, head.path).map_or(Priority::P0, |routed| routed.gate.priority)
    }

    fn on_head(&self, head: &Head<'_>, now: Mono, _: &mut Out) -> Next<Held> {
        let table = self.table.load();
        if head.method == Method::TRACE {
            return self.refuse(Answer::Refused, AccessLog::asked(&table.config, head, None));
        }
        let Some(routed) = table.route(head.host, head.path) else {
            return self.refuse(Answer::NoRoute, AccessLog::asked(&table.config, head, None));
        };
        let asked = AccessLog::asked(&table.config, head, Some(routed));
        let places = match routed.gate.pass(head, now) {
            Ok(places) => places,
            Err(closed) => return self.shut(closed, asked, now),
        };
        let pool = &routed.pool;
        let mut rng = self.rng();
        let standing = Standing::of(&pool.members, table.config.panic_threshold, now);
        let choice = pick(&pool.members, &standing, &[], Ask::First, &mut rng, now);
        let Some(choice) = choice else { return self.refuse(Answer::NoBackends, asked) };
        pool.budget.deposit(now);
        let mut held = Held {
            config: table.config.clone(),
            pool: pool.clone(),
            _places: places,
            idempotent: is_idempotent(head.method, head.headers),
            started: now,
            deadline: head.deadline,
            rng,
            tried: Vec::with_capacity(1),
            tries: 0,
            failures: Failures::default(),
            serving: head.attempt,
            last_resort_used: false,
            current: None,
            judged: Outcome::Success,
            is_final: false,
            answered: None,
            last: Outcome::Abandoned,
            status: None,
            asked,
        };
        let target = held.send(choice, now);
        Next::Forward(target, held)
    }

    fn on_upstream(&self, held: &mut Held, event: Upstream<'_>, now: Mono) -> Step {
        match event {
            Upstream::Head { status, headers, replayable } => {
                if let Some(current) = &held.current {
                    self.metrics.upstream_seconds.observe(now.since(current.started()).as_secs_f64());
                }
                held.judged = judge(status, headers);
                held.is_final = headers.contains_key(NO_RETRY);
                let replayable = replayable && !held.is_final && matches!(status.as_u16(), 502..=504);
                let (outcome, reason) = (held.judged, Again::Status);
                let failure = Failure { outcome, reason, reached: true, replayable };
                match self.again(held, &failure, now) {
                    Some((choice, pause)) => {
                        self.settle(held, outcome, false, now);
                        Step::Retry(held.send(choice, now), pause)
                    }
                    // The backend's own words are better than ours. The try ends with the answer's last byte.
                    None => {
                        held.status = Some(status);
                        Step::Go
                    }
                }
            }
            Upstream::Failed { outcome, reached, replayable } => {
                let reason = match (outcome, reached) {
                    (_, false) => Again::Connect,
                    (Outcome::Timeout, true) => Again::Timeout,
                    (_, true) => Again::Broken,
                };
                held.status = None;
                let refused = !reached && outcome == Outcome::Unreachable;
                self.settle(held, outcome, refused, now);
                let replayable = replayable && !held.is_final;
                let failure = Failure { outcome, reason, reached, replayable };
                match self.again(held, &failure, now) {
                    Some((choice, pause)) => Step::Retry(held.send(choice, now), pause),
                    None => {
                        let answer = match outcome {
                            Outcome::Timeout => Answer::UpstreamTimeout,
                            _ => Answer::BadGateway,
                        };
                        held.answered = Some(answer);
                        Step::Give(problem(answer))
                    }
                }
            }
        }
    }

    fn on_end(&self, mut held: Held, how: Finish, now: Mono) {
        let (outcome, answer) = match how {
            Finish::Done(status) if status.is_server_error() => (held.judged, Answer::Failed),
            Finish::Done(_) => (held.judged, Answer::Passed),
            Finish::Broken => (Outcome::Unreachable, Answer::Broken),
            Finish::Abandoned => (Outcome::Abandoned, Answer::Abandoned),
        };
        self.settle(&mut held, outcome, false, now);
        self.metrics.request(held.answered.unwrap_or(answer));
        if let (Some(log), Some(asked)) = (&self.log, held.asked.take()) {
            let status = held.answered.map(|answer| problem(answer).status).or(held.status);
            let (outcome, took) = (Some(held.last), now.since(held.started));
            let backend = held.tried.last().map(|index| &*held.pool.members[*index]);
            log.ended(*asked, &Ended { status, outcome, tries: held.tries, took }, backend);
        }
    }
}

impl Balancer {
    fn refuse(&self, answer: Answer, asked: Option<Box<Asked>>) -> Next<Held> {
        self.refuse_with(answer, problem(answer), asked)
    }

    fn shut(&self, closed: Closed, asked: Option<Box<Asked>>, now: Mono) -> Next<Held> {
        let (answer, problem) = match closed {
            Closed::Limited(at) => {
                (Answer::RateLimited, problem(Answer::RateLimited).retry_in(at.since(now)))
            }
            Closed::Full => (Answer::RouteFull, problem(Answer::RouteFull).retry_after(RETRY_AFTER_SECONDS)),
        };
        self.refuse_with(answer, problem, asked)
    }

    fn refuse_with(&self, answer: Answer, problem: Problem, asked: Option<Box<Asked>>) -> Next<Held> {
        self.metrics.request(answer);
        if let (Some(log), Some(asked)) = (&self.log, asked) {
            let status = Some(problem.status);
            log.ended(*asked, &Ended { status, outcome: None, tries: 0, took: Duration::ZERO }, None);
        }
        Next::Refuse(problem)
    }
}

/// What an answer says of the backend that gave it.
fn judge(status: StatusCode, headers: &HeaderMap) -> Outcome {
    match status {
        StatusCode::SERVICE_UNAVAILABLE if headers.contains_key(RETRY_AFTER) => Outcome::Overloaded,
        _ if status.is_server_error() => Outcome::Failed,
        _ => Outcome::Success,
    }
}

/// Whether a request may happen twice.
pub(crate) fn is_idempotent(method: &Method, headers: &HeaderMap) -> bool {
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE => true,
        Method::POST | Method::PATCH => headers.get(IDEMPOTENCY_KEY).is_some_and(|key| !key.is_empty()),
        _ => false,
    }
}

/// The client's answer when no backend's will do.
fn problem(answer: Answer) -> Problem {
    let (status, code, message) = match answer {
        Answer::NoRoute => (StatusCode::NOT_FOUND, "no_route", "no route for this host and path"),
        Answer::Refused => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "TRACE is not forwarded"),
        Answer::NoBackends => {
            let message = "no backend is there to answer; try again shortly";
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_backends", message)
                .retry_after(RETRY_AFTER_SECONDS);
        }
        Answer::RateLimited => (
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "this client makes too many requests; try again after the time in Retry-After",
        ),
        Answer::RouteFull => (
            StatusCode::SERVICE_UNAVAILABLE,
            "route_full",
            "as many requests as this route may have are in flight; try again shortly",
        ),
        Answer::UpstreamTimeout => {
            (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", "no backend answered in time")
        }
        Answer::BadGateway | Answer::Passed | Answer::Failed | Answer::Broken | Answer::Abandoned => {
            (StatusCode::BAD_GATEWAY, "bad_gateway", "no backend could be reached, or it broke off")
        }
    };
    Problem::new(status, code, message)
}

#[cfg(test)]
mod tests;
