//! Reading a request body: bounded, complete, JSON or a form that carries JSON, or the error that says which not.

use axum::body::Body;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use seawall_net::body::{BodyError, whole};
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// Lists and objects within each other. What is accepted is wrapped a few times more on its way (a command, an
/// event, a dispatch), and serde_json stops at 128.
const DEPTH_MAX: usize = 32;

/// Parts of a multipart body that are looked at.
const PARTS_MAX: usize = 32;

/// The body as JSON; an empty one is an empty object.
pub(super) async fn read(headers: &HeaderMap, body: Body, max: usize) -> Result<Value, Refusal> {
    let bytes = whole(headers, body, max).await.map_err(|error| match error {
        BodyError::TooLarge => Refusal::TooLarge,
        BodyError::Broken => Refusal::BadJson,
    })?;
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        _ if bytes.is_empty() => Ok(Value::Object(Map::new())),
        "" | "application/json" => parse(&bytes),
        "multipart/form-data" => multipart(kind, &bytes),
        _ => Err(Refusal::field(
            "",
            "CONTENT_TYPE_INVALID",
            "Expected \"Content-Type\" header to be one of {'application/json'}.",
        )),
    }
}

/// JSON that is not too deep. NaN, numbers beyond a float, raw control characters and half surrogates are no JSON.
fn parse(bytes: &[u8]) -> Result<Value, Refusal> {
    let value = serde_json::from_slice::<Value>(bytes).map_err(|_| Refusal::BadJson)?;
    if is_deeper(&value, DEPTH_MAX) { Err(Refusal::BadJson) } else { Ok(value) }
}

/// serde_json has stopped at 128 levels, so this does not run out of stack either.
fn is_deeper(value: &Value, levels: usize) -> bool {
    let Some(left) = levels.checked_sub(1) else { return value.is_array() || value.is_object() };
    match value {
        Value::Array(list) => list.iter().any(|v| is_deeper(v, left)),
        Value::Object(fields) => fields.values().any(|v| is_deeper(v, left)),
        _ => false,
    }
}

/// What libraries send when there may be files: JSON in the part `payload_json`. Plain parts `content` and `nonce` are
/// taken as well. Files are not kept, so they are refused rather than lost.
fn multipart(kind: &str, bytes: &[u8]) -> Result<Value, Refusal> {
    let malformed =
        || Refusal::field("", "CONTENT_TYPE_INVALID", "The multipart body does not match its boundary");
    let boundary =
        parameter(kind, "boundary").filter(|b| (1..=70).contains(&b.len())).ok_or_else(malformed)?;
    let parts = parts(bytes, &boundary).ok_or_else(malformed)?;
    let mut payload = None;
    let mut plain = Map::new();
    for (head, content) in parts {
        let disposition = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
        });
        let name = disposition.and_then(|d| parameter(d, "name")).ok_or_else(malformed)?;
        let is_file =
            disposition.and_then(|d| parameter(d, "filename")).is_some() || name.starts_with("file");
        match name.as_str() {
            _ if is_file => {
                let message = "Files are not kept here; send the message without them";
                return Err(Refusal::field("attachments", "FILES_NOT_SUPPORTED", message));
            }
            "payload_json" => payload = Some(parse(content)?),
            "content" | "nonce" => {
                let text = std::str::from_utf8(content).map_err(|_| malformed())?;
                plain.insert(name, Value::String(text.to_owned()));
            }
            _ => {}
        }
    }
    Ok(payload.unwrap_or(Value::Object(plain)))
}

