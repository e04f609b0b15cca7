//! Forwarding by an exchange that tries one backend after the other and writes down what it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use http::StatusCode;
use seawall_net::admission::Admission;
use seawall_net::exchange::{Exchange, Finish, Head, Next, Out, Step, Target, Upstream};
use seawall_net::host::Host;
use seawall_net::listeners::Purpose;
use seawall_net::problem::Problem;
use seawall_net::server::{Limits, Server};
use seawall_policy::Mono;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::client::{OK, backend, head};
use crate::{HANG, host};

/// Tries each backend in turn, whether or not the request can be sent again.
struct InTurn {
    backends: Vec<SocketAddr>,
    keep_body: bool,
    told: Arc<Mutex<Vec<String>>>,
}

impl InTurn {
    fn target(&self, turn: usize) -> Target {
        let respond = Duration::from_secs(2);
        Target { addr: self.backends[turn], connect: respond, respond, keep_body: self.keep_body }
    }
}

impl Exchange for InTurn {
    type Held = usize;

    fn on_head(&self, head: &Head<'_>, _: Mono, _: &mut Out) -> Next<usize> {
        if head.path == "/general" { Next::General } else { Next::Forward(self.target(0), 0) }
    }

    fn on_upstream(&self, turn: &mut usize, event: Upstream<'_>, _: Mono) -> Step {
        let (told, step) = match event {
            Upstream::Head { status, .. } => (format!("head {}", status.as_u16()), Step::Go),
            Upstream::Failed { outcome, reached, replayable } => {
                *turn += 1;
                let step = if *turn < self.backends.len() {
                    Step::Retry(self.target(*turn), Duration::ZERO)
                } else {
                    Step::Give(Problem::new(StatusCode::BAD_GATEWAY, "gave_up", "nobody is left"))
                };
                (format!("{} reached={reached} replayable={replayable}", outcome.as_str()), step)
            }
        };
        self.told.lock().unwrap().push(told);
        step
    }

    fn on_end(&self, _: usize, how: Finish, _: Mono) {
        self.told.lock().unwrap().push(format!("end {how:?}"));
    }
}

struct Rig {
    addr: SocketAddr,
    told: Arc<Mutex<Vec<String>>>,
    admission: Arc<Admission>,
    _host: Host,
}

impl Rig {
    fn start(backends: &[SocketAddr], keep_body: bool, deadline: Duration) -> Rig {
        let host = host();
        let at = SocketAddr::from(([127, 0, 0, 1], 0));
        let bound = host.listeners.tcp("test.listen", at, Purpose::Proxy).unwrap();
        let addr = bound.addr;
        let told = Arc::new(Mutex::new(Vec::new()));
        let admission = Admission::new(64, &host.metrics);
        let server = Server {
            exchange: Arc::new(InTurn { backends: backends.to_vec(), keep_body, told: told.clone() }),
            general: Router::new().route("/general", post(async |body: Bytes| body)),
            admission: admission.clone(),
            limits: Limits { deadline, ..Limits::default() },
            ops: None,
        };
        let serving = host.clone();
        host.tasks.vital("http", async move {
            let _ = server.serve(bound, &serving).await;
        });
        Rig { addr, told, admission, _host: host }
    }

