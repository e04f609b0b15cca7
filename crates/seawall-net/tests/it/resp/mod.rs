//! The RESP port: the codec by itself, the server over real sockets, and both beside a real Redis.

mod codec;
mod compared;
mod port;
mod redis;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use seawall_net::admission::Admission;
use seawall_net::host::{Drained, Host};
use seawall_net::listeners::{Bound, Writes};
use seawall_net::resp::{Command, Commands, Limits, Next, Order, Protocol, Reply, Server, Spec};
use seawall_policy::Mono;
use seawall_policy::deadline::Deadline;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::{HANG, host};

/// A system of five commands.
pub(crate) struct Shelf {
    /// One permit lets one slow command go.
    gate: Arc<Semaphore>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Verb {
    /// Answers its argument at once.
    Fast,
    /// The same, once it is let go.
    Slow,
    /// Notes its argument, once it is let go.
    Put,
    /// Answers what this connection has noted.
    Log,
    /// Answers so many bytes.
    Long,
    /// Our own bug.
    Panic,
}

const SPECS: &[Spec] = &[
    Spec { name: "shelf.fast", arity: 2, ..Spec::NONE },
    Spec { name: "shelf.slow", arity: 2, ..Spec::NONE },
    Spec { name: "shelf.put", arity: 2, order: Order::Write, flags: &["write"], ..Spec::NONE },
    Spec { name: "shelf.log", arity: 1, order: Order::Alone, ..Spec::NONE },
    Spec { name: "shelf.long", arity: 2, ..Spec::NONE },
    Spec { name: "shelf.panic", arity: 1, ..Spec::NONE },
];

impl Commands for Shelf {
    type Verb = Verb;
    type Memory = Vec<Vec<u8>>;
    type Moment = ();
    type Later = (Verb, Vec<u8>);

    fn name(&self) -> (&'static str, &'static str) {
        ("shelf", "1")
    }

    fn specs(&self) -> &'static [Spec] {
        SPECS
    }

    fn find(&self, name: &[u8]) -> Option<Verb> {
        let verbs = [Verb::Fast, Verb::Slow, Verb::Put, Verb::Log, Verb::Long, Verb::Panic];
        verbs.into_iter().find(|verb| name.eq_ignore_ascii_case(self.spec(*verb).name.as_bytes()))
    }

    fn spec(&self, verb: Verb) -> &'static Spec {
        &SPECS[verb as usize]
    }

    fn moment(&self, _: Mono, _: Deadline) {}

    fn answer(
        &self,
        verb: Verb,
        command: &Command<'_>,
        _: &(),
        noted: &mut Vec<Vec<u8>>,
        reply: &mut Reply<'_>,
    ) -> Next<Self::Later> {
        let argument = command.get(1).unwrap_or_default();
        match verb {
            Verb::Slow | Verb::Put => return Next::Later((verb, argument.to_vec())),
            Verb::Fast => reply.bulk(argument),
            Verb::Long => {
                let len = String::from_utf8_lossy(argument).parse().unwrap();
                reply.bulk(&vec![b'x'; len]);
            }
            Verb::Log => {
                reply.array(noted.len());
                noted.iter().for_each(|one| reply.bulk(one));
            }
            Verb::Panic => panic!("planted"),
        }
        Next::Answered
    }

    async fn wait<'a>(
        &'a self,
        (_, argument): Self::Later,
        _: &'a Vec<Vec<u8>>,
        protocol: Protocol,
    ) -> Vec<u8> {
        self.gate.acquire().await.unwrap().forget();
        let mut answer = Vec::new();
        Reply::new(&mut answer, protocol).bulk(&argument);
        answer
    }

    async fn wait_alone<'a>(
        &'a self,
        (_, argument): Self::Later,
        noted: &'a mut Vec<Vec<u8>>,
        _: Protocol,
    ) -> Vec<u8> {
        self.gate.acquire().await.unwrap().forget();
        noted.push(argument);
        b"+OK\r\n".to_vec()
    }

    fn size(&self) -> u64 {
        7
    }

    fn sections(&self) -> Vec<(&'static str, String)> {
        vec![("Shelf", "boards:3\r\n".to_owned())]
    }
}

/// A running port.
pub(crate) struct Port {
    pub(crate) addr: SocketAddr,
    pub(crate) host: Host,
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) drained: oneshot::Receiver<Drained>,
}

impl Port {
    pub(crate) async fn start(limits: Limits) -> Port {
        Port::with(limits, Writes::Open, 100).await
    }

    pub(crate) async fn with(limits: Limits, writes: Writes, in_flight_max: usize) -> Port {
        let host = host();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let gate = Arc::new(Semaphore::new(0));
        let admission = Admission::new(in_flight_max, &host.metrics);
        let server = Server { commands: Shelf { gate: gate.clone() }, admission, limits };
        let (told, drained) = oneshot::channel();
        let serving = host.clone();
        host.tasks.vital("resp", async move {
            let _ = told.send(server.serve(Bound { listener, addr, writes }, &serving).await);
        });
        Port { addr, host, gate, drained }
    }

    pub(crate) async fn peer(&self) -> Peer {
        Peer(TcpStream::connect(self.addr).await.unwrap())
    }
}

/// A client in bytes.
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Exactly these bytes come next.
    pub(crate) async fn hears(&mut self, wanted: impl AsRef<[u8]>) {
        let wanted = wanted.as_ref();
        let mut heard = Vec::new();
        while heard.len() < wanted.len() && wanted.starts_with(&heard) {
            let mut some = vec![0; wanted.len() - heard.len()];
            let n = timeout(HANG, self.0.read(&mut some)).await.expect("the server hangs").unwrap();
            assert!(n > 0, "closed after {}", heard.escape_ascii());
            heard.extend_from_slice(&some[..n]);
        }
        assert_eq!(heard.escape_ascii().to_string(), wanted.escape_ascii().to_string());
    }

    /// Whether a PING is answered.
    pub(crate) async fn is_heard(&mut self) -> bool {
        let mut pong = [0; 7];
        self.0.write_all(b"PING\r\n").await.is_ok()
            && timeout(HANG, self.0.read_exact(&mut pong)).await.expect("the server hangs").is_ok()
    }

    /// One line, without its end.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(timeout(HANG, self.0.read_u8()).await.expect("the server hangs").unwrap());
        }
        String::from_utf8_lossy(&line[..line.len() - 2]).into_owned()
    }

    /// The server closes, after these bytes and nothing else.
    pub(crate) async fn ends(mut self, wanted: impl AsRef<[u8]>) {
        self.hears(wanted).await;
        let mut rest = Vec::new();
        // A connection closed with something unread ends with a reset.
        drop(timeout(HANG, self.0.read_to_end(&mut rest)).await.expect("the server does not close"));
        assert!(rest.is_empty(), "more came: {}", rest.escape_ascii());
    }
}

/// A command as clients send it.
pub(crate) fn command(words: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    out
}

/// Short enough for a test, and longer than anything in it takes.
pub(crate) const SHORT: Duration = Duration::from_millis(100);
