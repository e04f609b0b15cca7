//! The graph over RESP, in bytes: every command, every option, every error.

use seawall_graph::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::making::{PATIENCE, Process, config};

/// A client that shows answers as `redis-cli` would, on one line.
struct Client(TcpStream);

impl Client {
    async fn to(process: &Process) -> Client {
        Client(TcpStream::connect(process.resp).await.unwrap())
    }

    async fn send(&mut self, line: &str) {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(timeout(PATIENCE, self.0.read_u8()).await.expect("no answer").unwrap());
        }
        String::from_utf8(line[..line.len() - 2].to_vec()).unwrap()
    }

    /// The next answer: `[a, b]` for arrays, `{a, b}` for maps, numbers and text as they are, `null`.
    async fn answer(&mut self) -> String {
        let line = self.line().await;
        let (kind, rest) = line.split_at(1);
        match kind {
            "$" | "=" if rest == "-1" => "null".to_owned(),
            "$" | "=" => {
                let mut bulk = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.0.read_exact(&mut bulk).await.unwrap();
                String::from_utf8_lossy(&bulk[..bulk.len() - 2]).into_owned()
            }
            "*" | "%" | "~" if rest == "-1" => "null".to_owned(),
            "*" | "%" | "~" => {
                let count = rest.parse::<usize>().unwrap() * if kind == "%" { 2 } else { 1 };
                let mut all = Vec::new();
                for _ in 0..count {
                    all.push(Box::pin(self.answer()).await);
                }
                if kind == "%" { format!("{{{}}}", all.join(", ")) } else { format!("[{}]", all.join(", ")) }
            }
            "_" => "null".to_owned(),
            "+" | "-" => rest.to_owned(),
            _ => line,
        }
    }

    async fn ask(&mut self, line: &str) -> String {
        self.send(line).await;
        self.answer().await
    }

    async fn says(&mut self, line: &str, wanted: &str) {
        assert_eq!(self.ask(line).await, wanted, "{line}");
    }

    /// An answer that is an id.
    async fn id(&mut self, line: &str) -> String {
        let told = self.ask(line).await;
        let id = told.strip_prefix(':').unwrap_or_else(|| panic!("{line}: {told}"));
        id.parse::<i64>().unwrap();
        id.to_owned()
    }
}

async fn started(data: &std::path::Path) -> (Process, Client) {
    let process = Process::start(config(2), data).await;
    let client = Client::to(&process).await;
    (process, client)
}

#[tokio::test]
async fn objects_are_made_read_changed_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let (process, mut c) = started(dir.path()).await;
    let ann = c.id("OBJ.ADD user FIELDS name Ann created 77 private true").await;
    let told = "[type, user, version, 1, name, Ann, created, 77, private, true]";
    c.says(&format!("OBJ.GET {ann}"), told).await;
    c.says(&format!("obj.get {ann} critical"), told).await;
    c.says(&format!("OBJ.UPDATE {ann} IFVERSION 1 UNSET 1 created FIELDS about 'sea and wall'"), ":2").await;
    c.says(
        &format!("OBJ.GET {ann}"),
        "[type, user, version, 2, name, Ann, about, sea and wall, private, true]",
    )
    .await;
    let bob = c.id(&format!("OBJ.ADD user KEY once NEAR {ann} FIELDS name Bob")).await;
    c.says(&format!("OBJ.ADD user KEY once NEAR {ann} FIELDS name Bob"), &format!(":{bob}")).await;
    assert_eq!(bob.parse::<u64>().unwrap() >> 47, ann.parse::<u64>().unwrap() >> 47, "near");
    c.says("OBJ.ADD user ID 5 FIELDS name Eve", ":5").await;
    c.says(
        &format!("OBJ.MGET {bob} 6 5"),
        "[[type, user, version, 1, name, Bob], null, [type, user, version, 1, name, Eve]]",
    )
    .await;
    c.says(&format!("OBJ.DELETE {bob}"), ":1").await;
    c.says(&format!("OBJ.DELETE {bob}"), ":0").await;
    c.says(&format!("OBJ.GET {bob}"), "null").await;
    // The newer form tells numbers and booleans from text.
    c.send("HELLO 3").await;
    c.answer().await;
    c.says(&format!("OBJ.UPDATE {ann} UNSET 1 about FIELDS created 78"), ":3").await;
    let told = "{type, user, version, :3, name, Ann, created, :78, private, #t}";
    c.says(&format!("OBJ.GET {ann}"), told).await;
    let place = c.id("OBJ.ADD place FIELDS name Here latitude 1.5").await;
    c.says(&format!("OBJ.GET {place}"), "{type, place, version, :1, name, Here, latitude, ,1.5}").await;
    process.stop().await;
}

