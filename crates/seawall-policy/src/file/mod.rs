//! Policies in a file: one schema for what the five documents each say in their own way.
//!
//! ```toml
//! [policy.breaker.ranking]             # [policy.KIND.NAME], [ladder.NAME]
//! preset = "s1-feed"                   # where it begins; without it, the kind's default
//! open = { for = "20s" }               # and what differs
//!
//! [policy.call.ranking]                # joins the others for calls to one callee
//! timeout = "150ms"
//! breaker = "ranking"                  # of the file, or a preset
//! fallback = "chronological"
//! calls = ["graph"]
//! [policy.call.graph]
//!
//! [[ladder.feed.rung]]
//! level = 1
//! name = "ranking degraded"
//! enter = "p95(ranking) > 100ms for 10s or breaker(ranking) != closed"
//! exit = "p95(ranking) < 60ms for 30s"
//! effects = ["ranking=light"]
//! ```
//! [`parse`] takes text and gives a [`Set`], or everything that is wrong with it, each with its line.
//!
//! ## Why a table for calls
//!
//! The documents write a time-out and a fallback into the breaker, a budget into the retry. But one breaker
//! policy serves many callees, and each contradiction in the documents lies *between* tables: the feed cuts
//! ranking at 50 ms and waits for it to take 100; the link shortener falls back to a database whose limit it
//! does not name; three systems that call each other retry 4 × 3 × 4 = 48 times. So what belongs to one callee
//! stands in one place, which is also where those are found.
//!
//! ## What is an error and what a warning
//!
//! A policy file is read at three in the morning by someone who believes what it says. So what **can never
//! happen**, or **does harm by itself** whenever it does happen, is an error, and nothing starts with it:
//!
//! | contradiction | found in |
//! |---|---|
//! | a rung that waits for a time at which every call has been cut | S1: 100 ms of what is cut at 50 ms |
//! | a rung without a gap between where it is entered and left | S0: tiers without numbers |
//! | fewer waits than pauses between tries | S4: 3 waits, and a loop that goes on |
//! | tries that time out one after the other beyond the deadline | S3: "increase timeout" |
//! | another callee as fallback, without a limit of its own | S2: Redis down, straight to the database |
//! | retries of "too busy" that nothing limits | S1: RESOURCE_EXHAUSTED, three times |
//! | what must not happen twice, tried again or hedged | S3: idempotent requests only |
//! | a hedge that no budget pays for | none has a budget |
//! | a probe that may take longer than the breaker waits for it | |
//! | a circle of calls, a name of nothing | |
//!
//! What happens **at some rates and not at others** is a warning, because whoever wrote it may know the rate:
//! amplification above 3 (every try must fail), a breaker's window shorter than two tries (one caller never
//! trips it, a hundred do), an open time shorter than the window (at high rates it trips at once), waits that
//! are never used, and an alternative of a condition that is never seen while another one is.
//!
//! Presets alone are never complained about; a policy begun from one is, for what it changes.
//!
//! ## What it does not do
//!
//! It reads no file and resolves no includes. It cannot know rates, and judges no number for being unwise.

mod call;
mod contradictions;
mod kind;
mod nearest;
mod places;
mod problem;
mod read;
mod set;
mod worst;

use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use self::call::{Call, Elsewhere, Fallback};
pub use self::contradictions::CALLS_DEPTH_MAX;
use self::kind::{KINDS, Kind, Policy};
use self::nearest::{did_you_mean, nearest};
use self::places::Places;
use self::problem::Finding;
pub use self::problem::{Problem, Severity};
use self::read::{Misfit, one_line};
pub use self::set::{Entry, Set};

/// Bytes a text may have. A policy is about 300; a configuration file around it seldom has more.
pub const TEXT_MAX: usize = 1 << 20;
/// Policies a text may have. The largest of ours, all presets of all documents, has under 50.
pub const POLICIES_MAX: usize = 1_000;
/// Values in one policy. The longest of ours, a ladder of five rungs, has 40.
pub const VALUES_MAX: usize = 1_000;
/// Characters of a name.
pub const NAME_MAX: usize = 64;
/// Problems told at once; who has more mends these first.
pub const PROBLEMS_MAX: usize = 100;

/// What was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loaded {
    /// The policies.
    pub set: Set,
    /// What someone should know about them, by line.
    pub warnings: Vec<Problem>,
}

