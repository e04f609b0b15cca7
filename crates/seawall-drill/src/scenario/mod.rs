//! Documented failures, made to happen, and measured against what the document promises.
//!
//! A [`Scenario`] is a row of one of the design documents turned into a run: start the built binary, put load on
//! it, break something, watch as a client, compare. It is repeated, and the **worst** repeat counts. A measure that
//! could not be taken is NOT MEASURED, which is not a pass.
//!
//! Each scenario also names its negative controls: a mechanism switched off, or a bug planted, that must make a
//! named target fail. [`matrix`] runs both, and a control that stays green is a failure of the drill.
//!
//! Reading order: [`verdict`] and [`recovery`] judge, [`report`] shows; `fleet` starts the processes and is the one
//! place that knows flags, keys and wire formats; `links_process_kill`, [`kill_moments`], `registry_process_kill`,
//! `links_overload`, [`chat_process_kill`] and [`graph_process_kill`] are the runs.

pub mod chat_process_kill;
mod fleet;
pub mod graph_process_kill;
pub mod kill_moments;
mod links_overload;
mod links_process_kill;
mod listers;
pub mod matrix;
pub mod recovery;
mod registry_process_kill;
pub mod report;
mod traffic;
pub mod verdict;
#[cfg(test)]
#[path = "../../tests/it/world.rs"]
mod world;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use seawall_policy::{Clock, Rng};

use crate::fault::process::ProcessError;
pub use report::{Event, Repeat, Report};
pub use verdict::{Measure, Target, Value, Verdict};

/// Runs of one scenario; the worst counts. One is enough to see that a drill works, three to believe it.
const REPEATS: u32 = 3;

/// A documented failure.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// As typed after `seawall drill run`.
    pub name: &'static str,
    /// What happens, in a line.
    pub title: &'static str,
    /// The document and section that promises something about it.
    pub row: &'static str,
    /// What is promised, and what else is measured.
    pub targets: &'static [Target],
    /// What must turn it red.
    pub controls: &'static [NegativeControl],
    /// How often it runs when not quick.
    repeats: u32,
    repeat: fn(Stage) -> Repeating,
}

/// One repeat on its way.
type Repeating = Pin<Box<dyn Future<Output = Result<Repeat, DrillError>>>>;

/// What one repeat is given.
struct Stage {
    options: Options,
    seed: u64,
    folder: PathBuf,
    clock: Arc<dyn Clock>,
}

/// A way to break the system's protection, and the targets that must then be missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NegativeControl {
    /// What is switched off or planted.
    pub control: Control,
    /// Names of targets, one of which must FAIL.
    pub breaks: &'static [&'static str],
}

/// What a negative control does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Runs without a mechanism.
    Without(Mechanism),
    /// Plants a bug by name (`seawall up --plant NAME`).
    Plant(&'static str),
}

/// A mechanism a drill can run without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// The balancer tries one backend and no other.
    Retry,
    /// The balancer forgets its backends as soon as no registry answers.
    Cache,
    /// Links lets everyone in alike, as long as there are places.
    Shed,
    /// Chat's gateways forget with their process what they sent to whom.
    Journal,
    /// The graph leaves writes between two databases as a crash left them.
    Repair,
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mechanism::Retry => f.write_str("retry"),
            Mechanism::Cache => f.write_str("cache"),
            Mechanism::Shed => f.write_str("shed"),
            Mechanism::Journal => f.write_str("journal"),
            Mechanism::Repair => f.write_str("repair"),
        }
    }
}

impl FromStr for Mechanism {
    type Err = DrillError;

    fn from_str(name: &str) -> Result<Mechanism, DrillError> {
        match name {
            "retry" => Ok(Mechanism::Retry),
            "cache" => Ok(Mechanism::Cache),
            "shed" => Ok(Mechanism::Shed),
            "journal" => Ok(Mechanism::Journal),
            "repair" => Ok(Mechanism::Repair),
            _ => Err(DrillError::Usage(format!(
                "there is no mechanism {name:?} to run without; there is: retry, cache, shed, journal, repair"
            ))),
        }
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Control::Without(mechanism) => write!(f, "--without {mechanism}"),
            Control::Plant(name) => write!(f, "--plant {name}"),
        }
    }
}

/// How a scenario is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The built `seawall`.
    pub binary: PathBuf,
    /// Of everything random: arrivals, victims, moments.
    pub seed: u64,
    /// Fewer processes, shorter phases, one repeat: for every change. Targets stay the same.
    pub quick: bool,
    /// Mechanisms to switch off. Each must be a negative control of the scenario.
    pub without: Vec<Mechanism>,
    /// A bug to plant. Must be a negative control of the scenario.
    pub plant: Option<String>,
    /// How many kills, where a scenario makes more than one.
    pub kills: Option<u32>,
    /// Where data and output of the processes go and stay; a temporary folder that vanishes when not given.
    pub keep: Option<PathBuf>,
}

/// Why a drill could not be carried out. A missed target is not among them: that is a [`Report`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrillError {
    /// The command makes no sense; the text says what would.
    #[error("{0}")]
    Usage(String),
    /// A process did not do what it must before anything can be measured.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Files, ports or threads of the drill itself.
    #[error("cannot {what}")]
    Setup {
        /// What was tried.
        what: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The fleet is up but does not come to serve.
    #[error("{what} within {within:?}")]
    NotServing {
        /// What did not happen.
        what: String,
        /// The bound.
        within: Duration,
    },
    /// The load generator ended by a panic of ours.
    #[error("the load generator panicked")]
    Load(#[from] tokio::task::JoinError),
}

impl DrillError {
    fn setup(what: &'static str) -> impl FnOnce(io::Error) -> DrillError {
        move |source| DrillError::Setup { what, source }
    }

    /// Process exit code of `seawall drill`: 2 for a command that makes no sense, otherwise 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if matches!(self, DrillError::Usage(_)) { 2 } else { 1 }
    }
}