#[tokio::test]
async fn associations_are_made_read_changed_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let (process, mut c) = started(dir.path()).await;
    for n in 1..=4 {
        c.says(&format!("ASSOC.ADD 1 likes {n}0 TIME {n} FIELDS reaction r{n}"), ":1").await;
    }
    c.says("ASSOC.ADD 1 likes 10 TIME 1 KEY k", ":0").await;
    c.says("ASSOC.COUNT 1 likes", ":4").await;
    c.says("ASSOC.COUNT 1 likes CRITICAL", ":4").await;
    c.says("ASSOC.COUNT 10 liked_by", ":1").await;
    c.says("ASSOC.RANGE 1 likes 0 2", "[:40, :4, :30, :3]").await;
    c.says("ASSOC.RANGE 1 likes 3 10 WITHDATA", "[[:10, :1, []]]").await;
    c.says("ASSOC.RANGE 1 likes 2 1 WITHDATA CRITICAL", "[[:20, :2, [reaction, r2]]]").await;
    c.says("ASSOC.RANGE 9 likes 0 10", "[]").await;
    c.says("ASSOC.TIMERANGE 1 likes 3 2 10", "[:30, :3, :20, :2]").await;
    c.says("ASSOC.TIMERANGE 1 likes 3 0 1 WITHDATA", "[[:30, :3, [reaction, r3]]]").await;
    c.says("ASSOC.GET 1 likes 40", "[[:40, :4, [reaction, r4]]]").await;
    c.says("ASSOC.GET 1 likes 40 99 10 HIGH 3 LOW 1", "[[:10, :1, []]]").await;
    c.says("ASSOC.GET 1 likes 99", "[]").await;
    c.says("ASSOC.ADD 1 friend_requested 50 TIME 5", ":1").await;
    c.says("ASSOC.CHANGETYPE 1 friend_requested 50 friend KEY yes", ":1").await;
    c.says("ASSOC.CHANGETYPE 1 friend_requested 51 friend", ":0").await;
    c.says("ASSOC.COUNT 1 friend_requested", ":0").await;
    c.says("ASSOC.RANGE 50 friend 0 10", "[:1, :5]").await;
    let same = "ERR the association is of the type `likes` already";
    c.says("ASSOC.CHANGETYPE 1 likes 40 likes", same).await;
    c.says("ASSOC.DELETE 1 likes 40", ":1").await;
    c.says("ASSOC.DELETE 1 likes 40", ":0").await;
    c.says("ASSOC.COUNT 40 liked_by", ":0").await;
    // Without a time it is now, and a repeat with the same key is the same request a second later too.
    c.says("ASSOC.ADD 2 friend 3 KEY now", ":1").await;
    c.says("ASSOC.ADD 2 friend 3 KEY now", ":1").await;
    let told = c.ask("ASSOC.RANGE 2 friend 0 1 WITHDATA").await;
    c.says("ASSOC.RANGE 3 friend 0 1 WITHDATA", &told.replace("[[:3,", "[[:2,")).await;
    process.stop().await;
}

