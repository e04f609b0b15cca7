//! Whole documents, compared with Consul's: names, order, empty values.

use crate::harness::{Registry, registry};

const REGISTER: &str = r#"{
  "Name": "web", "ID": "web-1", "Tags": ["v1", "eu"], "Address": "10.1.2.3", "Port": 8080,
  "Meta": {"Owner_Team": "a"}, "Weights": {"Passing": 10, "Warning": 2},
  "Check": {"TTL": "10s", "Notes": "heartbeat"}
}"#;

async fn with_web() -> Registry {
    let r = registry().await;
    r.done("/v1/agent/service/register", REGISTER).await;
    r.done("/v1/agent/check/pass/service:web-1?note=fine", "").await;
    r
}

/// Compares indented answers; what differs from run to run is replaced by its name.
async fn shows(r: &Registry, path: &str, expected: &str) {
    let id = r.get("/v1/agent/self").await.json()["Config"]["NodeID"].as_str().unwrap().to_owned();
    let separator = if path.contains('?') { '&' } else { '?' };
    let answer = r.get(&format!("{path}{separator}pretty")).await;
    let port = format!("\"Port\": {},", r.addr.port());
    let seen = answer.text().replace(&id, "NODE_ID").replace(&port, "\"Port\": HTTP_PORT,");
    assert_eq!(seen, expected.trim_start_matches('\n'), "{path}\n{seen}");
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
}

#[tokio::test]
async fn health_service_is_consuls_document() {
    let expected = r#"
[
  {
    "Node": {
      "ID": "NODE_ID",
      "Node": "registry-1",
      "Address": "127.0.0.1",
      "Datacenter": "dc1",
      "TaggedAddresses": {
        "lan": "127.0.0.1",
        "lan_ipv4": "127.0.0.1",
        "wan": "127.0.0.1",
        "wan_ipv4": "127.0.0.1"
      },
      "Meta": {
        "seawall-version": "VERSION"
      },
      "CreateIndex": 2,
      "ModifyIndex": 2
    },
    "Service": {
      "ID": "web-1",
      "Service": "web",
      "Tags": [
        "v1",
        "eu"
      ],
      "Address": "10.1.2.3",
      "TaggedAddresses": {
        "lan_ipv4": {
          "Address": "10.1.2.3",
          "Port": 8080
        },
        "wan_ipv4": {
          "Address": "10.1.2.3",
          "Port": 8080
        }
      },
      "Meta": {
        "Owner_Team": "a"
      },
      "Port": 8080,
      "Weights": {
        "Passing": 10,
        "Warning": 2
      },
      "EnableTagOverride": false,
      "Proxy": {
        "Mode": "",
        "MeshGateway": {},
        "Expose": {}
      },
      "Connect": {},
      "PeerName": "",
      "CreateIndex": 3,
      "ModifyIndex": 3
    },
    "Checks": [
      {
        "Node": "registry-1",
        "CheckID": "serfHealth",
        "Name": "Serf Health Status",
        "Status": "passing",
        "Notes": "",
        "Output": "Agent alive and reachable",
        "ServiceID": "",
        "ServiceName": "",
        "ServiceTags": [],
        "Type": "",
        "Interval": "",
        "Timeout": "",
        "ExposedPort": 0,
        "Definition": {},
        "CreateIndex": 2,
        "ModifyIndex": 2
      },
      {
        "Node": "registry-1",
        "CheckID": "service:web-1",
        "Name": "Service 'web' check",
        "Status": "passing",
        "Notes": "heartbeat",
        "Output": "fine",
        "ServiceID": "web-1",
        "ServiceName": "web",
        "ServiceTags": [
          "v1",
          "eu"
        ],
        "Type": "ttl",
        "Interval": "",
        "Timeout": "",
        "ExposedPort": 0,
        "Definition": {},
        "CreateIndex": 3,
        "ModifyIndex": 4
      }
    ]
  }
]"#;
    let expected = expected.replace("VERSION", env!("CARGO_PKG_VERSION"));
    let r = with_web().await;
    shows(&r, "/v1/health/service/web", &expected).await;
    shows(&r, "/v1/health/service/web?passing&tag=v1&tag=eu", &expected).await;
    for none in ["?tag=v1&tag=us", "?node-meta=zone:a"] {
        assert_eq!(r.get(&format!("/v1/health/service/web{none}")).await.text(), "[]");
    }
}

