//! The built binary, from outside: as an operator starts it and as a client sees it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![expect(clippy::disallowed_methods, reason = "tests wait on the real clock")]

mod bad_input;
mod chat_cli;
mod chat_crash;
mod chat_page;
mod chat_server;
mod configuration;
mod consul_clients;
mod crash;
mod discord_clients;
mod discovery;
mod fleet;
mod graph_cli;
mod graph_clients;
mod graph_crash;
mod lifecycle;
mod load;
mod overload;
mod panic;
mod policy;
mod policy_placement;
mod policy_replay;
mod python;
mod real_input;
mod real_peers;
mod webdriver;
