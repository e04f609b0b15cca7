//! Who gets traffic, and how that changes while it flows.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use seawall_balancer::Config;
use seawall_balancer::config::Route;
use seawall_cluster::discovery;

use crate::backend::{Backend, Does};
use crate::rig::{Rig, route, wait};

#[test]
fn checks_take_a_backend_out_and_bring_it_back() {
    let (first, second) = (Backend::start(Does::Answer), Backend::start(Does::Answer));
    let rig = Rig::with(&[&first, &second]);
    first.set_ready(false);
    wait("it is down", || rig.shown(&first).health == "down");
    let shown = rig.shown(&first);
    assert_eq!(shown.why_not.as_deref(), Some("down: GET /-/ready answered 503"));
    let before = first.requests();
    for _ in 0..50 {
        assert_eq!(rig.get("/").text(), second.addr.port().to_string());
    }
    assert_eq!(first.requests(), before);
    first.set_ready(true);
    wait("it is asked again", || {
        rig.get("/");
        first.requests() > before
    });
}

#[test]
fn with_most_backends_down_health_is_ignored_and_everyone_can_see_it() {
    let backends = [Does::Answer, Does::Answer, Does::Answer].map(Backend::start);
    let rig = Rig::with(&backends.each_ref());
    assert_eq!(rig.ask("/-/ready").json()["state"], "ready");
    backends[0].set_ready(false);
    backends[1].set_ready(false);
    rig.until("panic", |pools| pools[0].mode == "panic");
    for backend in &backends {
        let before = backend.requests();
        wait("all of them are asked", || {
            rig.get("/");
            backend.requests() > before
        });
    }
    wait("the metric shows it", || rig.metrics().contains("seawall_balancer_pools_in_panic 1"));
    let ready = rig.ask("/-/ready");
    assert_eq!(ready.status, 200);
    assert!(ready.json()["state"].as_str().unwrap().contains("asks all backends"), "{}", ready.text());
    backends[0].set_ready(true);
    rig.until("back to normal", |pools| pools[0].mode == "normal");
    wait("ready again", || rig.ask("/-/ready").json()["state"] == "ready");
}

#[test]
fn a_newcomer_waits_for_its_first_check() {
    let (old, new) = (Backend::start(Does::Answer), Backend::start(Does::Answer));
    new.set_ready(false);
    let rig = Rig::with(&[&old]);
    rig.reconfigure(|c| c.route = vec![route("one.test", &[&old, &new])]);
    wait("it is known", || rig.pools()[0].backends.len() == 2);
    for _ in 0..50 {
        assert_eq!(rig.get("/").status, 200);
    }
    assert_eq!(new.requests(), 0);
    new.set_ready(true);
    wait("it is asked", || {
        rig.get("/");
        new.requests() > 0
    });
}

#[test]
fn a_hundred_changes_of_the_routes_fail_no_request_and_forget_nothing() {
    let (first, second) = (Backend::start(Does::Answer), Backend::start(Does::Answer));
    let rig = Rig::with(&[&first, &second]);
    let stop = AtomicBool::new(false);
    let requests: usize = std::thread::scope(|s| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (rig, stop) = (&rig, &stop);
                s.spawn(move || {
                    let mut client = rig.client();
                    (0..)
                        .take_while(|_| !stop.load(Ordering::SeqCst))
                        .inspect(|_| assert_eq!(client.get("/").unwrap().status, 200))
                        .count()
                })
            })
            .collect();
        for n in 0..100 {
            rig.reconfigure(|c| {
                let one = [&first, &second][n % 2];
                c.route = vec![route("one.test", &[one]), route(&format!("r{n}.test"), &[&first, &second])];
            });
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        stop.store(true, Ordering::SeqCst);
        clients.into_iter().map(|c| c.join().unwrap()).sum()
    });
    wait("no request is in flight", || rig.in_flight() == 0);
    let counted = rig.shown(&first).requests + rig.shown(&second).requests;
    assert_eq!(counted, requests as u64, "the counts have survived a hundred tables");
}

#[test]
fn a_service_is_found_in_the_registry_and_kept_when_that_dies() {
    let backend = Backend::start(Does::Answer);
    let entry = format!(
        r#"[{{"Node":{{"Node":"n","Address":"127.0.0.1"}},"Checks":[],"Service":{{"ID":"links-1","Service":"links",
        "Address":"127.0.0.1","Port":{},"Tags":[],"Meta":{{}}}}}}]"#,
        backend.addr.port()
    );
    let answer =
        format!("HTTP/1.1 200 OK\r\nx-consul-index: 7\r\ncontent-length: {}\r\n\r\n{entry}", entry.len());
    let mut registry = Backend::start(Does::Say(answer));
    let links = Route { host: "one.test".into(), service: Some("links".into()), ..Route::default() };
    let config = Config { route: vec![links], ..Config::default() };
    let discovery = discovery::Config { registry: vec![registry.addr], ..discovery::Config::default() };
    let rig = Rig::start(config, discovery);
    rig.until("it is found", |pools| pools[0].freshness == "fresh" && pools[0].backends.len() == 1);
    assert_eq!(rig.get("/").text(), backend.addr.port().to_string());
    registry.kill();
    rig.until("the registry is missed", |pools| pools[0].freshness == "cached");
    assert_eq!(rig.get("/").status, 200);
}

#[test]
fn who_waits_at_the_socket_during_a_start_is_not_refused() {
    let backend = Backend::start(Does::Answer);
    let port = backend.addr.port();
    let entry =
        format!(r#"[{{"Node":{{}},"Service":{{"ID":"links-1","Address":"127.0.0.1","Port":{port}}}}}]"#);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nx-consul-index: 7\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{entry}",
        entry.len()
    );
    // A registry that thinks for a moment.
    let registry = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = registry.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in registry.incoming().map_while(Result::ok) {
            std::thread::sleep(Duration::from_millis(50));
            drop(stream.read(&mut [0; 4096]));
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    let discovery = discovery::Config { registry: vec![addr], ..discovery::Config::default() };
    let rig = Rig::start(Config::default(), discovery);
    let first = rig.client().call("GET", "/", "Host: links.localhost\r\n", b"").unwrap();
    assert_eq!((first.status, first.text()), (200, port.to_string()));
}

#[test]
fn a_service_nobody_knows_is_answered_503_and_asked_for_later() {
    let discovery = discovery::Config {
        registry: vec!["127.0.0.1:1".parse().unwrap()],
        fixed: BTreeMap::new(),
        ..discovery::Config::default()
    };
    let rig = Rig::start(Config::default(), discovery);
    let answer = rig.client().call("GET", "/x", "Host: links.localhost\r\n", b"").unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (503, "no_backends"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    wait("it is shown", || rig.ask("/-/ready").text().contains("pool links has no backends"));
    assert_eq!((rig.pools()[0].mode.as_str(), rig.pools()[0].freshness.as_str()), ("empty", "unknown"));
}
