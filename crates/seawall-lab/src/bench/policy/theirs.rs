//! The other side: the crates people use, each as its documentation shows it and at its best.
//!
//! They read a clock of their own whenever they want to know the time. Where one has a choice (failsafe's
//! two policies) both are shown. Thresholds are such that the stream's one failure in a thousand trips
//! nobody.

use std::future::{Future, Ready, poll_fn, ready};
use std::hint::black_box;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use failsafe::{CircuitBreaker as _, FailurePolicy, backoff, failure_policy};
use governor::{Quota, RateLimiter};
use recloser::Recloser;
use tokio::sync::Semaphore;
use tower::retry::budget::{Budget as _, TpsBudget};
use tower::{Layer as _, Service, service_fn};
use tower_resilience_circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer};

use super::burst::{LetIn, Subject};
use super::ours::{FOR_GOOD, PLACES};
use super::stream::Call;

/// Every breaker that lets a call through and hears what became of it.
pub(super) fn breakers_closed() -> Vec<Subject> {
    let wait = backoff::constant(FOR_GOOD);
    let rate = failure_policy::success_rate_over_time_window(0.5, 10, Duration::from_secs(10), wait.clone());
    vec![
        failsafe("failsafe, consecutive failures", failure_policy::consecutive_failures(5, wait), LetIn::All),
        failsafe("failsafe, success rate", rate, LetIn::All),
        recloser(LetIn::All),
        tower_resilience(LetIn::All),
    ]
}

/// Every breaker that refuses a call.
pub(super) fn breakers_open() -> Vec<Subject> {
    let first = failure_policy::consecutive_failures(1, backoff::constant(FOR_GOOD));
    vec![failsafe("failsafe", first, LetIn::None), recloser(LetIn::None), tower_resilience(LetIn::None)]
}

fn failsafe(
    name: &'static str,
    policy: impl FailurePolicy + Send + Sync + 'static,
    let_in: LetIn,
) -> Subject {
    let breaker = failsafe::Config::new().failure_policy(policy).build();
    if let_in == LetIn::None {
        let _ = breaker.call(|| FAILED);
    }
    Subject::new(name, let_in, move |walk| {
        walk.count(|call, _| {
            !matches!(black_box(breaker.call(|| outcome(call))), Err(failsafe::Error::Rejected))
        })
    })
}

fn recloser(let_in: LetIn) -> Subject {
    let breaker = Recloser::custom().error_rate(0.5).closed_len(100).open_wait(FOR_GOOD).build();
    if let_in == LetIn::None {
        // It begins to judge when its ring is full.
        (0..200).for_each(|_| _ = breaker.call(|| FAILED));
    }
    Subject::new("recloser", let_in, move |walk| {
        walk.count(|call, _| {
            !matches!(black_box(breaker.call(|| outcome(call))), Err(recloser::Error::Rejected))
        })
    })
}

/// A layer around a service that answers at once.
///
/// From one thread only: everyone waits in line for its lock, which is handed from waiter to waiter; two
/// busy threads took 20 µs a call, and an open one that finds the lock taken sleeps for a millisecond.
fn tower_resilience(let_in: LetIn) -> Subject {
    let layer = CircuitBreakerLayer::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_size(100)
        .wait_duration_in_open(FOR_GOOD)
        .build();
    let Ok(layer) = layer else { unreachable!("half of 100 calls is a threshold it knows") };
    let service = layer.layer(service_fn(answer));
    if let_in == LetIn::None {
        finish(service.force_open());
    }
    let service = Mutex::new(service);
    let subject = Subject::new("tower-resilience", let_in, move |walk| {
        let Ok(mut service) = service.lock() else { return 0 };
        let mut let_in = 0;
        for (call, _) in walk.calls() {
            let _ = finish(poll_fn(|context| service.poll_ready(context)));
            let answer = black_box(finish(service.call(call.failed)));
            let_in += usize::from(!matches!(answer, Err(CircuitBreakerError::OpenCircuit)));
        }
        let_in
    });
    subject.by_one_thread()
}

fn answer(failed: bool) -> Ready<Result<(), ()>> {
    ready(if failed { Err(()) } else { Ok(()) })
}

/// Polls to the end without a task, and so without a wake-up.
fn finish<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::hint::spin_loop(),
        }
    }
}

/// A limit that nobody reaches: one a nanosecond, its finest step.
pub(super) fn rate_allow() -> Vec<Subject> {
    vec![governor(Quota::per_second(NonZeroU32::MAX), LetIn::All)]
}

/// A limit that is used up: one an hour.
pub(super) fn rate_reject() -> Vec<Subject> {
    vec![governor(Quota::per_hour(NonZeroU32::MIN), LetIn::None)]
}

fn governor(quota: Quota, let_in: LetIn) -> Subject {
    let limiter = RateLimiter::direct(quota);
    let _ = limiter.check();
    Subject::new("governor", let_in, move |walk| walk.count(|_, _| black_box(limiter.check()).is_ok()))
}

/// A permit taken and dropped.
pub(super) fn bulkhead() -> Vec<Subject> {
    let semaphore = Semaphore::new(PLACES);
    vec![Subject::new("tokio Semaphore", LetIn::All, move |walk| {
        walk.count(|_, _| black_box(semaphore.try_acquire()).is_ok())
    })]
}

/// A deposit, and a withdrawal that always succeeds, as ours.
pub(super) fn budget() -> Vec<Subject> {
    let budget = TpsBudget::new(Duration::from_secs(10), 10, 1.0);
    vec![Subject::new("tower TpsBudget", LetIn::All, move |walk| {
        walk.count(|_, _| {
            budget.deposit();
            black_box(budget.withdraw())
        })
    })]
}

const FAILED: Result<(), ()> = Err(());

fn outcome(call: &Call) -> Result<(), ()> {
    if call.failed { FAILED } else { Ok(()) }
}
