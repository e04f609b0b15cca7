//! Contradictions within one call.

use super::Joined;
use crate::duration;
use crate::file::call::Elsewhere;
use crate::file::problem::Finding;
use crate::file::worst::Worst;
use crate::retry::{Class, hedge};

/// Tries that cannot come because the deadline is over.
///
/// Only for a policy that retries time-outs: what failed at once has taken no time, so nothing can be said.
pub(super) fn beyond_the_deadline(joined: &Joined) -> Option<Finding> {
    let Joined { key, call, retry, .. } = joined;
    let retry = retry.as_ref().filter(|retry| retry.on.contains(&Class::Timeout) && retry.attempts > 1)?;
    let worst = Worst::of(call, Some(retry));
    let [total, deadline] = [worst.total(), call.deadline].map(duration::format);
    if call.timeout.is_none() {
        let advice = format!(
            "use a timeout for a single try: without one the first takes until the deadline ({deadline}), and none of \
             the {} retries after a timeout ever comes",
            worst.attempts - 1
        );
        return Some(Finding::error(format!("{key}.timeout"), advice));
    }
    (worst.total() > call.deadline).then(|| {
        let advice = format!(
            "use fewer or shorter tries, or a deadline of {total}: {} take {total}, and the deadline is {deadline}",
            worst.sum()
        );
        Finding::error(format!("{key}.retry"), advice)
    })
}

/// A callee that is down turns all its calls over to another, which was never sized for them.
pub(super) fn fallback_without_a_bulkhead(joined: &Joined) -> Option<Finding> {
    let Joined { key, name, call, .. } = joined;
    let Elsewhere { to, bulkhead: None } = call.fallback_to()? else { return None };
    let advice = format!(
        "use {{ to = \"{to}\", bulkhead = \"{to}-fallback\" }} and say in [policy.bulkhead.{to}-fallback] how many \
         it can bear: with {name} down, 1,000 calls a second to it become 1,000 more to {to}"
    );
    Some(Finding::error(format!("{key}.fallback"), advice))
}

/// "Too busy" answered with more.
pub(super) fn overload_without_a_budget(joined: &Joined) -> Option<Finding> {
    let Joined { key, call, retry, .. } = joined;
    let retry = retry.as_ref().filter(|retry| retry.on.contains(&Class::Overloaded) && retry.attempts > 1)?;
    call.budget.is_none().then(|| {
        let (n, calls) = (retry.amplification(), retry.amplification() * 1_000);
        let advice = format!(
            "use a budget, or a retry policy without \"overloaded\": at 1,000 requests a second, {n} tries of what is \
             too busy already are {calls} calls"
        );
        Finding::error(format!("{key}.budget"), advice)
    })
}

/// Retries and copies of calls that may not happen twice, after an outcome that does not tell whether they did.
pub(super) fn what_must_not_happen_twice(joined: &Joined) -> Vec<Finding> {
    let Joined { key, call, retry, hedge, .. } = joined;
    let mut found = Vec::new();
    if call.idempotent {
        return found;
    }
    if let Some(retry) = retry.as_ref().filter(|retry| !retry.idempotent_only && retry.attempts > 1)
        && let Some(doubtful) = retry.on.iter().find(|class| matches!(class, Class::Timeout | Class::Failed))
    {
        let advice = format!(
            "use a retry policy with idempotent_only = true, or say idempotent = true: after {:?} nobody knows whether \
             it happened, and up to {} tries may each have",
            doubtful.as_str(),
            retry.amplification()
        );
        found.push(Finding::error(format!("{key}.retry"), advice));
    }
    if let Some(hedge) = hedge.as_ref().filter(|hedge| !hedge.idempotent_only) {
        let advice = format!(
            "use a hedge policy with idempotent_only = true, or say idempotent = true: one call is sent up to {} times",
            hedge.amplification()
        );
        found.push(Finding::error(format!("{key}.hedge"), advice));
    }
    found
}

/// Copies at the callee's expense, without an end when it slows down.
pub(super) fn hedge_that_nobody_pays(joined: &Joined) -> Option<Finding> {
    let Joined { key, call, hedge, .. } = joined;
    let copies = hedge.as_ref()?.amplification();
    call.budget.is_none().then(|| {
        let advice = format!(
            "use a budget: when the callee slows down every call is late, and 1,000 requests a second become {} calls",
            copies * 1_000
        );
        Finding::error(format!("{key}.budget"), advice)
    })
}

/// A copy that would go when the first has been given up.
pub(super) fn hedge_after_the_timeout(joined: &Joined) -> Option<Finding> {
    let Joined { key, call, hedge, .. } = joined;
    let hedge::After::Fixed(after) = hedge.as_ref()?.after else { return None };
    let timeout = call.try_timeout();
    (after >= timeout).then(|| {
        let [after, timeout] = [after, timeout].map(duration::format);
        let advice = format!(
            "use a hedge policy that waits for less than {timeout}: after {after} no call is under way any more, since \
             each try is cut at {timeout}"
        );
        Finding::error(format!("{key}.hedge"), advice)
    })
}
