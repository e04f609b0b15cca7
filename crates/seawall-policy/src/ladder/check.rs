//! Finding what cannot work in a ladder: rungs that are never entered, never left, or that flap.
//!
//! Each row of clauses joined by `and` allows a signal a range of numbers, or some words. From that follows
//! what can be known without running it: a row that allows a signal nothing never holds, and an exit keeps its
//! distance from an entry if there is a signal of both for which the two ranges lie apart. Rows without a
//! signal in common are not judged: the ladder itself leaves no rung whose entry still holds.

use super::condition::{Clause, Condition, Op, Signal, Unit, Value};
use super::policy::{DWELL_MAX, DWELL_MIN, EFFECTS_MAX, Policy, RUNGS_MAX, Rung};
use crate::duration;
use crate::ladder::condition::NAME_MAX;

impl Policy {
    /// Everything wrong with it, each with what to write instead; empty when all is well.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        match self.rung.len() {
            0 => wrong.push("rung: describe at least one; without any nothing is ever given up".to_owned()),
            n if n > RUNGS_MAX => wrong.push(format!("rung: use at most {RUNGS_MAX}; there are {n}")),
            _ => {}
        }
        for (i, rung) in self.rung.iter().enumerate() {
            let before = &self.rung[..i];
            let key = |problem| format!("rung[{i}].{problem}");
            wrong.extend(rung.places(before).into_iter().chain(rung.times()).map(key));
            wrong.extend(rung.conditions().into_iter().chain(rung.modes()).map(key));
        }
        wrong
    }
}

impl Rung {
    /// Level and name among those before it.
    fn places(&self, before: &[Rung]) -> Vec<String> {
        let mut wrong = Vec::new();
        let below = before.last().map_or(0, |rung| rung.level);
        if self.level <= below {
            let level = self.level;
            wrong.push(match below {
                0 => "level: use 1 or more; 0 is normal operation".to_owned(),
                _ => format!("level: use more than the rung before has, which is {below}; it says {level}"),
            });
        }
        if self.name.trim().is_empty() || self.name.len() > NAME_MAX {
            wrong.push(format!("name: say in 1 to {NAME_MAX} characters what has happened"));
        } else if before.iter().any(|rung| rung.name == self.name) {
            wrong.push(format!("name: use one of its own; {:?} is taken by a rung before it", self.name));
        }
        wrong
    }

    fn times(&self) -> Vec<String> {
        let [dwell, grace, min, max] = [self.dwell, self.grace, DWELL_MIN, DWELL_MAX].map(duration::format);
        let mut wrong = Vec::new();
        if !(DWELL_MIN..=DWELL_MAX).contains(&self.dwell) {
            wrong.push(format!(
                "dwell: use {min} to {max}, mostly 30s; it says {dwell} (a ladder is stepped once a second)"
            ));
        }
        if self.grace > DWELL_MAX {
            wrong.push(format!("grace: use at most {max}; it says {grace}, and until then nothing protects"));
        }
        wrong
    }

    fn conditions(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let (enter, exit) = match (&self.enter, &self.exit, self.manual) {
            (None, None, true) => return wrong,
            (_, _, true) => {
                return vec!["manual: leave it out, or else enter and exit; a pin needs neither".to_owned()];
            }
            (Some(enter), Some(exit), false) => (enter, exit),
            (enter, exit, false) => {
                for (key, what) in [("enter", enter), ("exit", exit)] {
                    if what.is_none() {
                        wrong.push(format!(
                            "{key}: say when, such as \"load >= 70% for 30s\"; or manual = true, for a rung \
                             that only an operator enters and leaves"
                        ));
                    }
                }
                return wrong;
            }
        };
        for (key, condition) in [("enter", enter), ("exit", exit)] {
            wrong
                .extend(condition.any.iter().filter_map(|all| never(all)).map(|why| format!("{key}: {why}")));
        }
        if wrong.is_empty() {
            wrong.extend(too_close(enter, exit).map(|why| format!("exit: {why}")));
        }
        wrong
    }

