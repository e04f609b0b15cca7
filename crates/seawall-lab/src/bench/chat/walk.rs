//! Counts messages in what a listener is sent, looking at nothing but the heads of frames.
//!
//! A load client that understood what it is told would be slower than the servers it measures. Everything here is
//! a state that survives the end of a read; the bytes of a message are stepped over, except on the few connections
//! that show what arrived and when.

/// The longest head of a frame a server sends.
const HEAD_MAX: usize = 10;

/// What begins the part of a message that says when it was sent, and as which.
pub(super) const MARK: &[u8] = b"bench:";
/// Digits of the nanoseconds, and of the number.
pub(super) const DIGITS: [usize; 2] = [16, 8];

/// What a frame's payload is made of.
#[derive(Debug, Clone)]
enum Inside {
    /// A frame is a message when it is as long as one; everything shorter is talk between client and server.
    Frames { message_min: u64 },
    /// The payloads are a stream of NATS's protocol: a server packs as many messages into a frame as there are.
    Nats { line: Vec<u8>, left: usize },
}

/// What a server sent that no listener of ours understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Odd(pub String);

/// When a message was sent, and which it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub nanos: u64,
    pub number: u32,
}

/// What came in one read.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Messages whose last byte has arrived.
    pub messages: u32,
    /// Questions whether we are still there, which must be answered.
    pub pings: u32,
    /// Of the messages, where they are looked into.
    pub stamps: Vec<Stamp>,
}

/// One connection's place in its stream.
#[derive(Debug, Clone)]
pub(super) struct Walker {
    inside: Inside,
    head: [u8; HEAD_MAX],
    have: usize,
    /// Bytes of the frame's payload still to come, and whether it counts at its end.
    left: u64,
    is_message: bool,
    /// What came of the message so far, where it is looked into.
    seen: Option<Vec<u8>>,
}

impl Walker {
    /// For servers that send one message in one frame of at least `message_min` bytes.
    pub(super) fn frames(message_min: u64) -> Walker {
        Walker::new(Inside::Frames { message_min })
    }

    /// For NATS.
    pub(super) fn nats() -> Walker {
        Walker::new(Inside::Nats { line: Vec::new(), left: 0 })
    }

    fn new(inside: Inside) -> Walker {
        Walker { inside, head: [0; HEAD_MAX], have: 0, left: 0, is_message: false, seen: None }
    }

    /// Looks into messages from here on.
    pub(super) fn looking(mut self) -> Walker {
        self.seen = Some(Vec::new());
        self
    }

    /// Whether it looks into messages.
    pub(super) fn looks(&self) -> bool {
        self.seen.is_some()
    }

    /// Steps over `bytes`.
    pub(super) fn walk(&mut self, mut bytes: &[u8], told: &mut Told) -> Result<(), Odd> {
        while !bytes.is_empty() {
            if self.left == 0 {
                let taken = self.begin(bytes)?;
                bytes = &bytes[taken..];
                continue;
            }
            let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            let (part, rest) = bytes.split_at(here);
            (self.left, bytes) = (self.left - here as u64, rest);
            match &mut self.inside {
                Inside::Nats { line, left } => nats(line, left, &mut self.seen, part, told)?,
                Inside::Frames { .. } if self.is_message => {
                    if let Some(seen) = &mut self.seen {
                        seen.extend_from_slice(part);
                    }
                    if self.left == 0 {
                        end(&mut self.seen, told)?;
                    }
                }
                Inside::Frames { .. } => {}
            }
        }
        Ok(())
    }

    /// Takes what there is of a head; how many bytes that was.
    fn begin(&mut self, bytes: &[u8]) -> Result<usize, Odd> {
        let mut taken = 0;
        loop {
            let length = match self.head[1] & 0x7f {
                _ if self.have < 2 => 2,
                126 => 4,
                127 => 10,
                _ => 2,
            };
            if self.have == length {
                break;
            }
            let more = (length - self.have).min(bytes.len() - taken);
            if more == 0 {
                return Ok(taken);
            }
            self.head[self.have..self.have + more].copy_from_slice(&bytes[taken..taken + more]);
            (self.have, taken) = (self.have + more, taken + more);
        }
        let [first, second, rest @ ..] = self.head;
        self.left = match second {
            126 => u64::from(u16::from_be_bytes([rest[0], rest[1]])),
            127 => u64::from_be_bytes(rest),
            short if short < 126 => u64::from(short),
            _ => return Err(Odd("a masked frame from a server".to_owned())),
        };
        self.have = 0;
        let opcode = first & 0x0f;
        match (opcode, &self.inside) {
            (0..=2, Inside::Frames { message_min }) => {
                self.is_message = first & 0x80 != 0 && self.left >= *message_min;
            }
            (0..=2, Inside::Nats { .. }) => {}
            (8, _) => {
                let why = String::from_utf8_lossy(bytes.get(taken + 2..).unwrap_or_default());
                let code =
                    bytes.get(taken..taken + 2).map_or(0, |code| u16::from_be_bytes([code[0], code[1]]));
                return Err(Odd(format!("the connection was closed: {code} {why}")));
            }
            _ => return Err(Odd(format!("a frame of kind {opcode}"))),
        }
        Ok(taken)
    }
}

/// A message is complete.
fn end(seen: &mut Option<Vec<u8>>, told: &mut Told) -> Result<(), Odd> {
    told.messages += 1;
    let Some(seen) = seen else { return Ok(()) };
    let stamp = stamp(seen).ok_or_else(|| Odd(format!("no stamp in {:?}", String::from_utf8_lossy(seen))))?;
    told.stamps.push(stamp);
    seen.clear();
    Ok(())
}

