//! Three breakers, one history: the core, the shell, and a model that keeps everything and looks through it
//! each time.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use seawall_policy::breaker::{Breaker, Core, Event, HalfOpen, Open, Permit, Policy, RetryAt, State, Trip};
use seawall_policy::{Mono, Outcome};

/// What the documents say, with no thought for cost: every outcome since the last change of state, in a list.
struct Model {
    policy: Policy,
    state: Naive,
    round: u32,
    seen: Vec<(Mono, bool)>,
    latest: u64,
    opened_for: Duration,
}

enum Naive {
    Closed(Mono),
    Open(Mono),
    Half { out: Vec<Mono>, succeeded: u32 },
}

impl Model {
    fn new(policy: Policy) -> Model {
        let state = Naive::Closed(Mono(0));
        Model { policy, state, round: 0, seen: vec![], latest: 0, opened_for: Duration::ZERO }
    }

    fn name(&self) -> &'static str {
        match self.state {
            Naive::Closed(_) => "closed",
            Naive::Open(_) => "open",
            Naive::Half { .. } => "half-open",
        }
    }

    /// The round a permit is good for, if one is given.
    fn ask(&mut self, now: Mono) -> Option<u32> {
        let HalfOpen { admit, .. } = self.policy.half_open;
        let renew = match &mut self.state {
            Naive::Closed(_) => false,
            Naive::Open(until) if now < *until => return None,
            Naive::Open(_) => true,
            Naive::Half { out, succeeded } if (out.len() as u32) + *succeeded < admit => {
                out.push(now);
                false
            }
            Naive::Half { .. } if now < Mono(self.latest) + self.policy.open.for_ => return None,
            Naive::Half { .. } => true,
        };
        if !matches!(self.state, Naive::Closed(_)) {
            self.latest = now.0;
        }
        if renew {
            self.state = Naive::Half { out: vec![now], succeeded: 0 };
            self.round += 1;
        }
        Some(self.round)
    }

    fn report(&mut self, round: u32, outcome: Outcome, now: Mono) {
        if round != self.round {
            return;
        }
        match (&mut self.state, outcome) {
            (Naive::Half { out, succeeded }, Outcome::Success) => {
                out.pop();
                *succeeded += 1;
                if *succeeded == self.policy.half_open.close_after {
                    self.state = Naive::Closed(now);
                    self.round += 1;
                    self.seen.clear();
                }
            }
            (Naive::Half { out, .. }, Outcome::Abandoned) => drop(out.pop()),
            (Naive::Half { .. }, _) => self.open(now, true),
            (Naive::Closed(since), outcome) if outcome != Outcome::Abandoned => {
                let repeated = now.since(*since) < self.opened_for;
                self.seen.push((now, outcome != Outcome::Success));
                if outcome != Outcome::Success && self.policy.trip.iter().any(|rule| self.met(rule, now)) {
                    self.open(now, repeated);
                }
            }
            _ => {}
        }
    }

    fn open(&mut self, now: Mono, repeated: bool) {
        let Open { for_, growth, max } = self.policy.open;
        self.opened_for = if repeated { self.opened_for.mul_f64(growth).min(max) } else { for_ };
        self.state = Naive::Open(now + self.opened_for);
        self.round += 1;
    }

    fn met(&self, rule: &Trip, now: Mono) -> bool {
        let in_window = |at: Mono| now.since(at) < self.policy.window;
        let failures = self.seen.iter().filter(|(_, failed)| *failed);
        match *rule {
            Trip::Failures(n) => failures.filter(|(at, _)| in_window(*at)).count() >= n as usize,
            Trip::Consecutive(n) => {
                let row = self.seen.iter().rev().take_while(|(at, failed)| *failed && in_window(*at));
                row.count() >= n as usize
            }
            Trip::Ratio { ratio, min } => {
                let bucket = |at: Mono| at.0 / (self.policy.window.as_nanos() as u64 / 10);
                let recent: Vec<_> =
                    self.seen.iter().filter(|(at, _)| bucket(*at) + 10 > bucket(now)).collect();
                let failed = recent.iter().filter(|(_, failed)| *failed).count();
                recent.len() >= min as usize && failed as f64 >= ratio * recent.len() as f64
            }
        }
    }
}

