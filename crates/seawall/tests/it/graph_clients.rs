//! Clients written for Redis, unchanged, against our graph.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::fleet::{Site, Up};
use crate::python;

/// As published.
const PACKAGE: &str = "redis==8.1.0";

/// A graph that leaves nothing out, however busy the machine is that runs the tests.
const UNSHED: [&str; 3] = ["graph", "--set", "graph.shed.steps=[{}]"];

fn started(site: &Site) -> Up {
    let mut up = site.up(&UNSHED);
    up.ready(&[site.graph]);
    up
}

/// Runs a program of Redis's against the port, and returns what it printed.
fn tool(program: &str, addr: SocketAddr, args: &[&str]) -> String {
    let port = addr.port().to_string();
    let output = Command::new(program)
        .args(["-h", "127.0.0.1", "-p", &port])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}; apt-get install redis-tools"));
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{said}\n{complaints}");
    said
}

fn cli(addr: SocketAddr, args: &[&str]) -> String {
    tool("redis-cli", addr, args)
}

#[test]
fn redis_cli_reads_writes_and_shows_help() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let _up = started(&site);
    let at = site.graph_resp;
    assert_eq!(cli(at, &["ping"]), "PONG");
    assert_eq!(cli(at, &["obj.add", "user", "ID", "7", "FIELDS", "name", "Ann Sea", "created", "5"]), "7");
    assert_eq!(cli(at, &["obj.get", "7"]), "type\nuser\nversion\n1\nname\nAnn Sea\ncreated\n5");
    assert_eq!(
        cli(at, &["-3", "--json", "obj.get", "7"]),
        r#"{"type":"user","version":1,"name":"Ann Sea","created":5}"#
    );
    assert_eq!(cli(at, &["assoc.add", "7", "likes", "8", "TIME", "9", "FIELDS", "reaction", "wow"]), "1");
    assert_eq!(cli(at, &["-3", "assoc.range", "7", "likes", "0", "10"]), "8\n9");
    assert_eq!(
        cli(at, &["-3", "--json", "assoc.range", "7", "likes", "0", "10", "WITHDATA"]),
        r#"[[8,9,{"reaction":"wow"}]]"#
    );
    assert_eq!(cli(at, &["obj.get", "8"]), "");
    assert_eq!(cli(at, &["obj.get", "x"]), "ERR value is not an integer or out of range");
    // `-e` makes errors of answers errors of the program.
    let failed =
        Command::new("redis-cli").args(["-e", "-p", &at.port().to_string(), "obj.get", "x"]).output();
    assert!(!failed.unwrap().status.success());
    let help = cli(at, &["help", "assoc.range"]);
    assert!(
        help.contains("ASSOC.RANGE") && help.contains("id1 type pos limit [WITHDATA] [CRITICAL]"),
        "{help}"
    );
    assert!(help.contains("Associations of a list, newest first"), "{help}");
    let help = cli(at, &["help", "obj.update"]);
    assert!(help.contains("id [IFVERSION version] [KEY idempotency-key]"), "{help}");
    assert!(cli(at, &["info", "server"]).contains("server_name:seawall"));
    assert_eq!(cli(at, &["-r", "3", "assoc.count", "7", "likes"]), "1\n1\n1");
}

#[test]
fn redis_py_finds_everything_a_redis_client_expects() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let _up = started(&site);
    let said = python::run("redis_py.py", PACKAGE, &[&site.graph_resp.port().to_string()]);
    assert_eq!(said, "all is as a Redis client expects");
}

#[test]
fn redis_benchmark_measures_commands_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let _up = started(&site);
    let at = site.graph_resp;
    cli(at, &["obj.add", "user", "ID", "7", "FIELDS", "name", "Ann"]);
    for (args, wanted) in [
        (&["-q", "-c", "20", "-n", "2000", "obj.get", "7"][..], "obj.get 7: "),
        (&["-q", "-c", "20", "-n", "2000", "-3", "obj.get", "7"], "obj.get 7: "),
        (&["-q", "-c", "20", "-n", "4000", "-P", "16", "obj.mget", "7", "8", "7"], "obj.mget 7 8 7: "),
        (
            &["-q", "-c", "20", "-n", "500", "-r", "9999", "assoc.add", "7", "likes", "1__rand_int__"],
            "assoc.add",
        ),
        (
            &["-q", "-c", "20", "-n", "2000", "assoc.range", "7", "likes", "0", "10"],
            "assoc.range 7 likes 0 10: ",
        ),
        (&["-q", "-c", "20", "-n", "2000", "-t", "ping"], "PING_MBULK: "),
    ] {
        let said = tool("redis-benchmark", at, args);
        let last = said.rsplit(['\r', '\n']).next().unwrap_or_default();
        assert!(said.contains(wanted) && last.contains("requests per second"), "{args:?}: {said}");
    }
    let count: u64 = cli(at, &["assoc.count", "7", "likes"]).parse().unwrap();
    assert!((1..=500).contains(&count), "{count}");
    let info = cli(at, &["info", "stats"]);
    let done = info.lines().find_map(|line| line.trim().strip_prefix("total_commands_processed:")).unwrap();
    assert!(done.parse::<u64>().unwrap() > 10_000, "{info}");
}
