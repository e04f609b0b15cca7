//! `cargo xtask bench` runs this; see `docs/benchmarks.md`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks by printing")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use seawall_lab::bench::judge::{ROUNDS_MIN, Verdict};
use seawall_lab::bench::{self, Bench, Options, Plant};

/// A bar was missed.
const MISSED: u8 = 3;

/// Measures ours against an opponent, in turns, by the CPU time both need.
#[derive(Parser)]
#[command(
    name = "bench",
    after_help = "Exit codes: 0 ok or not measured, 1 failed, 2 usage, 3 a bar was missed."
)]
struct Args {
    /// What to measure
    #[arg(value_enum, required_unless_present = "smoke")]
    name: Option<Bench>,
    /// Run every bench, or the one named, for a moment to see that it works; judges nothing
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "plant"])]
    smoke: bool,
    /// Fewer and shorter rounds: figures to work with, not to publish
    #[arg(long, conflicts_with_all = ["smoke", "rounds", "seconds"])]
    quick: bool,
    /// The built binary; `policy` needs none
    #[arg(long, value_name = "PATH", required_if_eq_any([("name", "links"), ("name", "balancer"), ("name", "chat"), ("name", "graph"), ("smoke", "true")]))]
    seawall: Option<PathBuf>,
    /// Rounds of each side
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds of a round
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Do something to our side, so that the bench can be seen to notice
    #[arg(long, value_enum, hide = true, value_name = "FAULT")]
    plant: Vec<Plant>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let benches = match args.name {
        Some(name) => vec![name],
        None => Bench::ALL.to_vec(),
    };
    // wrk knows whole seconds only.
    let (rounds, seconds) = match () {
        () if args.smoke => (1, 1),
        () if args.quick => (ROUNDS_MIN as u32, 1),
        () => (args.rounds, args.seconds),
    };
    let options = Options {
        seawall: args.seawall.unwrap_or_default(),
        rounds,
        seconds,
        full: !args.smoke,
        quick: args.quick,
        plants: args.plant,
    };
    let outcome = seawall_drill::block_on(async {
        let mut verdicts = Vec::new();
        for bench in benches {
            verdicts.push(bench::run(bench, &options, &mut |line| println!("{line}")).await?);
        }
        Ok::<_, seawall_lab::LabError>(verdicts)
    });
    match outcome {
        Ok(Ok(verdicts)) if verdicts.contains(&Verdict::Missed) => ExitCode::from(MISSED),
        Ok(Ok(_)) => ExitCode::SUCCESS,
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

/// One line with the whole chain of causes.
fn failed(error: &dyn Error) -> ExitCode {
    let mut text = format!("bench: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    eprintln!("{text}");
    ExitCode::FAILURE
}
