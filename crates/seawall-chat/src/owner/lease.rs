//! Who decides: one process per data folder, by a row that it renews. How the row is judged is said in
//! [`seawall_cluster::lease`]; here it is read, taken, renewed and given back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use seawall_cluster::lease::{Core, LOOK, RENEW, Row, Step};
use seawall_net::host::Host;
use seawall_policy::Wall;
use tokio::sync::watch;

use super::limits::Limits;
use super::reign::{Metrics, Reign, SCOPE};
use crate::storage::{Lease, Storage};

/// How long before the end of the grace time the lease is given back, if nobody has done it before.
const RELEASE_BEFORE: Duration = Duration::from_millis(500);

/// Who decides, as this process knows it.
#[derive(Clone)]
pub(super) enum Role {
    /// Nobody that we know of.
    Nobody,
    /// We do.
    Here(Arc<Reign>),
    /// Another process.
    There(Arc<Lease>),
}

/// Holds the lease while it can and says who does.
pub(super) struct Holder {
    pub(super) storage: Arc<Storage>,
    pub(super) host: Host,
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    /// Our name, address and key; the time of the last renewal.
    pub(super) ours: Lease,
    pub(super) role: watch::Sender<Role>,
    pub(super) core: Core,
    /// Set once the lease is to be given back.
    pub(super) release: watch::Receiver<bool>,
    /// It was given back and is not taken again.
    pub(super) is_leaving: bool,
}

impl Holder {
    /// For as long as the runtime lives: also while it drains there is something to ask the owner.
    pub(super) async fn run(mut self) {
        loop {
            let held = match &*self.role.borrow() {
                Role::Here(reign) => Some(reign.clone()),
                Role::Nobody | Role::There(_) => None,
            };
            let Some(reign) = held else {
                self.look().await;
                let is_held = matches!(&*self.role.borrow(), Role::Here(_));
                tokio::time::sleep(if is_held { Duration::ZERO } else { LOOK }).await;
                continue;
            };
            tokio::select! {
                () = reign.lost() => self.lose(&reign),
                () = self.leaving(&reign) => self.give_back(&reign).await,
                () = tokio::time::sleep(RENEW) => self.renew(&reign).await,
            }
        }
    }

    /// Looks who has it, and takes it if nobody does.
    pub(super) async fn look(&mut self) {
        let row = match self.storage.lease().await {
            Ok(row) => row,
            Err(error) => return tracing::debug!(%error, "cannot read who owns the guilds"),
        };
        let (now, wall) = (self.host.clock.now(), self.host.clock.wall());
        match (self.core.look(row.as_ref().map(judged), now, wall), row) {
            (Step::Take, _) if self.is_leaving => {
                self.role.send_replace(Role::Nobody);
            }
            (Step::Take, seen) => {
                self.renewed();
                match self.storage.lease_take(&self.ours, seen.as_ref()).await {
                    Ok(true) => self.claim().await,
                    Ok(false) => {}
                    Err(error) => tracing::debug!(%error, "cannot take the lease of the guilds"),
                }
            }
            (Step::Ours, Some(row)) => {
                self.ours = row;
                self.claim().await;
            }
            (Step::Follow, Some(row)) => {
                // The time of renewal says nothing to who calls there.
                self.role.send_if_modified(|role| {
                    let is_known = matches!(role, Role::There(known)
                        if (&known.holder, &known.address, &known.key) == (&row.holder, &row.address, &row.key));
                    if !is_known {
                        tracing::info!(owner = row.address, "another process owns the guilds");
                        *role = Role::There(Arc::new(row));
                    }
                    !is_known
                });
            }
            (Step::Ours | Step::Follow, None) => {}
        }
    }

    /// The lease is ours: fences whoever wrote before, and begins.
    async fn claim(&mut self) {
        let epochs = match self.storage.claim(SCOPE).await {
            Ok(epochs) => epochs,
            Err(error) => return tracing::warn!(%error, "cannot claim the guilds yet"),
        };
        let reign = Reign::new(
            self.storage.clone(),
            &self.host,
            self.limits.clone(),
            self.metrics.clone(),
            self.ours.key.clone(),
            epochs,
        );
        tracing::info!(epoch = reign.epoch().0, "this process owns the guilds");
        self.role.send_replace(Role::Here(reign));
    }

    async fn renew(&mut self, reign: &Reign) {
        let before = self.ours.clone();
        self.renewed();
        match self.storage.lease_take(&self.ours, Some(&before)).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!("another process took the guilds over");
                reign.lose();
            }
            // Nobody else can take it either while the store does not write; the epochs hold until then.
            Err(error) => {
                tracing::warn!(%error, "cannot renew the lease of the guilds; serving goes on");
                self.ours = match self.storage.lease().await {
                    Ok(Some(row)) if row.holder == self.ours.holder => row,
                    _ => before,
                };
            }
        }
    }

    /// Always another time than before, or a follower could not tell.
    fn renewed(&mut self) {
        self.ours.renewed_at = Wall(self.host.clock.wall().0.max(self.ours.renewed_at.0 + 1));
    }

    fn lose(&self, reign: &Reign) {
        reign.lose();
        self.metrics.lost.inc();
        self.role.send_replace(Role::Nobody);
    }

    /// Returns when the lease is to be given back: we were told to, or we stop and another process listens and so
    /// can take it at once, or the grace time is nearly over.
    async fn leaving(&self, reign: &Reign) {
        let mut release = self.release.clone();
        let told = async { drop(release.wait_for(|release| *release).await) };
        let stopping = async {
            let grace = self.host.tasks.stopping().await;
            if reign.remote_listeners() == 0 {
                tokio::time::sleep(grace.saturating_sub(RELEASE_BEFORE)).await;
            }
        };
        tokio::select! {
            () = told => {}
            () = stopping => {}
        }
    }

    async fn give_back(&mut self, reign: &Reign) {
        self.is_leaving = true;
        reign.lose();
        match self.storage.lease_release(&self.ours.holder).await {
            Ok(()) => tracing::info!("the guilds are given back"),
            Err(error) => tracing::warn!(%error, "the lease stays until it ends by itself"),
        }
        self.role.send_replace(Role::Nobody);
    }
}

/// What of a lease is judged.
fn judged(lease: &Lease) -> Row<'_> {
    Row { holder: &lease.holder, address: &lease.address, renewed_at: lease.renewed_at }
}

/// An address others on this machine reach us by.
pub(super) fn reachable(own: SocketAddr) -> SocketAddr {
    let ip = match own.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, own.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somewhere_everywhere_is_here() {
        assert_eq!(reachable("0.0.0.0:7020".parse().unwrap()), "127.0.0.1:7020".parse().unwrap());
        assert_eq!(reachable("[::]:7020".parse().unwrap()), "[::1]:7020".parse().unwrap());
        assert_eq!(reachable("127.0.0.9:1".parse().unwrap()), "127.0.0.9:1".parse().unwrap());
    }
}
