//! One word for a limit; two words and a lock for each key's.

use loom::sync::Arc;
use loom::thread;
use seawall_policy::Mono;
use seawall_policy::rate::{Keyed, Limiter, Per, Policy, Rate};

const NOW: Mono = Mono(5_000_000_000);

/// One every second after a burst; a table of one set, which under loom is two slots.
fn policy(burst: u32) -> Policy {
    Policy { rate: Rate::new(1, Per::Second), burst, keys_max: 2 }
}

/// Runs both at once, and returns what they returned.
fn both<S: 'static, A: 'static, B>(
    shared: &Arc<S>,
    a: impl FnOnce(&S) -> A + 'static,
    b: impl FnOnce(&S) -> B,
) -> (A, B) {
    let there = {
        let shared = Arc::clone(shared);
        thread::spawn(move || a(&shared))
    };
    let b = b(shared);
    (there.join().expect("it does not panic"), b)
}

#[test]
fn of_two_who_ask_for_the_last_one_exactly_one_gets_it() {
    loom::model(|| {
        let limiter = Arc::new(Limiter::new(&policy(2)));
        limiter.check(NOW).unwrap();
        let (a, b) = both(&limiter, |l| l.check(NOW).is_ok(), |l| l.check(NOW).is_ok());
        assert!(a != b);
        assert_eq!((limiter.remaining(NOW), limiter.reset(NOW)), (0, 2));
    });
}

#[test]
fn two_who_ask_while_there_is_enough_both_get_it_and_both_are_counted() {
    loom::model(|| {
        let limiter = Arc::new(Limiter::new(&policy(3)));
        let (a, b) = both(&limiter, |l| l.check(NOW).is_ok(), |l| l.check_n(2, NOW).is_ok());
        assert!(a && b);
        assert_eq!(limiter.remaining(NOW), 0);
    });
}

#[test]
fn two_who_bring_the_same_key_share_its_one_limit() {
    loom::model(|| {
        let keyed = Arc::new(Keyed::new(&policy(1), 0));
        let (a, b) = both(&keyed, |k| k.check(7, NOW).is_ok(), |k| k.check(7, NOW).is_ok());
        assert!(a != b);
        assert_eq!((keyed.remaining(7, NOW), keyed.forgotten()), (0, 0));
        assert!(keyed.check(7, NOW).is_err());
    });
}

#[test]
fn a_key_charged_while_another_takes_a_quiet_ones_slot_keeps_its_limit() {
    loom::model(|| {
        let keyed = Arc::new(Keyed::new(&policy(1), 0));
        // Both slots are held by keys that owe nothing any more; 1 has been quiet for longer.
        keyed.check(1, Mono(0)).unwrap();
        keyed.check(2, Mono(1)).unwrap();
        // 3 comes for the slot of 1 just as 1 comes back: one of them gets the slot of 2.
        let (a, b) = both(&keyed, |k| k.check(1, NOW).is_ok(), |k| k.check(3, NOW).is_ok());
        assert!(a && b);
        assert_eq!(keyed.forgotten(), 0);
        assert_eq!((keyed.remaining(1, NOW), keyed.remaining(3, NOW)), (0, 0));
        assert!(keyed.check(1, NOW).is_err() && keyed.check(3, NOW).is_err());
    });
}

#[test]
fn a_set_full_of_debt_never_admits_more_than_its_slots_whoever_displaces_whom() {
    loom::model(|| {
        let keyed = Arc::new(Keyed::new(&policy(2), 0));
        keyed.check(1, NOW).unwrap();
        keyed.check(2, NOW).unwrap();
        // Two places are left in two slots, for three who ask: 1 itself, and two strangers.
        let ask = |k: &Keyed, key| u32::from(k.check(key, NOW).is_ok());
        let (a, b) = both(&keyed, move |k| ask(k, 3), move |k| ask(k, 1) + ask(k, 4));
        assert_eq!(a + b, 2, "as many as there were places");
        assert!((1..=2).contains(&keyed.forgotten()));
        assert!((1..=4).all(|key| keyed.check(key, NOW).is_err()));
    });
}
