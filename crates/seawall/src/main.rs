//! One binary that keeps online services up.
//!
//! `seawall up` starts servers (read [`up`]); every other noun is a client that speaks HTTP to them
//! (read [`cmd`]). [`config`] is the one file all of them read.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to a person")]

mod cli;
mod cmd;
mod config;
mod exit;
mod up;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("seawall: {failure}");
            failure.code()
        }
    }
}
