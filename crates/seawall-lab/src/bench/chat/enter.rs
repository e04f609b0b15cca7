//! How one listener gets in: connects, becomes a WebSocket, says who it is or what it wants, and is told that it
//! has it. One after the other and waiting each time; nothing is measured meanwhile.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::publisher::{failed, odd};
use crate::LabError;

/// Patience for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// GUILDS, GUILD_MESSAGES and MESSAGE_CONTENT.
const INTENTS: u32 = 1 | 1 << 9 | 1 << 15;
/// Longest frame a listener is sent before it is in.
const FRAME_MAX: usize = 16 << 20;

/// What a listener has to say.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// HELLO, IDENTIFY, READY, and then the one guild. Tokens are used in turn.
    Session { address: SocketAddr, tokens: Vec<String> },
    /// `SUB`, and a PING that shows it was heard.
    Subject { address: SocketAddr },
    /// The path says it all.
    Path { address: SocketAddr, path: &'static str },
}

/// A listener that is in.
#[derive(Debug)]
pub(super) struct Entered {
    pub stream: TcpStream,
    /// What came behind the last answer.
    pub rest: Vec<u8>,
    /// The number of the last dispatch.
    pub seq: u64,
}

impl Way {
    /// Lets listener `i` in.
    pub(super) fn enter(&self, i: usize) -> Result<Entered, LabError> {
        let (address, path) = match self {
            Way::Session { address, .. } => (*address, "/?v=10&encoding=json"),
            Way::Subject { address } => (*address, "/"),
            Way::Path { address, path } => (*address, *path),
        };
        let stream = TcpStream::connect(address).map_err(failed("connect a listener"))?;
        stream.set_nodelay(true).map_err(failed("set TCP_NODELAY"))?;
        stream.set_read_timeout(Some(ANSWER_WITHIN)).map_err(failed("set a timeout"))?;
        let mut door = Door { stream, unread: Vec::new() };
        door.upgrade(path)?;
        let seq = match self {
            Way::Session { tokens, .. } => door.identify(&tokens[i % tokens.len()])?,
            Way::Subject { .. } => {
                door.say(2, b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB m 1\r\nPING\r\n")?;
                while !String::from_utf8_lossy(&door.frame()?).contains("PONG") {}
                0
            }
            Way::Path { .. } => 0,
        };
        door.stream.set_nonblocking(true).map_err(failed("stop waiting on a socket"))?;
        Ok(Entered { stream: door.stream, rest: door.unread, seq })
    }
}

struct Door {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Door {
    fn upgrade(&mut self, path: &str) -> Result<(), LabError> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes()).map_err(failed("ask for a WebSocket"))?;
        loop {
            if let Some(end) = self.unread.windows(4).position(|part| part == b"\r\n\r\n") {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                if head.starts_with(b"HTTP/1.1 101") {
                    return Ok(());
                }
                return Err(odd("a 101 to a WebSocket's beginning", &String::from_utf8_lossy(&head)));
            }
            self.read()?;
        }
    }

    fn identify(&mut self, token: &str) -> Result<u64, LabError> {
        let hello = self.frame()?;
        if !hello.windows(7).any(|part| part == b"\"op\":10") {
            return Err(odd("a HELLO", &String::from_utf8_lossy(&hello)));
        }
        let identify = format!(
            "{{\"op\":2,\"d\":{{\"token\":\"Bot {token}\",\"intents\":{INTENTS},\"properties\":\
             {{\"os\":\"linux\",\"browser\":\"bench\",\"device\":\"bench\"}}}}}}"
        );
        self.say(1, identify.as_bytes())?;
        loop {
            let frame = self.frame()?;
            let found: serde_json::Value = serde_json::from_slice(&frame).unwrap_or_default();
            match (found["op"].as_u64(), found["t"].as_str()) {
                (Some(0), Some("GUILD_CREATE")) => return Ok(found["s"].as_u64().unwrap_or_default()),
                (Some(0), _) => {}
                _ => return Err(odd("READY and a guild", &String::from_utf8_lossy(&frame))),
            }
        }
    }

    fn say(&mut self, opcode: u8, payload: &[u8]) -> Result<(), LabError> {
        self.stream.write_all(&frame(opcode, payload)).map_err(failed("speak as a listener"))
    }

    /// The payload of the next frame.
    fn frame(&mut self) -> Result<Vec<u8>, LabError> {
        loop {
            if let Some((from, to)) = whole(&self.unread) {
                if to - from > FRAME_MAX || self.unread[0] & 0x0f == 8 {
                    return Err(odd("a frame for a listener", &String::from_utf8_lossy(&self.unread)));
                }
                let payload = self.unread[from..to].to_vec();
                self.unread.drain(..to);
                return Ok(payload);
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Result<(), LabError> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer).map_err(failed("hear what a listener is told"))? {
            0 => Err(odd("an answer to a listener", "the end of the connection")),
            count => {
                self.unread.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }
}

/// Where the payload of the first frame is, once all of it is there.
fn whole(bytes: &[u8]) -> Option<(usize, usize)> {
    let short = usize::from(*bytes.get(1)? & 0x7f);
    let (from, length): (usize, usize) = match short {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, short),
    };
    let to = from.checked_add(length)?;
    (bytes.len() >= to).then_some((from, to))
}

/// A client's frame. Its mask is zero, which is as good as any other between us.
pub(super) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match u16::try_from(payload.len()) {
        Ok(short @ 0..126) => bytes.push(0x80 | short as u8),
        length => {
            bytes.push(0x80 | 126);
            bytes.extend(length.unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_whole_when_its_last_byte_is_there() {
        for (head, from) in
            [(vec![0x81, 3], 2), (vec![0x81, 126, 0, 3], 4), (vec![0x81, 127, 0, 0, 0, 0, 0, 0, 0, 3], 10)]
        {
            let bytes = [&head[..], b"abc"].concat();
            assert_eq!(whole(&bytes), Some((from, from + 3)));
            assert!((0..bytes.len()).all(|cut| whole(&bytes[..cut]).is_none()));
        }
    }

    #[test]
    fn a_clients_frame_is_masked() {
        assert_eq!(frame(1, b"hi"), [0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
        assert_eq!(frame(2, &[0; 300])[..4], [0x82, 0xfe, 1, 44]);
    }
}
