//! `seawall chat tail`: a gateway client that prints what it is told.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use seawall_net::clock::SystemClock;
use seawall_policy::retry::{self, Backoff};
use seawall_policy::{Clock, Outcome, Rng};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::call::Chat;
use super::session::{Keeper, Next, Session};
use super::{PATIENCE, TailArgs};
use crate::cmd::terminal::{self, plain};
use crate::exit::Failure;

/// Heartbeats where HELLO names no interval.
const BEAT_MS: u64 = 41_250;
/// Said when we leave a connection and mean to come back: 1000 would end the session.
const COME_BACK: u16 = 4000;
/// Channels whose names are kept; others are shown by id.
const NAMES_MAX: usize = 10_000;

type Socket = WebSocketStream<TcpStream>;

pub(super) async fn run(chat: &Chat, args: TailArgs) -> Result<(), Failure> {
    let mut keeper = Keeper::default();
    if let Some(file) = &args.from_resume {
        keeper.session = Session::load(file)?;
    }
    let mut tail = Tail {
        chat,
        token: chat.token()?,
        printer: Printer { json: chat.json, channel: args.channel, left: args.count, names: HashMap::new() },
        file: args.from_resume,
        keeper,
        stop: Stop::new()?,
        lost_in_a_row: 0,
    };
    let ended = tail.sessions().await;
    tail.save()?;
    ended
}

struct Tail<'a> {
    chat: &'a Chat,
    token: String,
    printer: Printer,
    file: Option<PathBuf>,
    keeper: Keeper,
    stop: Stop,
    /// Connections since the session was last live.
    lost_in_a_row: u32,
}

/// How a connection ended.
enum End {
    /// Nobody wants more.
    Done,
    /// It broke, or the server wants another.
    Lost,
}

