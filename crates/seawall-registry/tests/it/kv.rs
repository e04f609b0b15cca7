//! Keys: shapes, conditions, listing.

use serde_json::json;

use crate::harness::{Registry, registry};

async fn fill(keys: &[&str]) -> Registry {
    let r = registry().await;
    for key in keys {
        assert_eq!(r.put(&format!("/v1/kv/{key}"), "v").await.text(), "true");
    }
    r
}

#[tokio::test]
async fn a_key_is_consuls_document() {
    let r = registry().await;
    r.done("/v1/kv/a/b?flags=18446744073709551615", "hello").await;
    assert_eq!(
        r.get("/v1/kv/a/b").await.text(),
        r#"[{"LockIndex":0,"Key":"a/b","Flags":18446744073709551615,"Value":"aGVsbG8=","CreateIndex":3,"ModifyIndex":3}]"#
    );
    r.done("/v1/kv/a/b", "").await;
    assert_eq!(
        r.get("/v1/kv/a/b").await.text(),
        r#"[{"LockIndex":0,"Key":"a/b","Flags":0,"Value":null,"CreateIndex":3,"ModifyIndex":4}]"#
    );
}

#[tokio::test]
async fn a_missing_key_is_404_with_an_empty_body() {
    let answer = registry().await.get("/v1/kv/nope").await;
    assert_eq!((answer.status, answer.text()), (404, ""));
}

#[tokio::test]
async fn raw_gives_the_bytes_and_forbids_guessing() {
    let r = registry().await;
    let bytes = [0, 159, 255, b'<'];
    assert_eq!(r.call("PUT", "/v1/kv/page", &bytes).await.text(), "true");
    let raw = r.get("/v1/kv/page?raw").await;
    assert_eq!(raw.body, bytes);
    assert_eq!(raw.header("Content-Type"), Some("text/plain"));
    assert_eq!(raw.header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(raw.header("Content-Security-Policy"), Some("sandbox"));
}

#[tokio::test]
async fn cas_creates_once_and_replaces_what_it_saw() {
    let r = registry().await;
    assert_eq!(r.put("/v1/kv/k?cas=0", "1").await.text(), "true");
    assert_eq!(r.put("/v1/kv/k?cas=0", "2").await.text(), "false");
    let seen = r.get("/v1/kv/k").await.json()[0]["ModifyIndex"].as_u64().unwrap();
    assert_eq!(r.put(&format!("/v1/kv/k?cas={seen}"), "2").await.text(), "true");
    assert_eq!(r.put(&format!("/v1/kv/k?cas={seen}"), "3").await.text(), "false");
    assert_eq!(r.call("DELETE", &format!("/v1/kv/k?cas={seen}"), b"").await.text(), "false");
    assert_eq!(r.get("/v1/kv/k?raw").await.text(), "2");
    assert_eq!(r.call("DELETE", "/v1/kv/k", b"").await.text(), "true");
    assert_eq!(r.call("DELETE", "/v1/kv/k", b"").await.text(), "true");
}

#[tokio::test]
async fn lists_of_keys_are_cut_at_the_separator() {
    let r = fill(&["web/b/c", "web/a", "web/b/d", "db"]).await;
    for (query, keys) in [
        ("?keys", json!(["db", "web/a", "web/b/c", "web/b/d"])),
        ("web/?keys&separator=/", json!(["web/a", "web/b/"])),
        ("web?keys&separator=/", json!(["web/"])),
    ] {
        assert_eq!(r.get(&format!("/v1/kv/{query}")).await.json(), keys, "{query}");
    }
    assert_eq!(r.get("/v1/kv/zzz?keys").await.status, 404);
    let tree = r.get("/v1/kv/web/b?recurse").await.json();
    assert_eq!(tree.as_array().unwrap().len(), 2);
    assert_eq!(r.call("DELETE", "/v1/kv/web/?recurse", b"").await.text(), "true");
    assert_eq!(r.get("/v1/kv/?keys").await.json(), json!(["db"]));
    assert_eq!(registry().await.get("/v1/kv/?keys").await.text(), "[]");
}

#[tokio::test]
async fn odd_keys_are_kept_as_they_are() {
    let r = registry().await;
    for (path, key) in
        [("/lead", "/lead"), ("a%20b%2Fc", "a b/c"), ("%C3%A9", "é"), ("a//b", "a//b"), ("..", "..")]
    {
        r.done(&format!("/v1/kv/{path}"), "1").await;
        assert_eq!(r.get(&format!("/v1/kv/{path}")).await.json()[0]["Key"], key);
    }
}

#[tokio::test]
async fn a_whole_value_fits_and_one_byte_more_does_not() {
    let r = registry().await;
    let value = vec![b'x'; 512 * 1024];
    assert_eq!(r.call("PUT", "/v1/kv/big", &value).await.text(), "true");
    assert_eq!(r.get("/v1/kv/big?raw").await.body, value);
    let more = r.call("PUT", "/v1/kv/big", &vec![b'x'; 512 * 1024 + 1]).await;
    assert_eq!((more.status, more.text()), (413, "Request body too large, max size: 524288 bytes"));
    let much = r.call("PUT", "/v1/kv/big", &vec![b'x'; 3 << 20]).await;
    assert_eq!(much.status, 413, "and is still heard");
}
