//! Degradation ladder: which features go first when not all can be kept, and when they come back.
//!
//! ```text
//!           `enter` holds, `dwell` has passed since it was last left, no `grace`
//! ┌───────┐ ───────────────────────────────────────────────────────────────────▶ ┌──────────────────┐
//! │  off  │                                                                      │ active: `effects`│
//! └───────┘ ◀─────────────────────────────────────────────────────────────────── └──────────────────┘
//!           `exit` holds and `enter` does not, `dwell` has passed since it was entered
//! ```
//! One such machine per *rung*. The chat document's tiers, the feed's levels, the balancer's table of
//! degraded behaviour and the registry client's fallbacks are four ladders of this one kind ([`preset`]).
//!
//! ## Rungs are independent
//!
//! The documents draw their levels as if each contained the one before. Their triggers do not: the feed's
//! graph can fail (level 3) while ranking is quick (level 1). So each rung stands for itself, the ladder's
//! level is that of the highest active one, and where two rungs set the same feature the higher one wins.
//!
//! ## Why entering and leaving differ
//!
//! A rung entered at 100 ms and left at 100 ms is entered and left by noise, all day; and it may be its own
//! noise, for degrading lowers the very signal that called for it. Three things keep it quiet, and
//! [`Policy::check`] insists on the first:
//! - a gap between the two thresholds (100 ms and 60 ms);
//! - `for`: a clause must hold without interruption for its time (10 s and 30 s);
//! - `dwell`: whatever the signals do, a rung changes at most once in this time, *in either direction*.
//!
//! That a rung just left is not entered again within its dwell is the debatable half: protection comes up to
//! a dwell late after a false all-clear. It is affordable because a ladder is the slow half of overload
//! control: breaker, bulkhead and shedder act within the same second. In return nobody sees a feature come and
//! go more often than once a dwell, whatever happens. Where a loss is hard (no backend left) the presets dwell
//! for 10 s only.
//!
//! ## What is not known changes nothing
//!
//! A signal may have no value: too few calls to judge, a checker that is down. Then no clause of it holds,
//! neither to enter nor to leave, and its time begins anew; an active rung stays, as the balancer document asks
//! of a dead health checker. The same goes for time in which nobody looked: between two steps more than
//! [`STEP_MAX`] apart (a paused process) only that much counts as observed.
//!
//! ## Pins
//!
//! An operator may pin a rung on or off, or the whole ladder at a level; a rung's own pin wins. Pins decide at
//! the next step and ignore dwell and grace. The conditions are judged all the while, so that a pin taken off
//! leaves the rung where it would have been without.
//!
//! ## What it does not do
//!
//! It measures nothing (that is [`signal`](crate::signal)) and changes no feature. Its owner steps it about
//! once a second, logs and exports each [`Transition`], and hands what [`Core::effect`] says to the features;
//! no request touches it.
//!
//! ```toml
//! [[ladder.feed.rung]]
//! level = 1
//! name = "ranking degraded"
//! enter = "p95(ranking) > 100ms for 10s or breaker(ranking) != closed"
//! exit = "p95(ranking) < 60ms for 30s"
//! dwell = "30s"
//! effects = ["ranking=light", "candidates=half"]
//! ```

mod check;
pub mod condition;
mod core;
mod explain;
mod policy;
mod presets;
mod watch;

pub use self::condition::Condition;
pub use self::core::{Core, Pin, STEP_MAX, Standing, Transition, UnknownRung};
pub use self::policy::{DWELL_MAX, DWELL_MIN, EFFECTS_MAX, Policy, RUNGS_MAX, Rung};
pub use self::presets::{PRESETS, preset};
