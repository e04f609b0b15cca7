//! Whether to try again, when, and at whose expense.
//!
//! ## Why a budget
//!
//! Each document retries by itself: the feed 3 times, the balancer twice, the registry's client 3 times. On
//! top of each other that is 4 × 3 × 4 = 48 calls for one request, and all of them arrive when the callee is
//! failing. No limit on tries per request prevents that, for each request is within it. So one [`Budget`] per
//! callee lets retries be at most 20 % of the calls of the last 10 s, plus 10 a second so that a quiet client
//! can retry at all, plus 3. At 1,000 requests a second a dead callee then sees 1,210 calls a second, not
//! 4,000. Hedged requests ([`hedge`]) draw on the same budget: to the callee they are the same extra load.
//!
//! ## Why full jitter
//!
//! The documents add nothing, 10 % or ±20 %. A thousand clients cut off together come back within the same 20
//! % of the delay, that is together. Drawn from the whole of 0 to the delay they arrive evenly, and wait half
//! as long on average. The documents' own forms are kept for their `…_verbatim` presets.
//!
//! ## What is not retried
//!
//! What may have happened and must not happen twice (`idempotent_only`), what the class list leaves out,
//! what cannot be ready before the deadline, and what is a retry already, seen from above ([`Attempt`]).
//! And "too busy" ([`Outcome::Overloaded`](crate::Outcome::Overloaded)) never at the one who said so:
//! another callee may be asked, at double cost, and after the time it named if it named one.
//!
//! The loop is the caller's: [`Policy::retries_below`] says whether to retry at all, [`Policy::next_after`]
//! when, [`Budget::withdraw`] whether it may be afforded, and in any case a backend already tried is not
//! tried again.

mod attempt;
pub mod budget;
mod explain;
pub mod hedge;
mod policy;
mod presets;

pub use self::attempt::{Attempt, AttemptError, HEADER, amplification};
pub use self::budget::{Budget, BudgetPolicy, Core};
pub use self::policy::{ATTEMPTS_MAX, Backoff, COST, Class, Jitter, Next, Policy, Reason, Tried};
pub use self::presets::{PRESETS, preset};
