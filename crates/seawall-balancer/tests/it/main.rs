//! The balancer over real sockets, in front of backends that misbehave in every way a table can only name.

#![expect(clippy::unwrap_used, reason = "tests")]

mod admin;
mod backend;
mod client;
mod failover;
mod forward;
mod health;
mod rig;
