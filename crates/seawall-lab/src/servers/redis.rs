//! redis-server, as it comes with Debian: a cache, with nothing on disk.
//!
//! No snapshots, no append-only file: what a cache loses it is given again, and an opponent is shown at its best.

use std::path::Path;

use super::memory::within;
use super::program::{REDIS, pinned};
use super::{Server, folder, free_address};
use crate::LabError;

/// Starts it on a free port, tied to `core` if one is given. With `memory_max` (bytes) it forgets what was used least
/// recently; its whole process is held to `group`, if there is one.
///
/// # Errors
/// When it is not installed, or does not get ready; then with its own words.
pub async fn start(
    core: Option<u32>,
    memory_max: Option<u64>,
    group: Option<&Path>,
) -> Result<Server, LabError> {
    let binary = REDIS.find()?;
    let address = free_address()?;
    let folder = folder()?;
    let port = address.port().to_string();
    let dir = folder.path().display().to_string();
    let mut args: Vec<String> = ["--bind", "127.0.0.1", "--port", &port, "--dir", &dir]
        .into_iter()
        .chain(["--save", "", "--appendonly", "no", "--maxclients", "1000"])
        .map(str::to_owned)
        .collect();
    if let Some(bytes) = memory_max {
        let limit = ["--maxmemory", &bytes.to_string(), "--maxmemory-policy", "allkeys-lru"];
        args.extend(limit.map(str::to_owned));
    }
    let command = pinned(&binary, args.into_iter().map(Into::into).collect(), core);
    Server::start_listening("redis", within(group, command), folder, address, &[address]).await
}
