//! Who sends the messages: durable sends over kept connections, a POST to nchan, a PUB to NATS. Never waits.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::walk::{DIGITS, MARK};
use crate::LabError;

/// Characters of a message's content.
pub(super) const CONTENT: usize = 200;
/// Longest answer to a request that is kept together.
const ANSWER_MAX: usize = 64 * 1024;

/// A message's text: when it was sent, as which, and nothing more until it is `length` long.
pub(super) fn content(nanos: u64, number: u32, length: usize) -> Vec<u8> {
    let mut text = MARK.to_vec();
    // Writing to a Vec does not fail.
    let _ = write!(text, "{nanos:0n$}:{number:0m$}:", n = DIGITS[0], m = DIGITS[1]);
    text.resize(text.len().max(length), b'x');
    text
}

/// How a message enters a server.
#[derive(Debug, Clone)]
pub(super) enum Entrance {
    /// `POST` of a JSON message, over as many connections as messages may be unanswered.
    Chat { address: SocketAddr, channel: String, token: String, connections: usize },
    /// `POST` of the text.
    Nchan { address: SocketAddr, connections: usize },
    /// `PUB` on one connection.
    Nats { address: SocketAddr },
    /// A length and the text, on one connection.
    Ring { address: SocketAddr },
}

/// Sends messages; counts what was taken.
#[derive(Debug)]
pub(super) struct Publisher {
    entrance: Entrance,
    lines: Vec<Line>,
    free: Vec<usize>,
    waiting: VecDeque<Vec<u8>>,
    answered: u64,
}

/// One connection.
#[derive(Debug)]
struct Line {
    /// None when the server has closed it, as servers do with connections that say nothing for a while.
    stream: Option<TcpStream>,
    out: Vec<u8>,
    answer: Vec<u8>,
}

impl Publisher {
    /// Makes one that is not connected yet.
    pub(super) fn new(entrance: Entrance) -> Publisher {
        let count = match &entrance {
            Entrance::Chat { connections, .. } | Entrance::Nchan { connections, .. } => *connections,
            Entrance::Nats { .. } | Entrance::Ring { .. } => 1,
        };
        let lines = (0..count).map(|_| Line { stream: None, out: Vec::new(), answer: Vec::new() }).collect();
        Publisher { entrance, lines, free: Vec::new(), waiting: VecDeque::new(), answered: 0 }
    }

    /// Connects whatever is not connected; the new connections are shown to `watch` by their numbers.
    pub(super) fn connect(
        &mut self,
        mut watch: impl FnMut(usize, &TcpStream) -> Result<(), LabError>,
    ) -> Result<(), LabError> {
        let address = match &self.entrance {
            Entrance::Chat { address, .. }
            | Entrance::Nchan { address, .. }
            | Entrance::Nats { address }
            | Entrance::Ring { address } => *address,
        };
        for line in 0..self.lines.len() {
            if self.lines[line].stream.is_some() {
                continue;
            }
            let stream = TcpStream::connect(address).map_err(failed("connect a publisher"))?;
            stream.set_nodelay(true).map_err(failed("set TCP_NODELAY"))?;
            stream.set_nonblocking(true).map_err(failed("stop waiting on a socket"))?;
            watch(line, &stream)?;
            self.lines[line].stream = Some(stream);
            self.free.push(line);
            if let Entrance::Nats { .. } = self.entrance {
                self.lines[line].out = b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n".to_vec();
                self.push_out(line)?;
            }
        }
        Ok(())
    }

    /// Sends a message, at once or as soon as a connection is free.
    pub(super) fn send(&mut self, nanos: u64, number: u32, length: usize) -> Result<(), LabError> {
        let text = content(nanos, number, length);
        match &self.entrance {
            Entrance::Nats { .. } => {
                let out = &mut self.lines[0].out;
                out.extend_from_slice(format!("PUB m {}\r\n", text.len()).as_bytes());
                out.extend_from_slice(&text);
                out.extend_from_slice(b"\r\n");
                self.answered += 1;
                self.push_out(0)
            }
            Entrance::Ring { .. } => {
                let out = &mut self.lines[0].out;
                out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
                out.extend_from_slice(&text);
                self.answered += 1;
                self.push_out(0)
            }
            Entrance::Chat { channel, token, .. } => {
                let path = format!("/api/v10/channels/{channel}/messages");
                let auth = format!("Authorization: Bot {token}\r\nContent-Type: application/json\r\n");
                let body = [b"{\"content\":\"", &text[..], b"\"}"].concat();
                self.post(&path, &auth, &body)
            }
            Entrance::Nchan { .. } => self.post("/pub", "", &text),
        }
    }

    fn post(&mut self, path: &str, headers: &str, body: &[u8]) -> Result<(), LabError> {
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: bench\r\n{headers}Content-Length: {length}\r\n\r\n");
        self.waiting.push_back([head.as_bytes(), body].concat());
        self.hand_out()
    }

