//! The store from outside: what an engine must do (`conformance`), what systems will ask of it
//! (`stories`), how files are opened, how batches are grouped and bounded, and what several processes,
//! a kill -9 and a failing disk do to it.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bounds;
mod conformance;
mod files;
mod grouping;
mod processes;
mod stories;
mod support;
