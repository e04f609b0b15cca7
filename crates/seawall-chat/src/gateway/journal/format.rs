//! Records and segments as bytes.
//!
//! ```text
//! segment: "SWCHAT-J" | version: u32 le | head | record*
//! record:  len: u32 le | crc of the payload: u32 le | crc of the eight bytes before: u32 le | payload
//! payload: (len: varint | entry)*
//! ```
//! A record is a batch: what was decided together is found together or not at all.
//!
//! The length has a check of its own: if it were wrong, a damaged record in the middle would look like one that
//! ends early at the end, and what follows it would be lost without a word.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use seawall_store::Position;

use super::super::entry::Entry;
use super::super::wire::{Malformed, Reading, put_number, put_positions, put_text};
use super::Trouble;

/// The format this build writes, and the newest it reads.
pub const VERSION: u32 = 1;
/// The longest record. A batch is some hundred events of a few kilobytes; this is far above, and still fits memory.
pub const RECORD_MAX: usize = 64 << 20;

pub(super) const MAGIC: [u8; 8] = *b"SWCHAT-J";
/// Magic number and version.
pub(super) const PREAMBLE: usize = 12;
/// What stands before a payload.
pub(super) const RECORD_HEAD: usize = 12;

const EXTENSION: &str = "journal";
pub(super) const LOCK: &str = "lock";

/// What a segment says of itself first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Head {
    /// Whose journal it is.
    pub(super) gateway: String,
    /// In which life of the machine it was written.
    pub(super) boot: String,
    /// Its place among the segments.
    pub(super) index: u64,
    /// The last numbered entry before it.
    pub(super) after: u64,
    /// How far into each shard's change stream the entries before it go.
    pub(super) positions: Box<[Position]>,
}

impl Head {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, &self.gateway);
        put_text(out, &self.boot);
        put_number(out, self.index);
        put_number(out, self.after);
        put_positions(out, &self.positions);
    }

    pub(super) fn decode(bytes: &Bytes) -> Result<Head, Malformed> {
        let mut from = Reading::new(bytes);
        let head = Head {
            gateway: text(&from.text()?)?,
            boot: text(&from.text()?)?,
            index: from.number()?,
            after: from.number()?,
            positions: from.positions()?,
        };
        from.end()?;
        Ok(head)
    }
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed)
}

/// The beginning of a file, before its head.
pub(super) fn put_preamble(out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
}

/// Appends a record whose payload `put` writes. One that is too long leaves `out` as it was.
pub(super) fn put_record(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) -> Result<(), Trouble> {
    let start = out.len();
    out.extend_from_slice(&[0; RECORD_HEAD]);
    put(out);
    let len = out.len() - start - RECORD_HEAD;
    if len > RECORD_MAX {
        out.truncate(start);
        return Err(Trouble::TooLong { bytes: len });
    }
    let (head, payload) = out[start..].split_at_mut(RECORD_HEAD);
    let (words, check) = head.split_at_mut(8);
    let (size, sum) = words.split_at_mut(4);
    size.copy_from_slice(&(len as u32).to_le_bytes());
    sum.copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    check.copy_from_slice(&crc32fast::hash(words).to_le_bytes());
    Ok(())
}

/// Appends an entry to a payload, its length in front.
pub(super) fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    let start = out.len();
    entry.encode(out);
    let mut len = Vec::with_capacity(5);
    put_number(&mut len, (out.len() - start) as u64);
    out.splice(start..start, len);
}

/// The entries of a payload.
pub(super) fn entries(payload: &Bytes) -> Result<Vec<Entry>, Malformed> {
    let mut from = Reading::new(payload);
    let mut entries = Vec::new();
    while from.end().is_err() {
        entries.push(Entry::decode(&from.bytes()?)?);
    }
    Ok(entries)
}

/// What stands before a payload, read.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordHead {
    pub(super) len: usize,
    pub(super) crc: u32,
}

impl RecordHead {
    /// None where the check of the length fails or the length is above the bound.
    pub(super) fn decode(bytes: [u8; RECORD_HEAD]) -> Option<RecordHead> {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        let len = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
        let is_sound = crc32fast::hash(&bytes[..8]) == u32::from_le_bytes([i, j, k, l]);
        (is_sound && len <= RECORD_MAX).then_some(RecordHead { len, crc: u32::from_le_bytes([e, f, g, h]) })
    }
}

/// The file of a segment.
pub(super) fn file(folder: &Path, index: u64) -> PathBuf {
    folder.join(format!("{index:08}.{EXTENSION}"))
}

/// The place of a segment by its file's name; none for other files.
pub(super) fn index_of(path: &Path) -> Option<u64> {
    if path.extension()? != EXTENSION {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}
