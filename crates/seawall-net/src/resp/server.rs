//! One RESP port: accepts, bounds, drains. Each connection is pumped by a task of its own.

use std::convert::Infallible;
use std::fmt::Write;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use seawall_policy::deadline::Deadline;
use seawall_policy::{Clock, Mono};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::command::Spec;
use super::connection::Connection;
use super::decoder::{self, Command};
use super::encoder::{Protocol, Reply};
use super::session::Cards;
use crate::admission::Admission;
use crate::host::{Drained, Host};
use crate::listeners::{Bound, Writes};
use crate::tasks::Tasks;
use crate::telemetry::{Counter, Gauge};

/// What a system answers over RESP, besides what every port does.
pub trait Commands: Send + Sync + 'static {
    /// Which of its commands.
    type Verb: Copy;
    /// What a connection keeps for the system from one command to the next.
    type Memory: Default + Send + Sync;
    /// What is looked up once for all commands that arrived together.
    type Moment;
    /// A command that cannot be answered from memory, understood and on its own.
    type Later: Send;

    /// Server and version, as `HELLO` and `INFO` tell them.
    fn name(&self) -> (&'static str, &'static str);
    /// All of its commands, as `COMMAND` tells them.
    fn specs(&self) -> &'static [Spec];
    /// Which command has this name, in whatever case.
    fn find(&self, name: &[u8]) -> Option<Self::Verb>;
    /// What is known of one.
    fn spec(&self, verb: Self::Verb) -> &'static Spec;
    /// Some commands have arrived.
    fn moment(&self, now: Mono, deadline: Deadline) -> Self::Moment;
    /// Answers from memory, or says what there is to wait for. The number of arguments was checked.
    fn answer(
        &self,
        verb: Self::Verb,
        command: &Command<'_>,
        moment: &Self::Moment,
        memory: &mut Self::Memory,
        reply: &mut Reply<'_>,
    ) -> Next<Self::Later>;
    /// The encoded answer to a command whose order is [`Order::Free`](super::Order::Free), beside others.
    fn wait<'a>(
        &'a self,
        later: Self::Later,
        memory: &'a Self::Memory,
        protocol: Protocol,
    ) -> impl Future<Output = Vec<u8>> + Send + 'a;
    /// The encoded answer to any other command: nothing else of its connection goes on meanwhile.
    fn wait_alone<'a>(
        &'a self,
        later: Self::Later,
        memory: &'a mut Self::Memory,
        protocol: Protocol,
    ) -> impl Future<Output = Vec<u8>> + Send + 'a;
    /// What `DBSIZE` says.
    fn size(&self) -> u64;
    /// Sections of `INFO`: a name, and lines of `name:value` that end as RESP's do.
    fn sections(&self) -> Vec<(&'static str, String)>;
}

/// What came of asking for an answer.
#[derive(Debug)]
pub enum Next<L> {
    /// It was written.
    Answered,
    /// It takes time.
    Later(L),
}

/// What one port allows its clients.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections open at once; one more is told so and closed, as Redis does.
    pub connections_max: usize,
    /// Of one command.
    pub request: decoder::Limits,
    /// Bytes of answers that are kept for a client which does not take them; beyond, it is cut off. Redis's bound for
    /// subscribers; for others it has none, and a client that sends a long pipeline before it reads needs some.
    pub unsent_max: usize,
    /// The same for all clients of the port together.
    pub unsent_total_max: usize,
    /// A connection that says nothing for so long is closed. Redis never does that; its clients' pools
    /// open another.
    pub idle_max: Duration,
    /// How long a command may take.
    pub deadline: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 10_000,
            request: decoder::Limits::default(),
            unsent_max: 32 << 20,
            unsent_total_max: 256 << 20,
            idle_max: Duration::from_secs(3600),
            deadline: Duration::from_secs(5),
        }
    }
}

