//! How long a call takes, on a machine that does other things too.
//!
//! With one thread the figure of a round is the *fastest* of hundreds of short bursts: a neighbour can
//! only make a burst longer, and some bursts meet nobody. Everyone takes turns burst by burst, so that a
//! slow moment is everyone's; ratios are formed within a round and compared between rounds.
//!
//! Two threads say something of each other only while both run. Each is tied to a core of its own (two
//! that share one take turns, and never meet), they start a burst from one line, and it counts only if
//! their starts differ by less than 12 % of it. Their figure is the *lower quartile*: the fastest burst
//! of two threads that fight for a word is one in which they happened to miss each other.

use std::sync::mpsc;
use std::time::Duration;

use seawall_net::clock::SystemClock;
use seawall_policy::{Clock, Mono};

use super::line::Line;
use super::stream::{Place, Stream, Walk};
use crate::LabError;
use crate::servers::program::{Cores, tie_this_thread};

/// How long a burst should take with one thread, and with two: long against the clock's own 20 ns,
/// short against the milliseconds a scheduler gives to a neighbour.
const BURST: [Duration; 2] = [Duration::from_micros(300), Duration::from_micros(150)];
/// Two threads may start this far apart, as a share of the burst.
const APART_MAX: f64 = 0.12;
/// Fewest calls of a burst.
const CALLS_MIN: usize = 64;
/// Most: a few laps of the stream.
const CALLS_MAX: usize = 1 << 18;
/// Bursts from which the length of the later ones is learnt.
const TRIALS: usize = 10;
/// Fewer bursts than this in a round leave its figure to chance.
const BURSTS_MIN: usize = 40;

/// Something whose calls are timed.
pub(super) struct Subject {
    /// For the report.
    pub name: &'static str,
    /// Whether two threads may call it at once.
    pub shared: bool,
    let_in: LetIn,
    burst: Box<dyn Fn(Walk<'_>) -> usize + Send + Sync>,
}

/// Which calls a subject must let in: the speed of wrong answers is no figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LetIn {
    All,
    None,
}

impl Subject {
    /// `burst` makes every call of the walk it is given, and tells how many were let in.
    pub(super) fn new(
        name: &'static str,
        let_in: LetIn,
        burst: impl Fn(Walk<'_>) -> usize + Send + Sync + 'static,
    ) -> Subject {
        Subject { name, shared: true, let_in, burst: Box::new(burst) }
    }

    /// Never called by two threads at once.
    pub(super) fn by_one_thread(self) -> Subject {
        Subject { shared: false, ..self }
    }
}

/// Nanoseconds a call, of the bursts of one round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figure {
    /// The fastest burst.
    pub fastest: f64,
    /// A quarter of the bursts were faster.
    pub quartile: f64,
    bursts: usize,
}

impl Figure {
    pub(super) fn of(mut bursts: Vec<f64>) -> Figure {
        bursts.sort_by(f64::total_cmp);
        let at = |i: usize| bursts.get(i).copied().unwrap_or(f64::NAN);
        Figure { fastest: at(0), quartile: at(bursts.len() / 4), bursts: bursts.len() }
    }

    /// Whether there were enough bursts to say something.
    pub(super) fn rests_on_enough(self) -> bool {
        self.bursts >= BURSTS_MIN
    }
}

/// A figure for each subject, in their order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Round {
    /// With one thread.
    pub alone: Vec<Figure>,
    /// With two that do the same at the same time.
    pub together: Vec<Figure>,
}

/// All subjects, and where each is in the stream.
pub(super) struct Track<'a> {
    stream: Stream,
    clock: SystemClock,
    lanes: Vec<Lane<'a>>,
    cores: Cores,
}

#[derive(Clone)]
struct Lane<'a> {
    subject: &'a Subject,
    place: Place,
    /// Calls of a burst, with one thread and with two.
    calls: [usize; 2],
    /// Calls made, and those that were let in or refused wrongly.
    made: usize,
    wrong: usize,
}

/// When a burst began and when it ended.
pub(super) type Span = (Mono, Mono);

