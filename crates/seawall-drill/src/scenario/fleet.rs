//! Seawall as a drill starts and sees it: processes, flags, configuration keys, addresses, answers.
//!
//! Everything this crate takes for granted about the binary stands in this file and nowhere else: the command line
//! of `seawall up`, the keys it is configured with, the HTTP of links, and how registry and balancer show who is
//! alive. A drill that suddenly measures nonsense is looked for here first.
//!
//! The fleet is one process with the registry and the balancer, or one for each, and some with links, which share
//! one data folder and so one set of SQLite files. All ports are free ones of 127.0.0.1.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use seawall_policy::{Clock, Mono};
use serde_json::Value as Json;

use super::{DrillError, Mechanism, Stage};
use crate::client::Client;
use crate::fault::process::{LOOK_EVERY, Process, Spec, free_ports};

/// How long a process may take to answer `/-/ready`, and the whole fleet to serve. Far above what it takes, and
/// not a target: it only keeps a broken build from hanging the drill.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long a killed process may take to be reaped.
const REAP_WITHIN: Duration = Duration::from_secs(5);

/// How long to wait for one answer of registry or balancer about who is alive.
const LOOK_WITHIN: Duration = Duration::from_millis(500);

/// The running fleet. Dropping it kills every process.
pub(super) struct Fleet {
    balancer: SocketAddr,
    /// Asked who passes; kept apart from the balancer's because either may know first.
    registry: Client,
    admin: Client,
    /// The links processes.
    members: Vec<Member>,
    /// Registry and balancer: the first has the registry, the last the balancer.
    front: Vec<Member>,
}

/// One process, and where it says whether it is ready.
struct Member {
    address: SocketAddr,
    spec: Spec,
    process: Process,
}

/// What a drill wants of its fleet that others do not.
#[derive(Default)]
pub(super) struct Wishes {
    /// The registry in a process of its own, to be killed while the balancer goes on.
    pub(super) registry_apart: bool,
    /// `--set` of every links process.
    pub(super) links_set: &'static [&'static str],
}

/// On whom of the links processes, in their order, one counts; none from one who did not answer.
#[derive(Default)]
pub(super) struct Views {
    pub(super) balancer: Option<Vec<bool>>,
    pub(super) registry: Option<Vec<bool>>,
}

/// Who noticed a death, and when.
pub(super) struct Detection {
    pub(super) at: Mono,
    pub(super) by: &'static str,
}

impl Fleet {
    /// Starts registry, balancer and links (three, quick: two), and returns when a request through the balancer
    /// reaches links and the registry lists every one of them.
    pub(super) async fn start(stage: &Stage) -> Result<Fleet, DrillError> {
        Fleet::with(stage, &Wishes::default()).await
    }

    /// The same, with wishes.
    pub(super) async fn with(stage: &Stage, wishes: &Wishes) -> Result<Fleet, DrillError> {
        let links = if stage.options.quick { 2 } else { 3 };
        let ports = free_ports(3 + links).map_err(DrillError::setup("find free ports"))?;
        let address = |i: usize| SocketAddr::from((Ipv4Addr::LOCALHOST, ports[i]));
        let (registry, balancer, admin) = (address(0), address(1), address(2));

        let config = format!(
            "[registry]\nlisten = \"{registry}\"\n\n[balancer]\nlisten = \"{balancer}\"\n\n\
             [balancer.admin]\nlisten = \"{admin}\"\n\n[discovery]\nregistry = [\"{registry}\"]\n"
        );
        let processes: &[(&str, &[&str], SocketAddr)] = match wishes.registry_apart {
            true => &[("registry", &["registry"], registry), ("balancer", &["balancer"], admin)],
            false => &[("front", &["registry", "balancer"], admin)],
        };
        let off = SwitchedOff::new(&stage.options.without);
        let mut front = Vec::new();
        for (name, systems, address) in processes {
            let spec = spec(stage, name, systems, &format!("{name}-data"), &config, &off.front)?;
            front.push(Member::start(*address, spec)?);
        }
        front[0].process.ready(registry, READY_WITHIN).await?;
        for member in &mut front {
            member.ready().await?;
        }

        let links_set = [wishes.links_set, &off.links].concat();
        let mut members = Vec::new();
        for n in 0..links {
            let address = address(3 + n);
            let config =
                format!("[links]\nlisten = \"{address}\"\n\n[discovery]\nregistry = [\"{registry}\"]\n");
            let spec = spec(stage, &format!("links-{n}"), &["links"], "links-data", &config, &links_set)?;
            members.push(Member::start(address, spec)?);
        }
        for member in &mut members {
            member.ready().await?;
        }
        let connect = |to| Client::new(to, LOOK_WITHIN);
        let mut fleet =
            Fleet { balancer, registry: connect(registry), admin: connect(admin), members, front };
        fleet.all_serving().await?;
        Ok(fleet)
    }

