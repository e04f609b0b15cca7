//! The gate on a real port: who is refused first, who waits, and what they are told.

use std::time::{Duration, Instant};

use seawall_net::admission::Admission;
use seawall_net::load;
use seawall_net::server::Limits;
use seawall_policy::shed;

use crate::{HANG, Port};

/// Ten places, and the chat document's steps.
fn port() -> Port {
    Port::behind(Limits::default(), |host| {
        let admission = Admission::shedding(10, shed::Policy::s0_chat(), &host.metrics);
        load::watch(&admission, host);
        admission
    })
}

async fn ask(port: &Port, path: &str, priority: &str) -> String {
    port.say(format!("GET {path} HTTP/1.1\r\nHost: a\r\nx-seawall-priority: {priority}\r\n\r\n").as_bytes())
        .await
}

/// Runs `then` while nine of the ten places are taken.
async fn at_nine_of_ten<T>(port: &Port, then: impl Future<Output = T>) -> T {
    let nine = async { tokio::join!(port.get("/slow"), port.get("/slow"), port.get("/slow")) };
    let more = async { tokio::join!(port.get("/slow"), port.get("/slow"), port.get("/slow")) };
    let rest = async { tokio::join!(port.get("/slow"), port.get("/slow"), port.get("/slow")) };
    let then = async {
        tokio::time::sleep(Duration::from_millis(80)).await;
        then.await
    };
    tokio::time::timeout(HANG, async { tokio::join!(nine, more, rest, then).3 }).await.unwrap()
}

#[tokio::test]
async fn at_ninety_per_cent_search_is_refused_and_messages_are_answered() {
    let port = port();
    let (search, message) = at_nine_of_ten(&port, async {
        (port.say(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n").await, port.get("/fast").await)
    })
    .await;
    assert!(search.starts_with("HTTP/1.1 503") && search.contains(r#""code":"shed""#), "{search}");
    assert!(search.to_ascii_lowercase().contains("retry-after: 1"), "{search}");
    assert!(message.starts_with("HTTP/1.1 302"), "{message}");
    let metrics = port.get("/metrics").await;
    assert!(metrics.contains(r#"seawall_test_requests_refused_total{reason="shed"} 1"#), "{metrics}");
    assert!(
        port.say(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n").await.starts_with("HTTP/1.1 405"),
        "calm again"
    );
}

#[tokio::test]
async fn at_ninety_per_cent_typing_waits_a_quarter_of_a_second_and_is_answered() {
    let port = port();
    #[expect(clippy::disallowed_methods, reason = "the test's own stop-watch")]
    let (waited, answer) = at_nine_of_ten(&port, async {
        let start = Instant::now();
        let answer = ask(&port, "/fast", "p2").await;
        (start.elapsed(), answer)
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
    assert!(waited >= Duration::from_millis(250), "{waited:?}");
}

#[tokio::test]
async fn a_caller_can_lower_its_own_priority_and_not_raise_it() {
    let port = port();
    let (lowered, raised) =
        at_nine_of_ten(&port, async { (ask(&port, "/fast", "p4").await, ask(&port, "/echo", "p0").await) })
            .await;
    assert!(lowered.starts_with("HTTP/1.1 503"), "{lowered}");
    assert!(raised.starts_with("HTTP/1.1 503"), "{raised}");
}

#[tokio::test]
async fn a_request_whose_deadline_has_passed_is_not_begun() {
    let port = port();
    for header in ["x-seawall-deadline-ms: 0", "grpc-timeout: 0m"] {
        let late = port.say(format!("GET /fast HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n").as_bytes()).await;
        assert!(late.starts_with("HTTP/1.1 504") && late.contains("deadline_exceeded"), "{late}");
    }
}

#[tokio::test]
async fn the_load_is_published() {
    let port = port();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let metrics = port.get("/metrics").await;
    assert!(metrics.contains("seawall_test_load_ratio"), "{metrics}");
}
