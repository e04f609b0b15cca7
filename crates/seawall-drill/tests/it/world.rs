//! What the tests measure: a clock, and an HTTP server small enough to misbehave on purpose.

use std::net::SocketAddr;
use std::sync::Arc;

use seawall_policy::{Clock, Mono, Wall};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The machine's clock, counted from the start of the test.
pub(crate) struct RealClock(Instant);

impl Clock for RealClock {
    fn now(&self) -> Mono {
        Mono(self.0.elapsed().as_nanos() as u64)
    }

    fn wall(&self) -> Wall {
        Wall(0)
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(RealClock(Instant::now()))
}

/// Status line (further header lines may follow it) and body.
pub(crate) type Answer = (String, String);

pub(crate) fn says(status: &str, body: &str) -> Answer {
    (status.to_owned(), body.to_owned())
}

/// Answers every request, head and body as one text, with what `answer` says.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start<F, A>(answer: F) -> Server
    where
        F: Fn(String) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, answer.clone()));
            }
        });
        Server { address, _tasks: tasks }
    }
}

async fn serve<F, A>(mut stream: TcpStream, answer: F)
where
    F: Fn(String) -> A,
    A: Future<Output = Answer>,
{
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        while let Some(end) = seen.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let whole = end + 4 + length.map_or(0, |n| n.trim().parse().unwrap());
            if seen.len() < whole {
                break;
            }
            let request = String::from_utf8_lossy(&seen[..whole]).into_owned();
            seen.drain(..whole);
            let (status, body) = answer(request).await;
            let reply = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            if stream.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(n) if n > 0 => seen.extend_from_slice(&buffer[..n]),
            _ => return,
        }
    }
}
