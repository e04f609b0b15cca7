//! What every engine must do. Written against [`Engine`] alone, so that another engine runs the same
//! functions; SQLite does at the end of this file.

use std::time::Duration;

use seawall_store::{
    ChangesError, ClaimError, Epoch, Expect, Freshness, Owned, Position, ReadError, Scope, Shard, Why,
    Written,
};

use crate::support::{
    Engine, HK, INSERT, ITEMS, all, at, batch, count, counted, grouped, insert, items, keyed, one, op, rows,
    telling,
};

fn fenced(current: u64) -> Written {
    Written::Rejected(Why::Fenced { current: Epoch(current) })
}

async fn an_old_shard_epoch_is_fenced_and_a_new_handle_is_not(e: &Engine) {
    let (one, two) = (e.elsewhere(), e.elsewhere());
    assert_eq!(one.get(0).epoch(), Epoch(1));
    at(&e.write(insert(1)).await);
    at(&one.get(0).fence(Scope::Shard, Epoch(5)).await);
    for old in [&e.set, &one, &two] {
        assert_eq!(old.get(0).write(insert(2), e.later()).await, fenced(5));
        assert_eq!(
            old.get(0).claim("guild").await,
            Err(ClaimError::Rejected(Why::Fenced { current: Epoch(5) }))
        );
    }
    let new = e.elsewhere();
    assert_eq!(new.get(0).epoch(), Epoch(5));
    at(&new.get(0).write(insert(3), e.later()).await);
    // Opening again in the process of an old handle helps the new handle, not the old one.
    let reopened = e.files.open("test", 1, crate::support::TABLES).unwrap();
    at(&reopened.get(0).write(insert(4), e.later()).await);
    assert_eq!(e.write(insert(5)).await, fenced(5));
    assert_eq!(e.items().await, [1, 3, 4]);
}

async fn a_fence_never_goes_back(e: &Engine) {
    let shard = e.shard();
    for scope in [Scope::Owner("guild".to_owned()), Scope::Shard] {
        at(&shard.fence(scope.clone(), Epoch(9)).await);
        let new = e.elsewhere();
        assert_eq!(new.get(0).fence(scope.clone(), Epoch(8)).await, fenced(9));
        at(&new.get(0).fence(scope, Epoch(9)).await);
    }
}

async fn an_old_and_a_new_handle_in_one_group_are_told_apart(e: &Engine) {
    at(&e.elsewhere().get(0).fence(Scope::Shard, Epoch(2)).await);
    let new = e.files.open("test", 1, crate::support::TABLES).unwrap();
    let (old, new) = (e.shard(), new.get(0));
    let write = |shard: &Shard, id| {
        let shard = shard.clone();
        let later = e.later();
        async move { shard.write(insert(id), later).await }
    };
    let done = all([write(old, 1), write(new, 2), write(old, 3), write(new, 4)]).await;
    assert_eq!((&done[0], &done[2]), (&fenced(2), &fenced(2)));
    assert!(at(&done[1]) < at(&done[3]));
    assert_eq!(e.items().await, [2, 4]);
}

async fn an_old_owner_is_fenced_even_in_a_group_with_others(e: &Engine) {
    let owned = |epoch| Some(Owned { scope: "guild".to_owned(), epoch });
    let by = |epoch, id| seawall_store::Batch { owned: owned(epoch), ..insert(id) };
    assert_eq!(e.write(by(Epoch(1), 0)).await, fenced(0), "nobody has claimed it");
    let old = e.shard().claim("guild").await.unwrap();
    at(&e.write(by(old, 1)).await);
    let new = e.elsewhere().get(0).claim("guild").await.unwrap();
    assert_eq!((old, new), (Epoch(1), Epoch(2)));
    let done = grouped(e, vec![by(new, 2), by(old, 3), insert(4), by(old, 5), by(new, 6)]).await;
    assert_eq!((&done[1], &done[3]), (&fenced(2), &fenced(2)));
    assert_eq!(e.items().await, [1, 2, 4, 6]);
    // Another scope is another owner.
    assert_eq!(e.shard().claim("other").await, Ok(Epoch(1)));
}

async fn a_retry_is_answered_as_the_first_time(e: &Engine) {
    let first = keyed(telling(batch(vec![count(), count()]), &["a"]), 1, 10);
    let done = e.write(first.clone()).await;
    let position = at(&done);
    assert_eq!(rows(done), [one(1), one(2)]);
    for set in [e.set.clone(), e.elsewhere()] {
        let again = set.get(0).write(first.clone(), e.later()).await;
        let rows = vec![one(1), one(2)];
        assert_eq!(again, Written::Committed { at: position, rows, again: true });
    }
    assert_eq!(counted(e.shard(), "c").await, 2);
    assert_eq!(e.events(Position(0)).await.len(), 1);
}

