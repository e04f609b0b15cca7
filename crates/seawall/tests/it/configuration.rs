use std::fs;
use std::net::TcpListener;

use crate::fleet::{Site, eventually, request, seawall};

#[test]
fn every_wrong_key_is_reported_and_nothing_starts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    fs::write(&file, "[links]\ncolour = 1\nin_flight_max = 0\nshards = \"two\"\n[balancer]\nlisten = 7\n")
        .unwrap();
    for verb in [&["config", "check"][..], &["up"], &["config", "show"]] {
        let args: Vec<&str> = verb.iter().copied().chain(["--config", file.to_str().unwrap()]).collect();
        let output = seawall(&args);
        assert_eq!(output.status.code(), Some(78), "{verb:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        for key in ["links.colour", "links.shards", "balancer.listen"] {
            assert!(said.contains(key), "{verb:?} does not name {key}:\n{said}");
        }
    }
    let output =
        seawall(&["config", "check", "--set", "links.in_flight_max=0", "--set", "links.block_size=0"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78));
    assert!(said.contains("links.in_flight_max") && said.contains("links.block_size"), "{said}");
}

#[test]
fn a_check_speaks_json_to_programs() {
    let good = seawall(&["config", "check", "--json"]);
    assert_eq!(
        (good.status.code(), good.stdout),
        (Some(0), b"{\"good\":true,\"problems\":[],\"warnings\":[]}\n".to_vec())
    );
    let bad = seawall(&["config", "check", "--json", "--set", "links.colour=1"]);
    let said: serde_json::Value = serde_json::from_slice(&bad.stdout).unwrap();
    assert_eq!((bad.status.code(), said["good"].as_bool()), (Some(78), Some(false)));
    assert!(said["problems"][0].as_str().unwrap().contains("links.colour"), "{said}");
}

#[test]
fn what_is_shown_can_be_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let shown = seawall(&["config", "show", "--set", "links.shards=4"]);
    assert!(shown.status.success());
    let file = dir.path().join("shown.toml");
    fs::write(&file, &shown.stdout).unwrap();
    let again = seawall(&["config", "show", "--config", file.to_str().unwrap()]);
    assert_eq!(String::from_utf8_lossy(&again.stdout), String::from_utf8_lossy(&shown.stdout));
}

#[test]
fn a_key_is_explained_with_its_default_and_value() {
    let output = seawall(&["config", "explain", "links.shards", "--set", "links.shards=4"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("default 1") && said.contains("now     4"), "{said}");
    assert_eq!(seawall(&["config", "explain", "links.colour"]).status.code(), Some(2));
}

#[test]
fn a_reload_applies_new_routes_and_refuses_a_bad_file_whole() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let route = |host: &str| {
        format!("[[balancer.route]]\nhost = \"{host}\"\nbackends = [\"{}\"]\n", origin.local_addr().unwrap())
    };
    let file = dir.path().join("seawall.toml");
    fs::write(&file, route("one.test")).unwrap();
    let mut up = site.up(&["balancer", "--config", file.to_str().unwrap()]);
    up.ready(&[site.admin]);
    let routes = || request(site.admin, "GET", "/routes", "x", &[], b"").text();
    assert!(routes().contains("one.test"));

    fs::write(&file, route("two.test")).unwrap();
    hang_up(&up);
    eventually("the new route is there", || routes().contains("two.test") && !routes().contains("one.test"));

    fs::write(&file, "[balancer]\nnonsense = 1\n").unwrap();
    hang_up(&up);
    eventually("the refusal is logged", || up.log().contains("keeping the last good one"));
    assert!(routes().contains("two.test"));
}

fn hang_up(up: &crate::fleet::Up) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(up.process.pid()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
}
