//! The search index against a real owner and a real store: it finds what is there, and nothing else, whatever happens
//! to the process or to the files.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use seawall_chat::command::{Command, MessageFields};
use seawall_chat::id::Id;
use seawall_chat::owner::limits::Limits;
use seawall_chat::refusal::Refusal;
use seawall_chat::search::limits::{LIMIT_MAX, OFFSET_MAX, PAGE_MAX};
use seawall_chat::search::{AuthorType, Has, Hits, Mode, Query, Search, Sort, remote};
use serde_json::json;
use tempfile::tempdir;

use crate::owner::{PATIENCE, Process, body, id};

/// A process and its search.
pub(crate) struct Searching {
    pub(crate) search: Search,
    pub(crate) p: Process,
}

impl Searching {
    pub(crate) async fn start(data: &Path, shards: u32) -> Searching {
        let (folder, begun) = (data.to_owned(), Arc::new(OnceLock::new()));
        let here = begun.clone();
        let p = Process::start_serving(data, shards, Limits::default(), move |client, storage, host| {
            let search = Search::start(storage.clone(), client.clone(), &folder, host);
            let routes = remote::routes(&search);
            drop(here.set(search));
            routes
        });
        let p = p.await;
        Searching { search: begun.get().unwrap().clone(), p }
    }

    /// How often this process has made the index.
    pub(crate) fn builds(&self) -> u64 {
        self.p.host.metrics.counter("search_builds", "").get()
    }

    /// Once the index is there and has everything that was said until now.
    pub(crate) async fn settled(&self, messages: u64) {
        eventually(async || self.search.messages() == Some(messages)).await;
    }

    pub(crate) async fn find(&self, query: Query) -> Hits {
        self.search.find(query).await.unwrap()
    }

    pub(crate) async fn found(&self, query: Query) -> Vec<Id> {
        let hits = self.find(query).await;
        assert_eq!(hits.total, hits.page.len());
        hits.page.iter().map(|hit| hit.message).collect()
    }

    async fn edit(&self, who: Id, channel: Id, message: Id, content: &str) {
        let command = Command::UpdateMessage {
            channel,
            message,
            content: Some(content.to_owned()),
            embeds: None,
            components: None,
            flags: None,
        };
        self.p.act(who, command).await.unwrap();
    }

    async fn delete(&self, who: Id, channel: Id, message: Id) {
        self.p.act(who, Command::DeleteMessage { channel, message }).await.unwrap();
    }
}

/// What befalls the index's folder.
type Damage = fn(&Path);

/// Waits until something is so.
pub(crate) async fn eventually(is_so: impl AsyncFn() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("it never became so");
}

pub(crate) fn all(guild: Id, channels: &[Id]) -> Query {
    Query { guild, channels: channels.to_vec(), limit: LIMIT_MAX, ..Query::default() }
}

