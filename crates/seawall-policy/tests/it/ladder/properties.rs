//! Ladders under random signals, beside a model that keeps the whole history and looks through it each time.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use seawall_policy::Mono;
use seawall_policy::ladder::condition::{Condition, Signal, Value};
use seawall_policy::ladder::{Core, PRESETS, Pin, Policy, Rung, STEP_MAX};

use super::policy;

/// One step: how much later, what the signals `a`, `b` and `c` say, and perhaps a pin.
#[derive(Debug, Clone)]
struct Moment {
    later_ms: u64,
    says: [Option<f64>; 3],
    pin: Option<(usize, Pin)>,
    level_pin: Option<Option<u8>>,
}

fn moment() -> impl Strategy<Value = Moment> {
    // Mostly a second or less, now and then a pause.
    let later = prop_oneof![9 => 0..=1_500_u64, 1 => 1_500..20_000_u64];
    let pin = prop_oneof![Just(Pin::On), Just(Pin::Off), Just(Pin::Auto)];
    let says = [of(0.0..1.0), of(0.0..1.0), of(0.0..1.0)];
    (later, says, of((0..3_usize, pin)), of(of(0..=3_u8)))
        .prop_map(|(later_ms, says, pin, level_pin)| Moment { later_ms, says, pin, level_pin })
}

fn unpinned() -> impl Strategy<Value = Moment> {
    moment().prop_map(|moment| Moment { pin: None, level_pin: None, ..moment })
}

/// Conditions that would flap all day: hardly any gap, and often no time to hold.
fn ladder() -> impl Strategy<Value = Policy> {
    let clause = |op: &'static str| {
        (prop::sample::select(vec!["a", "b", "c"]), 1..10_u32, 0..4_u64)
            .prop_map(move |(signal, tenth, for_)| format!("{signal} {op} 0.{tenth} for {for_}s"))
    };
    let condition = |op| (clause(op), clause(op), prop::sample::select(vec!["and", "or"]));
    let rung =
        (condition(">"), condition("<"), 1..6_u64, 0..5_u64).prop_map(|(enter, exit, dwell, grace)| {
            let text = |(one, two, joined): (String, String, &str)| {
                format!("{one} {joined} {two}").parse().expect("readable")
            };
            Rung {
                enter: Some(text(enter)),
                exit: Some(text(exit)),
                dwell: Duration::from_secs(dwell),
                grace: Duration::from_secs(grace),
                ..Rung::default()
            }
        });
    vec(rung, 3).prop_map(|rungs| {
        let numbered = (1..).zip(rungs);
        let rung = numbered.map(|(level, rung)| Rung { level, name: format!("rung {level}"), ..rung });
        Policy { rung: rung.collect() }
    })
}

fn said(says: &[Option<f64>; 3], signal: &Signal) -> Option<Value> {
    let place = ["a", "b", "c"].iter().position(|name| *name == signal.what)?;
    says[place].map(Value::from)
}

/// Looks back through everything that was said.
struct Model {
    policy: Policy,
    seen: Vec<(Mono, [Option<f64>; 3])>,
    wanted: [(bool, Option<Mono>); 3],
}

impl Model {
    fn step(&mut self, now: Mono, says: [Option<f64>; 3]) {
        self.seen.push((now, says));
        for i in 0..3 {
            let rung = &self.policy.rung[i];
            let (active, changed) = self.wanted[i];
            let [enter, exit] = [&rung.enter, &rung.exit].map(|some| some.as_ref().expect("made so above"));
            let turns = match active {
                false => self.long(enter) && now >= Mono(0) + rung.grace,
                true => self.long(exit) && !self.now(enter),
            };
            if turns && changed.is_none_or(|changed| now.since(changed) >= rung.dwell) {
                self.wanted[i] = (!active, Some(now));
            }
        }
    }

    fn long(&self, condition: &Condition) -> bool {
        condition.any.iter().any(|all| {
            all.iter().all(|clause| {
                // From the newest back: observed time, as long as it held.
                let mut observed = Duration::ZERO;
                let mut later: Option<Mono> = None;
                for (at, says) in self.seen.iter().rev() {
                    if clause.holds(said(says, &clause.signal).as_ref()) != Some(true) {
                        return false;
                    }
                    observed += later.map_or(Duration::ZERO, |later| later.since(*at).min(STEP_MAX));
                    if observed >= clause.for_ {
                        return true;
                    }
                    later = Some(*at);
                }
                false
            })
        })
    }

