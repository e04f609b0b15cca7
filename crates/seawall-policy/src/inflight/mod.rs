//! How many may be inside at once.
//!
//! Little's law says what a limit means: in flight = rate × time, so 1,024 places at 10 ms each carry 100,000
//! requests a second, and when the callee slows to 1 s the same 1,024 places carry 1,000 and the rest hear
//! "no" at once instead of queueing for answers nobody awaits. There is no queue here: a queue in front of a
//! full house adds delay and no capacity.
//!
//! A place gives itself back when dropped, whatever ended the call: return, error, panic, or a future that
//! was never polled again. There are two kinds. [`Inside`] borrows the limit and costs an add and a subtract;
//! it is for a call that stays where it began. [`Place`] is owned, so it can travel with the request through
//! tasks and threads, and costs as much again, for it counts itself among the limit's owners.
//!
//! ## Bulkheads
//!
//! A ship is divided so that one leak fills one compartment. The balancer document (S3, Bulkhead Pattern)
//! gives each service its own threads and connections, so that service A, when it hangs, holds its own 100
//! threads and none of B's. We have no thread for each request; what counts is the calls that are under way,
//! and the number means the same. A [`Bulkhead`] is two limits: one for calls, one for connections.

mod limit;
mod policy;
mod presets;

pub(crate) use self::limit::Lent;
pub use self::limit::{Full, Inside, Limit, Place};
pub use self::policy::{Bulkhead, PLACES_MAX, Policy};
pub use self::presets::{PRESETS, preset};
