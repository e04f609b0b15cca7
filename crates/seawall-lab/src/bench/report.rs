//! What a bench prints: what was run, both sides, the verdict; a line to quote last.

use super::bars::Bar;
use super::contest::{Contest, Round, Side};
use super::judge::{CPU_MIN, Judgement, ROUNDS_MIN, SPREAD_MAX, Verdict, Why, median};
use super::wrk::CONNECTIONS;
use super::{Options, Plant};
use crate::LabError;
use crate::servers::program::Cores;

/// Says what is about to run: it takes a while.
pub(super) fn head(contest: &Contest, options: &Options, cores: Cores, say: &mut dyn FnMut(&str)) {
    let Contest { name, operation, ours, theirs, notes, .. } = contest;
    let Options { rounds, seconds, .. } = options;
    say(&format!("{name}: {} against {}; an operation is {operation}", ours.name, theirs.name));
    say(&format!(
        "  {rounds} rounds of {seconds} s of each side in turns; wrk, 1 thread, {CONNECTIONS} kept connections; {}",
        match cores {
            Cores { server: Some(server), load: Some(load) } => {
                format!("servers on core {server}, everything else on core {load}")
            }
            _ => "NOT tied to cores (fewer than two, or no taskset): servers and load disturb each other"
                .to_owned(),
        }
    ));
    for plant in &options.plants {
        say(match plant {
            Plant::Itself => "  planted: a second copy of the opponent in our place",
            Plant::SlowServer => "  planted: one more hop before our side, counted as ours",
            Plant::SlowBreaker => "  planted: nothing; this is not the bench of breakers",
        });
    }
    for note in notes {
        say(&format!("  note: {note}"));
    }
}

/// Says what each side did and needed.
pub(super) fn sides(
    contest: &Contest,
    rounds: &[(Round, Round)],
    say: &mut dyn FnMut(&str),
) -> Result<(), LabError> {
    say(&format!(
        "  {:<18}{:>12}{:>10}{:>9}{:>11}{:>8}{:>8}{:>9}{:>9}{:>9}",
        "", "operations", "bytes/op", "op/s", "CPU µs/op", "user", "system", "p50 ms", "p99 ms", "RAM MiB"
    ));
    let (ours, theirs): (Vec<Round>, Vec<Round>) = rounds.iter().copied().unzip();
    say(&row(&contest.ours, &ours)?);
    say(&row(&contest.theirs, &theirs)?);
    Ok(())
}

/// Sums for what adds up, medians of the rounds for what does not.
fn row(side: &Side, rounds: &[Round]) -> Result<String, LabError> {
    let sum = |of: &dyn Fn(&Round) -> f64| rounds.iter().map(of).sum::<f64>();
    let middle = |of: &dyn Fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        median(&values)
    };
    let operations = sum(&|round| round.load.requests as f64);
    let per_operation = |micros: f64| micros / operations;
    Ok(format!(
        "  {:<18}{operations:>12}{:>10.0}{:>9.0}{:>11.2}{:>8.2}{:>8.2}{:>9.2}{:>9.2}{:>9.1}",
        side.name,
        sum(&|round| round.load.bytes as f64) / operations,
        operations / sum(&|round| round.load.took.as_secs_f64()),
        per_operation(sum(&|round| round.cpu.total().as_secs_f64() * 1e6)),
        per_operation(sum(&|round| round.cpu.user.as_secs_f64() * 1e6)),
        per_operation(sum(&|round| round.cpu.system.as_secs_f64() * 1e6)),
        middle(&|round| round.load.p50.as_secs_f64() * 1e3),
        middle(&|round| round.load.p99.as_secs_f64() * 1e3),
        side.resident()? as f64 / f64::from(1 << 20),
    ))
}

/// Says what follows from it, the line to quote last.
pub(super) fn verdict(contest: &Contest, bar: &Bar, judgement: &Judgement, say: &mut dyn FnMut(&str)) {
    let ratios: Vec<String> = judgement.ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    say(&format!("  {}, ours / theirs, by round: {}", bar.measure.words(), ratios.join(" ")));
    if judgement.verdict == Verdict::Missed {
        say(
            "  crates/seawall-lab/bars.toml says where the bar comes from, docs/benchmarks.md why it is missed",
        );
    }
    say(&summary(contest.name, contest.theirs.name, bar, judgement));
}

/// The line to quote.
fn summary(name: &str, opponent: &str, bar: &Bar, judgement: &Judgement) -> String {
    let Judgement { ratio, spread, verdict, .. } = judgement;
    let word = match verdict {
        Verdict::Met => "met".to_owned(),
        Verdict::Missed => "MISSED".to_owned(),
        Verdict::NotMeasured(why) => format!("NOT MEASURED ({})", reason(*why)),
        Verdict::NotJudged => "not judged (smoke)".to_owned(),
    };
    let aim = bar.aim.map(|aim| format!(", aim {aim:.2}")).unwrap_or_default();
    format!(
        "{name}: {word}: {ratio:.2} × {opponent} in {}, bar {} {:.2}{aim}, spread {:.1} %",
        bar.measure.words(),
        bar.measure.sign(),
        bar.must,
        spread * 100.0
    )
}

fn reason(why: Why) -> String {
    match why {
        Why::Spread => format!("the rounds differ by more than {:.0} %", SPREAD_MAX * 100.0),
        Why::FewRounds => format!("fewer than {ROUNDS_MIN} rounds"),
        Why::FewBursts => "too few bursts of a round count".to_owned(),
        Why::LittleCpu => format!("a round with less than {} ms of CPU time", CPU_MIN.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::bars::Bars;
    use super::*;

    fn line(verdict: Verdict) -> String {
        let judgement = Judgement { ratios: vec![1.2], ratio: 1.2, spread: 0.031, verdict };
        summary("balancer", "nginx proxy", &Bars::read().unwrap().balancer, &judgement)
    }

    #[test]
    fn the_line_to_quote_has_ratio_bar_and_verdict() {
        assert_eq!(
            line(Verdict::Missed),
            "balancer: MISSED: 1.20 × nginx proxy in CPU per operation, bar ≤ 1.00, aim 0.87, spread 3.1 %"
        );
        assert!(line(Verdict::Met).starts_with("balancer: met: "));
        assert!(line(Verdict::NotJudged).starts_with("balancer: not judged (smoke): "));
        let unmeasured = line(Verdict::NotMeasured(Why::Spread));
        assert!(unmeasured.contains("NOT MEASURED (the rounds differ by more than 10 %)"), "{unmeasured}");
    }
}
