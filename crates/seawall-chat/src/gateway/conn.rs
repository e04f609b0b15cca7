//! One connection: what its client says, until one of the two says goodbye.
//!
//! The task holds no buffer while nothing arrives: it waits for the socket to be readable, reads into its stack, and
//! what is whole is answered at once. Only opening and resuming wait for the store; their futures are boxed, so
//! that a connection which does nothing but live is small.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use seawall_net::exchange::Upgraded;
use seawall_net::ws::{Decoder, Event, Fault};
use seawall_policy::Mono;
use tokio::io::Interest;
use tokio::time::timeout;

use super::frame::{Codec, Compression};
use super::hub::Hub;
use super::identify::Outcome;
use super::link::{Link, Phase};
use super::payload::{self, Close, Op};
use super::session::{Session, State};

/// Bytes read at once; an event has up to 4,096.
const READ_BYTES: usize = 4608;
/// Events of a client within a minute (Discord's limit).
const EVENTS_MAX: u32 = 120;
const EVENTS_WINDOW: Duration = Duration::from_secs(60);
/// Changes of presence within 20 seconds (Discord's limit). The last one beyond counts when the window is over.
const PRESENCES_MAX: u32 = 5;
const PRESENCES_WINDOW: Duration = Duration::from_secs(20);
/// How long the other end has to answer a goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a client asked for when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// How it wants to be written to; none where it asked for what is not spoken here.
    pub compression: Option<Compression>,
}

impl Params {
    /// Of a query: `v`, `encoding`, `compress`. What is not there has Discord's defaults.
    #[must_use]
    pub fn of(query: Option<&str>) -> Params {
        let mut compression = Some(Compression::None);
        let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        for (key, value) in pairs {
            let is_spoken = match (key, value) {
                ("v", "9" | "10") | ("encoding", "json") => true,
                ("v" | "encoding", _) => false,
                ("compress", "zlib-stream") => {
                    compression = compression.map(|_| Compression::Zlib);
                    true
                }
                ("compress", "zstd-stream") => {
                    compression = compression.map(|_| Compression::Zstd);
                    true
                }
                ("compress", "") => true,
                ("compress", _) => false,
                _ => true,
            };
            if !is_spoken {
                compression = None;
            }
        }
        Params { compression }
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The client said goodbye: with 1000 or 1001 it does not want its session any more.
    ByClient(u16),
    /// We did.
    ByUs(u16),
    /// The cable did.
    Broken,
}

/// So many of something within a window.
#[derive(Debug, Clone, Copy)]
struct Budget {
    since: Mono,
    used: u32,
}

impl Budget {
    fn new(now: Mono) -> Budget {
        Budget { since: now, used: 0 }
    }

    fn take(&mut self, now: Mono, max: u32, window: Duration) -> bool {
        if now.since(self.since) >= window {
            *self = Budget::new(now);
        }
        self.used = self.used.saturating_add(1);
        self.used <= max
    }
}

/// What is remembered of what a client says.
struct Hearing {
    decoder: Decoder,
    events: Budget,
    presences: Budget,
}

/// What a client said, as far as it cannot be answered on the spot.
enum Said {
    Text(String),
    Over(Ended),
}

impl Hub {
    /// Serves one connection to its end.
    pub async fn serve(self: Arc<Self>, upgraded: Upgraded, params: Params) {
        self.metrics.connections.inc();
        let (link, unread) = Link::new(upgraded, Codec::new(params.compression.unwrap_or_default()));
        let link = Arc::new(link);
        let ended = if params.compression.is_none() {
            self.refuse(&link, Close::BadVersion)
        } else {
            self.converse(&link, unread.to_vec()).await
        };
        // Only now: whoever reads the answer finds its session ended, or kept.
        match ended {
            Ended::ByClient(0) => drop(link.close_silently()),
            Ended::ByClient(code) => drop(link.close_with(code, "")),
            Ended::ByUs(_) | Ended::Broken => {}
        }
        self.metrics.close(match ended {
            Ended::ByClient(code) | Ended::ByUs(code) => code,
            Ended::Broken => 0,
        });
        if ended != Ended::Broken {
            drop(timeout(GOODBYE, Box::pin(last_words(&link, ended))).await);
        }
        self.metrics.connections.dec();
    }

    fn refuse(&self, link: &Link, close: Close) -> Ended {
        link.close(close);
        Ended::ByUs(close.code())
    }

    async fn converse(self: &Arc<Self>, link: &Arc<Link>, unread: Vec<u8>) -> Ended {
        let now = self.clock.now();
        let (events, presences) = (Budget::new(now), Budget::new(now));
        let mut hearing = Hearing { decoder: Decoder::default(), events, presences };
        link.send(&hello(self.config.heartbeat_interval));
        let knocked = Box::pin(self.knock(link, &mut hearing, unread)).await;
        let (session, rest) = match knocked {
            Ok(knocked) => knocked,
            Err(ended) => return ended,
        };
        let ended = self.live(link, &session, &mut hearing, rest).await;
        self.leave(link, &session, ended).await;
        ended
    }

