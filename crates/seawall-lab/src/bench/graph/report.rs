//! What is printed: rows with their bars, mixes, stale reads, and a line to quote.

use super::op::Kind;
use super::play::Outcome;
use super::row::Row;
use super::side::{Memory, Side};
use super::{MixFigures, RowFigures, Size};
use crate::LabError;
use crate::bench::bars::{Bar, GraphBars};
use crate::bench::judge::{self, Judgement, Pair, SPREAD_MAX, Verdict, Why, median};
use crate::bench::{Options, Plant};
use crate::servers::memory::Group;
use crate::servers::program::Cores;

/// A cache that answers more than this has everything, and is compared with nothing.
const HIT_RATE_MAX: f64 = 0.999;

/// Says what is about to run: it takes a while.
pub(super) fn head(options: &Options, size: Size, cores: Cores, say: &mut dyn FnMut(String)) {
    let Size { scale, clients, time, .. } = size;
    say("graph: objects and associations, against Redis, PostgreSQL, and Redis before PostgreSQL".to_owned());
    say(format!(
        "  {} rounds of {} s of each side in turns; {clients} clients with one thing under way at a time; {}",
        options.rounds,
        time.as_secs_f64(),
        match cores {
            Cores { server: Some(server), load: Some(load) } => {
                format!("servers on core {server}, load on core {load}")
            }
            _ => "NOT tied to cores (fewer than two, or no taskset): servers and load disturb each other"
                .to_owned(),
        }
    ));
    say(format!(
        "  rows: {} objects of 150 bytes, {} lists of 50 edges ({}); mixes: {} edges, inverses not counted",
        scale.row_objects,
        scale.row_lists,
        Kind::Entry.name(),
        scale.edges
    ));
    for plant in &options.plants {
        say(match plant {
            Plant::Itself => "  planted: in our place a second Redis and a second PostgreSQL, and in the mixes one before the other",
            Plant::SlowServer => "  planted: each request of our rows sent twice and counted once",
            Plant::SlowBreaker => "  planted: nothing; this is not the bench of breakers",
        }
        .to_owned());
    }
}

/// Says every row; the verdicts on them.
pub(super) fn rows(
    bars: &GraphBars,
    rows: &[RowFigures],
    options: &Options,
    say: &mut dyn FnMut(String),
) -> Vec<(Row, Judgement)> {
    say(format!(
        "  {:<34}{:>11}{:>10}{:>13}{:>11}{:>8}{:>8}{:>9}{:>9}{:>11}",
        "", "operations", "op/s", "op/CPU-s", "CPU µs/op", "user", "system", "p50 ms", "p99 ms", "load core"
    ));
    let judge = |RowFigures { row, ours, theirs }: &RowFigures| {
        let bar = bar(bars, *row);
        let pairs: Vec<Pair> = ours
            .iter()
            .zip(theirs)
            .map(|(ours, theirs)| Pair { ours: ours.cost(), theirs: theirs.cost() })
            .collect();
        (*row, judge::judge(bar, &pairs, options.full))
    };
    let judged: Vec<_> = rows.iter().map(judge).collect();
    for (RowFigures { row, ours, theirs }, (_, judgement)) in rows.iter().zip(&judged) {
        say(line(row.name(), ours));
        say(line(row.theirs(), theirs));
        let Bar { must, aim, .. } = bar(bars, *row);
        let ratios: Vec<String> = judgement.ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        say(format!(
            "    {}: {:.2} × in operations per CPU-second, bar ≥ {must:.2}{}, spread {:.1} %; by round: {}",
            word(judgement.verdict),
            judgement.ratio,
            aim.map(|aim| format!(", aim {aim:.2}")).unwrap_or_default(),
            judgement.spread * 100.0,
            ratios.join(" ")
        ));
    }
    judged
}

fn bar(bars: &GraphBars, row: Row) -> &Bar {
    match row {
        Row::Get => &bars.get,
        Row::Range => &bars.range,
        Row::RangeData => &bars.range_data,
        Row::Pipeline | Row::MultiGet => &bars.multi_get,
        Row::Add => &bars.add,
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Missed => "MISSED",
        Verdict::NotMeasured(Why::Spread) => "NOT MEASURED (the rounds differ by more than 10 %)",
        Verdict::NotMeasured(Why::FewRounds) => "NOT MEASURED (too few rounds)",
        Verdict::NotMeasured(_) => "NOT MEASURED (a round with too little CPU time)",
        Verdict::NotJudged => "not judged (smoke)",
    }
}

/// Sums for what adds up, medians of the rounds for what does not.
fn line(name: &str, outcomes: &[Outcome]) -> String {
    let sum = |of: &dyn Fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>();
    let operations = sum(&|outcome| outcome.operations as f64);
    let seconds = sum(&|outcome| outcome.took.as_secs_f64());
    let cpu = sum(&|outcome| outcome.cpu.total().as_secs_f64());
    format!(
        "  {name:<34}{operations:>11.0}{:>10.0}{:>13.0}{:>11.2}{:>8.2}{:>8.2}{:>9.2}{:>9.2}{:>9.0} %",
        operations / seconds,
        operations / cpu,
        cpu * 1e6 / operations,
        sum(&|outcome| outcome.cpu.user.as_secs_f64()) * 1e6 / operations,
        sum(&|outcome| outcome.cpu.system.as_secs_f64()) * 1e6 / operations,
        middle(outcomes.iter().map(|outcome| outcome.delay(0.5))),
        middle(outcomes.iter().map(|outcome| outcome.delay(0.99))),
        sum(&|outcome| outcome.load.as_secs_f64()) / seconds * 100.0,
    )
}

