//! What a breaker is told: when to trip, for how long, how to come back; and the documents' presets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::counter::SHARDS_MAX;
use crate::duration;

/// Most failures a count rule may ask for: each is remembered by its time, so this is 8 KiB a breaker.
pub const FAILURES_MAX: u32 = 1_024;

/// A breaker's configuration. The default is the chat document's ([`Policy::s0_chat`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// How far back the rules look. Count rules are exact; ratio rules may forget up to a tenth of it early.
    #[serde(with = "duration")]
    pub window: Duration,
    /// Any of these trips it.
    pub trip: Vec<Trip>,
    /// For how long calls are refused.
    pub open: Open,
    /// How it comes back.
    pub half_open: HalfOpen,
    /// Counters of successes: 4 where all threads call one dependency, 1 where there is a breaker per
    /// instance.
    pub shards: u8,
}

/// A rule to trip by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TripKeys", into = "TripKeys")]
pub enum Trip {
    /// `{ failures = 5 }`: this many failures in the window.
    Failures(u32),
    /// `{ ratio = 0.5, min = 20 }`: failures are this share of the outcomes in the window, of which there are
    /// at least `min`.
    Ratio {
        /// 0 to 1; met when reached.
        ratio: f64,
        /// Fewer outcomes prove nothing.
        min: u32,
    },
    /// `{ consecutive = 5 }`: this many failures in the window with no success between them.
    Consecutive(u32),
}

/// How long it stays open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Open {
    /// The first time.
    #[serde(rename = "for", with = "duration")]
    pub for_: Duration,
    /// Each repeated trip multiplies the time by this; 1 keeps it constant.
    pub growth: f64,
    /// It grows no further than this.
    #[serde(with = "duration")]
    pub max: Duration,
}

/// How it is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HalfOpen {
    /// Probes admitted, in all.
    pub admit: u32,
    /// Successes among them that close it.
    pub close_after: u32,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::s0_chat()
    }
}

impl Default for Open {
    fn default() -> Open {
        Open::doubling(30)
    }
}

impl Default for HalfOpen {
    fn default() -> HalfOpen {
        HalfOpen { admit: 3, close_after: 1 }
    }
}

impl Open {
    /// Doubles on repeated trips up to four times: enough to spare a callee that is down for long, and short
    /// enough that nobody waits for minutes after it is back.
    fn doubling(seconds: u64) -> Open {
        Open { for_: Duration::from_secs(seconds), growth: 2.0, max: Duration::from_secs(4 * seconds) }
    }
}

impl Policy {
    /// Chat (S0), in front of a database: 5 failures in 10 s open for 30 s. 3 probes are admitted as its
    /// configuration says (its diagram has one), and as in its code the first success closes.
    #[must_use]
    pub fn s0_chat() -> Policy {
        Policy {
            window: Duration::from_secs(10),
            trip: vec![Trip::Failures(5)],
            open: Open::doubling(30),
            half_open: HalfOpen { admit: 3, close_after: 1 },
            shards: 4,
        }
    }

    /// Feed (S1), in front of the ranking service: as chat, but two successes in a row close it. The
    /// document's code never counts them; its parameters do.
    #[must_use]
    pub fn s1_feed() -> Policy {
        Policy { half_open: HalfOpen { admit: 3, close_after: 2 }, ..Policy::s0_chat() }
    }

    /// Links (S2), in front of the shared cache: 5 in a row open for 60 s. The window of 60 s and the single
    /// probe are ours: the document counts for ever, and lets everyone through when half-open.
    #[must_use]
    pub fn s2_links() -> Policy {
        Policy {
            window: Duration::from_secs(60),
            trip: vec![Trip::Consecutive(5)],
            open: Open::doubling(60),
            half_open: HalfOpen { admit: 1, close_after: 1 },
            shards: 4,
        }
    }

    /// Balancer (S3), one per backend: half of at least 20 requests failed, in a window of 10 s that the
    /// document leaves open. 3 of 5 probes close it: the same 50 % rule, where its diagram closes on the
    /// first.
    #[must_use]
    pub fn s3_balancer() -> Policy {
        Policy {
            window: Duration::from_secs(10),
            trip: vec![Trip::Ratio { ratio: 0.5, min: 20 }],
            open: Open::doubling(30),
            half_open: HalfOpen { admit: 5, close_after: 3 },
            shards: 1,
        }
    }

