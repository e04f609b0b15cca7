use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use seawall_net::client::{Client, Payload};
use seawall_policy::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{HANG, host};

/// A backend that treats each connection with `serve`, and counts them.
pub(crate) async fn backend<F>(
    serve: impl Fn(TcpStream, usize) -> F + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    let tasks = host().tasks;
    let each = tasks.clone();
    tasks.vital("backend", async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            each.connection("backend", serve(stream, count.fetch_add(1, Ordering::SeqCst)));
        }
    });
    (addr, accepted)
}

/// Reads one head; false when the peer has gone.
pub(crate) async fn head(stream: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte).await {
            Ok(1) => seen.push(byte[0]),
            _ => return false,
        }
    }
    true
}

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn request() -> Request<Bytes> {
    Request::get("/").header("host", "test").body(Bytes::new()).unwrap()
}

fn client() -> Client {
    let host = host();
    Client::new(host.clock.clone(), host.tasks.clone())
}

#[tokio::test]
async fn a_connection_is_used_again_after_a_whole_answer() {
    let (addr, accepted) = backend(|mut s, _| async move {
        while head(&mut s).await {
            s.write_all(OK).await.unwrap();
        }
    })
    .await;
    let client = client();
    for _ in 0..5 {
        let answer = client.call(addr, request(), HANG, 100).await.unwrap();
        assert_eq!(answer.body().as_ref(), b"ok");
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_pooled_connection_that_died_is_replaced_without_a_word() {
    let (addr, accepted) = backend(|mut s, _| async move {
        head(&mut s).await;
        s.write_all(OK).await.unwrap();
        // Closed without a warning, as a restarting server does.
    })
    .await;
    let client = client();
    for _ in 0..3 {
        client.call(addr, request(), HANG, 100).await.unwrap();
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_fresh_connection_that_breaks_is_the_callers_to_judge() {
    let (addr, accepted) = backend(|mut s, _| async move {
        let _ = head(&mut s).await;
    })
    .await;
    let error = client().call(addr, request(), HANG, 100).await.unwrap_err();
    assert_eq!((error.outcome, error.reached), (Outcome::Unreachable, true));
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_refused_connection_reached_nobody() {
    let addr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = client().call(addr, request(), HANG, 100).await.unwrap_err();
    assert_eq!((error.outcome, error.reached), (Outcome::Unreachable, false));
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let (addr, _) = backend(|mut s, _| async move {
        head(&mut s).await;
        std::future::pending::<()>().await;
    })
    .await;
    let error = client().call(addr, request(), Duration::from_millis(100), 100).await.unwrap_err();
    assert_eq!((error.outcome, error.reached), (Outcome::Timeout, true));
}

#[tokio::test]
async fn an_answer_longer_than_allowed_is_refused() {
    let (addr, _) = backend(|mut s, _| async move {
        head(&mut s).await;
        s.write_all(OK).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    assert!(client().call(addr, request(), HANG, 1).await.is_err());
}

#[tokio::test]
async fn a_connection_with_an_unread_answer_is_never_used_again() {
    let (addr, accepted) = backend(|mut s, _| async move {
        while head(&mut s).await {
            s.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab").await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            s.write_all(b"cd").await.unwrap();
        }
    })
    .await;
    let client = client();
    let (head, _) = request().into_parts();
    let mut kept = Payload::Kept(Bytes::new());
    let answer = client.send(addr, head.clone(), &mut kept, HANG, HANG).await.unwrap();
    drop(answer);
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(client.send(addr, head, &mut kept, HANG, HANG).await.unwrap());
    assert_eq!(accepted.load(Ordering::SeqCst), 2);
}