    /// The session after a connection. One that goes on over another, or elsewhere, has nothing to do with this
    /// one's goodbye.
    async fn leave(&self, link: &Arc<Link>, session: &Arc<Session>, ended: Ended) {
        let was_its_own = session.disconnect(&mut session.lock(), link, self.clock.now());
        if was_its_own && matches!(ended, Ended::ByClient(1000 | 1001)) {
            self.end(session);
            Box::pin(self.delete_record(session)).await;
        }
    }

    /// Until the client has a session. Gives back what it has said since.
    async fn knock(
        self: &Arc<Self>,
        link: &Arc<Link>,
        hearing: &mut Hearing,
        mut unread: Vec<u8>,
    ) -> Result<(Arc<Session>, VecDeque<Said>), Ended> {
        let mut said = VecDeque::new();
        self.hear_bytes(link, hearing, &mut unread, &mut said);
        loop {
            while let Some(next) = said.pop_front() {
                let text = match next {
                    Said::Text(text) => text,
                    Said::Over(ended) => return Err(ended),
                };
                let outcome = match payload::read(&text, false) {
                    Ok(Op::Heartbeat(_)) => {
                        link.send(ACK);
                        continue;
                    }
                    Ok(Op::Identify(wish)) => self.identify(link, *wish).await,
                    Ok(Op::Resume(wish)) => self.resume(link, *wish).await,
                    Ok(Op::Presence(_) | Op::Members(_) | Op::Ignored) => Err(Close::NotAuthenticated),
                    Err(close) => Err(close),
                };
                match outcome {
                    Ok(Outcome::In(session)) => return Ok((session, said)),
                    Ok(Outcome::Invalid) => link.send(INVALID),
                    Err(close) => return Err(self.refuse(link, close)),
                }
            }
            match timeout(self.silence_max(), self.more(link, hearing, &mut said)).await {
                Ok(true) => {}
                Ok(false) => return Err(Ended::Broken),
                Err(_) => return Err(self.refuse(link, Close::Again("Heartbeats have stopped."))),
            }
        }
    }

    /// While it has a session.
    async fn live(
        self: &Arc<Self>,
        link: &Arc<Link>,
        session: &Arc<Session>,
        hearing: &mut Hearing,
        mut said: VecDeque<Said>,
    ) -> Ended {
        loop {
            while let Some(next) = said.pop_front() {
                let ended = match next {
                    // We have said goodbye: what it says now is for nobody.
                    Said::Text(_) if link.phase() != Phase::Open => continue,
                    Said::Text(text) => match self.obey(link, session, hearing, &text) {
                        Ok(()) => continue,
                        Err(close) => self.refuse(link, close),
                    },
                    Said::Over(ended) => ended,
                };
                return ended;
            }
            // No room is kept for what a client may say one day.
            said = VecDeque::new();
            if !self.more(link, hearing, &mut said).await {
                return match link.phase() {
                    Phase::Closing(code) => Ended::ByUs(code),
                    Phase::Open | Phase::Broken => Ended::Broken,
                };
            }
            if session.lock().is_dirty && !link.is_holding() {
                self.flush_alone(session);
            }
        }
    }

