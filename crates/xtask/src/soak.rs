//! The tests and drills with larger counts, on the same code, and clients that take too long to build for every
//! change; each run leaves a row in `docs/proof.md`, the failed ones too.

use std::net::TcpStream;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use serde_json::Value;

use crate::proof;
use crate::run::{self, Failure};

struct Soak {
    name: &'static str,
    how: How,
    /// What is counted, as an option of ours and of the drill.
    option: &'static str,
    /// How many, when nobody says.
    default: u64,
    what: &'static str,
}

enum How {
    /// What `seawall drill list` calls it.
    Drill(&'static str),
    /// Somebody else's client of chat: the folder of its crate, which stands apart from the workspace.
    ChatClient(&'static str),
}

const SOAKS: &[Soak] = &[
    Soak {
        name: "links-kills",
        how: How::Drill("links-kill-moments"),
        option: "--kills",
        default: 50,
        what: "kill -9 of links at seeded random moments during writes: nothing acknowledged is lost, no code given twice",
    },
    Soak {
        name: "chat-kills",
        how: How::Drill("chat-process-kill"),
        option: "--kills",
        default: 50,
        what: "kill -9 of chat while 50 sessions listen: each hears exactly what is in the history, once and in order",
    },
    Soak {
        name: "graph-kills",
        how: How::Drill("graph-process-kill"),
        option: "--kills",
        default: 50,
        what: "kill -9 of the graph during writes across four databases: nothing acknowledged is lost or done twice, counts are lists, inverses are there",
    },
    Soak {
        name: "chat-serenity",
        how: How::ChatClient("crates/seawall/tests/clients/serenity"),
        option: "--rounds",
        default: 30,
        what: "serenity, unmodified, is cut off again and again: it resumes, or logs in anew where it must",
    },
];

/// Where the server of a client soak listens: a port that nobody is given by chance.
const CHAT_ADDRESS: &str = "127.0.0.1:17020";
/// After which a server that does not accept is no longer waited for.
const READY_TRIES_MAX: u32 = 300;
/// Between two tries.
const READY_PAUSE: Duration = Duration::from_millis(100);

/// Most numbers of a report copied into a row; the rest is in the drill's own output.
const COUNTS_MAX: usize = 24;

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let (soak, count, dirty) = parse(args)?;
    let tree = proof::Tree::check(dirty)?;
    run::must(&mut run::cargo(["build", "--workspace", "--bins"]))?;

    let outcome = match soak.how {
        How::Drill(drill) => run_drill(drill, soak.option, count)?,
        How::ChatClient(folder) => run_client(folder, count)?,
    };
    let Outcome { status, command, seed, counts } = outcome;
    let line = format!("soak {} {} {count}", soak.name, soak.option);
    proof::append(&tree, &proof::Run { line, seed, passed: status.success(), counts })?;

    if status.success() {
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Err(Failure { code, message: format!("`{command}`: {status}") })
}

/// What a soak came to.
struct Outcome {
    status: ExitStatus,
    /// For the message of a failure.
    command: String,
    seed: u64,
    counts: Vec<(String, String)>,
}

fn run_drill(name: &str, option: &str, count: u64) -> Result<Outcome, Failure> {
    let mut drill = run::command("target/debug/seawall");
    drill.args(["drill", "run", name, option, &count.to_string(), "--json"]);
    let (status, report) = run::read_any(&mut drill)?;
    print!("{report}");
    let command = run::shown(&drill);
    let (seed, counts) =
        numbers(&report).map_err(|why| Failure::new(format!("`{command}` ({status}): {why}")))?;
    Ok(Outcome { status, command, seed, counts })
}

/// Starts chat on an empty folder and lets the client judge it. Nothing in it is drawn, so the seed is 0.
fn run_client(folder: &str, rounds: u64) -> Result<Outcome, Failure> {
    let manifest = format!("{folder}/Cargo.toml");
    let target = "target/chat-client";
    run::must(&mut run::cargo(["build", "--locked", "--manifest-path", &manifest, "--target-dir", target]))?;
    let data = format!("{target}/data");
    if let Err(error) = std::fs::remove_dir_all(&data)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(Failure::new(format!("cannot empty {data}: {error}")));
    }
    let _server = Server::start(&data)?;
    let mut client = run::cargo([
        "run",
        "--quiet",
        "--locked",
        "--manifest-path",
        &manifest,
        "--target-dir",
        target,
        "--",
    ]);
    client.args([CHAT_ADDRESS, &rounds.to_string()]);
    let status = run::status(&mut client)?;
    let counts = vec![("connections lost".to_owned(), rounds.to_string())];
    Ok(Outcome { status, command: run::shown(&client), seed: 0, counts })
}

/// A server of ours, killed when dropped.
struct Server(Child);

impl Server {
    fn start(data: &str) -> Result<Server, Failure> {
        let listen = format!("chat.listen={CHAT_ADDRESS}");
        let mut command = run::command("target/debug/seawall");
        command.args(["up", "chat", "--data", data, "--set", &listen]);
        let child = command
            .spawn()
            .map_err(|e| Failure::new(format!("cannot run `{}`: {e}", run::shown(&command))))?;
        let server = Server(child);
        for _ in 0..READY_TRIES_MAX {
            if TcpStream::connect(CHAT_ADDRESS).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(READY_PAUSE);
        }
        Err(Failure::new(format!("`{}` does not accept on {CHAT_ADDRESS}", run::shown(&command))))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to be done about either.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn parse(args: &[String]) -> Result<(&'static Soak, u64, bool), Failure> {
    let Some((name, options)) = args.split_first() else {
        return Err(Failure::usage(format!("which soak?\n{}", known())));
    };
    let soak = SOAKS
        .iter()
        .find(|soak| soak.name == name)
        .ok_or_else(|| Failure::usage(format!("there is no soak `{name}`\n{}", known())))?;
    let (mut count, mut dirty) = (soak.default, false);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        if option == "--dirty" {
            dirty = true;
        } else if option == soak.option {
            count = options
                .next()
                .and_then(|n| n.parse().ok())
                .filter(|n| *n > 0)
                .ok_or_else(|| Failure::usage(format!("{option} wants a number above 0")))?;
        } else {
            return Err(Failure::usage(format!(
                "{name} knows {} N and --dirty, not `{option}`",
                soak.option
            )));
        }
    }
    Ok((soak, count, dirty))
}

fn known() -> String {
    let lines: Vec<_> = SOAKS
        .iter()
        .map(|s| format!("  {} [{} {}]\n      {}", s.name, s.option, s.default, s.what))
        .collect();
    lines.join("\n")
}

/// The first repeat's seed, which replays the run, and the worst of each measure.
fn numbers(report: &str) -> Result<(u64, Vec<(String, String)>), String> {
    let report: Value = serde_json::from_str(report).map_err(|e| format!("its report is no JSON: {e}"))?;
    let seed = report["repeats"][0]["seed"].as_u64().ok_or("its report names no seed")?;
    let measures = report["measures"].as_array().ok_or("its report has no measures")?;
    let counts = measures
        .iter()
        .filter_map(|m| Some((m["name"].as_str()?.to_owned(), shown(&m["worst"]["measured"], &m["unit"])?)))
        .take(COUNTS_MAX)
        .collect();
    Ok((seed, counts))
}

/// A whole number without its point, anything else as it stands, with the unit.
fn shown(measured: &Value, unit: &Value) -> Option<String> {
    let (number, unit) = (measured.as_f64()?, unit.as_str().unwrap_or_default());
    Some(format!("{number} {unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_soak_has_a_default_count_and_takes_its_own_option_only() {
        let (soak, count, dirty) = parse(&args("links-kills")).unwrap();
        assert!(matches!(soak.how, How::Drill("links-kill-moments")));
        assert_eq!((count, dirty), (50, false));
        assert_eq!(parse(&args("links-kills --kills 8 --dirty")).unwrap().1, 8);
        assert_eq!(parse(&args("links-kills --minutes 8")).err().unwrap().code, 2);
        assert_eq!(parse(&args("links-kills --kills none")).err().unwrap().code, 2);
        assert_eq!(parse(&args("no-such-soak")).err().unwrap().code, 2);
    }

    #[test]
    fn a_row_gets_the_worst_of_every_measure_and_the_seed() {
        let report = r#"{"repeats":[{"seed":18446744073709551615}],"measures":[
            {"name":"kills","unit":"kills","worst":{"measured":50.0}},
            {"name":"RPO","unit":"s","worst":{"measured":0.5}},
            {"name":"detection","unit":"s","worst":"not_measured"}]}"#;
        let (seed, counts) = numbers(report).unwrap();
        assert_eq!(seed, u64::MAX);
        let names: Vec<_> = counts.iter().map(|(name, count)| format!("{name}: {count}")).collect();
        assert_eq!(names, ["kills: 50 kills", "RPO: 0.5 s"]);
    }

    #[test]
    fn a_report_without_a_seed_cannot_be_run_again() {
        assert!(numbers(r#"{"kills":50}"#).is_err());
        assert!(numbers("all is well").is_err());
    }
}
