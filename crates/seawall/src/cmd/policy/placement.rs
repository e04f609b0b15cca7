//! `seawall policy placement`: how evenly keys spread over members, and what a change of members moves.

use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser, ValueParser};
use seawall_policy::placement::{self, KEYS_MAX, Kind, MEMBERS_MAX};

use super::print;
use crate::exit::Failure;

/// With ten members, chance alone moves a share by about 1 %.
const KEYS_DEFAULT: u64 = 100_000;

#[derive(Args)]
pub(crate) struct PlacementArgs {
    /// How keys are placed
    #[arg(value_parser = kind())]
    kind: Kind,
    /// Members there are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MEMBERS_MAX)))]
    members: u32,
    /// Members there will be: the first M of those, or as many more
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u32).range(1..=i64::from(MEMBERS_MAX)))]
    to: u32,
    /// Keys in the sample, which is the same every time
    #[arg(long, value_name = "K", default_value_t = KEYS_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX))]
    keys: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Reads a kind, and lists all of them in the help.
fn kind() -> ValueParser {
    PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)).try_map(|name| name.parse::<Kind>()).into()
}

pub(super) fn run(args: &PlacementArgs) -> Result<ExitCode, Failure> {
    let report = placement::compare(args.kind, args.members, args.to, args.keys)
        .map_err(|e| Failure::Usage(e.to_string()))?;
    let text = match args.json {
        true => serde_json::to_string(&report)
            .map_err(|e| Failure::Internal(format!("the report cannot be printed: {e}")))?,
        false => report.to_string(),
    };
    print(&(text + "\n"))
}