/// All scenarios there are.
#[must_use]
pub fn list() -> &'static [Scenario] {
    const {
        &[
            links_process_kill::SCENARIO,
            kill_moments::SCENARIO,
            registry_process_kill::SCENARIO,
            links_overload::SCENARIO,
            chat_process_kill::SCENARIO,
            graph_process_kill::SCENARIO,
        ]
    }
}

/// The scenario of that name.
///
/// # Errors
/// When there is none; the text lists those there are.
pub fn find(name: &str) -> Result<&'static Scenario, DrillError> {
    list().iter().find(|scenario| scenario.name == name).ok_or_else(|| {
        let names: Vec<&str> = list().iter().map(|scenario| scenario.name).collect();
        DrillError::Usage(format!("there is no drill {name:?}; there is: {}", names.join(", ")))
    })
}

impl Scenario {
    /// Runs all repeats, one after the other, and judges them. Blocks; must not be called from async code.
    ///
    /// # Errors
    /// See [`DrillError`].
    pub fn run(&self, options: &Options, clock: Arc<dyn Clock>) -> Result<Report, DrillError> {
        self.check(options)?;
        let repeats = if options.quick { 1 } else { self.repeats };
        let mut seeds = Rng::new(options.seed);
        let mut done = Vec::new();
        for number in 1..=repeats {
            // The first repeat has the seed as given, so that `--seed` of a failed repeat replays it.
            let seed = if number == 1 { options.seed } else { seeds.next_u64() };
            tracing::info!(scenario = self.name, number, of = repeats, seed, "repeat begins");
            done.push(self.once(options, seed, number, clock.clone())?);
        }
        Ok(Report::new(self, options, done))
    }

    fn once(
        &self,
        options: &Options,
        seed: u64,
        number: u32,
        clock: Arc<dyn Clock>,
    ) -> Result<Repeat, DrillError> {
        let temporary = tempfile::Builder::new()
            .prefix("seawall-drill-")
            .tempdir()
            .map_err(DrillError::setup("make a temporary folder"))?;
        let folder = match &options.keep {
            Some(keep) => keep.join(format!("{}-{number}", self.name)),
            None => temporary.path().to_owned(),
        };
        let stage = Stage { options: options.clone(), seed, folder, clock };
        crate::block_on((self.repeat)(stage)).map_err(DrillError::setup("start a runtime"))?
    }

    /// Refuses what this scenario cannot be run with or without.
    fn check(&self, options: &Options) -> Result<(), DrillError> {
        let known = |control: Control| self.controls.iter().any(|c| c.control == control);
        for mechanism in &options.without {
            if !known(Control::Without(*mechanism)) {
                return Err(DrillError::Usage(format!("{} does not depend on {mechanism}", self.name)));
            }
        }
        let plants: Vec<&str> = self
            .controls
            .iter()
            .filter_map(|c| match c.control {
                Control::Plant(name) => Some(name),
                Control::Without(_) => None,
            })
            .collect();
        match &options.plant {
            Some(plant) if !plants.contains(&plant.as_str()) => Err(DrillError::Usage(format!(
                "{} would not find {plant:?}; it looks for: {}",
                self.name,
                plants.join(", ")
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            binary: "/nowhere/seawall".into(),
            seed: 1,
            quick: true,
            without: Vec::new(),
            plant: None,
            kills: None,
            keep: None,
        }
    }

    #[test]
    fn names_are_unique_and_found() {
        for scenario in list() {
            assert_eq!(find(scenario.name).unwrap().title, scenario.title);
        }
        assert!(find("nonsense").unwrap_err().to_string().contains("links-process-kill"));
    }

    #[test]
    fn every_scenario_has_a_control_for_a_bounded_target_of_its_own() {
        for scenario in list() {
            assert!(!scenario.controls.is_empty(), "{} proves nothing", scenario.name);
            for name in scenario.controls.iter().flat_map(|c| c.breaks) {
                let bounded = scenario.targets.iter().any(|t| t.name == *name && t.at_most.is_some());
                assert!(bounded, "{}: {name}", scenario.name);
            }
        }
    }

    #[test]
    fn what_a_scenario_does_not_depend_on_is_a_usage_error() {
        let scenario = find("links-kill-moments").unwrap();
        let without = Options { without: vec![Mechanism::Retry], ..options() };
        assert_eq!(scenario.check(&without).unwrap_err().exit_code(), 2);
        let plant = Options { plant: Some("nonsense".to_owned()), ..options() };
        assert!(scenario.check(&plant).unwrap_err().to_string().contains("ack-before-commit"));
        assert!("walls".parse::<Mechanism>().is_err());
        for name in ["retry", "cache", "shed", "journal", "repair"] {
            assert_eq!(name.parse::<Mechanism>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn a_binary_that_is_not_there_is_an_error_and_no_verdict() {
        struct Still;
        impl Clock for Still {
            fn now(&self) -> seawall_policy::Mono {
                seawall_policy::Mono(0)
            }
            fn wall(&self) -> seawall_policy::Wall {
                seawall_policy::Wall(0)
            }
        }
        let error = list()[0].run(&options(), Arc::new(Still)).unwrap_err();
        assert!(error.to_string().contains("/nowhere/seawall"), "{error}");
        assert_eq!(error.exit_code(), 1);
    }
}
