//! Who plays: started, filled, and asked by so many clients.

use std::net::SocketAddr;
use std::path::Path;

use seawall_policy::Rng;

use super::aside::Aside;
use super::op::{Key, Op, SCHEMA};
use super::ours::Ours;
use super::postgres::Postgres;
use super::redis::Redis;
use super::row::Row;
use super::world::{Fresh, Loaded, Scale};
use crate::LabError;
use crate::bench::cpu::{self, Cpu};
use crate::bench::{Options, Plant};
use crate::servers::program::Cores;
use crate::servers::seawall::{Seawall, Setup, System};
use crate::servers::{Server, postgres, redis};
use futures_util::future::try_join_all;

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Ours,
    Redis,
    Postgres,
    Aside,
}

impl Who {
    pub(super) fn name(self) -> &'static str {
        match self {
            Who::Ours => "seawall graph",
            Who::Redis => "Redis",
            Who::Postgres => "PostgreSQL",
            Who::Aside => "Redis before PostgreSQL",
        }
    }
}

/// What a cache may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// Our two caches, as `--set` takes them.
    pub follower: &'static str,
    pub leader: &'static str,
    /// Both together, bytes: what Redis gets before PostgreSQL.
    pub bytes: u64,
}

/// What a side is held to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits<'a> {
    /// Of its cache.
    pub cache: Option<Memory>,
    /// Of all its processes together.
    pub group: Option<&'a Path>,
}

/// One client of a side.
#[derive(Debug)]
pub(super) enum Client {
    Ours(Ours),
    Redis(Redis),
    Postgres(Postgres),
    Aside(Box<Aside>),
}

impl Client {
    /// Does one operation of a mix; how often it had to be begun again.
    pub(super) async fn call(&mut self, op: &Op) -> Result<u64, LabError> {
        match self {
            Client::Ours(client) => client.call(op).await.map(|()| 0),
            Client::Redis(client) => client.call(op).await.map(|()| 0),
            Client::Postgres(client) => client.call(op).await,
            Client::Aside(client) => client.call(op).await,
        }
    }

    /// The stamp that a read shows now.
    pub(super) async fn look(&mut self, key: Key) -> Result<Option<u32>, LabError> {
        match self {
            Client::Ours(client) => client.look(key).await,
            Client::Redis(client) => client.look(key).await,
            Client::Postgres(client) => client.look(key).await,
            Client::Aside(client) => client.look(key).await,
        }
    }

    /// One of a row that asks for one thing.
    pub(super) async fn shot(
        &mut self,
        row: Row,
        scale: Scale,
        fresh: &Fresh,
        rng: &mut Rng,
    ) -> Result<(), LabError> {
        match self {
            Client::Ours(client) => client.shot(row, scale, fresh, rng).await,
            Client::Redis(client) => client.shot(row, scale, rng).await,
            Client::Postgres(client) => client.shot(row, scale, fresh, rng).await,
            // It plays the mixes only.
            Client::Aside(_) => Ok(()),
        }
    }

    /// Hits and misses of the cache; none where there is no cache.
    async fn hits(&mut self) -> Result<Option<(u64, u64)>, LabError> {
        match self {
            Client::Ours(client) => client.hits().await.map(Some),
            Client::Aside(client) => client.hits().await.map(Some),
            Client::Redis(_) | Client::Postgres(_) => Ok(None),
        }
    }
}

/// One side, running, with everything in it.
#[derive(Debug)]
pub(super) struct Side {
    pub name: &'static str,
    pub clients: Vec<Client>,
    /// Asks when nobody else does: for hits, and for what a check reads.
    pub checker: Client,
    /// Every request is sent twice, and counted once.
    pub is_slowed: bool,
    servers: Vec<Server>,
}

