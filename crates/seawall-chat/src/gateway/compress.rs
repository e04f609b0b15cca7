//! Compression without a compressor for each connection.
//!
//! ## Blocks that fit any stream
//!
//! Clients ask for one compressed stream over the whole connection. A compressor that remembers costs 256 KiB and
//! more for each connection, a thousand times the connection itself, and compresses every event once for each
//! listener. But a stream is a row of blocks, and a block that refers to nothing before itself fits behind any other:
//! so an event is deflated once, from a fresh state, and the block goes to everybody. Messages get about half
//! as long instead of a tenth; who wants more pays in memory, and nobody here does.
//!
//! What differs from one listener to the next is the number at the end. It follows in a stored block:
//!
//! ```text
//! zlib   78 9c (once) | deflated, ending in an empty stored block: … 00 00 ff ff
//!                                                                    └ these four are replaced by
//!                       LEN NLEN suffix | 00 00 00 ff ff
//! zstd   28 b5 2f fd 00 58 (once) | size<<3 as u24 le | text | …
//! ```
//! Zstd's own blocks from a fresh state cannot be spliced: they may refer to offsets that a fresh decoder knows
//! (1, 4 and 8) and one in mid-stream does not. Raw blocks refer to nothing, so zstd here saves no bytes; it is spoken
//! because some clients ask for nothing else by default.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression as Level, FlushCompress};

/// What a connection asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Text frames.
    #[default]
    None,
    /// `compress=zlib-stream`.
    Zlib,
    /// `compress=zstd-stream`.
    Zstd,
}

/// A zlib header: deflate, a window of 32 KiB, default level.
pub(super) const ZLIB_HEAD: [u8; 2] = [0x78, 0x9c];
/// The magic number, then a frame without check sum and size, with a window of 2 MiB.
pub(super) const ZSTD_HEAD: [u8; 6] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
/// The end of an empty stored block: length 0 and its complement. Clients look for it to know that a message is whole.
const EMPTY: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// A stored block holds no more.
const STORED_MAX: usize = 0xffff;
/// A zstd block holds no more.
const RAW_MAX: usize = 128 << 10;

thread_local! {
    /// About 300 KiB; one for each thread that deflates, not for each event.
    static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Level::default(), false));
}

/// `text` as deflate blocks that refer to nothing before them, up to the length of a last, stored block.
pub(super) fn deflate(text: &[u8]) -> Bytes {
    DEFLATE.with_borrow_mut(|deflate| {
        deflate.reset();
        let mut out = Vec::with_capacity(text.len() / 2 + 64);
        // Room left over means that everything has been read and flushed.
        loop {
            let read = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
            let rest = text.get(read..).unwrap_or_default();
            let done = deflate.compress_vec(rest, &mut out, FlushCompress::Sync);
            if done.is_err() || out.len() < out.capacity() {
                break;
            }
            out.reserve(out.len());
        }
        assert!(out.ends_with(&EMPTY), "a sync flush ends in an empty stored block");
        out.truncate(out.len() - EMPTY.len());
        out.into()
    })
}

/// What is stored behind [`deflate`]'s blocks, and the end of the message.
pub(super) fn put_stored(out: &mut Vec<u8>, suffix: &[u8]) {
    debug_assert!(suffix.len() <= STORED_MAX, "a suffix is a number");
    let len = suffix.len() as u16;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&(!len).to_le_bytes());
    out.extend_from_slice(suffix);
    // Not the last block, stored, and padding: one byte of zeros.
    out.push(0);
    out.extend_from_slice(&EMPTY);
}

/// Bytes that [`put_stored`] adds.
pub(super) const fn stored_len(suffix: usize) -> usize {
    4 + suffix + 1 + EMPTY.len()
}

/// `text` in raw zstd blocks.
pub(super) fn put_raw(out: &mut Vec<u8>, text: &[u8]) {
    for block in text.chunks(RAW_MAX) {
        // Not the last block (bit 0), raw (bits 1 and 2).
        let [a, b, c, _] = ((block.len() as u32) << 3).to_le_bytes();
        out.extend_from_slice(&[a, b, c]);
        out.extend_from_slice(block);
    }
}

/// Bytes that [`put_raw`] adds.
pub(super) const fn raw_len(text: usize) -> usize {
    text + 3 * text.div_ceil(RAW_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Decompress, FlushDecompress};

    /// What a decoder of a raw stream makes of a message.
    fn inflate(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 << 20);
        let mut decoder = Decompress::new(false);
        decoder.decompress_vec(bytes, &mut out, FlushDecompress::Sync).unwrap();
        assert_eq!(decoder.total_in(), bytes.len() as u64);
        out
    }

    #[test]
    fn texts_of_all_lengths_come_back() {
        // Noise: longer deflated than not, which is where the room runs out.
        let mut seed = 7_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        })
        .take(300_000)
        .collect();
        for len in [0, 1, 63, 64, 65, 127, 128, 1000, 32_768, 65_535, 65_536, 299_999] {
            for text in [&noise[..len], &vec![b'a'; len][..]] {
                let mut message = deflate(text).to_vec();
                let before = message.len();
                put_stored(&mut message, b"42}");
                assert_eq!(message.len() - before, stored_len(3));
                assert!(message.ends_with(&EMPTY));
                assert!(inflate(&message) == [text, b"42}"].concat(), "{len}");
            }
        }
    }

    #[test]
    fn a_raw_block_is_never_longer_than_a_decoder_takes() {
        for len in [0, 1, RAW_MAX, RAW_MAX + 1, 3 * RAW_MAX] {
            let mut out = Vec::new();
            put_raw(&mut out, &vec![b'x'; len]);
            assert_eq!(out.len(), raw_len(len), "{len}");
        }
    }
}
