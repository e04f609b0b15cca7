//! From bytes to commands, whatever the pieces they arrive in.

use std::fmt;
use std::ops::Range;

use super::inline;
use super::number::parse_int;

/// Longest line, as Redis has it: a command typed by hand, or the digits of a length.
pub const LINE_MAX: usize = 64 * 1024;
/// Arguments of one command, its name included. Redis takes 2^31; nothing of ours names more than 10,000 things.
pub const ARGS_MAX: u32 = 65_536;
/// Bytes of one command.
pub const REQUEST_MAX: usize = 1 << 20;
/// Arguments of a command of someone who has yet to say who they are, where that is asked for; Redis's number.
const STRANGER_ARGS_MAX: i64 = 10;
/// Longest argument of such a one; Redis's number.
const STRANGER_BULK_MAX: i64 = 16_384;
/// Places for arguments that are kept for the next command.
const SPANS_KEPT: usize = 64;
/// Bytes of a line that are kept for the next one.
const LINE_KEPT: usize = 1024;

/// What is taken from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Arguments of one command, its name included. More is an invalid multibulk length.
    pub args_max: u32,
    /// Bytes of one command as they arrive. An argument that goes beyond has an invalid bulk length.
    pub request_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { args_max: ARGS_MAX, request_max: REQUEST_MAX }
    }
}

/// What a client did that ends the connection. The words are Redis's, which client libraries know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A line without an end.
    LongLine,
    /// A quote without an end.
    Quotes,
    /// The digits of a number of arguments without an end.
    LongCount,
    /// No number of arguments, or too many.
    Count,
    /// More arguments than a stranger may send.
    StrangerCount,
    /// Something else where an argument should begin.
    Marker(u8),
    /// The digits of an argument's length without an end.
    LongLength,
    /// No length of an argument, or too long.
    Length,
    /// An argument longer than a stranger may send.
    StrangerLength,
}

impl Fault {
    /// The error to be sent before the connection is closed, without its prefix; bytes, since it may quote one.
    pub fn words(self, out: &mut Vec<u8>) {
        let words = match self {
            Fault::LongLine => "too big inline request",
            Fault::Quotes => "unbalanced quotes in request",
            Fault::LongCount => "too big mbulk count string",
            Fault::Count => "invalid multibulk length",
            Fault::StrangerCount => "unauthenticated multibulk length",
            Fault::Marker(_) => "expected '$', got '",
            Fault::LongLength => "too big bulk count string",
            Fault::Length => "invalid bulk length",
            Fault::StrangerLength => "unauthenticated bulk length",
        };
        out.extend_from_slice(b"Protocol error: ");
        out.extend_from_slice(words.as_bytes());
        if let Fault::Marker(byte) = self {
            // An error is one line.
            out.push(if matches!(byte, b'\r' | b'\n') { b' ' } else { byte });
            out.push(b'\'');
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        self.words(&mut words);
        f.write_str(&String::from_utf8_lossy(&words))
    }
}

impl std::error::Error for Fault {}

/// Where an argument lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    begin: u32,
    end: u32,
}

impl Span {
    /// Commands are shorter than 4 GiB by far.
    pub(super) fn new(begin: usize, end: usize) -> Span {
        Span { begin: begin as u32, end: end as u32 }
    }

    pub(super) fn range(self) -> Range<usize> {
        self.begin as usize..self.end as usize
    }
}

/// The reading half of one connection. Holds no bytes of a command that has not arrived whole: who reads does.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    is_stranger: bool,
    /// The arguments that have arrived, from the first byte of the command.
    spans: Vec<Span>,
    /// Arguments that are still to come.
    missing: u32,
    /// How far the command has been looked at.
    at: usize,
    /// Length of the argument that begins at `at`, once it is known.
    bulk: Option<usize>,
    /// Bytes behind `at` in which a line's end was looked for in vain.
    searched: usize,
    /// The words of a command typed by hand.
    words: Vec<u8>,
}

