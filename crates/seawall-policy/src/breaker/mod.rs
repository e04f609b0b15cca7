//! Circuit breaker: stop calling something that keeps failing, then test it gently.
//!
//! ```text
//!            a trip rule is met                    `open.for` has passed, someone asks
//! ┌────────┐ ──────────────────▶ ┌────────────────┐ ────────────────────▶ ┌───────────────┐
//! │ closed │                     │ open: all calls│                       │ half-open:    │
//! │ count  │                     │ refused at once│ ◀──────────────────── │ `admit` probes│
//! └────────┘                     └────────────────┘  any probe fails      └───────────────┘
//!      ▲                                                                          │
//!      └──────────────────────────────────────────────────────────────────────────┘
//!                               `close_after` probes succeeded
//! ```
//!
//! ## Why five ways to trip
//!
//! The chat and feed documents trip on a *count* (5 failures in 10 s); the balancer document trips on a
//! *ratio* (50 % of at least 20 requests). A count reacts at once when traffic is thin, and trips too easily
//! when it is heavy: 5 failures in 10 s are 0.05 % at 1,000 requests a second. A ratio is right at any rate
//! above its minimum, and blind below it: at one request a second, 20 never come together within 10 s.
//! *Consecutive* failures need neither: 5 in a row by chance, at a healthy 1 % of failures, happen once in
//! 10^10 calls. A policy lists as many rules as it wants, up to [`RULES_MAX`].
//!
//! None of these sees a callee that answers everything, late. At 100 calls a second, 20 ms each keep 2 callers
//! waiting; 2 s each keep 200, and not one has failed. So a *slow* rule asks for the share of calls that took
//! as long as it says. And what is known elsewhere need not be found out again by callers' failures: an
//! *external* rule lets a health check or an operator hold it open ([`Breaker::external`]).
//!
//! Every rule has a window. The link document's has none and never resets on success, so that the fifth error
//! in the life of the process would trip it; here it is five in a row within 60 s.
//!
//! ## What counts
//!
//! A failure is what `count` lists. What it leaves out, and what the caller gave up, is neither failure nor
//! success: no rule sees it, however long it took. A slow success is a success to every rule but the slow
//! ones, and a failure is slow only if it took that long: a refused connection is not.
//!
//! Rules are looked at when a failure comes, and the slow rules also when a slow success does. A success in
//! good time never trips it, also when it completes a rule's minimum: the next failure or slow call will.
//!
//! ## Why half-open is a reservation
//!
//! "Let a few through" written as a counter that is read and then incremented lets a herd through: all who
//! ask in the same instant read the same zero. A place is taken under the lock that also decides, and the
//! [`Permit`] is its receipt: `admit` places in all, given back only by an outcome that says nothing of the
//! callee, such as [`Outcome::Abandoned`](crate::Outcome::Abandoned). A permit also names the *generation*
//! (one per change of state) it was issued in: the success of a call begun before the trip says nothing about
//! recovery and is ignored.
//!
//! Where there is a slow rule, a slow probe counts as failed (resilience4j judges its probes by it too): what
//! was opened for being slow must not be closed by an answer that is.
//!
//! ## Hold the permit in a guard
//!
//! In async code any await may be the last. Whoever holds a permit keeps it in a value whose `Drop` reports
//! `Abandoned`; that gives a probe's place back. (`Permit` has no `Drop` of its own: it would have to hold
//! the breaker, and cost a reference count on every call.) Should one be lost all the same, the price is one
//! open time and not the callee: when all places have been out for `open.for`, they are written off and a new
//! round of probes begins.
//!
//! ## Why the open time grows
//!
//! A callee down for an hour is probed 120 times at a constant 30 s, each time with a user's request.
//! Doubling up to four times makes it 32. Repeated means: the breaker did not stay closed for as long as it
//! had been open. [`Policy::verbatim`] keeps the documents' constant time.
//!
//! ## What it does not do
//!
//! It never sleeps and never looks at a clock of its own: every method takes `now`, or a clock that it asks when
//! the moment decides something ([`Breaker::admit_by`]). It does not decide what to answer instead; that is the
//! caller's degradation tier.

mod core;
mod explain;
mod judge;
mod policy;
mod presets;
mod shell;
mod trip;
mod window;

pub use self::core::{Core, Event, Permit, RetryAt, State, Transition};
pub use self::policy::{FAILURES_MAX, HalfOpen, Open, PRESETS, Policy, RULES_MAX, preset};
pub use self::shell::Breaker;
pub use self::trip::{OUTCOMES_MAX, Trip};
