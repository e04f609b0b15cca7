//! Load shedding: with too much to do, do what matters.
//!
//! A service at its limit that treats everyone alike fails everyone alike: each request waits behind all
//! others, and most answers come when nobody wants them any more. The chat document (S0, Load Shedding
//! Strategy) gives up the least important first:
//!
//! | load | P0 messages | P1 presence | P2 typing | P3 search | P4 analytics |
//! |---|---|---|---|---|---|
//! | below 70 % | in | in | in | in | in |
//! | below 85 % | in | in | in | in | half |
//! | below 95 % | in | in | 250 ms late | out | out |
//! | 95 % and more | in | one in ten | out | out | out |
//!
//! That is [`Policy::s0_chat`], step by step. The steps have no memory and no dwell: they act on the load of this
//! instant, in both directions. What should change slowly and visibly (search switched off, with a banner) is
//! the [ladder](crate::ladder)'s.
//!
//! ## What load is
//!
//! The document divides by "current capacity" and does not say of what. Here it is the highest of three, each
//! 1.0 when there is no more: requests in flight over their limit, time in queues over 20 ms (WeChat's figure
//! for an overloaded service, measured there over years), and the processor. The first is known at each
//! request; the others are published now and then ([`Shedder::observe`]).
//!
//! ## Who is in the share that stays
//!
//! "Half of P4" can be every second request, or every request of half of the users. For analytics the first is
//! right: all series get thinner and none ends. For what people do it is wrong: an action of five requests
//! that each pass with 50 % succeeds with 3 %, so nearly everyone fails and retries. [`Choose::Cohort`] puts
//! users into 128 cohorts (Uber's number: steps of 0.8 %) by hash, drawn anew each hour so that it is not
//! always the same people.
//!
//! ## Reconnecting
//!
//! The document always lets reconnecting clients in, and asks last, when they have already been refused. Here
//! it is asked first. But "always" lets in 80,000 at once when a gateway dies, so they are smoothed: so many a
//! second, and each of the others is told its own moment to come back ([`Shedder::reconnect`]).

mod policy;
mod presets;
mod reconnect;
mod shell;

pub use self::policy::{COHORTS, Choose, Delay, Policy, STEPS_MAX, Shares, Step};
pub use self::presets::{PRESETS, preset};
pub use self::shell::{Core, Decision, Load, Shedder};