    fn modes(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.effects.is_empty() || self.effects.len() > EFFECTS_MAX {
            let n = self.effects.len();
            wrong.push(format!("effects: name 1 to {EFFECTS_MAX}, such as \"search=off\"; there are {n}"));
        }
        let is_name = |name: &str| {
            (1..=NAME_MAX).contains(&name.len())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        for (i, effect) in self.effects.iter().enumerate() {
            match effect.split_once('=') {
                Some((feature, mode)) if is_name(feature) && is_name(mode) => {
                    if self.effects().take(i).any(|(earlier, _)| earlier == feature) {
                        wrong.push(format!("effects[{i}]: say once what becomes of {feature}"));
                    }
                }
                _ => wrong.push(format!(
                    "effects[{i}]: write feature=mode, each of letters, digits, - _ or .; it says {effect:?}"
                )),
            }
        }
        wrong
    }
}

/// Why a row of clauses can never hold, if so.
fn never(all: &[Clause]) -> Option<String> {
    let signal = all.iter().map(|clause| &clause.signal).find(|signal| {
        let allowed = Allowed::by(all, signal);
        matches!(allowed, Allowed::Nothing)
    })?;
    let says = says(all, signal);
    let over = |clause: &Clause| {
        clause.unit == Unit::Percent && matches!(clause.value, Value::Number(share) if share >= 1.0)
    };
    let advice = if all.iter().any(|clause| clause.signal == *signal && over(clause)) {
        "a share is at most 100%; for a ratio that can be more, write it as a number"
    } else {
        "signals are not negative, and have one value at a time"
    };
    Some(format!("use what can happen; it says {says}, which is never true: {advice}"))
}

/// Why a rung could be in and out again at once, if so.
fn too_close(enter: &Condition, exit: &Condition) -> Option<String> {
    let pairs = enter.any.iter().flat_map(|enter| exit.any.iter().map(move |exit| (enter, exit)));
    pairs.into_iter().find_map(|(enter, exit)| {
        let shared: Vec<&Clause> = exit
            .iter()
            .filter(|clause| enter.iter().any(|other| other.signal == clause.signal))
            .collect();
        let distances = shared.iter().map(|clause| {
            (Allowed::by(enter, &clause.signal).distance(&Allowed::by(exit, &clause.signal)), *clause)
        });
        let (distance, clause) = distances.max_by_key(|(distance, _)| *distance)?;
        let [entered, left] = [enter, exit].map(|all| says(all, &clause.signal));
        match distance {
            Distance::Apart => None,
            Distance::Touching => Some(format!(
                "leave a gap{}; it says {left}, and enter says {entered}: it would be entered and left \
                 by noise",
                suggestion(clause)
            )),
            Distance::Overlapping => Some(format!(
                "use what cannot be while enter holds; it says {left}, and enter says {entered}: both can hold"
            )),
        }
    })
}

/// A bound a tenth further away from the entry's.
fn suggestion(exit: &Clause) -> String {
    let further = match (&exit.value, exit.op) {
        (Value::Number(bound), Op::Below | Op::AtMost) => bound * 0.9,
        (Value::Number(bound), Op::Above | Op::AtLeast) if *bound > 0.0 => bound * 1.1,
        _ => return String::new(),
    };
    format!(", such as {} {} {}", exit.signal, exit.op.as_str(), exit.unit.show(&Value::Number(further)))
}

/// What a row says of one signal.
fn says(all: &[Clause], signal: &Signal) -> String {
    let clauses = all.iter().filter(|clause| clause.signal == *signal).map(ToString::to_string);
    clauses.collect::<Vec<_>>().join(" and ")
}

/// How far what enters is from what leaves; the greater the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Distance {
    Overlapping,
    Touching,
    Apart,
}

