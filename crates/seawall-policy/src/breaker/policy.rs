//! What a breaker is told: when to trip, for how long, how to come back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::trip::Trip;
use crate::counter::SHARDS_MAX;
use crate::duration;
use crate::outcome::Class;

/// Most failures a count rule may ask for: each is remembered by its time, so this is 8 KiB a breaker.
pub const FAILURES_MAX: u32 = 1_024;

/// Most rules a policy may list; what stands behind them is not looked at.
pub const RULES_MAX: usize = 8;

/// Names that [`preset`] knows.
pub const PRESETS: &[&str] = &[
    "s0-chat",
    "s0-chat-verbatim",
    "s1-feed",
    "s1-feed-verbatim",
    "s2-links",
    "s2-links-verbatim",
    "s3-balancer",
    "s3-balancer-verbatim",
    "s4-registry",
    "s4-registry-verbatim",
];

/// A document's policy by the name it has in configuration files: one of [`PRESETS`], else none.
#[must_use]
pub fn preset(name: &str) -> Option<Policy> {
    let (document, verbatim) = match name.strip_suffix("-verbatim") {
        Some(document) => (document, true),
        None => (name, false),
    };
    let policy = match document {
        "s0-chat" => Policy::s0_chat(),
        "s1-feed" => Policy::s1_feed(),
        "s2-links" => Policy::s2_links(),
        "s3-balancer" => Policy::s3_balancer(),
        "s4-registry" => Policy::s4_registry(),
        _ => return None,
    };
    Some(if verbatim { policy.verbatim() } else { policy })
}

/// A breaker's configuration. The default is the chat document's ([`Policy::s0_chat`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// How far back the rules look. Count rules are exact; ratio and slow rules may forget up to a tenth of it
    /// early.
    #[serde(with = "duration")]
    pub window: Duration,
    /// Any of these trips it; at most [`RULES_MAX`].
    pub trip: Vec<Trip>,
    /// Which outcomes are failures. Those left out are neither failure nor success: no rule sees them, and a
    /// probe that ends so gives its place back.
    pub count: Vec<Class>,
    /// For how long calls are refused.
    pub open: Open,
    /// How it comes back.
    pub half_open: HalfOpen,
    /// Counters of successes: 4 where all threads call one dependency, 1 where there is a breaker per
    /// instance. Rounded up to a power of two.
    pub shards: u8,
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
        Policy::default().open
    }
}

impl Default for HalfOpen {
    fn default() -> HalfOpen {
        Policy::default().half_open
    }
}

impl Policy {
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
        self.check_rules(&mut must);
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

    fn check_rules(&self, must: &mut impl FnMut(bool, String)) {
        let rules = self.trip.len();
        must(rules > 0, "trip: use at least one rule, such as { failures = 5 }".to_owned());
        must(rules <= RULES_MAX, format!("trip: use at most {RULES_MAX} rules; there are {rules}"));
        for (place, rule) in self.rules().iter().enumerate() {
            rule.check(place, must);
        }
        let of_failures = |rule: &Trip| !matches!(rule, Trip::Slow { .. } | Trip::External);
        must(
            !self.count.is_empty() || !self.rules().iter().any(of_failures),
            "count: use at least one kind of failure, such as \"timeout\"; with none nothing is one"
                .to_owned(),
        );
        let twice =
            Class::ALL.into_iter().find(|class| self.count.iter().filter(|c| *c == class).count() > 1);
        if let Some(class) = twice {
            must(false, format!("count: use each kind once; {:?} stands there twice", class.as_str()));
        }
    }

    /// The rules that are looked at.
    pub(super) fn rules(&self) -> &[Trip] {
        &self.trip[..self.trip.len().min(RULES_MAX)]
    }

    /// How long a call takes that is slow, for each of the slow rules.
    pub(super) fn slow_rules(&self) -> impl Iterator<Item = Duration> {
        self.rules().iter().filter_map(|rule| match *rule {
            Trip::Slow { slow, .. } => Some(slow),
            Trip::Failures(_) | Trip::Consecutive(_) | Trip::Ratio { .. } | Trip::External => None,
        })
    }

