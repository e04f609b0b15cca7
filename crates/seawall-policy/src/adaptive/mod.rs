//! A limit that finds itself, for callees whose capacity nobody knows.
//!
//! ## What there is to find
//!
//! A callee that can work on 40 calls at once, 10 ms each, does 4,000 a second. With 40 inside nobody waits;
//! with 400 inside it still does 4,000 a second, and each takes 100 ms. The right limit is that knee. Too low
//! wastes the callee, too high only fills its queue. Latency shows on which side of it we are: so long as it
//! is what it was when the callee was calm (the *baseline*), nobody queues.
//!
//! ## The rule, once a window (500 ms)
//!
//! | seen | the limit becomes |
//! |---|---|
//! | latency up to `tolerance` × baseline, and every place was taken at some moment | limit + √limit |
//! | latency above that | limit × (tolerance × baseline / latency), at least half |
//! | a share of the calls timed out or was told "too busy" | less that share, at least half |
//!
//! The first two are smoothed. √limit is Envoy's headroom: large limits grow in larger steps, and no step is
//! a leap. It is added only while no queue is seen. Envoy's gradient adds it always, and so settles where
//! shrinking and growing balance: at limit − √limit = tolerance × knee, which with its tolerance of 1.25 is
//! 37 % above a knee of 100 and 53 % above one of 20. Here it settles near tolerance × knee. A limit nobody
//! reaches does not grow: it would be a number without evidence, and the first burst would find out.
//!
//! ## Where the baseline comes from
//!
//! All turns on it, and it cannot be watched: under constant load every window has some queue. An average
//! over a long time (Netflix's Gradient2) follows a queue that stays, and the limit drifts upwards with it.
//! The fastest call (Vegas) is a cache hit. So it is *measured*, as Envoy does, with the limit held down for
//! one window every `probe_every`; to half, not to Envoy's 3, for at half of a limit near the knee nobody
//! queues, and it costs half the places for one window in sixty.
//!
//! A limit that has fallen by half on its own is such a measurement too, and the more urgent: is the callee
//! full, or only slower than it was? If latency fell with the limit, it was the queue, and the baseline
//! stands. If it stayed, the callee is like that now; its new latency is the baseline, and the limit grows
//! again. So a callee that takes 20 ms for what took 10 gets its places back within seconds.
//!
//! ## What it does not do
//!
//! Failures that are not about load (an error, a refused connection) say nothing about capacity and are left
//! to the [breaker](crate::breaker). Of several callers of one callee each takes the others' queue for
//! its own and gives way; but when one of them probes the others do not, and it measures calm with their load in it.
//! A known capacity is better than a found one: then use a [`Limit`](crate::inflight::Limit). And a callee
//! with a handful of servers is found less exactly (13 or 14 for 10), for there √limit is a large step.

mod core;
mod policy;
mod shell;
mod tally;

pub use self::core::{Core, Sample};
pub use self::policy::{Policy, SAMPLES_MAX};
pub use self::shell::Adaptive;
