//! The head of a request: what is refused unseen, and the view an exchange gets.

use std::net::SocketAddr;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use seawall_policy::Mono;
use seawall_policy::deadline::{self, Deadline};
use seawall_policy::priority::{self, Priority};
use seawall_policy::retry::{self, Attempt};

use crate::exchange::Head;
use crate::problem::Problem;

/// Longest request target; a longer one is answered 414.
const TARGET_MAX: usize = 16 * 1024;

/// Refuses what no client of ours needs.
pub(super) fn check(request: &Request<Incoming>, headers_max: usize) -> Result<(), Problem> {
    let headers = request.headers();
    if headers.len() > headers_max {
        return Err(Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head_too_large",
            format!("{} headers; at most {headers_max} are accepted", headers.len()),
        ));
    }
    if request.method() == Method::CONNECT {
        return Err(Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "CONNECT is not served",
        ));
    }
    let uri = request.uri();
    // An authority-form target (`GET example.org`) has no path.
    if uri.path().is_empty() || uri.path_and_query().is_none() {
        return Err(bad("bad_target", "the request target must be a path"));
    }
    if uri.path_and_query().is_some_and(|p| p.as_str().len() > TARGET_MAX) {
        return Err(Problem::new(
            StatusCode::URI_TOO_LONG,
            "target_too_long",
            format!("the request target is longer than {TARGET_MAX} bytes"),
        ));
    }
    if headers.get_all(HOST).iter().count() > 1 {
        return Err(bad("bad_host", "more than one Host header"));
    }
    if request.version() == http::Version::HTTP_11 && !headers.contains_key(HOST) {
        return Err(bad("bad_host", "HTTP/1.1 requires a Host header"));
    }
    Ok(())
}

/// The head as an exchange sees it.
pub(super) fn view(
    request: &Request<Incoming>,
    peer: SocketAddr,
    deadline: Mono,
) -> Result<Head<'_>, Problem> {
    let uri = request.uri();
    let host = match uri.host() {
        Some(host) => host,
        None => match request.headers().get(HOST) {
            None => "",
            Some(value) => {
                host_only(value.to_str().map_err(|_| bad("bad_host", "the Host header is not text"))?)
            }
        },
    };
    Ok(Head {
        method: request.method(),
        path: uri.path(),
        query: uri.query(),
        host,
        headers: request.headers(),
        peer,
        attempt: attempt(request.headers())?,
        deadline,
    })
}

/// `name`, of `name:port` and of `[v6]:port`.
fn host_only(value: &str) -> &str {
    match value.rfind(':') {
        Some(colon) if !value[colon..].contains(']') => &value[..colon],
        _ => value,
    }
}

/// The client's own patience, or the port's limit where that is shorter.
pub(super) fn deadline(request: &Request<Incoming>, now: Mono, limit: Duration) -> Result<Deadline, Problem> {
    type Parse = fn(&str, Mono) -> Result<Deadline, deadline::ParseError>;
    let mut strictest = Deadline::after(now, limit);
    let headers: [(&str, Parse); 2] =
        [(deadline::HEADER, Deadline::parse), (deadline::GRPC_HEADER, Deadline::parse_grpc)];
    for (name, parse) in headers {
        let Some(value) = request.headers().get(name) else { continue };
        let asked = parse(value.to_str().unwrap_or_default(), now);
        let asked =
            asked.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, "bad_deadline", e.to_string()))?;
        strictest = strictest.min(asked);
    }
    Ok(strictest)
}

/// Which try of its client's a request is.
pub(super) fn attempt(headers: &HeaderMap) -> Result<Attempt, Problem> {
    let Some(value) = headers.get(retry::HEADER) else { return Ok(Attempt::FIRST) };
    Attempt::parse(value.to_str().unwrap_or_default())
        .map_err(|e| Problem::new(StatusCode::BAD_REQUEST, "bad_attempt", e.to_string()))
}

/// The class the caller gives itself.
pub(super) fn priority(headers: &HeaderMap) -> Result<Option<Priority>, Problem> {
    let Some(value) = headers.get(priority::HEADER) else { return Ok(None) };
    let read = value.to_str().ok().and_then(|v| Priority::parse(v).ok());
    let wrong = || Problem::new(StatusCode::BAD_REQUEST, "bad_priority", priority::ParseError.to_string());
    read.map(Some).ok_or_else(wrong)
}

fn bad(code: &'static str, message: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, code, message)
}

#[cfg(test)]
mod tests {
    use super::host_only;

    #[test]
    fn a_port_is_no_part_of_the_host() {
        for (value, host) in [
            ("links.localhost", "links.localhost"),
            ("links.localhost:8080", "links.localhost"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(host_only(value), host);
        }
    }
}