#[tokio::test]
async fn catalog_service_is_flat() {
    let expected = r#"
[
  {
    "ID": "NODE_ID",
    "Node": "registry-1",
    "Address": "127.0.0.1",
    "Datacenter": "dc1",
    "TaggedAddresses": {
      "lan": "127.0.0.1",
      "lan_ipv4": "127.0.0.1",
      "wan": "127.0.0.1",
      "wan_ipv4": "127.0.0.1"
    },
    "NodeMeta": {
      "seawall-version": "VERSION"
    },
    "ServiceKind": "",
    "ServiceID": "web-1",
    "ServiceName": "web",
    "ServiceTags": [
      "v1",
      "eu"
    ],
    "ServiceAddress": "10.1.2.3",
    "ServiceTaggedAddresses": {
      "lan_ipv4": {
        "Address": "10.1.2.3",
        "Port": 8080
      },
      "wan_ipv4": {
        "Address": "10.1.2.3",
        "Port": 8080
      }
    },
    "ServiceWeights": {
      "Passing": 10,
      "Warning": 2
    },
    "ServiceMeta": {
      "Owner_Team": "a"
    },
    "ServicePort": 8080,
    "ServiceSocketPath": "",
    "ServiceEnableTagOverride": false,
    "ServiceProxy": {
      "Mode": "",
      "MeshGateway": {},
      "Expose": {}
    },
    "ServiceConnect": {},
    "CreateIndex": 3,
    "ModifyIndex": 3
  }
]"#;
    let r = with_web().await;
    shows(&r, "/v1/catalog/service/web", &expected.replace("VERSION", env!("CARGO_PKG_VERSION"))).await;
}

#[tokio::test]
async fn agent_views_are_maps_by_id_and_leave_the_registry_out() {
    let services = r#"
{
  "web-1": {
    "ID": "web-1",
    "Service": "web",
    "Tags": [
      "v1",
      "eu"
    ],
    "Meta": {
      "Owner_Team": "a"
    },
    "Port": 8080,
    "Address": "10.1.2.3",
    "TaggedAddresses": {
      "lan_ipv4": {
        "Address": "10.1.2.3",
        "Port": 8080
      },
      "wan_ipv4": {
        "Address": "10.1.2.3",
        "Port": 8080
      }
    },
    "Weights": {
      "Passing": 10,
      "Warning": 2
    },
    "EnableTagOverride": false,
    "Datacenter": "dc1"
  }
}"#;
    let r = with_web().await;
    shows(&r, "/v1/agent/services", services).await;
    let checks = r.get("/v1/agent/checks").await.json();
    assert_eq!(checks.as_object().unwrap().keys().collect::<Vec<_>>(), ["service:web-1"]);
    assert_eq!(checks["service:web-1"]["Output"], "fine");
    let one = r.get("/v1/agent/service/web-1").await;
    assert_eq!(one.header("X-Consul-ContentHash"), one.json()["ContentHash"].as_str());
    assert_eq!(r.get("/v1/agent/service/nope").await.status, 404);
}

