//! Moving bytes: sockets, tasks, HTTP, telemetry. Decides nothing that `seawall-policy` could.
//!
//! Start reading at [`exchange`], the seam between bytes and decisions, then [`server`], which pumps it.
//! [`host`] is what a system is given to run with.

pub mod admission;
pub mod body;
pub mod client;
pub mod clock;
pub mod exchange;
pub mod host;
pub mod layer;
pub mod listeners;
pub mod load;
pub mod ops;
pub mod problem;
pub mod resp;
pub mod server;
pub mod tasks;
pub mod telemetry;
pub mod ws;
