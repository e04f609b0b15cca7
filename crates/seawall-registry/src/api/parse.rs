//! From method, path, query and body to a [`Call`]: a pure function of bytes.

use std::time::Duration;

use http::StatusCode;

use super::bodies;
use super::query::{Query, boolean};
use super::refusal::Refusal;
use super::route::{Endpoint, route};
use crate::machine::{CheckSpec, Command, Registration, ServiceSpec, Status};
use crate::read::{Instances, Read};

/// Bytes of a key: far beyond what clients use, and bounded because a write looks at every beginning of it.
pub const KEY_MAX: usize = 2048;
/// Bytes of a body that is not a key's value.
pub const BODY_MAX: usize = 512 * 1024;

/// What parsing depends on besides the request.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The only datacenter there is a path to.
    pub datacenter: String,
    /// Bytes of a key's value.
    pub kv_value_max: usize,
}

impl Rules {
    /// Refuses any datacenter but ours; none named is ours.
    ///
    /// # Errors
    /// 500, as Consul.
    pub fn datacenter(&self, named: &str) -> Result<(), Refusal> {
        if named.is_empty() || named == self.datacenter {
            return Ok(());
        }
        Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "No path to datacenter"))
    }

    /// The longest body any request may have.
    #[must_use]
    pub fn body_max(&self) -> usize {
        self.kv_value_max.max(BODY_MAX)
    }
}

