//! Checks every backend of the table in turn, and watches what becomes of the pools.
//!
//! One task schedules; each check is a task of its own, [`CHECKS_MAX`] at a time. A backend's first check
//! comes at once, later ones an interval apart, give or take a tenth, so that checks begun together drift
//! apart.
//!
//! ## What is not the backend's fault
//!
//! When this machine has no route, no free port or no free descriptor, or when the check took far longer
//! than its own time limit because this process was paused, nothing was learned, and the state is kept
//! ("health checker down: keep current state").

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use seawall_net::host::{Host, State};
use seawall_policy::probe::{Changed, Seen};
use seawall_policy::{Mono, Rng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use crate::backend::Backend;
use crate::config::{Config, ProbeKind};
use crate::exchange::Balancer;
use crate::metrics::Metrics;
use crate::pick::Mode;
use crate::table::Table;

/// Checks under way at once. At 1 s each, hanging backends included, 256 a second can be checked; more wait.
const CHECKS_MAX: usize = 256;
/// How often the pools are looked at, whatever the interval of checks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Least time between two looks: with thousands of backends nearly always one is due, and a look is at all of them.
const TICK: Duration = Duration::from_millis(10);
/// Bytes of an answer that are read: the status is within the first 15.
const STATUS_LINE_MAX: usize = 64;

/// Schedules the checks. Vital: without it nobody would come back.
pub(crate) struct Health {
    balancer: Arc<Balancer>,
    host: Host,
    metrics: Metrics,
    /// Rung when there is a new table.
    rebuilt: Arc<Notify>,
    state: watch::Sender<State>,
    rng: Rng,
    places: Arc<Semaphore>,
    due: HashMap<SocketAddr, Mono>,
    modes: HashMap<String, Mode>,
}

impl Health {
    pub(crate) fn new(
        balancer: Arc<Balancer>,
        host: &Host,
        metrics: Metrics,
        rebuilt: Arc<Notify>,
        state: watch::Sender<State>,
    ) -> Health {
        Health {
            balancer,
            host: host.clone(),
            metrics,
            rebuilt,
            state,
            rng: Rng::new(host.seed),
            places: Arc::new(Semaphore::new(CHECKS_MAX)),
            due: HashMap::new(),
            modes: HashMap::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        while !self.host.tasks.is_stopping() {
            let table = self.balancer.table();
            self.look(&table);
            let pause = self.check_those_due(&table);
            tokio::select! {
                _ = self.host.tasks.sleep(pause) => {}
                () = self.rebuilt.notified() => {}
            }
        }
    }

    /// Begins what is due; returns the time until the next is, or until the pools are looked at again.
    fn check_those_due(&mut self, table: &Arc<Table>) -> Duration {
        let now = self.host.clock.now();
        let interval = table.config.probe.interval;
        let mut backends: HashMap<SocketAddr, &Arc<Backend>> = HashMap::new();
        for backend in table.pools.iter().flat_map(|p| &p.members) {
            backends.insert(backend.addr(), backend);
        }
        self.due.retain(|addr, _| backends.contains_key(addr));
        let mut next = now + LOOK_EVERY;
        for (addr, backend) in backends {
            let due = self.due.get(&addr).copied().unwrap_or(now);
            if due <= now {
                // All places taken: this one is still due the next time round.
                let Ok(place) = self.places.clone().try_acquire_owned() else { break };
                self.begin(table, backend.clone(), place);
                let jitter = 0.9 + 0.2 * self.rng.unit();
                let due = now + interval.mul_f64(jitter);
                self.due.insert(addr, due);
                next = next.min(due);
            } else {
                next = next.min(due);
            }
        }
        next.since(now).max(TICK)
    }

    fn begin(&self, table: &Table, backend: Arc<Backend>, place: OwnedSemaphorePermit) {
        let config = table.config.clone();
        let clock = self.host.clock.clone();
        self.host.tasks.connection("health-check", async move {
            let _place = place;
            let policy = config.probe.policy();
            let started = clock.now();
            let checked = timeout(policy.timeout, check(backend.addr(), &config)).await;
            let was_paused = clock.now().since(started) > policy.timeout * 2;
            let seen = match checked {
                Ok(seen) => seen,
                Err(_) if was_paused => Err((Seen::Unknown, "the checker was paused".to_owned())),
                Err(_) => Err((Seen::Fail, format!("no answer within {:?}", policy.timeout))),
            };
            let why = seen.as_ref().err().map(|(_, why)| why.clone());
            match backend.checked(&policy, seen) {
                Some(Changed::Up) => tracing::info!(backend = %backend.addr(), "backend is up"),
                Some(Changed::Down) => {
                    tracing::warn!(backend = %backend.addr(), why, "backend is down");
                }
                None => tracing::debug!(backend = %backend.addr(), why, "backend checked"),
            }
        });
    }

    /// Tells of every pool whose mode changed, and sums them up for `/-/ready`.
    fn look(&mut self, table: &Table) {
        let now = self.host.clock.now();
        let mut modes = HashMap::new();
        for (pool, standing) in table.standings(now) {
            let name = pool.source.to_string();
            let (mode, up, total) = (standing.mode, standing.up, standing.total);
            let before = self.modes.get(&name).copied();
            match (before, mode) {
                _ if before == Some(mode) => {}
                (_, Mode::Panic) => {
                    tracing::warn!(
                        pool = name,
                        up,
                        total,
                        "too few backends are healthy, asking all of them"
                    );
                }
                (_, Mode::Empty) => tracing::warn!(pool = name, "no backend is known, answering 503"),
                (Some(_), Mode::Normal) => {
                    tracing::info!(pool = name, up, total, "pool is back to healthy backends only");
                }
                _ => tracing::debug!(pool = name, mode = mode.as_str(), "pool changed"),
            }
            modes.insert(name, mode);
        }
        self.modes = modes;
        let of = |mode| self.modes.values().filter(|m| **m == mode).count();
        let (panicking, empty) = (of(Mode::Panic), of(Mode::Empty));
        self.metrics.pools_in_panic.set(i64::try_from(panicking).unwrap_or(i64::MAX));
        let state = match (panicking, empty) {
            (0, 0) => State::Ready,
            _ => State::Degraded(self.troubles().into()),
        };
        self.state.send_if_modified(|known| {
            let changed = *known != state;
            *known = state;
            changed
        });
    }

    fn troubles(&self) -> String {
        let mut troubles: Vec<String> = self
            .modes
            .iter()
            .filter_map(|(pool, mode)| match mode {
                Mode::Panic => Some(format!("pool {pool} asks all backends, too few are healthy")),
                Mode::Empty => Some(format!("pool {pool} has no backends")),
                Mode::Normal | Mode::Unchecked => None,
            })
            .collect();
        troubles.sort_unstable();
        troubles.join("; ")
    }
}

/// One check, on a connection of its own: whether a new one is accepted is part of the question.
async fn check(addr: SocketAddr, config: &Config) -> Result<(), (Seen, String)> {
    let mut stream = TcpStream::connect(addr).await.map_err(|e| blame("cannot connect", &e))?;
    if config.probe.kind == ProbeKind::Tcp {
        return Ok(());
    }
    let path = &config.probe.path;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {addr}\r\nUser-Agent: seawall-health-check\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(|e| blame("cannot ask", &e))?;
    let mut line = Vec::with_capacity(STATUS_LINE_MAX);
    while line.len() < STATUS_LINE_MAX && !line.contains(&b'\n') {
        let read = stream.read_buf(&mut line).await.map_err(|e| blame("no answer", &e))?;
        if read == 0 {
            break;
        }
    }
    match status(&line) {
        Some(200..=399) => Ok(()),
        Some(other) => Err((Seen::Fail, format!("GET {path} answered {other}"))),
        None => Err((Seen::Fail, format!("GET {path} was not answered in HTTP"))),
    }
}

/// The status in `HTTP/1.1 200 OK`.
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    let (digits, after) = rest.split_at_checked(3)?;
    let ends = after.first().is_some_and(|b| matches!(b, b' ' | b'\r' | b'\n'));
    (ends && digits.iter().all(u8::is_ascii_digit)).then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

/// Whose fault an error is. Running out of anything of our own says nothing of the backend.
fn blame(what: &str, error: &io::Error) -> (Seen, String) {
    use io::ErrorKind::{AddrNotAvailable, NetworkDown, NetworkUnreachable, OutOfMemory, PermissionDenied};
    /// Too many open files, in the system and in this process.
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    let ours = matches!(
        error.kind(),
        AddrNotAvailable | NetworkDown | NetworkUnreachable | OutOfMemory | PermissionDenied
    ) || matches!(error.raw_os_error(), Some(ENFILE | EMFILE));
    (if ours { Seen::Unknown } else { Seen::Fail }, format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_read_strictly() {
        for (line, read) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], Some(200)),
            (b"HTTP/1.0 503\r\n", Some(503)),
            (b"HTTP/1.1 2000\r\n", None),
            (b"HTTP/1.1 20", None),
            (b"HTTP/1.1 200", None),
            (b"HTTP/2 200 OK\r\n", None),
            (b"SSH-2.0-OpenSSH_9.2\r\n", None),
            (b"", None),
        ] {
            assert_eq!(status(line), read, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn what_this_machine_lacks_is_not_the_backends_fault() {
        for (error, seen) in [
            (io::Error::from(io::ErrorKind::ConnectionRefused), Seen::Fail),
            (io::Error::from(io::ErrorKind::HostUnreachable), Seen::Fail),
            (io::Error::from(io::ErrorKind::NetworkUnreachable), Seen::Unknown),
            (io::Error::from(io::ErrorKind::AddrNotAvailable), Seen::Unknown),
            (io::Error::from_raw_os_error(24), Seen::Unknown),
        ] {
            assert_eq!(blame("cannot connect", &error).0, seen, "{error}");
        }
    }
}