/// Reads a file of policies and nothing else. `file_name` is what problems name.
///
/// # Errors
/// Everything wrong with it by line, warnings included: at most [`PROBLEMS_MAX`] and one that says so.
pub fn parse(text: &str, file_name: &str) -> Result<Loaded, Vec<Problem>> {
    load(text, file_name, true)
}

/// The same for the policies within a configuration file: its other tables are somebody else's.
///
/// # Errors
/// As [`parse`].
pub fn parse_within(text: &str, file_name: &str) -> Result<Loaded, Vec<Problem>> {
    load(text, file_name, false)
}

fn load(text: &str, file_name: &str, is_whole: bool) -> Result<Loaded, Vec<Problem>> {
    let problem = |line: usize, Finding { key, message, severity }: Finding| Problem {
        file: file_name.to_owned(),
        line,
        key,
        message,
        severity,
    };
    if text.len() > TEXT_MAX {
        let advice = format!("use at most {TEXT_MAX} bytes; there are {}", text.len());
        return Err(vec![problem(1, Finding::error("", advice))]);
    }
    let root = match DeTable::parse(text) {
        Ok(root) => root.into_inner(),
        Err(error) => {
            let line = error.span().map_or(1, |span| Places::of_lines(text).line_at(span.start));
            return Err(vec![problem(line, Finding::error("", one_line(error.message())))]);
        }
    };
    let mut loader = Loader { places: Places::new(text, &root), ..Loader::default() };
    loader.file(&root, is_whole);
    let Loader { places, mut set, mut found, broken, .. } = loader;
    let told: BTreeSet<String> = found.iter().map(|finding| finding.key.clone()).collect();
    let contradictions = contradictions::find(&set, &broken, |key| places.has(key));
    // What is wrong by itself is not compared with others as well.
    found.extend(contradictions.into_iter().filter(|finding| !told.contains(&finding.key)));

    let is_refused = found.iter().any(|finding| finding.severity == Severity::Error);
    if !is_refused {
        set.warn(found.clone());
    }
    let mut problems: Vec<Problem> =
        found.into_iter().map(|finding| problem(places.line_of(&finding.key), finding)).collect();
    problems.sort_by(|a, b| (a.line, &a.key, a.severity).cmp(&(b.line, &b.key, b.severity)));
    if problems.len() > PROBLEMS_MAX {
        problems.truncate(PROBLEMS_MAX);
        let line = problems[PROBLEMS_MAX - 1].line;
        problems.push(problem(line, Finding::error("", "there is more; mend these first")));
    }
    if is_refused { Err(problems) } else { Ok(Loaded { set, warnings: problems }) }
}

#[derive(Default)]
struct Loader {
    places: Places,
    set: Set,
    found: Vec<Finding>,
    /// Full names of policies that could not be read.
    broken: BTreeSet<String>,
    policies: usize,
}

impl Loader {
    fn file(&mut self, root: &DeTable<'_>, is_whole: bool) {
        for (key, value) in root {
            match key.get_ref().as_ref() {
                "policy" => self.kinds(value),
                "ladder" => self.named("ladder", value),
                other if is_whole => {
                    self.error(
                        other,
                        "use [policy.KIND.NAME] or [[ladder.NAME.rung]]; a policy file has no other tables",
                    );
                }
                _ => {}
            }
        }
    }

    /// `[policy.…]`: kinds, each with policies by name.
    fn kinds(&mut self, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(kinds) = value.get_ref() else {
            return self.error("policy", "use tables such as [policy.breaker.NAME]");
        };
        for (kind, value) in kinds {
            let section = format!("policy.{}", kind.get_ref());
            if KINDS.iter().any(|kind| kind.section() == section) {
                self.named(&section, value);
                continue;
            }
            let known =
                KINDS.iter().filter(|kind| kind.section().starts_with("policy.")).map(|kind| kind.name());
            let known: Vec<&str> = known.collect();
            let meant = did_you_mean(&nearest(kind.get_ref(), known.iter().copied()));
            self.error(&section, format!("use one of {}{meant}", known.join(", ")));
        }
    }