/// A peer that is not there any more is noticed by probes in this interval; Redis's `tcp-keepalive`.
const KEEPALIVE: Duration = Duration::from_secs(300);
/// A client that takes none of its answers for so long is cut off.
const UNREAD_MAX: Duration = Duration::from_secs(60);
/// After a stop is asked for, everyone is still served this long.
const LAME_DUCK_MAX: Duration = Duration::from_secs(1);
/// How often the drain looks whether the last connection has gone.
const DRAIN_POLL: Duration = Duration::from_millis(10);
/// How long one who is not let in is given to be told so.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// One RESP port.
pub struct Server<C> {
    /// Answers.
    pub commands: C,
    /// The gate. What is answered from memory takes no place of it: it is done before anybody could be refused.
    pub admission: Arc<Admission>,
    /// What clients are allowed.
    pub limits: Limits,
}

/// What the connections of a port share.
pub(super) struct Port<C> {
    pub(super) commands: C,
    pub(super) admission: Arc<Admission>,
    pub(super) limits: Limits,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) cards: Cards,
    pub(super) counts: Counts,
    /// Bytes that clients have not taken, of all connections.
    pub(super) unsent: AtomicUsize,
    writes: Writes,
    tasks: Tasks,
    since: Mono,
    open: AtomicUsize,
    is_draining: AtomicBool,
    draining: watch::Sender<bool>,
}

/// What is counted of a port.
pub(super) struct Counts {
    pub(super) commands: Counter,
    connections: Counter,
    open: Gauge<i64, std::sync::atomic::AtomicI64>,
    cut: [Counter; Cut::ALL.len()],
}

/// Why a connection was ended that its client would have gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// It sent what is no RESP.
    Protocol,
    /// It did not take its answers.
    Unsent,
    /// It said nothing for long.
    Idle,
    /// There were too many already.
    Full,
}

impl Cut {
    const ALL: [&str; 4] = ["protocol", "unsent", "idle", "full"];
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

impl Counts {
    fn new(host: &Host) -> Counts {
        let metrics = &host.metrics;
        let cut = metrics.counters::<Why>("resp_cut", "RESP connections ended by us, by reason");
        Counts {
            commands: metrics.counter("resp_commands", "Commands read from RESP connections"),
            connections: metrics.counter("resp_connections", "RESP connections accepted"),
            open: metrics.metric("resp_open", "RESP connections open", Gauge::default),
            cut: Cut::ALL.map(|reason| cut.get_or_create(&Why { reason }).clone()),
        }
    }

