//! So many calls a second from each client, and no more: 429 with the moment to come back.
//!
//! ## Who a client is
//!
//! Its address; for IPv6 the /64 that a single customer is given. Behind a proxy on this machine (our balancer)
//! that address is the last one in `X-Forwarded-For`, the one the proxy itself added; whoever connects from
//! elsewhere is taken at its own address and not at its word.
//!
//! Calls from this machine itself are not limited: they are the operator's own tools.
//!
//! ## Which clock
//!
//! The coarse one ([`Clock::coarse`]), which moves in steps of some milliseconds: nobody here has read the precise
//! one, and a burst of two seconds does not notice. A limit whose burst is back within a tenth of a second would, so
//! it reads the precise one.

use std::future::{Ready, ready};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use seawall_policy::placement::hash;
use seawall_policy::rate::{Keyed, Policy};
use seawall_policy::{Clock, Mono};
use tower::{Layer, Service};

use crate::host::Host;
use crate::problem::Problem;
use crate::telemetry::Counter;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// A burst that lasts as long as this is ten of the longest steps of the coarse clock.
const COARSE_FROM: Duration = Duration::from_millis(100);

/// Limits the calls of each client. All clones share one table.
#[derive(Clone)]
pub struct RateLimitLayer(Arc<Shared>);

struct Shared {
    limits: Keyed,
    burst: u32,
    clock: Arc<dyn Clock>,
    /// Whether the coarse reading of the clock will do.
    is_coarse: bool,
    refused: Counter,
}

impl RateLimitLayer {
    /// A table of limits; `what` is limited, and names the metric `<what>_rate_limited`.
    #[must_use]
    pub fn new(what: &str, policy: &Policy, host: &Host) -> RateLimitLayer {
        RateLimitLayer(Arc::new(Shared {
            limits: Keyed::new(policy, host.seed),
            burst: policy.burst,
            clock: host.clock.clone(),
            is_coarse: is_coarse(policy),
            refused: host
                .metrics
                .counter(&format!("{what}_rate_limited"), "Calls refused because their client made too many"),
        }))
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimitService<S>;
    fn layer(&self, inner: S) -> RateLimitService<S> {
        RateLimitService { inner, shared: self.0.clone() }
    }
}

/// See [`RateLimitLayer`].
#[derive(Clone)]
pub struct RateLimitService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, B> Service<Request<B>> for RateLimitService<S>
where
    S: Service<Request<B>, Response = Response>,
    S::Future: Unpin,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Limited<S::Future, Result<Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let Some(client) = peer.and_then(|peer| client(peer, request.headers())) else {
            return Limited::Called(self.inner.call(request));
        };
        let now = self.shared.now();
        match self.shared.limits.check(client, now) {
            Ok(()) => Limited::Called(self.inner.call(request)),
            Err(used_up) => {
                self.shared.refused.inc();
                Limited::Refused(ready(Ok(self.shared.refusal(client, used_up.retry_at, now))))
            }
        }
    }
}

/// Whether the coarse reading of the clock will do for this limit.
fn is_coarse(policy: &Policy) -> bool {
    policy.burst_lasts() >= COARSE_FROM
}

impl Shared {
    fn now(&self) -> Mono {
        if self.is_coarse { self.clock.coarse() } else { self.clock.now() }
    }

    fn refusal(&self, client: u64, retry_at: Mono, now: Mono) -> Response {
        let message = "this client makes too many of these calls; try again after the time in Retry-After";
        let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
            .retry_in(retry_at.since(now))
            .into_response();
        let headers = response.headers_mut();
        headers.insert(LIMIT, HeaderValue::from(self.burst));
        headers.insert(REMAINING, HeaderValue::from(self.limits.remaining(client, now)));
        headers.insert(RESET, HeaderValue::from(self.limits.reset(client, now)));
        response
    }
}

/// A named future, not a box: a call that is let in allocates nothing here.
pub enum Limited<F, T> {
    /// Let in.
    Called(F),
    /// Refused.
    Refused(Ready<T>),
}

impl<F: Future<Output = T> + Unpin, T> Future for Limited<F, T> {
    type Output = T;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match self.get_mut() {
            Limited::Called(call) => Pin::new(call).poll(cx),
            Limited::Refused(answer) => Pin::new(answer).poll(cx),
        }
    }
}

/// The hash of the client behind a connection from `peer`; `None` for this machine itself.
#[must_use]
pub fn client(peer: IpAddr, headers: &HeaderMap) -> Option<u64> {
    let address = if peer.to_canonical().is_loopback() {
        // The last header and in it the last address: earlier ones are whatever the client sent.
        let last = headers.get_all(X_FORWARDED_FOR).iter().next_back()?;
        last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()?
    } else {
        peer
    };
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V4(v4) => Some(hash::of(&v4.octets())),
        IpAddr::V6(v6) => Some(hash::of(&network(v6))),
    }
}

/// The first 64 bits.
fn network(v6: Ipv6Addr) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = v6.octets();
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(peer: &str, forwarded: &[&'static str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(value));
        }
        client(peer.parse().unwrap(), &headers)
    }

    #[test]
    fn a_limit_whose_burst_is_back_at_once_reads_the_precise_clock() {
        let limit = |rate: &str, burst| Policy { rate: rate.parse().unwrap(), burst, ..Policy::default() };
        assert!(is_coarse(&Policy::create_link()));
        assert!(is_coarse(&limit("1000/s", 100)));
        assert!(!is_coarse(&limit("1000/s", 99)));
        assert!(!is_coarse(&limit("10000/s", 10)));
    }

    #[test]
    fn a_client_is_its_address_and_behind_our_own_proxy_the_one_the_proxy_saw() {
        let client = key_of("203.0.113.9", &[]);
        assert!(client.is_some());
        assert_eq!(key_of("127.0.0.1", &["203.0.113.9"]), client);
        assert_eq!(key_of("::1", &["198.51.100.1, 203.0.113.9"]), client, "the last one is the proxy's");
        assert_eq!(key_of("127.0.0.1", &["198.51.100.1", "203.0.113.9"]), client);
        assert_eq!(key_of("::ffff:203.0.113.9", &[]), client);
        assert_ne!(key_of("203.0.113.10", &[]), client);
    }

    #[test]
    fn a_stranger_is_not_taken_at_its_word() {
        assert_eq!(key_of("203.0.113.9", &["127.0.0.1"]), key_of("203.0.113.9", &[]));
    }

    #[test]
    fn the_machine_itself_is_not_limited() {
        for (peer, forwarded) in
            [("127.0.0.1", &[][..]), ("::1", &[]), ("127.0.0.1", &["127.0.0.1"]), ("127.0.0.1", &["::1"])]
        {
            assert_eq!(key_of(peer, forwarded), None);
        }
    }

    #[test]
    fn one_customer_has_one_limit_for_all_of_its_64_bits_of_addresses() {
        let one = key_of("2001:db8:1:2::1", &[]);
        assert_eq!(key_of("2001:db8:1:2:ffff::9", &[]), one);
        assert_ne!(key_of("2001:db8:1:3::1", &[]), one);
    }
}
