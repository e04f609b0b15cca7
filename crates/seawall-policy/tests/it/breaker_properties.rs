//! Three breakers, one history: the core, the shell, and a model that keeps everything and looks through it
//! each time.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use seawall_policy::breaker::{Breaker, Core, Event, HalfOpen, Open, Permit, Policy, RetryAt, State, Trip};
use seawall_policy::outcome::Class;
use seawall_policy::{Mono, Outcome};

/// What the documents say, with no thought for cost: every outcome since the last change of state, in a list.
struct Model {
    policy: Policy,
    state: Naive,
    round: u32,
    seen: Vec<Seen>,
    latest: u64,
    opened_for: Duration,
}

enum Naive {
    Closed(Mono),
    Open(Mono),
    Held,
    Half { out: u32, succeeded: u32 },
}

struct Seen {
    at: Mono,
    failed: bool,
    took: Duration,
}

/// When it was given, and in which round.
#[derive(Clone, Copy)]
struct Given {
    at: Mono,
    round: u32,
}

impl Model {
    fn new(policy: Policy) -> Model {
        let state = Naive::Closed(Mono(0));
        Model { policy, state, round: 0, seen: vec![], latest: 0, opened_for: Duration::ZERO }
    }

    fn name(&self) -> &'static str {
        match self.state {
            Naive::Closed(_) => "closed",
            Naive::Open(_) | Naive::Held => "open",
            Naive::Half { .. } => "half-open",
        }
    }

    fn ask(&mut self, now: Mono) -> Option<Given> {
        let HalfOpen { admit, .. } = self.policy.half_open;
        let renew = match &mut self.state {
            Naive::Closed(_) => return Some(Given { at: now, round: self.round }),
            Naive::Held => return None,
            Naive::Open(until) if now < *until => return None,
            Naive::Open(_) => true,
            Naive::Half { out, succeeded } if *out + *succeeded < admit => {
                *out += 1;
                false
            }
            Naive::Half { .. } if now < Mono(self.latest) + self.policy.open.for_ => return None,
            Naive::Half { .. } => true,
        };
        self.latest = now.0;
        if renew {
            self.enter(Naive::Half { out: 1, succeeded: 0 });
        }
        Some(Given { at: now, round: self.round })
    }

    fn report(&mut self, given: Given, outcome: Outcome, now: Mono) {
        let counted = Class::of(outcome).is_some_and(|class| self.policy.count.contains(&class));
        if given.round != self.round {
            return;
        }
        let took = now.since(given.at);
        let slow =
            self.policy.trip.iter().any(|rule| matches!(rule, Trip::Slow { slow, .. } if took >= *slow));
        let half_open = matches!(self.state, Naive::Half { .. });
        match &mut self.state {
            Naive::Half { out, .. } if !counted && outcome != Outcome::Success => *out -= 1,
            Naive::Half { .. } if counted || slow => self.open(now, true),
            Naive::Half { out, succeeded } => {
                *out -= 1;
                *succeeded += 1;
                if *succeeded == self.policy.half_open.close_after {
                    self.enter(Naive::Closed(now));
                }
            }
            Naive::Closed(since) if counted || outcome == Outcome::Success => {
                let repeated = now.since(*since) < self.opened_for;
                self.seen.push(Seen { at: now, failed: counted, took });
                let asked = |rule: &&Trip| counted || slow && matches!(rule, Trip::Slow { .. });
                if self.policy.trip.iter().filter(asked).any(|rule| self.met(rule, now)) {
                    self.open(now, repeated);
                }
            }
            Naive::Closed(_) | Naive::Open(_) | Naive::Held => assert!(!half_open),
        }
    }

    fn external(&mut self, bad: bool) {
        let listens = self.policy.trip.contains(&Trip::External);
        match (&self.state, bad) {
            (Naive::Held, true) => {}
            (Naive::Held, false) => self.enter(Naive::Half { out: 0, succeeded: 0 }),
            (_, true) if listens => self.enter(Naive::Held),
            (_, _) => {}
        }
    }

    fn open(&mut self, now: Mono, repeated: bool) {
        let Open { for_, growth, max } = self.policy.open;
        let again = repeated && !self.opened_for.is_zero();
        self.opened_for = if again { self.opened_for.mul_f64(growth).min(max) } else { for_ };
        self.enter(Naive::Open(now + self.opened_for));
    }

    fn enter(&mut self, state: Naive) {
        self.state = state;
        self.round += 1;
        self.seen.clear();
    }

    fn met(&self, rule: &Trip, now: Mono) -> bool {
        let in_window = |at: Mono| now.since(at) < self.policy.window;
        let bucket = |at: Mono| at.0 / (self.policy.window.as_nanos() as u64 / 10);
        let recent = || self.seen.iter().filter(|seen| bucket(seen.at) + 10 > bucket(now));
        let share = |part: usize, ratio, min| {
            let all = recent().count();
            all >= min as usize && part as f64 >= ratio * all as f64
        };
        match *rule {
            Trip::Failures(n) => {
                self.seen.iter().filter(|seen| seen.failed && in_window(seen.at)).count() >= n as usize
            }
            Trip::Consecutive(n) => {
                let row = self.seen.iter().rev().take_while(|seen| seen.failed && in_window(seen.at));
                row.count() >= n as usize
            }
            Trip::Ratio { ratio, min } => share(recent().filter(|seen| seen.failed).count(), ratio, min),
            Trip::Slow { slow, ratio, min } => {
                share(recent().filter(|seen| seen.took >= slow).count(), ratio, min)
            }
            Trip::External => false,
        }
    }
}

