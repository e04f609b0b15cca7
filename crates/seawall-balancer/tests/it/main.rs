//! The balancer over real sockets, in front of backends that misbehave in every way a table can only name.

#![expect(clippy::unwrap_used, reason = "tests")]

mod access_log;
mod admin;
mod backend;
mod client;
mod failover;
mod forward;
mod gates;
mod health;
mod rig;
