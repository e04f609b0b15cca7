//! What breakers take of the memory: little each, and nothing at all per call.

use std::sync::Arc;

use allocation_counter::measure;
use seawall_policy::breaker::{Breaker, Policy, State, Trip};
use seawall_policy::{Mono, Outcome};

const fn at(seconds: u64) -> Mono {
    Mono(seconds * 1_000_000_000)
}

/// One call of a second's length, if it is admitted.
fn call(b: &Breaker, begun: Mono, outcome: Outcome) -> bool {
    let Ok(permit) = b.admit(begun) else { return false };
    b.report(permit, outcome, Mono(begun.0 + 1_000_000_000));
    true
}

/// One breaker per instance, as many as the registry document's largest cluster has instances.
#[test]
fn fifty_thousand_breakers_take_at_most_thirty_two_mebibytes() {
    const INSTANCES: usize = 50_000;
    const MAX: u64 = 32 << 20;
    for policy in [Policy::s4_registry(), Policy::s3_balancer()] {
        let policy = Arc::new(policy);
        let mut kept: Vec<Breaker> = Vec::new();
        let taken = measure(|| {
            kept = (0..INSTANCES).map(|_| Breaker::new(Arc::clone(&policy))).collect();
            for breaker in &kept {
                // Opened, refused and tested: whatever is made only when needed is there now.
                assert!(!(0..100).all(|_| call(breaker, at(1), Outcome::Failed)), "never opens");
                assert!(call(breaker, at(40), Outcome::Success));
            }
        });
        assert_eq!(Arc::strong_count(&policy), 1 + INSTANCES, "they share one policy");
        println!("{} bytes each", taken.bytes_max / INSTANCES as u64);
        assert!(taken.bytes_max <= MAX, "{} bytes each", taken.bytes_max / INSTANCES as u64);
        assert_eq!(taken.bytes_current as u64, taken.bytes_max, "nothing but the breakers");
    }
}

#[test]
fn no_call_on_any_path_allocates() {
    let slow = std::time::Duration::from_secs(1);
    let mut policy = Policy::s0_chat();
    policy.trip.extend([
        Trip::Ratio { ratio: 1.0, min: 1_000 },
        Trip::Slow { slow, ratio: 1.0, min: 1_000 },
        Trip::External,
    ]);
    let b = Breaker::new(policy);
    let state_is = |now: Mono, state: &str| assert_eq!(b.state(now).as_str(), state);
    let fast = |now: Mono, outcome: Outcome| b.admit(now).map(|permit| b.report(permit, outcome, now));
    let taken = measure(|| {
        assert!(fast(at(1), Outcome::Success).is_ok());
        assert!(fast(at(15), Outcome::Success).is_ok(), "a new bucket");
        assert!(call(&b, at(15), Outcome::Success), "slow");
        assert!(fast(at(16), Outcome::Abandoned).is_ok());
        (0..5).for_each(|_| assert!(fast(at(16), Outcome::Failed).is_ok()));
        state_is(at(16), "open");
        (0..100).for_each(|_| assert!(fast(at(17), Outcome::Success).is_err()));
        let probes = [b.admit(at(46)), b.admit(at(46)), b.admit(at(46))];
        assert!(probes.iter().all(Result::is_ok) && b.admit(at(46)).is_err());
        for (probe, outcome) in
            probes.into_iter().zip([Outcome::Abandoned, Outcome::Failed, Outcome::Success])
        {
            probe.map(|probe| b.report(probe, outcome, at(46))).ok();
        }
        state_is(at(47), "open");
        assert!(fast(at(106), Outcome::Success).is_ok());
        state_is(at(106), "closed");
        assert!(b.external(true, at(107)).is_some() && b.external(false, at(108)).is_some());
        assert_eq!(b.state(at(108)), State::HalfOpen);
    });
    assert_eq!((taken.count_total, taken.bytes_total), (0, 0));
}
