//! `seawall graph`, command by command, and an audit that must find what was planted.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::fleet::{Site, Up, binary, eventually, request};

/// A running `seawall up graph`.
struct Graph {
    addr: SocketAddr,
    _up: Up,
}

impl Graph {
    /// With two databases, so that writes go between them.
    fn start(folder: &Path, args: &[&str]) -> Graph {
        let site = Site::new(folder);
        let all = [&["graph", "--set", "graph.shards=2", "--set", "graph.shed.steps=[{}]"], args].concat();
        let mut up = site.up(&all);
        up.ready(&[site.graph]);
        Graph { addr: site.graph, _up: up }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(["graph", "--server", &self.addr.to_string()]).args(args).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What a command prints that must succeed.
    fn told(&self, args: &[&str]) -> String {
        printed(&self.run(args))
    }

    /// The same as JSON, each line of it.
    fn json(&self, args: &[&str]) -> Vec<Value> {
        let told = self.told(&[&["--json"], args].concat());
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn user(&self, name: &str) -> String {
        self.told(&["obj", "add", "user", &format!("name={name}")])
    }

    fn get(&self, path: &str) -> Value {
        let answer = request(self.addr, "GET", path, "x", &[], b"");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Exit code and the one line of a command that failed.
fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

#[test]
fn objects_are_made_read_changed_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let graph = Graph::start(dir.path(), &[]);
    let ada = graph.told(&["obj", "add", "user", "name=Ada\u{1b}[2J", "created=1766102400", "--key", "k1"]);
    let again = graph.told(&["obj", "add", "user", "name=Ada\u{1b}[2J", "created=1766102400", "--key", "k1"]);
    assert_eq!(again, ada, "the same key makes one object");
    assert_eq!(said(&graph.run(&["obj", "add", "user", "name=Bob", "--key", "k1"])).0, Some(1));
    let near = graph.told(&["obj", "add", "post", "--near", &ada, "text=The gate is closed"]);
    assert_eq!(near.parse::<u64>().unwrap() >> 47, ada.parse::<u64>().unwrap() >> 47, "they live together");

    assert_eq!(
        graph.told(&["obj", "get", &ada]),
        format!("{ada}  user v1  created=1766102400  name=Ada\\u{{1b}}[2J")
    );
    assert_eq!(graph.told(&["obj", "update", &ada, "name=Ada", "private=true", "--if-version", "1"]), "2");
    let changed = said(&graph.run(&["obj", "update", &ada, "name=Eve", "--if-version", "1"]));
    assert!(changed.0 == Some(1) && changed.1.contains("has version 2"), "{changed:?}");
    assert_eq!(graph.told(&["obj", "update", &ada, "--unset", "created"]), "3");
    let both = graph.json(&["obj", "get", &near, &ada]);
    assert_eq!(both[0]["fields"], json!({"text": "The gate is closed"}));
    assert_eq!(
        both[1],
        json!({"id": ada, "type": "user", "version": 3, "fields": {"name": "Ada", "private": true}})
    );

    assert_eq!(graph.told(&["obj", "delete", &ada]), "deleted");
    assert_eq!(graph.told(&["obj", "delete", &ada]), "there was none");
    let gone = said(&graph.run(&["obj", "get", &ada]));
    assert_eq!(gone, (Some(1), format!("seawall: there is no object {ada}")));
    for (odd, code, words) in [
        (&["obj", "add", "usr"][..], 1, "there is no object type `usr`"),
        (&["obj", "add", "user"], 1, "the field `name` is required"),
        (&["obj", "add", "user", "name=A", "created=soon"], 2, "`created` takes a whole number"),
        (&["obj", "add", "user", "nam=A"], 2, "there is no field `nam`"),
        (&["obj", "add", "user", "name"], 2, "NAME=VALUE"),
        (&["obj", "get", "x"], 2, "an id is a whole number"),
        (&["obj", "update", &ada, "name=A"], 1, "there is no object"),
        (&["obj", "add", "user", "name=A", "--id", &ada], 1, "was used before"),
    ] {
        let told = said(&graph.run(odd));
        assert!(told.0 == Some(code) && told.1.contains(words), "{odd:?}: {told:?}");
    }
}

#[test]
fn associations_come_in_pairs_and_lists_are_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let graph = Graph::start(dir.path(), &[]);
    let users: Vec<String> = (0..6).map(|n| graph.user(&format!("u{n}"))).collect();
    let me = &users[0];
    for (n, other) in users[1..].iter().enumerate() {
        let time = format!("{}", 100 + n);
        assert_eq!(
            graph.told(&["assoc", "add", me, "follows", other, "--time", &time, "notify=true"]),
            "added"
        );
    }
    let last = &users[5];
    assert_eq!(
        graph.told(&["assoc", "add", me, "follows", last, "--time", "104", "notify=false"]),
        "overwritten"
    );
    assert_eq!(graph.told(&["assoc", "count", me, "follows"]), "5");
    assert_eq!(graph.told(&["assoc", "count", last, "followed_by"]), "1");
    let newest = graph.told(&["assoc", "range", me, "follows", "--limit", "2", "--data"]);
    assert_eq!(newest, format!("{last}  104  notify=false\n{}  103  notify=true", users[4]));
    let rest = graph.told(&["assoc", "range", me, "follows", "--pos", "4"]);
    assert_eq!(rest, format!("{}  100", users[1]));
    let between = graph.told(&["assoc", "time-range", me, "follows", "--high", "102", "--low", "101"]);
    assert_eq!(between, format!("{}  102\n{}  101", users[3], users[2]));
    let points = graph.json(&["assoc", "get", me, "follows", &users[1], me, last, "--low", "101"]);
    assert_eq!(points, [json!({"id2": last, "time": 104, "fields": {"notify": false}})]);

    assert_eq!(graph.told(&["assoc", "add", me, "friend_requested", last]), "added");
    assert_eq!(graph.told(&["assoc", "retype", me, "friend_requested", last, "friend"]), "changed");
    assert_eq!(graph.told(&["assoc", "retype", me, "friend_requested", last, "friend"]), "there was none");
    for (of, atype, count) in [
        (me, "friend", "1"),
        (last, "friend", "1"),
        (me, "friend_requested", "0"),
        (last, "friend_requested_by", "0"),
    ] {
        assert_eq!(graph.told(&["assoc", "count", of, atype]), count, "{of} {atype}");
    }
    assert_eq!(graph.told(&["assoc", "delete", last, "followed_by", me]), "deleted");
    assert_eq!(graph.told(&["assoc", "delete", me, "follows", last]), "there was none");
    assert_eq!(graph.told(&["assoc", "count", me, "follows"]), "4");
    for (odd, code, words) in [
        (&["assoc", "count", me, "likes2"][..], 1, "there is no association type `likes2`"),
        (&["assoc", "range", me, "follows", "--limit", "6001"], 1, "use 1 to 6000"),
        (&["assoc", "retype", me, "follows", &users[1], "friend"], 1, "has no field `notify`"),
        (&["assoc", "add", me, "follows", last, "--time", "4294967296"], 2, "--time"),
    ] {
        let told = said(&graph.run(odd));
        assert!(told.0 == Some(code) && told.1.contains(words), "{odd:?}: {told:?}");
    }
}

#[test]
fn a_schema_is_shown_checked_and_put_in_place_unless_it_would_lose_something() {
    let dir = tempfile::tempdir().unwrap();
    let graph = Graph::start(dir.path(), &[]);
    let file = dir.path().join("graph.toml");
    let path = file.to_str().unwrap();
    let shown = graph.told(&["schema", "show"]);
    assert!(shown.contains("[association.follows]"), "{shown}");
    std::fs::write(
        &file,
        format!("{shown}\n[object.recipe]\nnumber = 40\nfields.title = {{ number = 1, type = \"text\" }}\n"),
    )
    .unwrap();
    assert_eq!(graph.told(&["schema", "check", path]), "good");
    assert_eq!(graph.told(&["schema", "apply", path]), "applied");
    assert!(graph.told(&["obj", "add", "recipe", "title=Soup"]).parse::<u64>().is_ok());

    // The one it was in the beginning has no recipes.
    std::fs::write(&file, &shown).unwrap();
    for verb in ["check", "apply"] {
        let told = said(&graph.run(&["schema", verb, path]));
        assert!(told.0 == Some(1) && told.1.contains("object.recipe: it is gone"), "{told:?}");
    }
    assert_eq!(graph.told(&["schema", "check", path, "--alone"]), "good");
    std::fs::write(&file, "[object.a]\nnumber = 0\n[object.B]\nnumber = 1\n").unwrap();
    let told = said(&graph.run(&["schema", "check", path]));
    assert!(
        told.0 == Some(1) && told.1.lines().count() == 2 && told.1.contains("line 2: object.a.number"),
        "{told:?}"
    );
    let told = graph.run(&["schema", "check", path, "--json"]);
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&told["good"], told["problems"].as_array().unwrap().len()), (&json!(false), 2));
}

