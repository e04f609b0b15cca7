//! `seawall policy explain`, and policies in the configuration file.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fleet::{Site, binary, eventually, request, seawall};

fn said(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn written(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("policies.toml");
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn a_preset_is_explained_in_sentences_and_all_its_keys() {
    let text = said(&seawall(&["policy", "explain", "breaker.s2-links"]));
    assert!(text.starts_with("breaker.s2-links (breaker, preset)\n  "), "{text}");
    let (sentences, keys) = text.split_once("\n\n").unwrap();
    assert!(sentences.lines().skip(1).all(|line| line.ends_with('.')), "{sentences}");
    let keys: toml::Table = keys.parse().unwrap();
    assert_eq!(keys["open"]["for"].as_str(), Some("1m"));
    assert_eq!(keys["trip"][0]["consecutive"].as_integer(), Some(5));
}

#[test]
fn without_a_name_all_are_listed_one_line_each() {
    let text = said(&seawall(&["policy", "explain"]));
    for name in [
        "balancer.breaker ",
        "breaker.s0-chat-verbatim ",
        "retry.s4-discovery ",
        "ladder.s1-feed ",
        "shed.s0-chat ",
    ] {
        assert_eq!(text.lines().filter(|line| line.starts_with(name)).count(), 1, "{name}\n{text}");
    }
    let all: serde_json::Value =
        serde_json::from_str(&said(&seawall(&["policy", "explain", "--json"]))).unwrap();
    assert_eq!(all["policies"].as_array().unwrap().len(), text.lines().count());
    assert_eq!(all["policies"][0]["from"], "in use");
}

#[test]
fn a_policy_of_ones_own_is_explained_resolved() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(
        dir.path(),
        "[policy.breaker.mine]\npreset = 's2-links'\nopen = { for = '90s' }\n\
         [policy.budget.edge]\n[policy.call.cache]\ntimeout = '50ms'\nretry = 's1-read'\nbudget = 'edge'\nbreaker = 'mine'\n",
    );
    let file = file.to_str().unwrap();
    let text = said(&seawall(&["policy", "explain", "mine", "--policies", file]));
    assert!(text.starts_with("breaker.mine (breaker, file)\n") && text.contains("for = \"1m30s\""), "{text}");
    assert!(text.contains("consecutive = 5"), "{text}");
    let text = said(&seawall(&["policy", "explain", "cache", "--policies", file]));
    assert!(text.contains("a dead callee sees 1210 calls a second until the breaker opens."), "{text}");
    let json = said(&seawall(&["policy", "explain", "mine", "--policies", file, "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["policies"][0]["policy"]["open"]["for"], "1m30s");
    assert!(json["policies"][0]["sentences"].as_array().unwrap().len() > 2);
}

#[test]
fn a_name_of_nothing_is_a_usage_error_with_the_nearest() {
    let output = seawall(&["policy", "explain", "s2-lnks"]);
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{why}");
    assert!(why.contains("there is no policy called s2-lnks, did you mean s2-links"), "{why}");
    let output = seawall(&["policy", "explain", "log"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no policy stands in the section [log]"));
}

#[test]
fn a_file_of_policies_is_explained_wherever_one_stands_whatever_seawall_toml_says() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), "[policy.breaker.mine]\npreset = 's2-links'\n");
    let explain = |args: &[&str]| {
        let args = ["policy", "explain"].iter().chain(args).copied();
        Command::new(binary()).args(args).current_dir(dir.path()).output().unwrap()
    };
    for config in [None, Some(""), Some("[links]\ncolour = 1\n"), Some("no toml")] {
        if let Some(text) = config {
            fs::write(dir.path().join("seawall.toml"), text).unwrap();
        }
        let text = said(&explain(&["mine", "--policies", "policies.toml"]));
        assert!(text.starts_with("breaker.mine (breaker, file)\n"), "{config:?}: {text}");
        let all = said(&explain(&["--policies", "policies.toml"]));
        assert!(all.lines().any(|line| line.starts_with("breaker.mine ")), "{config:?}: {all}");
        assert!(!all.contains(" in use "), "{config:?}: {all}");
    }
    assert_eq!(explain(&["mine"]).status.code(), Some(78), "without one, the configuration is what is meant");
    for (args, why) in [
        (&["balancer", "--policies", "policies.toml"][..], "what balancer uses stands in the configuration"),
        (&["mine", "--policies", "policies.toml", "--config", "seawall.toml"], "cannot be used with"),
        (&["mine", "--policies", "policies.toml", "--set", "up.workers=2"], "cannot be used with"),
    ] {
        let output = explain(args);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && told.contains(why), "{args:?}: {told}");
    }
}

const BAD: &str = "\
[policy.breaker.x]
windw = '10s'
open = { for = '0s' }

[policy.call.redis]
timeout = '50ms'
breaker = 's2-lnks'
fallback = { to = 'db' }
[policy.call.db]

[[ladder.feed.rung]]
level = 1
name = 'slow'
enter = 'p95(redis) > 100ms for 10s'
exit = 'p95(redis) < 60ms for 30s'
effects = ['ranking=light']
";

/// Line and key of each problem of [`BAD`].
const PROBLEMS: [(u32, &str); 5] = [
    (2, "policy.breaker.x.windw"),
    (3, "policy.breaker.x.open.for"),
    (7, "policy.call.redis.breaker"),
    (8, "policy.call.redis.fallback"),
    (14, "ladder.feed.rung[0].enter"),
];

#[test]
fn a_bad_file_costs_every_problem_with_its_line_and_exit_78() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(dir.path(), BAD);
    let file = file.to_str().unwrap();
    let data = dir.path().join("data");
    for args in [
        &["policy", "explain", "s2-links", "--policies", file][..],
        &["policy", "explain", "--config", file],
        &["config", "check", "--config", file],
        &["up", "links", "--config", file, "--data", data.to_str().unwrap()],
    ] {
        let output = seawall(args);
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{args:?}\n{why}");
        assert!(why.contains("the configuration has 5 problems"), "{args:?}\n{why}");
        for (line, key) in PROBLEMS {
            let place = format!("\n  {file}:{line}: {key}: ");
            assert!(why.contains(&place), "{args:?}: {place:?} is missing:\n{why}");
        }
    }
    assert!(!data.exists(), "nothing starts");
}

#[test]
fn a_file_that_is_no_toml_is_one_problem_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(dir.path(), "[policy.breaker.x]\n\nwindow =\n");
    let file = file.to_str().unwrap();
    for args in [["policy", "explain", "--policies", file], ["config", "check", "--config", file]] {
        let output = seawall(&args);
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{why}");
        assert!(why.contains("has 1 problem\n") && why.contains(&format!("\n  {file}:3: ")), "{why}");
    }
}

