//! `seawall drill list|run|matrix`.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use seawall_drill::scenario::matrix::{self, Matrix};
use seawall_drill::scenario::{self, DrillError, Mechanism, Options};
use seawall_net::clock::SystemClock;
use seawall_net::host::chain;
use seawall_policy::Clock;
use serde_json::json;

use crate::exit::{Failure, TARGET_MISSED};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List the drills, with what each promises
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Run one: start a fleet in a temporary folder, break it, measure as a client would
    ///
    /// Exits 3 when a target was missed.
    #[command(
        after_help = "  seawall drill run links-process-kill\n  seawall drill run links-process-kill --without retry"
    )]
    Run {
        /// The drill; see `seawall drill list`
        name: String,
        /// Switch a mechanism off, to see that the drill notices
        #[arg(long, value_name = "MECHANISM", value_parser = mechanism)]
        without: Vec<Mechanism>,
        /// Plant a bug, to see that the drill notices
        #[arg(long, value_name = "FAULT")]
        plant: Option<String>,
        /// How many kills, where a drill makes more than one
        #[arg(long)]
        kills: Option<u32>,
        #[command(flatten)]
        how: How,
    },
    /// Run them all, each also with its protection switched off, which must turn it red
    Matrix {
        #[command(flatten)]
        how: How,
    },
}

#[derive(Args)]
pub(crate) struct How {
    /// Fewer processes and shorter phases; the targets stay the same
    #[arg(long)]
    quick: bool,
    /// Of everything random; drawn and printed when left out
    #[arg(long)]
    seed: Option<u64>,
    /// Keep data and output of the processes here
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(verb: Verb) -> Result<ExitCode, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    match verb {
        Verb::List { json } => {
            list(json);
            Ok(ExitCode::SUCCESS)
        }
        Verb::Run { name, without, plant, kills, how } => {
            let scenario = scenario::find(&name).map_err(failure)?;
            let options = Options { without, plant, kills, ..options(&how)? };
            let report = scenario.run(&options, clock).map_err(failure)?;
            print!("{}", if how.json { report.json() + "\n" } else { report.table() });
            Ok(exit(report.verdict.exit_code()))
        }
        Verb::Matrix { how } => {
            let matrix: Matrix = matrix::run(&options(&how)?, &clock);
            print!("{}", if how.json { json!(matrix).to_string() + "\n" } else { matrix.table() });
            Ok(exit(matrix.verdict().exit_code()))
        }
    }
}

fn exit(code: u8) -> ExitCode {
    debug_assert!([0, 1, TARGET_MISSED].contains(&code), "drills end with 0, 1 or {TARGET_MISSED}");
    ExitCode::from(code)
}

fn list(as_json: bool) {
    for s in scenario::list() {
        let controls: Vec<String> = s.controls.iter().map(|c| c.control.to_string()).collect();
        if as_json {
            println!("{}", json!({"name": s.name, "title": s.title, "row": s.row, "controls": controls}));
        } else {
            println!(
                "{:<20} {}\n{:<20} {}; must turn red {}",
                s.name,
                s.title,
                "",
                s.row,
                controls.join(", ")
            );
        }
    }
}

fn options(how: &How) -> Result<Options, Failure> {
    let binary = std::env::current_exe().map_err(|e| {
        Failure::Failed(format!("cannot find this program's own file to start a fleet from: {e}"))
    })?;
    Ok(Options {
        binary,
        seed: match how.seed {
            Some(seed) => seed,
            None => draw()?,
        },
        quick: how.quick,
        without: Vec::new(),
        plant: None,
        kills: None,
        keep: how.keep.clone(),
    })
}

/// A seed of few digits, easy to type again.
fn draw() -> Result<u64, Failure> {
    let mut bytes = [0; 4];
    File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut bytes))
        .map_err(|e| Failure::Failed(format!("cannot read /dev/urandom: {e}")))?;
    Ok(u64::from(u32::from_ne_bytes(bytes)))
}

fn mechanism(name: &str) -> Result<Mechanism, String> {
    name.parse().map_err(|e: DrillError| e.to_string())
}

fn failure(error: DrillError) -> Failure {
    match error {
        DrillError::Usage(why) => Failure::Usage(why),
        other => Failure::Failed(chain(&other)),
    }
}
