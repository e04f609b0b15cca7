//! Plain HTTP requests as a workload: what `seawall load URL` sends.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use seawall_policy::Clock;

use super::{Call, Calling, Failure, Operation, Plan, Report, Schedule, Stop, Workload};
use crate::client::Client;

/// One request, sent again and again.
#[derive(Debug, Clone)]
pub struct Repeated {
    /// Where it goes.
    pub target: SocketAddr,
    request: Request<()>,
    body: Bytes,
    deadline: Duration,
}

/// Why a request cannot be sent at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Not an `http://host[:port]/path` address.
    #[error("{0:?} is not an http:// address")]
    Url(String),
    /// The host has no address.
    #[error("cannot find an address of {host}")]
    Resolve {
        /// Host and port as given.
        host: String,
        /// What the resolver said.
        #[source]
        source: Option<std::io::Error>,
    },
}

impl Repeated {
    /// A request with that method, headers and body to `url`; each must be answered below status 400 within
    /// `deadline`. A `Host` among the headers wins over the one in the URL. Looks the name up once, now.
    ///
    /// # Errors
    /// When the URL is no `http://` address or its host has no address.
    pub fn new(
        method: Method,
        url: &str,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Repeated, RequestError> {
        let wrong = || RequestError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(wrong)?;
        let bare = authority.host().trim_start_matches('[').trim_end_matches(']');
        let host = format!("{}:{}", authority.host(), uri.port_u16().unwrap_or(80));
        let mut found = (bare, uri.port_u16().unwrap_or(80))
            .to_socket_addrs()
            .map_err(|source| RequestError::Resolve { host: host.clone(), source: Some(source) })?;
        let target = found.next().ok_or(RequestError::Resolve { host, source: None })?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, authority.as_str())
            .body(())
            .map_err(|_| wrong())?;
        for (name, value) in headers {
            request.headers_mut().insert(name, value);
        }
        Ok(Repeated { target, request, body, deadline })
    }
}

impl Workload for Repeated {
    fn operations(&self) -> Vec<Operation> {
        vec![Operation { name: "request", weight: 1 }]
    }

    fn call<'a>(&'a self, _operation: usize, _call: Call, client: &'a mut Client) -> Calling<'a> {
        Box::pin(async move {
            let request = self.request.clone().map(|()| Full::new(self.body.clone()));
            match client.send(request, self.deadline).await {
                Ok(answer) if answer.status().as_u16() < 400 => Ok(()),
                Ok(answer) => Err(Failure::Status(answer.status().as_u16())),
                Err(error) => Err(Failure::from(&error)),
            }
        })
    }
}

/// Sends `request` as `schedule` says, on a runtime of its own, and waits for the end.
///
/// # Errors
/// When the operating system grants no runtime.
pub fn measure(
    request: Repeated,
    schedule: Schedule,
    in_flight_max: usize,
    clock: Arc<dyn Clock>,
) -> std::io::Result<Report> {
    let plan = Plan { schedule, target: request.target, in_flight_max, connect_timeout: request.deadline };
    crate::block_on(super::run(&plan, Arc::new(request), clock, Stop::never()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Repeated, RequestError> {
        Repeated::new(Method::GET, url, Vec::new(), Bytes::new(), Duration::from_secs(1))
    }

    #[test]
    fn an_address_is_split_into_target_host_and_path() {
        let r = parse("http://127.0.0.1:8080/a?b=c").unwrap();
        assert_eq!(r.target, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(
            (r.request.uri().to_string().as_str(), &r.request.headers()["host"]),
            ("/a?b=c", &HeaderValue::from_static("127.0.0.1:8080"))
        );
        assert_eq!(parse("http://[::1]/").unwrap().target, "[::1]:80".parse().unwrap());
    }

    #[test]
    fn what_is_no_http_address_is_refused() {
        for url in ["", "example.com", "https://127.0.0.1/", "ftp://127.0.0.1/", "http:///x"] {
            assert!(matches!(parse(url), Err(RequestError::Url(_))), "{url}");
        }
    }
}
