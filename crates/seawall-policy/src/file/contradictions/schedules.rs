//! Waits that are written one by one, against the tries between which they lie.

use crate::file::problem::Finding;
use crate::file::set::Set;
use crate::retry::{self, ATTEMPTS_MAX};

/// Schedules with fewer waits than there are pauses between tries, or more. Only where one of the two numbers is
/// written in the file: the registry client's preset keeps its document's third wait on purpose.
pub(super) fn too_short_or_too_long(set: &Set, is_written: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, policy) in set.own::<retry::Policy>() {
        let table = format!("policy.retry.{name}");
        let key = format!("{table}.backoff.schedule");
        let (waits, attempts) = (policy.backoff.schedule.len(), policy.attempts);
        let pauses = attempts.clamp(1, ATTEMPTS_MAX) as usize - 1;
        if waits == 0 || waits == pauses || !(is_written(&key) || is_written(&format!("{table}.attempts"))) {
            continue;
        }
        let advice = format!(
            "use {pauses} waits for {attempts} tries, or attempts = {}; there are {waits}",
            waits + 1
        );
        found.push(if waits < pauses {
            Finding::error(key, format!("{advice}, and how long to wait after them is not said"))
        } else {
            Finding::warning(key, format!("{advice}, and {} of them never waited for", waits - pauses))
        });
    }
    found
}
