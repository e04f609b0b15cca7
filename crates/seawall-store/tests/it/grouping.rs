//! Group commit: fewer commits, and otherwise as if every batch had come alone.

use proptest::prelude::*;
use seawall_store::{Batch, Epoch, Expect, Op, Owned, Position, Sql, Why, Written};

use crate::support::{Engine, HK, all, batch, count, counted, grouped, insert, items, keyed, telling};

#[tokio::test]
async fn sixty_four_writers_share_their_commits() {
    const WRITERS: i64 = 64;
    const ROUNDS: i64 = 20;
    let e = Engine::new(1);
    let writer = async |id: i64| {
        for round in 0..ROUNDS {
            crate::support::at(&e.write(insert(id * ROUNDS + round)).await);
        }
    };
    all((0..WRITERS).map(writer)).await;
    let batches = WRITERS * ROUNDS;
    let metrics = e.files.metrics();
    assert_eq!(metrics.batches.get(), batches as u64);
    let commits = metrics.commits.get();
    assert!(commits * 4 <= batches as u64, "{commits} commits for {batches} batches");
    assert_eq!(e.items().await, (0..batches).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_group_is_one_commit() {
    let e = Engine::new(1);
    let done = grouped(&e, (0..200).map(insert).collect()).await;
    assert!(done.iter().all(|w| matches!(w, Written::Committed { .. })));
    // The one that waited for the lock, and the rest; or all at once if the writer woke late.
    assert!((1..=2).contains(&e.files.metrics().commits.get()));
}

const RENAME: Sql = Sql { name: "rename", text: "UPDATE item SET body = $2 WHERE id = $1 RETURNING body" };
const WRONG: Sql = Sql { name: "wrong", text: "INSERT INTO nowhere VALUES ($1)" };

/// Few ids and keys, so that batches meet each other.
fn any_op() -> impl Strategy<Value = Op> {
    let id = 0..6i64;
    prop_oneof![
        4 => id.clone().prop_map(|id| insert(id).ops.remove(0)),
        4 => Just(count()),
        3 => (id, any::<bool>()).prop_map(|(id, must)| Op {
            sql: &RENAME,
            args: vec![id.into(), "renamed".into()],
            expect: if must { Expect::Rows(1) } else { Expect::Any },
        }),
        1 => Just(Op { sql: &WRONG, args: vec![HK.into()], expect: Expect::Any }),
    ]
}

fn any_batch() -> impl Strategy<Value = Batch> {
    let key = proptest::option::weighted(0.4, (0..4u64, 0..2u64));
    let owner = proptest::option::weighted(0.4, 1..4u64);
    let tell = proptest::collection::vec(prop_oneof!["a", "b"], 0..3);
    (proptest::collection::vec(any_op(), 0..4), key, owner, tell).prop_map(|(ops, key, owner, tell)| {
        let tell: Vec<&str> = tell.iter().map(String::as_str).collect();
        let plain = telling(batch(ops), &tell);
        let keyed = match key {
            Some((key, fingerprint)) => keyed(plain, key, fingerprint),
            None => plain,
        };
        let owned = owner.map(|epoch| Owned { scope: "guild".to_owned(), epoch: Epoch(epoch) });
        Batch { owned, ..keyed }
    })
}

/// An answer without its position: rejected batches leave gaps in a group and none when alone.
fn without_position(written: Written) -> Written {
    match written {
        Written::Committed { rows, again, .. } => Written::Committed { at: Position(0), rows, again },
        other => other,
    }
}

/// Everything the two ways must agree on.
async fn outcome(e: &Engine, written: Vec<Written>) -> (Vec<Written>, Vec<i64>, i64, Vec<String>) {
    let topics = e.events(Position(0)).await.into_iter().map(|(_, topic)| topic).collect();
    let written = written.into_iter().map(without_position).collect();
    (written, items(e.shard()).await, counted(e.shard(), "c").await, topics)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_group_does_what_its_batches_do_alone(batches in proptest::collection::vec(any_batch(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (together, singly) = (Engine::new(1), Engine::new(1));
            for e in [&together, &singly] {
                prop_assert_eq!(e.shard().claim("guild").await, Ok(Epoch(1)));
                prop_assert_eq!(e.shard().claim("guild").await, Ok(Epoch(2)));
            }
            let grouped = grouped(&together, batches.clone()).await;
            let positions: Vec<_> = grouped
                .iter()
                .filter_map(|w| match w {
                    Written::Committed { at, again: false, .. } => Some(*at),
                    _ => None,
                })
                .collect();
            prop_assert!(positions.is_sorted_by(|a, b| a < b));
            let mut alone = Vec::new();
            for batch in batches {
                alone.push(singly.write(batch).await);
            }
            let grouped = outcome(&together, grouped).await;
            prop_assert!(grouped.0.iter().all(|w| *w != Written::Unknown && *w != Written::Rejected(Why::Busy)));
            prop_assert_eq!(grouped, outcome(&singly, alone).await);
            Ok(())
        })?;
    }
}