    /// Where clients go.
    pub(super) fn balancer(&self) -> SocketAddr {
        self.balancer
    }

    /// How many links processes there are.
    pub(super) fn size(&self) -> usize {
        self.members.len()
    }

    /// kill -9; returns when it was sent. The process is reaped by [`Fleet::restart`].
    pub(super) fn kill(&mut self, member: usize) -> Result<(), DrillError> {
        Ok(self.members[member].process.kill()?)
    }

    /// Starts a killed process again, with the same address and data, and waits until it says it is ready.
    pub(super) async fn restart(&mut self, member: usize) -> Result<(), DrillError> {
        let member = &mut self.members[member];
        member.start_again().await?;
        member.ready().await
    }

    /// kill -9 of the process with the registry; returns when it is gone.
    pub(super) async fn kill_registry(&mut self) -> Result<(), DrillError> {
        let registry = &mut self.front[0].process;
        registry.kill()?;
        registry.ended(REAP_WITHIN).await?;
        Ok(())
    }

    /// Starts it again, with the same address and data, and does not wait for it.
    pub(super) async fn start_registry(&mut self) -> Result<(), DrillError> {
        self.front[0].start_again().await
    }

    /// Asks balancer and registry once on whom they count.
    ///
    /// # Errors
    /// When a links process is not alive: then nobody who stopped counting on it would be wrong.
    pub(super) async fn views(&mut self) -> Result<Views, DrillError> {
        for member in &mut self.members {
            member.process.alive()?;
        }
        let registry = ask(&mut self.registry, PASSING).await;
        let balancer = ask(&mut self.admin, BACKENDS).await;
        let each = |says: Option<Json>, view: fn(&Json, SocketAddr) -> bool| {
            says.map(|json| self.members.iter().map(|member| view(&json, member.address)).collect())
        };
        Ok(Views { balancer: each(balancer, is_counted_on), registry: each(registry, lists) })
    }

