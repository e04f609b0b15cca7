//! Open-loop load: what is sent, and when, is decided before the first answer comes.
//!
//! ## Why not a loop that waits
//!
//! A client that sends its next request when the last is answered slows down together with the server. When the
//! server stalls for a second, such a client records *one* slow request where a thousand users would have waited;
//! its p99 stays fine (coordinated omission). Here a [`Schedule`] fixes every start in advance, and latency counts
//! from that **intended** start, whenever the request could really leave.
//!
//! ## What is bounded
//!
//! Requests in flight. An arrival that finds no free place is counted as *unsent*, at its intended second and
//! against the success ratio: to that user the service was not there. Nothing is dropped silently. How late the
//! generator itself was is reported as `lag`; when that is not small, the latencies above it say more about this
//! machine than about the server. (tokio's timer has a step of 1 ms, so a lag of up to 1 ms is normal.)

pub mod http;
mod record;
mod report;
mod schedule;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use seawall_policy::{Clock, Mono, Rng};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::{CallError, Client};
use record::Record;
pub use report::{BIN, Bin, Latency, OperationReport, Report, Second};
pub use schedule::{Arrival, Arrivals, PER_SECOND_MAX, Schedule, ScheduleError, Spacing, Step};

/// What a client does: some operations, each with a weight, and how to make one call.
pub trait Workload: Send + Sync + 'static {
    /// The operations, in an order that never changes; their weights need not add up to anything.
    fn operations(&self) -> Vec<Operation>;

    /// Makes one call of the operation with that index. The connection is the caller's to keep; the call brings
    /// its own luck, so that a seed replays the run.
    fn call<'a>(&'a self, operation: usize, call: Call, client: &'a mut Client) -> Calling<'a>;
}

/// A call on its way.
pub type Calling<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// One thing a client does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// As it stands in the report.
    pub name: &'static str,
    /// Share of all calls, relative to the others. Zero means never.
    pub weight: u32,
}

/// What a call is told.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which arrival of the schedule this is, from 0; never twice in one run.
    pub number: u64,
    /// Randomness for this call alone.
    pub luck: Rng,
}

/// How a call failed, as the client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// No connection.
    Connect,
    /// No answer before the deadline.
    Timeout,
    /// The connection broke half-way.
    Broken,
    /// An answer, but with this status.
    Status(u16),
    /// A well-formed answer that is wrong, and how.
    Wrong(&'static str),
}

impl Failure {
    /// The key it is counted under.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Failure::Connect => "connect".to_owned(),
            Failure::Timeout => "timeout".to_owned(),
            Failure::Broken => "broken".to_owned(),
            Failure::Status(code) => format!("status {code}"),
            Failure::Wrong(how) => (*how).to_owned(),
        }
    }
}

impl From<&CallError> for Failure {
    fn from(error: &CallError) -> Failure {
        match error {
            CallError::Connect { .. } => Failure::Connect,
            CallError::Timeout => Failure::Timeout,
            CallError::Broken(_) => Failure::Broken,
        }
    }
}

/// How much, how fast, to whom.
#[derive(Debug, Clone)]
pub struct Plan {
    /// When requests start.
    pub schedule: Schedule,
    /// Whom they go to.
    pub target: std::net::SocketAddr,
    /// Requests in flight, each with its own connection. An arrival beyond that is unsent.
    pub in_flight_max: usize,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
}

/// Ends a load before its schedule does.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// A stopper and what it stops. Dropping the stopper stops nothing.
    #[must_use]
    pub fn new() -> (Stopper, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Stop(Some(receiver)))
    }

    /// No further arrivals; those in flight are waited for.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// The other end of a [`Stopper`].
#[derive(Debug)]
pub struct Stop(Option<watch::Receiver<bool>>);

impl Stop {
    /// Runs until the schedule ends.
    #[must_use]
    pub fn never() -> Stop {
        Stop(None)
    }

    async fn asked(&mut self) {
        if let Some(receiver) = &mut self.0
            && receiver.wait_for(|stop| *stop).await.is_ok()
        {
            return;
        }
        // Nobody is left who could ask.
        self.0 = None;
        std::future::pending().await
    }
}

/// What one call hands back: its place, with the connection, and what became of it.
struct Done {
    client: Client,
    operation: usize,
    intended: Mono,
    outcome: Result<(), Failure>,
    ended: Mono,
}

/// Sends what the schedule says and returns when the last answer came or was given up.
pub async fn run(plan: &Plan, workload: Arc<dyn Workload>, clock: Arc<dyn Clock>, mut stop: Stop) -> Report {
    let operations = workload.operations();
    let began = clock.now();
    let mut record = Record::new(&operations, began);
    let mut places: Vec<Client> =
        (0..plan.in_flight_max).map(|_| Client::new(plan.target, plan.connect_timeout)).collect();
    let mut in_flight: JoinSet<Done> = JoinSet::new();
    let mut arrivals = plan.schedule.arrivals();
    let mut next = arrivals.next();

    while next.is_some() || !in_flight.is_empty() {
        let now = clock.now();
        while let Some(arrival) = next.take_if(|arrival| began + arrival.at <= now) {
            next = arrivals.next();
            let mut luck = Rng::new(arrival.luck);
            let operation = choose(&operations, &mut luck);
            let intended = began + arrival.at;
            let Some(mut client) = places.pop() else {
                record.unsent(operation, intended);
                continue;
            };
            record.sent(operation, now.since(intended));
            let (workload, clock) = (workload.clone(), clock.clone());
            in_flight.spawn(async move {
                let call = Call { number: arrival.number, luck };
                let outcome = workload.call(operation, call, &mut client).await;
                Done { client, operation, intended, outcome, ended: clock.now() }
            });
        }
        let wait = next.map(|arrival| (began + arrival.at).since(clock.now()));
        tokio::select! {
            Some(done) = in_flight.join_next() => match done {
                Ok(done) => {
                    record.done(done.operation, done.intended, done.ended, done.outcome);
                    places.push(done.client);
                }
                Err(error) => {
                    tracing::error!(%error, "a call of the workload panicked");
                    record.lost();
                    places.push(Client::new(plan.target, plan.connect_timeout));
                }
            },
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            () = stop.asked(), if next.is_some() => next = None,
        }
    }
    record.report(plan.schedule.seed(), clock.now())
}

/// An operation by weight; the first when all weights are zero.
fn choose(operations: &[Operation], luck: &mut Rng) -> usize {
    let mut left = luck.below(operations.iter().map(|o| u64::from(o.weight)).sum());
    operations
        .iter()
        .position(|operation| match left.checked_sub(u64::from(operation.weight)) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_chosen_by_weight() {
        let operations =
            [("a", 70), ("never", 0), ("b", 30)].map(|(name, weight)| Operation { name, weight });
        let mut luck = Rng::new(3);
        let mut seen = [0u32; 3];
        for _ in 0..10_000 {
            seen[choose(&operations, &mut luck)] += 1;
        }
        assert_eq!(seen[1], 0);
        assert!((6_800..7_200).contains(&seen[0]), "{seen:?}");
    }
}
