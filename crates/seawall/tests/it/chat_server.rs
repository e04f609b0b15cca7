//! A chat server for tests of what speaks to it: started as a user starts it, spoken to by our own command line.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::fleet::{CHAT_UNSHED, Site, Up, binary};

/// A running `seawall up chat`.
pub(crate) struct Chat {
    pub(crate) addr: SocketAddr,
    _up: Up,
}

impl Chat {
    pub(crate) fn start(folder: &Path) -> Chat {
        let site = Site::new(folder);
        let mut up = site.up(&CHAT_UNSHED);
        up.ready(&[site.chat]);
        Chat { addr: site.chat, _up: up }
    }

    /// `seawall chat ARGS`, speaking with a token where one is given.
    pub(crate) fn command(&self, token: Option<&str>, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(["chat", "--addr", &self.addr.to_string()]).args(args).stdin(Stdio::null());
        command.env_remove("SEAWALL_CHAT_TOKEN");
        if let Some(token) = token {
            command.env("SEAWALL_CHAT_TOKEN", token);
        }
        command
    }

    pub(crate) fn run(&self, token: Option<&str>, args: &[&str]) -> Output {
        self.command(token, args).output().unwrap()
    }

    /// What a command prints as JSON; each line of it.
    pub(crate) fn json(&self, token: Option<&str>, args: &[&str]) -> Vec<Value> {
        let output = self.run(token, &[&["--json"], args].concat());
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// A new user's token.
    pub(crate) fn user(&self, name: &str) -> String {
        string(&self.json(None, &["user", "create", name])[0]["token"])
    }

    /// A new guild of a user's: its id and that of its channel.
    pub(crate) fn guild(&self, name: &str, owner: &str) -> (String, String) {
        let made = &self.json(None, &["guild", "create", name, "--owner", owner])[0];
        (string(&made["id"]), string(&made["channels"][0]["id"]))
    }

    /// The gateway session of a user; panics when there is not exactly one.
    pub(crate) fn session(&self, name: &str) -> Value {
        let mut all = self.json(None, &["sessions"]);
        all.retain(|session| session["user"]["username"] == name);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }
}

pub(crate) fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
