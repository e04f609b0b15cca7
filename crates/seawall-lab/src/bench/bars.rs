//! The bars, as `bars.toml` states them.

use serde::Deserialize;

use crate::LabError;

const FILE: &str = include_str!("../../bars.toml");

/// Every bar.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bars {
    /// Redirects against an nginx `map`.
    pub links: Bar,
    /// Proxying against nginx.
    pub balancer: Bar,
    /// What a decision costs.
    pub policy: PolicyBars,
    /// Fan-out to logged-in sessions.
    pub chat: ChatBars,
    /// Objects and associations.
    pub graph: GraphBars,
}

/// What the graph is judged by.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GraphBars {
    /// One object at a time.
    pub get: Bar,
    /// The head of a list.
    pub range: Bar,
    /// The head of a list with its data.
    pub range_data: Bar,
    /// Objects together, in one command or pipelined.
    pub multi_get: Bar,
    /// A durable edge with its inverse and counts.
    pub add: Bar,
    /// Stale reads of ours in all mixes.
    pub stale: Count,
}

/// A number of things that may happen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// What is counted, in words.
    pub what: String,
    /// The most.
    pub at_most: u64,
    /// Where the number comes from.
    pub source: String,
}

/// What chat is to reach. These are bars to come: said beside the figures, and judged by nobody yet.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ChatBars {
    /// Deliveries against nats-server.
    pub fan_out: ToCome,
    /// Memory of a session that waits, in KiB.
    pub idle_kib: Most,
}

/// A ratio to be reached later.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToCome {
    /// What is compared, in words.
    pub what: String,
    /// What is compared, and which way is better.
    pub measure: Measure,
    /// The ratio.
    pub aim: f64,
    /// Where the number comes from.
    pub source: String,
}

/// A figure to get down to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Most {
    /// What is measured, in words.
    pub what: String,
    /// The figure.
    pub aim: f64,
    /// Where the number comes from.
    pub source: String,
}

/// The bars of the mechanisms that lie on each request's path.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PolicyBars {
    /// A call through a closed breaker.
    pub breaker: Bar,
    /// The same from two threads at once.
    pub breaker_second_thread: Bar,
    /// A call that an open breaker refuses.
    pub open_reject: Bar,
    /// One request against a rate limit.
    pub rate: Bar,
    /// A place taken and given back.
    pub bulkhead: Bar,
    /// A deposit and a withdrawal.
    pub budget: Bar,
    /// Everything a request passes.
    pub chain: Bar,
    /// Each of them, reading the clock itself, against each opponent.
    pub opponents: Bar,
}

/// What one bench is judged by.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Bar {
    /// What is compared, in words.
    pub what: String,
    /// What is compared, and which way is better.
    pub measure: Measure,
    /// The ratio that must be reached.
    pub must: f64,
    /// The ratio we are after.
    pub aim: Option<f64>,
    /// Where the number comes from.
    pub source: String,
}

/// A ratio of ours to theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// More is better.
    OperationsPerCpuSecond,
    /// Less is better.
    CpuPerOperation,
    /// Time of an operation over that of one relaxed `fetch_add`; less is better.
    TimesTheFloor,
    /// Time of an operation with a second thread at it over that without; less is better.
    WithASecondThread,
    /// Less is better.
    TimePerOperation,
}

impl Measure {
    /// Whether `ratio` is as good as `limit`.
    #[must_use]
    pub fn reaches(self, ratio: f64, limit: f64) -> bool {
        match self {
            Measure::OperationsPerCpuSecond => ratio >= limit,
            _ => ratio <= limit,
        }
    }

    /// As it is printed.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Measure::OperationsPerCpuSecond => "operations per CPU-second",
            Measure::CpuPerOperation => "CPU per operation",
            Measure::TimesTheFloor => "one relaxed fetch_add",
            Measure::WithASecondThread => "its own time without a second thread",
            Measure::TimePerOperation => "time per operation",
        }
    }

    /// As a limit is printed.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Measure::OperationsPerCpuSecond => "≥",
            _ => "≤",
        }
    }
}

