//! A limit that finds itself, against a simulated callee: so many servers, 10 ms a call on average
//! (exponential), a queue in front of them, and more callers than it can serve.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use seawall_policy::adaptive::{Adaptive, Core, Policy, SAMPLES_MAX, Sample};
use seawall_policy::inflight::{Inside, Limit};
use seawall_policy::{Mono, Outcome, Rng};

const CALL_NS: f64 = 10e6;
const SEED: u64 = 20;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What stands before the callee.
#[derive(Clone, Copy)]
enum Gate<'a> {
    Finding(&'a Adaptive),
    Fixed(&'a Limit),
}

impl<'a> Gate<'a> {
    fn enter(self) -> Option<Inside<'a>> {
        match self {
            Gate::Finding(adaptive) => adaptive.enter().ok(),
            Gate::Fixed(limit) => limit.enter().ok(),
        }
    }
}

/// A callee with one queue and several servers, and the calls that are with it.
struct World<'a> {
    gate: Gate<'a>,
    now: u64,
    /// Calls a second that would like to come.
    wanted: f64,
    /// Nanoseconds of a call, on average.
    call_ns: f64,
    /// When each server will have done what it was given.
    servers: Vec<u64>,
    rng: Rng,
    ends: BinaryHeap<Reverse<(u64, u64, usize)>>,
    inside: Vec<Option<Inside<'a>>>,
    /// Latencies in nanoseconds since the last run began.
    took: Vec<u64>,
}

