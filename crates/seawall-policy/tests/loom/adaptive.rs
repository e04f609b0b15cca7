//! Windows: each answer lies in one, and each is judged once.

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;
use seawall_policy::adaptive::{Adaptive, Policy};
use seawall_policy::{Mono, Outcome};

const fn at(seconds: u64) -> Mono {
    Mono(seconds * 1_000_000_000)
}

/// Windows of one second and as many answers as it says, in which the limit goes all the way.
fn adaptive(samples: u32) -> Arc<Adaptive> {
    Arc::new(Adaptive::new(&Policy {
        min: 1,
        max: 64,
        initial: 16,
        smoothing: 1.0,
        window: Duration::from_secs(1),
        probe_every: Duration::from_secs(10),
        samples,
        ..Policy::default()
    }))
}

/// Reports from two threads at once; returns what they were told.
fn both(adaptive: &Arc<Adaptive>, outcome: Outcome, now: Mono) -> [Option<usize>; 2] {
    let there = {
        let adaptive = Arc::clone(adaptive);
        thread::spawn(move || adaptive.report(at(0), outcome, now))
    };
    let here = adaptive.report(at(0), outcome, now);
    [here, there.join().expect("it does not panic")]
}

#[test]
fn a_window_that_two_reports_end_is_judged_once() {
    loom::model(|| {
        let adaptive = adaptive(1);
        let told = both(&adaptive, Outcome::Overloaded, at(1));
        let changes: Vec<usize> = told.into_iter().flatten().collect();
        // The first halves 16 to 8, and the window after it, of which nobody has heard yet, is a probe: 4.
        assert_eq!(changes, [4]);
        assert_eq!(adaptive.limit().max(), 4);
    });
}

#[test]
fn no_answer_is_lost_and_none_counts_twice() {
    loom::model(|| {
        let adaptive = adaptive(3);
        assert!(both(&adaptive, Outcome::Success, at(1)).iter().all(Option::is_none), "two are too few");
        assert_eq!(adaptive.limit().max(), 16);
        assert_eq!(adaptive.report(at(0), Outcome::Success, at(1)), Some(8), "the second window is a probe");
        // It has to find three of its own; calls take a second, so it lasts four.
        assert!(both(&adaptive, Outcome::Success, at(5)).iter().all(Option::is_none));
        // One of exactly three: a third of 16 is taken off.
        assert_eq!(adaptive.report(at(0), Outcome::Overloaded, at(5)), Some(10));
        assert_eq!(adaptive.limit().max(), 10);
    });
}

#[test]
fn an_answer_that_comes_while_a_window_is_being_judged_lies_in_it_or_in_the_next() {
    loom::model(|| {
        let adaptive = adaptive(2);
        assert_eq!(adaptive.report(at(0), Outcome::Overloaded, at(1)), None);
        // Either one ends the window.
        both(&adaptive, Outcome::Success, at(1));
        let next = adaptive.report(at(0), Outcome::Success, at(10));
        match adaptive.limit().max() {
            // Judged with one of them, half of what was seen, and halved again to probe. The other one and
            // this were enough for the next window, after which nobody probes.
            8 => assert_eq!(next, Some(8)),
            // Judged with both, and the next window has seen only this.
            limit => assert_eq!((limit, next), (5, None)),
        }
    });
}

#[test]
fn who_asks_while_the_limit_changes_sees_the_old_one_or_the_new() {
    loom::model(|| {
        let adaptive = adaptive(1);
        let there = {
            let adaptive = Arc::clone(&adaptive);
            thread::spawn(move || {
                let _inside = adaptive.admit().unwrap();
                adaptive.report(at(0), Outcome::Overloaded, at(1))
            })
        };
        let seen = adaptive.limit().max();
        assert!([16, 4].contains(&seen));
        let inside = adaptive.enter().unwrap();
        assert_eq!(there.join().unwrap(), Some(4));
        assert_eq!((adaptive.limit().max(), adaptive.limit().in_flight()), (4, 1));
        drop(inside);
        assert_eq!(adaptive.limit().in_flight(), 0);
    });
}
