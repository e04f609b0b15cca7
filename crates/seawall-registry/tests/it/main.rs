//! The registry over real sockets, spoken to in bytes.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bad_input;
mod blocking;
mod checks;
mod durable;
mod fuzz;
mod harness;
mod kv;
mod shapes;