pub(crate) fn words(guild: Id, channels: &[Id], content: &str) -> Query {
    Query { content: content.to_owned(), ..all(guild, channels) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_is_found_and_what_is_gone_is_not() {
    let data = tempdir().unwrap();
    let s = Searching::start(data.path(), 2).await;
    let ada = s.p.user("ada").await;
    let (guild, general) = s.p.guild(ada, "engines").await;
    let other = s.p.channel(guild, "other").await;
    let both = [general, other];
    let first = s.p.say(ada, general, "The Analytical ENGINE weaves").await.unwrap();
    let second = s.p.say(ada, other, "an engine of brass").await.unwrap();
    let third = s.p.say(ada, other, "東京都に行く 🔥").await.unwrap();
    s.settled(3).await;
    assert_eq!(s.found(words(guild, &both, "engine")).await, [second, first]);
    assert_eq!(s.found(words(guild, &both, "engine analytical")).await, [first], "all words");
    assert_eq!(s.found(words(guild, &[other], "engine")).await, [second], "only these channels");
    assert_eq!(s.found(words(guild, &both, "京都")).await, [third]);
    assert_eq!(s.found(words(guild, &both, "🔥")).await, [third]);
    assert_eq!(s.found(words(guild, &both, "!?\"")).await, []);
    assert_eq!(s.found(words(guild, &[], "engine")).await, []);
    assert_eq!(s.found(words(Id(guild.0 + 1), &both, "engine")).await, [], "of another guild");
    assert_eq!(s.found(Query { sort: Sort::Oldest, ..all(guild, &both) }).await, [first, second, third]);

    s.edit(ada, general, first, "it weaves patterns").await;
    eventually(async || s.found(words(guild, &both, "engine")).await == [second]).await;
    assert_eq!(s.found(words(guild, &both, "patterns")).await, [first], "edited, not doubled");
    s.delete(ada, other, second).await;
    eventually(async || s.found(words(guild, &both, "engine")).await.is_empty()).await;
    s.p.operate(Command::DeleteChannel { channel: other }).await.unwrap();
    eventually(async || s.found(all(guild, &both)).await == [first]).await;
    s.p.act(ada, Command::DeleteGuild { guild }).await.unwrap();
    s.settled(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_condition_narrows() {
    let data = tempdir().unwrap();
    let s = Searching::start(data.path(), 1).await;
    let ada = s.p.user("ada").await;
    let made =
        s.p.operate(Command::CreateUser { username: "bot".to_owned(), global_name: None, bot: true }).await;
    let bot = id(&body(&made.unwrap())["user"]);
    let (guild, channel) = s.p.guild(ada, "engines").await;
    s.p.join(guild, bot).await;
    let a = s.p.say(ada, channel, "see https://example.org").await.unwrap();
    let b = s.p.say(bot, channel, &format!("hello <@{ada}>")).await.unwrap();
    let embed = MessageFields {
        embeds: vec![json!({ "title": "t", "image": { "url": "https://example.org/i.png" } })],
        ..MessageFields::default()
    };
    let c = s.p.act(ada, Command::CreateMessage { channel, message: embed }).await.unwrap();
    let c = id(&body(&c));
    s.p.act(ada, Command::Pin { channel, message: b, pinned: true }).await.unwrap();
    let pinned = Query { pinned: Some(true), ..all(guild, &[channel]) };
    eventually(async || s.search.messages().is_some() && s.found(pinned.clone()).await == [b]).await;
    let is = async |query: Query, wanted: &[Id]| {
        let found = s.found(Query { guild, channels: vec![channel], limit: 25, ..query.clone() }).await;
        assert_eq!(found, wanted, "{query:?}");
    };
    let q = Query::default;
    is(q(), &[c, b, a]).await;
    is(Query { pinned: Some(false), ..q() }, &[c, a]).await;
    is(Query { authors: vec![bot], ..q() }, &[b]).await;
    is(Query { authors: vec![bot, ada], ..q() }, &[c, b, a]).await;
    is(Query { authors: vec![Id(1)], ..q() }, &[]).await;
    is(Query { mentions: vec![ada, Id(1)], ..q() }, &[b]).await;
    is(Query { author_types: vec![AuthorType::Bot], ..q() }, &[b]).await;
    is(Query { author_types_not: vec![AuthorType::Bot, AuthorType::Webhook], ..q() }, &[c, a]).await;
    is(Query { author_types: vec![AuthorType::Webhook], ..q() }, &[]).await;
    is(Query { has: vec![Has::Link], ..q() }, &[a]).await;
    is(Query { has: vec![Has::Embed, Has::Image], ..q() }, &[c]).await;
    is(Query { has: vec![Has::Embed, Has::Link], ..q() }, &[]).await;
    is(Query { has_not: vec![Has::Embed, Has::Link], ..q() }, &[b]).await;
    for never in [Has::File, Has::Video, Has::Sound, Has::Sticker, Has::Poll, Has::Snapshot] {
        is(Query { has: vec![never], ..q() }, &[]).await;
    }
    is(Query { min_id: Some(a), ..q() }, &[c, b]).await;
    is(Query { max_id: Some(c), ..q() }, &[b, a]).await;
    is(Query { min_id: Some(a), max_id: Some(c), ..q() }, &[b]).await;
    is(Query { min_id: Some(c), max_id: Some(a), ..q() }, &[]).await;
    is(Query { max_id: Some(Id(u64::MAX)), min_id: Some(Id(0)), ..q() }, &[c, b, a]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_and_orders() {
    let data = tempdir().unwrap();
    let s = Searching::start(data.path(), 1).await;
    let ada = s.p.user("ada").await;
    let (guild, channel) = s.p.guild(ada, "engines").await;
    let mut said = Vec::new();
    for n in 0..60 {
        let text = if n == 7 { "gear gear gear" } else { "one gear among many other words" };
        said.push(s.p.say(ada, channel, text).await.unwrap());
    }
    s.settled(60).await;
    let page = async |query: Query| {
        let hits = s.find(Query { content: "gear".to_owned(), ..query }).await;
        assert_eq!(hits.total, 60, "however few are given");
        hits.page.into_iter().map(|hit| hit.message).collect::<Vec<_>>()
    };
    let base = all(guild, &[channel]);
    let newest = said.iter().rev().copied().collect::<Vec<_>>();
    assert_eq!(page(base.clone()).await, newest[..25]);
    assert_eq!(page(Query { offset: 25, limit: 10, ..base.clone() }).await, newest[25..35]);
    assert_eq!(page(Query { offset: 50, ..base.clone() }).await, newest[50..]);
    assert_eq!(page(Query { offset: OFFSET_MAX, ..base.clone() }).await, []);
    assert_eq!(page(Query { sort: Sort::Oldest, ..base.clone() }).await, said[..25]);
    let best = page(Query { sort: Sort::Relevance, limit: 3, ..base.clone() }).await;
    assert_eq!(best, [said[7], newest[0], newest[1]], "of equals the newest");
    // Bounds hold also for who asks from another process.
    assert_eq!(page(Query { limit: 0, ..base.clone() }).await, newest[..1]);
    assert_eq!(page(Query { limit: usize::MAX, offset: 0, ..base.clone() }).await, newest[..25]);
    assert_eq!(page(Query { offset: usize::MAX, ..base }).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_nothing_and_doubles_nothing() {
    let data = tempdir().unwrap();
    let mut said = Vec::new();
    let mut place = None;
    for round in 0..4 {
        let s = Searching::start(data.path(), 2).await;
        let (ada, guild, channel) = match place {
            Some(place) => place,
            None => {
                let ada = s.p.user("ada").await;
                let (guild, channel) = s.p.guild(ada, "engines").await;
                *place.insert((ada, guild, channel))
            }
        };
        for n in 0..20 {
            said.push(s.p.say(ada, channel, &format!("round{round} number{n}")).await.unwrap());
            // In some rounds the index has committed in the middle, in others it has nothing of this round.
            if n == 10 && round % 2 == 1 {
                s.settled(said.len() as u64).await;
            }
        }
        if round == 2 {
            s.delete(ada, channel, said.remove(3)).await;
        }
        if round < 3 {
            continue;
        }
        s.settled(said.len() as u64).await;
        let mut found = Vec::new();
        for offset in [0, 25, 50, 75] {
            let hits = s.find(Query { offset, sort: Sort::Oldest, ..all(guild, &[channel]) }).await;
            assert_eq!(hits.total, said.len());
            found.extend(hits.page.into_iter().map(|hit| hit.message));
        }
        assert_eq!(found, said);
        assert_eq!(s.builds(), 0, "what was committed before is gone on from");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_cannot_be_used_is_made_again() {
    let data = tempdir().unwrap();
    let index = data.path().join("chat/search/index");
    let ada;
    let (guild, channel);
    let mut said = Vec::new();
    {
        let s = Searching::start(data.path(), 2).await;
        ada = s.p.user("ada").await;
        (guild, channel) = s.p.guild(ada, "engines").await;
        let gone = s.p.channel(guild, "gone").await;
        s.p.say(ada, gone, "of a channel that is deleted").await.unwrap();
        // More than are read at a time.
        for n in 0..PAGE_MAX + 30 {
            said.push(s.p.say(ada, channel, &format!("gear{n}")).await.unwrap());
        }
        s.p.operate(Command::DeleteChannel { channel: gone }).await.unwrap();
        for n in 0..5 {
            let (other, channel) = s.p.guild(ada, &format!("other {n}")).await;
            s.p.say(ada, channel, "gear17 of another guild").await.unwrap();
            if n == 4 {
                s.p.act(ada, Command::DeleteGuild { guild: other }).await.unwrap();
            }
        }
        s.settled(said.len() as u64 + 4).await;
    }
    let damages: [(&str, Damage); 5] = [
        ("missing", |index| std::fs::remove_dir_all(index).unwrap()),
        ("of another format", |index| {
            let meta = std::fs::read_to_string(index.join("meta.json")).unwrap();
            let other = meta.replace("\\\"format\\\":1", "\\\"format\\\":0");
            assert_ne!(meta, other);
            std::fs::write(index.join("meta.json"), other).unwrap();
        }),
        ("ahead of the store", |index| {
            let meta = std::fs::read_to_string(index.join("meta.json")).unwrap();
            let at = meta.find("positions\\\":[").unwrap() + "positions\\\":[".len();
            std::fs::write(index.join("meta.json"), format!("{}9{}", &meta[..at], &meta[at..])).unwrap();
        }),
        ("without its state", |index| std::fs::write(index.join("meta.json"), "{").unwrap()),
        ("damaged", |index| {
            for entry in std::fs::read_dir(index).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|e| e == "idx" || e == "term") {
                    let mut bytes = std::fs::read(&path).unwrap();
                    bytes[0] ^= 0xFF;
                    std::fs::write(&path, bytes).unwrap();
                }
            }
        }),
    ];
    for (what, damage) in damages {
        // The process before lets go of its files.
        eventually(async || {
            std::fs::File::open(data.path().join("chat/search/lock")).unwrap().try_lock().is_ok()
        })
        .await;
        damage(&index);
        let s = Searching::start(data.path(), 2).await;
        // Until all of it is there nothing is answered, rather than a part.
        let first = loop {
            match s.search.find(all(guild, &[channel])).await {
                Err(Refusal::NotIndexed) => tokio::task::yield_now().await,
                first => break first.unwrap(),
            }
        };
        assert_eq!(first.total, said.len(), "{what}");
        s.settled(said.len() as u64 + 4).await;
        assert_eq!(s.builds(), 1, "{what}");
        assert_eq!(s.found(words(guild, &[channel], "gear17")).await, [said[17]], "{what}");
    }
    let s = Searching::start(data.path(), 2).await;
    s.settled(said.len() as u64 + 4).await;
    assert_eq!(s.builds(), 0, "nothing is wrong any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn until_it_is_ready_and_when_it_is_shed_callers_are_told_so() {
    let data = tempdir().unwrap();
    // Somebody else still holds the index.
    std::fs::create_dir_all(data.path().join("chat/search")).unwrap();
    let held = std::fs::File::create(data.path().join("chat/search/lock")).unwrap();
    held.try_lock().unwrap();
    let s = Searching::start(data.path(), 1).await;
    let ada = s.p.user("ada").await;
    let (guild, channel) = s.p.guild(ada, "engines").await;
    let said = s.p.say(ada, channel, "gear").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let query = words(guild, &[channel], "gear");
    assert_eq!(s.search.find(query.clone()).await, Err(Refusal::NotIndexed));
    drop(held);
    s.settled(1).await;
    assert_eq!(s.found(query.clone()).await, [said]);
    s.search.set_mode(Mode::Slow);
    assert_eq!(s.search.find(query.clone()).await, Err(Refusal::NotIndexed));
    s.search.set_mode(Mode::Off);
    assert_eq!(s.search.find(query.clone()).await, Err(Refusal::Overloaded));
    s.search.set_mode(Mode::Normal);
    assert_eq!(s.found(query).await, [said]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_asks_the_owner_and_takes_over_when_it_is_gone() {
    let data = tempdir().unwrap();
    let first = Searching::start(data.path(), 1).await;
    let second = Searching::start(data.path(), 1).await;
    assert!(first.p.client.is_owner() && !second.p.client.is_owner());
    let ada = second.p.user("ada").await;
    let (guild, channel) = second.p.guild(ada, "engines").await;
    let said = second.p.say(ada, channel, "gear").await.unwrap();
    first.settled(1).await;
    let query = words(guild, &[channel], "gear");
    assert_eq!(second.found(query.clone()).await, [said]);
    assert_eq!(second.search.messages(), None, "it has no index of its own");
    first.search.set_mode(Mode::Off);
    assert_eq!(
        second.search.find(query.clone()).await,
        Err(Refusal::Overloaded),
        "the owner decides for its own"
    );
    drop(first);
    let again = second.p.say(ada, channel, "gear again").await.unwrap();
    second.settled(2).await;
    assert_eq!(second.found(query).await, [again, said]);
    assert_eq!(second.builds(), 0, "it goes on where the other was");
}
