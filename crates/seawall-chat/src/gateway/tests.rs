//! A gateway without its tasks: nothing happens but what a test does, in its order.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use seawall_net::admission::Admission;
use seawall_net::clock::SystemClock;
use seawall_net::exchange::{Exchange, Finish, Head, Next, Out, Step, Upgraded, Upstream};
use seawall_net::host::{Host, Life, Plants};
use seawall_net::listeners::{Exposure, Listeners, Purpose};
use seawall_net::server::{Limits, Server};
use seawall_net::tasks::Tasks;
use seawall_net::telemetry::Scope;
use seawall_net::ws;
use seawall_policy::deadline::Deadline;
use seawall_policy::{Mono, Wall};
use seawall_store::{Batch, Files, Op, Options, Position};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::Calm;
use super::entry::{Entry, SessionId};
use super::fold::{Fold, Part};
use super::frame::{Codec, Slot};
use super::hub::{Hub, Parts, to_session};
use super::identify::Outcome;
use super::link::Link;
use super::payload::{self, Close, Identify, Op as Said};
use super::resume::Replay;
use super::session::Session;
use super::view::View;
use crate::config::Config;
use crate::degrade::Ladder;
use crate::event::{Kind, Presence, intents};
use crate::id::Id;
use crate::metrics::Metrics;
use crate::model::{Channel, Guild, Member, Role, User};
use crate::owner::{self, News};
use crate::permissions::Permissions;
use crate::storage::{Storage, hk_guild, hk_user, make_token, ops, token_hash};

/// Far beyond anything a test waits for; only a hang reaches it.
const HANG: Duration = Duration::from_secs(60);
const ANN: Id = Id(3);

/// Keeps every connection that wants to be a WebSocket.
struct Catch(mpsc::UnboundedSender<Upgraded>);

impl Exchange for Catch {
    type Held = Infallible;
    fn on_head(&self, head: &Head<'_>, _: Mono, out: &mut Out) -> Next<Infallible> {
        if let Err(problem) = ws::accept(head, out) {
            return Next::Refuse(problem);
        }
        let caught = self.0.clone();
        Next::Upgrade(Box::new(move |upgraded| caught.send(upgraded).unwrap()))
    }
    fn on_upstream(&self, held: &mut Infallible, _: Upstream<'_>, _: Mono) -> Step {
        match *held {}
    }
    fn on_end(&self, held: Infallible, _: Finish, _: Mono) {
        match held {}
    }
}

type Socket = WebSocketStream<TcpStream>;

struct Scene {
    hub: Arc<Hub>,
    storage: Arc<Storage>,
    token: String,
    addr: SocketAddr,
    caught: mpsc::UnboundedReceiver<Upgraded>,
    host: Host,
    _data: TempDir,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.host.tasks.stop(Duration::ZERO);
    }
}

impl Scene {
    /// Ann is in these guilds, each with channels of that many kilobytes.
    async fn new(config: Config, guilds: &[(Id, &[usize])]) -> Scene {
        let data = tempfile::tempdir().unwrap();
        let host = Host {
            clock: Arc::new(SystemClock::new()),
            listeners: Listeners::new(Exposure::default()),
            metrics: Scope::new("chat"),
            tasks: Tasks::new(Handle::current()),
            workers: 1,
            seed: 1,
            life: Life::default(),
            plants: Plants::default(),
        };
        let clock = host.clock.clone();
        let files =
            Files::new(Options { data: data.path().to_owned(), clock, seed: 7, plants: Default::default() });
        let storage = Storage::open(files, 1, &host).await.unwrap();
        let bound =
            host.listeners.tcp("test", SocketAddr::from(([127, 0, 0, 1], 0)), Purpose::Proxy).unwrap();
        let addr = bound.addr;
        let owner = owner::start(storage.clone(), Default::default(), &host, addr).await.unwrap();
        let admission = Admission::new(1024, &host.metrics);
        let calm = Calm {
            admission: admission.clone(),
            ladder: Ladder::new(config.ladder.clone(), host.clock.now(), &host.metrics),
        };
        let parts = Parts {
            config,
            url: String::new(),
            data: data.path().to_owned(),
            storage: storage.clone(),
            owner,
            reached: [Position(0)].into(),
            metrics: Metrics::new(&host.metrics),
            calm,
        };
        let hub = Hub::new(parts, &host).unwrap();
        // Nobody follows anything here: what is read from the store is all there is.
        hub.replica.reached(&[Position(u64::MAX)]);
        let (tell, caught) = mpsc::unbounded_channel();
        let server = Server {
            exchange: Arc::new(Catch(tell)),
            general: axum::Router::new(),
            admission,
            limits: Limits::default(),
            ops: None,
        };
        let serving = host.clone();
        host.tasks.vital("test-http", async move { _ = server.serve(bound, &serving).await });
        let token = make_token(ANN, &[7; 33]);
        let scene = Scene { hub, storage, token, addr, caught, host, _data: data };
        scene.people(guilds).await;
        scene
    }

