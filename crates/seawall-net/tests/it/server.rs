use std::time::Duration;

use proptest::prelude::*;
use seawall_net::host::End;
use seawall_net::server::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{HANG, Port};

fn port() -> Port {
    Port::start(64, Limits::default())
}

#[tokio::test]
async fn the_fast_path_and_the_router_both_answer() {
    let port = port();
    assert!(port.get("/fast").await.starts_with("HTTP/1.1 302"));
    assert!(port.get("/slow").await.ends_with("slow"));
    assert!(port.get("/fast").await.contains("server: seawall"));
}

#[tokio::test]
async fn the_fast_path_passes_the_same_gate_as_the_router() {
    let port = Port::start(1, Limits::default());
    let slow = port.get("/slow");
    let fast = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        (port.get("/fast").await, port.get("/-/ready").await)
    };
    let (slow, (fast, ready)) = tokio::join!(slow, fast);
    assert!(slow.ends_with("slow"));
    assert!(fast.starts_with("HTTP/1.1 503") && fast.contains("retry-after: 1"), "{fast}");
    assert!(fast.contains(r#""code":"overloaded""#), "{fast}");
    assert!(ready.starts_with("HTTP/1.1 200"), "our own pages stay readable: {ready}");
    assert!(port.get("/fast").await.starts_with("HTTP/1.1 302"), "the place was given back");
}

#[tokio::test]
async fn ten_thousand_headers_are_refused_in_words() {
    let mut request = b"GET /fast HTTP/1.1\r\nHost: test\r\n".to_vec();
    for i in 0..10_000 {
        request.extend_from_slice(format!("X-{i}: y\r\n").as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    let answer = port().say(&request).await;
    assert!(answer.starts_with("HTTP/1.1 431") && answer.contains("head_too_large"), "{answer}");
}

#[tokio::test]
async fn an_endless_head_is_cut_off() {
    let mut request = b"GET /fast HTTP/1.1\r\nHost: test\r\nX: ".to_vec();
    request.resize(4 << 20, b'y');
    let answer = port().say(&request).await;
    assert!(answer.starts_with("HTTP/1.1 431") && answer.contains("head_too_large"), "{answer}");
}

#[tokio::test]
async fn a_client_that_stopped_sending_still_gets_its_answer() {
    // `say` closes the sending half before the slow answer is ready.
    assert!(port().get("/slow").await.ends_with("slow"));
}

#[tokio::test]
async fn odd_targets_and_hosts_are_refused() {
    let port = port();
    for (request, code) in [
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "method_not_allowed"),
        ("GET /fast HTTP/1.1\r\n\r\n", "bad_host"),
        ("GET /fast HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "bad_host"),
        ("GET /fast HTTP/1.1\r\nHost: a\r\nx-seawall-deadline-ms: soon\r\n\r\n", "bad_deadline"),
        ("GET /fast HTTP/1.1\r\nHost: a\r\ngrpc-timeout: 5 s\r\n\r\n", "bad_deadline"),
        ("GET /fast HTTP/1.1\r\nHost: a\r\nx-seawall-priority: urgent\r\n\r\n", "bad_priority"),
    ] {
        let answer = port.say(request.as_bytes()).await;
        assert!(answer.contains(code), "{request:?} → {answer:?}");
    }
    let authority = port.say(b"GET ! HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(authority.starts_with("HTTP/1.1 400") && authority.contains(r#""code":""#), "{authority:?}");
    let long = port.get(&format!("/{}", "x".repeat(17 * 1024))).await;
    assert!(long.starts_with("HTTP/1.1 414"), "{long:?}");
}

#[tokio::test]
async fn a_panicking_handler_costs_one_connection() {
    let port = port();
    assert_eq!(port.get("/panic").await, "");
    assert!(port.get("/fast").await.starts_with("HTTP/1.1 302"));
    assert_eq!(port.host.tasks.connection_panics(), 1);
    assert!(port.get("/-/ready").await.contains(r#""connection_panics":1"#));
}

#[tokio::test]
async fn what_was_begun_is_finished_after_a_stop() {
    let port = port();
    let slow = port.get("/slow");
    let stop = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        port.host.tasks.stop(Duration::from_secs(4));
        port.get("/-/ready").await
    };
    let (slow, ready) = tokio::join!(slow, stop);
    assert!(slow.ends_with("slow"), "{slow}");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("draining"), "{ready}");
    let end = timeout(HANG, port.host.tasks.ended()).await.unwrap();
    assert!(matches!(end, End::Stopped(d) if d.left == 0), "{end:?}");
}

#[tokio::test]
async fn a_drain_says_how_many_were_cut() {
    let port = port();
    let mut stuck = TcpStream::connect(port.addr).await.unwrap();
    stuck.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    port.host.tasks.stop(Duration::from_millis(400));
    let end = timeout(HANG, port.host.tasks.ended()).await.unwrap();
    assert!(matches!(end, End::Stopped(d) if d.left == 1), "{end:?}");
}

#[tokio::test]
async fn a_silent_client_is_dropped() {
    let port = Port::start(64, Limits { head_timeout: Duration::from_millis(200), ..Limits::default() });
    let mut silent = TcpStream::connect(port.addr).await.unwrap();
    silent.write_all(b"GET /fast HT").await.unwrap();
    let mut all = Vec::new();
    drop(timeout(HANG, silent.read_to_end(&mut all)).await.expect("kept for ever"));
}

#[tokio::test]
async fn more_connections_than_allowed_wait_their_turn() {
    let port = Port::start(64, Limits { connections_max: 1, ..Limits::default() });
    let (a, b) = tokio::join!(port.get("/slow"), port.get("/slow"));
    assert!(a.ends_with("slow") && b.ends_with("slow"));
}

#[tokio::test]
async fn the_pages_every_system_has() {
    let port = port();
    assert!(port.get("/-/healthy").await.ends_with("ok\n"));
    let ready = port.get("/-/ready").await;
    assert!(ready.contains(r#""system":"test","ready":true,"state":"ready","restarts":0"#), "{ready}");
    assert!(port.get("/metrics").await.contains(r#"seawall_test_requests_refused_total{reason="full"} 0"#));
    assert!(port.say(b"POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await.starts_with("HTTP/1.1 405"));
}

proptest! {
    #[test]
    fn fuzz_no_bytes_harm_the_server(noise in proptest::collection::vec(any::<u8>(), 0..600), plausible: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let port = port();
            let mut bytes = if plausible { b"GET /fast HTTP/1.1\r\nHost: a\r\n".to_vec() } else { Vec::new() };
            bytes.extend_from_slice(&noise);
            port.say(&bytes).await;
            prop_assert!(port.get("/fast").await.starts_with("HTTP/1.1 302"));
            prop_assert_eq!(port.host.tasks.connection_panics(), 0);
            Ok(())
        })?;
    }
}
