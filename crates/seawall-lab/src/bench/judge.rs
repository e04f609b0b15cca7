//! From the rounds of a bench to a verdict. Knows figures only: no process, no clock.
//!
//! Both sides play in turns, and a round of ours is compared with the round of theirs right after
//! it: what the machine did in that moment, it did to both. The verdict is on the median of those
//! ratios, and only when they agree: a ratio that moves by more than a tenth from round to round
//! says more about the machine than about us, whichever side of the bar its median fell on.

use std::time::Duration;

use super::bars::Bar;

/// Largest spread of the rounds' ratios, (largest − smallest) / median, that is still a measurement.
pub const SPREAD_MAX: f64 = 0.10;

/// Fewest pairs of rounds that show a spread at all.
pub const ROUNDS_MIN: usize = 3;

/// Least CPU time of a side in a round. The kernel tells it in steps of 10 ms: less than 20 of them
/// are wrong by more than a twentieth.
pub const CPU_MIN: Duration = Duration::from_millis(200);

/// What a side did in a round, and what it needed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Answers counted by the load generator.
    pub operations: u64,
    /// CPU time of all threads of the side's processes, user and system.
    pub cpu: Duration,
}

impl Cost {
    /// CPU microseconds of one operation.
    #[must_use]
    pub fn micros_per_operation(self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.operations as f64
    }

    /// Operations one second of CPU time pays for.
    #[must_use]
    pub fn per_cpu_second(self) -> f64 {
        self.operations as f64 / self.cpu.as_secs_f64()
    }
}

/// One turn of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Ours.
    pub ours: Cost,
    /// The opponent's.
    pub theirs: Cost,
}

/// What a bench says in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The bar was reached.
    Met,
    /// It was not.
    Missed,
    /// The figures allow no verdict.
    NotMeasured(Why),
    /// Nobody asked for one: a smoke run only shows that the bench works.
    NotJudged,
}

/// Why there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The rounds disagree by more than [`SPREAD_MAX`].
    Spread,
    /// There were fewer than [`ROUNDS_MIN`].
    FewRounds,
    /// A side used less than [`CPU_MIN`] in some round, or answered nothing.
    LittleCpu,
    /// Too few bursts of some round count.
    FewBursts,
}

/// The verdict, with what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Of each pair of rounds, in the measure of the bar.
    pub ratios: Vec<f64>,
    /// Their median.
    pub ratio: f64,
    /// (Largest − smallest) / median.
    pub spread: f64,
    /// The verdict.
    pub verdict: Verdict,
}

/// Judges `rounds` by `bar`, or only counts where `asked` is false.
#[must_use]
pub fn judge(bar: &Bar, rounds: &[Pair], asked: bool) -> Judgement {
    let ratios = rounds.iter().map(|pair| ratio(bar, *pair)).collect();
    let silent = rounds.iter().any(|pair| !says_something(pair.ours) || !says_something(pair.theirs));
    settle(bar, ratios, silent.then_some(Why::LittleCpu), asked)
}

/// The verdict on the ratios of all rounds, unless there is a `doubt` about what they rest on.
pub(super) fn settle(bar: &Bar, ratios: Vec<f64>, doubt: Option<Why>, asked: bool) -> Judgement {
    let mut sorted = ratios.clone();
    sorted.sort_by(f64::total_cmp);
    let ratio = median(&sorted);
    let spread = match (sorted.first(), sorted.last()) {
        (Some(smallest), Some(largest)) => (largest - smallest) / ratio,
        _ => f64::NAN,
    };
    let verdict = if !asked {
        Verdict::NotJudged
    } else if ratios.len() < ROUNDS_MIN {
        Verdict::NotMeasured(Why::FewRounds)
    } else if let Some(doubt) = doubt {
        Verdict::NotMeasured(doubt)
    } else if spread > SPREAD_MAX {
        Verdict::NotMeasured(Why::Spread)
    } else if bar.measure.reaches(ratio, bar.must) {
        Verdict::Met
    } else {
        Verdict::Missed
    };
    Judgement { ratios, ratio, spread, verdict }
}

fn ratio(bar: &Bar, Pair { ours, theirs }: Pair) -> f64 {
    match bar.measure {
        super::bars::Measure::OperationsPerCpuSecond => ours.per_cpu_second() / theirs.per_cpu_second(),
        // Whatever is measured per operation, less is better.
        _ => ours.micros_per_operation() / theirs.micros_per_operation(),
    }
}

fn says_something(cost: Cost) -> bool {
    cost.operations > 0 && cost.cpu >= CPU_MIN
}

