//! Load, faults, a ledger and scenarios: proves a promise from outside, as a client would see it.
//!
//! Nothing here knows how a system works. It imports none of them, shares no code with them (its HTTP client is
//! its own), starts them as child processes of the built binary, speaks HTTP to them and sends them signals. What
//! a drill reports is therefore what a user of the system would have noticed.
//!
//! Start reading at [`scenario`], which puts the other parts together:
//!
//! * [`load`] sends what a schedule says, when it says so, however slow the answers are;
//! * [`check`] remembers every write and asks afterwards what became of it;
//! * [`fault`] breaks connections and processes;
//! * [`scenario`] runs a documented failure and compares what was measured with what the document promises.
//!
//! Every scenario names negative controls: the same run with one mechanism switched off or one bug planted. A drill
//! that stays green then proves nothing, and `drill matrix` says so.

pub mod chat;
pub mod check;
pub mod client;
pub mod fault;
pub mod graph;
pub mod load;
pub mod scenario;
mod table;

pub use client::{CallError, Client};

/// Threads of the drill's own runtime: one to keep the schedule, one to wait for answers. More would take cores
/// from the system under test, which usually runs on the same machine.
const WORKERS: usize = 2;

/// Runs a drill to its end on a runtime of its own.
///
/// # Errors
/// When the operating system grants no threads or no event queue.
///
/// # Panics
/// When called from inside an async runtime.
pub fn block_on<F: Future>(work: F) -> std::io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    Ok(runtime.block_on(work))
}
