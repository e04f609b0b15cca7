//! What the tests of the store share, and the store as a whole: batches, changes, the lease, opening again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seawall_chat::event::{Audience, Event, Kind};
use seawall_chat::id::Id;
use seawall_chat::model::{Channel, Guild, Member, Message, Reference, Role, User, iso};
use seawall_chat::permissions::Permissions;
use seawall_chat::refusal::Refusal;
use seawall_chat::storage::{
    ChangesTrouble, Committed, Home, Lease, SCHEMA, SET, Storage, Told, Trouble, event, hk_guild, hk_user,
    idem, nonce_key, ops,
};
use seawall_net::clock::SystemClock;
use seawall_net::host::{Host, Life, Plants};
use seawall_net::listeners::{Exposure, Listeners};
use seawall_net::tasks::Tasks;
use seawall_net::telemetry::Scope;
use seawall_policy::deadline::Deadline;
use seawall_policy::{Clock, Mono, Wall};
use seawall_store::{Batch, Files, Op, Options, Owned, Position, Written};
use tempfile::TempDir;

/// Runs like a clock and can be turned forward.
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

    /// Only the wall clock is turned: deadlines stay what they are.
    fn wall(&self) -> Wall {
        Wall(self.clock.wall().0 + self.skipped_ms.load(Ordering::SeqCst) as i64)
    }
}

/// A store in a folder of its own.
pub(crate) struct Disk {
    pub(crate) storage: Arc<Storage>,
    pub(crate) clock: Arc<Hand>,
    shards: u32,
    data: TempDir,
}

impl Disk {
    pub(crate) fn new(shards: u32) -> Disk {
        let data = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand { clock: SystemClock::new(), skipped_ms: AtomicU64::new(0) });
        let storage = open(data.path(), shards, &clock);
        Disk { storage, clock, shards, data }
    }

    /// As another process sees it, or this one after a restart.
    pub(crate) fn elsewhere(&self) -> Arc<Storage> {
        open(self.data.path(), self.shards, &self.clock)
    }

    /// Ends everything that has the files open.
    fn close(self) -> TempDir {
        assert_eq!(Arc::strong_count(&self.storage), 1);
        self.data
    }

    pub(crate) fn path(&self) -> &Path {
        self.data.path()
    }

    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.clock.now(), Duration::from_secs(20))
    }

    pub(crate) async fn try_write(&self, hk: i64, ops: Vec<Op>) -> Result<Committed, Trouble> {
        let batch = Batch { hk, key: None, owned: None, ops, tell: Vec::new() };
        Committed::of(self.storage.write(batch, self.deadline()).await)
    }

    pub(crate) async fn write(&self, hk: i64, ops: Vec<Op>) -> Committed {
        self.try_write(hk, ops).await.unwrap()
    }
}

fn open(data: &Path, shards: u32, clock: &Arc<Hand>) -> Arc<Storage> {
    let clock: Arc<dyn Clock> = clock.clone();
    let options =
        Options { data: data.to_owned(), clock: clock.clone(), seed: 7, plants: Default::default() };
    let set = Files::new(options).open(SET, shards, SCHEMA).unwrap();
    Arc::new(Storage::new(set, clock))
}

pub(crate) fn user(id: u64, name: &str) -> User {
    User {
        id: Id(id),
        username: name.to_owned(),
        discriminator: "0".to_owned(),
        global_name: None,
        avatar: None,
        bot: false,
        public_flags: 0,
        flags: 0,
    }
}

pub(crate) fn guild(id: u64, owner: u64) -> Guild {
    let name = format!("guild {id}");
    Guild { id: Id(id), name, icon: None, owner_id: Id(owner), description: None, system_channel_id: None }
}

pub(crate) fn role(id: u64, name: &str) -> Role {
    Role {
        id: Id(id),
        name: name.to_owned(),
        color: 0x00ff_8800,
        hoist: true,
        position: -3,
        permissions: Permissions(u64::MAX),
        mentionable: true,
    }
}

pub(crate) fn channel(id: u64, guild: u64) -> Channel {
    Channel {
        id: Id(id),
        kind: Channel::TEXT,
        guild_id: Some(Id(guild)),
        name: Some(format!("channel-{id}")),
        topic: None,
        position: 1,
        parent_id: None,
        nsfw: false,
        rate_limit_per_user: 0,
        permission_overwrites: Vec::new(),
        last_message_id: None,
        recipients: Vec::new(),
    }
}

pub(crate) fn member(user: User) -> Member {
    let joined_at = iso(Wall(1_800_000_000_000));
    Member { user, nick: None, roles: Vec::new(), joined_at, deaf: false, mute: false, flags: 0 }
}