impl<'a> World<'a> {
    fn new(gate: Gate<'a>, servers: usize, wanted: f64) -> World<'a> {
        World {
            gate,
            now: 0,
            wanted,
            call_ns: CALL_NS,
            servers: vec![0; servers],
            rng: Rng::new(SEED),
            ends: BinaryHeap::new(),
            inside: Vec::new(),
            took: Vec::new(),
        }
    }

    fn exponential(&mut self, mean: f64) -> u64 {
        (-mean * (1.0 - self.rng.unit()).ln()) as u64
    }

    /// Lets so much time pass.
    fn run(&mut self, time: Duration) {
        let until = self.now + time.as_nanos() as u64;
        let mut next = self.now + self.exponential(1e9 / self.wanted);
        self.took.clear();
        while self.now < until {
            match self.ends.peek() {
                Some(Reverse((end, ..))) if *end <= next => self.end(),
                _ => {
                    self.now = next;
                    self.arrive();
                    next = self.now + self.exponential(1e9 / self.wanted);
                }
            }
        }
    }

    fn arrive(&mut self) {
        let Some(place) = self.gate.enter() else { return };
        let work = self.exponential(self.call_ns);
        let soonest = self.servers.iter_mut().min().expect("a server");
        *soonest = self.now.max(*soonest) + work;
        let end = *soonest;
        let seat = self.inside.iter().position(Option::is_none).unwrap_or(self.inside.len());
        self.inside.resize_with(self.inside.len().max(seat + 1), || None);
        self.inside[seat] = Some(place);
        self.ends.push(Reverse((end, self.now, seat)));
    }

    fn end(&mut self) {
        let Reverse((end, began, seat)) = self.ends.pop().expect("a call");
        self.now = end;
        self.took.push(end - began);
        if let Gate::Finding(adaptive) = self.gate {
            adaptive.report(Mono(began), Outcome::Success, Mono(end));
        }
        self.inside[seat] = None;
    }

    /// The callee loses servers, or gets more.
    fn servers(&mut self, servers: usize) {
        self.servers.resize(servers, self.now);
    }

    /// The mean limit over so many seconds, looked at ten times a second.
    fn mean_limit(&mut self, seconds: u64) -> f64 {
        let Gate::Finding(adaptive) = self.gate else { unreachable!("a fixed limit has no mean") };
        let looks = seconds * 10;
        let sum: usize = (0..looks)
            .map(|_| {
                self.run(ms(100));
                adaptive.limit().max()
            })
            .sum();
        sum as f64 / looks as f64
    }

    fn p99(&mut self) -> Duration {
        let rank = self.took.len() * 99 / 100;
        Duration::from_nanos(*self.took.select_nth_unstable(rank).1)
    }
}

/// 1.5 times what so many servers can do.
fn too_many(servers: usize) -> f64 {
    servers as f64 * 150.0
}

fn assert_near(limit: f64, knee: usize) {
    assert!((0.7..=1.3).contains(&(limit / knee as f64)), "{limit} for a knee of {knee}");
}

#[test]
fn the_limit_settles_within_30_percent_of_the_knee_of_20_40_and_80_servers() {
    for servers in [20, 40, 80] {
        let adaptive = Adaptive::new(&Policy::default());
        let mut world = World::new(Gate::Finding(&adaptive), servers, too_many(servers));
        world.run(seconds(20));
        assert_near(world.mean_limit(20), servers);
    }
}

#[test]
fn half_the_servers_halve_the_limit_within_4_s_and_it_recovers_within_6() {
    let adaptive = Adaptive::new(&Policy::default());
    let mut world = World::new(Gate::Finding(&adaptive), 40, too_many(40));
    world.run(seconds(20));
    world.servers(20);
    world.run(seconds(4));
    assert_near(world.mean_limit(5), 20);
    world.servers(40);
    world.run(seconds(6));
    assert_near(world.mean_limit(5), 40);
}

#[test]
fn an_eighth_of_the_servers_is_found_without_mistaking_the_queue_for_a_slower_callee() {
    let adaptive = Adaptive::new(&Policy::default());
    let mut world = World::new(Gate::Finding(&adaptive), 40, too_many(40));
    world.run(seconds(20));
    world.servers(5);
    world.run(seconds(10));
    let limit = world.mean_limit(20);
    assert!((4.0..=8.0).contains(&limit), "{limit} for a knee of 5");
}

#[test]
fn a_callee_that_takes_20_ms_for_what_took_10_keeps_its_limit_and_never_loses_two_thirds() {
    let adaptive = Adaptive::new(&Policy::default());
    let mut world = World::new(Gate::Finding(&adaptive), 40, too_many(40));
    world.run(seconds(20));
    world.call_ns *= 2.0;
    let mut least = usize::MAX;
    for _ in 0..100 {
        world.run(ms(100));
        least = least.min(adaptive.limit().max());
    }
    assert!(least > 13, "fell to {least}");
    assert_near(world.mean_limit(10), 40);
    // And what is learnt can be unlearnt: half the time, the same knee.
    world.call_ns /= 2.0;
    world.run(seconds(40));
    assert_near(world.mean_limit(10), 40);
}

#[test]
fn p99_is_less_than_half_of_that_behind_a_fixed_limit_of_400_and_nearly_as_much_gets_done() {
    let (adaptive, fixed) = (Adaptive::new(&Policy::default()), Limit::new(400));
    let mut measured = [Gate::Finding(&adaptive), Gate::Fixed(&fixed)].map(|gate| {
        let mut world = World::new(gate, 40, too_many(40));
        world.run(seconds(20));
        world.run(seconds(20));
        (world.p99(), world.took.len())
    });
    let [(found, done), (queued, most)] = &mut measured;
    // 400 inside for 40 servers wait 100 ms on average; 46 ms is the p99 of the work alone.
    assert!(*found * 2 < *queued, "{found:?} against {queued:?}");
    assert!(*done * 100 >= *most * 97, "{done} of {most}");
}

#[test]
fn two_calls_at_a_time_for_ten_minutes_are_no_reason_to_allow_more_than_20() {
    let adaptive = Adaptive::new(&Policy::default());
    let mut world = World::new(Gate::Finding(&adaptive), 40, 200.0);
    for _ in 0..600 {
        world.run(seconds(1));
        assert!(adaptive.limit().max() <= 20);
    }
}

#[test]
fn a_queue_that_stays_for_ten_minutes_is_not_taken_for_calm() {
    let adaptive = Adaptive::new(&Policy::default());
    let mut world = World::new(Gate::Finding(&adaptive), 20, too_many(20));
    world.run(seconds(600));
    let limit = world.mean_limit(20);
    assert!((20.0..30.0).contains(&limit), "drifted to {limit}");
}

#[test]
fn a_seed_replays() {
    let run = || {
        let adaptive = Adaptive::new(&Policy::default());
        let mut world = World::new(Gate::Finding(&adaptive), 20, too_many(20));
        (0..50).map(|_| (world.run(ms(100)), adaptive.limit().max()).1).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

/// A core in windows of 100 answers and 1 s, at whose end it says what it decided.
struct Windows {
    core: Core,
    now: Mono,
}

impl Windows {
    /// Knows that 10 ms are calm, and has just been probed.
    fn calm(initial: usize) -> Windows {
        let policy = Policy { initial, window: seconds(1), smoothing: 1.0, ..Policy::default() };
        assert_eq!(policy.check(), Vec::<String>::new());
        let mut windows = Windows { core: Core::new(&policy), now: Mono(0) };
        windows.window(1, &[(100, ms(10), Outcome::Success)]);
        assert_eq!(windows.core.limit(), initial / 2, "the second window is a probe");
        assert_eq!(windows.window(1, &[(100, ms(10), Outcome::Success)]), initial);
        windows
    }

    /// So many calls of each kind in a window, and so many of them inside at once. Returns the limit.
    fn window(&mut self, in_flight: usize, calls: &[(usize, Duration, Outcome)]) -> usize {
        let mut decided = None;
        for (count, took, outcome) in calls {
            for _ in 0..*count {
                assert_eq!(decided, None, "in the middle of a window");
                self.now = self.now + ms(10);
                decided = self.core.step(self.now, Sample { took: *took, in_flight, outcome: *outcome });
            }
        }
        assert!(decided.is_none_or(|limit| limit == self.core.limit()));
        self.core.limit()
    }
}

#[test]
fn a_full_house_without_a_queue_grows_by_the_square_root_of_the_limit() {
    assert_eq!(Windows::calm(100).window(100, &[(100, ms(11), Outcome::Success)]), 110);
}

#[test]
fn a_house_with_one_place_free_does_not_grow() {
    assert_eq!(Windows::calm(100).window(99, &[(100, ms(10), Outcome::Success)]), 100);
}

#[test]
fn latency_above_the_tolerance_shrinks_the_limit_in_proportion_and_by_at_most_half() {
    // 1.1 × 10 ms are calm: 22 ms are twice, 13.75 ms are a quarter above.
    assert_eq!(Windows::calm(100).window(1, &[(100, Duration::from_micros(13_750), Outcome::Success)]), 80);
    assert_eq!(Windows::calm(100).window(1, &[(100, ms(22), Outcome::Success)]), 50);
    assert_eq!(Windows::calm(100).window(1, &[(100, ms(500), Outcome::Success)]), 50);
}

#[test]
fn calls_that_met_overload_take_their_share_off_the_limit_and_at_most_half() {
    for overload in [Outcome::Overloaded, Outcome::Timeout] {
        let share =
            |n| Windows::calm(100).window(1, &[(100 - n, ms(10), Outcome::Success), (n, ms(1), overload)]);
        assert_eq!([share(1), share(20), share(90), share(100)], [99, 80, 50, 50]);
    }
}

#[test]
fn a_dead_callee_is_left_with_one_place_and_has_20_again_10_windows_after_its_return() {
    let mut windows = Windows::calm(20);
    let limits: Vec<usize> =
        (0..6).map(|_| windows.window(20, &[(100, seconds(1), Outcome::Timeout)])).collect();
    assert_eq!(limits, [10, 5, 2, 1, 1, 1]);
    let back = (1..).find(|_| windows.window(20, &[(100, ms(10), Outcome::Success)]) >= 20);
    assert!(back.is_some_and(|windows| windows <= 10), "{back:?}");
}

#[test]
fn errors_and_calls_given_up_are_no_evidence_however_fast() {
    for outcome in [Outcome::Failed, Outcome::Unreachable, Outcome::Abandoned] {
        let mut windows = Windows::calm(100);
        assert_eq!(windows.window(100, &[(1_000, ms(0), outcome)]), 100);
        assert_eq!(windows.window(100, &[(100, ms(22), Outcome::Success)]), 50);
    }
}

#[test]
fn every_30_s_the_limit_is_halved_for_one_window() {
    let mut windows = Windows::calm(100);
    let limits: Vec<usize> = (0..64).map(|_| windows.window(1, &[(100, ms(10), Outcome::Success)])).collect();
    let halved: Vec<usize> = (0..64).filter(|second| limits[*second] == 50).collect();
    assert_eq!(halved, [29, 60]);
    assert!(limits.iter().all(|limit| [50, 100].contains(limit)));
}

#[test]
fn a_slow_callee_is_judged_by_windows_of_four_calls_and_not_of_half_a_second() {
    let mut core = Core::new(&Policy { samples: 1, ..Policy::default() });
    let sample = Sample { took: seconds(2), in_flight: 20, outcome: Outcome::Success };
    assert_eq!(
        core.step(Mono(0) + seconds(2), sample),
        Some(11),
        "the first window grows, the second is a probe"
    );
    assert_eq!(core.step(Mono(0) + ms(9_999), sample), None);
    assert_eq!(core.step(Mono(0) + seconds(10), sample), Some(22));
}

#[test]
fn an_hours_window_ends_when_it_has_seen_524_288_answers() {
    let hour = seconds(3_600);
    let policy = Policy { samples: 1, window: hour, probe_every: hour * 10, ..Policy::default() };
    let (mut core, shell) = (Core::new(&policy), Adaptive::new(&policy));
    let sample = Sample { took: seconds(3_600), in_flight: 0, outcome: Outcome::Success };
    let decisions: Vec<usize> = (0..600_000)
        .filter(|_| {
            let decided = core.step(Mono(0) + hour, sample);
            assert_eq!(shell.report(Mono(0), Outcome::Success, Mono(0) + hour), decided);
            decided.is_some()
        })
        .collect();
    // The first answer of all ends a window too, and begins a probe.
    assert_eq!(decisions, [0, 524_288]);
}

#[test]
fn a_policy_says_everything_that_is_wrong_with_it_and_explains_itself() {
    let silly = Policy {
        min: 0,
        max: 0,
        initial: 7,
        tolerance: f64::NAN,
        smoothing: 0.0,
        window: Duration::ZERO,
        samples: SAMPLES_MAX + 1,
        probe_every: Duration::ZERO,
    };
    let keys: Vec<String> =
        silly.check().iter().map(|advice| advice.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(keys, ["min", "max", "initial", "tolerance", "smoothing", "window", "samples"]);
    // It works all the same, with one place.
    assert_eq!(Adaptive::new(&silly).limit().max(), 1);
    let often = Policy { probe_every: seconds(4), ..Policy::default() };
    assert!(often.check()[0].contains("at least ten windows (5s)"), "{:?}", often.check());
    assert!(
        Policy { max: usize::MAX, ..Policy::default() }.check()[0].starts_with("max: use at most 1000000")
    );

    assert_eq!(Policy::default().check(), Vec::<String>::new());
    let text = Policy::default().explain().join("\n");
    for fact in [
        "20 calls at once",
        "between 1 and 200",
        "100 answers, every 500ms",
        "10 % longer",
        "goes 50 % of the way",
        "Every 30s",
    ] {
        assert!(text.contains(fact), "{fact} in {text}");
    }
}

#[test]
fn a_policy_reads_as_it_is_written() {
    let policy: Policy = toml::from_str("max = 400\ntolerance = 1.25\nwindow = '250ms'").unwrap();
    assert_eq!(policy, Policy { max: 400, tolerance: 1.25, window: ms(250), ..Policy::default() });
    assert_eq!(toml::from_str::<Policy>(&toml::to_string(&policy).unwrap()).unwrap(), policy);
    assert!(toml::from_str::<Policy>("maximum = 400").is_err());
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => Just(Outcome::Success),
        1 => Just(Outcome::Timeout),
        1 => Just(Outcome::Overloaded),
        1 => Just(Outcome::Failed),
        1 => Just(Outcome::Abandoned),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let places = (1usize..50, 0usize..100)
        .prop_flat_map(|(min, more)| (Just(min), Just(min + more), min..=min + more));
    (places, 1.01f64..3.0, 0.01f64..=1.0, 1u64..100, 1u32..10, 10u32..40).prop_map(
        |((min, max, initial), tolerance, smoothing, window, samples, probes)| Policy {
            min,
            max,
            initial,
            tolerance,
            smoothing,
            window: ms(window),
            samples,
            probe_every: ms(window) * probes,
        },
    )
}

proptest! {
    #[test]
    fn single_threaded_the_shell_equals_its_core_and_neither_leaves_min_to_max(
        policy in policy(),
        calls in vec((0u64..30, any::<u32>(), 0usize..30, outcome()), 1..400),
    ) {
        prop_assert_eq!(policy.check(), Vec::<String>::new());
        let (shell, mut core) = (Adaptive::new(&policy), Core::new(&policy));
        let mut inside = Vec::new();
        let mut now = Mono(7_000_000_000);
        for (passes, took, wanted, outcome) in calls {
            now = now + ms(passes);
            inside.extend((inside.len()..wanted).map_while(|_| shell.enter().ok()));
            inside.truncate(wanted);
            let started = Mono(now.0.saturating_sub(u64::from(took)));
            let sample = Sample { took: now - started, in_flight: inside.len(), outcome };
            prop_assert_eq!(shell.report(started, outcome, now), core.step(now, sample));
            prop_assert_eq!(shell.limit().max(), core.limit());
            prop_assert!((policy.min..=policy.max).contains(&core.limit()));
        }
    }
}
