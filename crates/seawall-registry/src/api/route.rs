//! Paths and the methods they take.

use super::query::decode;
use super::refusal::Refusal;
use http::StatusCode;

/// An endpoint. Those that end in a name or id carry what follows the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named by its path in the table below")]
pub enum Endpoint {
    AgentServices,
    AgentChecks,
    AgentSelf,
    AgentMembers,
    AgentService,
    AgentRegister,
    AgentDeregister,
    AgentMaintenance,
    AgentHealthByName,
    AgentHealthById,
    CheckRegister,
    CheckDeregister,
    CheckPass,
    CheckWarn,
    CheckFail,
    CheckUpdate,
    Datacenters,
    Nodes,
    Services,
    CatalogService,
    CatalogNode,
    CatalogRegister,
    CatalogDeregister,
    HealthService,
    HealthChecks,
    HealthNode,
    HealthState,
    Kv,
    Leader,
    Peers,
}

use Endpoint::*;

/// Whole paths, and (with a final slash) prefixes. Exact matches win, then the first prefix.
const TABLE: &[(&str, &str, Endpoint)] = &[
    ("/v1/agent/services", "GET", AgentServices),
    ("/v1/agent/checks", "GET", AgentChecks),
    ("/v1/agent/self", "GET", AgentSelf),
    ("/v1/agent/members", "GET", AgentMembers),
    ("/v1/agent/service/register", "PUT", AgentRegister),
    ("/v1/agent/service/deregister/", "PUT", AgentDeregister),
    ("/v1/agent/service/maintenance/", "PUT", AgentMaintenance),
    ("/v1/agent/service/", "GET", AgentService),
    ("/v1/agent/health/service/name/", "GET", AgentHealthByName),
    ("/v1/agent/health/service/id/", "GET", AgentHealthById),
    ("/v1/agent/check/register", "PUT", CheckRegister),
    ("/v1/agent/check/deregister/", "PUT", CheckDeregister),
    ("/v1/agent/check/pass/", "PUT", CheckPass),
    ("/v1/agent/check/warn/", "PUT", CheckWarn),
    ("/v1/agent/check/fail/", "PUT", CheckFail),
    ("/v1/agent/check/update/", "PUT", CheckUpdate),
    ("/v1/catalog/datacenters", "GET", Datacenters),
    ("/v1/catalog/nodes", "GET", Nodes),
    ("/v1/catalog/services", "GET", Services),
    ("/v1/catalog/service/", "GET", CatalogService),
    ("/v1/catalog/node/", "GET", CatalogNode),
    ("/v1/catalog/register", "PUT", CatalogRegister),
    ("/v1/catalog/deregister", "PUT", CatalogDeregister),
    ("/v1/health/service/", "GET", HealthService),
    ("/v1/health/checks/", "GET", HealthChecks),
    ("/v1/health/node/", "GET", HealthNode),
    ("/v1/health/state/", "GET", HealthState),
    ("/v1/kv/", "GET,PUT,DELETE", Kv),
    ("/v1/status/leader", "GET", Leader),
    ("/v1/status/peers", "GET", Peers),
];

/// The endpoint at `path`, with what follows its prefix, decoded.
///
/// # Errors
/// 404 for a path of no endpoint, 405 for another method, 400 for broken percent encoding.
pub fn route(method: &str, path: &str) -> Result<(Endpoint, String), Refusal> {
    let exact = TABLE.iter().find(|(at, ..)| *at == path);
    let found = exact.or_else(|| TABLE.iter().find(|(at, ..)| at.ends_with('/') && path.starts_with(at)));
    let Some((at, methods, endpoint)) = found else {
        let text = "Invalid URL path: not a recognized HTTP API endpoint";
        return Err(Refusal::new(StatusCode::NOT_FOUND, text));
    };
    if !methods.split(',').any(|m| m == method) {
        return Err(Refusal::method(method, methods));
    }
    Ok((*endpoint, decode(&path[at.len()..], false)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_prefix_is_decoded_and_may_hold_slashes() {
        for (path, rest) in [
            ("/v1/agent/service/deregister/service%3Aweb2", "service:web2"),
            ("/v1/kv//a/b", "/a/b"),
            ("/v1/kv/", ""),
            ("/v1/kv/a+b%20c", "a+b c"),
        ] {
            let method = if path.contains("kv") { "GET" } else { "PUT" };
            assert_eq!(route(method, path).unwrap().1, rest);
        }
    }

    #[test]
    fn register_is_no_service_id() {
        assert_eq!(route("PUT", "/v1/agent/service/register").unwrap().0, AgentRegister);
        assert_eq!(route("GET", "/v1/agent/service/web").unwrap(), (AgentService, "web".into()));
        let wrong = route("GET", "/v1/agent/service/register").unwrap_err();
        assert_eq!((wrong.status.as_u16(), wrong.allow), (405, Some("PUT")));
        assert_eq!(wrong.text, "method GET not allowed");
    }

    #[test]
    fn what_is_not_there_yet_is_not_found() {
        for path in
            ["/", "/v1/kv", "/v1/session/create", "/v1/txn", "/v1/operator/raft/configuration", "/v2/kv/a"]
        {
            assert_eq!(route("PUT", path).unwrap_err().status.as_u16(), 404, "{path}");
        }
    }

    #[test]
    fn broken_percent_encoding_is_refused() {
        for path in ["/v1/kv/%", "/v1/kv/%4", "/v1/kv/%zz", "/v1/kv/%ff"] {
            assert_eq!(route("GET", path).unwrap_err().status.as_u16(), 400, "{path}");
        }
    }
}
