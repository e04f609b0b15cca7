//! The whole chain: which reason refuses first, and that nothing taken is ever kept.

use std::sync::Arc;
use std::time::Duration;

use seawall_policy::adaptive::{self, Adaptive};
use seawall_policy::admission::{Ask, Chain, Parts, Places, Refusal};
use seawall_policy::breaker::{self, Breaker, State};
use seawall_policy::deadline::Deadline;
use seawall_policy::inflight::Limit;
use seawall_policy::priority::Priority::{P0, P2, P3, P4};
use seawall_policy::rate::{self, Limiter, Per, Rate};
use seawall_policy::shed::{self, Load, Shedder};
use seawall_policy::{Mono, Outcome, Wall};

const fn at(seconds: u64) -> Mono {
    Mono(seconds * 1_000_000_000)
}

/// Ten places, one a second with two at once, a breaker that opens after 5 failures in 10 s, S0's steps.
fn chain() -> Chain {
    Chain::new(Parts {
        shed: Some(Shedder::new(shed::Policy::s0_chat())),
        rate: Some(Limiter::new(&rate::Policy {
            rate: Rate::new(1_000, Per::Second),
            burst: 20,
            ..rate::Policy::default()
        })),
        places: Places::Fixed(Limit::new(10)),
        breaker: Some(Breaker::new(breaker::Policy::s0_chat())),
    })
}

fn refused(chain: &Chain, ask: &Ask, now: Mono) -> Option<Refusal> {
    chain.admit(ask, now).map(drop).err()
}

#[test]
fn nobody_works_for_a_caller_who_has_left() {
    let chain = chain();
    let deadline = Some(Deadline::after(at(1), Duration::from_secs(1)));
    let ask = Ask { deadline, ..Ask::new(P0) };
    assert_eq!(refused(&chain, &ask, at(1)), None);
    assert_eq!(refused(&chain, &ask, at(2)), Some(Refusal::Expired));
}

#[test]
fn the_eleventh_of_ten_is_refused_and_the_places_come_back() {
    let chain = Chain::new(Parts { places: Places::Fixed(Limit::new(10)), ..Parts::default() });
    for _ in 0..3 {
        let inside: Vec<_> = (0..10).map(|_| chain.admit(&Ask::new(P0), at(1)).unwrap()).collect();
        assert_eq!(refused(&chain, &Ask::new(P0), at(1)), Some(Refusal::Full { max: 10 }));
        drop(inside);
    }
}

/// A full house whose calls are as quick as ever asks for more places, also where it ends with the last one inside.
#[test]
fn an_adaptive_number_of_places_grows_with_a_full_house() {
    let adaptive = Box::new(Adaptive::new(&adaptive::Policy::default()));
    let chain = Chain::new(Parts { places: Places::Adaptive(adaptive), ..Parts::default() });
    let mut now = at(1);
    for _ in 0..1_000 {
        let mut inside = Vec::new();
        while let Ok(pass) = chain.admit(&Ask::new(P0), now) {
            inside.push(pass);
        }
        now = now + Duration::from_millis(10);
        for pass in inside {
            pass.report(Outcome::Success, now);
        }
    }
    let Places::Adaptive(adaptive) = &chain.parts().places else { panic!() };
    assert!(adaptive.limit().max() > 60, "{} places after a thousand full houses", adaptive.limit().max());
}

#[test]
fn places_taken_are_load_and_typing_waits_while_search_is_refused_at_nine_of_ten() {
    let chain = chain();
    let _inside: Vec<_> = (0..9).map(|_| chain.admit(&Ask::new(P0), at(1)).unwrap()).collect();
    assert_eq!(refused(&chain, &Ask::new(P3), at(1)), Some(Refusal::Shed));
    let later = at(1) + Duration::from_millis(250);
    assert_eq!(refused(&chain, &Ask::new(P2), at(1)), Some(Refusal::Later(later)));
    assert_eq!(refused(&chain, &Ask { waited: true, ..Ask::new(P2) }, later), None);
}

#[test]
fn a_client_that_reconnects_is_not_shed() {
    let chain = chain();
    chain.parts().shed.as_ref().unwrap().observe(Load { cpu: 1.0, ..Load::default() }, Wall(0));
    assert_eq!(refused(&chain, &Ask::new(P4), at(1)), Some(Refusal::Shed));
    assert_eq!(refused(&chain, &Ask { reconnect: true, ..Ask::new(P4) }, at(1)), None);
}

#[test]
fn an_open_breaker_refuses_and_takes_no_place() {
    let chain = chain();
    for _ in 0..5 {
        chain.admit(&Ask::new(P0), at(1)).unwrap().report(Outcome::Failed, at(1));
    }
    for _ in 0..15 {
        assert_eq!(refused(&chain, &Ask::new(P0), at(1)), Some(Refusal::Open(at(31))));
    }
    let Places::Fixed(limit) = &chain.parts().places else { panic!() };
    assert_eq!(limit.in_flight(), 0);
}