async fn a_key_used_for_something_else_is_rejected(e: &Engine) {
    at(&e.write(keyed(insert(1), 1, 10)).await);
    assert_eq!(e.write(keyed(insert(2), 1, 11)).await, Written::Rejected(Why::KeyReused));
    assert_eq!(e.items().await, [1]);
}

async fn a_rejected_batch_leaves_its_key_free(e: &Engine) {
    at(&e.write(insert(1)).await);
    assert_eq!(e.write(keyed(insert(1), 1, 10)).await, Written::Rejected(Why::Conflict { op: 0 }));
    at(&e.write(keyed(insert(2), 1, 11)).await);
}

async fn twins_in_one_group_are_done_once(e: &Engine) {
    let twin = || keyed(batch(vec![count()]), 1, 10);
    let done = grouped(e, vec![twin(), twin(), twin()]).await;
    let agains: Vec<bool> =
        done.iter().map(|w| matches!(w, Written::Committed { again: true, .. })).collect();
    assert_eq!(agains, [false, true, true]);
    assert!(done.iter().all(|w| at(w) == at(&done[0])));
    assert_eq!(counted(e.shard(), "c").await, 1);
}

async fn a_fenced_owner_still_hears_of_what_it_did(e: &Engine) {
    let epoch = e.shard().claim("guild").await.unwrap();
    let owned = Some(Owned { scope: "guild".to_owned(), epoch });
    let first = seawall_store::Batch { owned, ..keyed(insert(1), 1, 10) };
    at(&e.write(first.clone()).await);
    e.shard().claim("guild").await.unwrap();
    assert!(matches!(e.write(first).await, Written::Committed { again: true, .. }));
}

async fn a_conflict_undoes_its_batch_alone(e: &Engine) {
    let clash = telling(batch(vec![count(), insert(1).ops.remove(0), count()]), &["never"]);
    let done = grouped(e, vec![telling(insert(1), &["one"]), clash, telling(insert(2), &["two"])]).await;
    assert_eq!(done[1], Written::Rejected(Why::Conflict { op: 1 }));
    assert_eq!(e.items().await, [1, 2]);
    assert_eq!(counted(e.shard(), "c").await, 0);
    let told: Vec<String> = e.events(Position(0)).await.into_iter().map(|(_, topic)| topic).collect();
    assert_eq!(told, ["one", "two"]);
}

async fn an_expectation_counts_rows_touched_or_returned(e: &Engine) {
    const TOUCH: seawall_store::Sql =
        seawall_store::Sql { name: "touch", text: "UPDATE item SET body = $2 WHERE hk = $1" };
    const TAKE: seawall_store::Sql =
        seawall_store::Sql { name: "take", text: "DELETE FROM item WHERE hk = $1 RETURNING id" };
    at(&e.write(insert(1)).await);
    at(&e.write(insert(2)).await);
    let expecting =
        |sql, args, n| batch(vec![seawall_store::Op { expect: Expect::Rows(n), ..op(sql, args) }]);
    let conflict = Written::Rejected(Why::Conflict { op: 0 });
    assert_eq!(e.write(expecting(&TOUCH, vec![HK.into(), "x".into()], 1)).await, conflict);
    at(&e.write(expecting(&TOUCH, vec![HK.into(), "y".into()], 2)).await);
    assert_eq!(e.write(expecting(&TAKE, vec![HK.into()], 3)).await, conflict);
    assert_eq!(rows(e.write(expecting(&TAKE, vec![HK.into()], 2)).await)[0].len(), 2);
}

async fn a_batch_that_cannot_work_says_why(e: &Engine) {
    let wrong = batch(vec![op(&INSERT, vec![HK.into(), "not a number".into(), "x".into()])]);
    let Written::Rejected(Why::Invalid(why)) = e.write(wrong).await else { panic!("a type was not checked") };
    assert!(why.starts_with("statement insert an item: "), "{why}");
    let short = batch(vec![op(&INSERT, vec![HK.into()])]);
    assert!(matches!(e.write(short).await, Written::Rejected(Why::Invalid(_))));
    at(&e.write(insert(1)).await);
}

