//! A browser moved by WebDriver, in as few words as our pages need.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use seawall_drill::fault::process::{Process, Spec, free_ports};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fleet::{HANG, eventually};

/// The Enter key, as WebDriver writes it.
pub(crate) const ENTER: &str = "\u{E007}";
/// The name under which an element's id is answered (WebDriver, section 12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A running chromedriver. Its windows must be closed before it is.
pub(crate) struct Driver {
    _process: Process,
    addr: SocketAddr,
}

impl Driver {
    pub(crate) fn start(folder: &Path) -> Driver {
        let port = free_ports(1).unwrap()[0];
        let spec = Spec {
            name: "chromedriver".into(),
            binary: "chromedriver".into(),
            args: vec![format!("--port={port}").into()],
            env: Vec::new(),
            folder: folder.to_owned(),
        };
        let process = Process::start(&spec).unwrap();
        let driver = Driver { _process: process, addr: ([127, 0, 0, 1], port).into() };
        eventually("chromedriver is ready", || driver.call("GET", "/status", &Value::Null)["ready"] == true);
        driver
    }

    /// A headless window of this size, with a profile of its own.
    pub(crate) fn open(&self, width: u32, height: u32) -> Window<'_> {
        let profile = tempfile::tempdir().unwrap();
        let args = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            // Containers often have a /dev/shm too small for a browser.
            "--disable-dev-shm-usage".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": args}}}});
        let made = self.call("POST", "/session", &wanted);
        let id = made["sessionId"].as_str().unwrap_or_else(|| panic!("no browser: {made}")).to_owned();
        Window { driver: self, id, _profile: profile }
    }

    /// The value of the answer; an error is a value too.
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        self.exchange(method, path, body).unwrap_or_default()["value"].clone()
    }

    /// chromedriver keeps its connections open whatever it is asked, so the end of an answer is counted.
    fn exchange(&self, method: &str, path: &str, body: &Value) -> std::io::Result<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut peer = TcpStream::connect(self.addr)?;
        peer.set_read_timeout(Some(HANG))?;
        let host = self.addr;
        let kind = "Content-Type: application/json";
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{kind}\r\nContent-Length: {}", body.len());
        peer.write_all(format!("{head}\r\n\r\n{body}").as_bytes())?;
        let mut reader = BufReader::new(peer);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().unwrap();
                }
                None if line.trim().is_empty() => break,
                _ => {}
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer)?;
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }
}

/// One browser window. Dropped, it is closed as a person closes it.
pub(crate) struct Window<'a> {
    driver: &'a Driver,
    id: String,
    _profile: TempDir,
}

impl Window<'_> {
    pub(crate) fn go(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url }));
    }

    pub(crate) fn reload(&self) {
        self.call("POST", "/refresh", &json!({}));
    }

    /// Types into the element that the selector finds.
    pub(crate) fn write(&self, selector: &str, text: &str) {
        let element = self.find(selector);
        self.call("POST", &format!("/element/{element}/value"), &json!({ "text": text }));
    }

    pub(crate) fn click(&self, selector: &str) {
        let element = self.find(selector);
        self.call("POST", &format!("/element/{element}/click"), &json!({}));
    }

    /// What a function body returns.
    pub(crate) fn script(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({"script": script, "args": []}))
    }

    /// The texts of all elements that the selector finds, hidden ones too.
    pub(crate) fn texts(&self, selector: &str) -> Vec<String> {
        let selector = json!(selector);
        let found = self
            .script(&format!("return [...document.querySelectorAll({selector})].map(e => e.textContent)"));
        found.as_array().into_iter().flatten().filter_map(|t| t.as_str().map(str::to_owned)).collect()
    }

    /// Waits until an element's text holds `wanted`.
    pub(crate) fn shows(&self, selector: &str, wanted: &str) {
        eventually(&format!("{selector} shows {wanted:?}"), || {
            self.texts(selector).iter().any(|text| text.contains(wanted))
        });
    }

    fn find(&self, selector: &str) -> String {
        let wanted = json!({"using": "css selector", "value": selector});
        let mut id = None;
        eventually(&format!("there is {selector}"), || {
            let found = self.driver.call("POST", &format!("/session/{}/element", self.id), &wanted);
            id = found[ELEMENT].as_str().map(str::to_owned);
            id.is_some()
        });
        id.unwrap()
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let value = self.driver.call(method, &format!("/session/{}{path}", self.id), body);
        assert!(value["error"].is_null(), "{path}: {value} (waits end after {HANG:?})");
        value
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        // Also when a test has failed: a browser outlives a driver that is killed.
        self.driver.call("DELETE", &format!("/session/{}", self.id), &Value::Null);
    }
}
