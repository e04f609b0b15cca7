//! The chat against a real store and real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![expect(clippy::disallowed_methods, reason = "tests wait on the real clock")]

mod degrade;
mod gateway_closes;
mod gateway_fuzz;
mod gateway_hears;
mod gateway_lives;
mod gateway_making;
mod gateway_payloads;
mod owner;
mod owner_guilds;
mod owner_lives;
mod owner_rights;
mod rest_access;
mod rest_bodies;
mod rest_errors;
mod rest_golden;
mod rest_history;
mod rest_making;
mod rest_operator;
mod rest_rates;
mod search;
mod search_model;
mod search_rest;
mod storage;
mod storage_guilds;
mod storage_history;
mod storage_people;
mod storage_sessions;
