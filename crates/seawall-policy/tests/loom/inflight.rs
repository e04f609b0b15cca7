//! Places.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use seawall_policy::inflight::Limit;

/// Counts those inside by itself, and never finds more than `most`.
fn stay(inside: &AtomicUsize, most: usize) {
    assert!(inside.fetch_add(1, Ordering::SeqCst) < most);
    inside.fetch_sub(1, Ordering::SeqCst);
}

#[test]
fn the_last_place_has_one_holder_and_is_free_again_afterwards() {
    loom::model(|| {
        let limit = Limit::new(1);
        let inside = Arc::new(AtomicUsize::new(0));
        let there = {
            let (limit, inside) = (limit.clone(), Arc::clone(&inside));
            thread::spawn(move || limit.admit().map(|_place| stay(&inside, 1)).is_ok())
        };
        let here = limit.enter().map(|_inside| stay(&inside, 1)).is_ok();
        assert!(there.join().unwrap() || here);
        assert_eq!(limit.in_flight(), 0);
        assert!(limit.admit().is_ok());
    });
}

#[test]
fn a_cut_while_another_enters_holds_for_whoever_comes_after_it() {
    loom::model(|| {
        let limit = Limit::new(2);
        let first = limit.admit().unwrap();
        let there = {
            let limit = limit.clone();
            thread::spawn(move || limit.admit().ok())
        };
        limit.set_max(1);
        // The cut is this thread's own, so it sees it.
        assert!(limit.enter().is_err());
        let there = there.join().unwrap();
        assert_eq!((limit.in_flight(), limit.max()), (1 + usize::from(there.is_some()), 1));
        assert!(limit.enter().is_err());
        drop((first, there));
        assert_eq!(limit.in_flight(), 0);
        let _one = limit.enter().unwrap();
        assert!(limit.enter().is_err());
    });
}

#[test]
fn a_place_added_to_a_full_house_is_there_for_whoever_comes_after_and_only_once() {
    loom::model(|| {
        let limit = Limit::new(1);
        let first = limit.admit().unwrap();
        let inside = Arc::new(AtomicUsize::new(0));
        let there = {
            let (limit, inside) = (limit.clone(), Arc::clone(&inside));
            thread::spawn(move || {
                limit.set_max(2);
                // May be refused, while the other one is: that is the price of adding first.
                let _ = limit.admit().map(|_place| stay(&inside, 1));
            })
        };
        let _ = limit.enter().map(|_inside| stay(&inside, 1));
        there.join().unwrap();
        assert_eq!((limit.in_flight(), limit.max()), (1, 2));
        let second = limit.enter().unwrap();
        assert!(limit.enter().is_err());
        drop((first, second));
        assert_eq!(limit.in_flight(), 0);
    });
}
