//! Who is compared with whom, and by which bar.

use std::time::Duration;

use super::burst::{Figure, Round, Subject, Track};
use super::{ours, theirs};
use crate::LabError;
use crate::bench::bars::{Bar, Measure, PolicyBars};
use crate::bench::judge::{self, Judgement, SPREAD_MAX, Verdict, Why};
use crate::bench::{Options, Plant};
use crate::servers::program::Cores;

/// A subject, by its place in [`Contest::subjects`].
pub(super) type Id = usize;

/// One thread, or two at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Threads {
    One,
    Two,
}

impl Threads {
    pub(super) const BOTH: [Threads; 2] = [Threads::One, Threads::Two];

    pub(super) fn words(self) -> &'static str {
        match self {
            Threads::One => "1 thread",
            Threads::Two => "2 threads",
        }
    }
}

/// A subject, with so many threads.
pub(super) type At = (Id, Threads);

/// What everything is a multiple of.
#[derive(Clone, Copy)]
pub(super) struct Floor {
    pub shared: Id,
    pub own: Id,
    pub precise_clock: Id,
    pub coarse_clock: Id,
}

/// A mechanism of ours, and everyone who does the same.
pub(super) struct Row<'a> {
    bar: &'a Bar,
    /// With a second thread, where that has a bar of its own.
    second_thread: Option<&'a Bar>,
    /// The floor with two threads: the word they share, or one each.
    floor: Id,
    /// With `now` passed in.
    pub told: Id,
    /// With its own reading of the coarse clock; the same where it asks for no time.
    pub reading: Id,
    /// With its own reading of the precise one.
    pub precise: Option<Id>,
    pub others: Vec<Id>,
}

/// What a [`Check`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// A mechanism against the floor.
    Floor(Id, Threads),
    /// A mechanism with a second thread, against the same without.
    SecondThread(Id),
    /// Ours against an opponent.
    Opponent(Id, Threads),
}

/// One comparison, judged.
pub(super) struct Check<'a> {
    pub about: About,
    /// For the summary.
    pub words: String,
    pub bar: &'a Bar,
    pub judgement: Judgement,
}

pub(super) struct Contest<'a> {
    pub subjects: Vec<Subject>,
    pub floor: Floor,
    pub rows: Vec<Row<'a>>,
    opponents: &'a Bar,
}