/// What [`Decoder::take`] found.
#[derive(Debug)]
pub struct Taken<'d> {
    /// Bytes that are done with, the command's own included. What follows has to be shown again.
    pub bytes: usize,
    /// The next command, if all of it is there.
    pub command: Option<Command<'d>>,
}

/// A command and its arguments, where they lie.
#[derive(Debug, Clone, Copy)]
pub struct Command<'d> {
    bytes: &'d [u8],
    spans: &'d [Span],
}

impl<'d> Command<'d> {
    /// Its name and arguments: at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a command has a name")]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The n-th argument; 0 is the name.
    #[inline]
    #[must_use]
    pub fn get(&self, n: usize) -> Option<&'d [u8]> {
        self.spans.get(n).and_then(|span| self.bytes.get(span.range()))
    }

    /// What it is called.
    #[inline]
    #[must_use]
    pub fn name(&self) -> &'d [u8] {
        self.get(0).unwrap_or_default()
    }

    /// All arguments from the n-th on.
    pub fn from(&self, n: usize) -> impl Iterator<Item = &'d [u8]> + Clone + use<'d> {
        let bytes = self.bytes;
        self.spans.get(n..).unwrap_or_default().iter().filter_map(move |span| bytes.get(span.range()))
    }
}

/// A length that was read, and where what follows it begins.
struct Length {
    /// None where there is something that is no number.
    value: Option<i64>,
    end: usize,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::new(Limits::default())
    }
}

impl Decoder {
    /// For a new connection.
    #[must_use]
    pub fn new(limits: Limits) -> Decoder {
        Decoder {
            limits,
            is_stranger: false,
            spans: Vec::new(),
            missing: 0,
            at: 0,
            bulk: None,
            searched: 0,
            words: Vec::new(),
        }
    }

    /// Whether the client has yet to say who it is: it may send little until then.
    pub fn set_stranger(&mut self, is_stranger: bool) {
        self.is_stranger = is_stranger;
    }

    /// Bytes held besides its own.
    #[must_use]
    pub fn held(&self) -> usize {
        self.spans.capacity() * size_of::<Span>() + self.words.capacity()
    }

    /// The next command in `unread`: everything that has arrived and was not reported as taken. What is there of a
    /// command that is not whole yet is looked at once, not again each time more arrives.
    ///
    /// # Errors
    /// [`Fault`]: nothing behind it can be read; the connection has to be closed.
    #[inline]
    pub fn take<'d>(&'d mut self, unread: &'d [u8]) -> Result<Taken<'d>, Fault> {
        let mut begin = 0;
        while let Some(first) = unread.get(begin) {
            let bytes = &unread[begin..];
            if self.at == 0 && self.searched == 0 {
                self.forget();
            }
            let is_line = *first != b'*';
            let end = if is_line { self.line(bytes)? } else { self.multi_bulk(bytes)? };
            let Some(end) = end else { break };
            (self.at, self.searched) = (0, 0);
            if !self.spans.is_empty() {
                let bytes = if is_line { &self.words[..] } else { bytes };
                return Ok(Taken {
                    bytes: begin + end,
                    command: Some(Command { bytes, spans: &self.spans }),
                });
            }
            // An empty line, or no arguments: Redis says nothing to that.
            begin += end;
        }
        Ok(Taken { bytes: begin, command: None })
    }

    /// Nothing of the last command is kept, and little of its memory.
    fn forget(&mut self) {
        self.spans.clear();
        self.words.clear();
        if self.spans.capacity() > SPANS_KEPT {
            self.spans.shrink_to(SPANS_KEPT);
        }
        if self.words.capacity() > LINE_KEPT {
            self.words.shrink_to(LINE_KEPT);
        }
    }

    /// Where the line ends, once it has.
    fn line(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let Some(feed) = self.search(bytes, b'\n', Fault::LongLine)? else { return Ok(None) };
        let line = &bytes[..feed];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !inline::split(line, &mut self.words, &mut self.spans) {
            return Err(Fault::Quotes);
        }
        Ok(Some(feed + 1))
    }

