//! The command line: nouns, flags, and what each says to someone tired.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::cmd;
use crate::exit::Failure;
use crate::up::{System, Up};

/// Keeps online services up: registry, balancer, link shortener, chat and graph in one binary.
#[derive(Parser)]
#[command(name = "seawall", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    noun: Noun,
}

const EXIT_CODES: &str =
    "Exit codes: 0 ok, 1 failed, 2 usage, 3 a target was missed, 70 internal error, 78 bad configuration.";

#[derive(Subcommand)]
enum Noun {
    /// Start servers: everything, or the systems named
    ///
    /// Runs until SIGTERM or SIGINT, then leaves the registry, finishes what was begun and exits 0.
    /// SIGHUP reads the configuration again.
    #[command(after_help = "  seawall up\n  seawall up links --set links.listen=127.0.0.1:7011")]
    Up(UpArgs),
    /// Show how each system is
    #[command(after_help = "Exits 1 when a system does not answer or is not ready.")]
    Status(StatusArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Look at policies: when to trip, retry, shed, degrade
    #[command(subcommand)]
    Policy(cmd::policy::Verb),
    /// Shorten links and look after them
    Links(LinksArgs),
    /// Talk, and look after users, guilds and sessions
    Chat(cmd::chat::ChatArgs),
    /// Read and change objects and associations, and check that all caches agree
    Graph(cmd::graph::GraphArgs),
    /// Break a fleet on purpose and measure its recovery against what was promised
    #[command(subcommand)]
    Drill(cmd::drill::Verb),
    /// Send requests at a fixed rate and measure from the intended start of each
    #[command(
        after_help = "  seawall load --rate 500 --for 30s --host links.localhost http://127.0.0.1:8080/abc1234"
    )]
    Load(cmd::load::LoadArgs),
}

#[derive(Args)]
struct UpArgs {
    /// Systems to run in this process; all when none is named
    #[arg(value_enum)]
    systems: Vec<System>,
    /// Where data is kept
    #[arg(long, value_name = "DIR", default_value = "./seawall-data")]
    data: PathBuf,
    #[command(flatten)]
    source: ConfigSource,
    /// Print the ready table as JSON
    #[arg(long)]
    json: bool,
    /// Plant a fault, so that a test or drill can be seen to fail
    #[arg(long, hide = true, value_name = "FAULT")]
    plant: Vec<String>,
}

/// Where the configuration comes from.
#[derive(Args, Clone)]
pub(crate) struct ConfigSource {
    /// The configuration file; ./seawall.toml when it exists
    #[arg(id = "config", long = "config", value_name = "FILE", global = true)]
    pub(crate) file: Option<PathBuf>,
    /// Set one key, above the file
    #[arg(long, value_name = "KEY=VALUE", global = true)]
    pub(crate) set: Vec<String>,
}

#[derive(Args)]
struct StatusArgs {
    /// Systems to ask; all when none is named
    #[arg(value_enum)]
    systems: Vec<System>,
    #[command(flatten)]
    source: ConfigSource,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum ConfigVerb {
    /// Report everything wrong, or say that nothing is
    Check {
        #[command(flatten)]
        source: ConfigSource,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the configuration in effect, as TOML
    Show {
        #[command(flatten)]
        source: ConfigSource,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what a key means, its default and its value now
    #[command(after_help = "  seawall config explain links.in_flight_max")]
    Explain {
        /// The key, with its section
        key: String,
        #[command(flatten)]
        source: ConfigSource,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct LinksArgs {
    /// The links API to talk to; the configured address when left out
    #[arg(long, value_name = "ADDR", global = true)]
    server: Option<SocketAddr>,
    #[command(flatten)]
    source: ConfigSource,
    #[command(subcommand)]
    verb: cmd::links::Verb,
}

impl Cli {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self.noun {
            Noun::Up(args) => Up {
                systems: args.systems,
                file: args.source.file,
                set: args.source.set,
                data: args.data,
                plants: args.plant,
                json: args.json,
            }
            .run(),
            Noun::Status(args) => cmd::status::run(&args.systems, &args.source, args.json),
            Noun::Config(ConfigVerb::Check { source, json }) => cmd::config::check(&source, json),
            Noun::Config(ConfigVerb::Show { source, json }) => cmd::config::show(&source, json),
            Noun::Config(ConfigVerb::Explain { key, source, json }) => {
                cmd::config::explain(&key, &source, json)
            }
            Noun::Policy(verb) => cmd::policy::run(verb),
            Noun::Links(args) => cmd::links::run(args.server, &args.source, args.verb),
            Noun::Chat(args) => cmd::chat::run(args),
            Noun::Graph(args) => cmd::graph::run(args),
            Noun::Drill(verb) => cmd::drill::run(verb),
            Noun::Load(args) => cmd::load::run(args),
        }
    }
}