    /// Waits until there is something to do, and does what is to be done with the socket. False when the connection
    /// is over.
    async fn more(&self, link: &Link, hearing: &mut Hearing, said: &mut VecDeque<Said>) -> bool {
        if link.phase() != Phase::Open {
            return false;
        }
        let interest =
            if link.is_holding() { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        let ready = tokio::select! {
            ready = link.stream.ready(interest) => ready,
            () = link.wake.notified() => return link.phase() == Phase::Open,
        };
        let Ok(ready) = ready else { return false };
        if ready.is_writable() {
            link.go_on();
        }
        !ready.is_readable() || self.hear(link, hearing, said)
    }

    /// Reads what has arrived. False when nothing will any more. Not `async`, so that the buffer lies on the stack.
    fn hear(&self, link: &Link, hearing: &mut Hearing, said: &mut VecDeque<Said>) -> bool {
        let mut buffer = [0; READ_BYTES];
        match link.stream.try_read(&mut buffer) {
            Ok(0) => false,
            Ok(n) => {
                self.hear_bytes(link, hearing, &mut buffer[..n], said);
                true
            }
            Err(e) => matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }

    fn hear_bytes(&self, link: &Link, hearing: &mut Hearing, bytes: &mut [u8], said: &mut VecDeque<Said>) {
        let now = self.clock.now();
        let mut events = hearing.decoder.feed(bytes);
        while let Some(event) = events.next() {
            let is_close = matches!(event, Err(_) | Ok(Event::Close { .. }));
            if !is_close && !hearing.events.take(now, EVENTS_MAX, EVENTS_WINDOW) {
                said.push_back(Said::Over(self.refuse(link, Close::TooMany)));
                return;
            }
            match event {
                Ok(Event::Text(text)) => said.push_back(Said::Text(text.to_owned())),
                Ok(Event::Binary(_)) => said.push_back(Said::Over(self.refuse(link, Close::Decode))),
                Ok(Event::Ping(payload)) => link.pong(payload),
                Ok(Event::Pong(_)) => {}
                Ok(Event::Close { code, .. }) => {
                    said.push_back(Said::Over(Ended::ByClient(code.unwrap_or(0))));
                }
                Err(fault) => said.push_back(Said::Over(self.refuse(link, faulty(fault)))),
            }
        }
    }

    /// Does what a client with a session says.
    fn obey(
        &self,
        link: &Link,
        session: &Arc<Session>,
        hearing: &mut Hearing,
        text: &str,
    ) -> Result<(), Close> {
        match payload::read(text, true)? {
            Op::Heartbeat(seq) => {
                let mut state = session.lock();
                state.seen = self.clock.now();
                self.pass(&mut state);
                if let Some(seq) = seq {
                    let State { acks, fold, seen, .. } = &mut *state;
                    acks.acked(seq, fold, *seen);
                }
                drop(state);
                link.send(ACK);
            }
            Op::Presence(shown) => {
                session.lock().shown = shown;
                let is_soon = hearing.presences.take(self.clock.now(), PRESENCES_MAX, PRESENCES_WINDOW);
                if is_soon {
                    self.presences.due(session);
                } else {
                    session.lock().is_shown_late = true;
                }
            }
            Op::Members(wish) => self.members(session, &wish),
            Op::Ignored => {}
            Op::Identify(_) | Op::Resume(_) => return Err(Close::AlreadyAuthenticated),
        }
        Ok(())
    }

    /// Without a heartbeat for so long, nobody is there.
    pub(super) fn silence_max(&self) -> Duration {
        self.config.heartbeat_interval * 3 / 2
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }
}

const ACK: &str = r#"{"op":11,"s":null,"t":null,"d":null}"#;
pub(super) const INVALID: &str = r#"{"op":9,"s":null,"t":null,"d":false}"#;
/// Asks the client to reconnect.
pub(super) const RECONNECT: &str = r#"{"op":7,"s":null,"t":null,"d":null}"#;

fn hello(interval: Duration) -> String {
    format!(r#"{{"op":10,"s":null,"t":null,"d":{{"heartbeat_interval":{}}}}}"#, interval.as_millis())
}

fn faulty(fault: Fault) -> Close {
    match fault {
        // Discord's own code for what is too long to be a payload.
        Fault::TooLong { .. } => Close::Decode,
        fault => Close::WebSocket(fault.close_code(), "WebSocket protocol violated."),
    }
}

/// Writes what is still to be written, and waits until the other end has closed too: it may still be reading.
async fn last_words(link: &Link, ended: Ended) {
    link.drained().await;
    if matches!(ended, Ended::ByClient(_)) {
        return;
    }
    while link.stream.readable().await.is_ok() && is_more(link) {}
}

/// Throws away what arrives. False at the end. Not `async`, for the buffer.
fn is_more(link: &Link) -> bool {
    let mut buffer = [0; READ_BYTES];
    match link.stream.try_read(&mut buffer) {
        Ok(0) => false,
        // Its own goodbye ends it too, but that is not worth a decoder: the connection ends with it.
        Ok(n) => buffer[..n].first().is_none_or(|head| head & 0x0f != 0x08),
        Err(e) => e.kind() == io::ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::scene::{Scene, connected, identified, resumed};

    #[tokio::test]
    async fn a_goodbye_on_a_connection_that_was_replaced_ends_nothing() {
        let scene = Scene::new().await;
        let (hub, ann) = (scene.hub().await, scene.person(5).await);
        let ((old, _peer), (new, _other)) = (connected().await, connected().await);
        let session = identified(&hub, &old, &ann).await;
        assert!(resumed(&hub, &new, &ann, &session, 1).await);
        hub.leave(&old, &session, Ended::ByClient(1000)).await;
        assert!(hub.session(session.id).is_some());
        scene.record(&session).await;
        hub.leave(&new, &session, Ended::ByClient(1000)).await;
        assert!(hub.session(session.id).is_none());
    }

    #[test]
    fn versions_nine_and_ten_in_json_are_spoken() {
        let of = |query: &str| Params::of(Some(query)).compression;
        assert_eq!(Params::of(None).compression, Some(Compression::None));
        assert_eq!(of("v=10&encoding=json"), Some(Compression::None));
        assert_eq!(of("v=9&compress=zlib-stream"), Some(Compression::Zlib));
        assert_eq!(of("compress=zstd-stream&v=10"), Some(Compression::Zstd));
        assert_eq!(of("/?v=10&x=1&y"), Some(Compression::None));
        for query in ["v=8", "v=", "v=ten", "encoding=etf", "v=10&compress=lz4", "compress=zlib-stream&v=11"]
        {
            assert_eq!(of(query), None, "{query}");
        }
    }

    #[test]
    fn a_budget_is_full_again_when_its_window_is_over() {
        let mut budget = Budget::new(Mono(0));
        let window = Duration::from_nanos(100);
        assert_eq!([0, 1, 2].map(|n| budget.take(Mono(n), 2, window)), [true, true, false]);
        assert!(!budget.take(Mono(99), 2, window) && budget.take(Mono(100), 2, window));
    }
}
