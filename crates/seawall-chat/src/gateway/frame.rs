//! Frames: an event is put into JSON once, and once into each compression that somebody asks for.
//!
//! A [`Slot`] is an entry with its encodings, made when the first listener wants them. What is different for each
//! listener, the number, stands last in the text, so that a frame is a head, a shared part and a few bytes.

use std::borrow::Cow;
use std::sync::OnceLock;

use bytes::Bytes;
use seawall_net::ws::{Opcode, header};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

pub use super::compress::Compression;
use super::compress::{self, ZLIB_HEAD, ZSTD_HEAD};
use super::entry::{Entry, What};
use super::fold::has_content;
use crate::event::Kind;

/// What a connection's stream needs to know: two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Codec {
    compression: Compression,
    /// Whether the stream's own head was sent.
    has_begun: bool,
}

impl Codec {
    /// Of a new connection.
    #[must_use]
    pub fn new(compression: Compression) -> Codec {
        Codec { compression, has_begun: false }
    }

    /// The head of the stream, once.
    fn begin(&mut self) -> &'static [u8] {
        match self.compression {
            _ if std::mem::replace(&mut self.has_begun, true) => &[],
            Compression::None => &[],
            Compression::Zlib => &ZLIB_HEAD,
            Compression::Zstd => &ZSTD_HEAD,
        }
    }
}

/// An entry, and how it looks on the wire.
#[derive(Debug)]
pub struct Slot {
    entry: Entry,
    open: Encoded,
    /// The same without what was said; of events that say nothing there is no other.
    blank: OnceLock<Encoded>,
}

/// A dispatch up to its number, in every form that was asked for.
#[derive(Debug)]
struct Encoded {
    text: Bytes,
    deflated: OnceLock<Bytes>,
}

impl Encoded {
    fn new(text: Bytes) -> Encoded {
        Encoded { text, deflated: OnceLock::new() }
    }
}

/// Memory of a slot without its texts, with what allocators add.
const SLOT_BYTES: usize = 384;

impl Slot {
    /// Of an entry. Its payload becomes a part of the text, and is not kept twice.
    #[must_use]
    pub fn new(mut entry: Entry) -> Slot {
        let mut text = Bytes::new();
        if let What::Dispatch { t, d, .. } = &mut entry.what {
            let (whole, from) = prefix(*t, d);
            *d = whole.slice(from..from + d.len());
            text = whole;
        }
        Slot { entry, open: Encoded::new(text), blank: OnceLock::new() }
    }

    /// The entry.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The most memory it may come to take: counted as if every form had been made.
    #[must_use]
    pub fn cost(&self) -> usize {
        let forms = match &self.entry.what {
            What::Dispatch { t, .. } if has_content(*t) => 4,
            _ => 2,
        };
        SLOT_BYTES + forms * self.open.text.len()
    }

    /// The dispatch up to its number; nothing of another entry.
    fn encoded(&self, content: bool) -> Option<&Encoded> {
        let What::Dispatch { t, d, .. } = &self.entry.what else { return None };
        if content || !has_content(*t) {
            return Some(&self.open);
        }
        Some(self.blank.get_or_init(|| Encoded::new(prefix(*t, &without_content(d)).0)))
    }

    /// The payload, as a listener gets it that may know what was said or may not; nothing of another entry. For
    /// whoever takes a session over and keeps what it has not heard yet.
    #[must_use]
    pub fn payload(&self, content: bool) -> Option<Bytes> {
        match &self.entry.what {
            What::Dispatch { t, d, .. } if !content && has_content(*t) => Some(without_content(d).into()),
            What::Dispatch { d, .. } => Some(d.clone()),
            _ => None,
        }
    }
}

