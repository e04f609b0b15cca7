//! Frames: RFC 6455, section 5.2.

/// Longest payload of a control frame; section 5.5.
pub(super) const CONTROL_MAX: usize = 125;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// A message of UTF-8.
    Text,
    /// A message of bytes.
    Binary,
    /// The last frame of its sender.
    Close,
    /// Wants a pong with the same payload.
    Ping,
    /// Answers a ping, or is a sign of life.
    Pong,
}

impl Opcode {
    const fn bits(self) -> u8 {
        match self {
            Opcode::Text => 1,
            Opcode::Binary => 2,
            Opcode::Close => 8,
            Opcode::Ping => 9,
            Opcode::Pong => 10,
        }
    }
}

/// What a client did that ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A bit that only an extension may set, and none was agreed to.
    #[error("a reserved bit is set")]
    Reserved,
    /// An opcode that no version of the protocol has given a meaning.
    #[error("the opcode {0} is unknown")]
    Opcode(u8),
    /// A client must mask what it sends.
    #[error("a frame is not masked")]
    Unmasked,
    /// A length written in more bytes than it takes, or above 2^63.
    #[error("a length is not written in the shortest form")]
    Length,
    /// Control frames carry up to 125 bytes.
    #[error("a control frame is longer than 125 bytes")]
    LongControl,
    /// Control frames come whole.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// There is no message to continue.
    #[error("a continuation continues nothing")]
    NothingToContinue,
    /// A message began before the one before it ended.
    #[error("a message begins inside another")]
    Interleaved,
    /// A close frame of one byte, or with a code that must not be sent.
    #[error("the close frame is malformed")]
    Close,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Text,
    /// Within the protocol, but more than is taken here.
    #[error("a message is longer than {max} bytes")]
    TooLong {
        /// Bytes that are.
        max: u32,
    },
}

impl Fault {
    /// What to close with; section 7.4.1. A protocol on top may have a code of its own for [`Fault::TooLong`].
    #[must_use]
    pub fn close_code(self) -> u16 {
        match self {
            Fault::Text => 1007,
            Fault::TooLong { .. } => 1009,
            Fault::Reserved
            | Fault::Opcode(_)
            | Fault::Unmasked
            | Fault::Length
            | Fault::LongControl
            | Fault::FragmentedControl
            | Fault::NothingToContinue
            | Fault::Interleaved
            | Fault::Close => 1002,
        }
    }
}

/// The head of a whole, unmasked frame, as a server sends it; exactly `len` bytes of payload belong behind it.
pub fn header(opcode: Opcode, len: usize, out: &mut Vec<u8>) {
    out.push(0x80 | opcode.bits());
    match len {
        0..=125 => out.push(len as u8),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// What may come next on a connection, as far as earlier frames decide it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The bytes so far of the message that has begun, if one has.
    pub(super) open: Option<usize>,
    pub(super) message_max: u32,
}

/// The head of a client's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// None continues a message.
    pub(super) opcode: Option<Opcode>,
    pub(super) is_last: bool,
    pub(super) key: [u8; 4],
    /// Bytes of the head itself.
    pub(super) bytes: usize,
    /// Bytes of head and payload.
    pub(super) total: usize,
}

/// A head, or how many bytes it takes to know more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Wants(usize),
    Head(FrameHead),
}

/// Reads a head from the front of `bytes`. Judges each byte as soon as it is there and in order, so that what is
/// wrong with a frame does not depend on the pieces it came in.
pub(super) fn read(bytes: &[u8], limits: Limits) -> Result<Read, Fault> {
    let Some(first) = bytes.first() else { return Ok(Read::Wants(2)) };
    let (opcode, is_last) = read_first(*first, limits.open.is_some())?;
    let is_control = matches!(opcode, Some(Opcode::Close | Opcode::Ping | Opcode::Pong));
    let Some(second) = bytes.get(1) else { return Ok(Read::Wants(2)) };
    if second & 0x80 == 0 {
        return Err(Fault::Unmasked);
    }
    let short = second & 0x7f;
    if is_control && usize::from(short) > CONTROL_MAX {
        return Err(Fault::LongControl);
    }
    let wide = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some(wide) = bytes.get(2..2 + wide) else { return Ok(Read::Wants(2 + wide)) };
    let len = if wide.is_empty() {
        u64::from(short)
    } else {
        wide.iter().fold(0, |len, byte| len << 8 | u64::from(*byte))
    };
    let is_shortest = match wide.len() {
        0 => true,
        2 => len > CONTROL_MAX as u64,
        _ => len > 0xffff && len >> 63 == 0,
    };
    if !is_shortest {
        return Err(Fault::Length);
    }
    let left = u64::from(limits.message_max).saturating_sub(limits.open.unwrap_or_default() as u64);
    if !is_control && len > left {
        return Err(Fault::TooLong { max: limits.message_max });
    }
    let begin = 2 + wide.len();
    let Some(&[a, b, c, d]) = bytes.get(begin..begin + 4) else { return Ok(Read::Wants(begin + 4)) };
    // No longer than `message_max`, which is 32 bits.
    let total = begin + 4 + len as usize;
    Ok(Read::Head(FrameHead { opcode, is_last, key: [a, b, c, d], bytes: begin + 4, total }))
}

fn read_first(byte: u8, is_open: bool) -> Result<(Option<Opcode>, bool), Fault> {
    let is_last = byte & 0x80 != 0;
    if byte & 0x70 != 0 {
        return Err(Fault::Reserved);
    }
    let opcode = match byte & 0x0f {
        0 => None,
        1 => Some(Opcode::Text),
        2 => Some(Opcode::Binary),
        8 => Some(Opcode::Close),
        9 => Some(Opcode::Ping),
        10 => Some(Opcode::Pong),
        unknown => return Err(Fault::Opcode(unknown)),
    };
    match opcode {
        None if !is_open => Err(Fault::NothingToContinue),
        Some(Opcode::Text | Opcode::Binary) if is_open => Err(Fault::Interleaved),
        Some(Opcode::Close | Opcode::Ping | Opcode::Pong) if !is_last => Err(Fault::FragmentedControl),
        _ => Ok((opcode, is_last)),
    }
}

/// Takes the mask off a payload, eight bytes at a time.
pub(super) fn unmask(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (eights, rest) = payload.as_chunks_mut::<8>();
    for eight in eights {
        *eight = (u64::from_ne_bytes(*eight) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests;
