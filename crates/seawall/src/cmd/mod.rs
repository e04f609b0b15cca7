//! Client commands: each speaks HTTP to a running system and knows none of its insides.

pub(crate) mod chat;
pub(crate) mod config;
pub(crate) mod drill;
pub(crate) mod graph;
mod http;
pub(crate) mod links;
pub(crate) mod load;
pub(crate) mod policy;
pub(crate) mod status;
mod terminal;