/// Says how memory is made equal, and how full everybody is.
pub(super) fn memory(
    sides: &[Side],
    groups: &[Option<Group>; 2],
    (memory, limit): (Memory, u64),
    say: &mut dyn FnMut(String),
) -> Result<(), LabError> {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    say(format!(
        "  caches: ours {} follower and {} leader, Redis before PostgreSQL maxmemory {:.0} MiB (allkeys-lru); {}",
        memory.follower,
        memory.leader,
        mib(memory.bytes),
        if groups.iter().all(Option::is_some) {
            format!(
                "all of either side, pages of its files included, held to {:.0} MiB by a control group",
                mib(limit)
            )
        } else {
            "NOT held to equal memory beside that: no control group can be made here".to_owned()
        }
    ));
    let mut cells = Vec::new();
    for side in sides {
        cells.push(format!("{} {:.0} MiB", side.name, mib(side.resident()?)));
    }
    say(format!("  resident after loading: {}", cells.join(", ")));
    Ok(())
}

/// Says one mix.
pub(super) fn mix(figures: &MixFigures, sides: &[Side], say: &mut dyn FnMut(String)) -> Result<(), LabError> {
    let MixFigures { mix, sides: outcomes, checks } = figures;
    say(format!(
        "  {:<34}{:>11}{:>10}{:>13}{:>11}{:>8}{:>8}{:>9}{:>9}{:>11}{:>10}{:>8}{:>16}",
        mix.name(),
        "operations",
        "op/s",
        "op/CPU-s",
        "CPU µs/op",
        "user",
        "system",
        "p50 ms",
        "p99 ms",
        "load core",
        "hit rate",
        "again",
        "stale at +1 s"
    ));
    for ((side, outcomes), (checked, stale)) in sides.iter().zip(outcomes).zip(checks) {
        let rate = hit_rate(outcomes).map_or_else(|| "-".to_owned(), |rate| format!("{:.2} %", rate * 100.0));
        let again: u64 = outcomes.iter().map(|outcome| outcome.again).sum();
        let note = hit_rate(outcomes).filter(|rate| *rate >= HIT_RATE_MAX);
        let note = note.map_or("", |_| "  (it holds everything: compare nothing)");
        let stale = format!("{stale} of {checked}");
        say(format!("{}{rate:>10}{again:>8}{stale:>16}{note}", line(side.name, outcomes)));
    }
    let against = |other: usize| {
        let per_second = |outcomes: &[Outcome]| -> Vec<f64> {
            outcomes.iter().map(|outcome| outcome.cost().per_cpu_second()).collect()
        };
        let mut ratios: Vec<f64> = per_second(&outcomes[0])
            .into_iter()
            .zip(per_second(&outcomes[other]))
            .map(|(ours, theirs)| ours / theirs)
            .collect();
        ratios.sort_by(f64::total_cmp);
        let spread = (ratios[ratios.len() - 1] - ratios[0]) / median(&ratios);
        let doubt = if spread > SPREAD_MAX { ", NOT MEASURED" } else { "" };
        format!("{:.2} × {} (spread {:.0} %{doubt})", median(&ratios), sides[other].name, spread * 100.0)
    };
    let ratios: Vec<String> = (1..sides.len()).map(against).collect();
    say(format!("    ours in operations per CPU-second: {}", ratios.join(", ")));
    Ok(())
}

fn hit_rate(outcomes: &[Outcome]) -> Option<f64> {
    let sums = outcomes.iter().map(|outcome| outcome.hits).try_fold((0, 0), |(hits, misses), one| {
        let (more_hits, more_misses) = one?;
        Some((hits + more_hits, misses + more_misses))
    });
    sums.filter(|(hits, misses)| hits + misses > 0).map(|(hits, misses)| hits as f64 / (hits + misses) as f64)
}

/// Says stale reads of all mixes together.
pub(super) fn mixes(mixes: &[MixFigures], say: &mut dyn FnMut(String)) {
    if let Some(first) = mixes.first() {
        let cells: Vec<String> = (0..first.checks.len())
            .map(|side| {
                let (checked, stale) = stale_of(mixes, side);
                format!("{stale} of {checked}")
            })
            .collect();
        say(format!(
            "  stale reads a second after an acknowledged write: ours {}, Redis before PostgreSQL {}, Redis {}, PostgreSQL {}",
            cells[0], cells[1], cells[2], cells[3]
        ));
    }
}

