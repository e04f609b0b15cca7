//! What one route may take from the others: nothing.

use std::io;
use std::time::Duration;

use seawall_balancer::config::Route;
use seawall_policy::priority::Priority;
use seawall_policy::{inflight, rate};

use crate::backend::{Backend, Does};
use crate::client::Answer;
use crate::rig::{Rig, route, wait};

fn to(rig: &Rig, host: &str) -> io::Result<Answer> {
    rig.client().call("GET", "/", &format!("Host: {host}\r\n"), b"")
}

#[test]
fn a_service_that_hangs_fills_its_own_fifty_places_and_takes_none_of_its_neighbours() {
    let (slow, well) = (Backend::start(Does::Hang), Backend::start(Does::Answer));
    let rig = Rig::configured(&[&well], |c| {
        c.probe.kind = seawall_balancer::config::ProbeKind::Tcp;
        let bulkhead = Some(inflight::Policy::s3_service_b());
        c.route.push(Route { bulkhead, ..route("slow.test", &[&slow]) });
    });
    std::thread::scope(|s| {
        for _ in 0..50 {
            s.spawn(|| to(&rig, "slow.test"));
        }
        wait("all fifty are inside", || rig.in_flight() == 50);
        let refused = to(&rig, "slow.test").unwrap();
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
        assert!(refused.code() == "route_full");
        for _ in 0..20 {
            assert_eq!(rig.get("/").status, 200, "the neighbour is served");
        }
        rig.stop(Duration::from_millis(100));
    });
}

#[test]
fn each_client_has_an_allowance_of_its_own_that_a_reload_does_not_renew() {
    let backend = Backend::start(Does::Answer);
    let slow = rate::Policy { rate: "1/h".parse().unwrap(), burst: 3, keys_max: 1_000 };
    let rig = Rig::configured(&[&backend], |c| c.route[0].rate = Some(slow));
    let from =
        |client: &str| rig.client().call("GET", "/", &format!("X-Forwarded-For: {client}\r\n"), b"").unwrap();
    for _ in 0..3 {
        assert_eq!(from("203.0.113.9").status, 200);
    }
    let refused = from("203.0.113.9");
    assert_eq!(refused.status, 429);
    assert!(refused.code() == "rate_limited");
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3_000..=3_600).contains(&seconds), "{seconds}");
    assert_eq!(from("203.0.113.10").status, 200);
    assert!(rig.metrics().contains(r#"outcome="RateLimited"} 1"#), "{}", rig.metrics());

    rig.reconfigure(|c| c.try_timeout = Duration::from_secs(2));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(from("203.0.113.9").status, 429, "the same allowance as before");
}

#[test]
fn a_route_whose_rate_remembers_no_keys_has_one_allowance_for_all_its_clients() {
    let backend = Backend::start(Does::Answer);
    let slow = rate::Policy { rate: "1/h".parse().unwrap(), burst: 3, keys_max: 0 };
    let rig = Rig::configured(&[&backend], |c| c.route[0].rate = Some(slow));
    let from = |client: u8| {
        rig.client()
            .call("GET", "/", &format!("X-Forwarded-For: 203.0.113.{client}\r\n"), b"")
            .unwrap()
            .status
    };
    assert_eq!([1, 2, 3, 4, 5].map(from), [200, 200, 200, 429, 429]);
}

#[test]
fn at_ninety_per_cent_of_the_ports_places_a_route_that_matters_less_is_shed_first() {
    let (slow, well) = (Backend::start(Does::Hang), Backend::start(Does::Answer));
    let rig = Rig::configured(&[&well], |c| {
        c.in_flight_max = 10;
        c.probe.kind = seawall_balancer::config::ProbeKind::Tcp;
        c.route.push(route("slow.test", &[&slow]));
        c.route.push(Route { priority: Priority::P3, ..route("search.test", &[&well]) });
    });
    std::thread::scope(|s| {
        assert_eq!(to(&rig, "search.test").unwrap().status, 200, "calm");
        for _ in 0..9 {
            s.spawn(|| to(&rig, "slow.test"));
        }
        wait("nine are inside", || rig.in_flight() == 9);
        let search = to(&rig, "search.test").unwrap();
        assert_eq!(search.status, 503);
        assert!(search.code() == "shed");
        assert_eq!(rig.get("/").status, 200);
        rig.stop(Duration::from_millis(100));
    });
}
