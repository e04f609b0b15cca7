//! nginx with the nchan module, as it comes with Debian: one channel, listeners at `/sub`, publishers at `/pub`.
//!
//! One process as in [`super::nginx`]. Messages stay in nchan's memory for a while, so that a listener that is
//! behind misses none; nothing is logged.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::program::{NCHAN, NGINX, pinned};
use super::{Server, folder, free_address, write};
use crate::LabError;

/// Where Debian keeps nginx's modules.
const MODULES: &str = "/usr/lib/nginx/modules";

/// Starts it on a free port, tied to `core` if one is given.
///
/// # Errors
/// When it is not installed, or does not get ready; then with its own words.
pub async fn start(core: Option<u32>) -> Result<Server, LabError> {
    let binary = NGINX.find()?;
    let module = NCHAN.find_among([PathBuf::from(MODULES)])?;
    let address = free_address()?;
    let folder = folder()?;
    let file = folder.path().join("nginx.conf");
    write(&file, &configuration(&module, address, folder.path()))?;
    let args = ["-e".into(), "stderr".into(), "-p".into(), folder.path().into(), "-c".into(), file.into()];
    Server::start("nchan", pinned(&binary, args.to_vec(), core), folder, address, &[address]).await
}

fn configuration(module: &Path, address: SocketAddr, folder: &Path) -> String {
    let (module, folder) = (module.display(), folder.display());
    format!(
        "load_module {module};
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 32768; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  nchan_shared_memory_size 256M;
  nchan_message_buffer_length 4096;
  nchan_message_timeout 1m;
  server {{
    listen {address} backlog=1024;
    location = /-/ready {{ return 200; }}
    location = /pub {{ nchan_publisher; nchan_channel_id bench; }}
    location = /sub {{ nchan_subscriber websocket; nchan_channel_id bench; nchan_subscriber_first_message newest; }}
  }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishers_and_listeners_meet_in_one_channel() {
        let module = Path::new("/m/nchan.so");
        let text = configuration(module, "127.0.0.1:80".parse().unwrap(), Path::new("/tmp/x"));
        assert!(text.starts_with("load_module /m/nchan.so;"), "{text}");
        assert_eq!(text.matches("nchan_channel_id bench;").count(), 2);
    }
}
