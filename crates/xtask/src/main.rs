//! The project's own commands: what to run before a commit, what the server runs, and how the
//! numbers in the documents are made. `cargo xtask help` lists them.
//!
//! It depends on nothing but serde, so that a bare machine is compiling the product, not this, a
//! few seconds after `git clone`. Start reading at [`ci`]: it is the list of everything else.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks by printing")]

use std::process::ExitCode;

use run::Failure;

mod bench;
mod ci;
mod docs;
mod fuzz;
mod mutate;
mod proof;
mod run;
mod servers;
mod soak;
mod test;
mod tidy;

struct Command {
    name: &'static str,
    usage: &'static str,
    what: &'static str,
    run: fn(&[String]) -> Result<(), Failure>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "ci",
        usage: "",
        what: "everything the server runs, with seconds per stage",
        run: ci::run,
    },
    Command {
        name: "test",
        usage: "[FILTER]",
        what: "all tests; with a filter, the tests whose name contains it",
        run: test::run,
    },
    Command {
        name: "tidy",
        usage: "",
        what: "the rules of the house: layers, bans, licences",
        run: tidy::run,
    },
    Command {
        name: "docs",
        usage: "",
        what: "API documentation without a warning, links that lead somewhere",
        run: docs::run,
    },
    Command {
        name: "soak",
        usage: "NAME [--kills|--seeds|--ops|--minutes N] [--dirty]",
        what: "a drill with large counts; adds a row to docs/proof.md",
        run: soak::run,
    },
    Command {
        name: "fuzz",
        usage: "[TARGET] --minutes N [--dirty] | --replay",
        what: "property tests with ever new seeds, or only what once failed",
        run: fuzz::run,
    },
    Command {
        name: "bench",
        usage: "NAME [--quick] | --smoke",
        what: "ours against an opponent; exit 3 where a bar is missed (smoke judges nothing)",
        run: bench::run,
    },
    Command {
        name: "mutate-presets",
        usage: "[FILTER]",
        what: "changes each number of each preset, one at a time: a test must fail",
        run: mutate::run,
    },
    Command { name: "help", usage: "", what: "this list", run: help },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(args: &[String]) -> Result<(), Failure> {
    let Some((name, rest)) = args.split_first() else {
        return Err(Failure::usage(format!("which command?\n{}", overview())));
    };
    let asked = if matches!(name.as_str(), "-h" | "--help") { "help" } else { name };
    let command = COMMANDS
        .iter()
        .find(|command| command.name == asked)
        .ok_or_else(|| Failure::usage(format!("there is no command `{name}`\n{}", overview())))?;
    // Everything below speaks of files by their path from the top of the repository.
    std::env::set_current_dir(run::top()?)
        .map_err(|e| Failure::new(format!("cannot enter the repository: {e}")))?;
    (command.run)(rest)
}

fn help(_: &[String]) -> Result<(), Failure> {
    println!("{}", overview());
    Ok(())
}

fn overview() -> String {
    let mut text = String::from("\nUsage: cargo xtask COMMAND\n\n");
    for command in COMMANDS {
        let call = format!("{} {}", command.name, command.usage);
        text.push_str(&format!("  {}\n      {}\n", call.trim_end(), command.what));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_command_exits_2_and_lists_the_known_ones() {
        let failure = dispatch(&["deploy".to_owned()]).unwrap_err();
        assert_eq!(failure.code, 2);
        assert!(failure.message.contains("`deploy`") && failure.message.contains("tidy"));
    }

    #[test]
    fn no_command_exits_2() {
        assert_eq!(dispatch(&[]).unwrap_err().code, 2);
    }
}
