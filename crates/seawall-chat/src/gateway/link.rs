//! The writing half of a connection: whoever has something to send writes it at once, without a queue.
//!
//! What the socket does not take stays here, and the connection's own task writes it when there is room. Meanwhile
//! dispatches stay in the ring, so what is kept is bounded by one round of writing and the answers to a client's own
//! few events.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use seawall_net::exchange::Upgraded;
use seawall_net::server::Connected;
use seawall_net::ws::{Opcode, close_frame, header};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::frame::{Codec, write_control};
use super::payload::Close;

/// Bytes that may wait for a client that reads nothing. A round of dispatches is much smaller, READY and the guilds
/// are written with pauses.
const HELD_MAX: usize = 4 << 20;

/// One connection.
pub(super) struct Link {
    pub(super) stream: TcpStream,
    out: Mutex<Out>,
    /// For the connection's task: something is held, or it is over.
    pub(super) wake: Notify,
    _connected: Option<Connected>,
}

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Everything may be sent.
    Open,
    /// A close frame was sent, with this code; nothing may follow it.
    Closing(u16),
    /// The socket is of no more use.
    Broken,
}

struct Out {
    codec: Codec,
    /// What the socket has not taken, from `from` on.
    held: Vec<u8>,
    from: usize,
    phase: Phase,
}

/// The right to write for a moment.
pub(super) struct Pen<'a> {
    link: &'a Link,
    out: MutexGuard<'a, Out>,
}

impl Link {
    /// Takes over a connection; what the client sent too early is given back.
    pub(super) fn new(upgraded: Upgraded, codec: Codec) -> (Link, bytes::Bytes) {
        let Upgraded { stream, unread, connected, .. } = upgraded;
        (Link::over(stream, codec, Some(connected)), unread)
    }

    /// A connection that counts where there is somebody to count it.
    pub(super) fn over(stream: TcpStream, codec: Codec, connected: Option<Connected>) -> Link {
        let out = Out { codec, held: Vec::new(), from: 0, phase: Phase::Open };
        Link { stream, out: Mutex::new(out), wake: Notify::new(), _connected: connected }
    }

    pub(super) fn pen(&self) -> Pen<'_> {
        Pen { link: self, out: self.out.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Sends a payload that is no dispatch of the ring.
    pub(super) fn send(&self, text: &str) {
        let mut pen = self.pen();
        let mut frame = Vec::with_capacity(text.len() + 16);
        write_control(&mut frame, text, pen.codec());
        pen.write(&frame);
    }

    /// Answers a ping.
    pub(super) fn pong(&self, payload: &[u8]) {
        let mut frame = Vec::with_capacity(payload.len() + 2);
        header(Opcode::Pong, payload.len(), &mut frame);
        frame.extend_from_slice(payload);
        self.pen().write(&frame);
    }

    /// Says goodbye first, and why. False where somebody else has, or nothing can be said any more.
    pub(super) fn close(&self, why: Close) -> bool {
        self.close_with(why.code(), why.reason())
    }

    /// Answers a goodbye with the same code.
    pub(super) fn close_with(&self, code: u16, reason: &str) -> bool {
        let mut frame = Vec::new();
        close_frame(code, reason, &mut frame);
        self.last(&frame, code)
    }

    /// Answers a goodbye without a code.
    pub(super) fn close_silently(&self) -> bool {
        let mut frame = Vec::new();
        header(Opcode::Close, 0, &mut frame);
        self.last(&frame, 0)
    }

    fn last(&self, frame: &[u8], code: u16) -> bool {
        let mut pen = self.pen();
        let is_first = pen.out.phase == Phase::Open;
        if is_first {
            pen.write(frame);
            if pen.out.phase == Phase::Open {
                pen.out.phase = Phase::Closing(code);
            }
        }
        drop(pen);
        self.wake.notify_one();
        is_first
    }

    /// Ends it without a word, as a cut cable would.
    pub(super) fn abort(&self) {
        let mut pen = self.pen();
        pen.out.phase = Phase::Broken;
        pen.out.held = Vec::new();
        drop(pen);
        self.wake.notify_one();
    }

    /// How far the end has come.
    pub(super) fn phase(&self) -> Phase {
        self.pen().out.phase
    }

    /// Whether the other end is known to have hung up, as far as that can be said without reading.
    pub(super) async fn is_left(&self) -> bool {
        tokio::select! {
            biased;
            ready = self.stream.ready(Interest::READABLE) => ready.is_ok_and(|ready| ready.is_read_closed()),
            () = std::future::ready(()) => false,
        }
    }

    /// Whether something waits for room in the socket.
    pub(super) fn is_holding(&self) -> bool {
        self.pen().is_holding()
    }

    /// Writes what is held, as far as there is room.
    pub(super) fn go_on(&self) {
        let mut pen = self.pen();
        let held = std::mem::take(&mut pen.out.held);
        let from = std::mem::take(&mut pen.out.from);
        if let Some(rest) = held.get(from..).filter(|rest| !rest.is_empty()) {
            let written = pen.try_write(rest);
            if from + written < held.len() && pen.out.phase != Phase::Broken {
                pen.out.from = from + written;
                pen.out.held = held;
            }
        }
    }

    /// Returns once nothing is held, or nothing can be sent any more.
    pub(super) async fn drained(&self) {
        while self.is_holding() && self.phase() != Phase::Broken {
            if self.stream.writable().await.is_err() {
                return self.abort();
            }
            self.go_on();
        }
    }
}

impl Pen<'_> {
    pub(super) fn codec(&mut self) -> &mut Codec {
        &mut self.out.codec
    }

    pub(super) fn is_holding(&self) -> bool {
        self.out.from < self.out.held.len()
    }

    pub(super) fn is_open(&self) -> bool {
        self.out.phase == Phase::Open
    }

    /// Sends whole frames. What the socket does not take is held.
    pub(super) fn write(&mut self, frames: &[u8]) {
        if self.out.phase != Phase::Open {
            return;
        }
        let written = if self.is_holding() { 0 } else { self.try_write(frames) };
        let Some(rest) = frames.get(written..).filter(|rest| !rest.is_empty()) else { return };
        if self.out.phase == Phase::Broken {
            return;
        }
        // One frame alone may be as long as it is.
        if self.is_holding() && self.out.held.len() - self.out.from + rest.len() > HELD_MAX {
            self.out.phase = Phase::Broken;
            self.out.held = Vec::new();
        } else {
            self.out.held.extend_from_slice(rest);
        }
        self.link.wake.notify_one();
    }

    /// Bytes the socket took.
    fn try_write(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            match self.link.stream.try_write(&bytes[written..]) {
                Ok(n) => written += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.out.phase = Phase::Broken;
                    self.link.wake.notify_one();
                    break;
                }
            }
        }
        written
    }
}
