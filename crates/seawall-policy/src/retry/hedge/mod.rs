//! Hedging: when an answer is late, ask somebody else as well and take the first.
//!
//! ## Why at the p95
//!
//! A page that asks 100 services waits for the slowest of them: if one call in a hundred takes a second, 63
//! pages in 100 take one. A second copy of each call would help and double the load. A copy only of those
//! that take longer than 95 in 100 do helps nearly as much and costs 5 % (Dean and Barroso, *The Tail at
//! Scale*, 2013). The p95 is measured, because a wait written into a file is wrong as soon as the callee
//! changes.
//!
//! ## Who pays
//!
//! To the callee a copy is the same extra load as a retry, so it comes out of the same
//! [`Budget`](super::Budget). That is also what keeps hedging from feeding an overload: when a callee slows
//! down, nearly every call passes the p95 of a minute ago, and without a budget nearly every call would be
//! copied, at the worst moment. A call that may not happen twice is not copied (`idempotent_only`).
//!
//! ```text
//! sent = 1, send the call
//! loop: wait for an answer, but at most hedge.wait(now, sent, idempotent)
//!       an answer: hedge.record(now, how long the call took in all), cancel the other copies, done
//!       none yet:  if budget.withdraw(now, COST) { send a copy to another callee, sent += 1 }
//! ```
//!
//! ## What is recorded
//!
//! How long the call took in all, from its first copy to its first answer, or its whole time-out when there
//! was none. A call that was copied then lies beyond the wait, as it would have without the copy, and one
//! call in 20 goes on being copied. Were it the time of the copy that answered, each hedge would put a fast
//! call in the place of a slow one, the p95 would sink, and more calls would be copied: in a test with
//! exponentially spread times that settles at one call in 10.
//!
//! No document has hedging. The numbers are the feed's schema (`after = "p95"`, `max = 1`) and our own.

mod core;
mod policy;
mod shell;

pub use self::core::Core;
pub use self::policy::{After, COPIES_MAX, ParseError, Policy};
pub use self::shell::Hedge;
