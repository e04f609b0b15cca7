//! A breaker around a client: stop calling a server that keeps failing, and test it gently.
//!
//! `cargo run -p seawall-policy --example breaker`
//!
//! A server on a free port answers, dies, and comes back. The client asks ten times a second. Watch it stop asking
//! while the server is down, and look again by single probes.

#![expect(clippy::print_stdout, reason = "an example speaks by printing")]
#![expect(
    clippy::disallowed_methods,
    reason = "whoever uses the crate alone brings its own clock and threads"
)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use seawall_policy::breaker::{Breaker, HalfOpen, Open, Permit, Policy, RetryAt, Trip};
use seawall_policy::{Mono, Outcome};

/// Hands the permit back exactly once, also when the call panics or returns early.
struct Report<'a> {
    breaker: &'a Breaker,
    permit: Option<Permit>,
    now: &'a dyn Fn() -> Mono,
}

impl Report<'_> {
    fn done(mut self, outcome: Outcome) {
        self.send(outcome);
    }

    fn send(&mut self, outcome: Outcome) {
        let Some(permit) = self.permit.take() else { return };
        if let Some(change) = self.breaker.report(permit, outcome, (self.now)()) {
            println!(
                "{:>6.1} s  breaker: {} -> {}",
                (self.now)().0 as f64 / 1e9,
                change.from.as_str(),
                change.to.as_str()
            );
        }
    }
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        self.send(Outcome::Abandoned);
    }
}

fn main() -> io::Result<()> {
    // 3 failures within 10 s open it for 1 s, then 2 s, then 4 s; one probe that succeeds closes it.
    let breaker = Breaker::new(Policy {
        window: Duration::from_secs(10),
        trip: vec![Trip::Failures(3)],
        open: Open { for_: Duration::from_secs(1), growth: 2.0, max: Duration::from_secs(4) },
        half_open: HalfOpen { admit: 1, close_after: 1 },
        ..Policy::default()
    });
    let start = Instant::now();
    let now = || Mono(start.elapsed().as_nanos() as u64);

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let server = std::thread::spawn(move || serve(listener, addr));

    let (mut answered, mut failed, mut spared) = (0, 0, 0);
    while start.elapsed() < Duration::from_secs(6) {
        match breaker.admit(now()) {
            Err(RetryAt(_)) => spared += 1,
            Ok(permit) => {
                let report = Report { breaker: &breaker, permit: Some(permit), now: &now };
                match call(addr) {
                    Ok(()) => {
                        answered += 1;
                        report.done(Outcome::Success);
                    }
                    Err(_) => {
                        failed += 1;
                        report.done(Outcome::Unreachable);
                    }
                }
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("answered {answered}, failed {failed}, refused at once {spared}");
    server.join().unwrap_or(Ok(()))
}

fn call(addr: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&addr, Duration::from_millis(200))?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    stream.write_all(b"ping")?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)
}

/// Answers for a second, is gone for two and a half, and answers again.
fn serve(listener: TcpListener, addr: SocketAddr) -> io::Result<()> {
    answer_for(listener, Duration::from_secs(1))?;
    std::thread::sleep(Duration::from_millis(2_500));
    answer_for(TcpListener::bind(addr)?, Duration::from_secs(3))
}

fn answer_for(listener: TcpListener, time: Duration) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let until = Instant::now() + time;
    while Instant::now() < until {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nonblocking(false)?;
                let mut ask = [0; 4];
                stream.read_exact(&mut ask)?;
                stream.write_all(b"pong")?;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(5)),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