/// `{"op":0,"t":"…","d":…,"s":`, and where the payload begins in it.
fn prefix(t: Kind, d: &[u8]) -> (Bytes, usize) {
    let name = t.name().as_bytes();
    let parts = [br#"{"op":0,"t":""#, name, br#"","d":"#, d, br#","s":"#];
    let from = parts.iter().take(3).map(|p| p.len()).sum();
    (parts.concat().into(), from)
}

/// A message without what it says: `content` empty, `embeds`, `attachments` and `components` too, also in the
/// message it answers. A payload that cannot be read says nothing at all.
fn without_content(d: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(d.len());
    if blank(d, &mut out, ANSWERS_MAX).is_none() {
        out.clear();
        out.extend_from_slice(b"{}");
    }
    out
}

/// How deep answers to answers are followed; Discord shows one.
const ANSWERS_MAX: u32 = 4;

fn blank(d: &[u8], out: &mut Vec<u8>, depth: u32) -> Option<()> {
    let fields = serde_json::Deserializer::from_slice(d).deserialize_map(Fields).ok()?;
    out.push(b'{');
    for (at, (name, value)) in fields.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut *out, &name).ok()?;
        out.push(b':');
        match &*name {
            "content" => out.extend_from_slice(br#""""#),
            "embeds" | "attachments" | "components" => out.extend_from_slice(b"[]"),
            "referenced_message" if value.get() != "null" => {
                blank(value.get().as_bytes(), out, depth.checked_sub(1)?)?;
            }
            _ => out.extend_from_slice(value.get().as_bytes()),
        }
    }
    out.push(b'}');
    Some(())
}

/// The fields of an object in their order, values as they are.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(fields)
    }
}

/// Appends the frame of a dispatch with its number; nothing for an entry that is no dispatch.
pub fn write_dispatch(out: &mut Vec<u8>, slot: &Slot, s: u64, content: bool, codec: &mut Codec) {
    let Some(Encoded { text, deflated }) = slot.encoded(content) else { return };
    let mut digits = [0; SUFFIX_MAX];
    let suffix = suffix(s, &mut digits);
    let head = codec.begin();
    let (opcode, len) = match codec.compression {
        Compression::None => (Opcode::Text, text.len() + suffix.len()),
        Compression::Zlib => {
            let deflated = deflated.get_or_init(|| compress::deflate(text));
            (Opcode::Binary, head.len() + deflated.len() + compress::stored_len(suffix.len()))
        }
        Compression::Zstd => {
            let len = compress::raw_len(text.len()) + compress::raw_len(suffix.len());
            (Opcode::Binary, head.len() + len)
        }
    };
    out.reserve(len + HEADER_MAX);
    header(opcode, len, out);
    out.extend_from_slice(head);
    match codec.compression {
        Compression::None => {
            out.extend_from_slice(text);
            out.extend_from_slice(suffix);
        }
        Compression::Zlib => {
            out.extend_from_slice(deflated.get_or_init(|| compress::deflate(text)));
            compress::put_stored(out, suffix);
        }
        Compression::Zstd => {
            compress::put_raw(out, text);
            compress::put_raw(out, suffix);
        }
    }
}

/// Appends the frame of anything else that is sent: HELLO, READY, an acknowledgement. `text` is the whole payload.
pub fn write_control(out: &mut Vec<u8>, text: &str, codec: &mut Codec) {
    let text = text.as_bytes();
    let head = codec.begin();
    match codec.compression {
        Compression::None => {
            header(Opcode::Text, text.len(), out);
            out.extend_from_slice(text);
        }
        Compression::Zlib => {
            let deflated = compress::deflate(text);
            header(Opcode::Binary, head.len() + deflated.len() + compress::stored_len(0), out);
            out.extend_from_slice(head);
            out.extend_from_slice(&deflated);
            compress::put_stored(out, &[]);
        }
        Compression::Zstd => {
            header(Opcode::Binary, head.len() + compress::raw_len(text.len()), out);
            out.extend_from_slice(head);
            compress::put_raw(out, text);
        }
    }
}

/// The longest head of a frame that a server sends.
const HEADER_MAX: usize = 10;
/// Twenty digits and a brace.
const SUFFIX_MAX: usize = 21;

/// A number and the end of the object.
fn suffix(s: u64, digits: &mut [u8; SUFFIX_MAX]) -> &[u8] {
    let mut at = SUFFIX_MAX - 1;
    digits[at] = b'}';
    let mut rest = s;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests;