#[test]
fn a_graph_is_carried_elsewhere_and_twice_is_once() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, to) = (Graph::start(one.path(), &[]), Graph::start(two.path(), &[]));
    let users: Vec<String> = (0..30).map(|n| from.user(&format!("u{n}"))).collect();
    for n in 0..29 {
        from.told(&[
            "assoc",
            "add",
            &users[n],
            "follows",
            &users[n + 1],
            "--time",
            &n.to_string(),
            "notify=true",
        ]);
    }
    from.told(&["assoc", "add", &users[3], "friend", &users[2], "--time", "7"]);
    from.told(&["assoc", "add", &users[3], "friend", &users[3], "--time", "8"]);
    from.told(&["obj", "delete", &users[29]]);
    let file = one.path().join("graph.ndjson");
    let path = file.to_str().unwrap();
    let export = from.run(&["export", path]);
    assert_eq!(said(&export), (Some(0), "exported 29 objects, 31 associations".to_owned()));
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 61);
    assert_eq!(text.lines().last(), Some(r#"{"end":{"objects":29,"associations":31}}"#));
    assert_eq!(printed(&from.run(&["export"])), text.trim(), "a file or standard output");

    let first = &to.json(&["import", path])[0];
    assert_eq!(
        first,
        &json!({"objects": 29, "present": 0, "associations": 31, "overwritten": 0, "rejected": 0})
    );
    // From standard input, and again.
    let mut piped = to.command(&["import", "-", "--json"]);
    let mut piped = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let again: Value = serde_json::from_slice(&piped.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(
        again,
        json!({"objects": 0, "present": 29, "associations": 0, "overwritten": 31, "rejected": 0})
    );
    assert_eq!(printed(&to.run(&["export"])), text.trim(), "what was carried is what there was");
    assert_eq!(
        to.told(&["assoc", "range", &users[3], "friend"]),
        format!("{}  8\n{}  7", users[3], users[2])
    );

    // A deleted object does not come back, and what is wrong with a line is said with its number.
    to.told(&["obj", "delete", &users[0]]);
    let lines: Vec<&str> =
        text.lines().filter(|line| line.contains(&users[0]) && line.contains("object")).collect();
    std::fs::write(&file, format!("\n{}\n{{\"object\":5}}\nnonsense\n", lines[0])).unwrap();
    let bad = to.run(&["import", path]);
    let told = said(&bad);
    assert_eq!(told.0, Some(1));
    for words in ["line 2: the id", "(id_used)", "line 3: ", "(bad_body)", "line 4: not JSON", "(bad_json)"] {
        assert!(told.1.contains(words), "{words}: {}", told.1);
    }
}

/// Changes objects and lists, and reads them so that memory holds them, until told to stop.
fn keep_busy(graph: &Graph, stop: &AtomicBool) {
    let call = |method: &str, path: &str, body: &str| {
        let answer =
            request(graph.addr, method, path, "x", &["Content-Type: application/json"], body.as_bytes());
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.text());
        answer.json()
    };
    let ids: Vec<String> = (0..24)
        .map(|_| {
            call("POST", "/v1/objects", r#"{"type":"user","fields":{"name":"x"}}"#)["id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let mut round = 0;
    while !stop.load(Ordering::Acquire) {
        round += 1;
        for (n, id) in ids.iter().enumerate() {
            let other = &ids[(n + round) % ids.len()];
            call("GET", &format!("/v1/objects/{id}"), "");
            call("GET", &format!("/v1/assocs/{id}/likes"), "");
            call("PATCH", &format!("/v1/objects/{id}"), &format!(r#"{{"set":{{"created":{round}}}}}"#));
            call("PUT", &format!("/v1/assocs/{id}/likes/{other}"), "");
        }
    }
}

fn audit(graph: &Graph) -> (Option<i32>, Value) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| keep_busy(graph, &stop));
        eventually("something changes", || graph.get("/v1/changes?shard=0&after=0")["changes"] != json!([]));
        let output = graph.run(&["audit", "--seconds", "3", "--sample", "200", "--json"]);
        stop.store(true, Ordering::Release);
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        (output.status.code(), report)
    })
}

#[test]
fn an_audit_finds_nothing_where_all_caches_hear_of_everything() {
    let dir = tempfile::tempdir().unwrap();
    let graph = Graph::start(dir.path(), &[]);
    let (code, report) = audit(&graph);
    assert_eq!(code, Some(0), "{report:#}");
    assert!(report["changes"].as_u64() > Some(20) && report["sampled"].as_u64() > Some(20), "{report:#}");
    let verdict = &report["verdicts"][1];
    assert_eq!((&verdict["after_seconds"], &verdict["inconsistent"]), (&json!(10), &json!(0)), "{report:#}");
    assert!(verdict["checked"].as_u64() > Some(20) && verdict["nines"].as_f64() > Some(0.5), "{report:#}");
    // And says so where there was nothing to look at.
    let idle = graph.told(&["audit", "--seconds", "1"]);
    assert!(idle.contains("nothing changed meanwhile") && idle.contains("too few to tell"), "{idle}");
}

#[test]
fn an_audit_finds_a_planted_cache_that_does_not_hear_of_everything() {
    let dir = tempfile::tempdir().unwrap();
    let graph = Graph::start(dir.path(), &["--plant", "drop-invalidation"]);
    let (code, report) = audit(&graph);
    assert_eq!(code, Some(3), "{report:#}");
    let of = |place: &str| {
        let looks = report["looks"].as_array().unwrap().iter().filter(|look| look["place"] == place);
        looks.map(|look| look["inconsistent"].as_u64().unwrap()).sum::<u64>()
    };
    assert!(of("follower") > 0 && of("leader") == 0 && of("source") == 0, "{report:#}");
    let found = report["found"][0].as_str().unwrap();
    assert!(found.starts_with("follower has version ") && found.contains(" was committed "), "{found}");
}