impl<'a> Contest<'a> {
    pub(super) fn new(bars: &'a PolicyBars, options: &Options) -> Contest<'a> {
        let floor = Floor { shared: 0, own: 1, precise_clock: 2, coarse_clock: 3 };
        let subjects =
            vec![ours::shared_word(), ours::own_word(), ours::precise_clock(), ours::coarse_clock()];
        let mut contest = Contest { subjects, floor, rows: Vec::new(), opponents: &bars.opponents };
        let breaker = if options.plants(Plant::SlowBreaker) {
            ours::breaker_behind_a_lock()
        } else if options.plants(Plant::Itself) {
            ours::Trio { told: ours::own_word(), reading: None }
        } else {
            ours::breaker_closed()
        };
        let Floor { shared, own, .. } = contest.floor;
        contest.row(&bars.breaker, own, breaker, theirs::breakers_closed()).second_thread =
            Some(&bars.breaker_second_thread);
        contest.row(&bars.open_reject, own, ours::breaker_open(), theirs::breakers_open());
        contest.row(&bars.rate, shared, ours::rate_allow(), theirs::rate_allow());
        contest.row(&bars.rate, own, ours::rate_reject(), theirs::rate_reject());
        contest.row(&bars.bulkhead, shared, ours::bulkhead(), theirs::bulkhead());
        contest.row(&bars.budget, shared, ours::budget(), theirs::budget());
        contest.row(&bars.chain, shared, ours::chain(), Vec::new());
        contest
    }

    /// `floor` is that of two threads.
    fn row(&mut self, bar: &'a Bar, floor: Id, ours: ours::Trio, others: Vec<Subject>) -> &mut Row<'a> {
        let told = self.add(ours.told);
        let (reading, precise) = match ours.reading {
            Some(reading) => (self.add(reading.coarse), Some(self.add(reading.precise))),
            None => (told, None),
        };
        let others = others.into_iter().map(|subject| self.add(subject)).collect();
        self.rows.push(Row { bar, second_thread: None, floor, told, reading, precise, others });
        let last = self.rows.len() - 1;
        &mut self.rows[last]
    }

    fn add(&mut self, subject: Subject) -> Id {
        self.subjects.push(subject);
        self.subjects.len() - 1
    }

    /// Plays the rounds.
    ///
    /// # Errors
    /// When somebody let in whom it should not, or the other way round.
    pub(super) fn play(&self, cores: Cores, rounds: u32, time: Duration) -> Result<Vec<Round>, LabError> {
        let mut track = Track::new(&self.subjects, cores);
        let rounds = track.play(rounds, time);
        track.agree()?;
        Ok(rounds)
    }

    /// Every comparison there is a bar for.
    pub(super) fn judge(&self, rounds: &[Round], asked: bool) -> Vec<Check<'a>> {
        let mut checks = Vec::new();
        for row in &self.rows {
            let name = self.subjects[row.told].name;
            for threads in Threads::BOTH {
                let floor = if threads == Threads::One { self.floor.shared } else { row.floor };
                checks.push(Check {
                    about: About::Floor(row.told, threads),
                    words: format!("{name} with {}", threads.words()),
                    bar: row.bar,
                    judgement: compare(row.bar, rounds, (row.told, threads), (floor, threads), asked),
                });
            }
            if let Some(bar) = row.second_thread {
                let [one, two] = Threads::BOTH.map(|threads| (row.told, threads));
                checks.push(Check {
                    about: About::SecondThread(row.told),
                    words: format!("{name}, a second thread"),
                    bar,
                    judgement: compare(bar, rounds, two, one, asked),
                });
            }
            for other in &row.others {
                for threads in Threads::BOTH {
                    if threads == Threads::Two && !self.subjects[*other].shared {
                        continue;
                    }
                    let (ours, theirs) = ((row.reading, threads), (*other, threads));
                    checks.push(Check {
                        about: About::Opponent(*other, threads),
                        words: format!("{name} / {} with {}", self.subjects[*other].name, threads.words()),
                        bar: self.opponents,
                        judgement: compare(self.opponents, rounds, ours, theirs, asked),
                    });
                }
            }
        }
        checks
    }
}

/// The figure that counts: the fastest burst of one thread, the lower quartile of two.
pub(super) fn figure(round: &Round, (id, threads): At) -> f64 {
    match threads {
        Threads::One => round.alone[id].fastest,
        Threads::Two => round.together[id].quartile,
    }
}

fn bursts(round: &Round, (id, threads): At) -> Figure {
    match threads {
        Threads::One => round.alone[id],
        Threads::Two => round.together[id],
    }
}

/// The verdict on ours over theirs, round by round.
fn compare(bar: &Bar, rounds: &[Round], ours: At, theirs: At, asked: bool) -> Judgement {
    let few = |round: &Round| [ours, theirs].iter().any(|at| !bursts(round, *at).rests_on_enough());
    let ratios = rounds.iter().map(|round| figure(round, ours) / figure(round, theirs)).collect();
    let doubt = rounds.iter().any(few).then_some(Why::FewBursts);
    decided(bar, judge::settle(bar, ratios, doubt, asked))
}

/// Against an opponent the question is who is faster, and not by how much. Whoever waits in line for a
/// lock takes 60 ns in one round and 200 in the next; where *every* round says the same, with a tenth
/// to spare, the rounds agree.
fn decided(bar: &Bar, judgement: Judgement) -> Judgement {
    let every = |says: &dyn Fn(f64) -> bool| judgement.ratios.iter().all(|ratio| says(*ratio));
    let verdict = match judgement.verdict {
        Verdict::NotMeasured(Why::Spread) if bar.measure == Measure::TimePerOperation => {
            if every(&|ratio| ratio * (1.0 + SPREAD_MAX) <= bar.must) {
                Verdict::Met
            } else if every(&|ratio| ratio >= bar.must * (1.0 + SPREAD_MAX)) {
                Verdict::Missed
            } else {
                judgement.verdict
            }
        }
        verdict => verdict,
    };
    Judgement { verdict, ..judgement }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::bars::Bars;

    /// Nobody's figures but a floor of 6 ns, 18 where two threads share the word, and 3 ns for the rest.
    fn rounds(contest: &Contest<'_>) -> Vec<Round> {
        let figure = |ns: f64| Figure::of(vec![ns; 100]);
        let all = |floor: f64| {
            let mut figures = vec![figure(3.0); contest.subjects.len()];
            (figures[contest.floor.shared], figures[contest.floor.own]) = (figure(floor), figure(6.0));
            figures
        };
        vec![Round { alone: all(6.0), together: all(18.0) }; 6]
    }

    fn options(plants: &[Plant]) -> Options {
        Options {
            seawall: "none".into(),
            rounds: 6,
            seconds: 2,
            full: true,
            quick: false,
            plants: plants.to_vec(),
        }
    }

    fn set(rounds: &mut [Round], (id, threads): At, ns: f64) {
        for round in rounds {
            let figures = if threads == Threads::One { &mut round.alone } else { &mut round.together };
            figures[id] = Figure::of(vec![ns; 100]);
        }
    }

    fn verdict(checks: &[Check<'_>], about: About) -> Verdict {
        checks.iter().find(|check| check.about == about).unwrap().judgement.verdict
    }

    #[test]
    fn a_breaker_is_missed_above_twice_the_floor_and_when_a_second_thread_costs_a_tenth() {
        let bars = Bars::read().unwrap().policy;
        let contest = Contest::new(&bars, &options(&[]));
        let breaker = contest.rows[0].told;
        // (ns with one thread, with two, against the floor with one, with two, second thread)
        use Verdict::{Met, Missed};
        for (one, two, verdicts) in [
            (11.0, 11.0, [Met, Met, Met]),
            (12.0, 12.0, [Met, Met, Met]),
            (12.1, 12.1, [Missed, Missed, Met]),
            (9.0, 11.0, [Met, Met, Missed]),
            (20.0, 56.0, [Missed, Missed, Missed]),
        ] {
            let mut rounds = rounds(&contest);
            set(&mut rounds, (breaker, Threads::One), one);
            set(&mut rounds, (breaker, Threads::Two), two);
            let checks = contest.judge(&rounds, true);
            let [first, second] = Threads::BOTH.map(|threads| About::Floor(breaker, threads));
            let found = [first, second, About::SecondThread(breaker)].map(|about| verdict(&checks, about));
            assert_eq!(found, verdicts, "{one} {two}");
        }
    }

    #[test]
    fn who_shares_a_word_is_compared_with_a_word_that_two_fight_for() {
        let bars = Bars::read().unwrap().policy;
        let contest = Contest::new(&bars, &options(&[]));
        let named = |name: &str| {
            contest.rows.iter().find(|row| contest.subjects[row.told].name == name).unwrap().told
        };
        for (name, most) in [("rate limit, let in", 2.3 * 18.0), ("bulkhead", 2.3 * 18.0)] {
            let at = (named(name), Threads::Two);
            for (ns, expected) in [(most - 0.1, Verdict::Met), (most + 0.1, Verdict::Missed)] {
                let mut rounds = rounds(&contest);
                set(&mut rounds, at, ns);
                let checks = contest.judge(&rounds, true);
                assert_eq!(verdict(&checks, About::Floor(at.0, at.1)), expected, "{name} {ns}");
            }
        }
        let mut rounds = rounds(&contest);
        set(&mut rounds, (named("breaker, open"), Threads::Two), 3.1);
        let checks = contest.judge(&rounds, true);
        assert_eq!(verdict(&checks, About::Floor(named("breaker, open"), Threads::Two)), Verdict::Missed);
    }

    #[test]
    fn an_opponent_in_a_lottery_is_beaten_when_every_round_says_so() {
        let bars = Bars::read().unwrap().policy;
        let contest = Contest::new(&bars, &options(&[]));
        let other = (contest.rows[0].others[0], Threads::Two);
        // Ours is 3 ns.
        for (theirs, expected) in [
            ([60.0, 200.0], Verdict::Met),
            ([4.0, 3.31], Verdict::Met),
            ([4.0, 3.2], Verdict::NotMeasured(Why::Spread)),
            ([2.0, 40.0], Verdict::NotMeasured(Why::Spread)),
            ([1.0, 2.0], Verdict::Missed),
            ([2.9, 2.95], Verdict::Missed),
            ([3.1, 3.05], Verdict::Met),
        ] {
            let mut rounds = rounds(&contest);
            set(&mut rounds, other, theirs[0]);
            set(&mut rounds[3..], other, theirs[1]);
            let checks = contest.judge(&rounds, true);
            assert_eq!(verdict(&checks, About::Opponent(other.0, other.1)), expected, "{theirs:?}");
        }
        // Against the floor it stays as it is everywhere: rounds that differ by a tenth measured nothing.
        let mut rounds = rounds(&contest);
        let breaker = (contest.rows[0].told, Threads::One);
        set(&mut rounds[3..], breaker, 4.0);
        let checks = contest.judge(&rounds, true);
        assert_eq!(verdict(&checks, About::Floor(breaker.0, breaker.1)), Verdict::NotMeasured(Why::Spread));
    }

    #[test]
    fn few_bursts_are_no_figure() {
        let bars = Bars::read().unwrap().policy;
        let contest = Contest::new(&bars, &options(&[]));
        let mut rounds = rounds(&contest);
        rounds[2].together[contest.floor.own] = Figure::of(vec![6.0; 3]);
        let checks = contest.judge(&rounds, true);
        let breaker = contest.rows[0].told;
        let of = |threads| verdict(&checks, About::Floor(breaker, threads));
        assert_eq!(
            [Threads::One, Threads::Two].map(of),
            [Verdict::Met, Verdict::NotMeasured(Why::FewBursts)]
        );
    }

    #[test]
    fn a_smoke_run_judges_nothing() {
        let bars = Bars::read().unwrap().policy;
        let contest = Contest::new(&bars, &options(&[]));
        let checks = contest.judge(&rounds(&contest), false);
        assert!(checks.iter().all(|check| check.judgement.verdict == Verdict::NotJudged));
    }

    #[test]
    fn what_is_planted_takes_the_place_of_the_breaker() {
        let bars = Bars::read().unwrap().policy;
        let name = |plants: &[Plant]| {
            let contest = Contest::new(&bars, &options(plants));
            contest.subjects[contest.rows[0].told].name
        };
        assert_eq!(name(&[Plant::Itself]), "fetch_add, a word each");
        assert_eq!(name(&[Plant::SlowBreaker]), "breaker, closed");
    }
}
