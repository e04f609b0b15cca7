//! `seawall load`: requests at a fixed rate, whatever the answers do.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::HOST;
use http::{HeaderName, HeaderValue, Method};
use seawall_drill::load::http::{Repeated, measure};
use seawall_drill::load::{Report, Schedule};
use seawall_net::clock::SystemClock;
use seawall_net::host::chain;
use seawall_policy::duration;

use crate::exit::Failure;

/// Patience for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct LoadArgs {
    /// Where to, as http://127.0.0.1:8080/path
    url: String,
    /// Requests started each second
    #[arg(long, default_value_t = 100.0, conflicts_with = "trace")]
    rate: f64,
    /// How long
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = duration::parse, conflicts_with = "trace")]
    lasting: Duration,
    /// Rates from a file instead: lines of `seconds,requests_per_second`
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// The method
    #[arg(long, short = 'X', default_value_t = Method::GET)]
    method: Method,
    /// The Host header, where it differs from the URL
    #[arg(long)]
    host: Option<String>,
    /// Another header, as `Name: value`
    #[arg(long, short = 'H')]
    header: Vec<String>,
    /// The body
    #[arg(long, short = 'd')]
    body: Option<String>,
    /// Requests in flight; an arrival beyond that is counted as unsent
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=9000))]
    in_flight: u32,
    /// Of the moments of arrival
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: LoadArgs) -> Result<ExitCode, Failure> {
    let schedule = match &args.trace {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|e| Failure::Failed(format!("cannot read {}: {e}", file.display())))?;
            Schedule::parse(&text, args.seed)
        }
        None => Schedule::constant(args.rate, args.lasting, args.seed),
    };
    let schedule = schedule.map_err(|e| Failure::Usage(chain(&e)))?;
    let mut headers = args.header.iter().map(|h| header(h)).collect::<Result<Vec<_>, _>>()?;
    if let Some(host) = &args.host {
        headers.push((
            HOST,
            HeaderValue::from_str(host).map_err(|_| Failure::Usage(format!("--host {host}: not a host")))?,
        ));
    }
    let body = Bytes::from(args.body.unwrap_or_default());
    let request = Repeated::new(args.method, &args.url, headers, body, PATIENCE)
        .map_err(|e| Failure::Usage(chain(&e)))?;
    let report: Report = measure(request, schedule, args.in_flight as usize, Arc::new(SystemClock::new()))
        .map_err(|e| Failure::Failed(format!("cannot start a runtime: {e}")))?;
    if args.json {
        println!("{}", serde_json::to_string(&report).map_err(|e| Failure::Internal(e.to_string()))?);
    } else {
        print!("{}", report.table());
    }
    Ok(ExitCode::SUCCESS)
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let wrong = || Failure::Usage(format!("--header {text:?}: write it as `Name: value`"));
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    Ok((name.trim().parse().map_err(|_| wrong())?, value.trim().parse().map_err(|_| wrong())?))
}
