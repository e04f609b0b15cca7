//! Who is measured: how each is started, how listeners get in, and how messages do.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use seawall_drill::Client;
use serde_json::{Value, json};

use super::crowd::Crowd;
use super::enter::Way;
use super::play::WINDOW;
use super::publisher::{Entrance, odd};
use super::ring::RingServer;
use super::walk::Walker;
use crate::LabError;
use crate::bench::cpu::{self, Cpu};
use crate::bench::{Options, Plant};
use crate::servers::program::Cores;
use crate::servers::seawall::{Seawall, Setup, System};
use crate::servers::{Server, nats, nchan, nginx};

/// Bots whose sessions listen, in turns. A token with many sessions is what a bot of many shards looks like.
const BOTS: usize = 8;
/// Patience for one call that sets something up.
const CALL_WITHIN: Duration = Duration::from_secs(10);
/// What counts as a message of ours: acknowledgements of heartbeats are shorter.
const MESSAGE_MIN: u64 = 200;

/// What the configuration must allow for a bench: one user opens a thousand sessions at once, and one token sends
/// thousands of messages a second.
pub(super) const SETTINGS: &[(&str, &str)] = &[
    ("chat.identify_max", "1000000"),
    ("chat.rates.global.rate", "1000000/s"),
    ("chat.rates.global.burst", "65535"),
    ("chat.rates.messages.rate", "1000000/s"),
    ("chat.rates.messages.burst", "65535"),
];

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Ours,
    Nats,
    Nchan,
    Ring,
}

/// One side, running.
#[derive(Debug)]
pub(super) struct Side {
    pub name: &'static str,
    way: Way,
    entrance: Entrance,
    /// Where messages enter that nobody listens to.
    quiet: Option<Entrance>,
    walker: Walker,
    servers: Vec<Server>,
    ring: Option<RingServer>,
}

impl Side {
    /// Starts it.
    pub(super) async fn start(who: Who, options: &Options, cores: Cores) -> Result<Side, LabError> {
        let is_slowed = who == Who::Ours && options.plants(Plant::SlowServer);
        match who {
            Who::Ours if options.plants(Plant::Itself) => {
                nats_server("nats-server too", is_slowed, cores).await
            }
            Who::Ours => seawall(options, is_slowed, cores).await,
            Who::Nats => nats_server("nats-server", false, cores).await,
            Who::Nchan => {
                let server = nchan::start(cores.server).await?;
                let address = server.address();
                Ok(Side {
                    name: "nchan",
                    way: Way::Path { address, path: "/sub" },
                    entrance: Entrance::Nchan { address, connections: WINDOW as usize },
                    quiet: None,
                    walker: Walker::frames(MESSAGE_MIN),
                    servers: vec![server],
                    ring: None,
                })
            }
            Who::Ring => {
                let ring = RingServer::start(cores.server)?;
                Ok(Side {
                    name: "bare ring",
                    way: Way::Path { address: ring.listeners, path: "/" },
                    entrance: Entrance::Ring { address: ring.publishers },
                    quiet: None,
                    walker: Walker::frames(MESSAGE_MIN),
                    servers: Vec::new(),
                    ring: Some(ring),
                })
            }
        }
    }

    /// Lets `count` listeners in, and the publisher.
    pub(super) fn gather(&self, count: usize) -> Result<Crowd, LabError> {
        Crowd::gather(&self.way, count, &self.walker, self.entrance.clone())
    }

    /// Nobody listens, to messages that are written all the same; none where messages are not kept.
    pub(super) fn unheard(&self) -> Option<Result<Crowd, LabError>> {
        self.quiet.clone().map(|quiet| Crowd::gather(&self.way, 0, &self.walker, quiet))
    }

    /// Whether what it is told is on disk before anybody hears of it: ours.
    pub(super) fn is_durable(&self) -> bool {
        self.quiet.is_some()
    }

    /// CPU time so far.
    pub(super) fn used(&self) -> Result<Cpu, LabError> {
        let servers: Cpu = self.servers.iter().map(|server| cpu::used(server.pid())).sum::<Result<_, _>>()?;
        match self.ring.as_ref().and_then(RingServer::thread) {
            Some(thread) => Ok(servers + cpu::used_by_thread(thread)?),
            None => Ok(servers),
        }
    }

    /// Memory of its processes, in bytes.
    pub(super) fn resident(&self) -> Result<u64, LabError> {
        self.servers.iter().map(|server| cpu::resident(server.pid())).sum()
    }

    /// Its process, for whoever wants to look into it while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.servers.first().map(Server::pid)
    }
}