pub(crate) fn message(id: u64, channel: u64, author: &User, content: &str) -> Message {
    Message {
        id: Id(id),
        channel_id: Id(channel),
        author: author.clone(),
        content: content.to_owned(),
        timestamp: iso(Id(id).time()),
        edited_timestamp: None,
        tts: false,
        mention_everyone: false,
        mentions: Vec::new(),
        mention_roles: Vec::new(),
        attachments: Vec::new(),
        embeds: Vec::new(),
        components: Vec::new(),
        reactions: Vec::new(),
        pinned: false,
        kind: Message::PLAIN,
        flags: 0,
        nonce: None,
        message_reference: None,
        referenced_message: None,
    }
}

pub(crate) fn answers(mut message: Message, to: u64, home: Home) -> Message {
    message.kind = Message::REPLY;
    let (message_id, channel_id) = (Some(Id(to)), Some(message.channel_id));
    message.message_reference = Some(Reference { kind: 0, message_id, channel_id, guild_id: home.guild() });
    message
}

fn typed(kind: Kind, guild: u64, d: &str) -> Event {
    let d = serde_json::value::RawValue::from_string(d.to_owned()).unwrap();
    Event { t: kind, to: Audience::Guild(Id(guild)), author: Some(Id(3)), mentions: vec![Id(4)], d }
}

