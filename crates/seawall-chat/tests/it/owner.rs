//! What the tests of the owner share: processes on one folder, people, and asking for things.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seawall_chat::command::{Ask, ChannelFields, Command, Done, MessageFields};
use seawall_chat::id::Id;
use seawall_chat::owner::limits::Limits;
use seawall_chat::owner::{self, Client, News, Subscription};
use seawall_chat::refusal::Refusal;
use seawall_chat::storage::{SCHEMA, SET, Storage};
use seawall_net::clock::SystemClock;
use seawall_net::host::{Host, Life, Plants};
use seawall_net::listeners::{Exposure, Listeners};
use seawall_net::tasks::Tasks;
use seawall_net::telemetry::Scope;
use seawall_policy::{Clock, Mono, Wall};
use seawall_store::{Files, Options, Position};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// Waits no test should ever need to the end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A clock whose wall can be turned forward.
pub(crate) struct Hand {
    clock: SystemClock,
    skipped_ms: AtomicU64,
}

impl Hand {
    pub(crate) fn skip(&self, time: Duration) {
        self.skipped_ms.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Mono {
        self.clock.now()
    }

    fn wall(&self) -> Wall {
        Wall(self.clock.wall().0 + self.skipped_ms.load(Ordering::SeqCst) as i64)
    }
}

/// One process: files, runtime and sockets of its own. Dropping it is a kill.
pub(crate) struct Process {
    pub(crate) client: Client,
    pub(crate) storage: Arc<Storage>,
    pub(crate) host: Host,
    pub(crate) clock: Arc<Hand>,
    runtime: Option<Runtime>,
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Process {
    pub(crate) async fn start(data: &Path) -> Process {
        Process::start_with(data, 1, Limits::default()).await
    }

    pub(crate) async fn start_with(data: &Path, shards: u32, limits: Limits) -> Process {
        Process::start_serving(data, shards, limits, |_, _, _| axum::Router::new()).await
    }

    /// With more pages than the owner's.
    pub(crate) async fn start_serving(
        data: &Path,
        shards: u32,
        limits: Limits,
        more: impl FnOnce(&Client, &Arc<Storage>, &Host) -> axum::Router + Send + 'static,
    ) -> Process {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let hand = Arc::new(Hand { clock: SystemClock::new(), skipped_ms: AtomicU64::new(0) });
        let clock: Arc<dyn Clock> = hand.clone();
        let host = Host {
            clock: clock.clone(),
            listeners: Listeners::new(Exposure::default()),
            metrics: Scope::new("chat"),
            tasks: Tasks::new(runtime.handle().clone()),
            workers: 2,
            seed: 1,
            life: Life::default(),
            plants: Plants::new(&["panic".to_owned()]).unwrap(),
        };
        let options = Options { data: data.to_owned(), clock, seed: fresh(), plants: Default::default() };
        let files = Files::new(options);
        let starting = host.clone();
        let (tell, told) = tokio::sync::oneshot::channel();
        host.tasks.vital("test-start", async move {
            let host = starting;
            let set = host.tasks.blocking(move || files.open(SET, shards, SCHEMA)).await.unwrap().unwrap();
            let storage = Arc::new(Storage::new(set, host.clock.clone()));
            let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr: SocketAddr = socket.local_addr().unwrap();
            let client = owner::start(storage.clone(), limits, &host, addr).await.unwrap();
            let routes = owner::remote::routes(&client).merge(more(&client, &storage, &host));
            host.tasks.vital("test-http", async move { axum::serve(socket, routes).await.unwrap() });
            drop(tell.send((client, storage)));
        });
        let (client, storage) = told.await.unwrap();
        Process { client, storage, host, clock: hand, runtime: Some(runtime) }
    }

    /// As the operator.
    pub(crate) async fn operate(&self, command: Command) -> Result<Done, Refusal> {
        self.client.submit(ask(None, command)).await
    }

    /// As somebody.
    pub(crate) async fn act(&self, actor: Id, command: Command) -> Result<Done, Refusal> {
        self.client.submit(ask(Some(actor), command)).await
    }

    pub(crate) async fn user(&self, name: &str) -> Id {
        let command = Command::CreateUser { username: name.to_owned(), global_name: None, bot: false };
        let made = body(&self.operate(command).await.unwrap());
        id(&made["user"])
    }

    /// A guild and its first channel.
    pub(crate) async fn guild(&self, owner: Id, name: &str) -> (Id, Id) {
        let made = self.act(owner, Command::CreateGuild { name: name.to_owned(), owner: None }).await;
        let made = body(&made.unwrap());
        (id(&made), id(&made["channels"][0]))
    }

    pub(crate) async fn join(&self, guild: Id, user: Id) {
        self.operate(Command::AddMember { guild, user }).await.unwrap();
    }

    pub(crate) async fn channel(&self, guild: Id, name: &str) -> Id {
        let channel = ChannelFields { name: Some(name.to_owned()), ..ChannelFields::default() };
        id(&body(&self.operate(Command::CreateChannel { guild, channel }).await.unwrap()))
    }

    pub(crate) async fn say(&self, actor: Id, channel: Id, text: &str) -> Result<Id, Refusal> {
        let done = self.act(actor, message(channel, text)).await?;
        Ok(id(&body(&done)))
    }

    /// From the beginning.
    pub(crate) fn listen(&self, gateway: &str) -> Subscription {
        let from = (0..self.storage.shards()).map(|_| Position(0)).collect();
        self.client.subscribe(gateway.to_owned(), from)
    }
}

fn fresh() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A key nobody has used in this process, nor in another test's folder that matters.
pub(crate) fn key() -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&fresh().to_be_bytes());
    key
}

pub(crate) fn ask(actor: Option<Id>, command: Command) -> Ask {
    Ask { actor, command, key: key(), patience_ms: 15_000 }
}

pub(crate) fn message(channel: Id, text: &str) -> Command {
    let message = MessageFields { content: text.to_owned(), ..MessageFields::default() };
    Command::CreateMessage { channel, message }
}

pub(crate) fn body(done: &Done) -> Value {
    serde_json::from_str(done.body.get()).unwrap()
}

pub(crate) fn id(value: &Value) -> Id {
    serde_json::from_value(value["id"].clone()).unwrap()
}

/// The next news, or the test fails.
pub(crate) async fn hear(news: &mut Subscription) -> News {
    tokio::time::timeout(PATIENCE, news.next()).await.expect("no news")
}

/// Durable events until `count` messages were heard: their ids, in order.
pub(crate) async fn hear_messages(news: &mut Subscription, count: usize) -> Vec<Id> {
    let mut heard = Vec::new();
    while heard.len() < count {
        if let News::Durable { event, .. } = hear(news).await
            && event.t.name() == "MESSAGE_CREATE"
        {
            heard.push(id(&serde_json::from_str(event.d.get()).unwrap()));
        }
    }
    heard
}
