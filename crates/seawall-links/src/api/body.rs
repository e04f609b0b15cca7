//! Reading a request body: bounded, complete, and JSON, or an error that says which of these it is not.

use axum::body::Body;
use bytes::BytesMut;
use http::{HeaderMap, StatusCode};
use seawall_net::body::{BodyError, whole};
use seawall_net::problem::Problem;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::problems::bad_request;

/// All of the body, if it is at most `max` bytes.
pub(super) async fn read(headers: &HeaderMap, body: Body, max: usize) -> Result<BytesMut, Problem> {
    whole(headers, body, max).await.map_err(|error| match error {
        BodyError::TooLarge => {
            let message = format!("the body has more than {max} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
        }
        BodyError::Broken => bad_request("incomplete_body", error.to_string()),
    })
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