async fn nats_server(name: &'static str, is_slowed: bool, cores: Cores) -> Result<Side, LabError> {
    let (server, clients) = nats::start(cores.server).await?;
    let mut address = server.address();
    let mut servers = vec![server];
    if is_slowed {
        address = slow_down(address, &mut servers, cores).await?;
    }
    Ok(Side {
        name,
        way: Way::Subject { address },
        entrance: Entrance::Nats { address: clients },
        quiet: None,
        walker: Walker::nats(),
        servers,
        ring: None,
    })
}

/// Puts a hop before a side, whose work counts as its own.
async fn slow_down(to: SocketAddr, servers: &mut Vec<Server>, cores: Cores) -> Result<SocketAddr, LabError> {
    let hop = nginx::start(nginx::Role::Tunnel { to }, cores.server).await?;
    let address = hop.address();
    servers.push(hop);
    Ok(address)
}

async fn seawall(options: &Options, is_slowed: bool, cores: Cores) -> Result<Side, LabError> {
    let setup = Setup {
        binary: options.seawall.clone(),
        systems: vec![System::Chat],
        settings: SETTINGS.to_vec(),
        core: cores.server,
        ..Setup::default()
    };
    let mut servers = vec![Seawall::start(&setup).await?.into_server()];
    let mut address = servers[0].address();
    let place = Place::make(address).await?;
    if is_slowed {
        address = slow_down(address, &mut servers, cores).await?;
    }
    let entrance = |channel: &str, token: &str| Entrance::Chat {
        address,
        channel: channel.to_owned(),
        token: token.to_owned(),
        connections: WINDOW as usize,
    };
    Ok(Side {
        name: "seawall chat",
        entrance: entrance(&place.channel, &place.tokens[0]),
        quiet: Some(entrance(&place.quiet.0, &place.quiet.1)),
        way: Way::Session { address, tokens: place.tokens },
        walker: Walker::frames(MESSAGE_MIN),
        servers,
        ring: None,
    })
}

/// A guild with bots in it, and another one with nobody who listens.
struct Place {
    tokens: Vec<String>,
    channel: String,
    /// Channel, and the token of its only member.
    quiet: (String, String),
}

impl Place {
    async fn make(address: SocketAddr) -> Result<Place, LabError> {
        let mut operator = Operator(Client::new(address, CALL_WITHIN));
        let (mut ids, mut tokens) = (Vec::new(), Vec::new());
        for i in 0..=BOTS {
            let user = json!({ "username": format!("load{i}"), "bot": true });
            let made = operator.call("POST", "/api/admin/users", &user).await?;
            ids.push(text(&made["user"]["id"])?);
            tokens.push(text(&made["token"])?);
        }
        // The last one is alone.
        let (alone, token) = (ids.pop().unwrap_or_default(), tokens.pop().unwrap_or_default());
        let quiet = operator.guild("quiet", &alone).await?.1;
        let (guild, channel) = operator.guild("loud", &ids[0]).await?;
        for id in &ids[1..] {
            operator.call("PUT", &format!("/api/admin/guilds/{guild}/members/{id}"), &json!({})).await?;
        }
        Ok(Place { tokens, channel, quiet: (quiet, token) })
    }
}

struct Operator(Client);

impl Operator {
    /// Makes a guild; its id, and that of its first text channel.
    async fn guild(&mut self, name: &str, owner: &str) -> Result<(String, String), LabError> {
        let made =
            self.call("POST", "/api/admin/guilds", &json!({ "name": name, "owner_id": owner })).await?;
        let channels = made["channels"].as_array().map(Vec::as_slice).unwrap_or_default();
        let channel = channels.iter().find(|channel| channel["type"] == 0);
        Ok((text(&made["id"])?, text(&channel.map(|channel| channel["id"].clone()).unwrap_or_default())?))
    }

    async fn call(&mut self, method: &str, path: &str, body: &Value) -> Result<Value, LabError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|error| odd("a request", &error.to_string()))?;
        let answer = self.0.send(request, CALL_WITHIN).await;
        let answer = answer.map_err(|error| odd("an answer to the operator", &error.to_string()))?;
        let said = String::from_utf8_lossy(answer.body());
        if !answer.status().is_success() {
            return Err(odd("a good answer to the operator", &format!("{path}: {} {said}", answer.status())));
        }
        Ok(serde_json::from_str(&said).unwrap_or_default())
    }
}

fn text(value: &Value) -> Result<String, LabError> {
    value.as_str().map(str::to_owned).ok_or_else(|| odd("a text in an operator's answer", &value.to_string()))
}
