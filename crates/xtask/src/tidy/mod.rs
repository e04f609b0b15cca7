//! The rules of the house that a compiler does not know, each a small function over the tree.
//!
//! A rule that is only written down is kept until the first hurry. Every one here has a test that
//! plants what it forbids and sees it found. All problems are printed, not the first: whoever runs
//! this wants one round of mending.

use crate::run::Failure;
use metadata::Metadata;
use tree::{Problem, Tree};

mod bans;
mod house;
mod layers;
mod map;
mod metadata;
pub(crate) mod source;
pub(crate) mod tree;

type Rule = fn(&Tree) -> Vec<Problem>;
type GraphRule = fn(&Metadata) -> Vec<Problem>;

const RULES: &[Rule] = &[
    layers::edges,
    layers::owned_dependencies,
    layers::one_feature_list,
    layers::inherited,
    layers::flat,
    layers::names,
    bans::spawning,
    bans::clocks,
    bans::retry_loops,
    bans::ignored_tests,
    house::system_files,
    house::long_files,
    house::unfinished,
    house::machine_paths,
    house::registry_hosts,
    house::lock_sources,
    house::ci_script,
    house::readme_test_command,
    map::rows,
];

/// Rules about what we depend on, as Cargo resolves it.
const GRAPH_RULES: &[GraphRule] = &[metadata::licences, metadata::avoided, metadata::rust_version];

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if let Some(arg) = args.first() {
        return Err(Failure::usage(format!("tidy takes no argument, not `{arg}`")));
    }
    let tree = Tree::read()?;
    let metadata = Metadata::read()?;
    let mut problems: Vec<Problem> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    problems.extend(GRAPH_RULES.iter().flat_map(|rule| rule(&metadata)));
    problems.sort();
    for problem in &problems {
        println!("{problem}");
    }
    let rules = RULES.len() + GRAPH_RULES.len();
    println!("tidy: {rules} rules, {} files, {} problems", tree.len(), problems.len());
    if problems.is_empty() { Ok(()) } else { Err(Failure::new("the house is not tidy")) }
}
