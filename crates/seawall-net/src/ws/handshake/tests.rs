//! One test per sentence of RFC 6455, section 4.2, that says MUST to a server.

use std::net::SocketAddr;

use seawall_policy::Mono;
use seawall_policy::retry::Attempt;

use super::*;

/// The request of section 1.3.
const EXAMPLE: &[(&str, &str)] = &[
    ("host", "server.example.com"),
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("origin", "http://example.com"),
    ("sec-websocket-protocol", "chat, superchat"),
    ("sec-websocket-version", "13"),
];

fn ask(method: &Method, headers: &[(&str, &str)]) -> (bool, Result<HeaderMap, Problem>) {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::try_from(*value).unwrap());
    }
    let head = Head {
        method,
        path: "/",
        query: None,
        host: "server.example.com",
        headers: &map,
        peer: SocketAddr::from(([127, 0, 0, 1], 9)),
        attempt: Attempt::FIRST,
        deadline: Mono(0),
    };
    let mut out = Out::default();
    let accepted = accept(&head, &mut out).map(|()| out.headers);
    (is_upgrade(&head), accepted)
}

/// The example with one header's lines replaced by these.
fn with(name: &str, lines: &[&str]) -> Result<HeaderMap, Problem> {
    let others = EXAMPLE.iter().filter(|(known, _)| *known != name).copied();
    let headers: Vec<_> = others.chain(lines.iter().map(|line| (name, *line))).collect();
    ask(&Method::GET, &headers).1
}

fn status(answer: Result<HeaderMap, Problem>) -> u16 {
    answer.map_or_else(|problem| problem.status.as_u16(), |_| 101)
}

#[test]
fn the_rfc_s_own_example_is_answered_as_it_says() {
    let (is_upgrade, accepted) = ask(&Method::GET, EXAMPLE);
    let accepted = accepted.unwrap();
    assert!(is_upgrade);
    assert_eq!(accepted[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(
        (&accepted[UPGRADE], &accepted[CONNECTION]),
        (&"websocket".parse().unwrap(), &"Upgrade".parse().unwrap())
    );
}

#[test]
fn neither_a_subprotocol_nor_an_extension_is_agreed_to() {
    let accepted = with("sec-websocket-extensions", &["permessage-deflate; client_max_window_bits"]).unwrap();
    assert_eq!(accepted.len(), 3, "{accepted:?}");
}

#[test]
fn the_method_must_be_get() {
    let (is_upgrade, answer) = ask(&Method::POST, EXAMPLE);
    assert!(is_upgrade);
    assert_eq!(status(answer), 400);
}

#[test]
fn there_must_be_a_host() {
    assert_eq!(status(with("host", &[])), 400);
}

#[test]
fn upgrade_must_list_websocket_in_any_case() {
    for lines in [&["WebSocket"][..], &["h2c, websocket"], &["h2c", " WEBSOCKET "]] {
        assert_eq!(status(with("upgrade", lines)), 101, "{lines:?}");
    }
    for lines in [&[][..], &["h2c"], &["websockets"], &["web socket"], &["websocket/13"], &[""]] {
        assert_eq!(status(with("upgrade", lines)), 426, "{lines:?}");
    }
}

#[test]
fn connection_must_list_upgrade_in_any_case() {
    for lines in
        [&["UPGRADE"][..], &["keep-alive, Upgrade"], &["keep-alive", "upgrade"], &["keep-alive,,upgrade"]]
    {
        assert_eq!(status(with("connection", lines)), 101, "{lines:?}");
    }
    for lines in [&[][..], &["keep-alive"], &["close"], &["upgraded"]] {
        assert_eq!(status(with("connection", lines)), 426, "{lines:?}");
    }
}

#[test]
fn the_key_must_be_sixteen_bytes_in_base64_and_there_once() {
    // The second is the RFC's own, in section 4.1, with two bits too many.
    for key in ["dGhlIHNhbXBsZSBub25jZQ==", "AQIDBAUGBwgJCgsMDQ4PEC==", " AAAAAAAAAAAAAAAAAAAAAA== "] {
        assert_eq!(status(with("sec-websocket-key", &[key])), 101, "{key}");
    }
    let one = "dGhlIHNhbXBsZSBub25jZQ==";
    for lines in [
        &[][..],
        &[one, one],
        &[""],
        &["dGhlIHNhbXBsZSBub25jZQ"],
        &["dGhlIHNhbXBsZSBub25j"],
        &["dGhlIHNhbXBsZSBub25jZQAA"],
        &["dGhlIHNhbXBsZSBub25jZQA="],
        &["dGhlIHNhbXBsZSBub25jZQ===="],
        &["dGhlIHNhbXBsZ-_ub25jZQ=="],
        &["not base64 at all, no!=="],
    ] {
        assert_eq!(status(with("sec-websocket-key", lines)), 400, "{lines:?}");
    }
    assert_eq!(status(with("sec-websocket-key", &["A".repeat(4096).as_str()])), 400);
}

#[test]
fn another_version_than_13_is_answered_426_and_told_which_is_spoken() {
    use axum::response::IntoResponse;
    for lines in [&[][..], &["8"], &["013"], &["13, 8"], &["13", "8"], &[""]] {
        let problem = with("sec-websocket-version", lines).unwrap_err();
        assert_eq!(problem.code, "bad_websocket_version");
        let answer = problem.into_response();
        assert_eq!(answer.status(), 426, "{lines:?}");
        assert_eq!(answer.headers()[SEC_WEBSOCKET_VERSION], "13");
        assert_eq!(answer.headers()[UPGRADE], "websocket");
    }
}

#[test]
fn who_asks_for_no_upgrade_is_told_to() {
    let (is_upgrade, answer) = ask(&Method::GET, &[("host", "a")]);
    assert!(!is_upgrade);
    assert_eq!(answer.unwrap_err().code, "upgrade_required");
}
