//! Places.

use loom::sync::Arc;
use loom::thread;
use seawall_policy::inflight::Limit;

#[test]
fn the_last_place_has_one_holder_and_is_free_again_afterwards() {
    loom::model(|| {
        let limit = Limit::new(1);
        let inside = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
        let enter = |limit: &Limit, inside: &loom::sync::atomic::AtomicUsize| {
            let Ok(_place) = limit.admit() else { return false };
            assert_eq!(inside.fetch_add(1, loom::sync::atomic::Ordering::SeqCst), 0);
            inside.fetch_sub(1, loom::sync::atomic::Ordering::SeqCst);
            true
        };
        let there = {
            let (limit, inside) = (limit.clone(), Arc::clone(&inside));
            thread::spawn(move || enter(&limit, &inside))
        };
        let here = enter(&limit, &inside);
        assert!(there.join().unwrap() || here);
        assert_eq!(limit.in_flight(), 0);
        assert!(limit.admit().is_ok());
    });
}
