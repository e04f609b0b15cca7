//! Every interleaving of a few threads on the atomic shells. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p seawall-policy --test loom --release --target-dir target/loom`.
#![cfg(loom)]

mod adaptive;
mod admission;
mod breaker;
mod budget;
mod inflight;
mod rate;
mod shed;
