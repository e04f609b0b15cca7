//! A policy in sentences, with its own numbers and what they mean at a rate one can picture.

use std::time::Duration;

use super::policy::{Open, Policy};
use super::trip::Trip;
use crate::duration;
use crate::outcome::Class;

/// Calls a second in the examples.
const RATE: f64 = 1_000.0;

impl Policy {
    /// What it does, in full sentences for someone who has not read this code.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let mut told = vec![explain_count(&self.count)];
        for rule in self.rules() {
            told.extend(explain_rule(rule, self.window));
        }
        told.extend(explain_open(&self.open));
        told.push(format!(
            "After that time it is half-open: of those who ask it lets {} call, and refuses the others.",
            self.admit()
        ));
        told.push(match self.close_after() {
            1 => "The first of these calls that succeeds closes it, and everyone may call again.".to_owned(),
            n => format!("When {n} of these calls have succeeded it closes, and everyone may call again."),
        });
        told.push("Any of them that fails opens it again.".to_owned());
        if let Some(slow) = self.slow_rules().min() {
            told.push(format!("One that takes {} or longer counts as failed.", time(slow)));
        }
        told.push(match self.shards {
            0 | 1 => {
                "Successes are counted in one place, which keeps it small: there may be one per instance."
                    .to_owned()
            }
            n => format!("Successes are counted in {n} places, so that threads do not wait for each other."),
        });
        told
    }
}

fn explain_count(count: &[Class]) -> String {
    let meaning = |class| match class {
        Class::Failed => "failed (it answered that it could not)",
        Class::Timeout => "timeout (no answer in time)",
        Class::Unreachable => "unreachable (no connection, or it broke)",
        Class::Overloaded => "overloaded (it said it has too much to do)",
    };
    let list = |classes: Vec<Class>| classes.into_iter().map(meaning).collect::<Vec<_>>().join(", ");
    let (counted, left_out): (Vec<_>, Vec<_>) =
        Class::ALL.into_iter().partition(|class| count.contains(class));
    match (counted.is_empty(), left_out.is_empty()) {
        (_, true) => format!("These ends of a call are failures: {}.", list(counted)),
        (true, false) => "No end of a call is a failure.".to_owned(),
        (false, false) => format!(
            "These ends of a call are failures: {}; but {} is neither failure nor success.",
            list(counted),
            list(left_out)
        ),
    }
}

fn explain_rule(rule: &Trip, window: Duration) -> Vec<String> {
    let within = time(window);
    let few = |min| {
        let rate = rate(f64::from(min) / window.as_secs_f64());
        format!("With fewer than {rate} this rule never has {min} outcomes in {within}.")
    };
    match *rule {
        Trip::Failures(n) => {
            let opens =
                format!("It opens after {n} {} within {within}", if n == 1 { "failure" } else { "failures" });
            let share = f64::from(n) / (RATE * window.as_secs_f64());
            let of_them = format!("at {} calls a second that is {} % of them", number(RATE), percent(share));
            vec![if share <= 1.0 { format!("{opens}: {of_them}.") } else { format!("{opens}.") }]
        }
        Trip::Consecutive(n) => vec![
            format!("It opens after {n} failures in a row within {within}, with no success between them."),
            format!(
                "When 1 % of the calls fail at random, that happens once in 10^{} calls.",
                2 * u64::from(n)
            ),
        ],
        Trip::Ratio { ratio, min } => vec![
            format!(
                "It opens when {} % of at least {min} outcomes within {within} are failures.",
                percent(ratio)
            ),
            few(min),
        ],
        Trip::Slow { slow, ratio, min } => vec![
            format!(
                "It opens when {} % of at least {min} outcomes within {within} took {} or longer, good or bad.",
                percent(ratio),
                time(slow)
            ),
            few(min),
        ],
        Trip::External => vec![
            "It is open for as long as a health check or an operator holds it open, and half-open after that."
                .to_owned(),
        ],
    }
}

fn explain_open(open: &Open) -> Vec<String> {
    let [for_, max] = [open.for_, open.max].map(time);
    let refused = format!("While it is open every call is refused at once, for {for_}");
    if open.growth <= 1.0 || open.max <= open.for_ {
        return vec![format!("{refused} each time.")];
    }
    vec![
        format!("{refused} the first time."),
        format!(
            "When it opens again before it was closed for as long as it had been open, that time is {} times \
             as long as the last, up to {max}.",
            number(open.growth)
        ),
    ]
}

fn percent(ratio: f64) -> String {
    number(100.0 * ratio)
}

/// So many calls a second, or a minute or an hour where that would be less than one.
fn rate(per_second: f64) -> String {
    let (rate, unit) = match per_second {
        r if r >= 1.0 => (r, "a second"),
        r if r * 60.0 >= 1.0 => (r * 60.0, "a minute"),
        r => (r * 3_600.0, "an hour"),
    };
    let rate = number(rate);
    let calls = if rate == "1" { "call" } else { "calls" };
    format!("{rate} {calls} {unit}")
}

/// Three digits that say something, and thousands apart: `0.05`, `2.86`, `1,000`.
fn number(x: f64) -> String {
    let whole_digits = (x.log10().floor() as i32).clamp(-6, 9) + 1;
    let text = format!("{x:.*}", usize::try_from(3 - whole_digits).unwrap_or(0));
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match fraction.trim_end_matches('0') {
        "" => grouped,
        fraction => format!("{grouped}.{fraction}"),
    }
}

