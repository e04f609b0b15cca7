//! nats-server, as it comes with Debian, with its WebSocket listener.
//!
//! No TLS, no compression, no authentication, no log: an opponent is shown at its best. What it may keep for a
//! listener that is behind stays at its default of 64 MiB, so it cuts nobody off here.

use std::net::SocketAddr;

use super::program::{NATS, pinned};
use super::{Server, folder, free_address, write};
use crate::LabError;

/// Starts it on free ports, tied to `core` if one is given. The server's address is that of WebSockets; the other
/// one is for ordinary clients.
///
/// # Errors
/// When it is not installed, or does not get ready; then with its own words.
pub async fn start(core: Option<u32>) -> Result<(Server, SocketAddr), LabError> {
    let binary = NATS.find()?;
    let (websocket, clients) = (free_address()?, free_address()?);
    let folder = folder()?;
    let file = folder.path().join("nats.conf");
    write(&file, &configuration(websocket, clients))?;
    let command = pinned(&binary, vec!["-c".into(), file.into()], core);
    let server = Server::start_listening("nats", command, folder, websocket, &[websocket, clients]).await?;
    Ok((server, clients))
}

fn configuration(websocket: SocketAddr, clients: SocketAddr) -> String {
    let (host, port) = (websocket.ip(), websocket.port());
    format!(
        "listen: \"{clients}\"\nmax_connections: 65536\n\
         websocket {{ host: \"{host}\", port: {port}, no_tls: true, compression: false }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn websockets_have_a_listener_of_their_own_without_tls() {
        let text = configuration("127.0.0.1:81".parse().unwrap(), "127.0.0.1:82".parse().unwrap());
        assert!(
            text.contains("listen: \"127.0.0.1:82\"") && text.contains("port: 81, no_tls: true"),
            "{text}"
        );
    }
}
