//! Starts, restarts, kills and neighbours: what was acknowledged stays, and somebody leads again soon.

use seawall_cluster::lease::TTL;
use seawall_graph::Config;
use seawall_net::host::chain;
use serde_json::json;
use tempfile::tempdir;

use crate::making::{Leads, PATIENCE, Process, config, eventually, files, host};

/// A user named so, by HTTP.
async fn add(p: &Process, name: &str) -> String {
    let body = json!({ "type": "user", "fields": { "name": name } }).to_string();
    let (status, made) = p.ask("POST", "/v1/objects", &body).await;
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_was_written_over_one_port_is_read_over_the_other_and_after_a_restart() {
    let data = tempdir().unwrap();
    let p = Process::start(config(2), data.path()).await;
    let ann = add(&p, "ann").await;
    let ben = p.redis("OBJ.ADD user FIELDS name ben").await;
    let ben = ben.strip_prefix(':').unwrap();
    assert_eq!(p.redis(&format!("ASSOC.ADD {ann} follows {ben} TIME 7")).await, ":1");
    p.stop().await;
    for _ in 0..2 {
        let p = Process::start(config(2), data.path()).await;
        let (status, shown) = p.ask("GET", &format!("/v1/objects/{ann}"), "").await;
        assert_eq!((status, &shown["fields"]["name"]), (200, &json!("ann")), "{shown}");
        assert_eq!(p.redis(&format!("ASSOC.COUNT {ben} followed_by")).await, ":1");
        let (_, counted) = p.ask("GET", &format!("/v1/assocs/{ann}/follows/count"), "").await;
        assert_eq!(counted["count"], 1, "{counted}");
        p.stop().await;
    }
}

#[tokio::test]
async fn both_caches_are_counted_and_every_shard_is_reported() {
    let data = tempdir().unwrap();
    let p = Process::start(config(2), data.path()).await;
    let ann = add(&p, "ann").await;
    for _ in 0..3 {
        p.ask("GET", &format!("/v1/objects/{ann}"), "").await;
    }
    let hits = r#"seawall_graph_cache_hits_total{cache="follower"}"#;
    eventually("hits of the follower", async || p.metric(hits) >= 2).await;
    eventually("misses of the leader", async || {
        p.metric(r#"seawall_graph_cache_misses_total{cache="leader"}"#) >= 1
    })
    .await;
    assert!(p.metric(r#"seawall_graph_cache_bytes{cache="leader"}"#) > 0);
    assert_eq!(p.metric("seawall_graph_leads"), 1);
    assert_eq!(p.metric(r#"seawall_graph_writes_total{outcome="done"}"#), 1);
    let (status, shards) = p.ask("GET", "/v1/shards", "").await;
    assert_eq!(status, 200);
    let text = shards.to_string();
    assert!(text.contains(r#""level":0"#) && text.contains(r#""reads":"closed""#), "{text}");
    p.stop().await;
}

#[tokio::test]
async fn a_second_process_says_standby_on_both_ports_and_takes_over_from_one_that_stops() {
    let data = tempdir().unwrap();
    let first = Process::start(config(1), data.path()).await;
    let second = Process::start(config(1), data.path()).await;
    second.is("starting: standing by").await;
    let ann = add(&first, "ann").await;
    let (status, problem) = second.ask("GET", &format!("/v1/objects/{ann}"), "").await;
    assert_eq!(status, 503, "{problem}");
    assert!(problem.to_string().contains("standby"), "{problem}");
    assert!(second.redis(&format!("ASSOC.COUNT {ann} follows")).await.starts_with("-LOADING"));
    assert_eq!(second.ask("GET", "/-/ready", "").await.0, 503);
    first.stop().await;
    second.is("ready").await;
    assert_eq!(second.ask("GET", &format!("/v1/objects/{ann}"), "").await.0, 200);
    assert_eq!(second.ask("GET", "/-/ready", "").await.0, 200);
    second.stop().await;
}

#[tokio::test]
async fn a_second_process_takes_over_from_one_that_was_killed_and_has_everything_acknowledged() {
    let data = tempdir().unwrap();
    let first = Process::start(config(2), data.path()).await;
    let second = Process::start(config(2), data.path()).await;
    let mut made = Vec::new();
    for n in 0..20 {
        made.push(add(&first, &format!("user {n}")).await);
    }
    first.kill();
    // Nobody gave the lease back: it ends by itself.
    assert!(TTL < PATIENCE);
    second.is("ready").await;
    for id in made {
        assert_eq!(second.ask("GET", &format!("/v1/objects/{id}"), "").await.0, 200);
    }
    second.stop().await;
}

#[tokio::test]
async fn whoever_starts_on_the_socket_of_a_killed_leader_need_not_wait_for_its_lease() {
    let data = tempdir().unwrap();
    let first = Process::start(config(1), data.path()).await;
    let (http, resp) = (first.http, first.resp);
    let ann = add(&first, "ann").await;
    first.kill();
    let again = Config { listen: http, resp_listen: resp, ..config(1) };
    // The kernel frees the ports when the runtime has let go of them.
    let mut started = None;
    eventually("the ports", async || {
        started = Process::try_start(again.clone(), data.path()).await.ok();
        started.is_some()
    })
    .await;
    let second = started.unwrap();
    assert_eq!(second.state(), "ready", "it leads as soon as it has started");
    assert_eq!(second.ask("GET", &format!("/v1/objects/{ann}"), "").await.0, 200);
    second.stop().await;
}

#[tokio::test]
async fn what_cannot_start_says_what_to_do() {
    let data = tempdir().unwrap();
    let said = async |config: Config| chain(&Process::try_start(config, data.path()).await.err().unwrap());
    let missing = Config { schema: data.path().join("nowhere.toml"), ..config(1) };
    let text = said(missing).await;
    assert!(text.contains("graph.schema") && text.contains("nowhere.toml"), "{text}");
    let broken = data.path().join("broken.toml");
    std::fs::write(&broken, "[object.user]\nnumber = \"one\"\n").unwrap();
    let text = said(Config { schema: broken, ..config(1) }).await;
    assert!(text.contains("broken.toml") && text.contains("number"), "{text}");
    let p = Process::start(config(1), data.path()).await;
    p.stop().await;
    let text = said(config(3)).await;
    assert!(text.contains("created as one of 1 shards"), "{text}");
}

#[tokio::test]
async fn a_schema_file_holds_from_the_first_start() {
    let data = tempdir().unwrap();
    let file = data.path().join("songs.toml");
    std::fs::write(
        &file,
        "[object.song]\nnumber = 1\nfields.title = { number = 1, type = \"text\", max = 100 }\n",
    )
    .unwrap();
    let p = Process::start(Config { schema: file, ..config(1) }, data.path()).await;
    let id = p.redis("OBJ.ADD song FIELDS title hey").await;
    assert!(id.starts_with(':'), "{id}");
    assert!(p.redis("OBJ.ADD user FIELDS name ann").await.starts_with("-ERR"));
    p.stop().await;
    // Without the file the one in the store holds, and not the built-in one.
    let p = Process::start(config(1), data.path()).await;
    assert!(p.redis("OBJ.ADD song FIELDS title ho").await.starts_with(':'));
    p.stop().await;
}

#[tokio::test]
async fn without_sockets_it_leads_and_follows_all_the_same() {
    let data = tempdir().unwrap();
    let host = host();
    let service = seawall_graph::open(&config(1), &host, files(data.path(), &host)).await.unwrap();
    assert!(service.upstream().check().is_ok());
    let other = Leads::new(1, data.path()).await;
    assert!(other.upstream.check().is_err());
    host.tasks.stop(std::time::Duration::ZERO);
    eventually("taking over", async || other.upstream.check().is_ok()).await;
    other.stop().await;
}
