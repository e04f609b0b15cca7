//! `seawall graph obj|assoc|schema|import|export|audit`.
//!
//! A client of the HTTP API like any other. What it knows besides is the form of schemas: a value given as text is read
//! as the field it is for, by the schema that the server says it uses.

mod assoc;
mod audit;
mod bulk;
mod call;
mod obj;
mod schema;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use seawall_graph::id::Id;

use crate::cli::ConfigSource;
use crate::config::Config;
use crate::exit::Failure;
use call::Graph;

/// Patience for one call.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Args)]
#[command(
    after_help = "Fields are NAME=VALUE, as the schema names them; bytes are written in base64.\nThrough an address that other machines can reach, writes want --token-file."
)]
pub(crate) struct GraphArgs {
    /// The graph to talk to; the configured address when left out
    #[arg(long, value_name = "ADDR", global = true)]
    server: Option<SocketAddr>,
    #[command(flatten)]
    source: ConfigSource,
    /// A file with one of the server's exposure tokens
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    /// JSON, one object a line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make, read, change and delete objects
    #[command(subcommand)]
    Obj(obj::Verb),
    /// Add, read, change and delete associations
    #[command(subcommand)]
    Assoc(assoc::Verb),
    /// Look at the schema, check a new one, put it in place
    #[command(subcommand)]
    Schema(schema::Verb),
    /// Make objects and associations of the lines of an export
    ///
    /// Ids are kept. Safe to repeat after an interruption: what is there already is counted and left as it is.
    #[command(
        after_help = "  seawall graph import graph.ndjson\n  zcat graph.ndjson.gz | seawall graph import -"
    )]
    Import {
        /// One JSON object a line; `-` reads standard input
        file: PathBuf,
    },
    /// Write the whole graph, one JSON object a line
    ///
    /// Into a file, it appears there only when it is complete. The last line says how much there was.
    #[command(
        after_help = "  seawall graph export graph.ndjson\n  seawall graph export | gzip > graph.ndjson.gz"
    )]
    Export {
        /// Where to; standard output when left out
        file: Option<PathBuf>,
    },
    /// Compare what every cache says about what changes with what was committed
    ///
    /// Hears of changes for a while, and asks follower, leader and store for the version of each sampled key one second
    /// and ten seconds after. None may have anything older than what had been committed by then. Changes nothing.
    #[command(
        after_help = "  seawall graph audit --seconds 60\n\nExits 3 when something is older after ten seconds."
    )]
    Audit(audit::AuditArgs),
}

pub(crate) fn run(args: GraphArgs) -> Result<ExitCode, Failure> {
    let GraphArgs { server, source, token_file, json, verb } = args;
    let addr = match server {
        Some(addr) => addr,
        None => Config::load(source.file.as_deref(), &source.set)?.graph.listen,
    };
    super::http::block_on(PATIENCE, async |server| {
        let graph = Graph::new(server, addr, token_file.as_deref(), json)?;
        match verb {
            Verb::Obj(verb) => obj::run(&graph, verb).await,
            Verb::Assoc(verb) => assoc::run(&graph, verb).await,
            Verb::Schema(verb) => schema::run(&graph, verb).await,
            Verb::Import { file } => bulk::import(&graph, &file).await,
            Verb::Export { file } => bulk::export(&graph, file.as_deref()).await,
            Verb::Audit(args) => audit::run(&graph, args).await,
        }
    })
}

/// An id as the server writes them.
fn id(text: &str) -> Result<Id, String> {
    text.parse().map_err(|why| format!("{why}"))
}

/// `NAME=VALUE`.
fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE, such as name=Ada")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_name_and_all_the_rest() {
        assert_eq!(field("about=a=b"), Ok(("about".to_owned(), "a=b".to_owned())));
        assert_eq!(field("about="), Ok(("about".to_owned(), String::new())));
        assert!(field("about").is_err());
    }
}
