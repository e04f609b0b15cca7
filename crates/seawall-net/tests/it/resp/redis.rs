//! A real Redis, on a port of its own, in a folder of its own.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub(crate) struct Redis {
    process: Child,
    pub(crate) addr: SocketAddr,
    _folder: TempDir,
}

impl Redis {
    /// Starts it; ready when it accepts connections.
    pub(crate) fn start(options: &[&str]) -> Redis {
        let folder = tempfile::tempdir().unwrap();
        let addr = {
            let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
            free.local_addr().unwrap()
        };
        let process = Command::new("redis-server")
            .args([
                "--port",
                &addr.port().to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args(options)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is part of the tests: apt-get install redis-server");
        let mut redis = Redis { process, addr, _folder: folder };
        while TcpStream::connect(addr).is_err() {
            assert!(redis.process.try_wait().unwrap().is_none(), "redis-server ended");
            std::thread::sleep(Duration::from_millis(10));
        }
        redis
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