    async fn write(&self, hk: i64, ops: Vec<Op>) {
        let batch = Batch { hk, key: None, owned: None, ops, tell: Vec::new() };
        let written = self.storage.write(batch, Deadline::after(self.host.clock.now(), HANG)).await;
        crate::storage::Committed::of(written).unwrap();
    }

    async fn people(&self, guilds: &[(Id, &[usize])]) {
        let ann: User = parsed(json!({"id": ANN, "username": "ann"}));
        let (hk, now) = (hk_user(ANN), Wall(0));
        self.write(hk, vec![ops::user_insert(&ann, now), ops::token_put(ANN, token_hash(&self.token), now)])
            .await;
        for (guild, channels) in guilds {
            let settings: Guild = parsed(json!({"id": guild, "name": "g", "owner_id": ANN}));
            let everyone: Role =
                parsed(json!({"id": guild, "name": "@everyone", "permissions": Permissions::EVERYONE}));
            let member: Member = parsed(json!({"user": ann, "joined_at": "x"}));
            let made = [
                ops::guild_insert(&settings),
                ops::role_put(*guild, &everyone),
                ops::member_put(*guild, &member),
            ];
            self.write(hk_guild(*guild), made.into()).await;
            for (n, kilobytes) in channels.iter().enumerate() {
                let (id, topic) = (Id(guild.0 * 1000 + n as u64), "x".repeat(kilobytes << 10));
                let channel: Channel =
                    parsed(json!({"id": id, "type": 0, "guild_id": guild, "topic": topic}));
                self.write(hk_guild(*guild), vec![ops::channel_put(*guild, &channel)]).await;
            }
            self.write(hk, vec![ops::user_guild_put(ANN, *guild)]).await;
        }
    }

    /// Both ends of a connection, whose client takes little at a time.
    async fn connect(&mut self) -> (Socket, Arc<Link>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(self.addr).await.unwrap();
        let url = format!("ws://{}/", self.addr);
        let client = tokio_tungstenite::client_async(url, stream);
        let (client, upgraded) = tokio::join!(client, self.caught.recv());
        let (link, _) = Link::new(upgraded.unwrap(), Codec::new(Default::default()));
        (client.unwrap().0, Arc::new(link))
    }

    fn wish(&self, intents: u64) -> Identify {
        let d = json!({"token": self.token, "intents": intents, "properties": {}});
        match payload::read(&json!({"op": 2, "d": d}).to_string(), false) {
            Ok(Said::Identify(wish)) => *wish,
            _ => panic!("no wish to identify"),
        }
    }

    /// A session of Ann's that has been told everything.
    async fn session(&mut self, intents: u64) -> (Socket, Arc<Link>, Arc<Session>) {
        let (client, link) = self.connect().await;
        let session = match self.hub.identify(&link, self.wish(intents)).await {
            Ok(Outcome::In(session)) => session,
            Ok(Outcome::Invalid) => panic!("invalid"),
            Err(close) => panic!("{}", close.reason()),
        };
        self.hub.flush_alone(&session);
        (client, link, session)
    }
}