impl Tail<'_> {
    /// Connection after connection, until somebody has had enough.
    async fn sessions(&mut self) -> Result<(), Failure> {
        let mut socket = self.connect().await?;
        let mut rng = Rng::new(SystemClock::new().wall().0.unsigned_abs());
        loop {
            match self.connection(&mut socket, &mut rng).await? {
                End::Done => return self.farewell(socket).await,
                End::Lost => {}
            }
            drop(socket);
            self.save()?;
            socket = loop {
                self.lost_in_a_row = self.lost_in_a_row.saturating_add(1);
                if self.lost_in_a_row == 1 {
                    eprintln!("connection lost, reconnecting");
                }
                tokio::select! {
                    () = self.stop.asked() => return Ok(()),
                    () = sleep(pause(self.lost_in_a_row, &mut rng)) => {}
                }
                if let Ok(socket) = self.connect().await {
                    break socket;
                }
            };
        }
    }

    async fn connect(&self) -> Result<Socket, Failure> {
        let addr = self.chat.addr;
        let failed = |why: &dyn std::fmt::Display| {
            Failure::Failed(format!("{addr}: cannot open the gateway: {why}; is `seawall up chat` running?"))
        };
        let path = self.keeper.session.as_ref().map_or("/", |session| &session.path);
        let url = format!("ws://{addr}{path}?v=10&encoding=json");
        let opening = async {
            let stream = TcpStream::connect(addr).await.map_err(|e| failed(&e))?;
            tokio_tungstenite::client_async(url, stream).await.map_err(|e| failed(&e))
        };
        let (socket, _) = timeout(PATIENCE, opening).await.map_err(|_| failed(&"no answer in time"))??;
        Ok(socket)
    }

    /// One connection, from HELLO until it breaks.
    async fn connection(&mut self, socket: &mut Socket, rng: &mut Rng) -> Result<End, Failure> {
        let Ok(Some(Ok(Message::Text(hello)))) = timeout(PATIENCE, socket.next()).await else {
            return Ok(End::Lost);
        };
        let hello: Value = serde_json::from_str(&hello).unwrap_or_default();
        let every =
            Duration::from_millis(hello["d"]["heartbeat_interval"].as_u64().unwrap_or(BEAT_MS).max(1));
        if say(socket, &self.keeper.introduction(&self.token)).await.is_none() {
            return Ok(End::Lost);
        }
        // The first beat is spread, or all who were cut off together would beat together ever after.
        let mut beat = pin!(sleep(every.mul_f64(rng.unit())));
        let mut heard = true;
        loop {
            let frame = tokio::select! {
                () = self.stop.asked() => return Ok(End::Done),
                () = &mut beat => {
                    // A server that did not answer the last beat is gone, whatever the socket believes.
                    if !heard || say(socket, &self.keeper.beat()).await.is_none() {
                        return Ok(End::Lost);
                    }
                    heard = false;
                    beat.set(sleep(every));
                    self.save()?;
                    continue;
                }
                frame = socket.next() => frame,
            };
            let text = match frame {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => {
                    self.keeper.closed(code.into(), &reason)?;
                    return Ok(End::Lost);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_))) => continue,
                Some(Ok(_) | Err(_)) | None => return Ok(End::Lost),
            };
            let Ok(frame) = serde_json::from_str::<Value>(&text) else { return Ok(End::Lost) };
            match self.keeper.take(&frame) {
                Next::Go => {}
                Next::Heard => heard = true,
                Next::Leave => {
                    let close = CloseFrame { code: CloseCode::from(COME_BACK), reason: "".into() };
                    // It will come again in any case.
                    drop(timeout(PATIENCE, socket.close(Some(close))).await);
                    if self.keeper.session.is_none() {
                        // The protocol asks for it: a crowd turned away must not be back at once.
                        sleep(Duration::from_secs(1).mul_f64(1.0 + 4.0 * rng.unit())).await;
                    }
                    return Ok(End::Lost);
                }
                Next::Beat => {
                    if say(socket, &self.keeper.beat()).await.is_none() {
                        return Ok(End::Lost);
                    }
                }
                Next::Tell => {
                    self.note(&frame);
                    if !self.tell(&frame)? {
                        return Ok(End::Done);
                    }
                }
            }
        }
    }

    /// What whoever watches should know of the session itself.
    fn note(&mut self, frame: &Value) {
        match frame["t"].as_str() {
            Some("READY") => {
                let name = frame["d"]["user"]["username"].as_str().unwrap_or("nobody");
                eprintln!("connected as {}", plain(name));
                if std::mem::take(&mut self.keeper.lost) {
                    eprintln!("the session before was lost: what was said meanwhile is in the history only");
                }
            }
            Some("RESUMED") => eprintln!("resumed"),
            _ => return,
        }
        self.lost_in_a_row = 0;
    }

    /// False when nobody wants more.
    fn tell(&mut self, frame: &Value) -> Result<bool, Failure> {
        self.printer.learn(frame);
        let Some(line) = self.printer.line(frame) else { return Ok(true) };
        if !terminal::line(&line)? {
            // Nobody read this one: it is told again when the session is resumed.
            if let Some(session) = &mut self.keeper.session {
                session.seq = session.seq.saturating_sub(1);
            }
            return Ok(false);
        }
        Ok(!self.printer.enough())
    }

    /// The session ends with us, unless somebody wants to resume it later.
    async fn farewell(&self, mut socket: Socket) -> Result<(), Failure> {
        let code = if self.file.is_some() { CloseCode::from(COME_BACK) } else { CloseCode::Normal };
        // Whoever does not take leave of us will notice that we are gone.
        drop(timeout(PATIENCE, socket.close(Some(CloseFrame { code, reason: "".into() }))).await);
        Ok(())
    }

    fn save(&self) -> Result<(), Failure> {
        match (&self.file, &self.keeper.session) {
            (Some(file), Some(session)) => session.save(file),
            _ => Ok(()),
        }
    }
}

async fn say(socket: &mut Socket, frame: &Value) -> Option<()> {
    timeout(PATIENCE, socket.send(Message::text(frame.to_string()))).await.ok()?.ok()
}

/// How long to wait before the next connection: half a second doubling to 20, with full jitter, for ever.
fn pause(lost: u32, rng: &mut Rng) -> Duration {
    let backoff = Backoff {
        base: Duration::from_millis(500),
        max: Duration::from_secs(20),
        factor: 2.0,
        ..Backoff::default()
    };
    let policy = retry::Policy { attempts: retry::ATTEMPTS_MAX, backoff, ..retry::Policy::default() };
    let tried = lost.min(retry::ATTEMPTS_MAX - 1);
    match policy.next(tried, Outcome::Unreachable, true, Duration::ZERO, Duration::MAX, rng) {
        retry::Next::Again { after, .. } | retry::Next::Elsewhere { after, .. } => after,
        retry::Next::Stop(_) => policy.backoff.max,
    }
}

