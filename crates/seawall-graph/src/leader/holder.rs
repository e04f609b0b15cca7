//! Who leads: one process per data folder, by a row that it renews. How the row is judged is said in
//! [`seawall_cluster::lease`]; here it is read, taken, renewed and given back, and a term begins with the epochs that
//! are claimed with it.

use std::sync::Arc;
use std::time::Duration;

use seawall_cluster::lease::{Core, LOOK, RENEW, Row, Step};
use seawall_net::host::chain;
use seawall_net::tasks::Tasks;
use seawall_policy::deadline::Deadline;
use seawall_policy::{Clock, Wall};

use super::{Leader, Release, Term};
use crate::degrade::{Ladders, Stage};
use crate::storage::{Lease, Storage};

/// How long before the end of the grace time the lease is given back, if nobody has done it before.
const RELEASE_BEFORE: Duration = Duration::from_millis(500);
/// How long settling the schema may take when a term begins.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);

/// Holds the lease while it can.
pub struct Holder {
    leader: Arc<Leader>,
    storage: Storage,
    ladders: Ladders,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    core: Core,
    /// Our name and address; the time of the last renewal.
    ours: Lease,
    /// The lease was given back and is not taken again.
    is_leaving: bool,
    /// Another process was seen to lead; said once.
    is_following: bool,
}

/// What of a lease is judged.
fn judged(lease: &Lease) -> Row<'_> {
    Row { holder: &lease.holder, address: &lease.address, renewed_at: lease.renewed_at }
}

impl Holder {
    /// For a process of this name that listens at this address.
    #[must_use]
    pub fn new(leader: &Arc<Leader>, holder: String, address: String, tasks: &Tasks) -> Holder {
        Holder {
            storage: leader.storage.clone(),
            ladders: leader.ladders.clone(),
            clock: leader.clock.clone(),
            tasks: tasks.clone(),
            core: Core::new(holder.clone(), address.clone()),
            ours: Lease { holder, address, renewed_at: Wall(0) },
            leader: leader.clone(),
            is_leaving: false,
            is_following: false,
        }
    }

    /// For as long as the runtime lives: also while it drains there is something to ask the leader.
    pub async fn run(mut self) {
        loop {
            let Ok(term) = self.leader.term() else {
                self.look().await;
                if self.leader.check().is_err() {
                    tokio::select! {
                        () = self.leaving(), if !self.is_leaving => self.leave(),
                        () = tokio::time::sleep(LOOK) => {}
                    }
                }
                continue;
            };
            tokio::select! {
                () = term.lost() => self.lose(&term),
                () = self.leaving() => self.give_back(&term).await,
                () = tokio::time::sleep(RENEW) => self.renew(&term).await,
            }
        }
    }

    /// Looks who has the lease, and takes it if nobody does.
    pub async fn look(&mut self) {
        let row = match self.storage.lease().await {
            Ok(row) => row,
            Err(trouble) => return tracing::debug!(?trouble, "cannot read who leads the graph"),
        };
        let (now, wall) = (self.clock.now(), self.clock.wall());
        match (self.core.look(row.as_ref().map(judged), now, wall), row) {
            (Step::Take, _) if self.is_leaving => {}
            (Step::Take, seen) => {
                self.renewed();
                match self.storage.lease_take(&self.ours, seen.as_ref()).await {
                    Ok(true) => self.claim().await,
                    Ok(false) => {}
                    Err(trouble) => tracing::debug!(?trouble, "cannot take the lease of the graph"),
                }
            }
            (Step::Ours, Some(row)) => {
                self.ours = row;
                self.claim().await;
            }
            (Step::Follow, Some(row)) => {
                self.ladders.set_stage(Stage::Standby);
                if !std::mem::replace(&mut self.is_following, true) {
                    tracing::info!(leader = row.address, "another process leads the graph; standing by");
                }
            }
            (Step::Ours | Step::Follow, None) => {}
        }
    }

    /// The lease is ours: fences whoever wrote before, and begins.
    async fn claim(&mut self) {
        let epochs = match self.storage.claim().await {
            Ok(epochs) => epochs,
            Err(trouble) => return tracing::warn!(?trouble, "cannot claim the graph yet"),
        };
        let term = Arc::new(Term::new(epochs, self.leader.seed));
        let deadline = Deadline::after(self.clock.now(), SETTLE_PATIENCE);
        if let Err(error) = self.leader.settle_schema(&term, deadline).await {
            return tracing::warn!(error = chain(&error), "cannot read or write the schema yet");
        }
        let epoch = term.epochs.first().copied().unwrap_or_default().0;
        self.leader.begin(term);
        self.is_following = false;
        self.ladders.set_stage(Stage::Leading);
        tracing::info!(epoch, "this process leads the graph");
    }

    async fn renew(&mut self, term: &Term) {
        let before = self.ours.clone();
        self.renewed();
        match self.storage.lease_take(&self.ours, Some(&before)).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!("another process took the graph over");
                term.lose();
            }
            // Nobody else can take it either while the store does not write; the epochs hold until then.
            Err(trouble) => {
                tracing::warn!(?trouble, "cannot renew the lease of the graph; serving goes on");
                self.ours = match self.storage.lease().await {
                    Ok(Some(row)) if row.holder == self.ours.holder => row,
                    _ => before,
                };
            }
        }
    }

    /// Always another time than before, or a follower could not tell.
    fn renewed(&mut self) {
        self.ours.renewed_at = Wall(self.clock.wall().0.max(self.ours.renewed_at.0 + 1));
    }

    fn lose(&self, term: &Term) {
        self.leader.end(term);
        self.ladders.set_stage(Stage::Standby);
    }

    /// Returns when the lease is to be given back: we were told to, or the grace time of a stop is nearly over.
    async fn leaving(&self) {
        let mut release = self.leader.release.subscribe();
        let told = async { drop(release.wait_for(|release| *release != Release::Held).await) };
        let stopping = async {
            let grace = self.tasks.stopping().await;
            tokio::time::sleep(grace.saturating_sub(RELEASE_BEFORE)).await;
        };
        tokio::select! {
            () = told => {}
            () = stopping => {}
        }
    }

    async fn give_back(&mut self, term: &Term) {
        // First: no write of ours may follow one of the next leader.
        self.lose(term);
        match self.storage.lease_release(&self.ours.holder).await {
            Ok(()) => tracing::info!("the lead of the graph is given back"),
            Err(trouble) => tracing::warn!(?trouble, "the lease stays until it ends by itself"),
        }
        self.leave();
    }

    /// From now on it is not taken again.
    fn leave(&mut self) {
        self.is_leaving = true;
        self.leader.release.send_replace(Release::Done);
    }
}
