//! Moves the bytes of one proxied connection, through whatever faults are set at the moment.
//!
//! Each direction reads into a short queue and writes from it, so that a delayed chunk does not delay the reading
//! of the next: latency is then a delay line and not a limit on throughput. The queue is bounded; when it is full
//! the sender feels it, as on a real line. A change of faults wakes every wait here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use seawall_policy::{Clock, Mono, Rng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};

use super::toxic::{Effect, Stream};

/// Bytes read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// Chunks waiting in one direction: with 16 KiB each, at most 1 MiB held for each stream of a connection.
const CHUNKS_MAX: usize = 64;

/// Faults of both streams.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Effects {
    pub(super) up: Effect,
    pub(super) down: Effect,
}

impl Effects {
    pub(super) fn of(&mut self, stream: Stream) -> &mut Effect {
        match stream {
            Stream::Up => &mut self.up,
            Stream::Down => &mut self.down,
        }
    }
}

/// Why a connection is over before both sides have said all.
enum Cause {
    /// Close it, as a server that is done would.
    Close,
    /// Reset it.
    Reset,
}

/// A chunk, or the end of the stream, and when it was read.
struct Item {
    read_at: Mono,
    data: Option<Bytes>,
}

/// One direction's share of a connection.
struct Line {
    stream: Stream,
    effects: watch::Receiver<Effects>,
    clock: Arc<dyn Clock>,
    rng: Rng,
    /// Bytes passed on since the connection was made.
    passed: u64,
}

/// Runs one connection to its end.
pub(super) async fn connection(
    mut client: TcpStream,
    mut server: TcpStream,
    effects: watch::Receiver<Effects>,
    clock: Arc<dyn Clock>,
    rng: &mut Rng,
) {
    // Nagle's algorithm would add a delay nobody asked for.
    let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
    let mut line = |stream| Line {
        stream,
        effects: effects.clone(),
        clock: clock.clone(),
        rng: Rng::new(rng.next_u64()),
        passed: 0,
    };
    let (up, down) = (line(Stream::Up), line(Stream::Down));
    let cause = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let both =
            async { tokio::try_join!(up.pump(from_client, to_server), down.pump(from_server, to_client)) };
        tokio::select! {
            end = both => end.err(),
            cause = doom(effects, clock.as_ref()) => Some(cause),
        }
    };
    if let Some(Cause::Reset) = cause {
        reset(&client);
        reset(&server);
    }
}

/// With nothing to linger for, closing sends RST instead of FIN.
pub(super) fn reset(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// Waits until a fault that ends connections by itself is due.
async fn doom(mut effects: watch::Receiver<Effects>, clock: &dyn Clock) -> Cause {
    let made = clock.now();
    let mut set_at = made;
    let mut seen = None;
    loop {
        let now = *effects.borrow_and_update();
        let reset = now.up.reset.into_iter().chain(now.down.reset).min();
        let close = now.up.timeout.into_iter().chain(now.down.timeout).filter(|after| !after.is_zero()).min();
        if seen.replace((reset, close)).is_some_and(|before| before != (reset, close)) {
            set_at = clock.now();
        }
        let (after, cause) = match (reset, close) {
            (Some(reset), close) if close.is_none_or(|close| reset <= close) => (reset, Cause::Reset),
            (_, Some(close)) => (close, Cause::Close),
            _ => (Duration::MAX, Cause::Close),
        };
        tokio::select! {
            () = until(clock, set_at + after) => return cause,
            changed = effects.changed() => if changed.is_err() { return Cause::Close },
        }
    }
}

async fn until(clock: &dyn Clock, due: Mono) {
    tokio::time::sleep(due.since(clock.now())).await;
}

impl Line {
    /// Both halves of one direction. An orderly end of the stream is `Ok`; the other direction may go on.
    async fn pump(self, from: ReadHalf<'_>, to: WriteHalf<'_>) -> Result<(), Cause> {
        let (queue, waiting) = mpsc::channel(CHUNKS_MAX);
        let clock = self.clock.clone();
        tokio::try_join!(read(from, queue, clock), self.write(waiting, to)).map(|_| ())
    }

    async fn write(mut self, mut waiting: mpsc::Receiver<Item>, mut to: WriteHalf<'_>) -> Result<(), Cause> {
        while let Some(item) = waiting.recv().await {
            self.wait(&item).await?;
            let Some(data) = item.data else {
                let slow = self.effects.borrow().of_stream(self.stream).slow_close;
                self.pause(slow).await?;
                break;
            };
            self.deliver(&data, &mut to).await?;
        }
        to.shutdown().await.map_err(|_| Cause::Reset)
    }

    /// Until the chunk is due and the line is not cut. A black hole swallows data at once but holds back the end
    /// of the stream, which would give it away.
    async fn wait(&mut self, item: &Item) -> Result<(), Cause> {
        let luck = self.rng.unit();
        loop {
            let effect = *self.effects.borrow_and_update().of_stream(self.stream);
            let hold = effect.cut || (effect.timeout.is_some() && item.data.is_none());
            let due = item.read_at + effect.delay(luck);
            if !hold && self.clock.now() >= due {
                return Ok(());
            }
            tokio::select! {
                () = until(self.clock.as_ref(), due), if !hold => {}
                changed = self.effects.changed() => changed.map_err(|_| Cause::Close)?,
            }
        }
    }

    /// Passes a chunk on in as many pieces as the faults ask for.
    async fn deliver(&mut self, data: &[u8], to: &mut WriteHalf<'_>) -> Result<(), Cause> {
        let mut left = data;
        while !left.is_empty() {
            let effect = *self.effects.borrow_and_update().of_stream(self.stream);
            if effect.cut {
                self.effects.changed().await.map_err(|_| Cause::Close)?;
                continue;
            }
            if effect.timeout.is_some() {
                return Ok(());
            }
            let size = effect.piece(left.len(), self.passed, &mut self.rng);
            let (piece, rest) = left.split_at(size);
            to.write_all(piece).await.map_err(|_| Cause::Reset)?;
            self.passed += size as u64;
            if effect.limit.is_some_and(|limit| self.passed >= limit) {
                return Err(Cause::Close);
            }
            left = rest;
            self.pause(effect.pause(size)).await?;
        }
        Ok(())
    }

    /// Waits, unless the faults change meanwhile.
    async fn pause(&mut self, pause: Duration) -> Result<(), Cause> {
        if pause.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            changed = self.effects.changed() => changed.map_err(|_| Cause::Close),
        }
    }
}

impl Effects {
    fn of_stream(&self, stream: Stream) -> &Effect {
        match stream {
            Stream::Up => &self.up,
            Stream::Down => &self.down,
        }
    }
}

async fn read(mut from: ReadHalf<'_>, queue: mpsc::Sender<Item>, clock: Arc<dyn Clock>) -> Result<(), Cause> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let data = match from.read(&mut buffer).await {
            Ok(0) => None,
            Ok(n) => Some(Bytes::copy_from_slice(&buffer[..n])),
            // What one side breaks is broken for the other.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(Cause::Reset),
            Err(_) => return Err(Cause::Close),
        };
        let last = data.is_none();
        let full = queue.send(Item { read_at: clock.now(), data }).await;
        if last || full.is_err() {
            return Ok(());
        }
    }
}