/// The parts of a multipart body, head and content; `None` if it is none or has too many.
fn parts<'a>(bytes: &'a [u8], boundary: &str) -> Option<Vec<(&'a str, &'a [u8])>> {
    let delimiter = format!("\r\n--{boundary}");
    let first = &delimiter.as_bytes()[2..];
    let mut rest = match bytes.strip_prefix(first) {
        Some(rest) => rest,
        // A preamble may come first.
        None => &bytes[find(bytes, delimiter.as_bytes())? + delimiter.len()..],
    };
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        rest = rest.strip_prefix(b"\r\n")?;
        let end = find(rest, delimiter.as_bytes())?;
        let part = &rest[..end];
        // A part without headers begins with the empty line.
        let split = find(part, b"\r\n\r\n")?;
        parts.push((std::str::from_utf8(&part[..split]).ok()?, &part[split + 4..]));
        if parts.len() > PARTS_MAX {
            return None;
        }
        rest = &rest[end + delimiter.len()..];
    }
    Some(parts)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, _) = needle.split_first()?;
    let mut from = 0;
    loop {
        from += haystack.get(from..)?.iter().position(|b| b == first)?;
        if haystack[from..].starts_with(needle) {
            return Some(from);
        }
        from += 1;
    }
}

/// `name=value` or `name="value"` after a semicolon.
fn parameter(header: &str, name: &str) -> Option<String> {
    header.split(';').skip(1).find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        key.trim().eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_json_is_refused() {
        for odd in [
            &b"{"[..],
            b"nonsense",
            b"{\"a\":NaN}",
            b"{\"a\":1e999}",
            b"{\"a\":\"\\ud800\"}",
            b"{\"a\":\"\x01\"}",
            b"{\"a\":\"\xff\"}",
            b"{} {}",
            &[b'['; 100_000],
        ] {
            assert_eq!(parse(odd), Err(Refusal::BadJson), "{:?}", &odd[..odd.len().min(20)]);
        }
        assert_eq!(parse(b"{\"a\":\"\\ud83d\\udd25\"}"), Ok(json!({ "a": "🔥" })));
    }

    #[test]
    fn depth_has_an_end_well_before_the_parsers() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(parse(nested(DEPTH_MAX + 1).as_bytes()), Err(Refusal::BadJson));
    }

    fn form(parts: &[(&str, &str)]) -> Result<Value, Refusal> {
        let mut body = String::new();
        for (disposition, content) in parts {
            body += &format!("--xyz\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n");
        }
        body += "--xyz--\r\n";
        multipart("multipart/form-data; boundary=\"xyz\"", body.as_bytes())
    }

    #[test]
    fn a_multipart_body_carries_json_and_no_files() {
        let payload = ("name=\"payload_json\"", r#"{"content":"--hi\r\n--xy"}"#);
        assert_eq!(form(&[payload]), Ok(json!({ "content": "--hi\r\n--xy" })));
        assert_eq!(form(&[("name=content", "hi"), ("name=tts", "true")]), Ok(json!({ "content": "hi" })));
        assert_eq!(form(&[]), Ok(json!({})));
        for file in ["name=\"files[0]\"; filename=\"a.png\"", "name=\"files[0]\"", "name=x; filename=a"] {
            let Err(Refusal::Form(wrong)) = form(&[payload, (file, "bytes")]) else { panic!("{file}") };
            assert_eq!(wrong[0].1, "FILES_NOT_SUPPORTED");
        }
        assert_eq!(form(&[("name=payload_json", "{")]), Err(Refusal::BadJson));
        assert!(form(&vec![("name=a", ""); PARTS_MAX + 1]).is_err());
        for (kind, body) in [
            ("multipart/form-data", "--xyz--"),
            ("multipart/form-data; boundary=xyz", ""),
            ("multipart/form-data; boundary=xyz", "--xyz\r\n"),
            (
                "multipart/form-data; boundary=xyz",
                "--xyz\r\nContent-Disposition: form-data\r\n\r\n\r\n--xyz--",
            ),
            ("multipart/form-data; boundary=xyz", "--abc\r\n\r\n--abc--"),
        ] {
            assert!(multipart(kind, body.as_bytes()).is_err(), "{kind} {body:?}");
        }
    }

    #[tokio::test]
    async fn a_body_may_be_as_large_as_allowed_and_no_larger() {
        let sized = async |n: usize| {
            let body = format!("\"{}\"", "x".repeat(n - 2));
            read(&HeaderMap::new(), Body::from(body), 100).await.map(drop)
        };
        assert_eq!(sized(100).await, Ok(()));
        assert_eq!(sized(101).await, Err(Refusal::TooLarge));
        assert_eq!(sized(10 << 20).await, Err(Refusal::TooLarge));
    }
}
