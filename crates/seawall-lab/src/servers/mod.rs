//! Programs started for a test or a bench, each in a folder and on ports of its own.

pub mod memory;
pub mod nats;
pub mod nchan;
pub mod nginx;
pub mod postgres;
pub mod program;
pub mod redis;
pub mod seawall;

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use seawall_drill::fault::process::{Process, Spec, free_port};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::LabError;

/// How long a server may take until it answers. No target, a hang guard: nginx sorts a million map
/// entries for 13 s before it listens, and nothing else here takes a second.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a server that is asked to end may take before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// How often a program without a page to ask is tried.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running server. Dropping it kills the process and removes its folder.
#[derive(Debug)]
pub struct Server {
    // Dropped in this order: nobody writes into the folder any more when it is removed.
    process: Process,
    address: SocketAddr,
    _folder: TempDir,
    stop: Stop,
}

/// How a server is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Killed: it leaves nothing behind but its folder.
    Killed,
    /// Asked first: a database that is killed leaves shared memory behind.
    Asked,
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.stop == Stop::Killed {
            return;
        }
        // Refused, it has ended already.
        let asked = self.process.quit();
        let looks = STOP_WITHIN.as_millis() / LOOK_EVERY.as_millis();
        for _ in 0..looks {
            if asked.is_err() || self.process.alive().is_err() {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Server {
    /// Where it answers clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Starts `program` in `folder` and waits until `GET /-/ready` at `ready` answers 200.
    async fn start(
        name: &str,
        (binary, args): (PathBuf, Vec<OsString>),
        folder: TempDir,
        address: SocketAddr,
        ready: &[SocketAddr],
    ) -> Result<Server, LabError> {
        let spec =
            Spec { name: name.to_owned(), binary, args, env: Vec::new(), folder: folder.path().to_owned() };
        let mut process = Process::start(&spec)?;
        for ready in ready {
            process.ready(*ready, READY_WITHIN).await?;
        }
        Ok(Server { process, address, _folder: folder, stop: Stop::Killed })
    }

    /// The same for a program that has no such page: ready is when it accepts connections everywhere.
    async fn start_listening(
        name: &str,
        (binary, args): (PathBuf, Vec<OsString>),
        folder: TempDir,
        address: SocketAddr,
        accepting: &[SocketAddr],
    ) -> Result<Server, LabError> {
        let spec =
            Spec { name: name.to_owned(), binary, args, env: Vec::new(), folder: folder.path().to_owned() };
        let mut process = Process::start(&spec)?;
        for address in accepting {
            let connecting = async {
                while TcpStream::connect(address).await.is_err() {
                    process.alive()?;
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Ok::<_, LabError>(())
            };
            let Ok(connected) = tokio::time::timeout(READY_WITHIN, connecting).await else {
                let what = format!("connect to {name} at {address}");
                return Err(LabError::Io { what, source: ErrorKind::TimedOut.into() });
            };
            connected?;
        }
        Ok(Server { process, address, _folder: folder, stop: Stop::Killed })
    }
}

/// A new folder, removed with the server it is given to.
fn folder() -> Result<TempDir, LabError> {
    tempfile::Builder::new().prefix("seawall-lab-").tempdir().map_err(LabError::io("make a temporary folder"))
}

fn write(path: &Path, text: &str) -> Result<(), LabError> {
    fs::write(path, text).map_err(LabError::io(format!("write {}", path.display())))
}

/// An address of this machine that nobody listens on.
fn free_address() -> Result<SocketAddr, LabError> {
    let port = free_port().map_err(LabError::io("find a free port"))?;
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}
