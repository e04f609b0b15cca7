//! Reading a request body: bounded, complete, and JSON, or an error that says which of these it is not.

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Body, HttpBody};
use bytes::BytesMut;
use http::header::EXPECT;
use http::{HeaderMap, StatusCode};
use seawall_net::problem::Problem;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::problems::bad_request;

/// What is read and thrown away of a body that is too large. A connection closed over unread bytes is reset, and
/// the reset can overtake the answer; beyond this much, that is the client's loss.
const DISCARDED_MAX: usize = 4 << 20;

/// All of the body, if it is at most `max` bytes.
pub(super) async fn read(headers: &HeaderMap, mut body: Body, max: usize) -> Result<BytesMut, Problem> {
    // Who asks first sends nothing when told no.
    if headers.contains_key(EXPECT) && body.size_hint().lower() > max as u64 {
        return Err(too_large(max));
    }
    let mut bytes = BytesMut::new();
    let mut discarded = 0;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|e| {
            tracing::debug!(error = %e, "a request body broke off");
            bad_request("incomplete_body", "the body broke off before its end")
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if discarded == 0 && bytes.len() + data.len() <= max {
            bytes.extend_from_slice(&data);
        } else {
            discarded += bytes.len() + data.len();
            bytes = BytesMut::new();
        }
        if discarded > DISCARDED_MAX {
            break;
        }
    }
    if discarded > 0 { Err(too_large(max)) } else { Ok(bytes) }
}

/// The body as what is expected here.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let not_json = |e: serde_json::Error| bad_request("bad_json", format!("not JSON: {e}"));
    serde_json::from_slice(bytes).map_err(|e| match serde_json::from_slice::<IgnoredAny>(bytes) {
        // serde's message names the field and where it stands.
        Ok(_) if e.is_data() => bad_request("bad_body", e.to_string()),
        Ok(_) => not_json(e),
        // It may break off after a field that is wrong; what is no JSON at all is said first.
        Err(e) => not_json(e),
    })
}

fn too_large(max: usize) -> Problem {
    let message = format!("the body has more than {max} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::CreateLink;

    fn error(body: &[u8]) -> (&'static str, String) {
        let problem = parse::<CreateLink>(body).unwrap_err();
        (problem.code, problem.message)
    }

    #[test]
    fn what_is_not_json_is_told_from_what_is_not_a_link() {
        for odd in [
            &b""[..],
            b"{",
            b"url=http://x/",
            b"{\"url\":\"\xff\"}",
            b"{} {}",
            b"{\"x\":1, y}",
            &[b'['; 100_000],
        ] {
            assert_eq!(error(odd).0, "bad_json", "{:?}", &odd[..odd.len().min(20)]);
        }
        for (odd, named) in [
            (r#"{"url":"http://x/","alais":"x"}"#, "`alais`"),
            (r#"{"alias":"x"}"#, "`url`"),
            (r#"{"url":"http://x/","url":"http://y/"}"#, "`url`"),
            (r#"{"url":5}"#, "integer `5`"),
            ("[5]", "string"),
            ("null", "null"),
        ] {
            let (code, message) = error(odd.as_bytes());
            assert!(code == "bad_body" && message.contains(named), "{odd}: {code} {message}");
        }
    }

    #[tokio::test]
    async fn a_body_may_be_as_large_as_allowed_and_no_larger() {
        let sized = |n: usize| read_all(Body::from(vec![b'x'; n]));
        assert_eq!(sized(100).await, Ok(100));
        assert_eq!(sized(101).await, Err("body_too_large"));
        assert_eq!(sized(10 << 20).await, Err("body_too_large"));
    }

    async fn read_all(body: Body) -> Result<usize, &'static str> {
        read(&HeaderMap::new(), body, 100).await.map(|b| b.len()).map_err(|p| p.code)
    }
}
