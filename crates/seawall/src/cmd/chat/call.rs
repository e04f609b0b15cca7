//! One call to the chat server: who speaks, patience with rate limits, and refusals as one clear line.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::Value;

use crate::cmd::http::Server;
use crate::cmd::terminal;
use crate::exit::Failure;

/// Holds a token where `--token-file` names none.
const TOKEN_VARIABLE: &str = "SEAWALL_CHAT_TOKEN";
/// How often one call waits because the server said when to come back.
const WAITS_MAX: usize = 5;
/// The longest such wait; whoever is told to wait longer is told so.
const WAIT_MAX: Duration = Duration::from_secs(15);

/// A chat server and who speaks to it.
pub(super) struct Chat {
    server: Server,
    pub(super) addr: SocketAddr,
    token_file: Option<PathBuf>,
    pub(super) json: bool,
}

impl Chat {
    pub(super) fn new(server: Server, addr: SocketAddr, token_file: Option<PathBuf>, json: bool) -> Chat {
        Chat { server, addr, token_file, json }
    }

    /// A call of the operator's, below `/api/admin`.
    pub(super) async fn operator(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        // Never the variable: that is a user's, and no business of whoever looks after the server.
        let token = match &self.token_file {
            Some(_) => Some(format!("Bearer {}", self.token()?)),
            None => None,
        };
        self.call(method, &format!("/api/admin{path}"), token.as_deref(), body).await
    }

    /// A call of the user or bot whose token we have.
    pub(super) async fn user(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let token = self.token()?;
        self.call(method, &format!("/api/v10{path}"), Some(&token), body).await
    }

    /// The token to speak with. Never an argument: everyone on the machine can read those.
    pub(super) fn token(&self) -> Result<String, Failure> {
        let (token, from) = match &self.token_file {
            Some(file) => {
                let text = fs::read_to_string(file)
                    .map_err(|e| Failure::Failed(format!("cannot read {}: {e}", file.display())))?;
                (text, file.display().to_string())
            }
            None => {
                let text = std::env::var(TOKEN_VARIABLE).map_err(|_| {
                    Failure::Usage(format!("whose words? Give --token-file FILE or set {TOKEN_VARIABLE}"))
                })?;
                (text, TOKEN_VARIABLE.to_owned())
            }
        };
        let token = token.trim();
        let is_one = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if is_one { Ok(token.to_owned()) } else { Err(Failure::Failed(format!("{from} holds no token"))) }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        for _ in 0..WAITS_MAX {
            let answer = self.once(&method, path, token, body).await?;
            let said: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
            if answer.status().is_success() {
                return Ok(said);
            }
            let wait = said["retry_after"].as_f64().and_then(|s| Duration::try_from_secs_f64(s).ok());
            match wait {
                Some(wait) if answer.status() == StatusCode::TOO_MANY_REQUESTS && wait <= WAIT_MAX => {
                    tokio::time::sleep(wait).await;
                }
                _ => return Err(Failure::Failed(complaint(answer.status(), &said))),
            }
        }
        Err(Failure::Failed(format!("{}: still rate limited after {WAITS_MAX} waits", self.addr)))
    }

    async fn once(
        &self,
        method: &Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Response<Bytes>, Failure> {
        let internal = |e: &dyn std::fmt::Display| Failure::Internal(e.to_string());
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.addr.to_string());
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token).map_err(|e| internal(&e))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = request.body(bytes).map_err(|e| internal(&e))?;
        self.server.call(self.addr, request).await
    }
}

/// A refusal in one line: `content: Must be 2000 or fewer in length. (code 50035)`.
fn complaint(status: StatusCode, said: &Value) -> String {
    let Some(message) = said["message"].as_str() else {
        return format!("the server answered {status}; is it `seawall up chat`?");
    };
    let mut wrong = Vec::new();
    fields("", &said["errors"], &mut wrong);
    let what = if wrong.is_empty() { message.to_owned() } else { wrong.join("; ") };
    terminal::plain(&match said["code"].as_u64() {
        // Code 0 is the general one, and its message begins with the status.
        Some(code @ 1..) => format!("{what} (code {code})"),
        _ => what,
    })
}

/// `{"a":{"b":{"_errors":[{"message":"x"}]}}}` as `a.b: x`.
fn fields(path: &str, errors: &Value, into: &mut Vec<String>) {
    let Some(object) = errors.as_object() else { return };
    for (name, below) in object {
        if name == "_errors" {
            let messages = below.as_array().into_iter().flatten().filter_map(|e| e["message"].as_str());
            into.extend(messages.map(|m| format!("{path}: {m}")));
        } else {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            fields(&path, below, into);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_is_one_line_with_its_code() {
        let said = json!({"message": "Unknown Channel", "code": 10003});
        assert_eq!(complaint(StatusCode::NOT_FOUND, &said), "Unknown Channel (code 10003)");
        let said = json!({"message": "401: Unauthorized", "code": 0});
        assert_eq!(complaint(StatusCode::UNAUTHORIZED, &said), "401: Unauthorized");
        let said = json!({"message": "Invalid Form Body", "code": 50035, "errors":
            {"content": {"_errors": [{"code": "X", "message": "Too long."}]},
             "embeds": {"0": {"title": {"_errors": [{"code": "X", "message": "Bad\nline."}]}}}}});
        assert_eq!(
            complaint(StatusCode::BAD_REQUEST, &said),
            "content: Too long.; embeds.0.title: Bad\\nline. (code 50035)"
        );
        assert!(complaint(StatusCode::BAD_GATEWAY, &Value::Null).contains("502"));
    }
}
