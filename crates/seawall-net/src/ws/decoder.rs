//! From bytes to messages, whatever the pieces they arrive in.

use std::ops::Range;

use super::close;
use super::frame::{self, Fault, Limits, Opcode, Read};

/// Longest message taken unless told otherwise: what Discord's gateway takes.
pub const MESSAGE_MAX: u32 = 4096;

/// The reading half of one connection. Sixteen bytes as long as nothing has arrived in part.
#[derive(Debug)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
    message_max: u32,
    /// After a close frame or a fault, nothing is looked at any more.
    is_over: bool,
}

/// What has arrived of something that is not yet whole.
#[derive(Debug, Default)]
struct Partial {
    /// The beginning of a frame, still masked.
    frame: Vec<u8>,
    /// A message of which some fragments have arrived.
    message: Option<Message>,
}

#[derive(Debug)]
struct Message {
    opcode: Opcode,
    /// Unmasked.
    bytes: Vec<u8>,
}

/// What a client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'e> {
    /// A message of text.
    Text(&'e str),
    /// A message of bytes.
    Binary(&'e [u8]),
    /// To be answered by a pong with the same payload.
    Ping(&'e [u8]),
    /// The answer to a ping, or a sign of life.
    Pong(&'e [u8]),
    /// The client's last frame, to be answered by our own.
    Close {
        /// Why, as a number. A frame without one is answered without one.
        code: Option<u16>,
        /// Why, in words.
        reason: &'e str,
    },
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::new(MESSAGE_MAX)
    }
}

impl Decoder {
    /// A decoder for a new connection that takes messages of up to so many bytes.
    #[must_use]
    pub fn new(message_max: u32) -> Decoder {
        Decoder { partial: None, message_max, is_over: false }
    }

    /// Takes the bytes that have just been read. All events have to be taken before the next bytes are: what is left
    /// in `bytes` when the last one has been taken is remembered, what a dropped [`Events`] has not reached is lost.
    pub fn feed<'d>(&'d mut self, bytes: &'d mut [u8]) -> Events<'d> {
        Events { decoder: self, bytes, at: 0, held: Vec::new() }
    }

    /// Bytes held for what has not arrived whole.
    #[must_use]
    pub fn held(&self) -> usize {
        let Some(partial) = &self.partial else { return 0 };
        let message = partial.message.as_ref().map_or(0, |message| message.bytes.capacity());
        size_of::<Partial>() + partial.frame.capacity() + message
    }

    fn limits(&self) -> Limits {
        let message = self.partial.as_ref().and_then(|partial| partial.message.as_ref());
        Limits { open: message.map(|message| message.bytes.len()), message_max: self.message_max }
    }

    /// Gives the memory back once nothing is held.
    fn settle(&mut self) {
        if self.partial.as_ref().is_some_and(|p| p.frame.is_empty() && p.message.is_none()) {
            self.partial = None;
        }
    }
}

/// The events in the bytes of one read, and after the last of them `None`.
#[derive(Debug)]
#[must_use = "what is not taken is lost"]
pub struct Events<'d> {
    decoder: &'d mut Decoder,
    bytes: &'d mut [u8],
    /// How far they have been looked at.
    at: usize,
    /// What the last event was made of, when it did not come in one piece.
    held: Vec<u8>,
}

/// A payload that is whole and unmasked.
enum Payload {
    /// In the reader's buffer.
    Here(Range<usize>),
    /// Put together from pieces, and where it begins in them.
    Held(Vec<u8>, usize),
}

struct Whole {
    /// None continues a message.
    opcode: Option<Opcode>,
    is_last: bool,
    payload: Payload,
}

impl Events<'_> {
    /// The next event, if there is a whole one. A fault is the last.
    #[expect(
        clippy::should_implement_trait,
        reason = "an event borrows from this, which no iterator's item may"
    )]
    pub fn next(&mut self) -> Option<Result<Event<'_>, Fault>> {
        self.held = Vec::new();
        if self.decoder.is_over {
            return None;
        }
        let (opcode, payload) = match self.message() {
            Ok(None) => return None,
            Ok(Some(whole)) => whole,
            Err(fault) => {
                self.decoder.end();
                return Some(Err(fault));
            }
        };
        let payload = match payload {
            Payload::Here(range) => &self.bytes[range],
            Payload::Held(bytes, begin) => {
                self.held = bytes;
                &self.held[begin..]
            }
        };
        let event = event(opcode, payload);
        if matches!(event, Err(_) | Ok(Event::Close { .. })) {
            self.decoder.end();
        }
        Some(event)
    }

    /// The next whole message or control frame.
    fn message(&mut self) -> Result<Option<(Opcode, Payload)>, Fault> {
        while let Some(Whole { opcode, is_last, payload }) = self.frame()? {
            match opcode {
                Some(opcode) if is_last => return Ok(Some((opcode, payload))),
                Some(opcode) => {
                    let bytes = match payload {
                        Payload::Here(range) => self.bytes[range].to_vec(),
                        Payload::Held(mut bytes, begin) => {
                            bytes.drain(..begin);
                            bytes
                        }
                    };
                    let partial = self.decoder.partial.get_or_insert_default();
                    partial.message = Some(Message { opcode, bytes });
                }
                None => {
                    let piece = match &payload {
                        Payload::Here(range) => &self.bytes[range.clone()],
                        Payload::Held(bytes, begin) => &bytes[*begin..],
                    };
                    // Without a message, `frame` has refused the continuation.
                    let Some(partial) = &mut self.decoder.partial else { continue };
                    let Some(message) = &mut partial.message else { continue };
                    message.bytes.extend_from_slice(piece);
                    if is_last && let Some(message) = partial.message.take() {
                        self.decoder.settle();
                        return Ok(Some((message.opcode, Payload::Held(message.bytes, 0))));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The next whole frame. What there is of one that is not is remembered.
    fn frame(&mut self) -> Result<Option<Whole>, Fault> {
        let limits = self.decoder.limits();
        if let Some(partial) = self.decoder.partial.as_mut().filter(|partial| !partial.frame.is_empty()) {
            // Just what is missing, so that everything behind it can again be used where it lies.
            let head = loop {
                let (wanted, head) = match frame::read(&partial.frame, limits)? {
                    Read::Wants(wanted) => (wanted, None),
                    Read::Head(head) => (head.total, Some(head)),
                };
                let missing = wanted - partial.frame.len();
                let taken = missing.min(self.bytes.len() - self.at);
                partial.frame.extend_from_slice(&self.bytes[self.at..self.at + taken]);
                self.at += taken;
                match head {
                    _ if taken < missing => return Ok(None),
                    Some(head) => break head,
                    None => {}
                }
            };
            let mut bytes = std::mem::take(&mut partial.frame);
            frame::unmask(&mut bytes[head.bytes..], head.key);
            self.decoder.settle();
            let payload = Payload::Held(bytes, head.bytes);
            return Ok(Some(Whole { opcode: head.opcode, is_last: head.is_last, payload }));
        }
        let rest = &mut self.bytes[self.at..];
        match frame::read(rest, limits)? {
            Read::Head(head) if head.total <= rest.len() => {
                frame::unmask(&mut rest[head.bytes..head.total], head.key);
                let payload = Payload::Here(self.at + head.bytes..self.at + head.total);
                self.at += head.total;
                Ok(Some(Whole { opcode: head.opcode, is_last: head.is_last, payload }))
            }
            _ if rest.is_empty() => Ok(None),
            _ => {
                self.decoder.partial.get_or_insert_default().frame = rest.to_vec();
                self.at = self.bytes.len();
                Ok(None)
            }
        }
    }
}

impl Decoder {
    /// Nothing behind a close frame or a fault is looked at; sections 1.4 and 7.1.7.
    fn end(&mut self) {
        self.is_over = true;
        self.partial = None;
    }
}

fn event(opcode: Opcode, payload: &[u8]) -> Result<Event<'_>, Fault> {
    Ok(match opcode {
        Opcode::Text => Event::Text(std::str::from_utf8(payload).map_err(|_| Fault::Text)?),
        Opcode::Binary => Event::Binary(payload),
        Opcode::Ping => Event::Ping(payload),
        Opcode::Pong => Event::Pong(payload),
        Opcode::Close => {
            let (code, reason) = close::parse(payload)?;
            Event::Close { code, reason }
        }
    })
}