    pub(super) fn cut(&self, why: Cut) {
        self.cut[why as usize].inc();
    }
}

impl<C: Commands> Server<C> {
    /// Accepts and serves until the system is asked to stop, then drains within the grace period.
    pub async fn serve(self, bound: Bound, host: &Host) -> Drained {
        let port = Arc::new(Port {
            commands: self.commands,
            admission: self.admission,
            limits: self.limits,
            clock: host.clock.clone(),
            cards: Cards::default(),
            counts: Counts::new(host),
            unsent: AtomicUsize::new(0),
            writes: bound.writes,
            tasks: host.tasks.clone(),
            since: host.clock.now(),
            open: AtomicUsize::new(0),
            is_draining: AtomicBool::new(false),
            draining: watch::Sender::new(false),
        });
        let grace = tokio::select! {
            never = accept(&port, &bound.listener, bound.addr) => match never {},
            grace = host.tasks.stopping() => grace,
        };
        let lame_duck = LAME_DUCK_MAX.min(grace / 4);
        // `accept` never ends: until the time is over, everyone is served as before, latecomers too.
        drop(tokio::time::timeout(lame_duck, accept(&port, &bound.listener, bound.addr)).await);
        port.is_draining.store(true, Ordering::Release);
        port.draining.send_replace(true);
        let drained = async {
            while port.open() > 0 {
                tokio::time::sleep(DRAIN_POLL).await;
            }
        };
        drop(tokio::time::timeout(grace.saturating_sub(lame_duck), drained).await);
        Drained { left: port.open() }
    }
}

async fn accept<C: Commands>(
    port: &Arc<Port<C>>,
    listener: &tokio::net::TcpListener,
    local: SocketAddr,
) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match Place::take(port) {
                Some(place) => {
                    port.tasks.connection("resp", connection(place, stream, peer, local));
                }
                None => {
                    port.counts.cut(Cut::Full);
                    port.tasks.connection("resp-full", refuse(stream));
                }
            },
            Err(e) => {
                // Out of file descriptors, mostly: going on at once would spin.
                tracing::warn!(error = %e, "cannot accept a connection, waiting");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// In Redis's words, which clients tell from other errors.
async fn refuse(mut stream: TcpStream) {
    let telling = stream.write_all(b"-ERR max number of clients reached\r\n");
    drop(tokio::time::timeout(GOODBYE_MAX, telling).await);
}

async fn connection<C: Commands>(place: Place<C>, stream: TcpStream, peer: SocketAddr, bound: SocketAddr) {
    drop(stream.set_nodelay(true));
    let socket = socket2::SockRef::from(&stream);
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3);
    drop(socket.set_tcp_keepalive(&keepalive));
    // Nothing else ends a peer that reads nothing while it has little to take.
    drop(socket.set_tcp_user_timeout(Some(UNREAD_MAX)));
    let local = stream.local_addr().unwrap_or(bound);
    let card = place.0.cards.add(peer, local, place.0.clock.now());
    let ended = Ended { port: place.0.clone(), id: card.id };
    Connection::new(place.0.clone(), stream, card).run().await;
    drop(ended);
}

/// Takes the connection out of the list, also one whose task is dropped.
struct Ended<C> {
    port: Arc<Port<C>>,
    id: i64,
}

impl<C> Drop for Ended<C> {
    fn drop(&mut self) {
        self.port.cards.remove(self.id);
    }
}

/// One of the port's connections.
struct Place<C>(Arc<Port<C>>);

impl<C: Commands> Place<C> {
    fn take(port: &Arc<Port<C>>) -> Option<Place<C>> {
        // Only the one accepting task adds.
        if port.open() >= port.limits.connections_max {
            return None;
        }
        port.open.fetch_add(1, Ordering::Relaxed);
        port.counts.connections.inc();
        port.counts.open.inc();
        Some(Place(port.clone()))
    }
}

impl<C> Drop for Place<C> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.counts.open.dec();
    }
}

impl<C: Commands> Port<C> {
    fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether connections are to end.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// Returns once they are.
    pub(super) fn draining(&self) -> impl Future<Output = ()> + Send + use<C> {
        let mut draining = self.draining.subscribe();
        async move { drop(draining.wait_for(|draining| *draining).await) }
    }

    /// Whether no token is asked for.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.writes, Writes::Open)
    }

    /// Whether this token is good.
    pub(super) fn allows(&self, token: &[u8]) -> bool {
        self.writes.allows(Some(token))
    }

    /// Until when a command that arrives now has to be answered.
    pub(super) fn deadline(&self, now: Mono) -> Deadline {
        Deadline::after(now, self.limits.deadline)
    }

    /// What `INFO` tells, ours first.
    pub(super) fn sections(&self, now: Mono) -> Vec<(&'static str, String)> {
        let (name, version) = self.commands.name();
        let mut server = String::new();
        let up = now.since(self.since).as_secs();
        // Tools read the version of Redis to know which commands there are.
        let _ = write!(
            server,
            "redis_version:{REDIS_VERSION}\r\nserver_name:{name}\r\n{name}_version:{version}\r\nredis_mode:standalone\r\n\
             os:{}\r\nprocess_id:{}\r\nuptime_in_seconds:{up}\r\nuptime_in_days:{}\r\n",
            std::env::consts::OS,
            std::process::id(),
            up / 86_400,
        );
        let clients = format!(
            "connected_clients:{}\r\nmaxclients:{}\r\nclient_unsent_bytes:{}\r\n",
            self.cards.len(),
            self.limits.connections_max,
            self.unsent.load(Ordering::Relaxed),
        );
        let stats = format!(
            "total_connections_received:{}\r\ntotal_commands_processed:{}\r\nrejected_connections:{}\r\n",
            self.counts.connections.get(),
            self.counts.commands.get(),
            self.counts.cut[Cut::Full as usize].get(),
        );
        let own = [("Server", server), ("Clients", clients), ("Stats", stats)];
        own.into_iter().chain(self.commands.sections()).collect()
    }
}

/// The Redis whose behaviour is followed.
const REDIS_VERSION: &str = "7.0.15";
