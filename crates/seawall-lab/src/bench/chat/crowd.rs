//! A thousand listeners and whoever speaks to them, on one thread with one epoll and one buffer for all.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use seawall_net::clock::SystemClock;
use seawall_policy::Clock;

use super::enter::{Entered, Way, frame};
use super::publisher::{Entrance, Publisher, failed, odd};
use super::walk::{Told, Walker};
use crate::LabError;

/// Read at once, from whichever socket; the largest batch a server sends fits.
const BUFFER: usize = 256 * 1024;
/// Events taken at once.
const EVENTS: usize = 256;
/// Listeners whose messages are looked into.
const LOOKED_INTO: usize = 32;
/// Publishers' connections are numbered from here.
const PUBLISHERS: u64 = 1 << 32;
/// How often sessions say that they are there, in nanoseconds.
const BEAT_EVERY: u64 = 15_000_000_000;

/// One of the crowd.
#[derive(Debug)]
struct Listener {
    stream: TcpStream,
    walker: Walker,
    /// Messages of this round.
    got: u32,
    /// The number of the last dispatch, of a session.
    seq: u64,
}

/// What was heard in a round, so far.
#[derive(Debug, Default, Clone)]
pub(super) struct Heard {
    /// Listeners that have the message of this number. It is a count: which message came late to whom, only the
    /// ones that are looked into can say.
    have: Vec<u32>,
    /// Messages that everybody has.
    pub low: u32,
    pub deliveries: u64,
    pub bytes: u64,
    /// From the moment a message was due until a looked-into listener had it, in nanoseconds.
    pub delays: Vec<u64>,
    /// Of the looked-into listeners: how often each number came.
    numbers: Vec<u32>,
}

/// Listeners of one server, and the publisher.
#[derive(Debug)]
pub(super) struct Crowd {
    epoll: OwnedFd,
    listeners: Vec<Listener>,
    looked_into: u32,
    pub publisher: Publisher,
    buffer: Box<[u8]>,
    clock: SystemClock,
    are_sessions: bool,
    last_beat: u64,
    pub heard: Heard,
}

