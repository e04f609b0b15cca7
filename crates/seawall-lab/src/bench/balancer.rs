//! Keep-alive proxying of a small answer, against nginx with upstream keepalive: what a balancer
//! costs when nothing goes wrong. Both pass the same origin, an nginx on the load's core.

use super::contest::{Contest, Sample, Side};
use super::wrk::Wrk;
use super::{Options, Plant};
use crate::LabError;
use crate::servers::nginx::{self, ORIGIN_BODY, Role};
use crate::servers::program::Cores;
use crate::servers::seawall::{Route, Seawall, Setup, System};

/// The `Host` of every request, and of the one route.
const HOST: &str = "bench.test";
/// What is asked for.
const PATH: &str = "/sixteen";

pub(super) async fn prepare(options: &Options, cores: Cores) -> Result<Contest, LabError> {
    let origin = nginx::start(Role::Origin, cores.load).await?;
    let proxy = Role::Proxy { to: origin.address() };
    let ours = if options.plants(Plant::Itself) {
        Side::new("nginx proxy too", nginx::start(proxy, cores.server).await?)
    } else {
        let setup = Setup {
            binary: options.seawall.clone(),
            systems: vec![System::Balancer],
            routes: vec![Route { host: HOST.to_owned(), backends: vec![origin.address()] }],
            core: cores.server,
            ..Setup::default()
        };
        Side::new("seawall balancer", Seawall::start(&setup).await?.into_server())
    };
    let theirs = Side::new("nginx proxy", nginx::start(proxy, cores.server).await?);
    let path = PATH.to_owned();
    Ok(Contest {
        name: "balancer",
        operation: format!("a proxied GET of {} bytes", ORIGIN_BODY.len()),
        notes: Vec::new(),
        ours,
        theirs,
        load: Wrk::new(HOST, std::slice::from_ref(&path), cores.load)?,
        host: HOST,
        samples: vec![Sample { path, status: 200, location: None, body: Some(ORIGIN_BODY) }],
        others: vec![origin],
    })
}