/// Finds the stamp that [`super::publisher::content`] wrote.
pub(super) fn stamp(message: &[u8]) -> Option<Stamp> {
    let at = message.windows(MARK.len()).position(|part| part == MARK)? + MARK.len();
    let text = std::str::from_utf8(message.get(at..at + DIGITS[0] + 1 + DIGITS[1])?).ok()?;
    let (nanos, number) = text.split_once(':')?;
    Some(Stamp { nanos: nanos.parse().ok()?, number: number.parse().ok()? })
}

/// Steps over a part of NATS's stream.
fn nats(
    line: &mut Vec<u8>,
    left: &mut usize,
    seen: &mut Option<Vec<u8>>,
    mut bytes: &[u8],
    told: &mut Told,
) -> Result<(), Odd> {
    while !bytes.is_empty() {
        if *left > 0 {
            let (part, rest) = bytes.split_at(bytes.len().min(*left));
            (*left, bytes) = (*left - part.len(), rest);
            if let Some(seen) = seen {
                seen.extend_from_slice(part);
            }
            if *left == 0 {
                end(seen, told)?;
            }
            continue;
        }
        let Some(newline) = bytes.iter().position(|byte| *byte == b'\n') else {
            line.extend_from_slice(bytes);
            return Ok(());
        };
        let (part, rest) = bytes.split_at(newline + 1);
        bytes = rest;
        let whole = if line.is_empty() {
            part
        } else {
            line.extend_from_slice(part);
            &line[..]
        };
        match whole {
            [b'M', b'S', b'G', b' ', ..] => {
                let text = std::str::from_utf8(whole).unwrap_or_default();
                let length = text.split_ascii_whitespace().last().and_then(|size| size.parse::<usize>().ok());
                // The payload and the line's end behind it.
                *left = length.ok_or_else(|| Odd(format!("{text:?}")))? + 2;
            }
            [b'P', b'I', b'N', b'G', ..] => told.pings += 1,
            [b'-', ..] => return Err(Odd(String::from_utf8_lossy(whole).trim().to_owned())),
            _ => {}
        }
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x80 | opcode];
        match payload.len() {
            len @ 0..126 => bytes.push(len as u8),
            len @ 126..65_536 => {
                bytes.push(126);
                bytes.extend((len as u16).to_be_bytes());
            }
            len => {
                bytes.push(127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(payload);
        bytes
    }

    fn message(number: u32, length: usize) -> Vec<u8> {
        let mut bytes = format!("{{\"content\":\"bench:{:016}:{number:08}:", 5_000 + number).into_bytes();
        bytes.resize(length, b'x');
        bytes
    }

    /// In parts of every size: what is counted does not depend on where a read ends.
    fn walked(walker: &Walker, bytes: &[u8]) -> (u32, u32, Vec<u32>) {
        let mut all = Vec::new();
        for size in [1, 2, 3, 5, 7, 64, 1000, bytes.len()] {
            let (mut walker, mut told) = (walker.clone(), Told::default());
            for part in bytes.chunks(size) {
                walker.walk(part, &mut told).unwrap();
            }
            let numbers = told.stamps.iter().map(|stamp| stamp.number).collect();
            all.push((told.messages, told.pings, numbers));
        }
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
        all.remove(0)
    }

    #[test]
    fn messages_are_counted_wherever_reads_end_and_short_frames_are_not() {
        let bytes = [
            frame(1, b"{\"op\":11}"),
            frame(1, &message(7, 300)),
            frame(1, &message(8, 70_000)),
            frame(1, &[b'x'; 100]),
            frame(1, &message(9, 200)),
        ]
        .concat();
        assert_eq!(walked(&Walker::frames(200), &bytes), (3, 0, vec![]));
        assert_eq!(walked(&Walker::frames(200).looking(), &bytes), (3, 0, vec![7, 8, 9]));
    }

    #[test]
    fn nats_packs_messages_into_frames_as_it_likes() {
        let mut stream = Vec::new();
        for number in 0..5 {
            let payload = message(number, 90 + number as usize * 50);
            stream.extend(format!("MSG m 1 {}\r\n", payload.len()).into_bytes());
            stream.extend(payload);
            stream.extend(b"\r\nPING\r\n");
        }
        for cut in [1, 10, 17, 200, stream.len()] {
            let bytes: Vec<u8> = stream.chunks(cut).flat_map(|part| frame(2, part)).collect();
            assert_eq!(walked(&Walker::nats().looking(), &bytes), (5, 5, vec![0, 1, 2, 3, 4]), "{cut}");
        }
    }

    #[test]
    fn a_server_that_closes_or_complains_is_not_counted_on() {
        let walk =
            |walker: Walker, bytes: &[u8]| walker.clone().walk(bytes, &mut Told::default()).unwrap_err().0;
        assert!(walk(Walker::frames(1), &frame(8, &[15, 160])).contains("closed"));
        assert!(walk(Walker::frames(1), &[0x81, 0x85]).contains("masked"));
        let slow = frame(2, b"-ERR 'Slow Consumer'\r\n");
        assert_eq!(walk(Walker::nats(), &slow), "-ERR 'Slow Consumer'");
        assert!(walk(Walker::frames(1).looking(), &frame(1, b"no stamp here")).contains("no stamp"));
    }

    #[test]
    fn a_stamp_is_read_from_anywhere_in_a_message() {
        let stamp = stamp(&message(3, 200)).unwrap();
        assert_eq!(stamp, Stamp { nanos: 5_003, number: 3 });
        assert_eq!(super::stamp(b"bench:12"), None);
        assert_eq!(super::stamp(b""), None);
    }
}
