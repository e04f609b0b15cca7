//! What passes, and in what shape.

use std::io::{Read, Write};
use std::time::Duration;

use seawall_net::host::End;

use seawall_policy::priority::Priority;

use crate::backend::{Backend, Does};
use crate::client::Client;
use crate::rig::{Rig, wait};

#[test]
fn a_request_and_its_answer_pass_without_what_concerns_one_connection() {
    let says = "HTTP/1.1 201 Created\r\ncontent-length: 2\r\nx-kept: yes\r\nconnection: x-hop\r\nx-hop: 1\r\n\
                keep-alive: timeout=9\r\nserver: theirs\r\n\r\nok";
    let backend = Backend::start(Does::Say(says.to_owned()));
    let rig = Rig::with(&[&backend]);
    let headers = "Connection: keep-alive, X-Secret\r\nX-Secret: 1\r\nTE: trailers\r\nX-Forwarded-For: 10.0.0.1\r\n\
                   Upgrade: h2c\r\nProxy-Connection: keep-alive\r\nX-Seen: yes\r\n";
    let answer = rig.client().call("PUT", "/a%2Fb?q=1", headers, b"hello").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (201, "ok"));
    assert_eq!((answer.header("x-kept"), answer.header("server")), (Some("yes"), Some("theirs")));
    for gone in ["x-hop", "keep-alive", "connection"] {
        assert_eq!(answer.header(gone), None, "{}", answer.head);
    }
    let seen = backend.last();
    assert_eq!(seen.body, b"hello");
    let head = seen.head.to_ascii_lowercase();
    for there in [
        "put /a%2fb?q=1 http/1.1\r\n",
        "host: one.test\r\n",
        "x-seen: yes\r\n",
        "x-forwarded-for: 10.0.0.1, 127.0.0.1\r\n",
        "x-seawall-attempt: 1\r\n",
        "x-seawall-deadline-ms: ",
    ] {
        assert!(head.contains(there), "{there} is missing from {head}");
    }
    for gone in ["x-secret", "\r\nte:", "\r\nupgrade:", "proxy-connection", "\r\nconnection:"] {
        assert!(!head.contains(gone), "{gone} is still in {head}");
    }
}

#[test]
fn a_head_has_the_length_and_no_body_and_the_connection_goes_on() {
    let backend = Backend::start(Does::Answer);
    let rig = Rig::with(&[&backend]);
    let mut client = rig.client();
    for _ in 0..3 {
        let head = client.call("HEAD", "/", "", b"").unwrap();
        let len = backend.addr.port().to_string().len().to_string();
        assert_eq!((head.status, head.header("content-length")), (200, Some(len.as_str())));
        assert_eq!(client.get("/").unwrap().text(), backend.addr.port().to_string());
    }
    assert_eq!(backend.carried(), 1);
}

#[test]
fn a_connection_to_a_backend_is_used_again() {
    let backend = Backend::start(Does::Answer);
    let rig = Rig::with(&[&backend]);
    let mut client = rig.client();
    for _ in 0..100 {
        assert_eq!(client.get("/").unwrap().status, 200);
    }
    // Also by another client.
    assert_eq!(rig.get("/").status, 200);
    assert_eq!((backend.requests(), backend.carried()), (101, 1));
}

#[test]
fn a_connection_is_used_again_after_a_chunked_answer() {
    let backend = Backend::start(Does::Chunked(100));
    let rig = Rig::with(&[&backend]);
    let mut client = rig.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").unwrap().body.len(), 100);
    }
    assert_eq!((backend.requests(), backend.carried()), (20, 1));
}

#[test]
fn large_bodies_pass_both_ways() {
    let backend = Backend::start(Does::Chunked(3_000_000));
    let rig = Rig::with(&[&backend]);
    let body = vec![b'u'; 2_000_000];
    let mut client = rig.client();
    let answer = client.call("POST", "/", "", &body).unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 3_000_000));
    assert!(backend.last().body == body);
    // And in chunks.
    let stream = client.0.get_mut();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: one.test\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    for _ in 0..100 {
        stream.write_all(format!("2710\r\n{}\r\n", "c".repeat(10_000)).as_bytes()).unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(client.receive(false).unwrap().body.len(), 3_000_000);
    assert_eq!(backend.last().body.len(), 1_000_000);
}