#[tokio::test]
async fn a_message_its_key_its_epoch_and_its_event_are_one_batch() {
    let disk = Disk::new(1);
    let home = Home::Guild(Id(1));
    let said = message(20, 11, &user(3, "ann"), "hi");
    let epoch = disk.storage.claim("chat").await.unwrap()[0];
    let batch = |id: u64, epoch| Batch {
        hk: home.hk(Id(11)),
        key: Some(idem(home.hk(Id(11)), nonce_key(Id(11), Id(3), "n1"), b"nonce")),
        owned: Some(Owned { scope: "chat".to_owned(), epoch }),
        ops: vec![ops::message_insert(home, &Message { id: Id(id), ..said.clone() })],
        tell: vec![event(&typed(Kind::MessageCreate, 1, r#"{"id":"20"}"#), Id(1))],
    };
    let from = disk.storage.position(0).await.unwrap();
    let done = Committed::of(disk.storage.write(batch(20, epoch), disk.deadline()).await).unwrap();
    assert_eq!((ops::made(&done.rows, 0), done.again), (Some(Id(20)), false));
    // Told once, however often it is asked for; the id is the first one's.
    let again = Committed::of(disk.storage.write(batch(21, epoch), disk.deadline()).await).unwrap();
    assert_eq!((ops::made(&again.rows, 0), again.again, again.at), (Some(Id(20)), true, done.at));
    let told = disk.storage.changes(0, from, 10).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].0, told[0].1.t, told[0].1.d.get()), (done.at, Kind::MessageCreate, r#"{"id":"20"}"#));
    assert_eq!((told[0].1.author, &told[0].1.mentions), (Some(Id(3)), &vec![Id(4)]));

    disk.storage.claim("chat").await.unwrap();
    let mut late = batch(22, epoch);
    late.key = None;
    let fenced = Committed::of(disk.storage.write(late, disk.deadline()).await);
    assert_eq!(fenced, Err(Trouble::Fenced));
    assert_eq!(disk.storage.message(home, Id(11), Id(22), Id(3)).await.unwrap(), None);
}

#[tokio::test]
async fn a_claim_covers_every_shard() {
    let disk = Disk::new(3);
    let first = disk.storage.claim("chat").await.unwrap();
    let second = disk.storage.claim("chat").await.unwrap();
    assert_eq!((first.len(), second.len()), (3, 3));
    assert!(first.iter().zip(&second).all(|(a, b)| b > a));
}

#[tokio::test]
async fn events_come_after_sessions_that_moved_and_followers_see_both() {
    let disk = Disk::new(1);
    let storage = &disk.storage;
    let tell = |kind, d: &str| {
        let tell = vec![event(&typed(kind, 1, d), Id(1))];
        Batch { hk: hk_guild(Id(1)), key: None, owned: None, ops: Vec::new(), tell }
    };
    let first = storage.write(tell(Kind::GuildUpdate, "1"), disk.deadline()).await;
    assert!(matches!(first, Written::Committed { .. }));
    for (generation, to) in (0..3).zip(["b", "c", "d"]) {
        let record = crate::storage_sessions::record("s", if generation == 0 { "a" } else { "-" }, 0);
        if generation == 0 {
            storage.session_put(&record).await.unwrap();
        }
        let from = ["a", "b", "c"][generation as usize];
        assert!(storage.session_take("s", (from, generation), to).await.unwrap());
    }
    assert!(matches!(
        storage.write(tell(Kind::GuildDelete, "2"), disk.deadline()).await,
        Written::Committed { .. }
    ));
    // A page of moved sessions alone must not look like the end.
    let first = storage.changes(0, Position(0), 1).await.unwrap();
    let second = storage.changes(0, first[0].0, 1).await.unwrap();
    assert_eq!((first[0].1.t, second[0].1.t), (Kind::GuildUpdate, Kind::GuildDelete));
    assert!(storage.changes(0, second[0].0, 1).await.unwrap().is_empty());

    let all = storage.follow(0, Position(0), 100).await.unwrap();
    let moved = all.iter().filter_map(|(_, told)| match told {
        Some(Told::Moved(moved)) => Some((moved.gateway.as_str(), moved.generation)),
        _ => None,
    });
    assert_eq!(moved.collect::<Vec<_>>(), [("b", 1), ("c", 2), ("d", 3)]);
    assert_eq!(all.last().unwrap().0, storage.position(0).await.unwrap());
}

#[tokio::test]
async fn whoever_follows_is_woken_by_another_process() {
    let disk = Disk::new(1);
    let other = disk.elsewhere();
    let mut changed = disk.storage.changed(0);
    let ops = vec![ops::guild_insert(&guild(1, 3))];
    let batch = Batch { hk: hk_guild(Id(1)), key: None, owned: None, ops, tell: Vec::new() };
    let at = Committed::of(other.write(batch, disk.deadline()).await).unwrap().at;
    let woken = changed.wait_for(|position| *position >= at);
    tokio::time::timeout(Duration::from_secs(10), woken).await.unwrap().unwrap();
}

fn host() -> Host {
    Host {
        clock: Arc::new(SystemClock::new()),
        listeners: Listeners::new(Exposure::default()),
        metrics: Scope::new("chat"),
        tasks: Tasks::new(tokio::runtime::Handle::current()),
        workers: 1,
        seed: 1,
        life: Life::default(),
        plants: Plants::default(),
    }
}

#[tokio::test]
async fn everything_is_there_after_closing_and_opening() {
    let disk = Disk::new(2);
    let (home, ann) = (Home::Guild(Id(1)), user(3, "ann"));
    let whole = vec![
        ops::guild_insert(&guild(1, 3)),
        ops::role_put(Id(1), &role(1, "@everyone")),
        ops::channel_put(Id(1), &channel(11, 1)),
        ops::member_put(Id(1), &member(ann.clone())),
        ops::message_insert(home, &message(20, 11, &ann, "hi")),
        ops::reaction_add(home, Id(11), Id(20), "👍", Id(3), Wall(1)),
    ];
    let tell = vec![event(&typed(Kind::GuildUpdate, 1, "1"), Id(1))];
    let batch = Batch { hk: hk_guild(Id(1)), key: None, owned: None, ops: whole, tell };
    let at = Committed::of(disk.storage.write(batch, disk.deadline()).await).unwrap().at;
    disk.write(hk_user(Id(3)), vec![ops::user_insert(&ann, Wall(1)), ops::user_guild_put(Id(3), Id(1))])
        .await;
    let session = crate::storage_sessions::record("s", "a", 4);
    disk.storage.session_put(&session).await.unwrap();
    let before = disk.storage.guild(Id(1)).await.unwrap().unwrap().0;
    let said = disk.storage.message(home, Id(11), Id(20), Id(3)).await.unwrap().unwrap();

    let data = disk.close();
    let host = host();
    let clock = host.clock.clone();
    let options = Options { data: data.path().to_owned(), clock, seed: 8, plants: Default::default() };
    let storage = Storage::open(Files::new(options), 2, &host).await.unwrap();
    assert_eq!(storage.shards(), 2);
    let after = storage.guild(Id(1)).await.unwrap().unwrap().0;
    assert_eq!((after.guild, after.roles, after.channels), (before.guild, before.roles, before.channels));
    assert_eq!(after.members, before.members);
    assert_eq!(storage.message(home, Id(11), Id(20), Id(3)).await.unwrap(), Some(said));
    assert_eq!(storage.user(Id(3)).await.unwrap(), Some(ann));
    assert_eq!(storage.guilds_of(Id(3)).await.unwrap(), [Id(1)]);
    assert_eq!(storage.session("s").await.unwrap(), Some(session));
    let told = storage.changes(storage.shard_of_guild(Id(1)), Position(0), 10).await.unwrap();
    assert_eq!(told.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [at]);
}

/// What the folder cannot be opened for is said, and nothing panics.
#[tokio::test]
async fn another_number_of_shards_is_refused() {
    let data = Disk::new(2).close();
    let host = host();
    let clock = host.clock.clone();
    let options = Options { data: data.path().to_owned(), clock, seed: 8, plants: Default::default() };
    let Err(fault) = Storage::open(Files::new(options), 3, &host).await else { panic!("opened") };
    assert_eq!(fault.to_string(), "cannot open the chat");
}

#[tokio::test]
async fn one_process_at_a_time_holds_the_lease() {
    let disk = Disk::new(2);
    let (a, b) = (disk.storage.clone(), disk.elsewhere());
    let lease = |holder: &str, at: i64| Lease {
        holder: holder.to_owned(),
        address: format!("127.0.0.1:{at}"),
        key: format!("key of {holder}"),
        renewed_at: Wall(at),
    };
    assert_eq!(a.lease().await.unwrap(), None);
    assert!(a.lease_take(&lease("a", 1), None).await.unwrap());
    assert!(!b.lease_take(&lease("b", 1), None).await.unwrap());
    let seen = b.lease().await.unwrap();
    assert_eq!(seen, Some(lease("a", 1)));
    // It was renewed in between: what b saw is over.
    assert!(a.lease_take(&lease("a", 2), Some(&lease("a", 1))).await.unwrap());
    assert!(!b.lease_take(&lease("b", 3), seen.as_ref()).await.unwrap());
    // Nothing more came: taken over, and the old holder is told so.
    assert!(b.lease_take(&lease("b", 9), b.lease().await.unwrap().as_ref()).await.unwrap());
    assert!(!a.lease_take(&lease("a", 10), Some(&lease("a", 2))).await.unwrap());
    a.lease_release("a").await.unwrap();
    assert_eq!(a.lease().await.unwrap(), Some(lease("b", 9)));
    b.lease_release("b").await.unwrap();
    assert_eq!(a.lease().await.unwrap(), None);
    assert!(a.lease_take(&lease("a", 11), None).await.unwrap());
}

#[tokio::test]
async fn a_key_for_another_wish_is_refused() {
    let disk = Disk::new(1);
    let hk = hk_user(Id(3));
    let batch = |what: &[u8], id| Batch {
        hk,
        key: Some(idem(hk, [9; 16], what)),
        owned: None,
        ops: vec![ops::user_guild_put(Id(3), Id(id))],
        tell: Vec::new(),
    };
    let write = |batch| disk.storage.write(batch, disk.deadline());
    assert!(!Committed::of(write(batch(b"one", 1)).await).unwrap().again);
    assert!(Committed::of(write(batch(b"one", 2)).await).unwrap().again);
    assert_eq!(Committed::of(write(batch(b"two", 3)).await), Err(Trouble::KeyReused));
    assert_eq!(disk.storage.guilds_of(Id(3)).await.unwrap(), [Id(1)]);
}

#[tokio::test]
async fn a_write_whose_time_is_over_is_not_begun() {
    let disk = Disk::new(1);
    let past = Deadline { at: Mono(0) };
    let ops = vec![ops::guild_insert(&guild(1, 3))];
    let batch = Batch { hk: hk_guild(Id(1)), key: None, owned: None, ops, tell: Vec::new() };
    assert_eq!(Committed::of(disk.storage.write(batch, past).await), Err(Trouble::Busy));
    assert!(disk.storage.guild(Id(1)).await.unwrap().is_none());
}

#[test]
fn trouble_becomes_what_a_client_understands() {
    let cases = [
        (Trouble::Busy, Refusal::Overloaded),
        (Trouble::ReadOnly, Refusal::Overloaded),
        (Trouble::Fenced, Refusal::Overloaded),
        (Trouble::Unknown, Refusal::Unknown),
        (Trouble::Failed("disk".to_owned()), Refusal::Internal),
        (Trouble::Conflict { op: 0 }, Refusal::Internal),
    ];
    for (trouble, refusal) in cases {
        assert_eq!(Refusal::from(trouble), refusal);
    }
}

#[tokio::test]
async fn a_position_before_the_first_kept_event_is_too_old() {
    let disk = Disk::new(1);
    let tell = vec![event(&typed(Kind::GuildUpdate, 1, "1"), Id(1))];
    let batch = Batch { hk: hk_guild(Id(1)), key: None, owned: None, ops: Vec::new(), tell };
    let at = Committed::of(disk.storage.write(batch, disk.deadline()).await).unwrap().at;
    // The store looks for old rows while nobody writes, once a second.
    disk.clock.skip(Duration::from_secs(8 * 24 * 3600));
    for _ in 0..200 {
        if let Err(trouble) = disk.storage.changes(0, Position(0), 10).await {
            assert_eq!(trouble, ChangesTrouble::TooOld { oldest: at });
            assert!(disk.storage.changes(0, at, 10).await.unwrap().is_empty());
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("old events are kept for ever");
}
