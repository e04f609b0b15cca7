//! Our own binary, started as a user would start it: `seawall up SYSTEM… --config FILE --data DIR`.
//!
//! What this crate takes for granted about the binary (commands, keys, ports that answer
//! `/-/ready`) stands in this file and nowhere else.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use seawall_drill::fault::process::{Process, Spec, free_ports};

use super::memory::within;
use super::program::pinned;
use super::{Server, folder, write};
use crate::LabError;

/// Hang guard for `seawall links import`: twenty thousand take seconds.
const IMPORT_WITHIN: Duration = Duration::from_secs(300);

/// A system of the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// The service registry.
    Registry,
    /// The load balancer.
    Balancer,
    /// The link shortener.
    Links,
    /// Chat.
    Chat,
    /// The graph; clients reach it by RESP.
    Graph,
}

impl System {
    fn name(self) -> &'static str {
        match self {
            System::Registry => "registry",
            System::Balancer => "balancer",
            System::Links => "links",
            System::Chat => "chat",
            System::Graph => "graph",
        }
    }
}

/// A host the balancer answers for.
#[derive(Debug, Clone)]
pub struct Route {
    /// The `Host` of requests.
    pub host: String,
    /// Who answers them.
    pub backends: Vec<SocketAddr>,
}

/// What to start.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The built binary.
    pub binary: PathBuf,
    /// Systems to run in one process, at least one; clients are sent to the first.
    pub systems: Vec<System>,
    /// The balancer's routes.
    pub routes: Vec<Route>,
    /// What else is configured, as `--set KEY=VALUE`.
    pub settings: Vec<(&'static str, &'static str)>,
    /// The graph's schema, where it is not the built-in one.
    pub schema: Option<&'static str>,
    /// What its memory is limited to.
    pub group: Option<PathBuf>,
    /// The core to tie it to.
    pub core: Option<u32>,
}

/// A running seawall. Dropping it kills the process and removes its data.
#[derive(Debug)]
pub struct Seawall {
    server: Server,
    addresses: BTreeMap<System, SocketAddr>,
    binary: PathBuf,
}

impl Seawall {
    /// Starts it on free ports with an empty data folder; returns when every system is ready.
    ///
    /// # Errors
    /// When the binary is missing, or does not get ready; then with its own words.
    ///
    /// # Panics
    /// When no system is named.
    pub async fn start(setup: &Setup) -> Result<Seawall, LabError> {
        let first = *setup.systems.first().expect("a caller names what it wants started");
        let binary =
            fs::canonicalize(&setup.binary).map_err(|_| LabError::NotBuilt { path: setup.binary.clone() })?;
        let folder = folder()?;
        let ports = Ports::find()?;
        let file = folder.path().join("seawall.toml");
        let mut text = ports.configuration(&setup.routes);
        if let Some(schema) = setup.schema {
            let path = folder.path().join("schema.toml");
            write(&path, schema)?;
            text = text.replace("[graph]", &format!("[graph]\nschema = \"{}\"", path.display()));
        }
        write(&file, &text)?;

        let mut args = vec!["up".into()];
        args.extend(setup.systems.iter().map(|system| system.name().into()));
        args.extend(["--config".into(), file.into()]);
        args.extend(["--data".into(), folder.path().join("data").into()]);
        for (key, value) in &setup.settings {
            args.extend(["--set".into(), format!("{key}={value}").into()]);
        }
        let ready: Vec<_> = setup.systems.iter().map(|system| ports.ready(*system)).collect();
        let command = within(setup.group.as_deref(), pinned(&binary, args, setup.core));
        let server = Server::start("seawall", command, folder, ports.clients(first), &ready).await?;
        let addresses = setup.systems.iter().map(|system| (*system, ports.clients(*system))).collect();
        Ok(Seawall { server, addresses, binary })
    }

    /// Where clients reach `system`; none when it was not started.
    #[must_use]
    pub fn address(&self, system: System) -> Option<SocketAddr> {
        self.addresses.get(&system).copied()
    }

    /// The process, for whoever no longer cares that it is ours.
    #[must_use]
    pub fn into_server(self) -> Server {
        self.server
    }