    /// The policies of one kind.
    fn named(&mut self, section: &str, value: &Spanned<DeValue<'_>>) {
        let Some(kind) = KINDS.iter().copied().find(|kind| kind.section() == section) else { return };
        let DeValue::Table(named) = value.get_ref() else {
            return self.error(section, format!("use a table with a name, such as [{section}.mine]"));
        };
        for (name, value) in named {
            let name = name.get_ref().as_ref();
            let key = format!("{section}.{name}");
            self.policies += 1;
            if self.policies > POLICIES_MAX {
                return self.error(&key, format!("use at most {POLICIES_MAX} policies"));
            }
            self.one(kind, name, &key, value);
        }
    }

    fn one(&mut self, kind: &'static dyn Kind, name: &str, key: &str, value: &Spanned<DeValue<'_>>) {
        if !is_name(name) {
            self.error(key, format!("use a name of 1 to {NAME_MAX} characters a-z, 0-9 and -"));
        }
        if kind.presets().contains(&name) {
            self.error(
                key,
                "use another name: this one is a preset's, and means its document's numbers everywhere",
            );
        }
        let DeValue::Table(own) = value.get_ref() else {
            return self.error(key, format!("use a table, such as [{key}]"));
        };
        // Each problem costs another reading of the whole.
        let is_long = values(value.get_ref()) > VALUES_MAX;
        if is_long {
            self.error(key, format!("use at most {VALUES_MAX} values in one policy"));
        }
        match (!is_long).then(|| self.read(kind, key, own.clone())).flatten() {
            Some(policy) => self.set.insert(kind, name, policy),
            None => {
                self.broken.insert(format!("{}.{name}", kind.name()));
            }
        }
    }

    /// One policy; none when something in it cannot be read. What can be read is checked all the same.
    fn read(&mut self, kind: &dyn Kind, key: &str, mut own: DeTable<'_>) -> Option<Policy> {
        let base = own.remove("preset").map(|preset| self.preset(kind, key, &preset));
        let is_known = base.as_ref().is_none_or(Option::is_some);
        let base = base.flatten().unwrap_or_else(|| kind.default());
        // One more than is told, so that the end of the list is known not to be all.
        let left = (PROBLEMS_MAX + 1).saturating_sub(self.found.len());
        let (policy, misfits) = read::over(kind, &base, own, left);
        let is_good = is_known && misfits.is_empty();
        let mut wrong = Vec::new();
        for Misfit { span, message } in misfits {
            let at = span.and_then(|span| self.places.key_of(&span).map(str::to_owned));
            let at = at.unwrap_or_else(|| key.to_owned());
            self.error(&at, message.as_str());
            if !message.starts_with("unknown field") {
                wrong.push(at);
            }
        }
        let policy = policy?;
        for advice in kind.check(&policy) {
            let (place, advice) = advice.split_once(": ").unwrap_or(("", &advice));
            let at = if place.is_empty() { key.to_owned() } else { format!("{key}.{place}") };
            // It may be wrong only because of what now stands in the place of a neighbour, or is gone from it.
            if !wrong.iter().any(|wrong| around(wrong) == around(&at) || wrong.starts_with(&at)) {
                self.error(&at, advice);
            }
        }
        is_good.then_some(policy)
    }

    fn preset(&mut self, kind: &dyn Kind, key: &str, preset: &Spanned<DeValue<'_>>) -> Option<Policy> {
        let known = kind.presets();
        let name = preset.get_ref().as_str().unwrap_or_default();
        let policy = kind.preset(name);
        if policy.is_none() {
            let advice = match nearest(name, known.iter().copied()).as_slice() {
                _ if known.is_empty() => format!("use none: there are no presets for a {}", kind.name()),
                [] => format!("use one of {}", known.join(", ")),
                near => format!("use one of {}; there is none called {name:?}", near.join(", ")),
            };
            self.error(&format!("{key}.preset"), advice);
        }
        policy
    }

    fn error(&mut self, key: &str, advice: impl Into<String>) {
        self.found.push(Finding::error(key, advice));
    }
}

fn is_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

/// How many values there are, those in arrays and tables included.
fn values(value: &DeValue<'_>) -> usize {
    match value {
        DeValue::Array(array) => array.iter().map(|element| values(element.get_ref())).sum(),
        DeValue::Table(table) => table.values().map(|value| values(value.get_ref())).sum(),
        _ => 1,
    }
}

/// The key of the table that a key stands in.
fn around(key: &str) -> &str {
    key.rfind(['.', '[']).map_or("", |end| &key[..end])
}