fn rule() -> impl Strategy<Value = Trip> {
    // A share, and a minimum of which one alone is less than that.
    let share =
        || (1u32..=10, 1u32..12).prop_map(|(tenths, more)| (f64::from(tenths) / 10.0, 10 / tenths + more));
    prop_oneof![
        2 => (1u32..6).prop_map(Trip::Failures),
        2 => (1u32..6).prop_map(Trip::Consecutive),
        2 => share().prop_map(|(ratio, min)| Trip::Ratio { ratio, min }),
        3 => (1u64..1_500, share())
            .prop_map(|(ms, (ratio, min))| Trip::Slow { slow: Duration::from_millis(ms), ratio, min }),
        1 => Just(Trip::External),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let half_open =
        (1u32..5, 0u32..5).prop_map(|(admit, close)| HalfOpen { admit, close_after: 1 + close % admit });
    let open = (1u64..10, prop_oneof![Just(1.0), Just(2.0)]).prop_map(|(open, growth)| Open {
        for_: Duration::from_secs(open),
        growth,
        max: Duration::from_secs(4 * open),
    });
    let count = prop_oneof![Just(Class::ALL.to_vec()), subsequence(Class::ALL.to_vec(), 1..=4)];
    (vec(rule(), 1..5), count, 1u64..20, open, half_open, 1u8..5).prop_map(
        |(trip, count, window, open, half_open, shards)| Policy {
            window: Duration::from_secs(window),
            trip,
            count,
            open,
            half_open,
            shards,
        },
    )
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Ask,
    /// The n-th permit still out.
    Report(usize, Outcome),
    External(bool),
}

/// What is done, and how many milliseconds pass before.
fn history() -> impl Strategy<Value = Vec<(u64, Act)>> {
    let outcome = prop_oneof![
        8 => Just(Outcome::Success),
        6 => Just(Outcome::Failed),
        2 => Just(Outcome::Timeout),
        1 => Just(Outcome::Unreachable),
        1 => Just(Outcome::Overloaded),
        2 => Just(Outcome::Abandoned),
    ];
    let passes = prop_oneof![5 => Just(0u64), 4 => 1u64..700, 1 => 700u64..30_000];
    let act = prop_oneof![
        20 => Just(Act::Ask),
        20 => (0usize..4, outcome).prop_map(|(which, outcome)| Act::Report(which, outcome)),
        1 => any::<bool>().prop_map(Act::External),
    ];
    vec((passes, act), 1..300)
}

proptest! {
    // Enough for half-open rounds, write-offs and repeated trips to meet in one history; about a second.
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_core_equals_a_model_that_remembers_everything(policy in policy(), history in history()) {
        let (mut core, mut model) = (Core::new(&policy), Model::new(policy.clone()));
        let mut out: Vec<(Permit, Given)> = vec![];
        let mut now = Mono(0);
        for (passes, act) in history {
            now = now + Duration::from_millis(passes);
            let before = model.name();
            let change = match act {
                Act::Ask => {
                    let (permit, change) = core.step(&policy, now, Event::Ask);
                    let given = model.ask(now);
                    prop_assert_eq!(permit.is_some(), given.is_some(), "asked at {:?}, {}", now, model.name());
                    out.extend(permit.zip(given));
                    change
                }
                Act::Report(which, outcome) if which < out.len() => {
                    let (permit, given) = out.remove(which);
                    model.report(given, outcome, now);
                    core.step(&policy, now, Event::Report(permit, outcome)).1
                }
                Act::Report(..) => None,
                Act::External(bad) => {
                    model.external(bad);
                    core.step(&policy, now, Event::External(bad)).1
                }
            };
            // An open one that is held from now on is another open one: its time is another.
            let other = change.filter(|c| c.from.as_str() != c.to.as_str());
            let names = (before != model.name()).then_some((before, model.name()));
            prop_assert_eq!(other.map(|c| (c.from.as_str(), c.to.as_str())), names);
            match model.state {
                Naive::Open(until) => prop_assert_eq!(core.retry_at(&policy), RetryAt(until)),
                Naive::Held => prop_assert_eq!(core.retry_at(&policy), RetryAt::UNKNOWN),
                Naive::Closed(_) | Naive::Half { .. } => {}
            }
        }
    }

    #[test]
    fn single_threaded_the_shell_equals_its_core(policy in policy(), history in history(), back in 0u64..400) {
        prop_assert_eq!(policy.check(), Vec::<String>::new());
        let (shell, lazy, mut core) =
            (Breaker::new(policy.clone()), Breaker::new(policy.clone()), Core::new(&policy));
        let mut out: Vec<[Permit; 3]> = vec![];
        let mut time = Mono(1_000_000_000_000);
        for (i, (passes, act)) in history.into_iter().enumerate() {
            time = time + Duration::from_millis(passes);
            // Threads read the clock before they get their turn: now and then time runs a little backwards.
            let now = Mono(time.0 - if i % 3 == 0 { back * 1_000_000 } else { 0 });
            match act {
                Act::Ask => {
                    let (asked, wanted) = (shell.admit(now), core.step(&policy, now, Event::Ask).0);
                    match (asked, lazy.admit_by(|| now), wanted) {
                        (Ok(a), Ok(b), Some(c)) => out.push([a, b, c]),
                        (Err(a), Err(b), None) => prop_assert_eq!([a, b], [core.retry_at(&policy); 2]),
                        other => prop_assert!(false, "{:?} at {:?}", other, now),
                    }
                }
                Act::Report(which, outcome) if which < out.len() => {
                    let [a, b, c] = out.remove(which);
                    let change = core.step(&policy, now, Event::Report(c, outcome)).1;
                    prop_assert_eq!(shell.report(a, outcome, now), change);
                    prop_assert_eq!(lazy.report_by(b, outcome, || now), change);
                }
                Act::Report(..) => {}
                Act::External(bad) => {
                    let change = core.step(&policy, now, Event::External(bad)).1;
                    prop_assert_eq!(shell.external(bad, now), change);
                    prop_assert_eq!(lazy.external(bad, now), change);
                }
            }
            prop_assert_eq!([shell.state(now), lazy.state(now)], [core.state(now); 2]);
        }
    }

    #[test]
    fn half_open_never_has_more_probes_out_than_it_admits(
        mut policy in policy(),
        acts in vec((0u64..500, 0u8..10), 1..200),
    ) {
        policy.trip.push(Trip::External);
        let shell = Breaker::new(policy.clone());
        let flap = |now| {
            shell.external(true, now);
            shell.external(false, now);
        };
        flap(Mono(0));
        let admit = policy.half_open.admit as usize;
        let (mut now, mut out, mut succeeded) = (Mono(0), Vec::<Permit>::new(), 0);
        let written_off = now + policy.open.for_;
        for (passes, act) in acts {
            now = now + Duration::from_millis(passes);
            if now >= written_off {
                break;
            }
            match (act, out.pop()) {
                // From outside a new round is begun; permits of the last one are void.
                (0, last) => {
                    flap(now);
                    out.extend(last);
                    for void in out.drain(..) {
                        prop_assert_eq!(shell.report(void, Outcome::Abandoned, now), None);
                    }
                    succeeded = 0;
                }
                (1, Some(last)) => {
                    shell.report(last, Outcome::Success, now);
                    succeeded += 1;
                }
                (2 | 3, Some(last)) => prop_assert_eq!(shell.report(last, Outcome::Abandoned, now), None),
                (_, last) => {
                    out.extend(last);
                    out.extend(shell.admit(now).ok());
                }
            }
            if shell.state(now) != State::HalfOpen {
                break;
            }
            prop_assert!(out.len() + succeeded <= admit, "{out:?} and {succeeded} of {admit}");
        }
    }
}
