//! What is printed: the floor, both tables, and a line to quote.

use std::time::Duration;

use super::burst::Round;
use super::contest::{About, Check, Contest, Floor, Id, Threads, figure};
use crate::bench::judge::{Judgement, Verdict, Why, median};
use crate::bench::{Options, Plant};
use crate::servers::program::Cores;

/// Says what is about to run: it takes a while.
pub(super) fn head(options: &Options, time: Duration, cores: Cores, say: &mut dyn FnMut(&str)) {
    say("policy: what a decision costs, against one relaxed fetch_add and against the crates people use");
    let (rounds, time) = (options.rounds, time.as_secs_f64());
    say(&format!(
        "  {rounds} rounds of {time} s with one thread and {time} s with two, burst by burst in turns; {}",
        match cores {
            Cores { server: Some(one), load: Some(other) } => format!("threads on cores {one} and {other}"),
            _ => "NOT tied to cores (fewer than two, or no taskset): two threads may share one".to_owned(),
        }
    ));
    for plant in &options.plants {
        say(match plant {
            Plant::Itself => "  planted: a fetch_add in the place of our breaker",
            Plant::SlowBreaker => "  planted: a lock before our breaker",
            Plant::SlowServer => "  planted: nothing; there is no server here",
        });
    }
}

/// Says what everything cost, and how it compares.
pub(super) fn tables(
    contest: &Contest<'_>,
    rounds: &[Round],
    checks: &[Check<'_>],
    say: &mut dyn FnMut(&str),
) {
    let table = Table { contest, rounds, checks };
    say(
        "  ns a call: of one thread the fastest burst of a round, of two the lower quartile; median of the rounds",
    );
    say(&format!(
        "  of one thread a quarter of the bursts took at most {:.1} % longer than the fastest",
        table.unrest() * 100.0
    ));
    say(&line("the floor", ["1 thread", "2 threads"].map(|threads| format!("{threads:>9}"))));
    let Floor { shared, own, precise_clock, coarse_clock } = contest.floor;
    for id in [shared, own, precise_clock, coarse_clock] {
        say(&table.row(id, |_| None));
    }
    say(&line("`now` passed in", heads("× floor")));
    for row in &contest.rows {
        say(&table.row(row.told, |threads| table.find(About::Floor(row.told, threads))));
        if let Some(judgement) = table.find(About::SecondThread(row.told)) {
            let cell = format!("{:>9}{}", "", judged(judgement));
            say(&line("    with a second thread / without", [String::new(), cell]));
        }
    }
    say(&line("its own readings; coarse / theirs", heads("ours / theirs")));
    for row in &contest.rows {
        say(&table.row(row.reading, |_| None));
        // Beside it and not judged: what the coarse clock saves.
        if let Some(precise) = row.precise {
            say(&table.row(precise, |_| None));
        }
        for other in &row.others {
            say(&format!("  {}", table.row(*other, |threads| table.find(About::Opponent(*other, threads)))));
        }
    }
}

/// Says the line to quote, and returns what it comes to: a miss if anything was missed.
pub(super) fn summary(checks: &[Check<'_>], say: &mut dyn FnMut(&str)) -> Verdict {
    let (verdict, line) = summed_up(checks);
    if verdict == Verdict::Missed {
        say(
            "  crates/seawall-lab/bars.toml says where the bars come from, docs/benchmarks.md why one is missed",
        );
    }
    say(&line);
    verdict
}

fn summed_up(checks: &[Check<'_>]) -> (Verdict, String) {
    let of = |wanted: fn(Verdict) -> bool| -> Vec<&Check<'_>> {
        checks.iter().filter(|check| wanted(check.judgement.verdict)).collect()
    };
    let missed = of(|verdict| verdict == Verdict::Missed);
    let unmeasured = of(|verdict| matches!(verdict, Verdict::NotMeasured(_)));
    let met = of(|verdict| verdict == Verdict::Met).len();
    let told = |check: &&Check<'_>| {
        let Check { words, bar, judgement, .. } = check;
        format!("{words} {:.2}, bar {} {:.2}", judgement.ratio, bar.measure.sign(), bar.must)
    };
    let all = checks.len();
    if checks.iter().any(|check| check.judgement.verdict == Verdict::NotJudged) {
        return (Verdict::NotJudged, format!("policy: not judged (smoke): {all} ratios"));
    }
    if !missed.is_empty() {
        let list: Vec<String> = missed.iter().map(told).collect();
        let counts = format!("{} of {all} ({met} met, {} not measured)", missed.len(), unmeasured.len());
        return (Verdict::Missed, format!("policy: MISSED: {counts}: {}", list.join("; ")));
    }
    if let Some(first) = unmeasured.first() {
        let list: Vec<&str> = unmeasured.iter().map(|check| check.words.as_str()).collect();
        let counts = format!("{} of {all} ({met} met)", unmeasured.len());
        return (first.judgement.verdict, format!("policy: NOT MEASURED: {counts}: {}", list.join("; ")));
    }
    (Verdict::Met, format!("policy: met: all {all} ratios"))
}

struct Table<'a> {
    contest: &'a Contest<'a>,
    rounds: &'a [Round],
    checks: &'a [Check<'a>],
}

