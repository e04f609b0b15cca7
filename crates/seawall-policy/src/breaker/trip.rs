//! The rules to trip by, as they are written in a file and as they are checked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::policy::FAILURES_MAX;
use crate::duration;

/// Most outcomes a ratio or slow rule may wait for: in a window of 10 s they take 100,000 calls a second.
pub const OUTCOMES_MAX: u32 = 1_000_000;

/// Smallest share that may trip: one in a thousand. Of so few failures a count rule says more.
const RATIO_MIN: f64 = 0.001;

/// A rule to trip by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TripKeys", into = "TripKeys")]
pub enum Trip {
    /// `{ failures = 5 }`: this many failures in the window.
    Failures(u32),
    /// `{ ratio = 0.5, min = 20 }`: failures are this share of the outcomes in the window, of which there are
    /// at least `min`.
    Ratio {
        /// 0.001 to 1; met when reached.
        ratio: f64,
        /// Fewer outcomes prove nothing.
        min: u32,
    },
    /// `{ consecutive = 5 }`: this many failures in the window with no success between them.
    Consecutive(u32),
    /// `{ slow = "200ms", ratio = 0.5, min = 20 }`: this share of the outcomes in the window, of which there
    /// are at least `min`, took at least this long. A success that is slow stays a success to the other
    /// rules, and a failure is slow only if it took that long.
    Slow {
        /// From being admitted to being reported.
        slow: Duration,
        /// 0.001 to 1; met when reached.
        ratio: f64,
        /// Fewer outcomes prove nothing.
        min: u32,
    },
    /// `{ external = true }`: held open from outside, by a health check or an operator, with
    /// [`Breaker::external`](super::Breaker::external).
    External,
}

impl Trip {
    /// Tells everything wrong with it, as the rule at `place`.
    pub(super) fn check(&self, place: usize, must: &mut impl FnMut(bool, String)) {
        match *self {
            Trip::Failures(n) | Trip::Consecutive(n) => {
                let advice = format!(
                    "trip[{place}]: use 1 to {FAILURES_MAX} failures, or a ratio for more; it says {n}"
                );
                must((1..=FAILURES_MAX).contains(&n), advice);
            }
            Trip::Ratio { ratio, min } => check_share(place, ratio, min, "failure", must),
            Trip::Slow { slow, ratio, min } => {
                must(!slow.is_zero(), format!("trip[{place}].slow: use 200ms or so; every call takes 0s"));
                check_share(place, ratio, min, "slow call", must);
            }
            Trip::External => {}
        }
    }
}

/// One alone of `what` must not suffice: at `ratio` 0.5 it would be half of 2.
fn check_share(place: usize, ratio: f64, min: u32, what: &str, must: &mut impl FnMut(bool, String)) {
    let is_share = (RATIO_MIN..=1.0).contains(&ratio);
    must(is_share, format!("trip[{place}].ratio: use {RATIO_MIN} to 1, such as 0.5; it says {ratio}"));
    let least = if is_share { (1.0 / ratio) as u32 + 1 } else { 2 };
    must(
        min >= least,
        format!(
            "trip[{place}].min: use {least} or more, such as {}; of {min} outcomes a single {what} would do",
            10 * least
        ),
    );
    must(
        min <= OUTCOMES_MAX,
        format!("trip[{place}].min: use at most {OUTCOMES_MAX}, such as 20; {min} never come together"),
    );
}

/// A rule as it is written: which keys there are says which rule it is.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TripKeys {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failures: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    consecutive: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slow: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    external: Option<bool>,
}

/// A duration as it is written.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Text(#[serde(with = "duration")] Duration);

impl TryFrom<TripKeys> for Trip {
    type Error = &'static str;

    fn try_from(keys: TripKeys) -> Result<Trip, &'static str> {
        let TripKeys { failures, consecutive, slow, ratio, min, external } = keys;
        match (failures, consecutive, slow, ratio, min, external) {
            (Some(n), None, None, None, None, None) => Ok(Trip::Failures(n)),
            (None, Some(n), None, None, None, None) => Ok(Trip::Consecutive(n)),
            (None, None, None, Some(ratio), Some(min), None) => Ok(Trip::Ratio { ratio, min }),
            (None, None, Some(Text(slow)), Some(ratio), Some(min), None) => {
                Ok(Trip::Slow { slow, ratio, min })
            }
            (None, None, None, None, None, Some(true)) => Ok(Trip::External),
            _ => Err("a trip rule is { failures = 5 }, { consecutive = 5 }, { ratio = 0.5, min = 20 }, \
                 { slow = \"200ms\", ratio = 0.5, min = 20 } or { external = true }"),
        }
    }
}

