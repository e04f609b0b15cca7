//! The bare ring: the gateway's frames, its ring and a cursor per listener, and nothing else.
//!
//! No sessions, no visibility, no journal, no store: what is left of a delivery when only the bytes count. It runs
//! on a thread of this process, tied to the server's core, whose CPU time the kernel counts by itself.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use seawall_chat::event::Kind;
use seawall_chat::gateway::entry::{Entry, To, What};
use seawall_chat::gateway::frame::{Codec, Compression, Slot, write_dispatch};
use seawall_chat::gateway::ring::{Batch, Ring};
use seawall_chat::id::Id;

use super::publisher::failed;
use crate::LabError;
use crate::bench::cpu;
use crate::servers::program::tie_this_thread;

/// As in the service.
const ENTRIES_MAX: usize = 65_536;
const BYTES_MAX: usize = 64 << 20;
/// Written at once, as in the service.
const WRITE_BYTES: usize = 32 * 1024;
/// Entries taken from the ring at once, as in the service.
const LOOK_MAX: usize = 1024;
/// Read at once.
const READ_BYTES: usize = 256 * 1024;
/// Events taken at once.
const EVENTS: usize = 256;
/// The listening sockets; connections follow.
const LISTENERS: u64 = u64::MAX - 1;
const PUBLISHERS: u64 = u64::MAX;

/// The running server. Dropping it ends its thread.
#[derive(Debug)]
pub(super) struct RingServer {
    /// Where listeners connect.
    pub listeners: SocketAddr,
    /// Where the publisher does.
    pub publishers: SocketAddr,
    thread: Arc<AtomicU32>,
    stopping: Arc<AtomicBool>,
    running: Option<JoinHandle<()>>,
}

impl RingServer {
    /// Starts it.
    pub(super) fn start(core: Option<u32>) -> Result<RingServer, LabError> {
        let mut server = Server::new()?;
        let address = |socket: &TcpListener| socket.local_addr().map_err(failed("ask for an address"));
        let (listeners, publishers) = (address(&server.listeners)?, address(&server.publishers)?);
        let (thread, stopping) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let (me, stop) = (thread.clone(), stopping.clone());
        let running = std::thread::Builder::new()
            .name("ring".to_owned())
            .spawn(move || {
                tie_this_thread(core);
                me.store(cpu::this_thread().unwrap_or(0), Ordering::Release);
                while !stop.load(Ordering::Relaxed) {
                    // Whoever listens finds the connections closed, and says so.
                    if server.turn().is_err() {
                        return;
                    }
                }
            })
            .map_err(failed("start a thread"))?;
        Ok(RingServer { listeners, publishers, thread, stopping, running: Some(running) })
    }

    /// Its thread's number for the kernel; none before it runs.
    pub(super) fn thread(&self) -> Option<u32> {
        Some(self.thread.load(Ordering::Acquire)).filter(|thread| *thread != 0)
    }
}

impl Drop for RingServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(running) = self.running.take() {
            let _ = running.join();
        }
    }
}

/// One listener.
struct Peer {
    stream: TcpStream,
    is_open: bool,
    /// The last entry it was sent.
    at: u64,
    /// What a full socket did not take.
    rest: Vec<u8>,
    codec: Codec,
}

struct Server {
    epoll: OwnedFd,
    listeners: TcpListener,
    publishers: TcpListener,
    peers: Vec<Peer>,
    publisher: Option<TcpStream>,
    incoming: Vec<u8>,
    buffer: Box<[u8]>,
    scratch: Vec<u8>,
    ring: Ring,
}

