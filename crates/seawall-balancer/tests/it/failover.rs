//! What clients notice of backends that die, break, hang and fail: as little as can be.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use seawall_balancer::config::ProbeKind;
use seawall_policy::breaker::Trip;

use crate::backend::{Backend, Does};
use crate::rig::{Rig, wait};

/// Breakers that judge nothing, where something else is looked at.
fn without_breakers(c: &mut seawall_balancer::Config) {
    c.breaker.trip = vec![Trip::External];
}

#[test]
fn nobody_notices_the_death_of_one_of_two() {
    let (first, second) = (Backend::start(Does::Answer), Backend::start(Does::Answer));
    let rig = Rig::with(&[&first, &second]);
    let mut pair = [first, second];
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|s| {
        for i in 0..8 {
            let (rig, stop, done) = (&rig, &stop, &done);
            s.spawn(move || {
                let mut client = rig.client();
                while !stop.load(Ordering::SeqCst) {
                    let answer = match i % 2 {
                        0 => client.get("/"),
                        _ => client.call("POST", "/", "Idempotency-Key: k\r\n", b"body"),
                    };
                    let answer = answer.unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        // Each dies twice and comes back, never both at once.
        for turn in 0..4 {
            let one = &mut pair[turn % 2];
            let more = done.load(Ordering::SeqCst) + 200;
            wait("it is in use", || done.load(Ordering::SeqCst) > more && one.requests() > 0);
            let addr = one.addr;
            one.kill();
            let more = done.load(Ordering::SeqCst) + 200;
            wait("the other one serves", || done.load(Ordering::SeqCst) > more);
            *one = Backend::at(addr, Does::Answer);
            rig.until("it is asked again", |pools| {
                pools[0].backends.iter().all(|b| b.health == "up" && b.ejected_until_ms.is_none())
            });
        }
        stop.store(true, Ordering::SeqCst);
    });
    wait("no request is in flight", || rig.in_flight() == 0);
}

#[test]
fn a_post_without_a_key_that_reached_a_backend_is_not_repeated() {
    for (does, status, code) in [
        (Does::Close, 502, Some("bad_gateway")),
        (Does::Hang, 504, Some("upstream_timeout")),
        (Does::Unavailable, 503, None),
    ] {
        let (first, second) = (Backend::start(does.clone()), Backend::start(does.clone()));
        let rig = Rig::configured(&[&first, &second], |c| {
            without_breakers(c);
            (c.connect_timeout, c.try_timeout) = (Duration::from_millis(100), Duration::from_millis(200));
        });
        for body in [&b""[..], b"body"] {
            let answer = rig.client().call("POST", "/", "", body).unwrap();
            assert_eq!(answer.status, status, "{does:?}");
            match code {
                Some(code) => assert_eq!(answer.code(), code),
                None => assert_eq!(answer.text(), "theirs", "its own words are better than ours"),
            }
        }
        assert_eq!(first.requests() + second.requests(), 2, "{does:?}");
    }
}

#[test]
fn a_post_without_a_key_is_not_repeated_when_a_connection_breaks_on_its_second_use() {
    for body in [&b""[..], b"body"] {
        let backend = Backend::start(Does::Answer);
        let rig = Rig::with(&[&backend]);
        assert_eq!(rig.get("/").status, 200);
        backend.does(Does::Close);
        let answer = rig.client().call("POST", "/", "", body).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (502, "bad_gateway"));
        assert_eq!(backend.requests(), 2, "the GET, and the POST once, with {} bytes", body.len());
    }
}

#[test]
fn a_request_that_was_never_connected_goes_elsewhere_whatever_it_is() {
    let (mut first, second) = (Backend::start(Does::Answer), Backend::start(Does::Answer));
    let rig = Rig::with(&[&first, &second]);
    first.kill();
    for _ in 0..20 {
        let answer = rig.client().call("POST", "/", "", b"body").unwrap();
        assert_eq!((answer.status, answer.text()), (200, second.addr.port().to_string()));
    }
    assert_eq!(second.requests(), 20);
    assert!(rig.shown(&first).why_not.is_some());
}

#[test]
fn what_one_backend_cannot_another_can() {
    for does in [Does::Close, Does::Reset, Does::Hang, Does::BadGateway, Does::Unavailable, Does::Half(100)] {
        let (bad, good) = (Backend::start(does.clone()), Backend::start(Does::Answer));
        let rig = Rig::configured(&[&bad, &good], |c| {
            without_breakers(c);
            (c.connect_timeout, c.try_timeout) = (Duration::from_millis(100), Duration::from_millis(200));
        });
        let mut client = rig.client();
        for n in 0.. {
            let answer = client.get("/").unwrap();
            assert_eq!((answer.status, answer.text()), (200, good.addr.port().to_string()), "{does:?}");
            if bad.requests() >= 2 {
                break;
            }
            assert!(n < 100, "{does:?} was never met");
        }
        assert!(rig.shown(&bad).failures >= 2, "{does:?}");
    }
}

#[test]
fn an_answer_that_breaks_off_after_it_was_begun_breaks_off_for_the_client_too() {
    let backend = Backend::start(Does::Half(1_000_000));
    let rig = Rig::with(&[&backend]);
    let error = rig.client().get("/").unwrap_err();
    assert!(matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset), "{error}");
    wait("it is counted", || rig.metrics().contains("requests_total{outcome=\"Broken\"} 1"));
    assert_eq!((rig.in_flight(), rig.shown(&backend).failures), (0, 1));
}

#[test]
fn when_all_fail_the_retries_stay_within_their_budget() {
    let backends = [Does::BadGateway, Does::BadGateway, Does::BadGateway].map(Backend::start);
    let rig = Rig::configured(&backends.each_ref(), without_breakers);
    std::thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                let mut client = rig.client();
                for _ in 0..250 {
                    let answer = client.get("/").unwrap();
                    assert_eq!((answer.status, answer.text().as_str()), (502, "theirs"));
                }
            });
        }
    });
    let tries: usize = backends.each_ref().map(Backend::requests).iter().sum();
    // One each, a fifth more, and the floor: 10 a second, a window of 10 s of which may be spent at once. The
    // hang guard of this test is three windows.
    assert!((2_000..=2_400 + 3 * 100).contains(&tries), "{tries}");
    assert!(rig.metrics().contains("retry_budget_exhausted_total"));
}

#[test]
fn with_nobody_left_the_client_is_told() {
    let mut backend = Backend::start(Does::Answer);
    let rig = Rig::configured(&[&backend], |c| {
        c.probe.kind = ProbeKind::Tcp;
        c.retry.backoff.base = Duration::from_millis(1);
    });
    assert_eq!(rig.get("/").status, 200);
    backend.kill();
    let answer = rig.get("/");
    assert_eq!((answer.status, answer.code().as_str()), (502, "bad_gateway"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}
