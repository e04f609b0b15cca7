//! A shedder in an axum service: with too much to do, messages are answered and searches are not.
//!
//! `cargo run -p seawall-policy --example shedder_axum`
//!
//! The service has ten places. The example fills nine of them with slow messages and then asks for one of each
//! kind: at 90 % of its places the service refuses searches (P3), and answers messages (P0).

#![expect(clippy::print_stdout, reason = "an example speaks by printing")]
#![expect(clippy::disallowed_methods, reason = "whoever uses the crate alone brings its own clock and tasks")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use seawall_policy::admission::{Ask, Chain, Parts, Places};
use seawall_policy::inflight::Limit;
use seawall_policy::priority::Priority;
use seawall_policy::shed::{Policy, Shedder};
use seawall_policy::{Mono, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone)]
struct Gate {
    chain: Arc<Chain>,
    start: Instant,
}

/// Asks the chain, then calls or refuses; it decides nothing itself.
async fn admit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let now = || Mono(gate.start.elapsed().as_nanos() as u64);
    let priority = match request.uri().path() {
        "/search" => Priority::P3,
        _ => Priority::P0,
    };
    // The pass holds the place; dropped half-way, it gives it back.
    match Chain::admit_to(gate.chain.clone(), &Ask::new(priority), now()) {
        Ok(pass) => {
            let response = next.run(request).await;
            let failed = response.status().is_server_error();
            pass.report(if failed { Outcome::Failed } else { Outcome::Success }, now());
            response
        }
        Err(refusal) => {
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], refusal.to_string()).into_response()
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let chain = Chain::new(Parts {
        shed: Some(Shedder::new(Policy::s0_chat())),
        places: Places::Fixed(Limit::new(10)),
        ..Parts::default()
    });
    let gate = Gate { chain: Arc::new(chain), start: Instant::now() };
    let app = Router::new()
        .route("/message", get(async || "delivered"))
        .route("/search", get(async || "found"))
        .route("/slow", get(async || tokio::time::sleep(Duration::from_millis(500)).await))
        .layer(middleware::from_fn_with_state(gate.clone(), admit));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });

    println!("calm:  /message {}", ask(addr, "/message").await?);
    println!("calm:  /search  {}", ask(addr, "/search").await?);
    for _ in 0..9 {
        tokio::spawn(ask(addr, "/slow"));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    println!("at 90 %: /message {}", ask(addr, "/message").await?);
    println!("at 90 %: /search  {}", ask(addr, "/search").await?);
    println!("{:?}", gate.chain.counts());
    Ok(())
}

/// The status line of an answer.
async fn ask(addr: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
