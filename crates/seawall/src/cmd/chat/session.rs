//! A gateway session as a client keeps it: identify once, then resume after each loss of the connection. Decides what
//! each frame asks for; reads and writes nothing itself.

use std::path::Path;

use http::Uri;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::exit::Failure;

/// GUILDS, GUILD_MESSAGES, DIRECT_MESSAGES, MESSAGE_CONTENT.
const INTENTS: u64 = 1 | 1 << 9 | 1 << 12 | 1 << 15;

/// What a session has to know of itself to go on elsewhere or later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) session_id: String,
    pub(super) seq: u64,
    /// Where on the server: by it a balancer finds the gateway that knows us.
    pub(super) path: String,
}

/// What a frame asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// Nothing.
    Go,
    /// Tell the reader: a dispatch.
    Tell,
    /// Beat now.
    Beat,
    /// The last beat was heard.
    Heard,
    /// Leave this connection and resume, or begin anew, on the next.
    Leave,
}

/// The session, if there is one, and what the last frames said of it.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    pub(super) session: Option<Session>,
    /// A session there was has been lost, and nobody was told yet.
    pub(super) lost: bool,
}

impl Keeper {
    /// What to say after HELLO.
    pub(super) fn introduction(&self, token: &str) -> Value {
        match &self.session {
            Some(s) => json!({"op": 6, "d": {"token": token, "session_id": s.session_id, "seq": s.seq}}),
            None => json!({"op": 2, "d": {"token": token, "intents": INTENTS,
                "properties": {"os": std::env::consts::OS, "browser": "seawall", "device": "seawall"}}}),
        }
    }

    pub(super) fn beat(&self) -> Value {
        json!({"op": 1, "d": self.session.as_ref().map(|s| s.seq)})
    }

    pub(super) fn take(&mut self, frame: &Value) -> Next {
        match frame["op"].as_u64() {
            Some(0) => {
                self.dispatch(frame);
                Next::Tell
            }
            Some(1) => Next::Beat,
            Some(7) => Next::Leave,
            Some(9) => {
                if frame["d"] != json!(true) {
                    self.forget();
                }
                Next::Leave
            }
            Some(11) => Next::Heard,
            _ => Next::Go,
        }
    }

    /// The connection was closed with this code. An error: no other try would end better.
    pub(super) fn closed(&mut self, code: u16, reason: &str) -> Result<(), Failure> {
        match code {
            4004 => Err(Failure::Failed("the server does not know this token (close code 4004)".to_owned())),
            4010..=4014 => {
                let reason = crate::cmd::terminal::plain(reason);
                Err(Failure::Failed(format!("the server refused the session: {reason} (close code {code})")))
            }
            // A number it never gave, or a session whose time is over.
            4007 | 4009 => {
                self.forget();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn forget(&mut self) {
        self.lost |= self.session.take().is_some();
    }

    fn dispatch(&mut self, frame: &Value) {
        let seq = frame["s"].as_u64().unwrap_or(0);
        if frame["t"] == "READY" {
            let text = |key: &str| frame["d"][key].as_str().unwrap_or_default().to_owned();
            let path = text("resume_gateway_url").parse::<Uri>().ok().map(|uri| uri.path().to_owned());
            let path = path.filter(|path| path.starts_with('/')).unwrap_or_else(|| "/".to_owned());
            self.session = Some(Session { session_id: text("session_id"), seq, path });
        } else if let Some(session) = &mut self.session {
            session.seq = session.seq.max(seq);
        }
    }
}

impl Session {
    /// The session kept in a file; none when there is no such file yet.
    pub(super) fn load(file: &Path) -> Result<Option<Session>, Failure> {
        let failed =
            |e: &dyn std::fmt::Display| Failure::Failed(format!("cannot read {}: {e}", file.display()));
        match std::fs::read_to_string(file) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|e| failed(&e)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(&e)),
        }
    }

    /// Writes it beside the file and puts it in its place, so that the file is never half of two.
    pub(super) fn save(&self, file: &Path) -> Result<(), Failure> {
        let failed =
            |e: &dyn std::fmt::Display| Failure::Failed(format!("cannot write {}: {e}", file.display()));
        let mut beside = file.as_os_str().to_owned();
        beside.push(".new");
        let text = serde_json::to_string(self).map_err(|e| failed(&e))?;
        std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, file)).map_err(|e| failed(&e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Value {
        json!({"op": 0, "s": 1, "t": "READY",
            "d": {"session_id": "ab", "resume_gateway_url": "ws://127.0.0.1:7020/g/7"}})
    }

    #[test]
    fn a_session_is_resumed_from_the_last_number_seen() {
        let mut keeper = Keeper::default();
        assert_eq!(keeper.introduction("t")["op"], 2);
        assert_eq!(keeper.take(&ready()), Next::Tell);
        keeper.take(&json!({"op": 0, "s": 7, "t": "MESSAGE_CREATE", "d": {}}));
        assert_eq!(keeper.take(&json!({"op": 7, "d": null})), Next::Leave);
        let resume = keeper.introduction("t");
        assert_eq!(
            (&resume["op"], &resume["d"]["seq"], &resume["d"]["session_id"]),
            (&json!(6), &json!(7), &json!("ab"))
        );
        assert_eq!(keeper.session.as_ref().map(|s| s.path.as_str()), Some("/g/7"));
    }

    #[test]
    fn a_session_that_the_server_does_not_know_is_begun_anew_and_said_to_be_lost() {
        let mut keeper = Keeper::default();
        // Refused before there was one: nothing is lost.
        assert_eq!(keeper.take(&json!({"op": 9, "d": false})), Next::Leave);
        assert!(!keeper.lost);
        keeper.take(&ready());
        assert_eq!(keeper.take(&json!({"op": 9, "d": true})), Next::Leave);
        assert!(keeper.session.is_some() && !keeper.lost, "this one may be resumed");
        keeper.take(&json!({"op": 9, "d": false}));
        assert!(keeper.session.is_none() && keeper.lost);
    }

    #[test]
    fn close_codes_say_whether_to_come_back() {
        let mut keeper = Keeper::default();
        keeper.take(&ready());
        assert!(
            keeper.closed(4000, "").is_ok() && keeper.closed(1006, "").is_ok() && keeper.session.is_some()
        );
        assert!(keeper.closed(4009, "").is_ok() && keeper.session.is_none());
        assert!(keeper.closed(4004, "").is_err() && keeper.closed(4013, "").is_err());
    }

    #[test]
    fn a_kept_session_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s");
        assert_eq!(Session::load(&file).unwrap(), None);
        let session = Session { session_id: "ab".into(), seq: 9, path: "/".into() };
        session.save(&file).unwrap();
        assert_eq!(Session::load(&file).unwrap(), Some(session));
        std::fs::write(&file, "{").unwrap();
        assert!(Session::load(&file).is_err());
    }
}
