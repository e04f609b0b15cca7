//! One system's thread: run it, and when it ends without having been asked to, run it again.
//!
//! A panic costs the panicking system a second, and the others nothing: its sockets stay bound, so the
//! kernel queues what arrives meanwhile, and its files stay open, so no lock is lost.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use seawall_net::host::{Drained, End, Endpoint, Host, Life, Plants, Running, chain};
use seawall_net::listeners::Listeners;
use seawall_net::tasks::{Tasks, panic_text};
use seawall_net::telemetry::{Registry, Scope};
use seawall_policy::{Clock, restart};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};

use super::System;
use crate::config::Config;

/// A runtime that does not end within this is stuck, and the process with it.
pub(super) const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

/// What every system of the process is lent.
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) listeners: Listeners,
    pub(super) files: seawall_store::Files,
    pub(super) discovery: seawall_cluster::Settings,
    pub(super) seed: u64,
    pub(super) plants: Plants,
    pub(super) workers: usize,
}

/// What the main thread hears.
pub(super) enum Event {
    /// It accepts connections.
    Started(System, Vec<Endpoint>),
    /// Its very first start failed, or its place was taken: nothing to keep up.
    CouldNotStart(System, String),
    /// It stopped as asked.
    Ended(System),
    /// It cannot be ended.
    Stuck(System),
}

/// A system's thread, seen from the main thread.
pub(super) struct Thread {
    stop: watch::Sender<Option<Duration>>,
}

impl Thread {
    pub(super) fn start(
        system: System,
        shared: Arc<Shared>,
        live: watch::Receiver<Arc<Config>>,
        events: mpsc::Sender<Event>,
    ) -> io::Result<Thread> {
        let (stop, stopped) = watch::channel(None);
        let metrics = Scope::new(system.name());
        if system.keeps_files() {
            let mut store = Registry::default();
            shared.files.metrics().register(&mut store);
            metrics.show(store);
        }
        let supervisor = Supervisor { system, shared, live, events, stopped, life: Life::default(), metrics };
        std::thread::Builder::new().name(system.name().into()).spawn(move || supervisor.run())?;
        Ok(Thread { stop })
    }

    /// Asks the system to drain within `grace` and not come back.
    pub(super) fn stop(&self, grace: Duration) {
        self.stop.send_replace(Some(grace));
    }
}

struct Supervisor {
    system: System,
    shared: Arc<Shared>,
    live: watch::Receiver<Arc<Config>>,
    events: mpsc::Sender<Event>,
    stopped: watch::Receiver<Option<Duration>>,
    life: Life,
    metrics: Scope,
}

impl Supervisor {
    fn run(self) {
        let mut restart = restart::Core::new(restart::Policy::default());
        let mut has_started = false;
        loop {
            let runtime = match self.runtime() {
                Ok(runtime) => runtime,
                Err(e) => {
                    return self
                        .tell(Event::CouldNotStart(self.system, format!("cannot start a runtime: {e}")));
                }
            };
            let end = self.one_life(&runtime, &mut restart, &mut has_started);
            if !self.shut_down(runtime) {
                return self.tell(Event::Stuck(self.system));
            }
            let why = match end {
                End::Stopped(Drained { left }) => {
                    tracing::info!(system = self.system.name(), connections_cut = left, "stopped");
                    return self.tell(Event::Ended(self.system));
                }
                End::Failed(fault) if !has_started || fault.is_final() => {
                    return self.tell(Event::CouldNotStart(self.system, chain(&fault)));
                }
                End::Failed(fault) => format!("failed: {}", chain(&fault)),
                End::Panicked { task, message } => format!("panicked in {task}: {message}"),
            };
            let pause = restart.ended(self.shared.clock.now());
            self.life.note(why.clone());
            tracing::error!(
                system = self.system.name(),
                why,
                ?pause,
                "ended, starting again after the pause"
            );
            if !self.pause(pause) {
                return self.tell(Event::Ended(self.system));
            }
        }
    }

    fn runtime(&self) -> io::Result<Runtime> {
        Builder::new_multi_thread()
            .worker_threads(self.shared.workers)
            .thread_name(self.system.name())
            .enable_all()
            .build()
    }

    fn one_life(&self, runtime: &Runtime, restart: &mut restart::Core, has_started: &mut bool) -> End {
        let tasks = Tasks::new(runtime.handle().clone());
        let host = Host {
            clock: self.shared.clock.clone(),
            listeners: self.shared.listeners.clone(),
            metrics: self.metrics.clone(),
            tasks: tasks.clone(),
            workers: self.shared.workers,
            seed: self.shared.seed ^ self.life.record().restarts.rotate_left(32),
            life: self.life.clone(),
            plants: self.shared.plants.clone(),
        };
        let mut stopped = self.stopped.clone();
        let start = async {
            tokio::select! {
                started = self.system.start(host, &self.shared, self.live.clone()) => Some(started),
                // A start that hangs (a disk, mostly) must not keep the process from stopping.
                _ = stopped.wait_for(Option::is_some) => None,
            }
        };
        match catch_unwind(AssertUnwindSafe(|| runtime.block_on(start))) {
            Err(panic) => End::Panicked { task: "start", message: panic_text(&*panic) },
            Ok(None) => End::Stopped(Drained { left: 0 }),
            Ok(Some(Err(fault))) => End::Failed(fault),
            Ok(Some(Ok(running))) => {
                *has_started = true;
                restart.started(self.shared.clock.now());
                self.tell(Event::Started(self.system, running.endpoints.clone()));
                runtime.block_on(self.until_end(&running))
            }
        }
    }

    async fn until_end(&self, running: &Running) -> End {
        let mut stopped = self.stopped.clone();
        let ended = running.ended();
        let mut ended = std::pin::pin!(ended);
        let grace = tokio::select! {
            end = ended.as_mut() => return end,
            asked = stopped.wait_for(Option::is_some) => asked.ok().and_then(|g| *g).unwrap_or_default(),
        };
        running.stop(grace);
        // A moment beyond the grace period, to say what was left.
        match tokio::time::timeout(grace + Duration::from_secs(1), ended).await {
            Ok(End::Stopped(drained)) => End::Stopped(drained),
            Ok(End::Failed(fault)) => {
                tracing::warn!(system = self.system.name(), error = %chain(&fault), "failed while draining");
                End::Stopped(Drained { left: 0 })
            }
            Ok(End::Panicked { .. }) | Err(_) => End::Stopped(Drained { left: 0 }),
        }
    }

    /// True when the runtime ended in time.
    fn shut_down(&self, runtime: Runtime) -> bool {
        let begun = self.shared.clock.now();
        runtime.shutdown_timeout(SHUTDOWN_MAX);
        self.shared.clock.now() - begun < SHUTDOWN_MAX
    }

    /// False when a stop was asked for meanwhile.
    fn pause(&self, time: Duration) -> bool {
        let Ok(runtime) = Builder::new_current_thread().enable_time().build() else { return false };
        let mut stopped = self.stopped.clone();
        runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(time) => true,
                _ = stopped.wait_for(Option::is_some) => false,
            }
        })
    }

    fn tell(&self, event: Event) {
        // The main thread is gone only when the process ends.
        drop(self.events.blocking_send(event));
    }
}
