//! A retry policy in sentences.

use super::policy::{Class, Jitter, Policy};
use crate::duration::format;

impl Policy {
    /// What it means, in sentences.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let tries = self.amplification();
        if tries == 1 {
            return vec!["A call is tried once and never again.".to_owned()];
        }
        let waits: Vec<String> = (1..tries).map(|attempt| format(self.backoff.wait(attempt))).collect();
        let mut told = vec![format!("A call is tried at most {tries} times in all.")];
        if (1..tries).all(|attempt| self.backoff.wait(attempt).is_zero()) {
            told.push("The next try begins at once.".to_owned());
        } else {
            told.push(format!("Between the tries there are waits of {}.", list(&waits, "and")));
            told.push(self.jitter.explain());
        }
        let on: Vec<String> = self.on.iter().map(|class| class.explain().to_owned()).collect();
        told.push(format!("It is tried again when the callee {}.", list(&on, "or")));
        if self.on.contains(&Class::Overloaded) {
            told.push(
                "A callee that is too busy is not asked again, only another one, at double cost.".to_owned(),
            );
        }
        told.push(if self.idempotent_only {
            "Only calls that may safely happen twice are tried again.".to_owned()
        } else {
            "Calls that must not happen twice are tried again, too.".to_owned()
        });
        told.push(format!("No try begins later than {} after the first.", format(self.within)));
        if self.timeout_growth > 1.0 {
            told.push(format!("Each try may take {} times as long as the one before.", self.timeout_growth));
        }
        let below =
            if self.below_a_retry { "it retries, too: the layers multiply." } else { "it does not retry." };
        told.push(format!("While it serves a request that is itself a retry, {below}"));
        told
    }
}

impl Jitter {
    fn explain(self) -> String {
        let percent = |ratio: f64| (ratio.clamp(0.0, 1.0) * 10_000.0).round() / 100.0;
        match self {
            Jitter::Full => {
                "Each is drawn from nothing to the whole, so that those who failed together return apart."
                    .to_owned()
            }
            Jitter::None => "All who failed together return together: the waits are not spread.".to_owned(),
            Jitter::Symmetric { ratio } => format!("Each is up to {} % longer or shorter.", percent(ratio)),
            Jitter::Additive { ratio } => format!("Each is up to {} % longer.", percent(ratio)),
        }
    }
}

impl Class {
    fn explain(self) -> &'static str {
        match self {
            Class::Failed => "answers that it could not",
            Class::Timeout => "does not answer in time",
            Class::Unreachable => "cannot be reached",
            Class::Overloaded => "says it is too busy",
        }
    }
}

/// "a", "a or b", "a, b or c".
fn list(words: &[String], before_last: &str) -> String {
    match words {
        [] => "nothing".to_owned(),
        [word] => word.clone(),
        [words @ .., last] => format!("{} {before_last} {last}", words.join(", ")),
    }
}