fn parsed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// The next dispatch's name, or the code of the goodbye.
async fn next(client: &mut Socket) -> Result<String, u16> {
    loop {
        match timeout(HANG, client.next()).await.expect("silence") {
            Some(Ok(Message::Text(text))) => {
                let payload: Value = serde_json::from_str(&text).unwrap();
                return Ok(payload["t"].as_str().unwrap_or_default().to_owned());
            }
            Some(Ok(Message::Close(frame))) => return Err(frame.map_or(0, |frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(0),
        }
    }
}

#[tokio::test]
async fn a_guild_that_is_about_to_be_heard_of_is_not_forgotten() {
    let config = Config { guilds_idle_max: 0, ..Config::default() };
    let scene = Scene::new(config, &[(Id(1), &[1]), (Id(2), &[1])]).await;
    let hub = &scene.hub;
    drop(hub.guilds_of(ANN, Part::WHOLE).await.unwrap());
    assert_eq!(hub.trim(), 0, "nobody wants them");
    let held = hub.guilds_of(ANN, Part::WHOLE).await.unwrap();
    assert_eq!(hub.trim(), 2, "a session is being made");
    let view = hub.view_of(&mut hub.order(), ANN, Part::WHOLE, &held);
    assert!(view.has(Id(1)) && view.has(Id(2)));
    drop(held);
    assert_eq!(hub.trim(), 2, "somebody hears of them");
}

#[tokio::test]
async fn a_session_that_fell_off_the_ring_passes_nothing() {
    let mut scene = Scene::new(Config { ring_entries: 1024, ..Config::default() }, &[]).await;
    let (mut client, _link, session) = scene.session(0).await;
    let hub = &scene.hub;
    let before = session.lock().fold.lsn;
    let one = || to_session(session.id, Kind::TypingStart, "{}");
    let many = (0..3000).map(|_| one()).collect();
    assert!(hub.append(&mut hub.order(), many).is_ok());
    hub.flush_alone(&session);
    assert!(before < hub.ring.tail());
    assert_eq!((next(&mut client).await, next(&mut client).await), (Ok("READY".to_owned()), Err(4000)));
    // A heartbeat says the newest number it has, and cannot be told from one of a client that has everything.
    let mut state = session.lock();
    hub.pass(&mut state);
    let state = &mut *state;
    state.acks.acked(state.fold.s, &state.fold, hub.clock.now());
    assert_eq!((state.fold.lsn, state.acks.lsn()), (before, before));
}

#[tokio::test]
async fn large_guilds_reach_a_client_that_reads_slowly() {
    let guilds = [1, 2, 3, 4, 5, 6].map(|id| (Id(id), &[900, 900, 900][..]));
    let mut scene = Scene::new(Config::default(), &guilds).await;
    let (mut client, link) = scene.connect().await;
    let wish = scene.wish(intents::GUILDS);
    let reads = async {
        let mut heard = Vec::new();
        while heard.len() < 1 + guilds.len() {
            heard.push(next(&mut client).await);
        }
        heard
    };
    let (outcome, heard) = tokio::join!(scene.hub.identify(&link, wish), reads);
    assert!(matches!(outcome, Ok(Outcome::In(_))));
    let told = |t: &str| Ok::<_, u16>(t.to_owned());
    let wanted = std::iter::once(told("READY")).chain(guilds.map(|_| told("GUILD_CREATE")));
    assert_eq!(heard, wanted.collect::<Vec<_>>());
}

/// Of users whose gateway died with the owner, nobody else knows anything.
#[tokio::test]
async fn whom_a_new_owner_says_nothing_of_is_told_to_be_gone() {
    let scene = Scene::new(Config::default(), &[]).await;
    let hub = &scene.hub;
    let online = |user| {
        News::Presence(Presence { user: Id(user), status: "online".to_owned(), activities: Vec::new() })
    };
    hub.take(vec![News::Owner { epoch: 1 }, online(8), online(9)]).await;
    hub.take(vec![News::Owner { epoch: 2 }, online(8)]).await;
    let (now, status) = (scene.host.clock.now(), |user| hub.presences.now(Id(user)).status);
    hub.tell_lost(now);
    assert_eq!((status(8), status(9), hub.inbox.due()), ("online".to_owned(), "online".to_owned(), None));
    let later = now + HANG;
    hub.tell_lost(later);
    assert_eq!((status(8), status(9)), ("online".to_owned(), "offline".to_owned()));
    assert_eq!((hub.inbox.due(), hub.inbox.take(later).1), (Some(later), vec![Id(9)]));
}

/// A session may come into the order after the news of its end.
#[tokio::test]
async fn a_session_whose_token_was_renewed_while_it_was_made_ends() {
    let mut scene = Scene::new(Config::default(), &[]).await;
    let (mut client, _link, session) = scene.session(0).await;
    assert!(scene.hub.still_good(&session, &scene.token).await.is_ok());
    scene.write(hk_user(ANN), vec![ops::tokens_revoke(ANN)]).await;
    assert_eq!(scene.hub.still_good(&session, &scene.token).await, Err(Close::BadToken));
    assert_eq!((next(&mut client).await, next(&mut client).await), (Ok("READY".to_owned()), Err(4004)));
    assert!(scene.hub.session(session.id).is_none());
}

#[test]
fn a_replay_gathers_so_much_and_no_more() {
    let session = SessionId([1; 16]);
    let view = View::default();
    let mut replay = Replay::new(
        Fold { session, user: ANN, intents: 0, part: Part::WHOLE, s: 0, lsn: 0, view, skip: None },
        0,
    );
    let d = bytes::Bytes::from(vec![b' '; 16 << 20]);
    let mut step = |lsn| {
        replay
            .step(&Slot::new(Entry { lsn, what: to_session(session, Kind::MembersChunk, d.clone()) }))
            .is_ok()
    };
    assert_eq!([1, 2, 3, 4].map(&mut step), [true, true, true, false]);
}
