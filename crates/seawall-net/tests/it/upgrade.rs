//! Connections that leave HTTP, and WebSockets on them, spoken to by another implementation and in bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use seawall_net::admission::Admission;
use seawall_net::exchange::{Exchange, Finish, Head, Next, Out, Step, Upgraded, Upstream};
use seawall_net::host::{Drained, Host};
use seawall_net::listeners::Purpose;
use seawall_net::problem::Problem;
use seawall_net::server::{Limits, Server};
use seawall_net::tasks::Tasks;
use seawall_net::ws::{self, Decoder, Event, Fault, Opcode};
use seawall_policy::Mono;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::{HANG, host};

/// `/echo` answers messages, `/held` gives the connection to the test, `/any` too and agrees to whatever is asked.
struct Sockets {
    tasks: Tasks,
    held: mpsc::UnboundedSender<Upgraded>,
}

impl Exchange for Sockets {
    type Held = std::convert::Infallible;
    fn on_head(&self, head: &Head<'_>, _: Mono, out: &mut Out) -> Next<Self::Held> {
        if !matches!(head.path, "/echo" | "/held" | "/any" | "/panic") {
            return Next::Refuse(Problem::new(StatusCode::NOT_FOUND, "not_found", "no such path"));
        }
        if head.path != "/any"
            && let Err(problem) = ws::accept(head, out)
        {
            return Next::Refuse(problem);
        }
        let (tasks, held) = (self.tasks.clone(), self.held.clone());
        match head.path {
            "/echo" => Next::Upgrade(Box::new(move |u| tasks.clone().connection("echo", echo(u, tasks)))),
            "/panic" => Next::Upgrade(Box::new(|_| panic!("planted"))),
            _ => Next::Upgrade(Box::new(move |u| held.send(u).unwrap())),
        }
    }
    fn on_upstream(&self, held: &mut Self::Held, _: Upstream<'_>, _: Mono) -> Step {
        match *held {}
    }
    fn on_end(&self, held: Self::Held, _: Finish, _: Mono) {
        match held {}
    }
}

/// As a gateway reads: in whatever pieces, on a small buffer, and with a close code of its own.
async fn echo(upgraded: Upgraded, tasks: Tasks) {
    let Upgraded { mut stream, unread, connected: _connected, .. } = upgraded;
    let mut decoder = Decoder::default();
    let mut early = BytesMut::from(unread);
    let (mut out, mut is_last) = answer(&mut decoder, &mut early);
    loop {
        stream.write_all(&out).await.unwrap();
        if is_last {
            return;
        }
        let mut buffer = [0; 1000];
        let n = tokio::select! {
            n = stream.read(&mut buffer) => n.unwrap_or(0),
            _ = tasks.stopping() => {
                out.clear();
                ws::close_frame(1001, "going away", &mut out);
                stream.write_all(&out).await.unwrap();
                return;
            }
        };
        if n == 0 {
            return;
        }
        (out, is_last) = answer(&mut decoder, &mut buffer[..n]);
    }
}