/// `1 min 30 s` for what is written `1m30s`.
fn time(time: Duration) -> String {
    let mut told = String::new();
    let written = duration::format(time);
    let mut rest = written.as_str();
    while let Some(unit_at) = rest.find(|c: char| !c.is_ascii_digit()) {
        let (count, after) = rest.split_at(unit_at);
        let unit_ends = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_ends);
        let unit = if unit == "m" { "min" } else { unit };
        told.push_str(&format!("{}{count} {unit}", if told.is_empty() { "" } else { " " }));
        rest = after;
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chat_documents_breaker_in_its_own_numbers() {
        assert_eq!(
            Policy::s0_chat().explain(),
            [
                "These ends of a call are failures: failed (it answered that it could not), timeout (no \
                 answer in time), unreachable (no connection, or it broke), overloaded (it said it has too \
                 much to do).",
                "It opens after 5 failures within 10 s: at 1,000 calls a second that is 0.05 % of them.",
                "While it is open every call is refused at once, for 30 s the first time.",
                "When it opens again before it was closed for as long as it had been open, that time is 2 \
                 times as long as the last, up to 2 min.",
                "After that time it is half-open: of those who ask it lets 3 call, and refuses the others.",
                "The first of these calls that succeeds closes it, and everyone may call again.",
                "Any of them that fails opens it again.",
                "Successes are counted in 4 places, so that threads do not wait for each other.",
            ]
        );
    }

    #[test]
    fn a_ratio_says_below_which_rate_it_is_blind_and_a_row_how_rarely_it_comes_by_chance() {
        let told = Policy::s4_registry().verbatim().explain();
        assert_eq!(
            told[1..6],
            [
                "It opens when 50 % of at least 10 outcomes within 10 s are failures.",
                "With fewer than 1 call a second this rule never has 10 outcomes in 10 s.",
                "It opens after 5 failures in a row within 10 s, with no success between them.",
                "When 1 % of the calls fail at random, that happens once in 10^10 calls.",
                "While it is open every call is refused at once, for 30 s each time.",
            ]
        );
        assert!(told[9].starts_with("Successes are counted in one place"), "{told:#?}");
        let blind = Policy::s3_balancer().explain();
        assert_eq!(blind[2], "With fewer than 2 calls a second this rule never has 20 outcomes in 10 s.");
    }

    #[test]
    fn the_feeds_breaker_says_what_is_neither_failure_nor_success() {
        let told = Policy::s1_feed().explain();
        assert!(
            told[0].ends_with(
                "; but overloaded (it said it has too much to do) is neither failure nor success."
            )
        );
        assert_eq!(told[5], "When 2 of these calls have succeeded it closes, and everyone may call again.");
    }

    #[test]
    fn slow_and_external_rules_are_told_with_what_they_mean_half_open() {
        let policy = Policy {
            window: Duration::from_secs(60),
            trip: vec![Trip::Slow { slow: Duration::from_millis(200), ratio: 0.25, min: 20 }, Trip::External],
            count: vec![],
            ..Policy::default()
        };
        let told = policy.explain();
        assert_eq!(
            told[..4],
            [
                "No end of a call is a failure.",
                "It opens when 25 % of at least 20 outcomes within 1 min took 200 ms or longer, good or bad.",
                "With fewer than 20 calls a minute this rule never has 20 outcomes in 1 min.",
                "It is open for as long as a health check or an operator holds it open, and half-open \
                 after that.",
            ]
        );
        assert!(told.contains(&"One that takes 200 ms or longer counts as failed.".to_owned()), "{told:#?}");
    }

    #[test]
    fn a_policy_that_makes_no_sense_is_told_all_the_same() {
        let slow = Duration::ZERO;
        let policy = Policy {
            window: Duration::ZERO,
            trip: vec![
                Trip::Failures(u32::MAX),
                Trip::Consecutive(u32::MAX),
                Trip::Ratio { ratio: f64::NAN, min: 0 },
                Trip::Slow { slow, ratio: f64::INFINITY, min: u32::MAX },
            ],
            open: Open { for_: Duration::MAX, growth: f64::NAN, max: Duration::ZERO },
            ..Policy::default()
        };
        let told = policy.explain();
        assert_eq!(told[1], "It opens after 4294967295 failures within 0 s.");
        assert!(told.iter().all(|sentence| sentence.ends_with('.')), "{told:#?}");
    }

    #[test]
    fn numbers_and_times_read_as_people_write_them() {
        for (x, text) in [
            (0.05, "0.05"),
            (0.1, "0.1"),
            (1.0, "1"),
            (20.0 / 7.0, "2.86"),
            (12.5, "12.5"),
            (99.96, "100"),
            (1_000.0, "1,000"),
            (1_234_567.0, "1,234,567"),
            (0.0, "0"),
        ] {
            assert_eq!(number(x), text);
        }
        for (seconds, text) in [(10, "10 s"), (90, "1 min 30 s"), (7_200, "2 h"), (0, "0 s")] {
            assert_eq!(time(Duration::from_secs(seconds)), text);
        }
        assert_eq!(rate(0.01), "36 calls an hour");
    }
}