    /// How many failure times must be kept for the count rules.
    pub(super) fn failures_kept(&self) -> usize {
        let needed = self.rules().iter().map(|rule| match *rule {
            Trip::Failures(n) | Trip::Consecutive(n) => n.clamp(1, FAILURES_MAX),
            Trip::Ratio { .. } | Trip::Slow { .. } | Trip::External => 0,
        });
        needed.max().unwrap_or(0) as usize
    }

    /// Whether outcomes must be kept by time.
    pub(super) fn has_shares(&self) -> bool {
        self.rules().iter().any(|rule| matches!(rule, Trip::Ratio { .. } | Trip::Slow { .. }))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn presets() -> impl Iterator<Item = Policy> {
        PRESETS.iter().map(|name| preset(name).unwrap())
    }

    #[test]
    fn every_preset_passes_its_own_check_and_survives_being_written_down() {
        for policy in presets() {
            assert_eq!(policy.check(), Vec::<String>::new());
            let text = toml::to_string(&policy).unwrap();
            assert_eq!(toml::from_str::<Policy>(&text).unwrap(), policy, "{text}");
        }
    }

    #[test]
    fn a_name_finds_its_preset_and_nothing_else_does() {
        assert_eq!(PRESETS.len(), 10);
        assert_eq!(preset("s4-registry"), Some(Policy::s4_registry()));
        assert_eq!(preset("s2-links-verbatim"), Some(Policy::s2_links().verbatim()));
        for (i, policy) in presets().enumerate() {
            assert!(presets().skip(i + 1).all(|other| other != policy), "{}", PRESETS[i]);
        }
        for name in ["", "s0", "s0-chat-", "-verbatim", "s0-chat-verbatim-verbatim", "s5-chat"] {
            assert_eq!(preset(name), None, "{name:?}");
        }
    }

    #[test]
    fn the_schema_reads_as_it_is_documented() {
        let policy: Policy = toml::from_str(
            "window = '10s'
             trip = [ { ratio = 0.5, min = 10 }, { consecutive = 5 } ]
             count = ['failed', 'timeout', 'unreachable', 'overloaded']
             open = { for = '30s', growth = 2.0, max = '2m' }
             half_open = { admit = 1, close_after = 1 }
             shards = 1",
        )
        .unwrap();
        assert_eq!(policy, Policy::s4_registry());
        assert_eq!(toml::from_str::<Policy>("").unwrap(), Policy::s0_chat());
        let error = toml::from_str::<Policy>("count = ['late']").unwrap_err().to_string();
        assert!(error.contains("late") && error.contains("timeout"), "{error}");
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
    fn all_that_is_wrong_is_told_at_once_with_advice() {
        let slow = Duration::ZERO;
        let policy = Policy {
            window: Duration::ZERO,
            trip: vec![
                Trip::Failures(0),
                Trip::Ratio { ratio: 1.5, min: 0 },
                Trip::Consecutive(FAILURES_MAX + 1),
                Trip::Slow { slow, ratio: 0.5, min: u32::MAX },
            ],
            count: vec![Class::Failed, Class::Failed],
            open: Open { for_: Duration::from_secs(30), growth: f64::NAN, max: Duration::from_secs(1) },
            half_open: HalfOpen { admit: 0, close_after: 2 },
            shards: 0,
        };
        let wrong = policy.check();
        assert_eq!(wrong.len(), 13, "{wrong:#?}");
        assert!(wrong.iter().all(|line| line.contains(": use")), "{wrong:#?}");
        let never = Policy { half_open: HalfOpen { admit: 3, close_after: 4 }, ..Policy::default() };
        assert!(never.check()[0].contains("half_open.admit (3)"));
    }

    #[test]
    fn rules_of_failures_need_a_kind_of_failure_and_the_others_do_not() {
        let none = Policy { count: vec![], ..Policy::default() };
        assert!(none.check()[0].starts_with("count: use at least one"));
        let external = Policy { trip: vec![Trip::External], ..none };
        assert_eq!(external.check(), Vec::<String>::new());
    }

    #[test]
    fn more_rules_than_eight_are_refused_and_not_looked_at() {
        let policy = Policy { trip: vec![Trip::External; RULES_MAX + 1], ..Policy::default() };
        assert!(policy.check()[0].contains("at most 8 rules; there are 9"));
        assert_eq!(policy.rules().len(), 8);
        let none = Policy { trip: vec![], ..Policy::default() };
        assert!(none.check()[0].starts_with("trip: use at least one rule"));
    }
}
