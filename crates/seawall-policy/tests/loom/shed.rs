//! Sampling: each request draws its own number. Appointments: each client gets its own.

use loom::sync::Arc;
use loom::thread;
use seawall_policy::Mono;
use seawall_policy::priority::Priority::P4;
use seawall_policy::rate;
use seawall_policy::shed::{Core, Decision, Policy, Shedder};

#[test]
fn two_at_once_draw_the_first_two_numbers_and_the_next_one_the_third() {
    loom::model(|| {
        let policy = Policy::s0_chat();
        let mut core = Core::new(&policy);
        let expected = [0; 3].map(|_| core.decide(0.8, P4, None));
        let shedder = Arc::new(Shedder::new(policy));
        let there = {
            let shedder = Arc::clone(&shedder);
            thread::spawn(move || shedder.decide(P4, None, 0.8))
        };
        let here = shedder.decide(P4, None, 0.8);
        let there = there.join().unwrap();
        let admitted = |d: &[Decision]| d.iter().filter(|d| **d == Decision::Admit).count();
        assert_eq!(admitted(&[here, there]), admitted(&expected[..2]));
        assert_eq!(shedder.decide(P4, None, 0.8), expected[2]);
    });
}

#[test]
fn two_who_are_refused_at_once_are_asked_to_come_at_different_moments() {
    loom::model(|| {
        let reconnect = rate::Policy { rate: "1000/s".parse().unwrap(), burst: 1, keys_max: 0 };
        let shedder = Arc::new(Shedder::new(Policy { reconnect, ..Policy::s0_chat() }));
        assert!(shedder.reconnect(Mono(1)).is_ok());
        let there = {
            let shedder = Arc::clone(&shedder);
            thread::spawn(move || shedder.reconnect(Mono(1)).unwrap_err().retry_at)
        };
        let here = shedder.reconnect(Mono(1)).unwrap_err().retry_at;
        let mut told = [here, there.join().unwrap(), shedder.reconnect(Mono(1)).unwrap_err().retry_at];
        told.sort();
        assert_eq!(told.map(|at| at.0), [1_000_001, 2_000_001, 3_000_001]);
    });
}
