//! What a system is given to run with, and what it shows of itself while it runs.
//!
//! A system is started with a [`Host`], answers with a [`Running`], and ends with an [`End`]. What outlives
//! a restart (bound sockets, metrics, the record of earlier lives) is owned by the process and only lent
//! here; everything with a runtime type in it belongs to the system's own runtime and goes with it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use seawall_policy::Clock;
use tokio::sync::watch;

use crate::listeners::{BindError, Listeners};
use crate::tasks::Tasks;
use crate::telemetry::Scope;

/// What the process lends to one start of one system.
#[derive(Clone)]
pub struct Host {
    /// The only source of time.
    pub clock: Arc<dyn Clock>,
    /// Sockets, bound once per process.
    pub listeners: Listeners,
    /// This system's metrics.
    pub metrics: Scope,
    /// Where every task is spawned.
    pub tasks: Tasks,
    /// Threads of the system's runtime.
    pub workers: usize,
    /// From which the system seeds its own generators.
    pub seed: u64,
    /// How earlier starts of this system ended.
    pub life: Life,
    /// Faults planted for tests and drills; none in normal service.
    pub plants: Plants,
}

/// A system that accepts connections.
pub struct Running {
    /// What it serves, for the ready table.
    pub endpoints: Vec<Endpoint>,
    /// What `/-/ready` answers.
    pub state: watch::Receiver<State>,
    tasks: Tasks,
}

impl Running {
    /// To be returned by `start` once the sockets accept.
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>, state: watch::Receiver<State>, tasks: &Tasks) -> Running {
        Running { endpoints, state, tasks: tasks.clone() }
    }

    /// Asks the system to leave the registry, stop accepting, and drain within `grace`. Returns at once.
    pub fn stop(&self, grace: Duration) {
        self.tasks.stop(grace);
    }

    /// Waits for the end. To be called once.
    pub async fn ended(&self) -> End {
        self.tasks.ended().await
    }
}

/// An address a system serves, with a command to try.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// What is served there, in a word or two.
    pub what: &'static str,
    /// Where.
    pub addr: SocketAddr,
    /// A shell command that shows it working.
    pub try_it: String,
}

/// How a running system is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not yet; the words say what it waits for.
    Starting(&'static str),
    /// Serving as promised.
    Ready,
    /// Serving, with the named loss.
    Degraded(Arc<str>),
    /// Leaving; so many connections are still open.
    Draining {
        /// Connections still open.
        left: usize,
    },
}

impl State {
    /// Whether a balancer should send requests here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self, State::Ready | State::Degraded(_))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Starting(what) => write!(f, "starting: {what}"),
            State::Ready => f.write_str("ready"),
            State::Degraded(why) => write!(f, "degraded: {why}"),
            State::Draining { left } => write!(f, "draining: {left} connections left"),
        }
    }
}

/// How a system's run ended.
#[derive(Debug)]
pub enum End {
    /// It was asked to stop, and did.
    Stopped(Drained),
    /// It cannot go on and says why.
    Failed(Fault),
    /// One of its vital tasks panicked.
    Panicked {
        /// Which task.
        task: &'static str,
        /// What the panic said.
        message: String,
    },
}

/// What was left when the grace period was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections cut because they had not finished.
    pub left: usize,
}

/// Why a system cannot go on. Printed as one chain.
#[derive(Debug)]
pub struct Fault {
    what: String,
    is_final: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Fault {
    /// A fault with no deeper cause.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Fault {
        Fault { what: what.into(), is_final: false, source: None }
    }

    /// A fault caused by `source`.
    #[must_use]
    pub fn because(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Fault {
        Fault { what: what.into(), is_final: false, source: Some(source.into()) }
    }

    /// The same, not to be answered with another start: another process has taken over, and starting again
    /// would take it back, for ever in turns.
    #[must_use]
    pub fn and_final(mut self) -> Fault {
        self.is_final = true;
        self
    }

    /// Whether the system must not be started again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.is_final
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| &**s as &(dyn std::error::Error + 'static))
    }
}

impl From<BindError> for Fault {
    fn from(error: BindError) -> Fault {
        Fault::new(chain(&error))
    }
}

/// An error and everything that caused it, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// The record of a system's restarts in this process. Cheap to clone; shared with the supervisor.
#[derive(Debug, Clone, Default)]
pub struct Life(Arc<Mutex<Record>>);

/// What is remembered of earlier starts.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize, PartialEq, Eq)]
pub struct Record {
    /// Starts after the first.
    pub restarts: u64,
    /// Why the last run ended.
    pub last_end: Option<String>,
}

impl Life {
    /// Notes that a run ended and another will be tried.
    pub fn note(&self, why: String) {
        let mut record = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        record.restarts += 1;
        record.last_end = Some(why);
    }

    /// What is known so far.
    #[must_use]
    pub fn record(&self) -> Record {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Faults planted on purpose, so that tests, drills and checkers can be seen to fail.
///
/// Set by a hidden option of `seawall up`, announced in the log, and never by configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plants {
    names: Arc<[String]>,
}

impl Plants {
    /// Every fault there is to plant, with what it breaks.
    pub const KNOWN: &'static [(&'static str, &'static str)] = &[
        ("ack-before-commit", "the store answers before COMMIT: a kill loses acknowledged writes"),
        (
            "drop-invalidation",
            "the graph's follower never hears of changes of one key in four: reads go stale",
        ),
        ("no-journal", "the chat gateway keeps no journal: sessions cannot resume after a kill"),
        ("no-repair", "the graph completes no write that a kill left between two databases: sides disagree"),
        ("panic", "the links system panics in a vital task when asked for the code `panic-now`"),
    ];

    /// The named plants.
    ///
    /// # Errors
    /// A name that is not in [`Plants::KNOWN`].
    pub fn new(names: &[String]) -> Result<Plants, String> {
        match names.iter().find(|n| !Plants::KNOWN.iter().any(|(k, _)| k == n)) {
            Some(unknown) => Err(format!("there is no fault named `{unknown}` to plant")),
            None => Ok(Plants { names: names.into() }),
        }
    }

    /// Whether `name` was planted.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        debug_assert!(Plants::KNOWN.iter().any(|(k, _)| *k == name), "{name} is not a known plant");
        self.names.iter().any(|n| n == name)
    }
}
