//! Request bodies: a service, a check, a catalogue entry, as Consul's clients describe them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;

use super::fields::{Fields, Result};
use super::parse::Rules;
use super::refusal::Refusal;
use crate::machine::{Address, CheckSpec, NodeSpec, Registration, ServiceSpec, Status, Weights};

/// Bytes of a name or id: a DNS name is at most this long, and one that is longer could not be looked up.
pub const NAME_MAX: usize = 255;
/// Bytes of a check's output; more is cut (Consul's limit).
pub const OUTPUT_MAX: usize = 4096;
/// Checks of one service.
const CHECKS_MAX: usize = 64;
/// Tags of one service, pairs of one `Meta` (Consul's limit for `Meta`).
const PAIRS_MAX: usize = 64;
/// Bytes of a key and of a value in a `Meta` (Consul's limits).
const META_MAX: (usize, usize) = (128, 512);
/// Bytes of an outside checker's instructions.
const DEFINITION_MAX: usize = 4096;
/// Largest weight (Consul's limit).
const WEIGHT_MAX: u64 = 65_535;
/// `DeregisterCriticalServiceAfter` is at least this (Consul's limit).
const DEREGISTER_AFTER_MIN: Duration = Duration::from_secs(60);
/// Fields of check kinds in which the registry would have to call out.
const ACTIVE: [&str; 8] = ["http", "tcp", "udp", "grpc", "h2ping", "aliasnode", "aliasservice", "osservice"];
/// Fields of check kinds that run programs.
const SCRIPTS: [&str; 5] = ["args", "scriptargs", "script", "shell", "dockercontainerid"];

/// Refuses a name that is too long to be one.
///
/// # Errors
/// 400.
pub fn named(what: &str, name: String) -> Result<String> {
    if name.len() > NAME_MAX {
        return Err(Refusal::bad(format!(
            "{what} is {} bytes long; at most {NAME_MAX} are taken",
            name.len()
        )));
    }
    Ok(name)
}

/// Cuts a check's output where Consul does, and says so in the text.
#[must_use]
pub fn cut_output(output: String) -> String {
    if output.len() <= OUTPUT_MAX {
        return output;
    }
    let mut end = OUTPUT_MAX;
    while !output.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} ... (captured {end} of {} bytes)", &output[..end], output.len())
}

/// The body of `/v1/agent/service/register`.
///
/// # Errors
/// 400 with what is wrong.
pub fn service_register(body: &[u8]) -> Result<(ServiceSpec, Vec<CheckSpec>)> {
    let mut fields = Fields::parse(body)?;
    let mut service = service(&mut fields, "name")?;
    if service.name.is_empty() {
        return Err(Refusal::bad("Missing service name"));
    }
    default_addresses(&mut service);
    let mut bodies = Vec::new();
    bodies.extend(fields.object("check")?.filter(|check| !check.is_empty()));
    bodies.extend(fields.objects("checks")?);
    if bodies.len() > CHECKS_MAX {
        return Err(Refusal::bad(format!("{} checks; at most {CHECKS_MAX} are taken", bodies.len())));
    }
    let several = bodies.len() > 1;
    let mut checks = Vec::new();
    for (number, mut body) in (1..).zip(bodies) {
        let mut check = agent_check(&mut body)?;
        if check.id.is_empty() {
            check.id = match several {
                true => format!("service:{}:{number}", service.id),
                false => format!("service:{}", service.id),
            };
        }
        if check.name.is_empty() {
            check.name = format!("Service '{}' check", service.name);
        }
        check.service_id.clone_from(&service.id);
        checks.push(check);
    }
    Ok((service, checks))
}

/// The body of `/v1/agent/check/register`.
///
/// # Errors
/// 400 with what is wrong.
pub fn check_register(body: &[u8]) -> Result<CheckSpec> {
    let mut fields = Fields::parse(body)?;
    let mut check = agent_check(&mut fields)?;
    if check.name.is_empty() && check.id.is_empty() {
        return Err(Refusal::bad("Missing check name"));
    }
    if check.id.is_empty() {
        check.id.clone_from(&check.name);
    }
    if check.name.is_empty() {
        check.name.clone_from(&check.id);
    }
    Ok(check)
}

/// The body of `/v1/agent/check/update/:id`.
///
/// # Errors
/// 400 with what is wrong.
pub fn check_update(body: &[u8]) -> Result<(Status, String)> {
    let mut fields = Fields::parse(body)?;
    let word = fields.text("status")?;
    let status =
        Status::parse(&word).ok_or_else(|| Refusal::bad(format!("Invalid check status: {word:?}")))?;
    Ok((status, cut_output(fields.text("output")?)))
}