/// As it stands in the file: the direction is written out, so that nobody reads a bar the wrong way round.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    what: String,
    measure: Measure,
    at_least: Option<f64>,
    at_most: Option<f64>,
    aim: Option<f64>,
    source: String,
}

impl TryFrom<Written> for Bar {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Bar, Self::Error> {
        let Written { what, measure, at_least, at_most, aim, source } = written;
        let must = match (measure, at_least, at_most) {
            (Measure::OperationsPerCpuSecond, Some(must), None) => must,
            (Measure::OperationsPerCpuSecond, ..) => return Err("this measure takes at_least"),
            (_, None, Some(must)) => must,
            _ => return Err("this measure takes at_most"),
        };
        if source.trim().is_empty() {
            return Err("a bar says where it comes from");
        }
        if aim.is_some_and(|aim| !measure.reaches(aim, must)) {
            return Err("the aim is beyond the bar, not below it");
        }
        Ok(Bar { what, measure, must, aim, source })
    }
}

impl Bars {
    /// Those in force.
    ///
    /// # Errors
    /// When the file, which is part of the program, does not make sense.
    pub fn read() -> Result<Bars, LabError> {
        parse(FILE)
    }
}

fn parse(text: &str) -> Result<Bars, LabError> {
    toml::from_str(text)
        .map_err(|error| LabError::Unreadable { what: "bars.toml", found: error.message().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bar_was_loosened() {
        let Bars { links, balancer, policy, chat, graph } = Bars::read().unwrap();
        let GraphBars { get, range, range_data, multi_get, add, stale } = graph;
        for (bar, limit) in [(get, 1.0), (range, 1.0), (range_data, 3.0), (multi_get, 1.0), (add, 1.0)] {
            assert!(bar.measure == Measure::OperationsPerCpuSecond && bar.must >= limit, "{bar:?}");
        }
        assert_eq!(stale.at_most, 0);
        let ChatBars { fan_out, idle_kib } = chat;
        assert!(fan_out.measure == Measure::OperationsPerCpuSecond && fan_out.aim >= 1.3, "{fan_out:?}");
        assert!(idle_kib.aim <= 1.5, "{idle_kib:?}");
        assert!(links.measure == Measure::OperationsPerCpuSecond && links.must >= 0.85, "{links:?}");
        assert!(balancer.measure == Measure::CpuPerOperation && balancer.must <= 1.00, "{balancer:?}");
        assert!(balancer.aim.is_some_and(|aim| aim <= 0.87), "{balancer:?}");
        let PolicyBars {
            breaker,
            breaker_second_thread,
            open_reject,
            rate,
            bulkhead,
            budget,
            chain,
            opponents,
        } = policy;
        for (bar, measure, limit) in [
            (breaker, Measure::TimesTheFloor, 2.0),
            (breaker_second_thread, Measure::WithASecondThread, 1.1),
            (open_reject, Measure::TimesTheFloor, 0.5),
            (rate, Measure::TimesTheFloor, 2.3),
            (bulkhead, Measure::TimesTheFloor, 2.3),
            (budget, Measure::TimesTheFloor, 2.3),
            (chain, Measure::TimesTheFloor, 7.5),
            (opponents, Measure::TimePerOperation, 1.0),
        ] {
            assert!(bar.measure == measure && bar.must <= limit, "{bar:?}");
        }
    }

    #[test]
    fn a_bar_that_reads_the_wrong_way_round_or_has_no_source_is_refused() {
        for (good, bad) in [
            ("at_least = 0.85", "at_most = 0.85"),
            ("at_most = 1.00", "at_most = 1.00\nat_least = 0.5"),
            ("aim = 0.87", "aim = 1.2"),
            ("aim = 0.87", "aims = 0.87"),
        ] {
            assert!(FILE.contains(good), "{good}");
            assert!(parse(&FILE.replace(good, bad)).is_err(), "{bad}");
        }
        let bare = "what = \"x\"\nmeasure = \"cpu-per-operation\"\nat_most = 1.0\nsource = \"\"\n";
        assert!(toml::from_str::<Bar>(bare).unwrap_err().message().contains("where it comes from"));
    }
}
