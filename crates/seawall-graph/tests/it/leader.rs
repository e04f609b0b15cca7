//! Whoever leads: what is written is there at once, merged, once, and on both sides; and only one leads.

use futures_util::FutureExt;
use seawall_graph::call::{Data, Done, Home, Key, Refusal, Time, Version, Write};
use seawall_graph::id::Id;
use seawall_graph::message::{Change, Fill, State};
use seawall_graph::schema::{Schema, decode};
use seawall_graph::storage::{self, Lease, OWNER_SCOPE, Storage};
use seawall_store::Position;
use tempfile::tempdir;
use tokio::task::JoinSet;

use crate::making::{
    BLOCKS, FOLLOWED_BY, FOLLOWS, FRIEND, Leads, MUTES, PATIENCE, USER, database, eventually, files, host,
    key, user,
};

fn set(id: Id, fields: &[(&str, &str)]) -> Write {
    Write::ObjectUpdate { id, set: user(fields), unset: Vec::new(), if_version: None }
}

/// The fields of a user, as text.
fn fields(data: &Data) -> Vec<String> {
    let schema = Schema::built_in();
    let kind = schema.object_kind(USER).unwrap();
    let mut texts = Vec::new();
    for (field, value) in decode(&kind.fields, data.bytes()) {
        let mut text = Vec::new();
        value.write_text(&mut text);
        texts.push(format!("{} {}", field.name, String::from_utf8(text).unwrap()));
    }
    texts
}