#[test]
fn sixty_four_clients_at_once_are_served_and_nothing_stays_behind() {
    let backends = [Does::Answer, Does::Answer, Does::Answer].map(Backend::start);
    let rig = Rig::with(&backends.each_ref());
    std::thread::scope(|s| {
        for i in 0..64 {
            let rig = &rig;
            s.spawn(move || {
                let mut client = rig.client();
                for n in 0..25 {
                    let answer = client.get(&format!("/{i}/{n}")).unwrap();
                    assert_eq!(answer.status, 200);
                }
            });
        }
    });
    let requests = backends.each_ref().map(Backend::requests);
    assert_eq!(requests.iter().sum::<usize>(), 64 * 25);
    assert!(requests.iter().all(|n| *n > 200), "{requests:?}");
    wait("no request is in flight", || rig.in_flight() == 0);
    assert!(rig.metrics().contains("seawall_balancer_requests_total{outcome=\"Passed\"} 1600"));
}

#[test]
fn a_client_that_leaves_in_the_middle_of_an_answer_gives_its_place_back() {
    let backend = Backend::start(Does::Trickle);
    let rig = Rig::with(&[&backend]);
    let mut clients: Vec<Client> = (0..8).map(|_| rig.client()).collect();
    for client in &mut clients {
        client.send("GET", "/", "", b"").unwrap();
        client.0.read_exact(&mut [0; 64]).unwrap();
    }
    assert_eq!(rig.in_flight(), 8);
    drop(clients);
    wait("the places are back", || rig.in_flight() == 0);
    assert!(rig.metrics().contains("outcome=\"Abandoned\"} 8"));
}

#[test]
fn a_client_that_leaves_a_silent_backend_gives_its_place_back_within_the_tries() {
    let backend = Backend::start(Does::Hang);
    let rig = Rig::configured(&[&backend], |c| {
        (c.connect_timeout, c.try_timeout) = (Duration::from_millis(100), Duration::from_millis(300));
    });
    let mut client = rig.client();
    client.send("GET", "/", "", b"").unwrap();
    wait("the backend has it", || backend.requests() == 1);
    assert_eq!(rig.in_flight(), 1);
    drop(client);
    wait("the place is back", || rig.in_flight() == 0);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what is judged is that nobody waits for the backend")]
fn nobody_works_for_a_client_that_has_left() {
    let backend = Backend::start(Does::Slow(Duration::from_secs(5)));
    let rig = Rig::with(&[&backend]);
    let mut client = rig.client();
    client.send("GET", "/", "", b"").unwrap();
    wait("the backend has it", || rig.in_flight() == 1);
    drop(client);
    let begun = std::time::Instant::now();
    wait("the place is given back", || rig.in_flight() == 0);
    assert!(begun.elapsed() < Duration::from_secs(2), "only when the backend had answered");
}

#[test]
fn a_stop_lets_what_was_begun_finish() {
    let backend = Backend::start(Does::Slow(Duration::from_millis(300)));
    let rig = Rig::with(&[&backend]);
    let mut client = rig.client();
    client.send("GET", "/", "", b"").unwrap();
    wait("the backend has it", || backend.requests() == 1);
    rig.stop(Duration::from_secs(5));
    assert_eq!(client.receive(false).unwrap().status, 200);
    let End::Stopped(drained) = rig.ended() else { panic!("another end") };
    assert_eq!(drained.left, 0);
}

#[test]
fn what_a_request_says_of_its_caller_reaches_the_backend() {
    let backend = Backend::start(Does::Answer);
    let rig = Rig::configured(&[&backend], |c| c.route[0].priority = Priority::P1);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = format!(
        "traceparent: {trace}\r\ngrpc-timeout: 2S\r\nx-seawall-attempt: 3\r\nx-seawall-priority: p0\r\n"
    );
    assert_eq!(rig.client().call("GET", "/", &headers, b"").unwrap().status, 200);
    let seen = backend.last().head.to_ascii_lowercase();
    let passed = format!("traceparent: {trace}\r\n");
    // The route's priority, which a client cannot raise; and the try it was told.
    for line in [&passed, "grpc-timeout: 2s\r\n", "x-seawall-attempt: 3\r\n", "x-seawall-priority: p1\r\n"] {
        assert!(seen.contains(line), "{line:?} is missing from {seen}");
    }
    let left: u32 =
        seen.split("x-seawall-deadline-ms: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    assert!((1_000..=2_000).contains(&left), "{left} ms of gRPC's two seconds");
}
