//! The seam between moving bytes and deciding: what a system says about a request, without touching a socket.
//!
//! The engine reads a head and asks; the system answers at once, from memory. A system is therefore a table
//! of pure decisions that tests call directly, and the engine underneath can be replaced without rewriting
//! one of them. Nothing here may wait: whoever needs to answers [`Next::General`].

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use seawall_policy::priority::Priority;
use seawall_policy::retry::Attempt;
use seawall_policy::{Mono, Outcome};
use tokio::net::TcpStream;

use crate::problem::Problem;
use crate::server::Connected;

/// What a system decides about the requests on one port.
pub trait Exchange: Send + Sync + 'static {
    /// What must be remembered while a request is being forwarded: permits, backends already tried, the
    /// start. Handed back to [`Exchange::on_end`] exactly once, also when the client leaves half-way.
    type Held: Send + 'static;

    /// How much a request matters, asked before it is let in: a table look-up at most. A caller can lower it with
    /// `x-seawall-priority`. Who tells no classes apart leaves them all at `P0`, which load never sheds.
    fn priority(&self, _head: &Head<'_>) -> Priority {
        Priority::P0
    }

    /// A request's head has arrived, and the request may in.
    fn on_head(&self, head: &Head<'_>, now: Mono, out: &mut Out) -> Next<Self::Held>;

    /// A backend answered or failed.
    fn on_upstream(&self, held: &mut Self::Held, event: Upstream<'_>, now: Mono) -> Step;

    /// The exchange is over.
    fn on_end(&self, held: Self::Held, how: Finish, now: Mono);
}

/// A request as far as it is known when the decision is taken.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path, as sent; begins with `/`, or is `*`.
    pub path: &'a str,
    /// After the `?`, if there was one.
    pub query: Option<&'a str>,
    /// The host asked for: without port, as sent. Empty when the client named none (HTTP/1.0).
    pub host: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// Who is connected.
    pub peer: SocketAddr,
    /// Which try of its client's this is, as `x-seawall-attempt` says.
    pub attempt: Attempt,
    /// When the client stops caring: its own `x-seawall-deadline-ms`, or the port's limit.
    pub deadline: Mono,
}

/// An answer made on the spot.
#[derive(Debug)]
pub struct Out {
    /// Starts as 200.
    pub status: StatusCode,
    /// Starts empty.
    pub headers: HeaderMap,
    /// Starts empty.
    pub body: Bytes,
}

impl Default for Out {
    fn default() -> Out {
        Out { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new() }
    }
}

impl Out {
    /// Sets a header.
    pub fn header(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.insert(name, value);
    }
}

/// What happens to a request next.
pub enum Next<Held> {
    /// [`Out`] holds the whole answer.
    Replied,
    /// Send it to a backend.
    Forward(Target, Held),
    /// Hand it to the system's router, which may wait.
    General,
    /// Answer with this error.
    Refuse(Problem),
    /// Answer 101 with the headers in [`Out`], then speak another protocol: the closure is given the connection, and
    /// the engine has no more to do with it. Dropped uncalled when the client leaves before the 101 is sent.
    ///
    /// Wants a request over HTTP/1.1 that asks for an upgrade and has no body; any other is answered 400.
    Upgrade(Box<dyn FnOnce(Upgraded) + Send>),
}

impl<Held: fmt::Debug> fmt::Debug for Next<Held> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Next::Replied => f.write_str("Replied"),
            Next::Forward(target, held) => f.debug_tuple("Forward").field(target).field(held).finish(),
            Next::General => f.write_str("General"),
            Next::Refuse(problem) => f.debug_tuple("Refuse").field(problem).finish(),
            Next::Upgrade(_) => f.write_str("Upgrade"),
        }
    }
}

/// A connection that has left HTTP. Nothing of the engine is behind it: its task has ended, its buffers are freed.
///
/// Who holds it sees to its end: at a stop ([`crate::tasks::Tasks::stopping`]), and when the peer falls silent. Of
/// the engine's limits one stays, as it is the kernel's: a peer that takes nothing of what was sent is cut off.
#[derive(Debug)]
pub struct Upgraded {
    /// The socket itself.
    pub stream: TcpStream,
    /// What the peer sent behind the head of its request. Belongs in front of what is read from the socket.
    pub unread: Bytes,
    /// Who is connected.
    pub peer: SocketAddr,
    /// Counts the connection; to be kept for as long as there is one.
    pub connected: Connected,
}

/// A backend and the patience for one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Time to connect.
    pub connect: Duration,
    /// Time until the head of its answer, connecting included.
    pub respond: Duration,
    /// Keep the request body, if it is small, so that the try can be repeated elsewhere.
    pub keep_body: bool,
}

/// What became of a try.
#[derive(Debug, Clone, Copy)]
pub enum Upstream<'a> {
    /// The head of an answer is here; nothing of it has been sent to the client.
    Head {
        /// Its status.
        status: StatusCode,
        /// Its headers.
        headers: &'a HeaderMap,
        /// Whether the request can still be sent again, byte for byte.
        replayable: bool,
    },
    /// No answer. Nothing has been sent to the client.
    Failed {
        /// What to count it as.
        outcome: Outcome,
        /// False when the backend cannot have seen any of the request.
        reached: bool,
        /// Whether the request can still be sent again, byte for byte.
        replayable: bool,
    },
}

/// What to do about it.
#[derive(Debug)]
pub enum Step {
    /// Pass the answer on. Only for [`Upstream::Head`].
    Go,
    /// Try again there, after a pause.
    Retry(Target, Duration),
    /// Answer the client with this error.
    Give(Problem),
}

/// How a forwarded exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The client has the whole answer; its status.
    Done(StatusCode),
    /// The backend broke off in the middle of the answer's body.
    Broken,
    /// The client left, or the engine is shutting down.
    Abandoned,
}

/// A system without a fast path: every request goes to the router.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllGeneral;

impl Exchange for AllGeneral {
    type Held = std::convert::Infallible;
    fn on_head(&self, _: &Head<'_>, _: Mono, _: &mut Out) -> Next<Self::Held> {
        Next::General
    }
    fn on_upstream(&self, held: &mut Self::Held, _: Upstream<'_>, _: Mono) -> Step {
        match *held {}
    }
    fn on_end(&self, held: Self::Held, _: Finish, _: Mono) {
        match held {}
    }
}
