//! `seawall up`: starts systems, each on a thread and runtime of its own, and keeps them up.
//!
//! ```text
//! main thread                        one thread per system
//! ───────────                        ─────────────────────
//! configuration, log, data folder
//! bound sockets, files, clock  ───►  loop { build runtime, start, wait for the end,
//! signals, ready table         ◄───         shut the runtime down, ask `Restart` }
//! ```
//! What outlives a restart stays on the left; everything with a runtime type in it dies with the right.

mod data;
mod limits;
mod logging;
mod supervise;
mod system;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use seawall_net::clock::SystemClock;
use seawall_net::host::{Endpoint, Plants};
use seawall_net::listeners::Listeners;
use seawall_policy::Clock;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::exit::Failure;
use supervise::{Event, Shared, Thread};
pub(crate) use system::System;

/// Events waiting to be read by the main thread; a system sends two in a normal life.
const EVENTS_MAX: usize = 64;

/// What is left to a system whose turn to stop comes when the time is over: enough to close idle connections.
const GRACE_MIN: Duration = Duration::from_millis(500);

/// What the command line said.
pub(crate) struct Up {
    /// None means all.
    pub(crate) systems: Vec<System>,
    /// The file named by `--config`.
    pub(crate) file: Option<PathBuf>,
    /// Each `--set`.
    pub(crate) set: Vec<String>,
    /// The data folder.
    pub(crate) data: PathBuf,
    /// Faults to plant.
    pub(crate) plants: Vec<String>,
    /// The ready table as JSON.
    pub(crate) json: bool,
}

impl Up {
    /// Runs until told to stop.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let config = Config::load(self.file.as_deref(), &self.set)?;
        logging::start(&config.log)?;
        warn_of(&config);
        limits::raise_open_files();
        let plants = Plants::new(&self.plants).map_err(Failure::Usage)?;
        for plant in &self.plants {
            tracing::warn!(plant, "a fault was planted on purpose; this is no normal service");
        }
        data::prepare(&self.data).map_err(Failure::Failed)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let seed = data::seed().map_err(Failure::Failed)?;
        let shared = Arc::new(Shared {
            files: data::files(&self.data, clock.clone(), seed, &plants),
            listeners: Listeners::new(config.exposure()?),
            discovery: data::discovery(&config, &self.data).map_err(Failure::Failed)?,
            clock,
            seed,
            plants,
            workers: config.up.workers,
        });
        let mut systems = if self.systems.is_empty() { System::ALL.to_vec() } else { self.systems.clone() };
        systems.sort();
        systems.dedup();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Failure::Failed(format!("cannot start a runtime: {e}")))?;
        runtime.block_on(self.oversee(systems, config, shared))
    }

    async fn oversee(
        &self,
        systems: Vec<System>,
        config: Config,
        shared: Arc<Shared>,
    ) -> Result<ExitCode, Failure> {
        let (drain, clock) = (config.up.drain, shared.clock.clone());
        let mut signals = Signals::listen()?;
        let (send, mut events) = mpsc::channel(EVENTS_MAX);
        let live = watch::Sender::new(Arc::new(config));
        let mut threads = BTreeMap::new();
        for system in &systems {
            let thread = Thread::start(*system, shared.clone(), live.subscribe(), send.clone())
                .map_err(|e| Failure::Failed(format!("cannot start a thread for {}: {e}", system.name())))?;
            threads.insert(*system, thread);
        }
        drop(send);

        let mut ready: BTreeMap<System, Vec<Endpoint>> = BTreeMap::new();
        let mut outcome = Ok(ExitCode::SUCCESS);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Started(system, endpoints)) => {
                        let first = ready.insert(system, endpoints).is_none();
                        if first && ready.len() == systems.len() {
                            table::print(&ready, self.json);
                        }
                    }
                    Some(Event::CouldNotStart(system, why)) => {
                        // Its thread is gone; the others are stopped below, and nobody waits for it there.
                        threads.remove(&system);
                        outcome = Err(Failure::Failed(why));
                        break;
                    }
                    Some(Event::Ended(system)) => {
                        threads.remove(&system);
                        if threads.is_empty() { break }
                    }
                    Some(Event::Stuck(system)) => {
                        return Err(Failure::Internal(format!(
                            "{} did not end within {:?}; ending the process so that a service manager can start it afresh",
                            system.name(), supervise::SHUTDOWN_MAX)));
                    }
                    None => break,
                },
                signal = signals.next() => match signal {
                    Told::Stop => break,
                    Told::Reload => self.reload(&live),
                },
            }
        }
        tokio::select! {
            stopped = stop_all(&mut threads, &mut events, drain, &*clock) => stopped?,
            () = signals.again() => {
                return Err(Failure::Failed("told to stop a second time, ended without draining".into()));
            }
        }
        outcome
    }

    /// Reads the file again. A bad one is refused whole and the last good one kept.
    fn reload(&self, live: &watch::Sender<Arc<Config>>) {
        match Config::load(self.file.as_deref(), &self.set) {
            Ok(config) => {
                warn_of(&config);
                tracing::info!(
                    "configuration read again; the balancer's routes and policies apply now, all else at the next start"
                );
                live.send_replace(Arc::new(config));
            }
            Err(bad) => tracing::error!(problems = %bad, "configuration refused, keeping the last good one"),
        }
    }
}

/// What is taken as it is and should be known.
fn warn_of(config: &Config) {
    for problem in &config.warnings {
        tracing::warn!(problem, "a policy may not do what it seems to say");
    }
}

/// Stops what serves others last: the systems, then the balancer before them, then the registry. All of them
/// together have `drain`, and the later ones at least a moment.
async fn stop_all(
    threads: &mut BTreeMap<System, Thread>,
    events: &mut mpsc::Receiver<Event>,
    drain: Duration,
    clock: &dyn Clock,
) -> Result<(), Failure> {
    let begun = clock.now();
    for wave in System::STOP_ORDER {
        let grace = drain.saturating_sub(clock.now() - begun).max(GRACE_MIN);
        for system in *wave {
            if let Some(thread) = threads.get(system) {
                thread.stop(grace);
            }
        }
        while wave.iter().any(|s| threads.contains_key(s)) {
            // The supervisor itself bounds each run's end, so an event always comes.
            match events.recv().await {
                Some(Event::Ended(system) | Event::CouldNotStart(system, _)) => {
                    threads.remove(&system);
                }
                Some(Event::Stuck(system)) => {
                    return Err(Failure::Internal(format!("{} did not end when asked to", system.name())));
                }
                Some(Event::Started(..)) => {}
                None => return Ok(()),
            }
        }
    }
    Ok(())
}

/// What the operator asked for by signal.
enum Told {
    Stop,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Signals, Failure> {
        let listen =
            |kind| signal(kind).map_err(|e| Failure::Failed(format!("cannot listen for signals: {e}")));
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Returns when a stop is asked for, whatever else is.
    async fn again(&mut self) {
        while let Told::Reload = self.next().await {}
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }
}
