//! A ladder in sentences, for whoever asks what will happen before it does.

use super::condition::{Clause, Condition, Op, Signal};
use super::policy::{DWELL_MIN, Policy, Rung};
use crate::duration;

impl Policy {
    /// What it does, one fact a sentence, with its own numbers.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let mut told: Vec<String> = self.rung.iter().flat_map(Rung::explain).collect();
        let mut signals: Vec<&Signal> = Vec::new();
        let conditions = self.rung.iter().flat_map(|rung| rung.enter.iter().chain(&rung.exit));
        for clause in conditions.flat_map(Condition::clauses) {
            if !signals.contains(&&clause.signal) {
                signals.push(&clause.signal);
            }
        }
        told.extend(signals.iter().filter_map(|signal| signal.meaning()));
        told.extend([
            "Each rung stands for itself: the ladder's level is that of its highest active rung, 0 is normal \
             operation, and of two active rungs that set the same feature the higher one decides."
                .to_owned(),
            "A signal without a value (too little to judge by) neither enters nor leaves a rung.".to_owned(),
            "An operator may pin any rung on or off, or the whole ladder at a level, whatever these \
             conditions and times say."
                .to_owned(),
        ]);
        told
    }
}

impl Rung {
    fn explain(&self) -> Vec<String> {
        let who = format!("Level {}, {}, ", self.level, self.name);
        let mut told = Vec::new();
        match (&self.enter, &self.exit) {
            _ if self.manual => told.push(format!("{who}is entered and left by an operator's pin alone.")),
            (enter, exit) => {
                let when = |condition: &Option<Condition>| {
                    condition.as_ref().map_or_else(|| "an operator pins it".to_owned(), in_words)
                };
                told.push(format!("{who}is entered when {}.", when(enter)));
                told.push(format!(
                    "It is left when {}, and not while what enters it still holds.",
                    when(exit)
                ));
                let dwell = duration::format(self.dwell.max(DWELL_MIN));
                told.push(format!(
                    "Once entered it stays for at least {dwell}, and once left it is not entered again for \
                     {dwell}."
                ));
            }
        }
        if !self.grace.is_zero() {
            told.push(format!(
                "It is not entered within {} of the start or of a planned disturbance, such as a purge.",
                duration::format(self.grace)
            ));
        }
        let modes: Vec<String> =
            self.effects().map(|(feature, mode)| format!("{feature} is {mode}")).collect();
        if !modes.is_empty() {
            told.push(format!("While it is active, {}.", listed(&modes)));
        }
        told
    }
}

fn in_words(condition: &Condition) -> String {
    let any = condition.any.iter().map(|all| {
        let all: Vec<String> = all.iter().map(clause_in_words).collect();
        all.join(" and ")
    });
    any.collect::<Vec<_>>().join(", or when ")
}

fn clause_in_words(clause: &Clause) -> String {
    let compares = match clause.op {
        Op::Above => "above ",
        Op::AtLeast => "at least ",
        Op::Below => "below ",
        Op::AtMost => "at most ",
        Op::Is => "",
        Op::IsNot => "not ",
    };
    let value = clause.unit.write(&clause.value);
    let signal = &clause.signal;
    if clause.for_.is_zero() {
        format!("{signal} is {compares}{value}")
    } else {
        format!("{signal} has been {compares}{value} for {}", duration::format(clause.for_))
    }
}

/// "a", "a and b", "a, b and c".
fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

impl Signal {
    /// What the signals mean that the presets use; others explain themselves, or their owner does.
    fn meaning(&self) -> Option<String> {
        let of = self.of.as_deref().unwrap_or("everything");
        let percentile = self.what.strip_prefix('p').and_then(|digits| digits.parse::<u8>().ok());
        let meaning = match (self.what.as_str(), percentile) {
            (_, Some(percent)) if percent < 100 => {
                format!("the time within which {percent} of 100 calls to {of} end")
            }
            ("load", _) => "the highest of requests in flight, time in queues and processor use, each as a \
                            share of its limit"
                .to_owned(),
            ("breaker", _) => format!("the state of the circuit breaker in front of {of}"),
            ("hit", _) => format!("the share of look-ups that {of} answers"),
            ("errors", _) => format!("the share of calls to {of} that fail"),
            ("degraded", _) => format!("the share of {of} that are degraded themselves"),
            ("up", _) => format!("the share of {of} that pass their health checks"),
            ("unreachable", _) => format!("the share of observers that cannot reach {of}"),
            ("spike", _) => format!("how many times the usual rate of {of} at this hour of the day arrives"),
            ("age", _) => format!("how long ago {of} were known to be right"),
            _ => return None,
        };
        Some(format!("{self} is {meaning}."))
    }
}
