//! Restarts, crashes, neighbours: links stay and codes never repeat.

use std::collections::HashSet;
use std::time::Duration;

use seawall_links::Config;
use seawall_links::service::Ask;
use seawall_net::host::{End, Plants};
use seawall_policy::deadline::Deadline;
use tempfile::tempdir;

use crate::bytes::{ask, code_for, get};
use crate::making::{config, files, host, start, start_with, try_start};

/// Waits for what others did to be noticed; ten times what it should take, and more on a slow machine.
async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: never");
}

#[tokio::test]
async fn links_outlive_a_restart_and_codes_do_not_repeat() {
    let data = tempdir().unwrap();
    let mut links = Vec::new();
    for life in 0..3 {
        // A block of ten: every life ends in the middle of one.
        let p = start_with(Config { block_size: 10, ..config() }, data.path()).await;
        for i in 0..13 {
            let url = format!("https://example.org/{life}/{i}");
            links.push((code_for(p.addr, &url).await, url));
        }
        for (code, url) in &links {
            assert_eq!(get(p.addr, &format!("/{code}")).await.header("location"), Some(url.as_str()));
        }
        p.stop().await;
    }
    let distinct: HashSet<_> = links.iter().map(|(code, _)| code).collect();
    assert_eq!(distinct.len(), 39);
}

#[tokio::test]
async fn two_processes_on_the_same_files_share_links_and_no_codes() {
    for shards in [1, 4] {
        let data = tempdir().unwrap();
        let config = Config { shards, block_size: 5, ..config() };
        let (a, b) = (start_with(config.clone(), data.path()).await, start_with(config, data.path()).await);
        let make = async |addr| {
            let mut codes = Vec::new();
            for i in 0..40 {
                codes.push(code_for(addr, &format!("https://example.org/{i}")).await);
            }
            codes
        };
        let (from_a, from_b) = tokio::join!(make(a.addr), make(b.addr));
        for (code, other) in from_a.iter().map(|c| (c, b.addr)).chain(from_b.iter().map(|c| (c, a.addr))) {
            assert_eq!(get(other, &format!("/{code}")).await.status, 302);
        }
        let distinct: HashSet<_> = from_a.iter().chain(&from_b).collect();
        assert_eq!(distinct.len(), 80);
        a.stop().await;
        b.stop().await;
    }
}

#[tokio::test]
async fn a_deletion_is_noticed_by_the_other_process() {
    let data = tempdir().unwrap();
    let (a, b) = (start(data.path()).await, start(data.path()).await);
    let code = code_for(a.addr, "https://example.org/").await;
    let path = format!("/{code}");
    for _ in 0..2 {
        assert_eq!(get(b.addr, &path).await.status, 302);
    }
    assert_eq!(ask(a.addr, "DELETE", &format!("/api/v1/links/{code}"), "", "").await.status, 204);
    assert_eq!(get(a.addr, &path).await.status, 410, "its own deletion at once");
    eventually("the deletion", async || get(b.addr, &path).await.status == 410).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_repeated_create_does_not_bring_a_deleted_link_back() {
    let data = tempdir().unwrap();
    let create = async |addr| {
        let made =
            ask(addr, "POST", "/api/v1/links", "Idempotency-Key: k\r\n", r#"{"url":"https://x.org/"}"#).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["code"].as_str().unwrap().to_owned()
    };
    let p = start(data.path()).await;
    let code = create(p.addr).await;
    assert_eq!(ask(p.addr, "DELETE", &format!("/api/v1/links/{code}"), "", "").await.status, 204);
    p.stop().await;
    // This one never hears of the deletion: it was told before its time.
    let q = start(data.path()).await;
    assert_eq!(create(q.addr).await, code);
    assert_eq!(get(q.addr, &format!("/{code}")).await.status, 410);
    q.stop().await;
}

#[tokio::test]
async fn a_new_alias_is_noticed_by_a_process_that_said_there_is_none() {
    let data = tempdir().unwrap();
    let (a, b) = (start(data.path()).await, start(data.path()).await);
    assert_eq!(get(b.addr, "/launch").await.status, 404);
    let body = r#"{"url":"https://example.org/","alias":"launch"}"#;
    assert_eq!(crate::bytes::shorten(a.addr, body).await.status, 201);
    // Without news it would take the ten seconds of a negative entry.
    eventually("the alias", async || get(b.addr, "/launch").await.status == 302).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_planted_panic_ends_the_system_and_the_next_start_has_its_socket_and_links() {
    let data = tempdir().unwrap();
    let first = host();
    let planted =
        seawall_net::host::Host { plants: Plants::new(&["panic".to_owned()]).unwrap(), ..first.clone() };
    let files = files(data.path(), &first.clock, 1);
    let p = try_start(config(), planted, files.clone(), data.path()).await.unwrap();
    let code = code_for(p.addr, "https://example.org/").await;
    get(p.addr, "/panic-now").await;
    let End::Panicked { task, .. } = p.running.ended().await else { panic!("another end") };
    assert_eq!(task, "planted");

    // As the supervisor does: the same process-owned things, fresh tasks.
    let again = seawall_net::host::Host { tasks: host().tasks, ..first };
    p.host.tasks.stop(Duration::ZERO);
    let q = try_start(config(), again, files, data.path()).await.unwrap();
    assert_eq!(q.addr, p.addr);
    eventually("the link", async || get(q.addr, &format!("/{code}")).await.status == 302).await;
    get(q.addr, "/panic-now").await;
    assert!(q.running.state.borrow().is_ready(), "not planted, no panic");
    q.stop().await;
}

/// On two threads: who holds the port must be able to answer while it is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_start_says_what_to_do() {
    let data = tempdir().unwrap();
    let p = start(data.path()).await;
    let chain = |e: &seawall_net::host::Fault| seawall_net::host::chain(e);
    let taken = Config { listen: p.addr, ..config() };
    let h = host();
    let f = files(data.path(), &h.clock, 1);
    let said = chain(&try_start(taken, h, f, data.path()).await.err().unwrap());
    assert!(said.contains("links.listen") && said.contains("another seawall"), "{said}");

    let h = host();
    let f = files(data.path(), &h.clock, 1);
    let said = chain(&try_start(Config { shards: 2, ..config() }, h, f, data.path()).await.err().unwrap());
    assert!(said.contains("set the number back to 1"), "{said}");
    p.stop().await;

    let file = data.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let h = host();
    let f = files(&file, &h.clock, 1);
    let said = chain(&try_start(config(), h, f, data.path()).await.err().unwrap());
    assert!(said.contains("--data"), "{said}");
}

#[tokio::test]
async fn hundreds_of_creates_at_once_share_a_few_blocks_and_no_code() {
    let data = tempdir().unwrap();
    let host = host();
    let config = Config { shards: 3, block_size: 50, ..config() };
    let service = seawall_links::open(&config, &host, files(data.path(), &host.clock, 1)).await.unwrap();
    let mut creates = tokio::task::JoinSet::new();
    for i in 0..400 {
        let service = service.clone();
        creates.spawn(async move {
            let (url, key) = (format!("https://example.org/{i}"), format!("key {i}"));
            let ask = Ask { url: &url, alias: None, key: (i % 2 == 0).then_some(&key) };
            let deadline = Deadline::after(service.clock.now(), Duration::from_secs(20));
            service.shorten(ask, deadline).await.unwrap().link.name
        });
    }
    let names: HashSet<_> = creates.join_all().await.into_iter().collect();
    assert_eq!(names.len(), 400);
    let leases = service.metrics.block_leases.get();
    assert!((8..=30).contains(&leases), "{leases} blocks of 50 leased for 400 codes");
}
