//! What the log drives: the machine, the deadlines that follow from it, and those who watch it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use seawall_policy::Clock;

use crate::leases::Leases;
use crate::machine::{Command, Effects, Machine, Reply};
use crate::watch::Hub;

/// The registry in memory. One writer (the log, in order), many readers.
pub struct State {
    machine: RwLock<Machine>,
    leases: Mutex<Leases>,
    /// Those who wait for a change.
    pub hub: Arc<Hub>,
    clock: Arc<dyn Clock>,
}

impl State {
    /// A state to go on from; every lease in it starts afresh.
    #[must_use]
    pub fn new(machine: Machine, hub: Arc<Hub>, clock: Arc<dyn Clock>) -> Arc<State> {
        let leases = Mutex::new(Leases::new(&machine, clock.now()));
        Arc::new(State { machine: RwLock::new(machine), leases, hub, clock })
    }

    /// Applies commands that are durable and in order, the first at `index`.
    pub fn apply(&self, index: u64, commands: &[Command]) -> Vec<Reply> {
        let mut all = Effects::default();
        let mut replies = Vec::with_capacity(commands.len());
        let last = {
            let mut machine = self.machine.write().unwrap_or_else(PoisonError::into_inner);
            for (index, command) in (index..).zip(commands) {
                let (reply, effects) = machine.apply(index, command);
                replies.push(reply);
                all.merge(effects);
            }
            machine.index()
        };
        if !all.checks.is_empty() {
            let now = self.clock.now();
            let mut leases = self.leases();
            let machine = self.machine();
            for key in &all.checks {
                leases.settle(key, machine.check(&key.0, &key.1).map(|check| &**check), now);
            }
        }
        self.hub.wake(&all.touched, last);
        replies
    }

    /// The machine, to read. Never across an await, and never before [`State::leases`] in one breath.
    pub fn machine(&self) -> RwLockReadGuard<'_, Machine> {
        self.machine.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The deadlines. Taken before the machine where both are needed.
    pub fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
