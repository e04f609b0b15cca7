//! The decisions every reliable service makes, as small pure state machines.
//!
//! Nothing here does I/O, looks at a clock, starts a thread, or draws unseeded randomness: time and luck
//! arrive as arguments, decisions leave as return values. That is what makes a week of outages a test of
//! milliseconds, and a trace replayable. Start reading at [`breaker`], which shows the shape the others
//! share: a `Core` that decides, and a `&self` shell of atomics where a decision lies on each request's path.
//!
//! | question | module |
//! |---|---|
//! | May I call this? | [`breaker`] |
//! | May I call again, when, and at whose expense? | [`retry`] |
//! | Is anyone still waiting for the answer? | [`deadline`] |
//! | May this one in as well? | [`inflight`], [`adaptive`], [`rate`], [`shed`], and all of them: [`admission`] |
//! | How much does it matter? | [`priority`] |
//! | What is given up when not all can be kept? | [`ladder`], by what [`signal`] and [`quantile`] say |
//! | Is it up? | [`probe`] |
//! | Is it still there? | [`lease`] |
//! | Where does this key live? | [`placement`] |
//! | When is it started again? | [`restart`] |
//! | Do these policies go together? | [`mod@file`] |
//! | What would this one have done? | [`replay`] |
//!
//! `examples/` has a breaker around a client, a shedder in an axum service, a ladder driving a feature, a replay.

pub mod adaptive;
pub mod admission;
pub mod breaker;
mod counter;
pub mod deadline;
pub mod duration;
pub mod file;
pub mod inflight;
pub mod ladder;
pub mod lease;
pub mod outcome;
pub mod placement;
pub mod priority;
pub mod probe;
pub mod quantile;
pub mod rate;
pub mod replay;
pub mod restart;
pub mod retry;
pub mod rng;
pub mod shed;
pub mod signal;
pub mod size;
mod sync;
pub mod time;

pub use outcome::Outcome;
pub use rng::Rng;
pub use time::{Clock, Mono, Wall};
