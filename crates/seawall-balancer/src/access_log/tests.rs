//! The queue and the file, without requests.

use std::net::SocketAddr;
use std::path::PathBuf;

use http::{HeaderMap, Method};
use seawall_net::clock::SystemClock;
use seawall_net::host::{Life, Plants};
use seawall_net::listeners::{Exposure, Listeners};
use seawall_net::tasks::Tasks;
use seawall_net::telemetry::Scope;
use seawall_policy::Mono;
use serde_json::Value;
use tokio::runtime::Handle;

use super::*;
use crate::config;

fn host() -> Host {
    Host {
        clock: Arc::new(SystemClock::new()),
        listeners: Listeners::new(Exposure::default()),
        metrics: Scope::new("balancer"),
        tasks: Tasks::new(Handle::current()),
        workers: 1,
        seed: 7,
        life: Life::default(),
        plants: Plants::default(),
    }
}

fn config(path: PathBuf) -> Arc<Config> {
    Arc::new(Config { access_log: config::AccessLog { path }, ..Config::default() })
}

fn leave(log: &AccessLog, config: &Arc<Config>, path: &str) {
    let (method, headers) = (Method::GET, HeaderMap::new());
    let peer = SocketAddr::from(([127, 0, 0, 1], 9));
    let query = Some("token=secret");
    let deadline = Mono::default();
    let attempt = seawall_policy::retry::Attempt::FIRST;
    let head =
        Head { method: &method, path, query, host: "one.test", headers: &headers, peer, attempt, deadline };
    let asked = AccessLog::asked(config, &head, None).expect("a log");
    let status = Some(StatusCode::OK);
    let took = Duration::from_micros(12_345);
    log.ended(*asked, &Ended { status, outcome: Some(Outcome::Success), tries: 1, took }, None);
}

fn paths(text: &str) -> Vec<String> {
    let path = |line: &str| serde_json::from_str::<Value>(line).unwrap()["path"].as_str().unwrap().to_owned();
    text.lines().map(path).collect()
}

async fn started(config: &Config) -> AccessLog {
    let host = host();
    AccessLog::start(config, &host, &Metrics::new(&host.metrics)).await.unwrap()
}

#[tokio::test]
async fn more_lines_than_may_wait_are_dropped_and_counted_and_the_others_written() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path().join("access.log"));
    let (queue, lines) = mpsc::channel(QUEUE_MAX);
    let (host, dropped) = (host(), Counter::default());
    let log = AccessLog { queue, clock: host.clock.clone(), dropped: dropped.clone() };
    for n in 0..QUEUE_MAX + 5 {
        leave(&log, &config, &format!("/{n}"));
    }
    assert_eq!(dropped.get(), 5);
    let writing = write(lines, Writer::default(), host, dropped.clone());
    let closing = async { log.close().await };
    tokio::select! {
        () = writing => panic!("the writer ended"),
        () = closing => {}
    }
    let text = std::fs::read_to_string(&config.access_log.path).unwrap();
    assert_eq!(paths(&text), (0..QUEUE_MAX).map(|n| format!("/{n}")).collect::<Vec<_>>());
    assert_eq!(dropped.get(), 5);
}

#[tokio::test]
async fn a_file_renamed_away_keeps_its_lines_and_the_next_go_into_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
    let config = config(path.clone());
    let log = started(&config).await;
    for (name, was) in [("/a", None), ("/b", Some(&old)), ("/c", None)] {
        if let Some(to) = was {
            std::fs::rename(&path, to).unwrap();
        }
        leave(&log, &config, name);
        log.close().await;
    }
    assert_eq!(paths(&std::fs::read_to_string(&old).unwrap()), ["/a"]);
    assert_eq!(paths(&std::fs::read_to_string(&path).unwrap()), ["/b", "/c"]);
}

#[tokio::test]
async fn a_line_torn_by_a_crash_is_ended_before_the_next_begins() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path().join("access.log"));
    std::fs::write(&config.access_log.path, "{\"path\":\"/whole\"}\n{\"path\":\"/to").unwrap();
    let log = started(&config).await;
    leave(&log, &config, "/a");
    log.close().await;
    let text = std::fs::read_to_string(&config.access_log.path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[1]), (3, "{\"path\":\"/to"));
    assert_eq!(paths(lines[2]), ["/a"]);
}

#[tokio::test]
async fn a_disk_that_is_full_costs_lines_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (full, good) = (config("/dev/full".into()), config(dir.path().join("access.log")));
    let log = started(&full).await;
    for _ in 0..3 {
        leave(&log, &full, "/lost");
    }
    leave(&log, &good, "/kept");
    log.close().await;
    assert_eq!(log.dropped.get(), 3);
    assert_eq!(paths(&std::fs::read_to_string(&good.access_log.path).unwrap()), ["/kept"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_or_would_block_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    for (path, why) in [(dir.path().join("none/access.log"), "No such file"), (pipe, "named pipe")] {
        let host = host();
        let started = AccessLog::start(&config(path), &host, &Metrics::new(&host.metrics)).await;
        let Err(fault) = started else { panic!("opened") };
        let said = seawall_net::host::chain(&fault);
        assert!(
            said.starts_with("balancer.access_log.path: cannot write to") && said.contains(why),
            "{said}"
        );
    }
}