    /// Sends bytes, keeps the connection open, and returns what comes back before the server closes it.
    async fn say(&self, bytes: &[u8]) -> String {
        let mut peer = TcpStream::connect(self.addr).await.unwrap();
        peer.write_all(bytes).await.unwrap();
        let mut all = Vec::new();
        timeout(HANG, peer.read_to_end(&mut all)).await.expect("the server hangs").unwrap();
        String::from_utf8_lossy(&all).into_owned()
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

async fn answering_after(pause: Duration) -> SocketAddr {
    let serve = move |mut s: TcpStream, _| async move {
        while head(&mut s).await {
            tokio::time::sleep(pause).await;
            drop(s.write_all(OK).await);
        }
    };
    backend(serve).await.0
}

async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_clients_own_impatience_is_not_held_against_the_backend() {
    let slow = answering_after(Duration::from_millis(500)).await;
    let rig = Rig::start(&[slow, slow], true, Duration::from_secs(5));
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nx-seawall-deadline-ms: 50\r\n\r\n";
    let answer = rig.say(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 504") && answer.contains("deadline_exceeded"), "{answer}");
    assert_eq!(rig.told(), ["end Abandoned"]);
}

#[tokio::test]
async fn an_upload_that_stalls_or_breaks_is_the_clients_doing() {
    let quick = answering_after(HANG).await;
    let half = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100000\r\n\r\nhalf";
    let rig = Rig::start(&[quick, quick], true, Duration::from_millis(300));
    let answer = rig.say(half).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer}");

    let rig = Rig::start(&[quick, quick], true, HANG);
    let mut peer = TcpStream::connect(rig.addr).await.unwrap();
    peer.write_all(half).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    peer.shutdown().await.unwrap();
    let mut answer = String::new();
    timeout(HANG, peer.read_to_string(&mut answer)).await.expect("the server hangs").unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("incomplete_body"), "{answer}");
    assert_eq!(rig.told(), ["end Abandoned"]);
}

#[tokio::test]
async fn a_body_that_is_gone_is_never_sent_again() {
    let breaks = backend(|mut s, _| async move {
        let _ = head(&mut s).await;
        drop(s.read_exact(&mut [0; 5]).await);
    })
    .await
    .0;
    let (second, asked) = backend(|mut s, _| async move {
        let _ = head(&mut s).await;
    })
    .await;
    let rig = Rig::start(&[breaks, second], false, HANG);
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
    assert!(rig.say(request).await.starts_with("HTTP/1.1 502"));
    assert_eq!(rig.told(), ["unreachable reached=true replayable=false", "end Abandoned"]);
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_streamed_body_goes_elsewhere_when_nobody_took_the_connection() {
    let echo = backend(|mut s, _| async move {
        let _ = head(&mut s).await;
        let mut body = vec![0; 100_000];
        s.read_exact(&mut body).await.unwrap();
        s.write_all(OK).await.unwrap();
    })
    .await
    .0;
    let rig = Rig::start(&[nobody().await, echo], true, HANG);
    let mut request =
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n".to_vec();
    request.resize(request.len() + 100_000, b'x');
    assert!(rig.say(&request).await.ends_with("ok"));
    assert_eq!(rig.told(), ["unreachable reached=false replayable=true", "head 200", "end Done(200)"]);
}

#[tokio::test]
async fn a_body_that_trickles_in_gives_its_place_back() {
    let rig = Rig::start(&[], true, Duration::from_millis(300));
    let mut peer = TcpStream::connect(rig.addr).await.unwrap();
    peer.write_all(b"POST /general HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n").await.unwrap();
    let mut dripped = 0;
    let dripping = async {
        while peer.write_all(b"x").await.is_ok() && dripped < 500 {
            dripped += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let emptied = async {
        while rig.admission.in_flight() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        while rig.admission.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = dripping => panic!("the server let it drip"),
        () = emptied => {}
    }
}

#[tokio::test]
async fn content_that_looks_like_a_refusal_passes_unchanged() {
    const LOOKALIKE: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    // Too large to be held back, and its last piece arrives alone.
    let pieces = backend(|mut s, _| async move {
        let _ = head(&mut s).await;
        let length = 20_000 + LOOKALIKE.len();
        let begin = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{}", "x".repeat(20_000));
        s.write_all(begin.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        s.write_all(LOOKALIKE.as_bytes()).await.unwrap();
    })
    .await
    .0;
    let rig = Rig::start(&[pieces], true, HANG);
    let answer = rig.say(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with(&format!("x{LOOKALIKE}")), "{}", &answer[answer.len().saturating_sub(300)..]);
}
