//! The chat against a real store and real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![expect(clippy::disallowed_methods, reason = "tests wait on the real clock")]

mod owner;
mod owner_guilds;
mod owner_lives;
mod owner_rights;
mod storage;
mod storage_guilds;
mod storage_history;
mod storage_people;
mod storage_sessions;
