//! A gateway for tests in which nothing happens but what a test does: nobody follows news, flushes or sweeps, and its
//! clock can be turned.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use seawall_net::admission::Admission;
use seawall_net::clock::SystemClock;
use seawall_net::host::{Host, Life, Plants};
use seawall_net::listeners::{Exposure, Listeners};
use seawall_net::tasks::Tasks;
use seawall_net::telemetry::Scope;
use seawall_policy::deadline::Deadline;
use seawall_policy::{Clock, Mono, Wall};
use seawall_store::{Batch, Files, Options, Position};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::entry::What;
use super::fold::Part;
use super::frame::{Codec, Compression};
use super::hub::{Hub, Parts};
use super::identify::Outcome;
use super::inbox::Calm;
use super::link::Link;
use super::payload::{self, Identify, Shown};
use super::session::Session;
use crate::config::Config;
use crate::degrade::Ladder;
use crate::event::intents;
use crate::id::Id;
use crate::metrics::Metrics;
use crate::model::User;
use crate::owner::limits::Limits;
use crate::owner::{self, Client};
use crate::storage::{SessionRecord, Storage, hk_user, make_token, ops, token_hash};

/// Far beyond anything a test waits for.
const HANG: Duration = Duration::from_secs(60);

/// Runs like a clock and can be turned forward.
pub(super) struct Hand {
    clock: SystemClock,
    skipped: AtomicU64,
}

impl Hand {
    pub(super) fn skip(&self, time: Duration) {
        self.skipped.fetch_add(time.as_nanos() as u64, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Mono {
        Mono(self.clock.now().0 + self.skipped.load(Ordering::SeqCst))
    }

    fn wall(&self) -> Wall {
        self.clock.wall()
    }
}

/// One data folder, and who gateways on it share.
pub(super) struct Scene {
    pub(super) host: Host,
    pub(super) clock: Arc<Hand>,
    pub(super) storage: Arc<Storage>,
    owner: Client,
    data: TempDir,
}

/// Somebody with a token.
pub(super) struct Person {
    pub(super) id: Id,
    pub(super) token: String,
}

impl Scene {
    pub(super) async fn new() -> Scene {
        let data = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand { clock: SystemClock::new(), skipped: AtomicU64::new(0) });
        let host = Host {
            clock: clock.clone(),
            listeners: Listeners::new(Exposure::default()),
            metrics: Scope::new("chat"),
            tasks: Tasks::new(tokio::runtime::Handle::current()),
            workers: 1,
            seed: 7,
            life: Life::default(),
            plants: Plants::new(&[]).unwrap(),
        };
        let (folder, plants) = (data.path().to_owned(), Default::default());
        let files = Files::new(Options { data: folder, clock: clock.clone(), seed: 7, plants });
        let storage = Storage::open(files, 1, &host).await.unwrap();
        let nowhere = ([127, 0, 0, 1], 1).into();
        let owner = owner::start(storage.clone(), Limits::default(), &host, nowhere).await.unwrap();
        Scene { host, clock, storage, owner, data }
    }

    /// Another gateway process on the same data folder.
    pub(super) async fn hub(&self) -> Arc<Hub> {
        let metrics = Scope::new("chat");
        let config = Config::default();
        let parts = Parts {
            url: String::new(),
            data: self.data.path().to_owned(),
            storage: self.storage.clone(),
            owner: self.owner.clone(),
            reached: [self.storage.position(0).await.unwrap()].into(),
            metrics: Metrics::new(&metrics),
            calm: Calm {
                admission: Admission::shedding(1024, config.shed.clone(), &metrics),
                ladder: Ladder::new(config.ladder.clone(), self.clock.now(), &metrics),
            },
            config,
        };
        Hub::new(parts, &self.host).unwrap()
    }

    pub(super) async fn person(&self, id: u64) -> Person {
        let id = Id(id);
        let user: User = serde_json::from_value(serde_json::json!({"id": id, "username": "u"})).unwrap();
        let (token, wall) = (make_token(id, &[id.0 as u8; 33]), self.clock.wall());
        let ops = vec![ops::user_insert(&user, wall), ops::token_put(id, token_hash(&token), wall)];
        let batch = Batch { hk: hk_user(id), key: None, owned: None, ops, tell: Vec::new() };
        let written = self.storage.write(batch, Deadline::after(self.clock.now(), HANG)).await;
        crate::storage::Committed::of(written).unwrap();
        Person { id, token }
    }

    pub(super) async fn record(&self, session: &Session) -> SessionRecord {
        self.storage.session(&session.id.to_string()).await.unwrap().unwrap()
    }
}

/// The client's end of a connection.
pub(super) struct Peer(WebSocketStream<TcpStream>);

/// A connection, both ends.
pub(super) async fn connected() -> (Arc<Link>, Peer) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (ours, theirs) = tokio::join!(listener.accept(), TcpStream::connect(listener.local_addr().unwrap()));
    let link = Link::over(ours.unwrap().0, Codec::new(Compression::None), None);
    (Arc::new(link), Peer(WebSocketStream::from_raw_socket(theirs.unwrap(), Role::Client, None).await))
}

impl Peer {
    /// The next payload; the code of the goodbye where it is that.
    pub(super) async fn next(&mut self) -> Result<Value, u16> {
        let message = tokio::time::timeout(HANG, self.0.next()).await.expect("silence");
        match message.expect("the end").unwrap() {
            Message::Close(frame) => Err(frame.map_or(0, |frame| frame.code.into())),
            message => Ok(serde_json::from_str(message.to_text().unwrap()).unwrap()),
        }
    }
}

/// Opens a session as its client would.
pub(super) async fn identified(hub: &Hub, link: &Arc<Link>, who: &Person) -> Arc<Session> {
    let wish = Identify {
        token: who.token.clone(),
        intents: intents::KNOWN,
        part: Part::WHOLE,
        large_threshold: 50,
        presence: Shown::default(),
    };
    match hub.identify(link, wish).await {
        Ok(Outcome::In(session)) => session,
        Ok(Outcome::Invalid) => panic!("invalid"),
        Err(close) => panic!("{close:?}"),
    }
}

/// Resumes a session as its client would; whether that works.
pub(super) async fn resumed(hub: &Hub, link: &Arc<Link>, who: &Person, session: &Session, seq: u64) -> bool {
    let wish = payload::Resume { token: who.token.clone(), session: session.id.to_string(), seq: Some(seq) };
    matches!(hub.resume(link, wish).await, Ok(Outcome::In(_)))
}

/// Puts these in order.
pub(super) fn put(hub: &Hub, whats: Vec<What>) {
    assert!(hub.append(&mut hub.order(), whats).is_ok());
}

/// How far.
pub(super) fn reached(at: u64) -> What {
    What::Reached { positions: [Position(at)].into() }
}
