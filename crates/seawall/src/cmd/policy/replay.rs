//! `seawall policy replay`: a trace through one policy, line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use seawall_policy::file::{Entry, Set};
use seawall_policy::replay::trace::{Bad, LINE_MAX, Reader};
use seawall_policy::replay::{CHANGES_MAX, Record, Replay, Report};
use seawall_policy::retry::BudgetPolicy;
use seawall_policy::{breaker, inflight, ladder, rate, retry, shed};
use serde_json::json;

use super::print;
use crate::config;
use crate::exit::Failure;

/// Bad lines shown in full; all are counted.
const SHOWN_MAX: usize = 20;
/// Changes shown without --verbose: they and what follows fit on a screen.
const CHANGES_SHOWN: usize = 20;
/// Kinds that a trace can be replayed through. Of a name that several share, the first is meant.
const KINDS: [&str; 6] = ["breaker", "retry", "bulkhead", "rate", "shed", "ladder"];

#[derive(Args)]
pub(crate) struct ReplayArgs {
    /// The policy: s0-chat, or with its kind retry.s3-request
    name: String,
    /// The trace; - is standard input
    #[arg(long, value_name = "FILE")]
    trace: PathBuf,
    /// A file of policies, beside the built-in ones
    #[arg(long, value_name = "FILE")]
    policies: Option<PathBuf>,
    /// The column or key that tells calls apart: each of its values has a breaker, bulkhead or limit of its
    /// own
    #[arg(long, value_name = "COLUMN")]
    by: Option<String>,
    /// For a retry policy: the budget its callers share; when left out, 20 % of the calls and 10 a second
    #[arg(long, value_name = "NAME")]
    budget: Option<String>,
    /// For a shedder or ladder: how many requests in flight are a load of 1
    #[arg(long, value_name = "REQUESTS", value_parser = clap::value_parser!(u32).range(1..))]
    capacity: Option<u32>,
    /// Of the jitter of a retry policy
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Go on without the lines that cannot be read
    #[arg(long)]
    skip_bad: bool,
    /// Show every change, not the first twenty
    #[arg(long)]
    verbose: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    let set = policies(args.policies.as_deref())?;
    let (entry, others) = resolve(&set, &args.name)?;
    let mut replay = begin(&set, &entry, args)?;
    let mut reader = args.by.as_deref().map_or_else(Reader::new, Reader::by);
    let mut step = |record: Record| replay.step(&record).map_err(|e| Failure::Failed(e.to_string()));
    let bad = read(&args.trace, &mut reader, &mut step)?;
    bad.tell();
    if bad.count > 0 && !args.skip_bad {
        return Err(Failure::Failed(format!(
            "{} could not be read; mend the trace, or go on without with --skip-bad",
            lines(bad.count)
        )));
    }
    let mut calls = 0_u64;
    while let Some(record) = reader.rest() {
        calls += 1;
        step(record)?;
    }
    if calls == 0 {
        return Err(Failure::Failed(format!("{} holds no call", name(&args.trace))));
    }
    let text = match args.json {
        true => json(&entry, &replay.finish(), &reader, bad.count),
        false => text(&entry, &others, &replay.finish(), &reader, bad.count, args.verbose),
    };
    print(&text)
}

/// The policies to choose from.
fn policies(file: Option<&Path>) -> Result<Set, Failure> {
    let Some(path) = file else { return Ok(Set::default()) };
    let loaded = config::policies::read(path)?;
    loaded.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    Ok(loaded.set)
}

/// The policy of this name that a trace can be replayed through, and the others there are.
fn resolve(set: &Set, name: &str) -> Result<(Entry, Vec<Entry>), Failure> {
    let found = set.find(name);
    let of_kind = |kind: &&str| found.iter().find(|entry| entry.kind() == *kind).cloned();
    let mut fit = KINDS.iter().filter_map(of_kind);
    if let Some(first) = fit.next() {
        return Ok((first, fit.collect()));
    }
    Err(Failure::Usage(match found.first() {
        Some(other) => format!("{} cannot be replayed; a {} can", other.full_name(), KINDS.join(", a ")),
        None => match set.nearest(name).as_slice() {
            [] => format!("there is no policy called {name}; one is s0-chat"),
            near => format!("there is no policy called {name}; did you mean {}?", near.join(" or ")),
        },
    }))
}

