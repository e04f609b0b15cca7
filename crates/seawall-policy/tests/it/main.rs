//! The policies from outside: the documents' numbers as sentences, and properties over random histories.
#![cfg(not(loom))]

mod adaptive;
mod admission;
mod breaker;
mod breaker_properties;
mod budget;
mod file;
mod hedge;
mod ladder;
mod limits;
mod memory;
mod placement;
mod rate;
mod replay;
mod retry;
mod shed;
mod signal;
