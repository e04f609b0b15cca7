//! What is wrong with a request is told in words, and changes nothing.

use seawall_registry::Config;

use crate::harness::{registry, registry_with};

#[tokio::test]
async fn wrong_parameters_are_named() {
    let r = registry().await;
    for (method, path, status, text) in [
        ("GET", "/v1/health/service/web?index=x", 400, "Invalid index"),
        ("GET", "/v1/health/service/web?index=-1", 400, "Invalid index"),
        ("GET", "/v1/health/service/web?index=1&wait=5", 400, "Invalid wait time"),
        ("GET", "/v1/health/service/web?wait=soon", 400, "Invalid wait time"),
        (
            "GET",
            "/v1/catalog/nodes?stale&consistent",
            400,
            "Cannot specify ?stale with ?consistent, conflicting semantics.",
        ),
        ("GET", "/v1/catalog/nodes?dc=mars", 500, "No path to datacenter"),
        ("PUT", "/v1/kv/a?dc=mars", 500, "No path to datacenter"),
        (
            "GET",
            "/v1/catalog/services?filter=a",
            400,
            "?filter is not supported yet; leave it out and filter the answer",
        ),
        ("GET", "/v1/health/service/", 400, "Missing service name"),
        ("GET", "/v1/catalog/node/", 400, "Missing node name"),
        ("GET", "/v1/health/state/sick", 400, "Invalid check state: \"sick\""),
        ("GET", "/v1/health/service/web?passing=perhaps", 400, "Invalid value for ?passing: \"perhaps\""),
        ("GET", "/v1/kv/", 400, "Missing key name"),
        ("PUT", "/v1/kv/", 400, "Missing key name"),
        ("DELETE", "/v1/kv/", 400, "Missing key name"),
        ("PUT", "/v1/kv/a?cas=x", 400, "Invalid cas"),
        ("PUT", "/v1/kv/a?cas=", 400, "Invalid cas"),
        ("DELETE", "/v1/kv/a?cas", 400, "Invalid cas"),
        ("PUT", "/v1/kv/a?flags=-1", 400, "Invalid flags: a whole number of 64 bits is wanted"),
        (
            "PUT",
            "/v1/kv/a?cas=1&acquire=x",
            400,
            "Conflicting flags: only one of cas, acquire, release and recurse is taken",
        ),
        (
            "PUT",
            "/v1/kv/a?acquire=x",
            400,
            "Sessions are not supported yet, so nothing can be acquired or released",
        ),
        ("GET", "/v1/kv/%zz", 400, "Invalid URL escape \"%zz\""),
        ("GET", "/v1/kv/a?keys=%4", 400, "Invalid URL escape \"%4\""),
        ("GET", "/v1/kv/%ff", 400, "The URL does not decode to UTF-8 text"),
        ("POST", "/v1/agent/service/register", 405, "method POST not allowed"),
        ("DELETE", "/v1/catalog/nodes", 405, "method DELETE not allowed"),
        ("GET", "/v1/nothing", 404, "Invalid URL path: not a recognized HTTP API endpoint"),
        ("PUT", "/v1/session/create", 404, "Invalid URL path: not a recognized HTTP API endpoint"),
        ("PUT", "/v1/txn", 404, "Invalid URL path: not a recognized HTTP API endpoint"),
    ] {
        let answer = r.call(method, path, b"").await;
        assert_eq!((answer.status, answer.text()), (status, text), "{method} {path}");
        assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=utf-8"), "{path}");
    }
    let wrong = r.call("POST", "/v1/kv/a", b"").await;
    assert_eq!((wrong.status, wrong.header("Allow")), (405, Some("GET,PUT,DELETE")));
    assert_eq!(r.get("/v1/catalog/nodes?dc=dc1&token=any&near=_agent&ns=x").await.status, 200);
}

