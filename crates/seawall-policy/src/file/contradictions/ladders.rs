//! Ladders against the calls they watch.

use std::time::Duration;

use super::Joined;
use crate::duration;
use crate::file::problem::Finding;
use crate::file::set::Set;
use crate::file::worst::Worst;
use crate::ladder;
use crate::ladder::condition::{Clause, Op, Signal, Unit, Value};

/// What is waited for and can never be seen: a time before which every call is cut, the state of no breaker.
///
/// An error where nothing else enters the rung either, else a warning: the rest still works.
pub(super) fn unreachable(set: &Set, calls: &[Joined]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, policy) in set.own::<ladder::Policy>() {
        for (i, rung) in policy.rung.iter().enumerate() {
            let Some(enter) = &rung.enter else { continue };
            let dead: Vec<Option<String>> =
                enter.any.iter().map(|all| all.iter().find_map(|clause| never_seen(clause, calls))).collect();
            let is_dead = dead.iter().all(Option::is_some);
            for why in dead.into_iter().flatten() {
                let key = format!("ladder.{name}.rung[{i}].enter");
                found.push(if is_dead { Finding::error(key, why) } else { Finding::warning(key, why) });
            }
        }
    }
    found
}

/// Why this clause can never hold, if it cannot.
fn never_seen(clause: &Clause, calls: &[Joined]) -> Option<String> {
    let of = clause.signal.of.as_ref()?;
    let joined = calls.iter().find(|joined| joined.name == *of)?;
    match (&clause.value, clause.unit) {
        (Value::Number(seconds), Unit::Seconds) if is_latency(&clause.signal) => {
            cut_before(clause, *seconds, joined)
        }
        _ if clause.signal.what == "breaker" && joined.call.breaker.is_none() => Some(format!(
            "use a breaker in [{}], or leave it out here: {} can never be seen, since calls to {of} have no breaker",
            joined.key,
            shown(clause)
        )),
        _ => None,
    }
}

/// Whether it is how long calls take: p95, p99.9. Other times, such as the age of what calls brought, may be longer
/// than any call.
fn is_latency(signal: &Signal) -> bool {
    let percent = signal.what.strip_prefix('p').and_then(|digits| digits.parse::<f64>().ok());
    percent.is_some_and(|percent| (0.0..100.0).contains(&percent))
}

/// Why a time so long cannot be seen: calls are given up before.
fn cut_before(clause: &Clause, seconds: f64, joined: &Joined) -> Option<String> {
    let Joined { name, call, retry, .. } = joined;
    let bound = Duration::try_from_secs_f64(seconds).ok()?;
    let worst = Worst::of(call, retry.as_ref());
    let cut = worst.total().min(call.deadline);
    let is_never = match clause.op {
        Op::Above => bound >= cut,
        Op::AtLeast | Op::Is => bound > cut,
        Op::Below | Op::AtMost | Op::IsNot => false,
    };
    let cut = duration::format(cut);
    let why = match worst.attempts {
        _ if worst.total() > call.deadline => format!("at their deadline of {cut}"),
        1 => format!("at {cut}"),
        _ => format!("at {cut} ({})", worst.sum()),
    };
    is_never.then(|| {
        format!(
            "use a limit below {cut}, or a longer timeout: {} can never be seen, since calls to {name} are cut {why}",
            shown(clause)
        )
    })
}

/// The clause without its duration: `p95(ranking) > 100ms`.
fn shown(clause: &Clause) -> String {
    Clause { for_: Duration::ZERO, ..clause.clone() }.to_string()
}
