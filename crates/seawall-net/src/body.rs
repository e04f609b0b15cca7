//! Reading a request body: whole, at most so many bytes, and as JSON; or an error that says which of these it is not.

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Body, HttpBody};
use bytes::BytesMut;
use http::header::EXPECT;
use http::{HeaderMap, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::problem::Problem;

/// What is read and thrown away of a body that is too large. A connection closed over unread bytes is reset, and
/// the reset can overtake the answer; beyond this much, that is the client's loss.
const DISCARDED_MAX: usize = 8 << 20;

/// Why there is no body to work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It has more bytes than are taken here.
    #[error("the body is too large")]
    TooLarge,
    /// The connection failed or the framing was wrong before its end.
    #[error("the body broke off before its end")]
    Broken,
}

/// All of the body, if it is at most `max` bytes.
///
/// # Errors
/// It is larger, or it broke off.
pub async fn whole(headers: &HeaderMap, mut body: Body, max: usize) -> Result<BytesMut, BodyError> {
    let announced = body.size_hint().lower();
    // Who asks first sends nothing when told no; a client with far too much would be cut off in the middle anyway.
    let is_told_at_once = headers.contains_key(EXPECT) || announced > DISCARDED_MAX as u64;
    if announced > max as u64 && is_told_at_once {
        return Err(BodyError::TooLarge);
    }
    let mut bytes = BytesMut::new();
    let mut discarded = 0;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "a request body broke off");
            BodyError::Broken
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
    if discarded > 0 { Err(BodyError::TooLarge) } else { Ok(bytes) }
}

/// The same, with what clients of our own APIs are told.
///
/// # Errors
/// 413 `body_too_large` or 400 `incomplete_body`.
pub async fn read(headers: &HeaderMap, body: Body, max: usize) -> Result<BytesMut, Problem> {
    whole(headers, body, max).await.map_err(|error| match error {
        BodyError::TooLarge => {
            let message = format!("the body has more than {max} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
        }
        BodyError::Broken => bad_request("incomplete_body", error.to_string()),
    })
}

/// A body as the JSON that is expected here.
///
/// # Errors
/// 400 `bad_json` where it is none, 400 `bad_body` where it says something else.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let not_json = |e: serde_json::Error| bad_request("bad_json", format!("not JSON: {e}"));
    serde_json::from_slice(bytes).map_err(|e| match serde_json::from_slice::<IgnoredAny>(bytes) {
        // serde's message names the field and where it stands.
        Ok(_) if e.is_data() => bad_request("bad_body", e.to_string()),
        Ok(_) => not_json(e),
        // It may break off after a field that is wrong; what is no JSON at all is said first.
        Err(e) => not_json(e),
    })
}

fn bad_request(code: &'static str, message: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, code, message)
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use http_body::Frame;

    use super::*;

    async fn sized(n: usize) -> Result<usize, BodyError> {
        whole(&HeaderMap::new(), Body::from(vec![b'x'; n]), 100).await.map(|b| b.len())
    }

    #[tokio::test]
    async fn a_body_may_be_as_large_as_allowed_and_no_larger() {
        assert_eq!(sized(0).await, Ok(0));
        assert_eq!(sized(100).await, Ok(100));
        for large in [101, DISCARDED_MAX, DISCARDED_MAX + 1] {
            assert_eq!(sized(large).await, Err(BodyError::TooLarge), "{large}");
        }
    }

    #[tokio::test]
    async fn who_asks_before_sending_is_told_before_sending() {
        let asks = HeaderMap::from_iter([(EXPECT, http::HeaderValue::from_static("100-continue"))]);
        assert_eq!(whole(&asks, Body::new(Unread), 100).await, Err(BodyError::TooLarge));
    }

    #[tokio::test]
    async fn clients_are_told_how_much_is_too_much() {
        let told = |n: usize| async move {
            read(&HeaderMap::new(), Body::from(vec![b'x'; n]), 100).await.map(|b| b.len()).map_err(|p| p.code)
        };
        assert_eq!(told(100).await, Ok(100));
        assert_eq!(told(101).await, Err("body_too_large"));
        assert_eq!(told(10 << 20).await, Err("body_too_large"));
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read and thrown away")]
    struct Link {
        url: String,
        alias: Option<String>,
    }

    fn error(body: &[u8]) -> (&'static str, String) {
        let problem = parse::<Link>(body).unwrap_err();
        (problem.code, problem.message)
    }

    #[test]
    fn what_is_not_json_is_told_from_what_is_not_expected() {
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

    /// A body that announces 101 bytes and must not be read.
    struct Unread;

    impl HttpBody for Unread {
        type Data = bytes::Bytes;
        type Error = axum::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
            panic!("read although it was refused");
        }

        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(101)
        }
    }
}
