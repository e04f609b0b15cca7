use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::fleet::{Site, eventually, request};

#[test]
fn a_panic_in_one_system_costs_the_others_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let up = site.up_all(&["--plant", "panic"]);
    let code = site.shorten("https://example.org/kept");

    let over = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicU64::new(0));
    let failed = Arc::new(AtomicU64::new(0));
    let ask = |addr, path: &'static str| {
        let (over, asked, failed) = (over.clone(), asked.clone(), failed.clone());
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                asked.fetch_add(1, Ordering::Relaxed);
                if request(addr, "GET", path, "x", &[], b"").status != 200 {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    };
    let askers = [ask(site.registry, "/v1/catalog/services"), ask(site.admin, "/backends")];

    drop(request(site.links, "GET", "/panic-now", "x", &[], b""));
    eventually("the panicked system is back", || {
        let ready = request(site.links, "GET", "/-/ready", "x", &[], b"");
        ready.status == 200 && ready.json()["restarts"] == 1
    });
    over.store(true, Ordering::Relaxed);
    askers.into_iter().for_each(|a| a.join().unwrap());
    assert!(asked.load(Ordering::Relaxed) > 20);
    assert_eq!(failed.load(Ordering::Relaxed), 0, "requests to the other systems failed");

    assert!(site.run(&["status"]).status.success());
    let status = String::from_utf8(site.run(&["status"]).stdout).unwrap();
    let row = status.lines().find(|l| l.starts_with("links")).unwrap();
    assert!(row.contains(" 1  ready") && row.contains("panicked in"), "{row}");
    eventually("it serves again what it kept", || {
        site.follow(&code).as_deref() == Some("https://example.org/kept")
    });
    assert!(up.log().contains("a fault was planted on purpose"));
}
