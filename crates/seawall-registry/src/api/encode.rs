//! Answers as Consul writes them: field names, order and empty values of its own JSON.
//!
//! Lists are `[]` and maps `{}` where Consul sometimes says `null`: every client reads the former, not every
//! one the latter. Only `/catalog/node` keeps its `null` for a node that does not exist, and an empty key its
//! `null` value, since clients ask for exactly that.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;

use crate::machine::catalog::InstanceView;
use crate::machine::{Address, Check, Entry, Node, Service, Shared, Status};
use crate::read::{View, worst};
use crate::service::Identity;

/// The Consul version clients are told: those that look want one whose API they know.
const VERSION: &str = "1.15.4";
/// Where Consul's servers talk to each other; nothing listens there, but clients expect an address with a port.
const PEER_PORT: u16 = 8300;

/// A body with what its status and type must be.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// 200, or 404 for keys that do not exist.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
}

/// Writes a value as JSON.
#[must_use]
pub fn json<T: Serialize + ?Sized>(value: &T, pretty: bool) -> Bytes {
    let written = if pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
    Bytes::from(written.expect("answers have text keys only, so they are always JSON"))
}

/// Writes the content of a read.
#[must_use]
pub fn view(view: &View, pretty: bool) -> Encoded {
    let found = |body| Encoded { status: StatusCode::OK, body };
    let missing = || Encoded { status: StatusCode::NOT_FOUND, body: Bytes::new() };
    match view {
        View::Nodes(nodes) => found(json(&list(nodes, |n| node(n)), pretty)),
        View::Names(names) => found(json(names, pretty)),
        View::CatalogService(instances) => found(json(&list(instances, catalog_service), pretty)),
        View::CatalogNode(None) => found(json(&(), pretty)),
        View::CatalogNode(Some((n, services))) => {
            let services = services.iter().map(|s| (s.id.as_str(), service(s))).collect();
            found(json(&CatalogNode { node: node(n), services }, pretty))
        }
        View::HealthService(instances) => found(json(&list(instances, health_service), pretty)),
        View::Checks(checks) => found(json(&list(checks, |c| check(c)), pretty)),
        View::Entries(entries) if entries.is_empty() => missing(),
        View::Entries(entries) => found(json(&list(entries, |(key, e)| entry(key, e)), pretty)),
        // Below the root there is always a list, be it an empty one.
        View::Keys(prefix, keys) if keys.is_empty() && !prefix.is_empty() => missing(),
        View::Keys(_, keys) => found(json(keys, pretty)),
    }
}

/// The first value, as it was written.
#[must_use]
pub fn raw(view: &View) -> Option<Bytes> {
    match view {
        View::Entries(entries) => entries.first().map(|(_, e)| Bytes::copy_from_slice(&e.value)),
        _ => None,
    }
}

/// `/v1/agent/services`.
#[must_use]
pub fn agent_services(services: &[Shared<Service>], me: &Identity, pretty: bool) -> Bytes {
    let all: BTreeMap<&str, _> =
        services.iter().map(|s| (s.id.as_str(), agent_service(s, me, None))).collect();
    json(&all, pretty)
}

/// `/v1/agent/service/:id`, with the hash that says whether it has changed.
#[must_use]
pub fn agent_service_hashed(service: &Service, me: &Identity, pretty: bool) -> (String, Bytes) {
    let plain = json(&agent_service(service, me, None), false);
    let hash = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&plain));
    let body = json(&agent_service(service, me, Some(&hash)), pretty);
    (hash, body)
}

/// `/v1/agent/checks`.
#[must_use]
pub fn agent_checks(checks: &[Shared<Check>], pretty: bool) -> Bytes {
    let all: BTreeMap<&str, _> = checks.iter().map(|c| (c.id.as_str(), check(c))).collect();
    json(&all, pretty)
}

/// Status, word and body of one instance's health.
#[must_use]
pub fn agent_health(instance: &InstanceView, me: &Identity) -> (StatusCode, &'static str, serde_json::Value) {
    let in_maintenance = instance.checks.iter().any(|c| c.id.starts_with("_service_maintenance:"));
    let (status, word) = match worst(&instance.checks) {
        _ if in_maintenance => (StatusCode::SERVICE_UNAVAILABLE, "maintenance"),
        Status::Passing => (StatusCode::OK, "passing"),
        Status::Warning => (StatusCode::TOO_MANY_REQUESTS, "warning"),
        Status::Critical => (StatusCode::SERVICE_UNAVAILABLE, "critical"),
    };
    let body = serde_json::json!({
        "AggregatedStatus": word,
        "Service": agent_service(&instance.service, me, None),
        "Checks": list(&instance.checks, |c| check(c)),
    });
    (status, word, body)
}