    /// Registry client (S4), one per instance. The document says "high failure rate"; a single caller sees so
    /// little of one instance that 10 requests must do, or 5 failures in a row.
    #[must_use]
    pub fn s4_registry() -> Policy {
        Policy {
            window: Duration::from_secs(10),
            trip: vec![Trip::Ratio { ratio: 0.5, min: 10 }, Trip::Consecutive(5)],
            open: Open::doubling(30),
            half_open: HalfOpen { admit: 1, close_after: 1 },
            shards: 1,
        }
    }

    /// The same with the document's constant open time.
    #[must_use]
    pub fn verbatim(mut self) -> Policy {
        self.open.growth = 1.0;
        self.open.max = self.open.for_;
        self
    }

    /// Everything wrong with it, each with what to write instead; empty when all is well. A breaker built
    /// from a policy that fails this uses the nearest values that work.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut must = |holds: bool, advice: String| {
            if !holds {
                wrong.push(advice);
            }
        };
        must(!self.window.is_zero(), "window: use 10s or so; in 0 nothing happens".to_owned());
        must(!self.trip.is_empty(), "trip: name at least one rule, such as { failures = 5 }".to_owned());
        for (i, rule) in self.trip.iter().enumerate() {
            match *rule {
                Trip::Failures(n) | Trip::Consecutive(n) => {
                    let advice = format!(
                        "trip[{i}]: use 1 to {FAILURES_MAX} failures, or a ratio for more; it says {n}"
                    );
                    must((1..=FAILURES_MAX).contains(&n), advice);
                }
                Trip::Ratio { ratio, min } => {
                    let advice = format!(
                        "trip[{i}].ratio: use more than 0 and at most 1, such as 0.5; it says {ratio}"
                    );
                    must(ratio > 0.0 && ratio <= 1.0, advice);
                    must(min >= 1, format!("trip[{i}].min: use 1 or more, such as 20"));
                }
            }
        }
        must(!self.open.for_.is_zero(), "open.for: use 30s or so; 0 never refuses a call".to_owned());
        let growth = self.open.growth;
        must(
            (1.0..=10.0).contains(&growth),
            format!("open.growth: use 1 (constant) to 10; it says {growth}"),
        );
        let for_ = duration::format(self.open.for_);
        must(self.open.max >= self.open.for_, format!("open.max: use at least open.for ({for_})"));
        must(
            self.half_open.admit >= 1,
            "half_open.admit: use 1 or more; with 0 it never closes again".to_owned(),
        );
        let HalfOpen { admit, close_after } = self.half_open;
        let advice =
            format!("half_open.close_after: use 1 to half_open.admit ({admit}); it says {close_after}");
        must(close_after >= 1 && close_after <= admit.max(1), advice);
        must(
            (1..=SHARDS_MAX).contains(&self.shards),
            format!("shards: use 1 to {SHARDS_MAX}, mostly 1 or 4"),
        );
        wrong
    }

    /// How many failure times must be kept for the count rules.
    pub(super) fn failures_kept(&self) -> usize {
        let needed = self.trip.iter().map(|rule| match *rule {
            Trip::Failures(n) | Trip::Consecutive(n) => n.clamp(1, FAILURES_MAX),
            Trip::Ratio { .. } => 0,
        });
        needed.max().unwrap_or(0) as usize
    }

    /// Whether outcomes must be kept by time.
    pub(super) fn has_ratio(&self) -> bool {
        self.trip.iter().any(|rule| matches!(rule, Trip::Ratio { .. }))
    }

    /// Probes in all; never none, for then it could never close.
    pub(super) fn admit(&self) -> u32 {
        self.half_open.admit.max(1)
    }

    /// Successes that close it; never more than there are probes.
    pub(super) fn close_after(&self) -> u32 {
        self.half_open.close_after.clamp(1, self.admit())
    }

    /// How long to stay open after having last been open for `last`.
    pub(super) fn longer(&self, last: Duration) -> Duration {
        let grown = last.as_secs_f64() * self.open.growth.max(1.0);
        let max = self.open.max.max(self.open.for_);
        Duration::try_from_secs_f64(grown).map_or(max, |grown| grown.clamp(self.open.for_, max))
    }
}

/// A rule as it is written: which keys there are says which rule it is.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TripKeys {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failures: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    consecutive: Option<u32>,
}