/// SIGINT and SIGTERM.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Stop, Failure> {
        let on = |kind| signal(kind).map_err(|e| Failure::Failed(format!("cannot listen for signals: {e}")));
        Ok(Stop { interrupt: on(SignalKind::interrupt())?, terminate: on(SignalKind::terminate())? })
    }

    /// Somebody wants us to end. Cancel-safe.
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Turns dispatches into lines.
struct Printer {
    json: bool,
    channel: Option<String>,
    left: Option<u64>,
    /// Of channels, as they are shown.
    names: HashMap<String, String>,
}

impl Printer {
    /// Keeps the names of channels.
    fn learn(&mut self, frame: &Value) {
        let d = &frame["d"];
        let of = |list: &Value| list.as_array().cloned().unwrap_or_default();
        let channels = match frame["t"].as_str() {
            Some("READY") => of(&d["private_channels"]),
            Some("GUILD_CREATE") => of(&d["channels"]),
            Some("CHANNEL_CREATE" | "CHANNEL_UPDATE") => vec![d.clone()],
            _ => return,
        };
        for channel in &channels {
            let name = match channel["name"].as_str() {
                Some(name) => format!("#{}", plain(name)),
                None => {
                    format!("@{}", plain(channel["recipients"][0]["username"].as_str().unwrap_or("direct")))
                }
            };
            if let Some(id) = channel["id"].as_str()
                && self.names.len() < NAMES_MAX
            {
                self.names.insert(id.to_owned(), name);
            }
        }
    }

    /// The line of a dispatch, if it has one.
    fn line(&mut self, frame: &Value) -> Option<String> {
        let d = &frame["d"];
        if self.channel.is_some() && d["channel_id"].as_str() != self.channel.as_deref() {
            return None;
        }
        let line = if self.json {
            terminal::json(frame)
        } else if frame["t"] == "MESSAGE_CREATE" {
            let channel = d["channel_id"].as_str().unwrap_or_default();
            let at = d["timestamp"].as_str().and_then(|t| t.get(..19)).unwrap_or_default().replace('T', " ");
            let name = self.names.get(channel).map_or(channel, String::as_str);
            let author = d["author"]["username"].as_str().unwrap_or_default();
            let content = d["content"].as_str().unwrap_or_default();
            format!("{}  {}  {}: {}", plain(&at), plain(name), plain(author), plain(content))
        } else {
            return None;
        };
        self.left = self.left.map(|left| left.saturating_sub(1));
        Some(line)
    }

    fn enough(&self) -> bool {
        self.left == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn printer(json: bool, channel: Option<&str>) -> Printer {
        Printer { json, channel: channel.map(str::to_owned), left: Some(1), names: HashMap::new() }
    }

    fn message() -> Value {
        json!({"op": 0, "s": 3, "t": "MESSAGE_CREATE", "d": {"channel_id": "11", "content": "a\n\u{1b}[2J",
            "author": {"username": "bob"}, "timestamp": "2026-11-20T14:03:07.000000+00:00"}})
    }

    #[test]
    fn a_message_is_one_line_with_its_channels_name() {
        let mut printer = printer(false, None);
        printer.learn(&json!({"t": "GUILD_CREATE", "d": {"channels": [{"id": "11", "name": "general"}]}}));
        assert_eq!(printer.line(&json!({"t": "TYPING_START", "d": {"channel_id": "11"}})), None);
        let line = printer.line(&message()).unwrap();
        assert_eq!(line, r"2026-11-20 14:03:07  #general  bob: a\n\u{1b}[2J");
        assert!(printer.enough());
    }

    #[test]
    fn with_a_channel_other_channels_are_silent_also_as_json() {
        assert_eq!(printer(true, Some("12")).line(&message()), None);
        let line = printer(true, Some("11")).line(&message()).unwrap();
        assert!(!line.contains('\u{1b}') && line.contains(r#""s":3"#), "{line}");
    }

    #[test]
    fn pauses_grow_to_their_bound_and_no_further() {
        let mut rng = Rng::new(1);
        let longest = |lost, rng: &mut Rng| (0..200).map(|_| pause(lost, rng)).max().unwrap();
        assert!(longest(1, &mut rng) <= Duration::from_millis(500));
        let late = longest(u32::MAX, &mut rng);
        assert!(late > Duration::from_secs(15) && late <= Duration::from_secs(20), "{late:?}");
    }
}