impl Server {
    fn new() -> Result<Server, LabError> {
        let bind = || {
            let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_nonblocking(true).map(|()| socket)
        };
        let server = Server {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)
                .map_err(|e| failed("make an epoll")(e.into()))?,
            listeners: bind().map_err(failed("listen"))?,
            publishers: bind().map_err(failed("listen"))?,
            peers: Vec::new(),
            publisher: None,
            incoming: Vec::new(),
            buffer: vec![0; READ_BYTES].into(),
            scratch: Vec::with_capacity(2 * WRITE_BYTES),
            ring: Ring::new(0, ENTRIES_MAX, BYTES_MAX),
        };
        for (socket, name) in [(&server.listeners, LISTENERS), (&server.publishers, PUBLISHERS)] {
            epoll::add(&server.epoll, socket, epoll::EventData::new_u64(name), epoll::EventFlags::IN)
                .map_err(|e| failed("watch a socket")(e.into()))?;
        }
        Ok(server)
    }

    /// Waits for something, and does it.
    fn turn(&mut self) -> std::io::Result<()> {
        let wait = Timespec { tv_sec: 0, tv_nsec: Duration::from_millis(50).as_nanos() as i64 };
        let mut events = Vec::<epoll::Event>::with_capacity(EVENTS);
        epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait))?;
        let before = self.ring.head();
        for event in events {
            // Copied: an event is a packed struct.
            let (name, flags) = (event.data.u64(), event.flags);
            match name {
                LISTENERS => self.accept()?,
                PUBLISHERS => self.hear()?,
                peer if flags.contains(epoll::EventFlags::OUT) => self.go_on(peer as usize)?,
                peer => self.upgrade(peer as usize),
            }
        }
        if self.ring.head() > before {
            self.flush(before)?;
        }
        Ok(())
    }

    fn accept(&mut self) -> std::io::Result<()> {
        while let Some((stream, _)) = taken(self.listeners.accept())? {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let name = epoll::EventData::new_u64(self.peers.len() as u64);
            epoll::add(&self.epoll, &stream, name, epoll::EventFlags::IN)?;
            let codec = Codec::new(Compression::None);
            self.peers.push(Peer { stream, is_open: false, at: 0, rest: Vec::new(), codec });
        }
        Ok(())
    }

    /// Any request is good enough. The answer's key is that of the one key our own listeners send.
    fn upgrade(&mut self, peer: usize) {
        let Some(peer) = self.peers.get_mut(peer) else { return };
        let count = peer.stream.read(&mut self.buffer).unwrap_or(0);
        if count == 0 {
            // Gone: level-triggered, it would be told for ever.
            let _ = epoll::delete(&self.epoll, &peer.stream);
            peer.is_open = false;
        } else if !peer.is_open {
            let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            peer.is_open = peer.stream.write_all(answer).is_ok();
            peer.at = self.ring.head();
        }
    }

    /// Takes what is published: each text becomes an entry.
    fn hear(&mut self) -> std::io::Result<()> {
        if self.publisher.is_none() {
            let Some((stream, _)) = taken(self.publishers.accept())? else { return Ok(()) };
            stream.set_nonblocking(true)?;
            // The same name: from now on this is what speaks under it.
            epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(PUBLISHERS), epoll::EventFlags::IN)?;
            self.publisher = Some(stream);
        }
        let Some(stream) = &mut self.publisher else { return Ok(()) };
        match taken(stream.read(&mut self.buffer).map(|count| (count, ())))? {
            Some((0, ())) => {
                epoll::delete(&self.epoll, &*stream)?;
                self.publisher = None;
            }
            Some((count, ())) => self.incoming.extend_from_slice(&self.buffer[..count]),
            None => {}
        }
        while let Some((length, rest)) = self.incoming.split_first_chunk() {
            let length = u32::from_be_bytes(*length) as usize;
            let Some(text) = rest.get(..length) else { break };
            let d = [b"{\"content\":\"", text, b"\"}"].concat().into();
            let (to, author, mentions) = (To::Guild(Id(1)), None, Box::default());
            let what = What::Dispatch { origin: None, to, t: Kind::MessageCreate, author, mentions, d };
            let slot = Slot::new(Entry { lsn: self.ring.head() + 1, what });
            self.ring.push([Arc::new(slot)]);
            self.incoming.drain(..4 + length);
        }
        Ok(())
    }

    /// Sends everybody what is new.
    fn flush(&mut self, before: u64) -> std::io::Result<()> {
        let newest = self.ring.after(before, LOOK_MAX).ok();
        for peer in 0..self.peers.len() {
            self.flush_one(peer, newest.as_ref())?;
        }
        Ok(())
    }

    fn flush_one(&mut self, name: usize, newest: Option<&Batch>) -> std::io::Result<()> {
        let Server { peers, ring, scratch, epoll, .. } = self;
        let peer = &mut peers[name];
        while peer.is_open && peer.rest.is_empty() && peer.at < ring.head() {
            scratch.clear();
            let found;
            let slots = match newest.and_then(|batch| batch.after(peer.at)).filter(|slots| !slots.is_empty())
            {
                Some(slots) => slots,
                None => {
                    found = ring.after(peer.at, LOOK_MAX).map_err(|_| std::io::Error::other("fell off"))?;
                    found.after(peer.at).unwrap_or_default()
                }
            };
            for slot in slots {
                peer.at += 1;
                write_dispatch(scratch, slot, peer.at, true, &mut peer.codec);
                if scratch.len() >= WRITE_BYTES {
                    break;
                }
            }
            let count =
                taken(peer.stream.write(scratch).map(|count| (count, ())))?.map_or(0, |(count, ())| count);
            if count < scratch.len() {
                peer.rest = scratch[count..].to_vec();
                watch(epoll, peer, name, epoll::EventFlags::IN | epoll::EventFlags::OUT)?;
            }
        }
        Ok(())
    }

    /// A socket has room again.
    fn go_on(&mut self, name: usize) -> std::io::Result<()> {
        let Some(peer) = self.peers.get_mut(name) else { return Ok(()) };
        let count =
            taken(peer.stream.write(&peer.rest).map(|count| (count, ())))?.map_or(0, |(count, ())| count);
        peer.rest.drain(..count);
        if peer.rest.is_empty() {
            peer.rest = Vec::new();
            watch(&self.epoll, peer, name, epoll::EventFlags::IN)?;
            self.flush_one(name, None)?;
        }
        Ok(())
    }
}

fn watch(epoll: &OwnedFd, peer: &Peer, name: usize, flags: epoll::EventFlags) -> std::io::Result<()> {
    epoll::modify(epoll, &peer.stream, epoll::EventData::new_u64(name as u64), flags)?;
    Ok(())
}

/// What a socket that is never waited for had, if anything.
fn taken<T, U>(outcome: std::io::Result<(T, U)>) -> std::io::Result<Option<(T, U)>> {
    match outcome {
        Ok(taken) => Ok(Some(taken)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}
