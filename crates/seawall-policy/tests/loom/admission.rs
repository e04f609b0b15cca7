//! The chain joins protocols that are modelled singly elsewhere; here: what one takes another's refusal gives back.

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;
use seawall_policy::admission::{Ask, Chain, Parts, Places, Refusal};
use seawall_policy::breaker::{Breaker, HalfOpen, Open, Policy, State, Trip};
use seawall_policy::inflight::Limit;
use seawall_policy::priority::Priority::P0;
use seawall_policy::rate::{self, Limiter, Per, Rate};
use seawall_policy::{Mono, Outcome};

const fn at(seconds: u64) -> Mono {
    Mono(seconds * 1_000_000_000)
}

/// One place, and a breaker that opens at the first failure, with one probe.
fn chain(places: usize) -> Arc<Chain> {
    let ten = Duration::from_secs(10);
    let policy = Policy {
        window: ten,
        trip: vec![Trip::Failures(1)],
        open: Open { for_: ten, growth: 1.0, max: ten },
        half_open: HalfOpen { admit: 1, close_after: 1 },
        shards: 1,
        ..Policy::default()
    };
    Arc::new(Chain::new(Parts {
        places: Places::Fixed(Limit::new(places)),
        breaker: Some(Breaker::new(policy)),
        ..Parts::default()
    }))
}

fn in_flight(chain: &Chain) -> usize {
    let Places::Fixed(limit) = &chain.parts().places else { unreachable!("made above") };
    limit.in_flight()
}

#[test]
fn one_place_has_one_holder_and_is_free_afterwards() {
    loom::model(|| {
        let chain = chain(1);
        let there = {
            let chain = Arc::clone(&chain);
            thread::spawn(move || {
                chain.admit(&Ask::new(P0), at(1)).map(|pass| pass.report(Outcome::Success, at(1)))
            })
        };
        let here = chain.admit(&Ask::new(P0), at(1)).map(|pass| pass.report(Outcome::Success, at(1)));
        let there = there.join().unwrap();
        for refused in [here, there].into_iter().filter_map(Result::err) {
            assert_eq!(refused, Refusal::Full { max: 1 });
        }
        assert_eq!(in_flight(&chain), 0);
        let counts = chain.counts();
        assert_eq!(counts.admitted + counts.refused[4], 2);
    });
}

#[test]
fn who_is_refused_by_the_breaker_leaves_no_place_taken_and_the_probe_comes_back() {
    loom::model(|| {
        let chain = chain(2);
        let _ = chain.admit(&Ask::new(P0), at(0)).unwrap().report(Outcome::Failed, at(0));
        let there = {
            let chain = Arc::clone(&chain);
            // Gives up: the probe and the place go back.
            thread::spawn(move || chain.admit(&Ask::new(P0), at(10)).map(drop).is_ok())
        };
        let here = chain.admit(&Ask::new(P0), at(10)).map(drop).is_ok();
        assert!(there.join().unwrap() || here);
        assert_eq!(in_flight(&chain), 0);
        let change = chain.admit(&Ask::new(P0), at(10)).unwrap().report(Outcome::Success, at(10));
        assert_eq!(change.map(|c| c.to), Some(State::Closed));
    });
}

#[test]
fn of_two_who_ask_for_the_last_of_a_rate_one_gets_it_and_the_places_beside_it_are_all_free() {
    loom::model(|| {
        let policy = rate::Policy { rate: Rate::new(1, Per::Second), burst: 1, keys_max: 0 };
        let chain = Arc::new(Chain::new(Parts {
            rate: Some(Limiter::new(&policy)),
            places: Places::Fixed(Limit::new(2)),
            ..Parts::default()
        }));
        let there = {
            let chain = Arc::clone(&chain);
            thread::spawn(move || chain.admit(&Ask::new(P0), at(5)).map(drop).err())
        };
        let here = chain.admit(&Ask::new(P0), at(5)).map(drop).err();
        let told = [here, there.join().unwrap()];
        assert!(told.contains(&None) && told.contains(&Some(Refusal::Limited(at(6)))), "{told:?}");
        assert_eq!(in_flight(&chain), 0);
    });
}
