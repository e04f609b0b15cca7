//! Child processes: the shell and `sleep` stand in for servers.

use std::collections::HashSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use seawall_drill::fault::process::{Process, ProcessError, Spec, free_ports};

use crate::world::{Server, says};

const LONG: Duration = Duration::from_secs(10);

fn shell(folder: &Path, script: &str) -> Process {
    let args = ["-c", script].map(Into::into).to_vec();
    let spec = Spec {
        name: "child".to_owned(),
        binary: "/bin/sh".into(),
        args,
        env: vec![("WORD".into(), "boom".into())],
        folder: folder.to_owned(),
    };
    Process::start(&spec).unwrap()
}

/// The letter the kernel shows for a process: S sleeping, T stopped.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim().chars().next()
}

async fn becomes(pid: u32, wanted: &[char]) -> bool {
    for _ in 0..500 {
        if state(pid).is_some_and(|s| wanted.contains(&s)) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[tokio::test]
async fn a_process_is_stopped_continued_asked_and_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = shell(folder.path(), "exec sleep 60");
    child.pause().unwrap();
    assert!(becomes(child.pid(), &['T']).await);
    child.resume().unwrap();
    assert!(becomes(child.pid(), &['S', 'R']).await);
    child.terminate().unwrap();
    assert_eq!(child.ended(LONG).await.unwrap().signal(), Some(15));

    let mut child = shell(folder.path(), "exec sleep 60");
    child.kill().unwrap();
    assert_eq!(child.ended(LONG).await.unwrap().signal(), Some(9));
    assert!(matches!(child.kill(), Err(ProcessError::Ended { .. })), "the dead are not signalled");
}

#[tokio::test]
async fn ready_is_what_the_server_says() {
    let server = Server::start(|head| async move {
        if head.starts_with("GET /-/ready ") { says("200 OK", "") } else { says("404 Not Found", "") }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    shell(folder.path(), "exec sleep 60").ready(server.address, LONG).await.unwrap();

    let starting = Server::start(|_| async { says("503 Service Unavailable", "") }).await;
    let late =
        shell(folder.path(), "exec sleep 60").ready(starting.address, Duration::from_millis(200)).await;
    assert!(matches!(late, Err(ProcessError::TooSlow { .. })), "{late:?}");
}

#[tokio::test]
async fn a_process_that_dies_early_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = shell(folder.path(), "echo port taken: $WORD >&2; exit 3");
    let error = child.ready("127.0.0.1:9".parse().unwrap(), LONG).await.unwrap_err().to_string();
    assert!(error.contains("port taken: boom") && error.contains('3'), "{error}");
}

#[test]
fn a_dropped_process_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let child = shell(folder.path(), "exec sleep 60");
    let pid = child.pid();
    assert!(state(pid).is_some());
    drop(child);
    assert_eq!(state(pid), None);
}

#[test]
fn free_ports_differ_and_can_be_bound() {
    let ports = free_ports(20).unwrap();
    assert_eq!(ports.iter().collect::<HashSet<_>>().len(), 20);
    assert_ne!(ports, free_ports(20).unwrap(), "a port released is not handed out again at once");
    for port in ports {
        std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    }
}