/// What to write, and whether that is the end.
fn answer(decoder: &mut Decoder, bytes: &mut [u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let mut say = |opcode, payload: &[u8]| {
        ws::header(opcode, payload.len(), &mut out);
        out.extend_from_slice(payload);
    };
    let mut events = decoder.feed(bytes);
    while let Some(event) = events.next() {
        match event {
            Ok(Event::Text(text)) => say(Opcode::Text, text.as_bytes()),
            Ok(Event::Binary(bytes)) => say(Opcode::Binary, bytes),
            Ok(Event::Ping(bytes)) => say(Opcode::Pong, bytes),
            Ok(Event::Pong(_)) => {}
            Ok(Event::Close { code: None, .. }) => {
                say(Opcode::Close, b"");
                return (out, true);
            }
            Ok(Event::Close { code: Some(code), reason }) => {
                ws::close_frame(code, reason, &mut out);
                return (out, true);
            }
            Err(fault) => {
                let code = if matches!(fault, Fault::TooLong { .. }) { 4002 } else { fault.close_code() };
                ws::close_frame(code, &fault.to_string(), &mut out);
                return (out, true);
            }
        }
    }
    (out, false)
}

struct Port {
    addr: SocketAddr,
    host: Host,
    admission: Arc<Admission>,
    held: mpsc::UnboundedReceiver<Upgraded>,
    drained: oneshot::Receiver<Drained>,
}

impl Port {
    fn start(connections_max: usize) -> Port {
        let host = host();
        let (held, given) = mpsc::unbounded_channel();
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let bound = host.listeners.tcp("test.listen", local, Purpose::Api).unwrap();
        let addr = bound.addr;
        let admission = Admission::new(1, &host.metrics);
        let server = Server {
            exchange: Arc::new(Sockets { tasks: host.tasks.clone(), held }),
            general: Router::new(),
            admission: admission.clone(),
            limits: Limits { connections_max, ..Limits::default() },
            ops: None,
        };
        let (tell, drained) = oneshot::channel();
        let serving = host.clone();
        host.tasks.vital("http", async move {
            // Few tests wait for it.
            let _ = tell.send(server.serve(bound, &serving).await);
        });
        Port { addr, host, admission, held: given, drained }
    }

    async fn peer(&self, path: &str) -> WebSocketStream<TcpStream> {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        client_async(format!("ws://test{path}"), stream).await.unwrap().0
    }

    /// A socket on which these bytes were sent.
    async fn say(&self, bytes: &[u8]) -> TcpStream {
        let mut peer = TcpStream::connect(self.addr).await.unwrap();
        peer.write_all(bytes).await.unwrap();
        peer
    }

    async fn held(&mut self) -> Upgraded {
        timeout(HANG, self.held.recv()).await.expect("nothing was handed over").unwrap()
    }
}

fn head(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// A client's short text, not really masked.
fn text(text: &str) -> Vec<u8> {
    [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat()
}

async fn read_head(peer: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(HANG, peer.read_u8()).await.expect("no answer").unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn read_exactly(peer: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    timeout(HANG, peer.read_exact(&mut bytes)).await.expect("no answer").unwrap();
    bytes
}

async fn next(peer: &mut WebSocketStream<TcpStream>) -> Option<Result<Message, Error>> {
    timeout(HANG, peer.next()).await.expect("the server hangs")
}

#[tokio::test]
async fn another_implementation_is_understood_and_understands() {
    let port = Port::start(10);
    let mut peer = port.peer("/echo").await;
    for len in [0, 1, 125, 126, 127, 1000, 4096] {
        for message in [Message::text("x".repeat(len)), Message::binary(vec![0xfe; len])] {
            peer.send(message.clone()).await.unwrap();
            assert_eq!(next(&mut peer).await.unwrap().unwrap(), message);
        }
    }
    peer.send(Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
    assert_eq!(next(&mut peer).await.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"there?")));
    let bye = CloseFrame { code: 4000.into(), reason: "auf Wiedersehen, 漢".into() };
    peer.close(Some(bye.clone())).await.unwrap();
    assert_eq!(next(&mut peer).await.unwrap().unwrap(), Message::Close(Some(bye)));
    assert!(next(&mut peer).await.is_none());
}

#[tokio::test]
async fn too_long_a_message_is_closed_with_the_code_of_whoever_reads() {
    let port = Port::start(10);
    let mut peer = port.peer("/echo").await;
    peer.send(Message::text("x".repeat(4097))).await.unwrap();
    let Some(Ok(Message::Close(Some(frame)))) = next(&mut peer).await else { panic!("no close frame") };
    assert_eq!(u16::from(frame.code), 4002);
}

#[tokio::test]
async fn the_answer_is_101_with_the_exchange_s_headers_and_nothing_behind_it() {
    let mut port = Port::start(10);
    let mut peer = port.say(&head("/held")).await;
    let answer = read_head(&mut peer).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 101 switching protocols\r\n"), "{answer}");
    for line in
        ["upgrade: websocket", "connection: upgrade", "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="]
    {
        assert!(answer.contains(&format!("\r\n{line}\r\n")), "{answer}");
    }
    assert!(!answer.contains("content-length") && !answer.contains("transfer-encoding"), "{answer}");
    let mut held = port.held().await;
    assert_eq!((held.peer, held.unread.len()), (peer.local_addr().unwrap(), 0));
    held.stream.write_all(b"raw").await.unwrap();
    assert_eq!(read_exactly(&mut peer, 3).await, b"raw");
}

#[tokio::test]
async fn what_came_with_the_head_is_not_lost() {
    let mut port = Port::start(10);
    // A whole frame, part of one, and more than one read of the engine's takes.
    for early in [text("early"), text("early")[..4].to_vec(), text(&"x".repeat(100)).repeat(600)] {
        let (now, later) = early.split_at(early.len() / 2);
        let mut peer = port.say(&[&head("/held"), now].concat()).await;
        peer.write_all(later).await.unwrap();
        let mut held = port.held().await;
        let mut all = held.unread.to_vec();
        assert!(!all.is_empty());
        let rest = read_exactly(&mut held.stream, early.len() - all.len()).await;
        all.extend(rest);
        assert!(all == early, "{} bytes differ", early.len());
    }
    let mut peer = port.say(&[head("/echo"), text("early"), text("la")].concat()).await;
    read_head(&mut peer).await;
    assert_eq!(read_exactly(&mut peer, 11).await, b"\x81\x05early\x81\x02la");
}

#[tokio::test]
async fn a_connection_may_be_upgraded_after_other_requests() {
    let mut port = Port::start(10);
    let old = b"GET /echo HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n";
    let mut peer = port.say(old).await;
    let refused = read_head(&mut peer).await;
    assert!(
        refused.starts_with("HTTP/1.1 426 ") && refused.contains("sec-websocket-version: 13\r\n"),
        "{refused}"
    );
    let len = refused.split_once("content-length: ").unwrap().1.split_once("\r\n").unwrap().0;
    read_exactly(&mut peer, len.parse().unwrap()).await;
    peer.write_all(&head("/held")).await.unwrap();
    assert!(read_head(&mut peer).await.starts_with("HTTP/1.1 101 "));
    port.held().await;
}

#[tokio::test]
async fn what_cannot_be_upgraded_is_answered_and_not_handed_over() {
    let mut port = Port::start(10);
    for request in [
        "GET /any HTTP/1.0\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "GET /any HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "POST /any HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: Upgrade\r\nContent-Length: 3\r\n\r\nabc",
        "POST /any HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: Upgrade\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let mut peer = port.say(request.as_bytes()).await;
        let answer = read_head(&mut peer).await;
        assert!(answer.contains(" 400 "), "{request}{answer}");
    }
    assert!(port.held.try_recv().is_err());
    assert_eq!(port.admission.in_flight(), 0);
}

#[tokio::test]
async fn nothing_of_the_engine_stays_with_an_upgraded_connection() {
    let mut port = Port::start(10);
    // The gate lets one in at a time, so a place that was kept would be missed by the next.
    let mut peers = Vec::new();
    for _ in 0..3 {
        let mut peer = port.say(&head("/held")).await;
        read_head(&mut peer).await;
        peers.push((peer, port.held().await));
        assert_eq!(port.admission.in_flight(), 0);
    }
    while port.host.tasks.connections() > 0 {
        tokio::task::yield_now().await;
    }
    for (peer, held) in &mut peers {
        peer.write_all(b"x").await.unwrap();
        assert_eq!(read_exactly(&mut held.stream, 1).await, b"x");
    }
    assert_eq!(port.host.tasks.connection_panics(), 0);
}

#[tokio::test]
async fn an_upgraded_connection_keeps_its_place_until_it_is_dropped() {
    let mut port = Port::start(1);
    let mut first = port.say(&head("/held")).await;
    read_head(&mut first).await;
    let held = port.held().await;
    let mut second = port.say(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let waits = timeout(Duration::from_millis(100), second.read_u8()).await;
    assert!(waits.is_err(), "a second connection was served beside the only one allowed");
    drop(held);
    assert!(read_head(&mut second).await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn a_panic_of_whoever_takes_over_closes_only_that_connection() {
    let port = Port::start(1);
    let mut peer = port.say(&head("/panic")).await;
    read_head(&mut peer).await;
    assert_eq!(timeout(HANG, peer.read(&mut [0; 1])).await.expect("it stays open").unwrap(), 0);
    let mut next = port.peer("/echo").await;
    next.send(Message::text("still here")).await.unwrap();
    assert!(timeout(HANG, next.next()).await.expect("the place was lost").unwrap().is_ok());
    while port.host.tasks.connection_panics() < 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_drain_waits_for_those_who_see_the_stop_and_end() {
    let port = Port::start(10);
    let mut peer = port.peer("/echo").await;
    peer.send(Message::text("hello")).await.unwrap();
    next(&mut peer).await.unwrap().unwrap();
    port.host.tasks.stop(HANG);
    let Some(Ok(Message::Close(Some(frame)))) = next(&mut peer).await else { panic!("no close frame") };
    assert_eq!(u16::from(frame.code), 1001);
    assert_eq!(timeout(HANG / 2, port.drained).await.expect("it does not drain").unwrap().left, 0);
}

#[tokio::test]
async fn a_drain_ends_with_its_time_and_counts_who_is_left() {
    let mut port = Port::start(10);
    let mut peer = port.say(&head("/held")).await;
    read_head(&mut peer).await;
    let held = port.held().await;
    port.host.tasks.stop(Duration::from_millis(200));
    assert_eq!(timeout(HANG, port.drained).await.expect("it drains for ever").unwrap().left, 1);
    drop(held);
}
