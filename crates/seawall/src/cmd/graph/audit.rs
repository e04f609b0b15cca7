//! `seawall graph audit`: does every cache hear of every change?
//!
//! It hears of changes as a cache does, from the change stream, and picks some keys of them, each with the version that
//! was committed. One second later, and again ten seconds later, it asks each place for that key's version. A memory may
//! not hold the key; but what it holds must not be older than what had been committed by then. The store is asked too:
//! an acknowledged version that it does not have is lost.
//!
//! Comparing with what was committed *then*, and not with what the store says now, makes this exact: however fast a key
//! changes, no answer that is in time is counted as late. (Facebook's Polaris checks its caches in this way.)
//!
//! ## Why keys that change, and not keys that are stored
//!
//! Nearly all that is stored is in no memory, and what does not change cannot become wrong. A sample of what is stored
//! would check little, and would rarely look where an invalidation was lost.

use std::collections::{BTreeMap, VecDeque};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use http::{Method, StatusCode};
use seawall_graph::api::http::wire::{Change, Changes, VersionThere, WireKey};
use seawall_net::clock::SystemClock;
use seawall_policy::{Clock, Mono, Rng};
use serde::Serialize;
use tokio::task::JoinSet;

use super::call::{Graph, part, read};
use crate::cmd::terminal::plain;
use crate::exit::{Failure, TARGET_MISSED};

/// When each key is looked at, after it was heard of.
const AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
/// The places that are asked.
const PLACES: [&str; 3] = ["follower", "leader", SOURCE];
/// The store itself.
const SOURCE: &str = "source";
/// How often it is asked for changes, and looked for keys that are due.
const POLL: Duration = Duration::from_millis(50);
/// Answers under way at a time.
const UNDER_WAY_MAX: usize = 32;
/// Requests for changes of one database at a time, before keys that are due are looked at.
const PAGES_MAX: u32 = 20;
/// Inconsistencies shown in full; all are counted.
const SHOWN_MAX: usize = 20;
/// With none found among n, fewer than 3 in n are there (95 %): the rule of three.
const RULE_OF_THREE: f64 = 3.0;

#[derive(Args)]
pub(super) struct AuditArgs {
    /// How long changes are heard; it ends ten seconds later
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How many keys are looked at, spread over that time
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    sample: u64,
}

/// What an audit found.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Changes heard.
    changes: u64,
    /// Keys looked at.
    sampled: u64,
    /// Stretches of changes that were gone before they were heard.
    missed: u64,
    /// Questions that had no answer.
    unanswered: u64,
    /// By time and place.
    looks: Vec<Look>,
    /// By time.
    verdicts: Vec<Verdict>,
    /// What was too old, in words.
    found: Vec<String>,
}

/// What one place said at one time.
#[derive(Debug, Serialize)]
struct Look {
    after_seconds: u64,
    place: &'static str,
    /// Keys it held.
    checked: u64,
    /// Keys it did not hold.
    absent: u64,
    /// Keys it held at an older version.
    inconsistent: u64,
}

/// What all caches said at one time.
#[derive(Debug, Serialize)]
struct Verdict {
    after_seconds: u64,
    checked: u64,
    inconsistent: u64,
    /// Nothing where too little was checked to tell.
    nines: Option<f64>,
}

/// A key to be looked at.
#[derive(Clone)]
struct Watched {
    key: WireKey,
    version: u64,
    heard: Mono,
}

pub(super) async fn run(graph: &Graph, args: AuditArgs) -> Result<ExitCode, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut audit = Audit::begin(graph, &args, clock).await?;
    audit.listen_and_look().await?;
    let report = audit.report();
    graph.print(&report, || report.table(graph, &args))?;
    let late = report.looks.iter().filter(|look| look.after_seconds == AFTER[1].as_secs());
    let is_bad = late.map(|look| look.inconsistent).sum::<u64>() > 0;
    Ok(if is_bad { ExitCode::from(TARGET_MISSED) } else { ExitCode::SUCCESS })
}

struct Audit<'a> {
    graph: &'a Graph,
    clock: Arc<dyn Clock>,
    rng: Rng,
    begun: Mono,
    lasting: Duration,
    sample: u64,
    /// Where each database's changes go on.
    next: Vec<u64>,
    /// Keys by how often they were looked at, oldest first: all of one queue wait equally long.
    queues: [VecDeque<Watched>; 2],
    report: Report,
}

