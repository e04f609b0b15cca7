//! The load generator: Debian's `wrk`, one thread, a fixed number of kept connections, each asking
//! again as soon as it is answered.
//!
//! It knows nothing of us, which is the point. A small script makes it print its own summary as one
//! line for machines, and where there are many paths, choose one at random: the same sequence for
//! each side and round.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use seawall_drill::fault::process::{Process, Spec};
use tempfile::TempDir;

use crate::LabError;
use crate::servers::program::{WRK, pinned};

/// Connections kept open, each with one request at a time.
pub const CONNECTIONS: u32 = 64;

/// How much longer than asked for wrk may take to end: a hang guard.
const END_WITHIN: Duration = Duration::from_secs(30);

/// What begins the line for machines.
const MARK: &str = "seawall-lab ";

const SUMMARY: &str = r#"
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    "seawall-lab requests=%d bytes=%d micros=%d p50=%d p99=%d connect=%d read=%d write=%d status=%d timeout=%d\n",
    summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
"#;

/// Requests are put together once: afterwards a choice costs one random number.
const CHOOSE: &str = r#"
local requests = {}
function init(args)
  for path in io.lines(args[1]) do requests[#requests + 1] = wrk.format("GET", path) end
  math.randomseed(20)
end
function request() return requests[math.random(#requests)] end
"#;

/// wrk with its script, ready to run any number of times.
#[derive(Debug)]
pub struct Wrk {
    binary: PathBuf,
    host: String,
    /// For a single path.
    path: String,
    /// Whether the script chooses among many.
    chooses: bool,
    core: Option<u32>,
    folder: TempDir,
    runs: u32,
}

/// wrk's own summary of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Answers that came.
    pub requests: u64,
    /// Bytes of those, with their heads.
    pub bytes: u64,
    /// How long it ran.
    pub took: Duration,
    /// Median latency.
    pub p50: Duration,
    /// 99th percentile of latency.
    pub p99: Duration,
    /// What failed.
    pub errors: Errors,
}

/// Requests that failed, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Errors {
    /// Connections not made.
    pub connect: u64,
    /// Connections broken while reading.
    pub read: u64,
    /// Connections broken while writing.
    pub write: u64,
    /// Answers with a status above 399.
    pub status: u64,
    /// Answers that took longer than wrk's two seconds.
    pub timeout: u64,
}

impl Errors {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u64 {
        let Errors { connect, read, write, status, timeout } = self;
        connect + read + write + status + timeout
    }
}

impl Wrk {
    /// Asks `host` for one of `paths`, at random where there are many.
    ///
    /// # Errors
    /// When wrk is not installed, or its script cannot be written.
    pub fn new(host: &str, paths: &[String], core: Option<u32>) -> Result<Wrk, LabError> {
        let binary = WRK.find()?;
        let folder = tempfile::Builder::new()
            .prefix("seawall-wrk-")
            .tempdir()
            .map_err(LabError::io("make a temporary folder"))?;
        let chooses = paths.len() > 1;
        let script = if chooses { format!("{CHOOSE}{SUMMARY}") } else { SUMMARY.to_owned() };
        let write = |name: &str, text: String| {
            fs::write(folder.path().join(name), text).map_err(LabError::io(format!("write wrk's {name}")))
        };
        write("script.lua", script)?;
        write("paths", paths.join("\n"))?;
        let path = paths.first().cloned().unwrap_or_else(|| "/".to_owned());
        Ok(Wrk { binary, host: host.to_owned(), path, chooses, core, folder, runs: 0 })
    }

    /// Loads `to` for some whole seconds.
    ///
    /// # Errors
    /// When wrk fails, or says something we cannot read.
    pub async fn run(&mut self, to: SocketAddr, seconds: u32) -> Result<Summary, LabError> {
        let name = format!("run-{}", self.runs);
        self.runs += 1;
        let mut args = vec![
            "--threads=1".into(),
            format!("--connections={CONNECTIONS}").into(),
            format!("--duration={seconds}s").into(),
            "--latency".into(),
            format!("--header=Host: {}", self.host).into(),
            "--script".into(),
            self.folder.path().join("script.lua").into(),
            format!("http://{to}{}", self.path).into(),
        ];
        if self.chooses {
            args.extend(["--".into(), self.folder.path().join("paths").into()]);
        }
        let (binary, args) = pinned(&self.binary, args, self.core);
        let folder = self.folder.path().to_owned();
        let spec = Spec { name: name.clone(), binary, args, env: Vec::new(), folder };
        let mut process = Process::start(&spec)?;
        let duration = Duration::from_secs(u64::from(seconds));
        // Looking whether it has ended takes CPU time, a little, from whom we measure.
        tokio::time::sleep(duration).await;
        let status = process.ended(END_WITHIN).await?;
        let output = |kind: &str| {
            let path = self.folder.path().join(format!("{name}.{kind}"));
            fs::read_to_string(&path).map_err(LabError::io(format!("read {}", path.display())))
        };
        let said = output("stdout")?;
        if !status.success() {
            let output = said + &output("stderr")?;
            return Err(LabError::Failed { name: "wrk".to_owned(), status, output });
        }
        parse(&said).ok_or(LabError::Unreadable { what: "wrk's summary", found: said })
    }
}

fn parse(text: &str) -> Option<Summary> {
    let line = text.lines().find_map(|line| line.strip_prefix(MARK))?;
    let fields: HashMap<&str, u64> = line
        .split_whitespace()
        .filter_map(|field| field.split_once('='))
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect();
    let number = |name: &str| fields.get(name).copied();
    let micros = |name: &str| number(name).map(Duration::from_micros);
    Some(Summary {
        requests: number("requests")?,
        bytes: number("bytes")?,
        took: micros("micros")?,
        p50: micros("p50")?,
        p99: micros("p99")?,
        errors: Errors {
            connect: number("connect")?,
            read: number("read")?,
            write: number("write")?,
            status: number("status")?,
            timeout: number("timeout")?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As wrk 4.1.0 prints it.
    const OUTPUT: &str = "Running 1s test @ http://127.0.0.1:18123/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.73ms    2.64ms  15.37ms   86.87%
    Req/Sec    74.85k    14.99k   94.21k    54.55%
  81936 requests in 1.10s, 12.82MB read
Requests/sec:  74460.33
Transfer/sec:     11.65MB
seawall-lab requests=81936 bytes=13437504 micros=1100398 p50=327 p99=11887 connect=0 read=3 write=0 status=4 timeout=0
";

    #[test]
    fn the_summary_is_read() {
        let summary = parse(OUTPUT).unwrap();
        assert_eq!((summary.requests, summary.bytes), (81_936, 13_437_504));
        assert_eq!(summary.took, Duration::from_micros(1_100_398));
        assert_eq!((summary.p50.as_micros(), summary.p99.as_micros()), (327, 11_887));
        assert_eq!(summary.errors.total(), 7);
    }

    #[test]
    fn half_a_summary_is_none() {
        assert_eq!(parse(""), None);
        assert_eq!(parse(&OUTPUT.replace(MARK, "")), None);
        assert_eq!(parse(&OUTPUT.replace(" status=4", "")), None);
        assert_eq!(parse(&OUTPUT.replace("bytes=1", "bytes=many")), None);
    }
}
