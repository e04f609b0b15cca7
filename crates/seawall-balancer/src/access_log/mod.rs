//! One line of JSON for each request, written when it ends.
//!
//! ```text
//! request's end ── bounded queue ──▶ writer: formats, groups, appends
//!     try_send, or drop and count     away from the event loop
//! ```
//!
//! ## Why it may lose lines, and only then
//!
//! A log that must not lose a line makes requests wait for the disk, and a disk that hangs for a second then
//! stops a service that needs no disk. So whoever ends a request leaves a line behind or, with `QUEUE_MAX`
//! of them waiting, drops it and counts. At 20,000 requests a second that is a disk that has not answered for
//! 0.4 s.
//!
//! ## What is not written
//!
//! The query. It is where search words, addresses and tokens of users are, which outlive here for years what
//! the user thought gone, and it decides nothing: routes look at the path alone. Nor headers and bodies. What
//! a client chooses is cut to a bounded length.
//!
//! ## How it is rotated
//!
//! By renaming the file: before each write the writer looks whether its file is still the one of that name,
//! and begins a new one if not. There is no signal to send and nothing to configure.
//!
//! The lines are a trace for `seawall policy replay`.

mod line;
mod writer;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use seawall_net::exchange::Head;
use seawall_net::host::{Fault, Host};
use seawall_net::telemetry::Counter;
use seawall_policy::{Clock, Outcome};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use self::line::{Line, cut};
use self::writer::Writer;
use crate::backend::Backend;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::table::Routed;

/// Lines waiting for the writer: some 8 MiB if clients send the longest that is kept.
pub(crate) const QUEUE_MAX: usize = 8_192;
/// Lines written at a time.
const BATCH_MAX: usize = 1_024;
/// How long the end of the balancer waits for the last lines.
const CLOSE_MAX: Duration = Duration::from_secs(1);
/// Longest path, host and method kept, in bytes.
const PATH_MAX: usize = 512;
const HOST_MAX: usize = 255;
const METHOD_MAX: usize = 32;

/// Where requests leave their lines. Cheap to clone.
#[derive(Clone)]
pub struct AccessLog {
    queue: mpsc::Sender<Entry>,
    clock: Arc<dyn Clock>,
    dropped: Counter,
}

enum Entry {
    Line(Box<Line>),
    /// Everything before this is written.
    Flush(oneshot::Sender<()>),
}

/// What is kept of a request until its end.
pub(crate) struct Asked {
    config: Arc<Config>,
    client: IpAddr,
    method: String,
    host: String,
    path: String,
    route: Option<String>,
}

/// How a request ended.
pub(crate) struct Ended {
    /// The client's; none if it got no answer, or one that was decided elsewhere.
    pub(crate) status: Option<StatusCode>,
    /// Of the last try; none when no backend was asked.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) tries: u32,
    pub(crate) took: Duration,
}

impl AccessLog {
    /// Starts the writer. A file that cannot be opened is told at once, not when the first request ends.
    ///
    /// # Errors
    /// When the file named by the configuration cannot be written.
    pub async fn start(config: &Config, host: &Host, metrics: &Metrics) -> Result<AccessLog, Fault> {
        let path = config.access_log.path.clone();
        let opened = host.tasks.blocking(move || {
            let mut writer = Writer::default();
            writer.open(&path).map(|()| writer)
        });
        let opened = opened.await.map_err(|e| Fault::because("cannot open the access log", e))?;
        let writer = opened.map_err(|e| {
            let path = config.access_log.path.display();
            Fault::because(format!("balancer.access_log.path: cannot write to {path}"), e)
        })?;
        let (queue, lines) = mpsc::channel(QUEUE_MAX);
        let dropped = metrics.access_log_dropped.clone();
        let log = AccessLog { queue, clock: host.clock.clone(), dropped: dropped.clone() };
        host.tasks.vital("balancer-access-log", write(lines, writer, host.clone(), dropped));
        Ok(log)
    }

    /// What must be kept of a request until its end, if it is to be logged at all.
    pub(crate) fn asked(config: &Arc<Config>, head: &Head<'_>, route: Option<&Routed>) -> Option<Box<Asked>> {
        if !config.access_log.is_on() {
            return None;
        }
        Some(Box::new(Asked {
            config: config.clone(),
            client: head.peer.ip(),
            method: cut(head.method.as_str(), METHOD_MAX),
            host: cut(head.host, HOST_MAX),
            path: cut(head.path, PATH_MAX),
            route: route.map(|r| format!("{}{}", r.host, r.path_prefix)),
        }))
    }

    /// Leaves a line. Never waits.
    pub(crate) fn ended(&self, asked: Asked, ended: &Ended, backend: Option<&Backend>) {
        let line = Line::new(asked, ended, backend, self.clock.wall());
        if self.queue.try_send(Entry::Line(Box::new(line))).is_err() {
            self.dropped.inc();
        }
    }

    /// Waits until everything left so far is written, but not for a disk that hangs.
    pub async fn close(&self) {
        let (written, done) = oneshot::channel();
        let flushed = async {
            if self.queue.send(Entry::Flush(written)).await.is_ok() {
                // No answer means that the writer has ended, and has nothing left to write.
                drop(done.await);
            }
        };
        if timeout(CLOSE_MAX, flushed).await.is_err() {
            tracing::warn!("the last lines of the access log could not be written in time");
        }
    }
}

/// Writes what arrives, as many lines at a time as there are.
async fn write(mut lines: mpsc::Receiver<Entry>, mut writer: Writer, host: Host, dropped: Counter) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        batch.clear();
        if lines.recv_many(&mut batch, BATCH_MAX).await == 0 {
            return;
        }
        let (mut text, mut flushed) = (Vec::new(), Vec::new());
        for entry in batch.drain(..) {
            match entry {
                Entry::Line(line) => text.push(line),
                Entry::Flush(done) => flushed.push(done),
            }
        }
        let writing = host.tasks.blocking(move || {
            let lost = writer.write(&text);
            (writer, lost)
        });
        // Only a runtime that is shutting down does not run it.
        let Ok((back, lost)) = writing.await else { return };
        writer = back;
        dropped.inc_by(lost);
        for done in flushed {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
    }
}

/// Whether `path` means standard output.
fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

#[cfg(test)]
mod tests;
