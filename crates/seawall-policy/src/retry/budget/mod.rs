//! What all callers of one callee together may spend on retries and hedges.
//!
//! ```text
//! what may be spent in a window = ratio × its calls + per_second × window + min_concurrency
//! ```
//!
//! ## One number
//!
//! It would be natural to count calls and retries apart and to compare the sums at every withdrawal. But
//! all that is asked is whether their difference suffices, and a difference is one number: the *balance*.
//! It begins at `per_second × window + min_concurrency`, each call adds `ratio`, each retry takes its cost,
//! and a retry goes if the balance is not below zero afterwards. A call and its retry together are two
//! atomic additions; two counts, added up under a lock, take twice as long.
//!
//! The unit is a millionth of a call, so that a ratio of up to six decimals is exact. One of more decimals is
//! rounded down, towards fewer retries: at most one call's worth in a million calls.
//!
//! ## The window
//!
//! Ten buckets, as in the breaker. When a bucket ends, the *net* it changed the balance by is remembered;
//! when it leaves the window, its net is taken back. Hence at any time
//!
//! ```text
//! balance = beginning + the nets of the buckets in the window
//!         = per_second × window + min_concurrency + ratio × calls - spent, of these buckets alone
//! ```
//!
//! and "the balance is not below zero" says exactly that what is spent stays within what is allowed, as if
//! every call and retry of the window had been kept and counted. Each net is the difference between two
//! readings of the balance at the bucket's two ends, so that nothing falls between buckets. A silence longer
//! than the window is ten buckets leaving at once: the balance is back at its beginning. The balance may be
//! below zero without anybody having overspent, when the calls that paid for retries leave before these do;
//! then there are no retries until they have left too.
//!
//! ## Among threads
//!
//! The first to come after a bucket's end *turns* it, under a lock. Whoever makes a call does not wait for
//! that; the call then counts on the side of the turn on which its addition happens to lie. Whoever wants to
//! retry does wait, lest it spend what has just left the window.
//!
//! A withdrawal takes first and looks afterwards, and a refused one has to give back. In between, the
//! balance is too low by its cost, and others may be refused who could have been served: with two who ask
//! at once for more than is left, possibly both. Were a bucket turned in between, that bucket's net would
//! be too low and the next one's too high, and from the first one's leaving to the second one's there would
//! be more in the balance than is true. So a refused withdrawal gives back under the lock, and only while
//! the bucket it took from is still the newest; if it is not, the cost counts as spent and comes back when
//! the bucket leaves. All races, then, end in fewer retries and none in more.
//!
//! That makes a refusal five times as dear as a grant, and refusals come in crowds: a dead callee's every
//! call asks for a retry. So the first refusal in a bucket leaves a note, and until the bucket ends the
//! others look before they take, which costs them one load.

mod core;
mod policy;
mod shell;

pub use self::core::Core;
pub use self::policy::BudgetPolicy;
pub use self::shell::Budget;
