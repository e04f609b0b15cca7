//! One user who writes by REST and does not give up: a message without an answer is sent again with the same nonce
//! until it is known to be there.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value as Json, json};

use super::Said;
use crate::Client;

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// Of one message: more than a minute of nobody being there.
pub const TRIES_MAX: u32 = 2_000;
/// Messages of one page of history, the most there may be.
const PAGE: usize = 100;

/// A user's token and a connection of its own.
pub struct Speaker {
    client: Client,
    token: String,
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// As the server answered it; none when it refused.
    pub said: Option<Said>,
    /// Tries that it took.
    pub tries: u32,
}

impl Speaker {
    /// Somebody with this token. Connects when it first speaks.
    #[must_use]
    pub fn new(to: SocketAddr, token: String) -> Speaker {
        Speaker { client: Client::new(to, PATIENCE), token }
    }

    /// Says something, and says it again until it is answered, at most [`TRIES_MAX`] times.
    pub async fn say(&mut self, channel: u64, content: &str, nonce: &str) -> Sent {
        let body = json!({"content": content, "nonce": nonce, "enforce_nonce": true});
        let path = format!("/api/v10/channels/{channel}/messages");
        for tries in 1..=TRIES_MAX {
            match self.call(Method::POST, &path, Some(&body)).await {
                Some((StatusCode::OK, answer)) => return Sent { said: Said::of(&answer), tries },
                Some((status, _)) if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
                    return Sent { said: None, tries };
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
        Sent { said: None, tries: TRIES_MAX }
    }

    /// All messages of a channel, oldest first.
    ///
    /// # Errors
    /// The channel cannot be read; the text says why.
    pub async fn history(&mut self, channel: u64) -> Result<Vec<Said>, String> {
        let mut all: Vec<Said> = Vec::new();
        loop {
            let after = all.last().map_or(0, |said| said.id);
            let path = format!("/api/v10/channels/{channel}/messages?limit={PAGE}&after={after}");
            let page = match self.call(Method::GET, &path, None).await {
                Some((StatusCode::OK, Json::Array(page))) => page,
                Some((StatusCode::TOO_MANY_REQUESTS, _)) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                other => return Err(format!("{path}: {other:?}")),
            };
            let mut page: Vec<Said> = page.iter().filter_map(Said::of).collect();
            page.sort();
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// One call; none when no usable answer came.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Json>,
    ) -> Option<(StatusCode, Json)> {
        let body = body.map(|json| Bytes::from(json.to_string())).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.client.to().to_string())
            .header(header::AUTHORIZATION, format!("Bot {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .ok()?;
        let answer = self.client.send(request, PATIENCE).await.ok()?;
        let json = match answer.body() {
            body if body.is_empty() => Json::Null,
            body => serde_json::from_slice(body).ok()?,
        };
        Some((answer.status(), json))
    }
}