#[test]
fn what_is_wrong_with_policies_and_with_sections_is_told_together() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(
        dir.path(),
        "[policy.retry.mine]\nattempts = 'x'\n[balancer]\nretry = 'mine'\nbreaker = 'none'\ncolour = 1\n",
    );
    let output = seawall(&[
        "config",
        "check",
        "--config",
        file.to_str().unwrap(),
        "--set",
        "policy.retry.mine.attempts=1",
    ]);
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{why}");
    for part in [
        "policies.toml:2: policy.retry.mine.attempts: ",
        "balancer.breaker: use the keys of a breaker policy or the name of one; there is none called \"none\"",
        "balancer.colour: ",
        "--set policy.retry.mine.attempts=1: write policies into a file",
    ] {
        assert!(why.contains(part), "{part:?} is missing:\n{why}");
    }
    assert!(why.contains("has 4 problems"), "{why}");
}

#[test]
fn a_warning_is_told_and_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(dir.path(), "[policy.breaker.quick]\nopen = { for = '2s' }\n");
    let file = file.to_str().unwrap();
    let warning = format!("{file}:2: warning: policy.breaker.quick.open.for: use at least the window (10s)");
    let text = said(&seawall(&["config", "check", "--config", file]));
    assert!(text.starts_with(&warning) && text.ends_with("the configuration is good\n"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&said(&seawall(&["config", "check", "--json", "--config", file]))).unwrap();
    assert_eq!((&json["good"], json["warnings"].as_array().unwrap().len()), (&true.into(), 1));
    let text = said(&seawall(&["policy", "explain", "quick", "--config", file]));
    assert!(text.contains("Warning: policy.breaker.quick.open.for: use at least the window"), "{text}");
}

