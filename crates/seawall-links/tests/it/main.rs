//! The system over real sockets, and its fast path without any.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bytes;
mod exchange;
mod limits;
mod links;
mod lives;
mod making;
mod odd_input;
mod store_trouble;
