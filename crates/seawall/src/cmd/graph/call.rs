//! One call to the graph, with refusals as one clear line; and fields from text and back.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use seawall_graph::api::http::IDEMPOTENCY_KEY;
use seawall_graph::api::http::wire::Fields;
use seawall_graph::schema::{Field, FieldType, Schema, decode, encode_text};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cmd::http::{Server, complaint};
use crate::cmd::terminal::{self, plain};
use crate::exit::Failure;

/// A graph and how to speak to it.
#[derive(Clone)]
pub(super) struct Graph {
    server: Server,
    pub(super) addr: SocketAddr,
    token: Option<HeaderValue>,
    pub(super) json: bool,
}

impl Graph {
    pub(super) fn new(
        server: Server,
        addr: SocketAddr,
        token_file: Option<&Path>,
        json: bool,
    ) -> Result<Graph, Failure> {
        let token = match token_file {
            None => None,
            Some(file) => {
                let name = file.display();
                let text = fs::read_to_string(file)
                    .map_err(|e| Failure::Failed(format!("cannot read {name}: {e}")))?;
                let first = text.lines().map(str::trim).find(|line| !line.is_empty());
                let value = first.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
                let mut value = value.ok_or_else(|| Failure::Failed(format!("{name} holds no token")))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Graph { server, addr, token, json })
    }

    /// Any answer, good or bad.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Response<Bytes>, Failure> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.addr.to_string());
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(key) = key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        let (kind, body) = body.unzip();
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        let request = request.body(body.unwrap_or_default());
        let request = request.map_err(|e| Failure::Usage(format!("this cannot be asked for: {e}")))?;
        self.server.call(self.addr, request).await
    }

    /// A call with JSON both ways.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        let body = match body {
            Some(body) => {
                let bytes = serde_json::to_vec(body).map_err(|e| Failure::Internal(e.to_string()))?;
                Some(("application/json", bytes.into()))
            }
            None => None,
        };
        read(&self.send(method, path, key, body).await?)
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(Method::GET, path, None, None::<&()>).await
    }

    /// The schema the server uses.
    pub(super) async fn schema(&self) -> Result<Schema, Failure> {
        let text = self.schema_text().await?;
        let unreadable =
            |wrong: Vec<String>| Failure::Failed(format!("unreadable schema: {}", wrong.join("; ")));
        Schema::parse(&text).map_err(unreadable)
    }

    pub(super) async fn schema_text(&self) -> Result<String, Failure> {
        let answer = self.send(Method::GET, "/v1/schema", None, None).await?;
        if answer.status() != StatusCode::OK {
            return Err(refused(&answer));
        }
        String::from_utf8(answer.body().to_vec())
            .map_err(|_| Failure::Failed("the schema is no text".to_owned()))
    }

    /// An answer as JSON, or in the words of `text`.
    pub(super) fn print<T: Serialize>(
        &self,
        answer: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let line = if self.json {
            let value = serde_json::to_value(answer).map_err(|e| Failure::Internal(e.to_string()))?;
            terminal::json(&value)
        } else {
            text()
        };
        terminal::line(&line).map(drop)
    }
}

/// An answer that was asked for; anything else is what the server complains of.
pub(super) fn read<T: DeserializeOwned>(answer: &Response<Bytes>) -> Result<T, Failure> {
    if !answer.status().is_success() {
        return Err(refused(answer));
    }
    serde_json::from_slice(answer.body()).map_err(|e| Failure::Failed(format!("unreadable answer: {e}")))
}

pub(super) fn refused(answer: &Response<Bytes>) -> Failure {
    Failure::Failed(plain(&complaint(answer)))
}

/// A part of a path.
pub(super) fn part(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Fields given as text, as JSON carries them.
pub(super) fn fields(fields: &[Field], given: &[(String, String)]) -> Result<Fields, Failure> {
    let is_bytes =
        |name: &str| fields.iter().any(|field| *field.name == *name && field.holds == FieldType::Bytes);
    let (bytes, rest): (Vec<_>, Vec<_>) = given.iter().partition(|(name, _)| is_bytes(name));
    let rest: Vec<(&[u8], &[u8])> =
        rest.into_iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let data = encode_text(fields, &rest).map_err(Failure::Usage)?;
    let mut read: Fields = decode(fields, data.bytes())
        .map(|(field, value)| (field.name.to_string(), value.to_json()))
        .collect();
    // In base64 here as there.
    read.extend(bytes.into_iter().map(|(name, value)| (name.clone(), value.clone().into())));
    Ok(read)
}

/// Fields as `name=value`, one after the other, fit for a terminal.
pub(super) fn shown(fields: &Fields) -> String {
    let one = |(name, value): (&String, &serde_json::Value)| match value.as_str() {
        Some(text) => format!("{name}={}", plain(text)),
        None => format!("{name}={value}"),
    };
    fields.iter().map(one).collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_read_as_the_schema_says() {
        let schema = Schema::built_in();
        let kind = |name: &str| schema.object(name).unwrap();
        let given = |all: &[(&str, &str)]| -> Vec<(String, String)> {
            all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let user =
            fields(&kind("user").fields, &given(&[("name", "5"), ("created", "5"), ("private", "true")]));
        assert_eq!(json!(user.unwrap()), json!({"name": "5", "created": 5, "private": true}));
        let media = fields(&kind("media").fields, &given(&[("preview", "/w==")])).unwrap();
        assert_eq!(json!(media), json!({"preview": "/w=="}));
        assert_eq!(shown(&media), "preview=/w==");
        for odd in [("created", "soon"), ("nam", "x")] {
            assert!(
                matches!(fields(&kind("user").fields, &given(&[odd])), Err(Failure::Usage(_))),
                "{odd:?}"
            );
        }
    }
}
