//! The registry's answers, as far as this client reads them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use super::Instance;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: Node,
    service: Service,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    #[serde(default)]
    address: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    meta: Option<BTreeMap<String, String>>,
    #[serde(default)]
    weights: Option<Weights>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Weights {
    passing: u32,
}

/// Reads the answer of `/v1/health/service/NAME`, ordered by id.
///
/// An instance whose address is a name is left out, with a warning: this client looks nothing up. So is one without
/// a port, which is registered to be known and cannot be called.
///
/// # Errors
/// When the body is not such an answer; the text says where.
pub(super) fn instances(body: &[u8]) -> Result<Vec<Instance>, serde_json::Error> {
    let entries: Vec<Entry> = serde_json::from_slice(body)?;
    let mut instances: Vec<Instance> = entries.into_iter().filter_map(instance).collect();
    instances.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(instances)
}

fn instance(Entry { node, service }: Entry) -> Option<Instance> {
    // Consul's rule: a service without an address of its own lives at its node's.
    let address = if service.address.is_empty() { &node.address } else { &service.address };
    if service.port == 0 {
        tracing::warn!(id = service.id, "instance left out: it has no port");
        return None;
    }
    match address.parse::<IpAddr>() {
        Ok(ip) => Some(Instance {
            addr: SocketAddr::new(ip, service.port),
            id: service.id,
            weight: service.weights.map_or(1, |w| w.passing),
            tags: service.tags.unwrap_or_default(),
            meta: service.meta.unwrap_or_default(),
        }),
        Err(_) => {
            tracing::warn!(id = service.id, address, "instance left out: its address is not an IP address");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_answer_is_read_and_ordered() {
        let body = br#"[
            {"Node":{"Node":"n","Address":"10.0.0.7"},"Checks":[],
             "Service":{"ID":"b","Service":"web","Address":"","Port":80,"Tags":null,"Meta":null}},
            {"Node":{"Node":"n","Address":"10.0.0.7"},"Checks":[],
             "Service":{"ID":"a","Service":"web","Address":"::1","Port":81,"Tags":["v1"],"Meta":{"k":"v"},
                        "Weights":{"Passing":3,"Warning":1}}},
            {"Node":{"Address":"10.0.0.7"},"Service":{"ID":"c","Address":"web.example.org","Port":1}},
            {"Node":{"Address":"10.0.0.7"},"Service":{"ID":"d","Address":"","Port":0}}]"#;
        let read = instances(body).unwrap();
        assert_eq!(
            read.iter().map(|i| (i.id.as_str(), i.addr.to_string(), i.weight)).collect::<Vec<_>>(),
            [("a", "[::1]:81".to_owned(), 3), ("b", "10.0.0.7:80".to_owned(), 1)]
        );
        assert!(instances(b"{}").is_err());
    }

    proptest! {
        #[test]
        fn fuzz_no_answer_panics(body in proptest::collection::vec(any::<u8>(), 0..256)) {
            drop(instances(&body));
        }
    }
}
