//! The server's side of WebSocket, RFC 6455, without a socket.
//!
//! ```text
//! request head ─ accept ─ 101 ─ Next::Upgrade ─▶ Upgraded { stream, unread, … }
//!                                                   │ bytes in a buffer of the reader's
//!                                                   ▼
//!                           Decoder::feed ─ Events ─ Event | Fault
//!                           header, close_frame ─▶ bytes to write
//! ```
//!
//! ## Why our own
//!
//! A gateway holds a hundred thousand connections, nearly all of them silent. A codec that owns its socket keeps
//! buffers for each (tens of kilobytes with the usual ones) and wants every message written through it, while a
//! gateway writes one encoded frame to thousands. Here a silent connection costs the sixteen bytes of its
//! [`Decoder`]: the buffer is the reader's, on its stack, and only what arrives in pieces is ever kept.
//!
//! ## What it does not do
//!
//! No extensions and no subprotocols are agreed to, and no message is sent in fragments. It answers nothing: who
//! reads a [`Event::Ping`] sends the pong, who reads a [`Event::Close`] or a [`Fault`] sends the [`close_frame`].

mod close;
mod decoder;
mod frame;
mod handshake;

pub use close::close_frame;
pub use decoder::{Decoder, Event, Events, MESSAGE_MAX};
pub use frame::{Fault, Opcode, header};
pub use handshake::{accept, is_upgrade};
