//! HTTP spoken byte by byte, so that nothing between the test and the server is polite.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Far beyond anything a healthy server needs.
const HANG: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The stable code of an error.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let error = &self.json()["error"];
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{self:?}");
        error["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends bytes and reads the answer until the server closes. With `half_close` the sending side is closed first.
pub(crate) async fn send(addr: SocketAddr, request: &[u8], half_close: bool) -> Answer {
    let talk = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let (mut from, mut to) = stream.split();
        let writing = async {
            // The server may close before it has read everything: its answer is what counts.
            drop(to.write_all(request).await);
            if half_close {
                drop(to.shutdown().await);
            }
        };
        let mut bytes = Vec::new();
        let reading = async {
            let mut chunk = [0; 8192];
            loop {
                match from.read(&mut chunk).await {
                    Ok(0) | Err(_) => break,
                    Ok(n) => bytes.extend_from_slice(&chunk[..n]),
                }
            }
        };
        tokio::join!(writing, reading);
        bytes
    };
    let bytes = tokio::time::timeout(HANG, talk).await.expect("the server hangs");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// One request on a connection of its own.
pub(crate) async fn ask(addr: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}{length}\r\n");
    send(addr, format!("{head}{body}").as_bytes(), false).await
}

pub(crate) async fn get(addr: SocketAddr, path: &str) -> Answer {
    ask(addr, "GET", path, "", "").await
}

pub(crate) async fn shorten(addr: SocketAddr, body: &str) -> Answer {
    ask(addr, "POST", "/api/v1/links", "", body).await
}

/// Shortens and returns the code.
pub(crate) async fn code_for(addr: SocketAddr, url: &str) -> String {
    let answer = shorten(addr, &format!(r#"{{"url":"{url}"}}"#)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["code"].as_str().unwrap().to_owned()
}

/// Every code the list shows, page by page.
pub(crate) async fn all_codes(addr: SocketAddr, limit: usize) -> Vec<String> {
    let mut codes = Vec::new();
    let mut path = format!("/api/v1/links?limit={limit}");
    loop {
        let page = get(addr, &path).await.json();
        let links = page["links"].as_array().unwrap();
        codes.extend(links.iter().map(|l| l["code"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/links?limit={limit}&after={next}"),
            None => return codes,
        }
    }
}
