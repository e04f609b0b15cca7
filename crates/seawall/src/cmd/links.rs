//! `seawall links shorten|ls|import|export`.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Subcommand;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use seawall_links::api::{CreateLink, Link, ListPage};
use seawall_policy::placement::hash;
use tokio::task::JoinSet;

use super::http::{Server, block_on, complaint};
use crate::cli::ConfigSource;
use crate::config::Config;
use crate::exit::Failure;

/// Patience for one call.
const PATIENCE: Duration = Duration::from_secs(10);
/// Creates in flight during an import: enough to fill one commit group, few enough to be polite.
const IN_FLIGHT_MAX: usize = 64;
/// Links asked for at a time.
const PAGE: usize = 1000;
/// Rejected lines shown in full; all are counted.
const SHOWN_MAX: usize = 20;
/// Longest line of an import file.
const LINE_MAX: usize = 64 * 1024;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Shorten one URL
    #[command(
        after_help = "  seawall links shorten https://www.rust-lang.org/\n  seawall links shorten https://example.org/spring --alias spring"
    )]
    Shorten {
        /// Where the link leads
        url: String,
        /// The code to use instead of a generated one
        #[arg(long)]
        alias: Option<String>,
        /// The whole answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// List links
    Ls {
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Shorten every URL of a file, one a line
    ///
    /// Safe to repeat after an interruption: within a day, a URL already imported keeps its code.
    #[command(after_help = "  seawall links import urls.txt --map codes.tsv")]
    Import {
        /// One URL a line; blank lines and lines beginning with # are passed over
        file: PathBuf,
        /// Write `code<TAB>url` of each link here
        #[arg(long, value_name = "FILE")]
        map: Option<PathBuf>,
        /// The summary as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print every link, one JSON object a line
    Export,
}

pub(crate) fn run(
    server: Option<SocketAddr>,
    source: &ConfigSource,
    verb: Verb,
) -> Result<ExitCode, Failure> {
    let addr = match server {
        Some(addr) => addr,
        None => Config::load(source.file.as_deref(), &source.set)?.links.listen,
    };
    block_on(PATIENCE, async |server| {
        let links = Links { server, addr };
        match verb {
            Verb::Shorten { url, alias, json } => links.shorten(url, alias, json).await,
            Verb::Ls { limit, json } => links.list(limit, json).await,
            Verb::Import { file, map, json } => links.import(&file, map.as_deref(), json).await,
            Verb::Export => links.list(usize::MAX, true).await,
        }
    })
}

/// The links API of one server.
#[derive(Clone)]
struct Links {
    server: Server,
    addr: SocketAddr,
}

impl Links {
    async fn create(&self, new: &CreateLink, key: Option<&str>) -> Result<Link, Failure> {
        let body = serde_json::to_vec(new).map_err(|e| Failure::Internal(e.to_string()))?;
        let mut request = Request::post("/api/v1/links")
            .header(HOST, self.addr.to_string())
            .header(CONTENT_TYPE, "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(Bytes::from(body)).map_err(|e| Failure::Internal(e.to_string()))?;
        let answer = self.server.call(self.addr, request).await?;
        if answer.status() != StatusCode::CREATED {
            return Err(Failure::Failed(complaint(&answer)));
        }
        serde_json::from_slice(answer.body()).map_err(|e| Failure::Failed(format!("unreadable answer: {e}")))
    }

    async fn shorten(&self, url: String, alias: Option<String>, json: bool) -> Result<ExitCode, Failure> {
        let link = self.create(&CreateLink { url, alias }, None).await?;
        if json {
            print_json(&link)?
        } else {
            println!("{}", link.short_url)
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn list(&self, limit: usize, json: bool) -> Result<ExitCode, Failure> {
        let mut out = std::io::stdout();
        let mut after: Option<String> = None;
        let mut left = limit;
        while left > 0 {
            let page = self.page(after.as_deref(), left.min(PAGE)).await?;
            if !write_page(&mut out, &page, json)? {
                break;
            }
            left = left.saturating_sub(page.links.len());
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn page(&self, after: Option<&str>, limit: usize) -> Result<ListPage, Failure> {
        let after =
            after.map(|a| format!("&after={}", utf8_percent_encode(a, NON_ALPHANUMERIC))).unwrap_or_default();
        let request = Request::get(format!("/api/v1/links?limit={limit}{after}"))
            .header(HOST, self.addr.to_string())
            .body(Bytes::new())
            .map_err(|e| Failure::Internal(e.to_string()))?;
        let answer = self.server.call(self.addr, request).await?;
        if answer.status() != StatusCode::OK {
            return Err(Failure::Failed(complaint(&answer)));
        }
        serde_json::from_slice(answer.body()).map_err(|e| Failure::Failed(format!("unreadable answer: {e}")))
    }

    async fn import(&self, file: &Path, map: Option<&Path>, json: bool) -> Result<ExitCode, Failure> {
        let urls = read_urls(file)?;
        let bar = progress(urls.len() as u64);
        let mut map = match map {
            Some(path) => Some(BufWriter::new(
                File::create(path)
                    .map_err(|e| Failure::Failed(format!("cannot write {}: {e}", path.display())))?,
            )),
            None => None,
        };
        let (mut imported, mut rejected) = (0_u64, 0_u64);
        let mut urls = urls.into_iter();
        let mut running = JoinSet::new();
        loop {
            while running.len() < IN_FLIGHT_MAX
                && let Some((line, url)) = urls.next()
            {
                let links = self.clone();
                running.spawn(async move {
                    let key = format!("import-{:016x}", hash::hk(url.as_bytes()));
                    let made = links.create(&CreateLink { url: url.clone(), alias: None }, Some(&key)).await;
                    (line, url, made)
                });
            }
            let Some(done) = running.join_next().await else { break };
            let (line, url, made) =
                done.map_err(|e| Failure::Internal(format!("an import step failed: {e}")))?;
            bar.inc(1);
            match made {
                Ok(link) => {
                    imported += 1;
                    if let Some(map) = &mut map {
                        writeln!(map, "{}\t{url}", link.code)
                            .map_err(|e| Failure::Failed(format!("cannot write the map: {e}")))?;
                    }
                }
                Err(why) => {
                    rejected += 1;
                    if rejected <= SHOWN_MAX as u64 {
                        bar.suspend(|| eprintln!("line {line}: {url}: {why}"));
                    }
                }
            }
        }
        bar.finish_and_clear();
        if let Some(map) = &mut map {
            map.flush().map_err(|e| Failure::Failed(format!("cannot write the map: {e}")))?;
        }
        if json {
            println!("{}", serde_json::json!({"imported": imported, "rejected": rejected}));
        } else {
            println!("imported {imported}, rejected {rejected}");
        }
        Ok(if rejected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The URLs of a file, with their line numbers.
fn read_urls(file: &Path) -> Result<Vec<(usize, String)>, Failure> {
    let failed = |e: std::io::Error| Failure::Failed(format!("cannot read {}: {e}", file.display()));
    let mut urls = Vec::new();
    for (i, line) in BufReader::new(File::open(file).map_err(failed)?).lines().enumerate() {
        let line = line.map_err(failed)?;
        let line = line.trim();
        if line.len() > LINE_MAX {
            return Err(Failure::Failed(format!(
                "{} line {}: longer than {LINE_MAX} bytes",
                file.display(),
                i + 1
            )));
        }
        if !line.is_empty() && !line.starts_with('#') {
            urls.push((i + 1, line.to_owned()));
        }
    }
    Ok(urls)
}

/// A bar on a terminal, nothing elsewhere.
fn progress(total: u64) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    match ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// False when nobody reads any further, as with `| head`.
fn write_page(out: &mut impl Write, page: &ListPage, json: bool) -> Result<bool, Failure> {
    let mut text = String::new();
    for link in &page.links {
        if json {
            text += &serde_json::to_string(link).map_err(|e| Failure::Internal(e.to_string()))?;
        } else {
            text += &format!("{:<12} {}", link.code, link.url);
        }
        text.push('\n');
    }
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Failure::Failed(format!("cannot write the links: {e}"))),
    }
}

fn print_json(link: &Link) -> Result<(), Failure> {
    let line = serde_json::to_string(link).map_err(|e| Failure::Internal(e.to_string()))?;
    println!("{line}");
    Ok(())
}