impl<'a> Track<'a> {
    /// Makes each subject's first calls, to learn how many fill a burst.
    pub(super) fn new(subjects: &'a [Subject], cores: Cores) -> Track<'a> {
        tie_this_thread(cores.server);
        let (stream, clock) = (Stream::new(), SystemClock::new());
        let lanes = subjects.iter().map(|subject| {
            let mut lane = Lane { subject, place: Place::start(), calls: [CALLS_MIN; 2], made: 0, wrong: 0 };
            let trials = (0..TRIALS).map(|_| per_call(lane.run(&stream, &clock, CALLS_MIN, 0), CALLS_MIN));
            let fastest = trials.fold(f64::INFINITY, f64::min);
            lane.calls = BURST.map(|burst| filling(burst, fastest, CALLS_MIN));
            lane
        });
        let lanes = lanes.collect();
        Track { stream, clock, lanes, cores }
    }

    /// Plays the rounds: each so long with one thread, and as long again with two.
    ///
    /// The second thread is the same in all of them, as in a server: mechanisms give each thread they
    /// meet a counter, and the fifth might be given the first one's.
    pub(super) fn play(&mut self, rounds: u32, time: Duration) -> Vec<Round> {
        let Track { stream, clock, lanes, cores } = self;
        let (stream, clock, core, line) = (&*stream, &*clock, cores.load, &Line::default());
        let (to_second, from_first) = mpsc::channel::<Vec<Lane<'_>>>();
        let (to_first, from_second) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                tie_this_thread(core);
                for mut lanes in from_first {
                    while let Some((lane, calls)) = line.wait_to_be_called() {
                        line.done(lanes[lane].run(stream, clock, calls, 1));
                    }
                    let _ = to_first.send(lanes);
                }
            });
            let round = |_| {
                let alone = alone(lanes, stream, clock, time);
                let _ = to_second.send(lanes.clone());
                let together = together(lanes, stream, clock, line, time);
                for (lane, twin) in lanes.iter_mut().zip(from_second.recv().into_iter().flatten()) {
                    lane.wrong = lane.wrong.max(twin.wrong);
                }
                Round { alone, together }
            };
            let rounds = (0..rounds).map(round).collect();
            drop(to_second);
            rounds
        })
    }

    /// Whether everybody answered as they must.
    ///
    /// # Errors
    /// [`LabError::WrongAnswer`] for the first who did not.
    pub(super) fn agree(&self) -> Result<(), LabError> {
        let Some(lane) = self.lanes.iter().find(|lane| lane.wrong > 0) else { return Ok(()) };
        let Lane { subject, made, wrong, .. } = lane;
        let let_in = if subject.let_in == LetIn::All { made - wrong } else { *wrong };
        Err(LabError::WrongAnswer {
            side: subject.name.to_owned(),
            path: "its calls".to_owned(),
            found: format!("{let_in} of {made} let in"),
            wanted: format!("{:?}", subject.let_in).to_lowercase(),
        })
    }
}

