//! Every fault of the proxy, seen by a client and a server with real sockets. Without the fault each test fails.

use std::io::ErrorKind;
use std::time::Duration;

use seawall_drill::fault::proxy::Proxy;
use seawall_drill::fault::{Stream, Toxic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::world::clock;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A client and a server that talk through a proxy, each holding its own end.
struct Pair {
    proxy: Proxy,
    client: TcpStream,
    server: TcpStream,
    /// Further connections find somebody, too.
    _listener: TcpListener,
}

impl Pair {
    async fn new() -> Pair {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap(), 7, clock()).await.unwrap();
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let mut pair = Pair { proxy, client, server, _listener: listener };
        // Proves the way in both directions, so that a fault below cannot be mistaken for a slow start.
        pair.up(b"hello").await;
        pair.down(b"hello").await;
        pair
    }

    async fn up(&mut self, data: &[u8]) -> Duration {
        through(&mut self.client, &mut self.server, data).await
    }

    async fn down(&mut self, data: &[u8]) -> Duration {
        through(&mut self.server, &mut self.client, data).await
    }
}

/// How long it takes until all of `data` has arrived.
async fn through(from: &mut TcpStream, to: &mut TcpStream, data: &[u8]) -> Duration {
    let start = Instant::now();
    let mut got = vec![0; data.len()];
    let (sent, received) = tokio::join!(from.write_all(data), to.read_exact(&mut got));
    sent.unwrap();
    received.unwrap();
    assert_eq!(got, data);
    start.elapsed()
}

