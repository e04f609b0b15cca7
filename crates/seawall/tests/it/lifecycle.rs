use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::fleet::{Site, binary, eventually, request};

#[test]
fn one_command_starts_everything_and_sigterm_ends_it_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let mut up = site.up_all(&[]);

    let table: serde_json::Value = serde_json::from_str(&up.output()).unwrap();
    let systems: Vec<&str> =
        table["ready"].as_array().unwrap().iter().map(|r| r["system"].as_str().unwrap()).collect();
    assert_eq!(systems, ["registry", "balancer", "balancer", "links", "chat", "graph", "graph"]);
    for row in table["ready"].as_array().unwrap() {
        assert!(row["try"].as_str().unwrap().len() > 10, "{row}");
    }

    let code = site.shorten("https://www.rust-lang.org/");
    assert_eq!(site.follow(&code).as_deref(), Some("https://www.rust-lang.org/"));

    // `seawall links export | head -0`: whoever has read enough is no failure.
    let mut export = Command::new(binary())
        .args(["links", "export"])
        .args(site.settings())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(export.stdout.take());
    let export = export.wait_with_output().unwrap();
    assert!(export.status.success() && export.stderr.is_empty(), "{export:?}");

    let status = site.run(&["status", "--json"]);
    assert!(status.status.success(), "{status:?}");
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["systems"].as_array().unwrap().len(), 5);
    assert!(status["systems"].as_array().unwrap().iter().all(|s| s["ready"]["ready"] == true), "{status}");

    up.process.terminate().unwrap();
    assert_eq!(up.ended(), Some(0), "{}", up.log());
    assert!(up.log().contains("deregistered"), "{}", up.log());
    assert_eq!(site.run(&["status"]).status.code(), Some(1), "nothing answers any more");
}

#[test]
fn one_system_that_cannot_start_ends_all_of_them_with_its_reason() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    for (change, key) in [
        (Site { links: taken, ..site() }, "links.listen"),
        (Site { chat: taken, ..site() }, "chat.listen"),
        (Site { graph: taken, ..site() }, "graph.listen"),
        (Site { graph_resp: taken, ..site() }, "graph.resp_listen"),
        (Site { admin: taken, ..site() }, "balancer.admin.listen"),
        (Site { registry: taken, ..site() }, "registry.listen"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut up = Site { folder: dir.path().to_owned(), ..change }.up(&["--set", "up.drain=100ms"]);
        assert_eq!(up.ended(), Some(1), "{}", up.log());
        let said = up.log();
        let lines: Vec<&str> = said.lines().filter(|l| l.starts_with("seawall: ")).collect();
        assert!(lines.len() == 1 && lines[0].contains(key), "{said}");
    }
}

fn site() -> Site {
    Site::new(Path::new(""))
}

#[test]
fn systems_run_in_processes_of_their_own_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    // Backwards: links without a registry, then the balancer, then the registry.
    let mut links = site.up(&["links"]);
    links.ready(&[site.links]);
    let made =
        request(site.links, "POST", "/api/v1/links", "x", &[], br#"{"url":"https://example.org/early"}"#);
    assert_eq!(made.status, 201, "creates work while the registry is down: {}", made.text());
    let front = Site { folder: dir.path().join("front"), ..site.clone() };
    fs::create_dir(&front.folder).unwrap();
    let mut balancer = front.up(&["balancer"]);
    balancer.ready(&[site.admin]);
    let root = Site { folder: dir.path().join("root"), ..site.clone() };
    fs::create_dir(&root.folder).unwrap();
    let mut registry = root.up(&["registry"]);
    registry.ready(&[site.registry]);
    site.until_routed();
    let code = made.json()["code"].as_str().unwrap().to_owned();
    assert_eq!(site.follow(&code).as_deref(), Some("https://example.org/early"));

    // And the balancer goes on with what it knows when the registry is gone.
    registry.process.kill().unwrap();
    assert_eq!(site.follow(&code).as_deref(), Some("https://example.org/early"));
}

#[test]
fn a_stopped_links_process_leaves_without_one_failed_request() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let mut all = site.up_all(&[]);
    let other = Site { links: Site::new(dir.path()).links, ..site.clone() };
    let second = Site { folder: dir.path().join("second"), ..other.clone() };
    fs::create_dir(&second.folder).unwrap();
    std::os::unix::fs::symlink(dir.path().join("data"), second.folder.join("data")).unwrap();
    let mut extra = second.up(&["links"]);
    extra.ready(&[other.links]);
    eventually("the balancer knows both", || {
        request(site.admin, "GET", "/backends", "x", &[], b"").text().contains(&other.links.to_string())
    });
    let code = site.shorten("https://example.org/");
    extra.process.terminate().unwrap();
    for _ in 0..200 {
        assert!(site.follow(&code).is_some());
    }
    assert_eq!(extra.ended(), Some(0), "{}", extra.log());
    all.process.terminate().unwrap();
    assert_eq!(all.ended(), Some(0), "{}", all.log());
}

#[test]
fn a_second_signal_ends_a_drain_that_takes_too_long() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let mut up = site.up(&["links", "--set", "up.drain=25s", "--set", "links.deadline=25s"]);
    up.ready(&[site.links]);
    // A client in the middle of its request keeps the drain waiting.
    let mut stuck = TcpStream::connect(site.links).unwrap();
    stuck.write_all(b"POST /api/v1/links HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    up.process.terminate().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(up.process.alive().is_ok(), "it waits for the client");
    up.process.terminate().unwrap();
    assert_eq!(up.ended(), Some(1), "{}", up.log());
    assert!(up.log().contains("a second time"), "{}", up.log());
}
