//! `seawall graph schema`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use http::Method;
use seawall_graph::schema::Schema;
use serde_json::json;

use super::call::{Graph, refused};
use crate::cmd::terminal;
use crate::exit::Failure;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Print the schema in use
    #[command(after_help = "  seawall graph schema show > graph.toml")]
    Show,
    /// Say everything that is wrong with a schema file, and what would be lost if it took the place of the one in use
    Check {
        /// The file
        file: PathBuf,
        /// Look at the file alone and ask no server
        #[arg(long)]
        alone: bool,
    },
    /// Put a schema in the place of the one in use; refused if anything stored would be lost or misread
    Apply {
        /// The file
        file: PathBuf,
    },
}

pub(super) async fn run(graph: &Graph, verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Show => {
            let text = graph.schema_text().await?;
            graph.print(&json!({ "schema": text }), || text.trim_end().to_owned())?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Check { file, alone } => {
            let problems = match Schema::parse(&text(&file)?) {
                Err(problems) => problems,
                Ok(_) if alone => Vec::new(),
                Ok(new) => new.losses(&graph.schema().await?),
            };
            report(graph, &problems, "good")
        }
        Verb::Apply { file } => {
            let text = text(&file)?;
            if let Err(problems) = Schema::parse(&text) {
                return report(graph, &problems, "");
            }
            let body = Some(("application/toml", text.into()));
            let answer = graph.send(Method::PUT, "/v1/schema", None, body).await?;
            if !answer.status().is_success() {
                let said: serde_json::Value = serde_json::from_slice(answer.body()).unwrap_or_default();
                let (code, message) = (&said["error"]["code"], said["error"]["message"].as_str());
                return match message {
                    Some(all) if *code == "bad_schema" => {
                        report(graph, &all.lines().map(str::to_owned).collect::<Vec<_>>(), "")
                    }
                    _ => Err(refused(&answer)),
                };
            }
            report(graph, &[], "applied")
        }
    }
}

fn text(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|e| Failure::Failed(format!("cannot read {}: {e}", file.display())))
}

/// One problem a line; `good` where there is none.
fn report(graph: &Graph, problems: &[String], good: &str) -> Result<ExitCode, Failure> {
    if graph.json {
        terminal::line(&terminal::json(&json!({ "good": problems.is_empty(), "problems": problems })))?;
    } else if problems.is_empty() {
        terminal::line(good)?;
    }
    if problems.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if !graph.json {
        for problem in problems {
            eprintln!("{}", terminal::plain(problem));
        }
    }
    Ok(ExitCode::FAILURE)
}
