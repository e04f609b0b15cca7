//! Redis's protocol, both forms of it, so that any Redis client can talk to us.
//!
//! ```text
//! bytes ─ Decoder::take ─ Command ─ Commands::answer ─ Reply ─▶ bytes
//!                                        │ not from memory
//!                                        ▼
//!                          Commands::wait, wait_alone ─▶ bytes
//! ```
//!
//! [`decoder`] and [`encoder`] know no socket; `connection` pumps them, [`server`] accepts. What a command is
//! ([`command`]) is written down once, for the check of its arguments and for tools that ask.
//!
//! ## Why our own
//!
//! A cache is as fast as what stands before it. Redis needs 6 µs of processor for a GET, of which the kernel takes
//! more than four; to be as cheap, a command may cost two system calls and no allocation. So one read takes whatever
//! has arrived into a buffer of the thread's, arguments are looked at where they lie, all commands are answered into
//! one buffer, and one write sends it. A silent connection has no buffers at all.
//!
//! ## What is the same as in Redis
//!
//! What is malformed, in which words that is said, and after which the connection is closed: compared with a real
//! server case by case. Lengths are taken without looking at the two bytes that end an argument, lines end at a zero,
//! and a protocol error is the last thing that is answered, as there.
//!
//! ## What is absent
//!
//! No transactions, no subscriptions, no blocking commands, one database.

pub mod command;
mod connection;
pub mod decoder;
mod docs;
pub mod encoder;
mod inline;
pub mod number;
pub mod server;
mod session;
mod standard;
mod together;

pub use command::{Argument, Kind, NAME_MAX, Order, Spec, folded, is_word};
pub use decoder::{Command, Decoder, Fault, Taken};
pub use encoder::{Protocol, Reply};
pub use number::parse_int;
pub use server::{Commands, Limits, Next, Server};
pub use session::Session;
