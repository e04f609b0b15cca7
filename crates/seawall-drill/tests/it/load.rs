//! Open-loop load against a server that stalls, fails, and fills up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use seawall_drill::load::{Plan, Report, Schedule, Spacing, Stop, Stopper, http::Repeated, run};
use seawall_drill::{CallError, Client};
use seawall_policy::Clock;

use crate::world::{Server, clock, says};

const SECOND: Duration = Duration::from_secs(1);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Answers at once, except that from 300 ms to 800 ms after its start nothing is answered at all.
async fn stalling(clock: Arc<dyn Clock>) -> Server {
    let began = clock.now();
    Server::start(move |_| {
        let past = clock.now().since(began);
        async move {
            if (ms(300)..ms(800)).contains(&past) {
                tokio::time::sleep(ms(800) - past).await;
            }
            says("200 OK", "")
        }
    })
    .await
}

async fn load(server: &Server, schedule: Schedule, in_flight_max: usize, clock: Arc<dyn Clock>) -> Report {
    let url = format!("http://{}/", server.address);
    let request = Repeated::new(Method::GET, &url, Vec::new(), Bytes::new(), SECOND).unwrap();
    let plan = Plan { schedule, target: server.address, in_flight_max, connect_timeout: SECOND };
    run(&plan, Arc::new(request), clock, Stop::never()).await
}

fn even(per_second: f64, lasting: Duration) -> Schedule {
    Schedule::constant(per_second, lasting, 1).unwrap().spaced(Spacing::Even)
}

fn get() -> Request<Full<Bytes>> {
    Request::get("/").header("host", "localhost").body(Full::default()).unwrap()
}

#[tokio::test]
async fn a_stall_is_felt_by_everyone_who_would_have_come_meanwhile() {
    let clock = clock();
    let server = stalling(clock.clone()).await;
    let report = load(&server, even(200.0, ms(1_200)), 256, clock).await;
    assert_eq!((report.unsent, report.errors.len()), (0, 0), "{}", report.table());
    // Half a second of stall at 200 a second: about 100 of 240 waited, 50 of them longer than 250 ms.
    assert!(report.latency.p90_ms > 300.0 && report.latency.max_ms > 400.0, "{}", report.table());
}

#[tokio::test]
async fn a_client_that_waits_for_answers_hardly_notices_the_same_stall() {
    let clock = clock();
    let server = stalling(clock.clone()).await;
    let began = clock.now();
    let mut client = Client::new(server.address, SECOND);
    let mut latencies = Vec::new();
    while clock.now().since(began) < ms(1_200) {
        let start = clock.now();
        client.send(get(), SECOND).await.unwrap();
        latencies.push(clock.now().since(start));
        tokio::time::sleep(ms(5)).await;
    }
    let slow = latencies.iter().filter(|l| **l > ms(250)).count();
    // One, unless this machine stalled as well.
    assert!((1..=3).contains(&slow), "{slow} slow samples of {}", latencies.len());
}

#[tokio::test]
async fn an_arrival_that_finds_no_place_is_counted() {
    let clock = clock();
    let server = Server::start(|_| async {
        tokio::time::sleep(ms(200)).await;
        says("200 OK", "")
    })
    .await;
    let report = load(&server, even(100.0, ms(500)), 2, clock).await;
    assert_eq!(report.planned, 50);
    assert_eq!(report.planned, report.sent + report.unsent);
    assert!(report.unsent > 30 && report.ok == report.sent, "{}", report.table());
    let by_second: u64 = report.seconds.iter().map(|s| s.ok + s.errors + s.unsent).sum();
    assert_eq!(by_second, report.planned);
    assert!(report.success_ratio() < 0.5);
}

#[tokio::test]
async fn failures_are_counted_by_kind() {
    let clock = clock();
    let n = Arc::new(AtomicU64::new(0));
    let server = Server::start(move |_| {
        let n = n.fetch_add(1, Ordering::Relaxed);
        async move {
            match n % 4 {
                0 => says("503 Service Unavailable", ""),
                1 => std::future::pending().await,
                _ => says("200 OK", ""),
            }
        }
    })
    .await;
    let report = load(&server, even(100.0, ms(400)), 256, clock).await;
    assert_eq!((report.errors["status 503"], report.errors["timeout"], report.ok), (10, 10, 20));
    assert!(report.latency.max_ms >= 1_000.0, "who gave up has waited too");
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap().errors, report.errors);
    assert!(report.table().contains("error: timeout: 10"));
}

#[tokio::test]
async fn a_stopper_ends_a_load_before_its_schedule() {
    let clock = clock();
    let server = Server::start(|_| async { says("200 OK", "") }).await;
    let url = format!("http://{}/", server.address);
    let request = Repeated::new(Method::GET, &url, Vec::new(), Bytes::new(), SECOND).unwrap();
    let schedule = even(100.0, 3_600 * SECOND);
    let plan = Plan { schedule, target: server.address, in_flight_max: 8, connect_timeout: SECOND };
    let (stopper, stop) = Stopper::new();
    let stopping = async {
        tokio::time::sleep(ms(200)).await;
        stopper.stop();
    };
    let (report, ()) = tokio::join!(run(&plan, Arc::new(request), clock, stop), stopping);
    assert!((1..200).contains(&report.ok), "{}", report.ok);
}

#[tokio::test]
async fn a_refused_connection_and_a_broken_one_are_told_apart() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = Client::new(gone, SECOND).send(get(), SECOND).await;
    assert!(matches!(refused, Err(CallError::Connect { .. })), "{refused:?}");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Client::new(listener.local_addr().unwrap(), SECOND);
    let (broken, _) = tokio::join!(client.send(get(), SECOND), async { drop(listener.accept().await) });
    assert!(matches!(broken, Err(CallError::Broken(_))), "{broken:?}");
}

#[tokio::test]
async fn a_kept_connection_found_closed_is_replaced() {
    let closes = Server::start(|_| async { says("200 OK\r\nconnection: close", "x") }).await;
    let mut client = Client::new(closes.address, SECOND);
    for _ in 0..3 {
        assert_eq!(client.send(get(), SECOND).await.unwrap().body(), "x");
    }
}
