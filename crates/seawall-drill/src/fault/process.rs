//! Processes of the system under test: started, watched until ready, and stopped in every unkind way.
//!
//! Signals go only to our own children, and only before they are reaped, so a process id can never mean somebody
//! else by then. A child left running is killed and reaped when its handle is dropped.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use rustix::process::{Pid, Signal, kill_process};
use seawall_policy::Rng;

use crate::client::Client;

/// How often a condition is looked at while waiting for it.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Bytes from the end of a dead process's output that an error quotes.
const TAIL_BYTES: u64 = 2_048;

/// What to start.
#[derive(Debug, Clone)]
pub struct Spec {
    /// For messages and for the names of the output files, `NAME.stdout` and `NAME.stderr`.
    pub name: String,
    /// The executable.
    pub binary: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Added to our own environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where the output files go. A restart appends to them.
    pub folder: PathBuf,
}

/// What went wrong with a child.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot start {name} from {binary}")]
    Start {
        /// Which.
        name: String,
        /// The executable.
        binary: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It ended while something was expected of it.
    #[error("{name} ended ({status}); its last words:\n{tail}")]
    Ended {
        /// Which.
        name: String,
        /// How.
        status: ExitStatus,
        /// The end of its standard error.
        tail: String,
    },
    /// It did not get ready, or did not end, in time.
    #[error("{name} {what} within {within:?}; its last words:\n{tail}")]
    TooSlow {
        /// Which.
        name: String,
        /// What it did not do.
        what: &'static str,
        /// The bound.
        within: Duration,
        /// The end of its standard error.
        tail: String,
    },
    /// It could not be signalled or waited for.
    #[error("cannot signal or wait for {name}")]
    Signal {
        /// Which.
        name: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// A child process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stderr: PathBuf,
}

impl Process {
    /// Starts it, with nothing on its standard input.
    ///
    /// # Errors
    /// When the folder cannot be written or the executable cannot be run.
    pub fn start(spec: &Spec) -> Result<Process, ProcessError> {
        let failed =
            |source| ProcessError::Start { name: spec.name.clone(), binary: spec.binary.clone(), source };
        let output = |kind: &str| {
            let path = spec.folder.join(format!("{}.{kind}", spec.name));
            OpenOptions::new().create(true).append(true).open(&path).map(|file| (file, path))
        };
        fs::create_dir_all(&spec.folder).map_err(failed)?;
        let (stdout, _) = output("stdout").map_err(failed)?;
        let (stderr_file, stderr) = output("stderr").map_err(failed)?;
        let child = Command::new(&spec.binary)
            .args(&spec.args)
            .envs(spec.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr_file)
            .spawn()
            .map_err(failed)?;
        tracing::info!(name = spec.name, pid = child.id(), "process started");
        Ok(Process { name: spec.name.clone(), child, stderr })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `GET /-/ready` at `address` answers 200.
    ///
    /// # Errors
    /// When the process ends, or is not ready `within` that time.
    pub async fn ready(&mut self, address: SocketAddr, within: Duration) -> Result<(), ProcessError> {
        let mut client = Client::new(address, LOOK_EVERY * 10);
        let polling = async {
            loop {
                self.alive()?;
                let request = Request::get("/-/ready").header("host", address.to_string());
                if let Ok(request) = request.body(Full::<Bytes>::default())
                    && let Ok(answer) = client.send(request, Duration::from_secs(1)).await
                    && answer.status() == http::StatusCode::OK
                {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        match tokio::time::timeout(within, polling).await {
            Ok(result) => result,
            Err(_) => Err(self.too_slow("was not ready", within)),
        }
    }

    /// # Errors
    /// When the process has ended, or cannot be asked.
    pub fn alive(&mut self) -> Result<(), ProcessError> {
        match self.exited()? {
            None => Ok(()),
            Some(status) => {
                Err(ProcessError::Ended { name: self.name.clone(), status, tail: self.last_words() })
            }
        }
    }

    /// SIGKILL: ends at once, with nothing flushed and nobody told.
    ///
    /// # Errors
    /// When the process has ended before.
    pub fn kill(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::KILL)
    }

    /// SIGSTOP: stands still, with every connection open and nothing answered.
    ///
    /// # Errors
    /// When the process has ended before.
    pub fn pause(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT: goes on, believing no time has passed.
    ///
    /// # Errors
    /// When the process has ended before.
    pub fn resume(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::CONT)
    }

    /// SIGTERM: is asked to stop in good order.
    ///
    /// # Errors
    /// When the process has ended before.
    pub fn terminate(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::TERM)
    }

    /// SIGQUIT: PostgreSQL ends at once and tidies nothing up but its shared memory; others leave a core.
    ///
    /// # Errors
    /// When the process has ended before.
    pub fn quit(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::QUIT)
    }

    /// Waits for the end and reaps it.
    ///
    /// # Errors
    /// When it does not end `within` that time.
    pub async fn ended(&mut self, within: Duration) -> Result<ExitStatus, ProcessError> {
        let polling = async {
            loop {
                if let Some(status) = self.exited()? {
                    return Ok(status);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        match tokio::time::timeout(within, polling).await {
            Ok(result) => result,
            Err(_) => Err(self.too_slow("did not end", within)),
        }
    }

    fn signal(&mut self, signal: Signal) -> Result<(), ProcessError> {
        self.alive()?;
        tracing::info!(name = self.name, ?signal, "signal sent");
        kill_process(Pid::from_child(&self.child), signal)
            .map_err(|error| ProcessError::Signal { name: self.name.clone(), source: error.into() })
    }

    fn exited(&mut self) -> Result<Option<ExitStatus>, ProcessError> {
        self.child.try_wait().map_err(|source| ProcessError::Signal { name: self.name.clone(), source })
    }

    fn too_slow(&self, what: &'static str, within: Duration) -> ProcessError {
        ProcessError::TooSlow { name: self.name.clone(), what, within, tail: self.last_words() }
    }

    fn last_words(&self) -> String {
        let tail = || -> io::Result<String> {
            let mut file = fs::File::open(&self.stderr)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        tail().unwrap_or_else(|error| format!("({}: {error})", self.stderr.display()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the process is gone and reaped, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tries before giving up on a free port.
const PORT_TRIES_MAX: usize = 1_000;

/// A port of 127.0.0.1 that nobody listens on now. See [`free_ports`].
///
/// # Errors
/// When none is found.
pub fn free_port() -> io::Result<u16> {
    free_ports(1)?.pop().ok_or_else(|| io::ErrorKind::AddrInUse.into())
}

/// `n` different ports of 127.0.0.1 that nobody listens on now.
///
/// A child needs to be told its port, and needs it again after a restart, so it cannot bind port 0 itself. The
/// ports come from *below* the range the kernel hands out: a load generator opens thousands of connections, and
/// one of them would sooner or later be given the port of a server that is just being restarted.
///
/// # Errors
/// When there are not so many.
pub fn free_ports(n: usize) -> io::Result<Vec<u16>> {
    let kernel_low = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse::<u16>().ok())
        .unwrap_or(32_768);
    // Two drills at once, also in one process, look at different places: a port that was found and is not yet
    // bound by its child looks free. Which port a child gets changes nothing in a run, so no seed is needed.
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let mut rng = Rng::new((u64::from(std::process::id()) << 32) | call);
    let mut held: Vec<(u16, TcpListener)> = Vec::new();
    for _ in 0..PORT_TRIES_MAX {
        if held.len() == n {
            break;
        }
        // Where an administrator left no room below the kernel's range, port 0 is the best there is.
        let wish = match u64::from(kernel_low).checked_sub(10_000) {
            Some(room @ 1_000..) => 10_000 + rng.below(room) as u16,
            _ => 0,
        };
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, wish)) {
            held.push((listener.local_addr()?.port(), listener));
        }
    }
    // All are held until the last is found, so that none is found twice.
    if held.len() < n {
        Err(io::ErrorKind::AddrInUse.into())
    } else {
        Ok(held.into_iter().map(|(port, _)| port).collect())
    }
}
