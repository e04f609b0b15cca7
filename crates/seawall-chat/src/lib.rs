//! Chat: guilds, channels and messages behind Discord's gateway and REST, with sessions that survive a crash.
//!
//! ```text
//!  REST (api) ─────────── submit ──────────►  owner: one actor per guild ──► storage (commit) ──► change stream
//!                                               │ ephemeral (typing, presence)                        │
//!  gateway: session, view ◄── ring ◄── journal ◄┴────────────── subscribe (news in order) ◄───────────┘
//! ```

pub mod command;
pub mod event;
pub mod id;
pub mod model;
pub mod owner;
pub mod permissions;
pub mod refusal;
pub mod state;
pub mod storage;

/// The name under which the registry and the configuration know this system.
pub const NAME: &str = "chat";
