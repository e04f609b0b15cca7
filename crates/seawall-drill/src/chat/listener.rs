//! One gateway session, kept as a stock client library keeps it: identify once, heartbeat, and after every loss of
//! the connection resume with the last sequence number seen. It identifies anew only when it is told that the session
//! is gone, and then, like the libraries, it does not fetch what it missed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use seawall_policy::{Clock, Mono, Rng};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::Said;

/// GUILDS, GUILD_MESSAGES, MESSAGE_CONTENT.
const INTENTS: u64 = 1 | 1 << 9 | 1 << 15;
/// Between two attempts, milliseconds: a crowd must not come back as one.
const PAUSE_MS: (u64, u64) = (50, 1_000);
/// For the connection and each answer that must come at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one session was told. Shared with whoever looks while it runs.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// Messages, in the order they came.
    pub said: Vec<Said>,
    /// READYs: one, unless the session was lost.
    pub identified: u32,
    /// RESUMEDs.
    pub resumed: u32,
    /// Dispatches whose sequence number did not follow the one before.
    pub gaps: u32,
    /// When it last became live, by READY and all guilds or by RESUMED; none while it is away.
    pub live_since: Option<Mono>,
}

/// A running session. Ends with [`Listener::stop`].
pub struct Listener {
    heard: Arc<Mutex<Heard>>,
    stop: watch::Sender<bool>,
    task: JoinSet<()>,
}

impl Listener {
    /// Connects and goes on until stopped. Must be called inside a runtime.
    #[must_use]
    pub fn start(to: SocketAddr, token: String, seed: u64, clock: Arc<dyn Clock>) -> Listener {
        let heard = Arc::<Mutex<Heard>>::default();
        let (stop, stopped) = watch::channel(false);
        let state = State {
            to,
            token,
            clock,
            heard: heard.clone(),
            session: None,
            seq: 0,
            rng: Rng::new(seed),
            stopped,
        };
        let mut task = JoinSet::new();
        task.spawn(state.run());
        Listener { heard, stop, task }
    }

    /// What it was told so far.
    #[must_use]
    pub fn heard(&self) -> Heard {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it is live, and since when.
    #[must_use]
    pub fn live_since(&self) -> Option<Mono> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).live_since
    }

    /// Messages heard so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).said.len()
    }

    /// Ends the session and returns everything it heard.
    ///
    /// # Errors
    /// The session's task panicked.
    pub async fn stop(mut self) -> Result<Heard, JoinError> {
        self.stop.send_replace(true);
        self.task.join_next().await.transpose()?;
        Ok(self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

struct State {
    to: SocketAddr,
    token: String,
    clock: Arc<dyn Clock>,
    heard: Arc<Mutex<Heard>>,
    /// Of the session to resume.
    session: Option<String>,
    seq: u64,
    rng: Rng,
    stopped: watch::Receiver<bool>,
}

/// What one frame asks for.
enum Next {
    Go,
    /// The connection is to be left.
    Leave,
}

type Socket = WebSocketStream<TcpStream>;

impl State {
    async fn run(mut self) {
        let mut stopped = self.stopped.clone();
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                () = self.connection() => {}
            }
            self.note(|heard| heard.live_since = None);
            let (least, most) = PAUSE_MS;
            let pause = Duration::from_millis(least + self.rng.below(most - least));
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One connection, from the handshake until it breaks. Why it broke makes no difference.
    async fn connection(&mut self) {
        let Ok(Ok(stream)) = timeout(PATIENCE, TcpStream::connect(self.to)).await else { return };
        let url = format!("ws://{}/?v=10&encoding=json", self.to);
        let shaking = tokio_tungstenite::client_async(url, stream);
        let Ok(Ok((mut socket, _))) = timeout(PATIENCE, shaking).await else { return };
        let Ok(Some(hello)) = timeout(PATIENCE, next(&mut socket)).await else { return };
        let every = Duration::from_millis(hello["d"]["heartbeat_interval"].as_u64().unwrap_or(41_250));
        let first = match &self.session {
            Some(id) => json!({"op": 6, "d": {"token": self.token, "session_id": id, "seq": self.seq}}),
            None => json!({"op": 2, "d": {"token": self.token, "intents": INTENTS,
                "properties": {"os": "linux", "browser": "drill", "device": "drill"}}}),
        };
        if send(&mut socket, &first).await.is_none() {
            return;
        }
        // The first one comes at a moment of its own, so that a crowd does not beat as one.
        let mut beat = self.clock.now() + every.mul_f64(self.rng.below(1000) as f64 / 1000.0);
        loop {
            tokio::select! {
                frame = next(&mut socket) => match frame {
                    Some(frame) => if let Next::Leave = self.take(&frame) { return },
                    None => return,
                },
                () = tokio::time::sleep(beat.since(self.clock.now())) => {
                    if send(&mut socket, &json!({"op": 1, "d": self.seq})).await.is_none() {
                        return;
                    }
                    beat = self.clock.now() + every;
                }
            }
        }
    }

    fn take(&mut self, frame: &Json) -> Next {
        match frame["op"].as_u64() {
            Some(0) => self.dispatch(frame),
            Some(7) => return Next::Leave,
            Some(9) => {
                if frame["d"] != json!(true) {
                    self.session = None;
                    self.seq = 0;
                }
                return Next::Leave;
            }
            _ => {}
        }
        Next::Go
    }

    fn dispatch(&mut self, frame: &Json) {
        let seq = frame["s"].as_u64().unwrap_or(0);
        let follows = seq == self.seq + 1;
        // RESUMED has a number of its own or repeats the last, as servers differ; it carries nothing.
        let name = frame["t"].as_str().unwrap_or_default();
        self.seq = self.seq.max(seq);
        let now = self.clock.now();
        match name {
            "READY" => {
                self.session = frame["d"]["session_id"].as_str().map(str::to_owned);
                self.note(|heard| {
                    heard.identified += 1;
                    heard.live_since = Some(now);
                });
            }
            "RESUMED" => self.note(|heard| {
                heard.resumed += 1;
                heard.live_since = Some(now);
            }),
            name => self.note(|heard| {
                heard.gaps += u32::from(!follows);
                if name == "MESSAGE_CREATE" {
                    heard.said.extend(Said::of(&frame["d"]));
                }
            }),
        }
    }

    fn note(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

async fn send(socket: &mut Socket, frame: &Json) -> Option<()> {
    socket.send(Message::text(frame.to_string())).await.ok()
}

/// The next payload; none when the connection has ended in whatever way.
async fn next(socket: &mut Socket) -> Option<Json> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return serde_json::from_str(&text).ok(),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}