impl TryFrom<TripKeys> for Trip {
    type Error = &'static str;

    fn try_from(keys: TripKeys) -> Result<Trip, &'static str> {
        match keys {
            TripKeys { failures: Some(n), ratio: None, min: None, consecutive: None } => {
                Ok(Trip::Failures(n))
            }
            TripKeys { failures: None, ratio: Some(ratio), min: Some(min), consecutive: None } => {
                Ok(Trip::Ratio { ratio, min })
            }
            TripKeys { failures: None, ratio: None, min: None, consecutive: Some(n) } => {
                Ok(Trip::Consecutive(n))
            }
            _ => Err("a trip rule is { failures = 5 }, { consecutive = 5 } or { ratio = 0.5, min = 20 }"),
        }
    }
}

impl From<Trip> for TripKeys {
    fn from(rule: Trip) -> TripKeys {
        let none = TripKeys { failures: None, ratio: None, min: None, consecutive: None };
        match rule {
            Trip::Failures(n) => TripKeys { failures: Some(n), ..none },
            Trip::Ratio { ratio, min } => TripKeys { ratio: Some(ratio), min: Some(min), ..none },
            Trip::Consecutive(n) => TripKeys { consecutive: Some(n), ..none },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presets() -> [Policy; 5] {
        [
            Policy::s0_chat(),
            Policy::s1_feed(),
            Policy::s2_links(),
            Policy::s3_balancer(),
            Policy::s4_registry(),
        ]
    }

    #[test]
    fn every_preset_passes_its_own_check_and_survives_being_written_down() {
        for policy in presets().into_iter().chain(presets().map(Policy::verbatim)) {
            assert_eq!(policy.check(), Vec::<String>::new());
            let text = toml::to_string(&policy).unwrap();
            assert_eq!(toml::from_str::<Policy>(&text).unwrap(), policy, "{text}");
        }
    }

    #[test]
    fn the_schema_reads_as_it_is_documented() {
        let policy: Policy = toml::from_str(
            "window = '10s'
             trip = [ { ratio = 0.5, min = 10 }, { consecutive = 5 } ]
             open = { for = '30s', growth = 2.0, max = '2m' }
             half_open = { admit = 1, close_after = 1 }
             shards = 1",
        )
        .unwrap();
        assert_eq!(policy, Policy::s4_registry());
    }

    #[test]
    fn four_doublings_of_thirty_seconds_stop_at_two_minutes() {
        let policy = Policy::s0_chat();
        let mut times = vec![policy.open.for_];
        (0..4).for_each(|_| times.push(policy.longer(times[times.len() - 1])));
        assert_eq!(times.iter().map(Duration::as_secs).collect::<Vec<_>>(), [30, 60, 120, 120, 120]);
        let constant = policy.verbatim();
        assert_eq!(constant.longer(constant.open.for_), constant.open.for_);
    }

    #[test]
    fn a_rule_that_is_two_rules_or_none_is_refused_with_the_right_form() {
        for rule in
            ["{}", "{ failures = 5, consecutive = 5 }", "{ ratio = 0.5 }", "{ min = 20 }", "{ failure = 5 }"]
        {
            assert!(toml::from_str::<Policy>(&format!("trip = [ {rule} ]")).is_err(), "{rule}");
        }
        let error = toml::from_str::<Policy>("trip = [ { ratio = 0.5 } ]").unwrap_err().to_string();
        assert!(error.contains("{ ratio = 0.5, min = 20 }"), "{error}");
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_with_advice() {
        let policy = Policy {
            window: Duration::ZERO,
            trip: vec![
                Trip::Failures(0),
                Trip::Ratio { ratio: 1.5, min: 0 },
                Trip::Consecutive(FAILURES_MAX + 1),
            ],
            open: Open { for_: Duration::from_secs(30), growth: f64::NAN, max: Duration::from_secs(1) },
            half_open: HalfOpen { admit: 0, close_after: 2 },
            shards: 0,
        };
        let wrong = policy.check();
        assert_eq!(wrong.len(), 10, "{wrong:#?}");
        assert!(wrong.iter().all(|line| line.contains(": use")), "{wrong:#?}");
        let never = Policy { half_open: HalfOpen { admit: 3, close_after: 4 }, ..Policy::default() };
        assert!(never.check()[0].contains("half_open.admit (3)"));
    }
}