#[tokio::test]
async fn what_is_written_is_in_memory_before_it_is_answered() {
    let data = tempdir().unwrap();
    let l = Leads::new(2, data.path()).await;
    let (ann, ben) = (l.add_user("ann", Home::Anywhere).await, l.add_user("ben", Home::Anywhere).await);
    // Not there before somebody asks for it, and kept up to date from then on.
    assert_eq!(l.upstream.cached_version(Key::Object(ann)), None);
    assert_eq!(l.object(ann).await.version, Version(1));
    assert!(l.ends(ann, FOLLOWS).await.is_empty());
    l.write(set(ann, &[("about", "hi")])).await;
    l.link(ann, FOLLOWS, ben, 5).await;
    let asked = l.metric(r#"seawall_graph_fills_total{outcome="answered"}"#);
    assert_eq!(l.upstream.cached_version(Key::Object(ann)), Some(Version(2)));
    assert_eq!(fields(&l.object(ann).await.object.unwrap().1), ["name ann", "about hi"]);
    assert_eq!(l.ends(ann, FOLLOWS).await, [ben]);
    assert_eq!(
        l.metric(r#"seawall_graph_fills_total{outcome="answered"}"#),
        asked,
        "the store was not asked"
    );
    assert_eq!(l.ends(ben, FOLLOWED_BY).await, [ann]);
    let list = Key::List(ann, FOLLOWS);
    assert_eq!(l.upstream.source_version(list, l.deadline()).await, Ok(Version(1)));
    l.stop().await;
}

#[tokio::test]
async fn a_changeset_says_what_happened_to_which_key() {
    let data = tempdir().unwrap();
    let l = Leads::new(1, data.path()).await;
    let (a, b) = (l.id(0, 1), l.id(0, 2));
    let write = Write::AssocAdd { id1: a, atype: FOLLOWS, id2: b, time: Time(7), data: Data::default() };
    let changed = l.try_write(write, None).await.unwrap();
    assert_eq!((changed.done, changed.again), (Done::AssocAdded(true), false));
    let told: Vec<_> = changed.changes.iter().map(|c| (c.change.key(), c.change.version())).collect();
    assert_eq!(told, [(Key::List(a, FOLLOWS), Version(1)), (Key::List(b, FOLLOWED_BY), Version(1))]);
    for change in changed.changes {
        assert!(
            matches!(change.change, Change::Edge { count: 1, now: Some((Time(7), _)), .. }),
            "{change:?}"
        );
    }
    l.stop().await;
}

#[tokio::test]
async fn fields_are_merged_and_what_is_required_stays() {
    let data = tempdir().unwrap();
    let l = Leads::new(1, data.path()).await;
    let ann = l.add_user("ann", Home::Anywhere).await;
    assert_eq!(
        l.write(set(ann, &[("about", "x"), ("private", "true")])).await,
        Done::ObjectUpdated(Version(2))
    );
    let about = 3;
    let unset =
        |number| Write::ObjectUpdate { id: ann, set: Data::default(), unset: vec![number], if_version: None };
    assert_eq!(l.write(unset(about)).await, Done::ObjectUpdated(Version(3)));
    assert_eq!(fields(&l.object(ann).await.object.unwrap().1), ["name ann", "private true"]);
    let refused = l.try_write(unset(1), None).await.unwrap_err();
    assert!(matches!(&refused, Refusal::Invalid(why) if why.contains("name")), "{refused:?}");
    assert_eq!(l.object(ann).await.version, Version(3));
    l.stop().await;
}

#[tokio::test]
async fn an_update_of_another_version_is_refused_with_the_one_there_is() {
    let data = tempdir().unwrap();
    let l = Leads::new(1, data.path()).await;
    let ann = l.add_user("ann", Home::Anywhere).await;
    let if_version = |version| Write::ObjectUpdate {
        id: ann,
        set: user(&[("about", "y")]),
        unset: Vec::new(),
        if_version: Some(Version(version)),
    };
    for wrong in [0, 2, 99] {
        let refused = Refusal::Changed { id: ann, current: Version(1) };
        assert_eq!(l.try_write(if_version(wrong), None).await, Err(refused));
    }
    assert_eq!(l.write(if_version(1)).await, Done::ObjectUpdated(Version(2)));
    let nobody = l.id(0, 77);
    assert_eq!(l.try_write(set(nobody, &[]), None).await, Err(Refusal::NoObject(nobody)));
    assert_eq!(l.write(Write::ObjectDelete { id: ann }).await, Done::ObjectDeleted(true));
    assert_eq!(l.write(Write::ObjectDelete { id: ann }).await, Done::ObjectDeleted(false));
    assert_eq!(l.try_write(set(ann, &[("about", "z")]), None).await, Err(Refusal::NoObject(ann)));
    assert_eq!(l.object(ann).await.object, None);
    l.stop().await;
}

#[tokio::test]
async fn of_many_updates_at_once_none_is_lost() {
    let data = tempdir().unwrap();
    let l = Leads::new(1, data.path()).await;
    let ann = l.add_user("ann", Home::Anywhere).await;
    let names = ["handle", "about", "picture", "language"];
    let mut updates = JoinSet::new();
    for n in 0..40_usize {
        let (upstream, deadline) = (l.upstream.clone(), l.deadline());
        let write = set(ann, &[(names[n % 4], &format!("{n}"))]);
        updates.spawn(async move {
            upstream.write(seawall_graph::call::Command { write, key: None }, deadline).await.unwrap();
        });
    }
    updates.join_all().await;
    let state = l.object(ann).await;
    assert_eq!(state.version, Version(41));
    assert_eq!(fields(&state.object.unwrap().1).len(), 5, "each of the four fields has one of its values");
    l.stop().await;
}

#[tokio::test]
async fn a_request_that_is_repeated_with_its_key_is_answered_as_before() {
    let data = tempdir().unwrap();
    let l = Leads::new(4, data.path()).await;
    let add = |name| Write::ObjectAdd { otype: USER, data: user(&[("name", name)]), home: Home::Anywhere };
    for n in 1..=20 {
        let once = l.try_write(add("ann"), Some(key(n))).await.unwrap();
        let again = l.try_write(add("ann"), Some(key(n))).await.unwrap();
        assert_eq!((once.again, again.again, once.done), (false, true, again.done));
    }
    let other = seawall_graph::call::Idempotency { fingerprint: 999, ..key(1) };
    assert_eq!(l.try_write(add("eve"), Some(other)).await, Err(Refusal::KeyReused));

    // Also where what was asked for could not be done any more.
    let ann = l.add_user("ann", Home::Anywhere).await;
    let update = Write::ObjectUpdate {
        id: ann,
        set: user(&[("about", "first")]),
        unset: Vec::new(),
        if_version: Some(Version(1)),
    };
    let key = Some(key(50));
    for after in [None, Some(set(ann, &[("about", "second")])), Some(Write::ObjectDelete { id: ann })] {
        if let Some(after) = after {
            l.write(after).await;
        }
        let answer = l.try_write(update.clone(), key).await.unwrap();
        assert_eq!(answer.done, Done::ObjectUpdated(Version(2)));
    }
    assert_eq!(l.object(ann).await.version, Version(4));
    assert_eq!(l.metric(r#"seawall_graph_writes_total{outcome="again"}"#), 22);
    l.stop().await;
}

#[tokio::test]
async fn an_object_is_born_where_it_is_wanted_and_its_id_is_never_given_again() {
    let data = tempdir().unwrap();
    let l = Leads::new(4, data.path()).await;
    let ann = l.add_user("ann", Home::Anywhere).await;
    let near = l.add_user("ben", Home::Near(ann)).await;
    assert_eq!(near.shard(), ann.shard());
    let exact = l.id(3, 4711);
    assert_eq!(l.add_user("cat", Home::Exactly(exact)).await, exact);
    l.write(Write::ObjectDelete { id: exact }).await;
    let again = Write::ObjectAdd { otype: USER, data: user(&[("name", "eve")]), home: Home::Exactly(exact) };
    assert_eq!(l.try_write(again, None).await, Err(Refusal::Used(exact)));
    l.stop().await;
}

#[tokio::test]
async fn ids_of_one_seed_do_not_repeat_after_a_restart() {
    let data = tempdir().unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let l = Leads::new(1, data.path()).await;
        for _ in 0..20 {
            ids.push(l.add_user("ann", Home::Near(l.id(0, 1))).await);
        }
        l.stop().await;
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 60);
}

#[tokio::test]
async fn both_sides_agree_however_a_pair_on_two_databases_is_written_from_both_ends_at_once() {
    let data = tempdir().unwrap();
    let l = Leads::new(2, data.path()).await;
    let pairs: Vec<(Id, Id)> = (1..=4).map(|n| (l.id(0, n), l.id(1, n))).collect();
    let mut writers = JoinSet::new();
    for n in 0..48_u32 {
        let (a, b) = pairs[n as usize % pairs.len()];
        let data = Data::default();
        let write = match n % 6 {
            0 => Write::AssocAdd { id1: a, atype: FOLLOWS, id2: b, time: Time(n), data },
            1 => Write::AssocAdd { id1: b, atype: FOLLOWED_BY, id2: a, time: Time(n), data },
            2 => Write::AssocDelete { id1: a, atype: FOLLOWS, id2: b },
            3 => Write::AssocAdd { id1: b, atype: FRIEND, id2: a, time: Time(n), data },
            4 => Write::AssocChangeType { id1: a, from: FRIEND, id2: b, to: FOLLOWS },
            _ => Write::AssocAdd { id1: a, atype: FRIEND, id2: b, time: Time(n), data },
        };
        let (upstream, deadline) = (l.upstream.clone(), l.deadline());
        writers.spawn(async move {
            upstream.write(seawall_graph::call::Command { write, key: None }, deadline).await.unwrap();
        });
    }
    writers.join_all().await;
    for (a, b) in pairs {
        for (there, back) in [(FOLLOWS, FOLLOWED_BY), (FRIEND, FRIEND)] {
            let (one, other) = (l.head(a, there).await, l.head(b, back).await);
            assert_eq!(one.count, one.edges.len() as u64);
            let times =
                |head: &seawall_graph::message::Head| head.edges.iter().map(|e| e.time).collect::<Vec<_>>();
            assert_eq!(times(&one), times(&other), "{a} {b} {there:?}");
            for key in [Key::List(a, there), Key::List(b, back)] {
                let source = l.upstream.source_version(key, l.deadline()).await.unwrap();
                assert_eq!(l.upstream.cached_version(key), Some(source), "memory follows");
            }
        }
    }
    l.stop().await;
}

#[tokio::test]
async fn who_leaves_in_the_middle_of_a_write_between_two_databases_only_misses_the_answer() {
    let data = tempdir().unwrap();
    let l = Leads::new(2, data.path()).await;
    for n in 1..=20 {
        let (a, b) = (l.id(0, n), l.id(1, n));
        let mut write = Box::pin(l.try_link(a, FOLLOWS, b, 1));
        // As far as it gets without waiting; then whoever asked hangs up.
        assert!((&mut write).now_or_never().is_none());
        drop(write);
        let source =
            async |id1, atype| l.upstream.source_version(Key::List(id1, atype), l.deadline()).await.unwrap();
        eventually("both sides", async || {
            (source(a, FOLLOWS).await, source(b, FOLLOWED_BY).await) == (Version(1), Version(1))
        })
        .await;
    }
    assert_eq!(l.metric("seawall_graph_links_repaired_total"), 0, "nothing was left behind");
    l.stop().await;
}

#[tokio::test]
async fn types_the_schema_does_not_have_are_refused() {
    let data = tempdir().unwrap();
    let l = Leads::new(1, data.path()).await;
    let odd = seawall_graph::call::AssocType(999);
    let (id1, id2) = (l.id(0, 1), l.id(0, 2));
    for write in [
        Write::AssocDelete { id1, atype: odd, id2 },
        Write::AssocChangeType { id1, from: BLOCKS, id2, to: odd },
    ] {
        let refused = l.try_write(write, None).await.unwrap_err();
        assert!(matches!(&refused, Refusal::Invalid(why) if why.contains("999")), "{refused:?}");
    }
    // Of these none has another side.
    assert!(l.link(id1, BLOCKS, id2, 1).await);
    assert_eq!(
        l.write(Write::AssocChangeType { id1, from: BLOCKS, id2, to: MUTES }).await,
        Done::AssocChanged(true)
    );
    assert_eq!((l.ends(id1, BLOCKS).await, l.ends(id1, MUTES).await), (vec![], vec![id2]));
    l.stop().await;
}

#[tokio::test]
async fn a_critical_read_and_a_version_that_memory_does_not_have_ask_the_store() {
    let data = tempdir().unwrap();
    let l = Leads::new(1, data.path()).await;
    let ann = l.add_user("ann", Home::Anywhere).await;
    l.object(ann).await;
    let asked = || l.metric(r#"seawall_graph_fills_total{outcome="answered"}"#);
    let before = asked();
    l.try_fill(Key::Object(ann), true).await.unwrap();
    assert_eq!(asked(), before + 1);
    // A version nobody has: the store says what there is.
    let fill = Fill { key: Key::Object(ann), edges: 0, at_least: Version(9), critical: false };
    let filled = l.upstream.fill(fill, l.deadline()).await.unwrap();
    assert_eq!(filled.state.version(), Version(1));
    assert!(asked() > before + 1);
    l.stop().await;
}

#[tokio::test]
async fn the_deadline_is_kept() {
    let data = tempdir().unwrap();
    let l = Leads::new(1, data.path()).await;
    let past = seawall_policy::deadline::Deadline { at: seawall_policy::Mono(0) };
    let id = l.id(0, 1);
    let add = Write::ObjectAdd { otype: USER, data: user(&[("name", "ann")]), home: Home::Exactly(id) };
    let command = seawall_graph::call::Command { write: add, key: None };
    assert_eq!(l.upstream.write(command, past).await, Err(Refusal::Late));
    assert_eq!(l.object(id).await.version, Version(0), "nothing was begun");
    l.stop().await;
}

#[tokio::test]
async fn whoever_is_fenced_stops_at_once_and_leads_again_with_a_new_epoch() {
    let data = tempdir().unwrap();
    let l = Leads::new(1, data.path()).await;
    let ann = l.add_user("ann", Home::Anywhere).await;
    l.object(ann).await;
    // Somebody claims without asking for the lease.
    database(data.path(), 1, 0).claim(OWNER_SCOPE).await.unwrap();
    assert_eq!(l.try_write(set(ann, &[("about", "x")]), None).await, Err(Refusal::Standby));
    eventually("leading again", async || l.upstream.check().is_ok()).await;
    assert_eq!(l.upstream.cached_version(Key::Object(ann)), None, "what was known before is forgotten");
    assert_eq!(l.write(set(ann, &[("about", "x")])).await, Done::ObjectUpdated(Version(2)));
    assert_eq!(l.metric("seawall_graph_reigns_total"), 2);
    l.stop().await;
}

#[tokio::test]
async fn a_second_process_stands_by_hears_the_news_and_takes_over() {
    let data = tempdir().unwrap();
    let first = Leads::new(2, data.path()).await;
    let second = Leads::new(2, data.path()).await;
    let ann = first.add_user("ann", Home::Anywhere).await;
    let shard = second.upstream.shard_of(ann);
    assert_eq!(second.try_fill(Key::Object(ann), false).await, Err(Refusal::Standby));
    assert_eq!(second.try_write(set(ann, &[]), None).await, Err(Refusal::Standby));
    assert_eq!(second.try_link(ann, FOLLOWS, ann, 1).await, Err(Refusal::Standby));
    let position = first.upstream.position(shard).await.unwrap();
    let mut changed = second.upstream.changed(shard);
    tokio::time::timeout(PATIENCE, changed.wait_for(|at| *at >= position)).await.unwrap().unwrap();
    first.stop().await;
    eventually("taking over", async || second.upstream.check().is_ok()).await;
    assert_eq!(second.object(ann).await.version, Version(1));
    assert_eq!(second.write(set(ann, &[("about", "x")])).await, Done::ObjectUpdated(Version(2)));
    assert_eq!(second.metric("seawall_graph_leads"), 1);
    second.stop().await;
}

#[tokio::test]
async fn whoever_loses_the_lease_stands_by_until_it_is_to_be_had_again() {
    let data = tempdir().unwrap();
    let l = Leads::new(1, data.path()).await;
    let ann = l.add_user("ann", Home::Anywhere).await;
    // Somebody takes the lease as if we were gone, and is never heard of again.
    let set = files(data.path(), &l.host).open(storage::SET, 1, storage::SCHEMA).unwrap();
    let thief = Storage::new(set, l.host.clock.clone());
    eventually("the theft", async || {
        let seen = thief.lease().await.unwrap();
        let renewed_at = l.host.clock.wall();
        let lease = Lease { holder: "thief".to_owned(), address: "elsewhere".to_owned(), renewed_at };
        thief.lease_take(&lease, seen.as_ref()).await.unwrap()
    })
    .await;
    eventually("standing by", async || l.upstream.check().is_err()).await;
    assert_eq!(l.try_fill(Key::Object(ann), false).await, Err(Refusal::Standby));
    assert!(!l.upstream.state().borrow().is_ready());
    eventually("leading again", async || l.upstream.check().is_ok()).await;
    assert_eq!(l.object(ann).await.version, Version(1));
    assert_eq!(l.metric("seawall_graph_reigns_total"), 2);
    l.stop().await;
}

#[tokio::test]
async fn news_that_begin_further_on_than_memory_has_heard_make_it_forget() {
    let data = tempdir().unwrap();
    let l = Leads::new(1, data.path()).await;
    let ann = l.add_user("ann", Home::Anywhere).await;
    l.object(ann).await;
    let at = l.upstream.position(0).await.unwrap();
    let cached = || l.upstream.cached_version(Key::Object(ann));
    l.upstream.news(0, Position(0), 1000).await.unwrap();
    assert_eq!(cached(), Some(Version(1)), "it has heard all of them");
    l.write(set(ann, &[("about", "x")])).await;
    let later = l.upstream.position(0).await.unwrap();
    assert!(later > at);
    l.upstream.news(0, later, 1000).await.unwrap();
    assert_eq!(cached(), None, "who knows what lies between");
    l.stop().await;
}

#[tokio::test]
async fn a_schema_that_loses_nothing_is_kept_and_one_that_does_is_refused() {
    let data = tempdir().unwrap();
    let l = Leads::new(1, data.path()).await;
    let text = l.upstream.schema().text();
    let more = Schema::parse(&format!("{text}\n[object.song]\nnumber = 900\n")).unwrap();
    l.upstream.schema_put(more.clone(), l.deadline()).await.unwrap();
    let refused = l.upstream.schema_put(Schema::built_in(), l.deadline()).await.unwrap_err();
    assert!(matches!(&refused, Refusal::Invalid(why) if why.contains("song")), "{refused:?}");
    assert_eq!(*l.upstream.schema(), more);
    l.stop().await;
    let l = Leads::new(1, data.path()).await;
    assert_eq!(*l.upstream.schema(), more, "it is in the store");
    l.stop().await;
    // A file without what the store has is refused before anything is led.
    let file = data.path().join("schema.toml");
    std::fs::write(&file, Schema::built_in().text()).unwrap();
    let config = seawall_graph::Config { schema: file, ..crate::making::config(1) };
    let h = host();
    let fault = seawall_graph::lead(&config, &h, files(data.path(), &h)).await.err().unwrap();
    let said = seawall_net::host::chain(&fault);
    assert!(said.contains("song") && said.contains("graph.schema = \"\""), "{said}");
}

#[tokio::test]
async fn a_list_is_kept_with_as_many_edges_as_were_asked_for() {
    let data = tempdir().unwrap();
    let l = Leads::new(1, data.path()).await;
    let ann = l.id(0, 1);
    for n in 2..=30 {
        l.link(ann, BLOCKS, l.id(0, n), n as u32).await;
    }
    let ask = async |edges| {
        let fill = Fill { key: Key::List(ann, BLOCKS), edges, at_least: Version(0), critical: false };
        match l.upstream.fill(fill, l.deadline()).await.unwrap().state {
            State::List(head) => (head.count, head.edges.len()),
            State::Object(_) => panic!("an object"),
        }
    };
    let (count, len) = ask(5).await;
    assert!(count == 29 && len >= 5, "{len}");
    let (count, len) = ask(20).await;
    assert!(count == 29 && len >= 20, "{len}");
    l.stop().await;
}
