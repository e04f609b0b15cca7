//! The graph against a real store and real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod follower;
mod http;
mod leader;
mod leader_trouble;
mod lives;
mod making;
mod model;
mod model_crowd;
mod model_steps;
mod resp;
mod storage;
mod storage_model;
