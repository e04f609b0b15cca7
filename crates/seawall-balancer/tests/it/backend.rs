//! Backends small enough to misbehave exactly as told: raw sockets, a thread per connection.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a backend does with each request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Does {
    /// 200 with its own port as the body.
    Answer,
    /// This, byte for byte; the connection stays open.
    Say(String),
    /// 200 with this many bytes, chunked.
    Chunked(usize),
    /// 200 as `Answer`, after a while.
    Slow(Duration),
    /// A full 502.
    BadGateway,
    /// A full 503.
    Unavailable,
    /// Reads the request and closes in silence.
    Close,
    /// Leaves the request unread, so that closing resets the connection.
    Reset,
    /// Promises so many bytes, sends half of them and closes.
    Half(usize),
    /// Promises a gigabyte and sends it slowly until the other side is gone.
    Trickle,
    /// Reads the request and says nothing.
    Hang,
}

pub(crate) struct Seen {
    /// Request line and headers, as they came.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Backend {
    pub(crate) addr: SocketAddr,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

struct State {
    does: Mutex<Does>,
    ready: AtomicBool,
    stopped: AtomicBool,
    seen: Mutex<Vec<Seen>>,
    /// Connections that carried a request other than a check.
    carried: AtomicUsize,
    open: Mutex<HashMap<SocketAddr, TcpStream>>,
    port: u16,
}

impl Backend {
    pub(crate) fn start(does: Does) -> Backend {
        Backend::at(SocketAddr::from(([127, 0, 0, 1], 0)), does)
    }

    pub(crate) fn at(addr: SocketAddr, does: Does) -> Backend {
        let listener = TcpListener::bind(addr).unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(State {
            does: Mutex::new(does),
            ready: AtomicBool::new(true),
            stopped: AtomicBool::new(false),
            seen: Mutex::default(),
            carried: AtomicUsize::new(0),
            open: Mutex::default(),
            port: addr.port(),
        });
        let accepting = {
            let state = state.clone();
            std::thread::spawn(move || accept(&listener, &state))
        };
        Backend { addr, state, accepting: Some(accepting) }
    }

    /// Requests so far, checks not counted.
    pub(crate) fn requests(&self) -> usize {
        self.state.seen.lock().unwrap().len()
    }

    pub(crate) fn last(&self) -> Seen {
        self.state.seen.lock().unwrap().pop().expect("a request")
    }

    pub(crate) fn carried(&self) -> usize {
        self.state.carried.load(Ordering::SeqCst)
    }

    pub(crate) fn does(&self, does: Does) {
        *self.state.does.lock().unwrap() = does;
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        self.state.ready.store(ready, Ordering::SeqCst);
    }

    /// Dies: nobody listens any more, and what was open breaks.
    pub(crate) fn kill(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.state.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.addr));
        accepting.join().unwrap();
        for (_, stream) in self.state.open.lock().unwrap().drain() {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        // Under the lock that `kill` takes, so that no connection escapes it.
        let mut open = state.open.lock().unwrap();
        if state.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(peer) = stream.peer_addr() else { continue };
        open.insert(peer, stream.try_clone().unwrap());
        drop(open);
        let state = state.clone();
        std::thread::spawn(move || {
            drop(serve(&stream, &state));
            // The last handle but `stream` itself: what follows is the close.
            state.open.lock().unwrap().remove(&peer);
        });
    }
}

fn serve(mut stream: &TcpStream, state: &State) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut carried = false;
    loop {
        if *state.does.lock().unwrap() == Does::Reset {
            // Checks are answered all the same. Every head is sent in one write.
            let mut start = [0; 6];
            if stream.peek(&mut start)? == 0 {
                return Ok(());
            }
            if &start != b"GET /-" {
                state.seen.lock().unwrap().push(Seen { head: String::new(), body: Vec::new() });
                return Ok(());
            }
        }
        let Some(seen) = read(&mut reader)? else { return Ok(()) };
        if seen.head.starts_with("GET /-/ready ") && seen.head.contains("health-check") {
            let status = if state.ready.load(Ordering::SeqCst) { "200 OK" } else { "503 Not Ready" };
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")?;
            continue;
        }
        if !std::mem::replace(&mut carried, true) {
            state.carried.fetch_add(1, Ordering::SeqCst);
        }
        let is_head = seen.head.starts_with("HEAD ");
        state.seen.lock().unwrap().push(seen);
        let does = state.does.lock().unwrap().clone();
        if !act(stream, &does, is_head, state.port)? {
            return stream.shutdown(Shutdown::Both);
        }
    }
}

/// Whether the connection stays open.
fn act(mut stream: &TcpStream, does: &Does, is_head: bool, port: u16) -> std::io::Result<bool> {
    let full = |status: &str, body: &str| {
        let len = body.len();
        let body = if is_head { "" } else { body };
        format!("HTTP/1.1 {status}\r\ncontent-length: {len}\r\nx-port: {port}\r\n\r\n{body}")
    };
    match does {
        Does::Answer => stream.write_all(full("200 OK", &port.to_string()).as_bytes())?,
        Does::Say(text) => stream.write_all(text.as_bytes())?,
        Does::Slow(time) => {
            std::thread::sleep(*time);
            stream.write_all(full("200 OK", &port.to_string()).as_bytes())?;
        }
        Does::BadGateway => stream.write_all(full("502 Bad Gateway", "theirs").as_bytes())?,
        Does::Unavailable => stream.write_all(full("503 Service Unavailable", "theirs").as_bytes())?,
        Does::Chunked(len) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            let mut left = *len;
            while left > 0 {
                let n = left.min(10_000);
                write!(stream, "{n:x}\r\n{}\r\n", "x".repeat(n))?;
                left -= n;
            }
            stream.write_all(b"0\r\n\r\n")?;
        }
        Does::Close | Does::Reset => return Ok(false),
        Does::Half(len) => {
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n{}", "x".repeat(len / 2))?;
            return Ok(false);
        }
        Does::Trickle => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n")?;
            loop {
                stream.write_all(&[b'x'; 1024])?;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Does::Hang => {
            // Until the other side gives up.
            let mut rest = [0; 1];
            drop(stream.read(&mut rest));
            return Ok(false);
        }
    }
    Ok(true)
}

/// One request, its body by length or in chunks; `None` at the end of the connection.
fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Seen>> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
        if &head[before..] == "\r\n" {
            break;
        }
    }
    let lower = head.to_ascii_lowercase();
    let mut body = Vec::new();
    if let Some(at) = lower.find("content-length: ") {
        let len = lower[at + 16..].lines().next().unwrap().trim().parse().unwrap();
        body.resize(len, 0);
        reader.read_exact(&mut body)?;
    } else if lower.contains("transfer-encoding: chunked") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk)?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
    Ok(Some(Seen { head, body }))
}
