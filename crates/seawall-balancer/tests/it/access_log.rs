//! One line for each request, with what its client got and what its backend did.

use std::path::Path;
use std::time::Duration;

use seawall_balancer::config::Route;
use seawall_cluster::discovery;
use seawall_net::host::End;
use serde_json::{Value, json};

use crate::backend::{Backend, Does};
use crate::rig::{Rig, route, wait};

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The log once it has so many lines.
fn logged(file: &Path, count: usize) -> Vec<Value> {
    wait("the lines are there", || lines(file).len() >= count);
    let lines = lines(file);
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

/// These keys of a line.
fn of(line: &Value, keys: &[&str]) -> Value {
    Value::Array(keys.iter().map(|key| line[key].clone()).collect())
}

fn ended(rig: Rig) {
    rig.stop(Duration::from_secs(5));
    assert!(matches!(rig.ended(), End::Stopped(_)));
}

#[test]
fn a_request_leaves_one_line_that_says_who_asked_for_what_and_how_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("access.log");
    let backend = Backend::start(Does::Slow(Duration::from_millis(30)));
    let rig = Rig::configured(&[&backend], |c| c.access_log.path.clone_from(&file));
    assert_eq!(rig.client().call("PUT", "/a%20b?token=secret", "", b"x").unwrap().status, 200);
    let line = logged(&file, 1).remove(0);
    let keys = ["client", "method", "host", "path", "route", "status", "outcome", "tries", "backend"];
    let addr = backend.addr.to_string();
    assert_eq!(
        of(&line, &keys),
        json!(["127.0.0.1", "PUT", "one.test", "/a%20b", "one.test", 200, "success", 1, addr])
    );
    assert!((30.0..5_000.0).contains(&line["latency_ms"].as_f64().unwrap()), "{line}");
    let time = line["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{time}");
    assert_eq!(line.as_object().unwrap().len(), keys.len() + 2, "{line}");
    assert!(!std::fs::read_to_string(&file).unwrap().contains("secret"));
}

#[test]
fn what_is_refused_is_said_to_have_asked_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("access.log");
    let backend = Backend::start(Does::Answer);
    let rig = Rig::configured(&[&backend], |c| {
        c.access_log.path.clone_from(&file);
        let nobody = Some("nobody".to_owned());
        c.route.push(Route {
            host: "empty.test".to_owned(),
            path_prefix: Some("/x".to_owned()),
            service: nobody,
            backends: vec![],
            ..Route::default()
        });
    });
    let mut client = rig.client();
    for (method, host, status) in
        [("GET", "two.test", 404), ("GET", "empty.test", 503), ("TRACE", "one.test", 405)]
    {
        assert_eq!(client.call(method, "/x", &format!("Host: {host}\r\n"), b"").unwrap().status, status);
    }
    let said: Vec<Value> = logged(&file, 3)
        .iter()
        .map(|line| of(line, &["route", "status", "outcome", "tries", "backend", "latency_ms"]))
        .collect();
    assert_eq!(said[0], json!([null, 404, "refused", 0, null, 0.0]));
    assert_eq!(said[1], json!(["empty.test/x", 503, "refused", 0, null, 0.0]));
    assert_eq!(said[2], json!([null, 405, "refused", 0, null, 0.0]));
}

#[test]
fn of_several_tries_the_last_one_is_told_and_failures_keep_their_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("access.log");
    let [mut good, bad] = [Does::Answer, Does::BadGateway].map(Backend::start);
    let rig = Rig::configured(&[&good, &bad], |c| {
        c.access_log.path.clone_from(&file);
        c.try_timeout = Duration::from_secs(1);
    });
    let mut client = rig.client();
    let mut asked = 0;
    while bad.requests() == 0 {
        assert_eq!(client.get("/").unwrap().status, 200);
        asked += 1;
    }
    let keys = ["status", "outcome", "tries", "backend"];
    let addr = good.addr.to_string();
    assert_eq!(of(logged(&file, asked).last().unwrap(), &keys), json!([200, "success", 2, addr]));

    // What must not happen twice is not tried again.
    good.kill();
    rig.until("one is down", |pools| pools[0].backends.iter().any(|b| b.health == "down"));
    for (does, status, outcome) in
        [(Does::BadGateway, 502, "failed"), (Does::Close, 502, "unreachable"), (Does::Hang, 504, "timeout")]
    {
        bad.does(does);
        let before = lines(&file).len();
        assert_eq!(rig.client().call("POST", "/", "", b"x").unwrap().status, status);
        let line = logged(&file, before + 1).pop().unwrap();
        assert_eq!(of(&line, &keys), json!([status, outcome, 1, bad.addr.to_string()]));
    }
}

#[test]
fn a_client_that_leaves_is_logged_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("access.log");
    let backend = Backend::start(Does::Slow(Duration::from_secs(5)));
    let rig = Rig::configured(&[&backend], |c| c.access_log.path.clone_from(&file));
    let mut client = rig.client();
    client.send("GET", "/", "", b"").unwrap();
    wait("the backend has it", || backend.requests() == 1);
    drop(client);
    let line = logged(&file, 1).remove(0);
    assert_eq!(of(&line, &["status", "outcome", "tries"]), json!([null, "abandoned", 1]));
}

#[test]
fn the_log_goes_on_in_the_next_life_and_a_stop_leaves_nothing_unwritten() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("access.log");
    let backend = Backend::start(Does::Answer);
    for life in 1..=2 {
        let rig = Rig::configured(&[&backend], |c| c.access_log.path.clone_from(&file));
        let mut client = rig.client();
        for _ in 0..50 {
            assert_eq!(client.get("/").unwrap().status, 200);
        }
        ended(rig);
        assert_eq!(lines(&file).len(), 50 * life);
    }
}

#[test]
fn it_is_switched_on_moved_and_off_while_the_balancer_runs() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = ["one.log", "two.log"].map(|name| dir.path().join(name));
    let backend = Backend::start(Does::Answer);
    let rig = Rig::start(
        seawall_balancer::Config { route: vec![route("one.test", &[&backend])], ..Default::default() },
        discovery::Config::default(),
    );
    let mut client = rig.client();
    let has = |file: &Path| file.exists() && !lines(file).is_empty();
    for file in [&one, &two] {
        rig.reconfigure(|c| c.access_log.path.clone_from(file));
        wait("lines go there", || {
            assert_eq!(client.get("/").unwrap().status, 200);
            has(file)
        });
    }
    rig.reconfigure(|_| {});
    wait("nothing is written any more", || {
        let before = lines(&two).len();
        assert_eq!(client.get("/").unwrap().status, 200);
        std::thread::sleep(Duration::from_millis(20));
        lines(&two).len() == before
    });
}
