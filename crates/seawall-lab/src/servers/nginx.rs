//! nginx, as it comes with Debian, in the roles we need.
//!
//! One process, in the foreground, with no master: that process is the one worker, so its CPU time
//! is all of nginx's, and killing it leaves nothing behind. Logs are off and connections are never
//! closed for having served many requests: an opponent is shown at its best.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use super::program::{NGINX, pinned};
use super::{Server, folder, free_address, write};
use crate::LabError;

/// What the origin answers: 16 bytes, so that a round measures requests and not copying.
pub const ORIGIN_BODY: &str = "sixteen bytes ok";

/// Connections kept open to an upstream.
const UPSTREAM_KEEPALIVE: usize = 512;

/// What this nginx does.
#[derive(Debug, Clone, Copy)]
pub enum Role<'a> {
    /// Answers everything with `301` to one place: the least a redirect can cost.
    Redirect {
        /// Where to.
        to: &'a str,
    },
    /// Answers each path with `302` to its target. nginx compares paths without regard to case: no two may differ
    /// in that alone.
    Map {
        /// Path (with its `/`) and target.
        links: &'a [(String, String)],
    },
    /// Answers everything with [`ORIGIN_BODY`].
    Origin,
    /// Passes everything on to one upstream, over kept connections.
    Proxy {
        /// The upstream.
        to: SocketAddr,
    },
    /// The same for WebSockets, which stay open.
    Tunnel {
        /// The upstream.
        to: SocketAddr,
    },
}

/// Starts nginx on a free port, tied to `core` if one is given; returns when it answers.
///
/// # Errors
/// When it is not installed, or does not get ready; then with its own words.
pub async fn start(role: Role<'_>, core: Option<u32>) -> Result<Server, LabError> {
    let binary = NGINX.find()?;
    let address = free_address()?;
    let folder = folder()?;
    let file = folder.path().join("nginx.conf");
    write(&file, &configuration(role, address, folder.path()))?;
    // -e: what goes wrong before the configuration is read is also said where we see it.
    let args = ["-e".into(), "stderr".into(), "-p".into(), folder.path().into(), "-c".into(), file.into()];
    Server::start("nginx", pinned(&binary, args.to_vec(), core), folder, address, &[address]).await
}

fn configuration(role: Role<'_>, address: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    // Two for each listener behind a tunnel.
    let connections = if matches!(role, Role::Tunnel { .. }) { 32_768 } else { 1024 };
    let (http, location) = match role {
        Role::Redirect { to } => (String::new(), format!("return 301 {to};")),
        Role::Map { links } => (map(links), "return 302 $target;".to_owned()),
        Role::Origin => (String::new(), format!("return 200 \"{ORIGIN_BODY}\";")),
        Role::Proxy { to } => (
            format!(
                "upstream backend {{ server {to}; keepalive {UPSTREAM_KEEPALIVE}; keepalive_requests 1000000000; }}"
            ),
            // HTTP/1.1 and no Connection header are what nginx needs to keep connections at all.
            "proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection \"\";".to_owned(),
        ),
        Role::Tunnel { to } => (
            format!(
                "map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n  \
                 upstream backend {{ server {to}; keepalive {UPSTREAM_KEEPALIVE}; keepalive_requests 1000000000; }}"
            ),
            "proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
             proxy_set_header Connection $connection_upgrade; proxy_read_timeout 1h;"
                .to_owned(),
        ),
    };
    format!(
        "daemon off;
master_process off;
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {http}
  server {{
    listen {address};
    location = /-/ready {{ return 200; }}
    location / {{ {location} }}
  }}
}}
"
    )
}

fn map(links: &[(String, String)]) -> String {
    // Twice the entries rounded up: nginx looks for the smallest table that fits, up to this size.
    let size = (links.len() * 2).next_power_of_two().max(1024);
    let mut text = format!("map_hash_max_size {size}; map_hash_bucket_size 256;\n  map $uri $target {{\n");
    for (path, target) in links {
        // Writing to a String does not fail.
        let _ = writeln!(text, "    \"{path}\" \"{target}\";");
    }
    text.push_str("  }");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(role: Role<'_>) -> String {
        configuration(role, "127.0.0.1:80".parse().unwrap(), Path::new("/tmp/x"))
    }

    #[test]
    fn a_map_holds_every_path_once() {
        let links: Vec<_> =
            (0..2_000).map(|i| (format!("/c{i}"), format!("https://example.org/{i}"))).collect();
        let text = text(Role::Map { links: &links });
        assert!(text.contains("map_hash_max_size 4096;"), "{text}");
        assert_eq!(text.matches("https://example.org/").count(), links.len());
        assert!(text.contains("\"/c7\" \"https://example.org/7\";"));
    }

    #[test]
    fn a_proxy_keeps_its_connections_on_both_sides() {
        let text = text(Role::Proxy { to: "127.0.0.1:81".parse().unwrap() });
        assert_eq!(text.matches("keepalive_requests 1000000000;").count(), 2);
        assert!(text.contains("keepalive 512;") && text.contains("proxy_http_version 1.1;"));
    }

    #[test]
    fn the_origin_answers_sixteen_bytes() {
        assert_eq!(ORIGIN_BODY.len(), 16);
    }
}