    /// Shortens `urls` with the binary's own `links import`; returns (code, URL) of each.
    ///
    /// # Errors
    /// When one of them is rejected, or links was not started.
    pub async fn import(&self, urls: &[String]) -> Result<Vec<(String, String)>, LabError> {
        let to = self.address(System::Links).ok_or(LabError::Unreadable {
            what: "the address of links, which was not started",
            found: String::new(),
        })?;
        let folder = folder()?;
        let (file, map) = (folder.path().join("urls"), folder.path().join("map"));
        write(&file, &urls.join("\n"))?;
        let mut args = vec!["links".into(), "--server".into(), to.to_string().into()];
        args.extend(["import".into(), file.into(), "--map".into(), map.clone().into()]);
        let spec = Spec {
            name: "import".to_owned(),
            binary: self.binary.clone(),
            args,
            env: Vec::new(),
            folder: folder.path().to_owned(),
        };
        let status = Process::start(&spec)?.ended(IMPORT_WITHIN).await?;
        if !status.success() {
            let output = read(&folder.path().join("import.stderr"))?;
            return Err(LabError::Failed { name: "seawall links import".to_owned(), status, output });
        }
        parse_map(&read(&map)?)
    }
}

fn read(path: &Path) -> Result<String, LabError> {
    fs::read_to_string(path).map_err(LabError::io(format!("read {}", path.display())))
}

fn parse_map(text: &str) -> Result<Vec<(String, String)>, LabError> {
    let pair = |line: &str| line.split_once('\t').map(|(code, url)| (code.to_owned(), url.to_owned()));
    text.lines()
        .map(|line| {
            pair(line).ok_or_else(|| LabError::Unreadable {
                what: "a line `code<TAB>url` of the import's map",
                found: line.to_owned(),
            })
        })
        .collect()
}

/// One free address for everything the binary may listen on.
#[derive(Debug)]
struct Ports {
    registry: SocketAddr,
    balancer: SocketAddr,
    admin: SocketAddr,
    links: SocketAddr,
    chat: SocketAddr,
    graph: SocketAddr,
    resp: SocketAddr,
}

impl Ports {
    fn find() -> Result<Ports, LabError> {
        let ports = free_ports(7).map_err(LabError::io("find free ports"))?;
        let address = |i: usize| SocketAddr::from((Ipv4Addr::LOCALHOST, ports[i]));
        Ok(Ports {
            registry: address(0),
            balancer: address(1),
            admin: address(2),
            links: address(3),
            chat: address(4),
            graph: address(5),
            resp: address(6),
        })
    }

    fn clients(&self, system: System) -> SocketAddr {
        match system {
            System::Registry => self.registry,
            System::Balancer => self.balancer,
            System::Links => self.links,
            System::Chat => self.chat,
            System::Graph => self.resp,
        }
    }

    /// Who answers `/-/ready`: the balancer's own port carries other people's paths, the graph's speaks RESP.
    fn ready(&self, system: System) -> SocketAddr {
        match system {
            System::Balancer => self.admin,
            System::Graph => self.graph,
            _ => self.clients(system),
        }
    }

    /// Every address is given, also of systems not started: nothing here may ever meet a Seawall
    /// that a developer runs on the usual ports.
    fn configuration(&self, routes: &[Route]) -> String {
        let Ports { registry, balancer, admin, links, chat, graph, resp } = self;
        let mut text = format!(
            "[discovery]\nregistry = [\"{registry}\"]\n\n[registry]\nlisten = \"{registry}\"\n\n\
             [links]\nlisten = \"{links}\"\n\n[chat]\nlisten = \"{chat}\"\n\n\
             [graph]\nlisten = \"{graph}\"\nresp_listen = \"{resp}\"\n\n[balancer]\nlisten = \"{balancer}\"\n\n\
             [balancer.admin]\nlisten = \"{admin}\"\n"
        );
        for Route { host, backends } in routes {
            let backends: Vec<_> = backends.iter().map(|backend| format!("\"{backend}\"")).collect();
            // Writing to a String does not fail.
            let _ = write!(
                text,
                "\n[[balancer.route]]\nhost = \"{host}\"\nbackends = [{}]\n",
                backends.join(", ")
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_toml_with_every_address() {
        let ports = Ports::find().unwrap();
        let backends = vec!["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()];
        let text = ports.configuration(&[Route { host: "bench.test".to_owned(), backends }]);
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["links"]["listen"].as_str(), Some(ports.links.to_string().as_str()));
        assert_eq!(table["balancer"]["admin"]["listen"].as_str(), Some(ports.admin.to_string().as_str()));
        let route = &table["balancer"]["route"][0];
        assert_eq!(route["host"].as_str(), Some("bench.test"));
        assert_eq!(route["backends"][1].as_str(), Some("127.0.0.1:2"));
    }

    #[test]
    fn the_map_of_an_import_is_read_and_anything_else_refused() {
        let links = parse_map("aB7x3K\thttps://example.org/a\nq\thttps://example.org/b\n").unwrap();
        assert_eq!(links[1], ("q".to_owned(), "https://example.org/b".to_owned()));
        assert!(parse_map("no tab here\n").is_err());
    }
}
