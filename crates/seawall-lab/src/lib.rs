//! Real servers for tests and benches: our own binary as a user starts it, and the programs of
//! others it is measured against.
//!
//! Only tests and benches depend on this crate; nothing of it is shipped. Two parts:
//!
//! * [`servers`] starts a program on a free port with a generated configuration in a folder of its
//!   own, waits until it answers, and kills it when the handle is dropped. Only our own children,
//!   by their process id: a developer's other nginx is none of our business.
//! * [`mod@bench`] runs one of our systems and an opponent in turns under the same load and compares the
//!   CPU time both needed; one bench measures functions instead, by the time a call takes. `bars.toml`
//!   says which ratio is good enough, and why.
//!
//! # Why CPU time, and not requests a second
//!
//! On a machine with two cores, load generator and server share caches, memory and whatever else
//! runs. Requests a second then say more about the load generator and the neighbours than about the
//! server: with neighbours, those of one nginx ranged from 4 to 75 thousand between rounds, while its
//! CPU time per request stayed within a third. CPU time is also what a fleet is paid for.
//!
//! Start reading at [`bench::run`].

pub mod bench;
mod error;
pub mod servers;

pub use error::LabError;
