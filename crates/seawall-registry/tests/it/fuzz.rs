//! Whatever arrives, parsing ends in a call or a refusal.

use proptest::prelude::*;
use seawall_registry::api::bodies;
use seawall_registry::api::parse::{Rules, parse};
use serde_json::{Value, json};

fn rules() -> Rules {
    Rules { datacenter: "dc1".into(), kv_value_max: 64 }
}

const PATHS: [&str; 14] = [
    "/v1/agent/service/register",
    "/v1/agent/service/maintenance/a",
    "/v1/agent/service/a",
    "/v1/agent/check/register",
    "/v1/agent/check/pass/a",
    "/v1/agent/check/update/a",
    "/v1/agent/health/service/id/a",
    "/v1/catalog/register",
    "/v1/catalog/deregister",
    "/v1/catalog/services",
    "/v1/health/service/a",
    "/v1/health/state/any",
    "/v1/kv/a",
    "/",
];

/// Bodies with the right field names and any values.
fn body() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[0-9a-z:.é ]{0,8}".prop_map(Value::from),
        Just(json!("10s")),
    ];
    let name = prop_oneof![
        Just("Name"),
        Just("id"),
        Just("Tags"),
        Just("tagged_addresses"),
        Just("Meta"),
        Just("Check"),
        Just("Checks"),
        Just("TTL"),
        Just("Port"),
        Just("Weights"),
        Just("Passing"),
        Just("Node"),
        Just("Address"),
        Just("Service"),
        Just("Status"),
        Just("Output"),
        Just("Definition"),
        Just("HTTP"),
        Just("DeregisterCriticalServiceAfter"),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn fuzz_any_bytes_are_parsed_or_refused(
        method in prop_oneof![Just("GET"), Just("PUT"), Just("DELETE"), Just("POST"), Just("é")],
        path in prop_oneof![proptest::sample::select(&PATHS[..]).prop_map(str::to_owned), "/v1/kv/[%0-9a-fz/é+]{0,12}", ".{0,20}"],
        query in "[a-z=&%0-9+.:?-]{0,40}",
        body in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        if let Err(refusal) = parse(method, &path, &query, body, &rules()) {
            prop_assert!(!refusal.text.is_empty());
            prop_assert!(refusal.status.as_u16() >= 400);
        }
    }

    #[test]
    fn fuzz_any_json_is_a_registration_or_a_refusal(path in proptest::sample::select(&PATHS[..]), body in body()) {
        let bytes = body.to_string().into_bytes();
        drop(parse("PUT", path, "enable=1", bytes, &rules()));
    }

    #[test]
    fn fuzz_known_parameters_take_any_value(
        name in proptest::sample::select(&["index", "wait", "cas", "flags", "passing", "recurse", "keys", "separator",
            "raw", "tag", "node-meta", "stale", "dc", "pretty", "hash", "acquire"][..]),
        value in "[0-9a-zµ%.-]{0,24}",
        path in proptest::sample::select(&PATHS[..]),
    ) {
        drop(parse("GET", path, &format!("{name}={value}"), Vec::new(), &rules()));
    }

    #[test]
    fn fuzz_an_output_is_cut_between_characters(text in ".{0,200}", times in 1..60usize) {
        let cut = bodies::cut_output(text.repeat(times));
        prop_assert!(cut.len() <= bodies::OUTPUT_MAX + 64);
    }
}
