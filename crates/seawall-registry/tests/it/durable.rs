//! What a restart keeps, and who may write.

use std::time::Duration;

use seawall_net::host::End;
use seawall_registry::Config;
use seawall_registry::storage::SNAPSHOT_EVERY;
use tokio::time::timeout;

use crate::harness::{HANG, Registry, registry_in};

async fn again(dir: &tempfile::TempDir) -> Registry {
    registry_in(dir.path(), Config::default()).await.unwrap()
}

#[tokio::test]
async fn a_restart_keeps_registrations_and_keys_and_grants_fresh_leases() {
    let dir = tempfile::tempdir().unwrap();
    let r = again(&dir).await;
    r.web("web", "800ms").await;
    r.done("/v1/kv/a", "1").await;
    let (service, key) = (r.get("/v1/health/service/web").await, r.get("/v1/kv/a").await);
    let node = r.get("/v1/agent/self").await.json()["Config"]["NodeID"].clone();
    r.stop().await;
    // Down for longer than the lease: whoever was to hear the heartbeats was away.
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let r = again(&dir).await;
    let back = r.get("/v1/health/service/web?passing").await;
    assert_eq!((back.index(), back.body), (service.index(), service.body));
    assert_eq!(r.get("/v1/kv/a").await.body, key.body);
    assert_eq!(r.get("/v1/agent/self").await.json()["Config"]["NodeID"], node);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(r.get("/v1/health/service/web?passing").await.json().as_array().unwrap().len(), 1);
    let index = back_index(&r).await;
    let gone = r.get(&format!("/v1/health/service/web?passing&wait=1m&index={index}")).await;
    assert_eq!(gone.text(), "[]", "fresh, but no longer than that");
}

async fn back_index(r: &Registry) -> u64 {
    r.get("/v1/health/service/web").await.index()
}

#[tokio::test]
async fn the_absence_of_a_service_keeps_its_index_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let r = again(&dir).await;
    r.web("web", "10m").await;
    r.done("/v1/agent/service/deregister/web", "").await;
    let gone = r.get("/v1/health/service/web").await.index();
    r.stop().await;
    assert_eq!(again(&dir).await.get("/v1/health/service/web").await.index(), gone);
}

#[tokio::test]
async fn a_second_registry_on_the_same_folder_takes_over_and_the_first_ends() {
    let dir = tempfile::tempdir().unwrap();
    let first = again(&dir).await;
    first.done("/v1/kv/a", "first").await;
    let second = again(&dir).await;
    second.done("/v1/kv/a", "second").await;
    let refused = first.put("/v1/kv/a", "late").await;
    assert_eq!((refused.status, refused.text()), (500, "No cluster leader"));
    let end = timeout(HANG, first.running.ended()).await.unwrap();
    assert!(matches!(&end, End::Failed(fault) if fault.to_string().contains("took over")), "{end:?}");
    assert_eq!(second.get("/v1/kv/a?raw").await.text(), "second");
}

/// Enough commands for a snapshot, in few batches: what comes back afterwards is snapshot and log together.
#[tokio::test]
async fn a_snapshot_shortens_the_log_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let r = again(&dir).await;
    r.web("web", "10m").await;
    let each = SNAPSHOT_EVERY / 64 + 1;
    let writer = |n: u64| {
        let addr = r.addr;
        async move { keep_writing(addr, n, each).await }
    };
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..64 {
        writers.spawn(writer(n));
    }
    writers.join_all().await;
    let waiting = async {
        while r.counted("snapshots_total") == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(HANG, waiting).await.expect("a snapshot");
    assert!(r.counted("batches_total") < r.counted("commands_total") / 2, "writes share batches");
    r.done("/v1/kv/after", "1").await;
    let before = (r.get("/v1/kv/?recurse").await.body, r.get("/v1/health/service/web").await.body);
    r.stop().await;
    let r = again(&dir).await;
    assert!((r.get("/v1/kv/?recurse").await.body, r.get("/v1/health/service/web").await.body) == before);
    assert_eq!(r.get("/v1/kv/?keys").await.json().as_array().unwrap().len() as u64, 64 * 10 + 1);
}

/// One connection, many writes to ten keys of its own.
async fn keep_writing(addr: std::net::SocketAddr, n: u64, times: u64) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let mut answer = [0; 1024];
    for i in 0..times {
        let body = i.to_string();
        let request = format!(
            "PUT /v1/kv/k/{n}/{} HTTP/1.1\r\nHost: r\r\nContent-Length: {}\r\n\r\n{body}",
            i % 10,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut read = 0;
        while !answer[..read].ends_with(b"\r\n\r\ntrue") {
            let n = stream.read(&mut answer[read..]).await.unwrap();
            assert!(n > 0, "closed after {}", String::from_utf8_lossy(&answer[..read]));
            read += n;
        }
    }
}
