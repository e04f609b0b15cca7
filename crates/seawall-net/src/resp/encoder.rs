//! Answers as bytes, in the older form of the protocol or the newer one.

use std::io::Write;

use super::number::Digits;

/// Which form of the protocol a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// RESP2: what a connection begins with.
    #[default]
    Two,
    /// RESP3: chosen by `HELLO 3`; knows maps, sets, doubles and booleans.
    Three,
}

impl Protocol {
    /// As `HELLO` names it.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Protocol::Two => 2,
            Protocol::Three => 3,
        }
    }
}

/// Writes answers behind one another into a buffer. What RESP2 has no form for is written in the one Redis chose for
/// it: a map as an array of twice its length, a double as text, a boolean as 0 or 1.
#[derive(Debug)]
pub struct Reply<'o> {
    out: &'o mut Vec<u8>,
    protocol: Protocol,
}

impl<'o> Reply<'o> {
    /// Writes to the end of `out`.
    pub fn new(out: &'o mut Vec<u8>, protocol: Protocol) -> Reply<'o> {
        Reply { out, protocol }
    }

    /// The form that is written.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Writes in another form from now on.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Bytes written so far, with what was in the buffer before.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes back what was written behind this place.
    pub fn cut_back(&mut self, len: usize) {
        self.out.truncate(len);
    }

    /// Answers that were written elsewhere.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    #[inline]
    fn head(&mut self, marker: u8, number: u64) {
        // Nearly all lengths have one or two digits, and pieces of a fixed size are written without a call.
        match number {
            0..10 => self.out.extend_from_slice(&[marker, b'0' + number as u8, b'\r', b'\n']),
            10..100 => {
                let (tens, ones) = (b'0' + number as u8 / 10, b'0' + number as u8 % 10);
                self.out.extend_from_slice(&[marker, tens, ones, b'\r', b'\n']);
            }
            _ => self.long_head(marker, number),
        }
    }

    fn long_head(&mut self, marker: u8, number: u64) {
        let digits = Digits::of(number);
        let digits = digits.text();
        let mut head = [0; 23];
        head[0] = marker;
        head[1..=digits.len()].copy_from_slice(digits);
        head[digits.len() + 1] = b'\r';
        head[digits.len() + 2] = b'\n';
        self.out.extend_from_slice(&head[..digits.len() + 3]);
    }

    /// A short answer that is no data, such as OK; must not hold a line's end.
    pub fn simple(&mut self, words: &str) {
        self.out.push(b'+');
        self.out.extend_from_slice(words.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// OK.
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// An error: a word in capitals by which programs tell it, then words for people. Line ends become blanks.
    pub fn error(&mut self, words: impl AsRef<[u8]>) {
        self.out.push(b'-');
        let blank = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
        self.out.extend(words.as_ref().iter().map(blank));
        self.out.extend_from_slice(b"\r\n");
    }

    /// A whole number.
    #[inline]
    pub fn int(&mut self, value: i64) {
        if value < 0 {
            self.out.extend_from_slice(b":-");
            self.out.extend_from_slice(Digits::of(value.unsigned_abs()).text());
            self.out.extend_from_slice(b"\r\n");
        } else {
            self.head(b':', value.unsigned_abs());
        }
    }

    /// Text or bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        // Room for all of it at once.
        self.out.reserve(bytes.len() + 32);
        self.head(b'$', bytes.len() as u64);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A whole number as text.
    #[inline]
    pub fn bulk_int(&mut self, value: i64) {
        let digits = Digits::of(value.unsigned_abs());
        let digits = digits.text();
        self.head(b'$', digits.len() as u64 + u64::from(value < 0));
        if value < 0 {
            self.out.push(b'-');
        }
        self.out.extend_from_slice(digits);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Nothing, where a value could be.
    #[inline]
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Two => b"$-1\r\n",
            Protocol::Three => b"_\r\n",
        });
    }

    /// Nothing, where an array or a map could be.
    #[inline]
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Two => b"*-1\r\n",
            Protocol::Three => b"_\r\n",
        });
    }

    /// So many values follow.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.head(b'*', len as u64);
    }

    /// So many pairs follow.
    #[inline]
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Two => self.head(b'*', 2 * pairs as u64),
            Protocol::Three => self.head(b'%', pairs as u64),
        }
    }

    /// So many different values follow, in no order.
    #[inline]
    pub fn set(&mut self, len: usize) {
        self.head(if self.protocol == Protocol::Two { b'*' } else { b'~' }, len as u64);
    }

    /// So many values follow that nobody asked for.
    #[inline]
    pub fn push(&mut self, len: usize) {
        self.head(if self.protocol == Protocol::Two { b'*' } else { b'>' }, len as u64);
    }

    /// A number with a fraction, in the fewest digits that read back as the same.
    pub fn double(&mut self, value: f64) {
        let mut text = [0; 32];
        let text = double_text(value, &mut text);
        match self.protocol {
            Protocol::Two => self.bulk(text),
            Protocol::Three => {
                self.out.push(b',');
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Yes or no.
    #[inline]
    pub fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(match (self.protocol, value) {
            (Protocol::Two, true) => b":1\r\n",
            (Protocol::Two, false) => b":0\r\n",
            (Protocol::Three, true) => b"#t\r\n",
            (Protocol::Three, false) => b"#f\r\n",
        });
    }

    /// Text for people, which programs show as it is.
    pub fn verbatim(&mut self, text: &str) {
        match self.protocol {
            Protocol::Two => self.bulk(text.as_bytes()),
            Protocol::Three => {
                self.head(b'=', text.len() as u64 + 4);
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text.as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// As Redis spells the odd ones: `inf`, `-inf`, `nan`.
fn double_text(value: f64, room: &mut [u8; 32]) -> &[u8] {
    if value.is_nan() {
        return b"nan";
    }
    if value.is_infinite() {
        return if value > 0.0 { b"inf" } else { b"-inf" };
    }
    let len = {
        let mut left = &mut room[..];
        // Beyond these bounds plain digits would be hundreds; 17 digits and an exponent always fit.
        let is_plain = value == 0.0 || (1e-5..1e17).contains(&value.abs());
        let written = if is_plain { write!(left, "{value}") } else { write!(left, "{value:e}") };
        debug_assert!(written.is_ok(), "{value:e} does not fit");
        32 - left.len()
    };
    &room[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(write: impl Fn(&mut Reply<'_>)) -> [String; 2] {
        [Protocol::Two, Protocol::Three].map(|protocol| {
            let mut out = Vec::new();
            write(&mut Reply::new(&mut out, protocol));
            String::from_utf8(out).unwrap()
        })
    }

    #[test]
    fn what_is_the_same_in_both_forms() {
        let cases = [
            (both(|r| r.simple("PONG")), "+PONG\r\n"),
            (both(|r| r.ok()), "+OK\r\n"),
            (both(|r| r.error("ERR no\r\nway")), "-ERR no  way\r\n"),
            (both(|r| r.int(-12)), ":-12\r\n"),
            (both(|r| r.int(i64::MIN)), ":-9223372036854775808\r\n"),
            (both(|r| r.int(i64::MAX)), ":9223372036854775807\r\n"),
            (both(|r| r.bulk(b"a\r\nb")), "$4\r\na\r\nb\r\n"),
            (both(|r| r.bulk(b"")), "$0\r\n\r\n"),
            (both(|r| r.bulk_int(-105)), "$4\r\n-105\r\n"),
            (both(|r| r.array(3)), "*3\r\n"),
        ];
        for (told, wanted) in cases {
            assert_eq!(told, [wanted, wanted]);
        }
    }

    #[test]
    fn what_only_the_newer_form_has() {
        let cases = [
            (both(|r| r.null()), "$-1\r\n", "_\r\n"),
            (both(|r| r.null_array()), "*-1\r\n", "_\r\n"),
            (both(|r| r.map(2)), "*4\r\n", "%2\r\n"),
            (both(|r| r.set(2)), "*2\r\n", "~2\r\n"),
            (both(|r| r.push(2)), "*2\r\n", ">2\r\n"),
            (both(|r| r.boolean(true)), ":1\r\n", "#t\r\n"),
            (both(|r| r.boolean(false)), ":0\r\n", "#f\r\n"),
            (both(|r| r.double(1.5)), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (both(|r| r.double(f64::NEG_INFINITY)), "$4\r\n-inf\r\n", ",-inf\r\n"),
            (both(|r| r.double(f64::NAN)), "$3\r\nnan\r\n", ",nan\r\n"),
            (both(|r| r.verbatim("hi")), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
        ];
        for (told, two, three) in cases {
            assert_eq!(told, [two, three]);
        }
    }

    #[test]
    fn every_double_fits_and_reads_back() {
        for value in
            [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, -0.0, 1e17, 1e16, 1e-5, 0.1 + 0.2, 123_456.75]
        {
            let text = both(|r| r.double(value))[1].clone();
            assert_eq!(text[1..].trim_end().parse::<f64>().unwrap(), value, "{text}");
        }
    }
}
