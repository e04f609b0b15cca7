//! Every refusal as the bytes client libraries expect, headers included.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use crate::refusal::Refusal;
use crate::storage::Trouble;

const SCOPE: HeaderName = HeaderName::from_static("x-ratelimit-scope");
const GLOBAL: HeaderName = HeaderName::from_static("x-ratelimit-global");

/// Seconds until a search index that is being built is worth asking again.
const INDEX_RETRY_SECONDS: u32 = 2;

/// Whose limit a refused call ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The token's, on this kind of call.
    User,
    /// The token's, over all calls.
    Global,
}

/// A JSON answer. The content type carries no charset: one client library compares the whole header and takes
/// anything else for text.
pub(super) fn json_bytes(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What a refusal looks like on the wire.
pub(super) fn response(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut body = json!({ "message": refusal.to_string(), "code": refusal.code() });
    match refusal {
        Refusal::Form(wrong) => body["errors"] = nested(wrong),
        Refusal::SlowMode { retry_after } => {
            body["retry_after"] = json!(retry_after);
            body["global"] = json!(false);
        }
        Refusal::NotIndexed => {
            body["documents_indexed"] = json!(0);
            body["retry_after"] = json!(INDEX_RETRY_SECONDS);
        }
        _ => {}
    }
    let mut response = json_bytes(status, body.to_string());
    if let Refusal::SlowMode { retry_after } = refusal {
        come_back(response.headers_mut(), *retry_after, Scope::User);
    }
    response
}

/// The answer to a call beyond its limit.
pub(super) fn limited(retry_after: f64, scope: Scope) -> Response {
    let body = json!({
        "message": "You are being rate limited.",
        "retry_after": retry_after,
        "global": scope == Scope::Global,
    });
    let mut response = json_bytes(StatusCode::TOO_MANY_REQUESTS, body.to_string());
    come_back(response.headers_mut(), retry_after, scope);
    response
}

/// `Via` is not for proxies here: one library takes a 429 without it for a ban by somebody in between, and gives up.
fn come_back(headers: &mut HeaderMap, seconds: f64, scope: Scope) {
    // Whole seconds, as HTTP has it; the body is exact.
    let whole = seconds.ceil().clamp(1.0, 1e9) as u64;
    headers.insert(RETRY_AFTER, HeaderValue::from(whole));
    headers.insert(VIA, HeaderValue::from_static("1.1 seawall"));
    let scope_name = match scope {
        Scope::User => "user",
        Scope::Global => "global",
    };
    headers.insert(SCOPE, HeaderValue::from_static(scope_name));
    if scope == Scope::Global {
        headers.insert(GLOBAL, HeaderValue::from_static("true"));
    }
}

/// `content` and `embeds.0.title` become objects within objects, each leaf a list under `_errors`. An empty path is
/// the body itself.
fn nested(wrong: &[(String, String, String)]) -> Value {
    let mut errors = Map::new();
    for (path, code, message) in wrong {
        let steps = path.split('.').filter(|step| !step.is_empty()).collect::<Vec<_>>();
        hang(&mut errors, steps.into_iter(), json!({ "code": code, "message": message }));
    }
    Value::Object(errors)
}

fn hang(at: &mut Map<String, Value>, mut steps: std::vec::IntoIter<&str>, leaf: Value) {
    let (step, empty) = match steps.next() {
        Some(step) => (step, Value::Object(Map::new())),
        None => ("_errors", Value::Array(Vec::new())),
    };
    match at.entry(step).or_insert(empty) {
        Value::Object(deeper) => hang(deeper, steps, leaf),
        Value::Array(list) => list.push(leaf),
        // Neither is ever put there.
        _ => {}
    }
}

/// What a caller is told when the store did not answer as it should.
pub(super) fn trouble(trouble: Trouble) -> Refusal {
    Refusal::from(trouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_fields_are_found_where_they_stand() {
        let at = |path: &str, code: &str| (path.to_owned(), code.to_owned(), "m".to_owned());
        let errors = nested(&[
            at("content", "A"),
            at("embeds.0.title", "B"),
            at("embeds.0.title", "C"),
            at("embeds", "D"),
            at("", "E"),
        ]);
        let leaf = |codes: &[&str]| -> Vec<Value> {
            codes.iter().map(|code| json!({ "code": code, "message": "m" })).collect()
        };
        let wanted = json!({
            "content": { "_errors": leaf(&["A"]) },
            "embeds": { "0": { "title": { "_errors": leaf(&["B", "C"]) } }, "_errors": leaf(&["D"]) },
            "_errors": leaf(&["E"]),
        });
        assert_eq!(errors, wanted);
    }

    #[test]
    fn who_is_to_wait_is_told_so_in_all_the_ways_libraries_look_for() {
        let response = limited(0.25, Scope::Global);
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        assert_eq!(response.status(), 429);
        assert_eq!(header("retry-after"), Some("1"), "never 0: a library that reads only this would spin");
        assert_eq!(header("via"), Some("1.1 seawall"));
        assert_eq!(header("x-ratelimit-scope"), Some("global"));
        assert_eq!(header("x-ratelimit-global"), Some("true"));
        assert_eq!(header("content-type"), Some("application/json"));
    }
}