async fn nothing_comes(stream: &mut TcpStream) -> bool {
    timeout(ms(150), stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn latency_delays_one_direction_of_an_open_connection() {
    let mut pair = Pair::new().await;
    pair.proxy.set(Stream::Up, Toxic::Latency { delay: ms(500), jitter: ms(20) });
    let (up, down) = (pair.up(b"x").await, pair.down(b"x").await);
    assert!(up >= ms(479), "{up:?}");
    assert!(down < ms(400), "{down:?}");
    pair.proxy.clear_all();
    assert!(pair.up(b"x").await < ms(400));
}

#[tokio::test]
async fn latency_is_a_delay_and_not_a_limit_on_throughput() {
    let mut pair = Pair::new().await;
    pair.proxy.set(Stream::Up, Toxic::Latency { delay: ms(100), jitter: ms(0) });
    // 40 reads of at most 16 KiB: one after the other they would take 4 s.
    let took = pair.up(&vec![7; 640 * 1024]).await;
    assert!((ms(100)..ms(2_000)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn jitter_keeps_the_order() {
    let mut pair = Pair::new().await;
    pair.proxy.set(Stream::Up, Toxic::Latency { delay: ms(5), jitter: ms(5) });
    for n in 0..20u8 {
        pair.client.write_all(&[n]).await.unwrap();
        tokio::time::sleep(ms(1)).await;
    }
    let mut got = [0; 20];
    pair.server.read_exact(&mut got).await.unwrap();
    assert!(got.is_sorted(), "{got:?}");
}

#[tokio::test]
async fn jitter_spreads_arrivals() {
    let mut pair = Pair::new().await;
    pair.proxy.set(Stream::Up, Toxic::Latency { delay: ms(100), jitter: ms(100) });
    let mut took = Vec::new();
    for _ in 0..12 {
        took.push(pair.up(b"x").await);
    }
    took.sort();
    // Seeded draws from 0 to 200 ms; without jitter all of them would take 100 ms or longer.
    assert!(took[1] < ms(90), "{took:?}");
    assert!(took[10] > ms(110), "{took:?}");
}

#[tokio::test]
async fn bandwidth_limits_bytes_per_second() {
    let mut pair = Pair::new().await;
    pair.proxy.set(Stream::Down, Toxic::Bandwidth { bytes_per_second: 100_000 });
    let took = pair.down(&vec![1; 40_000]).await;
    assert!((ms(290)..ms(3_000)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn slow_close_delays_only_the_end() {
    let mut pair = Pair::new().await;
    pair.proxy.set(Stream::Up, Toxic::SlowClose { delay: ms(500) });
    assert!(pair.up(b"x").await < ms(400));
    pair.client.shutdown().await.unwrap();
    let start = Instant::now();
    assert_eq!(pair.server.read(&mut [0; 8]).await.unwrap(), 0);
    assert!(start.elapsed() >= ms(490), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_black_hole_swallows_and_forgets() {
    let mut pair = Pair::new().await;
    pair.proxy.set(Stream::Up, Toxic::Timeout { after: ms(0) });
    pair.client.write_all(b"lost").await.unwrap();
    assert!(nothing_comes(&mut pair.server).await);
    pair.down(b"the other way works").await;
    pair.proxy.clear_all();
    // Exactly this arrives: what was swallowed stays swallowed.
    pair.up(b"heard").await;
}

#[tokio::test]
async fn a_black_hole_closes_after_its_time() {
    let mut pair = Pair::new().await;
    pair.proxy.set(Stream::Down, Toxic::Timeout { after: ms(200) });
    let start = Instant::now();
    assert_eq!(timeout(ms(5_000), pair.client.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
    assert!(start.elapsed() >= ms(190), "{:?}", start.elapsed());
}

#[tokio::test]
async fn reset_reaches_both_sides() {
    let mut pair = Pair::new().await;
    pair.proxy.set(Stream::Down, Toxic::ResetPeer { after: ms(50) });
    for side in [&mut pair.client, &mut pair.server] {
        let read = timeout(ms(5_000), side.read(&mut [0; 8])).await.unwrap();
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_new_connection_is_reset_too() {
    let pair = Pair::new().await;
    pair.proxy.set(Stream::Up, Toxic::ResetPeer { after: ms(0) });
    let mut client = TcpStream::connect(pair.proxy.address()).await.unwrap();
    let read = timeout(ms(5_000), client.read(&mut [0; 8])).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn slicer_cuts_into_small_pieces() {
    let mut pair = Pair::new().await;
    pair.proxy.set(Stream::Up, Toxic::Slicer { average: 10, variation: 5, delay: ms(5) });
    pair.client.write_all(&[9; 200]).await.unwrap();
    let (mut got, mut reads, mut largest) = (0, 0, 0);
    let mut buffer = [0; 200];
    while got < 200 {
        let n = pair.server.read(&mut buffer).await.unwrap();
        (got, reads, largest) = (got + n, reads + 1, largest.max(n));
    }
    assert!(reads >= 8 && largest < 200, "{reads} reads, the largest of {largest} bytes");
}

#[tokio::test]
async fn limit_data_closes_when_so_much_has_passed() {
    let mut pair = Pair::new().await;
    // Five bytes have passed as greeting.
    pair.proxy.set(Stream::Up, Toxic::LimitData { bytes: 105 });
    pair.client.write_all(&[1; 500]).await.unwrap();
    let mut got = Vec::new();
    let _ = timeout(ms(5_000), pair.server.read_to_end(&mut got)).await.unwrap();
    assert_eq!(got.len(), 100);
}

#[tokio::test]
async fn a_one_way_cut_holds_one_direction_and_loses_nothing() {
    let mut pair = Pair::new().await;
    pair.proxy.set(Stream::Up, Toxic::Cut);
    pair.client.write_all(b"kept").await.unwrap();
    assert!(nothing_comes(&mut pair.server).await);
    pair.down(b"answers still come").await;
    pair.proxy.clear(Stream::Up);
    let mut got = [0; 4];
    timeout(ms(5_000), pair.server.read_exact(&mut got)).await.unwrap().unwrap();
    assert_eq!(&got, b"kept");

    pair.proxy.set(Stream::Down, Toxic::Cut);
    pair.server.write_all(b"kept").await.unwrap();
    assert!(nothing_comes(&mut pair.client).await);
    pair.up(b"and the other way").await;
}

#[tokio::test]
async fn what_waits_in_the_proxy_is_bounded() {
    let mut pair = Pair::new().await;
    pair.proxy.set(Stream::Up, Toxic::Cut);
    let mut sent = 0usize;
    let chunk = vec![0; 64 * 1024];
    while let Ok(written) = timeout(ms(300), pair.client.write(&chunk)).await {
        sent += written.unwrap();
        assert!(sent < 64 << 20, "the proxy took 64 MiB without passing a byte on");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_resets_the_client() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = Proxy::start(gone, 1, clock()).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let read = timeout(ms(5_000), client.read(&mut [0; 8])).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
}