async fn changes_come_in_the_order_of_commits(e: &Engine) {
    let other = e.elsewhere();
    let mut positions = Vec::new();
    for i in 0..20 {
        let shard = if i % 3 == 0 { other.get(0) } else { e.shard() };
        let done = shard.write(telling(insert(i), &["a", "b"]), e.later()).await;
        positions.push(at(&done));
    }
    assert!(positions.is_sorted_by(|a, b| a < b));
    let mut seen = Vec::new();
    let mut from = Position(0);
    // An odd page size stops between the two events of one batch.
    loop {
        let page = e.shard().changes(from, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        from = last.0;
        seen.extend(page);
    }
    assert!(seen.is_sorted_by(|a, b| a.0 < b.0));
    assert_eq!(seen.iter().map(|(_, event)| event.topic.as_str()).collect::<Vec<_>>(), ["a", "b"].repeat(20));
    let ends: Vec<Position> = seen.iter().skip(1).step_by(2).map(|(position, _)| *position).collect();
    assert_eq!(ends, positions, "a batch's position is that of its last event");
}

async fn a_watcher_wakes_on_own_and_on_others_commits(e: &Engine) {
    let mut watch = e.shard().changed();
    let mine = at(&e.write(insert(1)).await);
    let woken = tokio::time::timeout(Duration::from_secs(10), watch.wait_for(|p| *p >= mine)).await;
    assert!(woken.unwrap().is_ok());
    let theirs = at(&e.elsewhere().get(0).write(insert(2), e.later()).await);
    assert!(theirs > mine);
    let woken = tokio::time::timeout(Duration::from_secs(10), watch.wait_for(|p| *p >= theirs)).await;
    assert!(woken.unwrap().is_ok());
}

async fn saving_a_cursor_wakes_nobody(e: &Engine) {
    at(&e.write(insert(1)).await);
    let watch = e.shard().changed();
    at(&e.shard().cursor_save("follower", Position(1)).await);
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(!watch.has_changed().unwrap());
}

async fn a_position_that_was_answered_can_be_read_anywhere(e: &Engine) {
    let position = at(&e.write(insert(1)).await);
    let fresh =
        [Freshness::Primary, Freshness::AtLeast(position), Freshness::Within(Duration::ZERO), Freshness::Any];
    for set in [e.set.clone(), e.elsewhere()] {
        for freshness in fresh {
            let found = set.get(0).read(freshness, &ITEMS, vec![]).await.unwrap();
            assert_eq!((found.rows.len(), found.at), (1, position), "{freshness:?}");
        }
    }
}

async fn a_read_waits_for_a_position_that_is_being_committed(e: &Engine) {
    let position = at(&e.write(insert(1)).await);
    let next = Position(position.0 + 1);
    let write = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        e.write(insert(2)).await
    };
    let (found, done) = tokio::join!(e.shard().read(Freshness::AtLeast(next), &ITEMS, vec![]), write);
    assert_eq!((found.unwrap().rows.len(), at(&done)), (2, next));
    let never = Freshness::AtLeast(Position(next.0 + 1));
    let turn = async { e.clock.skip(Duration::from_secs(6)) };
    let (found, ()) = tokio::join!(e.shard().read(never, &ITEMS, vec![]), turn);
    assert_eq!(found, Err(ReadError::Deadline));
}