    fn now(&self, condition: &Condition) -> bool {
        let (_, says) = self.seen.last().expect("a step before");
        let holds = |all: &Vec<_>| {
            all.iter().all(|clause: &seawall_policy::ladder::condition::Clause| {
                clause.holds(said(says, &clause.signal).as_ref()) == Some(true)
            })
        };
        condition.any.iter().any(holds)
    }
}

proptest! {
    /// Nothing flaps: two changes of a rung, in and out or out and in, are never less than its dwell apart.
    #[test]
    fn no_rung_changes_twice_within_its_dwell(policy in ladder(), history in vec(unpinned(), 1..300)) {
        let mut core = Core::new(policy.clone(), Mono(0));
        let (mut now, mut changed) = (Mono(0), [None::<Mono>; 3]);
        for moment in history {
            now = now + Duration::from_millis(moment.later_ms);
            for change in core.step(now, |signal| said(&moment.says, signal)) {
                if let Some(before) = changed[change.rung].replace(now) {
                    prop_assert!(now.since(before) >= policy.rung[change.rung].dwell, "{change}");
                }
            }
        }
    }

    /// A transition says what has changed, the level is the highest active rung's, pins always win, and what
    /// is not pinned is what a search through the whole history says.
    #[test]
    fn it_equals_a_model_that_remembers_everything(policy in ladder(), history in vec(moment(), 1..200)) {
        let mut core = Core::new(policy.clone(), Mono(0));
        let mut model = Model { policy, seen: vec![], wanted: [(false, None); 3] };
        let (mut now, mut pins, mut level_pin) = (Mono(0), [Pin::Auto; 3], None);
        let mut active = [false; 3];
        for moment in history {
            now = now + Duration::from_millis(moment.later_ms);
            if let Some((i, pin)) = moment.pin {
                core.pin(&format!("rung {}", i + 1), pin).unwrap();
                pins[i] = pin;
            }
            if let Some(level) = moment.level_pin {
                core.pin_level(level).unwrap();
                level_pin = level;
            }
            let changes = core.step(now, |signal| said(&moment.says, signal));
            model.step(now, moment.says);
            for change in &changes {
                prop_assert_ne!(active[change.rung], change.entered, "{}", change);
                active[change.rung] = change.entered;
                prop_assert!(!change.why.is_empty());
                prop_assert_eq!(change.now_at, core.level());
            }
            for (i, standing) in core.standings().enumerate() {
                let expected = match (pins[i], level_pin) {
                    (Pin::On, _) => true,
                    (Pin::Off, _) => false,
                    (Pin::Auto, Some(level)) => i < usize::from(level),
                    (Pin::Auto, None) => model.wanted[i].0,
                };
                prop_assert_eq!(standing.active, expected, "rung {} at {:?}", i + 1, now);
                prop_assert_eq!(active[i], expected, "the transitions tell the whole story");
            }
            let highest = (0..3).rev().find(|i| active[*i]).map_or(0, |i| i as u8 + 1);
            prop_assert_eq!(core.level(), highest);
        }
    }

    /// The documents' ladders, with every signal at random: numbers of all sizes, words they know and do not.
    #[test]
    fn the_documents_ladders_never_flap_either(
        which in 0..PRESETS.len(),
        history in vec((0..20_000_u64, any::<u64>()), 1..200),
    ) {
        let policy = policy(PRESETS[which]);
        let mut core = Core::new(policy.clone(), Mono(0));
        let mut now = Mono(0);
        let mut changed = vec![None::<Mono>; policy.rung.len()];
        let words = ["up", "down", "lost", "closed", "open", "empty", "filled", "home", "unreachable", "odd"];
        for (later_ms, seed) in history {
            now = now + Duration::from_millis(later_ms);
            let mut luck = seawall_policy::Rng::new(seed);
            let changes = core.step(now, |_| match luck.below(4) {
                0 => None,
                1 => Some(Value::from(words[luck.below(words.len() as u64) as usize])),
                2 => Some(Value::from(luck.unit())),
                _ => Some(Value::from(luck.unit() * 10.0)),
            });
            for change in changes {
                if let Some(before) = changed[change.rung].replace(now) {
                    prop_assert!(now.since(before) >= policy.rung[change.rung].dwell, "{change}");
                }
            }
            let top = core.active().map(|rung| rung.level).max().unwrap_or(0);
            prop_assert_eq!(core.level(), top);
        }
    }
}