fn alone(lanes: &mut [Lane<'_>], stream: &Stream, clock: &SystemClock, time: Duration) -> Vec<Figure> {
    let mut bursts = vec![Vec::new(); lanes.len()];
    let end = clock.now() + time;
    while clock.now() < end {
        for (lane, bursts) in lanes.iter_mut().zip(&mut bursts) {
            let calls = lane.calls[0];
            bursts.push(per_call(lane.run(stream, clock, calls, 0), calls));
        }
    }
    bursts.into_iter().map(Figure::of).collect()
}

fn together(
    lanes: &mut [Lane<'_>],
    stream: &Stream,
    clock: &SystemClock,
    line: &Line,
    time: Duration,
) -> Vec<Figure> {
    let mut bursts = vec![Vec::new(); lanes.len()];
    let began = clock.now();
    while !is_over(clock.now().since(began), time, lanes, &bursts) {
        let shared = lanes.iter_mut().zip(&mut bursts).enumerate();
        for (i, (lane, bursts)) in shared.filter(|(_, (lane, _))| lane.subject.shared) {
            let calls = lane.calls[1];
            line.call(i, calls);
            let ours = lane.run(stream, clock, calls, 0);
            if let Some(cost) = aligned(ours, line.wait_for_the_other(), calls) {
                bursts.push(cost);
                // Not far below what one thread does: the first calls of a burst are not like the rest.
                lane.calls[1] = filling(BURST[1], cost, lane.calls[0] / 16);
            }
        }
    }
    line.send_home();
    bursts.into_iter().map(Figure::of).collect()
}

/// A round with two threads lasts as long as it should, and up to four times as long where neighbours
/// let too few bursts count.
fn is_over(passed: Duration, time: Duration, lanes: &[Lane<'_>], bursts: &[Vec<f64>]) -> bool {
    let enough = || lanes.iter().zip(bursts).all(|(lane, b)| !lane.subject.shared || b.len() >= BURSTS_MIN);
    passed >= time * 4 || passed >= time && enough()
}

impl Lane<'_> {
    fn run(&mut self, stream: &Stream, clock: &SystemClock, calls: usize, seat: usize) -> Span {
        let mut let_in = 0;
        let began = clock.now();
        stream.walk(&mut self.place, calls, seat, |walk| let_in += (self.subject.burst)(walk));
        let ended = clock.now();
        self.made += calls;
        self.wrong += match self.subject.let_in {
            LetIn::All => calls - let_in,
            LetIn::None => let_in,
        };
        (began, ended)
    }
}

fn filling(burst: Duration, cost: f64, least: usize) -> usize {
    ((burst.as_nanos() as f64 / cost) as usize).clamp(least.max(CALLS_MIN), CALLS_MAX)
}

fn per_call((began, ended): Span, calls: usize) -> f64 {
    ended.since(began).as_nanos() as f64 / calls as f64
}

/// Nanoseconds a call, the mean of both threads, if they ran at the same time.
fn aligned(a: Span, b: Span, calls: usize) -> Option<f64> {
    let [cost_a, cost_b] = [a, b].map(|span| per_call(span, calls));
    let apart = a.0.0.abs_diff(b.0.0) as f64 / calls as f64;
    (apart < APART_MAX * cost_a.min(cost_b)).then(|| f64::midpoint(cost_a, cost_b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(began: u64, ended: u64) -> Span {
        (Mono(began), Mono(ended))
    }

    #[test]
    fn a_burst_counts_when_both_threads_began_it_within_12_percent() {
        let first = span(1_000, 2_000);
        assert_eq!(aligned(first, span(1_119, 2_319), 100), Some(11.0));
        assert_eq!(aligned(first, span(1_120, 2_320), 100), None);
        assert_eq!(aligned(span(1_120, 2_320), first, 100), None);
        // A short burst cannot hide in a long one.
        assert_eq!(aligned(span(1_000, 9_000), span(1_030, 1_230), 100), None);
    }

    #[test]
    fn a_figure_is_the_fastest_burst_and_the_lower_quartile() {
        let figure = Figure::of((1..=100).rev().map(f64::from).collect());
        assert_eq!((figure.fastest, figure.quartile), (1.0, 26.0));
        assert!(figure.rests_on_enough());
        assert!(!Figure::of(vec![1.0; BURSTS_MIN - 1]).rests_on_enough());
        assert!(Figure::of(Vec::new()).fastest.is_nan());
    }

    #[test]
    fn both_threads_make_the_same_calls_in_the_same_bursts() {
        use std::collections::HashSet;
        use std::sync::{Arc, Mutex};
        let seen = Arc::new(Mutex::new([Vec::new(), Vec::new()]));
        let noted = Arc::clone(&seen);
        let subject = Subject::new("noting", LetIn::None, move |walk| {
            let last = walk.calls().last().map(|(call, now)| (walk.burst, call.who, now));
            noted.lock().unwrap()[walk.seat].extend(last);
            0
        });
        let alone = Subject::new("once", LetIn::None, |walk| walk.seat).by_one_thread();
        let subjects = [subject, alone];
        let mut track = Track::new(&subjects, Cores::default());
        let rounds = track.play(2, Duration::from_millis(20));
        let [first, second] = &*seen.lock().unwrap();
        let alone: HashSet<_> = first.iter().filter(|burst| !second.contains(burst)).collect();
        assert!(!second.is_empty() && !alone.is_empty());
        assert!(second.iter().all(|burst| first.contains(burst)), "{first:?} {second:?}");
        assert!(rounds[1].together[1].fastest.is_nan(), "one thread alone calls what is not shared");
        track.agree().unwrap();
    }

    #[test]
    fn whoever_lets_in_whom_it_must_not_has_no_figure() {
        for (let_in, found) in [(LetIn::None, "10 of 640 let in"), (LetIn::All, "10 of 640 let in")] {
            let subjects = [Subject::new("odd", let_in, |_| 1)];
            let error = Track::new(&subjects, Cores::default()).agree().unwrap_err().to_string();
            assert!(error.contains("odd") && error.contains(found), "{error}");
        }
    }
}