/// Housekeeping runs behind a write; this waits until it has.
async fn until(e: &Engine, from: Position, is_there: impl Fn(&Result<usize, ChangesError>) -> bool) {
    for _ in 0..500 {
        let found = e.shard().changes(from, 10).await.map(|events| events.len());
        if is_there(&found) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 5 s");
}

async fn events_wait_for_a_registered_cursor_but_not_for_ever(e: &Engine) {
    let first = at(&e.write(telling(insert(1), &["one"])).await);
    at(&e.shard().cursor_save("follower", Position(0)).await);
    e.clock.skip(Duration::from_secs(6 * 24 * 3600));
    let second = at(&e.write(telling(insert(2), &["two"])).await);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(e.events(Position(0)).await.len(), 2, "six days are within seven");
    e.clock.skip(Duration::from_secs(25 * 3600));
    at(&e.write(insert(3)).await);
    until(e, Position(0), |found| *found == Err(ChangesError::TooOld { oldest: first })).await;
    assert_eq!(e.events(first).await, [(second, "two".to_owned())]);
    assert_eq!(e.shard().cursor("follower").await, Ok(Some(Position(0))));
    assert_eq!(e.shard().cursor("stranger").await, Ok(None));
}

async fn events_every_cursor_has_passed_go_soon(e: &Engine) {
    let first = at(&e.write(telling(insert(1), &["one"])).await);
    let second = at(&e.write(telling(insert(2), &["two"])).await);
    at(&e.shard().cursor_save("fast", second).await);
    at(&e.shard().cursor_save("slow", first).await);
    e.clock.skip(Duration::from_secs(120));
    at(&e.write(insert(3)).await);
    until(e, Position(0), |found| *found == Err(ChangesError::TooOld { oldest: first })).await;
    assert_eq!(e.events(first).await.len(), 1, "the slow one has not seen it");
    at(&e.shard().cursor_save("slow", second).await);
    e.clock.skip(Duration::from_secs(2));
    at(&e.write(insert(4)).await);
    until(e, first, |found| *found == Err(ChangesError::TooOld { oldest: second })).await;
}

async fn a_key_is_forgotten_after_a_day(e: &Engine) {
    let count_once = || keyed(batch(vec![count()]), 1, 10);
    at(&e.write(count_once()).await);
    e.clock.skip(Duration::from_secs(23 * 3600));
    assert!(matches!(e.write(count_once()).await, Written::Committed { again: true, .. }));
    e.clock.skip(Duration::from_secs(2 * 3600));
    for _ in 0..500 {
        if matches!(e.write(count_once()).await, Written::Committed { again: false, .. }) {
            assert_eq!(items(e.shard()).await.len(), 0);
            return assert_eq!(counted(e.shard(), "c").await, 2);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the key was not forgotten");
}

/// SQLite, on one fresh shard.
fn on_sqlite(case: impl AsyncFnOnce(&Engine)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { case(&Engine::new(1)).await });
}

mod sqlite {
    use super::on_sqlite;

    #[test]
    fn an_old_shard_epoch_is_fenced_and_a_new_handle_is_not() {
        on_sqlite(super::an_old_shard_epoch_is_fenced_and_a_new_handle_is_not);
    }

    #[test]
    fn a_fence_never_goes_back() {
        on_sqlite(super::a_fence_never_goes_back);
    }

    #[test]
    fn an_old_and_a_new_handle_in_one_group_are_told_apart() {
        on_sqlite(super::an_old_and_a_new_handle_in_one_group_are_told_apart);
    }

    #[test]
    fn an_old_owner_is_fenced_even_in_a_group_with_others() {
        on_sqlite(super::an_old_owner_is_fenced_even_in_a_group_with_others);
    }

    #[test]
    fn a_retry_is_answered_as_the_first_time() {
        on_sqlite(super::a_retry_is_answered_as_the_first_time);
    }

    #[test]
    fn a_key_used_for_something_else_is_rejected() {
        on_sqlite(super::a_key_used_for_something_else_is_rejected);
    }

    #[test]
    fn a_rejected_batch_leaves_its_key_free() {
        on_sqlite(super::a_rejected_batch_leaves_its_key_free);
    }

    #[test]
    fn twins_in_one_group_are_done_once() {
        on_sqlite(super::twins_in_one_group_are_done_once);
    }

    #[test]
    fn a_fenced_owner_still_hears_of_what_it_did() {
        on_sqlite(super::a_fenced_owner_still_hears_of_what_it_did);
    }

    #[test]
    fn a_conflict_undoes_its_batch_alone() {
        on_sqlite(super::a_conflict_undoes_its_batch_alone);
    }

    #[test]
    fn an_expectation_counts_rows_touched_or_returned() {
        on_sqlite(super::an_expectation_counts_rows_touched_or_returned);
    }

    #[test]
    fn a_batch_that_cannot_work_says_why() {
        on_sqlite(super::a_batch_that_cannot_work_says_why);
    }

    #[test]
    fn changes_come_in_the_order_of_commits() {
        on_sqlite(super::changes_come_in_the_order_of_commits);
    }

    #[test]
    fn a_watcher_wakes_on_own_and_on_others_commits() {
        on_sqlite(super::a_watcher_wakes_on_own_and_on_others_commits);
    }

    #[test]
    fn saving_a_cursor_wakes_nobody() {
        on_sqlite(super::saving_a_cursor_wakes_nobody);
    }

    #[test]
    fn a_position_that_was_answered_can_be_read_anywhere() {
        on_sqlite(super::a_position_that_was_answered_can_be_read_anywhere);
    }

    #[test]
    fn a_read_waits_for_a_position_that_is_being_committed() {
        on_sqlite(super::a_read_waits_for_a_position_that_is_being_committed);
    }

    #[test]
    fn events_wait_for_a_registered_cursor_but_not_for_ever() {
        on_sqlite(super::events_wait_for_a_registered_cursor_but_not_for_ever);
    }

    #[test]
    fn events_every_cursor_has_passed_go_soon() {
        on_sqlite(super::events_every_cursor_has_passed_go_soon);
    }

    #[test]
    fn a_key_is_forgotten_after_a_day() {
        on_sqlite(super::a_key_is_forgotten_after_a_day);
    }
}
