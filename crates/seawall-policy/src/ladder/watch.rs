//! A condition and its memory: for how long each clause has held.
//!
//! Times are added up from step to step and not taken from the moment a clause first held, so that a pause in
//! which nobody looked counts for no more than the caller lets it.

use std::time::Duration;

use super::condition::{Clause, Condition, Signal, Value};

#[derive(Debug)]
pub(super) struct Watch {
    any: Vec<Vec<Timed>>,
}

#[derive(Debug)]
struct Timed {
    clause: Clause,
    /// Its place among the readings.
    reading: usize,
    /// `None` when it does not hold, or nobody knows.
    held: Option<Duration>,
}

/// What a look showed.
pub(super) struct Seen {
    /// All clauses of an alternative hold now, whatever their time.
    pub(super) holds: bool,
    /// The first alternative of which all have held for as long as they ask.
    pub(super) held: Option<usize>,
}

impl Watch {
    /// Adds the signals it needs to `signals`, each once.
    pub(super) fn new(condition: Option<&Condition>, signals: &mut Vec<Signal>) -> Watch {
        let mut timed = |clause: &Clause| {
            let known = signals.iter().position(|signal| *signal == clause.signal);
            let reading = known.unwrap_or_else(|| {
                signals.push(clause.signal.clone());
                signals.len() - 1
            });
            Timed { clause: clause.clone(), reading, held: None }
        };
        let any = condition.map_or(&[][..], |condition| &condition.any);
        // An alternative without clauses would hold for want of one that does not.
        let any = any.iter().filter(|all| !all.is_empty());
        Watch { any: any.map(|all| all.iter().map(&mut timed).collect()).collect() }
    }

    /// Takes in one reading of each signal, `passed` after the one before.
    pub(super) fn look(&mut self, readings: &[Option<Value>], passed: Duration) -> Seen {
        for timed in self.any.iter_mut().flatten() {
            let holds = timed.clause.holds(readings[timed.reading].as_ref()) == Some(true);
            timed.held = holds.then(|| timed.held.map_or(Duration::ZERO, |held| held + passed));
        }
        let long_enough = |timed: &Timed| timed.held.is_some_and(|held| held >= timed.clause.for_);
        Seen {
            holds: self.any.iter().any(|all| all.iter().all(|timed| timed.held.is_some())),
            held: self.any.iter().position(|all| all.iter().all(long_enough)),
        }
    }

    /// An alternative's clauses beside what its signals say.
    pub(super) fn numbers(&self, alternative: usize, readings: &[Option<Value>]) -> String {
        let numbers = self.any[alternative].iter().filter_map(|Timed { clause, reading, .. }| {
            let seen = clause.unit.show(readings[*reading].as_ref()?);
            Some(format!("{} is {seen} ({clause})", clause.signal))
        });
        numbers.collect::<Vec<_>>().join(" and ")
    }
}
