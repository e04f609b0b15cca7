//! Rate limit: so many requests a second for each, and no more.
//!
//! ## Why a moment and not a bucket of tokens
//!
//! A token bucket holds a count and when it was last filled: two numbers that must change together, so a lock
//! or a timer that fills. The generic cell rate algorithm (GCRA) holds one: the *theoretical arrival time*
//! (TAT), when the next request would be due if all had come evenly spaced. Each request moves it on by one
//! interval (50 ms at 20 a second); it may run ahead of the clock by `burst` intervals, and whoever would
//! push it further is refused. It decides exactly as a bucket of `burst` tokens does, is one atomic word,
//! and a refusal is a load and a comparison: under attack the refused cost next to nothing.
//!
//! An interval is a whole number of nanoseconds, rounded up. So a limit never admits more than it says: at
//! most `burst + rate × t` in any time `t`. It may admit less, at the fastest rate by 0.1 %.
//!
//! ## Why one word makes a table simple
//!
//! [`Keyed`] limits each key (a client's address, a token) by itself, and nobody knows how many keys there
//! will be. A TAT that lies in the past says the same as none at all: the full burst is there. So a table of
//! fixed size can forget whoever has been quiet, without a timer and without loss: at 20 a second and a burst
//! of 40 that is everyone who has been silent for 2 s, and mostly far sooner.
//!
//! ## What it does not do
//!
//! It never waits: the refused hear when to come again ([`Exhausted`]) and decide themselves. It counts what
//! this process admits; three processes with the same policy admit three times as much.

mod core;
mod keyed;
mod limiter;
mod notation;
mod policy;
mod presets;

pub use self::core::{Core, Exhausted, Left};
pub use self::keyed::Keyed;
pub use self::limiter::Limiter;
pub use self::notation::{ParseError, Per, Rate};
pub use self::policy::{BURST_MAX, KEYS_MAX, Policy};
pub use self::presets::{PRESETS, preset};
