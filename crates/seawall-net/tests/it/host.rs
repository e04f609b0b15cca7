use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use seawall_net::admission::Admission;
use seawall_net::exchange::AllGeneral;
use seawall_net::host::{Drained, End, Plants, Running, State};
use seawall_net::listeners::{Exposure, Listeners, Purpose};
use seawall_net::ops::Ops;
use seawall_net::server::{Limits, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::host;

#[tokio::test]
async fn a_running_system_stops_when_asked_and_says_so() {
    let host = host();
    let (_state, states) = watch::channel(State::Ready);
    let tasks = host.tasks.clone();
    host.tasks.vital("work", async move {
        tasks.stopping().await;
        tasks.finish(End::Stopped(Drained { left: 0 }));
    });
    let running = Running::new(Vec::new(), states, &host.tasks);
    running.stop(Duration::from_secs(1));
    assert!(matches!(running.ended().await, End::Stopped(Drained { left: 0 })));
}

#[tokio::test]
async fn writes_through_an_exposed_address_want_a_token() {
    let mut host = host();
    let tokens = ["s3cret".to_owned()].into();
    host.listeners = Listeners::new(Exposure { insecure: true, tokens });
    let anywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let bound = host.listeners.tcp("test.listen", anywhere, Purpose::Api).unwrap();
    let addr = SocketAddr::from(([127, 0, 0, 1], bound.addr.port()));
    let (_state, states) = watch::channel(State::Ready);
    let server = Server {
        exchange: Arc::new(AllGeneral),
        general: axum::Router::new().fallback(async || "in"),
        admission: Admission::new(8, &host.metrics),
        limits: Limits::default(),
        ops: Some(Ops::new("test", states, &host)),
    };
    let serving = host.clone();
    host.tasks.vital("http", async move {
        let _ = server.serve(bound, &serving).await;
    });
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "200"),
        ("PUT / HTTP/1.1\r\nHost: a\r\n\r\n", "401"),
        ("PUT / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer wrong\r\n\r\n", "401"),
        ("PUT / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cret\r\n\r\n", "200"),
        ("PUT / HTTP/1.1\r\nHost: a\r\nX-Consul-Token: s3cret\r\n\r\n", "200"),
    ] {
        let mut peer = TcpStream::connect(addr).await.unwrap();
        peer.write_all(request.as_bytes()).await.unwrap();
        peer.shutdown().await.unwrap();
        let mut answer = String::new();
        peer.read_to_string(&mut answer).await.unwrap();
        assert_eq!(&answer[9..12], status, "{request}");
        assert_eq!(answer.contains("www-authenticate: Bearer"), status == "401", "{answer}");
    }
}

#[test]
fn an_unknown_fault_cannot_be_planted() {
    assert!(Plants::new(&["panic".to_owned()]).unwrap().has("panic"));
    assert!(Plants::new(&["flood".to_owned()]).unwrap_err().contains("flood"));
}
