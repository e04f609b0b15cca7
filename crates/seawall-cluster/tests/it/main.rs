//! The discovery client against registries that are played by a few lines, so that they can be dead on demand.
#![expect(clippy::unwrap_used, reason = "tests")]

mod failover;
