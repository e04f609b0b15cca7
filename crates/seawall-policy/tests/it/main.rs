//! The policies from outside: the documents' numbers as sentences, and properties over random histories.
#![cfg(not(loom))]

mod breaker;
mod breaker_properties;
mod budget;
mod hedge;
mod ladder;
mod memory;
mod placement;
mod retry;
mod signal;