#[tokio::test]
async fn wrong_bodies_are_named() {
    let r = registry().await;
    let long = format!(r#"{{"Name":"{}"}}"#, "x".repeat(256));
    let deep = "[".repeat(100_000);
    let many = format!(r#"{{"Name":"a","Tags":[{}"t"]}}"#, r#""t","#.repeat(64));
    let meta = format!(r#"{{"Name":"a","Meta":{{"k":"{}"}}}}"#, "x".repeat(513));
    let service = "/v1/agent/service/register";
    for (path, body, says) in [
        (service, "", "the body is empty"),
        (service, "{", "Request decode failed: EOF"),
        (service, "[]", "expected an object, got a list"),
        (service, "{}", "Missing service name"),
        (service, r#"{"Name":7}"#, "field \"Name\": expected text, got 7"),
        (
            service,
            r#"{"Name":"a","Port":"80"}"#,
            "field \"Port\": expected a whole number from 0 to 65535, got the text \"80\"",
        ),
        (service, r#"{"Name":"a","Port":65536}"#, "got 65536"),
        (service, r#"{"Name":"a","tags":"v1"}"#, "field \"tags\": expected a list of texts"),
        (service, r#"{"Name":"a","Meta":{"k":1}}"#, "field \"Meta\": expected an object of texts"),
        (service, r#"{"Name":"a","Weights":{"Passing":0}}"#, "Passing must be greater than 0"),
        (service, r#"{"Name":"a","Check":{"TTL":"0s"}}"#, "TTL must be > 0 for TTL checks"),
        (
            service,
            r#"{"Name":"a","Check":{"TTL":"fast"}}"#,
            "field \"TTL\": expected a duration like \"10s\"",
        ),
        (service, r#"{"Name":"a","Check":{"HTTP":"http://x","Interval":"1s"}}"#, "only TTL checks are"),
        (service, r#"{"Name":"a","Check":{"tcp":"x:1","Interval":"1s"}}"#, "only TTL checks are"),
        (service, r#"{"Name":"a","Checks":[{"GRPC":"x:1"}]}"#, "only TTL checks are"),
        (service, r#"{"Name":"a","Check":{"Args":["sh"]}}"#, "would run a program"),
        (service, r#"{"Name":"a","Check":{"script_args":["sh"]}}"#, "would run a program"),
        (service, r#"{"Name":"a","Check":{"TTL":"1s","Status":"fine"}}"#, "Status for checks must"),
        (service, r#"{"Name":"x","ID":"consul"}"#, "describes the registry itself"),
        (service, &long, "Service name is 256 bytes long; at most 255 are taken"),
        (service, &deep, "Request decode failed: recursion limit exceeded"),
        (service, &many, "65 tags; at most 64 are taken"),
        (service, &meta, "meta takes keys of at most 128 bytes and values of at most 512"),
        ("/v1/agent/check/register", r#"{"TTL":"1s"}"#, "Missing check name"),
        ("/v1/agent/check/register", r#"{"Name":"a"}"#, "TTL must be > 0 for TTL checks"),
        ("/v1/agent/check/update/x", r#"{"Status":"ok"}"#, "Invalid check status: \"ok\""),
        ("/v1/catalog/register", r#"{"Address":"1.2.3.4"}"#, "Must provide node"),
        ("/v1/catalog/register", r#"{"Node":"a"}"#, "Must provide address"),
        (
            "/v1/catalog/register",
            r#"{"Node":"a","Address":"b","Service":{"ID":"x"}}"#,
            "Must provide service name",
        ),
        (
            "/v1/catalog/register",
            r#"{"Node":"a","Address":"b","Check":{"Name":"c","Node":"z"}}"#,
            "does not match node",
        ),
        (
            "/v1/catalog/register",
            r#"{"Node":"registry-1","Address":"b","Service":{"Service":"consul"}}"#,
            "the registry itself",
        ),
        ("/v1/catalog/deregister", r#"{"ServiceID":"a"}"#, "Must provide node"),
        ("/v1/catalog/deregister", r#"{"Node":"registry-1"}"#, "the registry itself"),
    ] {
        let answer = r.put(path, body).await;
        assert_eq!(answer.status, 400, "{path} {body:.80}: {}", answer.text());
        assert!(answer.text().contains(says), "{path} {body:.80}: {}", answer.text());
    }
    assert_eq!(
        r.put("/v1/catalog/register", r#"{"Node":"a","Address":"b","Datacenter":"mars"}"#).await.status,
        500
    );
    assert_eq!(r.get("/v1/catalog/services").await.text(), r#"{"consul":[]}"#, "nothing was stored");
    assert_eq!(r.get("/v1/agent/checks").await.text(), "{}");
}

#[tokio::test]
async fn bounds_are_told_in_words() {
    let config = Config { instances_max: 2, kv_value_max: 10, kv_total_max: 150, ..Config::default() };
    let r = registry_with(config).await;
    r.done("/v1/agent/service/register", r#"{"Name":"a"}"#).await;
    let more = r.put("/v1/agent/service/register", r#"{"Name":"b"}"#).await;
    assert_eq!((more.status, more.text()), (503, "the registry holds 2 instances and takes no more"));
    r.done("/v1/agent/service/register", r#"{"Name":"a","Port":1}"#).await;
    r.done("/v1/catalog/register", r#"{"Node":"n2","Address":"a"}"#).await;
    let node = r.put("/v1/catalog/register", r#"{"Node":"n3","Address":"a"}"#).await;
    assert_eq!((node.status, node.text()), (503, "the registry holds 2 nodes and takes no more"));
    let eight: Vec<_> = (0..8).map(|n| format!(r#"{{"Name":"c{n}"}}"#)).collect();
    let body = format!(r#"{{"Node":"n2","Address":"a","Checks":[{}]}}"#, eight.join(","));
    let checks = r.put("/v1/catalog/register", &body).await;
    assert_eq!((checks.status, checks.text()), (503, "the registry holds 8 checks and takes no more"));
    assert_eq!(r.put("/v1/kv/k", "12345678901").await.status, 413);
    r.done("/v1/kv/k", "1234567890").await;
    assert_eq!(r.put("/v1/kv/l", "").await.status, 503, "a key costs something without a value too");
    r.done("/v1/kv/k", "0987654321").await;
    let key = r.get(&format!("/v1/kv/{}", "k".repeat(2049))).await;
    assert_eq!((key.status, key.text()), (400, "The key is 2049 bytes long; at most 2048 are taken"));
    let body = format!(r#"{{"Name":"a","Meta":{{"k":"{}"}}}}"#, "x".repeat(512 * 1024));
    assert_eq!(r.put("/v1/agent/service/register", &body).await.status, 413);
}

#[tokio::test]
async fn a_chunked_body_is_bounded_as_well() {
    let r = registry().await;
    let mut request =
        b"PUT /v1/kv/a HTTP/1.1\r\nHost: r\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec();
    for _ in 0..20 {
        request.extend_from_slice(b"10000\r\n");
        request.extend_from_slice(&[b'x'; 65536]);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(r.send(&request).await.status, 413);
    assert_eq!(r.get("/v1/kv/a").await.status, 404);
}

#[tokio::test]
async fn its_own_pages_are_there() {
    let r = registry().await;
    assert_eq!(r.get("/-/healthy").await.status, 200);
    assert_eq!(r.get("/-/ready").await.status, 200);
    assert!(r.get("/metrics").await.text().contains("seawall_registry_commands_total"));
}
