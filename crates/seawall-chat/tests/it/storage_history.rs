//! Pages of history, reactions, pins.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use seawall_chat::id::Id;
use seawall_chat::model::{CountDetails, Emoji, Message, Reaction, User, iso};
use seawall_chat::storage::{Home, Page, SCHEMA, SET, Trouble, hk_direct, hk_guild, hk_user, ops};
use seawall_policy::{Clock, Wall};
use seawall_store::{Files, Freshness, Options, Sql};
use serde_json::json;
use std::sync::Arc;

use crate::storage::{Disk, answers, message, user};

const HOME: Home = Home::Guild(Id(1));
const C: Id = Id(11);
const ANN: Id = Id(3);

fn hk() -> i64 {
    hk_guild(Id(1))
}

fn ids(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|m| m.id.0).collect()
}

async fn say(disk: &Disk, ids: impl IntoIterator<Item = u64>) {
    let ann = user(3, "ann");
    let inserts = ids.into_iter().map(|id| ops::message_insert(HOME, &message(id, 11, &ann, "x"))).collect();
    disk.write(hk(), inserts).await;
}

/// What a page is, said as simply as possible.
fn naive(all: &BTreeMap<u64, ()>, page: Page, limit: usize) -> Vec<u64> {
    let down =
        |below: u64, n: usize| all.range(..below).rev().take(n).map(|(id, ())| *id).collect::<Vec<_>>();
    let up = |from: u64, n: usize| {
        let mut some = all.range(from..).take(n).map(|(id, ())| *id).collect::<Vec<_>>();
        some.reverse();
        some
    };
    match page {
        Page::Newest => down(u64::MAX, limit),
        Page::Before(id) => down(id.0, limit),
        Page::After(id) => up(id.0 + 1, limit),
        Page::Around(id) => [up(id.0, limit - limit / 2), down(id.0, limit / 2)].concat(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn pages_are_what_a_list_would_give(
        said in prop::collection::btree_set(1_u64..400, 0..160),
        gone in prop::collection::btree_set(1_u64..400, 0..60),
        asks in prop::collection::vec((0_u64..420, 0_u32..130), 12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let disk = Disk::new(1);
            say(&disk, said.iter().copied()).await;
            // Neighbours that must not be seen: another channel of the guild, another guild's.
            let other = message(200, 12, &user(3, "ann"), "elsewhere");
            disk.write(hk(), vec![ops::message_insert(HOME, &other)]).await;
            let gone = gone.intersection(&said).copied().collect::<Vec<_>>();
            disk.write(hk(), gone.iter().flat_map(|id| ops::message_delete(HOME, C, Id(*id))).collect()).await;
            let all = said.iter().filter(|id| !gone.contains(id)).map(|id| (*id, ())).collect::<BTreeMap<_, _>>();
            for (at, limit) in asks {
                for page in [Page::Newest, Page::Before(Id(at)), Page::After(Id(at)), Page::Around(Id(at))] {
                    let found = disk.storage.messages(HOME, C, page, limit, ANN).await.unwrap();
                    let expected = naive(&all, page, limit.min(100) as usize);
                    prop_assert_eq!(ids(&found), expected, "{:?} limit {}", page, limit);
                }
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}

#[tokio::test]
async fn a_message_reads_back_as_it_was_said_but_for_its_nonce() {
    let disk = Disk::new(1);
    let mut whole = message(4_194_304 * 1000, 11, &user(3, "ann"), "héllo '; -- \u{1} 👍");
    (whole.mention_everyone, whole.flags) = (true, u64::MAX);
    (whole.mentions, whole.mention_roles) = (vec![user(4, "bob")], vec![Id(30)]);
    (whole.embeds, whole.components) = (vec![json!({"title": "t", "n": 1.5})], vec![json!({"type": 1})]);
    whole.edited_timestamp = Some(iso(Wall(5)));
    let sent = Message { nonce: Some(json!("n")), ..whole.clone() };
    disk.write(hk(), vec![ops::message_insert(HOME, &sent)]).await;
    let found = disk.storage.message(HOME, C, whole.id, ANN).await.unwrap();
    assert_eq!(found, Some(whole.clone()));
    assert_eq!(whole.timestamp, "2015-01-01T00:00:01.000000+00:00");

    (whole.content, whole.mention_everyone, whole.flags) = ("now this".to_owned(), false, 4);
    (whole.mentions, whole.embeds) = (Vec::new(), Vec::new());
    whole.edited_timestamp = Some(iso(Wall(9)));
    disk.write(hk(), vec![ops::message_update(HOME, &whole)]).await;
    assert_eq!(disk.elsewhere().message(HOME, C, whole.id, ANN).await.unwrap(), Some(whole));
    let absent = message(9, 11, &user(3, "ann"), "x");
    let update = disk.try_write(hk(), vec![ops::message_update(HOME, &absent)]).await;
    assert_eq!(update, Err(Trouble::Conflict { op: 0 }));
}

#[tokio::test]
async fn history_shows_authors_as_they_were_and_their_guilds_members_as_they_are() {
    let disk = Disk::new(3);
    let before = user(3, "ann");
    disk.write(hk(), vec![ops::message_insert(HOME, &message(20, 11, &before, "x"))]).await;
    let after = user(3, "anna");
    disk.write(hk_user(ANN), vec![ops::user_insert(&after, Wall(1))]).await;
    disk.write(hk(), vec![ops::message_insert(HOME, &message(21, 11, &after, "y"))]).await;
    let page = disk.storage.messages(HOME, C, Page::Newest, 50, ANN).await.unwrap();
    let authors = page.iter().map(|m| m.author.clone()).collect::<Vec<User>>();
    assert_eq!(authors, [after, before]);
}

#[tokio::test]
async fn an_answer_comes_with_what_it_answers_until_that_is_deleted() {
    let disk = Disk::new(1);
    let (ann, bob) = (user(3, "ann"), user(4, "bob"));
    let question = message(20, 11, &ann, "what?");
    let answer = answers(message(21, 11, &bob, "that"), 20, HOME);
    let deeper = answers(message(22, 11, &ann, "oh"), 21, HOME);
    let all = [&question, &answer, &deeper].map(|m| ops::message_insert(HOME, m));
    disk.write(hk(), all.into()).await;
    let page = disk.storage.messages(HOME, C, Page::Newest, 2, ANN).await.unwrap();
    assert_eq!(ids(&page), [22, 21]);
    // One level deep, as Discord does.
    assert_eq!(page[0].referenced_message, Some(Box::new(answer.clone())));
    assert_eq!(page[1].referenced_message, Some(Box::new(question)));
    assert_eq!(page[1].message_reference, answer.message_reference);

    disk.write(hk(), ops::message_delete(HOME, C, Id(20)).into()).await;
    let left = disk.storage.message(HOME, C, Id(21), ANN).await.unwrap().unwrap();
    assert_eq!((left.referenced_message, left.message_reference), (None, answer.message_reference));
}

fn reaction(emoji: &str, count: u64, me: bool) -> Reaction {
    Reaction {
        count,
        me,
        emoji: Emoji { id: None, name: emoji.to_owned() },
        me_burst: false,
        count_details: CountDetails { burst: 0, normal: count },
        burst_colors: Vec::new(),
    }
}

#[tokio::test]
async fn reactions_add_up_in_the_order_they_began() {
    let disk = Disk::new(3);
    let storage = &disk.storage;
    say(&disk, [20, 21, 22]).await;
    for i in 3..=7 {
        disk.write(hk_user(Id(i)), vec![ops::user_insert(&user(i, &format!("u{i}")), Wall(1))]).await;
    }
    let add = |m, emoji: &'static str, u, at| ops::reaction_add(HOME, C, Id(m), emoji, Id(u), Wall(at));
    let all = vec![
        add(20, "👍", 3, 5),
        add(20, "👍", 4, 6),
        add(20, "👎", 4, 1),
        add(20, "👍", 5, 7),
        add(22, "👍", 7, 2),
    ];
    disk.write(hk(), all).await;
    let twice = disk.try_write(hk(), vec![add(20, "👍", 3, 9)]).await;
    assert_eq!(twice, Err(Trouble::Conflict { op: 0 }));

    let page = storage.messages(HOME, C, Page::Newest, 50, ANN).await.unwrap();
    assert_eq!(page[2].reactions, [reaction("👎", 1, false), reaction("👍", 3, true)]);
    assert!(page[1].reactions.is_empty());
    assert_eq!(page[0].reactions, [reaction("👍", 1, false)]);
    let one = storage.message(HOME, C, Id(20), Id(4)).await.unwrap().unwrap();
    assert_eq!(one.reactions, [reaction("👎", 1, true), reaction("👍", 3, true)]);

    let who = |after, limit| storage.reactors(HOME, C, Id(20), "👍", after, limit);
    let names = |users: Vec<User>| users.into_iter().map(|u| u.username).collect::<Vec<_>>();
    assert_eq!(names(who(None, 2).await.unwrap()), ["u3", "u4"]);
    assert_eq!(names(who(Some(Id(4)), 2).await.unwrap()), ["u5"]);

    disk.write(hk(), vec![ops::reaction_remove(HOME, C, Id(20), "👍", Id(4))]).await;
    let twice = disk.try_write(hk(), vec![ops::reaction_remove(HOME, C, Id(20), "👍", Id(4))]).await;
    assert_eq!(twice, Err(Trouble::Conflict { op: 0 }));
    assert_eq!(names(who(None, 100).await.unwrap()), ["u3", "u5"]);
    disk.write(hk(), vec![ops::reactions_remove_emoji(HOME, C, Id(20), "👍")]).await;
    let one = storage.message(HOME, C, Id(20), ANN).await.unwrap().unwrap();
    assert_eq!(one.reactions, [reaction("👎", 1, false)]);
    disk.write(hk(), vec![ops::reactions_remove_all(HOME, C, Id(20))]).await;
    assert!(storage.message(HOME, C, Id(20), ANN).await.unwrap().unwrap().reactions.is_empty());
    assert_eq!(storage.message(HOME, C, Id(22), ANN).await.unwrap().unwrap().reactions.len(), 1);
}

#[tokio::test]
async fn a_hundred_messages_are_deleted_at_once_with_their_reactions() {
    let disk = Disk::new(1);
    let storage = &disk.storage;
    say(&disk, 1..=120).await;
    let react = (1..=120).map(|i| ops::reaction_add(HOME, C, Id(i), "👍", ANN, Wall(1))).collect();
    disk.write(hk(), react).await;
    let asked = (15..=130).map(Id).collect::<Vec<_>>();
    let there = storage.authors(HOME, C, &asked).await.unwrap();
    assert_eq!(there, (15..=120).map(|i| (Id(i), ANN)).collect::<Vec<_>>());
    let bulk = (15..115).flat_map(|i| ops::message_delete(HOME, C, Id(i))).collect();
    disk.write(hk(), bulk).await;
    let left = storage.messages(HOME, C, Page::Newest, 100, ANN).await.unwrap();
    assert_eq!(ids(&left), (1..=120).rev().filter(|i| !(15..115).contains(i)).collect::<Vec<_>>());
    assert!(left.iter().all(|m| m.reactions == [reaction("👍", 1, true)]));
    // One that is gone undoes the whole batch.
    let again = [1, 50].into_iter().flat_map(|i| ops::message_delete(HOME, C, Id(i))).collect();
    assert_eq!(disk.try_write(hk(), again).await, Err(Trouble::Conflict { op: 2 }));
    assert!(storage.message(HOME, C, Id(1), ANN).await.unwrap().is_some());
    assert!(storage.reactors(HOME, C, Id(50), "👍", None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_somebody_said_lately_is_found_for_a_ban() {
    let disk = Disk::new(1);
    say(&disk, 1..=5).await;
    let bob = user(4, "bob");
    let bobs = [6, 8, 9].map(|id| ops::message_insert(HOME, &message(id, 11, &bob, "spam")));
    disk.write(hk(), bobs.into()).await;
    say(&disk, [7]).await;
    let said = |since, max| disk.storage.said_by(HOME, C, Id(4), Id(since), max);
    assert_eq!(said(1, 100).await.unwrap(), [Id(6), Id(8), Id(9)]);
    assert_eq!(said(7, 1).await.unwrap(), [Id(8)]);
}

#[tokio::test]
async fn pins_are_shown_the_latest_first() {
    let disk = Disk::new(1);
    say(&disk, 1..=60).await;
    let pin = |id, at: Option<i64>| vec![ops::message_pin(HOME, C, Id(id), at.map(Wall))];
    for (id, at) in [(5, 100), (50, 300), (9, 200)] {
        disk.write(hk(), pin(id, Some(at))).await;
    }
    disk.write(hk(), vec![ops::reaction_add(HOME, C, Id(9), "👍", ANN, Wall(1))]).await;
    disk.write(hk(), pin(5, None)).await;
    let pins = disk.storage.pins(HOME, C, ANN).await.unwrap();
    assert_eq!(ids(&pins), [50, 9]);
    assert!(pins.iter().all(|m| m.pinned));
    assert_eq!((pins[0].reactions.len(), pins[1].reactions.len()), (0, 1));
    assert_eq!(disk.try_write(hk(), pin(999, Some(1))).await, Err(Trouble::Conflict { op: 0 }));
    assert!(!disk.storage.message(HOME, C, Id(5), ANN).await.unwrap().unwrap().pinned);
}

#[tokio::test]
async fn a_direct_message_has_its_own_history() {
    let disk = Disk::new(3);
    let said = answers(message(61, 50, &user(3, "ann"), "psst"), 60, Home::Direct);
    disk.write(hk_direct(Id(50)), vec![ops::message_insert(Home::Direct, &said)]).await;
    let page = disk.storage.messages(Home::Direct, Id(50), Page::Newest, 50, ANN).await.unwrap();
    assert_eq!(page, [said]);
}

/// A hundred messages as large as messages get are more than the store gives at once.
#[tokio::test]
async fn a_page_of_the_largest_messages_is_whole() {
    let disk = Disk::new(1);
    let large = "x".repeat(200 << 10);
    for id in 1..=100 {
        let mut said = message(id, 11, &user(3, "ann"), "x");
        said.embeds = vec![json!({ "description": large })];
        disk.write(hk(), vec![ops::message_insert(HOME, &said)]).await;
    }
    for page in [Page::Newest, Page::After(Id(0)), Page::Before(Id(101))] {
        let found = disk.storage.messages(HOME, C, page, 100, ANN).await.unwrap();
        assert_eq!(ids(&found), (1..=100).rev().collect::<Vec<_>>(), "{page:?}");
        assert!(found.iter().all(|m| m.embeds[0]["description"] == large.as_str()));
    }
    let around = disk.storage.messages(HOME, C, Page::Around(Id(50)), 100, ANN).await.unwrap();
    assert_eq!(ids(&around), (1..=99).rev().collect::<Vec<_>>());
}

/// The engine itself says that a page is one range of the primary key: no sorting, no scan of the table.
#[tokio::test]
async fn a_page_is_one_range_of_the_primary_key() {
    const PLAN: Sql = Sql {
        name: "the plan of a page",
        text: "EXPLAIN QUERY PLAN SELECT * FROM chat_said WHERE hk = $1 AND channel_id = $2 AND id < $3
               ORDER BY id DESC LIMIT $4",
    };
    const PINS: Sql = Sql {
        name: "the plan of the pins",
        text: "EXPLAIN QUERY PLAN SELECT * FROM chat_said WHERE hk = $1 AND channel_id = $2
               AND pinned_at IS NOT NULL ORDER BY pinned_at DESC LIMIT $3",
    };
    let disk = Disk::new(1);
    let clock: Arc<dyn Clock> = disk.clock.clone();
    let data = disk.path().to_owned();
    let set = Files::new(Options { data, clock, seed: 1, plants: Default::default() });
    let set = set.open(SET, 1, SCHEMA).unwrap();
    let plan = async |sql, args: Vec<seawall_store::Value>| {
        let rows = set.get(0).read(Freshness::Primary, sql, args).await.unwrap().rows;
        rows.iter().map(|row| row.text(3).unwrap().to_owned()).collect::<Vec<_>>()
    };
    let page = plan(&PLAN, vec![1.into(), 2.into(), 3.into(), 4.into()]).await;
    assert_eq!(page.len(), 2, "{page:?}");
    assert!(page[0].starts_with("SEARCH m USING INDEX") && page[0].contains("id<?"), "{page:?}");
    assert!(page[1].starts_with("SEARCH r USING INDEX") && page[1].contains("id=?"), "{page:?}");
    let pins = plan(&PINS, vec![1.into(), 2.into(), 3.into()]).await;
    assert!(pins.len() == 2 && pins[0].contains("chat_messages_pinned"), "{pins:?}");
}