impl From<Trip> for TripKeys {
    fn from(rule: Trip) -> TripKeys {
        let none = TripKeys::default();
        match rule {
            Trip::Failures(n) => TripKeys { failures: Some(n), ..none },
            Trip::Consecutive(n) => TripKeys { consecutive: Some(n), ..none },
            Trip::Ratio { ratio, min } => TripKeys { ratio: Some(ratio), min: Some(min), ..none },
            Trip::Slow { slow, ratio, min } => {
                TripKeys { slow: Some(Text(slow)), ratio: Some(ratio), min: Some(min), ..none }
            }
            Trip::External => TripKeys { external: Some(true), ..none },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Rules {
        trip: Vec<Trip>,
    }

    fn problems(rule: Trip) -> Vec<String> {
        let mut wrong = Vec::new();
        rule.check(0, &mut |holds, advice| wrong.extend((!holds).then_some(advice)));
        wrong
    }

    #[test]
    fn each_rule_reads_as_it_is_documented_and_is_written_the_same_way() {
        let text = "trip = [ { failures = 5 }, { consecutive = 5 }, { ratio = 0.5, min = 20 }, \
                    { slow = '200ms', ratio = 0.5, min = 20 }, { external = true } ]";
        let slow = Duration::from_millis(200);
        let rules = Rules {
            trip: vec![
                Trip::Failures(5),
                Trip::Consecutive(5),
                Trip::Ratio { ratio: 0.5, min: 20 },
                Trip::Slow { slow, ratio: 0.5, min: 20 },
                Trip::External,
            ],
        };
        assert_eq!(toml::from_str::<Rules>(text).unwrap(), rules);
        assert_eq!(toml::from_str::<Rules>(&toml::to_string(&rules).unwrap()).unwrap(), rules);
        let json = serde_json::to_string(&rules).unwrap();
        assert_eq!(serde_json::from_str::<Rules>(&json).unwrap(), rules, "{json}");
    }

    #[test]
    fn a_rule_that_is_two_rules_or_none_is_refused_with_the_right_form() {
        for rule in [
            "{}",
            "{ failures = 5, consecutive = 5 }",
            "{ ratio = 0.5 }",
            "{ min = 20 }",
            "{ slow = '200ms' }",
            "{ slow = '200ms', ratio = 0.5 }",
            "{ slow = '200ms', ratio = 0.5, min = 20, failures = 5 }",
            "{ external = false }",
            "{ external = true, failures = 5 }",
        ] {
            let error = toml::from_str::<Rules>(&format!("trip = [ {rule} ]")).unwrap_err().to_string();
            assert!(error.contains("{ slow = \"200ms\", ratio = 0.5, min = 20 }"), "{rule}: {error}");
        }
        assert!(toml::from_str::<Rules>("trip = [ { failure = 5 } ]").is_err());
        let error = toml::from_str::<Rules>("trip = [ { slow = 200, ratio = 1, min = 2 } ]").unwrap_err();
        assert!(error.to_string().contains("slow = 200"), "{error}");
    }

    #[test]
    fn a_share_that_one_call_alone_would_reach_is_no_share() {
        for (ratio, least) in [(0.5, 3), (1.0, 2), (0.1, 11), (0.4, 3), (0.001, 1_001)] {
            assert_eq!(problems(Trip::Ratio { ratio, min: least }), [""; 0], "{ratio}");
            let said = problems(Trip::Ratio { ratio, min: least - 1 });
            assert!(said[0].starts_with(&format!("trip[0].min: use {least} or more")), "{said:?}");
        }
        let slow = Duration::from_millis(200);
        let said = problems(Trip::Slow { slow, ratio: 0.5, min: 1 });
        assert!(said[0].contains("of 1 outcomes a single slow call"), "{said:?}");
    }

    #[test]
    fn what_can_never_be_met_is_told() {
        for ratio in [0.0, 0.000_9, 1.01, f64::NAN, f64::INFINITY, -0.5] {
            let said = problems(Trip::Ratio { ratio, min: 20 });
            assert!(matches!(said.as_slice(), [one] if one.contains(".ratio: use 0.001 to 1")), "{said:?}");
        }
        let said = problems(Trip::Ratio { ratio: 0.5, min: OUTCOMES_MAX + 1 });
        assert!(said[0].contains("use at most 1000000"), "{said:?}");
        let said = problems(Trip::Slow { slow: Duration::ZERO, ratio: 0.5, min: 20 });
        assert!(said[0].starts_with("trip[0].slow: use 200ms"), "{said:?}");
    }
}