/// The body of `/v1/catalog/register`.
///
/// # Errors
/// 400 with what is wrong, 500 for a datacenter that is not ours.
pub fn catalog_register(body: &[u8], rules: &Rules) -> Result<Registration> {
    let mut fields = Fields::parse(body)?;
    let node = node(&mut fields, rules)?;
    let skip_node_update = fields.flag("skipnodeupdate")?;
    if node.name.is_empty() {
        return Err(Refusal::bad("Must provide node"));
    }
    if node.address.is_empty() && !skip_node_update {
        return Err(Refusal::bad("Must provide address if SkipNodeUpdate is not set"));
    }
    let service = match fields.object("service")? {
        None => None,
        Some(mut body) => {
            let service = service(&mut body, "service")?;
            if service.name.is_empty() {
                return Err(Refusal::bad(
                    "Must provide service name (Service.Service) when Service is given",
                ));
            }
            Some(service)
        }
    };
    let mut checks = Vec::new();
    let mut bodies = fields.objects("checks")?;
    bodies.extend(fields.object("check")?.filter(|check| !check.is_empty()));
    if bodies.len() > CHECKS_MAX {
        return Err(Refusal::bad(format!("{} checks; at most {CHECKS_MAX} are taken", bodies.len())));
    }
    for mut body in bodies {
        let on = body.text("node")?;
        if !on.is_empty() && on != node.name {
            return Err(Refusal::bad(format!("Check node {on:?} does not match node {:?}", node.name)));
        }
        checks.push(catalog_check(&mut body)?);
    }
    Ok(Registration { node, skip_node_update, service, checks, replace_checks: false })
}

/// The body of `/v1/catalog/deregister`: node, and service or check.
///
/// # Errors
/// 400 with what is wrong, 500 for a datacenter that is not ours.
pub fn catalog_deregister(body: &[u8], rules: &Rules) -> Result<(String, String, String)> {
    let mut fields = Fields::parse(body)?;
    rules.datacenter(&fields.text("datacenter")?)?;
    let node = fields.text("node")?;
    if node.is_empty() {
        return Err(Refusal::bad("Must provide node"));
    }
    Ok((node, fields.text("serviceid")?, fields.text("checkid")?))
}

fn node(fields: &mut Fields, rules: &Rules) -> Result<NodeSpec> {
    rules.datacenter(&fields.text("datacenter")?)?;
    Ok(NodeSpec {
        name: named("Node", fields.text("node")?)?,
        id: named("ID", fields.text("id")?)?,
        address: named("Address", fields.text("address")?)?,
        datacenter: rules.datacenter.to_owned(),
        tagged: meta(fields, "taggedaddresses")?,
        meta: meta(fields, "nodemeta")?,
    })
}

/// A service; `name` is the field that holds its name (`Name` for agents, `Service` in the catalogue).
fn service(fields: &mut Fields, name: &str) -> Result<ServiceSpec> {
    let name = named("Service name", fields.text(name)?)?;
    let id = named("Service ID", fields.text("id")?)?;
    let mut tagged = BTreeMap::new();
    for (key, mut at) in fields.objects_by_name("taggedaddresses")? {
        tagged.insert(
            named("The name of a tagged address", key)?,
            Address { address: named("A tagged address", at.text("address")?)?, port: port(&mut at)? },
        );
    }
    let tags = fields.texts("tags")?;
    if tags.len() > PAIRS_MAX {
        return Err(Refusal::bad(format!("{} tags; at most {PAIRS_MAX} are taken", tags.len())));
    }
    let tags = tags.into_iter().map(|tag| named("A tag", tag)).collect::<Result<_>>()?;
    Ok(ServiceSpec {
        id: if id.is_empty() { name.clone() } else { id },
        name,
        tags,
        address: named("Address", fields.text("address")?)?,
        port: port(fields)?,
        socket_path: named("SocketPath", fields.text("socketpath")?)?,
        meta: meta(fields, "meta")?,
        tagged: few("TaggedAddresses", tagged)?,
        weights: weights(fields.object("weights")?)?,
        enable_tag_override: fields.flag("enabletagoverride")?,
        kind: named("Kind", fields.text("kind")?)?,
    })
}

fn few<V>(what: &str, map: BTreeMap<String, V>) -> Result<BTreeMap<String, V>> {
    if map.len() > PAIRS_MAX {
        return Err(Refusal::bad(format!("{what} has {} entries; at most {PAIRS_MAX} are taken", map.len())));
    }
    Ok(map)
}