const NAMED: &str = "\
[policy.retry.mine]
preset = 's3-request'
attempts = 2

[balancer]
breaker = 's3-balancer-verbatim'
retry = 'mine'
";

#[test]
fn a_section_may_name_a_policy_and_a_setting_may_change_one_key_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(dir.path(), NAMED);
    let file = file.to_str().unwrap();
    let shown = said(&seawall(&["config", "show", "--config", file, "--set", "balancer.breaker.window=20s"]));
    let config: toml::Table = shown.parse().unwrap();
    let balancer = &config["balancer"];
    assert_eq!(balancer["breaker"]["open"]["growth"].as_float(), Some(1.0), "the verbatim preset");
    assert_eq!(balancer["breaker"]["window"].as_str(), Some("20s"));
    assert_eq!(balancer["retry"]["attempts"].as_integer(), Some(2));
    assert_eq!(balancer["retry"]["on"].as_array().unwrap().len(), 2, "of s3-request");
    assert_eq!(config["policy"]["retry"]["mine"]["preset"].as_str(), Some("s3-request"), "as written");
    let again = written(dir.path(), &shown);
    assert_eq!(said(&seawall(&["config", "show", "--config", again.to_str().unwrap()])), shown);
    let set = said(&seawall(&["config", "show", "--set", "balancer.retry=s3-connect"]));
    assert_eq!(set.parse::<toml::Table>().unwrap()["balancer"]["retry"]["attempts"].as_integer(), Some(4));
}

#[test]
fn a_systems_policies_are_explained_as_they_are_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(dir.path(), NAMED);
    let text = said(&seawall(&["policy", "explain", "balancer", "--config", file.to_str().unwrap()]));
    for part in [
        "balancer.breaker (breaker, in use)",
        "balancer.retry (retry, in use)",
        "balancer.retry_budget (budget, in use)",
    ] {
        assert!(text.contains(part), "{part:?} is missing:\n{text}");
    }
    assert!(text.contains("A call is tried at most 2 times in all."), "{text}");
    let one = said(&seawall(&["policy", "explain", "balancer.retry"]));
    assert!(one.starts_with("balancer.retry (retry, in use)\n") && one.contains("at most 3 times"), "{one}");
}

/// A backend that is healthy and fails every request; how many of them it had.
fn failing_backend() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (addr, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    std::thread::spawn(move || {
        for peer in listener.incoming() {
            let mut peer = peer.unwrap();
            let mut head = String::new();
            let mut lines = BufReader::new(&peer);
            while lines.read_line(&mut head).unwrap_or(0) > 2 {}
            let is_check = head.starts_with("GET /-/ready");
            count.fetch_add(usize::from(!is_check), Ordering::Relaxed);
            let status = if is_check { "200 OK" } else { "502 Bad Gateway" };
            drop(write!(peer, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
        }
    });
    (addr, asked)
}

#[test]
fn a_balancer_tries_as_often_as_the_policy_it_names() {
    let backends: Vec<_> = (0..4).map(|_| failing_backend()).collect();
    let asked = || backends.iter().map(|(_, asked)| asked.swap(0, Ordering::Relaxed)).sum::<usize>();
    let addresses: Vec<String> = backends.iter().map(|(addr, _)| format!("'{addr}'")).collect();
    let route = format!("[[balancer.route]]\nhost = 'x.test'\nbackends = [{}]\n", addresses.join(", "));
    for (policies, tries) in [(NAMED, 2), ("", 3)] {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::new(dir.path());
        let file = written(dir.path(), &format!("{policies}{route}"));
        let mut up = site.up(&["balancer", "--config", file.to_str().unwrap()]);
        up.ready(&[site.admin]);
        eventually("every backend is checked", || {
            let pools = request(site.admin, "GET", "/backends", "x", &[], b"").json();
            pools.to_string().matches("\"health\":\"up\"").count() == backends.len()
        });
        let answer = request(site.balancer, "GET", "/", "x.test", &[], b"");
        assert_eq!((answer.status, asked()), (502, tries), "{}", answer.text());
    }
}