/// What a client wants.
#[derive(Debug, PartialEq)]
#[expect(missing_docs, reason = "each is an operation of the service or one read, named alike")]
pub enum Call {
    RegisterService { service: ServiceSpec, checks: Vec<CheckSpec>, replace: bool },
    DeregisterService(String),
    Maintain { id: String, enable: bool, reason: String },
    RegisterCheck(CheckSpec),
    DeregisterCheck(String),
    Report { id: String, status: Status, output: String },
    AgentServices,
    AgentService { id: String, hash: Option<String>, wait: Duration },
    AgentChecks,
    AgentSelf,
    AgentMembers,
    AgentHealthByName { name: String, as_text: bool },
    AgentHealthById { id: String, as_text: bool },
    Datacenters,
    Leader,
    Peers,
    Read { read: Read, watch: Option<(u64, Duration)>, consistency: &'static str, raw: bool },
    CatalogRegister(Registration),
    CatalogDeregister(Command),
    Put { key: String, value: Vec<u8>, flags: u64, cas: Option<u64> },
    Delete { key: String, cas: Option<u64> },
    DeleteTree(String),
}

/// A call and how its answer is to be written.
#[derive(Debug, PartialEq)]
pub struct Request {
    /// The call.
    pub call: Call,
    /// Indented.
    pub pretty: bool,
}

/// Reads a request.
///
/// # Errors
/// The refusal to answer with.
pub fn parse(
    method: &str,
    path: &str,
    query: &str,
    body: Vec<u8>,
    rules: &Rules,
) -> Result<Request, Refusal> {
    let (endpoint, rest) = route(method, path)?;
    let query = Query::parse(query)?;
    if let Some(dc) = query.text("dc") {
        rules.datacenter(dc)?;
    }
    if query.text("filter").is_some() {
        return Err(Refusal::bad("?filter is not supported yet; leave it out and filter the answer"));
    }
    if endpoint != Endpoint::Kv && body.len() > BODY_MAX {
        return Err(too_large(BODY_MAX));
    }
    let call = match endpoint {
        Endpoint::Kv => kv(method, rest, &query, body, rules)?,
        _ => match method {
            "PUT" => write(endpoint, rest, &query, &body, rules)?,
            _ => read(endpoint, rest, &query)?,
        },
    };
    Ok(Request { call, pretty: query.flag("pretty")? })
}

/// The answer to a body of more than `max` bytes.
#[must_use]
pub fn too_large(max: usize) -> Refusal {
    let text = format!("Request body too large, max size: {max} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
}

fn write(
    endpoint: Endpoint,
    rest: String,
    query: &Query,
    body: &[u8],
    rules: &Rules,
) -> Result<Call, Refusal> {
    let note = || bodies::cut_output(query.text("note").unwrap_or_default().to_owned());
    let report = |id, status| Call::Report { id, status, output: note() };
    Ok(match endpoint {
        Endpoint::AgentRegister => {
            let (service, checks) = bodies::service_register(body)?;
            Call::RegisterService { service, checks, replace: query.flag("replace-existing-checks")? }
        }
        Endpoint::AgentDeregister => Call::DeregisterService(rest),
        Endpoint::AgentMaintenance => {
            if rest.is_empty() {
                return Err(Refusal::bad("Missing service ID"));
            }
            let enable = query.get("enable").ok_or_else(|| Refusal::bad("Missing value for enable"))?;
            let wrong = || Refusal::bad(format!("Invalid value for enable: {enable:?}"));
            let enable = boolean(enable).ok_or_else(wrong)?;
            let reason = bodies::cut_output(query.text("reason").unwrap_or_default().to_owned());
            Call::Maintain { id: rest, enable, reason }
        }
        Endpoint::CheckRegister => Call::RegisterCheck(bodies::check_register(body)?),
        Endpoint::CheckDeregister => Call::DeregisterCheck(rest),
        Endpoint::CheckPass => report(rest, Status::Passing),
        Endpoint::CheckWarn => report(rest, Status::Warning),
        Endpoint::CheckFail => report(rest, Status::Critical),
        Endpoint::CheckUpdate => {
            let (status, output) = bodies::check_update(body)?;
            Call::Report { id: rest, status, output }
        }
        Endpoint::CatalogRegister => Call::CatalogRegister(bodies::catalog_register(body, rules)?),
        _ => {
            let (node, service, check) = bodies::catalog_deregister(body, rules)?;
            Call::CatalogDeregister(match (service, check) {
                (id, _) if !id.is_empty() => Command::DeregisterService { node, id },
                (_, id) if !id.is_empty() => Command::DeregisterCheck { node, id },
                _ => Command::DeregisterNode { node },
            })
        }
    })
}

fn read(endpoint: Endpoint, rest: String, query: &Query) -> Result<Call, Refusal> {
    let as_text = query.get("format") == Some("text");
    let instances = |name: String, passing| Instances {
        name,
        tags: query.all("tag"),
        passing,
        node_meta: query.node_meta(),
    };
    let named = |what: &str, name: String| match name.is_empty() {
        true => Err(Refusal::bad(format!("Missing {what}"))),
        false => Ok(name),
    };
    let read = match endpoint {
        Endpoint::AgentServices => return Ok(Call::AgentServices),
        Endpoint::AgentChecks => return Ok(Call::AgentChecks),
        Endpoint::AgentSelf => return Ok(Call::AgentSelf),
        Endpoint::AgentMembers => return Ok(Call::AgentMembers),
        Endpoint::Datacenters => return Ok(Call::Datacenters),
        Endpoint::Leader => return Ok(Call::Leader),
        Endpoint::Peers => return Ok(Call::Peers),
        Endpoint::AgentHealthByName => {
            return Ok(Call::AgentHealthByName { name: named("service Name", rest)?, as_text });
        }
        Endpoint::AgentHealthById => {
            return Ok(Call::AgentHealthById { id: named("service ID", rest)?, as_text });
        }
        Endpoint::AgentService => {
            let hash = query.text("hash").map(str::to_owned);
            return Ok(Call::AgentService { id: rest, hash, wait: query.wait()? });
        }
        Endpoint::Nodes => Read::Nodes(query.node_meta()),
        Endpoint::Services => Read::Services(query.node_meta()),
        Endpoint::CatalogService => Read::CatalogService(instances(named("service name", rest)?, false)),
        Endpoint::CatalogNode => Read::CatalogNode(named("node name", rest)?),
        Endpoint::HealthService => {
            let passing = query.flag("passing")?;
            Read::HealthService(instances(named("service name", rest)?, passing))
        }
        Endpoint::HealthChecks => Read::ServiceChecks(named("service name", rest)?, query.node_meta()),
        Endpoint::HealthNode => Read::NodeChecks(named("node name", rest)?),
        _ => Read::ChecksIn(check_state(&named("check state", rest)?)?, query.node_meta()),
    };
    watched(read, query, false)
}

fn check_state(word: &str) -> Result<Option<Status>, Refusal> {
    match word {
        "any" => Ok(None),
        word => {
            let wrong = || Refusal::bad(format!("Invalid check state: {word:?}"));
            Status::parse(word).map(Some).ok_or_else(wrong)
        }
    }
}

fn kv(method: &str, key: String, query: &Query, value: Vec<u8>, rules: &Rules) -> Result<Call, Refusal> {
    if key.len() > KEY_MAX {
        return Err(Refusal::bad(format!(
            "The key is {} bytes long; at most {KEY_MAX} are taken",
            key.len()
        )));
    }
    let recurse = query.flag("recurse")?;
    // There and empty is no "unconditionally": a script whose index came out empty must not overwrite.
    let invalid_cas = || Refusal::bad("Invalid cas");
    let cas = query.get("cas").map(|text| text.parse::<u64>().map_err(|_| invalid_cas())).transpose()?;
    let no_key = || Refusal::bad("Missing key name");
    let conditions =
        ["cas", "acquire", "release"].into_iter().filter(|name| query.get(name).is_some()).count();
    let conflicting =
        || Refusal::bad("Conflicting flags: only one of cas, acquire, release and recurse is taken");
    match method {
        "GET" => {
            let read = if query.flag("keys")? {
                Read::Keys(key, query.text("separator").unwrap_or_default().to_owned())
            } else if recurse {
                Read::Tree(key)
            } else if key.is_empty() {
                return Err(no_key());
            } else {
                Read::Key(key)
            };
            watched(read, query, query.flag("raw")?)
        }
        "PUT" => {
            if key.is_empty() {
                return Err(no_key());
            }
            if conditions > 1 {
                return Err(conflicting());
            }
            if query.get("acquire").is_some() || query.get("release").is_some() {
                return Err(Refusal::bad(
                    "Sessions are not supported yet, so nothing can be acquired or released",
                ));
            }
            if value.len() > rules.kv_value_max {
                return Err(too_large(rules.kv_value_max));
            }
            let flags =
                query.number("flags", "Invalid flags: a whole number of 64 bits is wanted")?.unwrap_or(0);
            Ok(Call::Put { key, value, flags, cas })
        }
        _ if recurse && conditions > 0 => Err(conflicting()),
        _ if recurse => Ok(Call::DeleteTree(key)),
        _ if key.is_empty() => Err(no_key()),
        _ => Ok(Call::Delete { key, cas }),
    }
}

fn watched(read: Read, query: &Query, raw: bool) -> Result<Call, Refusal> {
    let (stale, consistent) = (query.flag("stale")?, query.flag("consistent")?);
    if stale && consistent {
        return Err(Refusal::bad("Cannot specify ?stale with ?consistent, conflicting semantics."));
    }
    let consistency = match (stale, consistent) {
        (true, _) => "stale",
        (_, true) => "consistent",
        _ => "leader",
    };
    Ok(Call::Read { read, watch: query.blocking()?, consistency, raw })
}
