//! Puts words to the parser's refusals, and lets them arrive.
//!
//! What hyper cannot parse it refuses by itself, with an empty answer that no system of ours has seen. This
//! adapter between it and the socket recognises such an answer and sends the same JSON error in its place that
//! every other refusal is.
//!
//! Only the first request of a connection gets words. Until one has been served, nothing but a refusal can be
//! written here; afterwards a written piece may be somebody's content that merely looks like one, and changing
//! that would be worse than an empty refusal.
//!
//! A client in the middle of a large head has not read anything yet. Closing with its bytes unread would make
//! the kernel answer with a reset, which throws the refusal away before it is read. So after a refusal the rest
//! is read and dropped for a moment, as nginx does (`lingering_close`).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::problem::Problem;

/// A refused client may go on sending for so long, or for so many bytes, until it is cut off.
const LINGER_MAX: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 8 << 20;

/// A client's connection, as hyper sees it.
pub(super) struct Worded {
    stream: TcpStream,
    /// Set by whoever serves, before the first answer can be written.
    has_served: Arc<AtomicBool>,
    /// Our words, not yet written.
    pending: Vec<u8>,
    /// Set once we have spoken: nothing more is served on this connection.
    linger: Option<Linger>,
}

struct Linger {
    until: Pin<Box<Sleep>>,
    bytes: usize,
    is_shut: bool,
}

impl Worded {
    pub(super) fn new(stream: TcpStream, has_served: Arc<AtomicBool>) -> Worded {
        Worded { stream, has_served, pending: Vec::new(), linger: None }
    }

    /// The socket, for those who go on without HTTP.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// The words for what is being written, if it is a refusal of the parser.
    fn worded(&self, written: &[u8]) -> Option<Vec<u8>> {
        if self.has_served.load(Ordering::Acquire) { None } else { refusal(written) }
    }

    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.pending))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.drain(..n);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(linger) = &mut self.linger else { return Pin::new(&mut self.stream).poll_shutdown(cx) };
        if !linger.is_shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            linger.is_shut = true;
        }
        let mut scratch = [0; 16 * 1024];
        loop {
            let mut read = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if read.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => linger.bytes += read.filled().len(),
                // The peer is gone; there is nobody left to be polite to.
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Pending => return linger.until.as_mut().poll(cx).map(Ok),
            }
            if linger.bytes > LINGER_BYTES_MAX {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncRead for Worded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Worded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_pending(cx))?;
        match self.worded(buf) {
            None => Pin::new(&mut self.stream).poll_write(cx, buf),
            Some(worded) => {
                self.pending = worded;
                self.linger = Some(Linger { until: Box::pin(sleep(LINGER_MAX)), bytes: 0, is_shut: false });
                Poll::Ready(Ok(buf.len()))
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs.iter().find(|b| !b.is_empty()) {
            // A refusal is one short buffer.
            Some(first) if self.worded(first).is_some() => self.poll_write(cx, first),
            _ => {
                ready!(self.poll_pending(cx))?;
                Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(cx))?;
        self.poll_linger(cx)
    }
}

/// The answer to send instead, when `written` is a refusal of the parser.
fn refusal(written: &[u8]) -> Option<Vec<u8>> {
    let status = written.strip_prefix(b"HTTP/1.1 4")?.get(..2)?;
    let status = StatusCode::from_bytes(&[b'4', status[0], status[1]]).ok()?;
    if !written.ends_with(b"\r\n\r\n") {
        return None;
    }
    let (code, message) = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            ("head_too_large", "the request has too many headers, or they are too long")
        }
        StatusCode::URI_TOO_LONG => ("target_too_long", "the request target is too long"),
        _ => ("bad_request", "the request head is malformed"),
    };
    let body = Problem::new(status, code, message).body();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut worded = format!(
        "HTTP/1.1 {} {reason}\r\nserver: seawall\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        status.as_u16(),
        body.len()
    )
    .into_bytes();
    worded.extend_from_slice(&body);
    Some(worded)
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn only_the_parsers_own_refusals_are_put_into_words() {
        let bare =
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let worded = String::from_utf8(refusal(bare).unwrap()).unwrap();
        assert!(
            worded.starts_with("HTTP/1.1 431 ") && worded.contains(r#""code":"head_too_large""#),
            "{worded}"
        );
        for ours in [
            "HTTP/1.1 404 Not Found\r\nserver: seawall\r\ncontent-length: 2\r\n\r\nno",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "a body that begins somewhere",
            "HTTP/1.1 4",
        ] {
            assert!(refusal(ours.as_bytes()).is_none(), "{ours}");
        }
    }
}