/// A map of the client's own, within Consul's limits for `Meta`.
fn meta(fields: &mut Fields, name: &str) -> Result<BTreeMap<String, String>> {
    let map = few(name, fields.texts_by_name(name)?)?;
    let (key_max, value_max) = META_MAX;
    if map.iter().any(|(key, value)| key.len() > key_max || value.len() > value_max) {
        let limits = format!("keys of at most {key_max} bytes and values of at most {value_max}");
        return Err(Refusal::bad(format!("{name} takes {limits}")));
    }
    Ok(map)
}

fn port(fields: &mut Fields) -> Result<u16> {
    let number = fields.number("port", u64::from(u16::MAX))?.unwrap_or(0);
    Ok(number as u16)
}

fn weights(fields: Option<Fields>) -> Result<Weights> {
    let Some(mut fields) = fields else { return Ok(Weights { passing: 1, warning: 1 }) };
    let passing = fields.number("passing", WEIGHT_MAX)?.unwrap_or(1);
    if passing == 0 {
        return Err(Refusal::bad("Invalid Weights: Passing must be greater than 0"));
    }
    let warning = fields.number("warning", WEIGHT_MAX)?.unwrap_or(1);
    Ok(Weights { passing: passing as u32, warning: warning as u32 })
}

/// Consul's agents add the service's own IP address under the names DNS and mesh clients look for.
fn default_addresses(service: &mut ServiceSpec) {
    let names = match service.address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => ["lan_ipv4", "wan_ipv4"],
        Ok(IpAddr::V6(_)) => ["lan_ipv6", "wan_ipv6"],
        Err(_) => return,
    };
    for name in names {
        let own = Address { address: service.address.clone(), port: service.port };
        service.tagged.entry(name.to_owned()).or_insert(own);
    }
}

fn agent_check(fields: &mut Fields) -> Result<CheckSpec> {
    if let Some(name) = SCRIPTS.into_iter().find(|name| fields.has(name)) {
        return Err(Refusal::bad(format!(
            "Invalid check: {name:?} would run a program, which this registry never does; use a TTL check"
        )));
    }
    if let Some(name) = ACTIVE.into_iter().find(|name| fields.has(name)) {
        return Err(Refusal::bad(format!(
            "Invalid check: {name:?} checks are not supported yet, only TTL checks are"
        )));
    }
    let ttl = fields.duration("ttl")?.unwrap_or_default();
    if ttl.is_zero() {
        return Err(Refusal::bad("Invalid check: TTL must be > 0 for TTL checks"));
    }
    let after = fields.duration("deregistercriticalserviceafter")?.filter(|after| !after.is_zero());
    Ok(CheckSpec {
        id: named("CheckID", fields.text_of("checkid", "id")?)?,
        name: named("Check name", fields.text("name")?)?,
        status: status(fields)?,
        notes: cut_output(fields.text("notes")?),
        output: cut_output(fields.text("output")?),
        service_id: named("ServiceID", fields.text("serviceid")?)?,
        kind: "ttl".to_owned(),
        ttl_ms: Some(millis(ttl)),
        deregister_after_ms: after.map(|after| millis(after.max(DEREGISTER_AFTER_MIN))),
        definition: json!({}),
        keep: true,
    })
}

fn catalog_check(fields: &mut Fields) -> Result<CheckSpec> {
    let name = named("Check name", fields.text("name")?)?;
    let id = named("CheckID", fields.text("checkid")?)?;
    if name.is_empty() && id.is_empty() {
        return Err(Refusal::bad("Must provide check name or CheckID"));
    }
    let definition = fields.raw_object("definition")?.unwrap_or_else(|| json!({}));
    if definition.to_string().len() > DEFINITION_MAX {
        return Err(Refusal::bad(format!("Definition takes at most {DEFINITION_MAX} bytes")));
    }
    Ok(CheckSpec {
        id: if id.is_empty() { name.clone() } else { id },
        name,
        status: status(fields)?,
        notes: cut_output(fields.text("notes")?),
        output: cut_output(fields.text("output")?),
        service_id: named("ServiceID", fields.text("serviceid")?)?,
        kind: named("Type", fields.text("type")?)?,
        ttl_ms: None,
        deregister_after_ms: None,
        definition,
        keep: false,
    })
}

fn status(fields: &mut Fields) -> Result<Status> {
    match fields.text("status")?.as_str() {
        "" => Ok(Status::Critical),
        word => Status::parse(word)
            .ok_or_else(|| Refusal::bad("Status for checks must 'passing', 'warning', 'critical'")),
    }
}

/// Whole milliseconds, at least one.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