/// What a row of clauses leaves a signal to be.
#[derive(Debug, Clone)]
enum Allowed<'a> {
    Anything,
    Numbers {
        low: f64,
        high: f64,
        /// Bounds, and single numbers, that are themselves excluded.
        not: Vec<f64>,
    },
    Words {
        only: Option<&'a str>,
        not: Vec<&'a str>,
    },
    Nothing,
}

impl<'a> Allowed<'a> {
    fn by(all: &'a [Clause], signal: &Signal) -> Allowed<'a> {
        let clauses = all.iter().filter(|clause| clause.signal == *signal);
        clauses.map(Allowed::by_one).fold(Allowed::Anything, Allowed::and)
    }

    fn by_one(clause: &'a Clause) -> Allowed<'a> {
        match (&clause.value, clause.op) {
            (Value::Word(word), Op::IsNot) => Allowed::Words { only: None, not: vec![word] },
            (Value::Word(word), _) => Allowed::Words { only: Some(word), not: Vec::new() },
            (Value::Number(bound), op) => {
                let most = if clause.unit == Unit::Percent { 1.0 } else { f64::INFINITY };
                let (low, high, not) = match op {
                    Op::Above => (*bound, most, vec![*bound]),
                    Op::AtLeast => (*bound, most, vec![]),
                    Op::Below => (0.0, *bound, vec![*bound]),
                    Op::AtMost => (0.0, *bound, vec![]),
                    Op::Is => (*bound, *bound, vec![]),
                    Op::IsNot => (0.0, most, vec![*bound]),
                };
                Allowed::Numbers { low, high: high.min(most), not }.or_nothing()
            }
        }
    }

    fn and(self, other: Allowed<'a>) -> Allowed<'a> {
        match (self, other) {
            (Allowed::Anything, other) | (other, Allowed::Anything) => other,
            (Allowed::Numbers { low: a, high: b, not }, Allowed::Numbers { low: c, high: d, not: nor }) => {
                Allowed::Numbers { low: a.max(c), high: b.min(d), not: [not, nor].concat() }.or_nothing()
            }
            (Allowed::Words { only: a, not }, Allowed::Words { only: b, not: nor }) => {
                let contradict = a.zip(b).is_some_and(|(a, b)| a != b);
                let only = a.or(b);
                let not = [not, nor].concat();
                if contradict || only.is_some_and(|only| not.contains(&only)) {
                    Allowed::Nothing
                } else {
                    Allowed::Words { only, not }
                }
            }
            _ => Allowed::Nothing,
        }
    }

    fn or_nothing(self) -> Allowed<'a> {
        match self {
            Allowed::Numbers { low, high, ref not } if low > high || low == high && not.contains(&low) => {
                Allowed::Nothing
            }
            some => some,
        }
    }

    /// Neither is `Nothing` or `Anything`: both rows speak of the signal and can hold.
    fn distance(&self, other: &Allowed<'_>) -> Distance {
        match (self, other) {
            (Allowed::Numbers { low: a, high: b, not }, Allowed::Numbers { low: c, high: d, not: nor }) => {
                let (low, high) = (a.max(*c), b.min(*d));
                let is_out = |bound: f64| not.contains(&bound) || nor.contains(&bound);
                match low.total_cmp(&high) {
                    std::cmp::Ordering::Greater => Distance::Apart,
                    std::cmp::Ordering::Equal if is_out(low) => Distance::Touching,
                    _ => Distance::Overlapping,
                }
            }
            (Allowed::Words { only: Some(a), .. }, Allowed::Words { only: Some(b), .. }) if a != b => {
                Distance::Apart
            }
            (Allowed::Words { only: Some(only), .. }, Allowed::Words { not, .. })
            | (Allowed::Words { not, .. }, Allowed::Words { only: Some(only), .. })
                if not.contains(only) =>
            {
                Distance::Apart
            }
            (Allowed::Words { .. }, Allowed::Words { .. }) => Distance::Overlapping,
            _ => Distance::Apart,
        }
    }
}
