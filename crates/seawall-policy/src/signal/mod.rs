//! What a [`ladder`](crate::ladder) looks at: small estimators that know when they know nothing.
//!
//! | signal | value | unknown |
//! |---|---|---|
//! | [`Share`] | part of all: errors, cache hits | below a number of events in its window |
//! | [`Latency`] | a quantile of call times, in seconds | below a number of calls in its window |
//! | [`Rate`] | events a second | until a whole window has passed |
//! | [`Spike`] | the rate, as a multiple of what is usual at this hour | until three days are known |
//!
//! ## Why each has a minimum
//!
//! A share of few events is an accident: of 10 look-ups after a restart, 6 misses are "below 50 %", and at 1 %
//! of errors 1 call in 100 fails in any quiet second. So every estimator says `None` below its minimum, and a
//! ladder that hears `None` stays where it is.
//!
//! ## What they cost
//!
//! Nothing on a request's path. Requests raise counters that exist anyway; the loop that steps the ladder
//! hands over how far these have moved since its last round. Memory is fixed: ten buckets a window, whatever
//! the rate, so a window is exact to a tenth.

mod buckets;
mod latency;
mod presets;
mod rate;
mod share;
mod spike;

pub use self::latency::Latency;
pub use self::rate::Rate;
pub use self::share::Share;
pub use self::spike::{DAYS_KEPT, DAYS_MIN, HOURS, Hour, Spike};