#[tokio::test]
async fn a_pipeline_is_answered_in_order_whatever_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (process, mut c) = started(dir.path()).await;
    let mut lines = Vec::new();
    for n in 1..=100 {
        lines.push(format!("OBJ.ADD user ID {n} FIELDS name n{n}"));
    }
    c.send(&lines.join("\r\n")).await;
    for n in 1..=100 {
        assert_eq!(c.answer().await, format!(":{n}"));
    }
    // Nothing of it is in a new process's memory.
    process.stop().await;
    let (process, mut c) = started(dir.path()).await;
    let lines: Vec<_> = (1..=100).map(|n| format!("OBJ.GET {n}\r\nPING p{n}")).collect();
    c.send(&lines.join("\r\n")).await;
    for n in 1..=100 {
        assert_eq!(c.answer().await, format!("[type, user, version, 1, name, n{n}]"));
        assert_eq!(c.answer().await, format!("p{n}"));
    }
    // A write between reads is seen by those behind it.
    c.send("OBJ.GET 1\r\nOBJ.UPDATE 1 FIELDS name new\r\nOBJ.GET 1").await;
    for wanted in ["[type, user, version, 1, name, n1]", ":2", "[type, user, version, 2, name, new]"] {
        assert_eq!(c.answer().await, wanted);
    }
    process.stop().await;
}

