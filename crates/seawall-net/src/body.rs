//! Reading a request body whole: at most so many bytes, or which of the two things was wrong with it.

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Body, HttpBody};
use bytes::BytesMut;
use http::HeaderMap;
use http::header::EXPECT;

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
