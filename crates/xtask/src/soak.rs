//! The drills of the test suite with larger counts, on the same code; each run leaves a row in
//! `docs/proof.md`, the failed ones too.

use serde_json::Value;

use crate::proof;
use crate::run::{self, Failure};

struct Soak {
    name: &'static str,
    /// What `seawall drill list` calls it.
    drill: &'static str,
    /// What is counted, as an option of ours and of the drill.
    option: &'static str,
    /// How many, when nobody says.
    default: u64,
    what: &'static str,
}

const SOAKS: &[Soak] = &[Soak {
    name: "links-kills",
    drill: "links-kill-moments",
    option: "--kills",
    default: 50,
    what: "kill -9 of links at seeded random moments during writes: nothing acknowledged is lost, no code given twice",
}];

/// Most numbers of a report copied into a row; the rest is in the drill's own output.
const COUNTS_MAX: usize = 24;

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let (soak, count, dirty) = parse(args)?;
    let tree = proof::Tree::check(dirty)?;
    run::must(&mut run::cargo(["build", "--workspace", "--bins"]))?;

    let count = count.to_string();
    let mut drill = run::command("target/debug/seawall");
    drill.args(["drill", "run", soak.drill, soak.option, &count, "--json"]);
    let (status, report) = run::read_any(&mut drill)?;
    print!("{report}");
    let (seed, counts) = numbers(&report)
        .map_err(|why| Failure::new(format!("`{}` ({status}): {why}", run::shown(&drill))))?;
    let line = format!("soak {} {} {count}", soak.name, soak.option);
    proof::append(&tree, &proof::Run { line, seed, passed: status.success(), counts })?;

    if status.success() {
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Err(Failure { code, message: format!("`{}`: {status}", run::shown(&drill)) })
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
        assert_eq!((soak.drill, count, dirty), ("links-kill-moments", 50, false));
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