impl Crowd {
    /// Lets `count` listeners in by `way`, each to be walked as `walker` says, and then the publisher.
    pub(super) fn gather(
        way: &Way,
        count: usize,
        walker: &Walker,
        entrance: Entrance,
    ) -> Result<Crowd, LabError> {
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|e| failed("make an epoll")(e.into()))?;
        let publisher = Publisher::new(entrance);
        let clock = SystemClock::new();
        let mut crowd = Crowd {
            epoll,
            listeners: Vec::with_capacity(count),
            looked_into: 0,
            publisher,
            buffer: vec![0; BUFFER].into(),
            are_sessions: matches!(way, Way::Session { .. }),
            last_beat: clock.now().0,
            clock,
            heard: Heard::default(),
        };
        let every = count.div_ceil(LOOKED_INTO).max(1);
        for i in 0..count {
            let walker = if i % every == 0 { walker.clone().looking() } else { walker.clone() };
            let Entered { stream, rest, seq } = way.enter(i)?;
            add(&crowd.epoll, &stream, i as u64)?;
            crowd.looked_into += u32::from(walker.looks());
            crowd.listeners.push(Listener { stream, walker, got: 0, seq });
            crowd.listen(i, &rest)?;
            crowd.beat()?;
        }
        Ok(crowd)
    }

    /// How many listen.
    pub(super) fn len(&self) -> usize {
        self.listeners.len()
    }

    /// Nanoseconds of this crowd's own clock.
    pub(super) fn now(&self) -> u64 {
        self.clock.now().0
    }

    /// When `time` will have passed.
    pub(super) fn after(&self, time: Duration) -> u64 {
        self.now().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    /// A round begins: nothing has been sent.
    pub(super) fn begin(&mut self) -> Result<(), LabError> {
        self.heard = Heard::default();
        for listener in &mut self.listeners {
            listener.got = 0;
        }
        self.beat()?;
        self.publisher.connect(|line, stream| add(&self.epoll, stream, PUBLISHERS + line as u64))
    }

    /// Sends the next message, due at `nanos`.
    pub(super) fn send(&mut self, nanos: u64, length: usize) -> Result<(), LabError> {
        let number = u32::try_from(self.heard.have.len()).unwrap_or(u32::MAX);
        self.heard.have.push(0);
        self.heard.numbers.push(0);
        self.publisher.send(nanos, number, length)
    }

    /// Messages sent in this round.
    pub(super) fn sent(&self) -> u32 {
        self.heard.have.len() as u32
    }

    /// Messages of which nobody waits any more: all have them, or, where nobody listens, the server has.
    pub(super) fn settled(&self, answered_before: u64) -> u32 {
        if self.listeners.is_empty() {
            (self.publisher.answered() - answered_before) as u32
        } else {
            self.heard.low
        }
    }

    /// Waits for something to be said, for no longer than `wait`, and hears it.
    pub(super) fn turn(&mut self, wait: Duration) -> Result<(), LabError> {
        // A socket with no room is tried again soon: waiting for room in it would be one more thing to watch.
        let wait = if self.publisher.is_stuck() { wait.min(Duration::from_millis(1)) } else { wait };
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        let mut events = Vec::<epoll::Event>::with_capacity(EVENTS);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed("wait for sockets")(error.into())),
        }
        for event in events {
            let who = event.data.u64();
            if who >= PUBLISHERS {
                self.publisher.hear((who - PUBLISHERS) as usize, &mut self.buffer)?;
            } else {
                self.read(who as usize)?;
            }
        }
        if self.publisher.is_stuck() { self.publisher.push_on() } else { Ok(()) }
    }

    fn read(&mut self, i: usize) -> Result<(), LabError> {
        let count = match self.listeners[i].stream.read(&mut self.buffer) {
            Ok(0) => return Err(odd("more for a listener", "the end of the connection")),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(error) => return Err(failed("listen")(error)),
        };
        // Lent for as long as it is walked over.
        let buffer = std::mem::take(&mut self.buffer);
        let outcome = self.listen(i, &buffer[..count]);
        self.buffer = buffer;
        outcome
    }

    fn listen(&mut self, i: usize, bytes: &[u8]) -> Result<(), LabError> {
        let now = self.now();
        let everybody = self.listeners.len() as u32;
        let Listener { stream, walker, got, seq } = &mut self.listeners[i];
        let mut told = Told::default();
        walker.walk(bytes, &mut told).map_err(|found| odd("what a listener is told", &found.0))?;
        let heard = &mut self.heard;
        heard.bytes += bytes.len() as u64;
        heard.deliveries += u64::from(told.messages);
        *seq += u64::from(told.messages);
        for _ in 0..told.messages {
            let have = heard.have.get_mut(*got as usize);
            *have.ok_or_else(|| odd("a message that was sent", "one more than were sent"))? += 1;
            *got += 1;
        }
        while heard.have.get(heard.low as usize) == Some(&everybody) {
            heard.low += 1;
        }
        for stamp in told.stamps {
            heard.delays.push(now.saturating_sub(stamp.nanos));
            let times = heard.numbers.get_mut(stamp.number as usize);
            *times.ok_or_else(|| odd("a message of this round", &format!("{stamp:?}")))? += 1;
        }
        for _ in 0..told.pings {
            stream.write_all(&frame(2, b"PONG\r\n")).map_err(failed("answer a PING"))?;
        }
        Ok(())
    }

    /// Hears what is said for `time`.
    pub(super) fn rest(&mut self, time: Duration) -> Result<(), LabError> {
        let until = self.after(time);
        while self.now() < until {
            self.turn(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Whether every listener that is looked into has every message, and none twice.
    pub(super) fn is_complete(&self) -> bool {
        self.heard.numbers.iter().all(|times| *times == self.looked_into)
    }

    /// Sessions say that they are there, when it is time to.
    pub(super) fn beat(&mut self) -> Result<(), LabError> {
        if !self.are_sessions || self.now() < self.last_beat + BEAT_EVERY {
            return Ok(());
        }
        self.last_beat = self.now();
        for i in 0..self.listeners.len() {
            let Listener { stream, seq, .. } = &mut self.listeners[i];
            let beat = frame(1, format!("{{\"op\":1,\"d\":{seq}}}").as_bytes());
            stream.write_all(&beat).map_err(failed("send a heartbeat"))?;
            // They are answered: not all at once, and not into the round that follows.
            self.turn(Duration::ZERO)?;
        }
        self.rest(Duration::from_millis(100))
    }
}

fn add(epoll: &OwnedFd, stream: &TcpStream, who: u64) -> Result<(), LabError> {
    epoll::add(epoll, stream, epoll::EventData::new_u64(who), epoll::EventFlags::IN)
        .map_err(|error| failed("watch a socket")(error.into()))
}