impl Side {
    /// Starts it, puts everything in and lets the clients connect.
    pub(super) async fn start(
        who: Who,
        Limits { cache: memory, group }: Limits<'_>,
        loaded: &Loaded,
        clients: usize,
        (options, cores): (&Options, Cores),
    ) -> Result<Side, LabError> {
        let core = cores.server;
        let servers = match who {
            Who::Ours => vec![seawall(memory, group, options, cores).await?],
            Who::Redis => vec![redis::start(core, None, group).await?],
            Who::Postgres => vec![postgres::start(core, group).await?],
            Who::Aside => {
                let cache = redis::start(core, memory.map(|memory| memory.bytes), group).await?;
                vec![cache, postgres::start(core, group).await?]
            }
        };
        let addresses: Vec<SocketAddr> = servers.iter().map(Server::address).collect();
        load(who, &addresses, loaded, clients).await?;
        let mut connected = Vec::with_capacity(clients);
        for _ in 0..clients {
            connected.push(connect(who, &addresses).await?);
        }
        let checker = connect(who, &addresses).await?;
        Ok(Side { name: who.name(), clients: connected, checker, is_slowed: false, servers })
    }

    /// The same with `options`' plants: this is to stand in our place.
    pub(super) fn planted(mut self, name: &'static str, options: &Options) -> Side {
        self.name = name;
        self.is_slowed = options.plants(Plant::SlowServer);
        self
    }

    /// CPU time so far.
    pub(super) fn used(&self) -> Result<Cpu, LabError> {
        self.servers.iter().map(|server| cpu::used_by_family(server.pid())).sum()
    }

    /// Hits and misses of its cache so far.
    pub(super) async fn hits(&mut self) -> Result<Option<(u64, u64)>, LabError> {
        self.checker.hits().await
    }

    /// Memory of its processes, in bytes; what a family shares is counted in the first of it only.
    pub(super) fn resident(&self) -> Result<u64, LabError> {
        self.servers.iter().map(|server| cpu::resident(server.pid())).sum()
    }
}

async fn seawall(
    memory: Option<Memory>,
    group: Option<&Path>,
    options: &Options,
    cores: Cores,
) -> Result<Server, LabError> {
    let mut settings = Vec::new();
    if let Some(Memory { follower, leader, .. }) = memory {
        settings.extend([("graph.follower_cache", follower), ("graph.leader_cache", leader)]);
    }
    let setup = Setup {
        binary: options.seawall.clone(),
        systems: vec![System::Graph],
        settings,
        schema: Some(SCHEMA),
        group: group.map(Path::to_owned),
        core: cores.server,
        ..Setup::default()
    };
    Ok(Seawall::start(&setup).await?.into_server())
}

async fn connect(who: Who, addresses: &[SocketAddr]) -> Result<Client, LabError> {
    let first = addresses[0];
    Ok(match who {
        Who::Ours => Client::Ours(Ours::connect(first).await?),
        Who::Redis => Client::Redis(Redis::connect(first).await?),
        Who::Postgres => Client::Postgres(Postgres::connect(first).await?),
        Who::Aside => Client::Aside(Box::new(Aside::connect(first, addresses[1]).await?)),
    })
}

async fn load(who: Who, addresses: &[SocketAddr], loaded: &Loaded, clients: usize) -> Result<(), LabError> {
    match who {
        Who::Ours => {
            // Through the front door, many at a time: each write is durable, and those that wait share a commit.
            let connecting = (0..clients).map(|_| Ours::connect(addresses[0]));
            let mut loaders = try_join_all(connecting).await?;
            let objects = loaders.iter_mut().enumerate().map(|(i, client)| client.load(loaded, i, clients));
            try_join_all(objects).await?;
            let edges =
                loaders.iter_mut().enumerate().map(|(i, client)| client.load_edges(loaded, i, clients));
            try_join_all(edges).await?;
            Ok(())
        }
        Who::Redis => Redis::connect(addresses[0]).await?.load(loaded).await,
        Who::Postgres => Postgres::load(addresses[0], loaded).await,
        Who::Aside => Postgres::load(addresses[1], loaded).await,
    }
}