/// `/v1/agent/self`.
#[must_use]
pub fn agent_self(me: &Identity) -> serde_json::Value {
    serde_json::json!({
        "Config": {
            "Datacenter": me.datacenter,
            "PrimaryDatacenter": me.datacenter,
            "NodeName": me.node,
            "NodeID": me.id,
            "Server": true,
            "Revision": "seawall",
            "Version": VERSION,
        },
        "Member": member(me),
        "Meta": { "seawall-version": env!("CARGO_PKG_VERSION") },
    })
}

/// One element of `/v1/agent/members`.
#[must_use]
pub fn member(me: &Identity) -> serde_json::Value {
    serde_json::json!({
        "Name": me.node,
        "Addr": me.address,
        "Port": 8301,
        "Tags": {
            "bootstrap": "1",
            "build": format!("{VERSION}:seawall"),
            "dc": me.datacenter,
            "id": me.id,
            "port": PEER_PORT.to_string(),
            "role": "consul",
            "vsn": "2",
        },
        "Status": 1,
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    })
}

/// The address in `/v1/status/leader` and `/v1/status/peers`.
#[must_use]
pub fn peer(me: &Identity) -> String {
    if me.address.contains(':') {
        format!("[{}]:{PEER_PORT}", me.address)
    } else {
        format!("{}:{PEER_PORT}", me.address)
    }
}

fn list<'a, T, J>(items: &'a [T], shape: impl Fn(&'a T) -> J) -> Vec<J> {
    items.iter().map(shape).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NodeJson<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    node: &'a str,
    address: &'a str,
    datacenter: &'a str,
    tagged_addresses: &'a BTreeMap<String, String>,
    meta: &'a BTreeMap<String, String>,
    create_index: u64,
    modify_index: u64,
}

fn node(n: &Node) -> NodeJson<'_> {
    NodeJson {
        id: &n.id,
        node: &n.name,
        address: &n.address,
        datacenter: &n.datacenter,
        tagged_addresses: &n.tagged,
        meta: &n.meta,
        create_index: n.created,
        modify_index: n.modified,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AddressJson<'a> {
    address: &'a str,
    port: u16,
}

type Tagged<'a> = BTreeMap<&'a str, AddressJson<'a>>;

fn tagged(addresses: &BTreeMap<String, Address>) -> Tagged<'_> {
    let each = addresses.iter();
    each.map(|(name, a)| (name.as_str(), AddressJson { address: &a.address, port: a.port })).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WeightsJson {
    passing: u32,
    warning: u32,
}

fn weights(s: &Service) -> WeightsJson {
    WeightsJson { passing: s.weights.passing, warning: s.weights.warning }
}

/// What Consul says of a proxy where there is none.
#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
struct ProxyJson {
    mode: &'static str,
    mesh_gateway: Nothing,
    expose: Nothing,
}

#[derive(Serialize, Default)]
struct Nothing {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ServiceJson<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'a str,
    #[serde(rename = "ID")]
    id: &'a str,
    service: &'a str,
    tags: &'a [String],
    address: &'a str,
    tagged_addresses: Tagged<'a>,
    meta: &'a BTreeMap<String, String>,
    port: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    socket_path: &'a str,
    weights: WeightsJson,
    enable_tag_override: bool,
    proxy: ProxyJson,
    connect: Nothing,
    peer_name: &'static str,
    create_index: u64,
    modify_index: u64,
}