#[tokio::test]
async fn catalog_lists_name_the_registry_as_consul() {
    let r = with_web().await;
    shows(&r, "/v1/catalog/services", "{\n  \"consul\": [],\n  \"web\": [\n    \"eu\",\n    \"v1\"\n  ]\n}")
        .await;
    let consul = r.get("/v1/catalog/service/consul").await.json();
    assert_eq!(consul[0]["ServicePort"], r.addr.port());
    assert_eq!(r.get("/v1/catalog/datacenters").await.text(), r#"["dc1"]"#);
    assert_eq!(r.get("/v1/status/leader").await.text(), r#""127.0.0.1:8300""#);
    assert_eq!(r.get("/v1/status/peers").await.text(), r#"["127.0.0.1:8300"]"#);
    let nodes = r.get("/v1/catalog/nodes").await.json();
    assert_eq!((nodes.as_array().unwrap().len(), &nodes[0]["Node"]), (1, &"registry-1".into()));
}

#[tokio::test]
async fn what_is_not_there_is_an_empty_list_and_a_node_is_null() {
    let r = registry().await;
    for (path, body) in [
        ("/v1/health/service/nope", "[]"),
        ("/v1/health/checks/nope", "[]"),
        ("/v1/health/node/nope", "[]"),
        ("/v1/health/state/critical", "[]"),
        ("/v1/catalog/service/nope", "[]"),
        ("/v1/catalog/node/nope", "null"),
        ("/v1/agent/services", "{}"),
        ("/v1/agent/checks", "{}"),
    ] {
        let answer = r.get(path).await;
        assert_eq!((answer.status, answer.text()), (200, body), "{path}");
    }
}

#[tokio::test]
async fn every_read_carries_the_headers_go_refuses_to_parse_without() {
    let r = with_web().await;
    for (path, status) in [
        ("/v1/health/service/web", 200),
        ("/v1/health/checks/web", 200),
        ("/v1/health/node/registry-1", 200),
        ("/v1/health/state/any", 200),
        ("/v1/catalog/nodes", 200),
        ("/v1/catalog/services", 200),
        ("/v1/catalog/service/web", 200),
        ("/v1/catalog/node/registry-1", 200),
        ("/v1/catalog/node/nope", 200),
        ("/v1/kv/nope", 404),
        ("/v1/kv/nope?recurse", 404),
        ("/v1/kv/nope?raw", 404),
    ] {
        let answer = r.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.index() >= 1, "{path}");
        assert_eq!(answer.header("X-Consul-LastContact"), Some("0"), "{path}");
        assert_eq!(answer.header("X-Consul-KnownLeader"), Some("true"), "{path}");
        assert_eq!(answer.header("X-Consul-Effective-Consistency"), Some("leader"), "{path}");
    }
    let stale = r.get("/v1/health/service/web?stale").await;
    assert_eq!(stale.header("X-Consul-Effective-Consistency"), Some("stale"));
}

#[tokio::test]
async fn a_catalogue_entry_of_an_outside_node() {
    let r = registry().await;
    let body = r#"{"Node":"db-host","Address":"10.9.9.9","NodeMeta":{"external-node":"true"},
        "Service":{"Service":"db","Tags":["primary"],"Port":5432},
        "Check":{"CheckID":"db:up","Name":"up","Status":"passing","ServiceID":"db","Definition":{"TCP":"10.9.9.9:5432"}}}"#;
    let answer = r.put("/v1/catalog/register", body).await;
    assert_eq!((answer.status, answer.text()), (200, "true"), "{}", answer.text());
    let health = r.get("/v1/health/service/db?passing").await.json();
    assert_eq!(health[0]["Node"]["Address"], "10.9.9.9");
    assert_eq!(health[0]["Node"]["Meta"]["external-node"], "true");
    assert_eq!(health[0]["Service"]["ID"], "db");
    assert_eq!(health[0]["Checks"][0]["Definition"]["TCP"], "10.9.9.9:5432");
    assert_eq!(health[0]["Checks"].as_array().unwrap().len(), 1);
    let node = r.get("/v1/catalog/node/db-host").await.json();
    assert_eq!(node["Services"]["db"]["Port"], 5432);
    assert_eq!(r.get("/v1/agent/services").await.text(), "{}", "the agent's are its own");
    assert_eq!(r.put("/v1/catalog/deregister", r#"{"Node":"db-host"}"#).await.text(), "true");
    assert_eq!(r.get("/v1/catalog/service/db").await.text(), "[]");
    assert_eq!(r.put("/v1/catalog/deregister", r#"{"Node":"db-host"}"#).await.text(), "true");
}

#[tokio::test]
async fn agent_self_and_members_hold_what_clients_look_for() {
    let r = registry().await;
    let me = r.get("/v1/agent/self").await.json();
    for key in ["Datacenter", "NodeName", "NodeID", "Server", "Revision", "Version"] {
        assert!(!me["Config"][key].is_null(), "{key}");
    }
    assert!(me["Config"]["Version"].as_str().unwrap().starts_with("1.15."));
    let members = r.get("/v1/agent/members?wan").await.json();
    assert_eq!((&members[0]["Status"], &members[0]["Tags"]["role"]), (&1.into(), &"consul".into()));
}

#[tokio::test]
async fn a_client_that_writes_snake_case_is_understood() {
    let r = registry().await;
    let body = r#"{"name":"web","id":"w","tags":null,"tagged_addresses":{"lan":{"address":"1.2.3.4","port":9}},
        "enable_tag_override":true,"checks":[{"ttl":"10s","deregister_critical_service_after":"30s"},{"TTL":"1m30s"}]}"#;
    r.done("/v1/agent/service/register", body).await;
    let service = r.get("/v1/agent/service/w").await.json();
    assert_eq!(service["TaggedAddresses"]["lan"]["Port"], 9);
    assert_eq!((&service["EnableTagOverride"], &service["Tags"]), (&true.into(), &serde_json::json!([])));
    let checks = r.get("/v1/agent/checks").await.json();
    assert_eq!(checks.as_object().unwrap().keys().collect::<Vec<_>>(), ["service:w:1", "service:w:2"]);
    assert_eq!(checks["service:w:1"]["Status"], "critical", "until it reports");
}