fn begin(set: &Set, entry: &Entry, args: &ReplayArgs) -> Result<Replay, Failure> {
    let (kind, name) = (entry.kind(), entry.name());
    let only_for = |given: bool, flag: &str, kinds: &[&str]| match given && !kinds.contains(&kind) {
        true => Err(Failure::Usage(format!("{flag} says nothing to a {kind}; leave it out"))),
        false => Ok(()),
    };
    only_for(args.by.is_some(), "--by", &["breaker", "bulkhead", "rate", "shed", "ladder"])?;
    only_for(args.budget.is_some(), "--budget", &["retry"])?;
    only_for(args.capacity.is_some(), "--capacity", &["shed", "ladder"])?;
    let replay = match kind {
        "breaker" => set.get::<breaker::Policy>(name).map(Replay::breaker),
        "retry" => {
            let budget = match &args.budget {
                Some(name) => set.get::<BudgetPolicy>(name).ok_or_else(|| {
                    Failure::Usage(format!(
                        "there is no budget called {name}; a file can name one as [policy.budget.{name}]"
                    ))
                })?,
                None => BudgetPolicy::default(),
            };
            set.get::<retry::Policy>(name).map(|policy| Replay::retry(policy, budget, args.seed))
        }
        "bulkhead" => set.get::<inflight::Policy>(name).map(Replay::bulkhead),
        "rate" => set.get::<rate::Policy>(name).map(Replay::rate),
        "shed" => {
            let capacity = args.capacity.ok_or_else(|| {
                Failure::Usage("a shedder acts on load: say with --capacity how many requests in flight are all there may be".to_owned())
            })?;
            set.get::<shed::Policy>(name).map(|policy| Replay::shed(&policy, capacity))
        }
        "ladder" => set.get::<ladder::Policy>(name).map(|policy| Replay::ladder(policy, args.capacity)),
        _ => None,
    };
    replay.ok_or_else(|| Failure::Internal(format!("{} has no replay", entry.full_name())))
}

/// What could not be read.
struct BadLines {
    file: String,
    shown: Vec<(u64, Bad)>,
    count: u64,
}

impl BadLines {
    fn add(&mut self, line: u64, bad: Bad) {
        self.count += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push((line, bad));
        }
    }

    fn tell(&self) {
        for (line, why) in &self.shown {
            eprintln!("{}:{line}: {why}", self.file);
        }
        let more = self.count - self.shown.len() as u64;
        if more > 0 {
            eprintln!("and {} more", lines(more));
        }
    }
}

/// Hands over each record but those that still wait when the trace ends.
fn read(
    trace: &Path,
    reader: &mut Reader,
    step: &mut impl FnMut(Record) -> Result<(), Failure>,
) -> Result<BadLines, Failure> {
    let file = name(trace);
    let failed = |e: io::Error| Failure::Failed(format!("cannot read {file}: {e}"));
    let (mut input, size) = open(trace).map_err(failed)?;
    let bar = progress(size);
    let mut bad = BadLines { file: file.clone(), shown: Vec::new(), count: 0 };
    let (mut line, mut number) = (Vec::new(), 0);
    while next_line(&mut input, &mut line).map_err(failed)? {
        number += 1;
        bar.inc(line.len() as u64);
        match reader.line(&line) {
            Ok(Some(record)) => step(record)?,
            Ok(None) => {}
            Err(why) if why.is_header => return Err(Failure::Failed(format!("{file}:{number}: {why}"))),
            Err(why) => bad.add(number, why),
        }
    }
    bar.finish_and_clear();
    Ok(bad)
}

type Input = Box<dyn BufRead>;

/// The trace, and how long it is where that is known.
fn open(trace: &Path) -> io::Result<(Input, Option<u64>)> {
    if trace.as_os_str() == "-" {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let file = File::open(trace)?;
    let there = file.metadata()?;
    if there.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    Ok((Box::new(BufReader::new(file)), there.is_file().then_some(there.len())))
}

/// The next line, of which no more is kept than is needed to see that it is too long. False at the end.
fn next_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    input.take(LINE_MAX as u64 + 1).read_until(b'\n', line)?;
    if line.len() > LINE_MAX && line.last() != Some(&b'\n') {
        input.skip_until(b'\n')?;
    }
    Ok(!line.is_empty())
}

fn json(entry: &Entry, report: &Report, reader: &Reader, bad: u64) -> String {
    let all = json!({
        "policy": entry.full_name(),
        "start": reader.start().map(|start| start.to_string()),
        "bad_lines": bad,
        "refused_lines": reader.refused(),
        "report": report,
    });
    format!("{all}\n")
}

fn text(
    entry: &Entry,
    others: &[Entry],
    report: &Report,
    reader: &Reader,
    bad: u64,
    verbose: bool,
) -> String {
    let mut text = entry.full_name();
    if !others.is_empty() {
        let others: Vec<String> = others.iter().map(Entry::full_name).collect();
        text += &format!(" (there is {} as well)", others.join(" and "));
    }
    text += "\n";
    if bad > 0 {
        text += &format!("{} could not be read and are missing here.\n", lines(bad));
    }
    if reader.refused() > 0 {
        text += &format!("{} told of requests for which nobody was called.\n", lines(reader.refused()));
    }
    text + &report.text(reader.start(), if verbose { CHANGES_MAX } else { CHANGES_SHOWN })
}

fn name(trace: &Path) -> String {
    if trace.as_os_str() == "-" { "standard input".to_owned() } else { trace.display().to_string() }
}

fn lines(count: u64) -> String {
    format!("{count} line{}", if count == 1 { "" } else { "s" })
}

/// A bar on a terminal, nothing elsewhere.
fn progress(size: Option<u64>) -> ProgressBar {
    let target = match io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(size, target);
    let template = if size.is_some() { "{bar:40} {bytes}/{total_bytes} {eta}" } else { "{bytes} read" };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