fn stale_of(mixes: &[MixFigures], side: usize) -> (u64, u64) {
    mixes.iter().map(|mix| mix.checks[side]).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// The line to quote, and what it all comes to.
pub(super) fn summary(
    bars: &GraphBars,
    rows: &[(Row, Judgement)],
    mixes: &[MixFigures],
    options: &Options,
    say: &mut dyn FnMut(String),
) -> Verdict {
    let count = |is: &dyn Fn(Verdict) -> bool| rows.iter().filter(|(_, one)| is(one.verdict)).count();
    let met = count(&|verdict| verdict == Verdict::Met);
    let missed = count(&|verdict| verdict == Verdict::Missed);
    let unmeasured = rows.iter().map(|(_, one)| one.verdict).find(|v| matches!(v, Verdict::NotMeasured(_)));
    let (checked, stale) = stale_of(mixes, 0);
    let is_stale = stale > bars.stale.at_most && !options.plants.contains(&Plant::Itself);
    let verdict = match unmeasured {
        // Also in a smoke run: a stale read is one however short the look.
        _ if is_stale => Verdict::Missed,
        _ if !options.full => Verdict::NotJudged,
        _ if missed > 0 => Verdict::Missed,
        Some(unmeasured) => unmeasured,
        None => Verdict::Met,
    };
    let head = match verdict {
        Verdict::NotMeasured(_) => "NOT MEASURED",
        other => word(other),
    };
    let ratios: Vec<String> =
        rows.iter().map(|(row, one)| format!("{} {:.2} ×", row.name(), one.ratio)).collect();
    if verdict == Verdict::Missed {
        say("  crates/seawall-lab/bars.toml says where the bars come from, docs/benchmarks.md why one is missed"
            .to_owned());
    }
    say(format!(
        "graph: {head}: {met} of {} rows met, {missed} missed; {}; stale reads {stale} of {checked}, bar ≤ {}",
        rows.len(),
        ratios.join(", "),
        bars.stale.at_most
    ));
    verdict
}

fn middle(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    median(&figures)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::world::Mix;
    use super::*;
    use crate::bench::bars::Bars;
    use crate::bench::cpu::Cpu;

    fn options(full: bool) -> Options {
        Options { seawall: "none".into(), rounds: 3, seconds: 1, full, quick: false, plants: Vec::new() }
    }

    /// A second of CPU time for so many operations.
    fn outcome(operations: u64) -> Outcome {
        let second = Duration::from_secs(1);
        let cpu = Cpu { user: second, system: Duration::ZERO };
        Outcome { operations, took: second, cpu, delays: vec![1_000_000], ..Outcome::default() }
    }

    fn said(ours: [u64; 3], stale: u64, full: bool) -> (Verdict, Vec<String>) {
        let bars = Bars::read().unwrap().graph;
        let figures = RowFigures {
            row: Row::Get,
            ours: ours.map(outcome).to_vec(),
            theirs: [100_000; 3].map(outcome).to_vec(),
        };
        let mixes = [MixFigures {
            mix: Mix::LinkBench,
            sides: Vec::new(),
            checks: vec![(100, stale), (100, 7), (100, 0), (100, 0)],
        }];
        let mut lines = Vec::new();
        let mut say = |line: String| lines.push(line);
        let judged = rows(&bars, &[figures], &options(full), &mut say);
        super::mixes(&mixes, &mut say);
        let verdict = summary(&bars, &judged, &mixes, &options(full), &mut say);
        (verdict, lines)
    }

    #[test]
    fn a_row_below_its_bar_is_missed_and_so_is_one_stale_read() {
        let (verdict, lines) = said([100_000; 3], 0, true);
        assert_eq!(verdict, Verdict::Met);
        assert_eq!(
            lines.last().unwrap(),
            "graph: met: 1 of 1 rows met, 0 missed; OBJ.GET 1.00 ×; stale reads 0 of 100, bar ≤ 0"
        );
        assert!(lines.iter().any(|line| line.contains("Redis before PostgreSQL 7 of 100")), "{lines:?}");
        assert_eq!(said([99_000; 3], 0, true).0, Verdict::Missed);
        assert_eq!(said([100_000; 3], 1, true).0, Verdict::Missed);
        assert_eq!(said([100_000; 3], 1, false).0, Verdict::Missed);
    }

    #[test]
    fn rounds_that_disagree_and_smoke_say_nothing() {
        let (verdict, lines) = said([100_000, 120_000, 150_000], 0, true);
        assert_eq!(verdict, Verdict::NotMeasured(Why::Spread));
        assert!(lines.last().unwrap().starts_with("graph: NOT MEASURED: 0 of 1"), "{lines:?}");
        let (verdict, lines) = said([50_000; 3], 0, false);
        assert_eq!(verdict, Verdict::NotJudged);
        assert!(lines.last().unwrap().starts_with("graph: not judged (smoke): "), "{lines:?}");
    }

    #[test]
    fn a_hit_rate_is_over_all_rounds() {
        let with = |hits| Outcome { hits, ..outcome(1) };
        assert_eq!(hit_rate(&[with(Some((90, 10))), with(Some((0, 100)))]), Some(0.45));
        assert_eq!(hit_rate(&[with(None)]), None);
    }
}
