//! Several registries, of which the first is dead.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seawall_cluster::discovery::Config;
use seawall_cluster::{Discovery, Freshness, Registration, Settings};
use seawall_net::clock::SystemClock;
use seawall_net::host::{Host, Life, Plants};
use seawall_net::listeners::{Exposure, Listeners};
use seawall_net::tasks::Tasks;
use seawall_net::telemetry::Scope;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

const HANG: Duration = Duration::from_secs(30);

/// Answers every question with nobody and index 7, and holds those that wait for a change from there.
struct Registry {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    fn start() -> Registry {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (addr, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let all = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let all = all.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &all));
            }
        });
        Registry { addr, asked }
    }

    async fn was_asked(&self, part: &str) {
        let asked = || self.asked.lock().unwrap().iter().any(|line| line.contains(part));
        let waited = timeout(HANG, async {
            while !asked() {
                sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(
            waited.await.is_ok(),
            "never asked {part}; the last was {:?}",
            self.asked.lock().unwrap().last()
        );
    }
}

fn serve(mut stream: TcpStream, asked: &Mutex<Vec<String>>) {
    let mut read = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut head = Vec::new();
        let mut line = String::new();
        while read.read_line(&mut line).is_ok_and(|n| n > 2) {
            head.push(std::mem::take(&mut line).to_ascii_lowercase());
        }
        let Some(first) = head.first() else { return };
        asked.lock().unwrap().push(first.clone());
        let length = head.iter().find_map(|l| l.strip_prefix("content-length:"));
        let mut body = vec![0; length.map_or(0, |n| n.trim().parse().unwrap())];
        read.read_exact(&mut body).unwrap();
        if first.contains("index=7") {
            std::thread::park();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nx-consul-index: 7\r\ncontent-length: 2\r\n\r\n[]").unwrap();
    }
}

fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn client(registry: Vec<SocketAddr>, cache_dir: &std::path::Path) -> (Discovery, Tasks) {
    let tasks = Tasks::new(Handle::current());
    let host = Host {
        clock: Arc::new(SystemClock::new()),
        listeners: Listeners::new(Exposure::default()),
        metrics: Scope::new("test"),
        tasks: tasks.clone(),
        workers: 1,
        seed: 7,
        life: Life::default(),
        plants: Plants::default(),
    };
    let config = Config { registry, ..Config::default() };
    let settings = Settings { config, token: None, cache_dir: cache_dir.to_owned() };
    (Discovery::start(settings, &host), tasks)
}

#[tokio::test]
async fn the_registry_that_answers_is_the_one_to_wait_at() {
    let dir = tempfile::tempdir().unwrap();
    let alive = Registry::start();
    let (discovery, _tasks) = client(vec![nobody(), alive.addr], dir.path());
    let mut web = discovery.watch("web");
    timeout(HANG, web.wait_for(|s| s.freshness == Freshness::Fresh)).await.unwrap().unwrap();
    alive.was_asked("index=7").await;
    assert!(!web.has_changed().unwrap(), "the dead one is not asked again, and nothing is doubted");
}

#[tokio::test]
async fn an_instance_leaves_the_registry_that_knows_it() {
    let dir = tempfile::tempdir().unwrap();
    let alive = Registry::start();
    let (discovery, tasks) = client(vec![nobody(), alive.addr], dir.path());
    discovery.register(Registration {
        service: "web".into(),
        id: "web-1".into(),
        addr: SocketAddr::from(([127, 0, 0, 1], 1)),
        tags: Vec::new(),
        meta: BTreeMap::new(),
        ttl: Duration::from_millis(60),
    });
    alive.was_asked("/v1/agent/service/register").await;
    alive.was_asked("/v1/agent/check/pass/").await;
    tasks.stop(Duration::from_secs(1));
    alive.was_asked("/v1/agent/service/deregister/").await;
}

/// Accepts and hangs up, and counts.
fn broken() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (addr, calls) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = calls.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            count.fetch_add(1, Ordering::Relaxed);
            drop(stream);
        }
    });
    (addr, calls)
}

#[tokio::test]
async fn a_registry_that_failed_five_times_in_a_row_is_left_alone_by_all_watches() {
    let ((broken, calls), living) = (broken(), Registry::start());
    let cache = tempfile::tempdir().unwrap();
    let (discovery, _tasks) = client(vec![broken, living.addr], cache.path());
    let mut watches = Vec::new();
    for service in 0..12 {
        watches.push(discovery.watch(&format!("s{service}")));
        living.was_asked(&format!("/s{service}?")).await;
    }
    let calls = calls.load(Ordering::Relaxed);
    assert_eq!(calls, 5, "each watch asked the first registry until its breaker opened");
}
