//! The drill against real sockets and real processes, none of them seawall's.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up should panic")]

mod load;
mod process;
mod proxy;
mod world;
