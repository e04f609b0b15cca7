//! Ours against an opponent, measured by `seawall-lab`; here only: build both, and let its exit
//! code through.
//!
//! A number counts when it comes from the profile that is shipped (`dist`). `--smoke` runs the
//! same code on the dev profile for a moment, to see that benches still work, and judges nothing.

use crate::run::{self, Failure};
use crate::servers::{Install, Stage};

const DIST: &[&str] = &["--profile", "dist"];

/// The bench that measures functions and no servers: it needs neither ours nor anybody else's.
const WITHOUT_SERVERS: &str = "policy";

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let (profile, what, quick, binary) = match args {
        [one] if one == "--smoke" => (&[][..], "--smoke", None, "target/debug/seawall"),
        [name, smoke] if !name.starts_with('-') && smoke == "--smoke" => {
            (&[][..], name.as_str(), Some(smoke), "target/debug/seawall")
        }
        [name] if !name.starts_with('-') => (DIST, name.as_str(), None, "target/dist/seawall"),
        [name, quick] if !name.starts_with('-') && quick == "--quick" => {
            (DIST, name.as_str(), Some(quick), "target/dist/seawall")
        }
        _ => {
            return Err(Failure::usage(
                "bench takes one name, and --quick or --smoke if wanted, or --smoke alone",
            ));
        }
    };
    if what != WITHOUT_SERVERS {
        let servers = Install::start();
        run::must(run::cargo(["build", "--workspace", "--bins"]).args(profile))?;
        servers.finish(Stage::Bench)?;
    }

    let mut bench = run::cargo(["run", "--quiet", "-p", "seawall-lab", "--bin", "bench"]);
    bench.args(profile).args(["--", what, "--seawall", binary]).args(quick);
    let status = run::status(&mut bench)?;
    match status.code() {
        Some(0) => Ok(()),
        Some(3) => Err(Failure { code: 3, message: format!("{what}: a bar was missed") }),
        code => {
            let code = code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
            Err(Failure { code, message: format!("`{}`: {status}", run::shown(&bench)) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bench_needs_exactly_one_name() {
        for args in [&[][..], &["links", "feed"], &["--fast"], &["--quick", "links"], &["--smoke", "--quick"]]
        {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            assert_eq!(run(&args).unwrap_err().code, 2);
        }
    }
}
