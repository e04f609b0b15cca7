//! Starting the binary in a temporary folder, and talking to it with nothing but sockets and curl.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use seawall_drill::fault::process::{Process, Spec, free_ports};

/// Far beyond anything a test waits for; only a hang reaches it.
pub(crate) const HANG: Duration = Duration::from_secs(30);

pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_seawall"))
}

/// Chat that leaves nothing out, however busy the machine is that runs the tests.
pub(crate) const CHAT_UNSHED: [&str; 5] =
    ["chat", "--set", "chat.shed.steps=[{}]", "--set", "chat.ladder=s0-chat-verbatim"];

/// Runs a command of the binary to its end.
pub(crate) fn seawall(args: &[&str]) -> Output {
    Command::new(binary()).args(args).output().unwrap()
}

/// The addresses of one installation.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) registry: SocketAddr,
    pub(crate) balancer: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) links: SocketAddr,
    pub(crate) chat: SocketAddr,
    pub(crate) graph: SocketAddr,
    pub(crate) graph_resp: SocketAddr,
    pub(crate) folder: PathBuf,
}

impl Site {
    pub(crate) fn new(folder: &Path) -> Site {
        let ports = free_ports(7).unwrap();
        let at = |i: usize| SocketAddr::from(([127, 0, 0, 1], ports[i]));
        Site {
            registry: at(0),
            balancer: at(1),
            admin: at(2),
            links: at(3),
            chat: at(4),
            graph: at(5),
            graph_resp: at(6),
            folder: folder.to_owned(),
        }
    }

    /// The settings that place every system.
    pub(crate) fn settings(&self) -> Vec<String> {
        [
            format!("registry.listen={}", self.registry),
            format!("balancer.listen={}", self.balancer),
            format!("balancer.admin.listen={}", self.admin),
            format!("links.listen={}", self.links),
            format!("chat.listen={}", self.chat),
            format!("graph.listen={}", self.graph),
            format!("graph.resp_listen={}", self.graph_resp),
            format!("discovery.registry=[\"{}\"]", self.registry),
        ]
        .into_iter()
        .flat_map(|s| ["--set".to_owned(), s])
        .collect()
    }

    /// `seawall NOUN… --set …`, to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        Command::new(binary()).args(args).args(self.settings()).output().unwrap()
    }

    /// `seawall up ARGS`, until dropped.
    pub(crate) fn up(&self, args: &[&str]) -> Up {
        let data = self.folder.join("data");
        let mut all: Vec<OsString> = vec!["up".into()];
        all.extend(args.iter().map(Into::into));
        all.extend(["--data".into(), data.into_os_string(), "--json".into()]);
        all.extend(self.settings().into_iter().map(Into::into));
        let spec = Spec {
            name: "up".into(),
            binary: binary(),
            args: all,
            env: Vec::new(),
            folder: self.folder.clone(),
        };
        Up { process: Process::start(&spec).unwrap(), folder: self.folder.clone() }
    }

    /// Everything in one process, serving.
    pub(crate) fn up_all(&self, args: &[&str]) -> Up {
        let mut up = self.up(args);
        up.ready(&[self.registry, self.admin, self.links, self.chat, self.graph]);
        eventually("the ready table is printed", || !up.output().is_empty());
        self.until_routed();
        up
    }

    /// Waits until the balancer knows the links service.
    pub(crate) fn until_routed(&self) {
        eventually("the balancer routes to links", || {
            let answer = request(self.balancer, "GET", "/zzzzzzz", "links.localhost", &[], b"");
            answer.status == 404 && answer.text().contains("link_not_found")
        });
    }

    /// Creates a link through the balancer; the code.
    pub(crate) fn shorten(&self, url: &str) -> String {
        let body = format!(r#"{{"url":"{url}"}}"#);
        let answer = request(
            self.balancer,
            "POST",
            "/api/v1/links",
            "links.localhost",
            &["Content-Type: application/json"],
            body.as_bytes(),
        );
        assert_eq!(answer.status, 201, "{}", answer.text());
        let link: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        link["code"].as_str().unwrap().to_owned()
    }

    /// Where a code leads, through the balancer.
    pub(crate) fn follow(&self, code: &str) -> Option<String> {
        let answer = request(self.balancer, "GET", &format!("/{code}"), "links.localhost", &[], b"");
        (answer.status == 302).then(|| answer.header("location").unwrap().to_owned())
    }
}

/// A running `seawall up`.
pub(crate) struct Up {
    pub(crate) process: Process,
    folder: PathBuf,
}

impl Up {
    pub(crate) fn ready(&mut self, all: &[SocketAddr]) {
        seawall_drill::block_on(async {
            for addr in all {
                self.process.ready(*addr, HANG).await.unwrap();
            }
        })
        .unwrap();
    }

    /// Waits for the end; its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        seawall_drill::block_on(self.process.ended(HANG)).unwrap().unwrap().code()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("up.stderr")).unwrap()
    }

    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(self.folder.join("up.stdout")).unwrap()
    }
}

/// Polls until `what` holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < HANG, "waited {HANG:?} until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An answer, read to its end.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// One request on a connection of its own; status 0 when there was no answer.
pub(crate) fn request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    host: &str,
    headers: &[&str],
    body: &[u8],
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    if !body.is_empty() || method == "POST" || method == "PUT" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    raw(addr, &bytes, false)
}

/// Sends bytes and reads what comes back until the other side closes.
pub(crate) fn raw(addr: SocketAddr, bytes: &[u8], close_sending_half: bool) -> Answer {
    let Ok(mut peer) = TcpStream::connect_timeout(&addr, HANG) else { return Answer::default() };
    peer.set_read_timeout(Some(HANG)).unwrap();
    // A server that refuses early may close before it has read everything.
    drop(peer.write_all(bytes));
    if close_sending_half {
        drop(peer.shutdown(std::net::Shutdown::Write));
    }
    let mut all = Vec::new();
    drop(peer.read_to_end(&mut all));
    let Some(end) = all.windows(4).position(|w| w == b"\r\n\r\n") else { return Answer::default() };
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let status = head.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0);
    Answer { status, head, body: all[end + 4..].to_vec() }
}
