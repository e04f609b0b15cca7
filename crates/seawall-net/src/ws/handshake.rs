//! From a request to a WebSocket: RFC 6455, section 4.2.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};
use http::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sha1::{Digest, Sha1};

use crate::exchange::{Head, Out};
use crate::problem::Problem;

/// Appended to the client's key, to show that it was understood; section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY_BYTES: usize = 16;

/// The RFC's own example of a key has bits set where there should be none.
const KEY: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Whether a request asks to go on as a WebSocket.
#[must_use]
pub fn is_upgrade(head: &Head<'_>) -> bool {
    names(head.headers, &UPGRADE, "websocket") && names(head.headers, &CONNECTION, "upgrade")
}

/// Agrees to a WebSocket: fills in the answer, to be sent by [`crate::exchange::Next::Upgrade`], which sees to it
/// that the request came over HTTP/1.1.
///
/// # Errors
/// What a request lacks that section 4.2.1 asks for: 426 where another request would be welcome, 400 for others.
pub fn accept(head: &Head<'_>, out: &mut Out) -> Result<(), Problem> {
    if !is_upgrade(head) {
        return Err(Problem::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade_required",
            "this is a WebSocket: ask for it with `Connection: Upgrade` and `Upgrade: websocket`",
        ));
    }
    let bad = |message| Problem::new(StatusCode::BAD_REQUEST, "bad_upgrade", message);
    if *head.method != Method::GET {
        return Err(bad("a WebSocket is asked for with GET"));
    }
    if !head.headers.contains_key(HOST) {
        return Err(bad("a WebSocket requires a Host header"));
    }
    if only(head.headers, &SEC_WEBSOCKET_VERSION) != Some(b"13") {
        return Err(Problem::new(
            StatusCode::UPGRADE_REQUIRED,
            "bad_websocket_version",
            "the version of WebSocket spoken here is 13",
        ));
    }
    let key = only(head.headers, &SEC_WEBSOCKET_KEY)
        .filter(|key| is_key(key))
        .ok_or_else(|| bad("Sec-WebSocket-Key must be there once, 16 bytes in base64"))?;
    out.header(UPGRADE, HeaderValue::from_static("websocket"));
    out.header(CONNECTION, HeaderValue::from_static("Upgrade"));
    out.header(SEC_WEBSOCKET_ACCEPT, answer(key));
    Ok(())
}

/// Whether a header, in any of its lines, lists this token, in whatever case.
fn names(headers: &HeaderMap, header: &HeaderName, token: &str) -> bool {
    headers
        .get_all(header)
        .iter()
        .flat_map(|line| line.as_bytes().split(|b| *b == b','))
        .any(|listed| listed.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// A header that may be there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    lines.next().is_none().then(|| first.as_bytes().trim_ascii())
}

fn is_key(key: &[u8]) -> bool {
    let mut bytes = [0; KEY_BYTES + 2];
    KEY.decode_slice(key, &mut bytes).is_ok_and(|n| n == KEY_BYTES)
}

fn answer(key: &[u8]) -> HeaderValue {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let text = general_purpose::STANDARD.encode(hash);
    // Base64 always fits a header.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests;
