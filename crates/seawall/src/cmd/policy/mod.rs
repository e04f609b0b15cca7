//! `seawall policy explain|replay|placement`.

mod explain;
mod placement;
mod replay;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::ConfigSource;
use crate::exit::Failure;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Say in sentences what a policy does, then show all its keys
    ///
    /// Names a policy of the configuration file, a built-in one, or a system for the policies it uses. A name
    /// that several kinds share explains them all; breaker.mine is one. Without a name, lists all there are.
    #[command(
        after_help = "  seawall policy explain s2-links\n  seawall policy explain breaker.mine --policies policies.toml\n  seawall policy explain balancer"
    )]
    Explain {
        /// A policy, or a system
        name: Option<String>,
        /// A file of policies and nothing else, instead of the configuration, which is then not read
        #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "set"])]
        policies: Option<PathBuf>,
        #[command(flatten)]
        source: ConfigSource,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what a policy would have done with traffic that has been
    ///
    /// The trace is JSON lines or CSV with a header: when each call began (time), what came of it (outcome,
    /// or an HTTP status) and how long it took (latency_ms). The balancer's access log is one. It changes
    /// nothing; what is refused or repeated in a replay changes nothing that follows in the trace.
    #[command(
        after_help = "  seawall policy replay s0-chat --trace calls.csv\n  seawall policy replay s3-balancer --trace access.log --by backend\n  zcat access.log.2.gz | seawall policy replay retry.s3-request --trace -"
    )]
    Replay(replay::ReplayArgs),
    /// Say how evenly keys spread over members, and what moves when members come or go
    ///
    /// Places a sample of keys on N members and on M, of which the lesser number are the same. What is due is
    /// what must move for the shares to be even again; whatever moves between members that stay was moved for
    /// nothing. It asks no server and changes nothing.
    #[command(
        after_help = "  seawall policy placement ring --members 10 --to 11\n  seawall policy placement modulo --members 10 --to 11\n  seawall policy placement ring-bounded --members 12 --to 9 --keys 1000000 --json"
    )]
    Placement(placement::PlacementArgs),
}

pub(crate) fn run(verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Explain { name, policies, source, json } => {
            explain::run(name.as_deref(), policies.as_deref(), &source, json)
        }
        Verb::Replay(args) => replay::run(&args),
        Verb::Placement(args) => placement::run(&args),
    }
}

/// Nobody need read to the end, as with `| head`.
fn print(text: &str) -> Result<ExitCode, Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Failure::Failed(format!("cannot write: {e}"))),
        _ => Ok(ExitCode::SUCCESS),
    }
}