    fn hand_out(&mut self) -> Result<(), LabError> {
        while !self.waiting.is_empty()
            && let Some(line) = self.free.pop()
        {
            self.lines[line].out = self.waiting.pop_front().unwrap_or_default();
            self.push_out(line)?;
        }
        Ok(())
    }

    /// Messages the server has said it has; of servers that say nothing, all that were sent.
    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    /// Whether everything sent has left us and was answered.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
            && self.lines.iter().all(|line| line.out.is_empty())
            && (!self.is_asking() || self.free.len() == self.connected())
    }

    fn connected(&self) -> usize {
        self.lines.iter().filter(|line| line.stream.is_some()).count()
    }

    fn is_asking(&self) -> bool {
        matches!(self.entrance, Entrance::Chat { .. } | Entrance::Nchan { .. })
    }

    /// Whether bytes wait for room in a socket.
    pub(super) fn is_stuck(&self) -> bool {
        self.lines.iter().any(|line| !line.out.is_empty())
    }

    /// Tries again what a full socket did not take.
    pub(super) fn push_on(&mut self) -> Result<(), LabError> {
        for line in 0..self.lines.len() {
            self.push_out(line)?;
        }
        Ok(())
    }

    fn push_out(&mut self, line: usize) -> Result<(), LabError> {
        let Line { stream: Some(stream), out, .. } = &mut self.lines[line] else { return Ok(()) };
        while !out.is_empty() {
            match stream.write(out) {
                Ok(taken) => drop(out.drain(..taken)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(failed("send a message")(error)),
            }
        }
        Ok(())
    }

    /// Reads what `line` was answered.
    pub(super) fn hear(&mut self, line: usize, buffer: &mut [u8]) -> Result<(), LabError> {
        let is_asking = self.is_asking();
        let Line { stream: there, out, answer } = &mut self.lines[line];
        let Some(stream) = there else { return Ok(()) };
        let count = match stream.read(buffer) {
            Ok(0) if is_asking && self.free.contains(&line) => {
                *there = None;
                self.free.retain(|free| *free != line);
                return Ok(());
            }
            Ok(0) => return Err(failed("send on")(ErrorKind::ConnectionAborted.into())),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(failed("read what a message was answered")(error)),
        };
        answer.extend_from_slice(&buffer[..count]);
        if !is_asking {
            let text = String::from_utf8_lossy(answer);
            if text.contains("-ERR") {
                return Err(odd("NATS's word to a publisher", &text));
            }
            if text.contains("PING\r\n") {
                out.extend_from_slice(b"PONG\r\n");
            }
            answer.clear();
            return self.push_out(line);
        }
        match answer_end(answer)? {
            None => Ok(()),
            Some(end) if end == answer.len() => {
                answer.clear();
                self.answered += 1;
                self.free.push(line);
                self.hand_out()
            }
            Some(_) => Err(odd("an answer to a message", "more than one")),
        }
    }
}

/// Where a good answer ends; none while it is not all there.
fn answer_end(answer: &[u8]) -> Result<Option<usize>, LabError> {
    let Some(head) = answer.windows(4).position(|part| part == b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let length = text
        .split("\r\n")
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|length| length.trim().parse::<usize>().ok());
    let status = text.split(' ').nth(1).unwrap_or_default();
    let Some(end) = length.map(|length| head + 4 + length).filter(|end| *end <= ANSWER_MAX) else {
        return Err(odd("an answer to a message, with its length", &text));
    };
    if !status.starts_with('2') {
        return Err(odd("a good answer to a message", &String::from_utf8_lossy(answer)));
    }
    Ok((answer.len() >= end).then_some(end))
}

pub(super) fn failed(what: &'static str) -> impl FnOnce(std::io::Error) -> LabError {
    LabError::io(what)
}

pub(super) fn odd(what: &'static str, found: &str) -> LabError {
    LabError::Unreadable { what, found: found.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::walk::{Stamp, stamp};
    use super::*;

    #[test]
    fn a_message_says_when_it_was_sent_and_is_as_long_as_it_should_be() {
        let text = content(1_234, 56, CONTENT);
        assert_eq!((text.len(), stamp(&text)), (CONTENT, Some(Stamp { nanos: 1_234, number: 56 })));
        assert!(text.iter().all(u8::is_ascii_graphic));
    }

    #[test]
    fn an_answer_ends_where_its_length_says_and_a_refusal_is_an_error() {
        let good = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        for cut in 0..good.len() {
            assert_eq!(answer_end(&good[..cut]).unwrap(), None);
        }
        assert_eq!(answer_end(good).unwrap(), Some(good.len()));
        assert!(answer_end(b"HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(answer_end(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }
}
