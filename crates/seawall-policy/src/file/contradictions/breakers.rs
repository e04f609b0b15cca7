//! Breakers against the times of the calls they stand in front of.

use super::Joined;
use crate::file::problem::Finding;
use crate::file::set::Set;
use crate::{breaker, duration};

/// A window in which one caller sees fewer than two of its own tries time out.
///
/// It still trips where many call at once, so it is a warning.
pub(super) fn window_shorter_than_two_tries(joined: &Joined) -> Option<Finding> {
    let Joined { key, call, breaker, .. } = joined;
    let window = breaker.as_ref()?.window;
    let longest = call.try_timeout();
    let two = longest.saturating_mul(2);
    (window < two).then(|| {
        let [window, longest, two] = [window, longest, two].map(duration::format);
        let advice = format!(
            "use a breaker with a window of {two} or more, or a shorter timeout: a try may take {longest}, and in \
             {window} the first failure is forgotten before a second can follow it"
        );
        Finding::warning(format!("{key}.breaker"), advice)
    })
}

/// A probe that is written off before it may have ended: its success would close nothing.
pub(super) fn probe_longer_than_the_open_time(joined: &Joined) -> Option<Finding> {
    let Joined { key, call, breaker, .. } = joined;
    let open = breaker.as_ref()?.open.for_;
    let longest = call.try_timeout();
    (open < longest).then(|| {
        let [open, longest] = [open, longest].map(duration::format);
        let advice = format!(
            "use a breaker with open.for of {longest} or more, or a shorter timeout: a probe is written off after \
             {open}, and one that takes longer, up to {longest}, never closes it"
        );
        Finding::error(format!("{key}.breaker"), advice)
    })
}

/// A breaker that refuses for less time than it may need to trip. No preset does.
pub(super) fn open_shorter_than_the_window(set: &Set) -> Vec<Finding> {
    let too_short = set.own::<breaker::Policy>().filter(|(_, policy)| policy.open.for_ < policy.window);
    too_short
        .map(|(name, policy)| {
            let [open, window] = [policy.open.for_, policy.window].map(duration::format);
            let share = policy.window.as_secs_f64() / (policy.window + policy.open.for_).as_secs_f64();
            let advice = format!(
                "use at least the window ({window}): tripping may take {window} and then spares the callee for {open}, \
                 so that a dead one is still called {:.0} % of the time",
                share * 100.0
            );
            Finding::warning(format!("policy.breaker.{name}.open.for"), advice)
        })
        .collect()
}
