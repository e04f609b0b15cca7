//! Every task of a system is spawned here, so that no panic is lost.
//!
//! ## Two kinds
//!
//! *Vital* tasks are what the system is: an accept loop, a heartbeat, a store watcher. When one panics, the
//! state it shared can no longer be trusted, so the whole system ends and its supervisor starts it afresh.
//! *Connection* tasks serve one peer. When one panics, that peer's connection closes and is counted; the
//! others never notice.
//!
//! ## What it does not do
//!
//! It does not catch memory exhaustion or stack overflow: those end the process. Who needs that wall runs
//! one system per process.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::host::{End, Fault};

/// Ends that may wait to be read; the first one decides, so a handful is plenty.
const ENDS_MAX: usize = 8;

/// Spawns a system's tasks, tells them when to stop, and hears how they end. Cheap to clone.
#[derive(Clone)]
pub struct Tasks(Arc<Shared>);

struct Shared {
    runtime: Handle,
    /// `Some(grace)` once a stop was asked for.
    stop: watch::Sender<Option<Duration>>,
    ends: mpsc::Sender<End>,
    ends_read: Mutex<Option<mpsc::Receiver<End>>>,
    connections: AtomicUsize,
    connection_panics: AtomicU64,
}

/// A closure run by [`Tasks::blocking`] panicked; the message is the panic's.
#[derive(Debug, Clone, thiserror::Error)]
#[error("a blocking step panicked: {0}")]
pub struct Panicked(pub String);

impl Tasks {
    /// Tasks that run on `runtime`. One value per start of a system.
    #[must_use]
    pub fn new(runtime: Handle) -> Tasks {
        let (ends, read) = mpsc::channel(ENDS_MAX);
        Tasks(Arc::new(Shared {
            runtime,
            stop: watch::Sender::new(None),
            ends,
            ends_read: Mutex::new(Some(read)),
            connections: AtomicUsize::new(0),
            connection_panics: AtomicU64::new(0),
        }))
    }

    /// Runs a task the system cannot live without: its panic ends the system.
    pub fn vital(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let tasks = self.clone();
        self.spawn(async move {
            if let Err(message) = Contained::new(task).await {
                tracing::error!(task = name, message, "a vital task panicked; the system ends");
                tasks.finish(End::Panicked { task: name, message });
            }
        });
    }

    /// Runs a task that serves one peer: its panic closes that connection and is counted.
    pub fn connection(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let open = Open::new(&self.0);
        self.spawn(async move {
            let ended = Contained::new(task).await;
            if let Err(message) = ended {
                open.0.connection_panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(task = name, message, "a connection task panicked; only it is closed");
            }
        });
    }

    /// Runs a step that blocks its thread (file system, name look-up) away from the event loop.
    ///
    /// # Errors
    /// When the step panics.
    #[expect(clippy::disallowed_methods, reason = "the one place that may")]
    pub async fn blocking<T: Send + 'static>(
        &self,
        step: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        match self.0.runtime.spawn_blocking(step).await {
            Ok(value) => Ok(value),
            Err(e) if e.is_panic() => Err(Panicked(panic_text(&*e.into_panic()))),
            Err(_) => Err(Panicked("the runtime is shutting down".into())),
        }
    }

    /// Waits, but no longer than until a stop is asked for. True when the whole time has passed.
    pub async fn sleep(&self, time: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            _ = self.stopping() => false,
        }
    }

    /// Returns once a stop was asked for, with the time there is to drain.
    pub async fn stopping(&self) -> Duration {
        let mut stop = self.0.stop.subscribe();
        match stop.wait_for(Option::is_some).await {
            Ok(grace) => grace.unwrap_or_default(),
            Err(_) => Duration::ZERO,
        }
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.stop.borrow().is_some()
    }

    /// Asks every task to stop within `grace`. Later calls change nothing.
    pub fn stop(&self, grace: Duration) {
        self.0.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            stop.get_or_insert(grace);
            first
        });
    }

    /// Reports how the system ended. The first report decides; later ones are dropped.
    pub fn finish(&self, end: End) {
        drop(self.0.ends.try_send(end));
    }

    /// Connections being served now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// Connection tasks that panicked since this start.
    #[must_use]
    pub fn connection_panics(&self) -> u64 {
        self.0.connection_panics.load(Ordering::Relaxed)
    }

    /// Waits for the first report of an end. To be called once, by the supervisor.
    pub async fn ended(&self) -> End {
        let read = self.0.ends_read.lock().unwrap_or_else(PoisonError::into_inner).take();
        match read {
            Some(mut read) => match read.recv().await {
                Some(end) => end,
                None => End::Failed(Fault::new("nobody is left to report an end")),
            },
            None => End::Failed(Fault::new("the end was already taken")),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that may")]
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.0.runtime.spawn(task));
    }
}

/// Counts a connection for as long as its task exists, also one that the runtime drops unfinished.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> Open {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        Open(shared.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A future whose panic becomes a value.
struct Contained<F>(Pin<Box<F>>);

impl<F> Contained<F> {
    fn new(task: F) -> Contained<F> {
        Contained(Box::pin(task))
    }
}

impl<F: Future<Output = ()>> Future for Contained<F> {
    type Output = Result<(), String>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic_text(&*panic))),
        }
    }
}

/// The words of a panic, as far as it had any.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> Tasks {
        Tasks::new(Handle::current())
    }

    #[tokio::test]
    async fn a_vital_panic_ends_the_system_and_says_where() {
        let t = tasks();
        t.vital("heart", async { panic!("stopped") });
        let End::Panicked { task, message } = t.ended().await else { panic!("another end") };
        assert_eq!((task, message.as_str()), ("heart", "stopped"));
    }

    #[tokio::test]
    async fn a_connection_panic_is_counted_and_ends_nothing() {
        let t = tasks();
        t.connection("peer", async { panic!("bad peer") });
        while t.connections() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(t.connection_panics(), 1);
        assert!(tokio::time::timeout(Duration::from_millis(20), t.ended()).await.is_err());
    }

    #[tokio::test]
    async fn a_stop_ends_a_sleep_early() {
        let t = tasks();
        t.stop(Duration::from_secs(3));
        assert!(!t.sleep(Duration::from_secs(3600)).await);
        assert_eq!(t.stopping().await, Duration::from_secs(3));
    }

    #[tokio::test]
    async fn the_first_report_decides() {
        let t = tasks();
        t.finish(End::Failed(Fault::new("first")));
        t.finish(End::Failed(Fault::new("second")));
        let End::Failed(fault) = t.ended().await else { panic!("another end") };
        assert_eq!(fault.to_string(), "first");
    }

    #[tokio::test]
    async fn a_blocking_panic_comes_back_as_an_error() {
        let e = tasks().blocking(|| panic!("disk")).await;
        assert!(matches!(e, Err(Panicked(m)) if m == "disk"));
    }
}