fn rule() -> impl Strategy<Value = Trip> {
    prop_oneof![
        (1u32..6).prop_map(Trip::Failures),
        (1u32..6).prop_map(Trip::Consecutive),
        ((1u32..=10).prop_map(|tenths| f64::from(tenths) / 10.0), 1u32..12)
            .prop_map(|(ratio, min)| Trip::Ratio { ratio, min }),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    (vec(rule(), 1..4), 1u64..20, 1u64..10, 1u32..5, 0u32..5, prop_oneof![Just(1.0), Just(2.0)], 1u8..5)
        .prop_map(|(trip, window, open, admit, close, growth, shards)| Policy {
            window: Duration::from_secs(window),
            trip,
            open: Open { for_: Duration::from_secs(open), growth, max: Duration::from_secs(4 * open) },
            half_open: HalfOpen { admit, close_after: 1 + close % admit },
            shards,
        })
}

/// Ask, or report the n-th permit still out; and how many milliseconds pass before.
fn history() -> impl Strategy<Value = Vec<(u64, Option<(usize, Outcome)>)>> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Success),
        4 => Just(Outcome::Failed),
        1 => Just(Outcome::Timeout),
        1 => Just(Outcome::Abandoned),
    ];
    let passes = prop_oneof![5 => Just(0u64), 4 => 1u64..700, 1 => 700u64..30_000];
    let act = prop_oneof![Just(None), (0usize..4, outcome).prop_map(Some)];
    vec((passes, act), 1..300)
}

proptest! {
    // Enough for half-open rounds, write-offs and repeated trips to meet in one history; about a second.
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_core_equals_a_model_that_remembers_everything(policy in policy(), history in history()) {
        let (mut core, mut model) = (Core::new(&policy), Model::new(policy.clone()));
        let mut out: Vec<(Permit, u32)> = vec![];
        let mut now = Mono(0);
        for (passes, act) in history {
            now = now + Duration::from_millis(passes);
            match act {
                None => {
                    let permit = core.step(&policy, now, Event::Ask).0;
                    let round = model.ask(now);
                    prop_assert_eq!(permit.is_some(), round.is_some(), "asked at {:?}, {}", now, model.name());
                    out.extend(permit.zip(round));
                }
                Some((which, outcome)) if which < out.len() => {
                    let (permit, round) = out.remove(which);
                    let before = model.name();
                    let change = core.step(&policy, now, Event::Report(permit, outcome)).1;
                    model.report(round, outcome, now);
                    let names = (before != model.name()).then_some((before, model.name()));
                    prop_assert_eq!(change.map(|c| (c.from.as_str(), c.to.as_str())), names);
                }
                Some(_) => {}
            }
            if let Naive::Open(until) = model.state {
                prop_assert_eq!(core.retry_at(&policy), RetryAt(until));
            }
        }
    }

    #[test]
    fn single_threaded_the_shell_equals_its_core(policy in policy(), history in history(), back in 0u64..400) {
        prop_assert_eq!(policy.check(), Vec::<String>::new());
        let (shell, mut core) = (Breaker::new(policy.clone()), Core::new(&policy));
        let mut out: Vec<(Permit, Permit)> = vec![];
        let mut time = Mono(1_000_000_000_000);
        for (i, (passes, act)) in history.into_iter().enumerate() {
            time = time + Duration::from_millis(passes);
            // Threads read the clock before they get their turn: now and then time runs a little backwards.
            let now = Mono(time.0 - if i % 3 == 0 { back * 1_000_000 } else { 0 });
            match act {
                None => {
                    let (asked, wanted) = (shell.admit(now), core.step(&policy, now, Event::Ask).0);
                    match (asked, wanted) {
                        (Ok(a), Some(b)) => out.push((a, b)),
                        (Err(at), None) => prop_assert_eq!(at, core.retry_at(&policy)),
                        other => prop_assert!(false, "{:?} at {:?}", other, now),
                    }
                }
                Some((which, outcome)) if which < out.len() => {
                    let (a, b) = out.remove(which);
                    let change = core.step(&policy, now, Event::Report(b, outcome)).1;
                    prop_assert_eq!(shell.report(a, outcome, now), change);
                }
                Some(_) => {}
            }
            prop_assert_eq!(shell.state(now), core.state(now));
        }
    }

    #[test]
    fn half_open_never_has_more_probes_out_than_it_admits(
        policy in policy(),
        acts in vec((0u64..500, any::<bool>(), any::<bool>()), 1..200),
    ) {
        let shell = Breaker::new(policy.clone());
        let mut now = Mono(0);
        while shell.state(now) == State::Closed {
            let permit = shell.admit(now).map_err(|e| TestCaseError::fail(e.to_string()))?;
            shell.report(permit, Outcome::Failed, now);
        }
        now = now + policy.open.for_;
        let mut out: Vec<Permit> = vec![];
        let written_off = now + policy.open.for_;
        for (passes, ask, which) in acts {
            now = now + Duration::from_millis(passes);
            if now >= written_off {
                break;
            }
            if ask {
                out.extend(shell.admit(now).ok());
            } else if let Some(permit) = out.pop() {
                shell.report(permit, if which { Outcome::Abandoned } else { Outcome::Success }, now);
            }
            if shell.state(now) == State::Closed {
                break;
            }
            prop_assert!(out.len() as u32 <= policy.half_open.admit);
        }
    }
}
