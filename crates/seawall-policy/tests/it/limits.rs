//! Places and bulkheads by the balancer document's numbers; and what no limit may do to a request: allocate.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use seawall_policy::adaptive::{self, Adaptive};
use seawall_policy::inflight::{Bulkhead, Full, Inside, Limit, PLACES_MAX, PRESETS, Place, Policy, preset};
use seawall_policy::rate::{self, Keyed, Limiter, Per, Rate};
use seawall_policy::{Mono, Outcome};

/// Fills both limits of a bulkhead, and says how many calls and connections that took.
fn fill(bulkhead: &Bulkhead) -> (Vec<Place>, Vec<Place>) {
    let all = |limit: &Limit| std::iter::from_fn(|| limit.admit().ok()).collect();
    (all(bulkhead.calls()), all(bulkhead.connections()))
}

fn places(policy: &Policy) -> (usize, usize) {
    let (calls, connections) = fill(&Bulkhead::new(policy));
    (calls.len(), connections.len())
}

#[test]
fn service_a_has_100_calls_and_500_connections() {
    assert_eq!(places(&Policy::s3_service_a()), (100, 500));
    assert_eq!(preset("s3-service-a"), Some(Policy::s3_service_a()));
}

#[test]
fn service_b_has_50_calls_and_200_connections() {
    assert_eq!(places(&Policy::s3_service_b()), (50, 200));
    assert_eq!(preset("s3-service-b"), Some(Policy::s3_service_b()));
}

#[test]
fn service_c_has_50_calls_and_200_connections() {
    assert_eq!(places(&Policy::s3_service_c()), (50, 200));
    assert_eq!(preset("s3-service-c"), Some(Policy::s3_service_c()));
}

#[test]
fn service_a_hanging_with_every_place_taken_leaves_b_and_c_all_of_theirs() {
    let [a, b, c] =
        ["s3-service-a", "s3-service-b", "s3-service-c"].map(|name| Bulkhead::new(&preset(name).unwrap()));
    let hanging = fill(&a);
    assert_eq!(a.calls().enter().err(), Some(Full { max: 100 }));
    assert_eq!(a.connections().enter().err(), Some(Full { max: 500 }));
    for other in [&b, &c] {
        assert_eq!((other.calls().in_flight(), other.connections().in_flight()), (0, 0));
        let (calls, connections) = fill(other);
        assert_eq!((calls.len(), connections.len()), (50, 200));
    }
    drop(hanging);
    assert!(a.calls().enter().is_ok() && a.connections().enter().is_ok());
}

#[test]
fn the_presets_are_those_of_the_document_and_pass_their_own_check() {
    assert_eq!(PRESETS, ["s3-service-a", "s3-service-b", "s3-service-c"]);
    for name in PRESETS {
        assert_eq!(preset(name).unwrap().check(), Vec::<String>::new());
    }
    assert_eq!(preset("s3-service-d"), None);
    assert_eq!(Policy::default(), Policy::s3_service_a());
}

#[test]
fn the_hundred_and_first_is_refused_until_one_of_the_hundred_leaves() {
    let limit = Limit::new(100);
    let mut inside: Vec<Inside<'_>> = (0..100).map(|_| limit.enter().unwrap()).collect();
    assert_eq!(limit.enter().unwrap_err(), Full { max: 100 });
    assert_eq!(limit.admit().unwrap_err().to_string(), "all 100 places are taken");
    assert_eq!(limit.in_flight(), 100);
    inside.pop();
    assert!(limit.enter().is_ok());
    drop(inside);
    assert_eq!(limit.in_flight(), 0);
}

#[test]
fn after_a_cut_from_4_to_2_nobody_enters_before_three_have_left() {
    let limit = Limit::new(4);
    let mut inside: Vec<Place> = (0..4).map(|_| limit.admit().unwrap()).collect();
    limit.set_max(2);
    assert_eq!((limit.in_flight(), limit.max()), (4, 2));
    for _ in 0..2 {
        inside.pop();
        assert_eq!(limit.enter().err(), Some(Full { max: 2 }));
    }
    inside.pop();
    assert!(limit.enter().is_ok());
    // Clones share the change, and more places are there at once.
    limit.clone().set_max(3);
    inside.extend((0..2).map(|_| limit.admit().unwrap()));
    assert!(limit.admit().is_err());
}

#[test]
fn four_threads_never_exceed_the_limit_and_leave_nobody_inside() {
    let limit = Limit::new(3);
    let (most, holders) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let hold = || {
        most.fetch_max(holders.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        holders.fetch_sub(1, Ordering::SeqCst);
    };
    std::thread::scope(|s| {
        for thread in 0..4 {
            let (limit, hold) = (&limit, &hold);
            s.spawn(move || {
                for _ in 0..20_000 {
                    if thread % 2 == 0 {
                        let _place = limit.admit().map(|place| (hold(), place));
                    } else {
                        let _inside = limit.enter().map(|inside| (hold(), inside));
                    }
                }
            });
        }
    });
    assert!((1..=3).contains(&most.into_inner()));
    assert_eq!(limit.in_flight(), 0);
}

#[test]
fn a_bulkhead_policy_says_everything_that_is_wrong_with_it_and_explains_itself() {
    let silly = Policy { in_flight: 0, connections: PLACES_MAX + 1 };
    assert_eq!(
        silly.check(),
        [
            "in_flight: use 1 or more, such as 100; 0 refuses everyone",
            "connections: use at most 1000000, for more is no limit; it says 1000001"
        ]
    );
    // It works all the same, with the nearest values that do.
    let bulkhead = Bulkhead::new(&silly);
    assert_eq!((bulkhead.calls().max(), bulkhead.connections().max()), (1, PLACES_MAX));

    let text = Policy::s3_service_a().explain().join("\n");
    for fact in ["At most 100 calls", "up to 10000 calls a second", "At most 500 connections"] {
        assert!(text.contains(fact), "{fact} in {text}");
    }
}

#[test]
fn a_bulkhead_policy_reads_as_it_is_written() {
    let policy: Policy = toml::from_str("in_flight = 50").unwrap();
    assert_eq!(policy, Policy { in_flight: 50, connections: 500 });
    assert_eq!(toml::from_str::<Policy>(&toml::to_string(&policy).unwrap()).unwrap(), policy);
    assert!(toml::from_str::<Policy>("queue = 10").is_err(), "there is no queue");
}

#[test]
fn no_limit_allocates_on_a_requests_path() {
    let limit = Limit::new(2);
    let adaptive = Adaptive::new(&adaptive::Policy { samples: 10, ..adaptive::Policy::default() });
    let policy = rate::Policy { rate: Rate::new(100, Per::Second), burst: 2, keys_max: 8 };
    let (limiter, keyed) = (Limiter::new(&policy), Keyed::new(&policy, 7));
    let _one = limit.admit();
    let mut changes = 0;
    let allocated = allocation_counter::measure(|| {
        for i in 0..10_000u64 {
            let now = Mono(0) + Duration::from_micros(200 * i);
            // Every second one refused, and keys that displace each other.
            let _ = black_box((limit.enter(), limit.admit(), limiter.check(now), keyed.check(i % 500, now)));
            let _inside = adaptive.enter();
            changes += usize::from(adaptive.report(Mono(0), Outcome::Success, now).is_some());
        }
    });
    assert!(changes > 0, "windows were judged meanwhile");
    assert!(keyed.forgotten() > 0, "keys were displaced meanwhile");
    assert_eq!(allocated.count_total, 0);
}