    /// Where the command ends, once it has.
    #[inline]
    fn multi_bulk(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        if self.at == 0 {
            let Some(count) = self.length(bytes, Fault::LongCount)? else { return Ok(None) };
            match count.value {
                Some(n)
                    if n > STRANGER_ARGS_MAX && self.is_stranger && n <= i64::from(self.limits.args_max) =>
                {
                    return Err(Fault::StrangerCount);
                }
                Some(n) if n <= i64::from(self.limits.args_max) => self.missing = n.max(0) as u32,
                _ => return Err(Fault::Count),
            }
            self.at = count.end;
        }
        while self.missing > 0 {
            let length = match self.bulk {
                Some(length) => length,
                None => {
                    let Some(length) = self.length(bytes, Fault::LongLength)? else { return Ok(None) };
                    let length = self.check(bytes, &length)?;
                    self.bulk = Some(length);
                    length
                }
            };
            // Two bytes follow that should be CR and LF; Redis does not look at them.
            let end = self.at + length;
            if bytes.len() < end + 2 {
                return Ok(None);
            }
            self.spans.push(Span::new(self.at, end));
            self.at = end + 2;
            self.bulk = None;
            self.missing -= 1;
        }
        Ok(Some(self.at))
    }

    /// Whether an argument of this length is taken. Moves on to where it begins.
    #[inline]
    fn check(&mut self, bytes: &[u8], length: &Length) -> Result<usize, Fault> {
        match bytes.get(self.at) {
            Some(b'$') => {}
            other => return Err(Fault::Marker(other.copied().unwrap_or_default())),
        }
        let value = length.value.filter(|value| *value >= 0).ok_or(Fault::Length)?;
        let room = self.limits.request_max.saturating_sub(length.end + 2);
        let bytes = usize::try_from(value).ok().filter(|bytes| *bytes <= room).ok_or(Fault::Length)?;
        if self.is_stranger && value > STRANGER_BULK_MAX {
            return Err(Fault::StrangerLength);
        }
        self.at = length.end;
        Ok(bytes)
    }

    /// Reads the number behind the byte at `at`, if its line has ended.
    #[inline]
    fn length(&mut self, bytes: &[u8], endless: Fault) -> Result<Option<Length>, Fault> {
        let line = &bytes[self.at..];
        // Nearly all lengths have one or two digits.
        match *line {
            [_, a @ b'0'..=b'9', b'\r', _, ..] => {
                self.searched = 0;
                return Ok(Some(Length { value: Some(i64::from(a - b'0')), end: self.at + 4 }));
            }
            [_, a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', _, ..] => {
                let value = i64::from(a - b'0') * 10 + i64::from(b - b'0');
                self.searched = 0;
                return Ok(Some(Length { value: Some(value), end: self.at + 5 }));
            }
            _ => {}
        }
        self.long_length(bytes, endless)
    }

    fn long_length(&mut self, bytes: &[u8], endless: Fault) -> Result<Option<Length>, Fault> {
        let line = &bytes[self.at..];
        let Some(cr) = self.search(line, b'\r', endless)? else { return Ok(None) };
        if line.len() < cr + 2 {
            // One byte more, whatever it is.
            return Ok(None);
        }
        self.searched = 0;
        let value = line.get(1..cr).and_then(parse_int);
        Ok(Some(Length { value, end: self.at + cr + 2 }))
    }

    /// Where `wanted` is, if not too far away. Redis looks for it with C's `strchr`: nothing is found behind a zero.
    fn search(&mut self, line: &[u8], wanted: u8, endless: Fault) -> Result<Option<usize>, Fault> {
        let from = self.searched.min(line.len());
        let found = line[from..].iter().position(|byte| *byte == wanted || *byte == 0);
        let stop = found.map_or(line.len(), |n| from + n);
        if stop <= LINE_MAX && line.get(stop) == Some(&wanted) {
            return Ok(Some(stop));
        }
        if line.len() > LINE_MAX {
            return Err(endless);
        }
        self.searched = stop;
        Ok(None)
    }
}
