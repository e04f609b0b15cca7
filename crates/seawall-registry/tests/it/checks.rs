//! Health: heartbeats, expiry, maintenance, aggregated answers.

use std::time::Duration;

use crate::harness::{Registry, registry};

async fn status(r: &Registry) -> (String, String) {
    let checks = r.get("/v1/health/checks/web").await.json();
    let text = |key: &str| checks[0][key].as_str().unwrap().to_owned();
    (text("Status"), text("Output"))
}

#[tokio::test]
async fn a_ttl_that_runs_out_turns_critical_and_wakes_watchers() {
    let r = registry().await;
    r.web("web", "500ms").await;
    assert_eq!(status(&r).await.0, "passing");
    let index = r.get("/v1/health/service/web?passing").await.index();
    let gone = r.get(&format!("/v1/health/service/web?passing&wait=1m&index={index}")).await;
    assert_eq!(gone.text(), "[]");
    assert_eq!(status(&r).await, ("critical".into(), "TTL expired".into()));
    r.done("/v1/agent/check/pass/service:web?note=back", "").await;
    assert_eq!(status(&r).await, ("passing".into(), "back".into()));
}

#[tokio::test]
async fn heartbeats_keep_it_passing_and_are_not_logged() {
    let r = registry().await;
    r.web("web", "1s").await;
    let (index, commands) = (r.get("/v1/health/service/web").await.index(), r.counted("commands_total"));
    for _ in 0..15 {
        r.done("/v1/agent/check/pass/service:web", "").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(r.get("/v1/health/service/web").await.index(), index);
    assert_eq!((r.counted("commands_total"), r.counted("heartbeats_total")), (commands, 15));
}

#[tokio::test]
async fn reports_set_status_and_output() {
    let r = registry().await;
    r.web("web", "10m").await;
    for (path, body, expected) in [
        ("/v1/agent/check/warn/service:web?note=slow", "", ("warning", "slow")),
        ("/v1/agent/check/fail/service%3Aweb", "", ("critical", "")),
        ("/v1/agent/check/update/service:web", r#"{"Status":"passing","Output":"ok"}"#, ("passing", "ok")),
        ("/v1/agent/check/pass/service:web?note=a+text+alone", "", ("passing", "a text alone")),
    ] {
        r.done(path, body).await;
        let (status, output) = status(&r).await;
        assert_eq!((status.as_str(), output.as_str()), expected, "{path}");
    }
    let long = format!(r#"{{"Status":"warning","Output":"{}"}}"#, "é".repeat(3000));
    r.done("/v1/agent/check/update/service:web", &long).await;
    assert!(status(&r).await.1.ends_with("é ... (captured 4096 of 6000 bytes)"));
}

#[tokio::test]
async fn unknown_ids_are_told_in_consuls_words() {
    let r = registry().await;
    r.web("web", "10m").await;
    r.done("/v1/agent/service/maintenance/web?enable=true", "").await;
    for (path, code, text) in [
        (
            "/v1/agent/check/pass/web",
            404,
            "Unknown check ID \"web\". Ensure that the check ID is passed, not the check name.",
        ),
        (
            "/v1/agent/service/deregister/nope",
            404,
            "Unknown service ID \"nope\". Ensure that the service ID is passed, not the service name.",
        ),
        (
            "/v1/agent/service/deregister/consul",
            404,
            "Unknown service ID \"consul\". Ensure that the service ID is passed, not the service name.",
        ),
        (
            "/v1/agent/check/pass/_service_maintenance:web",
            500,
            "CheckID \"_service_maintenance:web\" does not have associated TTL",
        ),
        ("/v1/agent/service/maintenance/web", 400, "Missing value for enable"),
        ("/v1/agent/service/maintenance/web?enable=x", 400, "Invalid value for enable: \"x\""),
    ] {
        let answer = r.put(path, "").await;
        assert_eq!((answer.status, answer.text()), (code, text));
        assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=utf-8"));
    }
}

#[tokio::test]
async fn maintenance_is_a_critical_check_that_comes_and_goes() {
    let r = registry().await;
    r.web("web", "10m").await;
    r.done("/v1/agent/service/maintenance/web?enable=true&reason=new+disk", "").await;
    assert_eq!(r.get("/v1/health/service/web?passing").await.text(), "[]");
    let check = &r.get("/v1/agent/checks").await.json()["_service_maintenance:web"];
    assert_eq!((&check["Status"], &check["Notes"]), (&"critical".into(), &"new disk".into()));
    let health = r.get("/v1/agent/health/service/id/web").await;
    assert_eq!((health.status, &health.json()["AggregatedStatus"]), (503, &"maintenance".into()));
    for _ in 0..2 {
        r.done("/v1/agent/service/maintenance/web?enable=false", "").await;
    }
    assert_eq!(r.get("/v1/health/service/web?passing").await.json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn aggregated_health_is_a_status_code() {
    let r = registry().await;
    r.web("a", "10m").await;
    r.web("b", "10m").await;
    let ask = |path: &'static str| {
        let r = &r;
        async move {
            let text = r.get(&format!("/v1/agent/health/service/{path}?format=text")).await;
            (text.status, text.text().to_owned())
        }
    };
    assert_eq!(ask("name/web").await, (200, "passing".into()));
    r.done("/v1/agent/check/warn/service:b", "").await;
    assert_eq!(ask("name/web").await, (429, "warning".into()));
    assert_eq!(ask("id/a").await, (200, "passing".into()));
    r.done("/v1/agent/check/fail/service:a", "").await;
    assert_eq!(ask("name/web").await, (503, "critical".into()));
    assert_eq!(ask("name/nope").await, (404, "ServiceName nope Not Found".into()));
    let list = r.get("/v1/agent/health/service/name/web").await;
    assert_eq!((list.status, list.json().as_array().unwrap().len()), (503, 2));
    assert_eq!(list.json()[0]["Service"]["ID"], "a");
    let nothing = r.get("/v1/agent/health/service/id/nope").await;
    assert_eq!((nothing.status, &nothing.json()["Service"]), (404, &serde_json::Value::Null));
    assert_eq!(r.get("/v1/agent/health/service/name/nope").await.text(), "[]");
}

#[tokio::test]
async fn a_check_of_its_own_and_one_of_the_node() {
    let r = registry().await;
    r.web("web", "10m").await;
    r.done("/v1/agent/check/register", r#"{"Name":"disk","TTL":"10m","ServiceID":"web"}"#).await;
    assert_eq!(r.get("/v1/health/service/web?passing").await.text(), "[]");
    r.done("/v1/agent/check/deregister/disk", "").await;
    r.done("/v1/agent/check/register", r#"{"ID":"mem","TTL":"10m","Status":"passing"}"#).await;
    let found = r.get("/v1/health/service/web?passing").await.json();
    assert_eq!(found[0]["Checks"].as_array().unwrap().len(), 3, "serfHealth, mem, its own");
    r.done("/v1/agent/check/fail/mem", "").await;
    assert_eq!(
        r.get("/v1/health/service/web?passing").await.text(),
        "[]",
        "a sick node's services are not fit"
    );
    let orphan = r.put("/v1/agent/check/register", r#"{"Name":"x","TTL":"1m","ServiceID":"nope"}"#).await;
    assert_eq!((orphan.status, orphan.text()), (500, "ServiceID \"nope\" does not exist"));
}

#[tokio::test]
async fn replacing_checks_drops_the_old_ones() {
    let r = registry().await;
    r.web("web", "10m").await;
    let body = r#"{"Name":"web","Check":{"CheckID":"new","TTL":"10m"}}"#;
    r.done("/v1/agent/service/register", body).await;
    assert_eq!(r.get("/v1/agent/checks").await.json().as_object().unwrap().len(), 2);
    r.done("/v1/agent/service/register?replace-existing-checks=true", body).await;
    assert_eq!(r.get("/v1/agent/checks").await.json().as_object().unwrap().len(), 1);
}
