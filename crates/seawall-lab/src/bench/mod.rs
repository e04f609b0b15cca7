//! Ours against an opponent: one run, the same load, in turns.
//!
//! ```text
//! links.rs, balancer.rs   start both sides and say what a right answer is
//! contest.rs              asks both for it, then plays the rounds: ours, theirs, ours, theirs …
//! wrk.rs, cpu.rs          what a round yields: answers, and the CPU time they took
//! judge.rs, bars.rs       whether that is good enough, or says anything at all
//! report.rs               what is printed
//! ```
//!
//! Three of them are of another kind, with rounds and a report of their own: [`Bench::Policy`] (`policy/`) measures
//! functions and not servers, [`Bench::Chat`] (`chat/`) what one message costs that a thousand hear, [`Bench::Graph`]
//! (`graph/`) rows and mixes against several opponents. Bars and verdicts are the same.
//!
//! # Is the bench itself right?
//!
//! Two plants answer that without believing anybody. [`Plant::Itself`] puts a second copy of the
//! opponent in our place: the ratio must come out as 1. [`Plant::SlowServer`] puts one more hop
//! before our side, whose work is then ours: with both, a bench that is green alone turns red.

mod balancer;
pub mod bars;
mod chat;
pub mod contest;
pub mod cpu;
mod graph;
pub mod judge;
mod links;
mod policy;
mod report;
pub mod wrk;

use std::path::PathBuf;

use bars::Bars;
use judge::Verdict;

use crate::LabError;
use crate::servers::program::Cores;

/// A bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Bench {
    /// Redirects of random codes, against an nginx `map`.
    Links,
    /// Keep-alive proxying, against nginx.
    Balancer,
    /// The mechanisms on each request's path, against one `fetch_add` and against other crates.
    Policy,
    /// Fan-out to logged-in sessions, against nats-server and nchan.
    Chat,
    /// Objects and associations, against Redis, PostgreSQL and the one before the other.
    Graph,
}

impl Bench {
    /// Each of them.
    pub const ALL: &[Bench] = &[Bench::Links, Bench::Balancer, Bench::Policy, Bench::Chat, Bench::Graph];
}

/// Something done to our side on purpose, to see that the bench notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Plant {
    /// A second copy of the opponent in our place: any ratio but 1 is the bench's own mistake.
    Itself,
    /// One more hop (an nginx proxy) before our side, whose CPU time counts as ours. No proxy of ours speaks RESP:
    /// the graph's requests are sent twice and counted once.
    SlowServer,
    /// A lock before our breaker.
    SlowBreaker,
}

/// How a bench is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The built binary.
    pub seawall: PathBuf,
    /// Rounds of each side.
    pub rounds: u32,
    /// Seconds of a round.
    pub seconds: u32,
    /// Whether this is a run for figures: a full set-up, a warm-up, and a verdict. Otherwise only a
    /// look at whether the bench works.
    pub full: bool,
    /// Whether what is set up may be smaller: figures to work with, not to publish.
    pub quick: bool,
    /// What to do to our side.
    pub plants: Vec<Plant>,
}

impl Options {
    fn plants(&self, plant: Plant) -> bool {
        self.plants.contains(&plant)
    }
}

/// Runs one bench; `say` is given every line of the report as soon as it is known, the summary last.
///
/// # Errors
/// When there is nothing to report: a program is missing, a server does not start or answers
/// wrongly, requests fail.
pub async fn run(bench: Bench, options: &Options, say: &mut dyn FnMut(&str)) -> Result<Verdict, LabError> {
    let bars = Bars::read()?;
    let cores = Cores::apart();
    let (mut contest, bar) = match bench {
        Bench::Links => (links::prepare(options, cores).await?, &bars.links),
        Bench::Balancer => (balancer::prepare(options, cores).await?, &bars.balancer),
        Bench::Policy => return policy::run(&bars.policy, options, cores, say),
        Bench::Chat => return chat::run(&bars.chat, options, cores, say).await,
        Bench::Graph => return graph::run(&bars.graph, options, cores, say),
    };
    if options.plants(Plant::SlowServer) {
        contest.ours.behind_a_hop(cores).await?;
    }
    report::head(&contest, options, cores, say);
    contest.agree().await?;
    let rounds = contest.play(options).await?;
    let pairs: Vec<_> = rounds
        .iter()
        .map(|(ours, theirs)| judge::Pair { ours: ours.cost(), theirs: theirs.cost() })
        .collect();
    let judgement = judge::judge(bar, &pairs, options.full);
    report::sides(&contest, &rounds, say)?;
    report::verdict(&contest, bar, &judgement, say);
    Ok(judgement.verdict)
}
