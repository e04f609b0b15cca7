//! Bytes to a server and whole answers back. RESP's answers are read here; PostgreSQL's in `postgres.rs`.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::LabError;

/// Patience for one answer: a hang guard.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// What a buffer has room for at first.
const ROOM: usize = 16 << 10;

/// One connection. Requests are put into `out` and sent together.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    pub out: Vec<u8>,
    input: Vec<u8>,
    /// Where the next answer begins.
    at: usize,
}

impl Wire {
    pub(super) async fn connect(address: SocketAddr) -> Result<Wire, LabError> {
        let failed = |source| LabError::Io { what: format!("connect to {address}"), source };
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Wire { stream, out: Vec::with_capacity(ROOM), input: Vec::with_capacity(ROOM), at: 0 })
    }

    /// Sends what was put together.
    pub(super) async fn send(&mut self) -> Result<(), LabError> {
        self.stream.write_all(&self.out).await.map_err(LabError::io("send a request"))?;
        self.out.clear();
        Ok(())
    }

    /// The next answer, whose end `whole` finds.
    pub(super) async fn answer(&mut self, whole: fn(&[u8]) -> Option<usize>) -> Result<&[u8], LabError> {
        loop {
            if let Some(length) = whole(&self.input[self.at..]) {
                let begin = self.at;
                self.at += length;
                return Ok(&self.input[begin..begin + length]);
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), LabError> {
        self.input.drain(..self.at);
        self.at = 0;
        let read = tokio::time::timeout(ANSWER_WITHIN, self.stream.read_buf(&mut self.input)).await;
        let failed = |source: io::Error| LabError::Io { what: "read an answer".to_owned(), source };
        match read {
            Err(_) => Err(failed(ErrorKind::TimedOut.into())),
            Ok(Err(source)) => Err(failed(source)),
            Ok(Ok(0)) => Err(failed(ErrorKind::UnexpectedEof.into())),
            Ok(Ok(_)) => Ok(()),
        }
    }
}

/// Puts a RESP command together.
pub(super) fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.push(b'*');
    number(out, words.len());
    for word in words {
        out.push(b'$');
        number(out, word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(number.to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Where a RESP answer ends.
pub(super) fn whole(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut wanted) = (0, 1_usize);
    while wanted > 0 {
        let (kind, length, rest) = head(bytes.get(at..)?)?;
        at += rest;
        wanted -= 1;
        match kind {
            b'$' | b'=' | b'!' if length >= 0 => at += length as usize + 2,
            b'*' | b'~' | b'>' if length > 0 => wanted += length as usize,
            b'%' if length > 0 => wanted += 2 * length as usize,
            _ => (),
        }
    }
    (at <= bytes.len()).then_some(at)
}

/// A line's kind, the number in it, and its length.
fn head(bytes: &[u8]) -> Option<(u8, i64, usize)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let digits = std::str::from_utf8(&bytes[1..end]).unwrap_or_default();
    Some((bytes[0], digits.trim_end().parse().unwrap_or(-1), end + 1))
}

/// The single values of a RESP answer, one after the other, however deep they lie.
pub(super) struct Values<'a>(pub &'a [u8]);

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let (kind, length, rest) = head(self.0)?;
            let (line, after) = self.0.split_at(rest);
            self.0 = after;
            match kind {
                b'$' if length >= 0 => {
                    let value = &after[..length as usize];
                    self.0 = &after[length as usize + 2..];
                    return Some(value);
                }
                b'*' | b'%' if length >= 0 => (),
                _ => return Some(&line[1..rest - 2]),
            }
        }
    }
}

/// An error where the server sent one.
pub(super) fn checked<'a>(side: &str, asked: &str, answer: &'a [u8]) -> Result<&'a [u8], LabError> {
    match answer.first() {
        Some(b'-') => Err(wrong(side, asked, answer, "no error")),
        _ => Ok(answer),
    }
}

/// An answer that is not what was asked for.
pub(super) fn wrong(side: &str, asked: &str, answer: &[u8], wanted: &str) -> LabError {
    let found = String::from_utf8_lossy(&answer[..answer.len().min(200)]).trim_end().to_owned();
    LabError::WrongAnswer { side: side.to_owned(), path: asked.to_owned(), found, wanted: wanted.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_last_value_ends() {
        let answers: &[&[u8]] = &[
            b"+OK\r\n",
            b":12\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"$0\r\n\r\n",
            b"*2\r\n$20\r\n01234567890123456789\r\n:1\r\n",
            b"*2\r\n*2\r\n:1\r\n$3\r\na\nb\r\n$-1\r\n",
            b"%1\r\n$1\r\na\r\n*0\r\n",
        ];
        for answer in answers {
            assert_eq!(whole(&[answer, &b":7\r\n"[..]].concat()), Some(answer.len()));
            for cut in 0..answer.len() {
                assert_eq!(whole(&answer[..cut]), None, "{:?}", &answer[..cut]);
            }
        }
    }

    #[test]
    fn values_come_one_after_the_other() {
        let answer = b"*3\r\n*2\r\n:5\r\n$2\r\nab\r\n$-1\r\n*0\r\n";
        let values: Vec<&[u8]> = Values(answer).collect();
        assert_eq!(values, [&b"5"[..], b"ab", b"-1"]);
    }

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        let mut out = Vec::new();
        command(&mut out, &[b"GET", b"a b"]);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$3\r\na b\r\n");
    }
}
