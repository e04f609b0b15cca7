//! Sockets: bound once per process, lent to each start of a system, and never exposed by accident.
//!
//! ## Why the process owns them
//!
//! A system that panics is started again a second later. If its socket closed with it, every connection in
//! that second would be refused and another process could take the port. Kept here, the kernel queues them.
//!
//! ## Exposure
//!
//! An address other machines can reach is refused unless the operator wrote `exposure.insecure = true`
//! (there is no encryption on these ports yet), and an API there wants a token for every write.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;

/// How long we ask whoever holds a taken port who they are.
const NEIGHBOUR_TIMEOUT: Duration = Duration::from_millis(200);

/// What may be reached from other machines, and with what secret.
#[derive(Debug, Clone, Default)]
pub struct Exposure {
    /// Listen on non-loopback addresses without encryption.
    pub insecure: bool,
    /// Any of these allows writes through an exposed API.
    pub tokens: Arc<[String]>,
}

/// What kind of port is bound; decides whether writes want a token when it is exposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An API of ours: writes through an exposed one want a token.
    Api,
    /// Other people's traffic passing through: their own services decide.
    Proxy,
}

/// Who may write through a port.
#[derive(Debug, Clone)]
pub enum Writes {
    /// Anyone who can reach it.
    Open,
    /// Who shows one of these tokens.
    Token(Arc<[String]>),
}

impl Writes {
    /// Whether a request with this `Authorization` (or `X-Consul-Token`) value may write.
    #[must_use]
    pub fn allows(&self, authorization: Option<&[u8]>) -> bool {
        let Writes::Token(tokens) = self else { return true };
        let Some(shown) = authorization else { return false };
        let shown = shown.strip_prefix(b"Bearer ").unwrap_or(shown);
        tokens.iter().any(|t| same(t.as_bytes(), shown))
    }
}

/// Compares in a time that depends only on the lengths.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |d, (x, y)| d | (x ^ y)) == 0
}

/// A socket that accepts.
pub struct Bound {
    /// The socket, registered with the calling runtime.
    pub listener: TcpListener,
    /// Its address, with the port the kernel chose when 0 was asked for.
    pub addr: SocketAddr,
    /// Who may write through it.
    pub writes: Writes,
}

/// Why a socket could not be bound: one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another process listens there.
    #[error("{key}: {addr} is taken by {holder}; stop it, or choose another address with --set {key}=ADDR")]
    Taken {
        /// The configuration key.
        key: &'static str,
        /// The address asked for.
        addr: SocketAddr,
        /// Who holds it, as far as can be told.
        holder: &'static str,
    },
    /// Other machines could reach it and nobody said that they may.
    #[error(
        "{key}: {addr} can be reached by other machines and is not encrypted; use a loopback address, or set exposure.insecure = true"
    )]
    Exposed {
        /// The configuration key.
        key: &'static str,
        /// The address asked for.
        addr: SocketAddr,
    },
    /// It would be exposed and has no tokens to check writes against.
    #[error(
        "{key}: {addr} can be reached by other machines and would accept writes from anyone; set exposure.token_file"
    )]
    NoTokens {
        /// The configuration key.
        key: &'static str,
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The system refused.
    #[error("{key}: cannot listen on {addr}")]
    Refused {
        /// The configuration key.
        key: &'static str,
        /// The address asked for.
        addr: SocketAddr,
        /// Its reason.
        #[source]
        source: io::Error,
    },
}

/// All sockets of this process. Cheap to clone.
#[derive(Clone)]
pub struct Listeners(Arc<Inner>);

struct Inner {
    exposure: Exposure,
    bound: Mutex<HashMap<(&'static str, SocketAddr), StdListener>>,
}

impl Listeners {
    /// No sockets yet, and the rule for those to come.
    #[must_use]
    pub fn new(exposure: Exposure) -> Listeners {
        Listeners(Arc::new(Inner { exposure, bound: Mutex::default() }))
    }

    /// The rule for what other machines can reach.
    #[must_use]
    pub fn exposure(&self) -> &Exposure {
        &self.0.exposure
    }

