//! A Redis client of our own, as small as a drill can do with: RESP2, commands as arrays of bulk strings.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Bytes of one line: a number, or an error in words.
const LINE_MAX: u64 = 4_096;
/// Bytes of one string.
const STRING_MAX: usize = 1 << 20;
/// Items of one array: a list of 6,000 associations with their fields, and room.
const ITEMS_MAX: usize = 100_000;
/// Arrays in arrays; a range with data has three.
const DEPTH_MAX: u32 = 8;

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `+`: a word.
    Word(String),
    /// `-`: why not.
    Error(String),
    /// `:`: a number.
    Number(i64),
    /// `$`: a string.
    Text(Vec<u8>),
    /// `*`: several.
    Items(Vec<Reply>),
    /// `$-1` or `*-1`: nothing.
    Nothing,
}

impl Reply {
    /// A number, or a string of digits.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        match self {
            Reply::Number(number) => u64::try_from(*number).ok(),
            Reply::Text(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// A string or a word.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Reply::Word(word) => Some(word),
            Reply::Text(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// The items of an array; empty for anything else.
    #[must_use]
    pub fn items(&self) -> &[Reply] {
        if let Reply::Items(items) = self { items } else { &[] }
    }

    /// What stands beside a name in a flat list of names and values.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Reply> {
        let mut pairs = self.items().chunks_exact(2);
        pairs.find(|pair| pair[0].text() == Some(name)).map(|pair| &pair[1])
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Opens one.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn open(to: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(to).await?;
        // A command is one small write; waiting to fill a segment would be measured as the server's latency.
        stream.set_nodelay(true)?;
        Ok(Connection(BufReader::new(stream)))
    }

    /// Sends commands together and reads as many answers.
    ///
    /// # Errors
    /// The connection broke, or what came was not RESP: it is of no use any more then.
    pub async fn ask(&mut self, commands: &[Vec<String>]) -> io::Result<Vec<Reply>> {
        let mut bytes = Vec::new();
        for command in commands {
            bytes.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
            for part in command {
                bytes.extend_from_slice(format!("${}\r\n{part}\r\n", part.len()).as_bytes());
            }
        }
        self.0.get_mut().write_all(&bytes).await?;
        let mut replies = Vec::with_capacity(commands.len());
        for _ in commands {
            replies.push(read(&mut self.0, 0).await?);
        }
        Ok(replies)
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

async fn read<R: AsyncBufReadExt + Unpin + Send>(from: &mut R, depth: u32) -> io::Result<Reply> {
    if depth > DEPTH_MAX {
        return Err(wrong("arrays in arrays without end"));
    }
    let line = line(from).await?;
    let (kind, rest) = line.split_at_checked(1).ok_or_else(|| wrong("an empty line"))?;
    let number = || rest.parse::<i64>().map_err(|_| wrong("no number where one belongs"));
    match kind {
        "+" => Ok(Reply::Word(rest.to_owned())),
        "-" => Ok(Reply::Error(rest.to_owned())),
        ":" => number().map(Reply::Number),
        "$" | "*" if number()? == -1 => Ok(Reply::Nothing),
        "$" => string(from, bounded(number()?, STRING_MAX)?).await,
        "*" => {
            let mut items = Vec::new();
            for _ in 0..bounded(number()?, ITEMS_MAX)? {
                items.push(Box::pin(read(from, depth + 1)).await?);
            }
            Ok(Reply::Items(items))
        }
        _ => Err(wrong("a kind of answer that RESP2 does not have")),
    }
}

fn bounded(length: i64, max: usize) -> io::Result<usize> {
    usize::try_from(length)
        .ok()
        .filter(|length| *length <= max)
        .ok_or_else(|| wrong("a length out of bounds"))
}

async fn line<R: AsyncBufReadExt + Unpin + Send>(from: &mut R) -> io::Result<String> {
    let mut line = Vec::new();
    from.take(LINE_MAX).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.strip_suffix(b"\r\n").ok_or_else(|| wrong("a line without an end"))?;
    String::from_utf8(line.to_vec()).map_err(|_| wrong("a line that is not UTF-8"))
}

async fn string<R: AsyncBufReadExt + Unpin + Send>(from: &mut R, length: usize) -> io::Result<Reply> {
    let mut bytes = vec![0; length + 2];
    from.read_exact(&mut bytes).await?;
    if !bytes.ends_with(b"\r\n") {
        return Err(wrong("a string that is longer than it says"));
    }
    bytes.truncate(length);
    Ok(Reply::Text(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(bytes: &[u8]) -> io::Result<Reply> {
        read(&mut &bytes[..], 0).await
    }

    #[tokio::test]
    async fn every_kind_of_answer_is_read() {
        let text = |text: &str| Reply::Text(text.as_bytes().to_vec());
        assert_eq!(of(b"+OK\r\n").await.unwrap(), Reply::Word("OK".to_owned()));
        assert_eq!(of(b"-TRYAGAIN later\r\n").await.unwrap(), Reply::Error("TRYAGAIN later".to_owned()));
        assert_eq!(of(b":42\r\n").await.unwrap().number(), Some(42));
        assert_eq!(of(b"$2\r\na\n\r\n").await.unwrap(), text("a\n"));
        assert_eq!(
            (of(b"$-1\r\n").await.unwrap(), of(b"*-1\r\n").await.unwrap()),
            (Reply::Nothing, Reply::Nothing)
        );
        let map = of(b"*4\r\n$4\r\ntype\r\n$4\r\nuser\r\n$1\r\nv\r\n*1\r\n:7\r\n").await.unwrap();
        assert_eq!(map.field("type").unwrap().text(), Some("user"));
        assert_eq!(map.field("v").unwrap().items(), [Reply::Number(7)]);
        assert_eq!(map.field("user"), None, "a value is no name");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        for bytes in [
            &b""[..],
            b"\r\n",
            b":x\r\n",
            b"!3\r\nabc\r\n",
            b"$3\r\nab\r\n",
            b"$3\r\nabcd\r\n",
            b"$9999999999\r\n",
            b"$-2\r\n",
            b"*2\r\n:1\r\n",
            b"+no end",
            b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        ] {
            assert!(of(bytes).await.is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
        assert!(of(&[b'+'; 10_000]).await.is_err(), "a line has an end");
    }
}