fn service(s: &Service) -> ServiceJson<'_> {
    ServiceJson {
        kind: &s.kind,
        id: &s.id,
        service: &s.name,
        tags: &s.tags,
        address: &s.address,
        tagged_addresses: tagged(&s.tagged),
        meta: &s.meta,
        port: s.port,
        socket_path: &s.socket_path,
        weights: weights(s),
        enable_tag_override: s.enable_tag_override,
        proxy: ProxyJson::default(),
        connect: Nothing {},
        peer_name: "",
        create_index: s.created,
        modify_index: s.modified,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CatalogNode<'a> {
    node: NodeJson<'a>,
    services: BTreeMap<&'a str, ServiceJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HealthServiceJson<'a> {
    node: NodeJson<'a>,
    service: ServiceJson<'a>,
    checks: Vec<CheckJson<'a>>,
}

fn health_service(i: &InstanceView) -> HealthServiceJson<'_> {
    HealthServiceJson {
        node: node(&i.node),
        service: service(&i.service),
        checks: list(&i.checks, |c| check(c)),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CatalogServiceJson<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    node: &'a str,
    address: &'a str,
    datacenter: &'a str,
    tagged_addresses: &'a BTreeMap<String, String>,
    node_meta: &'a BTreeMap<String, String>,
    service_kind: &'a str,
    #[serde(rename = "ServiceID")]
    service_id: &'a str,
    service_name: &'a str,
    service_tags: &'a [String],
    service_address: &'a str,
    service_tagged_addresses: Tagged<'a>,
    service_weights: WeightsJson,
    service_meta: &'a BTreeMap<String, String>,
    service_port: u16,
    service_socket_path: &'a str,
    service_enable_tag_override: bool,
    service_proxy: ProxyJson,
    service_connect: Nothing,
    create_index: u64,
    modify_index: u64,
}

fn catalog_service(i: &InstanceView) -> CatalogServiceJson<'_> {
    let (n, s) = (&i.node, &i.service);
    CatalogServiceJson {
        id: &n.id,
        node: &n.name,
        address: &n.address,
        datacenter: &n.datacenter,
        tagged_addresses: &n.tagged,
        node_meta: &n.meta,
        service_kind: &s.kind,
        service_id: &s.id,
        service_name: &s.name,
        service_tags: &s.tags,
        service_address: &s.address,
        service_tagged_addresses: tagged(&s.tagged),
        service_weights: weights(s),
        service_meta: &s.meta,
        service_port: s.port,
        service_socket_path: &s.socket_path,
        service_enable_tag_override: s.enable_tag_override,
        service_proxy: ProxyJson::default(),
        service_connect: Nothing {},
        create_index: s.created,
        modify_index: s.modified,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AgentServiceJson<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'a str,
    #[serde(rename = "ID")]
    id: &'a str,
    service: &'a str,
    tags: &'a [String],
    meta: &'a BTreeMap<String, String>,
    port: u16,
    address: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    socket_path: &'a str,
    tagged_addresses: Tagged<'a>,
    weights: WeightsJson,
    enable_tag_override: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_hash: Option<&'a str>,
    datacenter: &'a str,
}

fn agent_service<'a>(s: &'a Service, me: &'a Identity, hash: Option<&'a str>) -> AgentServiceJson<'a> {
    AgentServiceJson {
        kind: &s.kind,
        id: &s.id,
        service: &s.name,
        tags: &s.tags,
        meta: &s.meta,
        port: s.port,
        address: &s.address,
        socket_path: &s.socket_path,
        tagged_addresses: tagged(&s.tagged),
        weights: weights(s),
        enable_tag_override: s.enable_tag_override,
        content_hash: hash,
        datacenter: &me.datacenter,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CheckJson<'a> {
    node: &'a str,
    #[serde(rename = "CheckID")]
    check_id: &'a str,
    name: &'a str,
    status: Status,
    notes: &'a str,
    output: &'a str,
    #[serde(rename = "ServiceID")]
    service_id: &'a str,
    service_name: &'a str,
    service_tags: &'a [String],
    #[serde(rename = "Type")]
    kind: &'a str,
    interval: &'static str,
    timeout: &'static str,
    exposed_port: u16,
    definition: &'a serde_json::Value,
    create_index: u64,
    modify_index: u64,
}

fn check(c: &Check) -> CheckJson<'_> {
    CheckJson {
        node: &c.node,
        check_id: &c.id,
        name: &c.name,
        status: c.status,
        notes: &c.notes,
        output: &c.output,
        service_id: &c.service_id,
        service_name: &c.service_name,
        service_tags: &c.service_tags,
        kind: &c.kind,
        interval: "",
        timeout: "",
        exposed_port: 0,
        definition: &c.definition,
        create_index: c.created,
        modify_index: c.modified,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EntryJson<'a> {
    lock_index: u64,
    key: &'a str,
    flags: u64,
    value: Option<String>,
    create_index: u64,
    modify_index: u64,
}

fn entry<'a>(key: &'a str, e: &Entry) -> EntryJson<'a> {
    EntryJson {
        lock_index: 0,
        key,
        flags: e.flags,
        value: (!e.value.is_empty()).then(|| STANDARD.encode(&e.value)),
        create_index: e.created,
        modify_index: e.modified,
    }
}