/// The middle of sorted values; of an even number, between the two in the middle.
pub(super) fn median(sorted: &[f64]) -> f64 {
    match sorted {
        [] => f64::NAN,
        _ if sorted.len() % 2 == 1 => sorted[sorted.len() / 2],
        _ => f64::midpoint(sorted[sorted.len() / 2 - 1], sorted[sorted.len() / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::bars::Measure;
    use super::*;

    fn bar(measure: Measure, must: f64) -> Bar {
        Bar { what: String::new(), measure, must, aim: None, source: String::new() }
    }

    /// A second of CPU time on both sides; theirs does 100,000 operations, ours `share` of that.
    fn pair(share: f64) -> Pair {
        let cpu = Duration::from_secs(1);
        Pair {
            ours: Cost { operations: (100_000.0 * share).round() as u64, cpu },
            theirs: Cost { operations: 100_000, cpu },
        }
    }

    #[test]
    fn verdicts() {
        use Measure::{CpuPerOperation, OperationsPerCpuSecond};
        use Verdict::{Met, Missed, NotMeasured};
        // (measure, bar, what ours does of theirs in each round, verdict)
        let table: &[(Measure, f64, &[f64], Verdict)] = &[
            (OperationsPerCpuSecond, 0.85, &[0.90, 0.90, 0.90], Met),
            (OperationsPerCpuSecond, 0.85, &[0.85, 0.85, 0.85], Met),
            (OperationsPerCpuSecond, 0.85, &[0.84, 0.84, 0.84], Missed),
            // One round below the bar is no miss; the median counts.
            (OperationsPerCpuSecond, 0.85, &[0.83, 0.86, 0.87], Met),
            (OperationsPerCpuSecond, 0.85, &[0.83, 0.84, 0.87], Missed),
            // An even number: between the two in the middle.
            (OperationsPerCpuSecond, 0.85, &[0.84, 0.84, 0.87, 0.87], Met),
            // Twice their operations are half their CPU per operation.
            (CpuPerOperation, 1.00, &[2.0, 2.0, 2.0], Met),
            (CpuPerOperation, 1.00, &[1.0, 1.0, 1.0], Met),
            (CpuPerOperation, 1.00, &[0.99, 0.99, 0.99], Missed),
            (CpuPerOperation, 1.00, &[0.50, 0.50, 0.50], Missed),
            // Rounds that disagree by more than a tenth: however good or bad, nothing was measured.
            (OperationsPerCpuSecond, 0.85, &[0.90, 0.95, 1.00], NotMeasured(Why::Spread)),
            (OperationsPerCpuSecond, 0.85, &[0.20, 0.21, 0.25], NotMeasured(Why::Spread)),
            (OperationsPerCpuSecond, 0.85, &[0.91, 0.95, 1.00], Met),
            (OperationsPerCpuSecond, 0.85, &[2.0, 2.0], NotMeasured(Why::FewRounds)),
            (OperationsPerCpuSecond, 0.85, &[], NotMeasured(Why::FewRounds)),
            (OperationsPerCpuSecond, 0.85, &[0.9, 0.0, 0.9], NotMeasured(Why::LittleCpu)),
        ];
        for (measure, must, shares, verdict) in table {
            let rounds: Vec<_> = shares.iter().map(|share| pair(*share)).collect();
            let judgement = judge(&bar(*measure, *must), &rounds, true);
            assert_eq!(judgement.verdict, *verdict, "{must} {shares:?}: {judgement:?}");
        }
    }

    #[test]
    fn nobody_is_judged_by_ten_steps_of_the_kernels_clock() {
        let mut rounds = [pair(1.0); 4];
        rounds[2].theirs.cpu = Duration::from_millis(190);
        let judgement = judge(&bar(Measure::CpuPerOperation, 1.0), &rounds, true);
        assert_eq!(judgement.verdict, Verdict::NotMeasured(Why::LittleCpu));
    }

    #[test]
    fn a_smoke_run_has_figures_and_no_verdict() {
        let judgement = judge(&bar(Measure::CpuPerOperation, 1.0), &[pair(0.5)], false);
        assert_eq!((judgement.ratio, judgement.spread, judgement.verdict), (2.0, 0.0, Verdict::NotJudged));
    }

    #[test]
    fn the_cost_of_an_operation_and_what_a_second_pays_for_are_the_same_figure() {
        let cost = Cost { operations: 200_000, cpu: Duration::from_secs(2) };
        assert_eq!((cost.micros_per_operation(), cost.per_cpu_second()), (10.0, 100_000.0));
    }
}