#[test]
fn a_pass_that_is_dropped_gives_back_its_place_and_its_probe() {
    let chain = chain();
    for _ in 0..5 {
        chain.admit(&Ask::new(P0), at(1)).unwrap().report(Outcome::Failed, at(1));
    }
    for second in 31..40 {
        let probes: Vec<_> = (0..3).map(|_| chain.admit(&Ask::new(P0), at(second)).unwrap()).collect();
        assert!(matches!(refused(&chain, &Ask::new(P0), at(second)), Some(Refusal::Open(_))));
        drop(probes);
    }
    let change = chain.admit(&Ask::new(P0), at(40)).unwrap().report(Outcome::Success, at(40)).unwrap();
    assert_eq!(change.to, State::Closed);
}

#[test]
fn a_burst_of_twenty_is_let_in_and_the_rest_is_told_when_to_come_back() {
    let chain = chain();
    let told: Vec<_> = (0..25).map(|_| refused(&chain, &Ask::new(P0), at(1))).collect();
    assert_eq!(told.iter().filter(|t| t.is_none()).count(), 20);
    let Some(Refusal::Limited(retry_at)) = told[24] else { panic!("{told:?}") };
    assert!(retry_at > at(1) && retry_at <= at(1) + Duration::from_millis(1), "{retry_at:?}");
    assert_eq!(told[24].unwrap().retry_at(), Some(retry_at));
}

#[test]
fn what_was_let_in_and_refused_is_counted_by_reason() {
    let chain = chain();
    let inside: Vec<_> = (0..9).map(|_| chain.admit(&Ask::new(P0), at(1)).unwrap()).collect();
    let _ = refused(&chain, &Ask::new(P3), at(1));
    let _ = refused(&chain, &Ask::new(P2), at(1));
    let _ = refused(&chain, &Ask { deadline: Some(Deadline { at: at(0) }), ..Ask::new(P0) }, at(1));
    drop(inside);
    let counts = chain.counts();
    assert_eq!((counts.admitted, counts.refused), (9, [1, 1, 1, 0, 0, 0]));
    assert_eq!(Refusal::NAMES.len(), counts.refused.len());
}

#[test]
fn a_pass_can_travel_with_its_request() {
    let chain = Arc::new(chain());
    let pass = Chain::admit_to(Arc::clone(&chain), &Ask::new(P0), at(1)).unwrap();
    std::thread::spawn(move || pass.report(Outcome::Success, at(2))).join().unwrap();
    let Places::Fixed(limit) = &chain.parts().places else { panic!() };
    assert_eq!(limit.in_flight(), 0);
}

#[test]
fn a_chain_of_nothing_lets_everyone_in() {
    let chain = Chain::new(Parts::default());
    assert!((0..1_000).all(|_| refused(&chain, &Ask::new(P4), at(1)).is_none()));
}

#[test]
fn a_request_through_the_whole_chain_allocates_nothing() {
    let chain = chain();
    let ask = Ask { deadline: Some(Deadline { at: at(1_000) }), who: Some(7), ..Ask::new(P2) };
    let counted = allocation_counter::measure(|| {
        for second in 1..100 {
            if let Ok(pass) = chain.admit(&ask, at(second)) {
                pass.report(if second % 7 == 0 { Outcome::Failed } else { Outcome::Success }, at(second));
            }
        }
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn a_rate_limit_brings_what_it_has_let_in_when_it_joins_a_chain() {
    let policy = rate::Policy { rate: Rate::new(1, Per::Second), burst: 3, ..rate::Policy::default() };
    let rate = Limiter::new(&policy);
    rate.check_n(2, at(5)).unwrap();
    let chain =
        Chain::new(Parts { rate: Some(rate), places: Places::Fixed(Limit::new(10)), ..Parts::default() });
    assert_eq!(chain.parts().rate.as_ref().unwrap().remaining(at(5)), 1);
    assert_eq!(refused(&chain, &Ask::new(P0), at(5)), None);
    assert_eq!(refused(&chain, &Ask::new(P0), at(5)), Some(Refusal::Limited(at(6))));
}

#[test]
fn two_chains_may_share_places_and_have_rate_limits_of_their_own() {
    let places = Limit::new(10);
    let chain = |burst| {
        let policy = rate::Policy { rate: Rate::new(1, Per::Second), burst, ..rate::Policy::default() };
        let rate = Some(Limiter::new(&policy));
        Chain::new(Parts { rate, places: Places::Fixed(places.clone()), ..Parts::default() })
    };
    for (chain, burst) in [(chain(2), 2), (chain(5), 5)] {
        let passes: Vec<_> = (0..9).filter_map(|_| chain.admit(&Ask::new(P0), at(5)).ok()).collect();
        assert_eq!(passes.len(), burst);
        assert_eq!(places.in_flight(), burst);
    }
    assert_eq!(places.in_flight(), 0);
}
