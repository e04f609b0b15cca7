//! Judges of what a client wrote and read.

pub mod ledger;