impl<'a> Audit<'a> {
    async fn begin(graph: &'a Graph, args: &AuditArgs, clock: Arc<dyn Clock>) -> Result<Audit<'a>, Failure> {
        let shards: serde_json::Value = graph.get("/v1/shards").await?;
        let shards = shards["shards"].as_array().map_or(0, Vec::len);
        let mut next = Vec::with_capacity(shards);
        for shard in 0..shards {
            let from: Changes = graph.get(&format!("/v1/changes?shard={shard}")).await?;
            next.push(from.next);
        }
        let looks = AFTER.iter().flat_map(|after| {
            let after_seconds = after.as_secs();
            PLACES.map(|place| Look { after_seconds, place, checked: 0, absent: 0, inconsistent: 0 })
        });
        let report = Report { looks: looks.collect(), ..Report::default() };
        let begun = clock.now();
        Ok(Audit {
            graph,
            rng: Rng::new(begun.0 ^ clock.wall().0.cast_unsigned()),
            clock,
            begun,
            lasting: Duration::from_secs(args.seconds),
            sample: args.sample,
            next,
            queues: Default::default(),
            report,
        })
    }

    async fn listen_and_look(&mut self) -> Result<(), Failure> {
        loop {
            let now = self.clock.now();
            let is_listening = now.since(self.begun) < self.lasting;
            if is_listening {
                for shard in 0..self.next.len() {
                    self.listen(shard).await?;
                }
            }
            for round in 0..AFTER.len() {
                self.look(round).await;
            }
            if !is_listening && self.queues.iter().all(VecDeque::is_empty) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Hears what changed in one database, and picks from it.
    async fn listen(&mut self, shard: usize) -> Result<(), Failure> {
        // The last version of a key is the one to be held against the caches.
        let mut heard: BTreeMap<WireKey, u64> = BTreeMap::new();
        for _ in 0..PAGES_MAX {
            let path = format!("/v1/changes?shard={shard}&after={}", self.next[shard]);
            let answer = self.graph.send(Method::GET, &path, None, None).await?;
            if answer.status() == StatusCode::GONE {
                self.report.missed += 1;
                let from: Changes = self.graph.get(&format!("/v1/changes?shard={shard}")).await?;
                self.next[shard] = from.next;
                break;
            }
            let Changes { changes, next } = read(&answer)?;
            let is_all = changes.is_empty();
            self.next[shard] = next;
            self.report.changes += changes.len() as u64;
            heard.extend(changes.into_iter().map(|Change { key, version }| (key, version)));
            if is_all {
                break;
            }
        }
        self.pick(heard);
        Ok(())
    }

    /// Any of them, as many as are due by now: so that a burst does not use up what later changes need.
    fn pick(&mut self, heard: BTreeMap<WireKey, u64>) {
        let now = self.clock.now();
        let passed = (now.since(self.begun).as_secs_f64() / self.lasting.as_secs_f64()).min(1.0);
        let due = (self.sample as f64 * passed).ceil() as u64;
        let mut heard: Vec<(WireKey, u64)> = heard.into_iter().collect();
        while self.report.sampled < due && !heard.is_empty() {
            let at = (self.rng.next_u64() % heard.len() as u64) as usize;
            let (key, version) = heard.swap_remove(at);
            self.queues[0].push_back(Watched { key, version, heard: now });
            self.report.sampled += 1;
        }
    }

    /// Asks every place about the keys whose time has come.
    async fn look(&mut self, round: usize) {
        let mut due = Vec::new();
        while let Some(first) = self.queues[round].front()
            && self.clock.now().since(first.heard) >= AFTER[round]
            && let Some(watched) = self.queues[round].pop_front()
        {
            due.push(watched);
        }
        let mut asked =
            due.iter().flat_map(|watched| (0..PLACES.len()).map(move |place| (watched.clone(), place)));
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < UNDER_WAY_MAX
                && let Some((watched, place)) = asked.next()
            {
                let graph = self.graph.clone();
                under_way.spawn(async move {
                    let there = graph.get::<VersionThere>(&path(&watched.key, PLACES[place])).await;
                    (watched, place, there)
                });
            }
            let Some(done) = under_way.join_next().await else { break };
            match done {
                Ok((watched, place, Ok(there))) => self.judge(round, place, &watched, there.version),
                Ok((_, _, Err(_))) | Err(_) => self.report.unanswered += 1,
            }
        }
        if let Some(later) = self.queues.get_mut(round + 1) {
            later.extend(due);
        }
    }

    fn judge(&mut self, round: usize, place: usize, watched: &Watched, there: Option<u64>) {
        let look = &mut self.report.looks[round * PLACES.len() + place];
        let Some(there) = there else {
            look.absent += 1;
            return;
        };
        look.checked += 1;
        if there >= watched.version {
            return;
        }
        look.inconsistent += 1;
        if self.report.found.len() < SHOWN_MAX {
            let key = match &watched.key {
                WireKey::Object(id) => format!("object {}", id.0),
                WireKey::List(id1, atype) => format!("list {} {atype}", id1.0),
            };
            let (place, seconds, version) = (PLACES[place], AFTER[round].as_secs(), watched.version);
            self.report.found.push(format!(
                "{place} has version {there} of {key}; {version} was committed {seconds} s before"
            ));
        }
    }

    fn report(mut self) -> Report {
        for after in AFTER.map(|after| after.as_secs()) {
            // The store is right by definition, unless it lost something; it must not make the caches look better.
            let is_cache = |look: &&Look| look.after_seconds == after && look.place != SOURCE;
            let looks = || self.report.looks.iter().filter(is_cache);
            let (checked, inconsistent) =
                (looks().map(|look| look.checked).sum(), looks().map(|look| look.inconsistent).sum());
            let verdict =
                Verdict { after_seconds: after, checked, inconsistent, nines: nines(checked, inconsistent) };
            self.report.verdicts.push(verdict);
        }
        self.report
    }
}

fn path(key: &WireKey, place: &str) -> String {
    match key {
        WireKey::Object(id) => format!("/v1/versions/objects/{}?at={place}", id.0),
        WireKey::List(id1, atype) => format!("/v1/versions/lists/{}/{}?at={place}", id1.0, part(atype)),
    }
}

/// The nines of a share: 0.999 has three. Where nothing was found, at least so many, with 95 % confidence.
fn nines(checked: u64, inconsistent: u64) -> Option<f64> {
    let bad = if inconsistent == 0 { RULE_OF_THREE } else { inconsistent as f64 };
    // Of less than three that are all right nothing can be said.
    let share = bad / checked as f64;
    (checked > 0 && share <= 1.0).then(|| (-share.log10()).max(0.0))
}

impl Report {
    fn table(&self, graph: &Graph, args: &AuditArgs) -> String {
        let Report { changes, sampled, missed, unanswered, .. } = self;
        let mut out = format!(
            "audit of {}, {} s: {changes} changes heard, {sampled} keys looked at\n\n{:<10} {:>7}  {:>9}  {:>9}  {:>12}\n",
            graph.addr, args.seconds, "place", "after", "checked", "not held", "inconsistent"
        );
        for Look { after_seconds, place, checked, absent, inconsistent } in &self.looks {
            out +=
                &format!("{place:<10} {after_seconds:>5} s  {checked:>9}  {absent:>9}  {inconsistent:>12}\n");
        }
        out.push('\n');
        for Verdict { after_seconds, checked, inconsistent, nines } in &self.verdicts {
            let nines = match nines {
                None => "too few to tell".to_owned(),
                Some(nines) if *inconsistent == 0 => format!("at least {nines:.1} nines (95 % confidence)"),
                Some(nines) => format!("{nines:.1} nines"),
            };
            out += &format!("at +{after_seconds} s: {inconsistent} of {checked} inconsistent: {nines}\n");
        }
        for (count, what) in [
            (missed, "stretches of changes were gone before they were heard"),
            (unanswered, "questions had no answer"),
        ] {
            if *count > 0 {
                out += &format!("{count} {what}\n");
            }
        }
        if *changes == 0 {
            out += "nothing changed meanwhile, so there was nothing to check; run it while the graph is written to\n";
        }
        for found in &self.found {
            out += &format!("{}\n", plain(found));
        }
        out.truncate(out.trim_end().len());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nines_are_counted_from_what_was_checked() {
        let told = |checked, bad| nines(checked, bad).map(|nines| (nines * 10.0).round() / 10.0);
        assert_eq!(told(1000, 1), Some(3.0));
        assert_eq!(told(3_000_000, 0), Some(6.0));
        assert_eq!(told(4, 4), Some(0.0));
        assert_eq!(told(2, 0), None);
        assert_eq!(told(0, 0), None);
    }
}
