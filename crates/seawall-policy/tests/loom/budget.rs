//! The budget's balance, its turns, and what the hedge publishes.

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;
use seawall_policy::Mono;
use seawall_policy::retry::hedge::{self, Hedge};
use seawall_policy::retry::{Budget, BudgetPolicy};

const fn at(seconds: u64) -> Mono {
    Mono(seconds * 1_000_000_000)
}

/// A window of ten seconds, one a bucket.
fn budget(ratio: f64, min_concurrency: u32) -> Arc<Budget> {
    let window = Duration::from_secs(10);
    Arc::new(Budget::new(BudgetPolicy { ratio, per_second: 0, window, min_concurrency }))
}

/// Runs both at once, and returns what they returned.
fn both<A: 'static, B>(
    budget: &Arc<Budget>,
    a: impl FnOnce(&Budget) -> A + 'static,
    b: impl FnOnce(&Budget) -> B,
) -> (A, B) {
    let there = {
        let budget = Arc::clone(budget);
        thread::spawn(move || a(&budget))
    };
    let b = b(budget);
    (there.join().unwrap(), b)
}

/// Takes all there is.
fn left(budget: &Budget, now: Mono) -> u32 {
    (0..100).take_while(|_| budget.withdraw(now, 1)).count() as u32
}

#[test]
fn of_two_who_ask_for_the_last_one_gets_it_and_nothing_is_lost() {
    loom::model(|| {
        let budget = budget(0.0, 1);
        let (a, b) = both(&budget, |b| b.withdraw(at(0), 1), |b| b.withdraw(at(0), 1));
        assert!(a != b, "one wins: {a} {b}");
        assert_eq!(left(&budget, at(9)), 0);
        assert_eq!(left(&budget, at(10)), 1, "what was spent comes back, and no more than that");
    });
}

#[test]
fn one_who_asks_for_too_much_leaves_everything_there() {
    loom::model(|| {
        let budget = budget(0.0, 1);
        let (double, single) = both(&budget, |b| b.withdraw(at(0), 2), |b| b.withdraw(at(0), 1));
        assert!(!double);
        // The single one may have met the moment in which the double one had taken and not yet given back.
        assert_eq!(left(&budget, at(0)), u32::from(!single));
        assert_eq!(left(&budget, at(10)), 1);
    });
}

#[test]
fn a_withdrawal_while_a_call_turns_the_bucket_spends_nothing_that_has_left() {
    loom::model(|| {
        let budget = budget(1.0, 0);
        // Two calls whose credit ends at 10 s; the third comes then, and turns.
        (0..2).for_each(|_| budget.deposit(at(0)));
        let (spent, ()) = both(&budget, |b| u32::from(b.withdraw(at(10), 1)), |b| b.deposit(at(10)));
        assert_eq!(spent + left(&budget, at(10)), 1, "the third call's own");
        assert_eq!(left(&budget, at(19)), 0);
        assert_eq!(left(&budget, at(30)), 0);
    });
}

#[test]
fn a_withdrawal_from_the_old_bucket_while_it_is_turned_is_on_one_side_or_the_other() {
    loom::model(|| {
        let budget = budget(1.0, 1);
        let (spent, ()) = both(&budget, |b| u32::from(b.withdraw(at(0), 1)), |b| b.deposit(at(1)));
        assert_eq!(spent, 1, "there was one from the start");
        assert_eq!(left(&budget, at(1)), 1);
        // In the first bucket or the second: never before the tenth second, and at the eleventh in any
        // case, and the credit of the call leaves at the eleventh, too.
        assert!(left(&budget, at(10)) <= 1);
        left(&budget, at(11));
        assert_eq!(left(&budget, at(30)), 1);
    });
}

/// What a refused withdrawal took and gave back must not lie in two buckets: when the first has left, the
/// second would have one too many.
#[test]
fn a_refused_withdrawal_across_a_turn_never_leaves_too_much() {
    loom::model(|| {
        let budget = budget(1.0, 0);
        let (refused, ()) = both(&budget, |b| !b.withdraw(at(0), 1), |b| b.deposit(at(1)));
        // The first bucket leaves at 10 s, the second with the call's credit at 11 s.
        let one = u32::from(refused);
        assert!(left(&budget, at(10)) <= one);
        assert_eq!(left(&budget, at(11)), 0);
        assert_eq!(left(&budget, at(30)), 0);
    });
}

#[test]
fn a_refused_withdrawal_while_a_silence_ends_never_leaves_too_much() {
    loom::model(|| {
        let budget = budget(1.0, 0);
        both(&budget, |b| assert!(!b.withdraw(at(0), 2)), |b| b.deposit(at(60)));
        assert!(left(&budget, at(60)) <= 1);
        assert_eq!(left(&budget, at(100)), 0);
    });
}

#[test]
fn two_who_end_a_silence_at_once_both_find_the_beginning() {
    loom::model(|| {
        let budget = budget(1.0, 2);
        (0..3).for_each(|_| budget.deposit(at(0)));
        assert_eq!(left(&budget, at(0)), 5);
        let (a, b) = both(&budget, |b| b.withdraw(at(60), 1), |b| b.withdraw(at(60), 1));
        assert!(a && b);
        assert_eq!(left(&budget, at(60)), 0);
        assert_eq!(left(&budget, at(70)), 2);
    });
}

#[test]
fn a_wait_asked_for_while_it_is_published_is_none_or_the_right_one() {
    loom::model(|| {
        let hedge = Arc::new(Hedge::new(hedge::Policy::default()));
        let took = Duration::from_millis(10);
        (0..19).for_each(|_| hedge.record(at(0), took));
        let there = {
            let hedge = Arc::clone(&hedge);
            thread::spawn(move || hedge.record(at(1), took))
        };
        let wait = hedge.wait(at(1), 1, true);
        there.join().unwrap();
        let published = hedge.wait(at(1), 1, true).unwrap();
        assert!(published.abs_diff(took) <= took / 32);
        assert!(wait.is_none_or(|wait| wait == published));
    });
}
