//! The discovery client against a real registry: live, gone, and never there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use seawall_cluster::discovery::{Config, WhenUnreachable};
use seawall_cluster::{Discovery, Freshness, Registration, Settings, Snapshot};
use seawall_net::clock::SystemClock;
use seawall_net::host::{Host, Life, Plants};
use seawall_net::listeners::{Exposure, Listeners};
use seawall_net::tasks::Tasks;
use seawall_net::telemetry::Scope;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::fleet::{HANG, Site};

fn host() -> Host {
    Host {
        clock: Arc::new(SystemClock::new()),
        listeners: Listeners::new(Exposure::default()),
        metrics: Scope::new("test"),
        tasks: Tasks::new(Handle::current()),
        workers: 1,
        seed: 7,
        life: Life::default(),
        plants: Plants::default(),
    }
}

fn settings(registry: SocketAddr, cache_dir: &Path, change: impl FnOnce(&mut Config)) -> Settings {
    let mut config = Config { registry: vec![registry], ..Config::default() };
    change(&mut config);
    Settings { config, token: None, cache_dir: cache_dir.to_owned() }
}

fn registration(id: &str, port: u16) -> Registration {
    Registration {
        service: "web".into(),
        id: id.into(),
        addr: SocketAddr::from(([127, 0, 0, 1], port)),
        tags: vec!["v1".into()],
        meta: BTreeMap::from([("zone".into(), "a".into())]),
        ttl: Duration::from_secs(2),
    }
}

async fn until(
    watch: &mut tokio::sync::watch::Receiver<Snapshot>,
    what: &str,
    holds: impl Fn(&Snapshot) -> bool,
) -> Snapshot {
    if let Ok(snapshot) = timeout(HANG, watch.wait_for(holds)).await {
        return snapshot.unwrap().clone();
    }
    panic!("waited until {what}; it is {:?}", *watch.borrow())
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_come_go_and_outlive_the_registry() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let cache = dir.path().join("cache");
    let mut up = tokio::task::block_in_place(|| {
        let mut up = site.up(&["registry"]);
        std::thread::scope(|s| s.spawn(|| up.ready(&[site.registry])).join().unwrap());
        up
    });

    let watcher = host();
    let discovery = Discovery::start(settings(site.registry, &cache, |_| {}), &watcher);
    let mut web = discovery.watch("web");
    let empty = until(&mut web, "the registry has spoken", |s| s.freshness == Freshness::Fresh).await;
    assert!(empty.instances.is_empty(), "nobody offers it, and that is known");

    let (one, two) = (host(), host());
    Discovery::start(settings(site.registry, &cache, |_| {}), &one).register(registration("web-1", 7001));
    Discovery::start(settings(site.registry, &cache, |_| {}), &two).register(registration("web-2", 7002));
    let both = until(&mut web, "both are there", |s| s.instances.len() == 2).await;
    assert_eq!(both.instances[0].id, "web-1");
    assert_eq!((both.instances[1].addr.port(), both.instances[1].meta["zone"].as_str()), (7002, "a"));

    // One leaves properly: known at once, long before its TTL.
    two.tasks.stop(Duration::from_secs(2));
    until(&mut web, "one has left", |s| s.instances.len() == 1).await;

    // The registry dies: the list stays, marked.
    up.process.kill().unwrap();
    let kept =
        until(&mut web, "the loss is marked", |s| matches!(s.freshness, Freshness::Cached { .. })).await;
    assert_eq!(kept.instances.len(), 1);

    // A process that starts now finds it on disk.
    let late = host();
    let mut cold = Discovery::start(settings(site.registry, &cache, |_| {}), &late).watch("web");
    let found =
        until(&mut cold, "the file was read", |s| matches!(s.freshness, Freshness::Cached { .. })).await;
    assert_eq!(found.instances.len(), 1);

    // The registry comes back with its data; the survivor keeps passing and everyone is fresh again.
    drop(up);
    let mut again = tokio::task::block_in_place(|| site.up(&["registry"]));
    let back =
        until(&mut web, "it is fresh again", |s| s.freshness == Freshness::Fresh && s.instances.len() == 1)
            .await;
    assert_eq!(back.instances[0].id, "web-1");
    again.process.kill().unwrap();
}

#[tokio::test]
async fn without_registry_and_cache_the_static_list_holds_and_nothing_is_told_from_none() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = Site::new(dir.path()).registry;
    let fixed = settings(nobody, dir.path(), |c| {
        c.fixed.insert("web".into(), vec![SocketAddr::from(([127, 0, 0, 1], 9))]);
    });
    let host = host();
    let discovery = Discovery::start(fixed, &host);
    let web = discovery.watch("web").borrow().clone();
    assert_eq!((web.freshness, web.instances[0].addr.port()), (Freshness::Static, 9));
    assert_eq!(discovery.watch("other").borrow().freshness, Freshness::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn fail_closed_drops_a_list_that_grew_too_old_and_fail_open_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = Site::new(dir.path()).registry;
    let cache = dir.path().join("cache");
    std::fs::create_dir(&cache).unwrap();
    let instance = r#"{"id":"web-1","addr":"127.0.0.1:7001","weight":1,"tags":[],"meta":{}}"#;
    std::fs::write(
        cache.join("discovery-web.json"),
        format!(r#"{{"format":1,"since":0,"instances":[{instance}]}}"#),
    )
    .unwrap();
    let host = host();
    let watch =
        |when| Discovery::start(settings(nobody, &cache, |c| c.when_unreachable = when), &host).watch("web");
    let mut closed = watch(WhenUnreachable::FailClosed);
    let mut open = watch(WhenUnreachable::FailOpen);
    until(&mut open, "the old list is kept", |s| s.instances.len() == 1).await;
    until(&mut closed, "the old list was read", |s| {
        s.instances.len() == 1 || s.freshness == Freshness::Expired
    })
    .await;
    until(&mut closed, "it is dropped", |s| s.freshness == Freshness::Expired && s.instances.is_empty())
        .await;
    assert_eq!(open.borrow().instances.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_forgot_everything_is_told_again() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let start = || tokio::task::block_in_place(|| site.up(&["registry"]));
    let mut up = start();
    let (member, watcher) = (host(), host());
    let cache = dir.path().join("cache");
    Discovery::start(settings(site.registry, &cache, |_| {}), &member).register(registration("web-1", 7001));
    let mut web = Discovery::start(settings(site.registry, &cache, |_| {}), &watcher).watch("web");
    until(&mut web, "it is registered", |s| s.instances.len() == 1).await;

    up.process.kill().unwrap();
    until(&mut web, "the loss is marked", |s| matches!(s.freshness, Freshness::Cached { .. })).await;
    drop(up);
    std::fs::remove_dir_all(dir.path().join("data")).unwrap();
    let mut again = start();
    until(&mut web, "it is registered again", |s| s.freshness == Freshness::Fresh && s.instances.len() == 1)
        .await;
    again.process.kill().unwrap();
}