#[tokio::test]
async fn a_ticket_carries_what_was_written_to_another_connection() {
    let dir = tempfile::tempdir().unwrap();
    let (process, mut c) = started(dir.path()).await;
    let id = c.id("OBJ.ADD user FIELDS name Ann").await;
    let ticket = c.ask("TICKET").await;
    assert!(!ticket.is_empty() && !ticket.contains(' '), "{ticket}");
    let mut other = Client::to(&process).await;
    other.says(&format!("TICKET {ticket}"), "OK").await;
    other.says(&format!("OBJ.GET {id}"), "[type, user, version, 1, name, Ann]").await;
    other.says("TICKET what", "ERR this is not a ticket").await;
    other.says("TICKET a b", "ERR wrong number of arguments for 'ticket' command").await;
    other.says("RESET", "RESET").await;
    assert_ne!(other.ask("TICKET").await, ticket);
    c.says(&format!("GRAPH.VERSION SOURCE OBJ {id}"), ":1").await;
    c.says(&format!("GRAPH.VERSION follower obj {id}"), ":1").await;
    c.says("GRAPH.VERSION FOLLOWER LIST 77 likes", "null").await;
    c.says("GRAPH.VERSION SOURCE LIST 77 likes", ":0").await;
    assert!(c.ask("GRAPH.SCHEMA").await.contains("[object.user]"));
    process.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (process, mut c) = started(dir.path()).await;
    c.says("OBJ.ADD user ID 7 FIELDS name Ann", ":7").await;
    let number = "ERR value is not an integer or out of range";
    let id = "ERR an id is a whole number from 1 to 9223372036854775807";
    let syntax = "ERR syntax error";
    for (line, wanted) in [
        ("OBJ.GET", "ERR wrong number of arguments for 'obj.get' command"),
        ("OBJ.GET x", number),
        ("OBJ.GET 0", id),
        ("OBJ.GET -1", id),
        ("OBJ.GET 9223372036854775808", number),
        ("OBJ.GET 7 WHAT", syntax),
        ("OBJ.MGET 7 CRITICAL", number),
        ("OBJ.ADD nobody FIELDS name x", "ERR unknown object type 'nobody'"),
        ("OBJ.ADD user FIELDS", syntax),
        ("OBJ.ADD user FIELDS name", syntax),
        ("OBJ.ADD user NEAR 7 ID 8 FIELDS name x", syntax),
        ("OBJ.ADD user ID 7 FIELDS name x", "USED the id 7 was used before"),
        ("OBJ.UPDATE 7", syntax),
        ("OBJ.UPDATE 7 IFVERSION 0 FIELDS name x", number),
        ("OBJ.UPDATE 7 IFVERSION 9 FIELDS name x", "CHANGED object 7 has version 1"),
        ("OBJ.UPDATE 7 UNSET 0", syntax),
        ("OBJ.UPDATE 7 UNSET 2 name", syntax),
        ("OBJ.UPDATE 8 FIELDS name x", "NOTFOUND there is no object 8"),
        ("OBJ.DELETE 7 KEY", syntax),
        ("ASSOC.RANGE 7 likes 0", "ERR wrong number of arguments for 'assoc.range' command"),
        ("ASSOC.RANGE 7 loves 0 10", "ERR unknown association type 'loves'"),
        ("ASSOC.RANGE 7 likes -1 10", number),
        ("ASSOC.RANGE 7 likes 0 6001", "ERR a range of 'likes' gives 6000 associations at most"),
        ("ASSOC.RANGE 7 likes 0 10 WHAT", syntax),
        ("ASSOC.TIMERANGE 7 likes 4294967296 0 10", number),
        ("ASSOC.GET 7 likes 1 HIGH", syntax),
        ("ASSOC.ADD 7 likes 1 TIME x", number),
        ("ASSOC.ADD 7 likes 1 TIME 4294967296", number),
        ("ASSOC.ADD 7 likes 1 WHAT", syntax),
        ("ASSOC.CHANGETYPE 7 likes 1", "ERR wrong number of arguments for 'assoc.changetype' command"),
        ("GRAPH.VERSION MOON OBJ 7", "ERR no place 'MOON'; use FOLLOWER, LEADER or SOURCE"),
        ("GRAPH.VERSION SOURCE WHAT 7", syntax),
        ("OBJ.NOSUCH 1", "ERR unknown command 'OBJ.NOSUCH', with args beginning with: '1' "),
    ] {
        c.says(line, wanted).await;
    }
    // Words of the schema: only that they are errors, and name the field.
    for (line, word) in [
        ("OBJ.ADD user FIELDS name x created soon", "created"),
        ("OBJ.ADD user FIELDS nobody x", "nobody"),
        ("OBJ.ADD user", "name"),
        ("OBJ.UPDATE 7 UNSET 1 name", "name"),
        ("OBJ.UPDATE 7 FIELDS created x", "created"),
        ("ASSOC.ADD 7 likes 1 FIELDS what x", "what"),
    ] {
        let told = c.ask(line).await;
        assert!(told.starts_with("ERR ") && told.contains(word), "{line}: {told}");
    }
    let many = c.ask(&format!("ASSOC.GET 7 likes{}", " 1".repeat(1001))).await;
    assert_eq!(many, "ERR more than 1000 ids");
    let many = c.ask(&format!("OBJ.MGET{}", " 1".repeat(10_001))).await;
    assert_eq!(many, "ERR more than 10000 ids");
    c.says("OBJ.GET 7", "[type, user, version, 1, name, Ann]").await;
    c.says("ASSOC.COUNT 7 likes", ":0").await;
    let told = c.ask("OBJ.ADD user KEY k FIELDS name x").await;
    assert!(told.starts_with(':'), "{told}");
    let reused = "KEYREUSED the idempotency key was used before, for another request";
    c.says("OBJ.ADD user KEY k FIELDS name y", reused).await;
    process.stop().await;
}

#[tokio::test]
async fn who_stands_by_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let first = Process::start(config(1), dir.path()).await;
    let second = Process::start(Config { ..config(1) }, dir.path()).await;
    let mut c = Client::to(&second).await;
    for line in ["OBJ.GET 1", "ASSOC.RANGE 1 likes 0 10", "OBJ.ADD user FIELDS name x"] {
        let told = c.ask(line).await;
        assert!(told.starts_with("LOADING "), "{line}: {told}");
    }
    c.says("PING", "PONG").await;
    second.stop().await;
    first.stop().await;
}