    /// The socket for configuration key `key`: bound now, or the one an earlier start of the system used.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn tcp(&self, key: &'static str, addr: SocketAddr, purpose: Purpose) -> Result<Bound, BindError> {
        let writes = self.writes(key, addr, purpose)?;
        let refused = |source| BindError::Refused { key, addr, source };
        let mut bound = self.0.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let std = match bound.get(&(key, addr)) {
            Some(known) => known.try_clone().map_err(refused)?,
            None => {
                let fresh = bind(addr).map_err(|source| match source.kind() {
                    io::ErrorKind::AddrInUse => BindError::Taken { key, addr, holder: holder(addr) },
                    _ => refused(source),
                })?;
                let lent = fresh.try_clone().map_err(refused)?;
                bound.insert((key, addr), fresh);
                lent
            }
        };
        let addr = std.local_addr().map_err(refused)?;
        Ok(Bound { listener: TcpListener::from_std(std).map_err(refused)?, addr, writes })
    }

    fn writes(&self, key: &'static str, addr: SocketAddr, purpose: Purpose) -> Result<Writes, BindError> {
        let exposure = &self.0.exposure;
        if addr.ip().is_loopback() {
            return Ok(Writes::Open);
        }
        if !exposure.insecure {
            return Err(BindError::Exposed { key, addr });
        }
        match purpose {
            Purpose::Proxy => Ok(Writes::Open),
            Purpose::Api if exposure.tokens.is_empty() => Err(BindError::NoTokens { key, addr }),
            Purpose::Api => Ok(Writes::Token(exposure.tokens.clone())),
        }
    }
}

/// Connections the kernel may hold for us while a system restarts.
const BACKLOG: i32 = 1024;

/// Binds without SO_REUSEPORT: a second process would otherwise silently take half the traffic.
fn bind(addr: SocketAddr) -> io::Result<StdListener> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Says whether the port's holder is one of us, which is the most common surprise.
fn holder(addr: SocketAddr) -> &'static str {
    let ask = || -> io::Result<bool> {
        let mut peer = TcpStream::connect_timeout(&addr, NEIGHBOUR_TIMEOUT)?;
        peer.set_read_timeout(Some(NEIGHBOUR_TIMEOUT))?;
        peer.write_all(b"GET /-/healthy HTTP/1.0\r\n\r\n")?;
        let mut head = [0; 512];
        let n = peer.read(&mut head)?;
        Ok(String::from_utf8_lossy(&head[..n]).to_ascii_lowercase().contains("server: seawall"))
    };
    if ask().unwrap_or(false) { "another seawall" } else { "another process" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[tokio::test]
    async fn a_restart_gets_the_same_socket_back() {
        let all = Listeners::new(Exposure::default());
        let first = all.tcp("links.listen", local(0), Purpose::Api).unwrap();
        let port = first.addr;
        drop(first);
        assert_eq!(all.tcp("links.listen", local(0), Purpose::Api).unwrap().addr, port);
    }

    #[tokio::test]
    async fn a_taken_port_says_what_to_do() {
        let holder = StdListener::bind(local(0)).unwrap();
        let addr = holder.local_addr().unwrap();
        let e = Listeners::new(Exposure::default()).tcp("links.listen", addr, Purpose::Api).err().unwrap();
        assert_eq!(
            e.to_string(),
            format!(
                "links.listen: {addr} is taken by another process; stop it, or choose another address with --set links.listen=ADDR"
            )
        );
    }

    #[tokio::test]
    async fn an_exposed_address_needs_consent_and_a_token() {
        let anywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let bind = |exposure, purpose| Listeners::new(exposure).tcp("links.listen", anywhere, purpose);
        let consent = Exposure { insecure: true, tokens: Arc::default() };
        assert!(matches!(bind(Exposure::default(), Purpose::Api), Err(BindError::Exposed { .. })));
        assert!(matches!(bind(consent.clone(), Purpose::Api), Err(BindError::NoTokens { .. })));
        assert!(matches!(bind(consent.clone(), Purpose::Proxy).unwrap().writes, Writes::Open));
        let tokens = Exposure { tokens: ["s3cret".to_owned()].into(), ..consent };
        let writes = bind(tokens, Purpose::Api).unwrap().writes;
        assert!(writes.allows(Some(b"Bearer s3cret")) && writes.allows(Some(b"s3cret")));
        assert!(!writes.allows(Some(b"Bearer s3cre")) && !writes.allows(None));
    }
}
