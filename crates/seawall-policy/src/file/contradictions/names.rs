//! Names of nothing.

use std::collections::BTreeSet;

use super::Joined;
use crate::file::call::Elsewhere;
use crate::file::nearest::{did_you_mean, nearest};
use crate::file::problem::Finding;
use crate::file::set::Set;

/// A call that names a policy or another call which is neither in the file nor a preset.
pub(super) fn unknown(set: &Set, calls: &[Joined], broken: &BTreeSet<String>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut look_up = |kind: &str, key: String, name: &str| {
        if set.entry(kind, name).is_none() && !broken.contains(&format!("{kind}.{name}")) {
            let known = set.names(kind);
            let meant = did_you_mean(&nearest(name, known.iter().map(String::as_str)));
            let section = if kind == "call" { "call" } else { &format!("{kind} policy") };
            let advice =
                format!("use the name of a {section}, or write [policy.{kind}.{name}]; there is none{meant}");
            found.push(Finding::error(key, advice));
        }
    };
    for Joined { key, call, .. } in calls {
        for (kind, name) in [
            ("breaker", &call.breaker),
            ("retry", &call.retry),
            ("budget", &call.budget),
            ("hedge", &call.hedge),
            ("bulkhead", &call.bulkhead),
        ] {
            if let Some(name) = name {
                look_up(kind, format!("{key}.{kind}"), name);
            }
        }
        for (i, name) in call.calls.iter().enumerate() {
            look_up("call", format!("{key}.calls[{i}]"), name);
        }
        if let Some(Elsewhere { to, bulkhead }) = call.fallback_to() {
            look_up("call", format!("{key}.fallback.to"), to);
            if let Some(bulkhead) = bulkhead {
                look_up("bulkhead", format!("{key}.fallback.bulkhead"), bulkhead);
            }
        }
    }
    found
}
