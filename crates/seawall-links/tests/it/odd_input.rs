//! Odd input: an error with a stable code, and nothing stored.

use tempfile::tempdir;

use crate::bytes::{Answer, all_codes, ask, send, shorten};
use crate::making::{Process, start};

async fn refused(p: &Process, answer: Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
    assert!(all_codes(p.addr, 10).await.is_empty(), "something was stored");
}

#[tokio::test]
async fn every_odd_body_url_and_alias_has_its_code() {
    let data = tempdir().unwrap();
    let p = start(data.path()).await;
    let long = format!(r#"{{"url":"https://example.org/{}"}}"#, "a".repeat(2048));
    for (body, code) in [
        ("", "bad_json"),
        ("{", "bad_json"),
        ("url=https://example.org/", "bad_json"),
        ("[]", "bad_body"),
        ("{}", "bad_body"),
        (r#"{"url":7}"#, "bad_body"),
        (r#"{"url":"https://example.org/","alais":"x"}"#, "bad_body"),
        (r#"{"url":"example.org"}"#, "bad_url"),
        (r#"{"url":"ftp://example.org/"}"#, "bad_scheme"),
        (r#"{"url":"javascript:alert(1)"}"#, "bad_scheme"),
        (r#"{"url":"http://u:p@example.org/"}"#, "url_credentials"),
        (r#"{"url":"http://0x7f.1/"}"#, "private_target"),
        (r#"{"url":"http://[::ffff:10.0.0.1]/"}"#, "private_target"),
        (r#"{"url":"http://localhost:8500/"}"#, "private_target"),
        (r#"{"url":"http://links.localhost:8080/abc"}"#, "own_domain"),
        (long.as_str(), "url_too_long"),
        (r#"{"url":"https://example.org/","alias":"a"}"#, "bad_alias"),
        (r#"{"url":"https://example.org/","alias":"a b c"}"#, "bad_alias"),
        (r#"{"url":"https://example.org/","alias":"metrics"}"#, "bad_alias"),
    ] {
        refused(&p, shorten(p.addr, body).await, 400, code).await;
    }
    let unknown = shorten(p.addr, r#"{"url":"https://example.org/","alais":"x"}"#).await;
    assert!(unknown.body.contains("`alais`"), "{unknown:?}");
    for key in ["", "ü", &"k".repeat(256), "a\r\nIdempotency-Key: b"] {
        let body = r#"{"url":"https://example.org/"}"#;
        let answer = ask(p.addr, "POST", "/api/v1/links", &format!("Idempotency-Key: {key}\r\n"), body).await;
        refused(&p, answer, 400, "bad_idempotency_key").await;
    }
    p.stop().await;
}

#[tokio::test]
async fn a_body_of_one_mebibyte_is_answered_and_not_kept() {
    let data = tempdir().unwrap();
    let p = start(data.path()).await;
    let body = format!(r#"{{"url":"https://example.org/{}"}}"#, "a".repeat(1 << 20));
    refused(&p, shorten(p.addr, &body).await, 413, "body_too_large").await;
    let head =
        "POST /api/v1/links HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
    let chunked = format!("{head}{}0\r\n\r\n", chunk.repeat(16));
    refused(&p, send(p.addr, chunked.as_bytes(), false).await, 413, "body_too_large").await;
    // Who asks first is told at once, before sending anything.
    let asking =
        "POST /api/v1/links HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1048576\r\n\r\n";
    refused(&p, send(p.addr, asking.as_bytes(), false).await, 413, "body_too_large").await;
    p.stop().await;
}

#[tokio::test]
async fn a_half_closed_connection_gets_an_answer() {
    let data = tempdir().unwrap();
    let p = start(data.path()).await;
    for partial in [
        "POST /api/v1/links HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"url\":\"https://exam",
        "POST /api/v1/links HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{\"url\":",
    ] {
        refused(&p, send(p.addr, partial.as_bytes(), true).await, 400, "incomplete_body").await;
    }
    // Closed after a whole request: it is served.
    let whole = "GET /nothere HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(send(p.addr, whole.as_bytes(), true).await.status, 404);
    p.stop().await;
}

#[tokio::test]
async fn ten_thousand_headers_are_refused_in_words() {
    let data = tempdir().unwrap();
    let p = start(data.path()).await;
    let headers: String = (0..10_000).map(|i| format!("x-{i}: y\r\n")).collect();
    let answer = ask(p.addr, "POST", "/api/v1/links", &headers, r#"{"url":"https://example.org/"}"#).await;
    refused(&p, answer, 431, "head_too_large").await;
    p.stop().await;
}