    /// Waits until registry or balancer no longer counts on a member; none when neither does `within` that time.
    pub(super) async fn detects_loss(
        &mut self,
        member: usize,
        within: Duration,
        clock: &dyn Clock,
    ) -> Option<Detection> {
        let began = clock.now();
        while clock.now().since(began) < within {
            if self.balancer_counts_on(member).await == Some(false) {
                return Some(Detection { at: clock.now(), by: "balancer" });
            }
            if self.registry_lists(member).await == Some(false) {
                return Some(Detection { at: clock.now(), by: "registry" });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        None
    }

    /// Waits until the registry lists every member and a request through the balancer reaches links.
    pub(super) async fn all_serving(&mut self) -> Result<(), DrillError> {
        let mut waiting_for = "the balancer does not reach links".to_owned();
        let waiting = async {
            let mut through = Client::new(self.balancer, LOOK_WITHIN);
            // Links itself says 404 to a code that cannot exist; a balancer without a backend says 5xx.
            while through
                .send(wire::follow("drill-none"), LOOK_WITHIN)
                .await
                .map(|a| a.status().as_u16())
                .ok()
                != Some(404)
            {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            for member in 0..self.members.len() {
                waiting_for = format!("the registry does not list {}", self.members[member].address);
                while self.registry_lists(member).await != Some(true) {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                waiting_for = format!("the balancer does not count on {}", self.members[member].address);
                while self.balancer_counts_on(member).await != Some(true) {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        };
        match tokio::time::timeout(READY_WITHIN, waiting).await {
            Ok(()) => Ok(()),
            Err(_) => Err(DrillError::NotServing { what: waiting_for, within: READY_WITHIN }),
        }
    }

    async fn registry_lists(&mut self, member: usize) -> Option<bool> {
        let json = ask(&mut self.registry, PASSING).await?;
        Some(lists(&json, self.members[member].address))
    }

    async fn balancer_counts_on(&mut self, member: usize) -> Option<bool> {
        let json = ask(&mut self.admin, BACKENDS).await?;
        Some(is_counted_on(&json, self.members[member].address))
    }
}

impl Member {
    fn start(address: SocketAddr, spec: Spec) -> Result<Member, DrillError> {
        let process = Process::start(&spec)?;
        Ok(Member { address, spec, process })
    }

    /// Reaps a killed process and starts it with the same address and data.
    async fn start_again(&mut self) -> Result<(), DrillError> {
        self.process.ended(REAP_WITHIN).await?;
        self.process = Process::start(&self.spec)?;
        Ok(())
    }

    async fn ready(&mut self) -> Result<(), DrillError> {
        Ok(self.process.ready(self.address, READY_WITHIN).await?)
    }
}

/// One process with chat, killed and started again on the same data.
pub(super) struct Chat(Member);

impl Chat {
    /// Starts it at this address, with limits that no drill reaches; returns when it is ready.
    pub(super) async fn start(stage: &Stage, address: SocketAddr) -> Result<Chat, DrillError> {
        let config = format!("[chat]\nlisten = \"{address}\"\n");
        let off = SwitchedOff::new(&stage.options.without);
        let mut spec = spec(stage, "chat", &["chat"], "chat-data", &config, CHAT_SET)?;
        for plant in off.chat_plants {
            spec.args.extend(["--plant".into(), plant.into()]);
        }
        let mut chat = Chat(Member::start(address, spec)?);
        chat.0.ready().await?;
        Ok(chat)
    }

    /// kill -9; returns when it was sent.
    pub(super) fn kill(&mut self) -> Result<(), DrillError> {
        Ok(self.0.process.kill()?)
    }

    /// Starts it again, and waits until it says it is ready.
    pub(super) async fn restart(&mut self) -> Result<(), DrillError> {
        self.0.start_again().await?;
        self.0.ready().await
    }
}

/// One process with the graph on four databases, so that most associations lie across two.
pub(super) struct Graph(Member);

impl Graph {
    /// Starts it; returns when it is ready.
    pub(super) async fn start(
        stage: &Stage,
        http: SocketAddr,
        resp: SocketAddr,
    ) -> Result<Graph, DrillError> {
        let config = format!("[graph]\nlisten = \"{http}\"\nresp_listen = \"{resp}\"\nshards = 4\n");
        let off = SwitchedOff::new(&stage.options.without);
        let mut spec = spec(stage, "graph", &["graph"], "graph-data", &config, &[])?;
        for plant in off.graph_plants {
            spec.args.extend(["--plant".into(), plant.into()]);
        }
        let mut graph = Graph(Member::start(http, spec)?);
        graph.0.ready().await?;
        Ok(graph)
    }

    /// kill -9; returns when it was sent.
    pub(super) fn kill(&mut self) -> Result<(), DrillError> {
        Ok(self.0.process.kill()?)
    }

    /// Starts it again, and waits until it says it is ready.
    pub(super) async fn restart(&mut self) -> Result<(), DrillError> {
        self.0.start_again().await?;
        self.0.ready().await
    }
}

/// A drill's writers are few and write much, and its sessions all come back at once.
const CHAT_SET: &[&str] = &[
    "chat.rates.global.rate=10000/s",
    "chat.rates.global.burst=10000",
    "chat.rates.messages.rate=10000/s",
    "chat.rates.messages.burst=10000",
    "chat.rates.changes.rate=10000/s",
    "chat.rates.changes.burst=10000",
    "chat.rates.reads.rate=10000/s",
    "chat.rates.reads.burst=10000",
];

/// `--set` that takes mechanisms away.
#[derive(Default)]
struct SwitchedOff {
    /// Of registry and balancer.
    front: Vec<&'static str>,
    /// Of every links process.
    links: Vec<&'static str>,
    /// `--plant` of chat.
    chat_plants: Vec<&'static str>,
    /// `--plant` of the graph.
    graph_plants: Vec<&'static str>,
}

impl SwitchedOff {
    fn new(without: &[Mechanism]) -> SwitchedOff {
        let mut off = SwitchedOff::default();
        for mechanism in without {
            match mechanism {
                Mechanism::Retry => off.front.extend([
                    "balancer.retry.attempts=1",
                    "balancer.retry_connect.attempts=1",
                    "balancer.retry_timeout.attempts=1",
                ]),
                // The least stale_max there is: a list is then dropped with the first question nobody answers.
                Mechanism::Cache => {
                    off.front.extend(["discovery.when_unreachable=fail-closed", "discovery.stale_max=1s"]);
                }
                // One step for every load, in which everything is let in: while there are places, for anybody.
                Mechanism::Shed => off.links.push("links.shed.steps=[{}]"),
                Mechanism::Journal => off.chat_plants.push("no-journal"),
                Mechanism::Repair => off.graph_plants.push("no-repair"),
            }
        }
        off
    }
}

/// The command line and configuration of one process.
fn spec(
    stage: &Stage,
    name: &str,
    systems: &[&str],
    data: &str,
    config: &str,
    set: &[&str],
) -> Result<Spec, DrillError> {
    let config_path: PathBuf = stage.folder.join(format!("{name}.toml"));
    fs::create_dir_all(&stage.folder)
        .and_then(|()| fs::write(&config_path, config))
        .map_err(DrillError::setup("write a configuration file"))?;
    let mut args: Vec<OsString> = vec!["up".into()];
    args.extend(systems.iter().map(OsString::from));
    args.extend(["--data".into(), stage.folder.join(data).into()]);
    args.extend(["--config".into(), config_path.into()]);
    for pair in set {
        args.extend(["--set".into(), pair.into()]);
    }
    let has_plants = systems.iter().any(|system| matches!(*system, "links" | "graph"));
    if let Some(plant) = stage.options.plant.as_deref().filter(|_| has_plants) {
        args.extend(["--plant".into(), plant.into()]);
    }
    Ok(Spec {
        name: name.to_owned(),
        binary: stage.options.binary.clone(),
        args,
        env: Vec::new(),
        folder: stage.folder.clone(),
    })
}

/// Where the registry says who passes.
const PASSING: &str = "/v1/health/service/links?passing";

/// Where the balancer says whom it asks.
const BACKENDS: &str = "/backends";

async fn ask(client: &mut Client, path: &str) -> Option<Json> {
    let answer = client.send(wire::get(path, &client.to().to_string()), LOOK_WITHIN).await.ok()?;
    serde_json::from_slice(answer.body()).ok().filter(|_| answer.status().is_success())
}

/// Consul's shape: `[{"Service": {"Address": …, "Port": …}}]`.
fn lists(json: &Json, member: SocketAddr) -> bool {
    let of_port = |entry: &&Json| entry["Service"]["Port"].as_u64() == Some(u64::from(member.port()));
    json.as_array().is_some_and(|entries| entries.iter().find(of_port).is_some())
}

/// Whether the balancer has the member in a pool and says nothing bad of it.
fn is_counted_on(json: &Json, member: SocketAddr) -> bool {
    counts_on(json, &member.to_string()).unwrap_or(false)
}

/// What the balancer says of one address: somewhere in its answer stands an object that holds the address as a
/// string, and beside it either `"healthy": bool` or a state in words. None when the address is not there at all.
fn counts_on(json: &Json, address: &str) -> Option<bool> {
    match json {
        Json::Array(items) => items.iter().find_map(|item| counts_on(item, address)),
        Json::Object(fields) if fields.values().any(|value| value.as_str() == Some(address)) => {
            let words = ["state", "status", "health"].iter().filter_map(|key| fields.get(*key)?.as_str());
            let bad =
                |word: &str| !matches!(word.to_lowercase().as_str(), "healthy" | "passing" | "up" | "ok");
            let said_bad = fields.get("healthy").is_some_and(|healthy| *healthy == Json::Bool(false));
            Some(!said_bad && !words.into_iter().any(bad))
        }
        Json::Object(fields) => fields.values().find_map(|value| counts_on(value, address)),
        _ => None,
    }
}

/// The HTTP of links, as any client would speak it.
pub(super) mod wire {
    use bytes::Bytes;
    use http::{Method, Request, Response, header};
    use http_body_util::Full;
    use serde_json::{Value as Json, json};

    use crate::load::Failure;

    /// The default route of the balancer to links.
    const HOST: &str = "links.localhost";

    fn request(
        method: Method,
        path: &str,
        host: &str,
        key: Option<&str>,
        body: Bytes,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        let headers = request.headers_mut();
        if let Ok(host) = host.parse() {
            headers.insert(header::HOST, host);
        }
        if let Some(key) = key.and_then(|key| key.parse().ok()) {
            headers.insert("idempotency-key", key);
            headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        }
        match path.parse() {
            Ok(uri) => *request.uri_mut() = uri,
            Err(_) => unreachable!("a drill's paths are its own and codes are letters and digits: {path:?}"),
        }
        request
    }

    pub(crate) fn get(path: &str, host: &str) -> Request<Full<Bytes>> {
        request(Method::GET, path, host, None, Bytes::new())
    }

    pub(crate) fn create(key: &str, url: &str) -> Request<Full<Bytes>> {
        let body = json!({ "url": url }).to_string();
        request(Method::POST, "/api/v1/links", HOST, Some(key), body.into())
    }

    /// The code of a created link. A key sent again is answered like the first time, with 200 or 201.
    pub(crate) fn created(answer: &Response<Bytes>) -> Result<String, Failure> {
        if !matches!(answer.status().as_u16(), 200 | 201) {
            return Err(Failure::Status(answer.status().as_u16()));
        }
        let json: Json = serde_json::from_slice(answer.body()).unwrap_or_default();
        let code = json["code"].as_str().filter(|code| {
            !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
        code.map(str::to_owned).ok_or(Failure::Wrong("created without a code"))
    }

    pub(crate) fn follow(code: &str) -> Request<Full<Bytes>> {
        request(Method::GET, &format!("/{code}"), HOST, None, Bytes::new())
    }

    /// Where a link leads; none when there is no such link.
    pub(crate) fn followed(answer: &Response<Bytes>) -> Result<Option<&str>, Failure> {
        match answer.status().as_u16() {
            302 => {
                let location = answer.headers().get(header::LOCATION).and_then(|l| l.to_str().ok());
                location.map(Some).ok_or(Failure::Wrong("redirect without a location"))
            }
            404 | 410 => Ok(None),
            other => Err(Failure::Status(other)),
        }
    }

    pub(crate) fn list(limit: usize) -> Request<Full<Bytes>> {
        get(&format!("/api/v1/links?limit={limit}"), HOST)
    }

    /// An answer without what was asked for.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct Refused {
        pub(crate) status: u16,
        /// Why, in the word of whoever refused; empty when that is none of ours.
        pub(crate) code: String,
        /// Whether it says when to come back.
        pub(crate) says_when: bool,
    }

    /// Whether there is a page. It is not read: a page is large, and reading hundreds a second would take the cores
    /// from those who make them.
    pub(crate) fn listed(answer: &Response<Bytes>) -> Result<(), Refused> {
        let status = answer.status().as_u16();
        if status == 200 {
            return Ok(());
        }
        let json: Json = serde_json::from_slice(answer.body()).unwrap_or_default();
        let code = json["error"]["code"].as_str().unwrap_or_default().to_owned();
        Err(Refused { status, code, says_when: answer.headers().contains_key(header::RETRY_AFTER) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_member_is_listed_by_its_port_in_consuls_shape() {
        let json =
            json!([{"Node": {}, "Service": {"Service": "links", "Address": "127.0.0.1", "Port": 7010}}]);
        assert!(lists(&json, "127.0.0.1:7010".parse().unwrap()));
        assert!(!lists(&json, "127.0.0.1:7011".parse().unwrap()));
        assert!(!lists(&json!([]), "127.0.0.1:7010".parse().unwrap()));
    }

    #[test]
    fn a_backend_is_counted_on_until_the_balancer_says_otherwise() {
        let json = json!({"services": [{"name": "links", "backends": [
            {"address": "127.0.0.1:1", "healthy": true, "in_flight": 0},
            {"address": "127.0.0.1:2", "healthy": false},
            {"address": "127.0.0.1:3", "state": "Up"},
            {"address": "127.0.0.1:4", "state": "ejected"},
        ]}]});
        let said = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4", "127.0.0.1:5"];
        assert_eq!(
            said.map(|address| counts_on(&json, address)),
            [Some(true), Some(false), Some(true), Some(false), None]
        );
    }

    #[test]
    fn a_mechanism_is_switched_off_by_configuration_alone() {
        let none = SwitchedOff::new(&[]);
        assert!(none.front.is_empty() && none.links.is_empty());
        let off = SwitchedOff::new(&[Mechanism::Retry, Mechanism::Cache, Mechanism::Shed]);
        assert_eq!((off.front.len(), off.links.len()), (5, 1));
        assert!(off.front.iter().chain(&off.links).all(|pair| pair.contains('=')));
    }

    #[test]
    fn answers_of_links_are_read_strictly() {
        let answer = |status: u16, body: &'static str| {
            http::Response::builder().status(status).body(bytes::Bytes::from_static(body.as_bytes())).unwrap()
        };
        assert_eq!(wire::created(&answer(201, r#"{"code":"abc123"}"#)).unwrap(), "abc123");
        assert!(wire::created(&answer(201, "{}")).is_err());
        assert!(wire::created(&answer(503, r#"{"code":"abc123"}"#)).is_err());
        assert_eq!(wire::followed(&answer(404, "")), Ok(None));
        assert!(wire::followed(&answer(302, "")).is_err());
        assert!(wire::followed(&answer(200, "")).is_err());
        assert_eq!(wire::listed(&answer(200, r#"{"links":[]}"#)), Ok(()));
        let refused = wire::listed(&answer(503, r#"{"error":{"code":"shed"}}"#)).unwrap_err();
        assert_eq!((refused.status, refused.code.as_str(), refused.says_when), (503, "shed", false));
        assert_eq!(wire::listed(&answer(502, "")).unwrap_err().code, "");
    }
}