impl Table<'_> {
    fn row<'j>(&self, id: Id, judgement: impl Fn(Threads) -> Option<&'j Judgement>) -> String {
        let subject = &self.contest.subjects[id];
        let cells = Threads::BOTH.map(|threads| {
            if threads == Threads::Two && !subject.shared {
                return format!("{:>9}", "–");
            }
            let figures = self.rounds.iter().map(|round| figure(round, (id, threads)));
            format!("{:>9.2}{}", middle(figures), judgement(threads).map(judged).unwrap_or_default())
        });
        line(&format!("  {}", subject.name), cells)
    }

    fn find(&self, about: About) -> Option<&Judgement> {
        self.checks.iter().find(|check| check.about == about).map(|check| &check.judgement)
    }

    /// By how much a quarter of the bursts were at most slower than the fastest, of whoever it was most.
    fn unrest(&self) -> f64 {
        let of = |id: Id| {
            middle(self.rounds.iter().map(|round| round.alone[id].quartile / round.alone[id].fastest - 1.0))
        };
        (0..self.contest.subjects.len()).map(of).fold(0.0, f64::max)
    }
}

fn heads(ratio: &str) -> [String; 2] {
    ["1 thread", "2 threads"].map(|threads| format!("{threads:>9} {ratio:>14}, spread"))
}

fn line(name: &str, [one, two]: [String; 2]) -> String {
    format!("  {name:<36}{one:<40}{two}").trim_end().to_owned()
}

fn judged(judgement: &Judgement) -> String {
    let Judgement { ratio, spread, verdict, .. } = judgement;
    let word = match verdict {
        Verdict::Met => "met",
        Verdict::Missed => "MISSED",
        Verdict::NotMeasured(Why::FewBursts) => "NOT MEASURED: few bursts",
        Verdict::NotMeasured(_) => "NOT MEASURED",
        Verdict::NotJudged => "",
    };
    format!("{ratio:>7.2} {:>6.1} %  {word}", spread * 100.0)
}

fn middle(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    median(&figures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::bars::Bars;

    fn summary_of(verdicts: &[(&str, Verdict)]) -> (Verdict, String) {
        let bars = Bars::read().unwrap().policy;
        let check = |(words, verdict): &(&str, Verdict)| Check {
            about: About::SecondThread(0),
            words: (*words).to_owned(),
            bar: &bars.breaker,
            judgement: Judgement { ratios: vec![2.41], ratio: 2.41, spread: 0.02, verdict: *verdict },
        };
        summed_up(&verdicts.iter().map(check).collect::<Vec<_>>())
    }

    #[test]
    fn the_line_to_quote_names_what_was_missed_and_then_what_was_not_measured() {
        let unmeasured = Verdict::NotMeasured(Why::Spread);
        let (a, b, c) = (("a", Verdict::Met), ("b", Verdict::Missed), ("c", unmeasured));
        let (verdict, line) = summary_of(&[a, b, c]);
        assert_eq!(verdict, Verdict::Missed);
        assert_eq!(line, "policy: MISSED: 1 of 3 (1 met, 1 not measured): b 2.41, bar ≤ 2.00");
        assert_eq!(summary_of(&[a, c]), (unmeasured, "policy: NOT MEASURED: 1 of 2 (1 met): c".to_owned()));
        assert_eq!(summary_of(&[a, a]), (Verdict::Met, "policy: met: all 2 ratios".to_owned()));
        let smoke = summary_of(&[("a", Verdict::NotJudged)]);
        assert_eq!(smoke, (Verdict::NotJudged, "policy: not judged (smoke): 1 ratios".to_owned()));
    }

    #[test]
    fn a_verdict_stands_beside_its_ratio_and_spread() {
        let cell = |verdict| judged(&Judgement { ratios: Vec::new(), ratio: 1.114, spread: 0.0234, verdict });
        assert_eq!(cell(Verdict::Met), "   1.11    2.3 %  met");
        assert_eq!(cell(Verdict::NotMeasured(Why::Spread)), "   1.11    2.3 %  NOT MEASURED");
        assert_eq!(cell(Verdict::NotJudged).trim_end(), "   1.11    2.3 %");
    }
}
