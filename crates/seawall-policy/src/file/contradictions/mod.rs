//! What does not go together: policies that are right one by one and wrong side by side.
//!
//! Each function looks at one kind of contradiction; each was found in one of the documents. Which are errors
//! and which warnings, [the file's own header](super) argues.

mod breakers;
mod calls;
mod graph;
mod ladders;
mod names;
mod schedules;

use std::collections::BTreeSet;

pub use self::graph::CALLS_DEPTH_MAX;
pub(super) use self::graph::Graph;
use super::call::Call;
use super::problem::Finding;
use super::set::Set;
use crate::breaker;
use crate::retry::{self, hedge};

/// A call with the policies it names, as far as there are such.
struct Joined {
    /// Of its table: `policy.call.ranking`.
    key: String,
    name: String,
    call: Call,
    breaker: Option<breaker::Policy>,
    retry: Option<retry::Policy>,
    hedge: Option<hedge::Policy>,
}

impl Joined {
    fn all(set: &Set) -> Vec<Joined> {
        let joined = |(name, call): (String, Call)| Joined {
            key: format!("policy.call.{name}"),
            breaker: call.breaker.as_ref().and_then(|name| set.get(name)),
            retry: call.retry.as_ref().and_then(|name| set.get(name)),
            hedge: call.hedge.as_ref().and_then(|name| set.get(name)),
            name,
            call,
        };
        set.own::<Call>().map(joined).collect()
    }
}

/// All of them. `broken`: the full names of policies that are in the file and could not be read, so that naming
/// them is no mistake. `is_written`: whether a key stands in the file itself.
pub(super) fn find(set: &Set, broken: &BTreeSet<String>, is_written: impl Fn(&str) -> bool) -> Vec<Finding> {
    let calls = Joined::all(set);
    let mut found = names::unknown(set, &calls, broken);
    for call in &calls {
        found.extend(calls::beyond_the_deadline(call));
        found.extend(calls::fallback_without_a_bulkhead(call));
        found.extend(calls::overload_without_a_budget(call));
        found.extend(calls::what_must_not_happen_twice(call));
        found.extend(calls::hedge_that_nobody_pays(call));
        found.extend(calls::hedge_after_the_timeout(call));
        found.extend(breakers::window_shorter_than_two_tries(call));
        found.extend(breakers::probe_longer_than_the_open_time(call));
    }
    found.extend(breakers::open_shorter_than_the_window(set));
    found.extend(schedules::too_short_or_too_long(set, is_written));
    found.extend(ladders::unreachable(set, &calls));
    let graph = Graph::of(set);
    found.extend(graph::circles(&graph));
    found.extend(graph::amplification(&graph));
    found
}
